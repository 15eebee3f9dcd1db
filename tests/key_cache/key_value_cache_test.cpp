// KeyValueCache: each promise by itself: exact moves, error bounds, shared pages, an exhausted pool, and bad input.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/key_cache/key_value_cache.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/stored_tokens.hpp"

namespace rotary::testing {
namespace {

constexpr HeadLayout kTokensFirst{.pairing = Pairing::half, .seq_dim = -3};

template <class X>
Tensor<X, 3> random_tokens(Random& random, Index tokens, Index heads, Index width) {
  Tensor<X, 3> x(tokens, heads, width);
  for (Index n = 0; n < x.size(); ++n) {
    const double size = random.uniform(0.125, 2);
    x.data()[n] = static_cast<X>(random.integer(0, 1) == 1 ? size : -size);
  }
  return x;
}

template <class A, class B>
void expect_same(const A& found, const B& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (Index n = 0; n < found.size(); ++n)
    ASSERT_EQ(bits_of(found.data()[n]), bits_of(wanted.data()[n])) << "element " << n;
}

/// Everything that a page holds, to be compared later.
template <class X, class Stored>
std::vector<Stored> copy_of_page(const KeyValueCache<X, Stored>& cache, Index number, Index slots) {
  std::vector<Stored> copy;
  const auto page = cache.page(number);
  for (const StridedView<const Stored>& view : {page.keys, page.values})
    for (Index n = 0; n < slots; ++n)
      for (Index h = 0; h < view.extent(1); ++h)
        for (Index f = 0; f < view.extent(2); ++f)
          copy.push_back(view.data[n * view.stride(0) + h * view.stride(1) + f * view.stride(2)]);
  return copy;
}

// --- moves

// With raw keys no operation leaves a trace: what is left has the bits of a new cache.
TEST(KeyValueCache, MovesAreExactWithRawKeys) {
  Random random(1661);
  SCOPED_TRACE(random.replay());
  const auto check = [&]<class X, class Stored>(X, Stored) {
    const KeyValueCacheOptions options{
        .heads = 2, .head_dim = 12, .pages = 12, .page_tokens = 5, .raw_keys = true};
    KeyValueCache<X, Stored> cache(language_frequencies(8), kTokensFirst, options);
    const auto keys = random_tokens<X>(random, 23, 2, 12), values = random_tokens<X>(random, 23, 2, 12);
    const SequenceId id = cache.add_sequence();
    cache.append(id, keys, values, 100);
    cache.shift(id, 3, 20, -7.25);
    cache.shift_context(id, 4, 11);
    cache.change_frequencies(
        yarn_frequencies(8, 10000, {.factor = 4, .original_max_position_embeddings = 64}));
    cache.keep_sinks_and_window(id, 4, 7);
    KeyValueCache<X, Stored> fresh(cache.frequencies(), kTokensFirst, options);
    const SequenceId wanted = fresh.add_sequence();
    for (Index n = 0; n < 11; ++n) {
      const Index token = n < 4 ? n : n + 12;
      fresh.append(wanted, view_of(keys).slice(0, token, 1), view_of(values).slice(0, token, 1),
                   cache.position(id, n));
    }
    EXPECT_EQ(cache.size(id), 11);
    expect_same(cache.read_keys(id, 0, 11), fresh.read_keys(wanted, 0, 11));
    expect_same(cache.read_values(id, 0, 11), fresh.read_values(wanted, 0, 11));
    expect_same(cache.read_raw_keys(id, 0, 11), fresh.read_raw_keys(wanted, 0, 11));
  };
  check(float{}, float{});
  check(Eigen::bfloat16{}, Eigen::bfloat16{});
  check(float{}, std::int8_t{});
}

/// The largest error of keys after each of `moves` moves without raw keys, in units of the length of a pair.
template <class X, class Stored>
std::vector<double> errors_after_moves(Random& random, int moves) {
  const Index tokens = 40, heads = 2, d = 16;
  const Frequencies frequencies = language_frequencies(d);
  KeyValueCache<X, Stored> cache(frequencies, kTokensFirst,
                                 {.heads = heads, .head_dim = d, .pages = 3, .page_tokens = 16});
  // Pairs of length 1, so that no head has a longer one.
  Tensor<X, 3> keys(tokens, heads, d);
  for (Index n = 0; n < tokens * heads; ++n)
    for (Index i = 0; i < d / 2; ++i) {
      const double angle = random.uniform(0, 6.28);
      keys.data()[n * d + i] = static_cast<X>(std::cos(angle));
      keys.data()[n * d + i + d / 2] = static_cast<X>(std::sin(angle));
    }
  const SequenceId id = cache.add_sequence();
  cache.append(id, keys, keys, 1000);
  std::vector<double> errors;
  std::vector<double> raw(static_cast<std::size_t>(keys.size()));
  for (std::size_t n = 0; n < raw.size(); ++n) raw[n] = static_cast<double>(keys.data()[n]);
  for (int move = 0; move <= moves; ++move) {
    if (move > 0) cache.shift(id, 0, tokens, -17);
    const auto found = cache.read_keys(id, 0, tokens);
    double largest = 0;
    for (Index n = 0; n < tokens; ++n) {
      const double at[] = {static_cast<double>(cache.position(id, n))};
      const auto first = raw.begin() + n * heads * d;
      const auto wanted = exactly_rotated({first, first + heads * d}, d, frequencies, kTokensFirst, at);
      for (std::size_t i = 0; i < wanted.size(); ++i)
        largest = std::max(
            largest,
            std::fabs(static_cast<double>(found.data()[n * heads * d + static_cast<Index>(i)]) - wanted[i]));
    }
    errors.push_back(largest);
  }
  return errors;
}

TEST(KeyValueCache, ErrorsOfMovesWithoutRawKeysAreBounded) {
  Random random(1662);
  SCOPED_TRACE(random.replay());
  const auto check = [&](const std::vector<double>& errors, double of_a_move, double longest) {
    for (std::size_t m = 0; m < errors.size(); ++m) {
      const double bound = longest * (std::pow(1 + of_a_move, static_cast<double>(m + 1)) - 1);
      EXPECT_LE(errors[m], bound) << "after " << m << " moves";
      EXPECT_GE(errors[m], bound / 40) << "after " << m << " moves: the bound says nothing";
    }
  };
  constexpr int kMoves = 30;
  check(errors_after_moves<float, float>(random, kMoves), 4 * kUnit<float>, 1.001);
  check(errors_after_moves<double, double>(random, kMoves), 4 * kUnit<double>, 1.001);
  check(errors_after_moves<Eigen::half, Eigen::half>(random, kMoves), 1.01 * kUnit<Eigen::half>, 1.001);
  check(errors_after_moves<Eigen::bfloat16, Eigen::bfloat16>(random, kMoves), 1.01 * kUnit<Eigen::bfloat16>,
        1.01);
  check(errors_after_moves<float, Eigen::bfloat16>(random, kMoves), 1.01 * kUnit<Eigen::bfloat16>, 1.001);
  check(errors_after_moves<float, std::int8_t>(random, kMoves), 1.0 / 179, 1.001);
}

TEST(KeyValueCache, AMoveByNothingChangesNothing) {
  Random random(1663);
  KeyValueCache<Eigen::bfloat16> cache(language_frequencies(8), kTokensFirst,
                                       {.head_dim = 8, .pages = 2, .page_tokens = 4});
  const auto keys = random_tokens<Eigen::bfloat16>(random, 8, 1, 8);
  const SequenceId id = cache.add_sequence();
  cache.append(id, keys, keys);
  const SequenceId fork = cache.fork(id);
  const auto before = cache.read_keys(id, 0, 8);
  cache.shift(fork, 0, 8, 0);  // the pool is empty: nothing is copied
  cache.shift(fork, 3, 3, 9);
  cache.shift_context(fork, 5, 5);
  cache.keep_sinks_and_window(fork, 4, 4);
  expect_same(cache.read_keys(fork, 0, 8), before);
}

// --- pages

TEST(KeyValueCache, SharedPagesAreNeverWritten) {
  Random random(1664);
  SCOPED_TRACE(random.replay());
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.heads = 2, .head_dim = 8, .pages = 20, .page_tokens = 4});
  const auto keys = random_tokens<float>(random, 10, 2, 8);
  const SequenceId id = cache.add_sequence();
  cache.append(id, keys, keys);
  const auto pages = cache.page_table(id);
  const auto content = [&] {
    std::vector<std::vector<float>> all;
    for (const Index page : pages) all.push_back(copy_of_page(cache, page, page == pages.back() ? 2 : 4));
    return all;
  };
  const auto before = content();
  const std::vector<std::function<void(SequenceId)>> operations = {
      [&](SequenceId fork) { cache.append(fork, keys, keys); },
      [&](SequenceId fork) { cache.shift(fork, 1, 2, 5); },
      [&](SequenceId fork) { cache.shift_context(fork, 0, 4); },
      [&](SequenceId fork) { cache.shift_context(fork, 1, 4); },
      [&](SequenceId fork) { cache.erase(fork, 3, 9); },
      [&](SequenceId fork) { cache.rewind(fork, 9), cache.append(fork, keys, keys); },
      [&](SequenceId fork) { cache.drop(fork); }};
  for (std::size_t n = 0; n < operations.size(); ++n) {
    const SequenceId fork = cache.fork(id);
    EXPECT_EQ(cache.free_pages(), 17);
    operations[n](fork);
    EXPECT_EQ(content(), before) << "operation " << n;
    if (cache.contains(fork)) cache.drop(fork);
  }
}

