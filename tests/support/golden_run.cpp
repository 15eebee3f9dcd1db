#include "support/golden_run.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <stdexcept>

namespace rotary::testing::golden {

namespace {

bool starts_with(const std::string& text, std::string_view start) {
  return std::string_view(text).starts_with(start);
}

/// Throws for an argument that the options below know nothing of: a case must not pass by being
/// misunderstood.
void only(const Arguments& args, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : args)
    if (std::find(known.begin(), known.end(), name) == known.end())
      wrong_data("no test knows the argument " + name);
}

FreqsFor freqs_for(const Arguments& args) {
  const std::string kind = args.has("freqs_for") ? args.text("freqs_for") : "lang";
  if (kind == "lang") return FreqsFor::lang;
  if (kind == "pixel") return FreqsFor::pixel;
  if (kind == "constant") return FreqsFor::constant;
  wrong_data("no test knows frequencies for " + kind);
}

struct Filed {
  CaseName name;
  Topic topic;
  bool has_gradient;
};

/// All cases, read once to see what they are about.
const std::vector<Filed>& filed_cases() {
  static const std::vector<Filed> filed = [] {
    std::vector<Filed> cases;
    for (const CaseName& name : all_cases()) {
      const Case c = load(name.set, name.file);
      cases.push_back({name, topic_of(c), c.gradient.has_value()});
    }
    return cases;
  }();
  return filed;
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

Topic topic_of(const Case& c) {
  static const std::set<std::string> known = {"apply_rotary_emb",
                                              "apply_learned_rotations",
                                              "broadcat",
                                              "rotate_half",
                                              "reshape",
                                              "slice",
                                              "clone",
                                              "self.forward",
                                              "self.get_axial_freqs",
                                              "self.get_scale",
                                              "self.get_seq_pos",
                                              "self.rotate_queries_or_keys",
                                              "self.rotate_queries_and_keys",
                                              "self.rotate_queries_with_cached_keys"};
  bool rotates = false;
  for (const Call& call : c.calls) {
    if (!known.contains(call.function))
      wrong_data(c.set + '/' + c.name + " calls " + call.function + ", which no test knows");
    rotates = rotates || starts_with(call.function, "self.rotate_");
  }
  if (!c.expected_error.empty()) return Topic::errors;
  if (!c.constructor) return Topic::apply;
  if (uses_xpos(*c.constructor)) return Topic::xpos;
  return rotates ? Topic::rotate : Topic::angles;
}

std::vector<CaseName> all_cases() {
  std::vector<CaseName> names;
  for (const char* set : {"lucidrains", "lucidrains_quirks", "lucidrains_errors"})
    for (std::string& file : files(set)) names.push_back({set, std::move(file)});
  return names;
}

std::vector<CaseName> cases_of(Topic topic) {
  std::vector<CaseName> names;
  for (const Filed& filed : filed_cases())
    if (filed.topic == topic) names.push_back(filed.name);
  return names;
}

std::vector<CaseName> cases_with_gradients() {
  std::vector<CaseName> names;
  for (const Filed& filed : filed_cases())
    if (filed.has_gradient) names.push_back(filed.name);
  return names;
}

bool register_tests(const std::string& suite, const std::vector<CaseName>& cases, RunCase run) {
  class Test : public ::testing::Test {
   public:
    Test(CaseName name, RunCase run) : name_(std::move(name)), run_(run) {}
    void TestBody() override {
      const Case c = load(name_.set, name_.file);
      SCOPED_TRACE(c.notes);
      run_(c);
    }

   private:
    CaseName name_;
    RunCase run_;
  };
  for (const CaseName& name : cases) {
    const std::string test = name.set + '_' + name.file.substr(0, name.file.rfind('.'));
    ::testing::RegisterTest(suite.c_str(), test.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [=]() -> ::testing::Test* { return new Test(name, run); });
  }
  return true;
}

bool uses_xpos(const Constructor& constructor) { return constructor.args.flag("use_xpos", false); }

RotaryEmbeddingOptions rotary_options(const Case& c, const Constructor& constructor) {
  const Arguments& args = constructor.args;
  only(args, {"dim", "custom_freqs", "freqs_for", "theta", "max_freq", "num_freqs", "learned_freq",
              "use_xpos", "xpos_scale_base", "interpolate_factor", "theta_rescale_factor",
              "seq_before_head_dim", "cache_if_possible", "cache_max_seq_len"});
  RotaryEmbeddingOptions options;
  options.dim = args.integer("dim");
  if (args.has("custom_freqs")) options.custom_freqs = c.input(args.reference("custom_freqs")).values;
  options.freqs_for = freqs_for(args);
  options.theta = args.number("theta", options.theta);
  options.max_freq = args.number("max_freq", options.max_freq);
  options.num_freqs = args.integer("num_freqs", options.num_freqs);
  options.learned_freq = args.flag("learned_freq", options.learned_freq);
  options.interpolate_factor = args.number("interpolate_factor", options.interpolate_factor);
  options.theta_rescale_factor = args.number("theta_rescale_factor", options.theta_rescale_factor);
  options.seq_before_head_dim = args.flag("seq_before_head_dim", options.seq_before_head_dim);
  options.cache_if_possible = args.flag("cache_if_possible", options.cache_if_possible);
  options.cache_max_seq_len = args.integer("cache_max_seq_len", options.cache_max_seq_len);
  options.allow_odd_dim = options.dim % 2 != 0;
  return options;
}

XPosOptions xpos_options(const Case& c, const Constructor& constructor) {
  const RotaryEmbeddingOptions rotary = rotary_options(c, constructor);
  XPosOptions options;
  options.dim = rotary.dim;
  options.custom_freqs = rotary.custom_freqs;
  options.freqs_for = rotary.freqs_for;
  options.theta = rotary.theta;
  options.max_freq = rotary.max_freq;
  options.num_freqs = rotary.num_freqs;
  options.learned_freq = rotary.learned_freq;
  options.xpos_scale_base = constructor.args.number("xpos_scale_base", options.xpos_scale_base);
  options.interpolate_factor = rotary.interpolate_factor;
  options.theta_rescale_factor = rotary.theta_rescale_factor;
  options.seq_before_head_dim = rotary.seq_before_head_dim;
  options.allow_odd_dim = rotary.allow_odd_dim;
  return options;
}

RotateOptions rotate_options(const Arguments& args) {
  only(args, {"t", "q", "k", "seq_dim", "offset", "scale"});
  RotateOptions options;
  if (args.has("seq_dim")) options.seq_dim = args.integer("seq_dim");
  options.offset = args.number("offset", 0);
  options.scale = args.number("scale", 1);
  return options;
}

XPosRotateOptions xpos_rotate_options(const Arguments& args) {
  only(args, {"q", "k", "seq_dim", "offset"});
  XPosRotateOptions options;
  if (args.has("seq_dim")) options.seq_dim = args.integer("seq_dim");
  options.offset = args.number("offset", 0);
  return options;
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
    set(call, std::move(result));
  } else if (call.function == "slice") {
    const Tensor& x = at(call, "x");
    if (call.args.integer("dim") != 0) wrong_data("slice: only the first axis is known");
    const Index start = call.args.integer("start"), stop = call.args.integer("stop"),
                row = x.size() / x.shape.at(0);
    Tensor result = x;
    result.shape[0] = stop - start;
    result.values.assign(x.values.begin() + start * row, x.values.begin() + stop * row);
    set(call, std::move(result));
  } else {
    return false;
  }
  return true;
}

void Session::check() const {
  for (const auto& [name, wanted] : case_.outputs) {
    if (case_.gradient && case_.gradient->wrt.contains(name)) continue;
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      ADD_FAILURE() << wanted.label << " was not computed";
    } else {
      check(name, found->second);
    }
  }
}

void Session::check_intended() const {
  for (const auto& [name, wanted] : case_.intended_outputs_f64) check(name, at(name));
}

void Session::check(const std::string& output, const Tensor& found) const {
  const bool intended = case_.intended_outputs_f64.contains(output);
  const bool as_reference = !(intended && case_.has_tag("reference_quirk"));
  const double atol = in_double_ ? case_.f64_atol(output) : case_.f32_atol(output);
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
