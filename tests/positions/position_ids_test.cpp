#include <rotary/positions/position_ids.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <rotary/positions/dual_chunk_positions.hpp>
#include <rotary/rotary_embedding.hpp>
#include <set>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

using Ids = std::vector<std::int64_t>;

// --- packed sequences

TEST(PackedPositionIds, BeginAnewWithEverySequence) {
  const std::vector<std::int32_t> cu_seqlens = {0, 3, 3, 5, 9};  // the second sequence is empty
  EXPECT_EQ(packed_position_ids(cu_seqlens), Ids({0, 1, 2, 0, 1, 0, 1, 2, 3}));
  EXPECT_EQ(packed_position_ids(cu_seqlens, Ids{10, 99, -1, 0}), Ids({10, 11, 12, -1, 0, 0, 1, 2, 3}));
  EXPECT_TRUE(packed_position_ids(std::vector<std::int64_t>{0}).empty());
  EXPECT_TRUE(packed_position_ids(std::array<std::uint16_t, 3>{0, 0, 0}).empty());
  const int array[] = {0, 2};
  EXPECT_EQ(packed_position_ids(array), Ids({0, 1}));
}

TEST(PackedPositionIds, RotateEverySequenceAsIfItWereAlone) {
  Random random(831);
  SCOPED_TRACE(random.replay());
  std::vector<int> cu_seqlens = {0};
  Ids first;
  for (int k = 0; k < 5; ++k) {
    cu_seqlens.push_back(cu_seqlens.back() + random.integer(0, 6));
    first.push_back(random.integer<std::int64_t>(0, 1000));
  }
  const auto ids = packed_position_ids(cu_seqlens, first);
  const Frequencies frequencies = language_frequencies(16);
  const CosSinTable<float> packed(frequencies, Positions::listed<std::int64_t>(ids));
  for (std::size_t k = 0; k < first.size(); ++k) {
    const Index begin = cu_seqlens[k], length = cu_seqlens[k + 1] - begin;
    const CosSinTable<float> alone(frequencies, Positions::consecutive(length, first[k]));
    for (Index n = 0; n < length; ++n)
      for (Index i = 0; i < 8; ++i) {
        EXPECT_EQ(packed.cos(begin + n, i), alone.cos(n, i));
        EXPECT_EQ(packed.sin(begin + n, i), alone.sin(n, i));
      }
  }
}

TEST(PackedPositionIds, RefuseBoundsThatAreNone) {
  const auto message = [](const Ids& cu_seqlens, const Ids& first = {}) {
    return error_of_call([&] { packed_position_ids(cu_seqlens, first); });
  };
  EXPECT_EQ(message({}), "rotary: cu_seqlens is empty, its first entry must be 0");
  EXPECT_EQ(message({1, 2}), "rotary: cu_seqlens starts with 1, it must start with 0");
  EXPECT_EQ(message({0, 5, 3}), "rotary: cu_seqlens falls from 5 to 3 at entry 2, it must never decrease");
  EXPECT_EQ(message({0, -1}), "rotary: cu_seqlens falls from 0 to -1 at entry 1, it must never decrease");
  EXPECT_EQ(message({0, 2, 4}, {0, 0, 0}), "rotary: found first positions for 3 sequences, cu_seqlens has 2");
  EXPECT_NE(message({0, 2}, {INT64_MAX}), kNoError);
  EXPECT_NE(message({0, INT64_MAX}), kNoError);
  EXPECT_THROW(packed_position_ids(std::vector<std::uint64_t>{0, UINT64_MAX}), std::invalid_argument);
}

// --- padded batches

