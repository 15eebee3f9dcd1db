// Promises 1 and 2: what a rotation does to pairs, and to products of queries and keys.
#include <gtest/gtest.h>

#include <cmath>
#include <rotary/rotary_embedding.hpp>

#include "support/compiled_kernels.hpp"
#include "support/rotated.hpp"
#include "support/strided_array.hpp"
#include "support/tensor_tokens.hpp"

namespace rotary::testing {
namespace {

/// An embedding of any kind that rotates `dim` features.
template <class X>
RotaryEmbedding<RowsFor<X>> any_embedding(Random& random, Index dim, Pairing pairing) {
  RotaryEmbeddingOptions options{.dim = dim,
                                 .theta = random.pick({100.0, 10000.0, 500000.0}),
                                 .cache_if_possible = random.integer(0, 1) == 1,
                                 .cache_max_seq_len = random.integer<Index>(0, 40),
                                 .pairing = pairing};
  return RotaryEmbedding<RowsFor<X>>(options);
}

/// Positions of every kind that a language model, or somebody who reads the source of one, may ask for.
FixedPosition any_position(Random& random) {
  switch (random.integer(0, 5)) {
    case 0:
      return random.integer<Index>(0, 100);
    case 1:
      return -random.integer<Index>(1, 5000);
    case 2:
      return 1000000 + random.integer<Index>(-999, 999);
    case 3:
      return (Index{1} << 31) + random.integer<Index>(-999, 999);
    case 4:
      return random.uniform(-2000, 2000);
    default:
      return random.integer(-(Index{1} << 40), Index{1} << 40);
  }
}

/// The largest |found − wanted| of a pair, in units of |wanted|; `smallest` is an error that is always
/// allowed.
template <class X, class Y>
double worst_pair(const StridedArray<X>& found, const StridedArray<Y>& wanted, Pairing pairing, Index dim) {
  const Index features = wanted.extents().back();
  double worst = 0;
  for (Index row = 0; row < wanted.size(); row += features) {
    for (Index i = 0; i < dim / 2; ++i) {
      const auto [a, b] = pair_features(pairing, dim / 2, i);
      const auto at = [&](const auto& x, Index feature) { return static_cast<double>(x[row + feature]); };
      const double error = std::hypot(at(found, a) - at(wanted, a), at(found, b) - at(wanted, b));
      worst = std::max(worst, (error - 2 * kSmallest<X>) / std::hypot(at(wanted, a), at(wanted, b)));
    }
  }
  return worst;
}

/// What a rotation may be off by, in units of the length of a pair: 2.5 roundings in float and double, whose
/// rows are rounded too; one where rows and arithmetic are in float and the result in 16 bits.
template <class X>
constexpr double kRotationError = (sizeof(X) == 2 ? 1.01 : 2.5) * kUnit<X>;

// --- promise 1: group laws

TEST(GroupLaws, PositionZeroChangesNothing) {
  Random random(101);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 40; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20), seq = random.integer<Index>(1, 9);
      const auto rotary_emb = any_embedding<X>(random, dim, pairing);
      StridedArray<X> x({2, 3, seq, dim + random.integer<Index>(0, 3)});
      x.fill(random);
      // Any row may be the one at position 0.
      const Index zero = random.integer<Index>(0, seq - 1);
      const Direction direction = random.pick({Direction::forward, Direction::inverse, Direction::transpose});
      const auto result = rotated(rotary_emb, x, {.offset = -zero, .direction = direction});
      for (Index n = 0; n < x.size(); ++n) {
        if (n / x.extents()[3] % seq == zero) {
          ASSERT_EQ(bits_of(result[n]), bits_of(x[n])) << "element " << n;
        }
      }
    }
  });
}

TEST(GroupLaws, LengthsOfPairsAreKept) {
  Random random(102);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 60; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20);
      const auto rotary_emb = any_embedding<X>(random, dim, pairing);
      StridedArray<X> x({3, random.integer<Index>(1, 9), dim});
      x.fill(random);
      const auto result = rotated(rotary_emb, x, {.offset = any_position(random)});
      for (Index row = 0; row < x.size(); row += dim) {
        for (Index i = 0; i < dim / 2; ++i) {
          const PairFeatures pair = pair_features(pairing, dim / 2, i);
          const auto length = [&](const StridedArray<X>& of) {
            return std::hypot(static_cast<long double>(static_cast<double>(of[row + pair.a])),
                              static_cast<long double>(static_cast<double>(of[row + pair.b])));
          };
          worst = std::max(worst, static_cast<double>(std::fabs(length(result) / length(x) - 1)));
        }
      }
    }
    EXPECT_LE(worst, kRotationError<X>) << worst / kUnit<X> << " units";
    EXPECT_GT(worst, 0) << "nothing was rotated";
  });
}

