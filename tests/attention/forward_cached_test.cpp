// Prefill and decode of RotaryMultiHeadAttention with a cache: the numbers of one pass over all tokens.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <rotary/attention.hpp>
#include <string>
#include <vector>

#include "support/attention_module.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

using Options = RotaryMultiHeadAttentionOptions;

/// Tokens [first, first + count) of some sequences of a batch.
template <class T>
Tensor<T, 3> part(const Tensor<T, 3>& x, Index first, Index count, Index sequence, Index sequences) {
  Tensor<T, 3> result(count, sequences, x.dimension(2));
  for (Index n = 0; n < count; ++n)
    for (Index b = 0; b < sequences; ++b)
      for (Index f = 0; f < x.dimension(2); ++f) result(n, b, f) = x(first + n, sequence + b, f);
  return result;
}

struct Alibi : ScoreFunction<double> {
  void apply(const ScoreBlock<double>& block) const override {
    auto scores = block.scores;
    for (Index i = 0; i < scores.rows(); ++i)
      for (Index j = 0; j < scores.cols(); ++j)
        scores(i, j) += 0.01 * static_cast<double>((block.first_key + j) * (block.head + 1));
  }
};

struct Case {
  const char* name;
  Options options;
};

std::vector<Case> cases() {
  const Frequencies stretched{.values = {0.8, 0.1}, .magnitude = 1.2};
  return {
      {"labml's", {.heads = 2, .d_model = 8}},
      {"no rotation", {.heads = 2, .d_model = 8, .rope_percentage = 0}},
      {"grouped", {.heads = 4, .d_model = 8, .kv_heads = 2, .head_dim = 6, .rope_percentage = 0.7}},
      {"window, QK-norm and soft cap",
       {.heads = 4, .d_model = 8, .kv_heads = 1, .head_dim = 4, .window = 5, .soft_cap = 2, .qk_norm = true}},
      {"interleaved with a magnitude",
       {.heads = 2,
        .d_model = 12,
        .frequencies = stretched,
        .layout = HeadLayout{.start_index = 2, .pairing = Pairing::interleaved},
        .scale = 0.3}},
      {"XPos", {.heads = 2, .d_model = 8, .rope_percentage = 1, .xpos_scale_base = 40}},
  };
}

TEST(MultiHeadAttentionWithCache, PrefillAndDecodeGiveTheNumbersOfOnePass) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  for (const Case& c : cases())
    for (const bool with_function : {false, true}) {
      SCOPED_TRACE(c.name);
      RotaryMultiHeadAttention<double> attention(c.options);
      randomize(attention, random);
      if (with_function) attention.set_score_function(std::make_shared<Alibi>());
      const Index seq = 37;
      const Tokens x = random_tokens(random, seq, 3, c.options.d_model);
      const Tokens whole = attention.forward(x, x, x, {.causal = true});
      auto cache = attention.make_cache(
          {.pages = 40, .page_tokens = 4, .raw_keys = c.options.xpos_scale_base.has_value()});
      const std::vector<SequenceId> ids = {cache.add_sequence(), cache.add_sequence(), cache.add_sequence()};
      const auto expect_part = [&](Index first, Index count, Index sequence, Index sequences) {
        const auto of = std::span<const SequenceId>(ids).subspan(static_cast<std::size_t>(sequence),
                                                                 static_cast<std::size_t>(sequences));
        const Tokens found = attention.forward_cached(part(x, first, count, sequence, sequences), cache, of);
        EXPECT_LT(largest_difference(found, part(whole, first, count, sequence, sequences)), 1e-12)
            << first << " " << sequence;
      };
      expect_part(0, 11, 0, 2);  // two prompts
      expect_part(0, 3, 2, 1);   // another, and its second part
      expect_part(3, 8, 2, 1);
      for (Index n = 11; n < 15; ++n) expect_part(n, 1, 0, 3);  // decode all of them
      expect_part(15, 20, 1, 1);                                // one of them gets a longer text
      const SequenceId fork = cache.fork(ids[0]);
      const Tokens of_fork = attention.forward_cached(part(x, 15, 1, 0, 1), cache, fork);
      EXPECT_LT(largest_difference(of_fork, part(whole, 15, 1, 0, 1)), 1e-12);
      expect_part(15, 2, 0, 1);  // the fork has changed nothing
      cache.rewind(ids[1], 20);
      expect_part(20, 17, 1, 1);
    }
}

