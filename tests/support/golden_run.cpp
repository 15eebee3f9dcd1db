#include "support/golden_run.hpp"

#include <gtest/gtest-spi.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace rotary::testing::golden {

namespace {

bool raises(const Case& c) { return c.expected_error.has_value(); }
bool returns(const Case& c) { return !raises(c); }
bool always(const Case&) { return true; }

/// Which of the runners run a case, by name; the first of its folder if it cannot be read.
std::vector<std::string> claims(const std::string& set, const std::function<Case()>& make) {
  std::vector<std::string> programs;
  std::optional<Case> c;
  try {
    c.emplace(make());
  } catch (const std::exception&) {
  }
  for (const Runner& runner : runners()) {
    if (!set.starts_with(runner.folder)) continue;
    if (!c) return {runner.program};
    if (runner.runs(*c)) programs.push_back(runner.program);
  }
  return programs;
}

std::string test_name(const CaseName& name) {
  return name.set + '_' + name.file.substr(0, name.file.rfind('.'));
}

/// Calls body(name) in a test of each case. A program that finds no cases fails.
template <class Body>
void register_bodies(const std::string& suite, const std::vector<CaseName>& cases, const Body& body) {
  class Test : public ::testing::Test {
   public:
    Test(CaseName name, Body body) : name_(std::move(name)), body_(body) {}
    void TestBody() override { body_(name_); }

   private:
    CaseName name_;
    Body body_;
  };
  class NoCases : public ::testing::Test {
    void TestBody() override { ADD_FAILURE() << "there are no cases"; }
  };
  if (cases.empty())
    ::testing::RegisterTest(suite.c_str(), "no_cases", nullptr, nullptr, __FILE__, __LINE__,
                            []() -> ::testing::Test* { return new NoCases; });
  for (const CaseName& name : cases)
    ::testing::RegisterTest(suite.c_str(), test_name(name).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [=]() -> ::testing::Test* { return new Test(name, body); });
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// Half a unit in the last place of a number in a type with `digits` binary digits and normal numbers from
/// 2^lowest on.
double half_unit(double x, int digits, int lowest) {
  const int exponent = x == 0 ? lowest : std::max(std::ilogb(x), lowest);
  return std::ldexp(0.5, exponent - digits + 1);
}

/// A 16-bit result is the exact one rounded once: half a unit in the last place, and what float arithmetic
/// left before.
void compare_rounded_once(const Tensor& found, const Tensor& exact) {
  double largest = 0;
  for (const double value : exact.values) largest = std::max(largest, std::fabs(value));
  for (std::size_t n = 0; n < exact.values.size(); ++n) {
    const double wanted = exact.values[n];
    const double half = found.dtype == "bfloat16" ? half_unit(wanted, 8, -126) : half_unit(wanted, 11, -14);
    EXPECT_LE(std::fabs(found.values[n] - wanted), half + 5e-7 * largest)
        << exact.label << ", entry " << n << ": found " << found.values[n] << ", exactly " << wanted
        << ", in " << found.dtype;
  }
}

}  // namespace

const std::vector<Runner>& runners() {
  static const std::vector<Runner> all = {
      {"lucidrains", "golden_lucidrains_test", returns},
      {"lucidrains", "golden_errors_test", raises},
      {"labml", "labml_golden_test", always},
      {"onnx", "golden_onnx_test", always},
      {"flash_attention", "golden_flash_attention_test", always},
      {"ggml", "golden_ggml_test", always},
  };
  return all;
}

std::vector<CaseName> cases_of(const std::string& program) {
  static std::map<std::string, std::vector<CaseName>> found;
  const auto [at, is_new] = found.try_emplace(program);
  if (!is_new) return at->second;
  const auto may_run = [&](const std::string& set) {
    return std::any_of(runners().begin(), runners().end(), [&](const Runner& runner) {
      return runner.program == program && set.starts_with(runner.folder);
    });
  };
  for (const std::string& set : sets()) {
    if (!may_run(set)) continue;
    for (const std::string& file : files(set))
      if (claims(set, [&] { return load(set, file); }) == std::vector{program})
        at->second.push_back({set, file});
  }
  return at->second;
}

std::vector<CaseName> cases_with_gradients() {
  std::vector<CaseName> names;
  for (const CaseName& name : cases_of("golden_lucidrains_test")) try {
      if (load(name.set, name.file).gradient) names.push_back(name);
    } catch (const std::exception&) {
    }
  return names;
}

std::vector<std::string> unclaimed(const std::filesystem::path& root) {
  namespace fs = std::filesystem;
  std::vector<std::string> problems;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_directory()) continue;
    const fs::path file = entry.path().lexically_relative(root);
    const std::string name = file.generic_string();
    if (!file.has_parent_path()) {
      if (file.extension() == ".md") continue;
      bool named = false;
      for (const auto& test : fs::recursive_directory_iterator(root.parent_path()))
        named = named || (test.path().filename().string().ends_with("_test.cpp") &&
                          read_file(test.path()).find(name) != std::string::npos);
      if (!named) problems.push_back(name + ": no test program names it");
    } else if (file.extension() != ".json" || file.parent_path().has_parent_path()) {
      problems.push_back(name + " is no case, a file folder/name.json");
    } else {
      const std::string set = file.parent_path().string();
      const auto programs =
          claims(set, [&] { return parse(set, file.stem().string(), read_file(entry.path())); });
      if (programs.size() != 1)
        problems.push_back(name + ": " + std::to_string(programs.size()) + " test programs run it");
    }
  }
  std::sort(problems.begin(), problems.end());
  return problems;
}

