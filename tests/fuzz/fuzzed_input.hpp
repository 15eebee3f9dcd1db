// Numbers, enumerators, shapes and memory, made of the bytes that a fuzzer passes.
//
// <fuzzer/FuzzedDataProvider.h> does part of this, but comes with Clang alone; and corpora must mean the same wherever
// they are replayed, whatever the compiler and its standard library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <rotary/positions/fixed_position.hpp>
#include <rotary/tensor/strided_view.hpp>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ROTARY_FUZZ_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ROTARY_FUZZ_ASAN 1
#endif

namespace rotary::testing {

/// Ends the program, which is how a fuzz target says that a promise is broken.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

/// Runs a call that may throw std::invalid_argument, and tells whether it came to its end. Any other exception ends the
/// program. With ROTARY_FUZZ_TRACE in the environment, messages are printed.
template <class Call>
bool succeeds(const Call& call) {
  try {
    call();
    return true;
  } catch (const std::invalid_argument& error) {
    const std::string_view message = error.what();
    static const bool traced = std::getenv("ROTARY_FUZZ_TRACE") != nullptr;
    if (traced) std::fprintf(stderr, "%s\n", error.what());
    require(message.starts_with("rotary: ") && message.find('\n') == message.npos,
            "a message is one line that begins with the library's name");
    return false;
  }
}

/// Reads the bytes from first to last; after the end all are 0. Zeros stand for what is usual, so that an input that is
/// cut short still means something.
class FuzzedInput {
 public:
  FuzzedInput(const std::uint8_t* data, std::size_t size) : next_(data), end_(data + size) {}

  bool empty() const { return next_ == end_; }
  std::uint8_t byte() { return next_ == end_ ? 0 : *next_++; }
  bool flag() { return byte() % 2 == 1; }
  /// True once in 16 times.
  bool rarely() { return byte() >= 240; }

  /// Any value of an integer or floating-point type, NaN included.
  template <class Number>
  Number any() {
    unsigned char bytes[sizeof(Number)];
    for (unsigned char& each : bytes) each = byte();
    Number number;
    std::memcpy(&number, bytes, sizeof number);
    return number;
  }

  /// An integer in [low, high], of one byte where that is enough, else of eight.
  Index integer(Index low, Index high) {
    const std::uint64_t count = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
    const std::uint64_t draw = count != 0 && count <= 256 ? byte() : any<std::uint64_t>();
    return static_cast<Index>(static_cast<std::uint64_t>(low) + (count == 0 ? draw : draw % count));
  }

  template <class Value>
  Value pick(std::initializer_list<Value> values) {
    return values.begin()[byte() % values.size()];
  }

  /// Mostly one of the first `count` enumerators, rarely a value that has no name.
  template <class Enum>
  Enum enumerator(int count) {
    const int draw = byte();
    return static_cast<Enum>(draw < 240 ? draw % count : any<std::int8_t>());
  }

  /// A size in [low, high]; rarely one that is negative, or that no memory holds. In between lie sizes that a caller may
  /// ask for and pay for, which fuzzing cannot.
  Index size(Index low, Index high) {
    if (!rarely()) return integer(low, high);
    return pick<Index>({-1, PTRDIFF_MIN, PTRDIFF_MIN + 1, -2, PTRDIFF_MAX, PTRDIFF_MAX - 1, Index{1} << 62,
                        Index{1} << 61, Index{1} << 60, -(Index{1} << 60)});
  }

  /// A number of any kind: whole, fractional, tiny, huge, infinite or none.
  double real() {
    switch (byte() % 8) {
      case 0:
      case 1:
        return any<std::int8_t>();
      case 2:
        return any<std::int16_t>() / 256.0;
      case 3:
        return any<std::int32_t>();
      case 4:
        return pick({std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                     -std::numeric_limits<double>::infinity(), -0.0, 0x1p-1074, 0x1p-1022, 0x1p-149, 0x1p-60,
                     0x1p31, -0x1p31, 0x1p62, -0x1p62, 0x1p63, 1e300, -1e300,
                     std::numeric_limits<double>::max(), 0x1p128, 65520.0});
      case 5:
        return std::ldexp(any<std::int8_t>(), any<std::int8_t>());
      case 6:
        return static_cast<double>(any<float>());
      default:
        return any<double>();
    }
  }
  /// A number that is not far from 1.
  double moderate() { return 1 + any<std::int8_t>() / 128.0; }

