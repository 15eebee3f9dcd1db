// attend against loops written down from its formula, in every combination of options.
#include <gtest/gtest.h>

#include <rotary/apply_rotary_emb.hpp>
#include <rotary/attention/attend.hpp>

#include "support/plain_attention.hpp"

namespace rotary::testing {
namespace {

template <class T>
struct Inputs {
  Tensor<T, 4> q, k, v;

  Inputs(Random& random, const PlainAttention& a)
      : q(random_tensor(random, a.batch, a.seq_q, a.heads, a.d).template cast<T>()),
        k(random_tensor(random, a.batch, a.seq_k, a.kv_heads, a.d).template cast<T>()),
        v(random_tensor(random, a.batch, a.seq_k, a.kv_heads, a.d_v).template cast<T>()) {}
};

/// Compares one call with the loops. float results may be off by 1e-6 of the largest value, some ten roundings.
template <class T>
void compare(Random& random, const PlainAttention& a, unsigned which) {
  SCOPED_TRACE(describe(a, which));
  const Inputs<T> in(random, a);
  const std::vector<T> sinks(a.sink_logits.begin(), a.sink_logits.end());
  PlainAttention rounded = a;
  rounded.sink_logits.assign(sinks.begin(), sinks.end());
  const PlainResult want = plain_attention(rounded, in.q.template cast<double>(),
                                           in.k.template cast<double>(), in.v.template cast<double>());
  Tensor<T, 4> out(want.out.dimensions());
  Tensor<T, 3> log_sum(want.log_sum.dimensions());
  out.setConstant(T(77)), log_sum.setConstant(T(77));
  attend_with_log_sum(in.q, in.k, in.v, out, log_sum, a.options(sinks));
  const double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-14;
  EXPECT_LE(farthest(out, want.out), tolerance * std::max(1.0, largest_of(want.out)));
  EXPECT_LE(farthest(log_sum, want.log_sum), tolerance * 4);
}

TEST(Attend, EqualsThePlainLoopsInEveryCombination) {
  Random random(1601);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < kAttentionCalls; ++which) {
    const Index seq_q = random.integer<Index>(0, 13);
    const Index seq_k = (which >> 6 & 1) != 0 && random.integer(0, 1) == 1 ? seq_q : random.integer(0, 19);
    compare<double>(random, random_attention(random, which, seq_q, seq_k), which);
  }
}

// 128 rows of queries and 256 keys make a block; from 2048 keys on the keys of few queries are split.
TEST(Attend, EqualsThePlainLoopsAcrossBlocks) {
  Random random(1602);
  SCOPED_TRACE(random.replay());
  for (const auto& [seq_q, seq_k] : {std::pair<Index, Index>{150, 300}, {270, 270}, {3, 2311}, {1, 4099}})
    for (unsigned which : {0u, 1u, 3u, 7u, 15u, 33u, 65u, 71u, 129u, 131u, 135u, 255u, 256u, 511u})
      compare<float>(random, random_attention(random, which, seq_q, seq_k), which);
}

TEST(Attend, FloatIsWithinRoundingOfDouble) {
  Random random(1603);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < kAttentionCalls; which += 3)
    compare<float>(random, random_attention(random, which, random.integer(1, 30), random.integer(1, 40)),
                   which);
}

// A query of a full causal pass sees what the query of a decoding step sees that has all keys up to its own.
TEST(Attend, DecodingEqualsAFullPass) {
  Random random(1604);
  SCOPED_TRACE(random.replay());
  PlainAttention a{.batch = 2, .seq_q = 40, .seq_k = 40, .heads = 4, .kv_heads = 2, .d = 8, .d_v = 6};
  const Inputs<double> in(random, a);
  for (const std::optional<Index> window : {std::optional<Index>(), std::optional<Index>(7)}) {
    Tensor<double, 4> full(2, 40, 4, 6), step(2, 1, 4, 6), cached(2, 1, 4, 6);
    attend(in.q, in.k, in.v, full, {.causal = true, .window = window, .sink_tokens = window ? 2 : 0});
    for (Index i = 0; i < 40; ++i) {
      const AttentionOptions<double> options{
          .causal = true, .window = window, .sink_tokens = window ? 2 : 0, .query_offset = i};
      const auto query = view_of(in.q).slice(1, i, 1);
      attend(query, view_of(in.k).slice(1, 0, i + 1), view_of(in.v).slice(1, 0, i + 1), step, options);
      attend(query, in.k, in.v, cached, options);
      const Tensor<double, 4> want = full.slice(Eigen::DSizes<Index, 4>(0, i, 0, 0), step.dimensions());
      EXPECT_LE(farthest(step, want), 1e-15) << i;
      EXPECT_LE(farthest(cached, want), 1e-15) << i;
    }
  }
}

