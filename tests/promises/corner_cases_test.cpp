// Corner cases of positions, sizes and strides: each test fails if the line of code for its case is changed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <rotary/key_cache.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/rotary.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

using kernels::cos_sin_row;
using kernels::cos_sin_row_reference;
using kernels::cos_sin_rows;

template <class T>
std::vector<T> reference_row(const TurnSteps& steps, const FixedPosition& position,
                             const kernels::Magnitude& magnitude = {}) {
  std::vector<T> row(static_cast<std::size_t>(2 * steps.pairs()));
  cos_sin_row_reference(steps, {&position, 1}, magnitude, Pairing::half, row.data());
  return row;
}

// Beyond 2^31 a step rounded to 2^-64 of a turn is too coarse for a float, and too far for the products of
// double.
TEST(CornerCases, RowsAtPositionsOfFortyBits) {
  const TurnSteps steps(language_frequencies(128));
  for (const int bits : {32, 35, 38, 39})
    for (std::int64_t n = 1; n < 40; ++n) {
      const FixedPosition position((std::int64_t{1} << bits) + n * 0x5851f42d);
      std::vector<float> row(128);
      cos_sin_row(steps, {&position, 1}, {}, Pairing::half, row.data());
      const auto exact = reference_row<double>(steps, position);
      for (std::size_t i = 0; i < 128; ++i)
        ASSERT_NEAR(static_cast<double>(row[i]), exact[i], 3.1e-8) << bits << ", " << i;
      std::vector<double> wide(128);
      cos_sin_row(steps, {&position, 1}, {}, Pairing::half, wide.data());
      ASSERT_EQ(wide, exact);
    }
}

// A row depends on its position alone, also in a block of rows that begins below 2^31 and ends beyond.
TEST(CornerCases, RowsAcrossTheEndOfNearPositions) {
  const TurnSteps steps(language_frequencies(512));
  for (std::int64_t before = 1; before < 32; ++before) {
    const Positions positions = Positions::consecutive(32, (std::int64_t{1} << 31) - before);
    std::vector<float> rows(32 * 512), row(512);
    cos_sin_rows(steps, positions, 0, 32, {}, Pairing::half, rows.data());
    for (Index n = 0; n < 32; ++n) {
      const FixedPosition position = positions.at(n);
      cos_sin_row(steps, {&position, 1}, {}, Pairing::half, row.data());
      ASSERT_EQ(std::memcmp(row.data(), rows.data() + n * 512, 512 * sizeof(float)), 0)
          << before << ", " << n;
    }
  }
}

// A phase is rounded to 2^-64 of a turn and not cut off: one of 1023.75 units becomes 1024, the first that a
// row shows.
TEST(CornerCases, PhasesAreRounded) {
  const DoubleDouble unit = 2 * kPi * DoubleDouble(std::ldexp(1.0, -94));
  const TurnSteps steps(Frequencies{{unit}});
  const FixedPosition position(std::int64_t{4095} << 28);
  float row[2];
  cos_sin_row(steps, {&position, 1}, {}, Pairing::half, row);
  EXPECT_EQ(row[0], 1.0f);
  EXPECT_GT(row[1], 0.0f);
}

// Scales of pairs beyond those that are computed together.
TEST(CornerCases, ScalesOfManyPairs) {
  const TurnSteps steps(language_frequencies(600));
  std::vector<double> log_scale(300);
  for (std::size_t i = 0; i < 300; ++i) log_scale[i] = -1e-3 * static_cast<double>(i);
  const kernels::Magnitude magnitude{.factor = 1.5, .log_scale = log_scale, .slope = 0.01, .origin = 3};
  const FixedPosition position(70);
  std::vector<double> row(600);
  cos_sin_row(steps, {&position, 1}, magnitude, Pairing::half, row.data());
  EXPECT_EQ(row, reference_row<double>(steps, position, magnitude));
}

// XPos: the scale of the last token is out of range, that of the first is not.
TEST(CornerCases, TheLastTokenOfXPosIsOutOfRange) {
  const XPos<float> xpos({.dim = 8});
  Tensor<float, 2> q(4, 8), k(4, 8);
  q.setConstant(1), k.setConstant(1);
  EXPECT_NO_THROW(static_cast<void>(xpos.rotate_queries_and_keys(q, k, {.offset = 35848, .centre = 0})));
  expect_error([&] { static_cast<void>(xpos.rotate_queries_and_keys(q, k, {.offset = 35850, .centre = 0})); },
               {"position 35853", "out of range"});
  KeyCache<float> cache(xpos, 0, {.heads = 1, .head_dim = 8});
  cache.append(k);
  cache.shift(0, 4, 35848);
  cache.shift(0, 4, -35848);
  expect_error([&] { cache.shift(0, 4, 35850); }, {"position 35853", "out of range"});
  EXPECT_EQ(cache.position(0), FixedPosition(0));
}

