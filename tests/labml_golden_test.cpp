// labml's modules and its first listing, against what they returned: rotations, scores, attention, RoPER, and
// the gradients of all of them.
#include <gtest/gtest.h>

#include <map>
#include <rotary/attention.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/golden.hpp"

namespace rotary::testing::golden {
namespace {

using Results = std::map<std::string, Tensor>;

/// The results of a case, in the arithmetic of T, under the names that the case has for them.
template <class T>
struct Runner {
  const Case& c;
  Results results = {};

  template <int kRank>
  Eigen::Tensor<T, kRank, Eigen::RowMajor> input(const std::string& name) const {
    return to_eigen<T, kRank>(c.input(name));
  }

  /// The name under which the case keeps the gradient with respect to `what`, "x" or "self.theta"; "" if it
  /// has none.
  std::string gradient_name(const std::string& what) const {
    if (c.gradient)
      for (const auto& [name, of] : c.gradient->wrt)
        if (of == what) return name;
    return "";
  }

  /// `of` is "@x" for an input and "self.theta" for a parameter.
  void keep_gradient(const std::string& of, const Tensor& gradient) {
    if (const std::string name = gradient_name(of); !name.empty()) results[name] = gradient;
  }

  void run() {
    const std::string& type = c.constructor.value().type;
    const bool listing = type.starts_with("listing.");
    const std::string name = listing ? type.substr(8) : type;
    const Arguments& args = c.constructor->args;
    if (name == "RotaryPositionalEmbeddings" && listing) {
      embed(RotaryPositionalEmbeddingsListing<T>(args.integer("d"), args.number("base", 10000)));
    } else if (name == "RotaryPositionalEmbeddings") {
      embed(RotaryPositionalEmbeddings<T>(args.integer("d"), args.number("base", 10000)));
    } else if (name == "ReverseRotaryPositionalEmbeddings") {
      embed(ReverseRotaryPositionalEmbeddings<T>(args.integer("d"), args.number("base", 10000)));
    } else if (name == "RotaryPEMultiHeadAttention" && listing) {
      RotaryMultiHeadAttention<T> attention({.heads = args.integer("heads"),
                                             .d_model = args.integer("d_model"),
                                             .rope_percentage = 1,
                                             .bias = false});
      attend(attention);
    } else if (name == "RotaryPEMultiHeadAttention" || name == "MultiHeadAttention") {
      const double rotating = name == "MultiHeadAttention" ? 0 : 0.5;
      RotaryMultiHeadAttention<T> attention({.heads = args.integer("heads"),
                                             .d_model = args.integer("d_model"),
                                             .rope_percentage = args.number("rope_percentage", rotating)});
      attend(attention);
    } else if (name == "RotaryValuePEMultiHeadAttention") {
      RotaryValueMultiHeadAttention<T> attention(
          {.heads = args.integer("heads"),
           .d_model = args.integer("d_model"),
           .rope_percentage = args.number("rope_percentage", 0.5),
           .rope_value_percentage = args.number("rope_value_percentage", 0.5)});
      attend(attention);
    } else {
      wrong_data("this test knows no class " + type);
    }
  }

  static AttentionMask mask(const Tensor& x) {
    std::vector<std::int64_t> elements;
    for (const double value : x.values) elements.push_back(static_cast<std::int64_t>(value));
    return StridedView<std::int64_t>(elements.data(), x.shape);
  }

  template <class Module>
  void embed(const Module& module) {
    for (const Call& call : c.calls) {
      const std::string& x_name = call.args.reference("x");
      const auto x = input<4>(x_name);
      const auto y = module(x);
      results[call.out.at(0)] = from_eigen(y);
      auto in_place = x;
      module.rotate_in_place(in_place);
      compare(in_place, from_eigen(y), 0);
      if (!c.gradient) continue;
      const auto w = input<4>(c.gradient->weights.at(call.out.at(0)));
      keep_gradient("@" + x_name, from_eigen(module(w, Direction::transpose)));
      const std::vector<double> theta = module.theta_gradient(x, w);
      Tensor of_theta{c.name + " theta", "float64", {static_cast<Index>(theta.size())}, theta};
      keep_gradient("self.theta", of_theta);
    }
  }

