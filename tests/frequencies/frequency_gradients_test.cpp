// Closed-form gradients of the variants against central differences.
#include <gtest/gtest.h>
#include <rotary/frequencies/gradients/ntk_gradients.hpp>
#include <rotary/frequencies/gradients/yarn_gradients.hpp>
#include <rotary/frequencies/mrope_axes.hpp>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

/// A loss that is linear in the frequencies and the magnitude, and its gradients.
struct Loss {
  std::vector<double> grad;
  double grad_magnitude = 0;

  Loss(Random& random, Index pairs, bool with_magnitude = false) : grad(static_cast<std::size_t>(pairs)) {
    random.fill(grad);
    if (with_magnitude) grad_magnitude = random.normal();
  }

  DoubleDouble operator()(const Frequencies& frequencies) const {
    DoubleDouble sum = grad_magnitude * DoubleDouble(frequencies.magnitude);
    for (std::size_t i = 0; i < grad.size(); ++i) sum = sum + frequencies.values.at(i) * grad[i];
    return sum;
  }
};

/// (loss(x + h) − loss(x − h)) / 2h, of the sixth order. The loss is in double-double, apart from magnitudes,
/// so that a step of 1e-3 of x leaves some 12 digits.
template <class LossAt>
double difference(double x, LossAt loss_at) {
  const double h = 1e-3 * x;
  const auto slope = [&](double step) { return (loss_at(x + step) - loss_at(x - step)) / (2 * step); };
  return ((15 * slope(h) - 6 * slope(2 * h) + slope(3 * h)) / 10).hi;
}

void expect_gradient(double found, double wanted, const char* what) {
  EXPECT_NEAR(found, wanted, 1e-8 * (std::abs(wanted) + 1e-6)) << what;
}

/// Likewise for a parameter that is a member of options; `loss_at` takes the options.
template <class Options, class LossAt>
void expect_gradient(double found, Options options, double Options::*parameter, LossAt loss_at,
                     const char* what) {
  const double x = options.*parameter;
  expect_gradient(found,
                  difference(x,
                             [&](double changed) {
                               options.*parameter = changed;
                               return loss_at(options);
                             }),
                  what);
}

TEST(FrequencyGradients, Theta) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  expect_gradient(language_gradient(64, 500, loss.grad),
                  difference(500, [&](double theta) { return loss(language_frequencies(64, theta)); }),
                  "theta");
}

TEST(FrequencyGradients, Linear) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const Frequencies plain = language_frequencies(64, 500);
  const ScaledGradient found = scaled_gradient(plain, 4, loss.grad);
  expect_gradient(found.factor, difference(4, [&](double s) { return loss(scaled(plain, s)); }), "factor");
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(found.frequencies[i], loss.grad[i] / 4);
  const LinearGradient linear = linear_gradient(64, 500, {.factor = 4}, loss.grad);
  expect_gradient(linear.theta,
                  difference(500, [&](double x) { return loss(linear_frequencies(64, x, {.factor = 4})); }),
                  "theta");
  expect_gradient(linear.factor,
                  difference(4, [&](double x) { return loss(linear_frequencies(64, 500, {.factor = x})); }),
                  "factor");
}

