// Rotating windows whose features are contiguous: one window's features fill the vectors.
#pragma once

#include <algorithm>

#include "rotate_reference.hpp"
#include "rotate_steps.hpp"
#include "window_loop.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// Kernels for windows of one pairing.
///
/// The heads of a token reuse the vectors of its row while these are in registers. Pairs that do not fill a
/// register go through one of 16 bytes, the last of them through the scalar reference: never through a vector
/// that overlaps another, which in place would rotate its pairs twice. All of them round alike, so no result
/// depends on where a pair falls.
template <Pairing kPairing, class X, class Row>
struct RotateRows {
  using A = rotary::detail::Arithmetic<X, Row>;
  template <class Isa>
  using Wide = WideStep<kPairing, X, Row, Isa>;
  using Narrow = Step<kPairing, Vector<A, 16 / sizeof(A)>>;

  /// Rows of common widths, which stay in registers while all heads use them. Each width costs compile time,
  /// so there are only those of head sizes 64, 128 and 256.
  struct FixedWidth {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const JobShape* job, const WindowLoop* loop) {
      if constexpr (Isa::kFused) {
        const Index length = stream_length(kPairing, job->pairs), steps = length / Wide<Isa>::kWidth;
        if (steps * Wide<Isa>::kWidth == length) {
          if (steps == 4) return run_fixed<Isa, 4>(job, loop);
          if (steps == 2) return run_fixed<Isa, 2>(job, loop);
          if (steps == 1) return run_fixed<Isa, 1>(job, loop);
          if constexpr (Isa::kBytes == 64) {  // and 32 registers
            if (steps == 8) return run_fixed<Isa, 8>(job, loop);
          } else {
            if (steps == 8 || steps == 16) return run_fixed<Isa, 4>(job, loop, steps);
          }
        }
      }
      wrapper<Isa, AnyWidth>(job, loop);
    }
  };

  /// The heads of one token forward in place, `head_stride` scalars apart: a window must be whole vectors. The arguments
  /// fit in registers, and there is no job: of one head, writing and reading it took half of the instructions.
  struct OneToken {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(X* x, const Row* row, Index pairs, Index heads, Index head_stride) {
      if constexpr (Isa::kFused) {
        const Windows<X, Row> of(x, row, pairs, heads, head_stride);
        const Index steps = stream_length(kPairing, pairs) / Wide<Isa>::kWidth;
        if (steps % 4 == 0) return run_token<Isa, 4>(of, steps);
        if (steps % 2 == 0) return run_token<Isa, 2>(of, steps);
        run_token<Isa, 1>(of, steps);
      }
    }
  };

  /// Windows in the order of memory, each between the features before and after it, which are copied. Rows are loaded
  /// for every head, but from the first level cache. Out of place and beyond that cache this order takes half the time
  /// of one that rotates the heads of a token and then copies around them.
  struct InOrder {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const JobShape* job, const WindowLoop* loop) {
      if constexpr (Isa::kFused) {
        // Windows of 64 features, and multiples.
        constexpr int kSteps = static_cast<int>(
            std::min<Index>(Isa::kBytes == 64 ? 4 : 2, stream_length(kPairing, 32) / Wide<Isa>::kWidth));
        const Index length = stream_length(kPairing, job->pairs);
        if (length > 0 && length % (kSteps * Wide<Isa>::kWidth) == 0)
          return run_in_order<Isa, kSteps>(job, loop);
      }
      wrapper<Isa, AnyWidth>(job, loop);
    }
  };

  /// Rows of any width, with prefetch and non-temporal stores, which would take registers from the other kernels.
  struct AnyWidth {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const JobShape* job, const WindowLoop* loop) {
      Windows<X, Row> of(job, loop);
      const Index prefetch = loop == nullptr ? 0 : loop->prefetch;
      const bool nontemporal = loop != nullptr && loop->nontemporal,
                 prefetch_windows = loop != nullptr && loop->prefetch_windows;
      // More heads would push their first features out of the first level cache before their last are rotated.
      const Index window_bytes = 2 * of.pairs * static_cast<Index>(sizeof(X));
      const Index close = std::max<Index>(1, kTileBytes / std::max<Index>(1, window_bytes));
      const bool copies = (of.before | of.after) != 0;
      const Index pass = copies                                        ? 1
                         : loop != nullptr && loop->heads_per_pass > 0 ? loop->heads_per_pass
                                                                       : close;
      for (Index n = of.tokens; n > 0; --n, of.next_token()) {
        for (Index head = 0; head < of.heads; head += pass) {
          const X* const in = of.in + head * of.head_in;
          const Index heads = pass < of.heads - head ? pass : of.heads - head;
          if (prefetch_windows)
            for (Index w = 0; w < heads; ++w) prefetch_window(in + w * of.head_in, 2 * of.pairs);
          X* const out = of.out + head * of.head_out;
          if (copies) of.template copy_before<Isa>(in, out);
          rotate_windows<Isa>(*job, of, in, out, heads, prefetch, nontemporal);
          if (copies) of.template copy_after<Isa>(in, out);
        }
      }
      if (nontemporal) store_fence();
    }
  };

 private:
  /// The kernel `Body` for the instruction set of the one that calls it.
  template <class Isa, class Body>
  ROTARY_ALWAYS_INLINE static void wrapper(const JobShape* job, const WindowLoop* loop) {
    dispatch<Body, const JobShape*, const WindowLoop*>(Isa::kName)(job, loop);
  }

  /// Rows of `kStepsOf` steps, or of as many as `steps` says, `kStepsOf` at a time.
  template <class Isa, int kStepsOf>
  ROTARY_ALWAYS_INLINE static void run_fixed(const JobShape* job, const WindowLoop* loop,
                                             Index steps = kStepsOf) {
    Windows<X, Row> of(job, loop);
    for (Index n = of.tokens; n > 0; --n, of.next_token())
      for (Index at = 0; at < steps * Wide<Isa>::kWidth; at += kStepsOf * Wide<Isa>::kWidth)
        rotate_columns<Isa, Wide<Isa>, kStepsOf>(of, of.in + at, of.out + at, of.row + at, of.pairs,
                                                 of.heads);
  }
  /// One token of them.
  template <class Isa, int kStepsOf>
  ROTARY_ALWAYS_INLINE static void run_token(const Windows<X, Row>& of, Index steps) {
    for (Index at = 0; at < steps * Wide<Isa>::kWidth; at += kStepsOf * Wide<Isa>::kWidth)
      rotate_columns<Isa, Wide<Isa>, kStepsOf>(of, of.in + at, of.out + at, of.row + at, of.pairs, of.heads);
  }

  /// Windows of a multiple of `kSteps` steps. So many are rotated before the first is stored, which makes two stores
  /// in a row go to adjacent lines.
  template <class Isa, int kSteps>
  ROTARY_ALWAYS_INLINE static void run_in_order(const JobShape* job, const WindowLoop* loop) {
    using StepOf = Wide<Isa>;
    constexpr Index kWidth = StepOf::kWidth;
    Windows<X, Row> of(job, loop);
    if (of.heads == 1) of.tokens_as_heads();
    const Index partner = of.pairs, length = stream_length(kPairing, of.pairs), head_row = of.head_row;
    const bool negate = of.negate;
    for (Index n = of.tokens; n > 0; --n, of.next_token()) {
      const X* in = of.in;
      X* out = of.out;
      const Row* row = of.row;
      for (Index head = of.heads; head > 0; --head) {
        if (of.before != 0) of.template copy_before<Isa>(in, out);
        Index rest = length;
        do {
          Registers<typename StepOf::Rotated, kSteps> rotated;
          unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
            StepOf step;
            step.template load_row<Isa>(row + k * kWidth, partner, negate);
            step.template rotate<Isa>(in + k * kWidth, partner, rotated[k]);
          });
          unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
            StepOf::template put_first<Isa, false>(rotated[k], out + k * kWidth);
          });
          unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
            StepOf::template put_second<Isa, false>(rotated[k], out + k * kWidth, partner);
          });
          in += kSteps * kWidth, out += kSteps * kWidth, row += kSteps * kWidth, rest -= kSteps * kWidth;
        } while (rest > 0);
        in -= length, out -= length, row -= length;
        if (of.after != 0) of.template copy_after<Isa>(in, out);
        in += of.head_in, out += of.head_out, row += head_row;
      }
    }
  }

  /// `kCount` steps of a row by all windows.
  template <class Isa, class StepOf, int kCount, bool kInMemory = false>
  ROTARY_ALWAYS_INLINE static void rotate_columns(const Windows<X, Row>& of, const X* in, X* out,
                                                  const Row* row, Index partner, Index heads,
                                                  [[maybe_unused]] Index prefetch = 0,
                                                  [[maybe_unused]] bool nontemporal = false) {
    Registers<StepOf, kCount> steps;
    unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
      steps[k].template load_row<Isa>(row + k * StepOf::kWidth, partner, of.negate);
    });
    const Index head_in = of.head_in, head_out = of.head_out;
    // Two steps are rotated before they are written in the order of memory; more would need more registers.
    constexpr int kTogether = kCount == 2 ? 2 : 1;
    constexpr Index kWidth = StepOf::kWidth;
    do {
      if constexpr (kInMemory) {
        if (prefetch != 0) {
          constexpr std::size_t kBytes = kCount * kWidth * sizeof(X);
          prefetch_lines<kBytes>(in, prefetch);
          if constexpr (kPairing == Pairing::half) prefetch_lines<kBytes>(in + partner, prefetch);
        }
      }
      unrolled<kCount / kTogether>([&](auto group) ROTARY_INLINE_LAMBDA {
        constexpr Index kAt = group * kTogether * kWidth;
        Registers<typename StepOf::Rotated, kTogether> rotated;
        unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
          steps[group * kTogether + k].template rotate<Isa>(in + kAt + k * kWidth, partner, rotated[k]);
        });
        const auto write = [&](auto stored) ROTARY_INLINE_LAMBDA {
          unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
            StepOf::template put_first<Isa, stored>(rotated[k], out + kAt + k * kWidth);
          });
          unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
            StepOf::template put_second<Isa, stored>(rotated[k], out + kAt + k * kWidth, partner);
          });
        };
        if constexpr (kInMemory) {
          if (nontemporal) return write(std::true_type());
        }
        write(std::false_type());
      });
      in += head_in, out += head_out;
    } while (--heads > 0);
  }

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void rotate_windows(const JobShape& job, const Windows<X, Row>& of, const X* in,
                                                  X* out, Index heads, Index prefetch, bool nontemporal) {
    constexpr Index kWidth = Wide<Isa>::kWidth, kNarrow = Narrow::kWidth;
    const Index end = stream_length(kPairing, of.pairs);
    Index at = 0;
    if constexpr (Isa::kFused) {
      const auto rotate = [&](auto count) ROTARY_INLINE_LAMBDA {
        for (; at + count * kWidth <= end; at += count * kWidth)
          rotate_columns<Isa, Wide<Isa>, count, true>(of, in + at, out + at, of.row + at, of.pairs, heads,
                                                      prefetch, nontemporal);
      };
      rotate(std::integral_constant<int, 4>());
      if constexpr (Isa::kBytes == 64) rotate(std::integral_constant<int, 2>());
      rotate(std::integral_constant<int, 1>());
    }
    for (; at + kNarrow <= end; at += kNarrow)
      rotate_columns<Isa, Narrow, 1>(of, in + at, out + at, of.row + at, of.pairs, heads);
    if (at < end) [[unlikely]] {
      constexpr Index kPerPair = kPairing == Pairing::half ? 1 : 2;
      for (Index n = 0; n < heads; ++n)
        rotate_pairs_reference(job, at / kPerPair, of.pairs, in + n * of.head_in, out + n * of.head_out,
                               of.row);
    }
  }

  /// Prefetches the cache lines of a window in the order of memory. Processors prefetch such a sequence
  /// further by themselves, but not one that jumps between the halves of a wide window, which took twice the
  /// time.
  ROTARY_ALWAYS_INLINE static void prefetch_window(const X* in, Index features) {
    constexpr Index kLine = 64 / static_cast<Index>(sizeof(X));
    for (Index n = 0; n < features; n += kLine) __builtin_prefetch(in + n);
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
