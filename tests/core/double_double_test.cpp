#include <gtest/gtest.h>
#include <rotary/core/double_double.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/mpfr_oracle.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

constexpr int kDraws = 20000;

// A double of either sign, its size spread evenly over powers of two.
double any_double(Random& random, int lowest_exponent, int highest_exponent) {
  const double size = std::ldexp(random.uniform(1, 2), random.integer(lowest_exponent, highest_exponent));
  return random.pick({-1, 1}) * size;
}

// A number with both parts filled.
DoubleDouble draw(Random& random, double low, double high) {
  return DoubleDouble(random.uniform(low, high)) +
         DoubleDouble(random.uniform(-1, 1) * 0x1p-60 * std::fabs(high));
}

TEST(DoubleDouble, HoldsEveryIntegerExactly) {
  constexpr auto lowest = std::numeric_limits<std::int64_t>::min(),
                 highest = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t n :
       {lowest, lowest + 1, std::int64_t{-1}, std::int64_t{0}, std::int64_t{1}, (std::int64_t{1} << 53) + 1,
        -(std::int64_t{1} << 53) - 1, highest - 1, highest})
    EXPECT_TRUE(Real(DoubleDouble(n)) == Real::of_integer(n)) << n;
  EXPECT_TRUE(Real(DoubleDouble(~std::uint64_t{0})) == Real(0x1p64) - Real(1));
  EXPECT_EQ(DoubleDouble(-7).hi, -7);
  EXPECT_EQ(DoubleDouble(7u).lo, 0);
}

TEST(DoubleDouble, ComparesBothParts) {
  const DoubleDouble one = 1, more(1, 0x1p-80), less(1, -0x1p-80);
  EXPECT_LT(less, one);
  EXPECT_LT(one, more);
  EXPECT_GT(DoubleDouble(2), more);
  EXPECT_NE(one, more);
  EXPECT_EQ(one, 1.0);
  EXPECT_EQ(-less, DoubleDouble(-1, 0x1p-80));
}

TEST(DoubleDouble, ComputesAtCompileTimeToo) {
  constexpr DoubleDouble third = DoubleDouble(1) / 3;
  static_assert(third.hi == 1.0 / 3 && third.lo == 0x1.5555555555555p-56);
  static_assert(third + third == 2 * third && -third + third == 0 && third - 1.0 / 3 == third.lo);
  static_assert(DoubleDouble(1e16) + 1 - 1e16 == 1 && DoubleDouble(1) / DoubleDouble(3) - third == 0);
  static_assert(isfinite(third) && third < DoubleDouble(1.0 / 3, 0x1.6p-56) && third > 1.0 / 3);
  volatile double one = 1;
  EXPECT_EQ(DoubleDouble(one) / 3, third);
}

TEST(DoubleDouble, KnowsPi) { EXPECT_LT(relative_error_of(kPi, Real::pi()), 0x1p-107); }

// The errors of sums and products are themselves doubles: nothing may be lost.
TEST(DoubleDouble, SumsAndProductsOfDoublesAreExact) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < kDraws; ++i) {
    const double a = any_double(random, -60, 60), b = any_double(random, -60, 60);
    ASSERT_TRUE(Real(detail::two_sum(a, b)) == Real(a) + Real(b)) << a << " + " << b;
    ASSERT_TRUE(Real(detail::two_product(a, b)) == Real(a) * Real(b)) << a << " * " << b;
    // Products that a compiler could fuse with the first sum.
    const DoubleDouble fusible = DoubleDouble(a * b) + DoubleDouble(a);
    volatile double product = a * b;
    ASSERT_EQ(fusible, DoubleDouble(product) + DoubleDouble(a));
  }
}

TEST(DoubleDouble, ArithmeticIsWithin102Bits) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < kDraws; ++i) {
    const DoubleDouble a = draw(random, 0, 1e6), b = draw(random, -1, 1);
    ASSERT_LT(relative_error_of(a + b, Real(a) + Real(b)), 0x1p-104);
    ASSERT_LT(relative_error_of(a * b, Real(a) * Real(b)), 0x1p-102);
    ASSERT_LT(relative_error_of(a / b, Real(a) / Real(b)), 0x1p-102);
    ASSERT_LT(relative_error_of(b / a, Real(b) / Real(a)), 0x1p-102);
    ASSERT_LT(relative_error_of(sqrt(a), sqrt(Real(a))), 0x1p-102);
    // Nearly all of a cancels.
    const DoubleDouble near_a = -a + b * 0x1p-70;
    ASSERT_LT(relative_error_of(a + near_a, Real(a) + Real(near_a)), 0x1p-102);
  }
}

