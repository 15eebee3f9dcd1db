// What tests of multi-head attention share: random tokens and weights, and the difference of two tensors.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <rotary/tensor/tensor.hpp>

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

}  // namespace rotary::testing
