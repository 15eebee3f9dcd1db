// Every option of RotaryMultiHeadAttention against loops written down from its formula, and gradients against differences.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <rotary/attention.hpp>
#include <rotary/presets.hpp>
#include <string>
#include <vector>

#include "support/attention_module.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

using Options = RotaryMultiHeadAttentionOptions;

/// Attention by its definition, one number at a time, in double. Rotations are those of given pairs of features.
struct PlainModule {
  const Options& options;
  const AttentionWeights<double>& weights;
  bool causal = false, rotate = true;
  std::function<double(Index head, Index i, Index j, double score)> score_function =
      [](Index, Index, Index, double score) { return score; };
  Tensor<double, 4> probabilities = {};  // [seq_q, seq_k, batch, heads], of the last call

  Index d_k() const { return options.head_dim > 0 ? options.head_dim : options.d_model / options.heads; }
  Index kv_heads() const { return options.kv_heads > 0 ? options.kv_heads : options.heads; }

  using Heads = std::vector<std::vector<double>>;  // [head][feature] of one token

  Heads project(const Tokens& x, Index n, Index b, const AttentionWeights<double>::Linear& linear,
                Index heads) const {
    Heads result(static_cast<std::size_t>(heads), std::vector<double>(static_cast<std::size_t>(d_k())));
    for (Index out = 0; out < heads * d_k(); ++out) {
      double sum = linear.bias.size() > 0 ? linear.bias(out) : 0;
      for (Index in = 0; in < options.d_model; ++in) sum += linear.weight(out, in) * x(n, b, in);
      result[static_cast<std::size_t>(out / d_k())][static_cast<std::size_t>(out % d_k())] = sum;
    }
    return result;
  }

  void norm(Heads& heads, const AttentionWeights<double>::RowVector& gain) const {
    for (auto& head : heads) {
      double squares = 0;
      for (const double value : head) squares += value * value;
      const double rms = std::sqrt(squares / static_cast<double>(d_k()) + options.qk_norm_epsilon);
      for (Index f = 0; f < d_k(); ++f) head[static_cast<std::size_t>(f)] *= gain(f) / rms;
    }
  }

  void rotate_by(Heads& heads, Index position) const {
    const Frequencies& frequencies = options.frequencies.value();
    const HeadLayout layout = options.layout.value_or(HeadLayout{.pairing = Pairing::half});
    for (auto& head : heads)
      for (Index p = 0; p < frequencies.pairs(); ++p) {
        const bool half = layout.pairing == Pairing::half;
        const auto a = static_cast<std::size_t>(layout.start_index + (half ? p : 2 * p)),
                   b = static_cast<std::size_t>(layout.start_index +
                                                (half ? p + frequencies.pairs() : 2 * p + 1));
        const double angle =
            static_cast<double>(position) * frequencies.values[static_cast<std::size_t>(p)].hi;
        const double u = head[a] * frequencies.magnitude, v = head[b] * frequencies.magnitude;
        head[a] = u * std::cos(angle) - v * std::sin(angle);
        head[b] = v * std::cos(angle) + u * std::sin(angle);
      }
  }

  bool sees(Index i, Index j) const {
    if (causal && j > i) return false;
    return !options.window || (j > i - *options.window && j < i + *options.window);
  }

