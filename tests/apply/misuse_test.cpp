// Programs that look right and are not: each throws and says what is wrong, or does not compile, rather than
// return wrong numbers.
#include <gtest/gtest.h>

#include <rotary/attention.hpp>
#include <rotary/presets.hpp>
#include <rotary/rotary.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

/// A tensor that a call that throws must leave as it is.
struct Untouched {
  StridedArray<float> x, before;

  explicit Untouched(const std::vector<Index>& shape, std::uint64_t seed = 1) : x(shape), before(x) {
    Random random(seed);
    x.fill(random);
    before = x;
  }
  ~Untouched() { EXPECT_TRUE(same_bits(x, before)) << "a call that threw has written"; }
  StridedView<float> view() { return x.view(); }
};

// --- queries and keys

// One new query against 100 cached keys: with one offset both could not be right.
TEST(Misuse, QueriesAndKeysOfDifferentLengths) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  Untouched q({1, 2, 1, 8}), k({1, 2, 100, 8});
  StridedArray<float> q_out({1, 2, 1, 8}), k_out({1, 2, 100, 8});
  const auto expect = [](const std::function<void()>& call) {
    expect_error(call, {"1 queries", "100 keys", "rotate_queries_with_cached_keys"});
  };
  for (const FixedPosition at :
       {FixedPosition(0), FixedPosition(99), FixedPosition(1000003), FixedPosition(0.5)}) {
    expect([&] { rotary_emb.rotate_queries_and_keys_in_place(q.view(), k.view(), {.offset = at}); });
    expect([&] { rotary_emb.rotate_queries_and_keys_in_place(q.view(), k.view(), at); });
    expect([&] { rotary_emb.rotate_in_place(q.view(), k.view(), at); });
    expect([&] { rotary_emb.rotate_in_place(q.view(), k.view(), Positions::from(at)); });
    expect(
        [&] { rotary_emb.rotate_queries_and_keys_into(q.view(), k.view(), q_out.view(), k_out.view(), at); });
    Tensor<float, 4> q_tensor(1, 2, 1, 8), k_tensor(1, 2, 100, 8);
    q_tensor.setZero(), k_tensor.setZero();
    expect([&] { static_cast<void>(rotary_emb.rotate_queries_and_keys(q_tensor, k_tensor, at)); });
    expect(
        [&] { static_cast<void>(rotary_emb.rotate_queries_and_keys(q_tensor, k_tensor, {.offset = at})); });
  }
  // Ids fit one of the two at most.
  const std::vector<int> one = {99}, hundred(100, 7);
  EXPECT_THROW(rotary_emb.rotate_in_place(q.view(), k.view(), one), std::invalid_argument);
  EXPECT_THROW(rotary_emb.rotate_in_place(q.view(), k.view(), hundred), std::invalid_argument);
  const std::vector<int> starts = {99};
  EXPECT_THROW(rotary_emb.rotate_in_place(q.view(), k.view(), Positions::per_sequence(starts)),
               std::invalid_argument);
}

// --- positions

TEST(Misuse, PositionsThatDoNotFit) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  Untouched x({2, 3, 5, 8}), matrix({5, 8}), token({2, 3, 8});
  const std::vector<int> flat(10), cu_seqlens = {0, 2, 5}, two = {7, 8}, five(5), three(3);
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), flat); }, {"10 positions", "5 tokens"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), cu_seqlens); }, {"3 positions", "5 tokens"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), two); }, {"2 positions", "5 tokens"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), std::vector<int>{}); },
               {"0 positions", "5 tokens"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), Positions::consecutive(4)); },
               {"4 positions", "5 tokens"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), Positions::listed(flat).in_batches(5)); },
               {"5 sequences of 2 tokens", "[2, 3, 5, 8]"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), Positions::per_sequence(three)); },
               {"3 sequences", "[2, 3, 5, 8]"});
  expect_error([&] { rotary_emb.rotate_in_place(matrix.view(), Positions::per_sequence(five)); },
               {"batch axis", "[5, 8]"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), five, {.offset = 2}); },
               {"offset is 2", "must be 0"});
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), 3, {.offset = 2}); }, {"offset is 2", "must be 0"});
  Tensor<int, 3> of_heads(2, 3, 5);
  of_heads.setZero();
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), of_heads); },
               {"[2, 3, 5]", "[seq] or [batch, seq]"});
  expect_error([&] { static_cast<void>(rotary_emb.table(7)); }, {"no length", "Positions::consecutive"});

  // The one position of a token that is being decoded, for a batch of them.
  Untouched decoded({2, 3, 1, 8});
  expect_error([&] { rotary_emb.rotate_in_place(decoded.view(), two); },
               {"2 positions", "1 tokens", "Positions::per_sequence"});

  // Heads of one token are no sequence: with a list of its one position that is found out.
  Untouched heads({32, 8});
  expect_error([&] { rotary_emb.rotate_in_place(heads.view(), std::vector<int>{7}); },
               {"1 positions", "32 tokens"});
  expect_error([&] { rotary_emb.rotate_token_in_place(token.view(), three); }, {"3 positions"});
  const std::vector<int> one = {7};
  expect_error([&] { rotary_emb.rotate_token_in_place(token.view(), Positions::per_sequence(one)); },
               {"1 sequences", "[2, 3, 8]"});
  expect_error([&] { rotary_emb.rotate_token_in_place(token.view(), 7, {.offset = 1}); }, {"offset is 1"});
  expect_error([&] { rotary_emb.rotate_token_in_place(token.view(), 7, {.seq_dim = 1}); },
               {"seq_dim is 1", "no sequence axis"});
}

