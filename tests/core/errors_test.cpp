// Bad input: every wrong shape or value has its own message, and throws before anything is written.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <rotary/apply/learned_rotations.hpp>
#include <rotary/apply/pairing_conversion.hpp>
#include <rotary/xpos.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Index kLargest = PTRDIFF_MAX, kMostNegative = PTRDIFF_MIN;

/// Tensors that must look the same after a call as before it.
struct Unchanged {
  StridedArray<float> x, out;

  explicit Unchanged(std::vector<Index> x_shape, std::vector<Index> out_shape)
      : x(std::move(x_shape)), out(std::move(out_shape)) {
    Random random(600);
    x.fill(random);
    out.fill(random);
  }
  explicit Unchanged(const std::vector<Index>& shape) : Unchanged(shape, shape) {}

  /// Both ways of calling must throw the same message.
  void expect_error_of(const RotaryEmbedding<float>& rotary_emb, const RotateOptions& options,
                       std::initializer_list<std::string_view> parts) {
    const auto x_before = x, out_before = out;
    expect_error([&] { rotary_emb.rotate_into(x.view(), out.view(), options); }, parts);
    if (x.extents() == out.extents())
      expect_error([&] { rotary_emb.rotate_in_place(x.view(), options); }, parts);
    EXPECT_TRUE(same_bits(x, x_before) && same_bits(out, out_before));
    EXPECT_TRUE(x.guards_are_intact() && out.guards_are_intact());
  }
};

RotaryEmbedding<float> embedding(Index dim, const HeadLayout& layout = {}) {
  return RotaryEmbedding<float>(language_frequencies(dim), layout);
}

void expect_no_embedding(const RotaryEmbeddingOptions& options,
                         std::initializer_list<std::string_view> parts) {
  expect_error([&] { RotaryEmbedding<float>{options}; }, parts);
  expect_error([&] { RotaryEmbedding<double>{options}; }, parts);
}

// --- what an embedding is made of

TEST(Errors, Dim) {
  expect_no_embedding({}, {"dim is 0", "positive"});
  expect_no_embedding({.dim = -4}, {"dim is -4", "positive"});
  expect_no_embedding({.dim = 7}, {"dim is 7", "even", "6"});
  expect_no_embedding({.dim = 7, .freqs_for = FreqsFor::pixel}, {"dim is 7", "even"});
  expect_no_embedding({.freqs_for = FreqsFor::constant, .num_freqs = -1}, {"num_freqs is -1", "negative"});
  expect_error([] { AxialFrequencies<float>({.dim = 7}); }, {"dim is 7", "even"});
  expect_error([] { AxialFrequencies<float>({.dim = 0}); }, {"dim is 0", "positive"});
  expect_error([] { AxialFrequencies<float>(axial(language_frequencies(4), 2), FreqsFor::lang, {}); },
               {"one axis", "2 axes"});
}

TEST(Errors, Frequencies) {
  for (const double theta : {0.0, -1.0, 0.5, kNaN, -kInfinity})
    expect_no_embedding({.dim = 4, .theta = theta}, {"theta is", "at least 1"});
  expect_no_embedding({.dim = 4, .theta = kInfinity}, {"theta is", "positive and finite"});
  for (const double factor : {0.0, -1.0, kNaN, kInfinity})
    expect_no_embedding({.dim = 4, .theta_rescale_factor = factor},
                        {"theta_rescale_factor is", "positive and finite"});
  expect_no_embedding({.dim = 2, .theta_rescale_factor = 8},
                      {"theta_rescale_factor is 8", "dim 2", "at least 3"});
  for (const double factor : {0.5, 0.0, -2.0, kNaN, kInfinity})
    expect_no_embedding({.dim = 4, .interpolate_factor = factor}, {"interpolate_factor is", "at least 1"});
  for (const double max_freq : {0.0, kNaN, kInfinity})
    expect_no_embedding({.dim = 4, .freqs_for = FreqsFor::pixel, .max_freq = max_freq},
                        {"max_freq is", "positive and finite"});
  for (const double frequency : {kNaN, kInfinity, -kInfinity})
    expect_no_embedding({.custom_freqs = {1, frequency}}, {"a frequency is", "finite"});
  expect_no_embedding({.custom_freqs = {1, 1e300}}, {"a frequency is 1e+300", "2^62"});
  expect_no_embedding({.dim = 4, .cache_max_seq_len = -1}, {"-1", "negative"});

  expect_error([] { RotaryEmbedding<float>(Frequencies{{1, 1, 1}, 2, 1}); }, {"3 frequencies", "2 axes"});
  expect_error([] { RotaryEmbedding<float>(Frequencies{{1}, 0, 1}); }, {"0 axes", "at least 1"});
  for (const double magnitude : {kNaN, kInfinity})
    expect_error([&] { RotaryEmbedding<float>(Frequencies{{1}, 1, magnitude}); }, {"magnitude is", "finite"});
}

