// expect: rotary: angles are an Eigen tensor, matrix or vector, .\.\.\., rotary_dim.
#include <rotary/rotary.hpp>

auto rotate(const std::vector<float>& freqs, const rotary::Tensor<float, 4>& q) {
  return rotary::apply_rotary_emb(freqs, q);
}
