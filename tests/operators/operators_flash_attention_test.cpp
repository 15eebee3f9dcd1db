// flash_attention::RotaryTables: objects give the bits of the functions, whichever way sequences are given.
#include <rotary/operators/flash_attention.hpp>

#include <cstring>
#include <limits>
#include <thread>

#include "support/errors.hpp"
#include "support/given_tables.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

using flash_attention::ApplyRotaryOptions;
using List = std::vector<std::int32_t>;

template <class S, class C, class X>
void check_forms(const GivenTables<C>& tables, const X& x, ApplyRotaryOptions options) {
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    const flash_attention::RotaryTables rows(tables.cos, tables.sin, pairing);
    for (const bool conjugate : {false, true}) {
      options.interleaved = pairing == Pairing::interleaved;
      options.conjugate = conjugate;
      const X wanted = flash_attention::apply_rotary(x, tables.cos, tables.sin, options);
      expect_same(rows.apply_rotary(x, options), wanted, "as a new tensor");
      options.interleaved.reset();
      X out(x.dimensions());
      rows.apply_rotary_into(x, out, options);
      expect_same(out, wanted, "into another tensor");
      X both = x;
      rows.apply_rotary_in_place(both, options);
      expect_same(both, wanted, "in place");
    }
  }
}

template <class S, class C>
void check_objects(Index pairs) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  const GivenTables<C> tables(random, 50, pairs);
  for (const auto& [batch, seq] :
       {std::pair<Index, Index>{1, 1}, {1, 40}, {2, 1}, {37, 1}, {5, 3}, {2, 33}}) {
    SCOPED_TRACE("batch " + std::to_string(batch) + ", seq " + std::to_string(seq));
    Tensor<S, 4> x(batch, seq, 2, 2 * pairs + 3);
    random.fill(x);
    check_forms<S>(tables, x, {});
    check_forms<S>(tables, x, {.seqlen_offset = 50 - seq, .max_seqlen = seq});
    List offsets(static_cast<std::size_t>(batch));
    for (std::int32_t& offset : offsets)
      offset = random.integer<std::int32_t>(0, 60);  // some past the tables
    check_forms<S>(tables, x, {.seqlen_offsets = offsets});
  }
  const List cu_seqlens = {0, 5, 5, 6, 38, 38}, offsets = {7, 3, 49, 30, 0};  // some past the tables
  Tensor<S, 3> packed(38, 2, 2 * pairs + 3);
  random.fill(packed);
  check_forms<S>(tables, packed, {.cu_seqlens = cu_seqlens});
  check_forms<S>(tables, packed, {.seqlen_offset = 18, .cu_seqlens = cu_seqlens});
  check_forms<S>(tables, packed, {.seqlen_offsets = offsets, .cu_seqlens = cu_seqlens, .max_seqlen = 32});
}

TEST(FlashAttentionTables, HaveTheBitsOfTheFunctionsInFloat) { check_objects<float, float>(5); }
TEST(FlashAttentionTables, HaveTheBitsOfTheFunctionsInDouble) { check_objects<double, float>(8); }
TEST(FlashAttentionTables, HaveTheBitsOfTheFunctionsWithTablesOfDouble) { check_objects<float, double>(8); }
TEST(FlashAttentionTables, HaveTheBitsOfTheFunctionsInBfloat16) {
  check_objects<Eigen::bfloat16, Eigen::bfloat16>(4);
}
/// A row is wider than the blocks on the stack.
TEST(FlashAttentionTables, HaveTheBitsOfTheFunctionsForWideRows) { check_objects<float, float>(1030); }

TEST(FlashAttentionTables, ARowForEachToken) {
  Random random(2);
  Tensor<float, 3> cos(3, 5, 4), sin(3, 5, 4);
  random.fill(cos), random.fill(sin);
  const flash_attention::RotaryTables rows(cos, sin);
  Tensor<float, 4> x(3, 5, 2, 9);
  random.fill(x);
  expect_same(rows.apply_rotary(x), Tensor<float, 4>(flash_attention::apply_rotary(x, cos, sin)), "each");
  expect_error([&] { rows.apply_rotary_in_place(x, {.seqlen_offset = 1}); }, {"[3, 5, 4]", "no offsets"});
}

