// Rows of cosines and sines from exact phases.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "../phases.hpp"
#include "../positions.hpp"
#include "cos_sin_of_phases.hpp"
#include "nearest_cos_sin.hpp"
#include "rotate_reference.hpp"
#include "simd.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// The magnitude folded into a row at position p: factor · exp(log_scale_i · slope · (p − origin)) for
/// pair i. Plain embeddings have a factor only; XPos has a scale for each pair.
struct Magnitude {
  double factor = 1;
  std::span<const double> log_scale = {};
  double slope = 0, origin = 0;

  double exponent(double position) const {
    return rotary::detail::rounded(slope * rotary::detail::rounded(position - origin));
  }
  /// Every operation is rounded by itself, whatever the compiler's flags; and it calls std::exp, where
  /// -ffast-math would have another function for several pairs at once.
  double at(Index pair, double position) const {
    if (log_scale.empty()) return factor;
    using rotary::detail::rounded;
    const double scale = log_scale[static_cast<std::size_t>(pair)];
    return factor * rounded(std::exp(rounded(scale * exponent(position))));
  }
};

/// Can the factor be that of rows of `Row`: is it finite there?
template <class Row>
bool is_magnitude(const double& factor) {
  return rotary::detail::finite_bits(factor) &&
         std::fabs(factor) <= static_cast<double>(std::numeric_limits<Row>::max());
}

/// Writes scale · cos φ and scale · sin φ: of double within 1.2e-16 · scale, of float the nearest.
template <class Row>
void write_cos_sin(const Phase128& phase, double scale, Row* cos_out, Row* sin_out) {
  if constexpr (std::is_same_v<Row, float>) {
    const auto [cos, sin] = nearest_cos_sin(phase, scale);
    *cos_out = cos, *sin_out = sin;
  } else {
    const auto [cos, sin] = cos_sin(phase);
    *cos_out = scale * cos, *sin_out = scale * sin;
  }
}

/// Writes the row at one place: a coordinate for each axis of `steps`, and `2 * steps.pairs()` numbers laid
/// out as `pairing` lays out features.
template <class Row>
void cos_sin_row_reference(const TurnSteps& steps, std::span<const FixedPosition> coordinates,
                           const Magnitude& magnitude, Pairing pairing, Row* row) {
  const Index pairs = steps.pairs();
  const PairStrides strides = pair_strides(pairing, pairs);
  const double position = static_cast<double>(coordinates[0]);
  for (Index i = 0; i < pairs; ++i) {
    Phase128 phase{};
    for (Index axis = 0; axis < steps.axes(); ++axis)
      phase = phase + steps.phase(axis, i, coordinates[static_cast<std::size_t>(axis)]);
    Row* const cos = row + i * strides.pair;
    write_cos_sin(phase, magnitude.at(i, position), cos, cos + strides.partner);
  }
}

/// Writes the rows of `positions` [begin, end), each as `cos_sin_row_reference` writes it.
template <class Row>
void cos_sin_rows_reference(const TurnSteps& steps, const Positions& positions, Index begin, Index end,
                            const Magnitude& magnitude, Pairing pairing, Row* rows) {
  FixedPosition coordinates[kMaxPositionAxes];
  const auto axes = static_cast<std::size_t>(steps.axes());
  if (steps.pairs() == 0) return;
  for (Index n = begin; n < end; ++n, rows += 2 * steps.pairs()) {
    for (std::size_t axis = 0; axis < axes; ++axis)
      coordinates[axis] = positions.at(n, static_cast<int>(axis));
    cos_sin_row_reference(steps, {coordinates, axes}, magnitude, pairing, rows);
  }
}

#if ROTARY_VECTOR_EXTENSIONS

