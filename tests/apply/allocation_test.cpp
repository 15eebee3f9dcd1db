// Calls in place or into a given tensor do not allocate once their rows are cached, nor for rows computed in
// the call.
#include <gtest/gtest.h>

#include <functional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/xpos.hpp>

#include "support/allocations.hpp"
#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

TEST(Allocation, IsCounted) {
  EXPECT_EQ(allocations_in([] {}), 0);
  EXPECT_GE(allocations_in([] { ::operator delete(::operator new(100)); }), 1);
  const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 8});
  StridedArray<float> x({100, 8});
  EXPECT_GE(allocations_in([&] { rotary_emb.rotate_in_place(x.view()); }), 1) << "the rows that are cached";
#if defined(SANITIZER_COUNTS) || defined(__GLIBC__)
  Tensor<float, 2> tensor(100, 8);
  tensor.setZero();
  EXPECT_GE(allocations_in([&] { const Tensor<float, 2> copy = tensor; }), 1);
  EXPECT_GE(allocations_in([&] { static_cast<void>(rotary_emb.rotate_queries_or_keys(tensor)); }), 1)
      << "a new tensor";
#endif
}

// Rows in float and double, cached and computed in the call, up to dim 128 and beyond, with all options of a
// call.
TEST(Allocation, EmbeddingsDoNone) {
  for_each_of<float, double>([&](auto rows) {
    for_each_scalar([&](auto scalar) {
      using X = decltype(scalar);
      for (const Pairing pairing : kPairings) {
        for (const Index dim : {2, 64, 128, 256}) {
          const RotaryEmbedding<decltype(rows)> rotary_emb(
              RotaryEmbeddingOptions{.dim = dim, .cache_max_seq_len = 64, .pairing = pairing});
          const RotaryEmbedding<decltype(rows)> later(language_frequencies(dim),
                                                      {.start_index = 3, .pairing = pairing}, 64);
          StridedArray<X> x({2, 3, 50, dim + 3}), out(x.extents());
          const auto in_view = std::as_const(x).view();
          const auto x_view = x.view(), out_view = out.view();
          for (const auto* embedding : {&rotary_emb, &later}) {  // all 64 rows are cached from here on
            embedding->rotate_in_place(x_view);
            embedding->rotate_in_place(x_view, 14);
            embedding->rotate_in_place(x_view, 14, {.scale = 2});  // and those of another magnitude
            embedding->rotate_in_place(x_view, {.scale = 2});
          }
          EXPECT_EQ(allocations_in([&] { later.rotate_in_place(x_view, 14); }), 0);
          EXPECT_EQ(allocations_in([&] { later.rotate_into(in_view, out_view, 14); }), 0);
          EXPECT_EQ(allocations_in([&] { later.rotate_queries_and_keys_in_place(x_view, out_view, 14); }), 0);
          for (const RotateOptions& options :
               {RotateOptions{}, RotateOptions{.offset = 14},
                RotateOptions{.direction = Direction::transpose}, RotateOptions{.offset = 15},
                RotateOptions{.offset = 0.5}, RotateOptions{.offset = -1000003}, RotateOptions{.scale = 2},
                RotateOptions{.seq_dim = 0},
                RotateOptions{.offset = 1 << 20, .scale = 2, .direction = Direction::inverse}}) {
            EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_in_place(x_view, options); }), 0);
            EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_into(in_view, out_view, options); }), 0);
            EXPECT_EQ(allocations_in(
                          [&] { rotary_emb.rotate_queries_and_keys_in_place(x_view, out_view, options); }),
                      0);
          }
        }
      }
    });
  });
}

// Rows of the positions below 8192 are stored unless another number is given; those beyond are computed in each call.
TEST(Allocation, IsForRowsBelow8192ByDefault) {
  StridedArray<float> x({1, 1, 8});
  const auto view = x.view();
  const ggml::Rope<float> rope({.n_dims = 8});
  for (const auto& embedding :
       {RotaryEmbedding<float>(RotaryEmbeddingOptions{.dim = 8}),
        RotaryEmbedding<float>(language_frequencies(8)), RotaryEmbedding<float>(rope.embedding())}) {
    EXPECT_EQ(allocations_in([&] { embedding.rotate_in_place(view, 8192); }), 0);
    EXPECT_GE(allocations_in([&] { embedding.rotate_in_place(view, 8191); }), 1);
    EXPECT_EQ(allocations_in([&] { embedding.rotate_in_place(view, 8191); }), 0);
  }
}

