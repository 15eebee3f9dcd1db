// Vectors and their arithmetic, written once for all instruction sets.
//
// Vectors go in and out of these functions by reference: by value, those wider than the compiler's flags
// allow would draw warnings about calling conventions, although every function is inlined.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "../tensor/tensor.hpp"
#include "fused.hpp"
#include "instruction_set.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

#if ROTARY_VECTOR_EXTENSIONS

/// `Lanes` elements in one register, or in as many as it takes.
template <class T, int Lanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * Lanes)));
};
template <class T, int Lanes>
using Vector = typename VectorOf<T, Lanes>::type;

/// An array of `Count` vectors, which become registers once loops over it are unrolled.
template <class T, auto Count>
using Registers = T[static_cast<std::size_t>(Count)];

/// The type and the number of a vector's elements.
template <class V>
using Element = std::remove_cvref_t<decltype(std::declval<V&>()[0])>;
template <class V>
inline constexpr int kSize = static_cast<int>(sizeof(V) / sizeof(Element<V>));

/// How many elements of `T` fill a register.
template <class Isa, class T>
inline constexpr int kLanes = Isa::kBytes / static_cast<int>(sizeof(T));

// --- fused multiply-add ---
//
// Compilers may contract a·b − c·d or not, so the fused operation is spelled out. GCC has no builtin for
// vectors; assembly costs nothing, and -ffp-contract and -ffast-math do not change it. Clang rejects assembly
// with vectors wider than its flags allow, but has a builtin.

#if defined(__x86_64__) && !defined(__clang__)
#define ROTARY_FUSED(single, double_, accumulator, a, b)             \
  if constexpr (sizeof((a)[0]) == 4) {                               \
    asm(single " %2, %1, %0" : "+v"(accumulator) : "v"(a), "v"(b));  \
  } else {                                                           \
    asm(double_ " %2, %1, %0" : "+v"(accumulator) : "v"(a), "v"(b)); \
  }
#endif

/// c = a·b + c, rounded once: by one instruction, or emulated where the instruction set has none.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void multiply_add(const V& a, const V& b, V& c) {
  if constexpr (!Isa::kFused) {
    emulated_multiply_add<Isa>(a, b, c);
  } else {
#if defined(ROTARY_FUSED)
    ROTARY_FUSED("vfmadd231ps", "vfmadd231pd", c, a, b)
#elif defined(__aarch64__) && !defined(__clang__)
    if constexpr (sizeof(a[0]) == 4) {
      asm("fmla %0.4s, %1.4s, %2.4s" : "+w"(c) : "w"(a), "w"(b));
    } else {
      asm("fmla %0.2d, %1.2d, %2.2d" : "+w"(c) : "w"(a), "w"(b));
    }
#elif __has_builtin(__builtin_elementwise_fma)
    c = __builtin_elementwise_fma(a, b, c);
#else
#if defined( \
    __clang__)  // Before version 17 the builtin becomes an instruction per lane; written out it is one.
#pragma clang loop unroll(full)
#endif
    for (int lane = 0; lane < kSize<V>; ++lane) {
      if constexpr (sizeof(a[0]) == 4) {
        c[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
      } else {
        c[lane] = __builtin_fma(a[lane], b[lane], c[lane]);
      }
    }
#endif
  }
}

/// c = a·b − c, rounded once.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void multiply_subtract(const V& a, const V& b, V& c) {
#if defined(ROTARY_FUSED)
  if constexpr (Isa::kFused) {
    ROTARY_FUSED("vfmsub231ps", "vfmsub231pd", c, a, b)
    return;
  }
#endif
  c = -c;
  multiply_add<Isa>(a, b, c);
}

/// c = a·b − c in even lanes and a·b + c in odd ones. A factor of c must have gone through `alternate_signs`,
/// which changes it only where no single instruction does all of this.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void multiply_alternate(const V& a, const V& b, V& c) {
#if defined(ROTARY_FUSED)
  if constexpr (Isa::kFused) {
    ROTARY_FUSED("vfmaddsub231ps", "vfmaddsub231pd", c, a, b)
    return;
  }