bool register_tests(const std::string& suite, const std::vector<CaseName>& cases, RunCase run, Part part) {
  register_bodies(suite, cases, [=](const CaseName& name) {
    const Case c = load(name.set, name.file);
    SCOPED_TRACE(c.notes);
    run(c);
    if (!::testing::Test::HasFatalFailure()) expect_all_read(c, part);
  });
  return true;
}

bool register_altered(const std::string& suite, const std::vector<CaseName>& cases, RunCase run_in_double,
                      RunCase run_in_float, Part part) {
  register_bodies(suite, cases, [=](const CaseName& name) {
    const std::string stem = name.file.substr(0, name.file.rfind('.'));
    std::optional<Case> ran;
    ASSERT_EQ(report_of([&] { return load(name.set, name.file); }, run_in_double, part, &ran), "");
    std::set<std::string> unnoticed, expected;
    for (const Altered& altered : alterations(name.set, name.file, part, *ran)) {
      const auto fails = [&](const std::string& json, RunCase run) {
        const std::string report = report_of([&] { return parse(name.set, stem, json); }, run, part);
        return !report.empty() && report.find(altered.word) != std::string::npos;
      };
      using Kind = Altered::Kind;
      const bool in_double = altered.kind != Kind::number_in_float;
      const bool in_float = !in_double || altered.kind == Kind::missing_field;
      if (std::none_of(altered.jsons.begin(), altered.jsons.end(), [&](const std::string& json) {
            return (in_double && fails(json, run_in_double)) || (in_float && fails(json, run_in_float));
          }))
        unnoticed.insert(altered.path);
    }
    for (const Unnoticed& argument : unnoticed_arguments())
      if (argument.name == name.set + '/' + stem) expected.insert(argument.path);
    EXPECT_EQ(unnoticed, expected) << name.set << '/' << stem;
  });
  return true;
}

std::string report_of(const std::function<Case()>& make, RunCase run, Part part, std::optional<Case>* ran) {
  ::testing::TestPartResultArray failures;
  std::string report;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
    try {
      std::optional<Case> made;
      std::optional<Case>& c = ran ? *ran : made;
      c.emplace(make());
      run(*c);
      expect_all_read(*c, part);
    } catch (const std::exception& error) {
      report = std::string("an exception: ") + error.what();
    }
  }
  for (int n = 0; n < failures.size(); ++n)
    report += std::string("\n") + failures.GetTestPartResult(n).message();
  return report;
}