/// Packed sequences, with offsets or without: each as if it were rotated alone.
template <class Rotate>
void check_packed(const Rotate& rotate) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  const GivenTables<double> tables(random, 20, 3);
  const List cu_seqlens = {0, 4, 4, 5, 12}, starts = {2, 11, 19, 17};  // the last one passes the end
  Tensor<double, 3> packed(12, 2, 7);
  random.fill(packed);
  for (const bool listed : {false, true}) {
    ApplyRotaryOptions options{.cu_seqlens = cu_seqlens};
    if (listed) options.seqlen_offsets = starts;
    if (!listed) options.seqlen_offset = 13;
    const Tensor<double, 3> found = rotate(packed, tables, options);
    for (std::size_t k = 0; k + 1 < cu_seqlens.size(); ++k)
      for (Index t = cu_seqlens[k]; t < cu_seqlens[k + 1]; ++t) {
        const Index row = t - cu_seqlens[k] + (listed ? starts[k] : 13);
        for (Index h = 0; h < 2; ++h)
          for (Index i = 0; i < 3; ++i) {
            const double c = row < 20 ? tables.cos(row, i) : 1, s = row < 20 ? tables.sin(row, i) : 0;
            const double a = packed(t, h, i), b = packed(t, h, i + 3);
            EXPECT_NEAR(found(t, h, i), a * c - b * s, 1e-14) << "token " << t << ", row " << row;
            EXPECT_NEAR(found(t, h, i + 3), b * c + a * s, 1e-14) << "token " << t << ", row " << row;
            EXPECT_EQ(found(t, h, 6), packed(t, h, 6));
          }
      }
  }
}

TEST(FlashAttention, PackedSequencesWithOffsets) {
  check_packed([](const auto& x, const auto& tables, const ApplyRotaryOptions& options) {
    return flash_attention::apply_rotary(x, tables.cos, tables.sin, options);
  });
  check_packed([](const auto& x, const auto& tables, const ApplyRotaryOptions& options) {
    return flash_attention::RotaryTables(tables.cos, tables.sin).apply_rotary(x, options);
  });
}

// Rotated by a row of cosines 1 and sines 0, a feature beside an infinite one would become NaN.
TEST(FlashAttention, TokensPastTheTablesKeepTheirBits) {
  Tensor<float, 2> cos(3, 2), sin(3, 2);
  cos.setConstant(0.5f), sin.setConstant(0.25f);
  const std::vector<std::int32_t> offsets = {2, 5, 3}, ends = {0, 2, 3, 5};
  Tensor<float, 4> x(3, 2, 2, 4);
  for (Index n = 0; n < x.size(); ++n)
    x.data()[n] = n % 4 == 0   ? -0.0f
                  : n % 4 == 1 ? -1.0f
                  : n % 4 == 2 ? 3.0f
                               : std::numeric_limits<float>::infinity();
  Tensor<float, 3> packed(5, 2, 4);
  for (Index n = 0; n < packed.size(); ++n) packed.data()[n] = x.data()[n];
  for (const bool interleaved : {false, true}) {
    const flash_attention::RotaryTables tables(cos, sin, interleaved ? Pairing::interleaved : Pairing::half);
    const auto out =
        flash_attention::apply_rotary(x, cos, sin, {.seqlen_offsets = offsets, .interleaved = interleaved});
    const auto by_tables = tables.apply_rotary(x, {.seqlen_offsets = offsets});
    auto in_place = x;
    tables.apply_rotary_in_place(in_place, {.seqlen_offsets = offsets});
    for (Index b = 0; b < 3; ++b)
      for (Index n = 0; n < 2; ++n)
        for (Index h = 0; h < 2; ++h)
          for (Index i = 0; i < 4; ++i) {
            if (offsets[static_cast<std::size_t>(b)] + n >= 3) {
              EXPECT_EQ(bits_of(out(b, n, h, i)), bits_of(x(b, n, h, i))) << b << ' ' << n << ' ' << i;
            }
            EXPECT_EQ(bits_of(by_tables(b, n, h, i)), bits_of(out(b, n, h, i)));
            EXPECT_EQ(bits_of(in_place(b, n, h, i)), bits_of(out(b, n, h, i)));
          }
    const auto of_packed = tables.apply_rotary(packed, {.seqlen_offsets = offsets, .cu_seqlens = ends});
    for (Index t = 1; t < 5; ++t)  // the first token alone has a row
      for (Index i = 0; i < 4; ++i)
        EXPECT_EQ(bits_of(of_packed(t, 1, i)), bits_of(packed(t, 1, i))) << t << ' ' << i;
  }
}

