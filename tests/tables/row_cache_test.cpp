// Cached rows: each is computed once, only those of blocks that are needed exist, and nobody sees any of it.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/rotary_embedding.hpp>
#include <thread>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/strided_array.hpp"

namespace {

// Rows lie at multiples of 64 bytes, so that they come from these functions; little else does.
constexpr std::size_t kLine = 64;
std::atomic<long> blocks{0}, blocks_held{0}, bytes{0};

}  // namespace

void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto line = static_cast<std::size_t>(alignment);
  if (line == kLine) ++blocks, ++blocks_held, bytes += static_cast<long>(size);
#if defined(_MSC_VER)
  if (void* memory = _aligned_malloc(size, line)) return memory;
#else
  if (void* memory = std::aligned_alloc(line, (size + line - 1) / line * line)) return memory;
#endif
  throw std::bad_alloc();
}
void operator delete(void* memory, std::align_val_t alignment) noexcept {
  if (memory != nullptr && static_cast<std::size_t>(alignment) == kLine) --blocks_held;
#if defined(_MSC_VER)
  _aligned_free(memory);
#else
  std::free(memory);
#endif
}
void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
  ::operator delete(memory, alignment);
}

namespace rotary::testing {
namespace {

using detail::RowCache;

constexpr Index kDim = 128, kPairs = kDim / 2, kRowBytes = kDim * Index{sizeof(float)};
constexpr Index kBlockRows = RowCache<float>::kBlockBytes / kRowBytes;
static_assert(kBlockRows == 128, "the tests below are about the boundaries of these blocks");

/// What a call allocates.
struct Cost {
  long blocks = 0, bytes = 0;
  friend bool operator==(const Cost&, const Cost&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Cost& cost) {
    return out << cost.blocks << " blocks of " << cost.bytes << " bytes";
  }
};
template <class Call>
Cost cost_of(const Call& call) {
  const Cost before{blocks.load(), bytes.load()};
  call();
  return {blocks.load() - before.blocks, bytes.load() - before.bytes};
}
Cost rows(long count, Index rows) { return {count, static_cast<long>(rows * kRowBytes)}; }

RotaryEmbedding<float> embedding(Index cached_rows = 8192, Pairing pairing = Pairing::interleaved) {
  return RotaryEmbedding<float>(language_frequencies(kDim), {.pairing = pairing}, cached_rows);
}

StridedArray<float> tokens(Index count, std::uint64_t seed = 1) {
  Random random(seed);
  StridedArray<float> x({2, count, kDim});
  x.fill(random);
  return x;
}

/// x rotated by an embedding that caches nothing.
StridedArray<float> wanted(StridedArray<float> x, FixedPosition first,
                           Pairing pairing = Pairing::interleaved) {
  embedding(0, pairing).rotate_in_place(x.view(), first);
  return x;
}

TEST(RowCache, DecodingComputesEveryRowOnce) {
  const auto rotary_emb = embedding();
  auto token = tokens(1);
  const auto view = token.view();
  const auto decode = [&] {
    for (Index n = 0; n < 8192; ++n) rotary_emb.rotate_in_place(view, n);
  };
  EXPECT_EQ(cost_of(decode), rows(8192 / kBlockRows, 8192));
  EXPECT_EQ(cost_of(decode), rows(0, 0)) << "what is cached is not computed again";
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view, 8192); }), rows(0, 0)) << "beyond the limit";
}

// A far position needs its own block and none before it; those before it are computed when they are needed.
TEST(RowCache, AFarPositionComputesOneBlock) {
  const auto rotary_emb = embedding();
  auto token = tokens(1), prompt = tokens(1000);
  const auto view = token.view(), prompt_view = prompt.view();
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view, 8000); }), rows(1, kBlockRows));
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view, 8191); }), rows(1, kBlockRows));
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view, 8063); }), rows(0, 0)) << "in the block of 8000";
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(prompt_view); }), rows(8, 8 * kBlockRows));
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(prompt_view, 24); }), rows(0, 0)) << "24 to 1023";
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(prompt_view, 25); }), rows(1, kBlockRows)) << "to 1024";
  EXPECT_EQ(cost_of([&] {
              for (Index n = 0; n < 8192; ++n) rotary_emb.rotate_in_place(view, n);
            }),
            rows(64 - 11, 8192 - 11 * kBlockRows));
}