  /// A position of any kind, within the range of positions.
  FixedPosition position() {
    constexpr std::int64_t kLimit = std::int64_t{1} << 62;
    switch (byte() % 8) {
      case 0:
      case 1:
        return byte();
      case 2:
        return any<std::int16_t>();
      case 3:
        return any<std::int16_t>() / 16.0;
      case 4:
        return any<std::int32_t>();
      case 5: {  // where something may change
        const auto edge = pick<std::int64_t>({8192, -(std::int64_t{1} << 31), std::int64_t{1} << 31,
                                              std::int64_t{1} << 32, 0, kLimit - 400, 400 - kLimit, 128});
        return edge + any<std::int8_t>();
      }
      case 6: {
        const double value = any<double>();
        return std::fabs(value) < 0x1p61 ? FixedPosition(value) : FixedPosition(0.5);
      }
      default:
        return any<std::int64_t>() / 2 % (kLimit - 400);
    }
  }

  /// All bytes that are left.
  std::span<const std::uint8_t> rest() { return {std::exchange(next_, end_), end_}; }

 private:
  const std::uint8_t* next_;
  const std::uint8_t* end_;
};

/// A tensor in memory of its own, of which not a byte more is allocated than its elements span: then the address
/// sanitizer sees every access beyond them. Without it there are guards on both sides.
template <class S>
class FuzzedTensor {
 public:
  /// How elements may lie in memory.
  enum class Lying {
    apart,  ///< in any order, with gaps and negative strides
    any     ///< also some in the place of others, as broadcast elements are
  };

  FuzzedTensor(FuzzedInput& input, const std::vector<Index>& extents, Lying lying = Lying::apart)
      : extents_(extents), strides_(extents.size()) {
    choose_strides(input, lying);
    Index low = 0, high = 0;
    size_ = 1;
    for (std::size_t axis = 0; axis < extents_.size(); ++axis) {
      size_ *= extents_[axis];
      const Index reach = (extents_[axis] - 1) * strides_[axis];
      (reach < 0 ? low : high) += reach;
    }
    count_ = size_ == 0 ? 0 : high - low + 1;
    first_ = -low;
    memory_.reset(static_cast<unsigned char*>(std::malloc(bytes() + 2 * kGuard)));
    require(memory_ != nullptr, "there is memory for a small tensor");
    fill(input);
  }

  const std::vector<Index>& extents() const { return extents_; }
  Index size() const { return size_; }
  StridedView<S> view() { return {elements() + first_, spanned(extents_), spanned(strides_)}; }
  StridedView<const S> view() const { return const_cast<FuzzedTensor*>(this)->view(); }

  /// An element, counted in row-major order however they lie.
  S& operator[](Index n) { return elements()[place(n)]; }
  const S& operator[](Index n) const { return elements()[place(n)]; }

  /// All bytes that were allocated, guards and gaps included.
  std::vector<unsigned char> snapshot() const {
    return {memory_.get(), memory_.get() + bytes() + 2 * kGuard};
  }
  /// Makes all bytes those of a snapshot.
  void set(const std::vector<unsigned char>& snapshot) {
    std::copy(snapshot.begin(), snapshot.end(), memory_.get());
  }
  bool is_as(const std::vector<unsigned char>& before) const {
    return std::equal(before.begin(), before.end(), memory_.get());
  }
  /// Is everything but the features [start, start + width) of every head as it was?
  bool is_as_outside(const std::vector<unsigned char>& before, Index start, Index width) const {
    std::vector<unsigned char> expected = before;
    const Index features = extents_.empty() ? 1 : extents_.back();
    for (Index n = 0; n < size_; ++n) {
      if (n % features < start || n % features >= start + width) continue;
      const std::size_t at = kGuard + static_cast<std::size_t>(place(n)) * sizeof(S);
      std::memcpy(expected.data() + at, memory_.get() + at, sizeof(S));
    }
    return is_as(expected);
  }