TEST(CornerCases, AContextShiftUpToTheLastToken) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  KeyCache<float> cache(rotary_emb, {.heads = 1, .head_dim = 8});
  Tensor<float, 2> keys(5, 8);
  for (Index n = 0; n < keys.size(); ++n) keys.data()[n] = static_cast<float>(n % 11) - 5;
  cache.append(keys);
  cache.shift_context(1, 4);  // the token that stays is the last of all
  ASSERT_EQ(cache.size(), 2);
  EXPECT_EQ(cache.position(1), FixedPosition(1));
  Tensor<float, 2> last(1, 8);
  std::copy_n(keys.data() + 32, 8, last.data());
  rotary_emb.rotate_in_place(last, 1);
  for (Index i = 0; i < 8; ++i) EXPECT_EQ(cache.head(0)(1, i), last(0, i));
}

TEST(CornerCases, PositionsThatDifferInTheirFractionAlone) {
  const Frequencies two = on_axes(language_frequencies(8), std::vector<Index>{0, 1, 0, 1}, 2);
  KeyCache<float> cache(two, {}, {.heads = 1, .head_dim = 8});
  TokenPositions whole(2);
  whole.append({0, 0});
  Tensor<float, 2> key(1, 8);
  key.setConstant(1);
  cache.append(key, whole);
  cache.shift(0, 1, {2.25, 2.5});
  EXPECT_EQ(cache.next_position(), FixedPosition(3.5));

  // 0 and 1.5 do not follow each other: both are rotated where they are.
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  KeyCache<float> line(rotary_emb, {.heads = 1, .head_dim = 8});
  Tensor<float, 2> keys(2, 8);
  keys.setConstant(1);
  const std::vector<double> places = {0, 1.5};
  line.append(keys, places);
  rotary_emb.rotate_in_place(keys, places);
  for (Index n = 0; n < 2; ++n)
    for (Index i = 0; i < 8; ++i) EXPECT_EQ(line.head(0)(n, i), keys(n, i)) << n << ", " << i;
}

TEST(CornerCases, YarnScalesTheScoresOfSmallFactors) {
  EXPECT_DOUBLE_EQ(yarn_mscale(1.25), 1 + 0.1 * std::log(1.25));
  EXPECT_DOUBLE_EQ(yarn_mscale(std::nextafter(1.0, 2.0)), 1 + 0.1 * std::log(std::nextafter(1.0, 2.0)));
  EXPECT_EQ(yarn_mscale(1), 1);
  EXPECT_EQ(yarn_mscale(0.5), 1);
}

// Views whose distance is no multiple of the size of an element: whether they share bytes is not looked into.
TEST(CornerCases, ViewsThatAreNotApartByWholeElements) {
  alignas(64) unsigned char bytes[256] = {};
  const RotaryEmbedding<float> rotary_emb({.dim = 4});
  const StridedView<const float> in(reinterpret_cast<const float*>(bytes), {2, 4}, {8, 2});
  for (const std::ptrdiff_t distance : {6, 7, 10}) {
    const StridedView<float> out(reinterpret_cast<float*>(bytes + distance), {2, 4}, {8, 2});
    expect_error([&] { rotary_emb.rotate_into(in, out); }, {"overlap"});
  }
}

// Packed sequences, of which each begins at a row of its own.
TEST(CornerCases, OffsetsOfPackedSequences) {
  Tensor<float, 2> cos(16, 4), sin(16, 4);
  for (Index n = 0; n < 64; ++n) {
    cos.data()[n] = static_cast<float>(std::cos(static_cast<double>(n)));
    sin.data()[n] = static_cast<float>(std::sin(static_cast<double>(n)));
  }
  Tensor<float, 3> x(5, 2, 8);
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<float>(n % 13) - 6;
  const std::vector<std::int32_t> cu_seqlens = {0, 3, 5}, offsets = {7, 1};
  const flash_attention::RotaryTables tables(cos, sin);
  const Tensor<float, 3> packed =
      tables.apply_rotary(x, {.seqlen_offsets = offsets, .cu_seqlens = cu_seqlens});
  const Tensor<float, 3> by_function =
      flash_attention::apply_rotary(x, cos, sin, {.seqlen_offsets = offsets, .cu_seqlens = cu_seqlens});
  const Index begin[] = {0, 3, 5};
  for (std::size_t sequence = 0; sequence < 2; ++sequence) {
    const Index first = begin[sequence], length = begin[sequence + 1] - first;
    Tensor<float, 4> alone(1, length, 2, 8);
    std::copy_n(x.data() + first * 16, length * 16, alone.data());
    tables.apply_rotary_in_place(alone, {.seqlen_offset = offsets[sequence]});
    for (Index n = 0; n < alone.size(); ++n) {
      EXPECT_EQ(packed.data()[first * 16 + n], alone.data()[n]) << sequence << ", " << n;
      EXPECT_EQ(by_function.data()[first * 16 + n], alone.data()[n]) << sequence << ", " << n;
    }
  }
}

}  // namespace
}  // namespace rotary::testing
