// KeyCache: decoding against a full pass, every operation by itself against the definition, and bad input.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <rotary/frequencies/longrope.hpp>
#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/positions/token_positions.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// The keys of a cache in memory of their own.
template <class X>
StridedArray<X> copy_of(const KeyCache<X>& cache) {
  StridedArray<X> copy({cache.heads(), cache.size(), cache.head_dim()});
  const auto keys = cache.keys();
  const Index per_head = cache.size() * cache.head_dim();
  for (Index n = 0; n < copy.size(); ++n) copy[n] = keys.data[n / per_head * keys.stride(0) + n % per_head];
  return copy;
}

template <class X>
StridedArray<X> random_keys(Random& random, Index heads, Index tokens, Index head_dim) {
  StridedArray<X> keys({heads, tokens, head_dim});
  keys.fill(random);
  return keys;
}

/// The definition in long double: feature `i` of a key at `positions`, one for each axis.
template <class X>
long double rotated(const X* key, Index i, const Frequencies& frequencies, Pairing pairing,
                    std::vector<double> positions) {
  const Index pairs = frequencies.pairs();
  if (i >= 2 * pairs) return static_cast<double>(key[i]);
  const Index pair = pairing == Pairing::half ? i % pairs : i / 2;
  const auto [first, second] = pair_features(pairing, pairs, pair);
  long double angle = 0;
  for (std::size_t axis = 0; axis < positions.size(); ++axis) {
    const DoubleDouble f =
        frequencies.values[axis * static_cast<std::size_t>(pairs) + static_cast<std::size_t>(pair)];
    angle += positions[axis] * (static_cast<long double>(f.hi) + f.lo);
  }
  const long double a = static_cast<double>(key[first]), b = static_cast<double>(key[second]);
  return frequencies.magnitude *
         (i == first ? a * std::cos(angle) - b * std::sin(angle) : b * std::cos(angle) + a * std::sin(angle));
}

/// Within a few roundings of the definition.
template <class X>
void expect_definition(const KeyCache<X>& cache, const StridedArray<X>& raw, const Frequencies& frequencies,
                       Pairing pairing) {
  const auto found = copy_of(cache);
  ASSERT_EQ(found.extents(), raw.extents());
  const Index head_dim = cache.head_dim();
  for (Index n = 0; n < found.size(); ++n) {
    std::vector<double> at;
    for (Index axis = 0; axis < cache.axes(); ++axis)
      at.push_back(static_cast<double>(cache.position(n / head_dim % cache.size(), axis)));
    ASSERT_NEAR(static_cast<double>(found[n]),
                static_cast<double>(rotated(&raw[n - n % head_dim], n % head_dim, frequencies, pairing, at)),
                8 * kUnit<X> * frequencies.magnitude)
        << "of element " << n;
  }
}

/// Text, an image of 2 × 3 tokens, text: (t, h, w).
TokenPositions text_and_image() {
  TokenPositions tokens(3);
  for (const std::int64_t n : {0, 1}) tokens.append({n, n, n});
  for (const std::int64_t h : {0, 1})
    for (const std::int64_t w : {0, 1, 2}) tokens.append({2, 2 + h, 2 + w});
  return tokens;
}

Frequencies mrope_frequencies() { return on_axes(language_frequencies(8), mrope_axes_chunked({2, 1, 1}), 3); }

const YarnOptions kYarn{.factor = 4, .original_max_position_embeddings = 4096};

// --- decoding

