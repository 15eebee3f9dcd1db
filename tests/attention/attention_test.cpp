// Attention against loops written down from its formula, its gradients against differences, and its laws.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <rotary/attention.hpp>
#include <rotary/labml.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/attention_module.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

AttentionMask random_mask(Random& random, Index seq_q, Index seq_k, Index batch) {
  Tensor<int, 3> mask(seq_q, seq_k, batch);
  for (Index n = 0; n < mask.size(); ++n)
    mask.data()[n] = random.integer(0, 3) > 0 ? random.integer(1, 9) : 0;
  return mask;
}

// --- against plain loops

/// Attention by its definition, one number at a time. Rotations are written out; the listing's theta has no
/// other source.
struct PlainAttention {
  Index heads, d_model, rotating, rotating_values;
  double base = 10000;
  double xpos_scale_base = 0;
  const AttentionWeights<double>& weights;
  std::function<bool(Index i, Index j, Index b)> visible = [](Index, Index, Index) { return true; };
  std::function<double(Index b, Index h, Index i, Index j)> dropout = [](Index, Index, Index, Index) {
    return 1.0;
  };

  Tokens operator()(const Tokens& query, const Tokens& key, const Tokens& value) const {
    const Index d_k = d_model / heads, seq_q = query.dimension(0), seq_k = key.dimension(0);
    const Tokens q = rotated(project(query, weights.query), rotating, +1, +1);
    const Tokens k = rotated(project(key, weights.key), rotating, +1, -1);
    const Tokens v = rotated(project(value, weights.value), rotating_values, +1, 0);
    Tokens context(seq_q, query.dimension(1), d_model);
    context.setZero();
    for (Index b = 0; b < query.dimension(1); ++b)
      for (Index h = 0; h < heads; ++h)
        for (Index i = 0; i < seq_q; ++i) {
          std::vector<double> weight(static_cast<std::size_t>(seq_k));
          double sum = 0;
          for (Index j = 0; j < seq_k; ++j) {
            double score = 0;
            for (Index f = h * d_k; f < (h + 1) * d_k; ++f) score += q(i, b, f) * k(j, b, f);
            sum += weight[static_cast<std::size_t>(j)] =
                visible(i, j, b) ? std::exp(score / std::sqrt(static_cast<double>(d_k))) : 0;
          }
          if (sum == 0) continue;
          for (Index j = 0; j < seq_k; ++j)
            for (Index f = h * d_k; f < (h + 1) * d_k; ++f)
              context(i, b, f) +=
                  weight[static_cast<std::size_t>(j)] / sum * dropout(b, h, i, j) * v(j, b, f);
        }
    return project(rotated(context, rotating_values, -1, 0), weights.output);
  }

  Tokens project(const Tokens& x, const AttentionWeights<double>::Linear& linear) const {
    Tokens y(x.dimension(0), x.dimension(1), d_model);
    for (Index n = 0; n < x.dimension(0); ++n)
      for (Index b = 0; b < x.dimension(1); ++b)
        for (Index out = 0; out < d_model; ++out) {
          y(n, b, out) = linear.bias.size() > 0 ? linear.bias(out) : 0;
          for (Index in = 0; in < d_model; ++in) y(n, b, out) += linear.weight(out, in) * x(n, b, in);
        }
    return y;
  }

  /// Half pairs of the first `features` of each head, by `sign` times the angle; `exponent_sign` is XPos'.
  Tokens rotated(Tokens x, Index features, int sign, int exponent_sign) const {
    const Index d_k = d_model / heads, half = features / 2;
    for (Index n = 0; n < x.dimension(0); ++n)
      for (Index b = 0; b < x.dimension(1); ++b)
        for (Index h = 0; h < heads; ++h)
          for (Index i = 0; i < half; ++i) {
            const double fraction = 2.0 * static_cast<double>(i) / static_cast<double>(features);
            const double angle = sign * static_cast<double>(n) * std::pow(base, -fraction);
            double scale = 1;
            if (xpos_scale_base > 0 && exponent_sign != 0)
              scale = std::pow((fraction + 0.4) / 1.4,
                               exponent_sign * static_cast<double>(n - x.dimension(0) / 2) / xpos_scale_base);
            double& first = x(n, b, h * d_k + i);
            double& second = x(n, b, h * d_k + i + half);
            const double u = first, v = second;
            first = scale * (u * std::cos(angle) - v * std::sin(angle));
            second = scale * (v * std::cos(angle) + u * std::sin(angle));
          }
    return x;
  }
};

// Sizes on both sides of a block of queries (32) and of a vector, more keys than queries and fewer.
TEST(Attention, MatchesPlainLoops) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  for (const auto& [seq_q, seq_k] :
       {std::pair<Index, Index>{1, 1}, {5, 5}, {31, 31}, {32, 32}, {33, 33}, {70, 70}, {3, 40}, {67, 9}}) {
    for (const bool causal : {false, true}) {
      for (const bool masked : {false, true}) {
        SCOPED_TRACE(std::to_string(seq_q) + " queries, " + std::to_string(seq_k) + " keys, causal " +
                     std::to_string(causal) + ", masked " + std::to_string(masked));
        const Index batch = 2, heads = 2, d_model = 12;
        RotaryValueMultiHeadAttention<double> attention(
            {.heads = heads, .d_model = d_model, .rope_percentage = 0.7, .rope_value_percentage = 0.4});
        randomize(attention, random);
        const Tokens q = random_tokens(random, seq_q, batch, d_model),
                     k = random_tokens(random, seq_k, batch, d_model),
                     v = random_tokens(random, seq_k, batch, d_model);
        Tensor<std::int8_t, 3> mask(seq_q, seq_k, batch);
        for (Index n = 0; n < mask.size(); ++n) mask.data()[n] = random.integer(0, 3) > 0 ? 1 : 0;
        AttendOptions options{.causal = causal};
        if (masked) options.mask = mask;
        const Tokens found = attention.forward(q, k, v, options);
        const PlainAttention plain{.heads = heads,
                                   .d_model = d_model,
                                   .rotating = 4,
                                   .rotating_values = 2,
                                   .weights = attention.weights(),
                                   .visible = [&](Index i, Index j, Index b) {
                                     return (!causal || j <= i) && (!masked || mask(i, j, b) != 0);
                                   }};
        EXPECT_LT(largest_difference(found, plain(q, k, v)), 1e-13);
      }
    }
  }
}