TEST(FrequencyGradients, Ntk) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const NtkGradient ntk = ntk_gradient(64, 500, {.alpha = 4}, loss.grad);
  expect_gradient(ntk.theta,
                  difference(500, [&](double x) { return loss(ntk_frequencies(64, x, {.alpha = 4})); }),
                  "theta");
  expect_gradient(ntk.alpha,
                  difference(4, [&](double x) { return loss(ntk_frequencies(64, 500, {.alpha = x})); }),
                  "alpha");
  for (const std::optional<double> mixed_b : {std::optional<double>{}, {0.625}}) {
    const VllmNtkGradient vllm = vllm_ntk_gradient(64, 500, {.factor = 4, .mixed_b = mixed_b}, loss.grad);
    expect_gradient(vllm.theta,
                    difference(500,
                               [&](double x) {
                                 return loss(vllm_ntk_frequencies(64, x, {.factor = 4, .mixed_b = mixed_b}));
                               }),
                    "theta");
    expect_gradient(
        vllm.factor,
        difference(
            4,
            [&](double x) { return loss(vllm_ntk_frequencies(64, 500, {.factor = x, .mixed_b = mixed_b})); }),
        "factor");
    expect_gradient(vllm.mixed_b,
                    difference(mixed_b.value_or(1),
                               [&](double x) {
                                 return loss(vllm_ntk_frequencies(64, 500, {.factor = 4, .mixed_b = x}));
                               }),
                    "mixed_b");
  }
  EXPECT_EQ(vllm_ntk_gradient(64, 500, {.factor = 1, .mixed_b = 0.625}, loss.grad).mixed_b,
            0);  // factor 1 scales nothing
  const DynamicNtkGradient frozen = frozen_dynamic_ntk_gradient(64, 500, {.factor = 4}, loss.grad);
  expect_gradient(
      frozen.theta,
      difference(500, [&](double x) { return loss(frozen_dynamic_ntk_frequencies(64, x, {.factor = 4})); }),
      "theta");
  expect_gradient(
      frozen.factor,
      difference(4, [&](double x) { return loss(frozen_dynamic_ntk_frequencies(64, 500, {.factor = x})); }),
      "factor");
  for (const double length : {100.0, 5000.0}) {
    const DynamicNtkGradient dynamic =
        dynamic_ntk_gradient(64, 500, {.factor = 4, .max_position_embeddings = 2048}, length, loss.grad);
    expect_gradient(dynamic.theta,
                    difference(500,
                               [&](double x) {
                                 return loss(dynamic_ntk_frequencies(
                                     64, x, {.factor = 4, .max_position_embeddings = 2048}, length));
                               }),
                    "theta");
    expect_gradient(dynamic.factor,
                    difference(4,
                               [&](double x) {
                                 return loss(dynamic_ntk_frequencies(
                                     64, 500, {.factor = x, .max_position_embeddings = 2048}, length));
                               }),
                    "factor");
  }
  EXPECT_EQ(
      dynamic_ntk_gradient(64, 500, {.factor = 4, .max_position_embeddings = 2048}, 100, loss.grad).factor,
      0);
  EXPECT_EQ(ntk_gradient(2, 500, {.alpha = 1}, std::vector<double>{1}).alpha,
            0);  // the only pair never changes
}

TEST(FrequencyGradients, Llama3) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 64);
  Llama3Options options;
  const Llama3Gradient found = llama3_gradient(128, 500000, options, loss.grad);
  const auto of_options = [&](const Llama3Options& changed) {
    return loss(llama3_frequencies(128, 500000, changed));
  };
  expect_gradient(
      found.theta,
      difference(500000, [&](double theta) { return loss(llama3_frequencies(128, theta, options)); }),
      "theta");
  expect_gradient(found.factor, options, &Llama3Options::factor, of_options, "factor");
  expect_gradient(found.low_freq_factor, options, &Llama3Options::low_freq_factor, of_options, "low");
  expect_gradient(found.high_freq_factor, options, &Llama3Options::high_freq_factor, of_options, "high");
  expect_gradient(found.original_max_position_embeddings, options,
                  &Llama3Options::original_max_position_embeddings, of_options, "original");
  for (const double g : {found.low_freq_factor, found.high_freq_factor})
    EXPECT_GT(std::abs(g), 1e-6) << "nothing to see";
  Index between = 0;
  for (const DoubleDouble& f : language_frequencies(128, 500000).values) {
    const double t = detail::llama3_unscaled_share(f, options).hi;
    between += t > 0 && t < 1;
  }
  EXPECT_GE(between, 5);
  options.high_freq_factor = options.low_freq_factor;
  const Llama3Gradient at_a_threshold = llama3_gradient(128, 500000, options, loss.grad);
  EXPECT_TRUE(std::isfinite(at_a_threshold.theta));
  EXPECT_EQ(at_a_threshold.low_freq_factor, 0);
  EXPECT_EQ(at_a_threshold.high_freq_factor, 0);
}

/// Of every parameter that YaRN and Grok-1 share.
template <class Options, class LossAt>
void expect_gradients(const YarnGradient& found, double theta, const Options& options, LossAt loss_at) {
  const auto of_options = [&](const Options& changed) { return loss_at(theta, changed); };
  expect_gradient(found.theta, difference(theta, [&](double x) { return loss_at(x, options); }), "theta");
  expect_gradient(found.factor, options, &Options::factor, of_options, "factor");
  expect_gradient(found.extrapolation_factor, options, &Options::extrapolation_factor, of_options,
                  "extrapolation_factor");
  expect_gradient(found.original_max_position_embeddings, options, &Options::original_max_position_embeddings,
                  of_options, "original_max_position_embeddings");
  expect_gradient(found.beta_fast, options, &Options::beta_fast, of_options, "beta_fast");
  expect_gradient(found.beta_slow, options, &Options::beta_slow, of_options, "beta_slow");
}

