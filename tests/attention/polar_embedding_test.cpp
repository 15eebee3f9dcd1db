// PoPE: features as magnitudes, positions as angles.
#include <gtest/gtest.h>

#include <cmath>
#include <rotary/rotary.hpp>

#include "support/random.hpp"

namespace rotary::testing {
namespace {

double softplus(double x) { return std::log1p(std::exp(x)); }

template <class X>
class PolarScores : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(PolarScores, Scalars);

TYPED_TEST(PolarScores, AreThoseOfTheFormula) {
  Random random(81);
  SCOPED_TRACE(random.replay());
  constexpr Index kDim = 6, kHeadDim = 8, kSeq = 4, kHeads = 2;
  const PolarEmbedding<TypeParam> polar({.dim = kDim});
  Tensor<TypeParam, 4> q(1, kHeads, kSeq, kHeadDim), k(1, kHeads, kSeq, kHeadDim);
  random.fill(q);
  random.fill(k);
  for (const Index phase_heads : {Index{1}, kHeads}) {
    Tensor<double, 2> phases(phase_heads, kDim);
    random.fill(phases, -7.5, 0.5);  // some are clamped
    const auto xq = polar.embed_queries(q, 100), xk = polar.embed_keys(k, phases, 97);
    ASSERT_EQ(xq.dimension(3), kHeadDim + kDim);
    for (Index h = 0; h < kHeads; ++h)
      for (Index m = 0; m < kSeq; ++m)
        for (Index n = 0; n < kSeq; ++n) {
          double found = 0, wanted = 0;
          for (Index j = 0; j < kHeadDim + kDim; ++j)
            found += double(xq(0, h, m, j)) * double(xk(0, h, n, j));
          for (Index j = 0; j < kDim; ++j) {
            const double delta =
                std::min(0.0, std::max(phases(phase_heads == 1 ? 0 : h, j), -2 * std::acos(-1.0)));
            wanted += softplus(double(q(0, h, m, j))) * softplus(double(k(0, h, n, j))) *
                      std::cos(double(m + 100 - n - 97) * std::pow(10000.0, -double(j) / kDim) - delta);
          }
          for (Index j = kDim; j < kHeadDim; ++j) wanted += double(q(0, h, m, j)) * double(k(0, h, n, j));
          EXPECT_NEAR(found, wanted, sizeof(TypeParam) == 4 ? 5e-6 : 1e-13);
        }
  }
}

TEST(PolarEmbedding, TakesSequencesBeforeHeadsAndColumnMajorTensors) {
  Random random(82);
  SCOPED_TRACE(random.replay());
  Tensor<float, 4> k(2, 3, 5, 4);
  random.fill(k);
  Tensor<double, 2> phases(3, 4);
  random.fill(phases, -6, 0);
  const Tensor<float, 4> wanted = PolarEmbedding<float>({.dim = 4}).embed_keys(k, phases, 2);
  const Tensor<float, 4> seq_first = k.shuffle(std::array<int, 4>{0, 2, 1, 3});
  const Tensor<float, 4> found =
      PolarEmbedding<float>({.dim = 4, .seq_before_head_dim = true}).embed_keys(seq_first, phases, 2);
  const Eigen::Tensor<float, 4> columns = k.swap_layout().shuffle(std::array<int, 4>{3, 2, 1, 0});
  const auto of_columns = PolarEmbedding<float>({.dim = 4}).embed_keys(columns, phases, 2);
  for (Index b = 0; b < 2; ++b)
    for (Index h = 0; h < 3; ++h)
      for (Index n = 0; n < 5; ++n)
        for (Index j = 0; j < 8; ++j) {
          EXPECT_EQ(found(b, n, h, j), wanted(b, h, n, j));
          EXPECT_EQ(of_columns(b, h, n, j), wanted(b, h, n, j));
        }
}

TEST(PolarEmbedding, GradientsAreThoseOfCentralDifferences) {
  Random random(83);
  SCOPED_TRACE(random.replay());
  const PolarEmbedding<double> polar({.dim = 3});
  Tensor<double, 4> x(2, 2, 3, 5), weights(2, 2, 3, 8);
  random.fill(x);
  random.fill(weights);
  for (const Index phase_heads : {1, 2}) {
    Tensor<double, 2> phases(phase_heads, 3);
    random.fill(phases, -6, -0.1);
    phases(0, 1) = 0.5;  // clamped
    const auto loss = [&] {
      const auto keys = polar.embed_keys(x, phases, 7), queries = polar.embed_queries(x, 3);
      double sum = 0;
      for (Index n = 0; n < keys.size(); ++n)
        sum += weights.data()[n] * (keys.data()[n] + 2 * queries.data()[n]);
      return sum;
    };
    const auto [grad_k, grad_phases] = polar.keys_backward(x, phases, weights, 7);
    const auto grad_q = polar.queries_backward(x, weights, 3);
    const auto difference = [&](double& value) {
      constexpr double kStep = 1e-5;
      const double before = value;
      value = before + kStep;
      const double more = loss();
      value = before - kStep;
      const double less = loss();
      value = before;
      return (more - less) / (2 * kStep);
    };
    for (Index n = 0; n < x.size(); ++n)
      EXPECT_NEAR(grad_k.data()[n] + 2 * grad_q.data()[n], difference(x.data()[n]), 1e-7);
    for (Index n = 0; n < phases.size(); ++n)
      EXPECT_NEAR(grad_phases.data()[n], difference(phases.data()[n]), 1e-7);
  }
}

TEST(PolarEmbedding, BeginsAtPositionZero) {
  Random random(83);
  SCOPED_TRACE(random.replay());
  const PolarEmbedding<float> polar({.dim = 4});
  Tensor<float, 4> x(1, 2, 3, 4), grad(1, 2, 3, 8);
  Tensor<double, 2> phases(2, 4);
  random.fill(x), random.fill(grad), random.fill(phases, -6, 0);
  const auto same = [](const auto& a, const auto& b) {
    return std::equal(a.data(), a.data() + a.size(), b.data(), b.data() + b.size());
  };
  EXPECT_TRUE(same(polar.embed_queries(x), polar.embed_queries(x, 0)));
  EXPECT_TRUE(same(polar.embed_keys(x, phases), polar.embed_keys(x, phases, 0)));
  EXPECT_TRUE(same(polar.queries_backward(x, grad), polar.queries_backward(x, grad, 0)));
  const auto [of_keys, of_phases] = polar.keys_backward(x, phases, grad);
  const auto [of_keys_at_0, of_phases_at_0] = polar.keys_backward(x, phases, grad, 0);
  EXPECT_TRUE(same(of_keys, of_keys_at_0));
  EXPECT_TRUE(same(of_phases, of_phases_at_0));
}

TEST(PolarEmbedding, SaysWhatDoesNotFit) {
  EXPECT_THROW(PolarEmbedding<float>({.dim = 0}), std::invalid_argument);
  const PolarEmbedding<float> polar({.dim = 4});
  Tensor<float, 4> narrow(1, 2, 3, 3), k(1, 2, 3, 4);
  narrow.setZero();
  k.setZero();
  EXPECT_THROW(polar.embed_queries(narrow), std::invalid_argument);
  Tensor<double, 2> phases(3, 4);
  phases.setZero();
  EXPECT_THROW(polar.embed_keys(k, phases), std::invalid_argument);  // 3 heads for 2
  Tensor<double, 2> few(2, 3);
  few.setZero();
  EXPECT_THROW(polar.embed_keys(k, few), std::invalid_argument);
  phases(0, 0) = std::nan("");
  EXPECT_THROW(polar.embed_keys(k, phases), std::invalid_argument);
  EXPECT_THROW(polar.queries_backward(k, k), std::invalid_argument);  // a gradient of 4 features, not 8
}

}  // namespace
}  // namespace rotary::testing
