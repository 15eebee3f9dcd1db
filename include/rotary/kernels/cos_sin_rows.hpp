// Rows of cosines and sines from exact phases.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "../phases.hpp"
#include "../positions.hpp"
#include "rotate_reference.hpp"
#include "simd.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// The magnitude folded into a row at position p: factor · exp(log_scale_i · slope · (p − origin)) for
/// pair i. Plain embeddings have a factor only; XPos has a scale for each pair.
struct Magnitude {
  double factor = 1;
  std::span<const double> log_scale = {};
  double slope = 0, origin = 0;

  double exponent(double position) const { return slope * (position - origin); }
  double at(Index pair, double position) const {
    if (log_scale.empty()) return factor;
    return factor * std::exp(log_scale[static_cast<std::size_t>(pair)] * exponent(position));
  }
};

/// Writes the rows of `positions` [begin, end), each of 2 · pairs numbers laid out as `pairing` lays out
/// features, from phases of 128 bits: within 1.2e-16 of the truth before they are rounded to `Row`.
template <class Row>
void cos_sin_rows_reference(const TurnSteps& steps, const Positions& positions, Index begin, Index end,
                            const Magnitude& magnitude, Pairing pairing, Row* rows) {
  const Index pairs = steps.pairs();
  const PairStrides strides = pair_strides(pairing, pairs);
  for (Index n = begin; n < end; ++n, rows += 2 * pairs) {
    const double position = static_cast<double>(positions.at(n));
    for (Index i = 0; i < pairs; ++i) {
      Phase128 phase{};
      for (Index axis = 0; axis < steps.axes(); ++axis)
        phase = phase + steps.phase(axis, i, positions.at(n, static_cast<int>(axis)));
      const auto [cos, sin] = cos_sin(phase);
      const double scale = magnitude.at(i, position);
      rows[i * strides.pair] = static_cast<Row>(scale * cos);
      rows[i * strides.pair + strides.partner] = static_cast<Row>(scale * sin);
    }
  }
}

#if ROTARY_VECTOR_EXTENSIONS

/// Rows of float. The phases of the first row, in 2^-64 of a turn, are `start`, or `first` · `step` where
/// that is null; they grow by `step` from row to row.
struct PhaseRun {
  const std::uint64_t* start;
  std::int64_t first;
  const std::uint64_t* step;
  const double* scale;  // of every pair, or null
  double factor;
  Index pairs, rows;
  Pairing pairing;
  float* out;
  Index row_size, partner;  // from row to row; from cosines to sines in half pairing
};

