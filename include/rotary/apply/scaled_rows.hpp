// Rows of a sequence times a tensor of scales: one for every rotated feature.
#pragma once

#include "../broadcat.hpp"
#include "../cos_sin_table.hpp"
#include "window_job.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A tensor of scales as it meets a tensor of `rank` axes: [seq, features] belongs to the sequence axis, others are
/// broadcast from the last axis.
template <class S>
StridedView<const S> aligned_scale(const StridedView<const S>& scale, int rank, int seq_axis) {
  if (scale.rank < 1 || scale.rank > rank)
    fail("a scale of shape ", shape_text(scale), " cannot be broadcast against a tensor of rank ", rank);
  auto view = StridedView<const S>::unset(scale.data, rank);
  view.extents.fill(1);
  view.strides.fill(0);
  const auto set = [&](int axis, int of) {
    view.extents[static_cast<std::size_t>(axis)] = scale.extent(of);
    view.strides[static_cast<std::size_t>(axis)] = scale.extent(of) == 1 ? 0 : scale.stride(of);
  };
  if (scale.rank == 2) {
    set(seq_axis, 0);
    set(rank - 1, 1);
  } else {
    for (int axis = 0; axis < scale.rank; ++axis) set(rank - scale.rank + axis, axis);
  }
  return view;
}

/// The rows of `positions`, each scalar multiplied by the scale of its feature before it is rounded.
template <RowScalar T, class S, class X>
CosSinTable<T> scaled_table(const TurnSteps& steps, const Positions& positions, double factor,
                            const HeadLayout& layout, const StridedView<const S>& scale,
                            const StridedView<const X>& x) {
  const int seq_axis = static_cast<int>(layout.seq_dim), last = x.rank - 1;
  const Index pairs = steps.pairs(), width = 2 * pairs;
  check_window(x, layout.start_index, width);
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
  const Index feature = scales.extent(last) == 1 ? 0 : scales.stride(last);
  std::array<Index, kMaxRank> index{};
  Index from = 0;
  for (Index row = 0; row < rows.row_count; ++row) {
    const double* const of = exact.data() + index[static_cast<std::size_t>(seq_axis)] * width;
    T* const to = rows.row(row);
    for (Index i = 0; i < pairs; ++i) {
      const Index a = i * at.pair, b = a + at.partner;
      const double scale_a = factor * static_cast<double>(scales.data[from + a * feature]);
      const double scale_b = factor * static_cast<double>(scales.data[from + b * feature]);
      to[a] = static_cast<T>(scale_a * of[a]), to[b] = static_cast<T>(scale_a * of[b]);
      to[width + a] = static_cast<T>(scale_b * of[a]), to[width + b] = static_cast<T>(scale_b * of[b]);
    }
    for (int axis = last - 1; axis >= 0; --axis) {
      const auto n = static_cast<std::size_t>(axis);
      from += scales.stride(axis);
      if (++index[n] < shape[n]) break;
      from -= shape[n] * scales.stride(axis);
      index[n] = 0;
    }
  }
  return std::move(rows).table();
}

}  // namespace rotary::inline ROTARY_ABI::detail
