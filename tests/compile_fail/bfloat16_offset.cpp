// expect: rotary: positions are integers, float or double; bfloat16 cannot tell 256 from 257
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q,
            Eigen::bfloat16 position) {
  rotary_emb.rotate_in_place(q, {.offset = position});
}
