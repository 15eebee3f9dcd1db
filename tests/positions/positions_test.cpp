#include <rotary/positions.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <rotary/cos_sin_table.hpp>
#include <vector>

#include "support/random.hpp"

namespace rotary::testing {
namespace {

// --- fixed-point numbers

TEST(FixedPosition, HoldsEveryIntegerExactly) {
  const std::int64_t largest = (std::int64_t{1} << 62) - 1, smallest = -largest;
  for (const std::int64_t n :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, std::int64_t{1} << 40, largest, smallest}) {
    const FixedPosition position = n;
    EXPECT_EQ(position.whole, n);
    EXPECT_TRUE(position.is_whole());
  }
  EXPECT_EQ(FixedPosition(std::uint64_t{1} << 61).whole, std::int64_t{1} << 61);
  EXPECT_EQ(FixedPosition(std::uint32_t{0xffffffff}).whole, 0xffffffff);
  EXPECT_EQ(FixedPosition(std::int8_t{-5}).whole, -5);
  for (const std::int64_t n : {largest + 1, smallest - 1, INT64_MAX, INT64_MIN})
    EXPECT_THROW(static_cast<void>(FixedPosition(n)), std::invalid_argument) << n;
  EXPECT_THROW(static_cast<void>(FixedPosition(UINT64_MAX)), std::invalid_argument);
  static_assert(FixedPosition(7).whole == 7, "whole positions are known at compile time");
}

TEST(FixedPosition, HoldsDoublesDownToTheLastBit) {
  Random random(801);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 2000; ++round) {
    const double value = std::ldexp(random.uniform(-1, 1), random.integer(-10, 61));
    const FixedPosition position = value;
    EXPECT_EQ(static_cast<double>(position), value);
    EXPECT_EQ(position.whole, static_cast<std::int64_t>(std::floor(value)));
    EXPECT_EQ(position.is_whole(), value == std::floor(value));
  }
  EXPECT_EQ(FixedPosition(2.5).whole, 2);
  EXPECT_EQ(FixedPosition(2.5).fraction, std::uint64_t{1} << 63);
  EXPECT_EQ(FixedPosition(-2.25).whole, -3);
  EXPECT_EQ(FixedPosition(-2.25).fraction, std::uint64_t{3} << 62);
  EXPECT_EQ(FixedPosition(-2.25f), FixedPosition(-2.25));
  EXPECT_EQ(FixedPosition(-0.0), FixedPosition(0));
}

TEST(FixedPosition, RoundsWhatIsSmallerThanItsUnit) {
  EXPECT_EQ(FixedPosition(0x1p-64).fraction, 1u);
  EXPECT_EQ(FixedPosition(0x1p-66), FixedPosition(0));
  EXPECT_EQ(FixedPosition(0x1.8p-64).fraction, 2u);
  // Below 0 the fraction rounds up to a whole.
  EXPECT_EQ(FixedPosition(-0x1p-66), FixedPosition(0));
  EXPECT_EQ(FixedPosition(-std::numeric_limits<double>::denorm_min()), FixedPosition(0));
  EXPECT_EQ(FixedPosition(-0x1p-64).whole, -1);
  EXPECT_EQ(FixedPosition(-0x1p-64).fraction, UINT64_MAX);
}

TEST(FixedPosition, RefusesWhatIsNoPosition) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double value : {std::nan(""), infinity, -infinity, 0x1p62, -0x1p62, 1e300})
    EXPECT_THROW(static_cast<void>(FixedPosition(value)), std::invalid_argument) << value;
  EXPECT_THROW(static_cast<void>(FixedPosition(std::nanf(""))), std::invalid_argument);
  EXPECT_EQ(static_cast<double>(FixedPosition(std::nextafter(0x1p62, 0))), std::nextafter(0x1p62, 0));
}