TEST(FrequencyGradients, Yarn) {
  Random random(5);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32, true);
  const auto of_yarn = [&](double theta, const YarnOptions& options) {
    return loss(yarn_frequencies(64, theta, options));
  };
  for (const bool truncate : {true, false})
    for (const YarnMagnitude rule : {YarnMagnitude::hf, YarnMagnitude::deepseek, YarnMagnitude::ggml}) {
      const YarnOptions options{.factor = 8,
                                .original_max_position_embeddings = 4096,
                                .truncate = truncate,
                                .extrapolation_factor = 0.75,
                                .mscale = 0.7,
                                .mscale_all_dim = 1.25,
                                .attn_factor = 1.5,
                                .magnitude = rule};
      const YarnGradient found = yarn_gradient(64, 150000, options, loss.grad, loss.grad_magnitude);
      expect_gradients(found, 150000, options, of_yarn);
      EXPECT_EQ(found.beta_slow == 0, truncate) << "rounding hides the betas, and nothing else does";
    }
  EXPECT_EQ(yarn_magnitude_gradient({.factor = 8, .attention_factor = 2}), 0);
  for (const double factor : {0.5, 1.0}) EXPECT_EQ(yarn_magnitude_gradient({.factor = factor}), 0);
}

TEST(FrequencyGradients, YarnWithAnEndThatIsClamped) {
  Random random(6);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  // beta_fast is out of reach, so low stays 0; theta is small, so high stays dim − 1.
  const YarnOptions options{
      .factor = 8, .original_max_position_embeddings = 4096, .beta_fast = 3000, .truncate = false};
  EXPECT_EQ(correction_range(64, 20, 4096, 3000, 1, false).low, 0);
  EXPECT_EQ(correction_range(64, 20, 4096, 3000, 1, false).high, 63);
  expect_gradients(
      yarn_gradient(64, 20, options, loss.grad), 20, options,
      [&](double theta, const YarnOptions& changed) { return loss(yarn_frequencies(64, theta, changed)); });
}

TEST(FrequencyGradients, Grok) {
  Random random(9);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const auto of_grok = [&](double theta, const GrokOptions& options) {
    return loss(grok_frequencies(64, theta, options));
  };
  for (const bool truncate : {true, false})
    for (const GrokMethod method :
         {GrokMethod::original, GrokMethod::yarn_linear, GrokMethod::yarn_log, GrokMethod::theta_scale}) {
      const GrokOptions options{.factor = 16,
                                .original_max_position_embeddings = 8192,
                                .truncate = truncate,
                                .extrapolation_factor = 0.75,
                                .method = method};
      const YarnGradient found = grok_gradient(64, 150000, options, loss.grad);
      SCOPED_TRACE(static_cast<int>(method));
      expect_gradients(found, 150000, options, of_grok);
      EXPECT_EQ(found.factor == 0, method == GrokMethod::original);
      const bool mixes = method == GrokMethod::yarn_linear || method == GrokMethod::yarn_log;
      EXPECT_EQ(found.extrapolation_factor != 0, mixes);
      EXPECT_EQ(found.beta_fast != 0, mixes && !truncate);
    }
}

TEST(FrequencyGradients, NtkByParts) {
  Random random(10);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 64);
  const NtkByPartsOptions options{.factor = 8,
                                  .original_max_position_embeddings = 2048,
                                  .ntk_factor = 0.875,
                                  .extrapolation_factor = 0.75};
  const NtkByPartsGradient found = ntk_by_parts_gradient(128, 10000, options, loss.grad);
  const auto of_options = [&](const NtkByPartsOptions& changed) {
    return loss(ntk_by_parts_frequencies(128, 10000, changed));
  };
  expect_gradient(
      found.theta,
      difference(10000, [&](double x) { return loss(ntk_by_parts_frequencies(128, x, options)); }), "theta");
  expect_gradient(found.factor, options, &NtkByPartsOptions::factor, of_options, "factor");
  expect_gradient(found.ntk_factor, options, &NtkByPartsOptions::ntk_factor, of_options, "ntk_factor");
  expect_gradient(found.extrapolation_factor, options, &NtkByPartsOptions::extrapolation_factor, of_options,
                  "extrapolation_factor");
  // A single pair, which the NTK form cannot slow down.
  EXPECT_TRUE(std::isfinite(
      ntk_by_parts_gradient(2, 10000, {.original_max_position_embeddings = 2048}, std::vector<double>{1})
          .factor));
}

