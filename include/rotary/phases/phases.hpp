// Angles as integer numbers of turns: position × frequency without a rounding, and the cosine and sine of it.
#pragma once

#include <cstdint>
#include <span>

#include "../core/aligned_vector.hpp"
#include "../core/double_double.hpp"
#include "../core/error.hpp"
#include "../frequencies.hpp"
#include "../positions.hpp"

namespace rotary::inline ROTARY_ABI {

/// An angle of either sign, for `cos_sin`: (high · 2^64 + low) · 2^-128 of a turn. It wraps at a full turn.
struct Phase128 {
  std::uint64_t high = 0;  ///< in 2^-64 of a turn
  std::uint64_t low = 0;   ///< the rest, in 2^-128 of a turn

  friend constexpr bool operator==(const Phase128&, const Phase128&) = default;
};

/// a + b, exactly, without whole turns.
constexpr Phase128 operator+(const Phase128& a, const Phase128& b) {
  const std::uint64_t low = a.low + b.low;
  return {a.high + b.high + (low < a.low ? 1u : 0u), low};
}

/// −a, exactly, without whole turns.
constexpr Phase128 operator-(const Phase128& a) { return {~a.high + (a.low == 0 ? 1u : 0u), 0 - a.low}; }

/// a − b, exactly, without whole turns.
constexpr Phase128 operator-(const Phase128& a, const Phase128& b) { return a + -b; }

namespace detail {

/// a · b in full, from products of 32 bits.
constexpr Phase128 portable_product(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t mask = 0xffffffff;
  const std::uint64_t low = (a & mask) * (b & mask);
  const std::uint64_t middle = (a >> 32) * (b & mask) + (low >> 32);
  const std::uint64_t other_middle = (a & mask) * (b >> 32) + (middle & mask);
  return {(a >> 32) * (b >> 32) + (middle >> 32) + (other_middle >> 32), (other_middle << 32) | (low & mask)};
}

/// a · b in full.
constexpr Phase128 full_product(std::uint64_t a, std::uint64_t b) {
#if defined(__SIZEOF_INT128__)
  __extension__ typedef unsigned __int128 Wide;
  const Wide product = static_cast<Wide>(a) * b;
  return {static_cast<std::uint64_t>(product >> 64), static_cast<std::uint64_t>(product)};
#else
  return portable_product(a, b);
#endif
}

}  // namespace detail

/// n times an angle, exactly, without whole turns.
constexpr Phase128 operator*(std::int64_t n, const Phase128& phase) {
  const auto factor = static_cast<std::uint64_t>(n);
  Phase128 product = detail::full_product(factor, phase.low);
  product.high += factor * phase.high;
  if (n < 0) product.high -= phase.low;  // then `factor` is n + 2^64
  return product;
}

/// A frequency in turns per unit of position, of `turn_step`: whole + (high · 2^64 + low) · 2^-128.
struct TurnStep {
  std::int64_t whole = 0;  ///< whole turns, rounded down
  std::uint64_t high = 0;  ///< the rest in 2^-64 of a turn
  std::uint64_t low = 0;   ///< what is left of the rest, in 2^-128 of a turn

  /// The step without its whole turns.
  constexpr Phase128 fraction() const { return {high, low}; }

