// Rows of cosines and sines from angles that the caller computed.
#pragma once

#include "cos_sin_rows.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

#if ROTARY_VECTOR_EXTENSIONS

/// A row of float from a row of angles, one for every feature.
template <class Angle>
struct AngleRun {
  const Angle* angles;
  Pairing angle_pairing;
  Index angle_partner;  // in half pairing
  const double* scale;  // of every pair, or null
  double factor;        // of all, where that is null
  Index pairs;
  Pairing pairing;
  float* out;
  Index partner;  // in half pairing
  bool good;  // did the members of every pair have the same angle, below 2^30? If not, `out` is incomplete
};

/// Rows of float from given angles. Quarter turns are subtracted in two parts; since the multiply-add is
/// fused, this leaves an error below 1e-16 per 2^20 rad.
template <class Angle>
struct CosSinOfAngles {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(AngleRun<Angle>* of) {
    constexpr Index kLanesOf = kLanes<Isa, double>;
    Bad<kLanesOf> bad{};
    Index i = 0;
    for (; i + kLanesOf <= of->pairs; i += kLanesOf) {
      const Index from = of->angle_pairing == Pairing::half ? i : 2 * i;
      float* const to = of->out + (of->pairing == Pairing::half ? i : 2 * i);
      pairs<Isa>(*of, of->angles + from, of->angle_partner, of->scale ? of->scale + i : nullptr, to,
                 of->partner, bad);
    }
    if (i < of->pairs) rest<Isa>(*of, i, bad);
    std::uint64_t any = 0;
    for (Index lane = 0; lane < kLanesOf; ++lane) any |= bad.unlike[lane] | bad.far[lane];
    of->good = any == 0;
  }

 private:
  /// Not zero where the angles of a pair differ, or one is too large.
  template <int kLanesOf>
  struct Bad {
    BitsOf<Vector<Angle, kLanesOf>> unlike;
    Vector<std::uint64_t, kLanesOf> far;
  };

  /// The remainder, padded.
  template <class Isa, int kLanesOf>
  ROTARY_ALWAYS_INLINE static void rest(const AngleRun<Angle>& of, Index i, Bad<kLanesOf>& bad) {
    const auto count = static_cast<std::size_t>(of.pairs - i);
    constexpr std::size_t kCount = kLanesOf;
    Angle angles[2 * kCount] = {};
    double scale[kCount] = {};
    float out[2 * kCount];
    if (of.scale) std::memcpy(scale, of.scale + i, count * sizeof(double));
    if (of.angle_pairing == Pairing::half) {
      std::memcpy(angles, of.angles + i, count * sizeof(Angle));
      std::memcpy(angles + kLanesOf, of.angles + of.angle_partner + i, count * sizeof(Angle));
    } else {
      std::memcpy(angles, of.angles + 2 * i, 2 * count * sizeof(Angle));
    }
    pairs<Isa>(of, angles, kLanesOf, of.scale ? scale : nullptr, out, kLanesOf, bad);
    if (of.pairing == Pairing::half) {
      std::memcpy(of.out + i, out, count * sizeof(float));
      std::memcpy(of.out + of.partner + i, out + kLanesOf, count * sizeof(float));
    } else {
      std::memcpy(of.out + 2 * i, out, 2 * count * sizeof(float));
    }
  }

  /// One register of pairs.
  template <class Isa, int kLanesOf>
  ROTARY_ALWAYS_INLINE static void pairs(const AngleRun<Angle>& of, const Angle* angles, Index angle_partner,
                                         const double* scales, float* out, Index partner,
                                         Bad<kLanesOf>& bad) {
    using V = Vector<double, kLanesOf>;
    using U = Vector<std::uint64_t, kLanesOf>;
    Vector<Angle, kLanesOf> first, second;
    if (of.angle_pairing == Pairing::half) {
      load_bits(angles, first);
      load_bits(angles + angle_partner, second);
    } else {
      load_deinterleaved<Isa>(angles, first, second);
    }
    V scale = V{} + of.factor;
    if (scales) load_bits(scales, scale);
    // Compared as integers, since GCC compares vectors of doubles element by element. The sum carries into
    // the top bit for sizes of 2^30 and more, and for NaN.
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    BitsOf<Vector<Angle, kLanesOf>> first_bits, second_bits;
    load_bits(&first, first_bits);
    load_bits(&second, second_bits);
    bad.unlike |= first_bits ^ second_bits;
    const V angle = __builtin_convertvector(first, V);
    U bits;
    load_bits(&angle, bits);
    bad.far |= ((bits & ~kSign) + (kSign - std::bit_cast<std::uint64_t>(0x1p30))) & kSign;
    // Adding 1.5 · 2^32 leaves the number of quarters in the last bits, to 2^-20 of one. The bits are then
    // rounded as an integer: half a quarter is added and the fraction cut off, which gives the nearest number
    // in every rounding mode.
    V shifted, quarters;
    product<Isa>(angle, V{} + 0.63661977236758134308, shifted);
    sum<Isa>(shifted, V{} + 0x1.8p32, shifted);
    U number;
    load_bits(&shifted, number);
    number = (number + (std::uint64_t{1} << 19)) & ~((std::uint64_t{1} << 20) - 1);
    load_bits(&number, shifted);
    difference<Isa>(shifted, V{} + 0x1.8p32, quarters);
    V x = angle;
    multiply_add<Isa>(quarters, V{} - 0x1.921fb54442d18p0, x);
    multiply_add<Isa>(quarters, V{} - 0x1.1a62633145c07p-54, x);
    V z, cos, sin;
    negated_square<Isa>(x, z);
    const V too_large = scale * kUpwards;
    scaled_cos_sin<Isa>(x, z, U(number << 42), too_large, cos, sin);
    Undecided<kLanesOf> undecided;
    undecided.add(cos, sin);
    add_sizes(cos, undecided);
    add_sizes(sin, undecided);
    if (undecided.any(0x1p-126)) [[unlikely]] {
      double lanes[3][static_cast<std::size_t>(kLanesOf)];
      store_bits(lanes[0], x), store_bits(lanes[1], shifted), store_bits(lanes[2], scale);
      decide(lanes);
      load_bits(lanes[0], cos), load_bits(lanes[1], sin);
    }
    CosSinRows<float>::write<Isa>(of.pairing, cos, sin, out, partner);
  }

