// The right program next to the wrong ones: see support/expect_compile_error.cmake.
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q) {
  rotary_emb.rotate_in_place(q);
}