  friend constexpr bool operator==(const TurnStep&, const TurnStep&) = default;
};

/// −step, exactly.
constexpr TurnStep operator-(const TurnStep& step) {
  const Phase128 fraction = -step.fraction();
  const bool borrow = fraction != Phase128{};
  return {-step.whole - (borrow ? 1 : 0), fraction.high, fraction.low};
}

/// a + b, exactly.
constexpr TurnStep operator+(const TurnStep& a, const TurnStep& b) {
  const Phase128 sum = a.fraction() + b.fraction();
  const bool carry = sum.high < a.high || (sum.high == a.high && sum.low < a.low);
  return {a.whole + b.whole + (carry ? 1 : 0), sum.high, sum.low};
}

namespace detail {

/// A number of turns of at most 2^62, rounded to 2^-128.
inline TurnStep to_turn_step(double turns) {
  const double size = std::fabs(turns);
  const double whole = std::floor(size);
  const double high_part = (size - whole) * 0x1p64;
  const double high = std::floor(high_part);
  const double low = std::round((high_part - high) * 0x1p64);  // below 2^64: only what is below 2^53 rounds
  const TurnStep step{static_cast<std::int64_t>(whole), static_cast<std::uint64_t>(high),
                      static_cast<std::uint64_t>(low)};
  return turns < 0 ? -step : step;
}

}  // namespace detail

/// A frequency in radians per unit of position, converted into turns: f / 2π within 2^-125 + 2^-160 |f|.
/// Throws std::invalid_argument on NaN and on 2^62 turns and more.
///
/// @code
///   const rotary::TurnStep step = rotary::turn_step(1.0);          // 1 / 2π of a turn
///   const auto [cos, sin] = rotary::cos_sin(rotary::phase_at(3, step));   // cos 3, sin 3
/// @endcode
inline TurnStep turn_step(const DoubleDouble& frequency) {
  // 1 / 2π in three doubles. Each product is exact, and so is their sum, which is one of integers.
  constexpr double inverse_two_pi[3] = {0x1.45f306dc9c883p-3, -0x1.6b01ec5417056p-57,
                                        -0x1.6447e493ad4cep-111};
  if (!isfinite(frequency) || std::fabs(frequency.hi * inverse_two_pi[0]) >= 0x1p62)
    detail::fail("a frequency is ", frequency.hi, " radians per position, it must be below 2^62 turns");
  TurnStep step;
  for (const double part : {frequency.hi, frequency.lo}) {
    for (const double factor : inverse_two_pi) {
      const DoubleDouble product = detail::two_product(part, factor);
      step = step + detail::to_turn_step(product.hi) + detail::to_turn_step(product.lo);
    }
  }
  return step;
}

/// position · step, without whole turns: exact for whole positions, of any size and sign, so that phase(m) −
/// phase(n) = phase(m − n) bit for bit; else within 2^-127 of a turn. `turn_step` has an example.
/// The error is that of the step times the position, 2^-98 of the angle plus 2^-125 of a turn per position:
/// 2^-80 rad at position 131,071. Floats then round correctly: of 75 million tested cosines and sines, none
/// is closer than 2^-50, relative to itself, to a point halfway between two floats.
constexpr Phase128 phase_at(const FixedPosition& position, const TurnStep& step) {
  Phase128 phase = position.whole * step.fraction();
  if (position.fraction != 0) {
    const std::uint64_t part = position.fraction;
    phase = phase + detail::full_product(part, step.high) +
            Phase128{0, detail::full_product(part, step.low).high};
    phase.high += part * static_cast<std::uint64_t>(step.whole);  // part · 2^-64 · whole: a multiple of 2^-64
  }
  return phase;
}

/// An angle as a multiple of 2^-54 of a turn and a small rest, for vectors of doubles: see `TurnSteps::word`.
struct SplitPhase {
  std::uint64_t word;  ///< in 2^-64 of a turn; its last ten bits are 0
  double rest;         ///< in radians, at most 2^-52.3, within a few units in its last place

  /// Splits an angle at the nearest multiple of 2^-54 of a turn, so that the rest has either sign.
  explicit SplitPhase(const Phase128& phase) : word((phase.high + 512) & ~std::uint64_t{1023}) {
    // Both parts of the rest must have the same sign, or they would cancel.
    const auto high = static_cast<std::int64_t>(phase.high - word + (phase.low >> 63));
    const double low = detail::rounded(static_cast<double>(static_cast<std::int64_t>(phase.low)) * 0x1p-64);
    rest = detail::rounded(detail::rounded(static_cast<double>(high) + low) * 0x1.921fb54442d18p-62);
  }
};

/// The steps of all pairs and axes, 40 bytes each: all that an embedding stores to compute its cosines at any
/// position. Throws std::invalid_argument on invalid frequencies.
///
/// @code
///   const rotary::TurnSteps steps(rotary::language_frequencies(128));
///   const auto [cos, sin] = rotary::cos_sin(steps.phase(0, 3, 1000000));  // pair 3 at position 10^6
/// @endcode
class TurnSteps {
 public:
  /// The steps of `frequencies`, in turns.
  explicit TurnSteps(const Frequencies& frequencies) : axes_(frequencies.axes), pairs_(frequencies.pairs()) {
    detail::check(frequencies);
    const std::size_t count = frequencies.values.size();
    high_.reserve(count), low_.reserve(count), whole_.reserve(count);
    word_.reserve(count), rest_.reserve(count);
    for (const DoubleDouble& frequency : frequencies.values) {
      const TurnStep step = turn_step(frequency);
      high_.push_back(step.high), low_.push_back(step.low), whole_.push_back(step.whole);
      any_whole_ = any_whole_ || step.whole != 0;
    }
    split_steps();
  }

  /// The number of coordinates of a token.
  Index axes() const { return axes_; }
  /// The number of pairs that rotate.
  Index pairs() const { return pairs_; }
  /// Is some step negative, or at least a turn? If not, all entries of `whole` are 0.
  bool any_whole() const { return any_whole_; }

