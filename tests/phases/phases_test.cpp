#include <gtest/gtest.h>
#include <rotary/phases/phases.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/mpfr_oracle.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

// What is promised is 2e-16 altogether: half a unit in the last place of a number below 1 is 1.1e-16 by
// itself.
constexpr double kPromised = 2e-16;
constexpr double kCosSinBound = 1e-16;

constexpr std::int64_t kLargest = (std::int64_t{1} << 62) - 1;

// In units of 2^-64.
Real real(std::uint64_t word) { return Real(DoubleDouble(word)); }

// In turns.
Real real(const Phase128& phase) { return (real(phase.high) + real(phase.low) * 0x1p-64) * 0x1p-64; }
Real real(const TurnStep& step) { return Real::of_integer(step.whole) + real(step.fraction()); }
Real real(const FixedPosition& position) {
  return Real::of_integer(position.whole) + real(position.fraction) * 0x1p-64;
}

Real fraction_of(const Real& x) { return x - floor(x); }

// The distance of two angles, in turns.
double distance(const Real& a, const Real& b) {
  const double forth = static_cast<double>(fraction_of(a - b)),
               back = static_cast<double>(fraction_of(b - a));
  return std::min(forth, back);
}

double error_of_cos_sin(const CosSin& found, const Real& angle) {
  return std::max(error_of(found.cos, cos(angle)), error_of(found.sin, sin(angle)));
}

Phase128 draw_phase(Random& random) { return {random.bits(), random.bits()}; }

TurnStep draw_step(Random& random) {
  return {static_cast<std::int64_t>(random.bits()) >> random.integer(2, 63), random.bits(), random.bits()};
}

// Of either sign, as likely of few bits as of many.
std::int64_t draw_position(Random& random, int most_bits = 62) {
  const std::int64_t size =
      static_cast<std::int64_t>(random.bits() >> 1) >> random.integer(63 - most_bits, 63);
  return random.pick({-1, 1}) * size;
}

TEST(Phases, ProductsOfWordsAreExactInEitherForm) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  constexpr std::uint64_t all = ~std::uint64_t{0};
  static_assert(detail::full_product(all, all) == Phase128{all - 1, 1});
  static_assert(detail::portable_product(all, all) == Phase128{all - 1, 1});
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t a = random.bits() >> random.integer(0, 63),
                        b = random.bits() >> random.integer(0, 63);
    const Phase128 product = detail::full_product(a, b);
    ASSERT_EQ(product, detail::portable_product(a, b)) << a << " * " << b;
    ASSERT_TRUE(real(product.high) * 0x1p64 + real(product.low) == real(a) * real(b)) << a << " * " << b;
  }
}

TEST(Phases, StepsAreFrequenciesInTurns) {
  const auto check = [](const DoubleDouble& frequency) {
    const Real wanted = Real(frequency) / (Real(2) * Real::pi());
    const double allowed = 0x1p-125 + 0x1p-160 * std::fabs(frequency.hi);
    EXPECT_LE(error_of(real(turn_step(frequency)), wanted), allowed) << frequency.hi;
    const TurnStep opposite = turn_step(-frequency);
    EXPECT_EQ(opposite, -turn_step(frequency)) << frequency.hi;
  };
  for (const double theta : {10000.0, 500000.0, 1e12})
    for (const DoubleDouble& f : language_frequencies(128, theta).values) check(f);
  for (const DoubleDouble& f : pixel_frequencies(32, 256).values) check(f);
  Random random(2);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < 2000; ++i)
    check(std::ldexp(random.uniform(1, 2), random.integer(-140, 63)) +
          DoubleDouble(random.uniform()) * 0x1p-150);
  EXPECT_EQ(turn_step(0), TurnStep{});
}

