// Rotation at given positions: listed, per sequence of a batch, of several coordinates, on grids, per head.
#include <gtest/gtest.h>

#include <random>
#include <rotary/rotary.hpp>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

template <class X>
Tensor<X, 4> random_tensor(std::array<Index, 4> shape, Random& random) {
  Tensor<X, 4> x(shape);
  for (Index n = 0; n < x.size(); ++n)
    x.data()[n] = static_cast<X>(static_cast<float>(random.uniform(-2, 2)));
  return x;
}

template <class X>
void expect_same(const Tensor<X, 4>& found, const Tensor<X, 4>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (Index n = 0; n < found.size(); ++n)
    ASSERT_EQ(static_cast<double>(found.data()[n]), static_cast<double>(wanted.data()[n])) << "element " << n;
}

template <class X>
Tensor<X, 4> token(const Tensor<X, 4>& x, Index b, Index n) {
  return x.slice(std::array<Index, 4>{b, 0, n, 0},
                 std::array<Index, 4>{1, x.dimension(1), 1, x.dimension(3)});
}

template <class X>
class RotateAtPositions : public ::testing::Test {};
using Scalars = ::testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(RotateAtPositions, Scalars);

TYPED_TEST(RotateAtPositions, EveryTokenRotatesAsItDoesAlone) {
  Random random(41);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
    const RotaryEmbedding<float> rotary_emb({.dim = 12, .pairing = pairing});
    const std::vector<std::int64_t> listed = {5, 5, -3, 0, 100'000'000'007, 1};
    const std::vector<std::int32_t> narrow = {5, 5, -3, 0, 7, 1};
    const std::vector<double> fractional = {0.5, -2.25, 3, 1e6 + 0.125, 0, 1};
    const auto x = random_tensor<TypeParam>({2, 3, 6, 16}, random);
    const auto check = [&](const Positions& positions, const auto& list) {
      const auto found = rotary_emb.rotate_queries_or_keys(x, positions);
      expect_same<TypeParam>(rotary_emb.rotate_queries_or_keys(x, list), found);
      for (Index b = 0; b < 2; ++b)
        for (Index n = 0; n < 6; ++n)
          expect_same<TypeParam>(token(found, b, n),
                                 rotary_emb.rotate_queries_or_keys(
                                     token(x, b, n), {.offset = list[static_cast<std::size_t>(n)]}));
      auto in_place = x;
      rotary_emb.rotate_in_place(in_place, positions);
      expect_same(in_place, found);
      in_place = x;
      apply_rotary_emb_in_place(rotary_emb.table(positions), in_place);  // precomputed rows
      expect_same(in_place, found);
    };
    check(Positions::listed(std::span(listed)), listed);
    check(Positions::listed(std::span(narrow)), narrow);
    check(Positions::listed(std::span(fractional)), fractional);
  }
}

TYPED_TEST(RotateAtPositions, SequencesOfABatchStandWhereTheyLike) {
  Random random(42);
  SCOPED_TRACE(random.replay());
  const std::vector<std::int64_t> ids = {0, 1, 2, 3, 7, 8, 9, 10};  // [batch, seq]
  const auto positions = Positions::listed(std::span(ids)).in_batches(2);
  for (const bool seq_first : {false, true}) {
    const RotaryEmbedding<float> rotary_emb({.dim = 8, .seq_before_head_dim = seq_first});
    const auto x = seq_first ? random_tensor<TypeParam>({2, 4, 3, 8}, random)
                             : random_tensor<TypeParam>({2, 3, 4, 8}, random);
    const auto found = rotary_emb.rotate_queries_or_keys(x, positions);
    for (Index b = 0; b < 2; ++b) {
      const std::array<Index, 4> start{b, 0, 0, 0}, size{1, x.dimension(1), x.dimension(2), 8};
      const Tensor<TypeParam, 4> part = x.slice(start, size), rotated = found.slice(start, size);
      expect_same<TypeParam>(rotated, rotary_emb.rotate_queries_or_keys(part, {.offset = 7 * b}));
    }
  }
}