  void attend(RotaryMultiHeadAttention<T>& attention) {
    const Call& call = c.calls.at(0);
    if (call.function == "self.get_scores") return scores(attention, call);
    ASSERT_EQ(call.function, "self.forward");
    std::size_t loaded = 0;
    attention.weights().for_each([&](const std::string& name, auto& parameter) {
      const Tensor& from = c.input(c.params.at(name));
      ASSERT_EQ(from.size(), parameter.size());
      for (Index n = 0; n < from.size(); ++n)
        parameter.data()[n] = static_cast<T>(from.values[static_cast<std::size_t>(n)]);
      ++loaded;
    });
    ASSERT_EQ(loaded, c.params.size());

    const std::string names[] = {call.args.reference("query"), call.args.reference("key"),
                                 call.args.reference("value")};
    AttendOptions options;
    if (call.args.has("mask")) options.mask = mask(c.input(call.args.reference("mask")));
    AttentionActivations<T> activations;
    const auto out =
        attention.forward(input<3>(names[0]), input<3>(names[1]), input<3>(names[2]), options, activations);
    results[call.out.at(0)] = from_eigen(out);

    // A tensor that stands for several arguments receives the sum of their gradients.
    auto gradients = attention.make_gradients();
    std::map<std::string, Eigen::Tensor<T, 3, Eigen::RowMajor>> grads;
    for (const std::string& name : names) grads[name] = input<3>(name);
    attention.backward_into(input<3>(c.gradient.value().weights.at(call.out.at(0))), activations, gradients,
                            grads.at(names[0]), grads.at(names[1]), grads.at(names[2]));
    for (const auto& [name, grad] : grads) keep_gradient("@" + name, from_eigen(grad));
    gradients.for_each([&](const std::string& name, const auto& gradient) {
      Tensor found = from_eigen(gradient);
      if (gradient.rows() == 1) found.shape = {gradient.cols()};
      keep_gradient("self." + name, found);
    });
  }

  void scores(const RotaryMultiHeadAttention<T>& attention, const Call& call) {
    const std::string& q_name = call.args.reference("query");
    const std::string& k_name = call.args.reference("key");
    const auto q = input<4>(q_name), k = input<4>(k_name);
    results[call.out.at(0)] = from_eigen(attention.get_scores(q, k));
    const auto grad =
        attention.get_scores_backward(q, k, input<4>(c.gradient.value().weights.at(call.out.at(0))));
    keep_gradient("@" + q_name, from_eigen(grad.query));
    keep_gradient("@" + k_name, from_eigen(grad.key));
  }
};

class LabmlGolden : public ::testing::TestWithParam<std::pair<std::string, std::string>> {
 protected:
  const Case c = load(GetParam().first, GetParam().second);
};

TEST_P(LabmlGolden, InDouble) {
  if (!c.expected_error.empty()) return;
  Runner<double> runner{c};
  runner.run();
  for (const auto& [name, wanted] : c.outputs_f64) {
    ASSERT_TRUE(runner.results.contains(name)) << name << " was not computed";
    compare(runner.results.at(name), wanted, c.f64_atol(name));
  }
}

TEST_P(LabmlGolden, InFloat) {
  if (!c.expected_error.empty()) return;
  Runner<float> runner{c};
  runner.run();
  for (const auto& [name, wanted] : c.outputs) {
    ASSERT_TRUE(runner.results.contains(name)) << name << " was not computed";
    compare(runner.results.at(name), wanted, c.f32_atol(name));
  }
}

// What labml stumbles over with a mismatch of shapes inside, we refuse with a sentence: an odd d and an odd
// share of a head when constructing, and in the listing, which cannot rotate a part of the features, a tensor
// of another width.
TEST_P(LabmlGolden, WhatRaisesThereThrowsHere) {
  if (c.expected_error.empty()) return;
  Runner<float> runner{c};
  EXPECT_THROW(runner.run(), std::invalid_argument);
}

std::vector<std::pair<std::string, std::string>> all_cases() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const char* set : {"labml", "labml_seed_listing"})
    for (const std::string& file : files(set)) all.emplace_back(set, file);
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, LabmlGolden, ::testing::ValuesIn(all_cases()), [](const auto& instance) {
  return instance.param.first + "_" + instance.param.second.substr(0, instance.param.second.size() - 5);
});

TEST(LabmlGoldenCases, AllAreThere) {
  EXPECT_EQ(all_cases().size(), 36u);
  int raising = 0, with_gradients = 0;
  for (const auto& [set, file] : all_cases()) {
    const Case c = load(set, file);
    raising += !c.expected_error.empty();
    with_gradients += c.gradient.has_value();
  }
  EXPECT_EQ(raising, 3);
  EXPECT_EQ(with_gradients, 30);
}

// The example printed with labml's listing, d = 3 on four features: theta = {1, 10000^(−2/3)}.
TEST(LabmlListing, ItsOwnExample) {
  const RotaryPositionalEmbeddingsListing<double> rotary_pe(3);
  rotary::Tensor<double, 4> x(3, 1, 1, 4);
  x.setValues({{{{1, 2, 3, 4}}}, {{{4, 5, 6, 7}}}, {{{7, 8, 9, 10}}}});
  const auto y = rotary_pe(x);
  const double wanted[3][4] = {
      {1.0, 2.0, 3.0, 4.0},
      {-2.8876166853748202, 4.9849073648688451, 6.6076977744404243, 7.0107559195621941},
      {-11.096704697261132, 7.9568371742261372, 2.6197604588554904, 10.034378016740899}};
  for (Index n = 0; n < 3; ++n)
    for (Index f = 0; f < 4; ++f) EXPECT_NEAR(y(n, 0, 0, f), wanted[n][f], 1e-14) << n << ", " << f;
}

}  // namespace
}  // namespace rotary::testing::golden
