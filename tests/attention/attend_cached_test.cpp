// attend_cached against loops written down from its formula and against attend on the same tokens; decoding against a full
// pass.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <cstring>
#include <rotary/attention/attend_cached.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/plain_attention.hpp"

namespace rotary::testing {
namespace {

constexpr HeadLayout kTokensFirst{.pairing = Pairing::half, .seq_dim = -3};

template <class A, class B>
bool same_bits(const A& a, const B& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(*a.data())) == 0;
}

template <class X>
Tensor<X, 3> random_tokens(Random& random, Index tokens, Index heads, Index width) {
  Tensor<X, 3> x(tokens, heads, width);
  random.fill(x);
  return x;
}

/// Appends random tokens in parts, so that the pages of sequences alternate.
template <class X, class Stored>
std::vector<SequenceId> fill(KeyValueCache<X, Stored>& cache, Random& random,
                             const std::vector<Index>& sizes) {
  std::vector<SequenceId> ids;
  for (std::size_t n = 0; n < sizes.size(); ++n) ids.push_back(cache.add_sequence());
  for (bool more = true; more;) {
    more = false;
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      const Index count = std::min(sizes[n] - cache.size(ids[n]), random.integer<Index>(1, 700));
      cache.append(ids[n], random_tokens<X>(random, count, cache.heads(), cache.head_dim()),
                   random_tokens<X>(random, count, cache.heads(), cache.value_dim()));
      more = more || cache.size(ids[n]) < sizes[n];
    }
  }
  return ids;
}

/// Compares a call for sequences of `sizes` with the loops, one sequence at a time.
template <class X, class Stored>
void compare(Random& random, unsigned which, Index seq_q, const std::vector<Index>& sizes,
             Index page_tokens) {
  using T = std::conditional_t<std::is_same_v<X, double>, double, float>;
  const auto has = [&](int bit) { return (which >> bit & 1) != 0; };
  const auto batch = static_cast<Index>(sizes.size());
  PlainAttention a{.seq_q = seq_q, .d = 8, .d_v = random.integer<Index>(1, 5)};
  a.kv_heads = 2, a.heads = 2 * random.integer<Index>(1, 3);
  a.causal = has(0);
  const Index longest = *std::max_element(sizes.begin(), sizes.end());
  if (has(1)) a.window = random.integer<Index>(1, longest);
  if (has(1) && has(2)) a.sink_tokens = random.integer(1, 5);
  if (has(3))
    for (Index h = 0; h < a.heads; ++h) a.sink_logits.push_back(random.normal());
  if (has(4)) a.soft_cap = 2;
  a.align_ends = a.causal || a.window;
  Tensor<bool, 4> mask;
  if (has(5)) {
    mask.resize(random.pick({Index{1}, batch}), random.pick({Index{1}, a.heads}), seq_q, longest);
    for (Index n = 0; n < mask.size(); ++n) mask.data()[n] = random.integer(0, 3) > 0;
  }
  KeyValueCache<X, Stored> cache(language_frequencies(8), kTokensFirst,
                                 {.heads = 2,
                                  .head_dim = 8,
                                  .value_dim = a.d_v,
                                  .pages = (longest + page_tokens - 1) / page_tokens * batch,
                                  .page_tokens = page_tokens});
  const auto ids = fill(cache, random, sizes);
  const std::vector<T> sinks(a.sink_logits.begin(), a.sink_logits.end());
  a.sink_logits.assign(sinks.begin(), sinks.end());
  Tensor<T, 4> q(batch, seq_q, a.heads, a.d), out(batch, seq_q, a.heads, a.d_v);
  Tensor<T, 3> log_sum(batch, seq_q, a.heads);
  random.fill(q);
  out.setConstant(T(77)), log_sum.setConstant(T(77));
  CachedAttentionOptions<T> options;
  options.causal = a.causal, options.window = a.window, options.sink_tokens = a.sink_tokens;
  options.sink_logits = sinks, options.soft_cap = a.soft_cap;
  if (has(5)) options.mask = view_of(mask);
  attend_cached_with_log_sum(q, cache, ids, out, log_sum, options);
  for (Index b = 0; b < batch; ++b) {
    a.seq_k = sizes[static_cast<std::size_t>(b)];
    if (has(5)) {
      const Index of = mask.dimension(0) == 1 ? 0 : b;
      const Tensor<bool, 4> part = mask.slice(Eigen::DSizes<Index, 4>(of, 0, 0, 0),
                                              Eigen::DSizes<Index, 4>(1, mask.dimension(1), seq_q, a.seq_k));
      a.mask = part;
    }
    const SequenceId id = ids[static_cast<std::size_t>(b)];
    const auto as_batch = [&](const auto& x) {
      Tensor<double, 4> y(1, x.dimension(0), x.dimension(1), x.dimension(2));
      for (Index n = 0; n < x.size(); ++n) y.data()[n] = static_cast<double>(x.data()[n]);
      return y;
    };
    const Tensor<double, 4> one =
        q.chip(b, 0).template cast<double>().reshape(Eigen::DSizes<Index, 4>(1, seq_q, a.heads, a.d));
    const PlainResult want = plain_attention(a, one, as_batch(cache.read_keys(id, 0, a.seq_k)),
                                             as_batch(cache.read_values(id, 0, a.seq_k)));
    const Tensor<T, 3> found = out.chip(b, 0);
    const Tensor<T, 2> found_sum = log_sum.chip(b, 0);
    const double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-14;
    EXPECT_LE(farthest(found, want.out), tolerance * std::max(1.0, largest_of(want.out)))
        << "options " << which << ", sequence " << b;
    EXPECT_LE(farthest(found_sum, want.log_sum), tolerance * 4) << "options " << which << ", sequence " << b;
  }
}