TEST(RotateAtPositions, TextRotatesAlikeOnAllAxes) {
  Random random(43);
  SCOPED_TRACE(random.replay());
  const Frequencies plain = language_frequencies(16);
  const RotaryEmbedding<float> rotary_emb(on_axes(plain, mrope_axes_chunked({2, 3, 3}), 3),
                                          {.pairing = Pairing::half});
  const RotaryEmbedding<float> text(plain, {.pairing = Pairing::half});
  const auto x = random_tensor<float>({1, 2, 5, 16}, random);
  expect_same(rotary_emb.rotate_queries_or_keys(x, {.offset = 9}),
              text.rotate_queries_or_keys(x, {.offset = 9}));

  TokenPositions tokens(3);
  for (std::int64_t n = 9; n < 14; ++n) tokens.append({n, n, n});
  expect_same(rotary_emb.rotate_queries_or_keys(x, tokens.positions()),
              text.rotate_queries_or_keys(x, {.offset = 9}));
}

TEST(RotateAtPositions, CoordinatesRotateTheirOwnPairs) {
  Random random(44);
  SCOPED_TRACE(random.replay());
  const Frequencies plain = language_frequencies(16);
  const auto axis_of_pair = mrope_axes_interleaved({3, 3, 2});
  const RotaryEmbedding<double> rotary_emb(on_axes(plain, axis_of_pair, 3), {.pairing = Pairing::half});
  TokenPositions tokens(3);
  tokens.append({4, 1, 2});
  tokens.append({4, 7, 0});
  const auto x = random_tensor<double>({1, 1, 2, 16}, random);
  const auto found = rotary_emb.rotate_queries_or_keys(x, tokens.positions());
  for (Index n = 0; n < 2; ++n)
    for (Index i = 0; i < 8; ++i) {
      const auto axis = axis_of_pair[static_cast<std::size_t>(i)];
      const double angle = static_cast<double>(tokens.axis(axis)[static_cast<std::size_t>(n)]) *
                           static_cast<double>(plain.values[static_cast<std::size_t>(i)]);
      const double a = x(0, 0, n, i), b = x(0, 0, n, i + 8);
      EXPECT_NEAR(found(0, 0, n, i), a * std::cos(angle) - b * std::sin(angle), 1e-14);
      EXPECT_NEAR(found(0, 0, n, i + 8), b * std::cos(angle) + a * std::sin(angle), 1e-14);
    }
}

TEST(RotateAtPositions, AGridIsAnImageOrASequenceOfItsCells) {
  Random random(45);
  SCOPED_TRACE(random.replay());
  const RotaryEmbedding<float> rotary_emb(axial(language_frequencies(8), 2));
  const std::vector<AxisPositions> axes = {AxisPositions::consecutive(3), AxisPositions::consecutive(4)};
  const Positions grid = Positions::grid(axes);
  const auto image = random_tensor<float>({2, 3, 4, 16}, random);  // [batch, h, w, features]
  const auto rotated = rotary_emb.rotate_queries_or_keys(image, grid, {.seq_dim = 2});
  const AxialFrequencies<float> pixels({.dim = 8});
  expect_same(rotated, apply_rotary_emb(pixels.table(std::array<Index, 2>{3, 4}), image));

  const Tensor<float, 4> cells = image.reshape(std::array<Index, 4>{2, 1, 12, 16});
  const Tensor<float, 4> as_sequence = rotated.reshape(std::array<Index, 4>{2, 1, 12, 16});
  expect_same(rotary_emb.rotate_queries_or_keys(cells, grid), as_sequence);
}

