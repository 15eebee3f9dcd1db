// NTK, LongRoPE, Llama 3, proportional and FoPE against MPFR, and what parameters they refuse.
#include <rotary/frequencies/fope.hpp>
#include <rotary/frequencies/llama3.hpp>
#include <rotary/frequencies/longrope.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/proportional.hpp>

#include "support/variant_checks.hpp"

namespace rotary::testing {
namespace {

// ---------------------------------------------------------------- NTK

TEST(Ntk, AlphaFormSlowsTheLastPairByAlpha) {
  for (const int dim : {4, 32, 128})
    for (const double alpha : {1.0, 1.5, 8.0}) {
      const Frequencies frequencies = ntk_frequencies(dim, 10000, {.alpha = alpha});
      std::vector<Real> wanted;
      for (int i = 0; i < dim / 2; ++i)
        wanted.push_back(pow(Real(10000), Real(-2 * i) / Real(dim)) *
                         pow(Real(alpha), Real(-2 * i) / Real(dim - 2)));
      expect_frequencies(frequencies, wanted);
      EXPECT_EQ(frequencies.magnitude, 1);
      EXPECT_EQ(frequencies.values.front(), 1);
      EXPECT_LT(
          relative_error_of(frequencies.values.back() * alpha, Real(language_frequencies(dim).values.back())),
          kBound);
    }
}

TEST(Ntk, VllmFormSlowsTheFirstPairToo) {
  const int dim = 64;
  for (const std::optional<double> mixed_b : {std::optional<double>{}, {1.0}, {0.625}, {2.0}, {0.0}}) {
    std::vector<Real> wanted;
    for (int i = 0; i < dim / 2; ++i) {
      const Real beta = mixed_b.value_or(1);
      const Real a = log(Real(4)) / pow(Real(dim / 2), beta);
      wanted.push_back(pow(Real(10000), Real(-2 * i) / Real(dim)) *
                       exp(Real(0) - a * pow(Real(i + 1), beta)));
    }
    expect_frequencies(vllm_ntk_frequencies(dim, 10000, {.factor = 4, .mixed_b = mixed_b}), wanted);
  }
  const Frequencies frequencies = vllm_ntk_frequencies(dim, 10000, {.factor = 4});
  EXPECT_NEAR(frequencies.values.front().hi, std::pow(4, -2.0 / dim), 1e-15);
  EXPECT_NEAR(frequencies.values.back().hi * 4 / language_frequencies(dim).values.back().hi, 1, 1e-15);
}

TEST(Ntk, DynamicStretchesThetaPastTheLimit) {
  for (const double length : {0.0, 1.0, 2047.0, 2048.0})
    EXPECT_EQ(
        dynamic_ntk_frequencies(128, 10000, {.factor = 10, .max_position_embeddings = 2048}, length).values,
        language_frequencies(128).values);
  for (const double length : {2049.0, 5000.0, 16384.0}) {
    const Real alpha = Real(10) * Real(length) / Real(2048) - Real(9);
    std::vector<Real> wanted;
    for (int i = 0; i < 64; ++i)
      wanted.push_back(pow(Real(10000) * pow(alpha, Real(128) / Real(126)), Real(-2 * i) / Real(128)));
    expect_frequencies(
        dynamic_ntk_frequencies(128, 10000, {.factor = 10, .max_position_embeddings = 2048}, length), wanted);
  }
}

TEST(Ntk, FrozenIsDynamicAtTheFinalLength) {
  for (const double factor : {1.0, 2.0, 7.5}) {
    const Frequencies frozen = frozen_dynamic_ntk_frequencies(64, 10000, {.factor = factor});
    const Frequencies dynamic = dynamic_ntk_frequencies(
        64, 10000, {.factor = factor, .max_position_embeddings = 4096}, factor * 4096);
    for (std::size_t i = 0; i < frozen.values.size(); ++i)
      EXPECT_LT(relative_error_of(frozen.values[i], Real(dynamic.values[i])), kBound);
  }
  // 0.5² − 0.5 + 1: below 1, theta shrinks.
  EXPECT_EQ(frozen_dynamic_ntk_frequencies(64, 10000, {.factor = 0.5}).values,
            ntk_frequencies(64, 10000, {.alpha = 0.75}).values);
}

TEST(Ntk, TheLengthInUseGrowsAndStartsOver) {
  EXPECT_EQ(dynamic_ntk_length(2048, 0, 2048), 2048);
  EXPECT_EQ(dynamic_ntk_length(2048, 2048, 2048), 2048);
  EXPECT_EQ(dynamic_ntk_length(2048, 5000, 2048), 5000);
  EXPECT_EQ(dynamic_ntk_length(5000, 6000, 2048), 6000);
  EXPECT_EQ(dynamic_ntk_length(6000, 5999, 2048), 6000);
  EXPECT_EQ(dynamic_ntk_length(6000, 2048, 2048), 6000);
  EXPECT_EQ(dynamic_ntk_length(6000, 2047, 2048), 2048);
}

TEST(Ntk, QwenDoublesWithTheLength) {
  EXPECT_EQ(qwen_ntk_alpha(1, 2048), 1);
  EXPECT_EQ(qwen_ntk_alpha(2048, 2048), 1);
  EXPECT_EQ(qwen_ntk_alpha(2049, 2048), 3);
  EXPECT_EQ(qwen_ntk_alpha(4096, 2048), 3);
  EXPECT_EQ(qwen_ntk_alpha(4097, 2048), 7);
  EXPECT_EQ(qwen_ntk_alpha(32768, 2048), 31);
  const QwenNtkOptions options{.original_max_position_embeddings = 2048};
  for (const double length : {0.0, 100.0, 2048.0})
    EXPECT_EQ(qwen_ntk_frequencies(64, 10000, options, length).values, language_frequencies(64).values);
  EXPECT_EQ(qwen_ntk_frequencies(64, 10000, options, 4097).values,
            ntk_frequencies(64, 10000, {.alpha = 7}).values);
  EXPECT_THROW(qwen_ntk_frequencies(64, 10000, {}, 1), std::invalid_argument);
}

TEST(Ntk, Refuses) {
  EXPECT_EQ(error_of_call([] { ntk_frequencies(2, 10000, {.alpha = 4}); }),
            "rotary: alpha is 4 with rotary_dim 2, which has no second pair to slow down: it must be 1, or "
            "rotary_dim at least 3");
  EXPECT_EQ(
      error_of_call(
          [] { dynamic_ntk_frequencies(2, 10000, {.factor = 2, .max_position_embeddings = 8}, 16); }),
      "rotary: the stretch of theta is 3 with rotary_dim 2, which has no second pair to slow down: it must "
      "be 1, or rotary_dim at least 3");
  EXPECT_EQ(ntk_frequencies(2, 10000, {.alpha = 1}).values, language_frequencies(2).values);
  EXPECT_EQ(dynamic_ntk_frequencies(2, 10000, {.factor = 2, .max_position_embeddings = 8}, 8).values,
            language_frequencies(2).values);
  EXPECT_EQ(error_of_call([] { ntk_frequencies(8, 10000, {.alpha = 0}); }),
            "rotary: alpha is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { vllm_ntk_frequencies(8, 10000, {.factor = -2}); }),
            "rotary: factor is -2, it must be positive and finite");
  EXPECT_EQ(
      error_of_call([] { vllm_ntk_frequencies(8, 10000, {.factor = 2, .mixed_b = kNan}); }).substr(0, 18),
      "rotary: mixed_b is");
  EXPECT_EQ(error_of_call(
                [] { dynamic_ntk_frequencies(8, 10000, {.factor = 2, .max_position_embeddings = 8}, -1); }),
            "rotary: length is -1, it must be finite and not negative");
  EXPECT_EQ(error_of_call(
                [] { dynamic_ntk_frequencies(8, 10000, {.factor = 2, .max_position_embeddings = 0}, 1); }),
            "rotary: max_position_embeddings is 0, it must be positive and finite");
  for (const double bad : {kNan, kInfinity}) {
    EXPECT_THROW(ntk_frequencies(8, 10000, {.alpha = bad}), std::invalid_argument);
    EXPECT_THROW(ntk_frequencies(8, bad, {.alpha = 2}), std::invalid_argument);
    EXPECT_THROW(vllm_ntk_frequencies(8, 10000, {.factor = bad}), std::invalid_argument);
    EXPECT_THROW(dynamic_ntk_frequencies(8, 10000, {.factor = bad, .max_position_embeddings = 8}, 16),
                 std::invalid_argument);
    EXPECT_THROW(dynamic_ntk_frequencies(8, 10000, {.factor = 2, .max_position_embeddings = bad}, 16),
                 std::invalid_argument);
    EXPECT_THROW(dynamic_ntk_frequencies(8, 10000, {.factor = 2, .max_position_embeddings = 8}, bad),
                 std::invalid_argument);
    EXPECT_THROW(frozen_dynamic_ntk_frequencies(8, 10000, {.factor = bad}), std::invalid_argument);
    EXPECT_THROW(dynamic_ntk_length(bad, 1, 1), std::invalid_argument);
    EXPECT_THROW(dynamic_ntk_length(1, bad, 1), std::invalid_argument);
    EXPECT_THROW(dynamic_ntk_length(1, 1, bad), std::invalid_argument);
    EXPECT_THROW(qwen_ntk_alpha(bad, 1), std::invalid_argument);
    EXPECT_THROW(qwen_ntk_alpha(1, bad), std::invalid_argument);
  }
}

// ---------------------------------------------------------------- LongRoPE

LongRopeOptions long_rope() {
  LongRopeOptions options{.original_max_position_embeddings = 4096, .max_position_embeddings = 131072};
  for (int i = 0; i < 16; ++i)
    options.short_factor.push_back(1 + i / 16.0), options.long_factor.push_back(1 + 2 * i);
  return options;
}

TEST(LongRope, TakesTheSetOfTheLength) {
  const LongRopeOptions options = long_rope();
  std::vector<Real> of_short, of_long;
  for (int i = 0; i < 16; ++i) {
    const Real f = pow(Real(10000), Real(-2 * i) / Real(32));
    of_short.push_back(f / Real(options.short_factor[static_cast<std::size_t>(i)]));
    of_long.push_back(f / Real(options.long_factor[static_cast<std::size_t>(i)]));
  }
  for (const double length : {0.0, 1.0, 4096.0})
    expect_frequencies(longrope_frequencies(32, 10000, options, length), of_short);
  for (const double length : {4096.5, 4097.0, 131072.0})
    expect_frequencies(longrope_frequencies(32, 10000, options, length), of_long);
}

TEST(LongRope, Magnitude) {
  LongRopeOptions options = long_rope();
  const auto magnitude = [&](double length) {
    const double value = longrope_magnitude(options, length);
    EXPECT_EQ(longrope_frequencies(32, 10000, options, length).magnitude, value);
    return value;
  };
  EXPECT_DOUBLE_EQ(magnitude(1), std::sqrt(1 + 5.0 / 12));  // ln 32 / ln 4096
  EXPECT_DOUBLE_EQ(magnitude(5000), std::sqrt(1 + 5.0 / 12));
  options.factor = 8;  // comes before max_position_embeddings
  EXPECT_DOUBLE_EQ(magnitude(1), std::sqrt(1 + 3.0 / 12));
  options.factor = 1;
  EXPECT_EQ(magnitude(1), 1);
  options.factor = 0.5;
  EXPECT_EQ(magnitude(1), 1);
  options.attention_factor = 1.5;
  EXPECT_EQ(magnitude(1), 1.5);
  options.long_mscale = 1.75;
  EXPECT_EQ(magnitude(1), 1.5);
  EXPECT_EQ(magnitude(5000), 1.75);
  options.short_mscale = 1.25;
  EXPECT_EQ(magnitude(1), 1.25);
}

TEST(LongRope, Refuses) {
  const auto error_with = [](auto change) {
    LongRopeOptions options = long_rope();
    change(options);
    return error_of_call([&] { longrope_frequencies(32, 10000, options, 1); });
  };
  using O = LongRopeOptions;
  EXPECT_EQ(error_with([](O& o) { o.short_factor.pop_back(); }),
            "rotary: short_factor has 15 entries, it must have one for each of 16 pairs");
  EXPECT_EQ(error_with([](O& o) { o.long_factor.push_back(1); }),
            "rotary: long_factor has 17 entries, it must have one for each of 16 pairs");
  EXPECT_EQ(error_with([](O& o) { o.long_factor[3] = 0; }),
            "rotary: long_factor has an entry 0, every entry must be positive and finite");
  EXPECT_NE(error_with([](O& o) { o.short_factor[3] = kNan; }), kNoError);
  EXPECT_EQ(error_with([](O& o) { o.max_position_embeddings = 0; }),
            "rotary: max_position_embeddings is 0, it must be positive and finite");
  EXPECT_EQ(error_with([](O& o) { o.original_max_position_embeddings = 0; }),
            "rotary: original_max_position_embeddings is 0, it must be positive and finite");
  EXPECT_EQ(
      error_with([](O& o) { o.original_max_position_embeddings = 1; }),
      "rotary: original_max_position_embeddings is 1, it must be more than 1 for the magnitude to follow "
      "from it");
  for (const double bad : {kNan, kInfinity}) {
    EXPECT_NE(error_with([&](O& o) { o.original_max_position_embeddings = bad; }), kNoError);
    EXPECT_NE(error_with([&](O& o) { o.max_position_embeddings = bad; }), kNoError);
    EXPECT_NE(error_with([&](O& o) { o.factor = bad; }), kNoError);
    EXPECT_NE(error_with([&](O& o) { o.attention_factor = bad; }), kNoError);
    EXPECT_NE(error_with([&](O& o) { o.short_mscale = bad; }), kNoError);
    EXPECT_THROW(longrope_frequencies(32, 10000, long_rope(), bad), std::invalid_argument);
  }
  EXPECT_THROW(longrope_frequencies(32, 10000, long_rope(), -1), std::invalid_argument);
}

// ---------------------------------------------------------------- Llama 3, proportional, FoPE

TEST(Llama3, ShortWavesStayAndLongOnesAreInterpolated) {
  std::vector<Real> wanted;
  for (int i = 0; i < 64; ++i) {
    const Real f = pow(Real(500000), Real(-2 * i) / Real(128)), wave = Real(2) * Real::pi() / f;
    const Real t = (Real(8192) / wave - Real(1)) / Real(3);
    const bool is_short = wave < Real(8192) / Real(4), is_long = Real(8192) < wave;
    wanted.push_back(is_short ? f : is_long ? f / Real(8) : f * ((Real(1) - t) / Real(8) + t));
  }
  const Frequencies plain = language_frequencies(128, 500000),
                    frequencies = llama3_frequencies(128, 500000, {});
  expect_frequencies(frequencies, wanted);
  EXPECT_EQ(frequencies.magnitude, 1);
  EXPECT_EQ(frequencies.values.front(), plain.values.front());
  EXPECT_EQ(frequencies.values.back(), plain.values.back() / 8);
}

TEST(Llama3, EqualFactorsAreAThreshold) {
  const Llama3Options options{
      .factor = 16, .low_freq_factor = 1, .high_freq_factor = 1, .original_max_position_embeddings = 8192};
  const DoubleDouble threshold = 2 * kPi / 8192;
  const Frequencies frequencies =
      detail::llama3_scaled({.values = {threshold * 1.001, threshold, threshold * 0.999}}, options);
  EXPECT_EQ(frequencies.values[0], threshold * 1.001);
  EXPECT_EQ(frequencies.values[1], threshold / 16);
  EXPECT_EQ(frequencies.values[2], threshold * 0.999 / 16);
}

TEST(Llama3, KeepsAxesAndMagnitude) {
  const Frequencies frequencies =
      detail::llama3_scaled({.values = {1, 0, 0, 1e-9}, .axes = 2, .magnitude = 1.5}, {});
  EXPECT_EQ(frequencies.axes, 2);
  EXPECT_EQ(frequencies.magnitude, 1.5);
  EXPECT_EQ(frequencies.values, (std::vector<DoubleDouble>{1, 0, 0, DoubleDouble(1e-9) / 8}));
}

TEST(Llama3, Refuses) {
  const Frequencies one{.values = {1}};
  EXPECT_EQ(error_of_call([&] { detail::llama3_scaled(one, {.low_freq_factor = 4, .high_freq_factor = 1}); }),
            "rotary: high_freq_factor is 1, it must not be less than low_freq_factor, 4");
  EXPECT_EQ(error_of_call([&] { detail::llama3_scaled(one, {.factor = 0}); }),
            "rotary: factor is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([&] { detail::llama3_scaled(one, {.low_freq_factor = -1}); }),
            "rotary: low_freq_factor is -1, it must be finite and not negative");
  for (const double bad : {kNan, kInfinity}) {
    EXPECT_THROW(detail::llama3_scaled(one, {.factor = bad}), std::invalid_argument);
    EXPECT_THROW(detail::llama3_scaled(one, {.low_freq_factor = bad}), std::invalid_argument);
    EXPECT_THROW(detail::llama3_scaled(one, {.high_freq_factor = bad}), std::invalid_argument);
    EXPECT_THROW(detail::llama3_scaled(one, {.original_max_position_embeddings = bad}),
                 std::invalid_argument);
    EXPECT_THROW(detail::llama3_scaled({.values = {bad}}, {}), std::invalid_argument);
  }
}

TEST(Proportional, SlowPairsStandStill) {
  for (const double part : {1.0, 0.5, 0.3, 0.25, 0.01}) {
    std::vector<Real> wanted;
    for (int i = 0; i < 32; ++i)
      wanted.push_back(i < static_cast<int>(part * 32) ? pow(Real(1000000), Real(-2 * i) / Real(64)) / Real(4)
                                                       : Real(0));
    expect_frequencies(proportional_frequencies(64, 1000000, {.partial_rotary_factor = part, .factor = 4}),
                       wanted);
  }
  EXPECT_EQ(proportional_frequencies(64, 10000, {}).values, language_frequencies(64).values);
}

TEST(Proportional, Refuses) {
  EXPECT_EQ(error_of_call([] { proportional_frequencies(64, 10000, {.partial_rotary_factor = 1.5}); }),
            "rotary: partial_rotary_factor is 1.5, it must be at most 1");
  for (const double bad : {kNan, kInfinity, 0.0, -0.5}) {
    EXPECT_THROW(proportional_frequencies(64, 10000, {.partial_rotary_factor = bad}), std::invalid_argument);
    EXPECT_THROW(proportional_frequencies(64, 10000, {.partial_rotary_factor = 1, .factor = bad}),
                 std::invalid_argument);
  }
}

TEST(Fope, KeepsPairsThatMakeAFullTurn) {
  const Frequencies plain = language_frequencies(64),
                    frequencies = fope_frequencies(64, 10000, {.max_position_embeddings = 512});
  for (std::size_t i = 0; i < plain.values.size(); ++i) {
    const bool full_turn = plain.values[i].hi * 512 > 2 * kPi.hi;
    EXPECT_EQ(frequencies.values[i], full_turn ? plain.values[i] : DoubleDouble(0)) << "pair " << i;
  }
  EXPECT_EQ(frequencies.values[15], plain.values[15]);  // 10000^(−15/32) · 512 is a little more than 2π
  EXPECT_EQ(frequencies.values[16], 0);
}

TEST(Fope, OrAsManyAsAreAskedFor) {
  const Frequencies plain = language_frequencies(8);
  EXPECT_EQ(fope_frequencies(8, 10000, {.max_position_embeddings = 0, .num_inv_freq = 2}).values,
            (std::vector<DoubleDouble>{plain.values[0], plain.values[1], 0, 0}));
  EXPECT_EQ(fope_frequencies(8, 10000, {.max_position_embeddings = 0, .num_inv_freq = 9}).values,
            plain.values);
  EXPECT_EQ(
      error_of_call([] { fope_frequencies(8, 10000, {.max_position_embeddings = 512, .num_inv_freq = -1}); }),
      "rotary: num_inv_freq is -1, it must not be negative");
  EXPECT_EQ(error_of_call([] { fope_frequencies(8, 10000, {.max_position_embeddings = 0}); }),
            "rotary: max_position_embeddings is 0, it must be positive and finite");
  EXPECT_THROW(fope_frequencies(8, 10000, {.max_position_embeddings = kNan}), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