TEST(Attention, MatchesPlainLoopsWithXPosAndDropout) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  const Index seq = 45, batch = 3, heads = 3, d_model = 12, first = 11;
  RotaryMultiHeadAttention<double> attention({.heads = heads,
                                              .d_model = d_model,
                                              .rope_percentage = 1,
                                              .dropout_prob = 0.3,
                                              .bias = false,
                                              .base = 500,
                                              .xpos_scale_base = 40});
  randomize(attention, random);
  const Tokens x = random_tokens(random, seq, batch, d_model);
  const PlainAttention plain{.heads = heads,
                             .d_model = d_model,
                             .rotating = 4,
                             .rotating_values = 0,
                             .base = 500,
                             .xpos_scale_base = 40,
                             .weights = attention.weights(),
                             .visible = [](Index i, Index j, Index) { return j <= i; },
                             .dropout =
                                 [&](Index b, Index h, Index i, Index j) {
                                   std::vector<double> factors(static_cast<std::size_t>(seq));
                                   const detail::AttentionDropout dropout{0.3, 77};
                                   dropout.factors(first + b, h, i, 0, seq, factors.data());
                                   return factors[static_cast<std::size_t>(j)];
                                 }};
  const Tokens found =
      attention.forward(x, x, x, {.causal = true, .dropout_seed = 77, .first_sequence = first});
  EXPECT_LT(largest_difference(found, plain(x, x, x)), 1e-13);
}

// --- gradients

TEST(AttentionGradients, Plain) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  check_gradients(RotaryMultiHeadAttention<double>({.heads = 2, .d_model = 8}), 4, 6, {}, random);
  check_gradients(
      RotaryMultiHeadAttention<double>({.heads = 1, .d_model = 4, .rope_percentage = 0, .bias = false}), 3, 3,
      {}, random);
}

TEST(AttentionGradients, CausalOverSeveralBlocks) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  check_gradients(RotaryMultiHeadAttention<double>({.heads = 1, .d_model = 2, .rope_percentage = 1}), 37, 37,
                  {.causal = true}, random);
}

TEST(AttentionGradients, Masked) {
  Random random(5);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8});
  check_gradients(attention, 5, 6, {.mask = random_mask(random, 5, 6, 2)}, random);
  check_gradients(attention, 5, 6, {.mask = random_mask(random, 1, 6, 1)}, random);
  check_gradients(attention, 5, 6, {.causal = true, .mask = random_mask(random, 1, 6, 2)}, random);
}

TEST(AttentionGradients, WithDropout) {
  Random random(6);
  SCOPED_TRACE(random.replay());
  check_gradients(RotaryMultiHeadAttention<double>({.heads = 2, .d_model = 8, .dropout_prob = 0.4}), 5, 5,
                  {.causal = true, .dropout_seed = 12}, random);
}

TEST(AttentionGradients, WithXPos) {
  Random random(7);
  SCOPED_TRACE(random.replay());
  check_gradients(RotaryMultiHeadAttention<double>(
                      {.heads = 2, .d_model = 8, .rope_percentage = 1, .xpos_scale_base = 8}),
                  6, 6, {.causal = true}, random);
}

// A magnitude multiplies queries and keys, and its gradients; values are rotated back, so that it cancels there.
TEST(AttentionGradients, WithFrequenciesOfAMagnitude) {
  Random random(80);
  SCOPED_TRACE(random.replay());
  const Frequencies frequencies{.values = {0.7, 0.2}, .magnitude = 1.3};
  check_gradients(RotaryMultiHeadAttention<double>({.heads = 1, .d_model = 6, .frequencies = frequencies}), 4,
                  5, {}, random);
  check_gradients(RotaryMultiHeadAttention<double>({.heads = 1,
                                                    .d_model = 4,
                                                    .rope_value_percentage = 1,
                                                    .frequencies = frequencies,
                                                    .xpos_scale_base = 8}),
                  5, 5, {.causal = true}, random);
}

TEST(AttentionGradients, WithRotatedValues) {
  Random random(8);
  SCOPED_TRACE(random.replay());
  check_gradients(RotaryValueMultiHeadAttention<double>({.heads = 2, .d_model = 8}), 4, 6, {}, random);
  check_gradients(RotaryValueMultiHeadAttention<double>({.heads = 1,
                                                         .d_model = 6,
                                                         .rope_percentage = 0.4,
                                                         .rope_value_percentage = 1,
                                                         .dropout_prob = 0.2}),
                  5, 5, {.causal = true, .dropout_seed = 3}, random);
}

/// The largest difference from the exact gradients, relative to the largest of them or 1, and where it is.
struct FloatError {
  double largest = 0;
  std::string where;

  template <class Found, class Exact>
  void look_at(const std::string& name, const Found& found, const Exact& exact) {
    double scale = 1;
    for (Index n = 0; n < exact.size(); ++n) scale = std::max(scale, std::fabs(exact.data()[n]));
    const double error = largest_difference(found, exact) / scale;
    if (!(error <= largest)) largest = error, where = name;
  }
};

