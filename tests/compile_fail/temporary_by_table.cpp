// expect: rotary: the tensor to write to is a temporary, so that the result would be lost
// lines: 12
#include <rotary/rotary.hpp>

void rotate(const rotary::CosSinTable<float>& table, const Eigen::MatrixXf& q) {
  rotary::apply_rotary_emb_in_place(table, Eigen::MatrixXf(q));
}
