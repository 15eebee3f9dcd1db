// FixedPosition: a position as an exact number, whole or fractional.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <utility>

#include "../core/double_double.hpp"
#include "../tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// A position as a 64.64-bit fixed-point number: `whole + fraction / 2^64`.
///
/// Every integer is exact, and so is every double without bits below 2^-64. Converts from integers, float and
/// double, so that `.offset = 128` and `.offset = 2.5` both work; 16-bit floats do not compile, since
/// bfloat16 has no 257.
/// Throws std::invalid_argument on NaN and on sizes of 2^62 and more.
///
/// @code
///   const rotary::FixedPosition position = -2.25;
///   position.whole;                          // −3
///   static_cast<double>(position + 1);       // −1.25
/// @endcode
struct FixedPosition {
  std::int64_t whole = 0;      ///< the position rounded down
  std::uint64_t fraction = 0;  ///< the position minus `whole`, in units of 2^-64

  /// Position 0.
  constexpr FixedPosition() = default;

  /// An integer, exactly.
  /// Throws std::invalid_argument on sizes of 2^62 and more.
  template <std::integral I>
  constexpr FixedPosition(I position) : whole(static_cast<std::int64_t>(position)) {
    static_assert(!std::is_same_v<I, bool>, "rotary: a position is a number, not a bool");
    constexpr std::int64_t kLimit = std::int64_t{1} << 62;
    if constexpr (sizeof(I) >= 8)
      if (std::cmp_greater_equal(position, kLimit) || std::cmp_less_equal(position, -kLimit))
        detail::fail("position ", position, " is out of range, it must lie within -2^62 to 2^62");
  }

  /// A float or double, rounded to a multiple of 2^-64.
  /// Throws std::invalid_argument on NaN and on sizes of 2^62 and more.
  template <std::floating_point F>
  requires(sizeof(F) > 2) FixedPosition(const F& position) {  // by reference: see finite_bits
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

  /// The position as a double, rounded where it has more bits.
  explicit constexpr operator double() const {
    const FixedPosition size =
        whole < 0 ? -*this : *this;  // unsigned, since the lowest whole has no negative
    const double value = static_cast<double>(static_cast<std::uint64_t>(size.whole)) +
                         static_cast<double>(size.fraction) * 0x1p-64;
    return whole < 0 ? -value : value;
  }
  /// Is the position an integer?
  constexpr bool is_whole() const { return fraction == 0; }

  // a + b, exactly; wraps around outside of −2^63 to 2^63.
  friend constexpr FixedPosition operator+(FixedPosition a, FixedPosition b) {
    FixedPosition sum;
    sum.fraction = a.fraction + b.fraction;
    sum.whole =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(a.whole) + static_cast<std::uint64_t>(b.whole) +
                                  (sum.fraction < a.fraction ? 1u : 0u));
    return sum;
  }
  // −a, exactly.
  friend constexpr FixedPosition operator-(FixedPosition a) {
    FixedPosition negative;
    negative.fraction = 0 - a.fraction;
    negative.whole =
        static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(a.whole) - (a.fraction != 0 ? 1u : 0u));
    return negative;
  }
  // Are two positions exactly equal?
  friend constexpr bool operator==(const FixedPosition&, const FixedPosition&) = default;
};

namespace detail {

/// Throws if a sum of positions is out of range.
inline void check_range(const FixedPosition& position) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 62;
  if (position.whole >= kLimit || position.whole < -kLimit)
    fail("position ", static_cast<double>(position), " is out of range, it must lie within -2^62 to 2^62");
}

}  // namespace detail

}  // namespace rotary::inline ROTARY_ABI
