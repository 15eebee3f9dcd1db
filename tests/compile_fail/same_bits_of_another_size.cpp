// expect: rotary: SameBitsAs names a type of another size
// lines: 12
#include <rotary/rotary.hpp>

struct Wide {
  float value;
};
template <>
struct rotary::SameBitsAs<Wide> {
  using type = Eigen::half;
};

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::StridedView<Wide> q) {
  rotary_emb.rotate_in_place(q);
}