// Only the pages that are written are copied.
TEST(KeyValueCache, CopiesAPageWhenItIsWritten) {
  Random random(1665);
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.head_dim = 8, .pages = 9, .page_tokens = 4});
  const auto keys = random_tokens<float>(random, 10, 1, 8);
  const SequenceId id = cache.add_sequence();
  cache.append(id, keys, keys);
  const SequenceId fork = cache.fork(id);
  EXPECT_EQ(cache.free_pages(), 6);
  cache.append(fork, view_of(keys).slice(0, 0, 1), view_of(keys).slice(0, 0, 1));  // the partial page
  EXPECT_EQ(cache.free_pages(), 5);
  cache.append(id, view_of(keys).slice(0, 0, 1), view_of(keys).slice(0, 0, 1));  // nobody else's now
  EXPECT_EQ(cache.free_pages(), 5);
  cache.shift(fork, 5, 6, 1);
  EXPECT_EQ(cache.free_pages(), 4);
  EXPECT_EQ(cache.page_table(fork)[0], cache.page_table(id)[0]);
  cache.erase(fork, 0, 4);  // a whole page leaves the list, and nothing is copied
  EXPECT_EQ(cache.free_pages(), 4);
  cache.drop(id);
  EXPECT_EQ(cache.free_pages(), 7);
  cache.drop(fork);
  EXPECT_EQ(cache.free_pages(), 9);
}

