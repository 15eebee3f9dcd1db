// What the options of labml's modules of attention mean, by default and with other frequencies; and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <rotary/attention.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <stdexcept>

#include "support/attention_module.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

using Options = RotaryMultiHeadAttentionOptions;

Tensor<double, 4> random_heads(Random& random, Index seq, Index heads, Index d_k) {
  Tensor<double, 4> x(seq, 2, heads, d_k);
  random.fill(x);
  return x;
}

/// The scores of attention whose first 2 · pairs features rotate by these frequencies, from the formula.
Tensor<double, 4> plain_scores(const Tensor<double, 4>& q, const Tensor<double, 4>& k,
                               const std::vector<double>& frequencies, double magnitude) {
  const auto pairs = static_cast<Index>(frequencies.size()), d_k = q.dimension(3);
  Tensor<double, 4> scores(q.dimension(0), k.dimension(0), q.dimension(1), q.dimension(2));
  for (Index i = 0; i < q.dimension(0); ++i)
    for (Index j = 0; j < k.dimension(0); ++j)
      for (Index b = 0; b < q.dimension(1); ++b)
        for (Index h = 0; h < q.dimension(2); ++h) {
          double sum = 0;
          for (Index p = 0; p < pairs; ++p) {
            const double angle = static_cast<double>(i - j) * frequencies[static_cast<std::size_t>(p)];
            const double a = q(i, b, h, p), c = q(i, b, h, p + pairs), u = k(j, b, h, p),
                         w = k(j, b, h, p + pairs);
            sum += magnitude * magnitude *
                   ((a * u + c * w) * std::cos(angle) + (a * w - c * u) * std::sin(angle));
          }
          for (Index f = 2 * pairs; f < d_k; ++f) sum += q(i, b, h, f) * k(j, b, h, f);
          scores(i, j, b, h) = sum;
        }
  return scores;
}

std::vector<double> powers_of_10000(Index features) {
  std::vector<double> frequencies;
  for (Index j = 0; j < features / 2; ++j)
    frequencies.push_back(std::pow(10000.0, -2.0 * static_cast<double>(j) / static_cast<double>(features)));
  return frequencies;
}

TEST(AttentionOptionsOfLabml, DefaultsAreThoseOfTheCurrentRepository) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 16});
  EXPECT_EQ(attention.options().dropout_prob, 0);
  EXPECT_EQ(attention.weights().query.bias.size(), 16);
  EXPECT_EQ(attention.weights().key.bias.size(), 16);
  const auto q = random_heads(random, 9, 2, 8), k = random_heads(random, 7, 2, 8);
  EXPECT_LT(largest_difference(attention.get_scores(q, k), plain_scores(q, k, powers_of_10000(4), 1)), 1e-13);
  EXPECT_FALSE(attention.options().rope_value_percentage);
  EXPECT_EQ(
      RotaryValueMultiHeadAttention<double>({.heads = 2, .d_model = 16}).options().rope_value_percentage,
      0.5);
}

TEST(AttentionOptionsOfLabml, TheListingRotatesAllFeaturesWithoutBias) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention(labml_listing_options(2, 16));
  EXPECT_EQ(attention.options().dropout_prob, 0.1);
  EXPECT_EQ(attention.weights().query.bias.size(), 0);
  EXPECT_EQ(attention.weights().key.bias.size(), 0);
  EXPECT_EQ(attention.weights().value.bias.size(), 16);
  const auto q = random_heads(random, 9, 2, 8), k = random_heads(random, 7, 2, 8);
  EXPECT_LT(largest_difference(attention.get_scores(q, k), plain_scores(q, k, powers_of_10000(8), 1)), 1e-13);
}

TEST(AttentionOptionsOfLabml, AnyFrequenciesRotate) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  const Frequencies yarn = yarn_frequencies(12, 10000, {.factor = 4, .original_max_position_embeddings = 64});
  ASSERT_GT(yarn.magnitude, 1.1);
  std::vector<double> values;
  for (const DoubleDouble& f : yarn.values) values.push_back(f.hi);
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 32, .frequencies = yarn});
  const auto q = random_heads(random, 20, 2, 16), k = random_heads(random, 20, 2, 16);
  EXPECT_LT(largest_difference(attention.get_scores(q, k), plain_scores(q, k, values, yarn.magnitude)),
            1e-12);

  // The plain frequencies, given, are those of rope_percentage and base.
  const RotaryMultiHeadAttention<double> given(
      {.heads = 2, .d_model = 32, .frequencies = language_frequencies(8, 500)}),
      named({.heads = 2, .d_model = 32, .rope_percentage = 0.5, .base = 500});
  EXPECT_EQ(largest_difference(given.get_scores(q, k), named.get_scores(q, k)), 0);
}

TEST(AttentionOptionsOfLabml, ContradictionsAreRefused) {
  const auto error_of = [](const Options& options) {
    return error_of_call([&] { RotaryMultiHeadAttention<float> attention(options); });
  };
  const Frequencies four = language_frequencies(8);
  EXPECT_EQ(error_of({.heads = 2, .d_model = 16, .rope_percentage = 1, .frequencies = four}),
            "rotary: both frequencies and rope_percentage are given, there must be one");
  EXPECT_EQ(error_of({.heads = 2, .d_model = 16, .base = 500, .frequencies = four}),
            "rotary: both frequencies and base are given, there must be one");
  EXPECT_EQ(error_of({.heads = 2, .d_model = 12, .frequencies = four}),
            "rotary: found frequencies of 8 features from feature 0 on, a head has 6");
  EXPECT_EQ(error_of({.heads = 2, .d_model = 16, .rope_value_percentage = 0.5, .frequencies = four}),
            "rotary: rope_value_percentage is 0.5, so that 4 features of values would rotate; the "
            "frequencies are of 8");
  EXPECT_EQ(error_of({.heads = 2, .d_model = 16, .rope_percentage = 0, .xpos_scale_base = 512}),
            "rotary: xpos_scale_base is given, but no features of queries and keys rotate");
  EXPECT_EQ(error_of({.heads = 2, .d_model = 16, .frequencies = Frequencies{.values = {NAN}}}),
            "rotary: a frequency is nan, it must be finite");
  EXPECT_EQ(error_of({.heads = 2, .d_model = 16, .rope_value_percentage = 1, .frequencies = four}), kNoError);
}

TEST(AttentionOptionsOfLabml, RefuseALayerThatRotatesOutputsBack) {
  RopeParameters rope{.theta = 1e6, .head_dim = 16};
  EXPECT_NO_THROW(static_cast<void>(layer_attention_options(rope, 4, 2, 32)));
  rope.rotates_output_back = true;
  EXPECT_THROW(static_cast<void>(layer_attention_options(rope, 4, 2, 32)), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
