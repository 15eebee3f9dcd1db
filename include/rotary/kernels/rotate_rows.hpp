// Rotating windows whose features lie side by side: one window's features fill the vectors.
#pragma once

#include <algorithm>

#include "rotate_steps.hpp"
#include "rotation_job.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// So many bytes of their windows, and the rows of these, stay in the first level cache.
inline constexpr Index kCloseBytes = 16 * 1024;

/// Are windows of X ever turned by `RotateRun::turn_apart`? 16-bit numbers cost more to convert than it
/// saves.
template <class X>
inline constexpr bool kTurnsApart = sizeof(X) > 2;

/// Can they be, in steps of it?
template <class X, class Row>
bool can_turn_apart(Index pairs) {
  constexpr Index kStep = 4 * 64 / sizeof(rotary::detail::Arithmetic<X, Row>);
  return kTurnsApart<X> && 2 * pairs % kStep == 0 && is_fused();
}

/// How windows are turned in two directions: tokens, each with a row of its own, times heads that share it.
struct WindowLoop {
  Index pairs;
  const JobAxis *tokens, *heads;
  bool backwards;
  bool fetch_in_order = false;  // see there
  bool stream = false;          // write past the caches; all addresses are multiples of 64
  bool two_apart = false;       // `Apart` loads two heads before it writes, and not four
  Index pass = 0;               // heads that pass by one part of a row, if not as many as are close
  Index ahead = 0;              // bytes; `Far` asks for the cache lines so far on
};

/// The same with where that is: `count` tokens times `windows` heads.
template <class X, class Row>
struct WindowRun {
  const WindowLoop& loop;
  const X* in;
  X* out;
  const Row* row;
  Index count, windows;
};

/// Turns a run of windows.
///
/// The heads of a token pass by while vectors of its row stay in registers. What does not fill a register
/// goes through one of 16 bytes, and what does not fill that through a padded copy: never through an
/// overlapping vector, which in place would turn its pairs twice. All of them round alike, so no result
/// depends on where a pair falls.
template <Pairing kPairing, class X, class Row>
struct RotateRun {
  using A = rotary::detail::Arithmetic<X, Row>;
  template <class Isa>
  using Wide = std::conditional_t<std::is_same_v<X, Eigen::bfloat16> && std::is_same_v<A, float>,
                                  WordStep<kPairing, Vector<A, kLanes<Isa, A>>>,
                                  Step<kPairing, Vector<A, kLanes<Isa, A>>>>;
  using Narrow = Step<kPairing, Vector<A, 16 / sizeof(A)>>;

  /// A kernel for the instruction set in use.
  ///
  /// What a call on one token writes to memory on its way here stands in line behind what the call before it
  /// wrote: so a run comes in registers, and those that need more of these than `Whole` are functions of
  /// their own.
  template <class Body>
  static auto kernel() {
    return compiled<Body, const WindowLoop*, const X*, X*, const Row*, Index, Index>();
  }

