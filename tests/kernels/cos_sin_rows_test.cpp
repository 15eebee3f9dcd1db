// The rows of cosines and sines against the truth, at positions near and far, whole and fractional.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <rotary/cos_sin_table.hpp>
#include <rotary/frequencies/mrope_axes.hpp>
#include <vector>

#include "support/instruction_sets.hpp"
#include "support/lane_sizes.hpp"
#include "support/mpfr_oracle.hpp"
#include "support/random.hpp"
#include "support/rounding_oracle.hpp"
#include "support/row_digests.hpp"

namespace {

namespace kernels = rotary::kernels;
using rotary::AxisPositions;
using rotary::CosSinTable;
using rotary::FixedPosition;
using rotary::Index;
using rotary::Pairing;
using rotary::Positions;
using rotary::TurnSteps;
using rotary::testing::FastOracle;
using rotary::testing::kWidestLanes;
using rotary::testing::Random;
using rotary::testing::Real;
using rotary::testing::RoundingOracle;
using rotary::testing::sizes_around;
using rotary::testing::with_every_instruction_set;

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

/// The largest error of a table's rows [0, rows), where row n is at position `whole(n)` of the oracle.
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
                                         {.pairing = Pairing::half});
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
                                       Positions::listed(std::span<const double>(drawn)),
                                       {.pairing = Pairing::half});
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
                                   {.pairing = Pairing::half});
    worst = std::max(worst, worst_error(table, kBlock, truth, [&](Index n) { return begin + n; }));
  }
  EXPECT_LE(worst, kBound<float>);
}

TEST(CosSinRowsOfFloat, AreRightBeyondTwoToThe31) {
  const FastOracle truth = oracle(1e4);
  for (const std::int64_t first :
       {(std::int64_t{1} << 31) - 50, (std::int64_t{1} << 33) - 101, -(std::int64_t{1} << 31) - 50}) {
    const CosSinTable<float> table(rotary::language_frequencies(128), Positions::consecutive(100, first),
                                   {.pairing = Pairing::half});
    EXPECT_LE(worst_error(table, 100, truth, [&](Index n) { return first + n; }), kBound<float>) << first;
  }
}

/// Pairs of a row: around vectors of double, in which rows are computed, and around the 128 that are computed at a time.
std::vector<Index> row_sizes() {
  std::vector<Index> sizes = sizes_around(kWidestLanes<double>);
  sizes.insert(sizes.end(), {127, 128, 129, 300});
  return sizes;
}