TEST(AttendCached, EqualsThePlainLoopsInEveryCombination) {
  Random random(1681);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < 64; ++which)
    for (const Index seq_q : {1, 5}) {
      const std::vector<Index> sizes = {random.integer<Index>(5, 40), random.integer<Index>(5, 40), 5};
      const Index page_tokens = random.integer<Index>(1, 17);
      compare<float, float>(random, which, seq_q, sizes, page_tokens);
      if (which % 3 == 0) compare<double, double>(random, which, seq_q, sizes, page_tokens);
      if (which % 3 == 1) compare<float, Eigen::bfloat16>(random, which, seq_q, sizes, page_tokens);
      if (which % 3 == 2) compare<float, std::int8_t>(random, which, seq_q, sizes, page_tokens);
    }
}

// Blocks of 256 tokens within pages and across them, and, from 2048 tokens on, parts of which some sequences have none.
TEST(AttendCached, EqualsThePlainLoopsAcrossBlocks) {
  Random random(1682);
  SCOPED_TRACE(random.replay());
  for (const Index page_tokens : {16, 100, 256, 300})
    for (const unsigned which : {0u, 1u, 3u, 7u, 33u, 63u}) {
      compare<float, float>(random, which, 1, {3000, 1, 700}, page_tokens);
      compare<float, std::int8_t>(random, which, 3, {2049, 512}, page_tokens);
    }
  compare<Eigen::half, Eigen::half>(random, 1, 140, {300}, 64);
}

// Where a sequence is in memory changes no bit: attend_cached is attend on a copy of its tokens.
TEST(AttendCached, HasTheBitsOfAttend) {
  Random random(1683);
  SCOPED_TRACE(random.replay());
  const auto check = [&]<class X, class Stored>(X, Stored) {
    for (const auto& [seq_q, size, page_tokens] :
         {std::array<Index, 3>{1, 5000, 256}, {7, 900, 37}, {200, 600, 128}, {1, 1, 1}}) {
      KeyValueCache<X, Stored> cache(language_frequencies(8), kTokensFirst,
                                     {.heads = 2,
                                      .head_dim = 8,
                                      .value_dim = 6,
                                      .pages = 6000 / page_tokens + 1,
                                      .page_tokens = page_tokens});
      const SequenceId id = fill(cache, random, {size, 50})[0];
      const Tensor<float, 3> q = random_tokens<float>(random, seq_q, 4, 8);
      Tensor<float, 3> out(seq_q, 4, 6), want(seq_q, 4, 6);
      attend_cached(q, cache, id, out, {.window = 800});
      attend(q, cache.read_keys(id, 0, size), cache.read_values(id, 0, size), want,
             {.causal = true, .window = 800, .align_ends = true});
      EXPECT_TRUE(same_bits(out, want)) << size;
    }
  };
  check(float{}, float{});
  check(Eigen::bfloat16{}, Eigen::bfloat16{});
  check(float{}, std::int8_t{});
}

