// Vector arithmetic in which every operation is rounded, and a fused multiply-add for processors without one.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "instruction_set.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

#if ROTARY_VECTOR_EXTENSIONS

namespace detail {

template <class T, int Lanes>
struct FusedVectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * Lanes)));
};
template <class T, int Lanes>
using FusedVector = typename FusedVectorOf<T, Lanes>::type;

/// Broadcasts a double through an optimisation barrier.
template <class V>
ROTARY_ALWAYS_INLINE void opaque_broadcast(double x, V& v) {
#if defined(__x86_64__)
  asm("" : "+x"(x));
#else
  asm("" : "+w"(x));
#endif
  for (int lane = 0; lane < static_cast<int>(sizeof(V) / sizeof(x)); ++lane) v[lane] = x;
}

}  // namespace detail

/// An optimisation barrier for `v`: the operation that computed it is rounded, neither contracted with the
/// next one (-ffp-contract) nor reordered (-ffast-math). It takes no instruction.
///
/// Clang accepts assembly only with vectors as wide as its flags allow. For wider ones it has a fence that
/// stops -ffast-math, but not -ffp-contract, which `product` prevents.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void keep_rounded(V& v) {
#if defined(__aarch64__)
  asm("" : "+w"(v));
#elif !defined(__clang__)
  if constexpr (sizeof(V) < 16) {  // a vector of one double has no register
    double x = v[0];
    asm("" : "+x"(x));
    v[0] = x;
  } else {
    asm("" : "+v"(v));
  }
#else
  if constexpr (Isa::kName == InstructionSet::baseline) {
    asm("" : "+x"(v));
  } else {
#if defined(__FAST_MATH__) && __has_builtin(__arithmetic_fence)
    v = __arithmetic_fence(v);
#endif
  }
#endif
}

/// result = a + b, rounded.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void sum(const V& a, const V& b, V& result) {
  V value = a + b;
  keep_rounded<Isa>(value);
  result = value;
}

/// result = a − b, rounded.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void difference(const V& a, const V& b, V& result) {
  V value = a - b;
  keep_rounded<Isa>(value);
  result = value;
}

/// result = a·b of doubles, rounded.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void product(const V& a, const V& b, V& result) {
  V value;
#if defined(__clang__) && defined(__x86_64__)
  if constexpr (Isa::kFused && Isa::kName != InstructionSet::baseline) {
    // A fused a·b + (−0) is the rounded product, of either sign, and nothing more can be fused with it.
    detail::opaque_broadcast(-0.0, value);
#if __has_builtin(__builtin_elementwise_fma)
    value = __builtin_elementwise_fma(a, b, value);
#else
#pragma clang loop unroll(full)
    for (int lane = 0; lane < static_cast<int>(sizeof(V) / sizeof(double)); ++lane)
      value[lane] = __builtin_fma(a[lane], b[lane], value[lane]);
#endif
  } else
#endif
  {
    value = a * b;
  }
  keep_rounded<Isa>(value);
  result = value;
}

// --- the fused operation from others
//
// Boldo and Melquiond, "Emulation of FMA and correctly rounded sums" (2008): a sum rounded to odd (towards
// zero, and the last bit set if anything was lost) can be rounded once more to fewer bits, as if there had
// been one rounding.

namespace detail {

/// high + low = a + b exactly, high being the rounded sum.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void two_sum(const V& a, const V& b, V& high, V& low) {
  V total, b_part, a_part, b_lost, a_lost;
  sum<Isa>(a, b, total);
  difference<Isa>(total, a, b_part);
  difference<Isa>(total, b_part, a_part);
  difference<Isa>(b, b_part, b_lost);
  difference<Isa>(a, a_part, a_lost);
  sum<Isa>(a_lost, b_lost, low);
  high = total;
}

/// result = a + b rounded to odd. Infinity and NaN propagate if `kAny`; else there must not be any.
template <class Isa, bool kAny, class V>
ROTARY_ALWAYS_INLINE void sum_to_odd(const V& a, const V& b, V& result) {
  using U = FusedVector<std::uint64_t, static_cast<int>(sizeof(V) / 8)>;
  V total, lost;
  two_sum<Isa>(a, b, total, lost);
  U bits, lost_bits;
  std::memcpy(&bits, &total, sizeof bits);
  std::memcpy(&lost_bits, &lost, sizeof lost_bits);
  // By arithmetic: SSE2 compares no 64-bit integers, and -ffast-math would assume that there is no NaN.
  const U twice = lost_bits << 1;
  U inexact = (twice | (U{} - twice)) >> 63;
  if constexpr (kAny) {
    constexpr std::uint64_t kExponent = std::uint64_t{0x7ff} << 52;
    inexact &= ~(((bits & kExponent) + (std::uint64_t{1} << 52)) >> 63);
  }
  bits = (bits - (inexact & ((bits ^ lost_bits) >> 63))) | inexact;
  std::memcpy(&result, &bits, sizeof bits);
}

