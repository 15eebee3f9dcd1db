// Cosines and sines of a register of phases at once, of 64 bits and a rest: for rows of float.
#pragma once

#include <cstdint>
#include <utility>

#include "fused.hpp"
#include "simd_memory.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// c = a·b + c, fused if the instruction set can, else rounded twice.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void multiply_add_or_round(const V& a, const V& b, V& c) {
  if constexpr (Isa::kFused) {
    multiply_add<Isa>(a, b, c);
  } else {
    V rounded_product;
    product<Isa>(a, b, rounded_product);
    sum<Isa>(rounded_product, c, c);
  }
}

/// a = a·b + constant, fused if the instruction set can. (Otherwise GCC loads the constant into a register of
/// its own.)
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void multiply_add_constant(V& a, const V& b, const double& constant) {
  V c = V{} + constant;
#if defined(__x86_64__) && !defined(__clang__)
  if constexpr (Isa::kName == InstructionSet::avx512) {
    asm("vfmadd213pd %2%{1to8%}, %1, %0" : "+v"(a) : "v"(b), "m"(constant));
    return;
  }
  if constexpr (Isa::kFused) {
    asm("vfmadd213pd %2, %1, %0" : "+v"(a) : "v"(b), "vm"(c));
    return;
  }
#endif
  multiply_add_or_round<Isa>(a, b, c);
  a = c;
}

/// if_set in the lanes where the top bit of `bits` is set, else if_not.
template <class V, class U>
ROTARY_ALWAYS_INLINE void select_by_top_bit(const U& bits, const V& if_set, const V& if_not, V& result) {
  Vector<std::int64_t, kSize<V>> is_below_0;
  load_bits(&bits, is_below_0);
  result = is_below_0 < 0 ? if_set : if_not;
}

/// Finds out whether one of many doubles may round to the wrong float. Each must be larger in size than the
/// exact value, by at most `kUnits` units in its last place: then it may do so only if it is just above the
/// midpoint of two floats. One in 390,000 is.
template <int Lanes>
struct Undecided {
  using Words = Vector<std::int32_t, 2 * Lanes>;
  static constexpr std::int32_t kUnits = 1380, kMost = 0x7fffffff, kLeast = -kMost - 1;
  Words distance = Words{} + kMost, smallness = Words{} + kMost;

  /// Adds the results in two registers.
  template <class V>
  ROTARY_ALWAYS_INLINE void add(const V& cos, const V& sin) {
    // The low words of both, in an order that one instruction makes.
    Vector<float, 2 * Lanes> first, second, low;
    load_bits(&cos, first);
    load_bits(&sin, second);
    [&]<int... At>(std::integer_sequence<int, At...>) ROTARY_INLINE_LAMBDA {
      low = __builtin_shufflevector(first, second, (At / 4 * 4 + At % 2 * 2 + (At & 2) * Lanes)...);
    }
    (std::make_integer_sequence<int, 2 * Lanes>());
    // The 29 bits that a float lacks are moved to the top, so that the midpoint of two floats, half of their
    // range, becomes the smallest signed number: the minimum shows whether any double is near a midpoint.
    Vector<std::uint32_t, 2 * Lanes> bits;
    load_bits(&low, bits);
    bits <<= 3;
    add_to(distance, bits);
  }

  /// Adds negative numbers that must not be too small in size. Positive ones do not count.
  template <class V>
  ROTARY_ALWAYS_INLINE void add_negative(const V& numbers) {
    add_to(smallness, numbers);
  }

  /// Was a double added that may round wrongly, or a negative number smaller in size than `least`?
  ROTARY_ALWAYS_INLINE bool any(double least) const {
    Words low_words{};
    for (int word = 0; word < 2 * Lanes; word += 2) low_words[word] = kMost;
    const auto half_least = static_cast<std::int32_t>(std::bit_cast<std::uint64_t>(least) >> 33);
    // Negative where a word is below its limit; halves do not overflow. (GCC 12 would compare vectors of 512
    // bits word by word.)
    return any_negative<2 * Lanes>(((distance >> 1) - (kLeast / 2 + 4 * kUnits)) |
                                   (((smallness | low_words) >> 1) - (kLeast / 2 + half_least)));
  }