TEST(MultiHeadAttentionWithCache, SequencesOfDifferentSizesAreDecodedTogether) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  RotaryMultiHeadAttention<double> attention({.heads = 4, .d_model = 8, .kv_heads = 2, .head_dim = 4});
  randomize(attention, random);
  const Tokens x = random_tokens(random, 12, 2, 8);
  const Tokens whole = attention.forward(x, x, x, {.causal = true});
  auto cache = attention.make_cache({.pages = 20, .page_tokens = 4});
  const std::vector<SequenceId> ids = {cache.add_sequence(), cache.add_sequence()};
  attention.forward_cached(part(x, 0, 9, 0, 1), cache, ids[0]);
  attention.forward_cached(part(x, 0, 2, 1, 1), cache, ids[1]);
  Tokens next(1, 2, 8);
  for (Index f = 0; f < 8; ++f) next(0, 0, f) = x(9, 0, f), next(0, 1, f) = x(2, 1, f);
  const Tokens found = attention.forward_cached(next, cache, ids);
  for (Index f = 0; f < 8; ++f) {
    EXPECT_NEAR(found(0, 0, f), whole(9, 0, f), 1e-12);
    EXPECT_NEAR(found(0, 1, f), whole(2, 1, f), 1e-12);
  }
}

TEST(MultiHeadAttentionWithCache, OtherStorageIsNearIt) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<float> attention({.heads = 4, .d_model = 32, .kv_heads = 2}, 3);
  Tensor<float, 3> x(30, 2, 32);
  random.fill(x);
  const auto whole = attention.forward(x, x, x, {.causal = true});
  const auto error_with = [&](auto cache) {
    const std::vector<SequenceId> ids = {cache.add_sequence(), cache.add_sequence()};
    return largest_difference(attention.forward_cached(x, cache, ids), whole);
  };
  EXPECT_LT(error_with(attention.make_cache({.pages = 4})), 1e-6);
  EXPECT_LT(error_with(attention.make_cache<Eigen::bfloat16>({.pages = 4})), 5e-3);
  EXPECT_LT(error_with(attention.make_cache<std::int8_t>({.pages = 4})), 1e-2);
}

TEST(MultiHeadAttentionWithCache, NoTokensLeaveTheCacheAsItWas) {
  const auto check = [](const Options& options) {
    const RotaryMultiHeadAttention<double> attention(options, 1);
    auto cache = attention.make_cache({.pages = 5, .page_tokens = 4, .raw_keys = true});
    const std::vector<SequenceId> ids = {cache.add_sequence(), cache.add_sequence()};
    Random random(5);
    const auto check_empty = [&] {
      const Index before = cache.size(ids[0]), free_pages = cache.free_pages();
      EXPECT_EQ(attention.forward_cached(Tokens(0, 2, 8), cache, ids).dimensions(),
                Tokens(0, 2, 8).dimensions());
      EXPECT_EQ(attention.forward_cached(Tokens(3, 0, 8), cache, std::vector<SequenceId>()).dimensions(),
                Tokens(3, 0, 8).dimensions());
      EXPECT_EQ(cache.size(ids[0]), before);
      EXPECT_EQ(cache.free_pages(), free_pages);
    };
    check_empty();
    attention.forward_cached(random_tokens(random, 6, 2, 8), cache, ids);
    check_empty();
  };
  for (const Case& of : cases())
    if (of.options.d_model == 8) check(of.options);
}

