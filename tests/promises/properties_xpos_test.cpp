// Promises 1 to 4 for XPos, whose rotations have a scale for each pair.
#include <gtest/gtest.h>

#include <cmath>
#include <rotary/xpos.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/strided_array.hpp"
#include "support/tensor_tokens.hpp"

namespace rotary::testing {
namespace {

/// Queries and keys, before or after.
template <class X>
struct Both {
  StridedArray<X> q, k;

  Both(std::vector<Index> q_shape, std::vector<Index> k_shape)
      : q(std::move(q_shape)), k(std::move(k_shape)) {}
  void fill(Random& random) {
    q.fill(random);
    k.fill(random);
  }
};

template <class X, class T>
Both<X> rotated(const XPos<T>& xpos, Both<X> both, const XPosRotateOptions& options = {}) {
  xpos.rotate_queries_and_keys_in_place(both.q.view(), both.k.view(), options);
  return both;
}

/// The score of query m and key n of [seq, dim].
template <class X>
double score(const Both<X>& both, Index m, Index n) {
  const Index dim = both.q.extents().back();
  double sum = 0;
  for (Index j = 0; j < dim; ++j)
    sum += static_cast<double>(both.q[m * dim + j]) * static_cast<double>(both.k[n * dim + j]);
  return sum;
}

/// Σ |q_j k_j| over the pairs, and the size of the scales there: what an error of a score is measured by.
template <class X>
double size_of_score(const Both<X>& rotated, Index m, Index n) {
  const Index dim = rotated.q.extents().back();
  double q = 0, k = 0;
  for (Index j = 0; j < dim; ++j) {
    q += std::pow(static_cast<double>(rotated.q[m * dim + j]), 2);
    k += std::pow(static_cast<double>(rotated.k[n * dim + j]), 2);
  }
  return std::sqrt(q * k);
}

/// The definition: Σ_i ζ_i^(d/base) [(q · k)_i cos(d f_i) + (q × k)_i sin(d f_i)] at distance d = m − n.
template <class X>
double score_at_distance(const Both<X>& both, Index m, Index n, Pairing pairing, double base, double d) {
  const Index dim = both.q.extents().back(), pairs = dim / 2;
  long double sum = 0;
  for (Index i = 0; i < pairs; ++i) {
    const auto [a, b] = pair_features(pairing, pairs, i);
    const auto q = [&](Index j) { return static_cast<double>(both.q[m * dim + j]); };
    const auto k = [&](Index j) { return static_cast<double>(both.k[n * dim + j]); };
    const long double of = i, angle = d * std::pow(10000.0L, -of / pairs);
    const long double zeta = (2 * of + 0.4L * dim) / (1.4L * dim);
    sum += std::pow(zeta, d / base) *
           ((q(a) * k(a) + q(b) * k(b)) * std::cos(angle) + (q(a) * k(b) - q(b) * k(a)) * std::sin(angle));
  }
  return static_cast<double>(sum);
}

/// Both rotations of a score err by up to 2.5 roundings, and their scales by one each.
template <class X>
constexpr double kScoreError = 7 * kUnit<X>;

constexpr Index kFarPositions[] = {
    0, 777, -5003, 131071, 1000003, (Index{1} << 31) - 12345, (Index{1} << 31) + 77};

TEST(XPosGroupLaws, ScaleIsOneAtTheCentreAndNothingRotatesAtPositionZero) {
  Random random(201);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (const Pairing pairing : kPairings) {
      const XPos<RowsFor<X>> xpos(RotaryEmbeddingOptions{.dim = 12, .pairing = pairing});
      Both<X> x({2, 1, 14}, {2, 1, 14});
      x.fill(random);
      const auto same = rotated(xpos, x, {.offset = 0, .centre = 0});
      EXPECT_TRUE(same_bits(same.q, x.q));
      EXPECT_TRUE(same_bits(same.k, x.k));
      // At any centre it is a rotation and no more.
      const auto at_centre = rotated(xpos, x, {.offset = 1000003, .centre = 1000003});
      auto plain = x;
      xpos.rotary().rotate_in_place(plain.q.view(), {.offset = 1000003});
      xpos.rotary().rotate_in_place(plain.k.view(), {.offset = 1000003});
      EXPECT_TRUE(same_bits(at_centre.q, plain.q));
      EXPECT_TRUE(same_bits(at_centre.k, plain.k));
    }
  });
}