TEST(FrequencyGradients, LongRope) {
  Random random(7);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 16);
  LongRopeOptions options{.original_max_position_embeddings = 4096, .max_position_embeddings = 131072};
  for (int i = 0; i < 16; ++i) options.short_factor.push_back(1 + i), options.long_factor.push_back(2 + i);
  for (const double length : {1.0, 5000.0}) {
    const LongRopeGradient found = longrope_gradient(32, 500, options, length, loss.grad);
    expect_gradient(
        found.theta,
        difference(500, [&](double x) { return loss(longrope_frequencies(32, x, options, length)); }),
        "theta");
    const auto of_set = length > 4096 ? &LongRopeOptions::long_factor : &LongRopeOptions::short_factor;
    for (std::size_t i = 0; i < 16; ++i)
      expect_gradient(found.divisors[i],
                      difference((options.*of_set)[i],
                                 [&](double e) {
                                   LongRopeOptions changed = options;
                                   (changed.*of_set)[i] = e;
                                   return loss(longrope_frequencies(32, 500, changed, length));
                                 }),
                      "divisor");
  }
}

TEST(FrequencyGradients, LongRopeMagnitude) {
  Random random(11);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 4, true);
  LongRopeOptions options{.short_factor = {1, 1, 2, 3},
                          .long_factor = {1, 4, 8, 9},
                          .original_max_position_embeddings = 4096,
                          .max_position_embeddings = 131072,
                          .long_mscale = 1.25};
  const auto of_factor = [&](double length) {
    return longrope_gradient(8, 500, options, length, loss.grad, loss.grad_magnitude).factor;
  };
  const auto loss_at = [&](double s) {
    LongRopeOptions changed = options;
    changed.factor = s;
    return loss(longrope_frequencies(8, 500, changed, 1));
  };
  EXPECT_GT(longrope_magnitude_gradient(options, 1), 0);
  expect_gradient(of_factor(1), difference(32, loss_at), "the factor that M / L is");
  options.factor = 20;
  expect_gradient(of_factor(1), difference(20, loss_at), "the factor that is given");
  EXPECT_EQ(of_factor(5000), 0) << "long_mscale takes the place of the magnitude";
  options.factor = 0.5;
  EXPECT_EQ(of_factor(1), 0) << "shorter contexts have magnitude 1";
  options.factor = 20;
  options.attention_factor = 1.5;
  EXPECT_EQ(of_factor(1), 0);
}

TEST(FrequencyGradients, Fope) {
  Random random(12);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  for (const std::optional<Index> count : {std::optional<Index>{}, {7}})
    expect_gradient(
        fope_gradient(64, 500, {.max_position_embeddings = 512, .num_inv_freq = count}, loss.grad),
        difference(500,
                   [&](double theta) {
                     return loss(fope_frequencies(64, theta,
                                                  {.max_position_embeddings = 512, .num_inv_freq = count}));
                   }),
        "theta");
}

