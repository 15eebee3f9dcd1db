// Cosines and sines of a register of phases at once: of 64 bits for rows of float, of 128 for rows of double.
#pragma once

#include <cstdint>
#include <utility>

#include "fused.hpp"
#include "simd.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// result = result · z + next, of moderate numbers: fused, or rounded twice.
template <class Isa, bool kFused, class V>
ROTARY_ALWAYS_INLINE void horner(const V& z, V& result, double next) {
  V c = V{} + next;
  if constexpr (!kFused) {
    product<Isa>(result, z, result);
    sum<Isa>(result, c, c);
  } else if constexpr (Isa::kFused) {
    multiply_add<Isa>(result, z, c);
  } else {
    emulated_multiply_add<Isa, true>(result, z, c);
  }
  result = c;
}

/// Cosine and sine, within 6e-11, of `x` radians beyond the quarter turn whose number is in the top two bits
/// of `quarter`. |x| ≤ π/4.
template <class Isa, bool kFused, class V, class U>
ROTARY_ALWAYS_INLINE void cos_sin_polynomials(const V& x, const U& quarter, V& cos_out, V& sin_out) {
  V z;
  product<Isa>(x, x, z);
  // Polynomials of least error on ±π/4, with 1 exact at 0: off by 2.4e-12 and 5.4e-11.
  V sin = V{} + 0x1.6c898869dee6dp-19, cos = V{} + 0x1.99343089c4b7ep-16;
  horner<Isa, kFused>(z, sin, -0x1.a00e0e257363fp-13);
  horner<Isa, kFused>(z, cos, -0x1.6c087e8b60e0bp-10);
  horner<Isa, kFused>(z, sin, 0x1.1111062049100p-7);
  horner<Isa, kFused>(z, cos, 0x1.55553e106d6f7p-5);
  horner<Isa, kFused>(z, sin, -0x1.555555480c1f6p-3);
  horner<Isa, kFused>(z, cos, -0x1.ffffffd0c62dcp-2);
  horner<Isa, kFused>(z, sin, 1);
  horner<Isa, kFused>(z, cos, 1);
  product<Isa>(sin, x, sin);
  // An odd quarter exchanges them; sin is negative in the quarters 2 and 3, cos in 1 and 2.
  U of_cos, of_sin;
  load_bits(&cos, of_cos);
  load_bits(&sin, of_sin);
  const U low_bit_first = quarter << 1;
  Vector<std::int64_t, kSize<V>> is_odd_below_0;
  load_bits(&low_bit_first, is_odd_below_0);
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  const U cos_bits = (is_odd_below_0 < 0 ? of_sin : of_cos) ^ ((quarter + (std::uint64_t{1} << 62)) & kSign);
  const U sin_bits = (is_odd_below_0 < 0 ? of_cos : of_sin) ^ (quarter & kSign);
  load_bits(&cos_bits, cos_out);
  load_bits(&sin_bits, sin_out);
}

/// The products of these with `scale`, to be rounded to float: half a unit in its last place is 500 times
/// 6e-11.
///
/// With an emulated multiply-add a row would take ten times as long. Without it the polynomials are off by a
/// few units in the last place of a double, and only where a float may show it are they computed again.
template <class Isa, class V, class U>
ROTARY_ALWAYS_INLINE void scaled_cos_sin(const V& x, const U& quarter, const V& scale, V& cos, V& sin) {
  cos_sin_polynomials<Isa, Isa::kFused>(x, quarter, cos, sin);
  product<Isa>(cos, scale, cos);
  product<Isa>(sin, scale, sin);
  if constexpr (!Isa::kFused) {
    detail::WordsOf<V> doubtful{};
    detail::add_doubtful<64>(cos, doubtful);
    detail::add_doubtful<64>(sin, doubtful);
    if (detail::is_any(doubtful)) [[unlikely]] {
      cos_sin_polynomials<Isa, true>(x, quarter, cos, sin);
      product<Isa>(cos, scale, cos);
      product<Isa>(sin, scale, sin);
    }
  }
}

/// Phases in 2^-64 of a turn, one in each lane.
template <int Lanes>
struct Phases64 {
  using U = Vector<std::uint64_t, Lanes>;
  using V = Vector<double, Lanes>;
  U word;

  ROTARY_ALWAYS_INLINE void load(const std::uint64_t* words, const std::uint64_t*) { load_bits(words, word); }
  ROTARY_ALWAYS_INLINE void add(const Phases64& other) { word += other.word; }
  /// this = position · step
  ROTARY_ALWAYS_INLINE void set_product(const Phases64& step, std::int64_t position) {
    word = step.word * static_cast<std::uint64_t>(position);
  }

  /// scale · cos and scale · sin, within 6e-11 · scale.
  template <class Isa>
  ROTARY_ALWAYS_INLINE void scaled(const V& scale, V& cos, V& sin) const {
    // To the nearest quarter turn, whose number is now in the top two bits; what is left lies within an
    // eighth of it.
    const U turned = word + (std::uint64_t{1} << 61);
    // 52 of its bits become a double by way of the exponent of 2^52, and radians.
    const U bits = ((turned & ((std::uint64_t{1} << 62) - 1)) >> 10) | 0x4330000000000000u;
    V x;
    load_bits(&bits, x);
    difference<Isa>(x, V{} + (0x1p52 + 0x1p51), x);
    product<Isa>(x, V{} + 6.283185307179586476925 * 0x1p-54, x);
    scaled_cos_sin<Isa>(x, turned, scale, cos, sin);
  }
};

/// Phases in 2^-128 of a turn, one in each lane.
template <int Lanes>
struct Phases128 {
  using U = Vector<std::uint64_t, Lanes>;
  using V = Vector<double, Lanes>;
  U high, low;

