// The rows of cosines and sines against the truth, at positions near and far, whole and fractional.
#include <gtest/gtest.h>

#include <cmath>
#include <rotary/cos_sin_table.hpp>

#include "support/mpfr_oracle.hpp"
#include "support/random.hpp"

namespace {

using rotary::CosSinTable;
using rotary::Index;
using rotary::Pairing;
using rotary::Positions;
using rotary::testing::FastOracle;
using rotary::testing::Random;
using rotary::testing::Real;

// What design.md promises: half a unit in the last place below one, and hardly more.
template <class T>
constexpr double kBound = std::is_same_v<T, float> ? 3.1e-8 : 2e-16;

// The sanitizers look for faults that show at any position; the numbers themselves do not change under them.
// And AArch64's long double, in which the oracle counts, is software.
#if defined(__SANITIZE_ADDRESS__) || defined(__aarch64__)
constexpr bool kFewPositions = true;
#elif defined(__has_feature)
constexpr bool kFewPositions = __has_feature(address_sanitizer);
#else
constexpr bool kFewPositions = false;
#endif
constexpr Index kPositions = kFewPositions ? 20'000 : 1'000'000;

/// The frequencies theta^(−2i/128) times a power of two, so that fractional positions are whole ones to the
/// oracle.
FastOracle oracle(double theta, double unit = 1) {
  std::vector<Real> frequencies;
  for (const Real& f : rotary::testing::real_language_frequencies(theta, 128))
    frequencies.push_back(f * Real(unit));
  return FastOracle(frequencies);
}

/// The largest error of a table's rows [0, rows), row n standing at `whole(n)` as the oracle counts.
template <class T, class Whole>
double worst_error(const CosSinTable<T>& table, Index rows, const FastOracle& truth, const Whole& whole) {
  double worst = 0;
  const T* row = table.data();
  for (Index n = 0; n < rows; ++n, row += 128) {
    for (Index i = 0; i < 64; ++i) {
      const auto [cos, sin] = truth(static_cast<std::size_t>(i), whole(n));
      worst = std::max({worst, static_cast<double>(std::fabs(static_cast<long double>(row[i]) - cos)),
                        static_cast<double>(std::fabs(static_cast<long double>(row[64 + i]) - sin))});
    }
  }
  return worst;
}

template <class T>
class CosSinRows : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(CosSinRows, Scalars);

TYPED_TEST(CosSinRows, AreRightAtAMillionDrawnPositions) {
  for (const double theta : {1e4, 5e5}) {
    const FastOracle truth = oracle(theta);
    Random random(20240611);
    SCOPED_TRACE(random.replay());
    constexpr Index kBlock = 5000;
    std::vector<std::int64_t> drawn(kBlock);
    double worst = 0;
    for (Index begin = 0; begin < kPositions; begin += kBlock) {
      for (std::int64_t& position : drawn) {
        // Half of them anywhere, half of any size.
        position = random.integer<std::int64_t>(0, (std::int64_t{1} << 31) - 1);
        if (random.integer(0, 1)) position >>= random.integer(0, 30);
        if (random.integer(0, 1)) position = -position;
      }
      const CosSinTable<TypeParam> table(rotary::language_frequencies(128, theta),
                                         Positions::listed(std::span<const std::int64_t>(drawn)),
                                         Pairing::half);
      worst = std::max(worst, worst_error(table, kBlock, truth,
                                          [&](Index n) { return drawn[static_cast<std::size_t>(n)]; }));
    }
    EXPECT_LE(worst, kBound<TypeParam>) << "theta " << theta;
    EXPECT_GT(worst, kBound<TypeParam> / 4) << "the comparison sees no rounding at all";
  }
}

TYPED_TEST(CosSinRows, AreRightAtFractionalPositionsUpToAMillion) {
  const FastOracle truth = oracle(1e4, 0x1p-11);
  Random random(7);
  SCOPED_TRACE(random.replay());
  constexpr Index kBlock = 5000;
  std::vector<double> drawn(kBlock);
  double worst = 0;
  for (Index begin = 0; begin < kPositions / 4; begin += kBlock) {
    for (double& position : drawn)
      position = static_cast<double>(random.integer<std::int64_t>(-2'048'000'000, 2'048'000'000)) * 0x1p-11;
    const CosSinTable<TypeParam> table(rotary::language_frequencies(128),
                                       Positions::listed(std::span<const double>(drawn)), Pairing::half);
    worst = std::max(worst, worst_error(table, kBlock, truth, [&](Index n) {
                       return static_cast<std::int64_t>(drawn[static_cast<std::size_t>(n)] * 0x1p11);
                     }));
  }
  EXPECT_LE(worst, kBound<TypeParam>);
}

TEST(CosSinRowsOfFloat, AreRightEverywhereUpTo131071) {
  const FastOracle truth = oracle(1e4);
  constexpr Index kBlock = 8192;
  double worst = 0;
  for (Index begin = 0; begin < (kFewPositions ? kBlock : 131072); begin += kBlock) {
    const CosSinTable<float> table(rotary::language_frequencies(128), Positions::consecutive(kBlock, begin),
                                   Pairing::half);
    worst = std::max(worst, worst_error(table, kBlock, truth, [&](Index n) { return begin + n; }));
  }
  EXPECT_LE(worst, kBound<float>);
}

TEST(CosSinRowsOfFloat, AreRightBeyondTwoToThe31) {
  const FastOracle truth = oracle(1e4);
  for (const std::int64_t first :
       {(std::int64_t{1} << 31) - 50, (std::int64_t{1} << 33) - 101, -(std::int64_t{1} << 31) - 50}) {
    const CosSinTable<float> table(rotary::language_frequencies(128), Positions::consecutive(100, first),
                                   Pairing::half);
    EXPECT_LE(worst_error(table, 100, truth, [&](Index n) { return first + n; }), kBound<float>) << first;
  }
}

/// A row depends on its position alone: not on its neighbours, the layout, how the position was named, or how
/// many pairs fill a vector.
TYPED_TEST(CosSinRows, DependOnTheirPositionAlone) {
  for (const Index pairs : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64, 127, 128, 129, 300}) {
    const rotary::Frequencies all = rotary::language_frequencies(600);
    rotary::Frequencies some;
    some.values.assign(all.values.begin(), all.values.begin() + pairs);
    const CosSinTable<TypeParam> together(some, Positions::consecutive(70, -3), Pairing::half);
    const CosSinTable<TypeParam> interleaved(some, Positions::consecutive(70, -3), Pairing::interleaved);
    for (Index n = 0; n < 70; ++n) {
      const double position = static_cast<double>(n - 3);
      const CosSinTable<TypeParam> alone(some, Positions::listed(std::span<const double>(&position, 1)),
                                         Pairing::half);
      for (Index i = 0; i < pairs; ++i) {
        ASSERT_EQ(together.cos(n, i), alone.cos(0, i))
            << pairs << " pairs, position " << position << ", pair " << i;
        ASSERT_EQ(together.sin(n, i), alone.sin(0, i))
            << pairs << " pairs, position " << position << ", pair " << i;
        ASSERT_EQ(together.cos(n, i), interleaved.cos(n, i));
        ASSERT_EQ(together.sin(n, i), interleaved.sin(n, i));
      }
    }
  }
}

