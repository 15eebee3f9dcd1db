// Loads and stores of vectors: any scalar in memory, float or double in registers.
#pragma once

#include "simd.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

#if ROTARY_VECTOR_EXTENSIONS

/// The bits of floats rounded to bfloat16, ties to even, in the upper half of every word.
///
/// A NaN becomes the one that Eigen makes of it. It must be quiet, as NaNs that arithmetic returns are: then
/// its bits are larger than those of infinity even after rounding, and a minimum replaces it.
template <int Lanes>
ROTARY_ALWAYS_INLINE void round_to_bfloat16(const Vector<float, Lanes>& v,
                                            Vector<std::uint32_t, Lanes>& words) {
  constexpr std::uint32_t kSign = 0x80000000u, kNotANumber = 0x7fc0ffffu;
  Vector<std::uint32_t, Lanes> bits;
  load_bits(&v, bits);
  const auto rounded = (bits & ~kSign) + 0x7fff + ((bits >> 16) & 1);
  const auto limited = rounded <= kNotANumber ? rounded : kNotANumber + Vector<std::uint32_t, Lanes>{};
  words = limited | (bits & kSign);
}

/// A non-temporal store, which does not fetch a cache line that is overwritten completely. The address must
/// be a multiple of the vector's size, and `store_fence()` must follow the last one.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void store_nontemporal(void* to, const V& v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, static_cast<V*>(to));
#elif defined(__x86_64__)
  if constexpr (Isa::kFused) {
    asm volatile("vmovntps %1, %0" : "=m"(*static_cast<V*>(to)) : "v"(v));
  } else {
    store_bits(to, v);
  }
#else
  store_bits(to, v);
#endif
}
inline void store_fence() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

/// The memory of a vector of 16-bit scalars, as an operand of conversion instructions.
template <int Lanes>
struct [[gnu::may_alias]] HalfWords {
  unsigned char bytes[2 * static_cast<std::size_t>(Lanes)];
};

/// v = the elements at `from`, in the type of the arithmetic.
template <class Isa, class V, class X>
ROTARY_ALWAYS_INLINE void load(const X* from, V& v) {
  constexpr int kLanes = kSize<V>;
  if constexpr (std::is_same_v<X, Element<V>>) {
    load_bits(from, v);
  } else if constexpr (std::is_same_v<X, float> || std::is_same_v<X, double>) {
    Vector<X, kLanes> other;
    load_bits(from, other);
    v = __builtin_convertvector(other, V);
  } else if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
    Vector<std::uint16_t, kLanes> half;
    load_bits(from, half);
#if defined(__aarch64__) && !defined(__clang__)
    asm("shll %0.4s, %1.4h, #16" : "=w"(v) : "w"(half));  // GCC converts them one by one
#else
    const auto bits = __builtin_convertvector(half, Vector<std::uint32_t, kLanes>) << 16;
    load_bits(&bits, v);
#endif
  } else {
#if defined(__clang__)
    if constexpr (Isa::kHalf) {
      Vector<__fp16, kLanes> half;
      load_bits(from, half);
      v = __builtin_convertvector(half, V);
      return;
    }
#elif defined(__x86_64__)
    if constexpr (Isa::kHalf) {
      asm("vcvtph2ps %1, %0" : "=v"(v) : "m"(*reinterpret_cast<const HalfWords<kLanes>*>(from)));
      return;
    }
#elif defined(__aarch64__)
    Vector<std::uint16_t, kLanes> half;
    load_bits(from, half);
    asm("fcvtl %0.4s, %1.4h" : "=w"(v) : "w"(half));
    return;
#endif
    for (int lane = 0; lane < kLanes; ++lane) v[lane] = static_cast<float>(from[lane]);
  }
}

/// The elements at `to` = v, rounded once to nearest, ties to even.
template <class Isa, class V, class X>
ROTARY_ALWAYS_INLINE void store(X* to, const V& v) {
  constexpr int kLanes = kSize<V>;
  if constexpr (std::is_same_v<X, Element<V>>) {
    store_bits(to, v);
  } else if constexpr (std::is_same_v<X, float>) {
    store_bits(to, __builtin_convertvector(v, Vector<float, kLanes>));
  } else if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
    Vector<std::uint32_t, kLanes> words;
    round_to_bfloat16<kLanes>(v, words);
    store_bits(to, __builtin_convertvector(words >> 16, Vector<std::uint16_t, kLanes>));
  } else {
#if defined(__clang__)
    if constexpr (Isa::kHalf) return store_bits(to, __builtin_convertvector(v, Vector<__fp16, kLanes>));
#elif defined(__x86_64__)
    if constexpr (Isa::kHalf) {
      asm("vcvtps2ph $0, %1, %0" : "=m"(*reinterpret_cast<HalfWords<kLanes>*>(to)) : "v"(v));
      return;
    }
#elif defined(__aarch64__)
    Vector<std::uint16_t, kLanes> half;
    asm("fcvtn %0.4h, %1.4s" : "=w"(half) : "w"(v));
    return store_bits(to, half);
#endif
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = static_cast<X>(v[lane]);
  }
}

/// Stores `v`, with a non-temporal store if `kStream` and if it takes no conversion.
template <class Isa, bool kStream, class V, class X>
ROTARY_ALWAYS_INLINE void put(X* to, const V& v) {
  if constexpr (kStream && std::is_same_v<X, Element<V>>) {
    store_nontemporal<Isa>(to, v);
  } else {
    store<Isa>(to, v);
  }
}

/// A deinterleaving load of two vectors: the elements with even indices, and those with odd ones.
template <class Isa, class V, class X>
ROTARY_ALWAYS_INLINE void load_deinterleaved(const X* from, V& even, V& odd) {
  V first, second;
  load<Isa>(from, first);
  load<Isa>(from + kSize<V>, second);
  [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
    even = __builtin_shufflevector(first, second, (2 * Lane)...);
    odd = __builtin_shufflevector(first, second, (2 * Lane + 1)...);
  }
  (std::make_integer_sequence<int, kSize<V>>());
}

/// Prefetches the cache lines of `kBytes` bytes, `ahead` bytes after `from`. Any address is allowed.
template <std::size_t kBytes>
ROTARY_ALWAYS_INLINE void prefetch_lines(const void* from, Index ahead) {
  const auto first = reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(ahead);
  unrolled<(kBytes + 63) / 64>([&](auto line) ROTARY_INLINE_LAMBDA {
    __builtin_prefetch(reinterpret_cast<const void*>(first + 64 * line));
  });
}

#endif  // ROTARY_VECTOR_EXTENSIONS

}  // namespace rotary::inline ROTARY_ABI::kernels