TEST(Phases, StepsRefuseWhatIsNoFrequency) {
  for (const double& bad : {std::bit_cast<double>(std::uint64_t{0x7ff} << 52),
                            std::bit_cast<double>(std::uint64_t{0xfff} << 51), 0x1p65, -0x1p65}) {
    EXPECT_THROW(turn_step(bad), std::invalid_argument);
    EXPECT_THROW(TurnSteps(Frequencies{.values = {1, bad}}), std::invalid_argument);
  }
  EXPECT_THROW(TurnSteps(Frequencies{.values = {1, 2, 3}, .axes = 2}), std::invalid_argument);
  EXPECT_THROW(TurnSteps(Frequencies{.values = {1}, .axes = 0}), std::invalid_argument);
  EXPECT_EQ(error_of_call([] { turn_step(1e30); }),
            "rotary: a frequency is 1e+30 radians per position, it must be below 2^62 turns");
}

// Position × step modulo a turn, against the same product of 320-bit numbers: at most 62 + 62 + 128 bits, so
// exact.
TEST(Phases, WholePositionsHaveExactPhases) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < 20000; ++i) {
    const std::int64_t position = i == 0 ? kLargest : i == 1 ? -kLargest : draw_position(random);
    const TurnStep step = draw_step(random);
    ASSERT_TRUE(real(phase_at(position, step)) == fraction_of(Real::of_integer(position) * real(step)))
        << position;
  }
}

TEST(Phases, FractionalPositionsHavePhasesWithin127Bits) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < 20000; ++i) {
    FixedPosition position(draw_position(random));
    position.fraction = random.bits() << random.integer(0, 63);
    const TurnStep step = draw_step(random);
    ASSERT_LE(distance(real(phase_at(position, step)), real(position) * real(step)), 0x1p-127)
        << position.whole;
  }
}

TEST(Phases, SplitIntoAWordAndARest) {
  Random random(15);
  SCOPED_TRACE(random.replay());
  const Real turn = Real(2) * Real::pi();
  const auto check = [&](const Phase128& phase) {
    const SplitPhase split(phase);
    ASSERT_EQ(split.word % 1024, 0u);
    ASSERT_LE(std::fabs(split.rest), 0x1p-52);
    Real rest = real(phase) - real(split.word) * 0x1p-64;
    if (Real(0.5) < rest) rest = rest - Real(1);  // the word wrapped
    ASSERT_LE(error_of(split.rest, rest * turn), 0x1p-51 * std::fabs(split.rest))
        << phase.high << ", " << phase.low;
  };
  for (int i = 0; i < 20000; ++i) {
    check(draw_phase(random));
    // On either side of what the word holds, at all distances.
    const Phase128 exact{random.bits() & ~std::uint64_t{1023}, 0},
        off{0, random.bits() >> random.integer(0, 63)};
    check(exact + off);
    check(exact - off);
  }
  check({});
}

TEST(Phases, DifferenceOfPhasesIsThePhaseOfTheDifference) {
  Random random(5);
  SCOPED_TRACE(random.replay());
  const TurnSteps steps(language_frequencies(128, 500000));
  for (int i = 0; i < 20000; ++i) {
    const std::int64_t m = draw_position(random, 61), n = draw_position(random, 61);
    const auto pair = random.integer<Index>(0, 63);
    ASSERT_EQ(steps.phase(0, pair, m) - steps.phase(0, pair, n), steps.phase(0, pair, m - n))
        << m << ", " << n;
    ASSERT_EQ(steps.phase(0, pair, m) + steps.phase(0, pair, n), steps.phase(0, pair, m + n))
        << m << ", " << n;
    ASSERT_EQ(-steps.phase(0, pair, m), steps.phase(0, pair, -m)) << m;
  }
}

