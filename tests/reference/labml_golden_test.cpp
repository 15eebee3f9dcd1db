// labml's modules and its first listing, against what they returned: rotations, scores, attention, RoPER, and
// the gradients of all of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <rotary/attention.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

/// One run of a case, in the arithmetic of T. Everything the case says is read before anything is computed.
template <class T>
class LabmlRun {
 public:
  explicit LabmlRun(const Case& c) : case_(c), session_(c, std::is_same_v<T, double>) {}

  void run() {
    if (!case_.constructor || case_.intended_constructor || !case_.intended_calls.empty())
      wrong_data("labml_golden_test knows no such case");
    const std::string& type = case_.constructor->type;
    const bool listing = type.starts_with("listing.");
    const std::string name = listing ? type.substr(8) : type;
    name.ends_with("MultiHeadAttention") ? run_attention(name, listing) : run_embedding(name, listing);
  }

  void check() const {
    session_.check();
    if (!case_.gradient) return;
    for (const auto& [name, of] : case_.gradient->wrt) {
      const auto found = gradients_.find(of);
      if (found == gradients_.end()) {
        ADD_FAILURE() << case_.set << '/' << case_.name << ": " << name << " was not computed";
      } else {
        session_.check(name, found->second);
      }
    }
  }

 private:
  template <int kRank>
  Eigen::Tensor<T, kRank, Eigen::RowMajor> at(const std::string& name) const {
    return to_eigen<T, kRank>(session_.at(name));
  }

  /// Adds to the gradient of "@input" or "self.parameter".
  void add_gradient(const std::string& of, const Tensor& gradient) {
    const auto [sum, is_first] = gradients_.emplace(of, gradient);
    if (is_first) return;
    for (std::size_t n = 0; n < gradient.values.size(); ++n) sum->second.values.at(n) += gradient.values[n];
  }

  /// The weights of a result in the loss, or null.
  const Tensor* weights_of(const std::string& out) const {
    if (!case_.gradient) return nullptr;
    const auto found = case_.gradient->weights.find(out);
    return found == case_.gradient->weights.end() ? nullptr : &session_.at(found->second);
  }

  static const std::string& result_of(const Call& call) {
    if (call.out.size() != 1) wrong_data(call.function + " has one result");
    return call.out[0];
  }

  // --- embeddings

  void run_embedding(const std::string& name, bool listing) {
    const Arguments& args = case_.constructor->args;
    const Index d = args.integer("d");
    const double base = args.number("base", 10000);
    std::vector<std::string> inputs;
    for (const Call& call : case_.calls) {
      if (call.function != "self.forward") wrong_data("labml_golden_test does not know " + call.function);
      inputs.push_back(call.args.reference("x"));
    }
    if (name == "RotaryPositionalEmbeddings" && listing) {
      embed(RotaryPositionalEmbeddingsListing<T>(d, base), inputs);
    } else if (name == "RotaryPositionalEmbeddings") {
      embed(RotaryPositionalEmbeddings<T>(d, base), inputs);
    } else if (name == "ReverseRotaryPositionalEmbeddings" && !listing) {
      embed(ReverseRotaryPositionalEmbeddings<T>(d, base), inputs);
    } else {
      wrong_data("labml_golden_test does not know the class " + case_.constructor->type);
    }
  }

  template <class Module>
  void embed(const Module& module, const std::vector<std::string>& inputs) {
    for (std::size_t n = 0; n < inputs.size(); ++n) {
      const Tensor x = session_.at(inputs[n]);
      const Elements<T> before(x), there(x);
      module.rotate_in_place(there.view());
      session_.set(result_of(case_.calls[n]), there.tensor());
      if_rank<2, 3, 4, 5, 6>(x.rank(), [&]<int R>(std::integral_constant<int, R>) {
        expect_same_bits(from_eigen(module(to_eigen<T, R>(x))), there.tensor(), "as a new tensor");
      });
      const Tensor* const weights = weights_of(result_of(case_.calls[n]));
      if (!weights) continue;
      const Elements<T> grad(*weights);
      const std::vector<double> theta = module.theta_gradient(before.const_view(), grad.const_view());
      add_gradient("self.theta", {"theta", "float64", {static_cast<Index>(theta.size())}, theta});
      module.rotate_in_place(grad.view(), Direction::transpose);
      add_gradient('@' + inputs[n], grad.tensor());
    }
    if (!case_.params.names().empty()) wrong_data("embeddings have no weights");
  }

