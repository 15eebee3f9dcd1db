// What tests of multi-head attention share: random tokens and weights, the difference of two tensors, and gradients against
// central differences.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <rotary/attention.hpp>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"

namespace rotary::testing {

/// [seq, batch, d_model]
using Tokens = Tensor<double, 3>;

inline Tokens random_tokens(Random& random, Index seq, Index batch, Index d_model) {
  Tokens x(seq, batch, d_model);
  random.fill(x);
  return x;
}

/// Weights and biases all different from 0.
template <class Attention>
void randomize(Attention& attention, Random& random) {
  attention.weights().for_each([&](const char*, auto& parameter) { random.fill(parameter, -0.6, 0.6); });
}

template <class A, class B>
double largest_difference(const A& a, const B& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (Index n = 0; n < a.size(); ++n) {
    const double difference = std::abs(static_cast<double>(a.data()[n]) - static_cast<double>(b.data()[n]));
    if (!(difference <= largest)) largest = difference;  // NaN stays
  }
  return largest;
}

inline double sum_of_products(const Tokens& a, const Tokens& b) {
  double sum = 0;
  for (Index n = 0; n < a.size(); ++n) sum += a.data()[n] * b.data()[n];
  return sum;
}

/// Every gradient of Σ w ∘ out against central differences of it.
template <class Attention>
void check_gradients(Attention attention, Index seq_q, Index seq_k, const AttendOptions& options,
                     Random& random) {
  const Index batch = 2, d_model = attention.d_model();
  randomize(attention, random);
  Tokens q = random_tokens(random, seq_q, batch, d_model), k = random_tokens(random, seq_k, batch, d_model),
         v = random_tokens(random, seq_k, batch, d_model);
  const Tokens w = random_tokens(random, seq_q, batch, d_model);
  AttentionActivations<double> activations, others;
  attention.forward(q, k, v, options, activations);
  auto gradients = attention.make_gradients();
  const auto grad = attention.backward(w, activations, gradients);

  const auto check = [&](const std::string& name, double* parameter, const double* gradient, Index size) {
    for (Index n = 0; n < size; ++n) {
      const double before = parameter[n], step = 1e-5;
      parameter[n] = before + step;
      const double above = sum_of_products(attention.forward(q, k, v, options, others), w);
      parameter[n] = before - step;
      const double below = sum_of_products(attention.forward(q, k, v, options, others), w);
      parameter[n] = before;
      EXPECT_NEAR(gradient[n], (above - below) / (2 * step), 2e-8) << name << " " << n;
    }
  };
  check("query", q.data(), grad.query.data(), q.size());
  check("key", k.data(), grad.key.data(), k.size());
  check("value", v.data(), grad.value.data(), v.size());
  std::vector<std::pair<const double*, Index>> of_weights;
  gradients.for_each(
      [&](const char*, const auto& gradient) { of_weights.emplace_back(gradient.data(), gradient.size()); });
  std::size_t next = 0;
  attention.weights().for_each([&](const char* name, auto& parameter) {
    ASSERT_EQ(parameter.size(), of_weights.at(next).second);
    check(name, parameter.data(), of_weights.at(next).first, parameter.size());
    ++next;
  });
}

}  // namespace rotary::testing
