// Cosines and sines of a register of phases at once, of 128 bits: for rows of double.
#pragma once

#include <cstdint>

#include "cos_sin_of_phases.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

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
    // The carry, without a comparison: SSE2 and AVX2 compare no unsigned integers.
    high += other.high + (((low & other.low) | ((low | other.low) & ~total)) >> 63);
    low = total;
  }
  ROTARY_ALWAYS_INLINE void advance(const Phases128& step) { add(step); }
  ROTARY_ALWAYS_INLINE void count_quarters() {}
  /// this = −this in the lanes where `negate` is 1; in the others it must be 0.
  ROTARY_ALWAYS_INLINE void negate_if(const U& negate) {
    const U mask = U{} - negate, flipped = low ^ mask;
    low = flipped + negate;
    high = (high ^ mask) + ((flipped & ~low) >> 63);
  }
  /// this = position · step, for positions of at most 2^31 in size.
  template <class Isa>
  ROTARY_ALWAYS_INLINE void set_product(const Phases128& step, std::int64_t position) {
    constexpr std::uint64_t kMask = 0xffffffff;
    const std::uint64_t size =
        position < 0 ? 0 - static_cast<std::uint64_t>(position) : static_cast<std::uint64_t>(position);
    const U lowest = (step.low & kMask) * size, middle = (step.low >> 32) * size + (lowest >> 32);
    low = (middle << 32) | (lowest & kMask);
    high = step.high * size + (middle >> 32);
    if (position < 0) negate_if(U{} + 1);
  }

  /// scale · cos and scale · sin, by the operations of cos_sin(Phase128), so that the bits are the same.
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

  /// detail::cos_sin_of_octant in vectors; the formulas are explained there.
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
