// How a few pairs with contiguous features are rotated: their row in registers, for every pairing and scalar.
#pragma once

#include "../core/pairing.hpp"
#include "bfloat16_words.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// What a window's features, and its row, are made of: two adjacent streams, or one.
///
///     half           a0 a1 a2 a3 ... | b0 b1 b2 b3 ...          c0 c1 c2 c3 ... | s0 s1 s2 s3 ...
///     interleaved    a0 b0 a1 b1 ...                            c0 s0 c1 s1 ...
constexpr Index stream_length(Pairing pairing, Index pairs) {
  return pairing == Pairing::half ? pairs : 2 * pairs;
}

/// A stretch of the streams, `kWidth` elements long: its cosines and sines in registers, and how it rotates by
/// them.
template <Pairing kPairing, class V>
struct Step;

/// (a, b) in separate registers, `partner` elements apart in memory.
template <class V>
struct Step<Pairing::half, V> {
  static constexpr Index kWidth = kSize<V>;
  struct Rotated {
    V a, b;
  };
  V cos, sin;

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index partner, bool negate) {
    load<Isa>(row, cos);
    load<Isa>(row + partner, sin);
    negate_if(negate, sin);
  }
  template <class Isa, class X>
  ROTARY_ALWAYS_INLINE void rotate(const X* from, Index partner, Rotated& x) const {
    load<Isa>(from, x.a);
    load<Isa>(from + partner, x.b);
    rotate_pairs<Isa>(x.a, x.b, cos, sin);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_first(const Rotated& x, X* to) {
    put<Isa, kStream>(to, x.a);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_second(const Rotated& x, X* to, Index partner) {
    put<Isa, kStream>(to + partner, x.b);
  }
};

/// Complex numbers in one register.
template <class V>
struct Step<Pairing::interleaved, V> {
  static constexpr Index kWidth = kSize<V>;
  using Rotated = V;
  V cos, sin;

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index, bool negate) {
    V pairs;
    load<Isa>(row, pairs);
    set_row<Isa>(pairs, negate);
  }
  template <class Isa>
  ROTARY_ALWAYS_INLINE void set_row(const V& pairs, bool negate) {
    duplicate_lanes(pairs, cos, sin);
    negate_if(negate, sin);
    alternate_signs<Isa>(sin);
  }
  template <class Isa, class X>
  ROTARY_ALWAYS_INLINE void rotate(const X* from, Index, Rotated& rotated) const {
    V x;
    load<Isa>(from, x);
    keep_in_register<Isa>(x);
    swap_adjacent(x, rotated);
    rotated = rotated * sin;
    multiply_alternate<Isa>(x, cos, rotated);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_first(const Rotated& x, X* to) {
    put<Isa, kStream>(to, x);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_second(const Rotated&, X*, Index) {}  // one stream only
};

/// A `Step` for bfloat16, two of which are the halves of a 32-bit word: elements with even indices and those with odd
/// ones are in a register each, without a shuffle.
template <Pairing kPairing, class V>
struct PackedStep;

template <class V>
struct PackedStep<Pairing::half, V> {
  static constexpr Index kWidth = 2 * kSize<V>;
  struct Rotated {
    V a[2], b[2];
  };
  V cos[2], sin[2];

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index partner, bool negate) {
    load_deinterleaved<Isa>(row, cos[0], cos[1]);
    load_deinterleaved<Isa>(row + partner, sin[0], sin[1]);
    negate_if(negate, sin[0]);
    negate_if(negate, sin[1]);
  }
  template <class Isa, class X>
  ROTARY_ALWAYS_INLINE void rotate(const X* from, Index partner, Rotated& x) const {
    load_packed(from, x.a[0], x.a[1]);
    load_packed(from + partner, x.b[0], x.b[1]);
    rotate_pairs<Isa>(x.a[0], x.b[0], cos[0], sin[0]);
    rotate_pairs<Isa>(x.a[1], x.b[1], cos[1], sin[1]);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_first(const Rotated& x, X* to) {
    store_packed<Isa, kStream>(to, x.a[0], x.a[1]);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_second(const Rotated& x, X* to, Index partner) {
    store_packed<Isa, kStream>(to + partner, x.b[0], x.b[1]);
  }
};

template <class V>
struct PackedStep<Pairing::interleaved, V> {
  static constexpr Index kWidth = 2 * kSize<V>;
  struct Rotated {
    V a, b;
  };
  V cos, sin;

  template <class Isa, class Row>
  ROTARY_ALWAYS_INLINE void load_row(const Row* row, Index, bool negate) {
    load_deinterleaved<Isa>(row, cos, sin);
    negate_if(negate, sin);
  }
  template <class Isa, class X>
  ROTARY_ALWAYS_INLINE void rotate(const X* from, Index, Rotated& x) const {
    load_packed(from, x.a, x.b);
    rotate_pairs<Isa>(x.a, x.b, cos, sin);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_first(const Rotated& x, X* to) {
    store_packed<Isa, kStream>(to, x.a, x.b);
  }
  template <class Isa, bool kStream, class X>
  ROTARY_ALWAYS_INLINE static void put_second(const Rotated&, X*, Index) {}
};

/// The step that fills the widest registers.
template <Pairing kPairing, class X, class Row, class Isa, class A = rotary::detail::Arithmetic<X, Row>>
using WideStep = std::conditional_t<std::is_same_v<X, Eigen::bfloat16> && std::is_same_v<A, float>,
                                    PackedStep<kPairing, Vector<A, kLanes<Isa, A>>>,
                                    Step<kPairing, Vector<A, kLanes<Isa, A>>>>;

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