/// Gradients in float against the same in double, from the same numbers.
FloatError float_gradient_error(const RotaryMultiHeadAttentionOptions& options, Index seq,
                                const AttendOptions& how, std::uint64_t seed) {
  RotaryMultiHeadAttention<float> in_float(options, seed);
  RotaryMultiHeadAttention<double> in_double(options);
  std::vector<float> weights;
  in_float.weights().for_each([&](const char*, auto& parameter) {
    parameter *= std::sqrt(3.f);  // of variance 1/d_model, as in trained models: larger scores, larger errors
    weights.insert(weights.end(), parameter.data(), parameter.data() + parameter.size());
  });
  auto next = weights.begin();
  in_double.weights().for_each([&](const char*, auto& parameter) {
    std::copy_n(next, parameter.size(), parameter.data());
    next += parameter.size();
  });
  Random random(seed * 7919 + static_cast<std::uint64_t>(options.d_model * 31 + seq));
  Tensor<float, 3> x(seq, 2, options.d_model), grad_out(seq, 2, options.d_model);
  random.fill(x), random.fill(grad_out);
  const Tokens exact_x = x.cast<double>(), exact_grad_out = grad_out.cast<double>();

  AttentionActivations<float> activations;
  AttentionActivations<double> exact_activations;
  auto of_weights = in_float.make_gradients();
  auto exact_of_weights = in_double.make_gradients();
  in_float.forward(x, x, x, how, activations);
  in_double.forward(exact_x, exact_x, exact_x, how, exact_activations);
  const auto found = in_float.backward(grad_out, activations, of_weights);
  const auto exact = in_double.backward(exact_grad_out, exact_activations, exact_of_weights);

  FloatError error;
  error.look_at("query", found.query, exact.query);
  error.look_at("key", found.key, exact.key);
  error.look_at("value", found.value, exact.value);
  std::vector<Eigen::VectorXd> exact_list;
  exact_of_weights.for_each([&](const char*, const auto& gradient) {
    exact_list.emplace_back(Eigen::VectorXd::Map(gradient.data(), gradient.size()));
  });
  std::size_t at = 0;
  of_weights.for_each(
      [&](const char* name, const auto& gradient) { error.look_at(name, gradient, exact_list.at(at++)); });
  return error;
}

// If few keys have nearly all the probability, the two terms of a score's gradient cancel: each row must be
// combined with its own sums. The terms of a bias cancel along a sequence.
TEST(AttentionGradients, InFloatAreNearTheExactOnes) {
  for (const Index d_model : {4, 8, 16, 32, 64})
    for (const Index heads : {1, 2, 4})
      for (const Index seq : {2, 3, 8, 40, 200})
        for (const bool causal : {false, true}) {
          if (d_model / heads % 2 != 0) continue;
          if (d_model == 64 && seq > 3) continue;  // the sums of float projections alone come near the bound
          for (std::uint64_t seed = 1; seed <= (seq > 50 ? 5u : 30u); ++seed) {
            const FloatError error = float_gradient_error(
                {.heads = heads, .d_model = d_model, .rope_percentage = 1}, seq, {.causal = causal}, seed);
            EXPECT_LE(error.largest, 2e-6) << error.where << ", d_model " << d_model << ", heads " << heads
                                           << ", seq " << seq << ", causal " << causal << ", seed " << seed;
          }
        }
}

TEST(AttentionGradients, AddToThoseOfTheWeights) {
  Random random(9);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8}, 5);
  const Tokens x = random_tokens(random, 5, 2, 8), w = random_tokens(random, 5, 2, 8);
  AttentionActivations<double> activations;
  attention.forward(x, x, x, {}, activations);
  auto once = attention.make_gradients(), twice = attention.make_gradients();
  const auto grad = attention.backward(w, activations, once);
  attention.backward(w, activations, twice);
  const auto again = attention.backward(w, activations, twice);
  EXPECT_EQ(largest_difference(grad.query, again.query), 0);
  EXPECT_LT((2 * once.query.weight - twice.query.weight).cwiseAbs().maxCoeff(), 1e-14);
  EXPECT_LT((2 * once.output.bias - twice.output.bias).cwiseAbs().maxCoeff(), 1e-14);
  twice.set_zero();
  twice.for_each(
      [](const char* name, const auto& gradient) { EXPECT_EQ(gradient.cwiseAbs().sum(), 0) << name; });
}

TEST(AttentionGradients, OneTensorForSeveralArgumentsReceivesTheirSum) {
  Random random(10);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8}, 6);
  const Tokens x = random_tokens(random, 5, 2, 8), w = random_tokens(random, 5, 2, 8);
  AttentionActivations<double> activations;
  attention.forward(x, x, x, {.causal = true}, activations);
  auto gradients = attention.make_gradients();
  const auto parts = attention.backward(w, activations, gradients);
  Tokens a(5, 2, 8), b(5, 2, 8);
  attention.backward_into(w, activations, gradients, a, a, a);
  EXPECT_LT(largest_difference(a, Tokens(parts.query + parts.key + parts.value)), 1e-14);
  attention.backward_into(w, activations, gradients, a, b, a);
  EXPECT_LT(largest_difference(a, Tokens(parts.query + parts.value)), 1e-14);
  EXPECT_EQ(largest_difference(b, parts.key), 0);
  attention.backward_into(w, activations, gradients, a, b, b);
  EXPECT_LT(largest_difference(b, Tokens(parts.key + parts.value)), 1e-14);
  EXPECT_EQ(largest_difference(a, parts.query), 0);
}

TEST(AttentionGradients, OfScores) {
  Random random(11);
  SCOPED_TRACE(random.replay());
  for (const std::optional<double> xpos : {std::optional<double>{}, std::optional<double>{20}}) {
    const RotaryMultiHeadAttention<double> attention(
        {.heads = 2, .d_model = 12, .rope_percentage = 0.7, .xpos_scale_base = xpos});
    const Index seq_k = xpos ? 4 : 6;
    Tensor<double, 4> q(4, 2, 2, 6), k(seq_k, 2, 2, 6), w(4, seq_k, 2, 2);
    random.fill(q), random.fill(k), random.fill(w);
    const auto grad = attention.get_scores_backward(q, k, w);
    const auto loss = [&] {
      const Tensor<double, 4> scores = attention.get_scores(q, k);
      double sum = 0;
      for (Index n = 0; n < w.size(); ++n) sum += scores.data()[n] * w.data()[n];
      return sum;
    };
    const auto check = [&](Tensor<double, 4>& x, const Tensor<double, 4>& gradient) {
      for (Index n = 0; n < x.size(); ++n) {
        const double before = x.data()[n], step = 1e-4;
        x.data()[n] = before + step;
        const double above = loss();
        x.data()[n] = before - step;
        const double below = loss();
        x.data()[n] = before;
        EXPECT_NEAR(gradient.data()[n], (above - below) / (2 * step), 1e-9);
      }
    };
    check(q, grad.query);
    check(k, grad.key);
  }
}

