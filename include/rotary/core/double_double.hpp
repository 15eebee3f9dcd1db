// Reals of about 106 bits, as sums of two doubles. Frequencies are computed in them, once per embedding.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <compare>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "config.hpp"

namespace rotary::inline ROTARY_ABI {
namespace detail {

/// An optimisation barrier: `x`, as a double of which the optimiser knows nothing.
///
/// The arithmetic below depends on the exact rounding of every single operation. GCC fuses a * b + c by
/// default and -ffast-math reorders sums, so each result passes through here, which costs no instruction.
constexpr double rounded(double x) {
  if (!std::is_constant_evaluated()) {
#if defined(__GNUC__) && defined(__SSE2__)
    asm("" : "+x"(x));
#elif defined(__GNUC__) && defined(__aarch64__)
    asm("" : "+w"(x));
#elif defined(__GNUC__)
    asm("" : "+m"(x));
#else
    volatile double copy = x;
    x = copy;
#endif
  }
  return x;
}

/// An optimisation barrier for a number given by a user. It goes through memory: under -ffast-math Clang
/// assumes that every double which is passed as an argument, or comes out of the barrier above, is finite.
constexpr void make_opaque(double& x) {
#if defined(__GNUC__)
  if (!std::is_constant_evaluated()) asm("" : "+m"(x));
#endif
}

/// Is `x` neither infinite nor NaN? Compares bits, since under -ffast-math std::isfinite is always true, and
/// those of an opaque copy, since the compiler also assumes that the bits of a number it has just computed
/// are finite.
constexpr bool finite_bits(const double& x) {
  double copy = x;
  make_opaque(copy);
  return (std::bit_cast<std::uint64_t>(copy) >> 52 & 0x7ff) != 0x7ff;
}

/// a == b. Compares bits, since with -ffast-math a NaN compares equal to anything. Here a NaN equals itself.
template <std::floating_point F>
constexpr bool is_equal(const F& a, const std::type_identity_t<F>& b) {
  using Bits = std::conditional_t<sizeof(F) == 4, std::uint32_t, std::uint64_t>;
  const Bits of_a = std::bit_cast<Bits>(a), of_b = std::bit_cast<Bits>(b);
  return of_a == of_b || static_cast<Bits>((of_a | of_b) << 1) == 0;  // zeros of either sign
}

}  // namespace detail

/// The real number hi + lo, where hi is that sum rounded to double: about 106 bits of precision. What
/// frequencies are held in.
///
/// Doubles and integers convert to it exactly. +, −, ×, ÷ and sqrt are within 2^-102 of the result, exp, log
/// and pow within 2^-98 of results between 1e-24 and 1e24, under any compiler flags.
///
/// @code
///   const rotary::DoubleDouble third = rotary::DoubleDouble(1) / 3;
///   const rotary::DoubleDouble frequency = pow(rotary::DoubleDouble(10000), -third);
///   static_cast<double>(frequency);   // 0.0464
/// @endcode
struct DoubleDouble {
  double hi = 0;  ///< the number rounded to double
  double lo = 0;  ///< the number minus `hi`: at most half a unit in the last place of `hi`

  /// 0.
  constexpr DoubleDouble() = default;
  /// x, exactly.
  constexpr DoubleDouble(double x) : hi(x) { detail::make_opaque(hi); }
  /// high + low, unchecked: |low| must be at most half a unit in the last place of `high`.
  constexpr DoubleDouble(double high, double low) : hi(high), lo(low) {}

  /// n, exactly for any integer of at most 64 bits.
  template <std::integral Integer>
  constexpr DoubleDouble(Integer n);

  /// The number rounded to double.
  explicit constexpr operator double() const { return hi; }

