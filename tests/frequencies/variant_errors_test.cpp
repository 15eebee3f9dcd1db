// Parameters of variants: their values if left out. Those that are out of range are refused, and the message says which, also
// where the frequencies would not depend on them.
#include <functional>
#include <limits>
#include <random>
#include <rotary/frequencies.hpp>
#include <rotary/frequencies/correction_range.hpp>
#include <rotary/frequencies/embedding_options.hpp>
#include <rotary/frequencies/fope.hpp>
#include <rotary/frequencies/grok.hpp>
#include <rotary/frequencies/linear.hpp>
#include <rotary/frequencies/llama3.hpp>
#include <rotary/frequencies/longrope.hpp>
#include <rotary/frequencies/mixed.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/ntk_by_parts.hpp>
#include <rotary/frequencies/proportional.hpp>
#include <rotary/frequencies/vision.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/labml.hpp>
#include <rotary/polar_embedding.hpp>
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
  std::string name;
  std::function<void(double)> call;
};
using Parameters = std::vector<Parameter>;

/// Each value is refused by a message that begins with what the parameter is called.
void expect_refused(const Parameters& parameters, const std::vector<double>& values) {
  for (const Parameter& parameter : parameters)
    for (const double value : values)
      expect_error([&] { parameter.call(value); }, {"rotary: " + parameter.name + " is "});
}

/// A variant: right options, and the function that they are passed to.
template <class Options>
struct Variant {
  Options right;
  std::function<void(const Options&)> call;

  template <class Member>
  Parameter operator()(const char* name, Member Options::*member) const {
    return {name, [right = right, call = call, member](double value) {
              Options options = right;
              options.*member = value;
              call(options);
            }};
  }
};

const Variant<LinearOptions> linear{{.factor = 2},
                                    [](const auto& o) { linear_frequencies(kDim, kTheta, o); }};
const Variant<Llama3Options> llama3{{.factor = 2},
                                    [](const auto& o) { llama3_frequencies(kDim, kTheta, o); }};
const Variant<YarnOptions> yarn{{.factor = 2, .original_max_position_embeddings = 10},
                                [](const auto& o) { yarn_frequencies(kDim, kTheta, o); }};
const Variant<YarnOptions> deepseek_yarn{{.factor = 2,
                                          .original_max_position_embeddings = 10,
                                          .mscale = 1,
                                          .mscale_all_dim = 1,
                                          .magnitude = YarnMagnitude::deepseek},
                                         yarn.call};
const Variant<NtkOptions> ntk{{.alpha = 2}, [](const auto& o) { ntk_frequencies(kDim, kTheta, o); }};
const Variant<VllmNtkOptions> vllm_ntk{{.factor = 2},
                                       [](const auto& o) { vllm_ntk_frequencies(kDim, kTheta, o); }};
const Variant<FrozenDynamicNtkOptions> frozen_ntk{
    {.factor = 2}, [](const auto& o) { frozen_dynamic_ntk_frequencies(kDim, kTheta, o); }};
const Variant<NtkByPartsOptions> by_parts{{.factor = 2, .original_max_position_embeddings = 10},
                                          [](const auto& o) { ntk_by_parts_frequencies(kDim, kTheta, o); }};
const Variant<ProportionalOptions> proportional{
    {.partial_rotary_factor = 0.5}, [](const auto& o) { proportional_frequencies(kDim, kTheta, o); }};
const Variant<DiffusionOptions> diffusion{{}, [](const auto& o) {
                                            diffusion_frequencies(std::vector<Index>{4, 4}, kTheta, o);
                                          }};
const Variant<GrokOptions> grok{{.factor = 2, .original_max_position_embeddings = 10},
                                [](const auto& o) { grok_frequencies(kDim, kTheta, o); }};
const Variant<FopeOptions> fope{{.max_position_embeddings = 10},
                                [](const auto& o) { fope_frequencies(kDim, kTheta, o); }};

// Of a text of no tokens, for which frequencies are plain.
const Variant<YarnOptions> dynamic_yarn{yarn.right,
                                        [](const auto& o) { dynamic_yarn_frequencies(kDim, kTheta, o, 0); }};
const Variant<DynamicNtkOptions> dynamic_ntk{{.factor = 2, .max_position_embeddings = 10}, [](const auto& o) {
                                               dynamic_ntk_frequencies(kDim, kTheta, o, 0);
                                             }};
const Variant<QwenNtkOptions> qwen_ntk{{.original_max_position_embeddings = 10},
                                       [](const auto& o) { qwen_ntk_frequencies(kDim, kTheta, o, 0); }};
const Variant<LongRopeOptions> longrope{{.short_factor = {1, 1, 1, 1},
                                         .long_factor = {2, 2, 2, 2},
                                         .original_max_position_embeddings = 10,
                                         .max_position_embeddings = 20},
                                        [](const auto& o) { longrope_frequencies(kDim, kTheta, o, 0); }};