/// high = x to 26 bits, low = the rest.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void split(const V& x, V& high, V& low) {
  FusedVector<std::uint64_t, static_cast<int>(sizeof(V) / 8)> bits;
  constexpr std::uint64_t kUnit = std::uint64_t{1} << 27;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + kUnit / 2) & ~(kUnit - 1);
  std::memcpy(&high, &bits, sizeof bits);
  difference<Isa>(x, high, low);
}

/// c = a·b + c of {a, b, c}, lane by lane, by the standard library.
template <class V>
ROTARY_COLD void fused_lane_by_lane(V (&abc)[3]) {
  // Through a volatile pointer, since -ffast-math replaces direct calls.
  double (*volatile fused)(double, double, double) = &std::fma;
  for (int lane = 0; lane < static_cast<int>(sizeof(V) / 8); ++lane)
    abc[2][lane] = fused(abc[0][lane], abc[1][lane], abc[2][lane]);
}

/// c = a·b + c for doubles that are not near overflow, with a product that is 0 or not near underflow.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void fused_in_range(const V& a, const V& b, const V& rounded_product, V& c) {
  V a_high, a_low, b_high, b_low;
  split<Isa>(a, a_high, a_low);
  split<Isa>(b, b_high, b_low);
  V low, part;
  product<Isa>(a_high, b_high, low);
  difference<Isa>(low, rounded_product, low);
  product<Isa>(a_high, b_low, part);
  sum<Isa>(low, part, low);
  product<Isa>(a_low, b_high, part);
  sum<Isa>(low, part, low);
  product<Isa>(a_low, b_low, part);
  sum<Isa>(low, part, low);  // a·b = rounded_product + low

  V middle, middle_low, high, high_low, rest, total;
  two_sum<Isa>(c, low, middle, middle_low);
  two_sum<Isa>(rounded_product, middle, high, high_low);
  sum_to_odd<Isa, false>(middle_low, high_low, rest);
  sum<Isa>(high, rest, total);

  // The sum of two negative terms is negative, also if it is −0.
  using U = FusedVector<std::uint64_t, static_cast<int>(sizeof(V) / 8)>;
  U product_bits, c_bits, bits;
  std::memcpy(&product_bits, &rounded_product, sizeof bits);
  std::memcpy(&c_bits, &c, sizeof bits);
  std::memcpy(&bits, &total, sizeof bits);
  bits |= product_bits & c_bits & (std::uint64_t{1} << 63);
  std::memcpy(&c, &bits, sizeof bits);
}

/// Is there a lane outside the range of `fused_in_range`?
template <class V>
ROTARY_ALWAYS_INLINE bool any_out_of_range(const V& a, const V& b, const V& rounded_product, const V& c) {
  using U = FusedVector<std::uint64_t, static_cast<int>(sizeof(V) / 8)>;
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  U bits[4];
  std::memcpy(&bits[0], &a, sizeof(U));
  std::memcpy(&bits[1], &b, sizeof(U));
  std::memcpy(&bits[2], &rounded_product, sizeof(U));
  std::memcpy(&bits[3], &c, sizeof(U));
  for (U& x : bits) x &= ~kSign;
  // The sum carries into the sign bit for sizes of 2^990 and more, infinity and NaN.
  constexpr std::uint64_t kCarry = kSign - std::bit_cast<std::uint64_t>(0x1p990);
  U bad = (bits[0] + kCarry) | (bits[1] + kCarry) | (bits[2] + kCarry) | (bits[3] + kCarry);
  // Below 2^-900, although no factor is 0.
  bad |= (bits[2] - std::bit_cast<std::uint64_t>(0x1p-900)) & (U{} - bits[0]) & (U{} - bits[1]);
  std::uint64_t any = bad[0];
  for (int lane = 1; lane < static_cast<int>(sizeof(V) / 8); ++lane) any |= bad[lane];
  return (any >> 63) != 0;
}

/// Words of 32 bits: SSE2 compares no 64-bit integers.
template <class D>
using WordsOf = FusedVector<std::int32_t, static_cast<int>(sizeof(D) / 4)>;