// A prompt in parts and then token by token: the same numbers as one pass over all tokens, whatever the positions.
TEST(AttendCached, DecodingEqualsAFullPass) {
  Random random(1684);
  SCOPED_TRACE(random.replay());
  const Frequencies frequencies = language_frequencies(12);
  const HeadLayout layout{
      .start_index = 1, .pairing = Pairing::interleaved, .output_pairing = Pairing::half, .seq_dim = -3};
  for (const Index first : {0, 12345}) {
    const RotaryEmbedding<double> rotary_emb(frequencies, layout);
    KeyValueCache<double> cache(rotary_emb,
                                {.heads = 2, .head_dim = 15, .value_dim = 5, .pages = 20, .page_tokens = 4});
    const auto q = random_tokens<double>(random, 40, 4, 15), k = random_tokens<double>(random, 40, 2, 15),
               v = random_tokens<double>(random, 40, 2, 5);
    Tensor<double, 3> full(40, 4, 5);
    const CosSinTable<double> rows(frequencies, Positions::consecutive(40, first), layout);
    attend(q, k, v, full, {.causal = true, .query_rows = &rows, .key_rows = &rows});
    const SequenceId id = cache.add_sequence();
    Index done = 0;
    for (const Index count : {7, 13, 1, 1, 1, 5, 12}) {
      cache.append(id, view_of(k).slice(0, done, count), view_of(v).slice(0, done, count), first + done);
      Tensor<double, 3> step(count, 4, 5), with_rows(count, 4, 5), rotated(count, 4, 5);
      const auto queries = view_of(q).slice(0, done, count);
      attend_cached(queries, cache, id, step, {.rotate_queries = true});
      const Tensor<double, 3> want = full.slice(Eigen::DSizes<Index, 3>(done, 0, 0), step.dimensions());
      EXPECT_LE(farthest(step, want), 1e-14) << done;
      const CosSinTable<double> query_rows(frequencies, Positions::consecutive(count, first + done), layout);
      attend_cached(queries, cache, id, with_rows, {.query_rows = &query_rows});
      EXPECT_TRUE(same_bits(with_rows, step));
      Tensor<double, 3> plain(count, 4, 15);
      rotary_emb.rotate_into(queries, plain, first + done);
      attend_cached(plain, cache, id, rotated);
      EXPECT_TRUE(same_bits(rotated, step));
      done += count;
    }
  }
}

// Scores of XPos depend on distances alone, so a shift of the whole sequence changes no result.
TEST(AttendCached, ScalesQueriesOfXPos) {
  Random random(1685);
  const XPos<double> xpos(RotaryEmbeddingOptions{.dim = 8, .seq_before_head_dim = true});
  KeyValueCache<double> cache(xpos, 3,
                              {.heads = 1, .head_dim = 8, .pages = 4, .page_tokens = 8, .raw_keys = true});
  const auto q = random_tokens<double>(random, 5, 2, 8), k = random_tokens<double>(random, 20, 1, 8);
  const SequenceId id = cache.add_sequence();
  cache.append(id, k, k);
  Tensor<double, 3> out(5, 2, 8), want(5, 2, 8), shifted(5, 2, 8);
  attend_cached(q, cache, id, out, {.rotate_queries = true});
  Tensor<double, 3> all(20, 2, 8);
  all.setZero();
  for (Index n = 0; n < q.size(); ++n) all.data()[15 * 16 + n] = q.data()[n];
  const auto [rotated_q, rotated_k] = xpos.rotate_queries_and_keys(all, k, {.centre = 3});
  const Tensor<double, 3> last = rotated_q.slice(Eigen::DSizes<Index, 3>(15, 0, 0), q.dimensions());
  attend(last, rotated_k, k, want, {.causal = true, .align_ends = true});
  EXPECT_LE(farthest(out, want), 1e-14);
  cache.shift(id, 0, 20, 50.5);
  attend_cached(q, cache, id, shifted, {.rotate_queries = true});
  EXPECT_LE(farthest(shifted, want), 1e-13);
}

// Rotated at each sequence's own positions, for queries of any number of axes.
TEST(AttendCached, TakesAnyAxesOfSequences) {
  Random random(1686);
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.heads = 1, .head_dim = 8, .pages = 30, .page_tokens = 8});
  const auto ids = fill(cache, random, {9, 20, 31, 4, 5, 6});
  Tensor<float, 5> q(2, 3, 2, 2, 8), out(2, 3, 2, 2, 8);
  random.fill(q);
  attend_cached(q, cache, ids, out, {.rotate_queries = true});
  for (Index b = 0; b < 6; ++b) {
    const StridedView<const float> one(q.data() + b * 32, {2, 2, 8});
    Tensor<float, 3> want(2, 2, 8);
    attend_cached(one, cache, ids[static_cast<std::size_t>(b)], want, {.rotate_queries = true});
    EXPECT_TRUE(std::equal(want.data(), want.data() + want.size(), out.data() + b * 32)) << b;
  }
}