// The group laws, for the compiler to check: phase(m) + phase(n) = phase(m + n), and what follows from it.
constexpr bool laws_hold(const TurnStep& step) {
  constexpr std::int64_t kPositions[] = {0,           1, -1, 2, 7, -4096, 131071, (std::int64_t{1} << 40) + 3,
                                         kLargest / 2};
  const auto phase = [&](const FixedPosition& position) { return phase_at(position, step); };
  for (const std::int64_t m : kPositions) {
    if (phase(m) + phase(-m) != Phase128{} || phase(-m) != -phase(m)) return false;
    if (m * step.fraction() != phase(m)) return false;
    for (const std::int64_t n : kPositions)
      if (phase(m) + phase(n) != phase(m + n) || phase(m) - phase(n) != phase(m - n)) return false;
  }
  return phase(0) == Phase128{};
}
static_assert(laws_hold({0, 0x28be60db9391054a,
                         0x7f09d5f47d4d3770}));  // 1 / 2π turns: one radian per position
static_assert(laws_hold({0, 1, 0}) && laws_hold({0, 0, 1}) &&
              laws_hold({0, ~std::uint64_t{0}, ~std::uint64_t{0}}));
static_assert(laws_hold({1234567, 0x8000000000000000, 0}) && laws_hold(-TurnStep{5, 3, 1}));

TEST(Phases, WrapAtAFullTurn) {
  constexpr std::uint64_t quarter = std::uint64_t{1} << 62;
  const TurnStep step{0, quarter, 0};  // four positions make a turn
  for (const std::int64_t position : {0, 4, -4, 400000000})
    EXPECT_EQ(phase_at(position, step), phase_at(0, step)) << position;
  EXPECT_EQ(phase_at(5, step), phase_at(1, step));
  EXPECT_EQ(phase_at(-1, step), phase_at(3, step));
  EXPECT_EQ(phase_at(0.5, step), (Phase128{quarter / 2, 0}));
  // Whole turns per position do not matter to whole positions, but they do to half ones.
  EXPECT_EQ(phase_at(7, TurnStep{3, quarter, 0}), phase_at(7, step));
  EXPECT_EQ(phase_at(0.5, TurnStep{3, quarter, 0}), (Phase128{2 * quarter + quarter / 2, 0}));
  EXPECT_EQ(phase_at(-0.5, TurnStep{3, quarter, 0}), (Phase128{quarter + quarter / 2, 0}));
}

TEST(Phases, QuarterTurnsAreExact) {
  const CosSin wanted[] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  for (std::uint64_t quarter = 0; quarter < 4; ++quarter) {
    const auto [cos, sin] = cos_sin({quarter << 62, 0});
    EXPECT_EQ(cos, wanted[quarter].cos);
    EXPECT_EQ(sin, wanted[quarter].sin);
  }
}

static_assert([] {
  for (std::uint64_t n = 0; n < 64; ++n) {
    const Phase128 phase{n << 58, n};
    const CosSin forth = cos_sin(phase), back = cos_sin(-phase);
    if (forth.cos != back.cos || forth.sin != -back.sin) return false;
  }
  return cos_sin({}).cos == 1 && cos_sin({std::uint64_t{1} << 62, 0}).sin == 1;
}());

TEST(Phases, OppositePhasesHaveMirroredBits) {
  Random random(6);
  SCOPED_TRACE(random.replay());
  for (int i = 0; i < 20000; ++i) {
    Phase128 phase = draw_phase(random);
    if (i % 2 == 0) phase.high &= std::uint64_t{7} << 61;  // next to the ends of octants
    if (i % 4 == 0) phase.low = 0;
    const CosSin forth = cos_sin(phase), back = cos_sin(-phase);
    ASSERT_EQ(forth.cos, back.cos) << phase.high;
    ASSERT_EQ(forth.sin, -back.sin) << phase.high;
  }
}

TEST(Phases, CosAndSinAreRightAtEveryAngle) {
  Random random(7);
  SCOPED_TRACE(random.replay());
  const auto check = [&](const Phase128& phase) {
    const Real angle = real(phase) * Real(2) * Real::pi();
    const double error = error_of_cos_sin(cos_sin(phase), angle);
    EXPECT_LE(error, kCosSinBound) << phase.high << ", " << phase.low;
  };
  for (int i = 0; i < 30000; ++i) check(draw_phase(random));
  // On both sides of the ends of octants, at all distances.
  for (std::uint64_t octant = 0; octant < 8; ++octant) {
    for (int shift = 0; shift < 125; ++shift) {
      const Phase128 off =
          shift < 64 ? Phase128{0, random.bits() >> shift} : Phase128{random.bits() >> (shift - 61), 0};
      check(Phase128{octant << 61, 0} + off);
      check(Phase128{octant << 61, 0} - off);
    }
  }
}

