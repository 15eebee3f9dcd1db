// Rotating tensors whose features lie apart, such as column-major ones: tokens or heads that are neighbours
// in memory fill the vectors.
#pragma once

#include "bfloat16_words.hpp"
#include "rotate_reference.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::kernels {

/// Lines of elements that are neighbours in memory: one line for every pair and token, each `length` long.
///
/// Either every element of a line turns by one cosine and sine, those of its token (`coefficients` are rows),
/// or each by its own (`coefficients` are lines, too).
template <class X, class C>
struct LaneRun {
  const X* in;
  X* out;
  const C* coefficients;
  PairStrides in_pairs, out_pairs, coefficient_pairs;
  Index pairs, tokens, length;
  Index in_step, out_step, coefficient_step;  // from token to token
  bool shared;                                // one coefficient for a whole line
  bool backwards;
};

/// Turns lines. What does not fill a register goes through narrower ones, then through a padded copy.
template <class X, class C>
struct RotateLanes {
  using A = rotary::detail::Arithmetic<X, C>;

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const LaneRun<X, C>* run_) {
    const LaneRun<X, C> of = *run_;  // a copy, which no store can change
    // R(−φ)(a, b) is R(φ)(b, a) with its members exchanged.
    const Index a = of.backwards ? of.in_pairs.partner : 0, b = of.in_pairs.partner - a;
    const Index to_a = of.backwards ? of.out_pairs.partner : 0, to_b = of.out_pairs.partner - to_a;
    Axis outer{of.pairs, of.in_pairs.pair, of.out_pairs.pair, of.coefficient_pairs.pair};
    Axis inner{of.tokens, of.in_step, of.out_step, of.coefficient_step};
    if (outer.in < inner.in) std::swap(outer, inner);  // the smaller steps inside
    constexpr int kWide = kLanes<Isa, A>;
    const auto for_each_line = [&](const auto& visit) ROTARY_INLINE_LAMBDA {
      for (Index m = 0; m < outer.count; ++m) {
        const X* in = of.in + m * outer.in;
        X* out = of.out + m * outer.out;
        const C* cos = of.coefficients + m * outer.coefficient;
        for (Index n = 0; n < inner.count; ++n, in += inner.in, out += inner.out, cos += inner.coefficient)
          visit(in + a, in + b, out + to_a, out + to_b, cos);
      }
    };
    const auto whole_lines = [&](auto lanes) ROTARY_INLINE_LAMBDA {
      using V = Vector<A, lanes>;
      for_each_line([&](const X* first, const X* second, X* to_first, X* to_second,
                        const C* cos) ROTARY_INLINE_LAMBDA {
        const V c = V{} + static_cast<A>(*cos), s = V{} + static_cast<A>(cos[of.coefficient_pairs.partner]);
        turn<Isa>(first, second, to_first, to_second, c, s);
      });
    };
    if (of.shared && of.length == kWide) return whole_lines(std::integral_constant<int, kWide>());
    if (of.shared && of.length == kWide / 2) return whole_lines(std::integral_constant<int, kWide / 2>());
    for_each_line([&](const X* first, const X* second, X* to_first, X* to_second, const C* cos)
                      ROTARY_INLINE_LAMBDA { line<Isa>(of, first, second, to_first, to_second, cos); });
  }

 private:
  /// What a loop steps over.
  struct Axis {
    Index count, in, out, coefficient;
  };

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void line(const LaneRun<X, C>& of, const X* first, const X* second, X* to_first,
                                        X* to_second, const C* cos) {
    constexpr int kWide = kLanes<Isa, A>, kNarrow = 16 / static_cast<int>(sizeof(A));
    Index at = 0;
    steps<Isa, kWide>(of, first, second, to_first, to_second, cos, at);
    if (at == of.length) return;
    if constexpr (kWide / 2 > kNarrow) steps<Isa, kWide / 2>(of, first, second, to_first, to_second, cos, at);
    if constexpr (kWide > kNarrow) steps<Isa, kNarrow>(of, first, second, to_first, to_second, cos, at);
    if (at == of.length) return;
    const auto rest = static_cast<std::size_t>(of.length - at);
    X few[2 * kNarrow] = {};
    C few_coefficients[2 * kNarrow] = {};
    std::memcpy(static_cast<void*>(few), first + at, rest * sizeof(X));
    std::memcpy(static_cast<void*>(few + kNarrow), second + at, rest * sizeof(X));
    for (std::size_t m = 0; m < rest; ++m) {
      const Index from = of.shared ? 0 : at + static_cast<Index>(m);
      few_coefficients[m] = cos[from];
      few_coefficients[kNarrow + m] = cos[of.coefficient_pairs.partner + from];
    }
    Vector<A, kNarrow> c, s;
    load<Isa>(few_coefficients, c);
    load<Isa>(few_coefficients + kNarrow, s);
    turn<Isa>(few, few + kNarrow, few, few + kNarrow, c, s);
    std::memcpy(static_cast<void*>(to_first + at), few, rest * sizeof(X));
    std::memcpy(static_cast<void*>(to_second + at), few + kNarrow, rest * sizeof(X));
  }

  template <class Isa, int kLanesOf>
  ROTARY_ALWAYS_INLINE static void steps(const LaneRun<X, C>& of, const X* first, const X* second,
                                         X* to_first, X* to_second, const C* cos, Index& at) {
    using V = Vector<A, kLanesOf>;
    const C* const sin = cos + of.coefficient_pairs.partner;
    // Two bfloat16 are the halves of a word, as in `WordStep`.
    constexpr bool kWords =
        std::is_same_v<X, Eigen::bfloat16> && std::is_same_v<A, float> && kLanesOf == kLanes<Isa, A>;
    if (of.shared) {
      if (at + kLanesOf > of.length) return;
      const V c = V{} + static_cast<A>(*cos), s = V{} + static_cast<A>(*sin);
      if constexpr (kWords)
        for (; at + 2 * kLanesOf <= of.length; at += 2 * kLanesOf)
          turn_words<Isa>(first + at, second + at, to_first + at, to_second + at, {c, c}, {s, s});
      for (; at + kLanesOf <= of.length; at += kLanesOf)
        turn<Isa>(first + at, second + at, to_first + at, to_second + at, c, s);
    } else {
      if constexpr (kWords) {
        for (; at + 2 * kLanesOf <= of.length; at += 2 * kLanesOf) {
          V c[2], s[2];
          load_apart<Isa>(cos + at, c[0], c[1]);
          load_apart<Isa>(sin + at, s[0], s[1]);
          turn_words<Isa>(first + at, second + at, to_first + at, to_second + at, c, s);
        }
      }
      for (; at + kLanesOf <= of.length; at += kLanesOf) {
        V c, s;
        load<Isa>(cos + at, c);
        load<Isa>(sin + at, s);
        turn<Isa>(first + at, second + at, to_first + at, to_second + at, c, s);
      }
    }
  }

  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void turn_words(const X* first, const X* second, X* to_first, X* to_second,
                                              const V (&cos)[2], const V (&sin)[2]) {
    V a[2], b[2];
    load_words(first, a[0], a[1]);
    load_words(second, b[0], b[1]);
    turn_pairs<Isa>(a[0], b[0], cos[0], sin[0]);
    turn_pairs<Isa>(a[1], b[1], cos[1], sin[1]);
    store_words<Isa, false>(to_first, a[0], a[1]);
    store_words<Isa, false>(to_second, b[0], b[1]);
  }

  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void turn(const X* first, const X* second, X* to_first, X* to_second,
                                        const V& cos, const V& sin) {
    V a, b;
    load<Isa>(first, a);
    load<Isa>(second, b);
    turn_pairs<Isa>(a, b, cos, sin);
    store<Isa>(to_first, a);
    store<Isa>(to_second, b);
  }
};

}  // namespace rotary::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