const std::vector<Decision>& decisions() {
  static const std::vector<Decision> all = {
      // The angles of a grid belong to the last axes of a tensor, with or without a batch.
      {"lucidrains_errors/axial_apply_unbatched_hw", Outcome::returned, ""},
      {"lucidrains_errors/axial_offsets_length", Outcome::refused, "offsets"},
      {"lucidrains_errors/cached_q_longer_than_k", Outcome::refused, "queries"},
      // As many features are rotated as there are frequencies, whatever dim says.
      {"lucidrains_errors/constant_num_freqs_mismatch_cache", Outcome::returned, ""},
      // One pair of frequency one.
      {"lucidrains_errors/dim2_division_by_zero", Outcome::returned, ""},
      {"lucidrains_errors/dim_larger_than_features", Outcome::refused, "10 features"},
      {"lucidrains_errors/get_scale_requires_xpos", Outcome::not_offered, "scales"},
      {"lucidrains_errors/interpolate_factor_below_1", Outcome::refused, "interpolate_factor"},
      // More likely a mistake than meant; allow_odd_dim says that it is meant.
      {"lucidrains_errors/odd_dim_with_cache", Outcome::refused, "odd"},
      {"lucidrains_errors/odd_dim_xpos", Outcome::refused, "odd"},
      // The axis is counted from either end.
      {"lucidrains_errors/positive_seq_dim1", Outcome::returned, ""},
      // Without scales, queries and keys together are two rotations.
      {"lucidrains_errors/rotate_q_and_k_requires_xpos", Outcome::returned, ""},
      {"lucidrains_errors/start_index_past_end", Outcome::refused, "start_index"},
      // Scales follow the sequence, wherever its axis is.
      {"lucidrains_errors/xpos_cached_keys_seq_before_head", Outcome::returned, ""},
      {"lucidrains_errors/xpos_requires_pair_call", Outcome::not_offered, "static_assert"},
      // In labml the shapes of these do not match inside: an odd d, an odd share of a head, and a tensor of
      // another width in the listing, which cannot rotate a part of the features.
      {"labml/mha_odd_rotated_width_raises", Outcome::refused, "even"},
      {"labml/rope_odd_d_raises", Outcome::refused, "even"},
      {"labml_seed_listing/listing_partial_raises", Outcome::refused, "features"},
      {"onnx/cache_width_mismatch_raises", Outcome::refused, "columns"},
  };
  return all;
}

const std::vector<Unnoticed>& unnoticed_arguments() {
  static const std::vector<Unnoticed> all = {
      // The other sections take all pairs.
      {"ggml/imrope_extra_section", "/calls/0/args/sections/3"},
      // The ramp ends at a whole pair, rounded up, which is the same with the default.
      {"ggml/neox_yarn_half_ext", "/calls/0/args/beta_slow"},
      {"ggml/normal_yarn_half_ext", "/calls/0/args/beta_slow"},
      // The first two sections take all pairs, or the first alone does.
      {"ggml/vision_four_equal_sections", "/calls/0/args/sections/2"},
      {"ggml/vision_four_equal_sections", "/calls/0/args/sections/3"},
      {"ggml/vision_sections_longer_than_head", "/calls/0/args/sections/1"},
      // It adds the same to all scores of a query, where nothing is rotated.
      {"labml/plain_mha_causal", "/params/key.linear.bias"},
      // A single tensor is joined with nothing.
      {"lucidrains/broadcat_single", "/calls/0/args/dim"},
      // Positions that are given are not interpolated.
      {"lucidrains/forward_fractional_negative", "/constructor/args/interpolate_factor"},
      // The call names the axis.
      {"lucidrains/rotate_seq_dim_minus2_override", "/constructor/args/seq_before_head_dim"},
      // A single token is its own centre.
      {"lucidrains/xpos_length1", "/constructor/args/use_xpos"},
      // The call brings its own scales.
      {"lucidrains/xpos_rotate_with_scale", "/constructor/args/use_xpos"},
      // The second call does not depend on the first, whose result is no output.
      {"lucidrains_quirks/bf16_pollutes_float_cache", "/calls/0/args/t"},
  };
  return all;
}

const Decision& decision_for(const Case& c) {
  const std::string name = c.set + '/' + c.name;
  for (const Decision& decision : decisions())
    if (decision.name == name) return decision;
  wrong_data("nobody decided what to do with " + name + ", which the reference refuses");
}

void expect_refused(const Case& c, const Decision& decision, const std::function<void()>& call,
                    const std::function<void()>& works) {
  const ExpectedError& error = c.expected_error.value();
  const std::string label = c.set + '/' + c.name;
  c.compared_error = true;
  EXPECT_FALSE(error.deliberate() && decision.outcome == Outcome::returned)
      << label << " is refused by the reference with an " << error.kind << ": " << error.message;
  std::optional<Outcome> outcome;
  std::string sentence;
  try {
    call();
  } catch (const NotOffered& refusal) {
    outcome = Outcome::not_offered, sentence = refusal.what();
  } catch (const std::invalid_argument& refusal) {
    outcome = Outcome::refused, sentence = refusal.what();
  }
  ASSERT_EQ(outcome.value_or(Outcome::returned), decision.outcome)
      << label << " is not what was decided; it says: " << sentence;
  if (!outcome) return works();
  EXPECT_TRUE(sentence.starts_with("rotary: ")) << sentence;
  EXPECT_NE(sentence.find(decision.word), std::string::npos)
      << label << " is refused for another reason: " << sentence;
}