TEST(XPosGroupLaws, InverseTakesBackForward) {
  Random random(202);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 20; ++round) {
      const Index dim = 2 * random.integer<Index>(1, 20), seq = random.integer<Index>(1, 9);
      const XPos<RowsFor<X>> xpos(RotaryEmbeddingOptions{.dim = dim, .pairing = kPairings[round % 2]});
      Both<X> x({2, seq, dim}, {3, seq, dim});
      x.fill(random);
      XPosRotateOptions options{.offset = random.pick<Index>({0, 1000003})};
      const auto there = rotated(xpos, x, options);
      options.direction = Direction::inverse;
      const auto back = rotated(xpos, there, options);
      for (Index n = 0; n < x.q.size(); ++n)
        ASSERT_NEAR(static_cast<double>(back.q[n]), static_cast<double>(x.q[n]), 2.9 * kScoreError<X>)
            << "of q " << n;
      for (Index n = 0; n < x.k.size(); ++n)
        ASSERT_NEAR(static_cast<double>(back.k[n]), static_cast<double>(x.k[n]), 2.9 * kScoreError<X>)
            << "of k " << n;
    }
  });
}

TEST(XPosRelative, ScoresDependOnTheDistanceAlone) {
  Random random(203);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 12; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 32), seq = random.integer<Index>(2, 40);
      const double base = random.pick({64.0, 300.0, 512.0});
      const XPos<RowsFor<X>> xpos(RotaryEmbeddingOptions{.dim = dim, .pairing = pairing},
                                  {.xpos_scale_base = base});
      Both<X> x({seq, dim}, {seq, dim});
      x.fill(random);
      for (const Index first : kFarPositions) {
        // The default centre moves along; a named one may lie anywhere near.
        XPosRotateOptions options{.offset = first};
        if (round % 3 == 1) options.centre = static_cast<double>(first - random.integer<Index>(0, 500));
        const auto result = rotated(xpos, x, options);
        for (int draw = 0; draw < 20; ++draw) {
          const Index n = random.integer<Index>(0, seq - 1), m = random.integer<Index>(n, seq - 1);
          const double wanted = score_at_distance(x, m, n, pairing, base, static_cast<double>(m - n));
          worst = std::max(worst, std::fabs(score(result, m, n) - wanted) / size_of_score(result, m, n));
        }
      }
    }
    EXPECT_LE(worst, kScoreError<X>) << worst / kUnit<X> << " units";
  });
}