  Tokens operator()(const Tokens& query, const Tokens& key, const Tokens& value) {
    const Index seq_q = query.dimension(0), seq_k = key.dimension(0), batch = query.dimension(1);
    probabilities = Tensor<double, 4>(seq_q, seq_k, batch, options.heads);
    probabilities.setZero();
    Tokens out(seq_q, batch, options.d_model);
    for (Index b = 0; b < batch; ++b) {
      std::vector<Heads> keys, values;
      for (Index j = 0; j < seq_k; ++j) {
        keys.push_back(project(key, j, b, weights.key, kv_heads()));
        values.push_back(project(value, j, b, weights.value, kv_heads()));
        if (options.qk_norm) norm(keys.back(), weights.key_norm);
        if (rotate) rotate_by(keys.back(), j);
      }
      for (Index i = 0; i < seq_q; ++i) {
        Heads queries = project(query, i, b, weights.query, options.heads);
        if (options.qk_norm) norm(queries, weights.query_norm);
        if (rotate) rotate_by(queries, i);
        std::vector<double> context(static_cast<std::size_t>(options.heads * d_k()));
        for (Index h = 0; h < options.heads; ++h) {
          const auto kv_head = static_cast<std::size_t>(h / (options.heads / kv_heads()));
          std::vector<double> weight(static_cast<std::size_t>(seq_k));
          double sum = 0;
          for (Index j = 0; j < seq_k; ++j) {
            if (!sees(i, j)) continue;
            const auto at = static_cast<std::size_t>(j);
            double score = 0;
            for (std::size_t f = 0; f < static_cast<std::size_t>(d_k()); ++f)
              score += queries[static_cast<std::size_t>(h)][f] * keys[at][kv_head][f];
            score *= options.scale.value_or(1 / std::sqrt(static_cast<double>(d_k())));
            if (options.soft_cap) score = *options.soft_cap * std::tanh(score / *options.soft_cap);
            sum += weight[at] = std::exp(score_function(h, i, j, score));
          }
          for (Index j = 0; j < seq_k && sum > 0; ++j) {
            const auto at = static_cast<std::size_t>(j);
            probabilities(i, j, b, h) = weight[at] / sum;
            for (Index f = 0; f < d_k(); ++f)
              context[static_cast<std::size_t>(h * d_k() + f)] +=
                  weight[at] / sum * values[at][kv_head][static_cast<std::size_t>(f)];
          }
        }
        for (Index o = 0; o < options.d_model; ++o) {
          out(i, b, o) = weights.output.bias(o);
          for (std::size_t in = 0; in < context.size(); ++in)
            out(i, b, o) += weights.output.weight(o, static_cast<Index>(in)) * context[in];
        }
      }
    }
    return out;
  }
};

Frequencies some_frequencies(Index pairs, double magnitude = 1) {
  Frequencies frequencies{.values = {}, .magnitude = magnitude};
  for (Index p = 0; p < pairs; ++p) frequencies.values.emplace_back(1.1 / static_cast<double>(1 + 2 * p));
  return frequencies;
}

struct Case {
  const char* name;
  Options options;
  bool causal = true;
};

std::vector<Case> cases() {
  return {
      {"grouped", {.heads = 4, .d_model = 8, .kv_heads = 2, .frequencies = some_frequencies(1)}},
      {"one key head", {.heads = 3, .d_model = 6, .kv_heads = 1, .frequencies = some_frequencies(1)}, false},
      {"wide heads",
       {.heads = 2, .d_model = 6, .head_dim = 8, .bias = false, .frequencies = some_frequencies(3, 1.2)}},
      {"narrow heads", {.heads = 3, .d_model = 10, .head_dim = 2, .frequencies = some_frequencies(1)}, false},
      {"window", {.heads = 2, .d_model = 8, .frequencies = some_frequencies(2), .window = 3}},
      {"window on both sides",
       {.heads = 2, .d_model = 8, .frequencies = some_frequencies(2), .window = 2},
       false},
      {"QK-norm",
       {.heads = 2, .d_model = 8, .kv_heads = 1, .frequencies = some_frequencies(2), .qk_norm = true}},
      {"QK-norm with a large epsilon",
       {.heads = 2,
        .d_model = 8,
        .frequencies = some_frequencies(2),
        .qk_norm = true,
        .qk_norm_epsilon = 0.5},
       false},
      {"interleaved, from a feature on",
       {.heads = 2,
        .d_model = 12,
        .frequencies = some_frequencies(2, 0.8),
        .layout = HeadLayout{.start_index = 2, .pairing = Pairing::interleaved}}},
      {"scale and soft cap",
       {.heads = 2, .d_model = 8, .frequencies = some_frequencies(2), .scale = 1.7, .soft_cap = 2.5}},
      {"all of them",
       {.heads = 4,
        .d_model = 6,
        .kv_heads = 2,
        .head_dim = 4,
        .bias = false,
        .frequencies = some_frequencies(2, 1.1),
        .layout = HeadLayout{.pairing = Pairing::half, .output_pairing = Pairing::interleaved},
        .scale = 0.6,
        .window = 4,
        .soft_cap = 3,
        .qk_norm = true}},
  };
}