 private:
  template <class V>
  ROTARY_ALWAYS_INLINE static void add_to(Words& least, const V& bits) {
    Words words;
    load_bits(&bits, words);
    least = words < least ? words : least;
  }
  template <int kCount>
  ROTARY_ALWAYS_INLINE static bool any_negative(const Vector<std::int32_t, kCount>& words) {
    if constexpr (kCount > 4) {
      Vector<std::int32_t, kCount / 2> first, second;
      load_bits(&words, first);
      load_bits(reinterpret_cast<const char*>(&words) + sizeof first, second);
      return any_negative<kCount / 2>(first | second);
    } else {
      Vector<std::uint64_t, 2> pairs;
      load_bits(&words, pairs);
      return ((pairs[0] | pairs[1]) & 0x8000000080000000u) != 0;
    }
  }
};

/// result = −x², or a positive number in lanes where x is 0.
template <class Isa, class V>
ROTARY_ALWAYS_INLINE void negated_square(const V& x, V& result) {
  result = V{} + 0x1p-1000;
#if defined(__x86_64__) && !defined(__clang__)
  if constexpr (Isa::kFused) {
    asm("vfnmadd231pd %1, %1, %0" : "+v"(result) : "v"(x));
    return;
  }
#endif
  V opposite = x;
  negate_if(true, opposite);
  multiply_add_or_round<Isa>(opposite, x, result);
}

/// Rows are multiplied by this, so that they are larger than the exact values by 10 to 1370 units in the last
/// place.
inline constexpr double kUpwards = 1 + 690 * 0x1p-53;

/// Minimax polynomials of sin x / x and cos x in −x² on ±π/4, with 1 exact at 0: relative errors 5.1e-15 and
/// 7.3e-14.
inline constexpr double kSinCoefficients[6] = {1,
                                               0x1.5555555552239p-3,
                                               0x1.1111110c8732cp-7,
                                               0x1.a019f93968479p-13,
                                               0x1.71d76d163d514p-19,
                                               0x1.a961a16c7bed2p-26};
inline constexpr double kCosCoefficients[6] = {1,
                                               0x1.ffffffffe98afp-2,
                                               0x1.55555545c5148p-5,
                                               0x1.6c16b348bbe7ap-10,
                                               0x1.a00eb9af18713p-16,
                                               0x1.23c97e5b9b148p-22};

/// scale · cos and scale · sin of `x` radians plus the quarter turns whose number is in the top two bits of
/// `quarter`, within 680 units in the last place, however small. −z = x², |x| ≤ π/4.
template <class Isa, class V, class U>
ROTARY_ALWAYS_INLINE void scaled_cos_sin(const V& x, const V& z, const U& quarter, const V& scale, V& cos_out,
                                         V& sin_out) {
  constexpr const double(&s)[6] = kSinCoefficients, (&c)[6] = kCosCoefficients;
  // Two terms at a time: a shorter dependency chain than in Horner's scheme.
  V z_squared, sin_5 = V{} + s[5], cos_5 = V{} + c[5], sin_3 = V{} + s[3], cos_3 = V{} + c[3];
  V sin = V{} + s[1], cos = V{} + c[1];
  product<Isa>(z, z, z_squared);
  multiply_add_constant<Isa>(sin_5, z, s[4]);
  multiply_add_constant<Isa>(cos_5, z, c[4]);
  multiply_add_constant<Isa>(sin_3, z, s[2]);
  multiply_add_constant<Isa>(cos_3, z, c[2]);
  multiply_add_constant<Isa>(sin, z, s[0]);
  multiply_add_constant<Isa>(cos, z, c[0]);
  multiply_add_or_round<Isa>(sin_5, z_squared, sin_3);
  multiply_add_or_round<Isa>(cos_5, z_squared, cos_3);
  multiply_add_or_round<Isa>(sin_3, z_squared, sin);
  multiply_add_or_round<Isa>(cos_3, z_squared, cos);
  product<Isa>(sin, x, sin);
  // A quarter turn maps (cos, sin) to (−sin, cos), and half a turn to (−cos, −sin).
  V signed_scale, opposite_sin = sin, shifted_cos, shifted_sin;
  negate_if(true, opposite_sin);
  if constexpr (Isa::kName == InstructionSet::avx2) {
    V opposite = scale;
    negate_if(true, opposite);
    select_by_top_bit(quarter, opposite, scale, signed_scale);  // one instruction
  } else {
    U bits;
    load_bits(&scale, bits);
    bits ^= quarter & (std::uint64_t{1} << 63);
    load_bits(&bits, signed_scale);
  }
  const U is_odd = quarter << 1;
  select_by_top_bit(is_odd, opposite_sin, cos, shifted_cos);
  select_by_top_bit(is_odd, cos, sin, shifted_sin);
  product<Isa>(shifted_cos, signed_scale, cos_out);
  product<Isa>(shifted_sin, signed_scale, sin_out);
}

