// A result that is used, a position of each kind, a foreign type with SameBitsAs: right, next to the wrong ones.
#include <rotary/rotary.hpp>

struct Half {
  unsigned short bits;
};
template <>
struct rotary::SameBitsAs<Half> {
  using type = Eigen::half;
};

auto rotate(const rotary::RotaryEmbedding<float>& rotary_emb, rotary::Tensor<float, 4>& q,
            rotary::StridedView<Half> h, Eigen::VectorXf& v) {
  rotary_emb.rotate_in_place(q, std::vector<int>{1, 2, 3});
  rotary_emb.rotate_in_place(h, 3);
  rotary_emb.rotate_token_in_place(v, 3.5);
  rotary_emb.rotate_in_place(v.transpose());
  return rotary_emb.rotate_queries_or_keys(q);
}
