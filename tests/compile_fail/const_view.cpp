// expect: rotary: the tensor to write to is const
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, const rotary::Tensor<float, 2>& q,
            rotary::StridedView<const float> out) {
  rotary_emb.rotate_into(q, out);
}