// The first argument of a call's options is the offset.
TEST(Misuse, OneInBracesIsThePositionOne) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  StridedArray<float> x({2, 3, 5, 8});
  Random random(2);
  x.fill(random);
  auto braces = x, number = x;
  rotary_emb.rotate_in_place(braces.view(), {1});
  rotary_emb.rotate_in_place(number.view(), 1);
  EXPECT_TRUE(same_bits(braces, number));
}

// A view of one axis is found at run time; a tensor of one axis does not compile.
TEST(Misuse, AViewOfOneAxis) {
  float numbers[8] = {};
  const StridedView<float> view(numbers, {8}, {1});
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  expect_error([&] { rotary_emb.rotate_in_place(view); }, {"seq_dim is -2", "rank 1"});
  const auto table = rotary_emb.table(Positions::consecutive(1));
  expect_error([&] { apply_rotary_emb_in_place(table, view); }, {"at least two axes", "[8]"});
}

// --- options

// An argument that changes nothing is a mistake about what the others do.
TEST(Misuse, ArgumentsWithoutEffect) {
  struct Wrong {
    RotaryEmbeddingOptions options;
    const char* found;
  };
  const Wrong all[] = {
      {{.dim = 64, .custom_freqs = {1, 2}}, "dim is 64"},
      {{.custom_freqs = {1, 2}, .theta = 500000}, "theta is 500000"},
      {{.custom_freqs = {1, 2}, .max_freq = 20}, "max_freq is 20"},
      {{.custom_freqs = {1, 2}, .num_freqs = 2}, "num_freqs is 2"},
      {{.custom_freqs = {1, 2}, .theta_rescale_factor = 2}, "theta_rescale_factor is 2"},
      {{.dim = 8, .freqs_for = FreqsFor::pixel, .theta = 500000}, "theta is 500000"},
      {{.dim = 8, .freqs_for = FreqsFor::pixel, .theta_rescale_factor = 2}, "theta_rescale_factor is 2"},
      {{.dim = 8, .freqs_for = FreqsFor::pixel, .num_freqs = 2}, "num_freqs is 2"},
      {{.dim = 8, .max_freq = 20}, "max_freq is 20"},
      {{.dim = 8, .num_freqs = 4}, "num_freqs is 4"},
      {{.dim = 8, .freqs_for = FreqsFor::constant, .num_freqs = 3}, "dim is 8"},
      {{.freqs_for = FreqsFor::constant, .theta = 500000, .num_freqs = 3}, "theta is 500000"},
      {{.freqs_for = FreqsFor::constant, .max_freq = 20, .num_freqs = 3}, "max_freq is 20"},
      {{.dim = 8, .freqs_for = static_cast<FreqsFor>(7)}, "freqs_for is 7"},
      {{.dim = 8, .pairing = static_cast<Pairing>(7)}, "pairing is 7"},
      {{.dim = 8, .theta = 0.5}, "theta is 0.5"},
  };
  for (const Wrong& wrong : all) {
    const RotaryEmbeddingOptions& options = wrong.options;
    const char* const found = wrong.found;
    SCOPED_TRACE(found);
    expect_error([&] { RotaryEmbedding<float>{options}; }, {found});
    expect_error([&] { XPos<float>{options}; }, {found});
    if (options.pairing == Pairing::interleaved)
      expect_error([&] { AxialFrequencies<float>{options}; }, {found});
  }
  for (const Wrong& wrong : {Wrong{{.dim = 8, .interpolate_factor = 2}, "interpolate_factor"},
                             Wrong{{.dim = 8, .learned_freq = true}, "learned_freq"},
                             Wrong{{.dim = 8, .seq_before_head_dim = true}, "seq_before_head_dim"}})
    expect_error([&] { AxialFrequencies<float>{wrong.options}; }, {wrong.found, "grid"});

  // Repeating a fact is no contradiction.
  EXPECT_EQ(RotaryEmbedding<float>({.dim = 4, .custom_freqs = {1, 2}}).rotary_dim(), 4);
  EXPECT_EQ(RotaryEmbedding<float>({.dim = 6, .freqs_for = FreqsFor::constant, .num_freqs = 3}).rotary_dim(),
            6);
  EXPECT_EQ(RotaryEmbedding<float>({.dim = 8, .theta = 1}).rotary_dim(), 8);
}