TEST(Errors, SetFreqs) {
  const std::vector<double> three{1, 2, 3}, two{1, 2};
  RotaryEmbedding<float> fixed(RotaryEmbeddingOptions{.dim = 4});
  expect_error([&] { fixed.set_freqs(two); }, {"learned_freq"});
  RotaryEmbedding<float> learned(RotaryEmbeddingOptions{.dim = 4, .learned_freq = true});
  const auto before = learned.freqs();
  expect_error([&] { learned.set_freqs(three); }, {"3 frequencies", "2"});
  expect_error([&] { learned.set_freqs(std::vector{1.0, kNaN}); }, {"a frequency is", "finite"});
  expect_error([&] { learned.set_freqs(std::vector{1.0, 1e300}); }, {"a frequency is 1e+300"});
  EXPECT_EQ(learned.freqs(), before) << "rejected frequencies must not be stored";
  XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  expect_error([&] { xpos.set_freqs(two); }, {"learned_freq"});
}

// --- what is rotated

TEST(Errors, WindowPastTheFeatures) {
  Unchanged tensors({2, 3, 6});
  tensors.expect_error_of(embedding(8), {}, {"8 features", "[2, 3, 6]", "only 6"});
  tensors.expect_error_of(embedding(4, {.start_index = 3}), {},
                          {"4 features", "start_index 3", "[2, 3, 6]", "only 6"});
  tensors.expect_error_of(embedding(4, {.start_index = kLargest - 4}), {},
                          {"start_index " + std::to_string(kLargest - 4), "only 6"});
  expect_error([] { embedding(4, {.start_index = -1}); }, {"start_index is -1", "negative"});
  expect_error([] { embedding(4, {.start_index = kLargest}); }, {std::to_string(kLargest), "more than fits"});
  expect_error([] { embedding(4, {.start_index = kMostNegative}); }, {"start_index is", "negative"});
  expect_error([] { embedding(4, {.rotary_dim = 6}); }, {"rotary_dim is 6", "2 frequencies", "4 features"});
}

TEST(Errors, SequenceAxis) {
  Unchanged tensors({2, 3, 6});
  const auto rotary_emb = embedding(4);
  for (const Index axis : {Index{3}, Index{-4}, kLargest, kMostNegative})
    tensors.expect_error_of(rotary_emb, {.seq_dim = axis},
                            {"seq_dim is " + std::to_string(axis), "rank 3", "-3 to 2"});
  for (const Index axis : {2, -1})
    tensors.expect_error_of(rotary_emb, {.seq_dim = axis},
                            {"seq_dim is " + std::to_string(axis), "rank 3", "features"});
  for (const Index axis : {Index{3}, Index{-4}, kLargest, kMostNegative})
    tensors.expect_error_of(embedding(4, {.seq_dim = axis}), {},
                            {"seq_dim is " + std::to_string(axis), "rank 3", "-3 to 2"});
  tensors.expect_error_of(embedding(4, {.seq_dim = 2}), {}, {"seq_dim is 2", "rank 3", "features"});
  expect_error([] { embedding(4, {.seq_dim = -1}); }, {"seq_dim is -1", "features"});
  Unchanged({6}).expect_error_of(rotary_emb, {}, {"seq_dim is -2", "rank 1"});
  Unchanged({6}).expect_error_of(rotary_emb, {.seq_dim = 0}, {"seq_dim is 0", "rank 1", "features"});
  const RotaryEmbedding<float> third_last(RotaryEmbeddingOptions{.dim = 4, .seq_before_head_dim = true});
  Unchanged({5, 6}).expect_error_of(third_last, {}, {"seq_dim is -3", "rank 2"});
  StridedView<float> nothing;
  expect_error([&] { rotary_emb.rotate_in_place(nothing); }, {"seq_dim is -2", "rank 0"});
}

TEST(Errors, Offset) {
  for (const double position : {kNaN, kInfinity, -kInfinity, 0x1p62, -0x1p63, 1e300})
    expect_error([&] { static_cast<void>(RotateOptions{.offset = position}); }, {"position", "2^62"});
  for (const std::int64_t position : {INT64_MAX, INT64_MIN, std::int64_t{1} << 62})
    expect_error([&] { static_cast<void>(RotateOptions{.offset = position}); },
                 {"position " + std::to_string(position), "2^62"});
  expect_error([&] { static_cast<void>(RotateOptions{.offset = UINT64_MAX}); },
               {"position 18446744073709551615", "2^62"});
}

// Results would be NaN or infinite from the first feature on.
TEST(Errors, Scale) {
  Unchanged tensors({2, 3, 6});
  for (const double scale : {kNaN, kInfinity, -kInfinity, 1e300})
    tensors.expect_error_of(embedding(4), {.scale = scale}, {"magnitude", "finite"});
  tensors.expect_error_of(embedding(4), {.scale = 0, .direction = Direction::inverse}, {"magnitude", "0"});
}

