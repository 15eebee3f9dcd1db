// expect: rotary: pass an Eigen tensor, matrix, map or block, or a rotary::StridedView of your own tensor
#include <rotary/rotary.hpp>

auto rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const std::vector<float>& q) {
  return rotary_emb.rotate_queries_or_keys(q);
}