TEST(Allocation, XPosDoesNone) {
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 128});
  StridedArray<float> q({2, 50, 128}), k({2, 50, 128});
  const auto q_view = q.view(), k_view = k.view();
  for (const XPosRotateOptions& options :
       {XPosRotateOptions{}, XPosRotateOptions{.offset = 1000003}, XPosRotateOptions{.centre = 3},
        XPosRotateOptions{.direction = Direction::inverse}})
    EXPECT_EQ(allocations_in([&] { xpos.rotate_queries_and_keys_in_place(q_view, k_view, options); }), 0);
}

TEST(Allocation, TablesDoNone) {
  const CosSinTable<float> table(language_frequencies(64), Positions::consecutive(50));
  const CosSinTable<float> later(language_frequencies(64), Positions::consecutive(50), {.start_index = 2});
  StridedArray<float> x({2, 50, 66}), out(x.extents());
  const auto in_view = std::as_const(x).view();
  const auto x_view = x.view(), out_view = out.view();
  EXPECT_EQ(allocations_in([&] { apply_rotary_emb_in_place(table, x_view); }), 0);
  EXPECT_EQ(allocations_in([&] { apply_rotary_emb_into(later, in_view, out_view); }), 0);
}

// Decoding within the capacity of a cache: tokens are appended, erased and moved.
TEST(Allocation, KeyCachesDoNone) {
  for_each_scalar([](auto scalar) {
    using X = decltype(scalar);
    const KeyCacheOptions options{.heads = 2, .head_dim = 130, .capacity = 64, .grows = false};
    const XPos<RowsFor<X>> xpos(RotaryEmbeddingOptions{.dim = 128});
    const Frequencies mrope = on_axes(language_frequencies(128), mrope_axes_chunked({16, 24, 24}), 3);
    for (KeyCache<X> cache : {KeyCache<X>(language_frequencies(128), {}, options),
                              KeyCache<X>(xpos, 0, options), KeyCache<X>(mrope, {}, options)}) {
      StridedArray<X> prompt({2, 50, 130}), token({2, 1, 130});
      const auto prompt_view = prompt.view(), token_view = token.view();
      EXPECT_EQ(allocations_in([&] { cache.append(prompt_view); }), 0);
      EXPECT_EQ(allocations_in([&] { cache.append(token_view); }), 0);
      EXPECT_EQ(allocations_in([&] { cache.append(token_view, 0.5); }), 0);
      EXPECT_EQ(allocations_in([&] { cache.shift(3, 9, -2); }), 0);
      EXPECT_EQ(allocations_in([&] { cache.erase(7, 9); }), 0);
      EXPECT_EQ(allocations_in([&] { cache.shift_context(4, 20); }), 0);
      EXPECT_EQ(allocations_in([&] { cache.rewind(20); }), 0);
    }
  });
}

// Eigen's own tensors and matrices, which need a view of themselves first.
TEST(Allocation, EigenTensorsNeedNone) {
  const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 8});
  Tensor<float, 4> x(2, 3, 20, 8), out(2, 3, 20, 8);
  Eigen::MatrixXf matrix(20, 10);
  x.setZero();
  matrix.setZero();
  rotary_emb.rotate_in_place(x);
  EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_in_place(x); }), 0);
  EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_into(x, out, {.offset = 100000}); }), 0);
  EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_in_place(matrix); }), 0);
  EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_in_place(matrix.rightCols(8)); }), 0);
}

// A call that throws allocates its message only, and leaves nothing behind of the call before it.
TEST(Allocation, IsNotNeededForEmptyTensors) {
  const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 8});
  const StridedView<float> nothing(nullptr, {2, 0, 8});
  EXPECT_EQ(allocations_in([&] { rotary_emb.rotate_in_place(nothing); }), 0);
}

}  // namespace
}  // namespace rotary::testing
