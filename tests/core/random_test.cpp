#include "support/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <vector>

namespace rotary::testing {
namespace {

// Keeps ROTARY_TEST_SEED as it was around a test that changes it: these tests fix their numbers by it.
class RandomTest : public ::testing::Test {
 protected:
  RandomTest() {
    if (const char* text = std::getenv("ROTARY_TEST_SEED")) before_ = text;
    unsetenv("ROTARY_TEST_SEED");
  }
  ~RandomTest() override {
    if (!before_.empty()) setenv("ROTARY_TEST_SEED", before_.c_str(), 1);
  }

 private:
  std::string before_;
};

// The first outputs of the published splitmix64.c from the state 1234567. A change of these means that every
// random test of the project looks at other numbers than before.
TEST_F(RandomTest, BitsAreThoseOfSplitmix64) {
  Random random(1234567);
  EXPECT_EQ(random.bits(), 6457827717110365317u);
  EXPECT_EQ(random.bits(), 3203168211198807973u);
  EXPECT_EQ(random.bits(), 9817491932198370423u);
}

TEST_F(RandomTest, EnvironmentReplaysARun) {
  setenv("ROTARY_TEST_SEED", "99", 1);
  Random replayed(1);
  unsetenv("ROTARY_TEST_SEED");
  Random direct(99);
  EXPECT_EQ(replayed.replay(), "replay with ROTARY_TEST_SEED=99");
  EXPECT_EQ(replayed.bits(), direct.bits());

  setenv("ROTARY_TEST_SEED", "ninety", 1);
  EXPECT_THROW(Random(1), std::invalid_argument);
}

TEST_F(RandomTest, IntegersReachBothEndsAndNothingElse) {
  Random random(2);
  std::array<int, 5> seen{};
  for (int i = 0; i < 5000; ++i) {
    const int value = random.integer(-2, 2);
    ASSERT_GE(value, -2);
    ASSERT_LE(value, 2);
    ++seen[static_cast<std::size_t>(value + 2)];
  }
  for (const int count : seen) EXPECT_NEAR(count, 1000, 150);  // five standard deviations

  using Limits = std::numeric_limits<std::int64_t>;
  bool negative = false, positive = false;
  for (int i = 0; i < 64; ++i) {
    const std::int64_t value = random.integer(Limits::min(), Limits::max());
    (value < 0 ? negative : positive) = true;
  }
  EXPECT_TRUE(negative && positive);
  EXPECT_EQ(random.integer(7, 7), 7);
  EXPECT_THROW(random.integer(1, 0), std::invalid_argument);
}

TEST_F(RandomTest, UniformAndNormalHaveTheirMoments) {
  Random random(3);
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.uniform(-1, 3);
    ASSERT_GE(value, -1);
    ASSERT_LT(value, 3);
    const double z = random.normal();
    sum += z;
    squares += z * z;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.016);
  EXPECT_NEAR(squares / kDraws, 1, 0.025);
}

TEST_F(RandomTest, FillsInOrderOfMemory) {
  std::vector<float> filled(5);
  Random random(4);
  random.fill(filled, 1, 2);
  Random again(4);
  for (const float value : filled) EXPECT_EQ(value, static_cast<float>(again.uniform(1, 2)));
}

}  // namespace
}  // namespace rotary::testing
