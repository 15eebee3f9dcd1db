// Continuous batching with a paged key cache in bfloat16: every sequence has its own length, and its keys are
// in pages of 16 tokens anywhere in one pool. New keys are rotated in the cache.
#include <cstdio>
#include <rotary/rotary.hpp>
#include <vector>

namespace {

using Keys = rotary::StridedView<Eigen::bfloat16>;
constexpr int kHeads = 4, kHeadDim = 64, kPageTokens = 16, kPages = 12;
constexpr int kPage = kPageTokens * kHeads * kHeadDim;  // [tokens, heads, head_dim]

/// The n-th number of the keys, any that bfloat16 holds exactly.
Eigen::bfloat16 sample(int n) { return static_cast<Eigen::bfloat16>(static_cast<float>(n * 37 % 101 - 50)); }

}  // namespace

int main() {
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = kHeadDim, .pairing = rotary::Pairing::half});
  std::vector<Eigen::bfloat16> pool(kPages * kPage);
  const std::vector<std::vector<int>> page_tables = {{7, 2, 9}, {0}, {5, 11}};  // of three sequences
  std::vector<int> lengths = {37, 3, 16};                                       // tokens cached so far
  const auto cached = [&](std::size_t sequence, int token) {
    const int page = page_tables[sequence][static_cast<std::size_t>(token / kPageTokens)];
    return pool.data() + page * kPage + token % kPageTokens * kHeads * kHeadDim;
  };

  bool same = true;
  for (int step = 0; step < 8; ++step) {
    for (std::size_t sequence = 0; sequence < lengths.size(); ++sequence) {
      Eigen::bfloat16* const key = cached(sequence, lengths[sequence]);  // where the projection writes it
      for (int i = 0; i < kHeads * kHeadDim; ++i) key[i] = sample(i + step);

      rotary_emb.rotate_token_in_place(Keys(key, {kHeads, kHeadDim}), lengths[sequence]);

      // For comparison: a tensor of the heads, [heads, seq, head_dim].
      rotary::Tensor<Eigen::bfloat16, 3> alone(kHeads, 1, kHeadDim);
      for (int i = 0; i < kHeads * kHeadDim; ++i) alone.data()[i] = sample(i + step);
      rotary_emb.rotate_in_place(alone, lengths[sequence]);
      for (int i = 0; i < kHeads * kHeadDim; ++i) same = same && alone.data()[i] == key[i];
    }
    for (int& length : lengths) ++length;
  }
  std::printf("lengths now: %d %d %d\n", lengths[0], lengths[1], lengths[2]);
  std::printf("the same bits as from a tensor: %s\n", same ? "yes" : "no");
  return same ? 0 : 1;
}

// prints:
//   lengths now: 45 11 24
//   the same bits as from a tensor: yes
