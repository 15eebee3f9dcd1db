// Rotates a query and a key by their positions, and shows what rotary embeddings are for: the product of the
// two depends on the distance of the positions alone.
#include <cstdio>
#include <rotary/rotary.hpp>

int main() {
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = 4});

  rotary::Tensor<float, 4> q(1, 1, 1, 4), k(1, 1, 1, 4);  // [batch, heads, seq, head_dim]
  q.setValues({{{{1.f, 2.f, 3.f, 4.f}}}});
  k.setValues({{{{4.f, 3.f, 2.f, 1.f}}}});

  for (const long first : {0L, 1000L, 1000000L}) {
    const auto rotated_q = rotary_emb.rotate_queries_or_keys(q, first + 5);
    const auto rotated_k = rotary_emb.rotate_queries_or_keys(k, first);
    float product = 0;
    for (int i = 0; i < 4; ++i) product += rotated_q.data()[i] * rotated_k.data()[i];
    std::printf("query at %7ld, key at %7ld: %.4f\n", first + 5, first, static_cast<double>(product));
  }
}

// prints:
//   query at       5, key at       0: 17.3689
//   query at    1005, key at    1000: 17.3689
//   query at 1000005, key at 1000000: 17.3689
