// The kernel that writes rows of cosines and sines, compiled for every instruction set.
#pragma once

#include <algorithm>
#include <cstring>

#include "../phases/phases.hpp"
#include "../positions.hpp"
#include "cos_sin_of_phases128.hpp"
#include "nearest_cos_sin.hpp"
#include "rotate_reference.hpp"
#include "simd_memory.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// Rows whose phases are computed in vectors. Row n has the coordinates [n · axes, (n + 1) · axes), except
/// that with `consecutive` each row after the first is one step along the only axis from the row before.
template <class Row>
struct PhaseRun {
  using LowWord = std::conditional_t<std::is_same_v<Row, float>, double, std::uint64_t>;
  // The steps of all pairs along each axis, `axis_stride` from axis to axis: for float in 2^-64 of a turn,
  // and the rest in radians; for double the high and the low words of 128 bits.
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
  // The exact steps, of which the first one here is that of `first_pair`, and the coordinates of the first
  // row if its phases were computed pair by pair.
  const TurnSteps* exact_steps;
  Index first_pair;
  const FixedPosition* place;
  double farthest;  // the largest sum of the sizes of a row's coordinates

  void (*evaluate)(const PhaseRun*);  // the kernel

  /// The square of the smallest angle whose error, 2^-101 per unit of position, is below 16 units in the last
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

/// The largest number of rows in one call of a kernel: what it writes, some columns at a time, stays in the
/// first level cache.
inline constexpr Index kRowsAtOnce = 32;

/// Recomputes pairs [from, from + count) of all rows of `of` by exact scalar functions, and writes them to
/// pairs `to` and following of `at`.
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

/// `decide_pairs` for several rows: the kernel finds out, row by row, which are undecided.
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

/// The kernel: a register of pairs at a time, in all rows.
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

  /// The first `pairs` pairs, which fill registers. In `exact` they start at pair `exact_from`.
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
    // Undecided floats are looked for once per column of all rows.
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
          moved.template set_product<Isa>(step, coordinates[axis]);
          phase.add(moved);
        }
      };
      Phases phase, step;
      step.load(of.steps + i, of.low_steps + i);
      if (of.start) {
        phase.load(of.start + i, of.low_start + i);
      } else {
        phase.template set_product<Isa>(step, first);
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
          phase.template set_product<Isa>(step, coordinates[0]);
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

  /// Writes the cosines and sines of one register of doubles.
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
  /// The remainder of a run, padded with zeros.
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

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
