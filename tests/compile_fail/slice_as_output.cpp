// expect: rotary: a result can be written to a tensor, map or block, not to an expression
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const rotary::Tensor<float, 3>& q,
            rotary::Tensor<float, 4>& out) {
  rotary_emb.rotate_into(q, out.chip(0, 0));
}
