#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <rotary/rotate_half.hpp>
#include <stdexcept>

#include "support/random.hpp"

namespace rotary::testing {
namespace {

TEST(RotateHalf, RotatesEveryPairByAQuarter) {
  Tensor<double, 2> x(2, 6), interleaved(2, 6), half(2, 6);
  x.setValues({{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}});
  interleaved.setValues({{-2, 1, -4, 3, -6, 5}, {-8, 7, -10, 9, -12, 11}});
  half.setValues({{-4, -5, -6, 1, 2, 3}, {-10, -11, -12, 7, 8, 9}});
  const auto by_default = rotate_half(x), as_labml = rotate_half(x, Pairing::half);
  for (Index n = 0; n < 12; ++n) {
    EXPECT_EQ(by_default.data()[n], interleaved.data()[n]) << n;
    EXPECT_EQ(as_labml.data()[n], half.data()[n]) << n;
  }
}

TEST(RotateHalf, TakesVectors) {
  Eigen::VectorXf column(4);
  column << 1, 2, 3, 4;
  Eigen::RowVectorXf row = column.transpose();
  Tensor<float, 1> tensor(4);
  tensor.setValues({1, 2, 3, 4});
  const Eigen::VectorXf from_column = rotate_half(column);
  const Eigen::RowVectorXf from_row = rotate_half(row);
  const Tensor<float, 1> from_tensor = rotate_half(tensor);
  for (const Index n : {0, 1, 2, 3}) {
    const float wanted[] = {-2, 1, -4, 3};
    EXPECT_EQ(from_column(n), wanted[n]) << n;
    EXPECT_EQ(from_row(n), wanted[n]) << n;
    EXPECT_EQ(from_tensor(n), wanted[n]) << n;
  }
}

TEST(RotateHalf, TwoQuartersAreAHalfTurn) {
  Random random(42);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
    Tensor<float, 4> x(2, 3, 5, 10);
    random.fill(x);
    const Tensor<float, 4> twice = rotate_half(rotate_half(x, pairing), pairing);
    for (Index n = 0; n < x.size(); ++n) ASSERT_EQ(twice.data()[n], -x.data()[n]) << n;
  }
}

// x cos φ + rotate_half(x) sin φ is what rotates in the references.
TEST(RotateHalf, MakesARotation) {
  Random random(43);
  SCOPED_TRACE(random.replay());
  Tensor<double, 3> x(2, 4, 8);
  random.fill(x);
  const double angle = random.uniform(-3, 3);
  const Tensor<double, 3> rotated = x * std::cos(angle) + rotate_half(x, Pairing::half) * std::sin(angle);
  for (Index n = 0; n < 8; ++n)
    for (Index i = 0; i < 4; ++i) {
      const Index row = 8 * n + i;
      const double a = x.data()[row], b = x.data()[row + 4];
      EXPECT_NEAR(rotated.data()[row], a * std::cos(angle) - b * std::sin(angle), 1e-15);
      EXPECT_NEAR(rotated.data()[row + 4], b * std::cos(angle) + a * std::sin(angle), 1e-15);
    }
}

TEST(RotateHalf, StorageOrderDoesNotMatter) {
  Random random(44);
  SCOPED_TRACE(random.replay());
  Tensor<float, 3> x(3, 4, 6);
  random.fill(x);
  Eigen::Tensor<float, 3, Eigen::ColMajor> y(3, 4, 6);
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 4; ++j)
      for (Index l = 0; l < 6; ++l) y(i, j, l) = x(i, j, l);
  for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
    const auto a = rotate_half(x, pairing);
    const auto b = rotate_half(y, pairing);
    static_assert(std::is_same_v<decltype(b), const Eigen::Tensor<float, 3, Eigen::ColMajor>>);
    for (Index i = 0; i < 3; ++i)
      for (Index j = 0; j < 4; ++j)
        for (Index l = 0; l < 6; ++l) ASSERT_EQ(a(i, j, l), b(i, j, l)) << i << ' ' << j << ' ' << l;
  }
}

TEST(RotateHalf, TakesMatricesBlocksAndExpressions) {
  Eigen::MatrixXd x(2, 6);
  x << 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12;
  Eigen::MatrixXd wanted(2, 4);
  wanted << -3, 2, -5, 4, -9, 8, -11, 10;
  EXPECT_EQ(rotate_half(x.middleCols(1, 4)), wanted);
  EXPECT_EQ(rotate_half(x.middleCols(1, 4) * 2), wanted * 2);
  Eigen::Matrix<double, 2, 6, Eigen::RowMajor> fixed = x;
  EXPECT_EQ(rotate_half(fixed.row(0))(0, 0), -2);
}

// Nothing is computed, so nothing is rounded: NaN stays, and the sign of a zero follows.
TEST(RotateHalf, MovesBits) {
  Tensor<Eigen::bfloat16, 2> x(1, 4);
  x.setValues(
      {{Eigen::bfloat16(1.5f), Eigen::bfloat16(0.0f), std::numeric_limits<Eigen::bfloat16>::quiet_NaN(),
        std::numeric_limits<Eigen::bfloat16>::infinity()}});
  const auto y = rotate_half(x);
  const auto bits = [](Eigen::bfloat16 value) { return std::bit_cast<std::uint16_t>(value); };
  EXPECT_EQ(bits(y(0, 0)), 0x8000);
  EXPECT_EQ(bits(y(0, 1)), bits(x(0, 0)));
  EXPECT_EQ(bits(y(0, 2)), bits(-std::numeric_limits<Eigen::bfloat16>::infinity()));
  EXPECT_EQ(bits(y(0, 3)), bits(x(0, 2)));
}

TEST(RotateHalf, NeedsAnEvenNumberOfFeatures) {
  const Tensor<float, 3> odd(2, 3, 5);
  EXPECT_THROW(static_cast<void>(rotate_half(odd)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(rotate_half(odd, Pairing::half)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(rotate_half(Eigen::MatrixXf(2, 1))), std::invalid_argument);
}

TEST(RotateHalf, EmptyTensorsStayEmpty) {
  EXPECT_EQ(rotate_half(Tensor<float, 3>(2, 0, 4)).size(), 0);
  EXPECT_EQ(rotate_half(Tensor<float, 2>(3, 0)).size(), 0);
}

}  // namespace
}  // namespace rotary::testing
