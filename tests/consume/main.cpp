// A program of two files that both include the library: a function that forgot its `inline` would be defined
// twice.
#include <cmath>
#include <cstdio>
#include <rotary/rotary.hpp>

float rotated_elsewhere(float position);

int main() {
  rotary::Tensor<float, 2> x(1, 2);  // [seq, head_dim]
  x.setValues({{1.f, 0.f}});
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = 2});
  rotary_emb.rotate_in_place(x, {.offset = 3});
  if (x(0, 0) != rotated_elsewhere(3) || std::abs(x(0, 0) - std::cos(3.f)) > 1e-6f) {
    std::printf("cos 3 is %g, here it is %g, and %g in the other file\n", std::cos(3.), x(0, 0),
                rotated_elsewhere(3));
    return 1;
  }
}