TEST(KeyValueCache, AnExhaustedPoolLosesNothing) {
  Random random(1666);
  SCOPED_TRACE(random.replay());
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.head_dim = 8, .pages = 5, .page_tokens = 4});
  const auto keys = random_tokens<float>(random, 10, 1, 8);
  const SequenceId id = cache.add_sequence();
  cache.append(id, keys, keys);
  const SequenceId fork = cache.fork(id);
  const auto before = cache.read_keys(id, 0, 10);
  const std::vector<Index> pages(cache.page_table(fork).begin(), cache.page_table(fork).end());
  const auto unchanged = [&] {
    for (const SequenceId s : {id, fork}) {
      EXPECT_EQ(cache.size(s), 10);
      expect_same(cache.read_keys(s, 0, 10), before);
      expect_same(cache.read_values(s, 0, 10), keys);
      for (Index n = 0; n < 10; ++n) EXPECT_EQ(cache.position(s, n), FixedPosition(n));
      EXPECT_TRUE(
          std::equal(pages.begin(), pages.end(), cache.page_table(s).begin(), cache.page_table(s).end()));
    }
    EXPECT_EQ(cache.free_pages(), 2);
  };
  expect_error([&] { cache.append(fork, keys, keys); },
               {"2 free pages of 5", "append needs 3", "drop or rewind"});
  unchanged();
  expect_error([&] { cache.shift(fork, 0, 9, 1); }, {"2 free pages of 5", "needs 3"});
  unchanged();
  expect_error([&] { cache.shift_context(fork, 1, 2); }, {"2 free pages of 5", "needs 3"});
  unchanged();
  cache.drop(id);
  cache.append(fork, keys, keys);
  EXPECT_EQ(cache.free_pages(), 0);
}