TEST(XPosRelative, AlsoBetweenAFullPassAndCachedDecode) {
  Random random(204);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    const Index heads = 2, seq = 9, dim = 12, head_dim = 14;
    for (const Pairing pairing : kPairings) {
      const XPos<RowsFor<X>> xpos(RotaryEmbeddingOptions{.dim = dim, .pairing = pairing});
      Tensor<X, 3> q(heads, seq, head_dim), k(heads, seq, head_dim);
      random.fill(q);
      random.fill(k);
      for (Index end = 1; end <= seq; ++end) {
        // The last tokens against the cache, to the bit what a pass over all of it gives.
        const Index count = random.integer<Index>(1, end), begin = end - count;
        const auto [full_q, full_k] =
            xpos.rotate_queries_and_keys(tokens_of(q, 0, end), tokens_of(k, 0, end));
        const auto [cached_q, cached_k] =
            xpos.rotate_queries_with_cached_keys(tokens_of(q, begin, count), tokens_of(k, 0, end));
        expect_same_bits(cached_q, tokens_of(full_q, begin, count));
        expect_same_bits(cached_k, full_k);

        // Keys rotated once, when they are appended, and cached: one centre for all calls.
        const XPosRotateOptions all{.seq_dim = -2, .centre = 4},
            chunk{.offset = begin, .seq_dim = -2, .centre = 4};
        const auto [whole_q, whole_k] =
            xpos.rotate_queries_and_keys(tokens_of(q, 0, end), tokens_of(k, 0, end), all);
        const auto [chunk_q, chunk_k] =
            xpos.rotate_queries_and_keys(tokens_of(q, begin, count), tokens_of(k, begin, count), chunk);
        expect_same_bits(chunk_q, tokens_of(whole_q, begin, count));
        expect_same_bits(chunk_k, tokens_of(whole_k, begin, count));
      }
    }
  });
}

// As in the reference, an offset is added to the positions of the queries, but not to those of their scales.
TEST(XPosRelative, CachedQueriesMayBeOffset) {
  Random random(205);
  SCOPED_TRACE(random.replay());
  const Index dim = 16, seq = 7;
  const XPos<double> xpos(RotaryEmbeddingOptions{.dim = dim});
  Tensor<double, 2> q(2, dim), k(seq, dim);
  random.fill(q);
  random.fill(k);
  const auto [at_end, keys] = xpos.rotate_queries_with_cached_keys(q, k);
  const auto [moved, same_keys] = xpos.rotate_queries_with_cached_keys(q, k, {.offset = 100});
  for (Index n = 0; n < k.size(); ++n) ASSERT_EQ(bits_of(keys.data()[n]), bits_of(same_keys.data()[n]));
  for (Index n = 0; n < 2; ++n) {
    for (Index i = 0; i < dim / 2; ++i) {
      const double before = std::hypot(at_end(n, 2 * i), at_end(n, 2 * i + 1));
      EXPECT_NEAR(std::hypot(moved(n, 2 * i), moved(n, 2 * i + 1)) / before, 1, 1e-14);
    }
  }
}

TEST(XPosSameBits, EveryLayoutAndPlaceGivesTheSameBits) {
  Random random(206);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 60; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const int rank = random.integer(2, 5), axis = random.integer(0, rank - 2);
      const Index dim = 2 * random.integer<Index>(1, 20);
      auto shape = random_shape(random, rank, dim + random.integer<Index>(0, 3), 5);
      const XPos<RowsFor<X>> xpos(RotaryEmbeddingOptions{.dim = dim, .pairing = pairing});
      const Direction direction = random.pick({Direction::forward, Direction::inverse, Direction::transpose});
      XPosRotateOptions options{
          .offset = random.integer<Index>(-300, 300), .seq_dim = axis - rank, .direction = direction};
      Both<X> x(shape, shape);
      x.fill(random);
      const auto wanted = rotated(xpos, x, options);
      Both<X> other = x;
      other.q = x.q.laid_out(Layout::random(random, rank));
      other.k = x.k.laid_out(Layout::random(random, rank));
      options.seq_dim = axis;
      const auto found = rotated(xpos, other, options);
      EXPECT_TRUE(same_bits(found.q, wanted.q)) << text_of(shape);
      EXPECT_TRUE(same_bits(found.k, wanted.k)) << text_of(shape);
      EXPECT_TRUE(found.q.guards_are_intact() && found.k.guards_are_intact());
    }
  });
}

