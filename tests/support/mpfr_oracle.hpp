// The truth: real numbers of 320 bits from MPFR, and cosines of position × frequency, one by one or by the
// million.
#pragma once

#include <mpfr.h>
#include <rotary/core/double_double.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace rotary::testing {

/// A real number of 320 bits.
class Real {
 public:
  static constexpr mpfr_prec_t kBits = 320;

  Real() { mpfr_init2(value_, kBits), mpfr_set_zero(value_, 1); }
  Real(double x) : Real() { mpfr_set_d(value_, x, MPFR_RNDN); }
  Real(int x) : Real(static_cast<double>(x)) {}
  Real(const DoubleDouble& x) : Real() {
    mpfr_set_d(value_, x.hi, MPFR_RNDN), mpfr_add_d(value_, value_, x.lo, MPFR_RNDN);
  }
  Real(const Real& other) : Real() { mpfr_set(value_, other.value_, MPFR_RNDN); }
  Real& operator=(const Real& other) { return mpfr_set(value_, other.value_, MPFR_RNDN), *this; }
  ~Real() { mpfr_clear(value_); }

  static Real of_integer(std::int64_t n) {
    Real x(static_cast<double>(n >> 32));
    return x * Real(0x1p32) + Real(static_cast<double>(n & 0xffffffff));
  }
  static Real pi() {
    Real x;
    return mpfr_const_pi(x.value_, MPFR_RNDN), x;
  }

  friend Real operator+(const Real& a, const Real& b) { return of(mpfr_add, a, b); }
  friend Real operator-(const Real& a, const Real& b) { return of(mpfr_sub, a, b); }
  friend Real operator*(const Real& a, const Real& b) { return of(mpfr_mul, a, b); }
  friend Real operator/(const Real& a, const Real& b) { return of(mpfr_div, a, b); }
  friend Real pow(const Real& a, const Real& b) { return of(mpfr_pow, a, b); }
  friend Real exp(const Real& a) { return of(mpfr_exp, a); }
  friend Real log(const Real& a) { return of(mpfr_log, a); }
  friend Real sqrt(const Real& a) { return of(mpfr_sqrt, a); }
  friend Real cos(const Real& a) { return of(mpfr_cos, a); }
  friend Real sin(const Real& a) { return of(mpfr_sin, a); }
  friend Real abs(const Real& a) { return of(mpfr_abs, a); }
  friend Real floor(const Real& a) {
    Real result;
    return mpfr_floor(result.value_, a.value_), result;
  }
  friend bool operator==(const Real& a, const Real& b) { return mpfr_equal_p(a.value_, b.value_) != 0; }
  friend bool operator<(const Real& a, const Real& b) { return mpfr_less_p(a.value_, b.value_) != 0; }

  explicit operator double() const { return mpfr_get_d(value_, MPFR_RNDN); }
  explicit operator long double() const { return mpfr_get_ld(value_, MPFR_RNDN); }
  explicit operator float() const { return mpfr_get_flt(value_, MPFR_RNDN); }

 private:
  static Real of(int (*function)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t), const Real& a) {
    Real result;
    return function(result.value_, a.value_, MPFR_RNDN), result;
  }
  static Real of(int (*function)(mpfr_ptr, mpfr_srcptr, mpfr_srcptr, mpfr_rnd_t), const Real& a,
                 const Real& b) {
    Real result;
    return function(result.value_, a.value_, b.value_, MPFR_RNDN), result;
  }

  mpfr_t value_;
};

/// |x − truth|.
template <class T>
double error_of(const T& x, const Real& truth) {
  return static_cast<double>(abs(Real(x) - truth));
}

/// |x − truth| / |truth|.
template <class T>
double relative_error_of(const T& x, const Real& truth) {
  return static_cast<double>(abs((Real(x) - truth) / truth));
}

/// theta^(−2i/dim), i < dim/2.
inline std::vector<Real> real_language_frequencies(double theta, int dim) {
  std::vector<Real> frequencies;
  for (int i = 0; i < dim / 2; ++i) frequencies.push_back(pow(Real(theta), Real(-2 * i) / Real(dim)));
  return frequencies;
}

/// Cosines and sines of position × frequency for whole positions below 2^33, some fifty million a second, by
/// a method that has nothing in common with the library's.
///
/// A position is three digits of 11 bits. The rotations by every digit of every place are tabulated from
/// 320-bit numbers, and three of them are multiplied: in `long double`, so that where it has 64 bits the
/// error is below 4e-19.
class FastOracle {
 public:
  struct Rotation {
    long double cos, sin;
  };

  explicit FastOracle(const std::vector<Real>& frequencies) {
    rotations_.reserve(frequencies.size() * kPlaces * kDigits);
    for (const Real& frequency : frequencies)
      for (std::size_t place = 0; place < kPlaces; ++place) {
        const Real angle = frequency * Real(std::ldexp(1.0, static_cast<int>(11 * place)));
        const Real unit_cos = cos(angle), unit_sin = sin(angle);
        Real digit_cos = 1, digit_sin = 0;
        for (std::size_t digit = 0; digit < kDigits; ++digit) {
          rotations_.push_back({static_cast<long double>(digit_cos), static_cast<long double>(digit_sin)});
          const Real next_cos = digit_cos * unit_cos - digit_sin * unit_sin;
          digit_sin = digit_cos * unit_sin + digit_sin * unit_cos;
          digit_cos = next_cos;
        }
      }
  }

  Rotation operator()(std::size_t pair, std::int64_t position) const {
    const std::uint64_t size =
        position < 0 ? 0 - static_cast<std::uint64_t>(position) : static_cast<std::uint64_t>(position);
    const Rotation* places = rotations_.data() + pair * kPlaces * kDigits;
    const Rotation a = places[size % kDigits], b = places[kDigits + (size >> 11) % kDigits];
    const Rotation c = places[2 * kDigits + (size >> 22) % kDigits];
    const Rotation result = product(product(a, b), c);
    return {result.cos, position < 0 ? -result.sin : result.sin};
  }

 private:
  static constexpr std::size_t kPlaces = 3, kDigits = 2048;

  static Rotation product(const Rotation& a, const Rotation& b) {
    return {a.cos * b.cos - a.sin * b.sin, a.cos * b.sin + a.sin * b.cos};
  }

  std::vector<Rotation> rotations_;  // [pair][place][digit]
};

}  // namespace rotary::testing
