// expect: rotary: XPos scales queries and keys against each other; call rotate_queries_and_keys_in_place
#include <rotary/rotary.hpp>

void rotate(const rotary::XPos<float>& xpos, rotary::Tensor<float, 4>& q) {
  xpos.rotate_in_place(q, {.offset = 3});
}