  // Orders numbers by value.
  friend constexpr auto operator<=>(const DoubleDouble&, const DoubleDouble&) = default;
  // Are two numbers equal? Compares bits, so that a NaN equals itself under any compiler flags.
  friend constexpr bool operator==(const DoubleDouble& a, const DoubleDouble& b) {
    return detail::is_equal(a.hi, b.hi) && detail::is_equal(a.lo, b.lo);
  }
};

/// π, rounded to 106 bits.
inline constexpr DoubleDouble kPi{0x1.921fb54442d18p+1, 0x1.1a62633145c07p-53};

namespace detail {

/// a + b and its rounding error, if a is 0 or not smaller in magnitude than b.
constexpr DoubleDouble fast_two_sum(double a, double b) {
  const double sum = rounded(a + b);
  return {sum, rounded(b - rounded(sum - a))};
}

/// a + b and its rounding error.
constexpr DoubleDouble two_sum(double a, double b) {
  const double sum = rounded(a + b);
  const double b_part = rounded(sum - a);
  const double a_part = rounded(sum - b_part);
  return {sum, rounded(rounded(a - a_part) + rounded(b - b_part))};
}

/// The leading 26 bits of x, rounded; the rest is a double of 26 bits too.
constexpr double leading_bits(double x) {
  constexpr std::uint64_t unit = std::uint64_t(1) << 27;
  return std::bit_cast<double>((std::bit_cast<std::uint64_t>(x) + unit / 2) & ~(unit - 1));
}

/// a * b and its rounding error, from halves whose products are exact. (std::fma would be shorter, but Clang
/// takes it apart under -ffast-math.)
constexpr DoubleDouble two_product(double a, double b) {
  const double a_high = leading_bits(a), a_low = rounded(a - a_high);
  const double b_high = leading_bits(b), b_low = rounded(b - b_high);
  const double product = rounded(a * b);
  double error = rounded(rounded(a_high * b_high) - product);
  error = rounded(error + rounded(a_high * b_low));
  error = rounded(error + rounded(a_low * b_high));
  return {product, rounded(error + rounded(a_low * b_low))};
}

/// x · 2^exponent.
inline DoubleDouble scale_by_power_of_two(const DoubleDouble& x, int exponent) {
  return {std::ldexp(x.hi, exponent), std::ldexp(x.lo, exponent)};
}

}  // namespace detail

template <std::integral Integer>
constexpr DoubleDouble::DoubleDouble(Integer n) {
  if constexpr (sizeof(Integer) <= 4) {
    hi = static_cast<double>(n);
  } else {
    *this = detail::two_sum(0x1p32 * static_cast<double>(n >> 32), static_cast<double>(n & 0xffffffff));
  }
}

/// Is a `DoubleDouble` neither infinite nor NaN, under any compiler flags?
constexpr bool isfinite(const DoubleDouble& x) {
  return detail::finite_bits(x.hi) && detail::finite_bits(x.lo);
}

/// −x, exactly.
constexpr DoubleDouble operator-(const DoubleDouble& x) { return {-x.hi, -x.lo}; }

/// a + b, within 2^-102 of the result.
constexpr DoubleDouble operator+(const DoubleDouble& a, const DoubleDouble& b) {
  DoubleDouble sum = detail::two_sum(a.hi, b.hi);
  const DoubleDouble low = detail::two_sum(a.lo, b.lo);
  sum = detail::fast_two_sum(sum.hi, detail::rounded(sum.lo + low.hi));
  return detail::fast_two_sum(sum.hi, detail::rounded(sum.lo + low.lo));
}

/// a − b, within 2^-102 of the result.
constexpr DoubleDouble operator-(const DoubleDouble& a, const DoubleDouble& b) { return a + -b; }

/// a · b, within 2^-102 of the result.
constexpr DoubleDouble operator*(const DoubleDouble& a, const DoubleDouble& b) {
  const DoubleDouble product = detail::two_product(a.hi, b.hi);
  const double cross = detail::rounded(detail::rounded(a.hi * b.lo) + detail::rounded(a.lo * b.hi));
  return detail::fast_two_sum(product.hi, detail::rounded(product.lo + cross));
}

/// a / b, within 2^-102 of the result.
///
/// This is long division in two digits of a double each. The divisor is opaque each time, or -ffast-math
/// would multiply by its inverse.
constexpr DoubleDouble operator/(const DoubleDouble& a, const DoubleDouble& b) {
  const double first = detail::rounded(a.hi / detail::rounded(b.hi));
  const DoubleDouble rest = a - b * first;
  return detail::fast_two_sum(first, detail::rounded(rest.hi / detail::rounded(b.hi)));
}

/// √x of a `DoubleDouble`. Negative, zero and infinite arguments give what std::sqrt gives.
inline DoubleDouble sqrt(const DoubleDouble& x) {
  const double root = detail::rounded(std::sqrt(x.hi));
  if (!isfinite(x) || x.hi <= 0) return root;
  const DoubleDouble rest = x - detail::two_product(root, root);
  return detail::fast_two_sum(root, detail::rounded(rest.hi / (2 * root)));
}

namespace detail {

// ln 2 = head + tail, where the head has 42 bits, so that its product with a binary exponent is exact.
inline constexpr double kLn2Head = 0x1.62e42fefa38p-1;
inline constexpr DoubleDouble kLn2Tail{0x1.ef35793c76730p-45, 0x1.f97b57a079a19p-103};

/// A positive x as mantissa · 2^exponent, the mantissa between √½ and √2.
struct BinaryParts {
  DoubleDouble mantissa;
  int exponent = 0;