/// Cosines and sines of several phases at once, in double, each within 6e-11 before it is rounded to float:
/// half a unit in a float's last place is 500 times that.
struct CosSinOfPhases {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const PhaseRun* of) {
    constexpr int kLanesOf = kLanes<Isa, double>;
    Index i = 0;
    for (; i + kLanesOf <= of->pairs; i += kLanesOf)
      columns<Isa>(of, of->start ? of->start + i : nullptr, of->step + i, of->scale ? of->scale + i : nullptr,
                   i, [](auto* to, const auto& v) ROTARY_INLINE_LAMBDA { store_bits(to, v); });
    if (i == of->pairs) return;
    // The last few pairs are padded, and only they are stored.
    const auto count = static_cast<std::size_t>(of->pairs - i);
    std::uint64_t start[kLanesOf] = {}, step[kLanesOf] = {};
    double scale[kLanesOf] = {};
    if (of->start) std::memcpy(start, of->start + i, count * sizeof *start);
    std::memcpy(step, of->step + i, count * sizeof *step);
    if (of->scale) std::memcpy(scale, of->scale + i, count * sizeof *scale);
    columns<Isa>(of, of->start ? start : nullptr, step, of->scale ? scale : nullptr, i,
                 [&](float* to, const auto& v)
                     ROTARY_INLINE_LAMBDA { std::memcpy(to, &v, count * (sizeof v / kLanesOf)); });
  }

  /// As many pairs as fill a register, from pair `i` on, in all rows.
  template <class Isa, class Store>
  ROTARY_ALWAYS_INLINE static void columns(const PhaseRun* of, const std::uint64_t* start,
                                           const std::uint64_t* steps, const double* scales, Index i,
                                           const Store& store_to) {
    constexpr int kLanesOf = kLanes<Isa, double>;
    using F = Vector<float, kLanesOf>;
    Vector<std::uint64_t, kLanesOf> phase, step;
    Vector<double, kLanesOf> scale;
    load_bits(steps, step);
    if (start) {
      load_bits(start, phase);
    } else {
      phase = step * static_cast<std::uint64_t>(of->first);
    }
    if (scales) {
      load_bits(scales, scale);
    } else {
      scale = Vector<double, kLanesOf>{} + of->factor;
    }
    float* row = of->out + (of->pairing == Pairing::half ? i : 2 * i);
    for (Index n = 0; n < of->rows; ++n, row += of->row_size, phase += step) {
      F cos, sin;
      evaluate<Isa>(phase, scale, cos, sin);
      if (of->pairing == Pairing::half) {
        store_to(row, cos);
        store_to(row + of->partner, sin);
      } else {
        Vector<float, 2 * kLanesOf> both;
        interleave(cos, sin, both);
        store_to(row, both);
      }
    }
  }

  template <class F, class G>
  ROTARY_ALWAYS_INLINE static void interleave(const F& cos, const F& sin, G& both) {
    [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
      both = __builtin_shufflevector(cos, sin, (Lane / 2 + Lane % 2 * kSize<F>)...);
    }
    (std::make_integer_sequence<int, kSize<G>>());
  }

  /// Of phases in 2^-64 of a turn.
  template <class Isa, class U, class V, class F>
  ROTARY_ALWAYS_INLINE static void evaluate(const U& phase, const V& scale, F& cos_out, F& sin_out) {
    // To the nearest quarter turn, whose number is now in the top two bits; what is left lies within an
    // eighth of it.
    const U turned = phase + (std::uint64_t{1} << 61);
    // 52 of its bits become a double by way of the exponent of 2^52, and radians.
    const U bits = ((turned & ((std::uint64_t{1} << 62) - 1)) >> 10) | 0x4330000000000000u;
    V x;
    load_bits(&bits, x);
    x = (x - (0x1p52 + 0x1p51)) * (6.283185307179586476925 * 0x1p-54);
    polynomials<Isa>(x, turned, scale, cos_out, sin_out);
  }

  /// Of x radians beyond the quarter turn whose number is in the top two bits of `quarter`.
  template <class Isa, class U, class V, class F>
  ROTARY_ALWAYS_INLINE static void polynomials(const V& x, const U& quarter, const V& scale, F& cos_out,
                                               F& sin_out) {
    const V z = x * x;
    // Polynomials of least error on ±π/4, with 1 exact at 0: off by 2.4e-12 and 5.4e-11.
    V sin = V{} + 0x1.6c898869dee6dp-19, cos = V{} + 0x1.99343089c4b7ep-16;
    horner<Isa>(z, sin, -0x1.a00e0e257363fp-13);
    horner<Isa>(z, cos, -0x1.6c087e8b60e0bp-10);
    horner<Isa>(z, sin, 0x1.1111062049100p-7);
    horner<Isa>(z, cos, 0x1.55553e106d6f7p-5);
    horner<Isa>(z, sin, -0x1.555555480c1f6p-3);
    horner<Isa>(z, cos, -0x1.ffffffd0c62dcp-2);
    horner<Isa>(z, sin, 1);
    horner<Isa>(z, cos, 1);
    sin = sin * x;
    // An odd quarter exchanges them; sin is negative in the quarters 2 and 3, cos in 1 and 2.
    U of_cos, of_sin;
    load_bits(&cos, of_cos);
    load_bits(&sin, of_sin);
    const U low_bit_first = quarter << 1;
    Vector<std::int64_t, kSize<V>> is_odd_below_0;
    load_bits(&low_bit_first, is_odd_below_0);
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    const U cos_bits =
        (is_odd_below_0 < 0 ? of_sin : of_cos) ^ ((quarter + (std::uint64_t{1} << 62)) & kSign);
    const U sin_bits = (is_odd_below_0 < 0 ? of_cos : of_sin) ^ (quarter & kSign);
    load_bits(&cos_bits, cos);
    load_bits(&sin_bits, sin);
    cos_out = __builtin_convertvector(cos * scale, F);
    sin_out = __builtin_convertvector(sin * scale, F);
  }

  /// sum = sum · z + next.
  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void horner(const V& z, V& sum, double next) {
    V c = V{} + next;
    multiply_add<Isa>(sum, z, c);
    sum = c;
  }
};

