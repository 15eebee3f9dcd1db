// expect: rotary: positions are integers, float or double; bfloat16 cannot tell 256 from 257
#include <rotary/rotary.hpp>

void rotate(const rotary::XPos<float>& xpos, rotary::Tensor<float, 4>& q, rotary::Tensor<float, 4>& k) {
  xpos.rotate_queries_and_keys_in_place(q, k, {.offset = Eigen::half(3)});
}
