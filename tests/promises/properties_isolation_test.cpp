// Promises 4 to 6: what a result does not depend on, what is not touched, and how 16-bit tensors are rounded.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <rotary/rotary_embedding.hpp>

#include "support/compiled_kernels.hpp"
#include "support/rotated.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

// --- promise 4: no history

// Long then short, offset then none, scaled and backwards in between, whatever of it is cached.
TEST(NoHistory, ResultsDoNotDependOnEarlierCalls) {
  Random random(401);
  SCOPED_TRACE(random.replay());
  for_each_of<float, double, Eigen::bfloat16>([&](auto scalar) {
    using X = decltype(scalar);
    for (const Index cached : {Index{0}, Index{1}, Index{7}, Index{64}, Index{100}, Index{8192}}) {
      const RotaryEmbeddingOptions options{.dim = 6, .cache_max_seq_len = cached};
      const RotaryEmbedding<RowsFor<X>> used(options);
      for (int call = 0; call < 40; ++call) {
        const Index seq = random.pick<Index>({0, 1, 2, 63, 64, 65, 130});
        StridedArray<X> x({seq, 7});
        x.fill(random);
        const RotateOptions how{
            .offset = random.pick<FixedPosition>({0, 0, 0, 1, 6, 62, 63, 64, 500, -3, 0.5, 1000003}),
            .scale = random.pick({1.0, 1.0, 1.0, 2.0}),
            .direction = random.pick({Direction::forward, Direction::transpose})};
        const RotaryEmbedding<RowsFor<X>> fresh(options);
        ASSERT_TRUE(same_bits(rotated(used, x, how), rotated(fresh, x, how)))
            << "call " << call << ", caching " << cached;
      }
    }
  });
}

TEST(NoHistory, KeepingRowsIsNotSeen) {
  Random random(402);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 30; ++round) {
      RotaryEmbeddingOptions options{.dim = 2 * random.integer<Index>(1, 40),
                                     .pairing = kPairings[round % 2]};
      const RotaryEmbedding<RowsFor<X>> keeps(options);
      options.cache_max_seq_len = random.integer<Index>(0, 50);
      const RotaryEmbedding<RowsFor<X>> keeps_few(options);
      options.cache_if_possible = false;
      const RotaryEmbedding<RowsFor<X>> keeps_none(options);
      StridedArray<X> x({2, random.integer<Index>(1, 60), options.dim});
      x.fill(random);
      const RotateOptions how{.offset = random.integer<Index>(0, 20)};
      const auto wanted = rotated(keeps_none, x, how);
      EXPECT_TRUE(same_bits(rotated(keeps, x, how), wanted));
      EXPECT_TRUE(same_bits(rotated(keeps_few, x, how), wanted));
    }
  });
}

TEST(NoHistory, CopiesAndMovesRotateAlike) {
  Random random(403);
  SCOPED_TRACE(random.replay());
  const RotaryEmbeddingOptions options{.dim = 6, .learned_freq = true};
  StridedArray<float> x({100, 6});
  x.fill(random);
  RotaryEmbedding<float> first(options);
  const auto wanted = rotated(first, x);
  RotaryEmbedding<float> copy(first);
  EXPECT_TRUE(same_bits(rotated(copy, x), wanted));
  RotaryEmbedding<float> moved(std::move(copy));
  EXPECT_TRUE(same_bits(rotated(moved, x), wanted));
  copy = moved;
  EXPECT_TRUE(same_bits(rotated(copy, x), wanted));
  const std::vector<double> others{0.5, 0.25, 0.125};
  copy.set_freqs(others);
  EXPECT_FALSE(same_bits(rotated(copy, x), wanted)) << "new frequencies must show";
  EXPECT_TRUE(same_bits(rotated(moved, x), wanted)) << "and only where they were set";
  const auto with_others = rotated(RotaryEmbedding<float>(RotaryEmbeddingOptions{.custom_freqs = others}), x);
  EXPECT_TRUE(same_bits(rotated(copy, x), with_others));
  moved = std::move(copy);
  EXPECT_TRUE(same_bits(rotated(moved, x), with_others));
}

// --- promise 5: nothing else is touched

/// Any bits at all: among them are NaNs of every payload, infinities and subnormal numbers.
template <class X>
X any_bits(Random& random) {
  const auto bits = static_cast<Bits<X>>(random.bits());
  // The exponent all ones in every other draw.
  const X nan = std::numeric_limits<X>::infinity();
  return from_bits<X>(random.integer(0, 1) == 1 ? static_cast<Bits<X>>(bits | bits_of(nan)) : bits);
}

