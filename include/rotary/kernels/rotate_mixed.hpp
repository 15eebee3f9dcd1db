// Rotating windows that are read with one pairing and written with the other.
#pragma once

#include "bfloat16_words.hpp"
#include "rotate_reference.hpp"
#include "window_loop.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// In place, a window goes through a copy of at most so many bytes on the stack; wider ones take the scalar
/// reference.
inline constexpr Index kMixedWindowBytes = 4096;

/// One kernel for all mixtures of pairings: vectors of first and of second members, whatever their places.
///
///     read, interleaved    a0 b0 a1 b1 a2 b2 ...  →  a0 a1 a2 ... and b0 b1 b2 ...  in registers
///     written, half        a0 a1 a2 ... b0 b1 b2 ...
///
/// In place, pairs are written where others are still to be read. So windows of 64 features that become halves, as
/// those of DeepSeek do, are loaded whole before they are stored; others are copied first.
template <class X, class Row>
struct RotateMixed {
  using A = rotary::detail::Arithmetic<X, Row>;

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const JobShape* job, const WindowLoop* loop) {
    Windows<X, Row> of(job, loop);
    if constexpr (Isa::kFused) {
      constexpr Index kWide = kLanes<Isa, A>;
      constexpr int kCount = 32 / static_cast<int>(kWide);  // 64 features, as MLA has
      if constexpr (kCount <= 4)
        if (of.pairs == 32 && job->in_pairing == Pairing::interleaved && job->out_pairing == Pairing::half)
          return windows_to_half<Isa, kCount>(*job, of);
    }
    any_windows<Isa>(*job, of);
  }

 private:
  /// Windows of `kCount` vectors of pairs, read interleaved and written as halves.
  template <class Isa, int kCount>
  ROTARY_ALWAYS_INLINE static void windows_to_half(const JobShape& job, Windows<X, Row> of) {
    using V = Vector<A, kLanes<Isa, A>>;
    constexpr Index kWide = kSize<V>, kPairs = kCount * kWide;
    for (Index n = of.tokens; n > 0; --n, of.next_token()) {
      Registers<V, kCount> cos, sin;
      unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
        load_members<Isa>(of.row, k * kWide, kPairs, job.row_pairing, cos[k], sin[k]);
        negate_if(of.negate, sin[k]);
      });
      const X* in = of.in;
      X* out = of.out;
      for (Index head = of.heads; head > 0; --head, in += of.head_in, out += of.head_out) {
        if (of.before != 0) of.template copy_before<Isa>(in, out);
        Registers<V, kCount> a, b;
        unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
          load_members<Isa>(in, k * kWide, kPairs, Pairing::interleaved, a[k], b[k]);
          rotate_pairs<Isa>(a[k], b[k], cos[k], sin[k]);
        });
        unrolled<kCount>([&](auto k) ROTARY_INLINE_LAMBDA {
          store_members<Isa>(out, k * kWide, kPairs, Pairing::half, a[k], b[k]);
        });
        if (of.after != 0) of.template copy_after<Isa>(in, out);
      }
    }
  }

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void any_windows(const JobShape& job, Windows<X, Row> of) {
    const bool copied = static_cast<const X*>(of.out) == of.in && job.in_pairing != job.out_pairing;
    alignas(64) X window[kMixedWindowBytes / sizeof(X)];
    for (Index n = of.tokens; n > 0; --n, of.next_token()) {
      const X* from = of.in;
      X* to = of.out;
      for (Index head = of.heads; head > 0; --head, from += of.head_in, to += of.head_out) {
        if (of.before != 0) of.template copy_before<Isa>(from, to);
        const X* in = from;
        if (copied) {
          copy_elements<Isa>(from, window, 2 * of.pairs);
          in = window;
        }
        Index i = 0;
        if constexpr (Isa::kFused) {
          steps<Isa, kLanes<Isa, A>>(job, i, of.pairs, in, to, of.row);
          steps<Isa, 16 / static_cast<int>(sizeof(A))>(job, i, of.pairs, in, to, of.row);
        }
        if (i < of.pairs) [[unlikely]]
          rotate_pairs_reference(job, i, of.pairs, in, to, of.row);
        if (of.after != 0) of.template copy_after<Isa>(from, to);
      }
    }
  }

  /// Pairs from `i` on, in vectors of `kLanesOf`, and leaves the first of the rest in `i`.
  template <class Isa, int kLanesOf>
  ROTARY_ALWAYS_INLINE static void steps(const JobShape& job, Index& i, Index pairs, const X* in, X* out,
                                         const Row* row) {
    using V = Vector<A, kLanesOf>;
    for (; i + kLanesOf <= pairs; i += kLanesOf) {
      V cos, sin, a, b;
      load_members<Isa>(row, i, pairs, job.row_pairing, cos, sin);
      negate_if(job.negate_sin, sin);
      load_members<Isa>(in, i, pairs, job.in_pairing, a, b);
      rotate_pairs<Isa>(a, b, cos, sin);
      store_members<Isa>(out, i, pairs, job.out_pairing, a, b);
    }
  }

  template <class Isa, class V, class T>
  ROTARY_ALWAYS_INLINE static void load_members(const T* from, Index i, Index pairs, Pairing pairing,
                                                V& first, V& second) {
    if (pairing == Pairing::half) {
      load<Isa>(from + i, first);
      load<Isa>(from + pairs + i, second);
    } else if constexpr (std::is_same_v<T, Eigen::bfloat16> && std::is_same_v<A, float>) {
      load_packed(from + 2 * i, first, second);
    } else {
      load_deinterleaved<Isa>(from + 2 * i, first, second);
    }
  }
  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void store_members(X* to, Index i, Index pairs, Pairing pairing, const V& first,
                                                 const V& second) {
    if (pairing == Pairing::half) {
      store<Isa>(to + i, first);
      store<Isa>(to + pairs + i, second);
    } else if constexpr (std::is_same_v<X, Eigen::bfloat16> && std::is_same_v<A, float>) {
      store_packed<Isa, false>(to + 2 * i, first, second);
    } else {
      constexpr int kHalf = kSize<V> / 2;
      V low, high;
      [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
        low = __builtin_shufflevector(first, second, (Lane / 2 + Lane % 2 * kSize<V>)...);
        high = __builtin_shufflevector(first, second, (kHalf + Lane / 2 + Lane % 2 * kSize<V>)...);
      }
      (std::make_integer_sequence<int, kSize<V>>());
      store<Isa>(to + 2 * i, low);
      store<Isa>(to + 2 * i + kSize<V>, high);
    }
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