// A fraction counts upwards from a whole, so that -2.25 is -3 and 0.75.
constexpr FixedPosition of_parts(std::int64_t whole, std::uint64_t fraction) {
  FixedPosition position(whole);
  position.fraction = fraction;
  return position;
}
static_assert([] {
  constexpr std::uint64_t kHalf = std::uint64_t{1} << 63;
  const FixedPosition positions[] = {0,
                                     1,
                                     -1,
                                     131071,
                                     of_parts(2, kHalf),
                                     of_parts(-3, kHalf / 2),
                                     of_parts(7, 1),
                                     of_parts(-8, ~std::uint64_t{0})};
  for (const FixedPosition& a : positions) {
    if (a + -a != FixedPosition(0) || -(-a) != a || a + 0 != a) return false;
    for (const FixedPosition& b : positions) {
      if (a + b != b + a || -(a + b) != -a + -b) return false;
      for (const FixedPosition& c : positions)
        if ((a + b) + c != a + (b + c)) return false;
    }
  }
  return of_parts(2, kHalf) + of_parts(2, kHalf) == FixedPosition(5);
}());

TEST(FixedPosition, AddsExactly) {
  Random random(802);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 2000; ++round) {
    // Multiples of 2^-20 below 2^32: their sums are exact in double as well.
    const double a = std::floor(random.uniform(-0x1p52, 0x1p52)) * 0x1p-20;
    const double b = std::floor(random.uniform(-0x1p52, 0x1p52)) * 0x1p-20;
    EXPECT_EQ(FixedPosition(a) + FixedPosition(b), FixedPosition(a + b));
    EXPECT_EQ(-FixedPosition(a), FixedPosition(-a));
    EXPECT_EQ(FixedPosition(a) + -FixedPosition(a), FixedPosition(0));
  }
  EXPECT_EQ(FixedPosition(0.75) + FixedPosition(0.5), FixedPosition(1.25));
}

// --- along one axis

TEST(AxisPositions, ConsecutiveOnesCountFromTheFirst) {
  const auto positions = AxisPositions::consecutive(4, -1.5);
  EXPECT_EQ(positions.count(), 4);
  EXPECT_TRUE(positions.is_consecutive());
  for (Index n = 0; n < 4; ++n) EXPECT_EQ(positions[n], FixedPosition(static_cast<double>(n) - 1.5));
  EXPECT_EQ(AxisPositions::consecutive(0).count(), 0);
  EXPECT_EQ(AxisPositions().count(), 0);
}

template <class P>
void expect_listed(const std::vector<P>& list) {
  const auto positions = AxisPositions::listed(std::span<const P>(list), 10);
  ASSERT_EQ(positions.count(), static_cast<Index>(list.size()));
  EXPECT_FALSE(positions.is_consecutive());
  for (std::size_t n = 0; n < list.size(); ++n)
    EXPECT_EQ(positions[static_cast<Index>(n)], FixedPosition(list[n]) + FixedPosition(10));
}

TEST(AxisPositions, ListsAreReadAsTheyAre) {
  expect_listed<std::int32_t>({0, 0, 7, -3, std::numeric_limits<std::int32_t>::max()});
  expect_listed<std::int64_t>({5, 1, 0, std::int64_t{1} << 40});
  expect_listed<float>({0.5f, -3.25f, 1e10f});
  expect_listed<double>({0.1, -1e-3, 1e15});
}

