// expect: rotary: the tensor to write to is const
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const rotary::Tensor<float, 4>& q) {
  rotary_emb.rotate_in_place(q);
}