TEST(MultiHeadAttention, EveryOptionMatchesPlainLoops) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  for (const Case& c : cases())
    for (const auto& [seq_q, seq_k] : {std::pair<Index, Index>{9, 9}, {45, 45}, {5, 12}, {12, 5}}) {
      SCOPED_TRACE(c.name);
      RotaryMultiHeadAttention<double> attention(c.options);
      randomize(attention, random);
      const Tokens q = random_tokens(random, seq_q, 2, c.options.d_model),
                   k = random_tokens(random, seq_k, 2, c.options.d_model),
                   v = random_tokens(random, seq_k, 2, c.options.d_model);
      PlainModule plain{c.options, attention.weights(), c.causal};
      AttentionActivations<double> activations;
      EXPECT_LT(
          largest_difference(attention.forward(q, k, v, {.causal = c.causal}, activations), plain(q, k, v)),
          1e-12);
      EXPECT_LT(largest_difference(attention.probabilities(activations), plain.probabilities), 1e-13);
    }
}

// Queries of one text and keys of another: their positions have nothing to do with each other.
TEST(MultiHeadAttention, CrossAttentionMayLeaveRotationOut) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  for (const bool rotate : {false, true}) {
    const Options options{
        .heads = 4, .d_model = 8, .kv_heads = 2, .frequencies = some_frequencies(1), .qk_norm = true};
    RotaryMultiHeadAttention<double> attention(options);
    randomize(attention, random);
    const Tokens q = random_tokens(random, 6, 2, 8), k = random_tokens(random, 11, 2, 8);
    PlainModule plain{options, attention.weights(), false, rotate};
    EXPECT_LT(largest_difference(attention.forward(q, k, k, {.rotate = rotate}), plain(q, k, k)), 1e-12);
  }
  // Without rotation XPos takes any number of keys, and RoPER rotates no values.
  const RotaryMultiHeadAttention<double> xpos({.heads = 2, .d_model = 8, .xpos_scale_base = 512});
  const RotaryValueMultiHeadAttention<double> roper({.heads = 2, .d_model = 8}, 3);
  const RotaryMultiHeadAttention<double> plain({.heads = 2, .d_model = 8, .rope_percentage = 0}, 3);
  const Tokens q = random_tokens(random, 6, 1, 8), k = random_tokens(random, 4, 1, 8);
  EXPECT_NO_THROW(xpos.forward(q, k, k, {.rotate = false}));
  EXPECT_EQ(largest_difference(roper.forward(q, k, k, {.rotate = false}), plain.forward(q, k, k)), 0);
}

TEST(MultiHeadAttentionGradients, EveryOptionMatchesDifferences) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    RotaryMultiHeadAttention<double> attention(c.options);
    check_gradients(attention, 5, 6, {.causal = c.causal}, random);
  }
}

TEST(MultiHeadAttentionGradients, WithoutRotationAndWithRotatedValuesOfGroups) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  RotaryValueMultiHeadAttention<double> roper({.heads = 4,
                                               .d_model = 8,
                                               .kv_heads = 2,
                                               .head_dim = 4,
                                               .dropout_prob = 0.3,
                                               .window = 3,
                                               .qk_norm = true});
  check_gradients(roper, 5, 5, {.causal = true, .dropout_seed = 7}, random);
  check_gradients(roper, 4, 6, {.rotate = false}, random);
}

// --- probabilities

TEST(MultiHeadAttention, TokensMayHaveOneFeature) {
  RotaryMultiHeadAttention<double> attention({.heads = 1, .d_model = 1, .head_dim = 4});
  attention.weights().set_zero();
  attention.weights().output.bias.setConstant(3);
  Tensor<double, 3> x(4, 2, 1);
  x.setConstant(1);
  const Tensor<double, 3> y = attention.forward(x, x, x);
  for (Index n = 0; n < y.size(); ++n) EXPECT_EQ(y.data()[n], 3);

  RotaryMultiHeadAttention<double> one({.heads = 1, .d_model = 1, .rope_percentage = 0});
  one.weights().set_zero();
  one.weights().value.weight.setConstant(5);
  one.weights().output.weight.setConstant(7);
  Tensor<double, 3> token(1, 1, 1);
  token.setConstant(1);
  EXPECT_EQ(one.forward(token, token, token)(0, 0, 0), 35);
}