TEST(KeyCache, TokenByTokenEqualsAFullPass) {
  Random random(411);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (const Pairing pairing : kPairings) {
      const RotaryEmbedding<RowsFor<X>> rotary_emb(scaled(language_frequencies(12), 2),
                                                   {.start_index = 2, .pairing = pairing});
      const auto raw = random_keys<X>(random, 3, 40, 17);
      for (const bool grows : {true, false}) {
        KeyCache<X> cache(rotary_emb,
                          {.heads = 3, .head_dim = 17, .capacity = grows ? 0 : 40, .grows = grows});
        EXPECT_EQ(cache.layout(), rotary_emb.layout());
        cache.append(raw.view().slice(1, 0, 7), 1000);
        for (Index n = 7; n < 40; ++n) cache.append(raw.view().slice(1, n, 1));
        auto full = raw;
        rotary_emb.rotate_in_place(full.view(), 1000);
        EXPECT_TRUE(same_bits(copy_of(cache), full));
        EXPECT_EQ(cache.next_position(), FixedPosition(1040));
      }
    }
  });
}

// The factor by which an embedding divides positions is that of its keys.
TEST(KeyCache, InterpolatesAsItsEmbedding) {
  Random random(423);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : kPairings) {
    const RotaryEmbedding<float> rotary_emb({.dim = 12, .interpolate_factor = 2, .pairing = pairing});
    auto raw = random_keys<float>(random, 3, 40, 12);
    KeyCache<float> cache(rotary_emb, {.heads = 3, .head_dim = 12});
    cache.append(raw.view(), 1000);
    rotary_emb.rotate_in_place(raw.view(), 1000);
    EXPECT_TRUE(same_bits(copy_of(cache), raw));
  }
}

// Scores of each query against the cache are those of all queries against all keys: promise 2, also for XPos.
TEST(KeyCache, ScoresOfXPosEqualAFullPass) {
  Random random(412);
  SCOPED_TRACE(random.replay());
  const XPos<double> xpos(
      RotaryEmbeddingOptions{.dim = 8, .interpolate_factor = 1.5, .pairing = Pairing::half});
  Tensor<double, 2> q(12, 8), k(12, 8);
  random.fill(q);
  random.fill(k);
  const auto [full_q, full_k] = xpos.rotate_queries_and_keys(q, k, {.centre = 4});
  KeyCache<double> cache(xpos, 4, {.head_dim = 8});
  for (Index n = 0; n < 12; ++n) {
    const Tensor<double, 2> key = k.slice(Eigen::array<Index, 2>{n, 0}, Eigen::array<Index, 2>{1, 8});
    cache.append(key);
    for (Index m = 0; m <= n; ++m) {
      double score = 0, wanted = 0;
      for (Index i = 0; i < 8; ++i) {
        score += full_q(n, i) * cache.head(0)(m, i);
        wanted += full_q(n, i) * full_k(m, i);
      }
      EXPECT_EQ(score, wanted);
    }
  }
  // Around another centre all keys of a pair change by one factor, which its queries make up for.
  cache.change_centre(100);
  const auto [moved_q, moved_k] = xpos.rotate_queries_and_keys(q, k, {.centre = 100});
  for (Index n = 0; n < 12; ++n)
    for (Index i = 0; i < 8; ++i) EXPECT_EQ(cache.head(0)(n, i), moved_k(n, i));
}