/// Rows whose phases are made in vectors. Row n has the coordinates [n · axes, (n + 1) · axes), except that
/// with `consecutive` each row after the first is one step along the only axis from the row before.
template <class Row>
struct PhaseRun {
  using LowWord = std::conditional_t<std::is_same_v<Row, float>, double, std::uint64_t>;
  // The steps of all pairs along each axis, `axis_stride` from axis to axis: for float in 2^-64 of a turn, and the
  // rest in radians; for double the high and the low words of 128 bits.
  const std::uint64_t* steps;
  const LowWord* low_steps;
  Index axis_stride, axes;
  const std::int64_t* coordinates;
  // The phases of the first row, in place of its coordinates; or null.
  const std::uint64_t* start;
  const LowWord* low_start;
  const double* scale;  // of every pair, or null: `factor`
  double factor;
  Index pairs, rows;
  bool consecutive;
  Pairing pairing;
  Row* out;
  Index row_size, partner;  // from row to row; from cosines to sines in half pairing
  // What all this was made from: steps, of which the first one here is that of `first_pair`, and the place of the
  // first row if its phases were made pair by pair.
  const TurnSteps* exact_steps;
  Index first_pair;
  const FixedPosition* place;
  double farthest;  // the sum of the sizes of all coordinates, in no row more

  void (*evaluate)(const PhaseRun*);  // the kernel

  /// Of angles below its root the error, of 2^-101 for every unit of position, is not below 16 units in the last
  /// place of a double.
  double least_square() const { return farthest * farthest * 0x1p-102; }

  Phase128 exact_phase(Index row, Index pair) const {
    pair += first_pair;
    const Index from = consecutive ? 0 : row * axes;
    Phase128 phase = consecutive ? row * exact_steps->step(0, pair).fraction() : Phase128{};
    for (Index axis = 0; axis < axes; ++axis)
      phase = phase +
              exact_steps->phase(axis, pair, place ? place[axis] : FixedPosition(coordinates[from + axis]));
    return phase;
  }
};

/// Rows that a kernel makes in one call at most: so few that what it writes, some columns at a time, stays in
/// the first level cache.
inline constexpr Index kRowsAtOnce = 32;

/// Pairs [from, from + count) of all rows of `of` once more, in scalars that are exact enough, written where pair
/// `to` of `at` and those after it stand.
ROTARY_COLD inline void decide_pairs(const PhaseRun<float>& of, Index from, Index count,
                                     const PhaseRun<float>& at, Index to) {
  const PairStrides strides = pair_strides(at.pairing, at.partner);
  for (Index n = 0; n < of.rows; ++n) {
    for (Index i = 0; i < count; ++i) {
      float* const cos = at.out + n * at.row_size + (to + i) * strides.pair;
      write_cos_sin(of.exact_phase(n, from + i), of.scale ? of.scale[from + i] : of.factor, cos,
                    cos + strides.partner);
    }
  }
}

/// Likewise, where `of` has several rows: which are undecided is found out by the kernel, row by row.
ROTARY_COLD inline void decide_rows(const PhaseRun<float>& of, Index from, Index count) {
  PhaseRun<float> row = of;
  row.rows = 1, row.consecutive = false;
  row.pairs = count, row.first_pair += from, row.steps += from, row.low_steps += from;
  if (of.scale) row.scale += from;
  row.out += of.pairing == Pairing::half ? from : 2 * from;
  for (Index n = 0; n < of.rows; ++n, row.out += of.row_size) {
    const std::int64_t next = of.coordinates[0] + n;
    row.coordinates = of.consecutive ? &next : of.coordinates + n * of.axes;
    of.evaluate(&row);
  }
}