TEST(NothingElseIsTouched, FeaturesOutsideTheWindowKeepTheirBits) {
  Random random(404);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 200; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const int rank = random.integer(2, 5);
      const Index dim = 2 * random.integer<Index>(0, 12), start = random.integer<Index>(0, 20);
      const Index features = std::max<Index>(1, start + dim + random.integer<Index>(0, 20));
      const RotaryEmbedding<RowsFor<X>> rotary_emb(language_frequencies(dim),
                                                   {.start_index = start, .pairing = pairing});
      const RotaryEmbedding<RowsFor<X>> of_window(language_frequencies(dim), {.pairing = pairing});
      StridedArray<X> x(random_shape(random, rank, features));
      x.fill(random);
      for (Index n = 0; n < x.size(); ++n)
        if (n % features < start || n % features >= start + dim) x[n] = any_bits<X>(random);
      const RotateOptions options{.offset = 3, .seq_dim = random.integer(0, rank - 2)};
      SCOPED_TRACE(text_of(x.extents()) + ", features " + std::to_string(start) + " on");

      const auto from = x.laid_out(Layout::random(random, rank));
      StridedArray<X> to(x.extents(), Layout::random(random, rank));
      rotary_emb.rotate_into(from.view(), to.view(), options);
      auto in_place = from;
      rotary_emb.rotate_in_place(in_place.view(), options);
      // The window by itself, where there is nothing else to touch.
      auto wanted = x;
      of_window.rotate_in_place(wanted.view().slice(rank - 1, start, dim), options);
      EXPECT_TRUE(same_bits(to, wanted)) << "out of place";
      EXPECT_TRUE(same_bits(in_place, wanted)) << "in place";
      for (Index n = 0; n < x.size(); ++n) {
        if (n % features < start || n % features >= start + dim) {
          ASSERT_EQ(bits_of(to[n]), bits_of(x[n])) << "element " << n;
        }
      }
      EXPECT_TRUE(to.guards_are_intact() && in_place.guards_are_intact());
    }
  });
}

// Also the odd feature that allow_odd_dim leaves over.
TEST(NothingElseIsTouched, AnOddDimLeavesItsLastFeatureAlone) {
  Random random(405);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (Index dim = 1; dim <= 41; dim += 2) {
      for (const Pairing pairing : kPairings) {
        const RotaryEmbedding<RowsFor<X>> rotary_emb(
            RotaryEmbeddingOptions{.dim = dim, .allow_odd_dim = true, .pairing = pairing});
        StridedArray<X> x({4, dim});
        x.fill(random);
        for (Index row = 0; row < 4; ++row) x[row * dim + dim - 1] = any_bits<X>(random);
        auto wanted = x;
        rotary_emb.rotate_in_place(wanted.view().slice(1, 0, dim - 1), {.offset = 1});
        EXPECT_TRUE(same_bits(rotated(rotary_emb, x, {.offset = 1}), wanted)) << "dim " << dim;
        for (Index row = 0; row < 4; ++row)
          ASSERT_EQ(bits_of(wanted[row * dim + dim - 1]), bits_of(x[row * dim + dim - 1]));
      }
    }
  });
}

// NaN and infinity go no further than the pair they are in.
TEST(NothingElseIsTouched, NotANumberStaysInItsPair) {
  Random random(406);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (Index dim = 2; dim <= 42; dim += 4) {
      for (const Pairing pairing : kPairings) {
        const RotaryEmbedding<RowsFor<X>> rotary_emb(RotaryEmbeddingOptions{.dim = dim, .pairing = pairing});
        StridedArray<X> x({5, dim});
        x.fill(random);
        const auto wanted = rotated(rotary_emb, x, {.offset = 1});
        const Index row = random.integer<Index>(0, 4) * dim;
        const auto [a, b] = pair_features(pairing, dim / 2, random.integer<Index>(0, dim / 2 - 1));
        x[row + random.pick({a, b})] =
            random.pick({std::numeric_limits<X>::quiet_NaN(), std::numeric_limits<X>::infinity()});
        const auto found = rotated(rotary_emb, x, {.offset = 1});
        for (Index n = 0; n < x.size(); ++n) {
          if (n == row + a || n == row + b) {
            EXPECT_FALSE(std::isfinite(static_cast<double>(found[n])));
          } else {
            ASSERT_EQ(bits_of(found[n]), bits_of(wanted[n])) << "dim " << dim << ", element " << n;
          }
        }
      }
    }
  });
}

// --- promise 6: one rounding