/// A row depends on its position alone: not on the rows around it, the layout, how the position was named, or
/// how many pairs fill a vector.
TYPED_TEST(CosSinRows, DependOnTheirPositionAlone) {
  for (const Index pairs : row_sizes()) {
    const rotary::Frequencies all = rotary::language_frequencies(600);
    rotary::Frequencies some;
    some.values.assign(all.values.begin(), all.values.begin() + pairs);
    const CosSinTable<TypeParam> together(some, Positions::consecutive(70, -3), {.pairing = Pairing::half});
    const CosSinTable<TypeParam> interleaved(some, Positions::consecutive(70, -3),
                                             {.pairing = Pairing::interleaved});
    for (Index n = 0; n < 70; ++n) {
      const double position = static_cast<double>(n - 3);
      const CosSinTable<TypeParam> alone(some, Positions::listed(std::span<const double>(&position, 1)),
                                         {.pairing = Pairing::half});
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

/// The position of a token, one coordinate for each axis.
using Coordinates = std::vector<FixedPosition>;

/// Near, far and fractional coordinates in any combination, and the ends of what counts as near.
Coordinates draw_coordinates(std::size_t axes, Random& random) {
  Coordinates coordinates;
  for (std::size_t axis = 0; axis < axes; ++axis) {
    constexpr std::int64_t kNear = std::int64_t{1} << 31;
    switch (random.integer(0, 5)) {
      case 0:
        coordinates.push_back(random.integer<std::int64_t>(-(std::int64_t{1} << 61), std::int64_t{1} << 61) >>
                              random.integer(0, 29));
        break;
      case 1:
        coordinates.push_back(random.uniform(-1e6, 1e6));
        break;
      case 2:
        coordinates.push_back(random.pick({kNear, kNear - 1, -kNear, -kNear - 1, std::int64_t{0}}));
        break;
      default:
        coordinates.push_back(random.integer<std::int64_t>(-kNear, kNear - 1) >> random.integer(0, 31));
    }
  }
  return coordinates;
}

/// Steps along `axes` axes, each of which rotates every pair.
TurnSteps steps_along(std::size_t axes, Index pairs, Random& random) {
  rotary::Frequencies frequencies;
  frequencies.axes = static_cast<Index>(axes);
  for (Index i = 0; i < static_cast<Index>(axes) * pairs; ++i)
    frequencies.values.push_back(rotary::DoubleDouble(random.uniform(-10, 10)));
  return TurnSteps(frequencies);
}

/// The vectors of double compute what cos_sin(Phase128) does, operation by operation; those of float find the
/// nearest floats in another way.
TYPED_TEST(CosSinRows, AreTheBitsOfTheReference) {
  Random random(41);
  SCOPED_TRACE(random.replay());
  with_every_instruction_set([&] {
    for (Index pairs = 1; pairs <= 300; pairs += pairs < 40 ? 1 : 89) {
      for (std::size_t axes = 1; axes <= 4; ++axes) {
        const TurnSteps steps = steps_along(axes, pairs, random);
        std::vector<double> log_scale;
        for (Index i = 0; i < pairs; ++i) log_scale.push_back(random.uniform(-1, 1));
        for (int draw = 0; draw < 12; ++draw) {
          const Coordinates at = draw_coordinates(axes, random);
          const Pairing pairing = draw % 2 == 0 ? Pairing::half : Pairing::interleaved;
          kernels::Magnitude magnitude{.factor = 1.25};
          if (draw % 3 == 0) magnitude.log_scale = log_scale, magnitude.slope = 1e-9, magnitude.origin = 3;
          if (draw % 6 == 0) magnitude.slope = 1e-7;  // scales that are no moderate numbers
          std::vector<TypeParam> row(static_cast<std::size_t>(2 * pairs)), wanted(row.size());
          kernels::cos_sin_row(steps, std::span<const FixedPosition>(at), magnitude, pairing, row.data());
          kernels::cos_sin_row_reference(steps, std::span<const FixedPosition>(at), magnitude, pairing,
                                         wanted.data());
          ASSERT_EQ(std::memcmp(row.data(), wanted.data(), row.size() * sizeof(TypeParam)), 0)
              << pairs << " pairs, " << axes << " axes, first coordinate " << at[0].whole;
        }
      }
    }
  });
}

/// Every row of `positions`, made together, has the bits of the reference.
void expect_reference_rows(const TurnSteps& steps, const Positions& positions, double factor) {
  const Index count = positions.count();
  std::vector<float> rows(static_cast<std::size_t>(count * 2 * steps.pairs())), wanted(rows.size());
  kernels::cos_sin_rows(steps, positions, 0, count, {.factor = factor}, Pairing::interleaved, rows.data());
  kernels::cos_sin_rows_reference(steps, positions, 0, count, {.factor = factor}, Pairing::interleaved,
                                  wanted.data());
  for (std::size_t j = 0; j < rows.size(); ++j)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(rows[j]), std::bit_cast<std::uint32_t>(wanted[j]))
        << rows[j] << " found, " << wanted[j] << " wanted, row "
        << j / static_cast<std::size_t>(2 * steps.pairs()) << ", factor " << factor;
}

// At a multiple of a whole period the phase is so near a quarter turn that the sine depends on its last bits
// alone.
TEST(CosSinRowsOfFloat, AreRightNextToQuarterTurns) {
  with_every_instruction_set([] {
    rotary::Frequencies periodic;
    for (int period = 1; period <= 60; ++period)
      periodic.values.push_back(rotary::kPi * rotary::DoubleDouble(2) / period);
    const TurnSteps steps(periodic);
    for (const std::int64_t first : {std::int64_t{-100}, std::int64_t{0}, std::int64_t{1000000},
                                     std::int64_t{1} << 30, std::int64_t{1} << 40})
      expect_reference_rows(steps, Positions::consecutive(130, first), 1);
    std::vector<double> halves;
    for (int n = -60; n <= 60; ++n) halves.push_back(n * 0.5);
    expect_reference_rows(steps, AxisPositions::listed(std::span<const double>(halves)), 1);
    expect_reference_rows(TurnSteps(rotary::pixel_frequencies(32)), Positions::consecutive(9, -4), 1);
  });
}

// A factor that is halfway between two floats leaves every cosine next to 1 undecided.
TEST(CosSinRowsOfFloat, AreRightWithAnyFactor) {
  with_every_instruction_set([] {
    for (const Index dim : {128, 74, 6}) {
      const TurnSteps steps(rotary::language_frequencies(dim, 1e6));
      for (const double factor : {1 + 0x1p-24, 1.1386294361119891, -0.75, 0.0, -0.0, 1e-30, 1e-38, 1e-44,
                                  1e-300, 1e30, 3e38, 0x1.ffffffp127, 1e300})
        expect_reference_rows(steps, Positions::consecutive(70, 0), factor);
    }
  });
}

/// Entries that come out as the wrong float from polynomials that are off by 5e-11, and then from better ones
/// if nothing looks for the undecided.
TEST(CosSinRowsOfFloat, AreTheNearestFloatsInHardCases) {
  struct Hard {
    int dim;
    double theta;
    std::int64_t position;
    Index pair;
  };
  constexpr Hard kHard[] = {
      {64, 1e4, 278, 17},    {64, 1e4, 320, 3},     {64, 5e5, 81, 11},     {64, 5e5, 147, 1},
      {64, 1e6, 204, 15},    {64, 1e6, 424, 17},    {128, 1e4, 204, 45},   {128, 1e4, 219, 31},
      {128, 5e5, 120, 23},   {128, 5e5, 163, 1},    {128, 1e6, 177, 17},   {128, 1e6, 263, 19},
      {64, 1e4, 29541, 22},  {64, 1e4, 66965, 0},   {64, 1e4, 110619, 17}, {64, 5e5, 13123, 26},
      {64, 5e5, 41887, 11},  {64, 1e6, 6693, 27},   {64, 1e6, 9048, 25},   {128, 1e4, 28381, 39},
      {128, 1e4, 58414, 57}, {128, 5e5, 15569, 14}, {128, 5e5, 44298, 30}, {128, 1e6, 12598, 31},
      {128, 1e6, 14644, 53}, {128, 1e6, 15289, 63}};
  for (const Hard& hard : kHard) {
    const auto frequencies = rotary::language_frequencies(hard.dim, hard.theta);
    const Real angle = Real::of_integer(hard.position) *
                       pow(Real(hard.theta), Real(-2 * static_cast<int>(hard.pair)) / Real(hard.dim));
    const auto cos_wanted = static_cast<float>(cos(angle)), sin_wanted = static_cast<float>(sin(angle));
    with_every_instruction_set([&] {
      const auto position = static_cast<double>(hard.position);
      const CosSinTable<float> alone(frequencies, Positions::listed(std::span<const double>(&position, 1)));
      const CosSinTable<float> together(frequencies, Positions::consecutive(50, hard.position - 20));
      EXPECT_EQ(alone.cos(0, hard.pair), cos_wanted) << hard.dim << ", " << hard.theta << ", " << position;
      EXPECT_EQ(alone.sin(0, hard.pair), sin_wanted) << hard.dim << ", " << hard.theta << ", " << position;
      EXPECT_EQ(together.cos(20, hard.pair), cos_wanted)
          << hard.dim << ", " << hard.theta << ", " << position;
      EXPECT_EQ(together.sin(20, hard.pair), sin_wanted)
          << hard.dim << ", " << hard.theta << ", " << position;
    });
  }
}

/// A sample of what count_wrongly_rounded.cpp counts: runs of positions from everywhere.
TEST(CosSinRowsOfFloat, AreTheNearestFloats) {
  for (const double theta : {1e4, 5e5, 1e6}) {
    RoundingOracle oracle(theta, 128);  // every other frequency is one of head size 64
    for (const Index dim : {64, 128}) {
      constexpr Index kRows = kFewPositions ? 16 : 512;
      for (const std::int64_t first : {0, 777, 32768, 131072 - 512}) {
        const CosSinTable<float> table(rotary::language_frequencies(dim, theta),
                                       Positions::consecutive(kRows, first));
        int wrong = 0;
        for (Index n = 0; n < kRows; ++n)
          for (Index i = 0; i < dim / 2; ++i)
            wrong += oracle.count_wrong(static_cast<std::size_t>(i * (128 / dim)), first + n, table.cos(n, i),
                                        table.sin(n, i));
        EXPECT_EQ(wrong, 0) << "dim " << dim << ", theta " << theta << ", from " << first;
      }
    }
  }
}

/// Phases whose cosine times a scale lies so near the middle between two floats that no double could decide.
TEST(NearestCosSin, DecidesWhereDoublesCannot) {
  Random random(44);
  SCOPED_TRACE(random.replay());
  const Real turn = Real(2) * Real::pi();
  for (int draw = 0; draw < 300; ++draw) {
    const double scale = draw % 3 == 0 ? 1 : random.uniform(0.5, 2);
    // The middle between two floats below the scale, by its arc cosine: Newton's method from a double.
    const auto value = static_cast<float>(random.uniform(-0.95, 0.95) * scale);
    const double middle = (static_cast<double>(value) + static_cast<double>(std::nextafter(value, 2.0f))) / 2;
    Real angle = std::acos(middle / scale);
    for (int step = 0; step < 4; ++step)
      angle = angle + (cos(angle) - Real(middle) / Real(scale)) / sin(angle);
    for (const double off : {0x1p-56, -0x1p-56, 0x1p-70, -0x1p-70, 0x1p-85, -0x1p-85}) {
      const Real turns = (angle + Real(off)) / turn * Real(0x1p64);
      const Real high = floor(turns), low = (turns - high) * Real(0x1p64);
      const auto word = [](const Real& x) {
        const Real upper = floor(x * Real(0x1p-32));
        return static_cast<std::uint64_t>(static_cast<double>(upper)) << 32 |
               static_cast<std::uint64_t>(static_cast<double>(floor(x - upper * Real(0x1p32))));
      };
      const rotary::Phase128 phase{word(high), word(low)};
      const auto [cos_found, sin_found] = kernels::nearest_cos_sin(phase, scale);
      const Real exact = angle + Real(off);
      ASSERT_EQ(cos_found, static_cast<float>(Real(scale) * cos(exact))) << middle << " off by " << off;
      ASSERT_EQ(sin_found, static_cast<float>(Real(scale) * sin(exact)));
      // A quarter turn on, that cosine is a sine.
      const rotary::Phase128 later{phase.high + (std::uint64_t{1} << 62), phase.low};
      ASSERT_EQ(kernels::nearest_cos_sin(later, scale).sin, cos_found);
      ASSERT_EQ(kernels::nearest_cos_sin(-later, scale).sin, -cos_found);
    }
  }
}

/// Consecutive rows, which add a step to the phases of the row before, and listed ones, of which several are
/// made at once, are the rows of each coordinate alone.
TYPED_TEST(CosSinRows, AreTheSameBitsHoweverTheyAreAskedFor) {
  Random random(42);
  SCOPED_TRACE(random.replay());
  with_every_instruction_set([&] {
    for (const Index pairs : row_sizes()) {
      const auto row_size = static_cast<std::size_t>(2 * pairs);
      for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
        const auto check = [&](const TurnSteps& steps, const Positions& positions) {
          const auto axes = static_cast<std::size_t>(positions.axis_count());
          const Index count = positions.count();
          std::vector<TypeParam> rows(static_cast<std::size_t>(count) * row_size), row(row_size);
          kernels::cos_sin_rows(steps, positions, 0, count, {.factor = 0.5}, pairing, rows.data());
          for (Index n = 0; n < count; ++n) {
            Coordinates at;
            for (std::size_t axis = 0; axis < axes; ++axis)
              at.push_back(positions.at(n, static_cast<int>(axis)));
            kernels::cos_sin_row(steps, std::span<const FixedPosition>(at), {.factor = 0.5}, pairing,
                                 row.data());
            ASSERT_EQ(std::memcmp(row.data(), rows.data() + static_cast<std::size_t>(n) * row_size,
                                  row_size * sizeof(TypeParam)),
                      0)
                << pairs << " pairs, row " << n;
          }
        };
        const TurnSteps one = steps_along(1, pairs, random), three = steps_along(3, pairs, random);
        constexpr std::int64_t kNear = std::int64_t{1} << 31;
        for (const FixedPosition first :
             {FixedPosition(0), FixedPosition(-40), FixedPosition(kNear - 70), FixedPosition(-kNear - 70),
              FixedPosition(kNear << 20), FixedPosition(-2.625), FixedPosition(1e5 + 0.1)})
          check(one, Positions::consecutive(100, first));
        std::vector<double> lists[3];
        for (int n = 0; n < 100; ++n) {
          const Coordinates at = draw_coordinates(3, random);
          for (std::size_t axis = 0; axis < 3; ++axis)  // mostly near, or they would all go one by one
            lists[axis].push_back(n % 40 < 36 ? n * 7 - 50 : static_cast<double>(at[axis]) / 4);
        }
        const auto listed = [&](std::size_t axis) {
          return AxisPositions::listed(std::span<const double>(lists[axis]));
        };
        check(one, listed(0));
        const AxisPositions axes[3] = {listed(0), listed(1), listed(2)};
        check(three, Positions::together(axes));
      }
    }
  });
}

/// A text token of M-RoPE, whose coordinates are equal.
TYPED_TEST(CosSinRows, OfEqualCoordinatesAreThoseOfTheSummedSteps) {
  Random random(43);
  SCOPED_TRACE(random.replay());
  const auto check = [&](const TurnSteps& steps, const FixedPosition& position) {
    const TurnSteps summed = steps.summed();
    ASSERT_EQ(summed.axes(), 1);
    ASSERT_EQ(summed.pairs(), steps.pairs());
    const Coordinates equal(static_cast<std::size_t>(steps.axes()), position);
    std::vector<TypeParam> row(static_cast<std::size_t>(2 * steps.pairs())), wanted(row.size());
    kernels::cos_sin_row(summed, std::span<const FixedPosition>(&position, 1), {}, Pairing::half, row.data());
    kernels::cos_sin_row(steps, std::span<const FixedPosition>(equal), {}, Pairing::half, wanted.data());
    ASSERT_EQ(std::memcmp(row.data(), wanted.data(), row.size() * sizeof(TypeParam)), 0) << position.whole;
  };
  const TurnSteps mrope(
      rotary::on_axes(rotary::language_frequencies(128), rotary::mrope_axes_chunked({16, 24, 24}), 3));
  for (int draw = 0; draw < 200; ++draw) {
    const FixedPosition position = draw_coordinates(1, random)[0];
    check(mrope, position);
    if (position.is_whole()) check(steps_along(random.integer<std::size_t>(1, 4), 19, random), position);
  }
}

/// Whatever the compiler and its flags (see fast_math_test.cpp), the instruction set and the machine.
TEST(CosSinRowsDigest, IsTheSameEverywhere) {
  with_every_instruction_set([] {
    EXPECT_EQ(rotary::testing::digest_of_rows<double>(), rotary::testing::kDigestOfDoubleRows);
    EXPECT_EQ(rotary::testing::digest_of_rows<float>(), rotary::testing::kDigestOfFloatRows);
#if ROTARY_VECTOR_EXTENSIONS
    EXPECT_EQ(rotary::testing::digest_of_angles(), rotary::testing::kDigestOfAngles);
#endif
  });
}

}  // namespace
