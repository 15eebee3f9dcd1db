// expect: other 16-bit types for which rotary::SameBitsAs is specialised
// lines: 12
#include <rotary/rotary.hpp>

struct Half {
  unsigned short bits;
};

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::StridedView<Half> q) {
  rotary_emb.rotate_in_place(q);
}