// Sequences that share a page may use different numbers of its tokens; each is rotated once.
TEST(KeyValueCache, ChangesFrequenciesOfSharedPagesOnce) {
  Random random(1667);
  SCOPED_TRACE(random.replay());
  const auto keys = random_tokens<float>(random, 7, 1, 8);
  for (const bool raw_keys : {false, true}) {
    KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                               {.head_dim = 8, .pages = 4, .page_tokens = 4, .raw_keys = raw_keys});
    const SequenceId id = cache.add_sequence();
    cache.append(id, keys, keys);
    const SequenceId shorter = cache.fork(id);
    cache.rewind(shorter, 6);
    const SequenceId longer = cache.fork(id);
    cache.rewind(id, 5);
    const Frequencies yarn = yarn_frequencies(8, 10000, {.factor = 4, .original_max_position_embeddings = 8});
    cache.change_frequencies(yarn);
    EXPECT_EQ(cache.free_pages(), 2);
    for (Index n = 0; n < 7; ++n) {
      std::vector<double> raw(keys.data() + n * 8, keys.data() + n * 8 + 8);
      const double at[] = {static_cast<double>(n)};
      const auto wanted = exactly_rotated(raw, 8, yarn, kTokensFirst, at);
      const auto found = cache.read_keys(longer, n, n + 1);
      for (Index f = 0; f < 8; ++f)
        EXPECT_NEAR(static_cast<double>(found.data()[f]), wanted[static_cast<std::size_t>(f)], 1e-6) << n;
    }
    EXPECT_NE(yarn.magnitude, 1);
  }
}