#if defined(__GNUC__) && !defined(__clang__)
// With -ffast-math, GCC 12 warns that `position` is read before it is written.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
/// Phases in the form of `SplitPhase`, one in each lane.
template <int Lanes>
struct SplitPhases {
  using U = Vector<std::uint64_t, Lanes>;
  using V = Vector<double, Lanes>;
  U word;
  V rest, position;

  ROTARY_ALWAYS_INLINE void load(const std::uint64_t* words, const double* rests) {
    load_bits(words, word);
    load_bits(rests, rest);
    position = V{};
  }
  ROTARY_ALWAYS_INLINE void add(const SplitPhases& other) {
    word += other.word;
    rest += other.rest;
  }
  /// this = at · step
  template <class Isa>
  ROTARY_ALWAYS_INLINE void set_product(const SplitPhases& step, std::int64_t at) {
    word = step.word * static_cast<std::uint64_t>(at);
    if constexpr (Isa::kName == InstructionSet::avx512) {  // converts a vector as fast as one number
      position = __builtin_convertvector((Vector<std::int64_t, Lanes>{} + at), V);
    } else {
      position = V{} + static_cast<double>(at);
    }
    rest = step.rest * position;
  }
  /// this = (position + 1) · step, after `set_product`. Adding up many rests would not be exact enough.
  ROTARY_ALWAYS_INLINE void advance(const SplitPhases& step) {
    word += step.word;
    position += 1;
    rest = step.rest * position;
  }
  /// Adds an eighth of a turn, so that the top two bits are the number of the nearest quarter turn.
  ROTARY_ALWAYS_INLINE void count_quarters() { word += std::uint64_t{1} << 61; }

  /// scale · cos and scale · sin of phases after `count_quarters`, within `Undecided::kUnits` units in the
  /// last place, if the angle is not too small for the error of the rest.
  template <class Isa>
  ROTARY_ALWAYS_INLINE void scaled(const V& scale, V& cos, V& sin, Undecided<Lanes>& undecided) const {
    // The distance from the quarter turn, 52 bits, becomes a double by way of the exponent of 2^52.
    const U bits = ((word >> 10) & ((std::uint64_t{1} << 52) - 1)) | 0x4330000000000000u;
    V distance, x = rest, z;
    load_bits(&bits, distance);
    difference<Isa>(distance, V{} + (0x1p52 + 0x1p51), distance);
    multiply_add_or_round<Isa>(distance, V{} + kRadians, x);
    negated_square<Isa>(x, z);
    undecided.add_negative(z);
    scaled_cos_sin<Isa>(x, z, word, scale, cos, sin);
    undecided.add(cos, sin);
  }

 private:
  /// 2π · 2^-54 plus eight units in the last place. These are more than the error of the rest: where the rest
  /// and the distance cancel, x must be small but not 0, or it would be taken for the angle 0.
  static constexpr double kRadians = 0x1.921fb54442d20p-52;
};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