/// Gradients of packed sequences with offsets: those of each sequence rotated alone, summed.
TEST(FlashAttention, GradientsOfPackedSequencesWithOffsets) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  const GivenTables<double> tables(random, 20, 3);
  const List cu_seqlens = {0, 4, 5, 12}, starts = {2, 3, 17};
  Tensor<double, 3> packed(12, 2, 6), grad(12, 2, 6);
  random.fill(packed), random.fill(grad);
  const auto found = flash_attention::apply_rotary_backward(
      packed, tables.cos, tables.sin, grad, {.seqlen_offsets = starts, .cu_seqlens = cu_seqlens});
  Tensor<double, 2> cos(20, 3), sin(20, 3);
  cos.setZero(), sin.setZero();
  for (std::size_t k = 0; k + 1 < cu_seqlens.size(); ++k)
    for (Index t = cu_seqlens[k]; t < cu_seqlens[k + 1]; ++t) {
      const Index row = t - cu_seqlens[k] + starts[k];
      for (Index h = 0; h < 2 && row < 20; ++h)
        for (Index i = 0; i < 3; ++i) {
          const double a = packed(t, h, i), b = packed(t, h, i + 3), g = grad(t, h, i), q = grad(t, h, i + 3);
          cos(row, i) += g * a + q * b;
          sin(row, i) += q * a - g * b;
        }
    }
  for (Index n = 0; n < cos.size(); ++n) {
    EXPECT_NEAR(found.cos.data()[n], cos.data()[n], 1e-13) << "entry " << n;
    EXPECT_NEAR(found.sin.data()[n], sin.data()[n], 1e-13) << "entry " << n;
  }
}

TEST(FlashAttentionTables, HoldTheirTables) {
  Random random(5);
  auto tables = std::make_unique<GivenTables<float>>(random, 10, 4);
  const flash_attention::RotaryTables rows(tables->cos, tables->sin);
  static_assert(std::is_same_v<decltype(rows), const flash_attention::RotaryTables<float>>);
  Tensor<float, 4> x(2, 3, 2, 8);
  random.fill(x);
  const Tensor<float, 4> wanted =
      flash_attention::apply_rotary(x, tables->cos, tables->sin, {.seqlen_offset = 6});
  tables->sin.setConstant(7);
  tables.reset();
  expect_same(rows.apply_rotary(x, {.seqlen_offset = 6}), wanted, "tables that are gone");
}

TEST(FlashAttentionTables, AreSharedByThreads) {
  Random random(6);
  const GivenTables<float> tables(random, 64, 8);
  const flash_attention::RotaryTables rows(tables.cos, tables.sin);
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (std::size_t k = 0; k < same.size(); ++k)
    threads.emplace_back([&, k] {
      bool all = true;
      Random own(100 + k);
      for (int step = 0; step < 40; ++step) {
        Tensor<float, 4> x(3, 4, 2, 16);
        own.fill(x);
        const List offsets = {own.integer(0, 60), own.integer(0, 60), own.integer(0, 60)};
        const ApplyRotaryOptions options{.seqlen_offsets = offsets};
        const Tensor<float, 4> wanted = flash_attention::apply_rotary(x, tables.cos, tables.sin, options);
        rows.apply_rotary_in_place(x, options);
        all = all && std::memcmp(x.data(), wanted.data(), sizeof(float) * 384) == 0;
      }
      same[k] = all;
    });
  for (std::thread& thread : threads) thread.join();
  for (const bool k : same) EXPECT_TRUE(k);
}

