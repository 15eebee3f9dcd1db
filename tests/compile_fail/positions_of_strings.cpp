// expect: rotary: positions are integers of 32 or 64 bits, float or double
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q,
            const std::vector<std::string>& ids) {
  rotary_emb.rotate_in_place(q, ids);
}
