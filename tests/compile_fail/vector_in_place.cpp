// expect: rotary: pass an Eigen tensor, matrix, map or block, or a rotary::StridedView of your own tensor
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, std::vector<float>& q) {
  rotary_emb.rotate_in_place(q);
}