// --- laws

TEST(AttentionLaws, ScoresDependOnTheDistanceAlone) {
  Random random(12);
  SCOPED_TRACE(random.replay());
  for (const std::optional<double> xpos : {std::optional<double>{}, std::optional<double>{30}}) {
    const RotaryMultiHeadAttention<double> attention(
        {.heads = 2, .d_model = 16, .rope_percentage = 1, .xpos_scale_base = xpos});
    Tensor<double, 1> one(8), other(8);
    random.fill(one), random.fill(other);
    Tensor<double, 4> q(20, 1, 2, 8), k(20, 1, 2, 8);
    for (Index n = 0; n < 20; ++n)
      for (Index h = 0; h < 2; ++h)
        for (Index f = 0; f < 8; ++f) q(n, 0, h, f) = one(f), k(n, 0, h, f) = other(f);
    const Tensor<double, 4> scores = attention.get_scores(q, k);
    bool varies = false;
    for (Index i = 1; i < 20; ++i)
      for (Index j = 1; j < 20; ++j) {
        EXPECT_NEAR(scores(i, j, 0, 1), scores(i - 1, j - 1, 0, 1), 1e-12);
        varies = varies || std::abs(scores(i, j, 0, 0) - scores(i, j - 1, 0, 0)) > 1e-3;
      }
    EXPECT_TRUE(varies);
  }
}

// The same tokens further on in the sequence, everything else hidden, have the same results: of scores, and
// of values rotated forth and back.
TEST(AttentionLaws, ResultsDependOnDistancesAlone) {
  Random random(13);
  SCOPED_TRACE(random.replay());
  const Index length = 6, seq = 40, shift = 29, d_model = 8;
  const RotaryValueMultiHeadAttention<double> attention(
      {.heads = 2, .d_model = d_model, .rope_percentage = 1, .rope_value_percentage = 1}, 3);
  const Tokens x = random_tokens(random, length, 1, d_model);
  Tokens later = random_tokens(random, seq, 1, d_model);
  Tensor<bool, 3> mask(1, seq, 1);
  mask.setConstant(false);
  for (Index n = 0; n < length; ++n) {
    mask(0, n + shift, 0) = true;
    for (Index f = 0; f < d_model; ++f) later(n + shift, 0, f) = x(n, 0, f);
  }
  const Tokens y = attention.forward(x, x, x), z = attention.forward(later, later, later, {.mask = mask});
  for (Index n = 0; n < length; ++n)
    for (Index f = 0; f < d_model; ++f) EXPECT_NEAR(y(n, 0, f), z(n + shift, 0, f), 1e-13);
}

TEST(AttentionLaws, WhatIsHiddenHasNoInfluence) {
  Random random(14);
  SCOPED_TRACE(random.replay());
  const Index seq = 50, d_model = 8;
  const RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = d_model}, 4);
  Tensor<float, 3> x(seq, 1, d_model);
  random.fill(x);
  Tensor<float, 3> changed = x;
  for (Index n = 20; n < seq; ++n)
    for (Index f = 0; f < d_model; ++f) changed(n, 0, f) = static_cast<float>(1e4 * random.normal());
  const auto y = attention.forward(x, x, x, {.causal = true}),
             z = attention.forward(changed, changed, changed, {.causal = true});
  for (Index n = 0; n < 20; ++n)
    for (Index f = 0; f < d_model; ++f) EXPECT_EQ(y(n, 0, f), z(n, 0, f));
  Tensor<int, 3> mask(1, seq, 1);
  for (Index n = 0; n < seq; ++n) mask(0, n, 0) = n < 20;
  const auto u = attention.forward(x, x, x, {.mask = mask}),
             v = attention.forward(x, changed, changed, {.mask = mask});
  EXPECT_EQ(largest_difference(u, v), 0);
}

TEST(AttentionLaws, CausalIsAMask) {
  Random random(15);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8}, 4);
  const Tokens x = random_tokens(random, 41, 2, 8);
  Tensor<std::uint8_t, 3> mask(41, 41, 1);
  for (Index i = 0; i < 41; ++i)
    for (Index j = 0; j < 41; ++j) mask(i, j, 0) = j <= i;
  EXPECT_LT(largest_difference(attention.forward(x, x, x, {.causal = true}),
                               attention.forward(x, x, x, {.mask = mask})),
            1e-14);
}

// labml returns NaN there, which would then spread over the whole model. Here the output projection gets 0,
// since no value was added up.
TEST(AttentionLaws, AQueryThatSeesNoKeyGathersZeros) {
  Random random(16);
  SCOPED_TRACE(random.replay());
  RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8});
  randomize(attention, random);
  const Tokens q = random_tokens(random, 3, 2, 8), k = random_tokens(random, 4, 2, 8),
               w = random_tokens(random, 3, 2, 8);
  Tensor<int, 3> mask(3, 4, 2);
  mask.setConstant(1);
  for (Index j = 0; j < 4; ++j) mask(1, j, 0) = 0;
  AttentionActivations<double> activations;
  const Tokens y = attention.forward(q, k, k, {.mask = mask}, activations);
  auto gradients = attention.make_gradients();
  const auto grad = attention.backward(w, activations, gradients);
  for (Index f = 0; f < 8; ++f) {
    EXPECT_EQ(y(1, 0, f), attention.weights().output.bias(f));
    EXPECT_EQ(grad.query(1, 0, f), 0);
    EXPECT_NE(grad.query(1, 1, f), 0);
  }
  for (const Tokens* x : {&y, &grad.query, &grad.key, &grad.value})
    for (Index n = 0; n < x->size(); ++n) EXPECT_TRUE(std::isfinite(x->data()[n]));

  const Tokens nothing(0, 2, 8);
  const Tokens alone = attention.forward(q, nothing, nothing);
  for (Index n = 0; n < alone.size(); ++n) EXPECT_EQ(alone.data()[n], attention.weights().output.bias(n % 8));
  EXPECT_EQ(attention.forward(nothing, k, k).size(), 0);
  EXPECT_EQ(attention.forward(Tokens(3, 0, 8), Tokens(4, 0, 8), Tokens(4, 0, 8)).size(), 0);
}