TEST(VariantErrors, ParametersThatMustBePositive) {
  expect_refused(
      {linear("factor", &LinearOptions::factor),
       llama3("factor", &Llama3Options::factor),
       llama3("original_max_position_embeddings", &Llama3Options::original_max_position_embeddings),
       yarn("factor", &YarnOptions::factor),
       yarn("original_max_position_embeddings", &YarnOptions::original_max_position_embeddings),
       yarn("beta_fast", &YarnOptions::beta_fast),
       yarn("beta_slow", &YarnOptions::beta_slow),
       {"theta", [](double x) { correction_range(kDim, x, 10, 32); }},
       {"factor", [](double x) { yarn_mscale(x); }},
       dynamic_yarn("factor", &YarnOptions::factor),
       dynamic_yarn("original_max_position_embeddings", &YarnOptions::original_max_position_embeddings),
       longrope("original_max_position_embeddings", &LongRopeOptions::original_max_position_embeddings),
       longrope("max_position_embeddings", &LongRopeOptions::max_position_embeddings),
       longrope("factor", &LongRopeOptions::factor),
       ntk("alpha", &NtkOptions::alpha),
       vllm_ntk("factor", &VllmNtkOptions::factor),
       dynamic_ntk("factor", &DynamicNtkOptions::factor),
       dynamic_ntk("max_position_embeddings", &DynamicNtkOptions::max_position_embeddings),
       frozen_ntk("factor", &FrozenDynamicNtkOptions::factor),
       {"max_position_embeddings", [](double x) { dynamic_ntk_length(0, 0, x); }},
       {"length", [](double x) { qwen_ntk_alpha(x, 10); }},
       {"original_max_position_embeddings", [](double x) { qwen_ntk_alpha(1, x); }},
       qwen_ntk("original_max_position_embeddings", &QwenNtkOptions::original_max_position_embeddings),
       by_parts("factor", &NtkByPartsOptions::factor),
       by_parts("original_max_position_embeddings", &NtkByPartsOptions::original_max_position_embeddings),
       proportional("partial_rotary_factor", &ProportionalOptions::partial_rotary_factor),
       proportional("the factor that positions are divided by", &ProportionalOptions::factor),
       diffusion("ntk_factor", &DiffusionOptions::ntk_factor),
       diffusion("the factor that positions are divided by", &DiffusionOptions::linear_factor),
       grok("factor", &GrokOptions::factor),
       grok("original_max_position_embeddings", &GrokOptions::original_max_position_embeddings),
       grok("beta_fast", &GrokOptions::beta_fast),
       grok("beta_slow", &GrokOptions::beta_slow),
       fope("max_position_embeddings", &FopeOptions::max_position_embeddings)},
      {0, -1, kNan, kInfinity});
}

TEST(VariantErrors, ParametersThatMustNotBeNegative) {
  expect_refused({llama3("low_freq_factor", &Llama3Options::low_freq_factor),
                  llama3("high_freq_factor", &Llama3Options::high_freq_factor),
                  {"length", [](double x) { dynamic_yarn_frequencies(kDim, kTheta, dynamic_yarn.right, x); }},
                  {"length", [](double x) { longrope_frequencies(kDim, kTheta, longrope.right, x); }},
                  {"length", [](double x) { dynamic_ntk_frequencies(kDim, kTheta, dynamic_ntk.right, x); }},
                  {"length_in_use", [](double x) { dynamic_ntk_length(x, 0, 10); }},
                  {"length", [](double x) { dynamic_ntk_length(0, x, 10); }},
                  {"length", [](double x) { qwen_ntk_frequencies(kDim, kTheta, qwen_ntk.right, x); }}},
                 {-1, kNan});
}

TEST(VariantErrors, ParametersThatMustBeFinite) {
  expect_refused(
      {{"mscale", [](double x) { yarn_mscale(2, x); }},
       deepseek_yarn("mscale", &YarnOptions::mscale),
       deepseek_yarn("mscale_all_dim", &YarnOptions::mscale_all_dim),
       yarn("the magnitude from attention_factor, attn_factor and mscale", &YarnOptions::attention_factor),
       yarn("extrapolation_factor", &YarnOptions::extrapolation_factor),
       longrope("attention_factor", &LongRopeOptions::attention_factor),
       vllm_ntk("mixed_b", &VllmNtkOptions::mixed_b),
       by_parts("ntk_factor", &NtkByPartsOptions::ntk_factor),
       by_parts("extrapolation_factor", &NtkByPartsOptions::extrapolation_factor),
       grok("extrapolation_factor", &GrokOptions::extrapolation_factor)},
      {kNan, kInfinity, -kInfinity});
}

// --- parameters that are left out

template <class Options>
void expect_defaults(std::initializer_list<std::pair<double Options::*, double>> parameters) {
  for (const auto& [member, value] : parameters) EXPECT_EQ(Options{}.*member, value);
}