TEST(XPosSameBits, InterleavedEqualsHalfAfterThePermutationOfFeatures) {
  Random random(207);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (Index pairs = 1; pairs <= 33; ++pairs) {
      const Index dim = 2 * pairs, seq = 3;
      const XPos<RowsFor<X>> interleaved(RotaryEmbeddingOptions{.dim = dim});
      const XPos<RowsFor<X>> half(RotaryEmbeddingOptions{.dim = dim, .pairing = Pairing::half});
      Both<X> x({seq, dim}, {seq, dim}), permuted = x;
      x.fill(random);
      const auto permute = [&](const StridedArray<X>& from, StridedArray<X>& to) {
        for (Index row = 0; row < seq * dim; row += dim) {
          for (Index i = 0; i < pairs; ++i) {
            to[row + i] = from[row + 2 * i];
            to[row + pairs + i] = from[row + 2 * i + 1];
          }
        }
      };
      permute(x.q, permuted.q);
      permute(x.k, permuted.k);
      const auto found = rotated(half, permuted, {.offset = 5});
      const auto result = rotated(interleaved, x, {.offset = 5});
      Both<X> wanted = x;
      permute(result.q, wanted.q);
      permute(result.k, wanted.k);
      EXPECT_TRUE(same_bits(found.q, wanted.q)) << "dim " << dim;
      EXPECT_TRUE(same_bits(found.k, wanted.k)) << "dim " << dim;
    }
  });
}

TEST(XPosNoHistory, ResultsDoNotDependOnEarlierCalls) {
  Random random(208);
  SCOPED_TRACE(random.replay());
  const RotaryEmbeddingOptions options{.dim = 12};
  const XPos<float> used(options);
  for (int call = 0; call < 40; ++call) {
    const Index seq = random.pick<Index>({1, 2, 30, 100});
    Both<float> x({seq, 12}, {seq, 12});
    x.fill(random);
    const XPosRotateOptions how{.offset = random.pick<Index>({0, 0, 5, 4000})};
    const auto found = rotated(used, x, how), wanted = rotated(XPos<float>(options), x, how);
    EXPECT_TRUE(same_bits(found.q, wanted.q)) << "call " << call;
    EXPECT_TRUE(same_bits(found.k, wanted.k)) << "call " << call;
  }
}

TEST(XPosCentreOnLastQuery, GivesTheSameScoresAndNeverOverflows) {
  Random random(71);
  SCOPED_TRACE(random.replay());
  const XPos<double> xpos({.dim = 16});
  Tensor<double, 2> q(5, 16), k(5, 16);
  random.fill(q);
  random.fill(k);
  const auto scores = [](const auto& both) {
    const std::array<Eigen::IndexPair<int>, 1> features{Eigen::IndexPair<int>(1, 1)};
    return Tensor<double, 2>(both.first.contract(both.second, features));
  };
  const Tensor<double, 2> wanted = scores(xpos.rotate_queries_and_keys(q, k));
  for (const Index offset : {Index{0}, Index{123456789}}) {
    const Tensor<double, 2> found =
        scores(xpos.rotate_queries_and_keys(q, k, {.offset = offset, .centre_on_last_query = true}));
    for (Index n = 0; n < wanted.size(); ++n) EXPECT_NEAR(found.data()[n], wanted.data()[n], 1e-13);
  }
}

TEST(XPosCentreOnLastQuery, OneQueryReachesAsFarBackAsThereAreKeys) {
  constexpr Index kKeys = 50'000;  // with the centre in their middle, float would be out of range
  const XPos<float> xpos({.dim = 4});
  Tensor<float, 2> q(1, 4), k(kKeys, 4);
  q.setConstant(1);
  k.setConstant(1);
  EXPECT_THROW(static_cast<void>(xpos.rotate_queries_with_cached_keys(q, k, {.centre = kKeys - 1.0})),
               std::invalid_argument);
  const auto [xq, xk] = xpos.rotate_queries_with_cached_keys(q, k, {.centre_on_last_query = true});
  for (Index n = 0; n < 4; ++n) EXPECT_LE(std::abs(xq(0, n)), 1.5f);
  for (Index n = 0; n < xk.size(); ++n) {
    ASSERT_TRUE(std::isfinite(xk.data()[n]));
    ASSERT_LE(std::abs(xk.data()[n]), 1.5f);
  }
  // ζ_0^(2000/512) e^(−2000 i) for the pair 0 of the key 2000 tokens back.
  const double zeta = std::pow(0.4 / 1.4, 2000.0 / 512);
  const double angle = kKeys - 1 - 2000;
  EXPECT_NEAR(xk(kKeys - 1 - 2000, 0), zeta * (std::cos(angle) - std::sin(angle)), 1e-7);
  EXPECT_THROW(static_cast<void>(
                   xpos.rotate_queries_with_cached_keys(q, k, {.centre = 0.0, .centre_on_last_query = true})),
               std::invalid_argument);
}

