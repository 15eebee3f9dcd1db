// Every parameter of every variant is refused by name if it is out of range, whatever the other parameters are.
#include <cmath>
#include <functional>
#include <limits>
#include <rotary/frequencies.hpp>
#include <rotary/frequencies/fope.hpp>
#include <rotary/frequencies/grok.hpp>
#include <rotary/frequencies/linear.hpp>
#include <rotary/frequencies/llama3.hpp>
#include <rotary/frequencies/longrope.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/ntk_by_parts.hpp>
#include <rotary/frequencies/proportional.hpp>
#include <rotary/frequencies/vision.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <string>
#include <vector>

#include "support/errors.hpp"

namespace rotary::testing {
namespace {

constexpr Index kDim = 8;
constexpr double kTheta = 10000, kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInfinity = std::numeric_limits<double>::infinity();

/// A parameter, and a call that is right but for its value.
struct Parameter {
  const char* name;
  std::function<void(double)> call;
};

void expect_refused(const std::vector<Parameter>& parameters, const std::vector<double>& values) {
  for (const auto& [name, call] : parameters)
    for (const double value : values) {
      SCOPED_TRACE(std::string(name) + " = " + std::to_string(value));
      expect_error([&, at = &call] { (*at)(value); }, {name});
    }
}

void use(const Frequencies&) {}
void use(double) {}

const LongRopeOptions& longrope() {
  static const LongRopeOptions options{.short_factor = {1, 1, 1, 1},
                                       .long_factor = {2, 2, 2, 2},
                                       .original_max_position_embeddings = 10,
                                       .max_position_embeddings = 20};
  return options;
}

TEST(VariantErrors, ParametersThatMustBePositive) {
  const std::vector<Parameter> parameters = {
      {"factor", [](double x) { use(linear_frequencies(kDim, kTheta, {.factor = x})); }},
      {"factor",
       [](double x) {
         use(llama3_frequencies(kDim, kTheta, {.factor = x, .original_max_position_embeddings = 10}));
       }},
      {"original_max_position_embeddings",
       [](double x) {
         use(llama3_frequencies(kDim, kTheta, {.factor = 2, .original_max_position_embeddings = x}));
       }},
      {"factor",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta, {.factor = x, .original_max_position_embeddings = 10}));
       }},
      {"original_max_position_embeddings",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta, {.factor = 2, .original_max_position_embeddings = x}));
       }},
      {"beta_fast",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta,
                              {.factor = 2, .original_max_position_embeddings = 10, .beta_fast = x}));
       }},
      {"beta_slow",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta,
                              {.factor = 2, .original_max_position_embeddings = 10, .beta_slow = x}));
       }},
      {"theta", [](double x) { correction_range(kDim, x, 10, 32); }},
      {"factor", [](double x) { use(yarn_mscale(x)); }},
      // A text that is no longer than the original context, for which the frequencies are plain.
      {"factor",
       [](double x) {
         use(dynamic_yarn_frequencies(kDim, kTheta, {.factor = x, .original_max_position_embeddings = 10},
                                      5));
       }},
      {"original_max_position_embeddings",
       [](double x) {
         use(dynamic_yarn_frequencies(kDim, kTheta, {.factor = 2, .original_max_position_embeddings = x}, 0));
       }},
      {"original_max_position_embeddings",
       [](double x) {
         LongRopeOptions options = longrope();
         options.original_max_position_embeddings = x;
         use(longrope_frequencies(kDim, kTheta, options, 0));
       }},
      {"max_position_embeddings",
       [](double x) {
         LongRopeOptions options = longrope();
         options.max_position_embeddings = x;
         use(longrope_frequencies(kDim, kTheta, options, 0));
       }},
      {"factor",
       [](double x) {
         LongRopeOptions options = longrope();
         options.factor = x;
         use(longrope_frequencies(kDim, kTheta, options, 0));
       }},
      {"alpha", [](double x) { use(ntk_frequencies(kDim, kTheta, {.alpha = x})); }},
      {"factor", [](double x) { use(vllm_ntk_frequencies(kDim, kTheta, {.factor = x})); }},
      {"factor",
       [](double x) {
         use(dynamic_ntk_frequencies(kDim, kTheta, {.factor = x, .max_position_embeddings = 10}, 0));
       }},
      {"max_position_embeddings",
       [](double x) {
         use(dynamic_ntk_frequencies(kDim, kTheta, {.factor = 2, .max_position_embeddings = x}, 0));
       }},
      {"factor", [](double x) { use(frozen_dynamic_ntk_frequencies(kDim, kTheta, {.factor = x})); }},
      {"max_position_embeddings", [](double x) { use(dynamic_ntk_length(0, 0, x)); }},
      {"length", [](double x) { use(qwen_ntk_alpha(x, 10)); }},
      {"original_max_position_embeddings", [](double x) { use(qwen_ntk_alpha(1, x)); }},
      {"original_max_position_embeddings",
       [](double x) { use(qwen_ntk_frequencies(kDim, kTheta, {.original_max_position_embeddings = x}, 0)); }},
      {"factor",
       [](double x) {
         use(ntk_by_parts_frequencies(kDim, kTheta, {.factor = x, .original_max_position_embeddings = 10}));
       }},
      {"partial_rotary_factor",
       [](double x) { use(proportional_frequencies(kDim, kTheta, {.partial_rotary_factor = x})); }},
      {"factor", [](double x) { use(proportional_frequencies(kDim, kTheta, {.factor = x})); }},
      {"ntk_factor",
       [](double x) {
         use(diffusion_frequencies(std::vector<Index>{4, 4}, kTheta, {.ntk_factor = x}));
       }},
      {"factor",
       [](double x) {
         use(grok_frequencies(kDim, kTheta, {.factor = x, .original_max_position_embeddings = 10}));
       }},
      {"max_position_embeddings",
       [](double x) { use(fope_frequencies(kDim, kTheta, {.max_position_embeddings = x})); }},
  };
  expect_refused(parameters, {0, -1, kNan, kInfinity});
}