  // --- attention

  struct AttentionCall {
    bool scores;
    std::string names[3];  // query, key, value
    AttendOptions options;
    std::string out;
  };

  static AttentionMask mask(const Tensor& x) {
    std::vector<std::int64_t> elements;
    for (const double value : x.values) elements.push_back(static_cast<std::int64_t>(value));
    return StridedView<std::int64_t>(elements.data(), x.shape);
  }

  AttentionCall read(const Call& call) const {
    const Arguments& args = call.args;
    AttentionCall result{call.function == "self.get_scores", {}, {}, result_of(call)};
    if (!result.scores && call.function != "self.forward")
      wrong_data("labml_golden_test does not know " + call.function);
    result.names[0] = args.reference("query"), result.names[1] = args.reference("key");
    if (result.scores) return result;
    result.names[2] = args.reference("value");
    if (args.has("mask")) result.options.mask = mask(session_.at(args.reference("mask")));
    return result;
  }

  void run_attention(const std::string& name, bool listing) {
    const Arguments& args = case_.constructor->args;
    if (args.number("dropout_prob", 0) != 0) wrong_data("no test knows which probabilities were dropped");
    RotaryMultiHeadAttentionOptions options;
    options.heads = args.integer("heads");
    options.d_model = args.integer("d_model");
    options.bias = !listing;
    options.rope_percentage = listing ? 1 : name == "MultiHeadAttention" ? 0 : 0.5;
    if (!listing && name != "MultiHeadAttention")
      options.rope_percentage = args.number("rope_percentage", 0.5);
    const bool with_values = name == "RotaryValuePEMultiHeadAttention" && !listing;
    if (with_values) options.rope_value_percentage = args.number("rope_value_percentage", 0.5);
    std::vector<AttentionCall> calls;
    for (const Call& call : case_.calls) calls.push_back(read(call));

    if (with_values) {
      RotaryValueMultiHeadAttention<T> attention(options);
      attend(attention, calls);
    } else if (name == "RotaryPEMultiHeadAttention" || (name == "MultiHeadAttention" && !listing)) {
      RotaryMultiHeadAttention<T> attention({.heads = options.heads,
                                             .d_model = options.d_model,
                                             .rope_percentage = options.rope_percentage,
                                             .bias = options.bias});
      attend(attention, calls);
    } else {
      wrong_data("labml_golden_test does not know the class " + case_.constructor->type);
    }
  }

  void attend(RotaryMultiHeadAttention<T>& attention, const std::vector<AttentionCall>& calls) {
    const bool forward =
        std::any_of(calls.begin(), calls.end(), [](const auto& call) { return !call.scores; });
    if (forward || !case_.params.names().empty())
      attention.weights().for_each([&](const std::string& name, auto& parameter) {
        const Tensor& from = case_.input(case_.params.reference(name));
        if (from.size() != parameter.size()) wrong_data(name + " has another size");
        for (Index n = 0; n < from.size(); ++n)
          parameter.data()[n] = static_cast<T>(from.values[static_cast<std::size_t>(n)]);
      });
    auto gradients = attention.make_gradients();
    bool has_gradients = false;
    for (const AttentionCall& call : calls) {
      if (call.scores) {
        scores(attention, call);
        continue;
      }
      AttentionActivations<T> activations;
      session_.set(call.out, from_eigen(attention.forward(at<3>(call.names[0]), at<3>(call.names[1]),
                                                          at<3>(call.names[2]), call.options, activations)));
      const Tensor* const weights = weights_of(call.out);
      if (!weights) continue;
      has_gradients = true;
      // A tensor that stands for several arguments receives the sum of their gradients.
      std::map<std::string, Eigen::Tensor<T, 3, Eigen::RowMajor>> grads;
      for (const std::string& name : call.names) grads[name] = at<3>(name);
      attention.backward_into(to_eigen<T, 3>(*weights), activations, gradients, grads.at(call.names[0]),
                              grads.at(call.names[1]), grads.at(call.names[2]));
      for (const auto& [name, grad] : grads) add_gradient('@' + name, from_eigen(grad));
    }
    if (!has_gradients) return;
    gradients.for_each([&](const std::string& name, const auto& gradient) {
      Tensor found = from_eigen(gradient);
      if (name.ends_with("bias")) found.shape = {gradient.size()};
      add_gradient("self." + name, found);
    });
  }