TYPED_TEST(CosSinRows, AreExactAtPositionZeroAndMirrorAtNegativeOnes) {
  const CosSinTable<TypeParam> table(rotary::language_frequencies(128), Positions::consecutive(2001, -1000));
  for (Index i = 0; i < 64; ++i) {
    EXPECT_EQ(table.cos(1000, i), 1);
    EXPECT_EQ(table.sin(1000, i), 0);
    for (Index p = 1; p <= 1000; ++p) {
      ASSERT_NEAR(table.cos(1000 + p, i), table.cos(1000 - p, i), 2 * kBound<TypeParam>);
      ASSERT_NEAR(table.sin(1000 + p, i), -table.sin(1000 - p, i), 2 * kBound<TypeParam>);
    }
  }
}

#if ROTARY_VECTOR_EXTENSIONS
TEST(CosSinRowsOfFloat, AreTheSameBitsWithEveryFusedInstructionSet) {
  using rotary::kernels::InstructionSet;
  const auto make = [](InstructionSet set) {
    rotary::kernels::force_instruction_set(set);
    return CosSinTable<float>(rotary::language_frequencies(70), Positions::consecutive(5000, 123456));
  };
  const CosSinTable<float> best = make(InstructionSet::avx512), avx2 = make(InstructionSet::avx2),
                           baseline = make(InstructionSet::baseline);
  rotary::kernels::force_instruction_set(InstructionSet::avx512);
  for (Index n = 0; n < 5000; ++n) {
    for (Index i = 0; i < 35; ++i) {
      ASSERT_EQ(best.cos(n, i), avx2.cos(n, i));
      ASSERT_EQ(best.sin(n, i), avx2.sin(n, i));
      ASSERT_NEAR(best.cos(n, i), baseline.cos(n, i), 6e-8);
      ASSERT_NEAR(best.sin(n, i), baseline.sin(n, i), 6e-8);
    }
  }
}
#endif

}  // namespace