TEST(PaddedPositionIds, CountTheTokensOfEachRow) {
  const std::vector<int> mask = {0, 0, 1, 1, 1,  //
                                 1, 1, 1, 1, 1,  //
                                 1, 1, 0, 0, 0,  //
                                 0, 1, 0, 1, 0};
  const PaddedBatch shape{.batch = 4, .seq = 5};
  EXPECT_EQ(padded_position_ids(mask, shape),
            Ids({1, 1, 0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(padded_position_ids(mask, {.batch = 4, .seq = 5, .padding = 0}),
            Ids({0, 0, 0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0}));
  const std::vector<bool> flags(mask.begin(), mask.end());
  EXPECT_EQ(padded_position_ids(flags, shape), padded_position_ids(mask, shape));
  EXPECT_TRUE(padded_position_ids(std::vector<int>{}, {.batch = 3, .seq = 0}).empty());
}

TEST(PaddedPositionIds, AreCumulativeSumsOfTheMask) {
  Random random(832);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 50; ++round) {
    const Index batch = random.integer<Index>(0, 4), seq = random.integer<Index>(0, 9);
    std::vector<std::int8_t> mask(static_cast<std::size_t>(batch * seq));
    for (auto& keep : mask) keep = static_cast<std::int8_t>(random.integer(0, 1));
    const auto ids = padded_position_ids(mask, {.batch = batch, .seq = seq, .padding = -7});
    ASSERT_EQ(ids.size(), mask.size());
    for (Index n = 0; n < batch * seq; ++n) {
      const auto row = mask.begin() + n / seq * seq;
      const auto sum = std::accumulate(row, mask.begin() + n + 1, std::int64_t{0});
      EXPECT_EQ(ids[static_cast<std::size_t>(n)], mask[static_cast<std::size_t>(n)] ? sum - 1 : -7);
    }
  }
}

TEST(PaddedPositionIds, RefuseMasksOfAnotherShape) {
  const std::vector<int> mask = {0, 1, 1, 1};
  EXPECT_EQ(error_of_call([&] { padded_position_ids(mask, {.batch = 2, .seq = 3}); }),
            "rotary: the mask has 4 entries, a batch of shape [2, 3] has 6");
  EXPECT_EQ(error_of_call([&] { padded_position_ids(mask, {.batch = -2, .seq = -2}); }),
            "rotary: the mask's shape is [-2, -2], it must not be negative");
  EXPECT_EQ(error_of_call([] {
              padded_position_ids(std::vector<int>{1, 2}, {.seq = 2});
            }),
            "rotary: entry 1 of the mask is 2, it must be 1 for a token or 0 for padding");
  EXPECT_THROW(padded_position_ids(mask, {.batch = PTRDIFF_MAX, .seq = 3}), std::invalid_argument);
}

// --- context parallelism

TEST(ContextParallelPositionIds, TakeOneChunkFromEachEnd) {
  EXPECT_EQ(context_parallel_position_ids({.seq_len = 8, .ranks = 2, .rank = 0}), Ids({0, 1, 6, 7}));
  EXPECT_EQ(context_parallel_position_ids({.seq_len = 8, .ranks = 2, .rank = 1}), Ids({2, 3, 4, 5}));
  EXPECT_EQ(context_parallel_position_ids({.seq_len = 4, .first = 10}), Ids({10, 11, 12, 13}));
  EXPECT_TRUE(context_parallel_position_ids({}).empty());
}

TEST(ContextParallelPositionIds, ShareOutEveryTokenOnce) {
  for (const Index ranks : {1, 2, 3, 8})
    for (const Index chunk : {0, 1, 5}) {
      std::multiset<std::int64_t> all;
      std::int64_t work = -1;
      for (Index rank = 0; rank < ranks; ++rank) {
        const auto ids = context_parallel_position_ids(
            {.seq_len = 2 * ranks * chunk, .ranks = ranks, .rank = rank, .first = -4});
        EXPECT_EQ(static_cast<Index>(ids.size()), 2 * chunk);
        all.insert(ids.begin(), ids.end());
        // Causal attention of a token reads as many keys as its position says: as much for every rank.
        const std::int64_t sum = std::accumulate(ids.begin(), ids.end(), std::int64_t{0}) + 8 * chunk;
        EXPECT_TRUE(rank == 0 || sum == work);
        work = sum;
      }
      std::multiset<std::int64_t> expected;
      for (Index n = 0; n < 2 * ranks * chunk; ++n) expected.insert(n - 4);
      EXPECT_EQ(all, expected);
    }
}

TEST(ContextParallelPositionIds, RefuseRanksThatAreNone) {
  const auto message = [](const ContextParallelSlice& slice) {
    return error_of_call([&] { context_parallel_position_ids(slice); });
  };
  EXPECT_EQ(message({.seq_len = 8, .ranks = 0}), "rotary: found 0 ranks, there must be at least 1");
  EXPECT_EQ(message({.seq_len = 8, .ranks = 2, .rank = 2}), "rotary: rank is 2, the ranks are 0 to 1");
  EXPECT_EQ(message({.seq_len = 8, .ranks = 2, .rank = -1}), "rotary: rank is -1, the ranks are 0 to 1");
  EXPECT_EQ(message({.seq_len = 10, .ranks = 2}),
            "rotary: seq_len is 10, it must be a multiple of 4, twice the ranks");
  EXPECT_EQ(message({.seq_len = -8, .ranks = 2}),
            "rotary: seq_len is -8, it must be a multiple of 4, twice the ranks");
  EXPECT_NE(message({.seq_len = 8, .ranks = PTRDIFF_MAX}), kNoError);
  EXPECT_NE(message({.seq_len = PTRDIFF_MAX - 1}), kNoError);
  EXPECT_NE(message({.seq_len = 8, .first = INT64_MAX - 3}), kNoError);
}

// --- interpolation by length

TEST(LengthInterpolation, KeepsPositionsWithinThoseOfTraining) {
  const LengthInterpolation rule{.pretrained_length = 2048, .factor = 4};
  // Up to 4 · 2048 tokens the factor is the given one, and beyond it grows with the length.
  EXPECT_EQ(length_interpolation_factor(100, rule), 4);
  EXPECT_EQ(length_interpolation_factor(8192, rule), 4);
  EXPECT_EQ(length_interpolation_factor(16384, rule), 8);
  EXPECT_EQ(length_interpolation_factor(0, rule), 4);

  Random random(833);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 20; ++round) {
    const Index length = random.integer<Index>(1, 500);
    const double pretrained = random.integer(1, 100), factor = random.integer(1, 8);
    const std::int64_t first = random.integer<std::int64_t>(-10, 10);
    const auto positions =
        interpolated_positions(length, {.pretrained_length = pretrained, .factor = factor}, first);
    ASSERT_EQ(static_cast<Index>(positions.size()), length);
    for (Index n = 0; n < length; ++n) {
      const double p = static_cast<double>(first + n), l = static_cast<double>(length);
      const double expected = l > pretrained * factor ? p * pretrained / l : p / factor;
      EXPECT_DOUBLE_EQ(positions[static_cast<std::size_t>(n)], expected);
    }
  }
}

TEST(LengthInterpolation, RefusesWhatIsNoLength) {
  const auto message = [](Index length, const LengthInterpolation& rule) {
    return error_of_call([&] { interpolated_positions(length, rule); });
  };
  EXPECT_EQ(message(8, {}), "rotary: pretrained_length is 0, it must be positive and finite");
  EXPECT_EQ(message(8, {.pretrained_length = 4, .factor = -1}),
            "rotary: the factor that positions are divided by is -1, it must be positive and finite");
  EXPECT_NE(message(8, {.pretrained_length = std::nan("")}), kNoError);
  EXPECT_EQ(message(-8, {.pretrained_length = 4}), "rotary: length is -8, it must not be negative");
  EXPECT_NE(message(PTRDIFF_MAX, {.pretrained_length = 4}), kNoError);
}

// --- dual chunk attention

TEST(DualChunkPositions, FollowTheirFormulas) {
  Random random(834);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 100; ++round) {
    const Index local = random.integer<Index>(0, 12), n = random.integer<Index>(1, 12), c = n + local;
    const DualChunk chunk{.chunk_size = c, .local_size = local};
    Ids positions;
    for (std::int64_t p = 0; p < 3 * c; ++p) positions.push_back(p);
    const auto expect = [&](const Ids& found, auto formula) {
      ASSERT_EQ(found.size(), positions.size());
      for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], formula(positions[i])) << i;
    };
    const auto query = [&](DualChunkQuery version) {
      return dual_chunk_query_positions(positions, version, chunk);
    };
    expect(dual_chunk_key_positions(positions, chunk), [&](Index p) { return p % n; });
    expect(query(DualChunkQuery::intra), [&](Index p) { return p % n; });
    expect(query(DualChunkQuery::successive), [&](Index p) { return std::min(p % n + n, c); });
    expect(query(DualChunkQuery::inter), [&](Index) { return std::min(2 * n - 1, c); });
    expect(query(DualChunkQuery::successive_critical), [&](Index p) { return p % n + n; });
    expect(query(DualChunkQuery::inter_critical), [&](Index p) { return p % n + c; });
  }
}