TEST(AttentionLaws, ScoresFarApartDoNotOverflow) {
  RotaryMultiHeadAttention<float> attention({.heads = 1, .d_model = 2, .rope_percentage = 0});
  attention.weights().set_zero();
  for (auto* linear : {&attention.weights().query, &attention.weights().key, &attention.weights().value,
                       &attention.weights().output})
    linear->weight.setIdentity();
  Tensor<float, 3> x(2, 1, 2);
  x.setValues({{{300, 0}}, {{-300, 1}}});
  const auto y = attention.forward(x, x, x);
  EXPECT_FLOAT_EQ(y(0, 0, 0), 300);
  EXPECT_FLOAT_EQ(y(1, 0, 0), -300);
}

// --- dropout and threads

TEST(AttentionDropout, DropsAsOftenAsItShould) {
  const detail::AttentionDropout dropout{0.3, 5};
  std::vector<float> factors(1000);
  Index dropped = 0;
  const Index rows = 500;
  for (Index row = 0; row < rows; ++row) {
    dropout.factors(row % 7, row % 5, row, 0, 1000, factors.data());
    for (const float factor : factors) {
      EXPECT_TRUE(factor == 0 || factor == static_cast<float>(1 / 0.7));
      dropped += factor == 0;
    }
  }
  // Half a million of them: five deviations are 0.0032.
  EXPECT_NEAR(static_cast<double>(dropped) / 1000 / static_cast<double>(rows), 0.3, 0.0033);
}

// Adjacent probabilities, along every index, are practically independent.
TEST(AttentionDropout, PlacesAreIndependent) {
  const Index count = 4096;
  const auto draw = [&](std::uint64_t seed, Index sequence, Index head, Index row) {
    std::vector<double> factors(static_cast<std::size_t>(count));
    detail::AttentionDropout{0.5, seed}.factors(sequence, head, row, 0, count, factors.data());
    return factors;
  };
  const std::vector<double> here = draw(1, 2, 3, 4);
  const auto agreement = [&](const std::vector<double>& there, std::size_t lag) {
    double same = 0;
    for (std::size_t n = 0; n + lag < here.size(); ++n) same += here[n + lag] == there[n];
    return same / static_cast<double>(here.size() - lag);
  };
  const double deviation = 0.5 / std::sqrt(static_cast<double>(count));
  for (const auto& there :
       {draw(2, 2, 3, 4), draw(1, 3, 3, 4), draw(1, 2, 4, 4), draw(1, 2, 3, 5), draw(1, 3, 2, 4)})
    for (std::size_t lag = 0; lag < 8; ++lag) EXPECT_NEAR(agreement(there, lag), 0.5, 6 * deviation) << lag;
  for (std::size_t lag = 1; lag < 64; ++lag) EXPECT_NEAR(agreement(here, lag), 0.5, 6 * deviation) << lag;
  EXPECT_EQ(agreement(draw(1, 2, 3, 4), 0), 1);
}

TEST(AttentionDropout, OnlyWithASeed) {
  Random random(17);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8, .dropout_prob = 0.5}, 4);
  const RotaryMultiHeadAttention<double> without({.heads = 2, .d_model = 8, .dropout_prob = 0}, 4);
  const Tokens x = random_tokens(random, 9, 2, 8);
  const Tokens y = attention.forward(x, x, x);
  EXPECT_EQ(largest_difference(y, without.forward(x, x, x, {.dropout_seed = 1})), 0);
  const Tokens one = attention.forward(x, x, x, {.dropout_seed = 1});
  EXPECT_GT(largest_difference(y, one), 0.01);
  EXPECT_GT(largest_difference(one, attention.forward(x, x, x, {.dropout_seed = 2})), 0.01);
  EXPECT_EQ(largest_difference(one, attention.forward(x, x, x, {.dropout_seed = 1})), 0);
}