#endif
  multiply_add<Isa>(a, b, c);
}
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void alternate_signs(V& factor) {
#if defined(ROTARY_FUSED)
  if constexpr (Isa::kFused) return;
#endif
  V sign{};
  for (int lane = 0; lane < kSize<V>; ++lane) sign[lane] = (lane & 1) != 0 ? 1 : -1;
  factor = sign * factor;
}

#undef ROTARY_FUSED

// --- the bits of a vector ---

/// The address need not be aligned: memcpy becomes one unaligned load or store.
template <class V>
ROTARY_ALWAYS_INLINE void load_bits(const void* from, V& v) {
  std::memcpy(&v, from, sizeof v);
}
template <class V>
ROTARY_ALWAYS_INLINE void store_bits(void* to, const V& v) {
  std::memcpy(to, &v, sizeof v);
}

/// An optimisation barrier: keeps GCC from loading `v` from memory again at every use.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void keep_in_register([[maybe_unused]] V& v) {
#if defined(__x86_64__) && !defined(__clang__)
  if constexpr (Isa::kFused) asm("" : "+v"(v));
#endif
}

/// v as unsigned integers, and back.
template <class V>
using BitsOf = Vector<std::conditional_t<sizeof(Element<V>) == 4, std::uint32_t, std::uint64_t>, kSize<V>>;

/// v = −v, exactly, and free next to a multiplication.
template <class V>
ROTARY_ALWAYS_INLINE void negate_if(bool negate, V& v) {
  BitsOf<V> bits;
  load_bits(&v, bits);
  bits ^= Element<BitsOf<V>>{negate} << (8 * sizeof(Element<V>) - 1);
  load_bits(&bits, v);
}

// --- shuffles within a vector ---

/// to = the lanes of `v` that `Lane` names, in that order.
template <int... Lane, class V>
ROTARY_ALWAYS_INLINE void shuffle(const V& v, V& to) {
  to = __builtin_shufflevector(v, v, Lane...);
}
/// (a0 b0 a1 b1 ...) → (b0 a0 b1 a1 ...), each letter standing for `kSpan` lanes.
template <int kSpan = 1, class V>
ROTARY_ALWAYS_INLINE void swap_adjacent(const V& v, V& to) {
  [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
    shuffle<(Lane ^ kSpan)...>(v, to);
  }
  (std::make_integer_sequence<int, kSize<V>>());
}
/// (c0 s0 c1 s1 ...) → (c0 c0 c1 c1 ...) and (s0 s0 s1 s1 ...)
template <class V>
ROTARY_ALWAYS_INLINE void duplicate_lanes(const V& v, V& even, V& odd) {
  [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
    shuffle<(Lane & ~1)...>(v, even);
    shuffle<(Lane | 1)...>(v, odd);
  }
  (std::make_integer_sequence<int, kSize<V>>());
}

/// Every lane of v = x. (Written as x − 0, which takes no instruction. x + 0 would, since it makes 0 of −0.)
template <class V>
ROTARY_ALWAYS_INLINE void broadcast(Element<V> x, V& v) {
  v = x - V{};
}

/// (a, b) = R (a, b)
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void rotate_pairs(V& a, V& b, const V& cos, const V& sin) {
  keep_in_register<Isa>(a);
  keep_in_register<Isa>(b);
#if defined(__aarch64__)
  // No instruction subtracts an addend, but −sin is loop-invariant: it is the same for all heads.
  V first = b * -sin, second = a * sin;
  multiply_add<Isa>(a, cos, first);
#else
  V first = b * sin, second = a * sin;
  multiply_subtract<Isa>(a, cos, first);
#endif
  multiply_add<Isa>(b, cos, second);
  a = first;
  b = second;
}

/// f(0), f(1), ..., written out, so that arrays indexed by k are registers.
template <int Count, class F>
ROTARY_ALWAYS_INLINE void unrolled(const F& f) {
  [&]<int... K>(std::integer_sequence<int, K...>) ROTARY_INLINE_LAMBDA {
    (f(std::integral_constant<int, K>()), ...);
  }
  (std::make_integer_sequence<int, Count>());
}

#endif  // ROTARY_VECTOR_EXTENSIONS

}  // namespace rotary::inline ROTARY_ABI::kernels
