// Angles and scales of different shapes, broadcast against each other and the tensor.
#include <gtest/gtest.h>

#include <rotary/apply_rotary_emb.hpp>

#include "support/random.hpp"

namespace rotary::testing {
namespace {

// Angles for every token, and scales for every token of every sequence.
TEST(ApplyRotaryEmb, ScalesMayHaveAxesThatAnglesLack) {
  Random random(71);
  SCOPED_TRACE(random.replay());
  const Index batch = 3, heads = 2, seq = 5, dim = 8;
  Tensor<double, 2> freqs(seq, dim);
  for (Index n = 0; n < seq; ++n)
    for (Index i = 0; i < dim; i += 2) freqs(n, i) = freqs(n, i + 1) = random.uniform(-3, 3);
  Tensor<double, 4> t(batch, heads, seq, dim), scale(batch, 1, seq, dim);
  random.fill(t);
  for (Index b = 0; b < batch; ++b)
    for (Index n = 0; n < seq; ++n)
      for (Index i = 0; i < dim; ++i) scale(b, 0, n, i) = random.uniform(0.5, 2);

  const Tensor<double, 4> together = apply_rotary_emb(freqs, t, scale);
  const Tensor<double, 4> unscaled = apply_rotary_emb(freqs, t);
  for (Index b = 0; b < batch; ++b)
    for (Index h = 0; h < heads; ++h)
      for (Index n = 0; n < seq; ++n)
        for (Index i = 0; i < dim; ++i)
          EXPECT_NEAR(together(b, h, n, i), scale(b, 0, n, i) * unscaled(b, h, n, i), 1e-14);
}

}  // namespace
}  // namespace rotary::testing