TEST(VariantParameters, ThatAreLeftOut) {
  using E = RotaryEmbeddingOptions;
  expect_defaults<E>(
      {{&E::theta, 10000}, {&E::max_freq, 10}, {&E::interpolate_factor, 1}, {&E::theta_rescale_factor, 1}});
  EXPECT_EQ(E{}.num_freqs, 1);
  EXPECT_EQ(E{}.cache_max_seq_len, 8192);
  expect_defaults<LinearOptions>({{&LinearOptions::factor, 1}});
  using L = Llama3Options;
  expect_defaults<L>({{&L::factor, 8},
                      {&L::low_freq_factor, 1},
                      {&L::high_freq_factor, 4},
                      {&L::original_max_position_embeddings, 8192}});
  using Y = YarnOptions;
  expect_defaults<Y>({{&Y::factor, 1},
                      {&Y::beta_fast, 32},
                      {&Y::beta_slow, 1},
                      {&Y::extrapolation_factor, 1},
                      {&Y::attn_factor, 1}});
  EXPECT_TRUE(Y{}.truncate);
  using G = GrokOptions;
  expect_defaults<G>(
      {{&G::factor, 1}, {&G::beta_fast, 32}, {&G::beta_slow, 1}, {&G::extrapolation_factor, 1}});
  EXPECT_TRUE(G{}.truncate);
  using N = NtkByPartsOptions;
  expect_defaults<N>({{&N::factor, 1}, {&N::ntk_factor, 1}, {&N::extrapolation_factor, 1}});
  expect_defaults<NtkOptions>({{&NtkOptions::alpha, 1}});
  expect_defaults<VllmNtkOptions>({{&VllmNtkOptions::factor, 1}});
  expect_defaults<DynamicNtkOptions>({{&DynamicNtkOptions::factor, 1}});
  expect_defaults<FrozenDynamicNtkOptions>({{&FrozenDynamicNtkOptions::factor, 1}});
  using P = ProportionalOptions;
  expect_defaults<P>({{&P::partial_rotary_factor, 1}, {&P::factor, 1}});
  using D = DiffusionOptions;
  expect_defaults<D>({{&D::linear_factor, 1}, {&D::ntk_factor, 1}});
  // 0: they must be given, see above, or there are none.
  for (const double length :
       {Y{}.original_max_position_embeddings, G{}.original_max_position_embeddings,
        N{}.original_max_position_embeddings, LongRopeOptions{}.original_max_position_embeddings,
        LongRopeOptions{}.max_position_embeddings, DynamicNtkOptions{}.max_position_embeddings,
        QwenNtkOptions{}.original_max_position_embeddings, FopeOptions{}.max_position_embeddings})
    EXPECT_EQ(length, 0);
}

// The arguments of functions have defaults, too.
TEST(VariantParameters, ArgumentsThatAreLeftOut) {
  const auto expect_same = [](const Frequencies& found, const Frequencies& wanted) {
    EXPECT_EQ(found.axes, wanted.axes);
    EXPECT_TRUE(found.values == wanted.values);
  };
  expect_same(language_frequencies(kDim), language_frequencies(kDim, 10000));
  expect_same(pixel_frequencies(kDim), pixel_frequencies(kDim, 10));
  expect_same(constant_frequencies(), constant_frequencies(1));
  expect_same(polar_frequencies(kDim), polar_frequencies(kDim, 10000));
  expect_same(llama4_vision_frequencies(kDim), llama4_vision_frequencies(kDim, 10000));
  expect_same(rope_vit_frequencies(kDim), rope_vit_frequencies(kDim, 100));
  expect_same(pixtral_frequencies(kDim), pixtral_frequencies(kDim, 10000));
  expect_same(wan_frequencies(kDim), wan_frequencies(kDim, 10000));
  const std::vector<Index> axis_dims = {2, 6};
  expect_same(diffusion_frequencies(axis_dims), diffusion_frequencies(axis_dims, 10000, {}));
  std::mt19937_64 generator(1), same(1);
  expect_same(random_mixed_frequencies(kDim, 1, generator)[0],
              random_mixed_frequencies(kDim, 1, same, 10)[0]);
  EXPECT_EQ(yarn_mscale(4), yarn_mscale(4, 1));
  const CorrectionRange range = correction_range(64, 10000, 4096),
                        wanted = correction_range(64, 10000, 4096, 32, 1, true);
  EXPECT_TRUE(range.low == wanted.low && range.high == wanted.high);
  using One = RotaryPositionalEmbeddings<float>;
  using Reverse = ReverseRotaryPositionalEmbeddings<float>;
  using Listing = RotaryPositionalEmbeddingsListing<float>;
  EXPECT_EQ(One(kDim).theta(), One(kDim, 10000).theta());
  EXPECT_EQ(Reverse(kDim).theta(), One(kDim, 10000).theta());
  EXPECT_EQ(Listing(kDim).theta(), One(kDim, 10000).theta());
}

}  // namespace
}  // namespace rotary::testing