// The range ends at 2^62 either way; a fraction inside of it counts.
TEST(AxisPositions, MovedListsReachTheEndsOfTheRange) {
  const std::int64_t limit = std::int64_t{1} << 62;
  const std::vector<std::int64_t> ends = {1 - limit, limit - 1};
  const std::span list(ends);
  EXPECT_NO_THROW(static_cast<void>(AxisPositions::listed(list)));
  EXPECT_NO_THROW(static_cast<void>(AxisPositions::listed(list.first(1), FixedPosition(-0.5))));
  EXPECT_NO_THROW(static_cast<void>(AxisPositions::listed(list.last(1), FixedPosition(0.5))));
  EXPECT_THROW(static_cast<void>(AxisPositions::listed(list.first(1), -2)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(AxisPositions::listed(list.last(1), 1)), std::invalid_argument);
}

// --- several axes

TEST(Positions, GridsRunFastestAlongTheLastAxis) {
  const std::vector<float> columns{-1, 0, 1};
  const AxisPositions axes[] = {AxisPositions::consecutive(2, 5), AxisPositions::consecutive(2),
                                AxisPositions::listed(std::span<const float>(columns))};
  const Positions grid = Positions::grid(axes);
  EXPECT_EQ(grid.count(), 12);
  EXPECT_EQ(grid.axis_count(), 3);
  EXPECT_EQ(grid.shape(), (std::vector<Index>{2, 2, 3}));
  EXPECT_FALSE(grid.is_consecutive());
  for (Index n = 0; n < 12; ++n) {
    EXPECT_EQ(grid.at(n, 0), FixedPosition(5 + n / 6));
    EXPECT_EQ(grid.at(n, 1), FixedPosition(n / 3 % 2));
    EXPECT_EQ(grid.at(n, 2), FixedPosition(n % 3 - 1));
  }
}

TEST(Positions, TogetherEveryTokenHasItsOwnCoordinates) {
  const std::vector<std::int64_t> t{0, 0, 1}, h{4, 5, 6}, w{7, 7, 9};
  const AxisPositions axes[] = {AxisPositions::listed(std::span<const std::int64_t>(t)),
                                AxisPositions::listed(std::span<const std::int64_t>(h)),
                                AxisPositions::listed(std::span<const std::int64_t>(w))};
  const Positions tokens = Positions::together(axes);
  EXPECT_EQ(tokens.count(), 3);
  EXPECT_EQ(tokens.shape(), std::vector<Index>{3});
  for (std::size_t n = 0; n < 3; ++n) {
    EXPECT_EQ(tokens.at(static_cast<Index>(n), 0), FixedPosition(t[n]));
    EXPECT_EQ(tokens.at(static_cast<Index>(n), 1), FixedPosition(h[n]));
    EXPECT_EQ(tokens.at(static_cast<Index>(n), 2), FixedPosition(w[n]));
  }
}

// A grid of one axis is a list, and a list of consecutive numbers gives the bits of consecutive positions.
TEST(Positions, AllWaysToTheSamePositionsGiveTheSameRows) {
  const Frequencies frequencies = language_frequencies(8);
  const CosSinTable<float> wanted(frequencies, Positions::consecutive(9, 3));
  const auto expect_same = [&](const Positions& positions) {
    const CosSinTable<float> found(frequencies, positions);
    ASSERT_EQ(found.rows(), 9);
    EXPECT_EQ(found.axes(), RowAxes::sequence);
    for (Index n = 0; n < 9; ++n) {
      for (Index i = 0; i < 4; ++i) {
        EXPECT_EQ(found.cos(n, i), wanted.cos(n, i));
        EXPECT_EQ(found.sin(n, i), wanted.sin(n, i));
      }
    }
  };
  std::vector<std::int32_t> ids;
  std::vector<double> numbers;
  for (int n = 3; n < 12; ++n) ids.push_back(n), numbers.push_back(n - 0.75);
  const AxisPositions one[] = {AxisPositions::consecutive(9, 3)};
  expect_same(Positions::listed(std::span<const std::int32_t>(ids)));
  expect_same(Positions::listed(std::span<const double>(numbers), 0.75));
  expect_same(Positions::grid(one));
  expect_same(Positions::together(one));
}

// Ids of shape [batch, seq]: contiguous, transposed, and one column of a wider matrix.
TEST(Positions, ViewsOfIdsAreReadInTheirShape) {
  std::vector<int> ids(40);
  for (std::size_t n = 0; n < ids.size(); ++n) ids[n] = 100 + static_cast<int>(n * n);
  const auto check = [&](Index batch, Index seq, Index outer, Index step) {
    SCOPED_TRACE(::testing::Message() << batch << " by " << seq << ", strides " << outer << " and " << step);
    const Positions found =
        Positions::listed(StridedView<const int>(ids.data(), {batch, seq}, {outer, step}));
    ASSERT_EQ(found.count(), batch * seq);
    EXPECT_EQ(found.batch(), batch);
    EXPECT_EQ(found.shape(), (std::vector<Index>{batch, seq}));
    for (Index b = 0; b < batch; ++b)
      for (Index n = 0; n < seq; ++n)
        EXPECT_EQ(found.at(b * seq + n), FixedPosition(ids[static_cast<std::size_t>(b * outer + n * step)]));
  };
  for (Index batch = 1; batch < 5; ++batch)
    for (Index seq = 1; seq < 5; ++seq) {
      check(batch, seq, seq, 1);
      check(batch, seq, 1, batch);
      if (seq == 1) check(batch, 1, 7, 1);
    }
}

}  // namespace
}  // namespace rotary::testing