// page() and page_table() show what read_keys and read_values copy.
TEST(KeyValueCache, PagesAreVisibleToOwnKernels) {
  Random random(1668);
  const auto keys = random_tokens<float>(random, 11, 2, 6), values = random_tokens<float>(random, 11, 2, 3);
  const KeyValueCacheOptions options{.heads = 2, .head_dim = 6, .value_dim = 3, .pages = 4, .page_tokens = 4};
  const auto check = [&]<class Stored>(Stored) {
    KeyValueCache<float, Stored> cache(language_frequencies(4), kTokensFirst, options);
    const SequenceId id = cache.add_sequence();
    cache.append(id, keys, values);
    const auto read_keys = cache.read_keys(id, 0, 11);
    const auto read_values = cache.read_values(id, 0, 11);
    for (Index n = 0; n < 11; ++n) {
      const auto page = cache.page(cache.page_table(id)[static_cast<std::size_t>(n / 4)]);
      for (Index h = 0; h < 2; ++h) {
        const auto at = [&](const auto& view, Index f) {
          return static_cast<float>(
              view.data[n % 4 * view.stride(0) + h * view.stride(1) + f * view.stride(2)]);
        };
        const auto scale = [&](const auto& view) {
          return view.empty() ? 1.0f : view.data[n % 4 * view.stride(0) + h * view.stride(1)];
        };
        for (Index f = 0; f < 6; ++f)
          EXPECT_EQ(scale(page.key_scales) * at(page.keys, f), read_keys(n, h, f));
        for (Index f = 0; f < 3; ++f)
          EXPECT_EQ(scale(page.value_scales) * at(page.values, f), read_values(n, h, f));
      }
    }
    // A record holds nothing but its features, and for 8-bit integers a scale and up to a whole number of scales.
    const auto page = cache.page(0);
    const bool scaled = std::is_same_v<Stored, std::int8_t>;
    EXPECT_EQ(page.key_scales.empty(), !scaled);
    EXPECT_EQ(page.keys.stride(0), scaled ? 4 + 8 : 6);
    EXPECT_EQ(page.values.stride(0), scaled ? 4 + 4 : 3);
  };
  check(float{});
  check(Eigen::bfloat16{});
  check(std::int8_t{});
}

// A key may be one that the cache holds.
TEST(KeyValueCache, AppendsItsOwnPages) {
  Random random(1669);
  const auto keys = random_tokens<float>(random, 4, 1, 8);
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.head_dim = 8, .pages = 2, .page_tokens = 4});
  const SequenceId id = cache.add_sequence();
  cache.append(id, keys, keys, -4);
  const auto page = cache.page(cache.page_table(id)[0]);
  const auto rotated = cache.read_keys(id, 0, 4);
  cache.append(id, page.keys, page.values);
  KeyValueCache<float> other(language_frequencies(8), kTokensFirst,
                             {.head_dim = 8, .pages = 1, .page_tokens = 4});
  const SequenceId wanted = other.add_sequence();
  other.append(wanted, rotated, keys);
  expect_same(cache.read_keys(id, 4, 8), other.read_keys(wanted, 0, 4));
  expect_same(cache.read_values(id, 4, 8), keys);
}

// --- storage

// Promise 5: what does not rotate comes through bit for bit, and values too.
TEST(KeyValueCache, OtherFeaturesComeThroughBitForBit) {
  const auto odd = from_bits<Eigen::half>(0xfd01);  // a signalling NaN
  Tensor<Eigen::half, 3> keys(3, 2, 8), values(3, 2, 5);
  keys.setConstant(odd);
  values.setConstant(odd);
  for (const bool raw_keys : {false, true}) {
    KeyValueCache<Eigen::half> cache(
        language_frequencies(4), {.start_index = 2, .seq_dim = -3},
        {.heads = 2, .head_dim = 8, .value_dim = 5, .pages = 1, .page_tokens = 5, .raw_keys = raw_keys});
    const SequenceId id = cache.add_sequence();
    cache.append(id, keys, values, 5);
    cache.shift(id, 0, 3, 2);
    cache.shift_context(id, 0, 1);
    const auto page = cache.page(0);
    for (Index n = 0; n < 2; ++n)
      for (Index h = 0; h < 2; ++h) {
        for (const Index f : {0, 1, 6, 7})
          EXPECT_EQ(bits_of(page.keys.data[n * page.keys.stride(0) + h * page.keys.stride(1) + f]),
                    bits_of(odd));
        for (Index f = 0; f < 5; ++f)
          EXPECT_EQ(bits_of(page.values.data[n * page.values.stride(0) + h * page.values.stride(1) + f]),
                    bits_of(odd));
      }
  }
}