// What is small is as exact as what is large: sin of a slow pair at position 1 has all its bits.
TEST(Phases, SmallSinesKeepTheirRelativeError) {
  Random random(8);
  SCOPED_TRACE(random.replay());
  const Phase128 half{std::uint64_t{1} << 63, 0};
  for (int shift = 3; shift < 64; ++shift) {
    for (const std::uint64_t low : {random.bits(), std::uint64_t{0}}) {
      const Phase128 phase{random.bits() >> shift | 1, low};
      const Real wanted = sin(real(phase) * Real(2) * Real::pi());
      EXPECT_LT(relative_error_of(cos_sin(phase).sin, wanted), kPromised) << shift;
      EXPECT_LT(relative_error_of(-cos_sin(-phase).sin, wanted), kPromised) << shift;
      EXPECT_LT(relative_error_of(cos_sin(half - phase).sin, wanted), kPromised) << shift;
      EXPECT_LT(relative_error_of(-cos_sin(half + phase).sin, wanted), kPromised) << shift;
    }
  }
}

// One number stands for the bits of many cosines. It changes when an operation does, and then every table of
// every user does; it must not change with the compiler, its flags or the machine.
TEST(Phases, BitsAreTheSameEverywhere) {
  std::uint64_t digest = 0xcbf29ce484222325u;
  const auto add = [&](std::uint64_t word) { digest = (digest ^ word) * 0x100000001b3u; };
  const TurnSteps steps(language_frequencies(128));
  for (Index pair = 0; pair < steps.pairs(); ++pair) {
    add(steps.high()[static_cast<std::size_t>(pair)]);
    add(steps.low()[static_cast<std::size_t>(pair)]);
    for (int i = -500; i < 500; ++i) {
      const auto [cos, sin] = cos_sin(steps.phase(0, pair, std::int64_t{i} * i * i + i));
      add(std::bit_cast<std::uint64_t>(cos));
      add(std::bit_cast<std::uint64_t>(sin));
    }
  }
  EXPECT_EQ(digest, 8660296564949987993u);
}

TEST(Oracle, FastOneAgreesWithMpfr) {
  Random random(9);
  SCOPED_TRACE(random.replay());
  const std::vector<Real> frequencies = real_language_frequencies(500000, 128);
  const FastOracle oracle(frequencies);
  const double bound = std::numeric_limits<long double>::digits >= 64 ? 4e-19 : 1e-15;
  for (int i = 0; i < 5000; ++i) {
    const std::int64_t position = draw_position(random, 33);
    const auto pair = random.integer<std::size_t>(0, 63);
    const auto [cos_found, sin_found] = oracle(pair, position);
    const Real angle = Real::of_integer(position) * frequencies[pair];
    ASSERT_LT(std::fabs(static_cast<double>(cos_found - static_cast<long double>(cos(angle)))), bound)
        << position;
    ASSERT_LT(std::fabs(static_cast<double>(sin_found - static_cast<long double>(sin(angle)))), bound)
        << position;
  }
}

