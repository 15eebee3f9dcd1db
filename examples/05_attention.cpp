// Attends with rotated queries and keys, and takes a step of gradient descent.
#include <cstdio>
#include <rotary/attention.hpp>

namespace {

/// Half the squared distance of two tensors.
float loss_of(const rotary::Tensor<float, 3>& y, const rotary::Tensor<float, 3>& wanted) {
  const Eigen::Tensor<float, 0, Eigen::RowMajor> sum = (y - wanted).square().sum();
  return sum() / 2;
}

}  // namespace

int main() {
  rotary::RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = 16}, /*seed=*/1);
  rotary::Tensor<float, 3> x(5, 3, 16), wanted(5, 3, 16);  // [seq, batch, d_model]
  x.setRandom();
  wanted.setConstant(0.1f);

  rotary::AttentionActivations<float> activations;
  const rotary::Tensor<float, 3> y = attention.forward(x, x, x, {.causal = true}, activations);
  const float before = loss_of(y, wanted);

  auto gradients = attention.make_gradients();
  const rotary::Tensor<float, 3> error = y - wanted;  // the gradient of the loss
  attention.backward(error, activations, gradients);
  attention.weights().output.weight -= 0.01f * gradients.output.weight;

  const float after = loss_of(attention.forward(x, x, x, {.causal = true}), wanted);
  std::printf("the loss falls: %s\n", after < before ? "yes" : "no");
  return after < before ? 0 : 1;
}

// prints:
//   the loss falls: yes