TEST(Attend, RotatesWhileReading) {
  Random random(1605);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    const PlainAttention a{.batch = 2, .seq_q = 9, .seq_k = 30, .heads = 4, .kv_heads = 2, .d = 12, .d_v = 5};
    const Inputs<float> in(random, a);
    const HeadLayout layout{.start_index = 2, .pairing = pairing, .seq_dim = -3};
    std::vector<Index> positions(60);
    for (Index n = 0; n < 60; ++n) positions[static_cast<std::size_t>(n)] = n < 30 ? n : 2 * n - 55;
    const CosSinTable<float> query_rows(language_frequencies(8), Positions::consecutive(9, 21), layout);
    const CosSinTable<float> key_rows(language_frequencies(8), Positions::listed(positions).in_batches(2),
                                      layout);
    const Tensor<float, 4> q = apply_rotary_emb(query_rows, in.q), k = apply_rotary_emb(key_rows, in.k);
    Tensor<float, 4> want(2, 9, 4, 5), got(2, 9, 4, 5);
    attend(q, k, in.v, want, {.causal = true, .query_offset = 21});
    attend(in.q, in.k, in.v, got,
           {.causal = true, .query_offset = 21, .query_rows = &query_rows, .key_rows = &key_rows});
    EXPECT_EQ(farthest(got, want),
              0);  // the same bits: rotations do not depend on where they are carried out
  }
}

// [batch, heads, seq, d] in memory, reversed heads, strided features, and axes in front.
TEST(Attend, TakesViewsOfAnyStrides) {
  Random random(1606);
  SCOPED_TRACE(random.replay());
  const PlainAttention a{.batch = 6, .seq_q = 5, .seq_k = 7, .heads = 4, .kv_heads = 2, .d = 3, .d_v = 3};
  const Inputs<double> in(random, a);
  Tensor<double, 4> want(6, 5, 4, 3);
  attend(in.q, in.k, in.v, want, {.causal = true});

  Tensor<double, 4> by_heads(in.q.shuffle(Eigen::array<int, 4>{0, 2, 1, 3}));
  Tensor<double, 5> spread(3, 2, 7, 2, 6), target(3, 2, 5, 4, 3);
  for (Index b = 0; b < 6; ++b)
    for (Index n = 0; n < 7; ++n)
      for (Index h = 0; h < 2; ++h)
        for (Index f = 0; f < 3; ++f) spread(b / 2, b % 2, n, h, 2 * f) = in.k(b, n, h, f);
  const StridedView<const double> q(by_heads.data(), {3, 2, 5, 4, 3}, {120, 60, 3, 15, 1});
  const StridedView<const double> k(spread.data(), {3, 2, 7, 2, 3}, {168, 84, 12, 6, 2});
  const StridedView<const double> v(in.v.data(), {3, 2, 7, 2, 3}, {84, 42, 6, 3, 1});
  attend(q, k, v, target, {.causal = true});
  EXPECT_LE(farthest(target, want), 1e-15);

  Tensor<double, 4> reversed(6, 5, 4, 3);
  const StridedView<double> backwards(reversed.data() + 9, {3, 2, 5, 4, 3}, {120, 60, 12, -3, 1});
  attend(q, k, v, backwards, {.causal = true});
  for (Index h = 0; h < 4; ++h)
    EXPECT_LE(farthest(Tensor<double, 3>(reversed.chip(3 - h, 2)), Tensor<double, 3>(want.chip(h, 2))),
              1e-15);
}

// 16-bit inputs are widened, which is exact, and results are rounded once.
template <class X>
void check_16_bits(double unit) {
  Random random(1607);
  SCOPED_TRACE(random.replay());
  const PlainAttention a{.batch = 1,
                         .seq_q = 6,
                         .seq_k = 40,
                         .heads = 2,
                         .kv_heads = 1,
                         .d = 20,
                         .d_v = 18,
                         .causal = true,
                         .query_offset = 34};
  const Inputs<X> in(random, a);
  const Tensor<float, 4> wide = in.q.template cast<float>();
  const PlainResult want = plain_attention(a, in.q.template cast<double>(), in.k.template cast<double>(),
                                           in.v.template cast<double>());
  Tensor<X, 4> out(1, 6, 2, 18);
  Tensor<float, 4> unrounded(1, 6, 2, 18);
  const AttentionOptions<float> options{.causal = true, .query_offset = 34};
  attend(in.q, in.k, in.v, out, options);
  attend(wide, in.k, in.v, unrounded, options);
  EXPECT_LE(farthest(unrounded, want.out), 1e-6);
  for (Index n = 0; n < out.size(); ++n)
    EXPECT_EQ(static_cast<float>(out.data()[n]), static_cast<float>(static_cast<X>(unrounded.data()[n])));
  EXPECT_LE(farthest(out, want.out), unit * largest_of(want.out) + 1e-6);
}
TEST(Attend, TakesBfloat16) { check_16_bits<Eigen::bfloat16>(0x1p-8); }
TEST(Attend, TakesHalf) { check_16_bits<Eigen::half>(0x1p-11); }

// Scores so large that their exponentials overflow unless the largest is subtracted, also between blocks and parts.
TEST(Attend, LargeScoresDoNotOverflow) {
  Tensor<float, 3> q(1, 1, 1), k(3000, 1, 1), v(3000, 1, 1), out(1, 1, 1);
  q.setConstant(1);
  for (Index j = 0; j < 3000; ++j) k(j, 0, 0) = static_cast<float>(j), v(j, 0, 0) = j == 2999 ? 1.0f : 0.0f;
  attend(q, k, v, out);
  EXPECT_NEAR(out(0, 0, 0), 1 - std::exp(-1.0), 1e-6);  // the keys before weigh e^-1 + e^-2 + ...
}

}  // namespace
}  // namespace rotary::testing