/// The kernel: as many pairs as fill a register at a time, in all rows.
template <class Row>
struct CosSinRows {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const PhaseRun<Row>* of) {
    constexpr Index kCount = kLanes<Isa, double>;
    Padded<kCount> padded;
    const PhaseRun<Row>* at = of;
    Index rest = of->pairs % kCount, pairs = of->pairs - rest;
    if (pairs == 0 && rest != 0) at = padded.rest_of(*of, rest), pairs = kCount;
    for (;;) {
      columns<Isa>(*at, pairs, *of, at == of ? 0 : of->pairs - rest);
      if (at != of) return padded.copy_rows(*of, rest);
      if (rest == 0) return;
      at = padded.rest_of(*of, rest), pairs = kCount;
    }
  }

  /// The first `pairs` pairs, which fill registers; in `exact` they come after the first `exact_from`.
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void columns(const PhaseRun<Row>& of, Index pairs,
                                           [[maybe_unused]] const PhaseRun<Row>& exact,
                                           [[maybe_unused]] Index exact_from) {
    constexpr int kCount = kLanes<Isa, double>;
    constexpr bool kFloat = std::is_same_v<Row, float>;
    using Phases = std::conditional_t<kFloat, SplitPhases<kCount>, Phases128<kCount>>;
    using V = Vector<double, kCount>;
    V scale = V{} + of.factor * (kFloat ? kUpwards : 1);
    const bool consecutive = of.consecutive;
    const Pairing pairing = of.pairing;
    const Index rows = of.rows, row_size = of.row_size, partner = of.partner;
    // Undecided floats are looked for when as many registers were made as a column of all rows has.
    [[maybe_unused]] Undecided<kCount> undecided;
    [[maybe_unused]] Index unseen = 0;
    [[maybe_unused]] const double least_square = of.least_square();
    const Index axes = of.axes;
    const std::int64_t first = of.start ? 0 : of.coordinates[0];  // a copy, so that it is converted only once
    for (Index i = 0; i < pairs; i += kCount) {
      const std::int64_t* coordinates = of.coordinates;
      const auto add_other_axes = [&](Phases& phase) ROTARY_INLINE_LAMBDA {
        for (Index axis = 1; axis < axes; ++axis) {
          Phases step, moved;
          step.load(of.steps + axis * of.axis_stride + i, of.low_steps + axis * of.axis_stride + i);
          moved.set_product(step, coordinates[axis]);
          phase.add(moved);
        }
      };
      Phases phase, step;
      step.load(of.steps + i, of.low_steps + i);
      if (of.start) {
        phase.load(of.start + i, of.low_start + i);
      } else {
        phase.set_product(step, first);
        add_other_axes(phase);
      }
      phase.count_quarters();
      if (of.scale) {
        load_bits(of.scale + i, scale);
        if constexpr (kFloat) scale *= kUpwards;
      }
      Row* row = of.out + (pairing == Pairing::half ? i : 2 * i);
      for (Row* const end = row + rows * row_size;;) {
        V cos, sin;
        if constexpr (kFloat) {
          phase.template scaled<Isa>(scale, cos, sin, undecided);
        } else {
          phase.template scaled<Isa>(scale, cos, sin);
        }
        write<Isa>(pairing, cos, sin, row, partner);
        row += row_size;
        if (row == end) break;
        if (consecutive) {
          phase.advance(step);
        } else {
          coordinates += axes;
          phase.set_product(step, coordinates[0]);
          add_other_axes(phase);
          phase.count_quarters();
        }
      }
      if constexpr (kFloat) {
        const Index end = i + kCount;
        if ((end - unseen) * rows >= kRowsAtOnce * kCount || end >= pairs) {
          if (undecided.any(least_square)) [[unlikely]] {
            if (of.rows > 1 && &of == &exact && !of.start) {
              decide_rows(of, unseen, end - unseen);
            } else {
              decide_pairs(exact, exact_from + unseen,
                           std::min(end - unseen, exact.pairs - exact_from - unseen), of, unseen);
            }
          }
          undecided = {};
          unseen = end;
        }
      }
    }
  }

  /// Writes the cosines and sines of as many pairs as fill a register of doubles.
  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void write(Pairing pairing, const V& cos, const V& sin, Row* to,
                                         Index partner) {
    using R = Vector<Row, kSize<V>>;
    const R cosines = __builtin_convertvector(cos, R), sines = __builtin_convertvector(sin, R);
    if (pairing == Pairing::half) {
      store_bits(to, cosines);
      store_bits(to + partner, sines);
      return;
    }
    [&]<int... Lane>(std::integer_sequence<int, Lane...>) ROTARY_INLINE_LAMBDA {
      constexpr int kCount = kSize<V>;
      if constexpr (std::is_same_v<Row, float>) {  // in one register
        store_bits(to, __builtin_shufflevector(cosines, sines, (Lane / 2 + Lane % 2 * kCount)...,
                                               ((kCount + Lane) / 2 + Lane % 2 * kCount)...));
      } else {
        store_bits(to, __builtin_shufflevector(cosines, sines, (Lane / 2 + Lane % 2 * kCount)...));
        store_bits(to + kCount,
                   __builtin_shufflevector(cosines, sines, ((kCount + Lane) / 2 + Lane % 2 * kCount)...));
      }
    }
    (std::make_integer_sequence<int, kSize<V>>());
  }

 private:
  /// The last few pairs of a run, with zeros after them.
  template <Index kCount>
  struct Padded {
    static constexpr std::size_t kSize = kCount;
    using LowWord = typename PhaseRun<Row>::LowWord;
    PhaseRun<Row> run;
    std::uint64_t steps[kMaxPositionAxes * kSize], start[kSize];
    LowWord low_steps[kMaxPositionAxes * kSize], low_start[kSize];
    double scale[kSize];
    Row rows[kRowsAtOnce * 2 * kSize];

    ROTARY_ALWAYS_INLINE const PhaseRun<Row>* rest_of(const PhaseRun<Row>& of, Index count) {
      const Index from = of.pairs - count;
      run = of;
      for (Index axis = 0; axis < of.axes; ++axis) {
        copy(of.steps + axis * of.axis_stride + from, count, steps + axis * kCount);
        copy(of.low_steps + axis * of.axis_stride + from, count, low_steps + axis * kCount);
      }
      run.steps = steps, run.low_steps = low_steps, run.axis_stride = kCount;
      if (of.start) {
        copy(of.start + from, count, start), copy(of.low_start + from, count, low_start);
        run.start = start, run.low_start = low_start;
      }
      if (of.scale) {
        copy(of.scale + from, count, scale);
        run.scale = scale;
      }
      run.out = rows, run.row_size = 2 * kCount, run.partner = kCount;
      return &run;
    }
    ROTARY_ALWAYS_INLINE void copy_rows(const PhaseRun<Row>& of, Index count) const {
      const Index from = of.pairs - count;
      const auto bytes = static_cast<std::size_t>(count) * sizeof(Row);
      for (Index n = 0; n < of.rows; ++n) {
        const Row* const padded = rows + n * 2 * kCount;
        Row* const row = of.out + n * of.row_size;
        if (of.pairing == Pairing::half) {
          std::memcpy(row + from, padded, bytes);
          std::memcpy(row + of.partner + from, padded + kCount, bytes);
        } else {
          std::memcpy(row + 2 * from, padded, 2 * bytes);
        }
      }
    }
    template <class Word>
    ROTARY_ALWAYS_INLINE static void copy(const Word* from, Index count, Word* to) {
      for (Index i = 0; i < kCount; ++i) to[i] = i < count ? from[i] : Word{};
    }
  };
};

