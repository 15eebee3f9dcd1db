// Rotates sequences of several lengths that are packed end to end, as FlashAttention has them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <rotary/rotary.hpp>
#include <span>
#include <vector>

namespace {

void print(const char* name, const std::vector<std::int64_t>& ids) {
  std::printf("%s:", name);
  for (const long id : ids) std::printf(" %ld", id);
  std::printf("\n");
}

}  // namespace

int main() {
  const std::vector<std::int32_t> cu_seqlens = {0, 3, 5, 9};  // three sequences: of 3, 2 and 4 tokens
  const std::vector<std::int64_t> ids = rotary::packed_position_ids(cu_seqlens);
  print("prompts are at", ids);

  const rotary::RotaryEmbedding<float> rotary_emb(rotary::language_frequencies(16),
                                                  {.pairing = rotary::Pairing::half, .seq_dim = 0});
  rotary::Tensor<float, 3> packed(9, 2, 16);  // [total, heads, head_dim]
  packed.setRandom();
  const auto rotated = rotary_emb.rotate_queries_or_keys(packed, ids);

  // Each sequence alone gives the same bits.
  bool same = true;
  for (std::size_t n = 0; n + 1 < cu_seqlens.size(); ++n) {
    const std::array<rotary::Index, 3> start{cu_seqlens[n], 0, 0};
    const std::array<rotary::Index, 3> size{cu_seqlens[n + 1] - cu_seqlens[n], 2, 16};
    const rotary::Tensor<float, 3> alone = packed.slice(start, size), wanted = rotated.slice(start, size);
    const auto found = rotary_emb.rotate_queries_or_keys(alone);
    same = same && std::equal(found.data(), found.data() + found.size(), wanted.data());
  }
  std::printf("as each sequence alone: %s\n", same ? "yes" : "no");

  // A step of decoding: one more token for each sequence, at the length that it has.
  const std::vector<std::int32_t> one_each = {0, 1, 2, 3};
  const std::vector<std::int64_t> lengths = {3, 2, 4};
  print("next tokens at", rotary::packed_position_ids(one_each, lengths));
}

// prints:
//   prompts are at: 0 1 2 0 1 0 1 2 3
//   as each sequence alone: yes
//   next tokens at: 3 2 4