TEST(MultiHeadAttentionWithCache, ErrorsLeaveTheCacheAsItWas) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  const RotaryMultiHeadAttention<double> attention({.heads = 2, .d_model = 8, .rope_percentage = 1}, 1);
  auto cache = attention.make_cache({.pages = 5, .page_tokens = 4});
  const std::vector<SequenceId> ids = {cache.add_sequence(), cache.add_sequence()};
  const Tokens x = random_tokens(random, 6, 2, 8);
  attention.forward_cached(x, cache, ids);  // 4 pages, of which 2 are half full
  const auto expect = [&](const std::function<void()>& call, const std::string& message) {
    const std::string found = error_of_call(call);
    EXPECT_NE(found.find(message), std::string::npos) << found;
    EXPECT_EQ(cache.size(ids[0]), 6);
    EXPECT_EQ(cache.size(ids[1]), 6);
    EXPECT_EQ(cache.free_pages(), 1);
  };
  // The first sequence gets the last page; the second finds none.
  expect([&] { attention.forward_cached(x, cache, ids); }, "pages");
  expect([&] { attention.forward_cached(part(x, 0, 1, 0, 1), cache, ids); },
         "found 2 ids for 1 sequences, there must be as many");
  const std::vector<SequenceId> twice = {ids[0], ids[0]};
  expect([&] { attention.forward_cached(x, cache, twice); }, "an id is given twice");
  const std::vector<SequenceId> unknown = {ids[0], SequenceId{7, 7}};
  expect([&] { attention.forward_cached(part(x, 0, 1, 0, 2), cache, unknown); }, "that is not of this cache");
  expect([&] { attention.forward_cached(random_tokens(random, 1, 2, 6), cache, ids); },
         "x has shape [1, 2, 6]");

  const RotaryMultiHeadAttention<double> other_base(
      {.heads = 2, .d_model = 8, .rope_percentage = 1, .base = 500}, 1);
  expect([&] { other_base.forward_cached(part(x, 0, 1, 0, 2), cache, ids); },
         "the frequencies are not those of the cache");
  const RotaryMultiHeadAttention<double> with_xpos(
      {.heads = 2, .d_model = 8, .rope_percentage = 1, .xpos_scale_base = 512}, 1);
  expect([&] { with_xpos.forward_cached(part(x, 0, 1, 0, 2), cache, ids); },
         "found scales of XPos, the keys of the cache have none");
  const RotaryMultiHeadAttention<double> other_heads({.heads = 4, .d_model = 8, .rope_percentage = 1}, 1);
  expect([&] { other_heads.forward_cached(part(x, 0, 1, 0, 2), cache, ids); },
         "the cache has 2 heads of 4 and 4 features, this attention has 4 of 2");
  const RotaryValueMultiHeadAttention<double> roper({.heads = 2, .d_model = 8}, 1);
  expect([&] { roper.forward_cached(part(x, 0, 1, 0, 2), cache, ids); }, "values rotate");
  expect([&] { static_cast<void>(roper.make_cache({.pages = 1})); }, "values rotate");
  expect([&] { static_cast<void>(attention.make_cache({.heads = 3, .pages = 1})); },
         "heads is 3, it must be that of this attention, 2, or left out");
  EXPECT_EQ(attention.forward_cached(Tokens(0, 2, 8), cache, ids).size(), 0);
}

// Keys of XPos with another decay look alike, but for their scales.
TEST(MultiHeadAttentionWithCache, AnotherDecayIsRefused) {
  const Options options{.heads = 2, .d_model = 8, .rope_percentage = 1, .xpos_scale_base = 512};
  Options other = options, none = options;
  other.xpos_scale_base = 256;
  none.xpos_scale_base.reset();
  const RotaryMultiHeadAttention<double> attention(options);
  auto cache = attention.make_cache({.pages = 2, .page_tokens = 4, .raw_keys = true});
  const SequenceId id = cache.add_sequence();
  cache.change_centre(3);
  const Tokens x = Tokens(1, 1, 8).setConstant(1);
  EXPECT_EQ(error_of_call([&] { attention.forward_cached(x, cache, id); }), kNoError);
  const auto error_of = [&](const Options& wrong) {
    return error_of_call([&] { RotaryMultiHeadAttention<double>(wrong).forward_cached(x, cache, id); });
  };
  EXPECT_EQ(error_of(other), "rotary: found scales of XPos, the keys of the cache have others");
  EXPECT_EQ(error_of(none), "rotary: found no scales of XPos, the keys of the cache have some");
  EXPECT_EQ(cache.size(id), 1);
}

}  // namespace
}  // namespace rotary::testing