TEST(Errors, Output) {
  const auto rotary_emb = embedding(4);
  Unchanged({2, 3, 6}, {2, 4, 6}).expect_error_of(rotary_emb, {}, {"[2, 4, 6]", "[2, 3, 6]"});
  Unchanged({2, 3, 6}, {3, 6}).expect_error_of(rotary_emb, {}, {"[3, 6]", "[2, 3, 6]"});
  Unchanged({3, 6}, {2, 3, 6}).expect_error_of(rotary_emb, {}, {"[2, 3, 6]", "[3, 6]"});

  // Memory of 40 numbers, read and written in ways that do not go together.
  std::vector<float> memory(40, 1.0f);
  const auto expect_refused = [&](StridedView<float> in, StridedView<float> out, const char* why) {
    expect_error([&] { rotary_emb.rotate_into(in, out); }, {why});
    EXPECT_EQ(memory, std::vector<float>(40, 1.0f));
  };
  float* const data = memory.data();
  expect_refused({data, {3, 6}}, {data + 1, {3, 6}}, "overlap");              // moved by one
  expect_refused({data + 6, {3, 6}}, {data, {3, 6}}, "overlap");              // moved by one row
  expect_refused({data, {4, 4}, {4, 1}}, {data, {4, 4}, {1, 4}}, "overlap");  // the transpose of itself
  expect_refused({data + 12, {3, 4}, {-4, 1}}, {data + 4, {3, 4}, {4, 1}}, "overlap");  // upside down
  expect_refused({data, {3, 4}}, {data + 20, {3, 4}, {0, 1}}, "share memory");  // all rows in one place
  expect_refused({data, {3, 4}}, {data + 20, {3, 4}, {3, 1}},
                 "share memory");  // rows that run into each other
  expect_error(
      [&] {
        rotary_emb.rotate_in_place(StridedView<float>(data, {3, 4}, {0, 1}));
      },
      {"share memory"});
  EXPECT_EQ(memory, std::vector<float>(40, 1.0f));
}

TEST(Errors, QueriesLongerThanKeys) {
  Tensor<float, 3> q(2, 5, 6), k(2, 4, 6);
  q.setZero(), k.setZero();
  expect_error([&] { static_cast<void>(embedding(4).rotate_queries_with_cached_keys(q, k)); },
               {"5 queries", "4 cached keys"});
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  expect_error([&] { static_cast<void>(xpos.rotate_queries_with_cached_keys(q, k)); },
               {"5 queries", "4 cached keys"});
  expect_error([&] { static_cast<void>(xpos.rotate_queries_and_keys(q, k)); },
               {"5 queries", "4 keys", "as many"});
}

// What is wrong with the keys is found before the queries are rotated.
TEST(Errors, QueriesAndKeysTogether) {
  Random random(602);
  StridedArray<float> q({2, 3, 6}), k({2, 3, 6}), narrow({2, 3, 2});
  for (auto* tensor : {&q, &k, &narrow}) tensor->fill(random);
  const auto expect_refused = [&](const RotaryEmbedding<float>& rotary_emb, const StridedView<float>& queries,
                                  const StridedView<float>& keys, const RotateOptions& options,
                                  std::initializer_list<std::string_view> parts) {
    const auto q_before = q, k_before = k, narrow_before = narrow;
    expect_error([&] { rotary_emb.rotate_queries_and_keys_in_place(queries, keys, options); }, parts);
    EXPECT_TRUE(same_bits(q, q_before) && same_bits(k, k_before) && same_bits(narrow, narrow_before));
  };
  for (const auto output : {Pairing::interleaved, Pairing::half}) {
    const auto with_output = embedding(4, {.output_pairing = output});
    // At cached rows, and at others.
    for (const RotateOptions& options : {RotateOptions{}, RotateOptions{.offset = 0.5}}) {
      expect_refused(with_output, q.view(), narrow.view(), options, {"4 features", "[2, 3, 2]", "only 2"});
      expect_refused(with_output, narrow.view(), k.view(), options, {"4 features", "[2, 3, 2]", "only 2"});
      expect_refused(with_output, q.view(), q.view(), options, {"queries and keys", "memory"});
      expect_refused(with_output, q.view().slice(1, 0, 2), q.view().slice(1, 1, 2), options,
                     {"queries and keys", "memory"});
      expect_refused(with_output, q.view(), k.view().slice(1, 0, 2), options, {"3 queries", "2 keys"});
    }
  }
  expect_refused(embedding(4), q.view(), k.view(), {.seq_dim = -1}, {"seq_dim is -1", "features"});
  expect_refused(embedding(4, {.start_index = 3}), q.view(), k.view(), {}, {"4 features", "start_index 3"});
}

// --- views

