// Which coordinate rotates which pair, and by which frequency, in the layout of every vision model.
#include <gtest/gtest.h>
#include <rotary/frequencies/mixed.hpp>
#include <rotary/frequencies/vision.hpp>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/variant_checks.hpp"

namespace rotary::testing {
namespace {

/// The angles of a token, as a model's description states them: one for each pair.
std::vector<double> angles(const Frequencies& frequencies, const std::vector<double>& token) {
  EXPECT_EQ(static_cast<std::size_t>(frequencies.axes), token.size());
  EXPECT_EQ(frequencies.magnitude, 1);
  const auto pairs = static_cast<std::size_t>(frequencies.pairs());
  std::vector<double> sums(pairs);
  for (std::size_t axis = 0; axis < token.size(); ++axis)
    for (std::size_t i = 0; i < pairs; ++i) sums[i] += token[axis] * frequencies.values[axis * pairs + i].hi;
  return sums;
}

void expect_angles(const std::vector<double>& found, const std::vector<double>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 1e-14) << "pair " << i;
}

TEST(Vision, Qwen2VlRotatesByRowThenColumn) {
  const double y = 3, x = 5;
  std::vector<double> wanted;
  for (const double coordinate : {y, x})
    for (int i = 0; i < 20; ++i) wanted.push_back(coordinate * std::pow(10000, -2 * i / 40.0));
  expect_angles(angles(qwen2_vl_vision_frequencies(80), {y, x}), wanted);
}

TEST(Vision, Llama4AndRopeVitRotateByColumnThenRow) {
  const double y = 3, x = 5;
  for (const double theta : {10000.0, 100.0}) {
    std::vector<double> wanted;
    for (const double coordinate : {x, y})
      for (int i = 0; i < 16; ++i) wanted.push_back(coordinate * std::pow(theta, -4 * i / 64.0));
    const Frequencies frequencies = theta == 100 ? rope_vit_frequencies(64) : llama4_vision_frequencies(64);
    expect_angles(angles(frequencies, {y, x}), wanted);
  }
  EXPECT_EQ(rope_vit_frequencies(64, 10).values, llama4_vision_frequencies(64, 10).values);
}

TEST(Vision, PixtralDealsFrequenciesOutToRowsAndColumns) {
  const double y = 3, x = 5;
  std::vector<double> wanted;
  for (int i = 0; i < 32; i += 2) wanted.push_back(y * std::pow(10000, -2 * i / 64.0));
  for (int i = 1; i < 32; i += 2) wanted.push_back(x * std::pow(10000, -2 * i / 64.0));
  expect_angles(angles(pixtral_frequencies(64), {y, x}), wanted);
}

TEST(Vision, Dinov3RotatesByCentresBetweenMinusOneAndOne) {
  EXPECT_EQ(dinov3_coordinates(4), (std::vector<double>{-0.75, -0.25, 0.25, 0.75}));
  EXPECT_EQ(dinov3_coordinates(1), std::vector<double>{0});
  EXPECT_TRUE(dinov3_coordinates(0).empty());
  EXPECT_EQ(error_of_call([] { dinov3_coordinates(-1); }), "rotary: patches is -1, it must not be negative");
  const double y = dinov3_coordinates(7)[2], x = dinov3_coordinates(9)[8];
  EXPECT_DOUBLE_EQ(y, 2 * 2.5 / 7 - 1);
  EXPECT_DOUBLE_EQ(x, 2 * 8.5 / 9 - 1);
  std::vector<double> wanted;
  for (const double coordinate : {y, x})
    for (int i = 0; i < 16; ++i) wanted.push_back(2 * kPi.hi * coordinate * std::pow(100, -4 * i / 64.0));
  expect_angles(angles(dinov3_frequencies(64), {y, x}), wanted);
}

TEST(Vision, DiffusionModelsHaveAnAxisForEveryBlock) {
  const std::vector<Index> dims{16, 56, 56};
  const std::vector<double> token{0.5, 3, 5};
  std::vector<double> wanted;
  for (std::size_t axis = 0; axis < 3; ++axis)
    for (Index i = 0; i < dims[axis] / 2; ++i)
      wanted.push_back(token[axis] *
                       std::pow(2 * 10000, -2 * static_cast<double>(i) / static_cast<double>(dims[axis])) /
                       4);
  expect_angles(angles(diffusion_frequencies(dims, 10000, {.linear_factor = 4, .ntk_factor = 2}), token),
                wanted);
  EXPECT_EQ(diffusion_frequencies(dims).values,
            diffusion_frequencies(dims, 10000, {.linear_factor = 1, .ntk_factor = 1}).values);
}

TEST(Vision, WanGivesTimeWhatHeightAndWidthLeave) {
  const Frequencies frequencies = wan_frequencies(128);
  EXPECT_EQ(frequencies.values, diffusion_frequencies(std::vector<Index>{44, 42, 42}).values);
  EXPECT_EQ(wan_frequencies(64).values, diffusion_frequencies(std::vector<Index>{24, 20, 20}).values);
  EXPECT_EQ(frequencies.pairs(), 64);
}

TEST(Vision, Refuses) {
  EXPECT_EQ(error_of_call([] { qwen2_vl_vision_frequencies(78); }),
            "rotary: head_dim is 78, it must be a multiple of 4");
  EXPECT_EQ(error_of_call([] { pixtral_frequencies(-4); }),
            "rotary: head_dim is -4, it must be a multiple of 4");
  EXPECT_EQ(error_of_call([] { wan_frequencies(63); }), "rotary: head_dim is 63, it must be a multiple of 2");
  EXPECT_EQ(error_of_call([] { mixed_frequencies(6, 10, {}); }),
            "rotary: head_dim is 6, it must be a multiple of 4");
  EXPECT_EQ(error_of_call([] {
              diffusion_frequencies(std::vector<Index>{16, 55});
            }),
            "rotary: axis_dims has an entry 55, every entry must be even and not negative");
  EXPECT_EQ(error_of_call([] { diffusion_frequencies({}); }),
            "rotary: found 0 axes, there must be at least 1");
  for (const double bad : {kNan, kInfinity, 0.0}) {
    EXPECT_THROW(qwen2_vl_vision_frequencies(64, bad), std::invalid_argument);
    EXPECT_THROW(pixtral_frequencies(64, bad), std::invalid_argument);
    EXPECT_THROW(dinov3_frequencies(64, bad), std::invalid_argument);
    EXPECT_THROW(diffusion_frequencies(std::vector<Index>{4}, 10000, {.linear_factor = bad}),
                 std::invalid_argument);
    EXPECT_THROW(diffusion_frequencies(std::vector<Index>{4}, 10000, {.ntk_factor = bad}),
                 std::invalid_argument);
    EXPECT_THROW(mixed_frequencies(8, bad, {}), std::invalid_argument);
  }
  EXPECT_THROW(mixed_frequencies(8, 10, {.angle = kNan}), std::invalid_argument);
}

TEST(Mixed, AHeadRotatesAlongItsDirectionAndAcross) {
  const double y = 3, x = 5, angle = 0.7;
  std::vector<double> wanted;
  for (const double direction : {angle, angle + kPi.hi / 2})
    for (int i = 0; i < 8; ++i)
      wanted.push_back(std::pow(10, -4 * i / 32.0) * (x * std::cos(direction) + y * std::sin(direction)));
  expect_angles(angles(mixed_frequencies(32, 10, {.angle = angle}), {y, x}), wanted);
  // Without an angle, the axial form.
  EXPECT_EQ(mixed_frequencies(32, 10, {}).values, rope_vit_frequencies(32, 10).values);
}

TEST(Mixed, RandomHeadsDiffer) {
  std::mt19937_64 generator(5), same(5);
  const std::vector<Frequencies> heads = random_mixed_frequencies(32, 64, generator);
  const std::vector<Frequencies> again = random_mixed_frequencies(32, 64, same);
  ASSERT_EQ(heads.size(), 64u);
  double mean = 0;
  for (std::size_t head = 0; head < heads.size(); ++head) {
    const double cos = heads[head].values[16].hi, sin = heads[head].values[0].hi;
    EXPECT_NEAR(cos * cos + sin * sin, 1, 1e-15);
    EXPECT_EQ(heads[head].values, again[head].values);
    EXPECT_EQ(heads[head].pairs(), 16);
    mean += cos / 64;
    if (head > 0) {
      EXPECT_NE(heads[head].values, heads[head - 1].values);
    }
  }
  EXPECT_LT(std::abs(mean), 0.4);  // directions all around: four standard deviations and a half
  EXPECT_THROW(random_mixed_frequencies(32, -1, generator), std::invalid_argument);
}

// Each head has an angle of its own, drawn evenly from a whole circle.
TEST(Vision, RandomHeadsHaveTheAnglesThatAreDrawn) {
  std::mt19937_64 generator(7), same(7);
  const std::vector<Frequencies> heads = random_mixed_frequencies(16, 5, generator, 30);
  ASSERT_EQ(heads.size(), 5u);
  for (const Frequencies& head : heads) {
    const double draw = std::generate_canonical<double, std::numeric_limits<double>::digits>(same);
    const Frequencies wanted = mixed_frequencies(16, 30, {.angle = 2 * std::numbers::pi * draw});
    EXPECT_EQ(head.axes, 2);
    EXPECT_TRUE(head.values == wanted.values);
  }
}

}  // namespace
}  // namespace rotary::testing