// A rotation by any other angle keeps lengths too. Positions are small enough for std::cos to be right.
TEST(GroupLaws, PairsRotateByPositionTimesFrequency) {
  Random random(103);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 40; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20), seq = random.integer<Index>(1, 9);
      const double theta = random.uniform(10, 100000), offset = random.pick({0.0, 1.0, -37.0, 250.0, 17.25});
      const RotaryEmbedding<RowsFor<X>> rotary_emb(
          RotaryEmbeddingOptions{.dim = dim, .theta = theta, .pairing = pairing});
      StridedArray<X> x({3, seq, dim});
      x.fill(random);
      StridedArray<double> wanted(x.extents());
      for (Index row = 0; row < 3 * seq; ++row) {
        const long double position = offset + static_cast<double>(row % seq);
        for (Index i = 0; i < dim / 2; ++i) {
          const long double angle =
              position * std::pow(static_cast<long double>(theta), -2 * static_cast<long double>(i) / dim);
          const auto [a, b] = pair_features(pairing, dim / 2, i);
          const auto from = [&](Index feature) {
            return static_cast<long double>(static_cast<double>(x[row * dim + feature]));
          };
          wanted[row * dim + a] = static_cast<double>(from(a) * std::cos(angle) - from(b) * std::sin(angle));
          wanted[row * dim + b] = static_cast<double>(from(b) * std::cos(angle) + from(a) * std::sin(angle));
        }
      }
      worst = std::max(worst, worst_pair(rotated(rotary_emb, x, {.offset = offset}), wanted, pairing, dim));
    }
    EXPECT_LE(worst, kRotationError<X>) << worst / kUnit<X> << " units";
  });
}

TEST(GroupLaws, TheNegativePositionRotatesBack) {
  Random random(104);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 80; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20);
      const auto rotary_emb = any_embedding<X>(random, dim, pairing);
      StridedArray<X> x({5, 1, dim});
      x.fill(random);
      const FixedPosition m = any_position(random);
      const auto there = rotated(rotary_emb, x, {.offset = m});
      worst = std::max(worst, worst_pair(rotated(rotary_emb, there, {.offset = -m}), x, pairing, dim));
      // Rotating backwards by the same rows gives the same bits.
      EXPECT_TRUE(same_bits(rotated(rotary_emb, there, {.offset = -m}),
                            rotated(rotary_emb, there, {.offset = m, .direction = Direction::inverse})));
    }
    EXPECT_LE(worst, 2 * kRotationError<X>) << worst / kUnit<X> << " units";
  });
}

TEST(GroupLaws, InverseTakesBackForwardWithScaleAndMagnitude) {
  Random random(105);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 60; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20);
      Frequencies frequencies = language_frequencies(dim);
      frequencies.magnitude = random.uniform(0.5, 1.5);
      const RotaryEmbedding<RowsFor<X>> rotary_emb(frequencies, {.pairing = pairing});
      StridedArray<X> x({3, random.integer<Index>(1, 9), dim});
      x.fill(random);
      RotateOptions options{.offset = any_position(random), .scale = random.uniform(0.5, 1.5)};
      const auto there = rotated(rotary_emb, x, options);
      options.direction = Direction::inverse;
      worst = std::max(worst, worst_pair(rotated(rotary_emb, there, options), x, pairing, dim));

      // And the transpose is the inverse times the square of the magnitude.
      options.direction = Direction::transpose;
      const double square = std::pow(frequencies.magnitude * options.scale, 2);
      StridedArray<double> scaled(x.extents());
      for (Index n = 0; n < x.size(); ++n) scaled[n] = square * static_cast<double>(x[n]);
      worst = std::max(worst, worst_pair(rotated(rotary_emb, there, options), scaled, pairing, dim));
    }
    EXPECT_LE(worst, 2 * kRotationError<X>) << worst / kUnit<X> << " units";
  });
}

TEST(GroupLaws, TurnsAddUp) {
  Random random(106);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 80; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20);
      const auto rotary_emb = any_embedding<X>(random, dim, pairing);
      StridedArray<X> x({5, 1, dim});
      x.fill(random);
      const FixedPosition m = any_position(random), n = any_position(random);
      const auto twice = rotated(rotary_emb, rotated(rotary_emb, x, {.offset = m}), {.offset = n});
      worst = std::max(worst, worst_pair(twice, rotated(rotary_emb, x, {.offset = m + n}), pairing, dim));
    }
    EXPECT_LE(worst, 3 * kRotationError<X>) << worst / kUnit<X> << " units";
  });
}

// --- promise 2: relative

constexpr Index kFarPositions[] = {
    0, 777, 8191, -5003, 131071, 1000003, (Index{1} << 31) - 12345, (Index{1} << 31) + 77};