// Every kind of tensor that keys may come in.
TEST(KeyCache, TakesKeysInAnyForm) {
  Random random(413);
  SCOPED_TRACE(random.replay());
  const Frequencies frequencies = language_frequencies(8);
  const KeyCacheOptions options{.heads = 2, .head_dim = 8};
  Tensor<float, 3> keys(2, 5, 8);
  random.fill(keys);
  KeyCache<float> wanted(frequencies, {}, options), cache(frequencies, {}, options);
  wanted.append(keys);
  const auto expect_same = [&] {
    EXPECT_TRUE(same_bits(copy_of(cache), copy_of(wanted)));
    cache.rewind(0);
  };
  cache.append(Eigen::TensorMap<const Tensor<float, 3>>(keys.data(), 2, 5, 8));
  expect_same();
  cache.append(keys + 0.0f);
  expect_same();
  Eigen::Tensor<float, 3> column_major(2, 5, 8);
  for (Index h = 0; h < 2; ++h)
    for (Index n = 0; n < 5; ++n)
      for (Index i = 0; i < 8; ++i) column_major(h, n, i) = keys(h, n, i);
  cache.append(column_major);
  expect_same();
  cache.append(StridedView<const float>(keys.data(), {2, 5, 8}));
  expect_same();
  cache.append(keys, Positions::from(0));
  expect_same();
  // Tokens before heads, if the layout says so.
  KeyCache<float> tokens_first(frequencies, {.seq_dim = -3}, options);
  tokens_first.append(StridedView<const float>(keys.data(), {5, 2, 8}, {8, 40, 1}));
  EXPECT_TRUE(same_bits(copy_of(tokens_first), copy_of(wanted)));
  // One head may be a matrix; what is appended may be the cache's own.
  KeyCache<float> one_head(frequencies, {}, {.head_dim = 8});
  const Eigen::MatrixXf matrix = Eigen::MatrixXf::Random(6, 8);
  one_head.append(matrix.topRows(3), 0);
  EXPECT_EQ(one_head.head(0).row(0), matrix.row(0));
  for (int round = 0; round < 6; ++round) {
    const Eigen::MatrixXf before = one_head.head(0);
    one_head.append(one_head.keys(), 0);
    EXPECT_EQ(one_head.head(0).row(before.rows()), before.row(0));
    EXPECT_EQ(one_head.head(0).topRows(before.rows()), before);
  }
}

TEST(KeyCache, ViewsShowTheSameKeys) {
  Random random(414);
  KeyCache<float> cache(language_frequencies(4), {}, {.heads = 3, .head_dim = 4, .capacity = 9});
  cache.append(random_keys<float>(random, 3, 5, 4).view());
  const auto keys = cache.keys();
  const auto tensor = cache.tensor();
  EXPECT_EQ(tensor.dimension(1), 9);
  for (Index h = 0; h < 3; ++h)
    for (Index n = 0; n < 5; ++n)
      for (Index i = 0; i < 4; ++i) {
        EXPECT_EQ(&tensor(h, n, i), &keys.data[h * keys.stride(0) + n * keys.stride(1) + i * keys.stride(2)]);
        EXPECT_EQ(cache.head(h)(n, i), tensor(h, n, i));
      }
}

// The range of positions ends at 2^62 either way; a fraction inside of it counts.
TEST(KeyCache, PositionsReachTheEndsOfTheRange) {
  const std::int64_t limit = std::int64_t{1} << 62;
  KeyCache<float> cache(language_frequencies(4), {}, {.heads = 1, .head_dim = 4});
  Random random(417);
  cache.append(random_keys<float>(random, 1, 1, 4).view(), 1 - limit);
  cache.append(random_keys<float>(random, 1, 1, 4).view(), limit - 1);
  EXPECT_NO_THROW(cache.shift(0, 1, -0.5));
  EXPECT_NO_THROW(cache.shift(1, 2, 0.5));
  EXPECT_THROW(cache.shift(0, 1, -1), std::invalid_argument);
  EXPECT_THROW(cache.shift(1, 2, 1), std::invalid_argument);
}

// Memory grows when there is no room, and not before.
TEST(KeyCache, GrowsWhenItIsFull) {
  Random random(416);
  KeyCache<float> cache(language_frequencies(4), {}, {.heads = 2, .head_dim = 4, .capacity = 3});
  const auto append = [&](Index count) { cache.append(random_keys<float>(random, 2, count, 4).view()); };
  append(3);
  EXPECT_EQ(cache.capacity(), 3);
  append(0);
  EXPECT_EQ(cache.capacity(), 3);
  append(1);
  EXPECT_EQ(cache.capacity(), 6);
  append(9);
  EXPECT_EQ(cache.capacity(), 13);
}

// --- moving

