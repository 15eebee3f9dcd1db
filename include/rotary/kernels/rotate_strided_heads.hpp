// Rotating windows of strided heads in cache: several heads at a time, by the rows of a block of tokens.
#pragma once

#include <algorithm>

#include "rotate_steps.hpp"
#include "window_loop.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// Can `StridedHeads` rotate such windows? It goes in whole steps, and the conversions of 16-bit scalars cost
/// more than it saves.
constexpr bool can_rotate_strided_heads(Index pairs, Index scalar_bytes, Index arithmetic_bytes,
                                        InstructionSet set) {
  return scalar_bytes > 2 && 2 * pairs % (4 * 64 / arithmetic_bytes) == 0 && is_fused(set);
}

/// Strided heads in cache, some of them at a time by the rows of a block of tokens.
template <Pairing kPairing, class X, class Row>
struct RotateStridedHeads {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const JobShape* job, const WindowLoop* loop) {
    if constexpr (Isa::kFused && sizeof(X) > 2) {
      // Sixteen registers hold the windows of two heads.
      if (Isa::kBytes < 64 || loop->heads_together == 2) return run_strided<Isa, 2>(job, loop);
      if constexpr (Isa::kBytes == 64) run_strided<Isa, 4>(job, loop);
    }
  }

 private:
  using A = rotary::detail::Arithmetic<X, Row>;

  /// `kHeads` heads at a time by the rows of a block of tokens.
  template <class Isa, int kHeads>
  ROTARY_ALWAYS_INLINE static void run_strided(const JobShape* job, const WindowLoop* loop) {
    Windows<X, Row> of(job, loop);
    // What is read, and what is written unless that is the same.
    const Index token = (of.in == of.out ? 2 : 4) * kHeads * of.pairs * static_cast<Index>(sizeof(X)),
                block = std::max<Index>(1, kTileBytes / token);
    for (Index rest = of.tokens; rest > 0; rest -= of.tokens) {
      of.tokens = std::min(block, rest);
      Index n = 0;
      for (; n + kHeads <= of.heads; n += kHeads)
        rotate_strided<Isa, kHeads>(of, of.in + n * of.head_in, of.out + n * of.head_out);
      for (; n < of.heads; ++n) rotate_strided<Isa, 1>(of, of.in + n * of.head_in, of.out + n * of.head_out);
      of.in += of.tokens * of.token_in, of.out += of.tokens * of.token_out,
          of.row += of.tokens * of.token_row;
    }
  }

  /// `kHeads` heads of a block of tokens, of each of them two registers at a time, all loaded before the
  /// first is stored: where heads are a multiple of 4 KiB apart, a load that follows a store to the same
  /// offset in another page waits for it. This holds for rows too: so those of interleaved pairs, which take
  /// few registers, are loaded before the windows of the rows before them are stored.
  template <class Isa, int kHeads>
  ROTARY_ALWAYS_INLINE static void rotate_strided(const Windows<X, Row>& of, const X* in_, X* out_) {
    using StepOf = WideStep<kPairing, X, Row, Isa>;
    constexpr int kTogether = kPairing == Pairing::half ? 1 : 2, kSteps = 2 * kTogether;
    constexpr Index kWidth = StepOf::kWidth;
    Registers<const X*, kHeads> in;
    Registers<X*, kHeads> out;
    unrolled<kHeads>(
        [&](auto h) ROTARY_INLINE_LAMBDA { in[h] = in_ + h * of.head_in, out[h] = out_ + h * of.head_out; });
    const Row* row = of.row;
    const Index partner = of.pairs, length = stream_length(kPairing, of.pairs);
    const bool negate = of.negate;
    constexpr bool kLoadsAhead = kPairing == Pairing::interleaved;
    Registers<Vector<A, kLanes<Isa, A>>, kTogether> next;
    const auto load_next = [&](const Row* from) ROTARY_INLINE_LAMBDA {
      if constexpr (kLoadsAhead)
        unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
          load<Isa>(from + k * kWidth, next[k]);
          keep_in_register<Isa>(next[k]);
        });
    };
    load_next(row);
    for (Index n = of.tokens; n > 0; --n) {
      Index rest = length;
      do {
        unrolled<kSteps / kTogether>([&](auto group) ROTARY_INLINE_LAMBDA {
          constexpr Index kAt = group * kTogether * kWidth;
          Registers<StepOf, kTogether> steps;
          Registers<Registers<typename StepOf::Rotated, kTogether>, kHeads> rotated;
          unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
            if constexpr (kLoadsAhead) {
              steps[k].template set_row<Isa>(next[k], negate);
            } else {
              steps[k].template load_row<Isa>(row + kAt + k * kWidth, partner, negate);
            }
          });
          unrolled<kHeads * kTogether>([&](auto at) ROTARY_INLINE_LAMBDA {
            constexpr int h = at / kTogether, k = at % kTogether;
            steps[k].template rotate<Isa>(in[h] + kAt + k * kWidth, partner, rotated[h][k]);
          });
          if constexpr (kAt + kTogether * kWidth < kSteps * kWidth) {
            load_next(row + kAt + kTogether * kWidth);
          } else {
            load_next(rest > kSteps * kWidth ? row + kSteps * kWidth
                      : n > 1                ? row + kSteps * kWidth + of.token_row - length
                                             : row);  // there is none
          }
          unrolled<kHeads * kTogether>([&](auto at) ROTARY_INLINE_LAMBDA {
            constexpr int h = at / kTogether, k = at % kTogether;
            StepOf::template put_first<Isa, false>(rotated[h][k], out[h] + kAt + k * kWidth);
            StepOf::template put_second<Isa, false>(rotated[h][k], out[h] + kAt + k * kWidth, partner);
          });
        });
        unrolled<kHeads>([&](auto h)
                             ROTARY_INLINE_LAMBDA { in[h] += kSteps * kWidth, out[h] += kSteps * kWidth; });
        row += kSteps * kWidth, rest -= kSteps * kWidth;
      } while (rest > 0);
      unrolled<kHeads>([&](auto h) ROTARY_INLINE_LAMBDA {
        in[h] += of.token_in - length, out[h] += of.token_out - length;
      });
      row += of.token_row - length;
    }
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