TEST(MultiHeadAttention, ProbabilitiesAreThoseOfTheOutput) {
  Random random(5);
  SCOPED_TRACE(random.replay());
  // With values of e_j, the output of a head is its row of probabilities.
  const Index seq = 6;
  RotaryMultiHeadAttention<double> attention(
      {.heads = 2, .d_model = 2 * seq, .rope_percentage = 1, .dropout_prob = 0.4});
  randomize(attention, random);
  auto& weights = attention.weights();
  weights.value.weight.setZero(), weights.value.bias.setZero();
  weights.value.weight.leftCols(seq).topRows(seq).setIdentity();
  weights.value.weight.leftCols(seq).bottomRows(seq).setIdentity();
  weights.output.weight.setIdentity(), weights.output.bias.setZero();
  Tokens x = random_tokens(random, seq, 1, 2 * seq);
  for (Index j = 0; j < seq; ++j)
    for (Index f = 0; f < seq; ++f) x(j, 0, f) = j == f ? 1 : 0;
  for (const std::optional<std::uint64_t> seed : {std::optional<std::uint64_t>(), {11}}) {
    AttentionActivations<double> activations;
    const Tokens y = attention.forward(x, x, x, {.causal = true, .dropout_seed = seed}, activations);
    const auto a = attention.probabilities(activations);
    bool dropped = false;
    for (Index h = 0; h < 2; ++h)
      for (Index i = 0; i < seq; ++i)
        for (Index j = 0; j < seq; ++j) {
          EXPECT_NEAR(a(i, j, 0, h), y(i, 0, h * seq + j), 1e-14);
          dropped = dropped || (j <= i && a(i, j, 0, h) == 0);
        }
    EXPECT_EQ(dropped, seed.has_value());
  }
}

// With more keys than are handled at once, dropout changes nothing but the share of probabilities that it drops.
TEST(MultiHeadAttention, ProbabilitiesOfManyKeysAreDroppedOrScaled) {
  Random random(6);
  SCOPED_TRACE(random.replay());
  const Index seq = 515;
  RotaryMultiHeadAttention<double> attention({.heads = 1, .d_model = 4, .dropout_prob = 0.25});
  randomize(attention, random);
  const Tokens x = random_tokens(random, seq, 1, 4);
  AttentionActivations<double> with, without;
  attention.forward(x, x, x, {.dropout_seed = 3}, with);
  attention.forward(x, x, x, {}, without);
  const auto found = attention.probabilities(with), all = attention.probabilities(without);
  Index dropped = 0;
  double error = 0;
  for (Index i = 0; i < seq; ++i)
    for (Index j = 0; j < seq; ++j) {
      const double a = found(i, j, 0, 0);
      dropped += a == 0 ? 1 : 0;
      if (a != 0) error = std::max(error, std::fabs(a * 0.75 - all(i, j, 0, 0)));
    }
  EXPECT_LT(error, 1e-15);
  EXPECT_NEAR(static_cast<double>(dropped), 0.25 * seq * seq, 0.01 * seq * seq);
}

TEST(MultiHeadAttention, ProbabilitiesOfHiddenKeysAreZero) {
  Random random(6);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = 8}, 1);
  Tensor<float, 3> x(70, 2, 8);
  random.fill(x);
  Tensor<bool, 3> mask(70, 70, 2);
  for (Index n = 0; n < mask.size(); ++n) mask.data()[n] = random.integer(0, 2) > 0;
  for (Index j = 0; j < 70; ++j) mask(4, j, 1) = false;  // sees no key
  AttentionActivations<float> activations;
  attention.forward(x, x, x, {.mask = mask}, activations);
  const auto a = attention.probabilities(activations);
  for (Index b = 0; b < 2; ++b)
    for (Index h = 0; h < 2; ++h)
      for (Index i = 0; i < 70; ++i) {
        double sum = 0;
        for (Index j = 0; j < 70; ++j) {
          sum += static_cast<double>(a(i, j, b, h));
          EXPECT_EQ(a(i, j, b, h) > 0, mask(i, j, b));
        }
        EXPECT_NEAR(sum, b == 1 && i == 4 ? 0 : 1, 1e-5);
      }
  EXPECT_THROW(static_cast<void>(attention.probabilities(AttentionActivations<float>())),
               std::invalid_argument);
}

// --- score functions