  /// Rows of common lengths. Each that is compiled for itself costs its users' compilers time: hence only
  /// where registers are wide.
  struct Whole {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const WindowLoop* loop, const X* in, X* out, const Row* row,
                                         Index count, Index windows) {
      if constexpr (Isa::kFused) {
        const WindowRun<X, Row> of{*loop, in, out, row, count, windows};
        const Index length = stream_length(kPairing, loop->pairs), steps = length / Wide<Isa>::kWidth;
        if (steps * Wide<Isa>::kWidth == length) {
          if (steps == 1) return run_whole<Isa, 1>(of);
          if (steps == 2) return run_whole<Isa, 2>(of);
          if (steps == 4) return run_whole<Isa, 4>(of);
          if constexpr (Isa::kBytes == 64)  // and 32 registers
            if (steps == 8) return run_whole<Isa, 8>(of);
        }
      }
      kernel<InParts>()(loop, in, out, row, count, windows);
    }
  };

  /// Rows of any length.
  struct InParts {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const WindowLoop* loop, const X* in, X* out, const Row* row,
                                         Index count, Index windows) {
      run_in_parts<Isa, Reach::near>({*loop, in, out, row, count, windows});
    }
  };

  /// Windows in memory: their lines are asked for ahead of time, or results go past the caches, or both.
  struct Far {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const WindowLoop* loop, const X* in, X* out, const Row* row,
                                         Index count, Index windows) {
      if constexpr (Isa::kFused) {
        const WindowRun<X, Row> of{*loop, in, out, row, count, windows};
        if (!loop->stream) return run_in_parts<Isa, Reach::ahead>(of);
        run_in_parts<Isa, Reach::stream>(of);
        streamed();
      } else {
        kernel<InParts>()(loop, in, out, row, count, windows);
      }
    }
  };

  /// Heads far from each other, where `can_turn_apart`.
  struct Apart {
    template <class Isa>
    ROTARY_ALWAYS_INLINE static void run(const WindowLoop* loop, const X* in, X* out, const Row* row,
                                         Index count, Index windows) {
      if constexpr (Isa::kFused && kTurnsApart<X>) {
        const WindowRun<X, Row> of{*loop, in, out, row, count, windows};
        if (loop->two_apart) return run_apart<Isa, 2>(of);
        run_apart<Isa, 4>(of);
      }
    }
  };

 private:
  /// What is done beside turning: nothing, asking for lines ahead, or that and writing past the caches.
  enum class Reach { near, ahead, stream };

  /// Rows of `kStepsOf` steps.
  template <class Isa, int kStepsOf>
  ROTARY_ALWAYS_INLINE static void run_whole(WindowRun<X, Row> of) {
    const JobAxis tokens = *of.loop.tokens, heads = *of.loop.heads;  // copies, which no store can change
    const Index pairs = of.loop.pairs;
    const bool backwards = of.loop.backwards;
    for (; of.count > 0; --of.count, of.in += tokens.in, of.out += tokens.out, of.row += tokens.row)
      turn_columns<Isa, Reach::near, Wide<Isa>, kStepsOf>(of.in, of.out, of.row, pairs, of.windows, heads,
                                                          backwards);
  }

  /// Heads far from each other, `kHeads` at a time by the rows of a block of tokens.
  template <class Isa, int kHeads>
  ROTARY_ALWAYS_INLINE static void run_apart(WindowRun<X, Row> of) {
    const WindowLoop loop = of.loop;
    const JobAxis tokens = *loop.tokens, heads = *loop.heads;
    // What is read, and what is written unless that is the same.
    const Index token = (of.in == of.out ? 2 : 4) * kHeads * loop.pairs * static_cast<Index>(sizeof(X)),
                block = std::max<Index>(1, kCloseBytes / token);
    for (Index rest = of.count; rest > 0; rest -= of.count) {
      of.count = std::min(block, rest);
      Index n = 0;
      for (; n + kHeads <= of.windows; n += kHeads)
        turn_apart<Isa, kHeads>(of, loop, of.in + n * heads.in, of.out + n * heads.out, tokens, heads);
      for (; n < of.windows; ++n)
        turn_apart<Isa, 1>(of, loop, of.in + n * heads.in, of.out + n * heads.out, tokens, heads);
      of.in += of.count * tokens.in, of.out += of.count * tokens.out, of.row += of.count * tokens.row;
    }
  }

  /// `kHeads` heads of a block of tokens, of each of them two registers at a time, all loaded before the
  /// first is written: where heads are a multiple of 4 KiB apart, a load that follows a store to the same
  /// place of another page waits for it. The same happens to rows: so those of interleaved pairs, which take
  /// few registers, are read before the windows of the rows before them are written.
  template <class Isa, int kHeads>
  ROTARY_ALWAYS_INLINE static void turn_apart(const WindowRun<X, Row>& of, const WindowLoop& loop,
                                              const X* in_, X* out_, const JobAxis& tokens,
                                              const JobAxis& heads) {
    using StepOf = Wide<Isa>;
    constexpr int kTogether = kPairing == Pairing::half ? 1 : 2, kSteps = 2 * kTogether;
    constexpr Index kWidth = StepOf::kWidth;
    const X* in[kHeads];
    X* out[kHeads];
    unrolled<kHeads>([&](auto h)
                         ROTARY_INLINE_LAMBDA { in[h] = in_ + h * heads.in, out[h] = out_ + h * heads.out; });
    const Row* row = of.row;
    const Index partner = loop.pairs, length = stream_length(kPairing, loop.pairs);
    const bool backwards = loop.backwards;
    constexpr bool kReadsAhead = kPairing == Pairing::interleaved;
    Vector<A, kLanes<Isa, A>> ahead[kTogether];
    const auto read_ahead = [&](const Row* from) ROTARY_INLINE_LAMBDA {
      if constexpr (kReadsAhead)
        unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
          load<Isa>(from + k * kWidth, ahead[k]);
          keep_in_register<Isa>(ahead[k]);
        });
    };
    read_ahead(row);
    for (Index n = of.count; n > 0; --n) {
      Index rest = length;
      do {
        unrolled<kSteps / kTogether>([&](auto group) ROTARY_INLINE_LAMBDA {
          constexpr Index kAt = group * kTogether * kWidth;
          StepOf steps[kTogether];
          typename StepOf::Turned turned[kHeads][kTogether];
          unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
            if constexpr (kReadsAhead) {
              steps[k].template set_row<Isa>(ahead[k], backwards);
            } else {
              steps[k].template load_row<Isa>(row + kAt + k * kWidth, partner, backwards);
            }
          });
          unrolled<kHeads * kTogether>([&](auto at) ROTARY_INLINE_LAMBDA {
            constexpr int h = at / kTogether, k = at % kTogether;
            steps[k].template turn<Isa>(in[h] + kAt + k * kWidth, partner, turned[h][k]);
          });
          if constexpr (kAt + kTogether * kWidth < kSteps * kWidth) {
            read_ahead(row + kAt + kTogether * kWidth);
          } else {
            read_ahead(rest > kSteps * kWidth ? row + kSteps * kWidth
                       : n > 1                ? row + kSteps * kWidth + tokens.row - length
                                              : row);  // there is none
          }
          unrolled<kHeads * kTogether>([&](auto at) ROTARY_INLINE_LAMBDA {
            constexpr int h = at / kTogether, k = at % kTogether;
            StepOf::template put_first<Isa, false>(turned[h][k], out[h] + kAt + k * kWidth);
            StepOf::template put_second<Isa, false>(turned[h][k], out[h] + kAt + k * kWidth, partner);
          });
        });
        unrolled<kHeads>([&](auto h)
                             ROTARY_INLINE_LAMBDA { in[h] += kSteps * kWidth, out[h] += kSteps * kWidth; });
        row += kSteps * kWidth, rest -= kSteps * kWidth;
      } while (rest > 0);
      unrolled<kHeads>(
          [&](auto h) ROTARY_INLINE_LAMBDA { in[h] += tokens.in - length, out[h] += tokens.out - length; });
      row += tokens.row - length;
    }
  }

  /// Rows of any length, `pass` heads at a time.
  template <class Isa, Reach kReach>
  ROTARY_ALWAYS_INLINE static void run_in_parts(WindowRun<X, Row> of) {
    const JobAxis tokens = *of.loop.tokens, heads = *of.loop.heads;
    const Index pairs = of.loop.pairs, ahead = of.loop.ahead;
    // More heads would push their first features out of the first level cache before their last are turned.
    const Index close = kCloseBytes / (2 * pairs * static_cast<Index>(sizeof(X)));
    const Index pass = of.loop.pass > 0 ? of.loop.pass : close > 0 ? close : 1;
    const bool fetch = of.loop.fetch_in_order, backwards = of.loop.backwards;
    for (; of.count > 0; --of.count, of.in += tokens.in, of.out += tokens.out, of.row += tokens.row) {
      for (Index n = 0; n < of.windows; n += pass) {
        const X* const in = of.in + n * heads.in;
        const Index windows = pass < of.windows - n ? pass : of.windows - n;
        if (fetch)
          for (Index w = 0; w < windows; ++w) fetch_in_order(in + w * heads.in, 2 * pairs);
        turn_windows<Isa, kReach>(in, of.out + n * heads.out, of.row, pairs, windows, heads, backwards,
                                  ahead);
      }
    }
  }

  /// `kCount` steps of a row by all windows.
  template <class Isa, Reach kReach, class StepOf, int kCount>
  ROTARY_ALWAYS_INLINE static void turn_columns(const X* in, X* out, const Row* row, Index partner,
                                                Index windows, const JobAxis& heads, bool backwards,
                                                [[maybe_unused]] Index ahead = 0) {
    constexpr bool kStream = kReach == Reach::stream;
    StepOf steps[kCount];
    unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
      steps[k].template load_row<Isa>(row + k * StepOf::kWidth, partner, backwards);
    });
    // Two steps are turned before they are written in the order of memory; more would need more registers.
    constexpr int kTogether = kCount == 2 ? 2 : 1;
    do {
      if constexpr (kReach != Reach::near) {
        constexpr std::size_t kBytes = kCount * StepOf::kWidth * sizeof(X);
        ask_for<kBytes>(in, ahead);
        if constexpr (kPairing == Pairing::half) ask_for<kBytes>(in + partner, ahead);
      }
      unrolled<kCount / kTogether>([&](auto group) ROTARY_INLINE_LAMBDA {
        constexpr Index kWidth = StepOf::kWidth, kAt = group * kTogether * kWidth;
        typename StepOf::Turned turned[kTogether];
        unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
          steps[group * kTogether + k].template turn<Isa>(in + kAt + k * kWidth, partner, turned[k]);
        });
        unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
          StepOf::template put_first<Isa, kStream>(turned[k], out + kAt + k * kWidth);
        });
        unrolled<kTogether>([&](auto k) ROTARY_INLINE_LAMBDA {
          StepOf::template put_second<Isa, kStream>(turned[k], out + kAt + k * kWidth, partner);
        });
      });
      in += heads.in, out += heads.out;
    } while (--windows > 0);
  }

  template <class Isa, Reach kReach>
  ROTARY_ALWAYS_INLINE static void turn_windows(const X* in, X* out, const Row* row, Index pairs,
                                                Index windows, const JobAxis& heads, bool backwards,
                                                Index ahead) {
    constexpr Index kWidth = Wide<Isa>::kWidth;
    const Index end = stream_length(kPairing, pairs);
    Index at = 0;
    const auto turn = [&](auto count) ROTARY_INLINE_LAMBDA {
      for (; at + count * kWidth <= end; at += count * kWidth)
        turn_columns<Isa, kReach, Wide<Isa>, count>(in + at, out + at, row + at, pairs, windows, heads,
                                                    backwards, ahead);
    };
    turn(std::integral_constant<int, 4>());
    // A window of 128 bfloat16 is two steps, whose lines then follow each other in memory.
    if constexpr (kReach != Reach::near && sizeof(X) == 2) turn(std::integral_constant<int, 2>());
    turn(std::integral_constant<int, 1>());
    if (at < end) [[unlikely]]
      turn_rest<Isa>(in, out, row, pairs, windows, heads, backwards, at, end);
  }

  /// Asks for the cache lines of a window in the order of memory. Processors fetch ahead of such a sequence,
  /// but not of one that jumps between the halves of a wide window, which took twice the time.
  ROTARY_ALWAYS_INLINE static void fetch_in_order(const X* in, Index features) {
    constexpr Index kLine = 64 / static_cast<Index>(sizeof(X));
    for (Index n = 0; n < features; n += kLine) __builtin_prefetch(in + n);
  }

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void turn_rest(const X* in, X* out, const Row* row, Index pairs, Index windows,
                                             const JobAxis& heads, bool backwards, Index at, Index end) {
    constexpr Index kNarrow = Narrow::kWidth;
    for (; at < end; at += kNarrow) {
      const bool fits = at + kNarrow <= end;
      const auto rest = static_cast<std::size_t>(end - at);
      const auto copy = [&](auto* to, Index to_partner, const auto* from,
                            Index from_partner) ROTARY_INLINE_LAMBDA {
        std::memcpy(static_cast<void*>(to), from, rest * sizeof(*to));
        if constexpr (kPairing == Pairing::half)
          std::memcpy(static_cast<void*>(to + to_partner), from + from_partner, rest * sizeof(*to));
      };
      Row few_row[2 * kNarrow] = {};
      X few[2 * kNarrow] = {};
      if (!fits) copy(few_row, kNarrow, row + at, pairs);
      for (Index n = 0; n < windows; ++n) {
        const X* const from = in + n * heads.in + at;
        X* const to = out + n * heads.out + at;
        if (!fits) copy(few, kNarrow, from, pairs);
        turn_columns<Isa, Reach::near, Narrow, 1>(fits ? from : few, fits ? to : few,
                                                  fits ? row + at : few_row, fits ? pairs : kNarrow, 1, heads,
                                                  backwards);
        if (!fits) copy(to, pairs, few, kNarrow);
      }
    }
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