// The last block ends at the limit, and positions outside it are not cached.
TEST(RowCache, HoldsNoRowBeyondItsLimit) {
  const auto rotary_emb = embedding(200);
  auto prompt = tokens(300);
  const auto view = prompt.view();
  EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view); }), rows(2, 200));
  for (const FixedPosition first : {FixedPosition(200), FixedPosition(-300), FixedPosition(1000003),
                                    FixedPosition(0.5), FixedPosition((Index{1} << 62) - 400)})
    EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view, first); }), rows(0, 0));
  const auto uncached = embedding(0);
  EXPECT_EQ(cost_of([&] { uncached.rotate_in_place(view); }), rows(0, 0));

  // With positions that straddle the limit and 0 as without a cache.
  for (const Pairing pairing : kPairings) {
    const auto cached = embedding(200, pairing);
    for (const Index first : {-7, 0, 1, 120, 127, 128, 129, 190, 199, 200, 201}) {
      for (const Index count : {1, 2, 7, 8, 9, 17, 130, 290}) {
        auto x = tokens(count);
        const auto from = x;
        cached.rotate_in_place(x.view(), first);
        ASSERT_TRUE(same_bits(x, wanted(from, first, pairing))) << count << " tokens from " << first;
      }
    }
  }
}

// Rows of another magnitude are other rows. Those of three are cached beside the frequencies' own; a call with any
// further `scale` computes its rows, and all have the bits of rows that are not cached.
TEST(RowCache, CachesTheRowsOfFourMagnitudes) {
  const auto rotary_emb = embedding(200);
  auto prompt = tokens(200);
  const auto view = prompt.view();
  for (const double scale : {2.0, 0.0, -0.0, 3.0, 4.0})
    for (const long again : {0, 1})
      EXPECT_EQ(cost_of([&] { rotary_emb.rotate_in_place(view, {.scale = scale}); }),
                again == 1 || scale >= 3 ? rows(0, 0) : rows(2, 200))
          << scale;
  for (const double scale : {1.0, 2.0, -0.0, 0.0, 4.0}) {
    for (const Index count : {1, 200}) {
      auto x = tokens(count), expected = x;
      rotary_emb.rotate_in_place(x.view(), {.scale = scale});
      embedding(0).rotate_in_place(expected.view(), {.scale = scale});
      EXPECT_TRUE(same_bits(x, expected)) << scale;
    }
  }
  for (const double scale : {std::numeric_limits<double>::infinity(), std::nan(""), 1e300})
    expect_error([&] { rotary_emb.rotate_in_place(view, {.scale = scale}); }, {"magnitude"});
}

TEST(RowCache, LimitsAreCheckedAndHoldForAnyPosition) {
  const Frequencies frequencies = language_frequencies(kDim);
  expect_error([&] { RowCache<float>(frequencies, Pairing::half, -1); }, {"-1 cached rows", "negative"});
  expect_error([] { embedding(-1); }, {"-1 cached rows", "negative"});
  EXPECT_EQ(RowCache<float>(frequencies, Pairing::half, PTRDIFF_MAX).limit(), Index{1} << 22);
  EXPECT_EQ(RowCache<float>(Frequencies{}, Pairing::half, 100).limit(), 0) << "no frequencies, no rows";
  const RowCache<float> cache(frequencies, Pairing::half, 300);
  for (const std::int64_t position : {std::int64_t{-1}, std::int64_t{300}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(cache.cached(position).count, 0);
    EXPECT_EQ(cache.cached(position).rows, nullptr);
  }
  EXPECT_EQ(cache.cached(0).count, kBlockRows);
  EXPECT_EQ(cache.cached(127).count, 1);
  EXPECT_EQ(cache.cached(128).count, kBlockRows);
  EXPECT_EQ(cache.cached(256).count, 300 - 256);
  EXPECT_EQ(cache.cached(299).count, 1);
}

/// The row that a table has for a position.
template <class T>
void expect_row(const RowCache<T>& cache, const Frequencies& frequencies, Pairing pairing, Index position) {
  const CosSinTable<T> table(frequencies, Positions::consecutive(1, position), {.pairing = pairing});
  const detail::RowRun<T> run = cache.cached(position);
  ASSERT_GE(run.count, 1);
  for (Index i = 0; i < cache.row_size(); ++i)
    ASSERT_EQ(bits_of(run.rows[i]), bits_of(table.data()[i])) << "position " << position;
}

// A row may be wider than what a thread keeps of the rows that it computed last.
TEST(RowCache, RowsOfAnyWidth) {
  const RotaryEmbedding<float> rotary_emb({.dim = 4096, .cache_max_seq_len = 0});
  const std::vector<double> listed = {0.5, -7, 1e6};
  Random random(91);
  StridedArray<float> found({2, 3, 4096});
  found.fill(random);
  auto wanted = found;
  rotary_emb.rotate_in_place(found.view(), listed);
  apply_rotary_emb_in_place(rotary_emb.table(Positions::listed(listed)), wanted.view());
  EXPECT_TRUE(same_bits(found, wanted));
}

TEST(RowCache, RowsAreThoseOfATable) {
  for (const Pairing pairing : kPairings) {
    for (const Index dim :
         {2, 6, 128, 40000}) {  // a row of 40000 does not fit into a block of the usual size
      const Frequencies frequencies = language_frequencies(dim);
      const RowCache<float> in_float(frequencies, pairing, 5000);
      const RowCache<double> in_double(frequencies, pairing, 5000);
      for (const Index position : {0, 1, 63, 64, 127, 128, 1023, 1024, 4999}) {
        expect_row(in_float, frequencies, pairing, position);
        expect_row(in_double, frequencies, pairing, position);
      }
    }
  }
}

TEST(RowCache, BlocksStayWhereTheyAre) {
  const RowCache<float> cache(language_frequencies(kDim), Pairing::half, 8192);
  const float* const row = cache.cached(130).rows;
  for (Index n = 8191; n >= 0; n -= 50) static_cast<void>(cache.cached(n));
  EXPECT_EQ(cache.cached(130).rows, row);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(cache.cached(128).rows) % kLine, 0u);
}