/// Arguments in the wrong company do not compile.
template <class... Arguments>
concept MakesEmbedding = requires(const Arguments&... arguments) {
  RotaryEmbedding<float>(arguments...);
};
static_assert(MakesEmbedding<Frequencies, HeadLayout, int>);
static_assert(!MakesEmbedding<Frequencies, RotaryEmbeddingOptions>, "dim and theta would be ignored");
static_assert(!MakesEmbedding<RotaryEmbeddingOptions, HeadLayout>, "the pairing would be said twice");
static_assert(!std::is_convertible_v<RotaryEmbeddingOptions, RotaryEmbedding<float>>);
static_assert(!std::is_convertible_v<int, RotaryEmbedding<float>>);

TEST(Misuse, LayoutsThatContradictThemselves) {
  const Frequencies frequencies = language_frequencies(8);
  const auto embedding = [&](const HeadLayout& layout) {
    return [&frequencies, layout] { RotaryEmbedding<float>(frequencies, layout); };
  };
  expect_error(embedding({.rotary_dim = 16}), {"rotary_dim is 16", "4 frequencies"});
  expect_error(embedding({.start_index = -2}), {"start_index is -2"});
  expect_error(embedding({.pairing = static_cast<Pairing>(9)}), {"pairing is 9"});
  expect_error(embedding({.output_pairing = static_cast<Pairing>(9)}), {"pairing is 9"});
  expect_error(embedding({.seq_dim = -1}), {"seq_dim is -1"});
  EXPECT_EQ(RotaryEmbedding<float>(frequencies, {.rotary_dim = 8}).layout().rotary_dim, 8);
  EXPECT_EQ(RotaryEmbedding<float>(frequencies).layout().rotary_dim, 8);
  Untouched x({2, 3, 8});
  const RotaryEmbedding<float> rotary_emb(frequencies);
  expect_error([&] { rotary_emb.rotate_in_place(x.view(), {.direction = static_cast<Direction>(9)}); },
               {"direction is 9"});
  Tensor<float, 3> tensor(2, 3, 8);
  tensor.setConstant(1);
  expect_error([&] { rotary_emb.rotate_in_place(tensor, {.direction = static_cast<Direction>(9)}); },
               {"direction is 9"});
  for (Index n = 0; n < tensor.size(); ++n) ASSERT_EQ(tensor.data()[n], 1);
  expect_error(
      [&] { rotary_emb.rotate_in_place(x.view(), 1000003, {.direction = static_cast<Direction>(9)}); },
      {"direction is 9"});
}

// --- layouts of models and tables

// A model's embedding rotates the features that the model rotates, without another argument.
TEST(Misuse, AModelBringsItsLayout) {
  const ModelConfiguration model = preset("deepseek-ai/DeepSeek-V3");
  const RopeParameters rope = model.layer(0);
  ASSERT_EQ(rope.start_index, 128);
  const RotaryEmbedding<float> rotary_emb(model);
  EXPECT_EQ(rotary_emb.layout(), rope.layout());
  StridedArray<float> k({1, 1, 4, 192});
  Random random(3);
  k.fill(random);
  auto rotated = k;
  rotary_emb.rotate_in_place(rotated.view(), 5);
  for (Index n = 0; n < k.size(); ++n) {
    if (n % 192 < 128) {
      ASSERT_EQ(bits_of(rotated[n]), bits_of(k[n])) << "feature " << n % 192;
    }
  }
  auto window = k;
  RotaryEmbedding<float>(rope.frequencies(), {.pairing = rope.pairing, .output_pairing = rope.output_pairing})
      .rotate_in_place(window.view().slice(3, 128, 64), 5);
  EXPECT_TRUE(same_bits(rotated, window));
}