/// ALiBi's bias, which does not depend on the scores.
struct Alibi : ScoreFunction<double> {
  static double bias(Index head, Index i, Index j) {
    return -std::exp2(-static_cast<double>(head + 1)) * static_cast<double>(i > j ? i - j : j - i);
  }
  void apply(const ScoreBlock<double>& block) const override {
    auto scores = block.scores;
    for (Index i = 0; i < scores.rows(); ++i)
      for (Index j = 0; j < scores.cols(); ++j)
        scores(i, j) += bias(block.head, block.first_query + i, block.first_key + j);
  }
};

/// s³ / 9 + s, whose derivative the scores determine; here from the results, by Newton's iteration.
struct Cubic : ScoreFunction<double> {
  static double of(double s) { return s * s * s / 9 + s; }
  void apply(const ScoreBlock<double>& block) const override {
    auto scores = block.scores;
    scores = scores.unaryExpr(&of);
  }
  void apply_gradient(const ScoreBlock<double>& results, const ScoreBlock<double>& gradient) const override {
    auto grad = gradient.scores;
    EXPECT_EQ(results.head, gradient.head);
    for (Index i = 0; i < grad.rows(); ++i)
      for (Index j = 0; j < grad.cols(); ++j) {
        double s = results.scores(i, j);
        for (int step = 0; step < 60; ++step) s -= (of(s) - results.scores(i, j)) / (s * s / 3 + 1);
        grad(i, j) *= s * s / 3 + 1;
      }
  }
};

TEST(MultiHeadAttention, AScoreFunctionIsAppliedToEveryScore) {
  Random random(7);
  SCOPED_TRACE(random.replay());
  const Options options{
      .heads = 4, .d_model = 8, .kv_heads = 2, .frequencies = some_frequencies(1), .soft_cap = 3};
  RotaryMultiHeadAttention<double> attention(options);
  randomize(attention, random);
  const Tokens x = random_tokens(random, 300, 2, 8);
  for (const bool alibi : {true, false}) {
    if (alibi)
      attention.set_score_function(std::make_shared<Alibi>());
    else
      attention.set_score_function(std::make_shared<Cubic>());
    PlainModule plain{options, attention.weights(), true};
    plain.score_function = [&](Index h, Index i, Index j, double s) {
      return alibi ? s + Alibi::bias(h, i, j) : Cubic::of(s);
    };
    AttentionActivations<double> activations;
    const Tokens y = attention.forward(x, x, x, {.causal = true}, activations);
    EXPECT_LT(largest_difference(y, plain(x, x, x)), 1e-12);
    EXPECT_LT(largest_difference(attention.probabilities(activations), plain.probabilities), 1e-13);
  }
  const Tokens with = attention.forward(x, x, x);
  attention.set_score_function(nullptr);
  EXPECT_GT(largest_difference(with, attention.forward(x, x, x)), 1e-3);
}

TEST(MultiHeadAttentionGradients, WithScoreFunctions) {
  Random random(8);
  SCOPED_TRACE(random.replay());
  RotaryMultiHeadAttention<double> attention(
      {.heads = 4, .d_model = 8, .kv_heads = 2, .rope_percentage = 1, .soft_cap = 3});
  attention.set_score_function(std::make_shared<Alibi>());
  check_gradients(attention, 5, 6, {.causal = true}, random);
  attention.set_score_function(std::make_shared<Cubic>());
  check_gradients(attention, 5, 6, {}, random);
}

// --- layers of models

TEST(MultiHeadAttention, ALayerOfAModelRotatesAsItsEmbedding) {
  Random random(9);
  SCOPED_TRACE(random.replay());
  RopeParameters yarn{.theta = 1e6,
                      .head_dim = 16,
                      .rotary_dim = 8,
                      .start_index = 8,
                      .pairing = Pairing::interleaved,
                      .scaling = YarnOptions{.factor = 4, .original_max_position_embeddings = 64},
                      .softmax_scale = 1.5};
  for (const RopeParameters& rope : {RopeParameters{.head_dim = 16}, yarn}) {
    const RotaryMultiHeadAttention<double> attention(layer_attention_options(rope, 4, 2, 32));
    EXPECT_EQ(attention.d_k(), 16);
    EXPECT_EQ(attention.kv_heads(), 2);
    EXPECT_EQ(attention.options().scale, rope.softmax_scale / 4);
    EXPECT_EQ(attention.weights().query.bias.size(), 0);
    Tensor<double, 4> q(9, 2, 4, 16), k(9, 2, 2, 16);
    random.fill(q), random.fill(k);
    const auto scores = attention.get_scores(q, k);
    HeadLayout layout = rope.layout();
    layout.seq_dim = 0;
    const RotaryEmbedding<double> rotary_emb(rope.rope_frequencies(), layout);
    rotary_emb.rotate_in_place(q), rotary_emb.rotate_in_place(k);
    for (Index i = 0; i < 9; ++i)
      for (Index j = 0; j < 9; ++j)
        for (Index h = 0; h < 4; ++h) {
          double sum = 0;
          for (Index f = 0; f < 16; ++f) sum += q(i, 1, h, f) * k(j, 1, h / 2, f);
          EXPECT_NEAR(scores(i, j, 1, h), sum, 1e-12);
        }
  }
}