 private:
#if defined(ROTARY_FUZZ_ASAN)
  static constexpr std::size_t kGuard = 0;
#else
  static constexpr std::size_t kGuard = 64;
#endif
  static constexpr Index kMostElements = Index{1} << 16;

  struct Free {
    void operator()(unsigned char* memory) const { std::free(memory); }
  };

  static std::span<const Index> spanned(const std::vector<Index>& list) { return {list.data(), list.size()}; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(S); }
  S* elements() const { return reinterpret_cast<S*>(memory_.get() + kGuard); }

  Index place(Index n) const {
    Index at = first_;
    for (std::size_t axis = extents_.size(); axis-- > 0;) {
      at += n % extents_[axis] * strides_[axis];
      n /= extents_[axis];
    }
    return at;
  }

  void choose_strides(FuzzedInput& input, Lying lying) {
    const int how = input.byte() % (lying == Lying::any ? 6 : 5);
    std::vector<std::size_t> order;
    for (std::size_t axis = 0; axis < extents_.size(); ++axis) order.push_back(axis);
    if (how == 4) {
      std::reverse(order.begin(), order.end());
    } else if (how == 2 || how == 3) {
      const std::size_t moved = how == 2 && !order.empty() ? order.size() - 1 : order.size();
      for (std::size_t n = moved; n > 1; --n) std::swap(order[n - 1], order[input.byte() % n]);
    }
    Index span = 1;
    for (std::size_t n = order.size(); n-- > 0;) {
      const std::size_t axis = order[n];
      const Index gap = how == 0 ? 0 : input.pick<Index>({0, 0, 0, 1, 2, 5});
      const bool backwards = how >= 3 && input.byte() % 8 == 7;
      strides_[axis] = backwards ? -span : span;
      if (span < kMostElements) span = span * std::max<Index>(extents_[axis], 1) + gap;
      if (how == 5) strides_[axis] = input.integer(-3, 6);
    }
    if (span > kMostElements) {  // gaps make it too large
      span = 1;
      for (std::size_t axis = extents_.size(); axis-- > 0;) {
        strides_[axis] = span;
        span *= std::max<Index>(extents_[axis], 1);
      }
    }
  }

  /// Numbers that differ from adjacent ones, none of them 0, and a few of any kind.
  void fill(FuzzedInput& input) {
    std::memset(memory_.get(), 0xa5, bytes() + 2 * kGuard);
    for (Index n = 0; n < size_; ++n) {
      const auto mixed = static_cast<double>((n * 2654435761 + 12345) % 4093);
      (*this)[n] = static_cast<S>((n % 2 == 0 ? 0.25 : -0.25) - (mixed - 2046) / 4096);
    }
    for (int count = input.byte() / 64; count > 0 && size_ > 0; --count) {
      S& element = (*this)[input.integer(0, 255) * 7 % size_];
      if constexpr (std::is_integral_v<S>) {
        element = input.any<S>();
      } else {
        element = static_cast<S>(input.real());
      }
    }
  }

  std::vector<Index> extents_, strides_;
  Index size_ = 0, count_ = 0, first_ = 0;
  std::unique_ptr<unsigned char, Free> memory_;
};

/// Calls check(scalar, input) with a scalar of the type that the first byte chooses: float, bfloat16, half or double.
template <class Check>
int with_scalar(const std::uint8_t* data, std::size_t size, const Check& check) {
  FuzzedInput input(data, size);
  switch (input.byte() % 4) {
    case 0:
      check(float{}, input);
      break;
    case 1:
      check(Eigen::bfloat16{}, input);
      break;
    case 2:
      check(Eigen::half{}, input);
      break;
    default:
      check(double{}, input);
  }
  return 0;
}

}  // namespace rotary::testing
