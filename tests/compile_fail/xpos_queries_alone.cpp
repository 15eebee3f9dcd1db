// expect: rotary: XPos scales queries and keys against each other; call rotate_queries_and_keys
#include <rotary/rotary.hpp>

auto rotate(const rotary::XPos<float>& xpos, const rotary::Tensor<float, 4>& q) {
  return xpos.rotate_queries_or_keys(q);
}
