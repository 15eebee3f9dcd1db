// Where tokens stand: consecutive from an offset, listed one by one, on a grid, or on several axes at once.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "double_double.hpp"
#include "tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// A position as a 64.64-bit fixed-point number: `whole + fraction / 2^64`.
///
/// Every integer is exact, and so is every double of which no bit lies below 2^-64. Converts from integers,
/// float and double, so that `.offset = 128` and `.offset = 2.5` both work; 16-bit floats do not compile,
/// since bfloat16 cannot tell 256 from 257. Fails on NaN and on what is not below 2^62 in size.
struct FixedPosition {
  std::int64_t whole = 0;
  std::uint64_t fraction = 0;

  constexpr FixedPosition() = default;

  template <std::integral I>
  constexpr FixedPosition(I position) : whole(static_cast<std::int64_t>(position)) {
    constexpr std::int64_t kLimit = std::int64_t{1} << 62;
    if constexpr (sizeof(I) >= 8)
      if (std::cmp_greater_equal(position, kLimit) || std::cmp_less_equal(position, -kLimit))
        detail::fail("position ", position, " is out of range, it must lie within -2^62 to 2^62");
  }

  template <std::floating_point F>
  requires(sizeof(F) > 2) FixedPosition(F position) {
    const double value = static_cast<double>(position), size = std::fabs(value);
    if (!detail::finite_bits(value) || !(size < 0x1p62))
      detail::fail("position ", value, " is out of range, it must be a number within -2^62 to 2^62");
    // Of the size, since 1 − size would lose the last bits of a small negative number.
    const double floor = std::floor(size);
    whole = static_cast<std::int64_t>(floor);
    fraction = static_cast<std::uint64_t>(std::nearbyint((size - floor) * 0x1p64));  // below 1 − 2^-54
    if (value < 0) *this = -*this;
  }

  /// Does not compile: positions are never held in a 16-bit type.
  template <class F>
  requires(std::is_same_v<F, Eigen::half> || std::is_same_v<F, Eigen::bfloat16> ||
           (std::floating_point<F> && sizeof(F) == 2)) FixedPosition(F) {
    static_assert(sizeof(F) != 2,
                  "rotary: positions are integers, float or double; bfloat16 cannot tell 256 from 257");
  }

  explicit constexpr operator double() const {
    if (whole < 0) return -static_cast<double>(-*this);
    return static_cast<double>(whole) + static_cast<double>(fraction) * 0x1p-64;
  }
  constexpr bool is_whole() const { return fraction == 0; }

  friend constexpr FixedPosition operator+(FixedPosition a, FixedPosition b) {
    FixedPosition sum;
    sum.fraction = a.fraction + b.fraction;
    sum.whole =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(a.whole) + static_cast<std::uint64_t>(b.whole) +
                                  (sum.fraction < a.fraction ? 1u : 0u));
    return sum;
  }
  friend constexpr FixedPosition operator-(FixedPosition a) {
    FixedPosition negative;
    negative.fraction = 0 - a.fraction;
    negative.whole =
        static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(a.whole) - (a.fraction != 0 ? 1u : 0u));
    return negative;
  }
  friend constexpr bool operator==(const FixedPosition&, const FixedPosition&) = default;
};

/// The coordinates along one axis, by index: consecutive ones, or a list that stays the caller's.
class AxisPositions {
 public:
  AxisPositions() = default;

  /// first, first + 1, ..., `count` of them.
  static AxisPositions consecutive(Index count, FixedPosition first = {}) {
    if (count < 0) detail::fail("there cannot be ", count, " positions");
    return AxisPositions(Source::consecutive, nullptr, count, first);
  }

  /// The listed positions, each moved by `offset`. int32, int64, float and double; the list must outlive the
  /// use.
  template <class P>
  static AxisPositions listed(std::span<const P> list, FixedPosition offset = {}) {
    static_assert(
        std::is_same_v<P, std::int32_t> || std::is_same_v<P, std::int64_t> || std::is_same_v<P, float> ||
            std::is_same_v<P, double>,
        "rotary: positions are int32, int64, float or double; a 16-bit type cannot tell 256 from 257");
    constexpr Source kSource = std::is_same_v<P, std::int32_t>   ? Source::int32
                               : std::is_same_v<P, std::int64_t> ? Source::int64
                               : std::is_same_v<P, float>        ? Source::float32
                                                                 : Source::float64;
    for (const P& position : list)
      static_cast<void>(FixedPosition(position));  // fails on NaN before anything is written
    return AxisPositions(kSource, list.data(), static_cast<Index>(list.size()), offset);
  }

  Index count() const { return count_; }
  FixedPosition first() const { return first_; }
  bool is_consecutive() const { return source_ == Source::consecutive; }

  FixedPosition operator[](Index n) const {
    switch (source_) {
      case Source::int32:
        return first_ + FixedPosition(static_cast<const std::int32_t*>(list_)[n]);
      case Source::int64:
        return first_ + FixedPosition(static_cast<const std::int64_t*>(list_)[n]);
      case Source::float32:
        return first_ + FixedPosition(static_cast<const float*>(list_)[n]);
      case Source::float64:
        return first_ + FixedPosition(static_cast<const double*>(list_)[n]);
      case Source::consecutive:
        break;
    }
    return first_ + FixedPosition(n);
  }

