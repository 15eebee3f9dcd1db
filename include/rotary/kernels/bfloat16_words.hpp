// Packed pairs of bfloat16: two in a 32-bit word, which are split and joined without a shuffle.
#pragma once

#include "simd_memory.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// A deinterleaving load of bfloat16: the elements with even indices, and those with odd ones.
template <class V>
ROTARY_ALWAYS_INLINE void load_packed(const Eigen::bfloat16* from, V& even, V& odd) {
  Vector<std::uint32_t, kSize<V>> words;
  load_bits(from, words);
  const auto low = words << 16, high = words & 0xffff0000u;
  load_bits(&low, even);
  load_bits(&high, odd);
}
template <class Isa, bool kStream, class V>
ROTARY_ALWAYS_INLINE void store_packed(Eigen::bfloat16* to, const V& even, const V& odd) {
  // Rounded in the 16-bit lanes of the result: twice as many at a time as in 32-bit lanes.
  constexpr int kLanes = 2 * kSize<V>;
  Vector<std::int16_t, kLanes> upper;
  Vector<std::uint16_t, kLanes> bits, dropped;
#if defined(__aarch64__)
  // One instruction each, where other processors need three.
  Vector<std::uint16_t, kLanes> low, high;
  load_bits(&even, low);
  load_bits(&odd, high);
  [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
    bits = __builtin_shufflevector(low, high, ((Lane | 1) + (Lane & 1) * kLanes)...);
    dropped = __builtin_shufflevector(low, high, ((Lane & ~1) + (Lane & 1) * kLanes)...);
  }
  (std::make_integer_sequence<int, kLanes>());
  load_bits(&bits, upper);
#else
  Vector<std::uint32_t, kSize<V>> low, high;
  load_bits(&even, low);
  load_bits(&odd, high);
  const auto upper_words = (low >> 16) | (high & 0xffff0000u), lower_words = (low & 0xffffu) | (high << 16);
  load_bits(&upper_words, upper);
  load_bits(&lower_words, dropped);
#endif
  // A NaN becomes the one that Eigen makes of it: the smallest quiet one of its sign. NaNs that arithmetic
  // returns are quiet, and the bits dropped are 0, since the NaN came from a bfloat16.
  upper = upper <= 0x7fc0 ? upper : 0x7fc0 + Vector<std::int16_t, kLanes>{};
  load_bits(&upper, bits);
  bits = bits <= 0xffc0 ? bits : 0xffc0 + Vector<std::uint16_t, kLanes>{};
  // Up if the bits dropped are more than half a unit, or half a unit of an odd number: by subtracting −1.
  const auto up = (dropped | (bits & 1)) > 0x8000;
  Vector<std::uint16_t, kLanes> ones;
  load_bits(&up, ones);
  bits -= ones;
  if constexpr (kStream) {
    store_nontemporal<Isa>(to, bits);
  } else {
    store_bits(to, bits);
  }
}

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