namespace detail {

/// Whole, and so near that a step rounded to 2^-64 of a turn is off by no more than 4e-10 rad: a float cannot
/// show it.
inline bool is_near(const FixedPosition& position) {
  return position.is_whole() && position.whole >= -(std::int64_t{1} << 31) &&
         position.whole < (std::int64_t{1} << 31);
}

/// The phase that `position` adds along one axis, in 2^-64 of a turn. Farther out than that, and between
/// whole positions, all 128 bits are used.
inline std::uint64_t phase64(const TurnSteps& steps, Index axis, Index pair, const FixedPosition& position) {
  if (is_near(position))
    return static_cast<std::uint64_t>(position.whole) * steps.nearest(axis)[static_cast<std::size_t>(pair)];
  const Phase128 phase = steps.phase(axis, pair, position);
  return phase.high + (phase.low >> 63);
}

inline void cos_sin_rows_of_float(const TurnSteps& steps, const Positions& positions, Index begin, Index end,
                                  const Magnitude& magnitude, Pairing pairing, float* rows) {
  const Index pairs = steps.pairs();
  const auto evaluate = compiled<CosSinOfPhases, const PhaseRun*>();
  PhaseRun run{
      nullptr,   0,    steps.nearest().data(), nullptr, magnitude.factor, pairs, end - begin, pairing, rows,
      2 * pairs, pairs};
  if (begin == end || pairs == 0) return;
  // Consecutive near positions differ by one step, and adding it is exact.
  const FixedPosition first = positions.at(begin);
  if (positions.is_consecutive() && steps.axes() == 1 && magnitude.log_scale.empty() && is_near(first) &&
      is_near(first + FixedPosition(end - 1 - begin))) {
    constexpr Index kRows = 32;  // so that what is written a few columns at a time stays in cache
    for (Index n = begin; n < end; n += kRows, run.out += kRows * 2 * pairs) {
      run.first = first.whole + (n - begin);
      run.rows = std::min(kRows, end - n);
      evaluate(&run);
    }
    return;
  }
  constexpr Index kChunk = 128;  // pairs whose phases are made together, on the stack
  std::uint64_t start[kChunk];
  double scale[kChunk];
  run.start = start;
  run.scale = magnitude.log_scale.empty() ? nullptr : scale;
  run.rows = 1;
  for (Index n = begin; n < end; ++n, rows += 2 * pairs) {
    const double position = static_cast<double>(positions.at(n));
    for (Index from = 0; from < pairs; from += kChunk) {
      run.pairs = std::min(kChunk, pairs - from);
      for (Index i = 0; i < run.pairs; ++i) {
        start[i] = 0;
        for (Index axis = 0; axis < steps.axes(); ++axis)
          start[i] += phase64(steps, axis, from + i, positions.at(n, static_cast<int>(axis)));
        if (run.scale) scale[i] = magnitude.at(from + i, position);
      }
      run.step = start;  // not used: there is one row
      run.out = rows + (pairing == Pairing::half ? from : 2 * from);
      evaluate(&run);
    }
  }
}

}  // namespace detail
#endif

/// The same rows, fast for float: within 3.1e-8 of the truth after rounding, at any position. A row depends
/// on its position alone.
template <class Row>
void cos_sin_rows(const TurnSteps& steps, const Positions& positions, Index begin, Index end,
                  const Magnitude& magnitude, Pairing pairing, Row* rows) {
#if ROTARY_VECTOR_EXTENSIONS
  if constexpr (std::is_same_v<Row, float>)
    return detail::cos_sin_rows_of_float(steps, positions, begin, end, magnitude, pairing, rows);
#endif
  cos_sin_rows_reference(steps, positions, begin, end, magnitude, pairing, rows);
}

}  // namespace rotary::inline ROTARY_ABI::kernels
