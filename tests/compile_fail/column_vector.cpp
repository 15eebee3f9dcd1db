// expect: rotary: a column vector has one feature for each of its tokens; pass x.transpose\(\) for one token
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, Eigen::VectorXf& q) {
  rotary_emb.rotate_in_place(q);
}
