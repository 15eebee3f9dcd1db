// Rotating windows whose features lie side by side: one window's features fill the vectors.
#pragma once

#include "rotate_reference.hpp"
#include "simd.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::kernels {

/// What a window's features, and its row, are made of: two streams side by side, or one.
///
///     half           a0 a1 a2 a3 ... | b0 b1 b2 b3 ...          c0 c1 c2 c3 ... | s0 s1 s2 s3 ...
///     interleaved    a0 b0 a1 b1 ...                            c0 s0 c1 s1 ...
constexpr Index stream_length(Pairing pairing, Index pairs) {
  return pairing == Pairing::half ? pairs : 2 * pairs;
}

/// A stretch of the streams, `kWidth` elements long: its cosines and sines in registers, and how it turns by
/// them.
template <Pairing kPairing, class V>
struct Step;

/// (a, b) in separate registers. R(−φ)(a, b) is R(φ)(b, a) with its members exchanged.
template <class V>
struct Step<Pairing::half, V> {
  static constexpr Index kWidth = kSize<V>;
  V cos, sin;

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index partner, bool) {
    load<Isa>(row, cos);
    load<Isa>(row + partner, sin);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE void turn(const X* from, X* to, Index partner, bool backwards) const {
    const Index first = backwards ? partner : 0, second = partner - first;
    V a, b;
    load<Isa>(from + first, a);
    load<Isa>(from + second, b);
    turn_pairs<Isa>(a, b, cos, sin);
    put<Isa, kStream>(to + first, a);
    put<Isa, kStream>(to + second, b);
  }
};

/// Complex numbers in one register.
template <class V>
struct Step<Pairing::interleaved, V> {
  static constexpr Index kWidth = kSize<V>;
  V cos, sin;

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index, bool backwards) {
    V pairs;
    load<Isa>(row, pairs);
    repeat_neighbours(pairs, cos, sin);
    negate_if(backwards, sin);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE void turn(const X* from, X* to, Index, bool) const {
    V x, swapped;
    load<Isa>(from, x);
    swap_neighbours(x, swapped);
    swapped = swapped * sin;
    multiply_alternate<Isa>(x, cos, swapped);
    put<Isa, kStream>(to, swapped);
  }
};

/// The same for bfloat16, two of which are the halves of a 32-bit word: those with even and those with odd
/// indices are in a register of their own, without a shuffle.
template <Pairing kPairing, class V>
struct WordStep;

template <class V>
struct WordStep<Pairing::half, V> {
  static constexpr Index kWidth = 2 * kSize<V>;
  V cos[2], sin[2];

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index partner, bool) {
    load_apart<Isa>(row, cos[0], cos[1]);
    load_apart<Isa>(row + partner, sin[0], sin[1]);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE void turn(const X* from, X* to, Index partner, bool backwards) const {
    const Index first = backwards ? partner : 0, second = partner - first;
    V a[2], b[2];
    load_words(from + first, a[0], a[1]);
    load_words(from + second, b[0], b[1]);
    turn_pairs<Isa>(a[0], b[0], cos[0], sin[0]);
    turn_pairs<Isa>(a[1], b[1], cos[1], sin[1]);
    store_words<Isa, kStream>(to + first, a[0], a[1]);
    store_words<Isa, kStream>(to + second, b[0], b[1]);
  }
};

template <class V>
struct WordStep<Pairing::interleaved, V> {
  static constexpr Index kWidth = 2 * kSize<V>;
  V cos, sin;

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index, bool backwards) {
    load_apart<Isa>(row, cos, sin);
    negate_if(backwards, sin);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE void turn(const X* from, X* to, Index, bool) const {
    V a, b;
    load_words(from, a, b);
    turn_pairs<Isa>(a, b, cos, sin);
    store_words<Isa, kStream>(to, a, b);
  }
};