// Each thread takes some sequences of the batch, with one object between them; dropout is that of the whole.
TEST(AttentionThreads, PartsOfABatchAreTheWhole) {
  Random random(18);
  SCOPED_TRACE(random.replay());
  const Index seq = 40, batch = 4, d_model = 16;
  const RotaryValueMultiHeadAttention<double> attention({.heads = 4, .d_model = d_model, .dropout_prob = 0.1},
                                                        8);
  const Tokens x = random_tokens(random, seq, batch, d_model), w = random_tokens(random, seq, batch, d_model);
  AttentionActivations<double> activations;
  const Tokens y = attention.forward(x, x, x, {.causal = true, .dropout_seed = 9}, activations);
  auto gradients = attention.make_gradients();
  Tokens grad_x(seq, batch, d_model);
  attention.backward_into(w, activations, gradients, grad_x, grad_x, grad_x);

  Tokens parts_y(seq, batch, d_model), parts_grad_x(seq, batch, d_model);
  std::vector<AttentionWeights<double>> parts_gradients(static_cast<std::size_t>(batch),
                                                        attention.make_gradients());
  std::vector<std::thread> threads;
  for (Index b = 0; b < batch; ++b) {
    threads.emplace_back([&, b] {
      // A view of sequence b: no copy is made of the batch.
      const auto part = [&](auto view) { return view.slice(1, b, 1); };
      AttentionActivations<double> own;
      const auto in = part(view_of(x)), grad_out = part(view_of(w));
      const auto out = part(view_of(parts_y)), grad_in = part(view_of(parts_grad_x));
      attention.forward_into(in, in, in, out, {.causal = true, .dropout_seed = 9, .first_sequence = b}, own);
      attention.backward_into(grad_out, own, parts_gradients[static_cast<std::size_t>(b)], grad_in, grad_in,
                              grad_in);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(largest_difference(y, parts_y), 1e-14);
  EXPECT_LT(largest_difference(grad_x, parts_grad_x), 1e-13);
  for (std::size_t b = 1; b < parts_gradients.size(); ++b)
    parts_gradients[0].query.weight += parts_gradients[b].query.weight;
  EXPECT_LT((gradients.query.weight - parts_gradients[0].query.weight).cwiseAbs().maxCoeff(), 1e-12);
}

// --- tensors

TEST(AttentionTensors, OfAnyKindGiveTheSameBits) {
  Random random(19);
  SCOPED_TRACE(random.replay());
  const Index seq = 7, batch = 3, d_model = 8;
  const RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = d_model}, 2);
  Tensor<float, 3> x(seq, batch, d_model), w(seq, batch, d_model);
  random.fill(x), random.fill(w);
  AttentionActivations<float> activations;
  const auto y = attention.forward(x, x, x, {}, activations);
  auto gradients = attention.make_gradients();
  const auto grad = attention.backward(w, activations, gradients);

  const Eigen::Tensor<float, 3> column_major = x.swap_layout().shuffle(std::array<int, 3>{2, 1, 0});
  EXPECT_EQ(largest_difference(attention.forward(column_major, column_major, column_major), y), 0);
  std::vector<float> wide(static_cast<std::size_t>(seq * batch * d_model * 3),
                          std::numeric_limits<float>::quiet_NaN());
  const StridedView<float> strided(wide.data() + 1, {seq, batch, d_model}, {3, seq * 3, batch * seq * 3});
  detail::copy_elements(detail::const_view_of(x), strided);
  EXPECT_EQ(largest_difference(attention.forward(strided, x, strided), y), 0);
  const Eigen::TensorMap<Tensor<float, 3>> map(x.data(), seq, batch, d_model);
  EXPECT_EQ(largest_difference(attention.forward(map, map, map), y), 0);

  AttentionActivations<float> others;
  attention.forward_into(strided, strided, strided, strided, {}, others);  // the result where the inputs were
  Tensor<float, 3> packed(seq, batch, d_model);
  detail::copy_elements(StridedView<const float>(strided), view_of(packed));
  EXPECT_EQ(largest_difference(packed, y), 0);
  auto other_gradients = attention.make_gradients();
  attention.backward_into(w, others, other_gradients, strided, w, w);
  detail::copy_elements(StridedView<const float>(strided), view_of(packed));
  EXPECT_EQ(largest_difference(packed, grad.query), 0);
}

// Means and variances are within five deviations of what uniform numbers from ±1/√in have.
TEST(AttentionWeightsTest, StartAsThoseOfNnLinear) {
  const double in = 64, bound = 1 / std::sqrt(in), variance = bound * bound / 3;
  const auto expect_uniform = [&](const auto& numbers) {
    const double count = static_cast<double>(numbers.size());
    EXPECT_LE(numbers.cwiseAbs().maxCoeff(), bound);
    EXPECT_GT(numbers.cwiseAbs().maxCoeff(), bound * (1 - 10 / count));
    EXPECT_NEAR(numbers.mean(), 0, 5 * std::sqrt(variance / count));
    // The fourth moment of these numbers is bound^4 / 5, and so the variance of a square is 4/45 bound^4.
    EXPECT_NEAR(numbers.squaredNorm() / count, variance, 5 * bound * bound * std::sqrt(4 / 45. / count));
  };
  Eigen::VectorXd biases(40 * 4 * 64);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 64}, seed);
    Index row = static_cast<Index>(seed) * 4;
    for (const auto* linear : {&attention.weights().query, &attention.weights().key,
                               &attention.weights().value, &attention.weights().output}) {
      if (seed < 3) expect_uniform(linear->weight);
      biases.segment(64 * row++, 64) = linear->bias.transpose();
    }
  }
  expect_uniform(biases);
}

// These numbers change if the generator does. What was trained from a seed could then not be trained again.
TEST(AttentionWeightsTest, ASeedGivesTheSameWeightsOnEveryMachine) {
  const RotaryMultiHeadAttention<double> attention({.heads = 1, .d_model = 4}, 1);
  EXPECT_EQ(attention.weights().query.weight(0, 0), 0x1.10a2dec890258p-4);
  EXPECT_EQ(attention.weights().query.weight(0, 1), 0x1.f75c6d0b2c774p-3);
  EXPECT_EQ(attention.weights().key.weight(0, 0), -0x1.bc74ee5e685ap-2);
  EXPECT_EQ(attention.weights().output.bias(0), 0x1.fbd96359554a8p-4);
}

TEST(AttentionWeightsTest, InitialiseFromASeed) {
  RotaryMultiHeadAttention<double> one({.heads = 2, .d_model = 64}, 1), other({.heads = 2, .d_model = 64}, 2);
  EXPECT_NE(one.weights().query.weight(0, 0), other.weights().query.weight(0, 0));
  other.weights().initialize(1);
  EXPECT_EQ((one.weights().output.weight - other.weights().output.weight).cwiseAbs().maxCoeff(), 0);
  std::vector<std::string> names;
  const AttentionWeights<float> without(4, false);
  without.for_each([&](const char* name, const auto&) { names.emplace_back(name); });
  EXPECT_EQ(names,
            (std::vector<std::string>{"query.linear.weight", "key.linear.weight", "value.linear.weight",
                                      "value.linear.bias", "output.weight", "output.bias"}));
}

// --- errors