TEST(Phases, LanguagePositionsBelow2To31AreWithinThePromise) {
  Random random(10);
  SCOPED_TRACE(random.replay());
  for (const double theta : {10000.0, 500000.0}) {
    const TurnSteps steps(language_frequencies(128, theta));
    const FastOracle oracle(real_language_frequencies(theta, 128));
    std::vector<std::int64_t> positions = {
        0, 1, -1, 131071, (std::int64_t{1} << 31) - 1, -(std::int64_t{1} << 31)};
    for (int i = 0; i < 10000; ++i) {
      positions.push_back(draw_position(random, 31));
      positions.push_back(random.integer<std::int64_t>(-(std::int64_t{1} << 31), std::int64_t{1} << 31));
    }
    for (std::size_t pair = 0; pair < 64; ++pair) {
      for (const std::int64_t position : positions) {
        const CosSin found = cos_sin(steps.phase(0, static_cast<Index>(pair), position));
        const auto [cos_wanted, sin_wanted] = oracle(pair, position);
        const double error = std::max(std::fabs(static_cast<double>(found.cos - cos_wanted)),
                                      std::fabs(static_cast<double>(found.sin - sin_wanted)));
        ASSERT_LE(error, kPromised) << "theta " << theta << ", pair " << pair << ", position " << position;
      }
    }
  }
}

TEST(Phases, FractionalPositionsAreWithinThePromise) {
  Random random(11);
  SCOPED_TRACE(random.replay());
  for (const double theta : {10000.0, 500000.0}) {
    const TurnSteps steps(language_frequencies(128, theta));
    const std::vector<Real> frequencies = real_language_frequencies(theta, 128);
    for (int i = 0; i < 10000; ++i) {
      const double position = random.uniform(-1, 1) * std::pow(10, random.integer(-6, 6));
      const auto pair = random.integer<std::size_t>(0, 63);
      const CosSin found = cos_sin(steps.phase(0, static_cast<Index>(pair), position));
      ASSERT_LE(error_of_cos_sin(found, Real(position) * frequencies[pair]), kPromised)
          << "theta " << theta << ", pair " << pair << ", position " << position;
    }
  }
}

TEST(Phases, PixelPositionsAreWithinThePromise) {
  Random random(12);
  SCOPED_TRACE(random.replay());
  for (const double max_freq : {10.0, 256.0}) {
    const TurnSteps steps(pixel_frequencies(32, max_freq));
    for (int i = 0; i < 10000; ++i) {
      const double position = i == 0 ? -1 : i == 1 ? 1 : random.uniform(-1, 1);
      const int pair = random.integer(0, 15);
      const Real frequency =
          Real::pi() * (Real(1) + Real(pair) * (Real(max_freq) / Real(2) - Real(1)) / Real(15));
      ASSERT_LE(error_of_cos_sin(cos_sin(steps.phase(0, pair, position)), Real(position) * frequency),
                kPromised)
          << "max_freq " << max_freq << ", pair " << pair << ", position " << position;
    }
  }
}

// Frequencies that are doubles hold up to the last position there is; powers of theta, being good to 98 bits,
// to 2^44.
TEST(Phases, LargePositionsAreWithinThePromise) {
  Random random(13);
  SCOPED_TRACE(random.replay());
  const std::vector<double> doubles = {1, 0.1, -0.75, 1e-5, 1e-12};
  const TurnSteps custom(custom_frequencies(doubles)), language(language_frequencies(128));
  const std::vector<Real> powers = real_language_frequencies(10000, 128);
  for (int i = 0; i < 5000; ++i) {
    const std::int64_t position = i == 0 ? kLargest : i == 1 ? -kLargest : draw_position(random);
    const auto pair = random.integer<std::size_t>(0, doubles.size() - 1);
    ASSERT_LE(error_of_cos_sin(cos_sin(custom.phase(0, static_cast<Index>(pair), position)),
                               Real::of_integer(position) * Real(doubles[pair])),
              kPromised)
        << "frequency " << doubles[pair] << ", position " << position;
    const std::int64_t smaller = draw_position(random, 44);
    const auto power = random.integer<std::size_t>(0, 63);
    ASSERT_LE(error_of_cos_sin(cos_sin(language.phase(0, static_cast<Index>(power), smaller)),
                               Real::of_integer(smaller) * powers[power]),
              kPromised)
        << "pair " << power << ", position " << smaller;
  }
}