  void scores(const RotaryMultiHeadAttention<T>& attention, const AttentionCall& call) {
    const auto q = at<4>(call.names[0]), k = at<4>(call.names[1]);
    session_.set(call.out, from_eigen(attention.get_scores(q, k)));
    const Tensor* const weights = weights_of(call.out);
    if (!weights) return;
    const auto grad = attention.get_scores_backward(q, k, to_eigen<T, 4>(*weights));
    add_gradient('@' + call.names[0], from_eigen(grad.query));
    add_gradient('@' + call.names[1], from_eigen(grad.key));
  }

  const Case& case_;
  Session session_;
  std::map<std::string, Tensor> gradients_;  // by "@input" or "self.parameter"
};

template <class T>
void check_case(const Case& c) {
  LabmlRun<T> run(c);
  if (c.expected_error) {
    expect_refused(
        c, decision_for(c), [&] { run.run(); }, [&] { ADD_FAILURE() << c.name << " is not refused"; });
  } else {
    run.run();
    run.check();
  }
}

const std::vector<CaseName> kCases = cases_of("labml_golden_test");

[[maybe_unused]] const bool registered =
    register_tests("LabmlGoldenInDouble", kCases, check_case<double>) &&
    register_tests("LabmlGoldenInFloat", kCases, check_case<float>) &&
    register_altered("LabmlGoldenAltered", kCases, check_case<double>, check_case<float>);

// The examples printed in labml's file over the years, tests/golden/expected_frequencies.json.

using Json = nlohmann::json;

Tensor printed_tensor(const Json& rows) {
  Tensor x{"printed", "float64", {static_cast<Index>(rows.size()), 1, 1, 4}, {}};
  for (const Json& row : rows) x.values.insert(x.values.end(), row.begin(), row.end());
  return x;
}

template <class Module>
void expect_printed(const Module& module, const Json& entry) {
  const Json& wanted = entry.at("computed_in_double");
  const std::vector<double> theta = wanted.at("theta");
  compare(module.theta(), {"theta", "float64", {static_cast<Index>(theta.size())}, theta}, 1e-15);
  const auto x = to_eigen<double, 4>(printed_tensor(entry.at("input").at("x")));
  compare(module(x), printed_tensor(wanted.at("y")), 1e-14);
}

TEST(Labml, PrintedExamples) {
  std::ifstream stream(ROTARY_TEST_DATA_DIR "/expected_frequencies.json");
  const Json entries = Json::parse(stream).at("labml");
  ASSERT_FALSE(entries.empty());
  for (const Json& entry : entries) {
    const std::string id = entry.at("id");
    SCOPED_TRACE(id);
    const Json& input = entry.at("input");
    const Index d = input.at("d");
    const double base = input.value("base", 10000.0);
    if (entry.contains("expected")) {
      ASSERT_TRUE(entry.at("expected").get<std::string>().starts_with("raises"));
      EXPECT_THROW(RotaryPositionalEmbeddings<double>(d, base), std::invalid_argument);
    } else if (id.starts_with("labml_listing")) {
      expect_printed(RotaryPositionalEmbeddingsListing<double>(d, base), entry);
    } else {
      expect_printed(RotaryPositionalEmbeddings<double>(d, base), entry);
    }
  }
}

}  // namespace
}  // namespace rotary::testing::golden
