// The decoding loop of a small inference engine, on raw pointers: q and k of one token are arrays of heads,
// and 4 heads of queries share one of keys. Checked against a loop written by hand.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <rotary/rotary.hpp>
#include <vector>

namespace {

constexpr int kHeads = 8, kKeyHeads = 2, kHeadDim = 64, kTokens = 100;

/// The rotation of such engines; here with angles in double, for an exact comparison.
void rotate_by_hand(double* head, int position) {
  for (int i = 0; i < kHeadDim; i += 2) {
    const double angle = position * std::pow(10000.0, -static_cast<double>(i) / kHeadDim);
    const double a = head[i], b = head[i + 1];
    head[i] = a * std::cos(angle) - b * std::sin(angle);
    head[i + 1] = a * std::sin(angle) + b * std::cos(angle);
  }
}

}  // namespace

int main() {
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = kHeadDim});
  std::vector<float> q(kHeads * kHeadDim), key_cache(kTokens * kKeyHeads * kHeadDim);

  double largest_difference = 0;
  for (int position = 0; position < kTokens; ++position) {
    float* k = key_cache.data() + position * kKeyHeads * kHeadDim;  // rotated where it is cached
    for (int i = 0; i < kHeads * kHeadDim; ++i)
      q[static_cast<std::size_t>(i)] = static_cast<float>(std::sin(1.0 + i));
    for (int i = 0; i < kKeyHeads * kHeadDim; ++i) k[i] = static_cast<float>(std::cos(2.0 + i));
    std::vector<double> want(q.begin(), q.end());
    want.insert(want.end(), k, k + kKeyHeads * kHeadDim);

    const rotary::StridedView<float> queries(q.data(), {kHeads, kHeadDim}), keys(k, {kKeyHeads, kHeadDim});
    rotary_emb.rotate_token_in_place(queries, keys, position);

    for (int head = 0; head < kHeads + kKeyHeads; ++head)
      rotate_by_hand(&want[static_cast<std::size_t>(head * kHeadDim)], position);
    for (int i = 0; i < (kHeads + kKeyHeads) * kHeadDim; ++i) {
      const float got = i < kHeads * kHeadDim ? q[static_cast<std::size_t>(i)] : k[i - kHeads * kHeadDim];
      largest_difference = std::max(largest_difference,
                                    std::fabs(static_cast<double>(got) - want[static_cast<std::size_t>(i)]));
    }
  }
  std::printf("%d tokens, largest difference from the loop below 2e-7: %s\n", kTokens,
              largest_difference < 2e-7 ? "yes" : "no");
  return largest_difference < 2e-7 ? 0 : 1;
}

// prints:
//   100 tokens, largest difference from the loop below 2e-7: yes
