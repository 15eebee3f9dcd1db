// expect: rotary: a result can be written to a tensor, map or block, not to an expression
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q) {
  rotary_emb.rotate_in_place(q + q);
}