TEST(Errors, ViewsThatOverflow) {
  float x = 0;
  const Index half = Index{1} << 62, big = Index{1} << 32;
  expect_error([&] { StridedView<float>(&x, {big, big}); }, {std::to_string(big), "more than fits"});
  expect_error([&] { StridedView<float>(&x, {half}); },
               {std::to_string(half), "more than fits"});  // in bytes
  expect_error(
      [&] {
        StridedView<float>(&x, {2, 2}, {kLargest, 1});
      },
      {std::to_string(kLargest), "more than fits"});
  expect_error([&] { StridedView<float>(&x, {2, 2}, {kMostNegative, 1}); }, {"more than fits"});
  expect_error([&] { StridedView<float>(&x, {3, 3}, {half / 4, half / 4}); }, {"more than fits"});
  expect_error([&] { StridedView<float>(&x, {3, -1}); }, {"axis 1 is -1", "negative"});
  expect_error([&] { StridedView<float>(&x, {kMostNegative, 1}); }, {"axis 0 is", "negative"});
  expect_error([&] { StridedView<float>(&x, {3, 3}, {1}); }, {"rank 2", "found 1"});
  expect_error(
      [&] {
        StridedView<float>(&x, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
      },
      {"0 to 12 axes", "13"});
}

// The members of a view are public, so every call checks them again.
TEST(Errors, ViewsFilledInByHand) {
  std::vector<float> memory(8, 1.0f);
  const auto rotary_emb = embedding(4);
  const auto expect_refused = [&](const std::function<void(StridedView<float>&)>& spoil,
                                  std::initializer_list<std::string_view> parts) {
    StridedView<float> view(memory.data(), {2, 4});
    spoil(view);
    StridedArray<float> fine({2, 4});
    expect_error([&] { rotary_emb.rotate_in_place(view); }, parts);
    expect_error([&] { rotary_emb.rotate_into(view, fine.view()); }, parts);
    expect_error([&] { rotary_emb.rotate_into(fine.view(), view); }, parts);
    expect_error([&] { interleaved_to_half_in_place(view); }, parts);
    const std::vector<int> list(8);
    StridedView<const int> ids(list.data(), {2, 4});
    ids.rank = view.rank, ids.extents = view.extents, ids.strides = view.strides;
    expect_error([&] { static_cast<void>(Positions::listed(ids)); }, parts);
    EXPECT_EQ(memory, std::vector<float>(8, 1.0f));
  };
  expect_refused([](auto& view) { view.rank = kMaxRank + 1; }, {"0 to 12 axes", "13"});
  expect_refused([](auto& view) { view.rank = 1000000; }, {"0 to 12 axes", "1000000"});
  expect_refused([](auto& view) { view.rank = -1; }, {"-1"});
  expect_refused([](auto& view) { view.extents[0] = -2; }, {"axis 0 is -2", "negative"});
  expect_refused([](auto& view) { view.extents[0] = kLargest; }, {"more than fits"});
  expect_refused([](auto& view) { view.strides[0] = kMostNegative; }, {"more than fits"});
}

// --- angles, tables and grids

/// apply_rotary_emb of both kinds on a [2, 3, 6] tensor must fail and leave it as it was.
template <int Rank>
void expect_no_apply(const Tensor<double, Rank>& freqs, const ApplyOptions& options,
                     std::initializer_list<std::string_view> parts) {
  Tensor<float, 3> t(2, 3, 6);
  t.setConstant(1);
  expect_error([&] { static_cast<void>(apply_rotary_emb(freqs, t, options)); }, parts);
  expect_error([&] { apply_rotary_emb_in_place(freqs, t, options); }, parts);
  for (Index n = 0; n < t.size(); ++n) ASSERT_EQ(t.data()[n], 1);
}

template <class... Sizes>
auto angles(Sizes... sizes) {
  Tensor<double, sizeof...(Sizes)> freqs(static_cast<Index>(sizes)...);
  freqs.setConstant(0.5);
  return freqs;
}

TEST(Errors, ShapesOfAngles) {
  expect_no_apply(angles(3, 8), {}, {"8 features", "[2, 3, 6]", "only 6"});
  expect_no_apply(angles(3, 4), {.start_index = 3}, {"4 features", "start_index 3", "only 6"});
  expect_no_apply(angles(3, 4), {.start_index = -1}, {"start_index is -1", "negative"});
  expect_no_apply(angles(3, 4), {.start_index = kLargest},
                  {"start_index " + std::to_string(kLargest), "only 6"});
  expect_no_apply(angles(3, 3), {}, {"3 features", "even"});
  expect_no_apply(angles(2, 4), {}, {"2 positions", "[2, 3, 6]", "3"});
  expect_no_apply(angles(2, 2, 4), {}, {"[2, 2, 4]", "[2, 3, 6]"});
  expect_no_apply(angles(1, 2, 3, 4), {}, {"[1, 2, 3, 4]", "rank 3"});
  expect_no_apply(angles(3, 4), {.seq_dim = 2}, {"seq_dim is 2", "features"});
  expect_no_apply(angles(3, 4), {.seq_dim = -4}, {"seq_dim is -4", "-3 to 2"});
  expect_no_apply(angles(2, 3, 4), {.freqs_seq_dim = 2}, {"freqs_seq_dim", "last"});
  expect_no_apply(angles(2, 3, 4), {.freqs_seq_dim = 3}, {"freqs_seq_dim is 3", "-3 to 2"});
}

TEST(Errors, Angles) {
  for (const double angle : {kNaN, kInfinity, -kInfinity, 0x1p62}) {
    auto freqs = angles(3, 4);
    freqs(2, 3) = angle;
    expect_no_apply(freqs, {.separate_angles = true}, {"an angle is", "finite"});
    expect_no_apply(freqs, {}, {"two angles of pair 1"});
    freqs(2, 2) = angle;
    expect_no_apply(freqs, {}, {"an angle is", "finite"});
    Tensor<float, 3> t(2, 3, 6);
    t.setZero();
    const Tensor<double, 2> rotations =
        freqs.slice(Eigen::array<Index, 2>{0, 1}, Eigen::array<Index, 2>{3, 3});
    expect_error([&] { static_cast<void>(apply_learned_rotations(rotations, t)); },
                 {"an angle is", "finite"});
  }
}

TEST(Errors, ShapesOfScales) {
  Tensor<float, 3> t(2, 3, 6);
  t.setZero();
  const auto freqs = angles(3, 4);
  expect_error([&] { static_cast<void>(apply_rotary_emb(freqs, t, angles(3, 3))); },
               {"3 features", "1 or 4"});
  expect_error([&] { static_cast<void>(apply_rotary_emb(freqs, t, angles(2, 4))); }, {"2 positions", "3"});
  expect_error([&] { static_cast<void>(apply_rotary_emb(freqs, t, angles(3, 3, 4))); },
               {"[3, 3, 4]", "[2, 3, 6]"});
  expect_error([&] { static_cast<void>(apply_rotary_emb(freqs, t, angles(1, 2, 3, 4))); },
               {"[1, 2, 3, 4]", "rank 3"});
  const RotaryEmbedding<float> rotary_emb({.dim = 4});
  expect_error(
      [&] {
        static_cast<void>(rotary_emb.rotate_queries_or_keys(t, RotateOptions{.direction = Direction::inverse},
                                                            angles(3, 4)));
      },
      {"no inverse", "Direction::transpose"});
}

TEST(Errors, Tables) {
  Tensor<float, 3> t(2, 3, 6);
  t.setConstant(1);
  const Frequencies two_pairs = language_frequencies(4);
  const auto expect_refused = [&](const CosSinTable<float>& table, Direction direction,
                                  std::initializer_list<std::string_view> parts) {
    expect_error([&] { static_cast<void>(apply_rotary_emb(table, t, direction)); }, parts);
    expect_error([&] { apply_rotary_emb_in_place(table, t, direction); }, parts);
    for (Index n = 0; n < t.size(); ++n) ASSERT_EQ(t.data()[n], 1);
  };
  const auto forward = Direction::forward;
  const Positions three = Positions::consecutive(3);
  const CosSinTable<float> table(two_pairs, three);
  expect_refused(CosSinTable<float>(two_pairs, Positions::consecutive(4)), forward, {"4 rows", "[2, 3, 6]"});
  expect_refused(CosSinTable<float>(language_frequencies(8), three), forward, {"8 features", "only 6"});
  expect_refused(CosSinTable<float>(two_pairs, three, {.start_index = 3}), forward,
                 {"4 features", "start_index 3", "only 6"});
  expect_refused(CosSinTable<float>(two_pairs, three, {.seq_dim = 2}), forward, {"seq_dim is 2", "features"});
  expect_refused(table, Direction::inverse, {"transpose"});
  expect_refused(table, static_cast<Direction>(7), {"direction is 7"});
  const AxisPositions sides[] = {AxisPositions::consecutive(2), AxisPositions::consecutive(2),
                                 AxisPositions::consecutive(3)};
  expect_refused(CosSinTable<float>(Frequencies{{1, 0, 0, 1, 0, 0}, 3, 1}, Positions::grid(sides)), forward,
                 {"3 axes", "[2, 3, 6]"});
  expect_error([&] { CosSinTable<float>(two_pairs, three, {.seq_dim = -1}); }, {"seq_dim is -1", "features"});
  expect_error([&] { CosSinTable<float>(two_pairs, three, {.rotary_dim = 6}); }, {"rotary_dim is 6"});
  expect_error([&] { CosSinTable<float>(two_pairs, Positions::from(3)); }, {"no length"});
  // A batch needs an axis before that of the sequence.
  expect_refused(CosSinTable<float>(two_pairs, Positions::consecutive(6).in_batches(3), {.seq_dim = 0}),
                 forward, {"along the batch", "[2, 3, 6]", "axis 0"});
  const Frequencies of_heads[] = {two_pairs, language_frequencies(6)};
  expect_error([&] { CosSinTable<float>(of_heads, three); }, {"3 pairs", "2 pairs"});
  expect_error([&] { static_cast<void>(table.cos(3, 0)); }, {"row 3", "3 rows"});
  expect_error([&] { static_cast<void>(table.sin(0, 2)); }, {"pair 2", "2 pairs"});
  expect_error([&] { static_cast<void>(table.cos(-1, 0)); }, {"row -1"});
  expect_error([&] { detail::RowStorage<float>({2, -3}, RowAxes::broadcast, {}, 2); }, {"-3"});
  expect_error([&] { detail::RowStorage<float>({2}, RowAxes::broadcast, {}, -1); }, {"-1 pairs"});
  expect_error(
      [&] {
        detail::RowStorage<float>({kLargest, 3}, RowAxes::broadcast, {}, 2);
      },
      {std::to_string(kLargest), "more than fits"});
}

// A token needs a coordinate for each axis of the frequencies.
TEST(Errors, PositionsOfOtherAxes) {
  const Frequencies two_axes = axial(language_frequencies(4), 2), one_axis = language_frequencies(4);
  const AxisPositions three = AxisPositions::consecutive(3);
  const AxisPositions axes[] = {three, three, three, three};
  const Positions grid = Positions::grid(axes), pairs = Positions::together(std::span(axes, 2));
  expect_error([&] { CosSinTable<float>(two_axes, Positions::consecutive(3)); }, {"1", "2"});
  expect_error([&] { CosSinTable<float>(one_axis, pairs); }, {"2", "1"});
  expect_error([&] { CosSinTable<float>(two_axes, grid); }, {"4", "2"});
  expect_error([&] { CosSinTable<float>(axial(language_frequencies(4), 5), grid); }, {"4", "5"});
}

TEST(Errors, Positions) {
  expect_error([] { static_cast<void>(Positions::consecutive(-1)); }, {"-1 positions"});
  const float not_a_number[] = {0, static_cast<float>(kNaN)};
  expect_error([&] { static_cast<void>(Positions::listed(std::span<const float>(not_a_number))); },
               {"position nan"});
  const std::int64_t too_far[] = {0, INT64_MAX};
  expect_error([&] { static_cast<void>(Positions::listed(std::span<const std::int64_t>(too_far))); },
               {"position " + std::to_string(INT64_MAX)});
  const AxisPositions two = AxisPositions::consecutive(2), three = AxisPositions::consecutive(3);
  const AxisPositions unequal[] = {two, three}, many[] = {two, two, two, two, two};
  expect_error([&] { static_cast<void>(Positions::together(unequal)); }, {"3", "2"});
  expect_error([&] { static_cast<void>(Positions::together(many)); }, {"1 to 4 axes", "5"});
  expect_error([&] { static_cast<void>(Positions::grid({})); }, {"1 to 4 axes", "0"});
  const AxisPositions huge[] = {AxisPositions::consecutive(kLargest), two};
  expect_error([&] { static_cast<void>(Positions::grid(huge)); },
               {std::to_string(kLargest), "more than fits"});

  const auto rotary_emb = embedding(4);
  expect_error([&] { static_cast<void>(rotary_emb(std::vector<double>{0, kNaN})); }, {"position nan"});
  expect_error([&] { static_cast<void>(rotary_emb(std::vector<double>{kInfinity})); }, {"position inf"});
  expect_error([&] { static_cast<void>(rotary_emb.get_seq_pos(-3)); }, {"-3 positions"});
  expect_error([&] { static_cast<void>(rotary_emb.get_axial_freqs(4, -2)); }, {"-2", "negative"});
}

// --- XPos

TEST(Errors, XPosOptions) {
  expect_error([] { XPos<float>{RotaryEmbeddingOptions{}}; }, {"dim is 0", "positive"});
  expect_error([] { XPos<float>{RotaryEmbeddingOptions{.dim = 5}}; }, {"dim is 5", "even"});
  for (const double base : {0.0, -1.0, kNaN, kInfinity})
    expect_error([&] { XPos<float>(RotaryEmbeddingOptions{.dim = 4}, {.xpos_scale_base = base}); },
                 {"xpos_scale_base is", "positive"});
  expect_error(
      [] {
        XPos<float>{RotaryEmbeddingOptions{.dim = 2, .custom_freqs = {1, 2, 3}}};
      },
      {"dim is 2", "3 frequencies"});
  expect_error([] { XPos<float>(axial(language_frequencies(4), 2)); },
               {"2 coordinates", "XPos takes those of one"});
  XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  const auto before = xpos.scale();
  expect_error([&] { xpos.set_scale({1}); }, {"1 scales", "2"});
  for (const double zeta : {0.0, -1.0, kNaN, kInfinity})
    expect_error([&] { xpos.set_scale({0.5, zeta}); }, {"a scale is", "positive"});
  EXPECT_EQ(xpos.scale(), before);
}

/// Queries and keys in place; both must be left as they were.
void expect_no_xpos(StridedArray<float>& q, StridedArray<float>& k, const XPosRotateOptions& options,
                    std::initializer_list<std::string_view> parts) {
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  const auto q_before = q, k_before = k;
  expect_error([&] { xpos.rotate_queries_and_keys_in_place(q.view(), k.view(), options); }, parts);
  EXPECT_TRUE(same_bits(q, q_before) && same_bits(k, k_before));
}

// Messages have room for 2047 characters.
TEST(Errors, LongMessagesAreCutOff) {
  const std::string long_text(3000, 'x');
  for (const std::size_t length : {1u, 2039u, 2040u, 3000u}) {
    const std::string text = long_text.substr(0, length);
    EXPECT_EQ(error_of_call([&] { detail::fail(text); }), ("rotary: " + text).substr(0, 2047));
  }
  EXPECT_EQ(error_of_call([&] { detail::fail(long_text, 7); }).size(), 2047u);
}

TEST(Errors, SizesThatJustFit) {
  using detail::checked_product, detail::checked_sum;
  EXPECT_EQ(checked_sum(PTRDIFF_MAX - 1, 1), PTRDIFF_MAX);
  EXPECT_EQ(checked_sum(PTRDIFF_MIN + 1, -1), PTRDIFF_MIN);
  EXPECT_EQ(checked_product(PTRDIFF_MAX / 2, 2), PTRDIFF_MAX - 1);
  EXPECT_EQ(checked_product(PTRDIFF_MIN / 2, 2), PTRDIFF_MIN);
  expect_error([] { checked_sum(PTRDIFF_MAX, 1); }, {"sizes 9223372036854775807 and 1 add up"});
  expect_error([] { checked_sum(PTRDIFF_MIN, -1); }, {"and -1 add up"});
  expect_error([] { checked_product(PTRDIFF_MAX / 2 + 1, 2); }, {"and 2 multiply"});
  expect_error([] { checked_product(PTRDIFF_MIN, -1); }, {"and -1 multiply"});
}

TEST(Errors, XPosTensors) {
  Random random(601);
  StridedArray<float> q({2, 3, 6}), k({2, 3, 6}), narrow({2, 3, 2}), shorter({2, 2, 6});
  for (auto* tensor : {&q, &k, &narrow, &shorter}) tensor->fill(random);
  expect_no_xpos(q, narrow, {}, {"4 features", "[2, 3, 2]", "only 2"});  // q is fine, and comes first
  expect_no_xpos(narrow, k, {}, {"4 features", "[2, 3, 2]", "only 2"});
  expect_no_xpos(q, shorter, {}, {"3 queries", "2 keys"});
  expect_no_xpos(q, k, {.seq_dim = 3}, {"seq_dim is 3", "-3 to 2"});
  expect_no_xpos(q, k, {.seq_dim = -1}, {"seq_dim is -1", "features"});
  // float holds no scale so large: an error, and not infinity.
  expect_no_xpos(q, k, {.offset = 100000, .centre = 0}, {"position 100000", "centre, 0", "out of range"});
  expect_no_xpos(q, k, {.centre = 1e6}, {"position 0", "centre, 1e+06", "out of range"});
  StridedArray<float> no_q({2, 0, 6}), no_k({2, 0, 6});
  for (const double centre : {kNaN, kInfinity, -kInfinity}) {
    expect_no_xpos(q, k, {.centre = centre}, {"the centre is", "must be finite"});
    expect_no_xpos(no_q, no_k, {.centre = centre}, {"the centre is", "must be finite"});
  }
  expect_no_xpos(q, k, {.centre = 1, .centre_on_last_query = true}, {"the centre is 1", "must be left out"});
  // Queries and keys that share memory would be rotated twice.
  expect_no_xpos(q, q, {}, {"queries and keys", "memory"});
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  StridedArray<float> wide({2, 4, 6});
  wide.fill(random);
  const auto before = wide;
  expect_error(
      [&] { xpos.rotate_queries_and_keys_in_place(wide.view().slice(1, 0, 3), wide.view().slice(1, 1, 3)); },
      {"queries and keys", "memory"});
  EXPECT_TRUE(same_bits(wide, before));
}

// The largest distance that the comment of XPos names can be used, and what comes out is finite.
TEST(Errors, XPosJustWithinRange) {
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 64});
  Tensor<float, 2> q(1, 64), k(1, 64);
  q.setConstant(1), k.setConstant(1);
  for (const Index position : {-35000, 35000}) {
    const auto [xq, xk] = xpos.rotate_queries_and_keys(q, k, {.offset = position, .centre = 0});
    for (Index n = 0; n < 64; ++n) EXPECT_TRUE(std::isfinite(xq(0, n)) && std::isfinite(xk(0, n)));
  }
}

