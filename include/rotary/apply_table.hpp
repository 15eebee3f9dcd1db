// Rows at hand × tensor: which rows belong to which axes.
#pragma once

#include <optional>

#include "rotate_sequence.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The axis of a tensor that axis n of a table's rows belongs to.
template <class T>
int axis_of_rows(const CosSinTable<T>& table, int n, int rank, std::optional<Index> seq_dim,
                 Index by_default) {
  const int axes = static_cast<int>(table.shape().size());
  if (table.axes() == RowAxes::before_features && axes != 1) return rank - 1 - axes + n;
  const int seq_axis = sequence_axis(seq_dim, by_default, rank);
  if (n == axes - 1) return seq_axis;
  const int axis = table.axes() == RowAxes::batch_and_seq ? 0 : seq_axis == rank - 2 ? rank - 3 : rank - 2;
  if (axis == seq_axis || axis < 0)
    fail("the rows differ along the ", table.axes() == RowAxes::batch_and_seq ? "batch" : "heads",
         ", a tensor of rank ", rank, " with the sequence on axis ", seq_axis, " has no such axis");
  return axis;
}

/// out = rows × in, the axes of the table's rows being what `RowAxes` says.
template <RowScalar T, class In, RotaryScalar X>
void apply_table(const CosSinTable<T>& table, const StridedView<In>& in, const StridedView<X>& out,
                 Index start, std::optional<Index> seq_dim, Direction direction = Direction::forward,
                 Index by_default = -2) {
  check_window(in, start, 2 * table.pairs());
  const int axes = static_cast<int>(table.shape().size());
  if (axes > in.rank - 1)
    fail("a table with ", axes, " axes of rows does not fit a tensor of shape ", shape_text(in));
  Index stride = table.row_size();
  std::array<Index, kMaxRank> row_strides{};
  for (int n = axes - 1; n >= 0; --n) {
    const Index extent = table.shape()[static_cast<std::size_t>(n)];
    const int axis = axis_of_rows(table, n, in.rank, seq_dim, by_default);
    if (extent != 1 && extent != in.extent(axis))
      fail("the table has ", extent, " rows along axis ", axis, " of a tensor of shape ", shape_text(in));
    row_strides[static_cast<std::size_t>(axis)] = extent == 1 ? 0 : stride;
    stride = checked_product(stride, extent);
  }
  check_output(in, out);
  if (in.empty()) return;
  auto job = window_job<T>(in, out, start, table.pairs(), table.pairing(),
                           [&](int axis) { return row_strides[static_cast<std::size_t>(axis)]; });
  job.rows = table.data();
  job.second_row = table.separate() ? 2 * table.pairs() : 0;
  job.negate_sin = direction != Direction::forward;
  kernels::rotate(std::move(job));
}

}  // namespace rotary::inline ROTARY_ABI::detail