TEST(AttentionErrors, NameWhatWasFoundAndWhatWasWanted) {
  using Attention = RotaryMultiHeadAttention<float>;
  using ValueAttention = RotaryValueMultiHeadAttention<float>;
  EXPECT_EQ(error_of_call([] { Attention({.heads = 3, .d_model = 16}); }),
            "rotary: d_model is 16 and heads is 3; both must be positive, and d_model a multiple of heads");
  EXPECT_THROW(Attention({.heads = 0, .d_model = 16}), std::invalid_argument);
  EXPECT_EQ(error_of_call([] { Attention({.heads = 2, .d_model = 12}); }),
            "rotary: rope_percentage is 0.5, so that 3 of the 6 features of a head would rotate; the number "
            "must be even");
  EXPECT_EQ(error_of_call([] { ValueAttention({.heads = 2, .d_model = 12, .rope_percentage = 1}); }),
            "rotary: rope_value_percentage is 0.5, so that 3 of the 6 features of a head would rotate; the "
            "number must be even");
  EXPECT_EQ(error_of_call([] { Attention({.heads = 2, .d_model = 12, .rope_percentage = 1.5}); }),
            "rotary: rope_percentage is 1.5, it must be between 0 and 1");
  EXPECT_THROW(Attention({.heads = 2, .d_model = 12, .rope_percentage = std::nan("")}),
               std::invalid_argument);
  EXPECT_EQ(error_of_call([] { Attention({.heads = 2, .d_model = 8, .dropout_prob = 1}); }),
            "rotary: dropout_prob is 1, it must be at least 0 and below 1");

  const Attention attention({.heads = 2, .d_model = 8});
  Tensor<float, 3> x(4, 2, 8), y(5, 2, 8), narrow(4, 2, 6), other_batch(4, 3, 8);
  x.setConstant(1), y.setConstant(1), narrow.setConstant(1), other_batch.setConstant(1);
  AttentionActivations<float> activations;
  auto gradients = attention.make_gradients();
  EXPECT_EQ(error_of_call([&] { attention.forward(narrow, x, x); }),
            "rotary: query has shape [4, 2, 6], it must be [any, any, 8]");
  EXPECT_EQ(error_of_call([&] { attention.forward(x, other_batch, x); }),
            "rotary: key has shape [4, 3, 8], it must be [any, 2, 8]");
  EXPECT_EQ(error_of_call([&] { attention.forward(x, x, y); }),
            "rotary: value has shape [5, 2, 8], it must be [4, 2, 8]");
  EXPECT_EQ(error_of_call([&] { attention.forward_into(x, y, y, y, {}, activations); }),
            "rotary: the result has shape [5, 2, 8], it must be [4, 2, 8]");
  float one = 0;
  EXPECT_EQ(
      error_of_call([&] {
        attention.forward_into(x, x, x, StridedView<float>(&one, {4, 2, 8}, {0, 0, 0}), {}, activations);
      }),
      "rotary: the result has elements that share memory");
  Tensor<int, 3> mask(4, 5, 2);
  mask.setConstant(1);
  EXPECT_EQ(error_of_call([&] { attention.forward(x, x, x, {.mask = mask}); }),
            "rotary: the mask has shape [4, 5, 2], it must be [4 or 1, 4, 2 or 1]");
  EXPECT_EQ(error_of_call([&] { AttentionMask(Tensor<int, 2>(4, 4)); }),
            "rotary: the mask has shape [4, 4], it must be [seq_q or 1, seq_k, batch or 1]");

  EXPECT_EQ(error_of_call([&] { attention.backward(Tensor<float, 3>(0, 0, 8), activations, gradients); }),
            "rotary: these activations are not of a forward pass of this attention");
  attention.forward(x, y, y, {}, activations);
  EXPECT_EQ(error_of_call([&] { attention.backward(y, activations, gradients); }),
            "rotary: the gradient has shape [5, 2, 8], it must be [4, 2, 8]");
  EXPECT_EQ(error_of_call([&] { attention.backward_into(x, activations, gradients, x, x, y); }),
            "rotary: the gradient of key has shape [4, 2, 8], it must be [5, 2, 8]");
  const Attention four_heads({.heads = 4, .d_model = 8, .rope_percentage = 1});
  EXPECT_EQ(error_of_call([&] { four_heads.backward(x, activations, gradients); }),
            "rotary: these activations are not of a forward pass of this attention");
  AttentionWeights<float> unbiased(8, false);
  EXPECT_EQ(error_of_call([&] { attention.backward(x, activations, unbiased); }),
            "rotary: the gradients of the weights are [8, 8] with a bias of 0, they must be [8, 8] with a "
            "bias of 8");
  std::vector<float> both(200);
  const StridedView<float> at_0(both.data(), {5, 2, 8}), at_8(both.data() + 8, {5, 2, 8});
  EXPECT_EQ(error_of_call([&] { attention.backward_into(x, activations, gradients, x, at_0, at_8); }),
            "rotary: gradients to be written overlap; they must be the same tensor or apart");
  gradients.for_each([](const char* name, const auto& gradient) {
    EXPECT_EQ(gradient.cwiseAbs().sum(), 0) << name << " was written to before the error was found";
  });

  const Attention xpos({.heads = 2, .d_model = 8, .xpos_scale_base = 512});
  EXPECT_EQ(error_of_call([&] { xpos.forward(x, y, y); }),
            "rotary: found 4 queries and 5 keys, with XPos they must be as many");
  EXPECT_THROW(attention.get_scores(Tensor<float, 4>(4, 2, 2, 3), Tensor<float, 4>(4, 2, 2, 4)),
               std::invalid_argument);
}

// After a forward pass that threw, backward throws: its activations are incomplete.
TEST(AttentionErrors, AFailedForwardHasNoBackward) {
  const RotaryMultiHeadAttention<float> attention(
      {.heads = 1, .d_model = 2, .rope_percentage = 1, .xpos_scale_base = 0.02});
  Tensor<float, 3> x(2, 1, 2), longer(4, 1, 2), y(4, 1, 2);
  x.setConstant(1), longer.setConstant(1);
  AttentionActivations<float> activations;
  auto gradients = attention.make_gradients();
  attention.forward(x, x, x, {}, activations);
  EXPECT_THROW(attention.forward_into(longer, longer, longer, y, {}, activations), std::invalid_argument);
  EXPECT_THROW(attention.backward(longer, activations, gradients), std::invalid_argument);
}

// --- labml's rotations