/// The next number away from zero, less the number.
template <class X>
double unit_in_the_last_place(const X& x) {
  return std::fabs(static_cast<double>(from_bits<X>(static_cast<Bits<X>>(bits_of(x) + 1))) -
                   static_cast<double>(x));
}

// The rotation of the same numbers in float, rounded; so rows in double make no difference.
TEST(OneRounding, SixteenBitTensorsAreRotatedInFloatAndRoundedOnce) {
  Random random(407);
  SCOPED_TRACE(random.replay());
  for_each_of<Eigen::half, Eigen::bfloat16>([&](auto scalar) {
    using X = decltype(scalar);
    Index not_nearest = 0, all = 0;
    for (int round = 0; round < 60; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const RotaryEmbeddingOptions options{.dim = 2 * random.integer<Index>(1, 33), .pairing = pairing};
      const RotaryEmbedding<float> rotary_emb(options);
      const RotaryEmbedding<double> with_double_rows(options);
      StridedArray<X> x({3, 5, options.dim});
      x.fill(random);
      StridedArray<float> as_float(x.extents());
      StridedArray<double> as_double(x.extents());
      for (Index n = 0; n < x.size(); ++n) as_double[n] = as_float[n] = static_cast<float>(x[n]);

      const RotateOptions how{.offset = random.pick<Index>({0, 5, 1000003})};
      const auto result = rotated(rotary_emb, x, how);
      const auto in_float = rotated(rotary_emb, as_float, how);
      const auto exact = rotated(with_double_rows, as_double, how);
      EXPECT_TRUE(same_bits(rotated(with_double_rows, x, how), result));
      for (Index n = 0; n < x.size(); ++n) {
        ASSERT_EQ(bits_of(result[n]), bits_of(static_cast<X>(in_float[n]))) << "element " << n;
        // Within half a unit in the last place of the truth, but for what float was off by.
        const double error = std::fabs(static_cast<double>(result[n]) - exact[n]);
        ASSERT_LE(error, 0.5 * unit_in_the_last_place(result[n]) + 3 * 2 * kUnit<float>) << "element " << n;
        ++all;
        if (bits_of(static_cast<X>(static_cast<float>(exact[n]))) != bits_of(result[n])) ++not_nearest;
      }
    }
    EXPECT_LE(not_nearest * 1000, all) << "more than one in 1000 is not the number nearest to the truth";
  });
}

// A float tensor with double rows is rotated in double, and rounded once.
TEST(OneRounding, FloatTensorsWithDoubleRowsAreRoundedOnce) {
  Random random(408);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 40; ++round) {
    const RotaryEmbedding<double> rotary_emb(
        RotaryEmbeddingOptions{.dim = 2 * random.integer<Index>(1, 33), .pairing = kPairings[round % 2]});
    StridedArray<float> x({3, 5, rotary_emb.rotary_dim()});
    x.fill(random);
    StridedArray<double> as_double(x.extents());
    for (Index n = 0; n < x.size(); ++n) as_double[n] = x[n];
    const auto result = rotated(rotary_emb, x, {.offset = 9}), rounded = [&] {
      const auto in_double = rotated(rotary_emb, as_double, {.offset = 9});
      StridedArray<float> narrow(x.extents());
      for (Index n = 0; n < x.size(); ++n) narrow[n] = static_cast<float>(in_double[n]);
      return narrow;
    }();
    ASSERT_TRUE(same_bits(result, rounded));
  }
}

// A double tensor with float rows is rotated in double too: rows are all that is rounded to float.
TEST(OneRounding, DoubleTensorsWithFloatRowsAreRotatedInDouble) {
  Random random(409);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : kPairings) {
    const Index dim = 24;
    const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = dim, .pairing = pairing});
    const CosSinTable<float> rows(language_frequencies(dim), Positions::consecutive(7), {.pairing = pairing});
    StridedArray<double> x({7, dim});
    x.fill(random);
    const auto result = rotated(rotary_emb, x);
    for (Index n = 0; n < 7; ++n) {
      for (Index i = 0; i < dim / 2; ++i) {
        const auto [a, b] = pair_features(pairing, dim / 2, i);
        const double cos = static_cast<double>(rows.cos(n, i)), sin = static_cast<double>(rows.sin(n, i));
        const double from_a = x[n * dim + a], from_b = x[n * dim + b];
        EXPECT_NEAR(result[n * dim + a], from_a * cos - from_b * sin, 8 * kUnit<double>);
        EXPECT_NEAR(result[n * dim + b], from_b * cos + from_a * sin, 8 * kUnit<double>);
      }
    }
  }
}

}  // namespace
}  // namespace rotary::testing
