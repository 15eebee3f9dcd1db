// The expected result of every benchmark: rows in double from the reference, rotated by the reference kernel.
#pragma once

#include <vector>

#include <rotary/kernels/cos_sin_rows.hpp>
#include <rotary/kernels/rotate_reference.hpp>

#include "shapes.hpp"

namespace bench {

/// The parameters of a rotation.
struct Rotation {
  Pairing pairing = Pairing::half;
  Index rotary_dim = 0;
  int seq_axis = 0;
  rotary::FixedPosition offset = 0;
  rotary::Direction direction = rotary::Direction::forward;
};

/// The type of the rows that rotate tensors of `X`.
template <class X>
using RowOf = std::conditional_t<std::is_same_v<X, double>, double, float>;

/// Rows of cosines and sines at the given positions.
template <class Row>
std::vector<Row> reference_rows(const rotary::Frequencies& frequencies, const rotary::Positions& positions,
                                Pairing pairing) {
  std::vector<Row> rows(static_cast<std::size_t>(positions.count() * 2 * frequencies.pairs()));
  rotary::kernels::cos_sin_rows_reference(rotary::TurnSteps(frequencies), positions, 0, positions.count(),
                                          {.factor = frequencies.magnitude}, pairing, rows.data());
  return rows;
}

/// Rotates `x` in place; `row_strides` are the strides of `rows` along the axes of `x`.
template <class X, class Row>
void rotate_by_reference(const rotary::StridedView<X>& x, const Rotation& how, const Row* rows,
                         const std::array<Index, rotary::kMaxRank>& row_strides) {
  rotary::kernels::RotationJob<X, Row> job;
  const Index pairs = how.rotary_dim / 2, feature = x.stride(x.rank - 1);
  job.in = x.data;
  job.out = x.data;
  job.rows = rows;
  job.pairs = pairs;
  job.set_pairing(how.pairing);
  job.in_feature = job.out_feature = feature;
  job.negate_sin = how.direction != rotary::Direction::forward;
  job.axis_count = x.rank - 1;
  for (int axis = 0; axis < job.axis_count; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    job.axes[at] = {x.extent(axis), x.stride(axis), x.stride(axis), row_strides[at]};
  }
  rotary::kernels::rotate_reference(job);
}

/// Rotates a sequence in place.
template <class X>
void rotate_by_reference(const rotary::StridedView<X>& x, const Rotation& how) {
  const auto positions = rotary::Positions::consecutive(x.extent(how.seq_axis), how.offset);
  const auto rows =
      reference_rows<RowOf<X>>(rotary::language_frequencies(how.rotary_dim), positions, how.pairing);
  std::array<Index, rotary::kMaxRank> row_strides{};
  row_strides[static_cast<std::size_t>(how.seq_axis)] = how.rotary_dim;
  rotate_by_reference(x, how, rows.data(), row_strides);
}

}  // namespace bench