// A copy computes rows of its own; what is moved takes them along; nothing leaks.
TEST(RowCache, CopiesAndMoves) {
  const long held = blocks_held.load();
  auto token = tokens(1);
  const auto view = token.view();
  {
    auto first = embedding();
    const auto at_300 = [&](const RotaryEmbedding<float>& with) {
      return cost_of([&] { with.rotate_in_place(view, 300); }).blocks;
    };
    EXPECT_EQ(at_300(first), 1);
    RotaryEmbedding<float> copy(first);
    EXPECT_EQ(at_300(copy), 1);
    EXPECT_EQ(at_300(first), 0);
    RotaryEmbedding<float> moved(std::move(copy));
    EXPECT_EQ(at_300(moved), 0);
    first = moved;
    EXPECT_EQ(at_300(first), 1);
    first = std::move(moved);
    EXPECT_EQ(at_300(first), 0);
    auto& self = first;
    first = self;
    EXPECT_LE(at_300(first), 1);
    std::vector<RotaryEmbedding<float>> many(3, first);
    many.push_back(first);
    for (const auto& each : many) EXPECT_EQ(at_300(each), 1);
  }
  EXPECT_EQ(blocks_held.load(), held);
}

// A token with one position is at it along every axis.
TEST(RowCache, OnePositionIsThatOfEveryAxis) {
  for (const Index axes : {2, 3, 4})
    for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
      std::vector<Index> axis_of_pair(8);
      for (std::size_t i = 0; i < 8; ++i) axis_of_pair[i] = static_cast<Index>(i) % axes;
      const Frequencies frequencies = on_axes(language_frequencies(16, 500), axis_of_pair, axes);
      const RowCache<float> cache(frequencies, pairing, 100);
      for (const Index position : {0, 1, 99}) {
        const std::vector<AxisPositions> each(static_cast<std::size_t>(axes),
                                              AxisPositions::consecutive(1, position));
        const CosSinTable<float> wanted(frequencies, Positions::together(each), {.pairing = pairing});
        const float* const row = cache.cached(position).rows;
        ASSERT_NE(row, nullptr);
        for (Index i = 0; i < 8; ++i)
          EXPECT_EQ(row[pairing == Pairing::half ? i : 2 * i], wanted.cos(0, i))
              << axes << " axes, pair " << i;
      }
    }
}

