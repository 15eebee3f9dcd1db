// Converts the query and key weights of a model from interleaved pairs, as in Meta's checkpoints, to the
// halves of Hugging Face's. The scores do not change.
#include <algorithm>
#include <cstdio>
#include <rotary/rotary.hpp>

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr rotary::Index kHeads = 4, kKeyHeads = 2, kHeadDim = 8, kFeatures = 16, kTokens = 5;  // GQA

/// The scores of all heads, one below the other, [heads · seq, seq].
Matrix scores(const Matrix& x, const Matrix& wq, const Matrix& wk, rotary::Pairing pairing) {
  Matrix q = x * wq.transpose(), k = x * wk.transpose();  // [seq, heads · head_dim]
  const rotary::RotaryEmbedding<float> rotary_emb(rotary::language_frequencies(kHeadDim),
                                                  {.pairing = pairing, .seq_dim = 0});
  using Heads = Eigen::TensorMap<rotary::Tensor<float, 3>>;
  rotary_emb.rotate_in_place(Heads(q.data(), kTokens, kHeads, kHeadDim));
  rotary_emb.rotate_in_place(Heads(k.data(), kTokens, kKeyHeads, kHeadDim));

  Matrix result(kHeads * kTokens, kTokens);
  for (rotary::Index head = 0; head < kHeads; ++head) {
    const rotary::Index key_head = head / (kHeads / kKeyHeads);
    result.middleRows(head * kTokens, kTokens) =
        q.middleCols(head * kHeadDim, kHeadDim) * k.middleCols(key_head * kHeadDim, kHeadDim).transpose();
  }
  return result;
}

}  // namespace

int main() {
  const Matrix x = Matrix::Random(kTokens, kFeatures);
  const Matrix wq = Matrix::Random(kHeads * kHeadDim, kFeatures);  // [heads · head_dim, in]
  const Matrix wk = Matrix::Random(kKeyHeads * kHeadDim, kFeatures);
  const Matrix before = scores(x, wq, wk, rotary::Pairing::interleaved);

  const Matrix new_wq = rotary::interleaved_to_half(wq, {.heads = kHeads});
  const Matrix new_wk = rotary::interleaved_to_half(wk, {.heads = kKeyHeads});
  const auto same_as_before = [&](const Matrix& after) {
    return (after - before).cwiseAbs().maxCoeff() < 1e-4f ? "yes" : "no";
  };
  std::printf("the same scores from new weights: %s\n",
              same_as_before(scores(x, new_wq, new_wk, rotary::Pairing::half)));
  std::printf("from old weights with the new pairing: %s\n",
              same_as_before(scores(x, wq, wk, rotary::Pairing::half)));

  // A bias is reordered like the weights; here its entries are the rows that end up in the first head.
  Eigen::VectorXi rows = Eigen::VectorXi::LinSpaced(kHeads * kHeadDim, 0, kHeads * kHeadDim - 1);
  rotary::interleaved_to_half_in_place(rows, {.heads = kHeads});
  std::printf("rows of the first head:");
  for (const int row : rows.head(kHeadDim)) std::printf(" %d", row);
  std::printf("\nand back again: %s\n",
              rotary::half_to_interleaved(new_wq, {.heads = kHeads}) == wq ? "yes" : "no");
}

// prints:
//   the same scores from new weights: yes
//   from old weights with the new pairing: no
//   rows of the first head: 0 2 4 6 1 3 5 7
//   and back again: yes
