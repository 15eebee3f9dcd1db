// expect: rotary: the tensor to write to is const
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const float* q) {
  rotary_emb.rotate_in_place(Eigen::TensorMap<const rotary::Tensor<float, 2>>(q, 3, 8));
}
