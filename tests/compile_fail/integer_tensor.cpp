// expect: only float, double, Eigen::half and Eigen::bfloat16 tensors can be rotated
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<int, 4>& q) {
  rotary_emb.rotate_in_place(q);
}
