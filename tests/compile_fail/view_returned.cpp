// expect: rotary: a view owns no memory to return; rotate it in place or into another tensor
#include <rotary/rotary.hpp>

auto rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::StridedView<float> q) {
  return rotary_emb.rotate_queries_or_keys(q);
}
