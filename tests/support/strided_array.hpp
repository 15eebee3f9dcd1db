// Tensors for tests: of any shape, lying in memory in any way, with guards around and between their elements.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <ostream>
#include <rotary/tensor/tensor.hpp>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"

namespace rotary::testing {

// --- scalars

template <class S>
struct ScalarFacts;
template <>
struct ScalarFacts<float> {
  using Bits = std::uint32_t;
  static constexpr const char* kName = "float";
  static constexpr double kUnit = 0x1p-24, kSmallest = 0x1p-149;
};
template <>
struct ScalarFacts<double> {
  using Bits = std::uint64_t;
  static constexpr const char* kName = "double";
  static constexpr double kUnit = 0x1p-53, kSmallest = 0x1p-1074;
};
template <>
struct ScalarFacts<Eigen::half> {
  using Bits = std::uint16_t;
  static constexpr const char* kName = "half";
  static constexpr double kUnit = 0x1p-11, kSmallest = 0x1p-24;
};
template <>
struct ScalarFacts<Eigen::bfloat16> {
  using Bits = std::uint16_t;
  static constexpr const char* kName = "bfloat16";
  static constexpr double kUnit = 0x1p-8, kSmallest = 0x1p-133;
};

/// Half a unit in the last place of 1: what one rounding is off by, relatively.
template <class S>
inline constexpr double kUnit = ScalarFacts<S>::kUnit;
/// The smallest positive number.
template <class S>
inline constexpr double kSmallest = ScalarFacts<S>::kSmallest;
template <class S>
using Bits = typename ScalarFacts<S>::Bits;

template <class S>
Bits<S> bits_of(const S& x) {
  Bits<S> bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
template <class S>
S from_bits(Bits<S> bits) {
  S x;
  std::memcpy(static_cast<void*>(&x), &bits, sizeof bits);
  return x;
}

/// What a tensor of X is rotated in when nothing else is said: double in double, all else in float.
template <class X>
using RowsFor = std::conditional_t<std::is_same_v<X, double>, double, float>;

/// visit(S{}) for each of the scalars, named in the trace of a failure.
template <class... S, class Visit>
void for_each_of(const Visit& visit) {
  const auto with_trace = [&](auto scalar) {
    SCOPED_TRACE(ScalarFacts<decltype(scalar)>::kName);
    visit(scalar);
  };
  (with_trace(S{}), ...);
}
/// Calls `visit` with each scalar that can be rotated.
template <class Visit>
void for_each_scalar(const Visit& visit) {
  for_each_of<float, double, Eigen::half, Eigen::bfloat16>(visit);
}

inline const char* name_of(Pairing pairing) { return pairing == Pairing::half ? "half" : "interleaved"; }
inline constexpr Pairing kPairings[] = {Pairing::interleaved, Pairing::half};

// --- memory

/// How a tensor lies in memory. What is left empty is as in a row-major tensor without gaps.
struct Layout {
  std::vector<int> order = {};       ///< the axes, from the largest stride to the smallest
  std::vector<Index> gaps = {};      ///< elements left out after everything that an axis spans
  std::vector<bool> backwards = {};  ///< axes with negative strides
  Index misaligned = 0;              ///< elements before the first

  static Layout row_major() { return {}; }
  static Layout column_major(int rank) {
    Layout layout;
    for (int axis = rank; axis-- > 0;) layout.order.push_back(axis);
    return layout;
  }
  /// Any order, with gaps and negative strides; the features are contiguous in half of all cases.
  static Layout random(Random& random, int rank) {
    Layout layout;
    layout.order.resize(static_cast<std::size_t>(rank));
    std::iota(layout.order.begin(), layout.order.end(), 0);
    const bool features_last = random.integer(0, 1) == 1;
    for (int axis = rank - (features_last ? 1 : 0); axis > 1; --axis)
      std::swap(layout.order[static_cast<std::size_t>(axis - 1)],
                layout.order[static_cast<std::size_t>(random.integer(0, axis - 1))]);
    for (int axis = 0; axis < rank; ++axis) {
      const bool plain = features_last && axis == rank - 1;
      layout.gaps.push_back(random.pick<Index>({0, 0, 1, 3}));
      layout.backwards.push_back(!plain && random.integer(0, 3) == 0);
    }
    layout.misaligned = random.integer<Index>(0, 17);
    return layout;
  }
};

/// A tensor in memory of its own. Elements are counted in row-major order, however they lie.
template <class S>
class StridedArray {
 public:
  explicit StridedArray(std::vector<Index> extents, const Layout& layout = {})
      : extents_(std::move(extents)) {
    const auto rank = extents_.size();
    strides_.resize(rank);
    Index span = 1, start = 4 + layout.misaligned;
    for (std::size_t n = rank; n-- > 0;) {
      const auto axis = layout.order.empty() ? n : static_cast<std::size_t>(layout.order[n]);
      const bool backwards = !layout.backwards.empty() && layout.backwards[axis];
      strides_[axis] = backwards ? -span : span;
      if (backwards && extents_[axis] > 0) start += (extents_[axis] - 1) * span;
      span = span * extents_[axis] + (layout.gaps.empty() ? 0 : layout.gaps[axis]);
    }
    start_ = start;
    size_ = 1;
    for (const Index extent : extents_) size_ *= extent;
    memory_.resize(static_cast<std::size_t>(span + layout.misaligned + 8));
    std::memset(static_cast<void*>(memory_.data()), kGuard, memory_.size() * sizeof(S));
    auto places = std::make_shared<Places>();
    places->of_element.resize(static_cast<std::size_t>(size_));
    places->is_element.resize(memory_.size());
    for (Index n = 0; n < size_; ++n) {
      const std::size_t at = place(n);
      places->of_element[static_cast<std::size_t>(n)] = at;
      places->is_element[at] = 1;
    }
    places_ = std::move(places);
  }

  /// Of the same shape and with the same elements, lying as `layout` says.
  StridedArray laid_out(const Layout& layout) const {
    StridedArray other(extents_, layout);
    for (Index n = 0; n < size_; ++n) std::memcpy(static_cast<void*>(&other[n]), &(*this)[n], sizeof(S));
    return other;
  }

  const std::vector<Index>& extents() const { return extents_; }
  int rank() const { return static_cast<int>(extents_.size()); }
  Index size() const { return size_; }

  S& operator[](Index n) { return memory_.data()[places_->of_element.data()[n]]; }
  const S& operator[](Index n) const { return memory_.data()[places_->of_element.data()[n]]; }

  StridedView<S> view() { return StridedView<S>(memory_.data() + start_, extents_, strides_); }
  StridedView<const S> view() const {
    return StridedView<const S>(memory_.data() + start_, extents_, strides_);
  }

  /// Is everything that is not an element as it was?
  bool guards_are_intact() const {
    S guard;
    std::memset(static_cast<void*>(&guard), kGuard, sizeof guard);
    for (std::size_t n = 0; n < memory_.size(); ++n)
      if (!places_->is_element.data()[n] && bits_of(memory_[n]) != bits_of(guard)) return false;
    return true;
  }

  /// Fills with numbers that do not depend on the layout, none of them 0.
  void fill(Random& random) {
    for (Index n = 0; n < size_; ++n) {
      const double size = random.uniform(0.125, 2);
      (*this)[n] = static_cast<S>(random.integer(0, 1) == 1 ? size : -size);
    }
  }

 private:
  static constexpr int kGuard = 0xa5;

  /// Where the elements are in memory. Copies share it: computing it takes long without optimisation.
  struct Places {
    std::vector<std::size_t> of_element;
    std::vector<char> is_element;
  };

  std::size_t place(Index n) const {
    Index at = start_;
    for (std::size_t axis = extents_.size(); axis-- > 0;) {
      at += n % extents_[axis] * strides_[axis];
      n /= extents_[axis];
    }
    return static_cast<std::size_t>(at);
  }

  std::vector<Index> extents_, strides_;
  Index start_ = 0, size_ = 0;
  std::vector<S> memory_;
  std::shared_ptr<const Places> places_;
};

// --- comparisons

/// Compares bit for bit, NaN included, and reports the first difference.
template <class S>
::testing::AssertionResult same_bits(const StridedArray<S>& found, const StridedArray<S>& wanted) {
  if (found.extents() != wanted.extents()) return ::testing::AssertionFailure() << "the shapes differ";
  for (Index n = 0; n < found.size(); ++n)
    if (bits_of(found[n]) != bits_of(wanted[n]))
      return ::testing::AssertionFailure()
             << "element " << n << " of " << found.size() << " is " << static_cast<double>(found[n])
             << " (bits " << std::hex << std::uint64_t{bits_of(found[n])} << "), wanted "
             << static_cast<double>(wanted[n]) << " (bits " << std::uint64_t{bits_of(wanted[n])} << ")"
             << std::dec;
  return ::testing::AssertionSuccess();
}

/// Text of a shape, for traces.
inline std::string text_of(const std::vector<Index>& extents) {
  std::string text = "[";
  for (const Index extent : extents) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

/// A shape of `rank` axes, small but for the features.
inline std::vector<Index> random_shape(Random& random, int rank, Index features, Index largest = 4) {
  std::vector<Index> extents;
  for (int axis = 0; axis < rank - 1; ++axis) extents.push_back(random.integer<Index>(1, largest));
  extents.push_back(features);
  return extents;
}

/// The two members of pair i of a window that begins at feature 0.
struct PairFeatures {
  Index a, b;
};
inline PairFeatures pair_features(Pairing pairing, Index pairs, Index i) {
  return pairing == Pairing::half ? PairFeatures{i, i + pairs} : PairFeatures{2 * i, 2 * i + 1};
}

}  // namespace rotary::testing