  /// `TurnStep::high` of each pair along an axis.
  std::span<const std::uint64_t> high(Index axis = 0) const& { return of_axis(high_, axis); }
  /// `TurnStep::low` of each pair along an axis.
  std::span<const std::uint64_t> low(Index axis = 0) const& { return of_axis(low_, axis); }
  /// `SplitPhase::word` of the step of each pair along an axis.
  std::span<const std::uint64_t> word(Index axis = 0) const& { return of_axis(word_, axis); }
  /// `SplitPhase::rest` of the step of each pair along an axis.
  std::span<const double> rest(Index axis = 0) const& { return of_axis(rest_, axis); }
  /// `TurnStep::whole` of each pair along an axis.
  std::span<const std::int64_t> whole(Index axis = 0) const& { return of_axis(whole_, axis); }
  std::span<const std::uint64_t> high(Index axis = 0) const&& = delete;  ///< of a temporary: it would dangle
  std::span<const std::uint64_t> low(Index axis = 0) const&& = delete;   ///< of a temporary: it would dangle
  std::span<const std::uint64_t> word(Index axis = 0) const&& = delete;  ///< of a temporary: it would dangle
  std::span<const double> rest(Index axis = 0) const&& = delete;         ///< of a temporary: it would dangle
  std::span<const std::int64_t> whole(Index axis = 0) const&& = delete;  ///< of a temporary: it would dangle

  /// The turns of a pair per unit of the coordinate along `axis`.
  TurnStep step(Index axis, Index pair) const {
    const auto at = static_cast<std::size_t>(axis * pairs_ + pair);
    return {whole_[at], high_[at], low_[at]};
  }

  /// The sums of the steps over all axes, for tokens whose coordinates are all equal, such as text in M-RoPE.
  /// At a whole position the phase of the sum is the sum of the phases, bit for bit. At a fractional one this
  /// holds if every pair has a step along one axis only, as in M-RoPE; else it is within 2^-125 of a turn.
  ///
  /// @code
  ///   const auto sections = rotary::mrope_axes_chunked({16, 24, 24});
  ///   const rotary::TurnSteps steps(rotary::on_axes(rotary::language_frequencies(128), sections, 3));
  ///   const rotary::TurnSteps text = steps.summed();  // text.axes() == 1
  /// @endcode
  [[nodiscard]] TurnSteps summed() const {
    TurnSteps sums(pairs_);
    for (std::size_t at = 0; at < high_.size(); ++at) {
      const std::size_t pair = at % sums.high_.size();
      const Phase128 sum = Phase128{sums.high_[pair], sums.low_[pair]} + Phase128{high_[at], low_[at]};
      const bool carry = sum.high < high_[at] || (sum.high == high_[at] && sum.low < low_[at]);
      // Whole turns count modulo 2^64, as in a phase.
      sums.whole_[pair] =
          static_cast<std::int64_t>(static_cast<std::uint64_t>(sums.whole_[pair]) +
                                    static_cast<std::uint64_t>(whole_[at]) + (carry ? 1u : 0u));
      sums.high_[pair] = sum.high, sums.low_[pair] = sum.low;
    }
    sums.split_steps();
    for (const std::int64_t whole : sums.whole_) sums.any_whole_ = sums.any_whole_ || whole != 0;
    return sums;
  }

  /// The phase that coordinate `position` along `axis` contributes to a pair.
  Phase128 phase(Index axis, Index pair, const FixedPosition& position) const {
    return phase_at(position, step(axis, pair));
  }

 private:
  /// One axis, and all steps 0.
  explicit TurnSteps(Index pairs) : axes_(1), pairs_(pairs) {
    const auto count = static_cast<std::size_t>(pairs);
    high_.resize(count, 0), low_.resize(count, 0), whole_.resize(count, 0);
  }

  void split_steps() {
    for (std::size_t at = 0; at < high_.size(); ++at) {
      const SplitPhase split(Phase128{high_[at], low_[at]});
      word_.push_back(split.word), rest_.push_back(split.rest);
    }
  }

  template <class Word>
  std::span<const Word> of_axis(const detail::AlignedVector<Word>& words, Index axis) const {
    return {words.data() + axis * pairs_, static_cast<std::size_t>(pairs_)};
  }