TEST(VariantErrors, ParametersThatMustNotBeNegative) {
  const std::vector<Parameter> parameters = {
      {"low_freq_factor",
       [](double x) {
         use(llama3_frequencies(kDim, kTheta,
                                {.factor = 2, .low_freq_factor = x, .original_max_position_embeddings = 10}));
       }},
      {"high_freq_factor",
       [](double x) {
         use(llama3_frequencies(
             kDim, kTheta, {.factor = 2, .high_freq_factor = x, .original_max_position_embeddings = 10}));
       }},
      {"length",
       [](double x) {
         use(dynamic_yarn_frequencies(kDim, kTheta, {.factor = 2, .original_max_position_embeddings = 10},
                                      x));
       }},
      {"length", [](double x) { use(longrope_frequencies(kDim, kTheta, longrope(), x)); }},
      {"length",
       [](double x) {
         use(dynamic_ntk_frequencies(kDim, kTheta, {.factor = 2, .max_position_embeddings = 10}, x));
       }},
      {"length_in_use", [](double x) { use(dynamic_ntk_length(x, 0, 10)); }},
      {"length", [](double x) { use(dynamic_ntk_length(0, x, 10)); }},
      {"length",
       [](double x) {
         use(qwen_ntk_frequencies(kDim, kTheta, {.original_max_position_embeddings = 10}, x));
       }},
  };
  expect_refused(parameters, {-1, kNan});
}

TEST(VariantErrors, ParametersThatMustBeFinite) {
  const std::vector<Parameter> parameters = {
      {"mscale", [](double x) { use(yarn_mscale(2, x)); }},
      {"mscale",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta,
                              {.factor = 2,
                               .original_max_position_embeddings = 10,
                               .mscale = x,
                               .mscale_all_dim = 1,
                               .magnitude = YarnMagnitude::deepseek}));
       }},
      {"mscale_all_dim",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta,
                              {.factor = 2,
                               .original_max_position_embeddings = 10,
                               .mscale = 1,
                               .mscale_all_dim = x,
                               .magnitude = YarnMagnitude::deepseek}));
       }},
      {"attention_factor",
       [](double x) {
         use(yarn_frequencies(kDim, kTheta,
                              {.factor = 2, .original_max_position_embeddings = 10, .attention_factor = x}));
       }},
      {"extrapolation_factor",
       [](double x) {
         use(yarn_frequencies(
             kDim, kTheta, {.factor = 2, .original_max_position_embeddings = 10, .extrapolation_factor = x}));
       }},
      {"attention_factor",
       [](double x) {
         LongRopeOptions options = longrope();
         options.attention_factor = x;
         use(longrope_frequencies(kDim, kTheta, options, 0));
       }},
      {"mixed_b", [](double x) { use(vllm_ntk_frequencies(kDim, kTheta, {.factor = 2, .mixed_b = x})); }},
      {"ntk_factor",
       [](double x) {
         use(ntk_by_parts_frequencies(
             kDim, kTheta, {.factor = 2, .original_max_position_embeddings = 10, .ntk_factor = x}));
       }},
      {"extrapolation_factor",
       [](double x) {
         use(ntk_by_parts_frequencies(
             kDim, kTheta, {.factor = 2, .original_max_position_embeddings = 10, .extrapolation_factor = x}));
       }},
      {"extrapolation_factor",
       [](double x) {
         use(grok_frequencies(
             kDim, kTheta, {.factor = 2, .original_max_position_embeddings = 10, .extrapolation_factor = x}));
       }},
  };
  expect_refused(parameters, {kNan, kInfinity, -kInfinity});
}

}  // namespace
}  // namespace rotary::testing