// --- gradients

TEST(Errors, Gradients) {
  Tensor<float, 3> x(2, 3, 6), other(2, 4, 6);
  x.setZero(), other.setZero();
  const auto rotary_emb = embedding(4);
  expect_error([&] { static_cast<void>(rotary_emb.frequency_gradient(x, other)); },
               {"[2, 4, 6]", "[2, 3, 6]"});
  expect_error([&] { static_cast<void>(embedding(8).position_gradient(x, x)); }, {"8 features", "only 6"});
  Frequencies wrong = language_frequencies(6);
  wrong.axes = -1;
  const auto at = Positions::consecutive(3);
  expect_error([&] { static_cast<void>(position_gradient(wrong, at, {}, x, x)); },
               {"frequencies are for -1"});
  expect_error([&] { static_cast<void>(frequency_gradient(wrong, at, {}, x, x)); },
               {"frequencies are for -1"});
  expect_error(
      [&] {
        static_cast<void>(rotary_emb.angles_backward(std::vector{1.0, 2.0}, angles(3, 4)));
      },
      {"12 entries", "8"});
  expect_error([&] { static_cast<void>(apply_rotary_emb_backward(angles(3, 4), x, other)); },
               {"[2, 4, 6]", "[2, 3, 6]"});
  const std::vector<int> two = {0, 1}, six(6);
  for (const Positions& wrong_at :
       {Positions::listed(two), Positions::consecutive(4), Positions::listed(six).in_batches(3),
        Positions::listed(six).in_batches(1)}) {
    const Frequencies frequencies = language_frequencies(6);
    const auto refuse = [&](const auto& call) {
      expect_error([&] { static_cast<void>(call()); }, {"found"});
    };
    refuse([&] { return frequency_gradient(frequencies, wrong_at, {}, x, x); });
    refuse([&] { return position_gradient(frequencies, wrong_at, {}, x, x); });
  }
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  expect_error([&] { static_cast<void>(xpos.parameter_gradient(x, x, x, other)); },
               {"[2, 4, 6]", "[2, 3, 6]"});
  const AxialFrequencies<float> axial({.dim = 4});
  expect_error(
      [&] {
        static_cast<void>(axial.frequency_gradient(std::array<Index, 2>{2, 2}, angles(3, 4)));
      },
      {"12 entries", "32"});
}

