// expect: rotary: tensors of more than 12 axes are not supported
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 13>& q) {
  rotary_emb.rotate_in_place(q);
}