TEST(KeyCache, AgreesWithTheDefinition) {
  Random random(415);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (const Pairing pairing : kPairings) {
      for (const Frequencies& frequencies : {language_frequencies(8), yarn_frequencies(8, 10000, kYarn)}) {
        const auto raw = random_keys<X>(random, 2, 8, 10);
        KeyCache<X> cache(frequencies, {.pairing = pairing}, {.heads = 2, .head_dim = 10});
        cache.append(raw.view(), -3);
        expect_definition(cache, raw, frequencies, pairing);
        cache.shift(2, 7, 40.25);
        cache.shift(0, 3, -7);
        expect_definition(cache, raw, frequencies, pairing);
        cache.change_frequencies(language_frequencies(8, 500000));
        expect_definition(cache, raw, language_frequencies(8, 500000), pairing);
      }
      const Frequencies mrope = mrope_frequencies();
      const auto raw = random_keys<X>(random, 2, 8, 10);
      const TokenPositions tokens = text_and_image();
      KeyCache<X> cache(mrope, {.pairing = pairing}, {.heads = 2, .head_dim = 10});
      cache.append(raw.view(), tokens.positions());
      EXPECT_EQ(cache.next_position(), FixedPosition(5)) << "one after the largest coordinate of the image";
      cache.shift(3, 8, {10, -2, 0.5});
      expect_definition(cache, raw, mrope, pairing);
    }
  });
}

// Sliding a window of 64 tokens by one, 1000 times, leaves no more rounding than writing them once.
TEST(KeyCache, RoundingDoesNotPileUp) {
  Random random(416);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    const Frequencies yarn = yarn_frequencies(16, 10000, kYarn);
    EXPECT_GT(yarn.magnitude, 1.1);
    const auto raw = random_keys<X>(random, 2, 64, 16);
    KeyCache<X> cache(yarn, {}, {.heads = 2, .head_dim = 16});
    cache.append(raw.view(), 1000);
    const auto before = copy_of(cache);
    for (int n = 0; n < 1000; ++n) cache.shift(0, 64, n % 3 == 0 ? -1.5 : -0.75);
    EXPECT_EQ(cache.position(0), FixedPosition(-0.5)) << "1000 − 334 · 1.5 − 666 · 0.75 ";
    expect_definition(cache, raw, yarn, Pairing::interleaved);
    cache.shift(0, 64, 1000.5);
    EXPECT_TRUE(same_bits(copy_of(cache), before));
  });
}

TEST(KeyCache, ContextShiftClosesTheGap) {
  Random random(417);
  const auto raw = random_keys<float>(random, 2, 20, 8);
  KeyCache<float> cache(language_frequencies(8), {}, {.heads = 2, .head_dim = 8});
  cache.append(raw.view());
  cache.shift_context(4, 12);
  // As if the tokens dropped had never been.
  KeyCache<float> without(language_frequencies(8), {}, {.heads = 2, .head_dim = 8});
  without.append(raw.view().slice(1, 0, 4));
  without.append(raw.view().slice(1, 12, 8));
  EXPECT_TRUE(same_bits(copy_of(cache), copy_of(without)));
  EXPECT_EQ(cache.next_position(), FixedPosition(12));
  // Nothing after the gap: the next token closes it.
  cache.shift_context(6, 12);
  EXPECT_EQ(cache.next_position(), FixedPosition(6));
  // The text after an image takes the place of its first token, on every axis.
  const TokenPositions tokens = text_and_image();
  KeyCache<float> mrope(mrope_frequencies(), {}, {.heads = 2, .head_dim = 8});
  mrope.append(raw.view().slice(1, 0, 8), tokens.positions());
  mrope.append(raw.view().slice(1, 8, 2));
  mrope.shift_context(2, 8);
  ASSERT_EQ(mrope.size(), 4);
  for (Index axis = 0; axis < 3; ++axis) EXPECT_EQ(mrope.position(3, axis), FixedPosition(3));
}