// --- nothing is no error

// An extent of 0 on every axis in turn: the result is as empty, wherever the window is.
TEST(Empty, TensorsBecomeEmptyTensors) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    for (const Index start : {0, 1}) {
      std::array<Index, 4> shape{2, 3, 4, 6};
      shape[axis] = 0;
      // No features are fewer than four.
      const bool fits = axis != 3;
      SCOPED_TRACE("axis " + std::to_string(axis));
      Tensor<float, 4> x(shape);
      Eigen::Tensor<float, 4> columns(shape);
      const HeadLayout layout{.start_index = start};
      const auto rotary_emb = embedding(4, layout);
      const CosSinTable<float> table(language_frequencies(4), Positions::consecutive(shape[2]), layout);
      const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
      const std::vector<std::function<void()>> calls = {
          [&] { EXPECT_EQ(rotary_emb.rotate_queries_or_keys(x).size(), 0); },
          [&] { EXPECT_EQ(rotary_emb.rotate_queries_or_keys(columns).size(), 0); },
          [&] { rotary_emb.rotate_in_place(x); },
          [&] { rotary_emb.rotate_in_place(columns); },
          [&] { EXPECT_EQ(rotary_emb.rotate_queries_with_cached_keys(x, x).second.size(), 0); },
          [&] { EXPECT_EQ(apply_rotary_emb(table, x).size(), 0); },
          [&] { EXPECT_EQ(apply_rotary_emb(angles(shape[2], 4), x, {.start_index = start}).size(), 0); },
          [&] { EXPECT_EQ(xpos.rotate_queries_and_keys(x, x).first.size(), 0); },
          [&] {
            for (const double entry : rotary_emb.frequency_gradient(x, x)) EXPECT_EQ(entry, 0);
          },
          [&] {
            const auto found = apply_rotary_emb_backward(angles(shape[2], 4), x, x, {.start_index = start});
            EXPECT_EQ(found.t.size(), 0);
            for (Index n = 0; n < found.freqs.size(); ++n) EXPECT_EQ(found.freqs.data()[n], 0);
          },
      };
      for (std::size_t call = 0; call < calls.size(); ++call) {
        SCOPED_TRACE("call " + std::to_string(call));
        if (fits) {
          EXPECT_NO_THROW(calls[call]());
        } else {
          expect_error(calls[call], {"4 features", "only 0"});
        }
      }
    }
  }
}