TEST(FlashAttentionTables, ThrowBeforeAnythingIsWritten) {
  Tensor<float, 4> x(2, 3, 1, 6);
  Tensor<float, 3> packed(8, 1, 6);
  Tensor<float, 2> cos(9, 2), sin(9, 2), wide(9, 4), other(8, 2);
  x.setConstant(1), packed.setConstant(1), cos.setConstant(0), sin.setConstant(1);
  const flash_attention::RotaryTables rows(cos, sin), interleaved(cos, sin, Pairing::interleaved);
  const auto error_of = [&](auto& tensor, const ApplyRotaryOptions& options,
                            std::initializer_list<std::string_view> words) {
    expect_error([&] { rows.apply_rotary_in_place(tensor, options); }, words);
    expect_error([&] { rows.apply_rotary_into(tensor, tensor, options); }, words);
    EXPECT_EQ(tensor.data()[0], 1);
  };
  const List one = {1}, negative = {0, -1}, two = {1, 2}, three = {1, 2, 3}, lengths = {0, 3, 8},
             falls = {0, 9, 8}, late = {1, 8}, short_of = {0, 5};
  error_of(x, {.seqlen_offset = -1}, {"seqlen_offset is -1"});
  error_of(x, {.seqlen_offset = 7}, {"9 rows", "at least 10"});
  error_of(x, {.seqlen_offset = PTRDIFF_MAX}, {"add up"});
  error_of(x, {.seqlen_offsets = one}, {"1 seqlen_offsets", "2 sequences"});
  error_of(x, {.seqlen_offsets = negative}, {"seqlen_offset is -1"});
  error_of(x, {.seqlen_offset = 1, .seqlen_offsets = two}, {"only one"});
  error_of(x, {.max_seqlen = 2}, {"max_seqlen is 2", "3 tokens"});
  error_of(x, {.interleaved = true}, {"interleaved is true", "half pairs"});
  error_of(packed, {}, {"[8, 1, 6]", "4 axes"});
  error_of(packed, {.cu_seqlens = falls}, {"falls from 9 to 8"});
  error_of(packed, {.cu_seqlens = late}, {"starts with 1"});
  error_of(packed, {.cu_seqlens = short_of}, {"ends at 5", "8 tokens"});
  error_of(packed, {.seqlen_offsets = three, .cu_seqlens = lengths}, {"3 seqlen_offsets", "2 sequences"});
  error_of(packed, {.seqlen_offsets = two, .cu_seqlens = lengths, .max_seqlen = 4},
           {"max_seqlen", "5 tokens"});
  expect_error([&] { interleaved.apply_rotary_in_place(x, {.interleaved = false}); },
               {"interleaved is false", "interleaved pairs"});
  expect_error([&] { flash_attention::RotaryTables(cos, other); }, {"[9, 2]", "[8, 2]"});
  expect_error([&] { flash_attention::RotaryTables(wide, wide).apply_rotary_in_place(x); },
               {"8 features", "6"});
  EXPECT_EQ(x.data()[0], 1);
}

// Tensors without elements pass, whichever extent is 0; so do sequences without tokens.
TEST(FlashAttention, EmptyTensors) {
  for (std::size_t empty = 0; empty < 4; ++empty) {
    SCOPED_TRACE(empty);
    std::array<Index, 4> shape = {2, 3, 4, 8};
    shape[empty] = 0;
    Tensor<float, 4> x(shape);
    Tensor<float, 2> cos(10, shape[3] / 2), sin(10, shape[3] / 2);
    cos.setConstant(0), sin.setConstant(1);
    const flash_attention::RotaryTables tables(cos, sin);
    const List offsets(static_cast<std::size_t>(shape[0]), 5);
    EXPECT_EQ(tables.apply_rotary(x).dimensions(), x.dimensions());
    EXPECT_EQ(tables.apply_rotary(x, {.seqlen_offsets = offsets}).dimensions(), x.dimensions());
    const auto gradients = flash_attention::apply_rotary_backward(x, cos, sin, x);
    EXPECT_EQ(gradients.x.dimensions(), x.dimensions());
    EXPECT_EQ(gradients.cos.dimensions(), cos.dimensions());
    const List ends = {0, 0, static_cast<std::int32_t>(shape[1])};
    Tensor<float, 3> packed(shape[1], shape[2], shape[3]);
    EXPECT_EQ(tables.apply_rotary(packed, {.cu_seqlens = ends}).dimensions(), packed.dimensions());
  }
}

}  // namespace
}  // namespace rotary::testing
