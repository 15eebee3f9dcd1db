// Closed-form gradients of the variants against central differences.
#include <gtest/gtest.h>
#include <rotary/variants/frequency_gradients.hpp>

#include <cmath>
#include <stdexcept>
#include <vector>

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

TEST(FrequencyGradients, Theta) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  expect_gradient(language_theta_gradient(64, 500, loss.grad),
                  difference(500, [&](double theta) { return loss(language_frequencies(64, theta)); }),
                  "theta");
}

TEST(FrequencyGradients, Linear) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const Frequencies plain = language_frequencies(64, 500);
  const ScalingGradients found = scaled_gradients(plain, 4, loss.grad);
  expect_gradient(found.factor, difference(4, [&](double s) { return loss(scaled(plain, s)); }), "factor");
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(found.frequencies[i], loss.grad[i] / 4);
}

TEST(FrequencyGradients, Ntk) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const ThetaGradients alpha = ntk_gradients(64, 500, 4, loss.grad);
  expect_gradient(alpha.theta, difference(500, [&](double x) { return loss(ntk_frequencies(64, x, 4)); }),
                  "theta");
  expect_gradient(alpha.factor, difference(4, [&](double x) { return loss(ntk_frequencies(64, 500, x)); }),
                  "alpha");
  for (const std::optional<double> mixed_b : {std::optional<double>{}, {0.625}}) {
    const ThetaGradients vllm = ntk_vllm_gradients(64, 500, 4, mixed_b, loss.grad);
    expect_gradient(vllm.theta,
                    difference(500, [&](double x) { return loss(ntk_frequencies_vllm(64, x, 4, mixed_b)); }),
                    "theta");
    expect_gradient(vllm.factor,
                    difference(4, [&](double x) { return loss(ntk_frequencies_vllm(64, 500, x, mixed_b)); }),
                    "factor");
  }
  for (const double length : {100.0, 5000.0}) {
    const ThetaGradients dynamic = dynamic_ntk_gradients(64, 500, 4, 2048, length, loss.grad);
    expect_gradient(
        dynamic.theta,
        difference(500, [&](double x) { return loss(dynamic_ntk_frequencies(64, x, 4, 2048, length)); }),
        "theta");
    expect_gradient(
        dynamic.factor,
        difference(4, [&](double x) { return loss(dynamic_ntk_frequencies(64, 500, x, 2048, length)); }),
        "factor");
  }
  EXPECT_EQ(dynamic_ntk_gradients(64, 500, 4, 2048, 100, loss.grad).factor, 0);
  EXPECT_EQ(ntk_gradients(2, 500, 1, std::vector<double>{1}).factor, 0);  // the only pair never changes
}

TEST(FrequencyGradients, Llama3) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 64);
  const Frequencies plain = language_frequencies(128, 500000);
  Llama3Options options;
  const ScalingGradients found = llama3_gradients(plain, options, loss.grad);
  expect_gradient(found.factor,
                  difference(options.factor,
                             [&](double s) {
                               Llama3Options changed = options;
                               changed.factor = s;
                               return loss(llama3_scaled(plain, changed));
                             }),
                  "factor");
  Index between = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    const double t = detail::llama3_kept(plain.values[i], options).hi;
    between += t > 0 && t < 1;
    expect_gradient(found.frequencies[i],
                    difference(plain.values[i].hi,
                               [&](double f) {
                                 Frequencies changed = plain;
                                 changed.values[i] = f;
                                 return loss(llama3_scaled(changed, options));
                               }),
                    "frequency");
  }
  EXPECT_GE(between, 5);
  options.high_freq_factor = options.low_freq_factor;
  for (const double g : llama3_gradients(plain, options, loss.grad).frequencies)
    EXPECT_TRUE(std::isfinite(g));
}

TEST(FrequencyGradients, Yarn) {
  Random random(5);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32, true);
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
      const ThetaGradients found = yarn_gradients(64, 150000, options, loss.grad, loss.grad_magnitude);
      expect_gradient(found.theta,
                      difference(150000, [&](double x) { return loss(yarn_frequencies(64, x, options)); }),
                      "theta");
      const auto with_factor = [&](double s) {
        YarnOptions changed = options;
        changed.factor = s;
        return loss(yarn_frequencies(64, 150000, changed));
      };
      expect_gradient(found.factor, difference(8, with_factor), "factor");
    }
  EXPECT_EQ(yarn_magnitude_gradient({.factor = 8, .attention_factor = 2}), 0);
  EXPECT_EQ(yarn_magnitude_gradient({.factor = 1}), 0);
}

TEST(FrequencyGradients, YarnWithAnEndThatIsClamped) {
  Random random(6);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  // beta_fast is out of reach, so low stays 0; theta is small, so high stays dim − 1.
  const YarnOptions options{
      .factor = 8, .original_max_position_embeddings = 4096, .beta_fast = 3000, .truncate = false};
  const ThetaGradients found = yarn_gradients(64, 20, options, loss.grad);
  EXPECT_EQ(correction_range(64, 20, 4096, 3000, 1, false).low, 0);
  EXPECT_EQ(correction_range(64, 20, 4096, 3000, 1, false).high, 63);
  expect_gradient(found.theta,
                  difference(20, [&](double x) { return loss(yarn_frequencies(64, x, options)); }), "theta");
}

TEST(FrequencyGradients, LongRope) {
  Random random(7);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 16);
  LongRopeOptions options{.original_max_position_embeddings = 4096, .max_position_embeddings = 131072};
  for (int i = 0; i < 16; ++i) options.short_factor.push_back(1 + i), options.long_factor.push_back(2 + i);
  for (const double length : {1.0, 5000.0}) {
    const LongRopeGradients found = longrope_gradients(32, 500, options, length, loss.grad);
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

TEST(FrequencyGradients, Proportional) {
  Random random(8);
  SCOPED_TRACE(random.replay());
  const Loss loss(random, 32);
  const ThetaGradients found = proportional_gradients(64, 500, 0.5, 4, loss.grad);
  expect_gradient(found.theta,
                  difference(500, [&](double x) { return loss(proportional_frequencies(64, x, 0.5, 4)); }),
                  "theta");
  expect_gradient(found.factor,
                  difference(4, [&](double x) { return loss(proportional_frequencies(64, 500, 0.5, x)); }),
                  "factor");
}

TEST(FrequencyGradients, NeedAnEntryForEveryFrequency) {
  const std::vector<double> wrong(31);
  EXPECT_THROW(language_theta_gradient(64, 500, wrong), std::invalid_argument);
  EXPECT_THROW(scaled_gradients(language_frequencies(64), 2, wrong), std::invalid_argument);
  EXPECT_THROW(ntk_gradients(64, 500, 2, wrong), std::invalid_argument);
  EXPECT_THROW(ntk_vllm_gradients(64, 500, 2, {}, wrong), std::invalid_argument);
  EXPECT_THROW(dynamic_ntk_gradients(64, 500, 2, 8, 16, wrong), std::invalid_argument);
  EXPECT_THROW(llama3_gradients(language_frequencies(64), {}, wrong), std::invalid_argument);
  EXPECT_THROW(yarn_gradients(64, 500, {.factor = 2, .original_max_position_embeddings = 512}, wrong),
               std::invalid_argument);
  EXPECT_THROW(proportional_gradients(64, 500, 0.5, 2, wrong), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