TEST(Misuse, ATableBringsTheLayoutOfItsEmbedding) {
  const std::vector<int> ids = {3, 1, 4, 1, 5, 9, 2, 6};
  Random random(4);
  for (const Pairing pairing : kPairings) {
    const RotaryEmbedding<float> rotary_emb({.dim = 64, .seq_before_head_dim = true, .pairing = pairing});
    StridedArray<float> x({1, 8, 8, 64});  // as many heads as tokens: shapes alone do not tell
    x.fill(random);
    auto wanted = x, found = x;
    rotary_emb.rotate_in_place(wanted.view(), ids);
    apply_rotary_emb_in_place(rotary_emb.table(ids), found.view());
    EXPECT_TRUE(same_bits(found, wanted));
  }
}

TEST(Misuse, TablesOfOtherTensors) {
  const Frequencies frequencies = language_frequencies(8);
  Untouched x({2, 3, 5, 8}), narrow({2, 3, 5, 6}), tokens({2, 3, 8});
  const auto expect = [](const CosSinTable<float>& table, Untouched& of,
                         std::initializer_list<std::string_view> parts) {
    expect_error([&] { apply_rotary_emb_in_place(table, of.view()); }, parts);
    StridedArray<float> out(of.x.extents());
    expect_error([&] { apply_rotary_emb_into(table, of.view(), out.view()); }, parts);
  };
  // One row would rotate all tokens alike.
  expect(CosSinTable<float>(frequencies, Positions::consecutive(1, 7)), x, {"1 rows", "[2, 3, 5, 8]"});
  expect(CosSinTable<float>(frequencies, Positions::consecutive(10)), x, {"10 rows", "[2, 3, 5, 8]"});
  expect(CosSinTable<float>(frequencies, Positions::consecutive(5)), narrow, {"8 features", "only 6"});
  expect(CosSinTable<float>(frequencies, Positions::consecutive(5), {.start_index = 1}), x,
         {"8 features", "start_index 1"});
  expect(CosSinTable<float>(frequencies, Positions::consecutive(5), {.seq_dim = -3}), x,
         {"5 rows", "axis 1"});
  expect(CosSinTable<float>(frequencies, Positions::consecutive(15).in_batches(3)), x, {"3 rows", "axis 0"});
  expect(CosSinTable<float>(frequencies, Positions::consecutive(2).in_batches(2)), x, {"1 rows", "axis 2"});
  const CosSinTable<float> five(frequencies, Positions::consecutive(5));
  expect_error([&] { apply_rotary_emb_in_place(five, x.view(), Direction::inverse); }, {"transpose"});
  expect_error([&] { apply_rotary_emb_to_token_in_place(five, tokens.view()); }, {"5 rows", "one token"});
}

// Angles of the other pairing differ within a pair.
TEST(Misuse, AnglesOfTheOtherPairing) {
  const std::vector<double> ids = {0, 1, 2, 3, 4};
  Tensor<float, 3> q(2, 5, 8);
  q.setConstant(1);
  Tensor<float, 2> scale(5, 8);
  for (Index n = 0; n < scale.size(); ++n) scale.data()[n] = 1 + static_cast<float>(n);
  for (const Pairing pairing : kPairings) {
    const RotaryEmbedding<double> rotary_emb({.dim = 8, .pairing = pairing});
    const Tensor<double, 2> angles = rotary_emb(ids);
    const Tensor<float, 2> in_float = angles.cast<float>();
    const Pairing other = pairing == Pairing::half ? Pairing::interleaved : Pairing::half;
    const char* const made_with = pairing == Pairing::half ? "Pairing::half" : "Pairing::interleaved";
    const auto expect = [&](const auto& of) {
      expect_error([&] { static_cast<void>(apply_rotary_emb(of, q, {.pairing = other})); },
                   {"two angles of pair", made_with, "separate_angles"});
      expect_error([&] { apply_rotary_emb_in_place(of, q, {.pairing = other}); }, {"two angles of pair"});
      // The members of a pair may have scales of their own, but not angles.
      expect_error([&] { static_cast<void>(apply_rotary_emb(of, q, scale, {.pairing = other})); },
                   {"two angles of pair"});
    };
    expect(angles);
    expect(in_float);
    EXPECT_NO_THROW(static_cast<void>(apply_rotary_emb(angles, q, {.pairing = pairing})));
    EXPECT_NO_THROW(
        static_cast<void>(apply_rotary_emb(angles, q, {.pairing = other, .separate_angles = true})));
  }
  for (Index n = 0; n < q.size(); ++n) ASSERT_EQ(q.data()[n], 1);
}

// --- views of what is gone

