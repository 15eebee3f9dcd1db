// Rotating windows whose features lie side by side: one window's features fill the vectors.
#pragma once

#include "rotate_reference.hpp"
#include "simd.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::kernels {

/// How a vector turns, for either pairing. Streams are what a vector runs along; offsets are in elements.
template <Pairing>
struct Turn;

/// Two streams of features, and two of the row. R(−φ)(a, b) is R(φ)(b, a) with its members exchanged.
///
///     features   a0 a1 a2 a3 ... | b0 b1 b2 b3 ...        row   c0 c1 c2 c3 ... | s0 s1 s2 s3 ...
template <>
struct Turn<Pairing::half> {
  static constexpr Index stream_length(Index pairs) { return pairs; }

  template <class Isa, class V, class Row>
  ROTARY_ALWAYS_INLINE static void load_row(const Row* row, Index partner, bool, V& cos, V& sin) {
    load<Isa>(row, cos);
    load<Isa>(row + partner, sin);
  }
  template <class Isa, class V, class X>
  ROTARY_ALWAYS_INLINE static void turn(const X* from, X* to, Index partner, bool backwards, const V& cos,
                                        const V& sin) {
    const Index first = backwards ? partner : 0, second = partner - first;
    V a, b;
    load<Isa>(from + first, a);
    load<Isa>(from + second, b);
    V to_first = b * sin, to_second = a * sin;
    multiply_subtract<Isa>(a, cos, to_first);
    multiply_add<Isa>(b, cos, to_second);
    store<Isa>(to + first, to_first);
    store<Isa>(to + second, to_second);
  }
};

/// One stream of complex numbers, and one of the row.
///
///     features   a0 b0 a1 b1 ...        row   c0 s0 c1 s1 ...
template <>
struct Turn<Pairing::interleaved> {
  static constexpr Index stream_length(Index pairs) { return 2 * pairs; }

  template <class Isa, class V, class Row>
  ROTARY_ALWAYS_INLINE static void load_row(const Row* row, Index, bool backwards, V& cos, V& sin) {
    V pairs;
    load<Isa>(row, pairs);
    repeat_neighbours(pairs, cos, sin);
    // Flipping the sign bit is exact, and free next to the multiplications.
    using Bits = Vector<std::conditional_t<sizeof(Element<V>) == 4, std::uint32_t, std::uint64_t>, kSize<V>>;
    Bits bits;
    load_bits(&sin, bits);
    bits ^= Element<Bits>{backwards} << (8 * sizeof(Element<V>) - 1);
    load_bits(&bits, sin);
  }
  template <class Isa, class V, class X>
  ROTARY_ALWAYS_INLINE static void turn(const X* from, X* to, Index, bool, const V& cos, const V& sin) {
    V x, swapped;
    load<Isa>(from, x);
    swap_neighbours(x, swapped);
    swapped = swapped * sin;
    multiply_alternate<Isa>(x, cos, swapped);
    store<Isa>(to, swapped);
  }
};

/// A run of windows: `count` of them, `in_step` and `out_step` elements apart, their rows `row_step` apart; 0
/// if all turn by one row.
template <class X, class Row>
struct WindowRun {
  const X* in;
  X* out;
  const Row* row;
  Index pairs, count, in_step, out_step, row_step;
  bool backwards;
};

/// Turns a run of windows.
///
/// Windows that share a row pass by while vectors of it stay in registers. What does not fill a register goes
/// through one of 16 bytes, and what does not fill that through a padded copy: never through an overlapping
/// vector, which in place would turn its pairs twice. All of them round alike, so no result depends on where
/// a pair falls.
template <Pairing kPairing, class X, class Row>
struct RotateRun {
  using T = Turn<kPairing>;
  using A = rotary::detail::Arithmetic<X, Row>;

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const WindowRun<X, Row>* run_) {
    const WindowRun<X, Row>& of = *run_;
    const Index rows = of.row_step == 0 ? 1 : of.count, windows = of.row_step == 0 ? of.count : 1;
    for (Index n = 0; n < rows; ++n)
      turn_windows<Isa>(of, of.in + n * of.in_step, of.out + n * of.out_step, of.row + n * of.row_step,
                        windows);
  }

 private:
  /// `kSteps` vectors of a row by all windows.
  template <class Isa, int kLanesOf, int kSteps>
  ROTARY_ALWAYS_INLINE static void turn_columns(const X* in, X* out, const Row* row, Index partner,
                                                Index windows, Index in_step, Index out_step,
                                                bool backwards) {
    using V = Vector<A, kLanesOf>;
    V cos[kSteps], sin[kSteps];
    unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
      T::template load_row<Isa>(row + k * kLanesOf, partner, backwards, cos[k], sin[k]);
    });
    do {
      unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
        T::template turn<Isa>(in + k * kLanesOf, out + k * kLanesOf, partner, backwards, cos[k], sin[k]);
      });
      in += in_step, out += out_step;
    } while (--windows > 0);
  }

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void turn_windows(const WindowRun<X, Row>& of, const X* in, X* out,
                                                const Row* row, Index windows) {
    constexpr int kWide = kLanes<Isa, A>, kNarrow = 16 / static_cast<int>(sizeof(A)), kSteps = 4;
    const Index end = T::stream_length(of.pairs), partner = of.pairs;
    Index at = 0;
    for (; at + kSteps * kWide <= end; at += kSteps * kWide)
      turn_columns<Isa, kWide, kSteps>(in + at, out + at, row + at, partner, windows, of.in_step, of.out_step,
                                       of.backwards);
    for (; at + kWide <= end; at += kWide)
      turn_columns<Isa, kWide, 1>(in + at, out + at, row + at, partner, windows, of.in_step, of.out_step,
                                  of.backwards);
    if (at < end) [[unlikely]]
      turn_rest<Isa, kNarrow>(of, in, out, row, windows, at, end);
  }

  template <class Isa, int kNarrow>
  ROTARY_ALWAYS_INLINE static void turn_rest(const WindowRun<X, Row>& of, const X* in, X* out, const Row* row,
                                             Index windows, Index at, Index end) {
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
        const X* const from = in + n * of.in_step + at;
        X* const to = out + n * of.out_step + at;
        if (!fits) copy(few, kNarrow, from, of.pairs);
        turn_columns<Isa, kNarrow, 1>(fits ? from : few, fits ? to : few, fits ? row + at : few_row,
                                      fits ? of.pairs : kNarrow, 1, 0, 0, of.backwards);
        if (!fits) copy(to, of.pairs, few, kNarrow);
      }
    }
  }
};

}  // namespace rotary::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
