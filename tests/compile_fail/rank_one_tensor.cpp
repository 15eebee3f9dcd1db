// expect: rotary: a tensor to rotate needs at least two axes, .seq, head_dim.
#include <rotary/rotary.hpp>

auto rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const rotary::Tensor<float, 1>& q) {
  return rotary_emb.rotate_queries_or_keys(q);
}