TEST(KeyCache, EraseLeavesTheOthersWhereTheyStand) {
  Random random(418);
  const auto raw = random_keys<Eigen::half>(random, 2, 9, 8);
  KeyCache<Eigen::half> cache(language_frequencies(8), {}, {.heads = 2, .head_dim = 8});
  cache.append(raw.view());
  const auto before = copy_of(cache);
  for (const Index at : {Index{0}, Index{3}, cache.size()}) cache.erase(at, at);  // no token
  cache.erase(3, 5);
  ASSERT_EQ(cache.size(), 7);
  const auto after = copy_of(cache);
  for (Index head = 0; head < 2; ++head)
    for (Index n = 0; n < 7; ++n) {
      const Index from = n < 3 ? n : n + 2;
      EXPECT_EQ(cache.position(n), FixedPosition(from));
      for (Index i = 0; i < 8; ++i)
        EXPECT_EQ(bits_of(after[(head * 7 + n) * 8 + i]), bits_of(before[(head * 9 + from) * 8 + i]));
    }
}

TEST(KeyCache, ForksAreApart) {
  Random random(419);
  const auto raw = random_keys<float>(random, 1, 6, 8);
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 8});
  std::optional<KeyCache<float>> origin(std::in_place, xpos, 2, KeyCacheOptions{.head_dim = 8});
  origin->append(raw.view());
  KeyCache<float> fork = *origin;
  const auto before = copy_of(*origin);
  fork.rewind(3);
  fork.append(raw.view(), 50);
  fork.change_centre(20);
  EXPECT_TRUE(same_bits(copy_of(*origin), before));
  origin.reset();  // a fork needs nothing of it
  fork.rewind(0);
  fork.change_centre(2);
  fork.append(raw.view());
  EXPECT_TRUE(same_bits(copy_of(fork), before));
}

TEST(KeyCache, ChangesFrequenciesAsTheContextGrows) {
  Random random(420);
  const auto raw = random_keys<Eigen::bfloat16>(random, 2, 30, 8);
  const LongRopeOptions longrope{.short_factor = {1, 1, 1.1, 1.5},
                                 .long_factor = {1, 2, 8, 30},
                                 .original_max_position_embeddings = 20,
                                 .max_position_embeddings = 80};
  const auto of_longrope = [&](double length) { return longrope_frequencies(8, 10000, longrope, length); };
  const auto of_ntk = [](double length) {
    return dynamic_ntk_frequencies(8, 10000, {.factor = 2, .max_position_embeddings = 20}, length);
  };
  for (const std::function<Frequencies(double)>& frequencies :
       {std::function<Frequencies(double)>(of_longrope), std::function<Frequencies(double)>(of_ntk)}) {
    KeyCache<Eigen::bfloat16> cache(frequencies(20), {}, {.heads = 2, .head_dim = 8});
    cache.append(raw.view().slice(1, 0, 20));
    cache.change_frequencies(frequencies(30));
    cache.append(raw.view().slice(1, 20, 10));
    KeyCache<Eigen::bfloat16> at_once(frequencies(30), {}, {.heads = 2, .head_dim = 8});
    at_once.append(raw.view());
    EXPECT_TRUE(same_bits(copy_of(cache), copy_of(at_once)));
  }
}

TEST(KeyCache, FeaturesOutsideTheWindowKeepTheirBits) {
  Random random(421);
  auto raw = random_keys<float>(random, 2, 3, 8);
  for (Index n = 0; n < 6; ++n) raw[n * 8] = from_bits<float>(0x7fc12345), raw[n * 8 + 7] = -0.0f;
  KeyCache<float> cache(language_frequencies(4), {.start_index = 2}, {.heads = 2, .head_dim = 8});
  cache.append(raw.view(), 1000);
  cache.shift(0, 3, 5);
  const auto found = copy_of(cache);
  for (Index n = 0; n < 6; ++n)
    for (const Index i : {0, 1, 6, 7}) EXPECT_EQ(bits_of(found[n * 8 + i]), bits_of(raw[n * 8 + i]));
}

// --- bad input

