// bfloat16 two to a 32-bit word, which splits and joins them without a shuffle.
#pragma once

#include "simd_memory.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// Two vectors of bfloat16 that take turns in memory: those with even indices, and those with odd ones.
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
  // Rounded where they end up, in 16-bit lanes: twice as many at a time.
  constexpr int kLanes = 2 * kSize<V>;
  Vector<std::int16_t, kLanes> kept;
  Vector<std::uint16_t, kLanes> bits, dropped;
#if defined(__aarch64__)
  // One instruction each for what takes three elsewhere.
  Vector<std::uint16_t, kLanes> low, high;
  load_bits(&even, low);
  load_bits(&odd, high);
  [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
    bits = __builtin_shufflevector(low, high, ((Lane | 1) + (Lane & 1) * kLanes)...);
    dropped = __builtin_shufflevector(low, high, ((Lane & ~1) + (Lane & 1) * kLanes)...);
  }
  (std::make_integer_sequence<int, kLanes>());
  load_bits(&bits, kept);
#else
  Vector<std::uint32_t, kSize<V>> low, high;
  load_bits(&even, low);
  load_bits(&odd, high);
  const auto kept_words = (low >> 16) | (high & 0xffff0000u), dropped_words = (low & 0xffffu) | (high << 16);
  load_bits(&kept_words, kept);
  load_bits(&dropped_words, dropped);
#endif
  // A NaN becomes the one that Eigen makes of it: the least of the positive or of the negative ones, since it
  // is quiet, as all are that arithmetic answers with, and what it drops is 0, as it came from a bfloat16.
  kept = kept <= 0x7fc0 ? kept : 0x7fc0 + Vector<std::int16_t, kLanes>{};
  load_bits(&kept, bits);
  bits = bits <= 0xffc0 ? bits : 0xffc0 + Vector<std::uint16_t, kLanes>{};
  // More than half a unit, or half of one beside an odd number: up, by taking away −1.
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
