// Attention allocates nothing once its activations have their memory.
#include <gtest/gtest.h>

#include <rotary/attention.hpp>

#include "support/allocations.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

void check_steps(const RotaryMultiHeadAttentionOptions& of, Index seq) {
  Random random(20);
  SCOPED_TRACE(random.replay());
  const RotaryValueMultiHeadAttention<float> attention(of, 2);
  Tensor<float, 3> x(seq, 2, 8), y(seq, 2, 8), grad_x(seq, 2, 8);
  random.fill(x);
  const AttendOptions options{.causal = true, .dropout_seed = 4};
  AttentionActivations<float> activations;
  auto gradients = attention.make_gradients();
  const auto step = [&] {
    attention.forward_into(x, x, x, y, options, activations);
    attention.backward_into(y, activations, gradients, grad_x, grad_x, grad_x);
  };
  EXPECT_GE(allocations_in(step), 1);
  EXPECT_EQ(allocations_in(step), 0);
}

TEST(AttentionTensors, NothingIsAllocatedAfterTheFirstStep) {
  check_steps({.heads = 2, .d_model = 8, .dropout_prob = 0.1}, 70);
  check_steps({.heads = 4,
               .d_model = 8,
               .kv_heads = 2,
               .head_dim = 4,
               .dropout_prob = 0.1,
               .window = 100,
               .soft_cap = 5,
               .qk_norm = true},
              300);
}

}  // namespace
}  // namespace rotary::testing