  explicit BinaryParts(const DoubleDouble& x) {
    const double fraction = std::frexp(x.hi, &exponent);
    if (fraction < 0.70710678118654752) --exponent;
    mantissa = scale_by_power_of_two(x, -exponent);
  }
};

/// 1/0!, 1/1!, ...
inline constexpr auto kInverseFactorials = [] {
  std::array<DoubleDouble, 26> values{1};
  for (std::size_t n = 1; n < values.size(); ++n) values[n] = values[n - 1] / n;
  return values;
}();

/// 1, 1/3, 1/5, ...
inline constexpr auto kOddReciprocals = [] {
  std::array<DoubleDouble, 21> values;
  for (std::size_t n = 0; n < values.size(); ++n) values[n] = DoubleDouble(1) / (2 * n + 1);
  return values;
}();

/// coefficients[0] + x (coefficients[1] + x (coefficients[2] + ...)).
template <std::size_t N>
DoubleDouble polynomial(const DoubleDouble& x, const std::array<DoubleDouble, N>& coefficients) {
  DoubleDouble sum;
  for (std::size_t n = N; n > 0; --n) sum = coefficients[n - 1] + x * sum;
  return sum;
}

/// log x for x between √½ and √2, by the series of 2 artanh t = log((1 + t) / (1 − t)), where t² < 0.03.
inline DoubleDouble log_near_one(const DoubleDouble& x) {
  const DoubleDouble t = (x - 1) / (x + 1);
  return 2 * t * polynomial(t * t, kOddReciprocals);
}

}  // namespace detail

/// e^x of a `DoubleDouble`. Past |x| = 700, and for NaN, only as good as std::exp.
inline DoubleDouble exp(const DoubleDouble& x) {
  if (!isfinite(x) || std::fabs(x.hi) > 700) return std::exp(x.hi);
  const double exponent = std::round(x.hi * 1.4426950408889634);
  const DoubleDouble rest = x - detail::kLn2Head * exponent - detail::kLn2Tail * exponent;
  const DoubleDouble power = detail::polynomial(rest, detail::kInverseFactorials);  // |rest| < 0.35
  return detail::scale_by_power_of_two(power, static_cast<int>(exponent));
}

/// The natural logarithm of a `DoubleDouble`. Negative, zero and infinite arguments give what std::log gives.
inline DoubleDouble log(const DoubleDouble& x) {
  if (!isfinite(x) || x.hi <= 0) return std::log(x.hi);
  const detail::BinaryParts parts(x);
  const DoubleDouble low_part = detail::kLn2Tail * parts.exponent + detail::log_near_one(parts.mantissa);
  return detail::kLn2Head * parts.exponent + low_part;
}

/// x to the power y of a `DoubleDouble`; only as good as std::pow where x is not positive or the result is
/// outside 2^±1000.
///
/// The power of two in x is raised separately, as an integer and a fraction: exp(y log x) would lose six bits
/// where the logarithm is near 55.
inline DoubleDouble pow(const DoubleDouble& x, const DoubleDouble& y) {
  const bool in_range = isfinite(x) && isfinite(y) && x.hi > 0;
  if (!in_range || std::fabs(y.hi * std::log2(x.hi)) > 1000) return std::pow(x.hi, y.hi);
  const detail::BinaryParts parts(x);
  const DoubleDouble exponent = y * parts.exponent;
  const double whole = std::round(exponent.hi);
  const DoubleDouble rest = exponent - whole;
  const DoubleDouble power =
      exp(detail::kLn2Head * rest + detail::kLn2Tail * rest + y * detail::log_near_one(parts.mantissa));
  return detail::scale_by_power_of_two(power, static_cast<int>(whole));
}

}  // namespace rotary::inline ROTARY_ABI