  ROTARY_ALWAYS_INLINE void load(const std::uint64_t* highs, const std::uint64_t* lows) {
    load_bits(highs, high);
    load_bits(lows, low);
  }
  ROTARY_ALWAYS_INLINE void add(const Phases128& other) {
    const U total = low + other.low;
    // The carry without a comparison, which SSE2 and AVX2 do not have for unsigned integers.
    high += other.high + (((low & other.low) | ((low | other.low) & ~total)) >> 63);
    low = total;
  }
  /// this = −this in the lanes where `negate` is 1, not 0.
  ROTARY_ALWAYS_INLINE void negate_if(const U& negate) {
    const U mask = U{} - negate, flipped = low ^ mask;
    low = flipped + negate;
    high = (high ^ mask) + ((flipped & ~low) >> 63);
  }
  /// this = position · step, for positions of at most 2^31 in size.
  ROTARY_ALWAYS_INLINE void set_product(const Phases128& step, std::int64_t position) {
    constexpr std::uint64_t kMask = 0xffffffff;
    const std::uint64_t size =
        position < 0 ? 0 - static_cast<std::uint64_t>(position) : static_cast<std::uint64_t>(position);
    const U lowest = (step.low & kMask) * size, middle = (step.low >> 32) * size + (lowest >> 32);
    low = (middle << 32) | (lowest & kMask);
    high = step.high * size + (middle >> 32);
    if (position < 0) negate_if(U{} + 1);
  }

  /// scale · cos and scale · sin: what cos_sin(Phase128) computes, operation by operation, so that the bits
  /// are the same.
  template <class Isa>
  ROTARY_ALWAYS_INLINE void scaled(const V& scale, V& cos_out, V& sin_out) const {
    const U lower_half = high >> 63;
    Phases128 distance = *this;
    distance.negate_if(lower_half);
    const U octant = distance.high >> 61, quarter = (octant + 1) >> 1;
    distance.high -= quarter << 62;
    distance.negate_if(octant & 1);

    // The angle in radians as x + x_low.
    V head, rest, low_rest, head_angle, rest_angle, part, x, x_low;
    exact_double<Isa>(distance.high >> 35, head);
    exact_double<Isa>(distance.high & 0x7ffffffff, rest);
    exact_double<Isa>(distance.low >> 12, low_rest);
    product<Isa>(low_rest, V{} + 0x1p-52, low_rest);
    sum<Isa>(rest, low_rest, rest);
    product<Isa>(head, V{} + 0x1.921fb5p-27, head_angle);
    product<Isa>(head, V{} + 0x1.110b4611a6263p-53, rest_angle);
    product<Isa>(rest, V{} + 0x1.921fb54442d18p-62, part);
    sum<Isa>(rest_angle, part, rest_angle);
    sum<Isa>(head_angle, rest_angle, x);
    difference<Isa>(x, head_angle, part);
    difference<Isa>(rest_angle, part, x_low);

    V cos, sin;
    cos_sin_of_octant<Isa>(x, x_low, cos, sin);

    U cos_bits, sin_bits;
    load_bits(&cos, cos_bits);
    load_bits(&sin, sin_bits);
    const U change = (cos_bits ^ sin_bits) & (U{} - (quarter & 1));
    cos_bits ^= change ^ ((octant + 2) >> 2 << 63);
    sin_bits ^= change ^ (lower_half << 63);
    load_bits(&cos_bits, cos);
    load_bits(&sin_bits, sin);
    product<Isa>(cos, scale, cos_out);
    product<Isa>(sin, scale, sin_out);
  }

 private:
  /// n, below 2^52, as a double.
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void exact_double(const U& n, V& result) {
    const U bits = n | (std::uint64_t{0x433} << 52);
    V shifted;
    load_bits(&bits, shifted);
    difference<Isa>(shifted, V{} + 0x1p52, result);
  }

  /// c0 + z (c1 + z (c2 + ...)), every operation rounded.
  template <class Isa, class... Rest>
  ROTARY_ALWAYS_INLINE static void polynomial(const V& z, V& result, double coefficient, Rest... rest) {
    if constexpr (sizeof...(rest) == 0) {
      result = V{} + coefficient;
    } else {
      V inner;
      polynomial<Isa>(z, inner, rest...);
      product<Isa>(z, inner, inner);
      sum<Isa>(V{} + coefficient, inner, result);
    }
  }

  /// As detail::cos_sin_of_octant, where the formulas are explained.
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void cos_sin_of_octant(const V& x, const V& x_low, V& cos, V& sin) {
    V z, half_z, sin_series, cos_series;
    product<Isa>(x, x, z);
    product<Isa>(V{} + 0.5, z, half_z);
    polynomial<Isa>(z, sin_series, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                    1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000);
    polynomial<Isa>(z, cos_series, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
                    -1.0 / 87178291200, 1.0 / 20922789888000);
    V low_part, cubed;
    product<Isa>(x_low, half_z, low_part);
    difference<Isa>(x_low, low_part, low_part);
    product<Isa>(x, z, cubed);
    product<Isa>(cubed, sin_series, sin);
    sum<Isa>(low_part, sin, sin);
    sum<Isa>(x, sin, sin);
    V head, lost, tail, cross;
    difference<Isa>(V{} + 1, half_z, head);
    difference<Isa>(V{} + 1, head, lost);
    difference<Isa>(lost, half_z, lost);
    product<Isa>(z, z, tail);
    product<Isa>(tail, cos_series, tail);
    product<Isa>(x, x_low, cross);
    difference<Isa>(tail, cross, tail);
    sum<Isa>(lost, tail, tail);
    sum<Isa>(head, tail, cos);
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
