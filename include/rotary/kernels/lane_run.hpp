// LaneRun: a tensor with strided features as the kernel for them goes through it.
#pragma once

#include <utility>

#include "rotation_job.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// A tensor with strided features as runs of contiguous elements: `runs` of them for every member of a pair, each
/// `length` long.
///
/// Every `repeat` elements of a run, adjacent heads of one token, share a cosine and a sine. Those of the next token
/// follow both in the run and in `coefficients`.
template <class X, class C>
struct LaneRun {
  const X* in;
  X* out;
  const C* coefficients;
  PairStrides in_pairs, out_pairs, coefficient_pairs;
  Index pairs, runs, length, repeat;
  Index in_step, out_step, coefficient_step;  // from run to run
  Index heads, in_head, out_head;             // elsewhere, with the same coefficients
  Index prefetch;                             // bytes: prefetch distance for tensors in memory; 0: none
  bool alternating;  // runs of first and of second members follow each other without a gap
  bool negate;
};

/// The loops over a `LaneRun`.
template <class X, class C>
struct LaneLoops {
  /// Where the members of a pair are, and where they go.
  struct Pointers {
    const X *first, *second;
    X *to_first, *to_second;
    const C *cos, *sin;

    ROTARY_ALWAYS_INLINE void step(Index elements, Index coefficients) {
      first += elements, second += elements, to_first += elements, to_second += elements;
      cos += coefficients, sin += coefficients;
    }
    ROTARY_ALWAYS_INLINE void step_head(const LaneRun<X, C>& of) {
      first += of.in_head, second += of.in_head, to_first += of.out_head, to_second += of.out_head;
    }
  };

  /// What a loop steps over.
  struct Axis {
    Index count, in, out, coefficient;
  };
  static constexpr Axis kOnce{1, 0, 0, 0};

  static constexpr Axis pairs_of(const LaneRun<X, C>& of) {
    return {of.pairs, of.in_pairs.pair, of.out_pairs.pair, of.coefficient_pairs.pair};
  }
  static constexpr Axis runs_of(const LaneRun<X, C>& of) {
    return {of.runs, of.in_step, of.out_step, of.coefficient_step};
  }

  /// visit(pointers) for every `inner` of every run.
  template <class Visit>
  ROTARY_ALWAYS_INLINE static void for_each(const LaneRun<X, C>& of, const Axis& outer, const Axis& middle,
                                            const Axis& inner, const Visit& visit) {
    // R(−φ)(a, b) is R(φ)(b, a) with its members exchanged.
    const Index a = of.negate ? of.in_pairs.partner : 0, b = of.in_pairs.partner - a;
    const Index to_a = of.negate ? of.out_pairs.partner : 0, to_b = of.out_pairs.partner - to_a;
    for (Index m = 0; m < outer.count; ++m) {
      for (Index n = 0; n < middle.count; ++n) {
        const X* in = of.in + m * outer.in + n * middle.in;
        X* out = of.out + m * outer.out + n * middle.out;
        const C* cos = of.coefficients + m * outer.coefficient + n * middle.coefficient;
        for (Index k = 0; k < inner.count; ++k, in += inner.in, out += inner.out, cos += inner.coefficient)
          visit(Pointers{in + a, in + b, out + to_a, out + to_b, cos, cos + of.coefficient_pairs.partner});
      }
    }
  }
  /// Visits all groups of elements that share a cosine, the smallest strides in the inner loops.
  template <class Visit>
  ROTARY_ALWAYS_INLINE static void for_each_run(const LaneRun<X, C>& of, const Visit& visit) {
    Axis outer = pairs_of(of), middle = runs_of(of), inner{of.length / of.repeat, of.repeat, of.repeat, 1};
    if (inner.count == 1) {
      std::swap(outer, inner);
      if (middle.in < inner.in) std::swap(middle, inner);
    }
    for_each(of, outer, middle, inner, visit);
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