 private:
  enum class Source { consecutive, int32, int64, float32, float64 };

  AxisPositions(Source source, const void* list, Index count, FixedPosition first)
      : source_(source), list_(list), count_(count), first_(first) {}

  Source source_ = Source::consecutive;
  const void* list_ = nullptr;
  Index count_ = 0;
  FixedPosition first_;
};

/// The largest number of coordinates a token can have.
inline constexpr int kMaxPositionAxes = 4;

/// Which positions the rows of a table stand at; cheap to copy, and a view of the lists it was made from.
///
/// A token has one coordinate, or several (height and width; time, height and width). Row n stands at
/// `at(n, axis)`; on a grid the last axis runs fastest.
class Positions {
 public:
  /// One coordinate.
  Positions(AxisPositions axis) : count_(axis.count()), axes_{{{axis}, {axis}, {axis}, {axis}}} {}

  static Positions consecutive(Index count, FixedPosition first = {}) {
    return AxisPositions::consecutive(count, first);
  }
  template <class P>
  static Positions listed(std::span<const P> list, FixedPosition offset = {}) {
    return AxisPositions::listed(list, offset);
  }
  template <class P>
  static Positions listed(const std::vector<P>& list, FixedPosition offset = {}) {
    return AxisPositions::listed(std::span<const P>(list.data(), list.size()), offset);  // faster to compile
  }
  template <class P>
  static Positions listed(std::vector<P>&& list, FixedPosition offset = {}) = delete;  // it would be gone

  /// Every combination of the axes' coordinates: rows y·width + x for a grid of (height, width).
  static Positions grid(std::span<const AxisPositions> axes) {
    Positions positions = of_axes(axes);
    positions.is_grid_ = true;
    for (int axis = positions.axis_count_ - 1; axis >= 0; --axis) {
      positions.axes_[at_(axis)].repeat = positions.count_;
      positions.count_ =
          detail::checked_product(positions.count_, positions.axes_[at_(axis)].positions.count());
    }
    return positions;
  }

  /// One row for each index, its coordinate on every axis being that axis' entry there: (t, h, w) of each
  /// token.
  static Positions together(std::span<const AxisPositions> axes) {
    Positions positions = of_axes(axes);
    positions.count_ = axes[0].count();
    for (const AxisPositions& axis : axes)
      if (axis.count() != positions.count_)
        detail::fail("every axis needs a position for each token: found ", axis.count(), " and ",
                     positions.count_);
    return positions;
  }

  /// The same rows dealt out to sequences of one length: row b · seq + n is token n of sequence b, and no
  /// longer of all of them. For position_ids of shape [batch, seq].
  Positions in_batches(Index batch) const {
    if (batch < 1 || count_ % batch != 0)
      detail::fail(count_, " positions cannot be dealt out evenly to ", batch, " sequences");
    Positions dealt = *this;
    dealt.batch_ = batch;
    return dealt;
  }

  /// The same rows, those of a grid as one sequence of its cells.
  Positions as_list() const {
    Positions positions = *this;
    positions.is_list_ = true;
    return positions;
  }

  Index count() const { return count_; }
  int axis_count() const { return axis_count_; }
  /// How many sequences have positions of their own; 0 where all share theirs.
  Index batch() const { return batch_; }
  /// The extents of the grid, [batch, seq], or the number of tokens.
  std::vector<Index> shape() const {
    if (batch_ > 0) return {batch_, count_ / batch_};
    if (!is_grid_ || is_list_) return {count_};
    std::vector<Index> extents;
    for (int axis = 0; axis < axis_count_; ++axis) extents.push_back(axes_[at_(axis)].positions.count());
    return extents;
  }

  FixedPosition at(Index row, int axis = 0) const {
    const Axis& of = axes_[at_(axis)];
    return of.repeat == 1 && axis_count_ == 1 ? of.positions[row]
                                              : of.positions[row / of.repeat % of.positions.count()];
  }

  /// first, first + 1, ... on a single axis.
  bool is_consecutive() const { return axis_count_ == 1 && axes_[0].positions.is_consecutive(); }
  FixedPosition first() const { return axes_[0].positions.first(); }

 private:
  struct Axis {
    AxisPositions positions;
    Index repeat = 1;  // rows that share one coordinate before the next comes
  };

  static std::size_t at_(int axis) { return static_cast<std::size_t>(axis); }

  static Positions of_axes(std::span<const AxisPositions> axes) {
    if (axes.empty() || axes.size() > static_cast<std::size_t>(kMaxPositionAxes))
      detail::fail("positions have 1 to ", kMaxPositionAxes, " axes, found ", axes.size());
    Positions positions(axes[0]);
    positions.axis_count_ = static_cast<int>(axes.size());
    positions.count_ = 1;
    for (std::size_t axis = 0; axis < axes.size(); ++axis) positions.axes_[axis] = {axes[axis], 1};
    return positions;
  }

  bool is_grid_ = false, is_list_ = false;
  Index batch_ = 0;
  int axis_count_ = 1;
  Index count_ = 0;
  // The first axis_count_ count; all are set, which is quicker than to clear them.
  std::array<Axis, kMaxPositionAxes> axes_;
};

}  // namespace rotary::inline ROTARY_ABI