  /// Subnormal floats have fewer bits: such results count as undecided, unless they are 0.
  template <class V>
  ROTARY_ALWAYS_INLINE static void add_sizes(const V& numbers, Undecided<kSize<V>>& undecided) {
    BitsOf<V> bits;
    load_bits(&numbers, bits);
    // The size less one, but for 0 the largest, and then a sign.
    bits = (((bits << 1) - 1) >> 1) ^ (std::uint64_t{1} << 63);
    undecided.add_negative(bits);
  }

  /// lanes = {x, a double with the number of the quarter from its bit 20 on, scale} becomes {cos, sin}, which
  /// are floats.
  template <std::size_t kCount>
  ROTARY_COLD static void decide(double (&lanes)[3][kCount]) {
    for (std::size_t lane = 0; lane < kCount; ++lane) {
      const auto quarter = static_cast<unsigned>(std::bit_cast<std::uint64_t>(lanes[1][lane]) >> 20 & 3);
      const auto [cos, sin] = nearest_cos_sin(lanes[0][lane], quarter, lanes[2][lane]);
      lanes[0][lane] = static_cast<double>(cos), lanes[1][lane] = static_cast<double>(sin);
    }
  }
};

#endif  // ROTARY_VECTOR_EXTENSIONS

/// Does the instruction set have the fused multiply-add that `CosSinOfAngles` needs to be exact?
inline bool has_vectors_for_angles() {
#if ROTARY_VECTOR_EXTENSIONS
  return true;
#else
  return false;
#endif
}

/// Writes one row from `pairs` angles in radians, each with a scale, laid out as `pairing` lays out features.
/// Within 3.1e-8 (float) or 2e-16 (double) of the cosines and sines of the given angles, which must be below
/// 2^62.
template <class Row>
void cos_sin_of_angles(const double* angles, const double* scale, Index pairs, Pairing pairing, Row* row,
                       Index partner) {
#if ROTARY_VECTOR_EXTENSIONS
  if constexpr (std::is_same_v<Row, float>) {
    if (has_vectors_for_angles()) {
      AngleRun<double> run{angles, Pairing::half, 0, scale, 1, pairs, pairing, row, partner, false};
      compiled<CosSinOfAngles<double>, AngleRun<double>*>()(&run);
      if (run.good) return;
    }
  }
#endif
  // An angle is a position on an axis of frequency 1, so it has an exact phase.
  static const TurnStep radian = turn_step(1);  // not covered: computed while compiling
  for (Index i = 0; i < pairs; ++i) {
    Row* const first = row + (pairing == Pairing::half ? i : 2 * i);
    write_cos_sin(phase_at(FixedPosition(angles[i]), radian), scale[i], first,
                  first + (pairing == Pairing::half ? partner : 1));
  }
}

/// Writes the cosines and sines of a row of `2 * pairs` angles laid out as features are, with one scale for
/// all. False, with the row incomplete, if the angles of a pair differ or one of them is beyond 2^30.
template <class Angle>
bool cos_sin_of_shared_angles([[maybe_unused]] const Angle* angles, [[maybe_unused]] double factor,
                              [[maybe_unused]] Index pairs, [[maybe_unused]] Pairing pairing,
                              [[maybe_unused]] float* row) {
#if ROTARY_VECTOR_EXTENSIONS
  if (has_vectors_for_angles()) {
    AngleRun<Angle> run{angles, pairing, pairs, nullptr, factor, pairs, pairing, row, pairs, false};
    compiled<CosSinOfAngles<Angle>, AngleRun<Angle>*>()(&run);
    return run.good;
  }
#endif
  return false;  // not covered: without vector extensions
}

}  // namespace rotary::inline ROTARY_ABI::kernels
