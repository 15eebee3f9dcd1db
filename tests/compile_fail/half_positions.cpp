// expect: rotary: positions are integers, float or double; bfloat16 cannot tell 256 from 257
#include <rotary/rotary.hpp>

auto angles(const rotary::RotaryEmbedding<float>& rotary_emb, const std::vector<Eigen::half>& positions) {
  return rotary_emb(positions);
}