// Every way of naming positions gives the same bits, as far as they name the same positions and the same
// centre.
TEST(XPosPositions, AnyKindGivesTheBitsOfAnOffset) {
  Random random(72);
  SCOPED_TRACE(random.replay());
  const XPos<float> xpos({.dim = 16});
  Both<float> both({3, 2, 5, 16}, {3, 2, 5, 16});  // [batch, heads, seq, head_dim]
  both.fill(random);
  const auto by_offset = rotated(xpos, both, {.offset = 40});
  const auto at = [&](const auto& positions, const XPosRotateOptions& options = {}) {
    auto result = both;
    xpos.rotate_queries_and_keys_in_place(result.q.view(), result.k.view(), positions, options);
    return result;
  };
  const auto expect_same = [](const Both<float>& found, const Both<float>& wanted) {
    EXPECT_TRUE(same_bits(found.q, wanted.q));
    EXPECT_TRUE(same_bits(found.k, wanted.k));
  };
  const std::vector<std::int64_t> ids = {40, 41, 42, 43, 44}, starts = {40, 40, 40};
  expect_same(at(40), by_offset);
  expect_same(at(ids), by_offset);
  expect_same(at(Positions::consecutive(5, 40)), by_offset);
  expect_same(at(Positions::per_sequence(starts)), by_offset);
  expect_same(at(ids, {.centre_on_last_query = true}),
              rotated(xpos, both, {.offset = 40, .centre_on_last_query = true}));

  // Sequences at positions of their own, with one centre for all.
  const std::vector<int> lengths = {1000, 3, 77};
  const auto together = at(Positions::per_sequence(lengths), {.centre = 50.0});
  for (Index b = 0; b < 3; ++b) {
    auto alone = both;
    const auto q = alone.q.view().slice(0, b, 1), k = alone.k.view().slice(0, b, 1);
    xpos.rotate_queries_and_keys_in_place(q, k,
                                          {.offset = lengths[static_cast<std::size_t>(b)], .centre = 50.0});
    for (Index n = 0; n < 160; ++n) {
      ASSERT_EQ(bits_of(together.q[b * 160 + n]), bits_of(alone.q[b * 160 + n]));
      ASSERT_EQ(bits_of(together.k[b * 160 + n]), bits_of(alone.k[b * 160 + n]));
    }
  }

  // Too few positions, several coordinates, an offset beside positions: nothing is written.
  const std::vector<std::int64_t> four = {1, 2, 3, 4};
  const std::array axes{AxisPositions::consecutive(5), AxisPositions::consecutive(5)};
  const auto expect_refusal = [&](const auto& positions, const XPosRotateOptions& options, const char* part) {
    auto untouched = both;
    expect_error(
        [&] {
          xpos.rotate_queries_and_keys_in_place(untouched.q.view(), untouched.k.view(), positions, options);
        },
        {part});
    expect_same(untouched, both);
  };
  expect_refusal(four, {}, "4 positions");
  expect_refusal(Positions::together(axes), {}, "2 coordinates");
  expect_refusal(ids, {.offset = 1}, "offset");
}

}  // namespace
}  // namespace rotary::testing
