// Decodes token by token against a cache of keys, and arrives at the scores of a full pass.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <rotary/rotary.hpp>

namespace {

constexpr long kTokens = 6, kFeatures = 8;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;  // [seq, head_dim]

}  // namespace

int main() {
  const Matrix q = Matrix::Random(kTokens, kFeatures), k = Matrix::Random(kTokens, kFeatures);
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = kFeatures, .pairing = rotary::Pairing::half});

  // All tokens at once.
  const Matrix scores =
      rotary_emb.rotate_queries_or_keys(q) * rotary_emb.rotate_queries_or_keys(k).transpose();

  // One token after the other: a key is rotated once, when it is written, and stays as it is.
  Matrix cached_keys(0, kFeatures);
  float largest_difference = 0;
  for (long n = 0; n < kTokens; ++n) {
    cached_keys.conservativeResize(n + 1, kFeatures);
    cached_keys.row(n) = k.row(n);
    rotary_emb.rotate_in_place(cached_keys.bottomRows(1), n);
    const Matrix query = rotary_emb.rotate_queries_or_keys(q.middleRows(n, 1), n);
    const Matrix row = query * cached_keys.transpose();
    largest_difference =
        std::max(largest_difference, (row - scores.block(n, 0, 1, n + 1)).cwiseAbs().maxCoeff());
  }
  std::printf("cached decode and full pass differ by less than 1e-6: %s\n",
              largest_difference < 1e-6f ? "yes" : "no");

  // Keys that are cached before they are rotated: the last q_len tokens against all of them, in one call.
  const auto [last_q, all_k] = rotary_emb.rotate_queries_with_cached_keys(q.bottomRows(1), k);
  const Matrix last = last_q * all_k.transpose();
  const bool same = (last - scores.bottomRows(1)).cwiseAbs().maxCoeff() < 1e-6f;
  std::printf("and so do keys cached before rotation: %s\n", same ? "yes" : "no");
  return largest_difference < 1e-6f && same ? 0 : 1;
}

// prints:
//   cached decode and full pass differ by less than 1e-6: yes
//   and so do keys cached before rotation: yes
