// AxisPositions: the coordinates of tokens along one axis.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "fixed_position.hpp"

namespace rotary::inline ROTARY_ABI {

/// The coordinates of tokens along one axis: consecutive ones, or a list that the caller owns. For the grids
/// and the tokens of several coordinates of `Positions`.
///
/// @code
///   const std::vector<double> y = {-0.5, 0.5};
///   const std::array<rotary::AxisPositions, 2> sides{rotary::AxisPositions::listed(std::span(y)),
///                                                    rotary::AxisPositions::consecutive(3)};
///   const rotary::Positions grid = rotary::Positions::grid(sides);   // 6 rows: (−0.5, 0), (−0.5, 1), ...
/// @endcode
class AxisPositions {
 public:
  /// No coordinates.
  AxisPositions() = default;

  /// first, first + 1, ..., `count` of them.
  /// Throws std::invalid_argument if count is negative.
  [[nodiscard]] static AxisPositions consecutive(Index count, FixedPosition first = {}) {
    if (count < 0) detail::fail("there cannot be ", count, " positions");
    return AxisPositions(Source::consecutive, nullptr, count, 1, first);
  }

  /// The listed positions, `stride` elements from one to the next, each moved by `offset`: integers of 32 or
  /// 64 bits, float or double. The list must outlive the use.
  /// Throws std::invalid_argument on NaN, on positions of 2^62 and more, and on a stride below 1.
  template <class P>
  [[nodiscard]] static AxisPositions listed(std::span<const P> list, FixedPosition offset = {},
                                            Index stride = 1) {
    constexpr Source kSource = source_of<P>();
    static_assert(
        kSource != Source::consecutive,
        "rotary: positions are integers of 32 or 64 bits, float or double; 16-bit types do not hold "
        "every position: bfloat16 cannot tell 256 from 257");
    if (stride < 1) detail::fail("the stride of a list of positions is ", stride, ", it must be at least 1");
    const Index count = list.empty() ? 0 : (static_cast<Index>(list.size()) - 1) / stride + 1;
    if constexpr (std::is_floating_point_v<P> || sizeof(P) == 8)
      for (Index n = 0; n < count; ++n)  // throws out of range, before and after the move
        detail::check_range(offset + FixedPosition(list[static_cast<std::size_t>(n * stride)]));
    return AxisPositions(kSource, list.data(), count, stride, offset);
  }

  /// The number of tokens that have a coordinate here.
  [[nodiscard]] Index count() const { return count_; }
  /// The first of consecutive coordinates. For a list it is the offset that is added to each entry.
  [[nodiscard]] FixedPosition first() const { return first_; }
  /// Are these coordinates from `consecutive`? False for a list, whatever its entries are.
  [[nodiscard]] bool is_consecutive() const { return source_ == Source::consecutive; }

  /// The coordinate of token n, offset included. Unchecked.
  [[nodiscard]] FixedPosition operator[](Index n) const {
    switch (source_) {
      case Source::int32:
        return first_ + FixedPosition(element<std::int32_t>(n));
      case Source::uint32:
        return first_ + FixedPosition(element<std::uint32_t>(n));
      case Source::int64:
        return first_ + FixedPosition(element<std::int64_t>(n));
      case Source::uint64:
        return first_ + FixedPosition(element<std::uint64_t>(n));
      case Source::float32:
        return first_ + FixedPosition(element<float>(n));
      case Source::float64:
        return first_ + FixedPosition(element<double>(n));
      case Source::consecutive:
        break;
    }
    return first_ + FixedPosition(n);
  }

 private:
  enum class Source : std::uint8_t { consecutive, int32, uint32, int64, uint64, float32, float64 };

  /// How a list of `P` is read; `consecutive` for types that cannot be positions. Decided by size, since
  /// `long` and `long long` are different types of the same integers.
  template <class P>
  static constexpr Source source_of() {  // not covered: runs while compiling
    if (std::is_same_v<P, float>) return Source::float32;
    if (std::is_same_v<P, double>) return Source::float64;
    if (!std::is_integral_v<P> || std::is_same_v<P, bool>) return Source::consecutive;
    if (sizeof(P) == 4) return std::is_signed_v<P> ? Source::int32 : Source::uint32;
    if (sizeof(P) == 8) return std::is_signed_v<P> ? Source::int64 : Source::uint64;
    return Source::consecutive;
  }

  AxisPositions(Source source, const void* list, Index count, Index stride, FixedPosition first)
      : source_(source), list_(list), count_(count), stride_(stride), first_(first) {}

  template <class P>
  P element(Index n) const {
    P value;
    std::memcpy(&value, static_cast<const unsigned char*>(list_) + n * stride_ * Index{sizeof(P)}, sizeof(P));
    return value;
  }

  Source source_ = Source::consecutive;
  const void* list_ = nullptr;
  Index count_ = 0, stride_ = 1;
  FixedPosition first_;
};

}  // namespace rotary::inline ROTARY_ABI
