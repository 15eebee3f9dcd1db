// YaRN and its relatives against MPFR: the range of pairs, magnitudes, NTK-by-parts, Grok-1.
#include <rotary/frequencies/grok.hpp>
#include <rotary/frequencies/ntk_by_parts.hpp>
#include <rotary/frequencies/yarn.hpp>

#include "support/variant_checks.hpp"

namespace rotary::testing {
namespace {

// The formulas once more, in real numbers, from the published descriptions.
Real at_most(const Real& a, const Real& b) { return b < a ? b : a; }
Real at_least(const Real& a, const Real& b) { return a < b ? b : a; }
Real share(const Real& x) { return at_most(at_least(x, 0), 1); }

struct RealRange {
  Real low, high;
  Real unscaled(int pair) const { return Real(1) - share((Real(pair) - low) / (high - low)); }
};

RealRange real_range(int dim, double theta, double context, double fast, double slow, bool truncate = true) {
  const auto pair_of = [&](double turns) {
    return Real(dim) * log(Real(context) / (Real(2) * Real::pi() * Real(turns))) /
           (Real(2) * log(Real(theta)));
  };
  RealRange range{pair_of(fast), pair_of(slow)};
  if (truncate) range = {floor(range.low), Real(0) - floor(Real(0) - range.high)};
  range = {at_least(range.low, 0), at_most(range.high, dim - 1)};
  if (range.low == range.high) range.high = range.high + Real(1) / Real(1000);
  return range;
}

// ---------------------------------------------------------------- the range of YaRN

TEST(CorrectionRange, RoundsOutwardsAndStaysWithinDim) {
  const CorrectionRange range = correction_range(128, 10000, 2048);
  EXPECT_EQ(range.low, 16);
  EXPECT_EQ(range.high, 41);
  EXPECT_EQ(correction_range(128, 10000, 2048, 2000, 1).low, 0);   // more turns than any pair makes
  EXPECT_EQ(correction_range(64, 10, 2048, 2048, 1e-2).high, 63);  // dim − 1, not dim/2 − 1
  const CorrectionRange fractional = correction_range(64, 150000, 4096, 32, 1, false);
  const RealRange wanted = real_range(64, 150000, 4096, 32, 1, false);
  EXPECT_LT(relative_error_of(fractional.low, wanted.low), kBound);
  EXPECT_LT(relative_error_of(fractional.high, wanted.high), kBound);
}

TEST(CorrectionRange, AnEmptyOneIsAThousandthWide) {
  const CorrectionRange range = correction_range(64, 10000, 1000, 8, 8, false);
  EXPECT_EQ(range.high, range.low + DoubleDouble(1) / 1000);
  EXPECT_EQ(correction_ramp(range, 0), 0);
  EXPECT_EQ(correction_ramp(range, 31), 1);
}

TEST(CorrectionRange, RampRisesFromLowToHigh) {
  const CorrectionRange range{2, 6};
  for (const Index pair : {0, 1, 2}) EXPECT_EQ(correction_ramp(range, pair), 0);
  EXPECT_EQ(correction_ramp(range, 3), 0.25);
  EXPECT_EQ(correction_ramp(range, 5), 0.75);
  for (const Index pair : {6, 7, 100}) EXPECT_EQ(correction_ramp(range, pair), 1);
}

TEST(CorrectionRange, RefusesWhatImplementationsDisagreeOn) {
  EXPECT_EQ(
      error_of_call([] { correction_range(64, 10000, 6.28); }),
      "rotary: original_max_position_embeddings is 6.28, it must be more than 2 pi beta_slow = 6.28319, or "
      "no pair makes beta_slow turns");
  EXPECT_EQ(
      error_of_call([] { correction_range(64, 10000, 12, 32, 2); }),
      "rotary: original_max_position_embeddings is 12, it must be more than 2 pi beta_slow = 12.5664, or "
      "no pair makes beta_slow turns");
  EXPECT_EQ(error_of_call([] { correction_range(64, 1.5, 4096); }),
            "rotary: original_max_position_embeddings is 4096 with theta 1.5: pairs up to 237 make beta_fast "
            "turns, it must be at most rotary_dim - 1 = 63");
  EXPECT_EQ(error_of_call([] { correction_range(64, 10000, 4096, 1, 32); }),
            "rotary: beta_fast is 1, it must not be less than beta_slow, which is 32");
  EXPECT_EQ(error_of_call([] { correction_range(64, 1, 4096); }),
            "rotary: theta is 1, it must be more than 1 for pairs to slow down");
  EXPECT_EQ(error_of_call([] { correction_range(0, 10000, 4096); }),
            "rotary: rotary_dim is 0, it must be at least 2 for a pair to be interpolated");
  for (const double bad : {kNan, kInfinity, 0.0, -1.0}) {
    EXPECT_THROW(correction_range(64, bad, 4096), std::invalid_argument);
    EXPECT_THROW(correction_range(64, 10000, bad), std::invalid_argument);
    EXPECT_THROW(correction_range(64, 10000, 4096, bad, 1), std::invalid_argument);
    EXPECT_THROW(correction_range(64, 10000, 4096, 32, bad), std::invalid_argument);
  }
}

// ---------------------------------------------------------------- YaRN

TEST(Yarn, MixesPlainAndInterpolated) {
  for (const bool truncate : {true, false})
    for (const double weight : {1.0, 0.5, 0.0}) {
      const RealRange range = real_range(64, 150000, 4096, 32, 1, truncate);
      std::vector<Real> wanted;
      for (int i = 0; i < 32; ++i) {
        const Real f = pow(Real(150000), Real(-2 * i) / Real(64)),
                   unscaled = range.unscaled(i) * Real(weight);
        wanted.push_back(f / Real(32) * (Real(1) - unscaled) + f * unscaled);
      }
      expect_frequencies(yarn_frequencies(64, 150000,
                                          {.factor = 32,
                                           .original_max_position_embeddings = 4096,
                                           .truncate = truncate,
                                           .extrapolation_factor = weight}),
                         wanted);
    }
}

TEST(Yarn, FactorOneChangesNothing) {
  const Frequencies frequencies =
      yarn_frequencies(128, 10000, {.factor = 1, .original_max_position_embeddings = 2048});
  EXPECT_EQ(frequencies.magnitude, 1);
  std::vector<Real> wanted;
  for (const DoubleDouble& f : language_frequencies(128).values) wanted.emplace_back(f);
  expect_frequencies(frequencies, wanted);
  EXPECT_EQ(yarn_frequencies(128, 10000, {.factor = 0.5, .original_max_position_embeddings = 2048}).magnitude,
            1);
}

TEST(Yarn, MagnitudeByEveryRule) {
  const double g = 1 + 0.1 * std::log(40.0), g707 = 1 + 0.0707 * std::log(40.0);
  YarnOptions options{.factor = 40, .original_max_position_embeddings = 4096, .attn_factor = 2};
  const auto magnitude = [&](YarnMagnitude rule) {
    options.magnitude = rule;
    return yarn_magnitude(options);
  };
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::hf), g);  // attn_factor is none of its keys
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::original), 2 * g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::deepseek), 2 * g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::mlx), g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::ggml), 2 * g);
  options.extrapolation_factor = 0;
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::ggml), 2);

  options.mscale = 0.707;  // alone
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::hf), g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::original), 2 * g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::deepseek), 2 * g707);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::mlx), g707);

  options.mscale_all_dim = 1;
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::hf), g707 / g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::deepseek), 2 * g707 / g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::mlx), g707 / g);
  options.mscale.reset();  // mscale_all_dim alone
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::hf), g);
  options.mscale = 0;  // as good as absent to Hugging Face
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::hf), g);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::mlx), 1 / g);

  options.attention_factor = 1.25;
  EXPECT_EQ(magnitude(YarnMagnitude::hf), 1.25);
  EXPECT_DOUBLE_EQ(magnitude(YarnMagnitude::mlx), 1 / g);

  // TeleChat3.
  EXPECT_DOUBLE_EQ(yarn_magnitude({.factor = 4, .mscale = 0.7, .magnitude = YarnMagnitude::deepseek}),
                   1 + 0.07 * std::log(4.0));
}

