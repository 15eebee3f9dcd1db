#include <rotary/rotary.hpp>

float rotated_elsewhere(float position) {
  Eigen::Matrix<float, 1, 2, Eigen::RowMajor> x(1.f, 0.f);
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = 2});
  rotary_emb.rotate_in_place(x, {.offset = position});
  return x(0, 0);
}
