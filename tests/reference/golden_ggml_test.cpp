// Golden cases of ggml's rope, and what we refuse of it.
#include <rotary/frequencies/vision.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/operators/ggml.hpp>

#include "support/golden_operators.hpp"

namespace rotary::testing::golden {
namespace {

ggml::Mode mode_of(const std::string& name) {
  if (name == "NORMAL") return ggml::Mode::normal;
  if (name == "NEOX") return ggml::Mode::neox;
  if (name == "MROPE") return ggml::Mode::mrope;
  if (name == "VISION") return ggml::Mode::vision;
  if (name == "IMROPE") return ggml::Mode::imrope;
  wrong_data("no test knows the mode " + name);
}

/// The options of a call; the divisors must outlive them.
ggml::RopeOptions options_of(const Arguments& args, std::span<const float> freq_factors) {
  ggml::RopeOptions options{.n_dims = args.integer("n_dims"),
                            .mode = mode_of(args.text("mode")),
                            .n_ctx_orig = args.integer("n_ctx_orig", 0),
                            .freq_base = args.number("freq_base", 10000),
                            .freq_scale = args.number("freq_scale", 1),
                            .ext_factor = args.number("ext_factor", 0),
                            .attn_factor = args.number("attn_factor", 1),
                            .beta_fast = args.number("beta_fast", 32),
                            .beta_slow = args.number("beta_slow", 1),
                            .freq_factors = freq_factors,
                            .n_offs = args.integer("n_offs", 0)};
  if (args.has("sections")) {
    const std::vector<Index> sections = args.integers("sections");
    if (sections.size() != options.sections.size()) wrong_data("ggml has four sections");
    std::copy(sections.begin(), sections.end(), options.sections.begin());
  }
  return options;
}

/// Every form of a call gives the same bits: views, in place, a new tensor, rows made beforehand.
template <class T>
Tensor rotated(const Session& session, const Call& call, ggml::Angles angles) {
  const std::string& name = call.function;
  const bool back = name == "ggml_rope_ext_back" || name == "ggml_rope_multi_back";
  if (!back && name != "ggml_rope" && name != "ggml_rope_ext" && name != "ggml_rope_multi")
    wrong_data("golden_ggml_test does not know " + name);
  std::vector<float> freq_factors;
  if (call.args.has("freq_factors"))
    for (const double c : session.at(call, "freq_factors").values)
      freq_factors.push_back(static_cast<float>(c));
  ggml::RopeOptions options = options_of(call.args, freq_factors);
  options.angles = angles;
  const Direction direction = back ? Direction::transpose : Direction::forward;
  const auto positions = integers_of<std::int32_t>(session.at(call, "pos"));
  const Tensor& a = session.at(call, "a");
  Tensor result;
  with_scalar<T>(a, [&]<class S>(S) {
    result = rotated_every_way<S>(
        a, [&](const auto& in, const auto& out) { ggml::rope_into(in, positions, out, options, direction); });
    const auto x = to_eigen<S, 4>(a);
    expect_same_bits(
        from_eigen(back ? ggml::rope_back(x, positions, options) : ggml::rope(x, positions, options)), result,
        "as a new tensor");
    const CosSinTable<T> table = ggml::rope_table<T>(positions, options);
    const Elements<S> both(a);
    apply_rotary_emb_in_place(table, both.view(), direction);
    expect_same_bits(both.tensor(), result, "by precomputed rows");
  });
  return result;
}

/// The call of a case, which makes one and is nothing that this test does not know.
const Call& only_call(const Case& c) {
  if (c.calls.size() != 1 || c.constructor || c.gradient || c.expected_error || c.intended_constructor ||
      !c.intended_calls.empty())
    wrong_data("golden_ggml_test knows no such case");
  return c.calls[0];
}

// What we decided where the reference has a quirk:
//
//   vision_sections_longer_than_head   as the reference: sections count pairs, and those of sections that the
//                                      pairs do not reach rotate nothing
//   *_large_positions                  exact angles, unless the policy is named
//   mrope_sections_short               as the reference: sections are repeated if there are more pairs
template <class T>
void check_case(const Case& c) {
  const Call& call = only_call(c);
  Session session(c, std::is_same_v<T, double>);
  session.set(call.out.at(0), rotated<T>(session, call, ggml::Angles::exact));
  if (call.out.size() > 1) {
    ASSERT_EQ(call.out.size(), 2u);
    ASSERT_EQ(call.out[1], "corr_dims");
    const ggml::RopeOptions options = options_of(call.args, {});
    const CorrectionRange range =
        correction_range(options.n_dims, options.freq_base, static_cast<double>(options.n_ctx_orig),
                         options.beta_fast, options.beta_slow);
    session.set("corr_dims", {"", "float64", {2}, {range.low.hi, range.high.hi}});
  }
  session.check();
}

/// By name, ggml's float32 angles: the very numbers of its run, to the last places in which libraries' powers
/// and cosines differ, also where exact angles are far from them.
void check_policy(const Case& c) {
  const Call& call = only_call(c);
  const Session session(c, false);
  const std::string& out = call.out.at(0);
  const Tensor& wanted = c.output(out);
  // The rest of the case has been compared in the other suites.
  for (const auto& [name, tensor] : c.outputs) c.compared.insert(name);
  const Tensor found = rotated<float>(session, call, ggml::Angles::ggml_float32);
  compare(found, wanted, c.dtype == "float16" ? c.f32_atol(out) : 2e-6);
  if (!c.has_tag("large_position")) return;
  const Tensor exact = rotated<float>(session, call, ggml::Angles::exact);
  double difference = 0;
  for (std::size_t n = 0; n < exact.values.size(); ++n)
    difference = std::max(difference, std::fabs(exact.values[n] - wanted.values[n]));
  EXPECT_GT(difference, 1e-5) << "the case tells the two kinds of angles apart";
}

const std::vector<CaseName> kCases = cases_of("golden_ggml_test");

[[maybe_unused]] const bool registered =
    register_tests("GoldenGgmlInDouble", kCases, check_case<double>) &&
    register_tests("GoldenGgmlInFloat", kCases, check_case<float>) &&
    register_tests("GoldenGgmlFloat32Policy", kCases, check_policy) &&
    register_altered("GoldenGgmlAltered", kCases, check_case<double>, check_case<float>);

TEST(Ggml, FloatPolicyInDoubleHasTheSameRows) {
  const std::vector<std::int32_t> positions = {0, 1000, 131071};
  const ggml::RopeOptions options{.n_dims = 16, .angles = ggml::Angles::ggml_float32};
  const auto in_float = ggml::rope_table<float>(positions, options);
  const auto in_double = ggml::rope_table<double>(positions, options);
  for (Index row = 0; row < 3; ++row)
    for (Index pair = 0; pair < 8; ++pair) {
      EXPECT_EQ(in_double.cos(row, pair), static_cast<double>(in_float.cos(row, pair)));
      EXPECT_EQ(in_double.sin(row, pair), static_cast<double>(in_float.sin(row, pair)));
    }
}

// No run has mode VISION at large positions, so its angles are computed here by the definition: a running
// product for each stream, which starts again in the section of the stream. There are more pairs than in the
// sections, which are repeated.
TEST(Ggml, FloatPolicyOfVisionBeginsAnewInEverySection) {
  const std::vector<std::int32_t> positions = {0, 70001, 131071, 3, 99991, 8191, 1, 2, 65537, 7, 500009, 12};
  const std::vector<float> factors = {1, 2, 1, 0.5, 1, 3, 1, 1};
  ggml::RopeOptions options{.n_dims = 8,
                            .mode = ggml::Mode::vision,
                            .sections = {2, 3, 1, 0},
                            .freq_base = 500,
                            .freq_scale = 0.5,
                            .attn_factor = 1.5,
                            .freq_factors = factors};
  const CosSinTable<float> exact = ggml::rope_table<float>(positions, options);
  options.angles = ggml::Angles::ggml_float32;
  const CosSinTable<float> found = ggml::rope_table<float>(positions, options);
  ASSERT_EQ(found.pairs(), 8);
  ASSERT_EQ(found.rows(), 3);
  const volatile float base = 500;  // so that the power is the library's, as there, and not the compiler's
  const float step = std::pow(base, -2.0f / 8.0f);
  const std::array<std::size_t, 8> streams = {0, 0, 1, 1, 1, 2, 0, 0};
  float difference = 0;
  for (std::size_t token = 0; token < 3; ++token) {
    std::array<float, 3> theta{};
    for (std::size_t i = 0; i < 8; ++i) {
      const std::size_t stream = streams[i];
      if (i == 0 || streams[i - 1] != stream)
        theta[stream] = static_cast<float>(positions[stream * 3 + token]);
      const float angle = 0.5f * (theta[stream] / factors[i]);
      const auto row = static_cast<Index>(token), pair = static_cast<Index>(i);
      EXPECT_EQ(found.cos(row, pair), std::cos(angle) * 1.5f) << "token " << token << ", pair " << i;
      EXPECT_EQ(found.sin(row, pair), std::sin(angle) * 1.5f) << "token " << token << ", pair " << i;
      difference = std::max(difference, std::fabs(found.cos(row, pair) - exact.cos(row, pair)));
      theta[stream] *= step;
    }
  }
  EXPECT_GT(difference, 1e-4f) << "exact angles are others";
  EXPECT_LT(difference, 1e-2f) << "yet of the same pairs";
}

// IMROPE's last pairs: in ggml they rotate by the fourth stream, in Hugging Face, vLLM and SGLang by time.
// This operator does as ggml; mrope_axes_interleaved does as the others.
TEST(SourceDisagreements, ImropeTail) {
  const Frequencies ours =
      ggml::rope_frequencies({.n_dims = 128, .mode = ggml::Mode::imrope, .sections = {24, 20, 20, 0}});
  const std::vector<Index> axes = mrope_axes_interleaved({24, 20, 20});
  for (std::size_t i = 0; i < 64; ++i) {
    const bool tail = i == 61 || i == 62;
    EXPECT_TRUE(!tail || axes[i] == 0) << "pair " << i;
    for (std::size_t axis = 0; axis < 4; ++axis) {
      const bool turns = axis == (tail ? 3 : static_cast<std::size_t>(axes[i]));
      EXPECT_EQ(ours.values[axis * 64 + i] != 0, turns) << "pair " << i << ", axis " << axis;
    }
  }
}

// YaRN's range if no pair makes beta_slow turns: ggml interpolates all pairs but the first. We refuse.
TEST(SourceDisagreements, GgmlYarnWithAnInvertedRange) {
  expect_error([] { ggml::rope_frequencies({.n_dims = 16, .n_ctx_orig = 6, .ext_factor = 1}); },
               {"original_max_position_embeddings is 6", "2 pi beta_slow"});
}

// Models of other systems in ggml's parameters: YaRN with its magnitude, and Llama 3 as freq_factors.
TEST(Ggml, YarnOfHuggingFace) {
  const YarnOptions yarn{.factor = 4, .original_max_position_embeddings = 4096};
  const Frequencies wanted = yarn_frequencies(64, 10000, yarn);
  const Frequencies found =
      ggml::rope_frequencies({.n_dims = 64, .n_ctx_orig = 4096, .freq_scale = 0.25, .ext_factor = 1});
  ASSERT_EQ(found.pairs(), wanted.pairs());
  EXPECT_NEAR(found.magnitude, wanted.magnitude, 1e-15);
  for (std::size_t i = 0; i < wanted.values.size(); ++i)
    EXPECT_NEAR(found.values[i].hi / wanted.values[i].hi, 1, 1e-15) << "pair " << i;
}

TEST(Ggml, VisionIsQwen2VlsTower) {
  const Frequencies tower = qwen2_vl_vision_frequencies(80);
  const Frequencies found =
      ggml::rope_frequencies({.n_dims = 40, .mode = ggml::Mode::vision, .sections = {20, 20, 20, 20}});
  ASSERT_EQ(found.pairs(), tower.pairs());
  ASSERT_EQ(found.axes, 4);
  for (std::size_t i = 0; i < tower.values.size(); ++i)
    EXPECT_NEAR(found.values[i].hi, tower.values[i].hi, 1e-15) << "entry " << i;
  for (std::size_t i = tower.values.size(); i < found.values.size(); ++i) EXPECT_EQ(found.values[i], 0);
}

TEST(GgmlErrors, Parameters) {
  const auto error_of = [](const ggml::RopeOptions& options, std::initializer_list<std::string_view> words) {
    expect_error([&] { ggml::rope_frequencies(options); }, words);
  };
  const std::vector<float> factors = {1, 2, 3}, bad_factors = {1, 0};
  error_of({.n_dims = 7}, {"n_dims is 7", "even"});
  error_of({.n_dims = -2}, {"n_dims is -2"});
  error_of({.n_dims = 8, .mode = static_cast<ggml::Mode>(1)}, {"mode is 1"});
  error_of({.n_dims = 8, .mode = ggml::Mode::mrope}, {"sections are empty"});
  error_of({.n_dims = 8, .mode = ggml::Mode::imrope, .sections = {2, -1, 2, 0}}, {"section 1 has -1"});
  error_of({.n_dims = 8, .n_offs = 3}, {"n_offs is 3", "even"});
  error_of({.n_dims = 8, .mode = ggml::Mode::vision, .sections = {4, 4, 0, 0}, .n_offs = 2},
           {"n_offs is 2", "vision"});
  error_of({.n_dims = 8, .freq_base = 0}, {"freq_base is 0"});
  error_of({.n_dims = 8, .freq_scale = -1}, {"freq_scale is -1"});
  error_of({.n_dims = 8, .ext_factor = 1}, {"original_max_position_embeddings is 0"});
  error_of({.n_dims = 8, .freq_factors = factors}, {"freq_factors has 3", "4 pairs"});
  error_of({.n_dims = 4, .freq_factors = bad_factors}, {"freq_factors is 0"});
}

TEST(GgmlErrors, Tensors) {
  rotary::Tensor<float, 4> a(1, 3, 2, 8);
  a.setConstant(1);
  const std::vector<std::int32_t> positions = {1, 2, 3}, of_four(12, 5);
  const auto error_of = [&](const std::vector<std::int32_t>& at, const ggml::RopeOptions& options,
                            std::initializer_list<std::string_view> words) {
    expect_error([&] { ggml::rope_into(a, at, a, options); }, words);
    EXPECT_EQ(a(0, 2, 0, 0), 1) << "nothing is written before an error";
  };
  error_of(positions, {.n_dims = 10}, {"n_dims is 10", "8"});
  error_of(positions, {.n_dims = 6, .n_offs = 4}, {"6 features", "start_index 4", "8"});
  error_of({1, 2}, {.n_dims = 8}, {"2 tokens", "[1, 3, 2, 8]"});
  error_of(positions, {.n_dims = 8, .mode = ggml::Mode::mrope, .sections = {2, 1, 1, 0}},
           {"3 positions", "4 for each"});
  error_of({1, 2, 3, 4}, {.n_dims = 8, .mode = ggml::Mode::mrope, .sections = {2, 1, 1, 0}},
           {"[1, 3, 2, 8]"});
  error_of(of_four, {.n_dims = 8, .mode = ggml::Mode::vision, .sections = {2, 2, 0, 0}},
           {"n_dims is 8", "half of the 8"});
  const rotary::Tensor<float, 2> flat(3, 8);
  expect_error([&] { ggml::rope(flat, positions, {.n_dims = 8}); }, {"[3, 8]", "at least 3 axes"});
}

}  // namespace
}  // namespace rotary::testing::golden