TEST(Yarn, SoftmaxScaleIsTheSquareOfTheSecondMscale) {
  EXPECT_EQ(yarn_softmax_scale({.factor = 40}), 1);
  EXPECT_DOUBLE_EQ(yarn_softmax_scale({.factor = 40, .mscale_all_dim = 1}),
                   std::pow(1 + 0.1 * std::log(40.0), 2));
  EXPECT_EQ(yarn_mscale(1), 1);
  EXPECT_EQ(yarn_mscale(0.5, 3), 1);
  EXPECT_DOUBLE_EQ(yarn_mscale(std::exp(2.0), 5), 2);
}

TEST(Yarn, DynamicFollowsTheLength) {
  const YarnOptions options{.original_max_position_embeddings = 2048};
  EXPECT_EQ(dynamic_yarn_frequencies(128, 10000, options, 100).magnitude, 1);
  EXPECT_EQ(dynamic_yarn_frequencies(128, 10000, options, 100).values,
            yarn_frequencies(128, 10000, options).values);
  const YarnOptions four{.factor = 4, .original_max_position_embeddings = 2048};
  EXPECT_EQ(dynamic_yarn_frequencies(128, 10000, options, 8192).values,
            yarn_frequencies(128, 10000, four).values);
  EXPECT_EQ(dynamic_yarn_frequencies(128, 10000, options, 8192).magnitude, yarn_magnitude(four));
  EXPECT_EQ(dynamic_yarn_frequencies(128, 10000, four, 5000).values,
            yarn_frequencies(128, 10000, four).values);
}

