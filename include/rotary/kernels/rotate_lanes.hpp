// Rotating tensors whose features are strided, such as column-major ones: adjacent tokens or heads fill the
// vectors.
#pragma once

#include "bfloat16_words.hpp"
#include "lane_run.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// Rotates a `LaneRun`. What does not fill a register goes through narrower ones, then through a padded copy.
template <class X, class C>
struct RotateLanes : private LaneLoops<X, C> {
  using A = rotary::detail::Arithmetic<X, C>;

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const LaneRun<X, C>* run_) {
    LaneRun<X, C> of = *run_;  // a copy, which no store can change
    constexpr int kWide = kLanes<Isa, A>;
    if (of.repeat == 1) return single_elements<Isa>(of);
    // What fills vectors with several cosines comes first, and leaves a rest in `of`. As in `RotateRows`, only
    // where registers are wide: each body costs compile time.
    if constexpr (!Isa::kFused) {
      for_each_run(of,
                   [&](const Pointers& at) ROTARY_INLINE_LAMBDA { shared<Isa, true>(of, at, of.repeat); });
    } else {
      if (of.alternating && of.repeat <= kElements<kWide / 2>) {
        if (of.repeat == 2) alternating_runs<Isa, 2>(of);
        if (of.repeat == 4) alternating_runs<Isa, 4>(of);
        if (of.repeat == 8) alternating_runs<Isa, 8>(of);
      } else if (of.repeat < of.length && of.repeat <= kElements<kWide / 2>) {
        if (of.repeat == 2) whole_runs<Isa, 2>(of);
        if (of.repeat == 4) whole_runs<Isa, 4>(of);
        if (of.repeat == 8) whole_runs<Isa, 8>(of);
        if (of.repeat == 16) whole_runs<Isa, 16>(of);
      }
      if (of.prefetch > 0)
        return for_each_run(
            of, [&](const Pointers& at) ROTARY_INLINE_LAMBDA { shared<Isa, true>(of, at, of.repeat); });
      if (of.repeat == kElements<kWide>) return whole_vectors<Isa, kWide>(of);
      if (of.repeat == kElements<kWide / 2>) return whole_vectors<Isa, kWide / 2>(of);
      for_each_run(of,
                   [&](const Pointers& at) ROTARY_INLINE_LAMBDA { shared<Isa, false>(of, at, of.repeat); });
    }
  }

 private:
  using Loops = LaneLoops<X, C>;
  using Loops::for_each, Loops::for_each_run, Loops::kOnce, Loops::pairs_of, Loops::runs_of;
  using typename Loops::Axis, typename Loops::Pointers;

  /// Two bfloat16 are the halves of a word, so that a vector of floats stands for twice as many elements.
  static constexpr bool kWords = std::is_same_v<X, Eigen::bfloat16> && std::is_same_v<A, float>;
  static constexpr int kPerLane = kWords ? 2 : 1;
  template <int kLanesOf>
  static constexpr Index kElements = Index{kPerLane} * kLanesOf;

  static constexpr int kNarrow = 16 / static_cast<int>(sizeof(A));
  /// Vectors of either member that are rotated before they are written; words need the registers themselves.
  template <class Isa>
  static constexpr int kTogether = kWords              ? 1
                                   : Isa::kBytes == 64 ? 4
                                                       : 2;

  /// Runs that fill a vector.
  template <class Isa, int kLanesOf>
  ROTARY_ALWAYS_INLINE static void whole_vectors(const LaneRun<X, C>& of) {
    for_each_run(of, [&](const Pointers& at) ROTARY_INLINE_LAMBDA {
      const Coefficients<Vector<A, kLanesOf>> by[1] = {{*at.cos, *at.sin}};
      rotate<Isa>(by, at);
    });
  }

  /// Runs whose elements have a coefficient each, two heads at a time.
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void single_elements(const LaneRun<X, C>& of) {
    constexpr int kWide = kLanes<Isa, A>;
    for_each(of, kOnce, pairs_of(of), runs_of(of), [&](Pointers at) ROTARY_INLINE_LAMBDA {
      for (Index heads = of.heads; heads > 0; heads -= 2, at.step_head(of), at.step_head(of)) {
        Pointers begin = at;
        Index length = of.length;
        if constexpr (Isa::kFused)
          if (heads > 1) each<Isa, kWide, 2, 2>(of, begin, length);
        for (Index head = std::min<Index>(heads, 2); length > 0 && head > 0; --head, begin.step_head(of))
          single_elements<Isa>(of, begin, length);
      }
    });
  }
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void single_elements(const LaneRun<X, C>& of, Pointers at, Index rest) {
    constexpr int kWide = kLanes<Isa, A>;
    each<Isa, kWide>(of, at, rest);
    if constexpr (kWide / 2 > kNarrow) each<Isa, kWide / 2>(of, at, rest);
    if constexpr (kWide > kNarrow) each<Isa, kNarrow>(of, at, rest);
    if (rest > 0) [[unlikely]]
      padded<Isa>(at, rest, 1);
  }

  /// Runs in which every `kRepeat` elements share a coefficient, as far as they fill `kRepeat` vectors.
  template <class Isa, int kRepeat>
  ROTARY_ALWAYS_INLINE static void whole_runs(LaneRun<X, C>& of) {
    constexpr int kWide = kLanes<Isa, A>, kSpan = kRepeat / kPerLane;  // lanes that share a coefficient
    if constexpr (0 < kSpan && kSpan < kWide) {
      using V = Vector<A, kWide>;
      constexpr int kGroup = kSpan < kTogether<Isa> ? kSpan : kTogether<Isa>;
      const Index whole = of.length / (kWide * kRepeat);
      for_each(of, kOnce, pairs_of(of), runs_of(of), [&](Pointers at) ROTARY_INLINE_LAMBDA {
        for (Index n = 0; n < whole; ++n) {
          V cos, sin;
          load<Isa>(at.cos, cos);
          load<Isa>(at.sin, sin);
          unrolled<kSpan / kGroup>([&](auto group) ROTARY_INLINE_LAMBDA {
            Registers<Coefficients<V>, kGroup> by;
            unrolled<kGroup>([&](auto k) ROTARY_INLINE_LAMBDA {
              spread<kSpan, group * kGroup + k>(cos, by[k].cos[0]);
              spread<kSpan, group * kGroup + k>(sin, by[k].sin[0]);
              by[k].repeat();
            });
            rotate<Isa>(by, at);
            at.step(kGroup * kElements<kWide>, 0);
          });
          at.step(0, kWide);
        }
      });
      const Index elements = whole * kWide * kRepeat;
      of.in += elements, of.out += elements, of.length -= elements, of.coefficients += whole * kWide;
    }
  }
  /// to = the part of `v` that vector k of a run takes, each lane `kSpan` times.
  template <int kSpan, int k, class V>
  ROTARY_ALWAYS_INLINE static void spread(const V& v, V& to) {
    [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
      shuffle<((k * kSize<V> + Lane) / kSpan)...>(v, to);
    }
    (std::make_integer_sequence<int, kSize<V>>());
  }

  /// Interleaved pairs with `kRepeat` adjacent heads: `kRepeat` first members, then `kRepeat` second ones, alternate in
  /// memory, so that a vector holds both. Takes as many pairs as fill `kRepeat` vectors; the remainder stays in `of`.
  template <class Isa, int kRepeat>
  ROTARY_ALWAYS_INLINE static void alternating_runs(LaneRun<X, C>& of) {
    constexpr int kWide = kLanes<Isa, A>, kSpan = kRepeat / kPerLane;
    if constexpr (2 * kSpan <= kWide) {
      using V = Vector<A, kWide>;
      const Index whole = of.pairs / (kWide / 2);
      for (Index n = 0; n < of.runs; ++n) {
        const X* in = of.in + n * of.in_step;
        X* out = of.out + n * of.out_step;
        for (Index m = 0; m < whole; ++m) {
          V numbers, lost, won;  // first members lose a product with the sine
          load<Isa>(of.coefficients + n * of.coefficient_step + m * kWide, numbers);
          lost = won = numbers;
          negate_if(!of.negate, lost);
          negate_if(of.negate, won);
          unrolled<kSpan>([&](auto k) ROTARY_INLINE_LAMBDA {
            V cos, sin;
            Registers<V, kPerLane> x, rotated;
            spread_pairs<kSpan, k, 0>(numbers, numbers, cos);
            spread_pairs<kSpan, k, 1>(lost, won, sin);
            read<Isa>(in, x);
            for (int part = 0; part < kPerLane; ++part) {
              swap_adjacent<kSpan>(x[part], rotated[part]);
              rotated[part] = rotated[part] * sin;
              multiply_add<Isa>(x[part], cos, rotated[part]);
            }
            write<Isa>(out, rotated);
            in += kElements<kWide>, out += kElements<kWide>;
          });
        }
      }
      const Index pairs = whole * (kWide / 2);
      of.in += pairs * of.in_pairs.pair, of.out += pairs * of.out_pairs.pair, of.pairs -= pairs;
      of.coefficients += pairs * of.coefficient_pairs.pair;
    }
  }
  /// to = the number of every pair in vector k of such runs that follows its first by `which`, for a first
  /// and for a second member.
  template <int kSpan, int k, int which, class V>
  ROTARY_ALWAYS_INLINE static void spread_pairs(const V& first, const V& second, V& to) {
    [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
      to = __builtin_shufflevector(
          first, second,
          ((k * kSize<V> + Lane) / (2 * kSpan) * 2 + which + ((Lane & kSpan) != 0 ? kSize<V> : 0))...);
    }
    (std::make_integer_sequence<int, kSize<V>>());
  }

  /// The cosines and sines of a vector's elements; in two parts if these are halves of words.
  template <class V>
  struct Coefficients {
    Registers<V, kPerLane> cos, sin;

    ROTARY_ALWAYS_INLINE Coefficients() {}
    ROTARY_ALWAYS_INLINE Coefficients(C of_cos, C of_sin) {
      broadcast(static_cast<A>(of_cos), cos[0]);
      broadcast(static_cast<A>(of_sin), sin[0]);
      repeat();
    }
    /// Both halves of a word rotate alike.
    ROTARY_ALWAYS_INLINE void repeat() {
      if constexpr (kWords) cos[1] = cos[0], sin[1] = sin[0];
    }
    template <class Isa>
    ROTARY_ALWAYS_INLINE void load_from(const C* of_cos, const C* of_sin) {
      if constexpr (kWords) {
        load_deinterleaved<Isa>(of_cos, cos[0], cos[1]);
        load_deinterleaved<Isa>(of_sin, sin[0], sin[1]);
      } else {
        load<Isa>(of_cos, cos[0]);
        load<Isa>(of_sin, sin[0]);
      }
    }
  };

  /// Rotates as many elements as there are coefficients, in `kHeads` heads. All are loaded before the first is
  /// written, since heads often are a multiple of 4 KiB apart (see `RotateRows::rotate_strided`), and all first
  /// members of a head are written before its second ones: to write in two places alternately took up to twice
  /// the time.
  template <class Isa, int kHeads = 1, class V, std::size_t kCount>
  ROTARY_ALWAYS_INLINE static void rotate(const Coefficients<V> (&by)[kCount], const Pointers& at,
                                          Index in_head = 0, Index out_head = 0) {
    constexpr Index kStep = kElements<kSize<V>>;
    Registers<Registers<Registers<V, kPerLane>, kCount>, kHeads> a, b;
    unrolled<kHeads>([&](auto h) ROTARY_INLINE_LAMBDA {
      unrolled<kCount>([&](auto n) ROTARY_INLINE_LAMBDA {
        read<Isa>(at.first + h * in_head + n * kStep, a[h][n]);
        read<Isa>(at.second + h * in_head + n * kStep, b[h][n]);
        for (int k = 0; k < kPerLane; ++k)
          rotate_pairs<Isa>(a[h][n][k], b[h][n][k], by[n].cos[k], by[n].sin[k]);
      });
    });
    unrolled<kHeads>([&](auto h) ROTARY_INLINE_LAMBDA {
      unrolled<kCount>(
          [&](auto n) ROTARY_INLINE_LAMBDA { write<Isa>(at.to_first + h * out_head + n * kStep, a[h][n]); });
      unrolled<kCount>(
          [&](auto n) ROTARY_INLINE_LAMBDA { write<Isa>(at.to_second + h * out_head + n * kStep, b[h][n]); });
    });
  }
  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void read(const X* from, Registers<V, kPerLane>& v) {
    if constexpr (kWords) {
      load_packed(from, v[0], v[1]);
    } else {
      load<Isa>(from, v[0]);
    }
  }
  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void write(X* to, const Registers<V, kPerLane>& v) {
    if constexpr (kWords) {
      store_packed<Isa, false>(to, v[0], v[1]);
    } else {
      store<Isa>(to, v[0]);
    }
  }

  /// Elements that have a coefficient each, `kCount` vectors of `kHeads` heads at a time.
  template <class Isa, int kLanesOf, int kCount = 1, int kHeads = 1>
  ROTARY_ALWAYS_INLINE static void each(const LaneRun<X, C>& of, Pointers& at, Index& rest) {
    constexpr Index kStep = kElements<kLanesOf>;
    for (; rest >= kCount * kStep; rest -= kCount * kStep, at.step(kCount * kStep, kCount * kStep)) {
      if (of.prefetch > 0) {
        prefetch_members<kCount * kStep>(at, of.prefetch);
        Pointers other = at;
        for (int head = 1; head < kHeads; ++head) {
          other.step_head(of);
          prefetch_members<kCount * kStep>(other, of.prefetch);
        }
      }
      Registers<Coefficients<Vector<A, kLanesOf>>, kCount> by;
      unrolled<kCount>([&](auto n) ROTARY_INLINE_LAMBDA {
        by[n].template load_from<Isa>(at.cos + n * kStep, at.sin + n * kStep);
      });
      rotate<Isa, kHeads>(by, at, of.in_head, of.out_head);
    }
  }

  /// `rest` elements that share a coefficient.
  template <class Isa, bool kPrefetch>
  ROTARY_ALWAYS_INLINE static void shared(const LaneRun<X, C>& of, Pointers at, Index rest) {
    constexpr int kWide = kLanes<Isa, A>;
    shared_steps<Isa, kPrefetch, kWide>(of, at, rest);
    if constexpr (kWide / 2 > kNarrow) shared_steps<Isa, kPrefetch, kWide / 2>(of, at, rest);
    if constexpr (kWide > kNarrow) shared_steps<Isa, kPrefetch, kNarrow>(of, at, rest);
    if (rest > 0) padded<Isa>(at, rest, 0);
  }
  template <class Isa, bool kPrefetch, int kLanesOf>
  ROTARY_ALWAYS_INLINE static void shared_steps(const LaneRun<X, C>& of, Pointers& at, Index& rest) {
    constexpr Index kStep = kElements<kLanesOf>;
    if (rest < kStep) return;
    const Coefficients<Vector<A, kLanesOf>> by[1] = {{*at.cos, *at.sin}};
    for (; rest >= kStep; rest -= kStep, at.step(kStep, 0)) {
      if constexpr (kPrefetch) prefetch_members<kStep>(at, of.prefetch);
      rotate<Isa>(by, at);
    }
  }

  /// Prefetches `kCount` elements of either member, `prefetch` bytes further on.
  template <Index kCount>
  ROTARY_ALWAYS_INLINE static void prefetch_members(const Pointers& at, Index prefetch) {
    constexpr std::size_t kBytes = kCount * sizeof(X);
    prefetch_lines<kBytes>(at.first, prefetch);
    prefetch_lines<kBytes>(at.second, prefetch);
  }

  /// The last few, their coefficients `step` apart.
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void padded(const Pointers& at, Index rest, Index step) {
    constexpr Index kFew = kElements<kNarrow>;
    const std::size_t bytes = static_cast<std::size_t>(rest) * sizeof(X);
    Registers<X, kFew> first = {}, second = {};
    Registers<C, kFew> cos = {}, sin = {};
    std::memcpy(static_cast<void*>(first), at.first, bytes);
    std::memcpy(static_cast<void*>(second), at.second, bytes);
    for (Index n = 0; n < rest; ++n) cos[n] = at.cos[n * step], sin[n] = at.sin[n * step];
    Coefficients<Vector<A, kNarrow>> by[1];
    by[0].template load_from<Isa>(cos, sin);
    rotate<Isa>(by, {first, second, first, second, nullptr, nullptr});
    std::memcpy(static_cast<void*>(at.to_first), first, bytes);
    std::memcpy(static_cast<void*>(at.to_second), second, bytes);
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
