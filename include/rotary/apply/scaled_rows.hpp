// Rows of a sequence times a tensor of scales: one for every rotated feature.
#pragma once

#include <algorithm>
#include <vector>

#include "../cos_sin_table.hpp"
#include "../tensor/broadcast.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A tensor of scales as it meets a tensor of `rank` axes: [seq, features] belongs to the sequence axis, others are
/// broadcast from the last axis.
template <class S>
StridedView<const S> aligned_scale(const StridedView<const S>& scale, int rank, int seq_axis) {
  if (scale.rank < 1) fail("a scale needs at least one axis, [..., rotary_dim or 1]");
  return scale.rank == 2 ? along_sequence(scale, rank, seq_axis) : with_rank(scale, rank, "a scale");
}

/// The rows of `positions`, each scalar multiplied by the scale of its feature before it is rounded.
template <RowScalar T, class S, class X>
CosSinTable<T> scaled_table(const TurnSteps& steps, const Positions& positions, double factor,
                            const HeadLayout& layout, const StridedView<const S>& scale,
                            const StridedView<const X>& x) {
  const int seq_axis = static_cast<int>(layout.seq_dim), last = x.rank - 1;
  const Index pairs = steps.pairs(), width = 2 * pairs;
  check_magnitude<T>(factor);
  const auto scales = aligned_scale(scale, x.rank, seq_axis);
  if (scales.extent(last) != 1 && scales.extent(last) != width)
    fail("the scale has ", scales.extent(last), " features, there must be 1 or ", width);
  std::vector<Index> shape;
  for (int axis = 0; axis < last; ++axis) {
    if (scales.extent(axis) != 1 && scales.extent(axis) != x.extent(axis))
      fail("a scale of shape ", shape_text(scale), " cannot be broadcast against a tensor of shape ",
           shape_text(x));
    shape.push_back(axis == seq_axis ? x.extent(axis) : x.extent(axis) == 0 ? 0 : scales.extent(axis));
  }
  // The members of a pair may have scales of their own: then each has a cosine and a sine.
  RowStorage<T> rows(shape, RowAxes::broadcast, layout, pairs, /*separate=*/true);
  if (rows.row_count == 0) return std::move(rows).table();
  AlignedVector<double> exact(checked_elements<double>(positions.count(), width));
  kernels::cos_sin_rows(steps, positions, 0, positions.count(), {.factor = 1}, layout.pairing, exact.data());
  const kernels::PairStrides at = kernels::pair_strides(layout.pairing, pairs);
  const Index feature = scales.stride(last);
  // The index of a row, and where along the axes its exact row and its scales are.
  auto row_shape = view_of_ones(exact.data(), last);
  std::copy(shape.begin(), shape.end(), row_shape.extents.begin());
  row_shape.set_axis(seq_axis, row_shape.extent(seq_axis), width);
  Index row = 0;
  for_each_index(
      last,
      [&](Index exact_at, Index from) {
        const double* const of = exact.data() + exact_at;
        T* const to = rows.row(row++);
        for (Index i = 0; i < pairs; ++i) {
          const Index a = i * at.pair, b = a + at.partner;
          const double scale_a = factor * static_cast<double>(scales.data[from + a * feature]);
          const double scale_b = factor * static_cast<double>(scales.data[from + b * feature]);
          to[a] = static_cast<T>(scale_a * of[a]), to[b] = static_cast<T>(scale_a * of[b]);
          to[width + a] = static_cast<T>(scale_b * of[a]), to[width + b] = static_cast<T>(scale_b * of[b]);
        }
      },
      row_shape, scales);
  return std::move(rows).table();
}

}  // namespace rotary::inline ROTARY_ABI::detail