TEST(Yarn, Refuses) {
  EXPECT_EQ(error_of_call([] { yarn_frequencies(64, 10000, {.factor = 2}); }),
            "rotary: original_max_position_embeddings is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { yarn_frequencies(64, 10000, {.factor = 0}); }),
            "rotary: factor is 0, it must be positive and finite");
  for (const double bad : {kNan, kInfinity}) {
    const YarnOptions good{.factor = 2, .original_max_position_embeddings = 2048};
    const auto with = [&](auto change) {
      YarnOptions options = good;
      change(options);
      return error_of_call([&] { yarn_frequencies(64, 10000, options); });
    };
    EXPECT_NE(with([&](YarnOptions& o) { o.factor = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.original_max_position_embeddings = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.beta_fast = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.beta_slow = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.extrapolation_factor = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.attention_factor = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.mscale = o.mscale_all_dim = bad; }), kNoError);
    EXPECT_NE(with([&](YarnOptions& o) { o.attn_factor = bad, o.magnitude = YarnMagnitude::ggml; }),
              kNoError);
    EXPECT_THROW(dynamic_yarn_frequencies(64, 10000, good, bad), std::invalid_argument);
    EXPECT_THROW(yarn_mscale(2, bad), std::invalid_argument);
  }
}

// ---------------------------------------------------------------- NTK-by-parts, Grok-1