// The gradient with respect to the keys of grouped scores is that of all heads that read them.
TEST(MultiHeadAttentionGradients, OfGroupedScores) {
  Random random(10);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention(
      {.heads = 4, .d_model = 16, .kv_heads = 2, .rope_percentage = 1});
  Tensor<double, 4> q(3, 2, 4, 4), k(5, 2, 2, 4), w(3, 5, 2, 4);
  random.fill(q), random.fill(k), random.fill(w);
  const auto grad = attention.get_scores_backward(q, k, w);
  const auto loss = [&] {
    const Eigen::Tensor<double, 0, Eigen::RowMajor> sum = (attention.get_scores(q, k) * w).sum();
    return sum();
  };
  for (const auto& [tensor, gradient] : {std::pair{&q, &grad.query}, std::pair{&k, &grad.key}})
    for (Index n = 0; n < tensor->size(); ++n) {
      double& value = tensor->data()[n];
      const double before = value, step = 1e-5;
      value = before + step;
      const double above = loss();
      value = before - step;
      EXPECT_NEAR(gradient->data()[n], (above - loss()) / (2 * step), 1e-8);
      value = before;
    }
}

// --- errors

TEST(MultiHeadAttentionErrors, SayWhatWasFoundAndWhatWasWanted) {
  const auto error_of = [](const Options& options) {
    return error_of_call([&] { RotaryMultiHeadAttention<float> attention(options); });
  };
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .kv_heads = 3}),
            "rotary: heads is 4 and kv_heads is 3; kv_heads must divide heads");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .kv_heads = -1}),
            "rotary: heads is 4 and kv_heads is -1; kv_heads must divide heads");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .head_dim = -2}),
            "rotary: head_dim is -2, it must be positive, or 0");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .window = 0}), "rotary: window is 0, it must be at least 1");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .soft_cap = 0}),
            "rotary: soft_cap is 0, it must be positive and finite");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .scale = NAN}), "rotary: scale is nan, it must be finite");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .qk_norm = true, .qk_norm_epsilon = 0}),
            "rotary: qk_norm_epsilon is 0, it must be positive and finite");
  EXPECT_EQ(error_of({.heads = 4, .d_model = 16, .layout = HeadLayout{}}),
            "rotary: a layout is given without frequencies, which it belongs to");
  EXPECT_EQ(error_of({.heads = 2,
                      .d_model = 16,
                      .frequencies = some_frequencies(2),
                      .layout = HeadLayout{.seq_dim = 0}}),
            "rotary: the layout has seq_dim 0, it must be left out: the sequence is the first axis");
  EXPECT_EQ(error_of({.heads = 2,
                      .d_model = 16,
                      .frequencies = some_frequencies(2),
                      .layout = HeadLayout{.start_index = 6, .pairing = Pairing::half}}),
            "rotary: found frequencies of 4 features from feature 6 on, a head has 8");

  RotaryMultiHeadAttention<float> attention({.heads = 4, .d_model = 16, .kv_heads = 2, .qk_norm = true});
  Tensor<float, 3> x(3, 1, 16);
  x.setConstant(1);
  attention.weights().query_norm.resize(3);
  EXPECT_EQ(error_of_call([&] { attention.forward(x, x, x); }),
            "rotary: the weights of QK-norm are [3], they must be [4]");
  EXPECT_THROW(attention.get_scores(Tensor<float, 4>(3, 1, 4, 4), Tensor<float, 4>(3, 1, 4, 4)),
               std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