TEST(KeyValueCache, IntegersHoldAnyNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                  kHuge = std::numeric_limits<float>::max();
  Tensor<float, 3> values(5, 1, 3);
  values.setValues({{{0, 0, 0}},
                    {{1, -kInfinity, 0}},
                    {{std::nanf(""), 1, 2}},
                    {{kHuge, -kHuge, 1}},
                    {{1e-40f, 0, -1e-39f}}});
  KeyValueCache<float, std::int8_t> cache(language_frequencies(2), kTokensFirst,
                                          {.head_dim = 3, .pages = 1, .page_tokens = 5});
  const SequenceId id = cache.add_sequence();
  cache.append(id, values, values);
  const auto read = cache.read_values(id, 0, 5);
  for (Index f = 0; f < 3; ++f) {
    EXPECT_EQ(read(0, 0, f), 0);
    EXPECT_TRUE(std::isnan(read(1, 0, f)));
    EXPECT_TRUE(std::isnan(read(2, 0, f)));
    EXPECT_NEAR(read(4, 0, f), 0, 1e-37);
  }
  EXPECT_NEAR(read(3, 0, 0) / kHuge, 1, 1e-6);
  EXPECT_NEAR(read(3, 0, 1) / kHuge, -1, 1e-6);
  cache.shift(id, 0, 5, 1);
  EXPECT_TRUE(std::isnan(cache.read_keys(id, 2, 3)(0, 0, 0)));
}

// --- bad input

TEST(KeyValueCache, RefusesSizes) {
  const auto make = [](const KeyValueCacheOptions& options, const HeadLayout& layout = kTokensFirst) {
    return [=] { KeyValueCache<float>(language_frequencies(8), layout, options); };
  };
  constexpr Index kMost = PTRDIFF_MAX;
  expect_error(make({.head_dim = 8, .pages = 0}), {"pages is 0", "at least 1"});
  expect_error(make({.head_dim = 8, .pages = 1, .page_tokens = -4}), {"page_tokens is -4"});
  expect_error(make({.heads = 0, .head_dim = 8, .pages = 1}), {"heads is 0"});
  expect_error(make({.pages = 1}), {"head_dim is 0"});
  expect_error(make({.head_dim = 8, .value_dim = -1, .pages = 1}), {"value_dim is -1"});
  expect_error(make({.head_dim = 7, .pages = 1}), {"8 features", "has only 7"});
  expect_error(make({.head_dim = 8, .pages = kMost}), {"more than fits"});
  expect_error(make({.heads = kMost, .head_dim = 8, .pages = 1}), {"more than fits"});
  expect_error(make({.head_dim = kMost, .pages = 1}), {"more than fits"});
  expect_error(make({.head_dim = 8, .pages = 1, .page_tokens = kMost}), {"more than fits"});
  expect_error(make({.head_dim = 8, .pages = 1}, {.seq_dim = -2}), {"seq_dim is -2", "-3"});
  expect_error(
      [] {
        KeyValueCache<float, std::int8_t>(language_frequencies(8), kTokensFirst,
                                          {.head_dim = kMost - 2, .pages = 1});
      },
      {"more than fits"});
  expect_error(
      [] {
        KeyValueCache<float>(XPos<float>(RotaryEmbeddingOptions{.dim = 8, .seq_before_head_dim = true}), 0,
                             {.head_dim = 8, .pages = 1});
      },
      {"XPos without raw_keys"});
}

