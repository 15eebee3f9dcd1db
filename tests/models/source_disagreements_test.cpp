// Where published implementations disagree about frequencies and magnitudes: one test for each, saying whose
// side we take, and how to have the other.
#include <gtest/gtest.h>
#include <rotary/frequencies/llama3.hpp>
#include <rotary/frequencies/longrope.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/proportional.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/phases/phases.hpp>

#include <cmath>
#include <stdexcept>
#include <vector>

namespace rotary::testing {
namespace {

// "NTK": theta · alpha^(dim/(dim − 2)), or what vLLM calls so. Both, by name; they agree in the last pair
// only.
TEST(SourceDisagreements, TwoFormulasAreCalledNtk) {
  const Frequencies alpha = ntk_frequencies(64, 10000, {.alpha = 4}),
                    vllm = vllm_ntk_frequencies(64, 10000, {.factor = 4});
  EXPECT_EQ(alpha.values.front(), 1);
  EXPECT_NEAR(vllm.values.front().hi, std::pow(4, -1.0 / 32), 1e-15);
  EXPECT_NEAR(alpha.values.back().hi / vllm.values.back().hi, 1, 1e-14);
}

// "dynamic": ours is by the length of the call (Hugging Face); by the final length for every text (vLLM,
// SGLang) has its own function.
TEST(SourceDisagreements, DynamicNtkByLengthOrFrozen) {
  const Frequencies of_short =
      dynamic_ntk_frequencies(64, 10000, {.factor = 4, .max_position_embeddings = 2048}, 100);
  EXPECT_EQ(of_short.values, language_frequencies(64).values);
  EXPECT_NE(frozen_dynamic_ntk_frequencies(64, 10000, {.factor = 4}).values, of_short.values);
}

// The magnitude of YaRN: Hugging Face's rule unless another is asked for by name.
TEST(SourceDisagreements, YarnMagnitude) {
  YarnOptions options{.factor = 64, .original_max_position_embeddings = 4096, .attention_factor = 1};
  EXPECT_EQ(yarn_frequencies(64, 10000, options).magnitude, 1);
  options.magnitude = YarnMagnitude::original;  // does not know attention_factor
  EXPECT_NEAR(yarn_frequencies(64, 10000, options).magnitude, 1.4159, 1e-4);
}

// A lone mscale is ignored, as by Hugging Face; vLLM's deepseek_yarn and MLX-LM use it.
TEST(SourceDisagreements, LoneMscale) {
  YarnOptions options{.factor = 40, .original_max_position_embeddings = 4096, .mscale = 0.707};
  EXPECT_EQ(yarn_magnitude(options), yarn_mscale(40));
  for (const YarnMagnitude rule : {YarnMagnitude::deepseek, YarnMagnitude::mlx}) {
    options.magnitude = rule;
    EXPECT_EQ(yarn_magnitude(options), yarn_mscale(40, 0.707));
  }
}

// `truncate`: ggml and MLX-LM always round the range, Hugging Face looks for the key outside a layer's own
// parameters. Ours is a member of the options of the layer.
TEST(SourceDisagreements, YarnTruncate) {
  YarnOptions options{.factor = 32, .original_max_position_embeddings = 4096};
  const Frequencies rounded = yarn_frequencies(64, 150000, options);
  options.truncate = false;
  EXPECT_NE(yarn_frequencies(64, 150000, options).values, rounded.values);
}

// Too short a context for any pair to make beta_slow turns: Hugging Face interpolates nothing, ggml all but
// the first pair. We refuse.
TEST(SourceDisagreements, YarnWithAnInvertedRange) {
  EXPECT_THROW(yarn_frequencies(64, 10000, {.factor = 4, .original_max_position_embeddings = 6}),
               std::invalid_argument);
  EXPECT_NO_THROW(yarn_frequencies(64, 10000, {.factor = 4, .original_max_position_embeddings = 7}));
}

LongRopeOptions long_rope() {
  return {.short_factor = std::vector<double>(32, 1),
          .long_factor = std::vector<double>(32, 2),
          .original_max_position_embeddings = 4096,
          .max_position_embeddings = 131072};
}

// LongRoPE's factor: an explicit one first, as the newest Hugging Face has it; older ones, vLLM and MLX-LM
// take max_position_embeddings / original_max_position_embeddings, which is ours if no factor is given.
TEST(SourceDisagreements, LongRopeFactor) {
  LongRopeOptions options = long_rope();
  EXPECT_DOUBLE_EQ(longrope_magnitude(options, 1), std::sqrt(1 + std::log(32.0) / std::log(4096.0)));
  options.factor = 4;
  EXPECT_DOUBLE_EQ(longrope_magnitude(options, 1), std::sqrt(1 + std::log(4.0) / std::log(4096.0)));
}

// LongRoPE's set: by the length of the call (Hugging Face), of the process (vLLM), of the cache (llama.cpp),
// or always long (MLX-LM). The length is an argument, so each is a choice of it.
TEST(SourceDisagreements, LongRopeSet) {
  const LongRopeOptions options = long_rope();
  const auto first = [&](double length) {
    return longrope_frequencies(64, 10000, options, length).values.front();
  };
  EXPECT_EQ(first(4096), 1);
  EXPECT_EQ(first(4097), 0.5);
  EXPECT_EQ(first(options.max_position_embeddings), 0.5);
}

// Llama 3 with low_freq_factor = high_freq_factor, a wave of exactly the threshold: NaN (Hugging Face), a
// failed assertion (torchtune) or interpolated (vLLM). We take the last.
TEST(SourceDisagreements, Llama3WithoutATransition) {
  const Frequencies at_threshold{.values = {2 * kPi / 8192}};
  EXPECT_EQ(detail::llama3_scaled(at_threshold, {.factor = 16, .low_freq_factor = 1, .high_freq_factor = 1})
                .values.front(),
            2 * kPi / 8192 / 16);
}

// Proportional: int(p·D // 2) pairs (Hugging Face) or int(p·D) // 2 (vLLM) are the same number; the factor,
// which only Hugging Face and MLX-LM have, divides.
TEST(SourceDisagreements, ProportionalPairCount) {
  for (Index dim = 2; dim <= 512; dim += 2)
    for (const double part : {0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0}) {
      const Frequencies frequencies =
          proportional_frequencies(dim, 10000, {.partial_rotary_factor = part, .factor = 2});
      Index rotating = 0;
      for (const DoubleDouble& f : frequencies.values) rotating += f != 0;
      EXPECT_EQ(rotating, static_cast<Index>(static_cast<double>(dim) * part) / 2)
          << dim << " times " << part;
      EXPECT_EQ(frequencies.values.front(), rotating > 0 ? 0.5 : 0.0);
    }
}

// Hugging Face's state of `dynamic`: releases up to early version 5 never went back after a long text. Ours
// does.
TEST(SourceDisagreements, DynamicNtkStartsOver) {
  EXPECT_EQ(dynamic_ntk_length(dynamic_ntk_length(8, 32, 8), 4, 8), 8);
}

// A stored test of Hugging Face expects 64 proportional frequencies of a head of 256, against its own
// head_dim. Ours are always head_dim / 2.
TEST(SourceDisagreements, ProportionalHasHalfAsManyFrequenciesAsFeatures) {
  EXPECT_EQ(proportional_frequencies(256, 10000, {.partial_rotary_factor = 0.25}).pairs(), 128);
}

// MLX gives `freqs` as periods; everyone else, and we, as radians per position.
TEST(SourceDisagreements, FrequenciesAreNotPeriods) {
  const std::vector<double> quarter_turn{kPi.hi / 2};
  EXPECT_NEAR(cos_sin(TurnSteps(custom_frequencies(quarter_turn)).phase(0, 0, 1)).sin, 1, 1e-15);
}

}  // namespace
}  // namespace rotary::testing