TEST(NtkByParts, IsLinearThenNtkThenPlain) {
  const RealRange to_ntk = real_range(128, 10000, 2048, 1.25, 0.75),
                  to_plain = real_range(128, 10000, 2048, 16, 2);
  for (const double part : {1.0, 0.5}) {
    std::vector<Real> wanted;
    for (int i = 0; i < 64; ++i) {
      const Real f = pow(Real(10000), Real(-2 * i) / Real(128));
      const Real ntk = f * pow(Real(8), Real(-2 * i) / Real(126));
      const Real taken = to_ntk.unscaled(i) * Real(part), unscaled = to_plain.unscaled(i) * Real(part);
      const Real slow = f / Real(8) * (Real(1) - taken) + ntk * taken;
      wanted.push_back(slow * (Real(1) - unscaled) + f * unscaled);
    }
    const Frequencies frequencies = ntk_by_parts_frequencies(128, 10000,
                                                             {.factor = 8,
                                                              .original_max_position_embeddings = 2048,
                                                              .ntk_factor = part,
                                                              .extrapolation_factor = part});
    expect_frequencies(frequencies, wanted);
    EXPECT_EQ(frequencies.magnitude, 1);
  }
  EXPECT_EQ(
      error_of_call(
          [] { ntk_by_parts_frequencies(64, 10000, {.factor = 2, .original_max_position_embeddings = 12}); }),
      "rotary: original_max_position_embeddings is 12, it must be more than 2 pi beta_slow = 12.5664, or no "
      "pair makes beta_slow turns");
  for (const double bad : {kNan, kInfinity}) {
    EXPECT_THROW(
        ntk_by_parts_frequencies(64, 10000, {.factor = bad, .original_max_position_embeddings = 512}),
        std::invalid_argument);
    EXPECT_THROW(ntk_by_parts_frequencies(
                     64, 10000, {.factor = 2, .original_max_position_embeddings = 512, .ntk_factor = bad}),
                 std::invalid_argument);
    EXPECT_THROW(
        ntk_by_parts_frequencies(
            64, 10000, {.factor = 2, .original_max_position_embeddings = 512, .extrapolation_factor = bad}),
        std::invalid_argument);
  }
}

TEST(Grok, ByEveryMethod) {
  const double context = 8192, factor = 16;
  const RealRange range = real_range(128, 10000, context, 32, 1);
  for (const GrokMethod method :
       {GrokMethod::original, GrokMethod::yarn_linear, GrokMethod::yarn_log, GrokMethod::theta_scale}) {
    const Real turns = Real(context) / (Real(2) * Real::pi());
    const Real stretched = pow(Real(10000), log(turns * Real(factor)) / log(turns));
    std::vector<Real> wanted;
    for (int i = 0; i < 64; ++i) {
      const Real exponent = Real(-2 * i) / Real(128), f = pow(Real(10000), exponent),
                 unscaled = range.unscaled(i);
      if (method == GrokMethod::original) wanted.push_back(f);
      if (method == GrokMethod::yarn_linear)
        wanted.push_back(f / Real(factor) * (Real(1) - unscaled) + f * unscaled);
      if (method == GrokMethod::yarn_log)
        wanted.push_back(pow(f, unscaled) * pow(f / Real(factor), Real(1) - unscaled));
      if (method == GrokMethod::theta_scale) wanted.push_back(pow(stretched, exponent));
    }
    const Frequencies frequencies = grok_frequencies(
        128, 10000, {.factor = factor, .original_max_position_embeddings = context, .method = method});
    expect_frequencies(frequencies, wanted);
    EXPECT_EQ(frequencies.magnitude, 1);
  }
  EXPECT_EQ(GrokOptions{}.method, GrokMethod::yarn_log);
  EXPECT_EQ(error_of_call([] {
              grok_frequencies(
                  64, 10000,
                  {.factor = 2, .original_max_position_embeddings = 6, .method = GrokMethod::theta_scale});
            }),
            "rotary: original_max_position_embeddings is 6, it must be finite and more than 2 pi");
  for (const double bad : {kNan, kInfinity}) {
    EXPECT_THROW(grok_frequencies(64, 10000, {.factor = bad, .original_max_position_embeddings = 512}),
                 std::invalid_argument);
    EXPECT_THROW(grok_frequencies(64, 10000, {.factor = 2, .original_max_position_embeddings = bad}),
                 std::invalid_argument);
    EXPECT_THROW(
        grok_frequencies(64, 10000,
                         {.factor = 2, .original_max_position_embeddings = 512, .extrapolation_factor = bad}),
        std::invalid_argument);
  }
}

}  // namespace
}  // namespace rotary::testing