TEST(FrequencyGradients, OfFrequenciesOnAxes) {
  Random random(13);
  SCOPED_TRACE(random.replay());
  const std::vector<Index> axis_of_pair = mrope_axes_interleaved({4, 2, 2});
  const Loss of_sections(random, 3 * 8), of_grid(random, 2 * 8);
  expect_gradient(language_gradient(16, 500, on_axes_gradient(axis_of_pair, 3, of_sections.grad)),
                  difference(500,
                             [&](double theta) {
                               return of_sections(on_axes(language_frequencies(16, theta), axis_of_pair, 3));
                             }),
                  "theta of M-RoPE");
  expect_gradient(
      language_gradient(8, 500, axial_gradient(2, of_grid.grad)),
      difference(500, [&](double theta) { return of_grid(axial(language_frequencies(8, theta), 2)); }),
      "theta of a grid");
  const std::vector<Index> beyond = {0, 3};
  EXPECT_THROW(static_cast<void>(on_axes_gradient(beyond, 3, std::vector<double>(6))), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(on_axes_gradient(axis_of_pair, 3, std::vector<double>(23))),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(on_axes_gradient(axis_of_pair, 0, {})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(axial_gradient(2, std::vector<double>(6))), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(axial_gradient(0, std::vector<double>(6))), std::invalid_argument);
}

TEST(FrequencyGradients, Proportional) {
  Random random(8);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const ProportionalOptions options{.partial_rotary_factor = 0.5, .factor = 4};
  const ProportionalGradient found = proportional_gradient(64, 500, options, loss.grad);
  expect_gradient(found.theta,
                  difference(500, [&](double x) { return loss(proportional_frequencies(64, x, options)); }),
                  "theta");
  expect_gradient(
      found.factor, options, &ProportionalOptions::factor,
      [&](const ProportionalOptions& changed) { return loss(proportional_frequencies(64, 500, changed)); },
      "factor");
}

TEST(FrequencyGradients, NeedAnEntryForEveryFrequency) {
  const std::vector<double> wrong(31);
  EXPECT_THROW(static_cast<void>(language_gradient(64, 500, wrong)), std::invalid_argument);
  EXPECT_THROW(scaled_gradient(language_frequencies(64), 2, wrong), std::invalid_argument);
  EXPECT_THROW(linear_gradient(64, 500, {.factor = 2}, wrong), std::invalid_argument);
  EXPECT_THROW(ntk_gradient(64, 500, {.alpha = 2}, wrong), std::invalid_argument);
  EXPECT_THROW(vllm_ntk_gradient(64, 500, {.factor = 2}, wrong), std::invalid_argument);
  EXPECT_THROW(dynamic_ntk_gradient(64, 500, {.factor = 2, .max_position_embeddings = 8}, 16, wrong),
               std::invalid_argument);
  EXPECT_THROW(llama3_gradient(64, 500, {}, wrong), std::invalid_argument);
  EXPECT_THROW(yarn_gradient(64, 500, {.factor = 2, .original_max_position_embeddings = 512}, wrong),
               std::invalid_argument);
  EXPECT_THROW(frozen_dynamic_ntk_gradient(64, 500, {.factor = 2}, wrong), std::invalid_argument);
  EXPECT_THROW(grok_gradient(64, 500, {.factor = 2, .original_max_position_embeddings = 512}, wrong),
               std::invalid_argument);
  EXPECT_THROW(ntk_by_parts_gradient(64, 500, {.factor = 2, .original_max_position_embeddings = 512}, wrong),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(fope_gradient(64, 500, {.max_position_embeddings = 512}, wrong)),
               std::invalid_argument);
  EXPECT_THROW(proportional_gradient(64, 500, {.factor = 2}, wrong), std::invalid_argument);
}

// Where the frequencies are refused, so are their gradients.
TEST(FrequencyGradients, RefuseWhatFrequenciesRefuse) {
  const std::vector<double> grad(4, 1.0);
  const std::vector<double> ones(4, 1.0);
  for (const double bad : {-1.0, 0.0, std::nan(""), HUGE_VAL}) {
    const auto refuse = [&](const auto& gradient_of, const char* name) {
      expect_error([&] { static_cast<void>(gradient_of(bad)); }, {name, " is "});
    };
    refuse([&](double x) { return language_gradient(8, x, grad); }, "theta");
    refuse([&](double x) { return scaled_gradient(language_frequencies(8), x, grad); }, "factor");
    refuse([&](double x) { return linear_gradient(8, 500, {.factor = x}, grad); }, "factor");
    refuse([&](double x) { return linear_gradient(8, x, {.factor = 2}, grad); }, "theta");
    refuse([&](double x) { return llama3_gradient(8, 500, {.factor = x}, grad); }, "factor");
    refuse([&](double x) { return llama3_gradient(8, x, {}, grad); }, "theta");
    refuse([&](double x) { return ntk_gradient(8, 500, {.alpha = x}, grad); }, "alpha");
    refuse([&](double x) { return ntk_gradient(8, x, {.alpha = 2}, grad); }, "theta");
    refuse([&](double x) { return vllm_ntk_gradient(8, 500, {.factor = x}, grad); }, "factor");
    refuse([&](double x) { return frozen_dynamic_ntk_gradient(8, 500, {.factor = x}, grad); }, "factor");
    refuse(
        [&](double x) {
          return dynamic_ntk_gradient(8, 500, {.factor = x, .max_position_embeddings = 10}, 20, grad);
        },
        "factor");
    refuse(
        [&](double x) {
          return yarn_gradient(8, 500, {.factor = x, .original_max_position_embeddings = 4096}, grad);
        },
        "factor");
    refuse(
        [&](double x) {
          return grok_gradient(8, 500, {.factor = x, .original_max_position_embeddings = 4096}, grad);
        },
        "factor");
    refuse(
        [&](double x) {
          return ntk_by_parts_gradient(8, 500, {.factor = x, .original_max_position_embeddings = 4096}, grad);
        },
        "factor");
    refuse(
        [&](double x) {
          const LongRopeOptions options{.short_factor = ones,
                                        .long_factor = ones,
                                        .original_max_position_embeddings = 4096,
                                        .factor = x};
          return longrope_gradient(8, 500, options, 1, grad);
        },
        "factor");
    refuse([&](double x) { return proportional_gradient(8, 500, {.factor = x}, grad); }, "factor");
    refuse([&](double x) { return fope_gradient(8, 500, {.max_position_embeddings = x}, grad); },
           "max_position_embeddings");
  }
}

}  // namespace
}  // namespace rotary::testing