TEST(KeyCacheErrors, WhatItIsMadeOf) {
  const Frequencies frequencies = language_frequencies(8);
  const auto make = [&](const KeyCacheOptions& options, const HeadLayout& layout = {}) {
    return [&frequencies, options, layout] { KeyCache<float>(frequencies, layout, options); };
  };
  expect_error(make({}), {"head_dim is 0", "positive"});
  expect_error(make({.heads = 0, .head_dim = 8}), {"heads is 0", "at least 1"});
  expect_error(make({.head_dim = 7}), {"8 features", "7"});
  expect_error(make({.head_dim = 9}, {.start_index = 2}), {"start_index 2", "9"});
  expect_error(make({.head_dim = 9}, {.start_index = -1}), {"start_index is -1", "negative"});
  expect_error(make({.head_dim = 8}, {.seq_dim = 1}), {"seq_dim is 1", "-2", "-3"});
  expect_error(make({.head_dim = 8}, {.rotary_dim = 6}), {"rotary_dim is 6", "4 frequencies"});
  expect_error(make({.head_dim = 8, .capacity = -1}), {"capacity is -1", "negative"});
  expect_error(make({.head_dim = 8, .capacity = PTRDIFF_MAX / 16}), {"more than fits"});
  expect_error(make({.heads = PTRDIFF_MAX / 2, .head_dim = 8}), {"more than fits"});
  const auto of = [](const Frequencies& wrong) {
    return [wrong] { KeyCache<float>(wrong, {}, {.head_dim = 8}); };
  };
  expect_error(of({.values = {1, kNaN}}), {"a frequency is", "finite"});
  expect_error(of({.values = {1}, .magnitude = kNaN}), {"magnitude is", "finite"});
  expect_error(of({.values = {1}, .magnitude = 1e39}), {"magnitude is 1e+39", "finite"});
  expect_error(of({.values = {1, 1, 1, 1, 1}, .axes = 5}), {"1 to 4 coordinates", "5"});
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 8});
  expect_error([&] { KeyCache<float>(xpos, kNaN, {.head_dim = 8}); }, {"centre is", "finite"});
}

/// A cache that must look the same after a call as before it.
struct Unchanged {
  Random random{422};
  KeyCache<float> cache;
  StridedArray<float> keys = random_keys<float>(random, 2, 4, 8), before{{0}};

  explicit Unchanged(KeyCache<float> of) : cache(std::move(of)) {
    cache.append(keys.view());
    before = copy_of(cache);
  }
  void expect_error_of(const std::function<void()>& call, std::initializer_list<std::string_view> parts) {
    expect_error(call, parts);
    EXPECT_EQ(cache.size(), 4);
    EXPECT_EQ(cache.next_position(), FixedPosition(4));
    EXPECT_TRUE(same_bits(copy_of(cache), before));
    cache.shift(0, 4, 0);  // by the frequencies it has now
    EXPECT_TRUE(same_bits(copy_of(cache), before));
  }
};