TEST(Empty, ViewsMayHaveAnyStrides) {
  const auto rotary_emb = embedding(4), later = embedding(4, {.start_index = 2});
  for (const Index stride : {Index{0}, Index{1}, Index{-7}, kLargest, kMostNegative}) {
    const StridedView<float> nothing(nullptr, {3, 0, 6}, {stride, stride, 1});
    EXPECT_EQ(nothing.size(), 0);
    EXPECT_NO_THROW(later.rotate_in_place(nothing));
    const StridedView<float> elsewhere = nothing;
    EXPECT_NO_THROW(later.rotate_into(nothing, elsewhere));
  }
  // More elements than memory can hold, times an extent of 0.
  const StridedView<float> vast(nullptr, {kLargest, kLargest, 0, 6}, {6, 6, 6, 1});
  EXPECT_EQ(vast.size(), 0);
  EXPECT_NO_THROW(rotary_emb.rotate_in_place(vast));
  const StridedView<float> elsewhere = vast;
  EXPECT_NO_THROW(rotary_emb.rotate_into(vast, elsewhere));
}

// No frequencies: everything passes through.
TEST(Empty, NothingToRotate) {
  const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 1, .allow_odd_dim = true});
  EXPECT_EQ(rotary_emb.rotary_dim(), 0);
  Tensor<float, 2> x(3, 2);
  x.setRandom();
  const Tensor<float, 2> same = rotary_emb.rotate_queries_or_keys(x, {.offset = 2});
  for (Index n = 0; n < x.size(); ++n) EXPECT_EQ(bits_of(same.data()[n]), bits_of(x.data()[n]));
  EXPECT_EQ(rotary_emb.frequency_gradient(x, x).size(), 0u);
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 1, .allow_odd_dim = true});
  const auto [q, k] = xpos.rotate_queries_and_keys(x, x, {.offset = 2});
  for (Index n = 0; n < x.size(); ++n) {
    EXPECT_EQ(bits_of(q.data()[n]), bits_of(x.data()[n]));
    EXPECT_EQ(bits_of(k.data()[n]), bits_of(x.data()[n]));
  }
}

TEST(Empty, GridsAndPositions) {
  const AxialFrequencies<float> axial({.dim = 4});
  EXPECT_EQ(axial.get_axial_freqs(0, 3).size(), 0);
  EXPECT_EQ(axial.get_axial_freqs(3, 0).size(), 0);
  EXPECT_EQ(axial.table(std::array<Index, 2>{3, 0}).rows(), 0);
  EXPECT_EQ(embedding(4).get_seq_pos(0).size(), 0);
  EXPECT_EQ(embedding(4)(std::vector<double>{}).size(), 0);
}

}  // namespace
}  // namespace rotary::testing