TEST(RotateAtPositions, HeadsMayHaveFrequenciesOfTheirOwn) {
  Random random(46);
  SCOPED_TRACE(random.replay());
  std::mt19937_64 generator(random.seed());
  const std::vector<Frequencies> heads = random_mixed_frequencies(16, 3, generator);
  const std::vector<AxisPositions> axes = {AxisPositions::consecutive(2), AxisPositions::consecutive(3)};
  const Positions grid = Positions::grid(axes).as_list();
  const CosSinTable<float> rows(heads, grid), rows_seq_first(heads, grid, {.seq_dim = -3});
  const auto x = random_tensor<float>({2, 3, 6, 16}, random);
  const auto found = apply_rotary_emb(rows, x);
  for (Index h = 0; h < 3; ++h) {
    const std::array<Index, 4> start{0, h, 0, 0}, size{2, 1, 6, 16};
    const Tensor<float, 4> part = x.slice(start, size), rotated = found.slice(start, size);
    const CosSinTable<float> own(heads[static_cast<std::size_t>(h)], grid);
    expect_same(rotated, apply_rotary_emb(own, part));
  }
  const Tensor<float, 4> seq_first = x.shuffle(std::array<int, 4>{0, 2, 1, 3});
  const Tensor<float, 4> wanted = found.shuffle(std::array<int, 4>{0, 2, 1, 3});
  expect_same(apply_rotary_emb(rows_seq_first, seq_first), wanted);
}

TEST(RotateAtPositions, BackIsBackAndTransposeIsAdjoint) {
  Random random(47);
  SCOPED_TRACE(random.replay());
  Frequencies frequencies =
      yarn_frequencies(16, 10000, {.factor = 4, .original_max_position_embeddings = 64});
  const RotaryEmbedding<double> rotary_emb(frequencies);
  const std::vector<double> list = {3, -1.5, 12, 0};
  const auto positions = Positions::listed(std::span(list));
  const auto x = random_tensor<double>({1, 2, 4, 16}, random),
             y = random_tensor<double>({1, 2, 4, 16}, random);
  const auto rotated = rotary_emb.rotate_queries_or_keys(x, positions);
  const auto back = rotary_emb.rotate_queries_or_keys(rotated, positions, {.direction = Direction::inverse});
  const auto adjoint = rotary_emb.rotate_queries_or_keys(y, positions, {.direction = Direction::transpose});
  double left = 0, right = 0;
  for (Index n = 0; n < x.size(); ++n) {
    EXPECT_NEAR(back.data()[n], x.data()[n], 1e-14);
    left += rotated.data()[n] * y.data()[n];
    right += x.data()[n] * adjoint.data()[n];
  }
  EXPECT_NEAR(left, right, 1e-12);
}

/// ⟨rotated x, y⟩, as a function of frequencies and positions.
double loss(const Frequencies& frequencies, const std::vector<std::vector<double>>& lists, Index batch,
            const Tensor<double, 4>& x, const Tensor<double, 4>& y) {
  std::vector<AxisPositions> axes;
  for (const auto& list : lists) axes.push_back(AxisPositions::listed(std::span(list)));
  const Positions positions = Positions::together(axes).in_batches(batch);
  const auto rotated =
      RotaryEmbedding<double>(frequencies, {.pairing = Pairing::half}).rotate_queries_or_keys(x, positions);
  double sum = 0;
  for (Index n = 0; n < x.size(); ++n) sum += rotated.data()[n] * y.data()[n];
  return sum;
}

TEST(RotateAtPositions, GradientsAreThoseOfCentralDifferences) {
  Random random(48);
  SCOPED_TRACE(random.replay());
  std::vector<double> values(2 * 4);
  for (double& value : values) value = random.uniform(-1, 1);
  Frequencies frequencies = custom_frequencies(values);
  frequencies.axes = 2;
  frequencies.magnitude = 1.25;
  std::vector<std::vector<double>> lists(2, std::vector<double>(6));
  for (auto& list : lists)
    for (double& position : list) position = 4 * random.uniform(-1, 1);
  const auto x = random_tensor<double>({2, 2, 3, 8}, random), y = random_tensor<double>({2, 2, 3, 8}, random);
  const std::vector<AxisPositions> axes = {AxisPositions::listed(std::span<const double>(lists[0])),
                                           AxisPositions::listed(std::span<const double>(lists[1]))};
  const Positions positions = Positions::together(axes).in_batches(2);
  const HeadLayout layout{.pairing = Pairing::half};
  const auto of_frequencies = frequency_gradient(frequencies, positions, layout, x, y);
  const auto of_positions = position_gradient(frequencies, positions, layout, x, y);
  constexpr double kStep = 1e-5;
  for (std::size_t n = 0; n < values.size(); ++n) {
    Frequencies more = frequencies, less = frequencies;
    more.values[n] = values[n] + kStep, less.values[n] = values[n] - kStep;
    EXPECT_NEAR(of_frequencies[n], (loss(more, lists, 2, x, y) - loss(less, lists, 2, x, y)) / (2 * kStep),
                1e-7);
  }
  for (std::size_t axis = 0; axis < 2; ++axis)
    for (std::size_t row = 0; row < 6; ++row) {
      auto more = lists, less = lists;
      more[axis][row] += kStep, less[axis][row] -= kStep;
      EXPECT_NEAR(of_positions[row * 2 + axis],
                  (loss(frequencies, more, 2, x, y) - loss(frequencies, less, 2, x, y)) / (2 * kStep), 1e-7);
    }
}

