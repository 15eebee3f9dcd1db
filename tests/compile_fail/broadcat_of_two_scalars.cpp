// expect: rotary: broadcat needs tensors of one scalar; cast the others
#include <rotary/rotary.hpp>

auto join(const rotary::Tensor<float, 2>& a, const rotary::Tensor<double, 2>& b) {
  return rotary::broadcat(a, b);
}