TEST(RotaryPositionalEmbeddings, TakesAnyTensorWithTheSequenceFirst) {
  Random random(21);
  SCOPED_TRACE(random.replay());
  const RotaryPositionalEmbeddings<double> rotary_pe(4);
  Tensor<double, 4> x(9, 2, 3, 6);
  random.fill(x);
  const Tensor<double, 4> y = rotary_pe(x);
  for (Index n = 0; n < 9; ++n)
    for (Index f = 4; f < 6; ++f) EXPECT_EQ(y(n, 1, 2, f), x(n, 1, 2, f));
  const Eigen::Tensor<double, 4> column_major = x.swap_layout().shuffle(std::array<int, 4>{3, 2, 1, 0});
  const Eigen::Tensor<double, 4> column_major_y = rotary_pe(column_major);
  Eigen::MatrixXd matrix(9, 6);
  for (Index n = 0; n < 9; ++n)
    for (Index f = 0; f < 6; ++f) matrix(n, f) = x(n, 1, 2, f);
  const Eigen::MatrixXd rotated = rotary_pe(matrix);
  for (Index n = 0; n < 9; ++n)
    for (Index f = 0; f < 6; ++f) {
      EXPECT_EQ(rotated(n, f), y(n, 1, 2, f));
      EXPECT_EQ(column_major_y(n, 1, 2, f), y(n, 1, 2, f));
    }
  Tensor<Eigen::bfloat16, 3> half(5, 2, 4);
  half.setConstant(Eigen::bfloat16(1.f));
  EXPECT_EQ(static_cast<float>(rotary_pe(half)(1, 0, 1)), static_cast<float>(Eigen::bfloat16(0.98994988f)));
}

TEST(RotaryPositionalEmbeddings, DirectionsUndoEachOther) {
  Random random(22);
  SCOPED_TRACE(random.replay());
  const RotaryPositionalEmbeddings<double> forth(6, 300);
  const ReverseRotaryPositionalEmbeddings<double> back(6, 300);
  const RotaryPositionalEmbeddingsListing<double> listing(5);
  Tensor<double, 4> x(9, 1, 2, 6);
  random.fill(x);
  EXPECT_EQ(largest_difference(back(x), forth(x, Direction::inverse)), 0);
  EXPECT_EQ(largest_difference(back(x, Direction::inverse), forth(x)), 0);
  EXPECT_EQ(largest_difference(back(x, Direction::transpose), forth(x)), 0);
  EXPECT_LT(largest_difference(back(forth(x)), x), 1e-15);
  EXPECT_LT(largest_difference(listing(listing(x), Direction::inverse), x), 1e-15);
  EXPECT_GT(largest_difference(forth(x), x), 0.1);
}

// Without keys there are no scores, and the gradients of queries are 0.
TEST(AttentionGradients, OfScoresWithoutKeys) {
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8}, 5);
  Tensor<double, 4> q(3, 1, 2, 4);
  q.setConstant(1);
  const auto grad =
      attention.get_scores_backward(q, Tensor<double, 4>(0, 1, 2, 4), Tensor<double, 4>(3, 0, 1, 2));
  EXPECT_EQ(grad.key.size(), 0);
  for (Index n = 0; n < q.size(); ++n) EXPECT_EQ(grad.query.data()[n], 0);
}

TEST(RotaryPositionalEmbeddings, GradientsWithRespectToTheta) {
  Random random(23);
  SCOPED_TRACE(random.replay());
  Tensor<double, 4> x(7, 2, 2, 6), w(7, 2, 2, 6);
  random.fill(x), random.fill(w);
  const auto check = [&](auto module) {
    const std::vector<double> gradient = module.theta_gradient(x, w);
    const std::vector<double> theta = module.theta();
    ASSERT_EQ(gradient.size(), theta.size());
    const auto loss = [&](std::size_t changed, double by) {
      std::vector<double> moved = theta;
      moved[changed] += by;
      module.set_theta(moved);
      const Tensor<double, 4> y = module(x);
      double sum = 0;
      for (Index n = 0; n < y.size(); ++n) sum += y.data()[n] * w.data()[n];
      return sum;
    };
    for (std::size_t i = 0; i < theta.size(); ++i)
      EXPECT_NEAR(gradient[i], (loss(i, 1e-5) - loss(i, -1e-5)) / 2e-5, 1e-6) << i;
  };
  check(RotaryPositionalEmbeddings<double>(6));
  check(ReverseRotaryPositionalEmbeddings<double>(4));
  check(RotaryPositionalEmbeddingsListing<double>(5));
}

TEST(RotaryPositionalEmbeddings, Errors) {
  EXPECT_EQ(error_of_call([] {
              RotaryPositionalEmbeddings<float>(6).set_theta(std::array{1.0, 0.1});
            }),
            "rotary: found 2 frequencies, there must be 3");
  EXPECT_EQ(error_of_call([] { RotaryPositionalEmbeddings<float>(3); }),
            "rotary: d is 3, it must be even; an odd d is what RotaryPositionalEmbeddingsListing, labml's "
            "first version, takes");
  EXPECT_THROW(ReverseRotaryPositionalEmbeddings<float>(5), std::invalid_argument);
  EXPECT_THROW(RotaryPositionalEmbeddings<float>(0), std::invalid_argument);
  EXPECT_THROW(RotaryPositionalEmbeddings<float>(-2), std::invalid_argument);
  EXPECT_THROW(RotaryPositionalEmbeddings<float>(4, -1), std::invalid_argument);
  Tensor<float, 4> x(3, 1, 1, 4);
  x.setConstant(1);
  EXPECT_THROW(static_cast<void>(RotaryPositionalEmbeddings<float>(6)(x)), std::invalid_argument);
  EXPECT_EQ(error_of_call([&] { static_cast<void>(RotaryPositionalEmbeddingsListing<float>(2)(x)); }),
            "rotary: found 4 features, labml's first version rotates exactly 2 with this d");
  EXPECT_THROW(RotaryPositionalEmbeddingsListing<float>(5).rotate_in_place(x), std::invalid_argument);
  EXPECT_NO_THROW(RotaryPositionalEmbeddingsListing<float>(4).rotate_in_place(x));
}

}  // namespace
}  // namespace rotary::testing