TYPED_TEST(RotateAtPositions, ReadsOnePairingAndLeavesTheOther) {
  Random random(49);
  SCOPED_TRACE(random.replay());
  const auto x = random_tensor<TypeParam>({2, 2, 3, 20}, random);
  for (const auto& [own, other] :
       {std::pair{Pairing::interleaved, Pairing::half}, std::pair{Pairing::half, Pairing::interleaved}}) {
    HeadLayout layout{.start_index = 4, .pairing = own};
    const RotaryEmbedding<float> plain(language_frequencies(12), layout);
    layout.output_pairing = other;
    const RotaryEmbedding<float> between(language_frequencies(12), layout);
    const HeadFeatures features{.rotary_dim = 12, .start_index = 4, .axis = -1};
    const auto as_is = plain.rotate_queries_or_keys(x, 5);
    const auto wanted =
        own == Pairing::half ? half_to_interleaved(as_is, features) : interleaved_to_half(as_is, features);
    expect_same<TypeParam>(between.rotate_queries_or_keys(x, 5), wanted);
    auto in_place = x;
    between.rotate_in_place(in_place, 5);
    expect_same<TypeParam>(in_place, wanted);

    const RotateOptions back{.direction = Direction::inverse};
    const auto wanted_back = plain.rotate_queries_or_keys(as_is, 5, back);
    expect_same<TypeParam>(between.rotate_queries_or_keys(wanted, 5, back), wanted_back);
    between.rotate_in_place(in_place, 5, back);
    expect_same<TypeParam>(in_place, wanted_back);
  }
}

TEST(RotateAtPositions, SaysWhatDoesNotFit) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  Tensor<float, 4> x(2, 3, 4, 8);
  x.setConstant(1);
  const std::vector<std::int64_t> three = {1, 2, 3}, eight(8), nan_free = {1, 2, 3, 4};
  const auto fails = [&](const Positions& positions, const RotateOptions& options, const std::string& part) {
    expect_error([&] { rotary_emb.rotate_in_place(x, positions, options); }, {part});
    for (Index n = 0; n < x.size(); ++n) ASSERT_EQ(x.data()[n], 1);
  };
  fails(Positions::listed(std::span(three)), {}, "found 3 positions for a sequence of 4 tokens");
  fails(Positions::listed(std::span(nan_free)), {.offset = 2}, "the offset is 2, it must be 0");
  fails(Positions::listed(std::span(eight)).in_batches(4), {},
        "positions for 4 sequences of 2 tokens, the tensor [2, 3, 4, 8] has 2 sequences of 4 tokens");
  EXPECT_THROW(static_cast<void>(Positions::listed(std::span(three)).in_batches(2)), std::invalid_argument);
  Tensor<float, 2> flat(4, 8);
  flat.setZero();
  EXPECT_THROW(rotary_emb.rotate_in_place(flat, Positions::listed(std::span(eight)).in_batches(2)),
               std::invalid_argument);
  const std::vector<AxisPositions> axes = {AxisPositions::consecutive(4), AxisPositions::consecutive(4)};
  fails(Positions::together(axes), {}, "tokens have 2 coordinates, the frequencies are for 1");
}

}  // namespace
}  // namespace rotary::testing