  Index axes_, pairs_;
  detail::AlignedVector<std::uint64_t> high_, low_, word_;
  detail::AlignedVector<double> rest_;
  detail::AlignedVector<std::int64_t> whole_;
  bool any_whole_ = false;
};

/// A cosine and a sine of the same phase, as `cos_sin` returns them.
struct CosSin {
  double cos, sin;  ///< within 1e-16 of the exact values
};

namespace detail {

/// n < 2^52 as a double, from its bits: the conversion's false dependency halved the speed of cos_sin.
constexpr double exact_double(std::uint64_t n) {
  return rounded(std::bit_cast<double>(n | std::uint64_t{0x433} << 52) - 0x1p52);
}

/// −phase or phase.
constexpr Phase128 negated_if(std::uint64_t negate, const Phase128& phase) {
  const std::uint64_t mask = 0 - negate;
  return {(phase.high ^ mask) + (negate & (phase.low == 0 ? 1u : 0u)), (phase.low ^ mask) + negate};
}

/// c0 + z (c1 + z (c2 + ...)).
ROTARY_ALWAYS_INLINE constexpr double polynomial(double, double coefficient) { return coefficient; }
template <class... Rest>
ROTARY_ALWAYS_INLINE constexpr double polynomial(double z, double coefficient, Rest... rest) {
  return rounded(coefficient + rounded(z * polynomial(z, rest...)));
}

/// cos and sin of x + x_low, x from 0 to π/4 and x_low below its last place: Taylor's series to x^16, x^17.
ROTARY_ALWAYS_INLINE constexpr CosSin cos_sin_of_octant(double x, double x_low) {
  const double z = rounded(x * x), half_z = 0.5 * z;
  const double sin_series = polynomial(z, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                                       1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000);
  const double cos_series = polynomial(z, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
                                       -1.0 / 87178291200, 1.0 / 20922789888000);
  // x + [x_low (1 − z/2) − x³/6 + ...]: the bracket is small, so its roundings hardly count.
  const double low_part = rounded(x_low - rounded(x_low * half_z));
  const double sin = rounded(x + rounded(low_part + rounded(rounded(x * z) * sin_series)));
  // 1 − z/2 + [z²/24 − ... − x · x_low] + the rounding error of 1 − z/2.
  const double head = rounded(1 - half_z);
  const double lost = rounded(rounded(1 - head) - half_z);
  const double tail = rounded(rounded(rounded(z * z) * cos_series) - rounded(x * x_low));
  return {rounded(head + rounded(lost + tail)), sin};
}

}  // namespace detail

/// Cosine and sine of an angle, within 1e-16 of the truth everywhere, 0 and ±1 exact at quarter turns;
/// cos(−φ) = cos φ and sin(−φ) = −sin φ hold bit for bit. Every operation is rounded separately, in a fixed
/// order, so that the bits are the same on every machine and under every compiler flag.
///
/// @code
///   constexpr auto quarter = rotary::cos_sin({.high = std::uint64_t{1} << 62});   // cos 0, sin 1
/// @endcode
constexpr CosSin cos_sin(const Phase128& phase) {
  // Fold onto the upper half turn, then onto the distance to the nearest quarter turn: at most an eighth.
  // Phases look random, so nothing here branches on them.
  const std::uint64_t lower_half = phase.high >> 63;
  const Phase128 folded = detail::negated_if(lower_half, phase);
  const std::uint64_t octant = folded.high >> 61;  // 0 to 3, and 4 for the half turn itself
  const std::uint64_t quarter = (octant + 1) >> 1;
  const Phase128 distance = detail::negated_if(octant & 1, {folded.high - (quarter << 62), folded.low});

  // In radians as x + x_low. The first 27 bits times 25 bits of 2π are exact; the rest is 2^-26 of that.
  const double head = detail::exact_double(distance.high >> 35);
  const double rest = detail::rounded(detail::exact_double(distance.high & 0x7ffffffff) +
                                      detail::exact_double(distance.low >> 12) * 0x1p-52);
  const double head_angle = detail::rounded(head * 0x1.921fb5p-27);
  const double rest_angle = detail::rounded(detail::rounded(head * 0x1.110b4611a6263p-53) +
                                            detail::rounded(rest * 0x1.921fb54442d18p-62));
  const DoubleDouble angle = detail::fast_two_sum(head_angle, rest_angle);
  const CosSin of_distance = detail::cos_sin_of_octant(angle.hi, angle.lo);

  // Odd quarters exchange cos and sin; then the signs are set.
  const auto cos = std::bit_cast<std::uint64_t>(of_distance.cos),
             sin = std::bit_cast<std::uint64_t>(of_distance.sin);
  const std::uint64_t change = (cos ^ sin) & (0 - (quarter & 1));
  return {std::bit_cast<double>(cos ^ change ^ ((octant + 2) >> 2 << 63)),
          std::bit_cast<double>(sin ^ change ^ (lower_half << 63))};
}

}  // namespace rotary::inline ROTARY_ABI