TEST(DoubleDouble, FunctionsAreWithin98Bits) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < kDraws; ++i) {
    const DoubleDouble x = draw(random, -55.3, 55.3);  // results from 1e-24 to 1e24
    ASSERT_LT(relative_error_of(exp(x), exp(Real(x))), 0x1p-98) << x.hi;
    const DoubleDouble theta = exp(draw(random, 0, 27.6)), exponent = draw(random, -2, 2);
    ASSERT_LT(relative_error_of(log(theta), log(Real(theta))), 0x1p-98) << theta.hi;
    ASSERT_LT(relative_error_of(log(1 / theta), log(Real(1 / theta))), 0x1p-98) << theta.hi;
    ASSERT_LT(relative_error_of(pow(theta, exponent), pow(Real(theta), Real(exponent))), 0x1p-98)
        << theta.hi << " ^ " << exponent.hi;
    // Next to 1, where the logarithm is small, and its error too.
    const DoubleDouble near_one = 1 + draw(random, -1, 1) * std::ldexp(1.0, -random.integer(1, 50));
    ASSERT_LT(relative_error_of(log(near_one), log(Real(near_one))), 0x1p-98) << near_one.hi;
  }
  EXPECT_LT(relative_error_of(pow(DoubleDouble(1e12), 2), Real(1e12) * Real(1e12)), 0x1p-98);
  EXPECT_LT(relative_error_of(pow(DoubleDouble(1e12), -2), Real(1) / (Real(1e12) * Real(1e12))), 0x1p-98);
}

TEST(DoubleDouble, SimpleArgumentsGiveExactResults) {
  EXPECT_EQ(exp(DoubleDouble(0)), 1);
  EXPECT_EQ(log(DoubleDouble(1)), 0);
  EXPECT_EQ(pow(DoubleDouble(10000), 0), 1);
  EXPECT_EQ(pow(DoubleDouble(1), -0.3), 1);
  EXPECT_EQ(pow(DoubleDouble(2), -40), 0x1p-40);
  EXPECT_EQ(sqrt(DoubleDouble(0)), 0);
  EXPECT_EQ(sqrt(DoubleDouble(144)), 12);
}

TEST(DoubleDouble, InfinityAndNanAreToldByTheirBits) {
  // Made from bits, since compilers warn of the constants under -ffast-math.
  volatile double infinity = std::bit_cast<double>(std::uint64_t{0x7ff} << 52);
  volatile double nan = std::bit_cast<double>(std::uint64_t{0xfff} << 51);
  EXPECT_FALSE(isfinite(DoubleDouble(infinity)));
  EXPECT_FALSE(isfinite(DoubleDouble(-infinity)));
  EXPECT_FALSE(isfinite(DoubleDouble(nan)));
  EXPECT_TRUE(isfinite(DoubleDouble(std::numeric_limits<double>::max())));
  EXPECT_TRUE(isfinite(DoubleDouble(std::numeric_limits<double>::denorm_min())));
}

#ifndef __FAST_MATH__  // which promises that there are no such numbers
TEST(DoubleDouble, OutsideTheirRangeFunctionsAgreeWithThoseOfDouble) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(exp(DoubleDouble(1000)).hi, infinity);
  EXPECT_EQ(exp(DoubleDouble(-1000)).hi, 0);
  EXPECT_EQ(exp(DoubleDouble(-infinity)).hi, 0);
  EXPECT_EQ(log(DoubleDouble(0)).hi, -infinity);
  EXPECT_EQ(log(DoubleDouble(infinity)).hi, infinity);
  EXPECT_TRUE(std::isnan(log(DoubleDouble(-1)).hi));
  EXPECT_TRUE(std::isnan(exp(DoubleDouble(nan)).hi));
  EXPECT_EQ(pow(DoubleDouble(-2), 3).hi, -8);
  EXPECT_EQ(pow(DoubleDouble(0), 2).hi, 0);
  EXPECT_EQ(pow(DoubleDouble(1e300), 2).hi, infinity);
  EXPECT_TRUE(std::isnan(pow(DoubleDouble(nan), 2).hi));
  EXPECT_TRUE(std::isnan(sqrt(DoubleDouble(-1)).hi));
  EXPECT_EQ(sqrt(DoubleDouble(infinity)).hi, infinity);
  EXPECT_FALSE(isfinite(DoubleDouble(std::numeric_limits<double>::max()) * 2));
  EXPECT_FALSE(isfinite(DoubleDouble(1) / 0));
}
#endif

// One number stands for the bits of some thousand results. It changes when an operation does, and then every
// table of every user does; it must not change with the compiler, its flags or the machine.
TEST(DoubleDouble, BitsAreTheSameEverywhere) {
  std::uint64_t digest = 0xcbf29ce484222325u;
  const auto add = [&](const DoubleDouble& x) {
    for (const double part : {x.hi, x.lo})
      digest = (digest ^ std::bit_cast<std::uint64_t>(part)) * 0x100000001b3u;
  };
  for (int i = 1; i <= 1000; ++i) {
    const DoubleDouble a = DoubleDouble(i) / 7, b = DoubleDouble(500 - i) / 300;
    add(a + b), add(a - b), add(a * b), add(b / a);
    add(sqrt(a)), add(exp(b)), add(log(a)), add(pow(a, b));
  }
  EXPECT_EQ(digest, 13058654741184065422u);
}

}  // namespace
}  // namespace rotary::testing
