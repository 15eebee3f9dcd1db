// expect: ignoring return value|unused-result|nodiscard
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const rotary::Tensor<float, 4>& q) {
  rotary_emb.rotate_queries_or_keys(q);
}