TEST(KeyValueCache, RefusesWrongCalls) {
  KeyValueCache<float> cache(language_frequencies(8), kTokensFirst,
                             {.heads = 2, .head_dim = 8, .value_dim = 4, .pages = 2, .page_tokens = 4});
  KeyValueCache<float> other = cache;
  const SequenceId id = cache.add_sequence(), foreign = other.add_sequence();
  Tensor<float, 3> keys(3, 2, 8), values(3, 2, 4), swapped(2, 3, 8);
  keys.setZero(), values.setZero(), swapped.setZero();
  cache.append(id, keys, values);
  expect_error([&] { cache.append(id, swapped, values); }, {"keys of shape [2, 3, 8]", "[n, 2, 8]"});
  expect_error([&] { cache.append(id, keys, keys); }, {"values of shape [3, 2, 8]", "[n, 2, 4]"});
  expect_error([&] { cache.append(id, keys, view_of(values).slice(0, 0, 2)); }, {"3 keys and 2 values"});
  expect_error([&] { cache.append(id, keys, values, std::vector{1, 2}); }, {"2 positions for 3 keys"});
  expect_error([&] { cache.append(id, keys, values, (std::int64_t{1} << 62) - 2); }, {"out of range"});
  expect_error([&] { cache.append(foreign, keys, values); }, {"not of this cache"});
  expect_error([&] { (void)cache.size({}); }, {"not of this cache"});
  const SequenceId dropped = cache.fork(id);
  cache.drop(dropped);
  EXPECT_EQ(cache.add_sequence().index, dropped.index);  // the place is used again, the id is not
  expect_error([&] { cache.append(dropped, keys, values); }, {"was dropped"});
  expect_error([&] { cache.drop(dropped); }, {"was dropped"});
  expect_error([&] { (void)cache.fork(dropped); }, {"was dropped"});
  expect_error([&] { (void)cache.page(2); }, {"page is 2", "0 to 1"});
  expect_error([&] { (void)cache.position(id, 3); }, {"token 3", "3 tokens"});
  expect_error([&] { (void)cache.read_keys(id, 0, 4); }, {"[0, 4)", "[0, 3)"});
  expect_error([&] { (void)cache.read_raw_keys(id, 0, 1); }, {"no raw keys"});
  expect_error([&] { cache.shift_context(id, 2, 1); }, {"[2, 1)"});
  expect_error([&] { cache.shift(id, 0, 1, {1, 2}); }, {"2 deltas", "1 axes"});
  expect_error([&] { cache.keep_sinks_and_window(id, 1, -1); }, {"window is -1"});
  expect_error([&] { cache.change_frequencies(language_frequencies(6)); }, {"3 pairs", "4 pairs"});
  expect_error([&] { cache.change_centre(1); }, {"only keys of XPos"});
}

// Stored keys are multiplied by the ratio of the magnitudes.
TEST(KeyValueCache, RefusesAMagnitudeThatIsNoMultiple) {
  Frequencies frequencies = language_frequencies(8);
  frequencies.magnitude = 1e-30;
  KeyValueCache<float> cache(frequencies, kTokensFirst, {.head_dim = 8, .pages = 1});
  frequencies.magnitude = 1e30;
  expect_error([&] { cache.change_frequencies(frequencies); }, {"from 1e-30 to 1e+30", "raw_keys"});
}

TEST(KeyValueCache, RefusesOtherRotations) {
  const Frequencies frequencies = language_frequencies(8);
  const KeyValueCache<float> cache(frequencies, kTokensFirst, {.head_dim = 10, .pages = 1});
  cache.check_rotation(frequencies, kTokensFirst);
  expect_error([&] { cache.check_rotation(language_frequencies(8, 500), kTokensFirst); },
               {"frequencies are not those"});
  expect_error([&] { cache.check_rotation(language_frequencies(6), kTokensFirst); },
               {"frequencies are not those"});
  Frequencies scaled = frequencies;
  scaled.magnitude = 1.25;
  expect_error([&] { cache.check_rotation(scaled, kTokensFirst); }, {"magnitude is 1.25", "is 1"});
  expect_error(
      [&] { cache.check_rotation(frequencies, {.start_index = 1, .pairing = Pairing::half, .seq_dim = -3}); },
      {"features [1, 9)", "[0, 8)"});
  expect_error([&] { cache.check_rotation(frequencies, {.seq_dim = -3}); }, {"another pairing"});
  expect_error([&] { cache.check_rotation(frequencies, {.pairing = Pairing::half}); }, {"seq_dim is -2"});
}

}  // namespace
}  // namespace rotary::testing
