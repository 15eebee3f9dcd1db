// expect: rotary: positions are a number, a contiguous list or an Eigen tensor of integers
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q) {
  rotary_emb.rotate_in_place(q, nullptr);
}