template <class T>
concept GivesTokens = requires {
  std::declval<T>().tokens();
};
template <class T>
concept GivesAxis = requires {
  std::declval<T>().axis(0);
};
template <class T>
concept GivesPositions = requires {
  std::declval<T>().positions();
};
template <class T>
concept GivesData = requires {
  std::declval<T>().data();
};
template <class T>
concept GivesKeys = requires {
  std::declval<T>().keys();
};
template <class T>
concept GivesTensor = requires {
  std::declval<T>().tensor();
};
template <class T>
concept GivesHead = requires {
  std::declval<T>().head(0);
};
template <class T>
concept GivesRotary = requires {
  std::declval<T>().rotary();
};
template <class T>
concept GivesNote = requires {
  std::declval<T>().note("");
};
template <class T>
concept GivesWeights = requires {
  std::declval<T>().weights();
};
template <class T>
concept GivesSteps = requires {
  std::declval<T>().high();
}
|| requires { std::declval<T>().low(); }
|| requires { std::declval<T>().nearest(); }
|| requires { std::declval<T>().whole(); };

/// Whether objects with a name are asked, and temporaries cannot be.
#define EXPECT_LVALUES_ONLY(concept_name, Type)                                                \
  static_assert(concept_name<Type&> && concept_name<const Type&>, "of an object with a name"); \
  static_assert(!concept_name<Type> && !concept_name<const Type>, "of a temporary")

EXPECT_LVALUES_ONLY(GivesTokens, MropePositions);
EXPECT_LVALUES_ONLY(GivesAxis, TokenPositions);
EXPECT_LVALUES_ONLY(GivesPositions, TokenPositions);
EXPECT_LVALUES_ONLY(GivesData, CosSinTable<float>);
EXPECT_LVALUES_ONLY(GivesKeys, KeyCache<float>);
EXPECT_LVALUES_ONLY(GivesTensor, KeyCache<float>);
EXPECT_LVALUES_ONLY(GivesHead, KeyCache<float>);
EXPECT_LVALUES_ONLY(GivesRotary, XPos<float>);
EXPECT_LVALUES_ONLY(GivesNote, ModelConfiguration);
EXPECT_LVALUES_ONLY(GivesWeights, RotaryMultiHeadAttention<float>);
EXPECT_LVALUES_ONLY(GivesSteps, TurnSteps);
#undef EXPECT_LVALUES_ONLY

/// Of temporaries these give values of their own.
template <class Found>
constexpr bool is_value = !std::is_reference_v<Found>;
static_assert(is_value<decltype(std::declval<CosSinTable<float>>().shape())>);
static_assert(is_value<decltype(std::declval<CosSinTable<float>>().layout())>);
static_assert(is_value<decltype(std::declval<RotaryEmbedding<float>>().layout())>);
static_assert(is_value<decltype(std::declval<RotaryEmbedding<float>>().frequencies())>);
static_assert(is_value<decltype(std::declval<XPos<float>>().layout())>);
static_assert(is_value<decltype(std::declval<XPos<float>>().scale())>);
static_assert(is_value<decltype(std::declval<KeyCache<float>>().layout())>);
static_assert(is_value<decltype(std::declval<AxialFrequencies<float>>().frequencies())>);
static_assert(is_value<decltype(std::declval<PolarEmbedding<float>>().frequencies())>);
static_assert(is_value<decltype(std::declval<RotaryMultiHeadAttention<float>>().options())>);
static_assert(is_value<decltype(std::declval<ModelConfiguration>().layer(0))>);

// A temporary list would be destroyed before its positions are read.
template <class List>
concept CanBeListed = requires {
  Positions::listed(std::declval<List>());
};
template <class List>
concept CanBeStarts = requires {
  Positions::per_sequence(std::declval<List>());
};
static_assert(CanBeListed<std::vector<int>&> && CanBeListed<const std::vector<int>&>);
static_assert(CanBeStarts<std::vector<int>&> && CanBeStarts<const std::vector<int>&>);
static_assert(!CanBeListed<std::vector<int>> && !CanBeStarts<std::vector<int>>);

// A table cannot be changed: tensors rotated before would no longer match.
static_assert(std::is_const_v<std::remove_pointer_t<decltype(std::declval<CosSinTable<float>&>().data())>>);

TEST(Misuse, GettersOfTemporariesGiveWhatTheObjectHad) {
  EXPECT_EQ(RotaryEmbedding<float>({.dim = 8}).frequencies().values.size(), 4u);
  EXPECT_EQ(PolarEmbedding<float>({.dim = 8}).frequencies().values.size(), 8u);
  EXPECT_EQ(CosSinTable<float>(language_frequencies(8), Positions::consecutive(3)).shape(),
            std::vector<Index>{3});
  EXPECT_EQ(XPos<float>({.dim = 8}).scale().size(), 4u);
}

}  // namespace
}  // namespace rotary::testing