TEST(KeyCacheErrors, LeaveEverythingAsItWas) {
  Unchanged of(KeyCache<float>(language_frequencies(8), {},
                               {.heads = 2, .head_dim = 8, .capacity = 6, .grows = false}));
  KeyCache<float>& cache = of.cache;
  const auto keys = std::as_const(of.keys).view();
  of.expect_error_of([&] { cache.append(keys); }, {"4 keys", "to 4", "room for 6"});
  of.expect_error_of([&] { cache.append(keys.slice(0, 0, 1)); }, {"[1, 4, 8]", "[2, n, 8]"});
  of.expect_error_of([&] { cache.append(keys.slice(2, 0, 7)); }, {"[2, 4, 7]", "[2, n, 8]"});
  of.expect_error_of([&] { cache.append(Eigen::MatrixXf(2, 8)); }, {"[2, 8]", "[2, n, 8]"});
  const auto two = keys.slice(1, 0, 2);
  of.expect_error_of([&] { cache.append(two, kNaN); }, {"position", "2^62"});
  of.expect_error_of([&] { cache.append(two, (std::int64_t{1} << 62) - 1); }, {"position 4.6", "2^62"});
  const std::vector<double> three{1, 2, 3};
  const auto listed = Positions::listed(std::span<const double>(three));
  of.expect_error_of([&] { cache.append(two, listed); }, {"3 positions", "2 keys"});
  const TokenPositions image = text_and_image();
  of.expect_error_of([&] { cache.append(two, image.positions()); }, {"3 coordinates", "1"});

  for (const auto& [first, last] : {std::pair<Index, Index>{-1, 2}, {3, 2}, {0, 5}, {5, 5}}) {
    const std::string range = "[" + std::to_string(first) + ", " + std::to_string(last) + ")";
    of.expect_error_of([&, f = first, l = last] { cache.shift(f, l, 1); }, {range, "[0, 4)"});
    of.expect_error_of([&, f = first, l = last] { cache.erase(f, l); }, {range, "[0, 4)"});
    of.expect_error_of([&, f = first, l = last] { cache.shift_context(f, l); }, {range, "[0, 4)"});
  }
  of.expect_error_of([&] { cache.shift(0, 4, kNaN); }, {"position", "2^62"});
  of.expect_error_of([&] { cache.shift(0, 4, (std::int64_t{1} << 62) - 2); }, {"out of range", "2^62"});
  of.expect_error_of([&] { cache.shift(0, 4, {1, 2}); }, {"2 deltas", "1 axes"});
  of.expect_error_of([&] { cache.rewind(5); }, {"[5, 4)", "[0, 4)"});
  of.expect_error_of([&] { cache.rewind(-1); }, {"[-1, 4)", "[0, 4)"});
  of.expect_error_of([&] { cache.change_frequencies(language_frequencies(6)); }, {"3 pairs", "4 pairs"});
  of.expect_error_of([&] { cache.change_frequencies(mrope_frequencies()); }, {"3 axes", "on 1"});
  Frequencies wrong = language_frequencies(8);
  wrong.values[2] = kNaN;
  of.expect_error_of([&] { cache.change_frequencies(wrong); }, {"a frequency is", "finite"});
  of.expect_error_of([&] { cache.change_centre(3); }, {"centre, 3", "XPos"});
  expect_error([&] { static_cast<void>(cache.position(4)); }, {"token 4", "4 tokens"});
  expect_error([&] { static_cast<void>(cache.position(0, 1)); }, {"axis 1", "1 coordinates"});
  expect_error([&] { static_cast<void>(cache.head(2)); }, {"head is 2", "0 to 1"});
}

TEST(KeyCacheErrors, ScalesOfXPosStayInTheRangeOfTheKeys) {
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 8});
  Unchanged of(KeyCache<float>(xpos, 0, {.heads = 2, .head_dim = 8}));
  of.expect_error_of([&] { of.cache.append(of.keys.view(), 100000); }, {"position 100000", "centre, 0"});
  of.expect_error_of([&] { of.cache.shift(1, 3, -100000); }, {"position -99999", "centre, 0"});
  of.expect_error_of([&] { of.cache.change_centre(1e6); }, {"position 0", "centre, 1e+06"});
  of.expect_error_of([&] { of.cache.change_centre(kNaN); }, {"centre is", "finite"});
  // 4500 positions on, a scale is more than half can hold.
  const Tensor<Eigen::half, 3> key = Tensor<Eigen::half, 3>(2, 1, 8).setConstant(Eigen::half(1));
  KeyCache<Eigen::half> of_half(xpos, 0, {.heads = 2, .head_dim = 8});
  expect_error([&] { of_half.append(key, 4600); }, {"position 4600", "out of range"});
  of_half.append(key, 4000);
  for (Index i = 0; i < 8; ++i) EXPECT_TRUE(Eigen::numext::isfinite(of_half.head(0)(0, i)));
}

}  // namespace
}  // namespace rotary::testing