TEST(AttendCached, ThreadsGiveTheSameBits) {
  Random random(1687);
  SCOPED_TRACE(random.replay());
  KeyValueCache<float, std::int8_t> cache(language_frequencies(8), kTokensFirst,
                                          {.heads = 2, .head_dim = 8, .pages = 80, .page_tokens = 100});
  const auto ids = fill(cache, random, {5000, 400, 1700});
  for (const Index seq_q : {1, 3}) {
    Tensor<float, 4> q(3, seq_q, 4, 8), one(3, seq_q, 4, 8), many(3, seq_q, 4, 8);
    random.fill(q);
    attend_cached(q, cache, ids, one);
    for (Index b = 0; b < 3; ++b) {  // nor on the other sequences of the call
      const Index size = seq_q * 4 * 8;
      Tensor<float, 3> alone(seq_q, 4, 8);
      attend_cached(StridedView<const float>(q.data() + b * size, {seq_q, 4, 8}), cache,
                    ids[static_cast<std::size_t>(b)], alone);
      EXPECT_TRUE(std::equal(alone.data(), alone.data() + size, one.data() + b * size)) << b;
    }
    for (const int threads : {1, 2, 5}) {
      Eigen::ThreadPool pool(threads);
      const Eigen::ThreadPoolDevice device(&pool, threads);
      for (int repeat = 0; repeat < 3; ++repeat) {
        many.setZero();
        attend_cached(q, cache, ids, many, {}, device);
        EXPECT_TRUE(same_bits(many, one)) << threads;
      }
    }
  }
}

TEST(AttendCached, EmptySequencesHaveTheResultZero) {
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst, {.heads = 1, .head_dim = 8, .pages = 1});
  const SequenceId id = cache.add_sequence();
  Tensor<float, 3> q(2, 1, 8), out(2, 1, 8);
  q.setRandom(), out.setConstant(7);
  attend_cached(q, cache, id, out, {.causal = false});
  EXPECT_EQ(largest_of(out), 0);
  Tensor<float, 4> none(0, 2, 1, 8);
  attend_cached(none, cache, std::span<const SequenceId>(), none);
}

TEST(AttendCached, RefusesWrongCalls) {
  Random random(1688);
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.heads = 2, .head_dim = 10, .value_dim = 6, .pages = 4, .page_tokens = 8});
  const auto ids = fill(cache, random, {4, 9});
  Tensor<float, 4> q(2, 1, 4, 10), out(2, 1, 4, 6), three_heads(2, 1, 3, 10), long_q(2, 5, 4, 10),
      long_out(2, 5, 4, 6);
  q.setZero(), long_q.setZero(), three_heads.setZero(), out.setConstant(7), long_out.setConstant(7);
  const CosSinTable<float> other_layout(language_frequencies(8), Positions::consecutive(1),
                                        {.pairing = Pairing::interleaved, .seq_dim = -3});
  const CosSinTable<float> other_dim(language_frequencies(6), Positions::consecutive(1), kTokensFirst);
  const CosSinTable<float> rows(language_frequencies(8), Positions::consecutive(1), kTokensFirst);
  expect_error([&] { attend_cached(q, cache, ids[0], out); }, {"1 ids", "each of 2 sequences"});
  expect_error(
      [&] {
        attend_cached(q, cache, std::vector{ids[0], SequenceId{}}, out);
      },
      {"not of this cache"});
  expect_error([&] { attend_cached(three_heads, cache, ids, out); }, {"heads"});
  expect_error([&] { attend_cached(view_of(q).slice(3, 0, 9), cache, ids, out); }, {"as many features"});
  expect_error([&] { attend_cached(q, cache, ids, q); }, {"the result has shape"});
  expect_error([&] { attend_cached(long_q, cache, ids, long_out); },
               {"sequence 0 has 4 tokens", "5 queries"});
  expect_error([&] { attend_cached(q, cache, ids, out, {.window = 0}); }, {"window is 0"});
  expect_error([&] { attend_cached(q, cache, ids, out, {.query_rows = &other_layout}); },
               {"another pairing"});
  expect_error([&] { attend_cached(q, cache, ids, out, {.query_rows = &other_dim}); },
               {"features [0, 6)", "[0, 8)"});
  expect_error([&] { attend_cached(q, cache, ids, out, {.rotate_queries = true, .query_rows = &rows}); },
               {"give one of them"});
  for (Index n = 0; n < out.size(); ++n) EXPECT_EQ(out.data()[n], 7);
  for (Index n = 0; n < long_out.size(); ++n) EXPECT_EQ(long_out.data()[n], 7);
}

}  // namespace
}  // namespace rotary::testing