/// Sets a word of `doubtful` if rounding the double `total` to float may differ from rounding the exact
/// value, which is within `kUnits` units in the last place of `total`: if `total` is near a midpoint of two
/// floats, or so small that floats are subnormal.
template <int kUnits, class D>
ROTARY_ALWAYS_INLINE void add_doubtful(const D& total, WordsOf<D>& doubtful) {
  WordsOf<D> words, mask, half_way, least;
  for (int lane = 0; lane < static_cast<int>(sizeof(D) / 4); lane += 2) {  // the low word comes first
    mask[lane] = 0x1fffffff, half_way[lane] = 0x10000000, least[lane] = 0;
    mask[lane + 1] = 0x7fffffff, half_way[lane + 1] = -1, least[lane + 1] = 0x38100000;  // 2^-126
  }
  std::memcpy(&words, &total, sizeof words);
  words &= mask;
  if constexpr (kUnits == 0) {
    doubtful |= (words == half_way) | (words < least);
  } else {
    doubtful |= ((words < half_way + (kUnits + 1)) & (words > half_way - (kUnits + 1))) | (words < least);
  }
}
template <class W>
ROTARY_ALWAYS_INLINE bool is_any(const W& words) {
  constexpr int kCount = static_cast<int>(sizeof(W) / 8);
  FusedVector<std::uint64_t, kCount> pairs;
  std::memcpy(&pairs, &words, sizeof pairs);
  std::uint64_t any = 0;
  for (int lane = 0; lane < kCount; ++lane) any |= pairs[lane];
  return any != 0;
}

/// c = a·b + c of floats, computed in `kParts` registers of doubles, which hold the products exactly.
template <class Isa, std::size_t kParts, int... Lane, class V>
ROTARY_ALWAYS_INLINE void fused_by_doubles(std::integer_sequence<int, Lane...>, const V& a, const V& b,
                                           V& c) {
  constexpr int kCount = static_cast<int>(sizeof...(Lane));
  using D = FusedVector<double, kCount>;
  using F = FusedVector<float, kCount>;
  const auto widen = [](const V& v, D(&wide)[kParts]) ROTARY_INLINE_LAMBDA {
    wide[0] = __builtin_convertvector(__builtin_shufflevector(v, v, Lane...), D);
    if constexpr (kParts == 2)
      wide[1] = __builtin_convertvector(__builtin_shufflevector(v, v, (kCount + Lane)...), D);
  };
  D first[kParts], second[kParts], addend[kParts], exact[kParts], total[kParts];
  widen(a, first), widen(b, second), widen(c, addend);
  WordsOf<D> doubtful{};
  for (std::size_t part = 0; part < kParts; ++part) {
    product<Isa>(first[part], second[part], exact[part]);
    sum<Isa>(exact[part], addend[part], total[part]);
    add_doubtful<0>(total[part], doubtful);
  }
  if (is_any(doubtful)) [[unlikely]]
    for (std::size_t part = 0; part < kParts; ++part)
      sum_to_odd<Isa, true>(exact[part], addend[part], total[part]);
  if constexpr (kParts == 1) {
    c = __builtin_convertvector(total[0], F);
  } else {
    const F low = __builtin_convertvector(total[0], F), high = __builtin_convertvector(total[1], F);
    c = __builtin_shufflevector(low, high, Lane..., (kCount + Lane)...);
  }
}

}  // namespace detail

/// c = a·b + c rounded once, as by std::fma, for instruction sets without a fused multiply-add. With
/// `kInRange` doubles must be 0 or within 2^±900.
///
/// A vector of doubles takes some 45 instructions, one of floats 25; tests/kernels/fused_test.cpp compares both with
/// std::fma.
template <class Isa, bool kInRange = false, class V>
ROTARY_ALWAYS_INLINE void emulated_multiply_add(const V& a, const V& b, V& c) {
  if constexpr (sizeof(a[0]) == 4) {
    constexpr std::size_t kParts = 2 * sizeof(V) > Isa::kBytes ? 2 : 1;
    constexpr int kCount = static_cast<int>(sizeof(V) / 4 / kParts);
    detail::fused_by_doubles<Isa, kParts>(std::make_integer_sequence<int, kCount>(), a, b, c);
  } else {
    V rounded_product;
    product<Isa>(a, b, rounded_product);
    if constexpr (!kInRange) {
      if (detail::any_out_of_range(a, b, rounded_product, c)) [[unlikely]] {
        V in_memory[3] = {a, b, c};  // copies, so that the operands themselves stay in registers
        detail::fused_lane_by_lane(in_memory);
        c = in_memory[2];
        return;
      }
    }
    detail::fused_in_range<Isa>(a, b, rounded_product, c);
  }
}

#endif  // ROTARY_VECTOR_EXTENSIONS

}  // namespace rotary::inline ROTARY_ABI::kernels