// Within local_size tokens the chunk before looks as near as it is: what the local window is for.
TEST(DualChunkPositions, KeepShortDistancesAcrossAChunksEdge) {
  const DualChunk chunk{.chunk_size = 20, .local_size = 5};
  for (std::int64_t key = 0; key < 15; ++key)
    for (std::int64_t query = 15; query <= key + 5 && query < 30; ++query)
      EXPECT_EQ(dual_chunk_query_position(query, DualChunkQuery::successive, chunk) -
                    dual_chunk_key_position(key, chunk),
                query - key);
  EXPECT_EQ(dual_chunk_key_position(-1, chunk), 14);
}

TEST(DualChunkPositions, RefuseChunksThatAreNone) {
  EXPECT_EQ(error_of_call([] { dual_chunk_key_position(0, {.chunk_size = 4, .local_size = -1}); }),
            "rotary: local_size is -1, it must not be negative");
  EXPECT_EQ(error_of_call([] { dual_chunk_key_position(0, {.chunk_size = 4, .local_size = 4}); }),
            "rotary: chunk_size is 4, it must be larger than local_size, 4");
  EXPECT_EQ(
      error_of_call([] { dual_chunk_query_position(0, static_cast<DualChunkQuery>(9), {.chunk_size = 4}); }),
      "rotary: found version 9 of a query, there are 0 to 4");
  EXPECT_THROW(dual_chunk_key_position(0, {.chunk_size = PTRDIFF_MAX}), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