// A cache that was copied, moved or assigned over any other gives the rows of the one that it comes from.
TEST(RowCache, WhatIsAssignedReplacesEverything) {
  const Frequencies text = language_frequencies(16, 500);
  const Frequencies sections = on_axes(text, std::vector<Index>{0, 0, 1, 1, 1, 2, 2, 2}, 3);
  const Frequencies alternating = on_axes(text, std::vector<Index>{2, 1, 0, 2, 1, 0, 2, 1}, 3);
  Frequencies wider = language_frequencies(32);
  wider.magnitude = 1.5;
  const auto make = [&](int n) {
    switch (n) {
      case 0:
        return RowCache<float>(text, Pairing::half, 300);
      case 1:
        return RowCache<float>(sections, Pairing::half, 200);
      case 2:
        return RowCache<float>(alternating, Pairing::interleaved, 0x4000);
      default:
        return RowCache<float>(wider, Pairing::interleaved, 100);
    }
  };
  const auto expect_same = [](const RowCache<float>& found, const RowCache<float>& wanted) {
    EXPECT_EQ(found.pairs(), wanted.pairs());
    EXPECT_EQ(found.pairing(), wanted.pairing());
    EXPECT_EQ(found.limit(), wanted.limit());
    EXPECT_EQ(found.magnitude(), wanted.magnitude());
    EXPECT_EQ(found.steps().axes(), wanted.steps().axes());
    EXPECT_EQ(found.text_steps().axes(), wanted.text_steps().axes());
    for (const auto& token :
         {std::vector<FixedPosition>{7, 7, 7}, {99, 5, 42}, {250, 0, 1}, {3, 0x3fff, 2}}) {
      std::vector<float> row(static_cast<std::size_t>(found.row_size())), other(row);
      const std::span at(token.data(), static_cast<std::size_t>(wanted.steps().axes()));
      const bool assembled = found.assemble(at, found.magnitude(), row.data());
      ASSERT_EQ(assembled, wanted.assemble(at, wanted.magnitude(), other.data()));
      EXPECT_EQ(row, other);
      const auto run = found.cached(token[0].whole), wanted_run = wanted.cached(token[0].whole);
      EXPECT_EQ(run.count, wanted_run.count);
    }
  };
  for (int from = 0; from < 4; ++from) {
    const RowCache<float> wanted = make(from), copy(wanted);
    RowCache<float> gone = make(from);
    const RowCache<float> moved(std::move(gone));
    expect_same(copy, wanted);
    expect_same(moved, wanted);
    for (int to = 0; to < 4; ++to) {
      RowCache<float> copied = make(to), replaced = make(to);
      copied = wanted;
      expect_same(copied, wanted);
      replaced = make(from);
      expect_same(replaced, wanted);
    }
  }
}

// The rows that a thread computed last are recognised by their cache, not by their positions alone.
TEST(RowCache, NewFrequenciesShowAtOnce) {
  const RotaryEmbeddingOptions options{.dim = kDim, .learned_freq = true};
  const std::vector<double> others(static_cast<std::size_t>(kPairs), 0.25);
  for (const FixedPosition at : {FixedPosition(3), FixedPosition(1000003), FixedPosition(0.5)}) {
    const auto x = tokens(1);
    const auto rotated = [&](const RotaryEmbedding<float>& by) {
      auto result = x;
      by.rotate_in_place(result.view(), at);
      return result;
    };
    RotaryEmbedding<float> first(options), copy(first);
    const auto before = rotated(first);
    copy.set_freqs(others);
    const auto after = rotated(copy);
    EXPECT_FALSE(same_bits(after, before));
    EXPECT_TRUE(
        same_bits(after, rotated(RotaryEmbedding<float>(RotaryEmbeddingOptions{.custom_freqs = others}))));
    EXPECT_TRUE(same_bits(rotated(first), before)) << "the original keeps its own";
    std::swap(first, copy);
    EXPECT_TRUE(same_bits(rotated(first), after) && same_bits(rotated(copy), before));
    // Of the same cache, rows of another scale or pairing are others too.
    auto louder = x;
    first.rotate_in_place(louder.view(), at, {.scale = 2});
    for (Index n = 0; n < x.size(); ++n) ASSERT_EQ(louder[n], 2 * after[n]);
  }
}

// 16 threads on one object, each on its own way through the same blocks: the right bits, and every block held once.
TEST(RowCache, ThreadsShareOneObject) {
  constexpr int kThreads = 16;
  const long held = blocks_held.load();
  const auto x = tokens(300, 7);
  const std::array<Index, 4> firsts = {0, 100, 1900, 3840};
  std::vector<StridedArray<float>> right;
  for (const Index first : firsts) right.push_back(wanted(x, first));
  for (int round = 0; round < 5; ++round) {
    const auto shared = embedding(4096);
    const long constructed = blocks_held.load();
    std::atomic<int> ready{0};
    std::atomic<bool> same{true};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread)
      threads.emplace_back([&, thread] {
        ++ready;
        while (ready.load() < kThreads) std::this_thread::yield();
        for (std::size_t n = 0; n < firsts.size(); ++n) {
          const std::size_t at = (n + static_cast<std::size_t>(thread)) % firsts.size();
          auto mine = x;
          shared.rotate_in_place(mine.view(), firsts[at]);
          if (!same_bits(mine, right[at])) same = false;
        }
      });
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(same.load());
    // 0 to 399, 1900 to 2199, 3840 to 4095: 4, 4 and 2 blocks.
    EXPECT_EQ(blocks_held.load() - constructed, 10) << "of two that compute a block one discards its own";
  }
  EXPECT_EQ(blocks_held.load(), held);
}

}  // namespace
}  // namespace rotary::testing
