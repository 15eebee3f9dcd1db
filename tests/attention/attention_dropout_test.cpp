// Which attention probabilities are dropped.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <rotary/attention/attention_dropout.hpp>

namespace rotary::testing {
namespace {

/// The dropped ones of 64 keys, that of the first in the lowest bit.
std::uint64_t dropped(const detail::AttentionDropout& dropout, Index sequence, Index head, Index row,
                      Index first) {
  float factors[64];
  dropout.factors(sequence, head, row, first, 64, factors);
  std::uint64_t bits = 0;
  for (int j = 0; j < 64; ++j) {
    EXPECT_TRUE(factors[j] == 0 || factors[j] == static_cast<float>(1 / (1 - dropout.probability)));
    bits |= static_cast<std::uint64_t>(factors[j] == 0) << j;
  }
  return bits;
}

// These numbers change if the hash does. Training that is resumed would then go on otherwise than it began.
TEST(AttentionDropout, DependsOnSeedAndIndicesAlone) {
  EXPECT_EQ(dropped({0.5, 7}, 1, 2, 3, 0), 0xa2190adf5fe6694du);
  EXPECT_EQ(dropped({0.5, 7}, 1, 2, 3, 1000), 0x59793df3b688fc75u);
  EXPECT_EQ(dropped({0.25, 8}, 0, 0, 0, 0), 0x600c0846e5000918u);
  // Of so many keys, all bits of the hash decide some.
  std::uint64_t sum = 0;
  for (Index first = 0; first < (1 << 20); first += 64) sum = sum * 31 + dropped({0.3, 9}, 3, 2, 1, first);
  EXPECT_EQ(sum, 0x8be3b718e00a701eu);
}

TEST(AttentionDropout, DropsTheShareThatWasAskedFor) {
  constexpr Index kRows = 1000;
  for (const double probability : {0.01, 0.1, 0.5, 0.9}) {
    double count = 0;
    for (Index row = 0; row < kRows; ++row)
      count += static_cast<double>(std::popcount(dropped({probability, 3}, 0, 1, row, 64 * row)));
    const double share = count / (64 * kRows),
                 deviation = std::sqrt(probability * (1 - probability) / (64 * kRows));
    EXPECT_NEAR(share, probability, 4 * deviation);
  }
}

}  // namespace
}  // namespace rotary::testing