Session::Session(const Case& c, bool in_double) : case_(c), in_double_(in_double), tensors_(c.inputs) {
  if (!in_double) return;
  for (auto& [name, tensor] : tensors_) tensor.dtype = "float64";
}

const Tensor& Session::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    wrong_data(case_.set + '/' + case_.name + " has no tensor " + name + " at this call");
  return found->second;
}

void Session::set(const std::string& name, Tensor value) {
  value.label = case_.set + '/' + case_.name + ' ' + name;
  tensors_[name] = std::move(value);
}

bool Session::glue(const Call& call) {
  if (call.function == "clone") {
    set(call, at(call, "x"));
  } else if (call.function == "reshape") {
    Tensor result = at(call, "x");
    result.shape = call.args.integers("shape");
    Index size = 1;
    for (const Index extent : result.shape) size *= extent;
    if (size != result.size()) wrong_data("reshape: " + result.label + " has another number of elements");
    set(call, std::move(result));
  } else if (call.function == "slice") {
    const Tensor& x = at(call, "x");
    const Index dim = call.args.integer("dim"), start = call.args.integer("start"),
                stop = call.args.integer("stop");
    if (dim < -x.rank() || dim >= x.rank()) wrong_data("slice: " + x.label + " has no such axis");
    const auto axis = static_cast<std::size_t>(dim < 0 ? dim + x.rank() : dim);
    if (start < 0 || stop < start || stop > x.shape[axis]) wrong_data("slice: of more than there is");
    Index inner = 1;
    for (std::size_t a = axis + 1; a < x.shape.size(); ++a) inner *= x.shape[a];
    Tensor result = x;
    result.values.clear();
    result.shape[axis] = stop - start;
    const Index block = x.shape[axis] * inner;
    for (Index at = 0; at < x.size(); at += block)
      result.values.insert(result.values.end(), x.values.begin() + at + start * inner,
                           x.values.begin() + at + stop * inner);
    set(call, std::move(result));
  } else {
    return false;
  }
  return true;
}

void Session::check() const {
  for (const auto& [name, wanted] : case_.outputs) {
    if (case_.is_gradient(name)) continue;
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      ADD_FAILURE() << wanted.label << " was not computed";
    } else {
      check(name, found->second);
    }
  }
}

void Session::check_intended() const {
  for (const auto& [name, wanted] : case_.intended_outputs_f64) {
    check(name, at(name));
    case_.compared_intended.insert(name);
  }
}

void Session::check_quirk() const {
  for (const auto& [name, wanted] : case_.intended_outputs_f64)
    compare(at(name), case_.output_f64(name), case_.f64_atol(name));
}

void Session::check(const std::string& output, const Tensor& found) const {
  const bool intended = case_.intended_outputs_f64.contains(output);
  const bool as_reference = !(intended && case_.has_tag("reference_quirk"));
  const double atol = in_double_ ? case_.f64_atol(output) : case_.f32_atol(output);
  case_.compared.insert(output);
  if (intended) case_.compared_intended.insert(output);
  if (intended) compare(found, case_.intended_f64(output), atol);
  if (as_reference) compare(found, in_double_ ? case_.output_f64(output) : case_.output(output), atol);
  if (in_double_) return;
  const Tensor& exact = intended ? case_.intended_f64(output) : case_.output_f64(output);
  if (found.dtype == "float16" || found.dtype == "bfloat16") compare_rounded_once(found, exact);
  // The reference's float angles are off far from zero, ours are not.
  if (case_.has_tag("large_position")) compare(found, exact, 1e-6);
}

std::vector<Index> strides_of(const std::vector<Index>& shape, int order) {
  std::vector<Index> strides(shape.size());
  Index stride = 1;
  for (std::size_t n = 0; n < shape.size(); ++n) {
    const std::size_t axis = order == Eigen::RowMajor ? shape.size() - 1 - n : n;
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

void expect_same_bits(const Tensor& found, const Tensor& wanted, const char* how) {
  ASSERT_EQ(found.shape, wanted.shape) << how;
  for (std::size_t n = 0; n < wanted.values.size(); ++n)
    ASSERT_EQ(std::bit_cast<std::uint64_t>(found.values[n]), std::bit_cast<std::uint64_t>(wanted.values[n]))
        << how << ": entry " << n << " is " << found.values[n] << ", not " << wanted.values[n]
        << " bit for bit";
}

}  // namespace rotary::testing::golden