/// Windows in two directions: `count` tokens, each with a row of its own, times `windows` heads that share
/// it. Steps are in elements.
template <class X, class Row>
struct WindowRun {
  const X* in;
  X* out;
  const Row* row;
  Index pairs, count, in_step, out_step, row_step;
  Index windows, window_in_step, window_out_step;
  bool backwards;
  bool fetch_in_order;  // see there
  bool stream;          // write past the caches; all addresses are multiples of 64
  Index pass;           // heads that pass by one part of a row before its next part comes
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

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const WindowRun<X, Row>* run_) {
    const WindowRun<X, Row>& of = *run_;
    // Each row's length that is compiled for itself costs its users' compilers time: only those that are
    // common, where registers are wide and speed is not that of memory.
    if constexpr (Isa::kFused) {
      if (of.stream) {
        run_in_parts<Isa, true>(of);
        return streamed();
      }
      const Index length = stream_length(kPairing, of.pairs), steps = length / Wide<Isa>::kWidth;
      if (steps * Wide<Isa>::kWidth == length && !of.fetch_in_order) {
        if (steps == 1) return run_whole<Isa, 1>(of);
        if (steps == 2) return run_whole<Isa, 2>(of);
        if (steps == 4) return run_whole<Isa, 4>(of);
        if constexpr (Isa::kBytes == 64)  // and 32 registers
          if (steps == 8) return run_whole<Isa, 8>(of);
      }
    }
    run_in_parts<Isa, false>(of);
  }

 private:
  /// Rows of `kStepsOf` steps.
  template <class Isa, int kStepsOf>
  ROTARY_ALWAYS_INLINE static void run_whole(WindowRun<X, Row> of) {  // a copy, which no store can change
    const X* in = of.in;
    X* out = of.out;
    const Row* row = of.row;
    for (Index n = 0; n < of.count; ++n, in += of.in_step, out += of.out_step, row += of.row_step)
      turn_columns<Isa, false, Wide<Isa>, kStepsOf>(in, out, row, of.pairs, of.windows, of.window_in_step,
                                                    of.window_out_step, of.backwards);
  }

  /// Rows of any length, `pass` heads at a time.
  template <class Isa, bool kStream>
  ROTARY_ALWAYS_INLINE static void run_in_parts(WindowRun<X, Row> of) {
    for (; of.count > 0; --of.count, of.in += of.in_step, of.out += of.out_step, of.row += of.row_step) {
      for (Index n = 0; n < of.windows; n += of.pass) {
        const X* const in = of.in + n * of.window_in_step;
        const Index windows = of.pass < of.windows - n ? of.pass : of.windows - n;
        if (of.fetch_in_order)
          for (Index w = 0; w < windows; ++w) fetch_in_order(in + w * of.window_in_step, 2 * of.pairs);
        turn_windows<Isa, kStream>(of, in, of.out + n * of.window_out_step, of.row, windows);
      }
    }
  }

  /// `kCount` steps of a row by all windows.
  template <class Isa, bool kStream, class StepOf, int kCount>
  ROTARY_ALWAYS_INLINE static void turn_columns(const X* in, X* out, const Row* row, Index partner,
                                                Index windows, Index in_step, Index out_step,
                                                bool backwards) {
    StepOf steps[kCount];
    unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
      steps[k].template load_row<Isa>(row + k * StepOf::kWidth, partner, backwards);
    });
    do {
      unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
        steps[k].template turn<Isa, kStream>(in + k * StepOf::kWidth, out + k * StepOf::kWidth, partner,
                                             backwards);
      });
      in += in_step, out += out_step;
    } while (--windows > 0);
  }

  template <class Isa, bool kStream>
  ROTARY_ALWAYS_INLINE static void turn_windows(const WindowRun<X, Row>& of, const X* in, X* out,
                                                const Row* row, Index windows) {
    constexpr Index kWidth = Wide<Isa>::kWidth;
    const Index end = stream_length(kPairing, of.pairs);
    Index at = 0;
    const auto turn = [&](auto count) ROTARY_INLINE_LAMBDA {
      for (; at + count * kWidth <= end; at += count * kWidth)
        turn_columns<Isa, kStream, Wide<Isa>, count>(in + at, out + at, row + at, of.pairs, windows,
                                                     of.window_in_step, of.window_out_step, of.backwards);
    };
    turn(std::integral_constant<int, 4>());
    turn(std::integral_constant<int, 1>());
    if (at < end) [[unlikely]]
      turn_rest<Isa>(of, in, out, row, windows, at, end);
  }

  /// Asks for the cache lines of a window in the order of memory. Processors fetch ahead of such a sequence,
  /// but not of one that jumps between the halves of a wide window, which took twice the time.
  ROTARY_ALWAYS_INLINE static void fetch_in_order(const X* in, Index features) {
    constexpr Index kLine = 64 / static_cast<Index>(sizeof(X));
    for (Index n = 0; n < features; n += kLine) __builtin_prefetch(in + n);
  }

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void turn_rest(const WindowRun<X, Row>& of, const X* in, X* out, const Row* row,
                                             Index windows, Index at, Index end) {
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
      if (!fits) copy(few_row, kNarrow, row + at, of.pairs);
      for (Index n = 0; n < windows; ++n) {
        const X* const from = in + n * of.window_in_step + at;
        X* const to = out + n * of.window_out_step + at;
        if (!fits) copy(few, kNarrow, from, of.pairs);
        turn_columns<Isa, false, Narrow, 1>(fits ? from : few, fits ? to : few, fits ? row + at : few_row,
                                            fits ? of.pairs : kNarrow, 1, 0, 0, of.backwards);
        if (!fits) copy(to, of.pairs, few, kNarrow);
      }
    }
  }
};

}  // namespace rotary::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
