// expect: rotary: the tensor to write to is a temporary, so that the result would be lost
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const Eigen::MatrixXf& q) {
  rotary_emb.rotate_into(q, Eigen::MatrixXf(q.rows(), q.cols()));
}
