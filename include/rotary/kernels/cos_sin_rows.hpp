// Rows of cosines and sines from exact phases.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "../phases/phases.hpp"
#include "../positions.hpp"
#include "cos_sin_kernel.hpp"
#include "nearest_cos_sin.hpp"
#include "rotate_reference.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// The magnitude by which a row is multiplied: factor · exp(log_scale_i · slope · (p − origin)) for pair i at
/// position p. Plain embeddings have a factor only; XPos has a scale for each pair.
struct Magnitude {
  double factor = 1;
  std::span<const double> log_scale = {};
  double slope = 0, origin = 0;

  double exponent(double position) const {
    return rotary::detail::rounded(slope * rotary::detail::rounded(position - origin));
  }
  /// Every operation is rounded separately, under any compiler flags, and std::exp is called for each pair,
  /// where -ffast-math would call another function for several pairs.
  double at(Index pair, double position) const {
    if (log_scale.empty()) return factor;
    using rotary::detail::rounded;
    const double scale = log_scale[static_cast<std::size_t>(pair)];
    return factor * rounded(std::exp(rounded(scale * exponent(position))));
  }
};

/// Is the factor finite in the type of the rows?
template <class Row>
bool is_magnitude(const double& factor) {
  return rotary::detail::finite_bits(factor) &&
         std::fabs(factor) <= static_cast<double>(std::numeric_limits<Row>::max());
}

/// Writes the row of one token, 2 · steps.pairs() scalars laid out as `pairing` lays out features. Its
/// position has a coordinate for each axis of `steps`.
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

namespace detail {

/// Is the position whole, and at most 2^31 in size, so that its 128-bit product with a step takes few
/// multiplications?
inline bool is_near(const FixedPosition& position) {
  return position.is_whole() && position.whole >= -(std::int64_t{1} << 31) &&
         position.whole < (std::int64_t{1} << 31);
}

/// Is the product of `scale` with any cosine but 0 a normal float? (Other scales take the scalar functions.)
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

/// Rows that start at a far or a fractional position, or have a scale for every pair: the phases of the first
/// row, and the scales, are computed pair by pair. Several rows must be consecutive, and at most
/// `kRowsAtOnce`.
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

/// Rows of consecutive positions on one axis, with one magnitude.
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

/// Rows of any positions. Near ones are computed in blocks as large as the buffer for their coordinates.
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

/// Writes the row of one token, with the bits of `cos_sin_row_reference`.
///
/// @param coordinates  one for each axis of `steps`, 1 to 4
/// @param row          2 · steps.pairs() scalars, laid out as `pairing` lays out features
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