namespace detail {

/// Whole, and so near that products of 128 bits take few multiplications.
inline bool is_near(const FixedPosition& position) {
  return position.is_whole() && position.whole >= -(std::int64_t{1} << 31) &&
         position.whole < (std::int64_t{1} << 31);
}

/// Neither so small nor so large that its product with a cosine might not be a normal float. (All others are left to
/// scalars.)
inline bool is_moderate(double scale) {
  const std::uint64_t size = std::bit_cast<std::uint64_t>(scale) & ~(std::uint64_t{1} << 63);
  return size >= std::bit_cast<std::uint64_t>(0x1p-60) && size < std::bit_cast<std::uint64_t>(0x1p60);
}

template <class Row>
PhaseRun<Row> phase_run(const TurnSteps& steps, double factor, Pairing pairing, Row* rows) {
  const Index pairs = steps.pairs();
  PhaseRun<Row> run;
  if constexpr (std::is_same_v<Row, float>) {
    run.steps = steps.word().data(), run.low_steps = steps.rest().data();
  } else {
    run.steps = steps.high().data(), run.low_steps = steps.low().data();
  }
  run.axis_stride = run.pairs = run.partner = pairs;
  run.axes = steps.axes();
  run.coordinates = nullptr;
  run.start = nullptr, run.low_start = nullptr;
  run.scale = nullptr, run.factor = factor;
  run.rows = 1, run.consecutive = false;
  run.pairing = pairing;
  run.out = rows, run.row_size = 2 * pairs;
  run.exact_steps = &steps, run.first_pair = 0, run.place = nullptr, run.farthest = 1;
  run.evaluate = compiled<CosSinRows<Row>, const PhaseRun<Row>*>();
  return run;
}

/// Rows from a place on that is far away or between whole positions, or where every pair has a scale: the
/// phases of the first row, and the scales, are made pair by pair. More rows than one are consecutive, and
/// there are `kRowsAtOnce` at most.
template <class Row>
ROTARY_NOINLINE void cos_sin_rows_pair_by_pair(const TurnSteps& steps,
                                               std::span<const FixedPosition> coordinates, Index count,
                                               const Magnitude& magnitude, Pairing pairing, Row* rows) {
  constexpr Index kChunk = 128;  // pairs at a time, on the stack
  constexpr std::size_t kSize = kChunk;
  constexpr bool kFloat = std::is_same_v<Row, float>;
  std::uint64_t start[kSize];
  typename PhaseRun<Row>::LowWord low_start[kSize];
  double scale[kSize];
  PhaseRun<Row> run = phase_run(steps, magnitude.factor, pairing, rows);
  const double position = static_cast<double>(coordinates[0]);
  run.start = start, run.low_start = low_start;
  run.scale = magnitude.log_scale.empty() ? nullptr : scale;
  run.rows = count, run.consecutive = true;
  run.place = coordinates.data();
  for (Index from = 0; from < steps.pairs(); from += kChunk) {
    run.first_pair = from;
    run.pairs = std::min(kChunk, steps.pairs() - from);
    [[maybe_unused]] bool moderate = true;
    for (Index i = 0; i < run.pairs; ++i) {
      const auto at = static_cast<std::size_t>(i);
      Phase128 phase{};
      for (std::size_t axis = 0; axis < coordinates.size(); ++axis)
        phase = phase + steps.phase(static_cast<Index>(axis), from + i, coordinates[axis]);
      if constexpr (kFloat) {
        const SplitPhase split(phase);
        start[at] = split.word, low_start[at] = split.rest;
      } else {
        start[at] = phase.high, low_start[at] = phase.low;
      }
      if (run.scale) {
        scale[at] = magnitude.at(from + i, position);
        moderate = moderate && is_moderate(scale[at]);
      }
    }
    run.evaluate(&run);
    if constexpr (kFloat)
      if (!moderate) decide_pairs(run, 0, run.pairs, run, 0);
    run.steps += kChunk, run.low_steps += kChunk;
    run.out += pairing == Pairing::half ? kChunk : 2 * kChunk;
  }
}

/// Rows that are a step apart; there is one axis, and one magnitude.
template <class Row>
void cos_sin_rows_consecutive(const TurnSteps& steps, FixedPosition first, Index count, double factor,
                              Pairing pairing, Row* rows) {
  constexpr Index kRows = kRowsAtOnce;
  PhaseRun<Row> run = phase_run(steps, factor, pairing, rows);
  run.consecutive = true;
  run.coordinates = &first.whole;
  for (; count > 0; count -= kRows, first = first + FixedPosition(kRows), run.out += kRows * run.row_size) {
    run.rows = std::min(kRows, count);
    if (is_near(first) && is_near(first + FixedPosition(run.rows - 1))) {
      run.farthest = std::fabs(static_cast<double>(first.whole)) + kRows;
      run.evaluate(&run);
    } else if (std::is_same_v<Row, double>) {
      cos_sin_rows_pair_by_pair(steps, {&first, 1}, run.rows, {.factor = factor}, pairing, run.out);
    } else {  // only whole multiples of a step can be split
      for (Index n = 0; n < run.rows; ++n) {
        const FixedPosition position = first + FixedPosition(n);
        cos_sin_rows_pair_by_pair(steps, {&position, 1}, 1, {.factor = factor}, pairing,
                                  run.out + n * run.row_size);
      }
    }
  }
}

/// Rows of any positions: near ones as many at a time as there is room for their coordinates.
template <class Row>
void cos_sin_rows_listed(const TurnSteps& steps, const Positions& positions, Index begin, Index end,
                         const Magnitude& magnitude, Pairing pairing, Row* rows) {
  constexpr Index kRows = kRowsAtOnce;
  std::int64_t wholes[std::size_t{kRows * kMaxPositionAxes}];
  FixedPosition coordinates[kMaxPositionAxes];
  const auto axes = static_cast<std::size_t>(steps.axes());
  const bool scaled = !magnitude.log_scale.empty();
  PhaseRun<Row> run = phase_run(steps, magnitude.factor, pairing, rows);
  run.coordinates = wholes;
  run.rows = 0;
  const auto finish = [&] {
    if (run.rows > 0) run.evaluate(&run);
    run.out += run.rows * run.row_size;
    run.rows = 0;
    run.farthest = 1;
  };
  for (Index n = begin; n < end; ++n) {
    bool near = !scaled;
    double distance = 0;
    std::int64_t* const at = wholes + run.rows * run.axes;
    for (std::size_t axis = 0; axis < axes; ++axis) {
      coordinates[axis] = positions.at(n, static_cast<int>(axis));
      near = near && is_near(coordinates[axis]);
      at[axis] = coordinates[axis].whole;
      distance += std::fabs(static_cast<double>(at[axis]));
    }
    if (near) {
      run.farthest = std::max(run.farthest, distance);
      if (++run.rows == kRows) finish();
    } else {
      finish();
      cos_sin_rows_pair_by_pair(steps, {coordinates, axes}, 1, magnitude, pairing, run.out);
      run.out += run.row_size;
    }
  }
  finish();
}

}  // namespace detail
#endif