TEST(Phases, StepsOfSeveralAxesStandSideBySide) {
  const Frequencies frequencies = axial(custom_frequencies(std::vector<double>{0.25, 7.5, -2}), 2);
  const TurnSteps steps(frequencies);
  EXPECT_EQ(steps.axes(), 2);
  EXPECT_EQ(steps.pairs(), 6);
  EXPECT_TRUE(steps.any_whole());
  EXPECT_FALSE(TurnSteps(language_frequencies(64)).any_whole());
  for (Index axis = 0; axis < 2; ++axis) {
    ASSERT_EQ(steps.high(axis).size(), 6u);
    ASSERT_EQ(steps.low(axis).size(), 6u);
    ASSERT_EQ(steps.whole(axis).size(), 6u);
    for (Index pair = 0; pair < 6; ++pair) {
      const auto at = static_cast<std::size_t>(pair);
      const TurnStep wanted = turn_step(frequencies.values[static_cast<std::size_t>(axis * 6) + at]);
      EXPECT_EQ(steps.step(axis, pair), wanted);
      EXPECT_EQ(steps.word(axis)[at], SplitPhase(wanted.fraction()).word);
      EXPECT_EQ(steps.rest(axis)[at], SplitPhase(wanted.fraction()).rest);
      EXPECT_EQ((TurnStep{steps.whole(axis)[at], steps.high(axis)[at], steps.low(axis)[at]}), wanted);
      EXPECT_EQ(steps.phase(axis, pair, -2.5), phase_at(-2.5, wanted));
    }
  }
  EXPECT_EQ(steps.step(0, 4), TurnStep{});
  EXPECT_EQ(TurnSteps(Frequencies{}).pairs(), 0);
}

TEST(Phases, OfSummedStepsAreSumsOfPhases) {
  Random random(14);
  SCOPED_TRACE(random.replay());
  Frequencies frequencies;
  frequencies.axes = 4;
  for (int i = 0; i < 4 * 25; ++i)
    frequencies.values.push_back(std::ldexp(random.uniform(-1, 1), random.integer(-100, 63)));
  const TurnSteps steps(frequencies), summed = steps.summed();
  ASSERT_EQ(summed.axes(), 1);
  ASSERT_EQ(summed.pairs(), 25);
  EXPECT_TRUE(summed.any_whole());
  for (Index pair = 0; pair < 25; ++pair) {
    const auto at = static_cast<std::size_t>(pair);
    EXPECT_EQ(summed.word()[at], SplitPhase(summed.step(0, pair).fraction()).word);
    EXPECT_EQ(summed.rest()[at], SplitPhase(summed.step(0, pair).fraction()).rest);
    for (int n = 0; n < 100; ++n) {
      FixedPosition position = draw_position(random);
      Phase128 phase{};
      for (Index axis = 0; axis < 4; ++axis) phase = phase + steps.phase(axis, pair, position);
      ASSERT_EQ(summed.phase(0, pair, position), phase) << position.whole;
      // Between whole positions every product is off by up to 2^-127 of a turn.
      position.fraction = random.bits();
      phase = Phase128{};
      for (Index axis = 0; axis < 4; ++axis) phase = phase + steps.phase(axis, pair, position);
      ASSERT_LE(distance(real(summed.phase(0, pair, position)), real(phase)), 0x1p-124);
    }
  }
  const TurnSteps slow(language_frequencies(64));
  EXPECT_FALSE(slow.summed().any_whole());
  EXPECT_EQ(slow.summed().step(0, 3), slow.step(0, 3)) << "of one axis they are those";
  EXPECT_EQ(TurnSteps(Frequencies{}).summed().pairs(), 0);
}

TEST(Phases, OfNanDoNotExist) {
  const TurnSteps steps(language_frequencies(4));
  const double nan = std::bit_cast<double>(std::uint64_t{0xfff} << 51);
  EXPECT_THROW(steps.phase(0, 0, nan), std::invalid_argument);
  EXPECT_THROW(steps.phase(0, 0, 0x1p62), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
