// expect: rotary: a position is a number, not a bool
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q) {
  rotary_emb.rotate_in_place(q, true);
}