/// Writes the row at one place, fast: the numbers that `cos_sin_row_reference` writes, bit for bit.
///
/// @param coordinates  one for each axis of `steps`, 1 to 4
/// @param row          2 · steps.pairs() numbers, laid out as `pairing` lays out features
template <class Row>
void cos_sin_row(const TurnSteps& steps, std::span<const FixedPosition> coordinates,
                 const Magnitude& magnitude, Pairing pairing, Row* row) {
#if ROTARY_VECTOR_EXTENSIONS
  if (!detail::is_moderate(magnitude.factor)) [[unlikely]]
    return cos_sin_row_reference(steps, coordinates, magnitude, pairing, row);
  std::int64_t wholes[kMaxPositionAxes];
  bool near = magnitude.log_scale.empty();
  double distance = 1;
  for (std::size_t axis = 0; axis < coordinates.size(); ++axis) {
    near = near && detail::is_near(coordinates[axis]);
    wholes[axis] = coordinates[axis].whole;
    distance += std::fabs(static_cast<double>(wholes[axis]));
  }
  if (!near) return detail::cos_sin_rows_pair_by_pair(steps, coordinates, 1, magnitude, pairing, row);
  PhaseRun<Row> run = detail::phase_run(steps, magnitude.factor, pairing, row);
  run.coordinates = wholes;
  run.farthest = distance;
  run.evaluate(&run);
#else
  cos_sin_row_reference(steps, coordinates, magnitude, pairing, row);
#endif
}

/// Writes the rows of `positions` [begin, end), each as `cos_sin_row` writes it: a row depends on its
/// coordinates alone.
template <class Row>
void cos_sin_rows(const TurnSteps& steps, const Positions& positions, Index begin, Index end,
                  const Magnitude& magnitude, Pairing pairing, Row* rows) {
#if ROTARY_VECTOR_EXTENSIONS
  if (begin == end || steps.pairs() == 0) return;
  if (!detail::is_moderate(magnitude.factor)) [[unlikely]]
    return cos_sin_rows_reference(steps, positions, begin, end, magnitude, pairing, rows);
  if (positions.is_consecutive() && steps.axes() == 1 && magnitude.log_scale.empty())
    return detail::cos_sin_rows_consecutive(steps, positions.at(begin), end - begin, magnitude.factor,
                                            pairing, rows);
  detail::cos_sin_rows_listed(steps, positions, begin, end, magnitude, pairing, rows);
#else
  cos_sin_rows_reference(steps, positions, begin, end, magnitude, pairing, rows);
#endif
}

}  // namespace rotary::inline ROTARY_ABI::kernels
