// expect: ignoring return value|unused-result|nodiscard
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::CosSinTable<float>& table, const rotary::Tensor<float, 4>& q) {
  rotary::apply_rotary_emb(table, q);
}