/// Σ_i (q · k)_i cos(d f_i) + (q × k)_i sin(d f_i): the score at distance d, from the definition.
template <class X>
double score_at_distance(const StridedArray<X>& q, const StridedArray<X>& k, Pairing pairing, double theta,
                         double d) {
  const Index pairs = q.size() / 2;
  long double sum = 0;
  for (Index i = 0; i < pairs; ++i) {
    const auto [a, b] = pair_features(pairing, pairs, i);
    const double qa = static_cast<double>(q[a]), qb = static_cast<double>(q[b]);
    const double ka = static_cast<double>(k[a]), kb = static_cast<double>(k[b]);
    const long double angle = d * std::pow(static_cast<long double>(theta),
                                           -static_cast<long double>(i) / static_cast<long double>(pairs));
    sum += (qa * ka + qb * kb) * std::cos(angle) + (qa * kb - qb * ka) * std::sin(angle);
  }
  return static_cast<double>(sum);
}

template <class X>
double product(const StridedArray<X>& q, const StridedArray<X>& k) {
  double sum = 0;
  for (Index n = 0; n < q.size(); ++n) sum += static_cast<double>(q[n]) * static_cast<double>(k[n]);
  return sum;
}

TEST(Relative, ScoresDependOnTheDistanceAlone) {
  Random random(107);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 40; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 32);
      const double theta = random.pick({100.0, 10000.0, 500000.0});
      const RotaryEmbedding<RowsFor<X>> rotary_emb(
          RotaryEmbeddingOptions{.dim = dim, .theta = theta, .pairing = pairing});
      StridedArray<X> q({1, dim}), k({1, dim});
      q.fill(random);
      k.fill(random);
      const Index distance = random.integer<Index>(0, 600);
      const double wanted = score_at_distance(q, k, pairing, theta, static_cast<double>(distance));
      const double lengths = std::sqrt(product(q, q) * product(k, k));
      for (const Index n : kFarPositions) {
        const double score =
            product(rotated(rotary_emb, q, {.offset = n + distance}), rotated(rotary_emb, k, {.offset = n}));
        worst = std::max(worst, std::fabs(score - wanted) / lengths);
      }
    }
    EXPECT_LE(worst, 2 * kRotationError<X>) << worst / kUnit<X> << " units";
  });
}

TEST(Relative, AlsoForFractionalPositions) {
  Random random(108);
  SCOPED_TRACE(random.replay());
  for_each_of<float, double>([&](auto scalar) {
    using X = decltype(scalar);
    const Index dim = 32;
    const RotaryEmbedding<RowsFor<X>> rotary_emb(RotaryEmbeddingOptions{.dim = dim, .interpolate_factor = 4});
    StridedArray<X> q({1, dim}), k({1, dim});
    q.fill(random);
    k.fill(random);
    const double lengths = std::sqrt(product(q, q) * product(k, k));
    const double wanted = score_at_distance(q, k, Pairing::interleaved, 10000, 2.5 / 4);
    for (const double n : {0.25, -1000.5, 1000000.125, 2147483647.75}) {
      const double score =
          product(rotated(rotary_emb, q, {.offset = n + 2.5}), rotated(rotary_emb, k, {.offset = n}));
      EXPECT_NEAR(score, wanted, lengths * 2 * kRotationError<X>) << "key at " << n;
    }
  });
}

// Decoding token by token, against keys rotated when they came or all at once, gives the bits of the full
// pass.
TEST(Relative, AlsoBetweenAFullPassAndCachedDecode) {
  Random random(109);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    const Index heads = 2, seq = 9, dim = 12, head_dim = 15;
    for (const Pairing pairing : kPairings) {
      const RotaryEmbedding<RowsFor<X>> rotary_emb(
          RotaryEmbeddingOptions{.dim = dim, .cache_max_seq_len = 5, .pairing = pairing});
      Tensor<X, 3> q(heads, seq, head_dim), k(heads, seq, head_dim);
      random.fill(q);
      random.fill(k);
      const auto [full_q, full_k] = rotary_emb.rotate_queries_and_keys(q, k);
      for (Index end = 1; end <= seq; ++end) {
        const Index count = random.integer<Index>(1, end), begin = end - count;
        const auto [cached_q, cached_k] =
            rotary_emb.rotate_queries_with_cached_keys(tokens_of(q, begin, count), tokens_of(k, 0, end));
        expect_same_bits(cached_q, tokens_of(full_q, begin, count));
        expect_same_bits(cached_k, tokens_of(full_k, 0, end));
        expect_same_bits(rotary_emb.rotate_queries_or_keys(tokens_of(k, begin, count), {.offset = begin}),
                         tokens_of(full_k, begin, count));
      }
    }
  });
}

}  // namespace
}  // namespace rotary::testing
