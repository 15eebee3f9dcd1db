// expect: rotary: the tensors to read and to write must have the same scalar
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const rotary::Tensor<Eigen::half, 4>& q,
            rotary::Tensor<float, 4>& out) {
  rotary_emb.rotate_into(q, out);
}
