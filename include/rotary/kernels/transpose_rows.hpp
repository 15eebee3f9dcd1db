// Transposes cos/sin rows: a contiguous column for every scalar of a row.
#pragma once

#include "simd_memory.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// columns[i * column_step + n] = rows[n * row_step + i] for `numbers` scalars i of `tokens` rows n, in
/// square tiles that are transposed in registers.
template <class Row>
struct TransposeRows {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const Row* rows, Index row_step, Index numbers, Index tokens,
                                       Row* columns, Index column_step) {
    constexpr Index kTile = (Isa::kBytes < 32 ? Isa::kBytes : 32) / static_cast<Index>(sizeof(Row));
    Index whole = 0;  // tokens that fill tiles
    for (; whole + kTile <= tokens; whole += kTile) {
      Index i = 0;
      for (; i + kTile <= numbers; i += kTile)
        tile<Vector<Row, kTile>>(rows + whole * row_step + i, row_step, columns + i * column_step + whole,
                                 column_step);
      for (; i < numbers; ++i)
        for (Index n = whole; n < whole + kTile; ++n) columns[i * column_step + n] = rows[n * row_step + i];
    }
    for (Index i = 0; i < numbers; ++i)
      for (Index n = whole; n < tokens; ++n) columns[i * column_step + n] = rows[n * row_step + i];
  }

 private:
  template <class V>
  ROTARY_ALWAYS_INLINE static void tile(const Row* from, Index from_step, Row* to, Index to_step) {
    constexpr int kTile = kSize<V>;
    Registers<V, kTile> v;
    unrolled<kTile>([&](auto n) ROTARY_INLINE_LAMBDA { load_bits(from + n * from_step, v[n]); });
    exchange<kTile / 2>(v);
    unrolled<kTile>([&](auto i) ROTARY_INLINE_LAMBDA { store_bits(to + i * to_step, v[i]); });
  }

  /// Transposes squares of 2 · kBlock rows and columns: exchanges the two blocks off the diagonal, then
  /// transposes within the blocks.
  template <int kBlock, class V, std::size_t kRows>
  ROTARY_ALWAYS_INLINE static void exchange(V (&v)[kRows]) {
    if constexpr (kBlock > 0) {
      unrolled<kRows>([&](auto n) ROTARY_INLINE_LAMBDA {
        if constexpr ((n & kBlock) == 0)
          exchange<kBlock>(v[n], v[n + kBlock], std::make_integer_sequence<int, kRows>());
      });
      exchange<kBlock / 2>(v);
    }
  }
  template <int kBlock, class V, int... Lane>
  ROTARY_ALWAYS_INLINE static void exchange(V& above, V& below, std::integer_sequence<int, Lane...>) {
    constexpr int kBelow = sizeof...(Lane);
    const V upper =
        __builtin_shufflevector(above, below, ((Lane & kBlock) != 0 ? kBelow + Lane - kBlock : Lane)...);
    below = __builtin_shufflevector(above, below, ((Lane & kBlock) != 0 ? kBelow + Lane : Lane + kBlock)...);
    above = upper;
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
