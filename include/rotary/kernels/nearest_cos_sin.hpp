// The floats nearest to a multiple of a cosine and of a sine, in scalar arithmetic.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "../phases/phases.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

struct FloatCosSin {
  float cos, sin;
};

namespace detail {

/// Does every real number within `units` units in the last place of `x` round to the same float?
///
/// Not if `x` is near the midpoint of two floats. For subnormal floats, which have other midpoints, the
/// answer is false unless `x` is 0.
constexpr bool rounds_to_one_float(double x, std::uint64_t units) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63, kHalfway = 0x10000000, kBelowFloat = 0x1fffffff;
  const std::uint64_t size = std::bit_cast<std::uint64_t>(x) & ~kSign;
  if (size < std::bit_cast<std::uint64_t>(0x1p-126)) return size == 0;
  if (size >= std::bit_cast<std::uint64_t>(0x1p127)) return true;  // infinity and NaN among them
  return (size & kBelowFloat) - (kHalfway - units) > 2 * units;
}

/// hi + lo rounded once: hi is first rounded to odd, so that its last bit shows whether lo was lost, and
/// rounding it to float is rounding the sum (Boldo and Melquiond, "Emulation of FMA and correctly rounded
/// sums").
inline float nearest_float(const DoubleDouble& x) {
  auto bits = std::bit_cast<std::uint64_t>(x.hi);
  const auto low = std::bit_cast<std::uint64_t>(x.lo);
  if (low << 1 != 0 && (bits & 1) == 0) (bits ^ low) >> 63 != 0 ? --bits : ++bits;
  return static_cast<float>(rotary::detail::rounded(std::bit_cast<double>(bits)));
}

/// Replaces cos and sin by those of the angle plus `quarter` quarter turns.
template <class Real>
void add_quarter_turns(unsigned quarter, Real& cos, Real& sin) {
  if (quarter & 1) std::swap(cos, sin);
  if ((quarter + 1) & 2) cos = -cos;
  if (quarter & 2) sin = -sin;
}

/// The nearest floats from Taylor's series in about 106 bits: wrong only if a product is within 2^-95,
/// relative to itself, of the midpoint of two floats. |x| is at most about π/4.
ROTARY_COLD inline FloatCosSin nearest_by_double_double(const DoubleDouble& x, unsigned quarter,
                                                        double scale) {
  const DoubleDouble z = x * x;
  DoubleDouble cos, sin;
  for (std::size_t k = 13; k-- > 0;) {
    cos = rotary::detail::kInverseFactorials[2 * k] - z * cos;
    sin = rotary::detail::kInverseFactorials[2 * k + 1] - z * sin;
  }
  sin = x * sin;
  add_quarter_turns(quarter, cos, sin);
  return {nearest_float(cos * scale), nearest_float(sin * scale)};
}

/// A bound on the error of a double of cos_sin(Phase128) times a magnitude, in units in its last place. (It
/// is 2.3.)
inline constexpr std::uint64_t kUnitsOfCosSin = 8;

}  // namespace detail

/// The floats nearest to the real numbers scale · cos φ and scale · sin φ, ties to even.
///
/// One entry in thirty million is so near the midpoint of two floats that double precision does not decide.
inline FloatCosSin nearest_cos_sin(const Phase128& phase, double scale) {
  const auto [cos, sin] = cos_sin(phase);
  const double scaled_cos = rotary::detail::rounded(scale * cos),
               scaled_sin = rotary::detail::rounded(scale * sin);
  FloatCosSin nearest{static_cast<float>(scaled_cos), static_cast<float>(scaled_sin)};
  const bool is_cos_decided = detail::rounds_to_one_float(scaled_cos, detail::kUnitsOfCosSin),
             is_sin_decided = detail::rounds_to_one_float(scaled_sin, detail::kUnitsOfCosSin);
  if (is_cos_decided && is_sin_decided) [[likely]]
    return nearest;
  // The nearest quarter turn, and the distance to it in radians.
  const std::uint64_t quarter = (phase.high + (std::uint64_t{1} << 61)) >> 62;
  Phase128 distance{phase.high - (quarter << 62), phase.low};
  const bool is_negative = distance.high >> 63 != 0;
  if (is_negative) distance = -distance;
  const DoubleDouble turns = DoubleDouble(distance.high) * 0x1p-64 + DoubleDouble(distance.low) * 0x1p-128;
  const DoubleDouble x = turns * (kPi * 2);
  const FloatCosSin exact =
      detail::nearest_by_double_double(is_negative ? -x : x, static_cast<unsigned>(quarter), scale);
  if (!is_cos_decided) nearest.cos = exact.cos;
  if (!is_sin_decided) nearest.sin = exact.sin;
  return nearest;
}

/// The floats nearest to scale · cos φ and scale · sin φ, where φ is `x` radians, at most π/4 in size, plus
/// `quarter` quarter turns.
inline FloatCosSin nearest_cos_sin(double x, unsigned quarter, double scale) {
  auto [cos, sin] = rotary::detail::cos_sin_of_octant(std::fabs(x), 0);
  if (std::bit_cast<std::uint64_t>(x) >> 63 != 0) sin = -sin;
  detail::add_quarter_turns(quarter, cos, sin);
  cos = rotary::detail::rounded(scale * cos), sin = rotary::detail::rounded(scale * sin);
  if (detail::rounds_to_one_float(cos, detail::kUnitsOfCosSin) &&
      detail::rounds_to_one_float(sin, detail::kUnitsOfCosSin)) [[likely]]
    return {static_cast<float>(cos), static_cast<float>(sin)};
  const FloatCosSin exact = detail::nearest_by_double_double(x, quarter, scale);
  return {detail::rounds_to_one_float(cos, detail::kUnitsOfCosSin) ? static_cast<float>(cos) : exact.cos,
          detail::rounds_to_one_float(sin, detail::kUnitsOfCosSin) ? static_cast<float>(sin) : exact.sin};
}

/// Writes scale · cos φ and scale · sin φ: doubles within 1.2e-16 · scale, or the nearest floats.
template <class Row>
void write_cos_sin(const Phase128& phase, double scale, Row* cos_out, Row* sin_out) {
  if constexpr (std::is_same_v<Row, float>) {
    const auto [cos, sin] = nearest_cos_sin(phase, scale);
    *cos_out = cos, *sin_out = sin;
  } else {
    const auto [cos, sin] = cos_sin(phase);
    *cos_out = scale * cos, *sin_out = scale * sin;
  }
}

}  // namespace rotary::inline ROTARY_ABI::kernels
