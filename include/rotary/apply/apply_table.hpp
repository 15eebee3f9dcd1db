// Rows of a table × tensor: which rows belong to which axes.
#pragma once

#include "../cos_sin_table.hpp"
#include "../tensor/parallel.hpp"
#include "window_job.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template <class In>
[[noreturn]] ROTARY_COLD void fail_rows(const StridedView<In>& in, Index extent, int axis) {
  fail("the table has ", extent, " rows along axis ", axis, " of a tensor of shape ", shape_text(in));
}

/// Where the rows of a table are along the axes of a tensor, in scalars from one index to the next.
using RowStrides = std::array<Index, kMaxRank>;

/// The axis of a tensor that axis n of a table's rows belongs to; its sequence is on `seq_axis`.
template <class T, class In>
int axis_of_rows(const CosSinTable<T>& table, int n, const StridedView<In>& in, int seq_axis) {
  const int axes = static_cast<int>(table.shape().size());
  switch (table.axes()) {
    case RowAxes::before_features:
    case RowAxes::broadcast:
      return in.rank - 1 - axes + n;
    case RowAxes::sequence:
      return seq_axis;
    case RowAxes::batch_and_seq:
    case RowAxes::heads_and_seq:
      break;
  }
  if (n == axes - 1) return seq_axis;
  const bool of_batch = table.axes() == RowAxes::batch_and_seq;
  const int axis = of_batch ? 0 : seq_axis == in.rank - 2 ? in.rank - 3 : in.rank - 2;
  if (axis == seq_axis || axis < 0)
    fail("the rows differ along the ", of_batch ? "batch" : "heads", ", a tensor of shape ", shape_text(in),
         " with the sequence on axis ", seq_axis, " has no such axis");
  return axis;
}

/// Throws unless the rows of the table fit the tensor.
template <class T, class In>
RowStrides row_strides_of(const CosSinTable<T>& table, const StridedView<In>& in, int seq_axis) {
  const int axes = static_cast<int>(table.shape().size());
  if (axes > in.rank - 1)
    fail("a table with ", axes, " axes of rows does not fit a tensor of shape ", shape_text(in));
  RowStrides strides{};
  Index stride = table.row_size();
  for (int n = axes - 1; n >= 0; --n) {
    const Index extent = table.shape()[static_cast<std::size_t>(n)];
    const int axis = axis_of_rows(table, n, in, seq_axis);
    // A table of positions has a row for every token; one of heads, or of angles, may share a row.
    const bool shared =
        extent == 1 && (table.axes() == RowAxes::broadcast || table.axes() == RowAxes::heads_and_seq);
    if (!shared && extent != in.extent(axis)) fail_rows(in, extent, axis);
    strides[static_cast<std::size_t>(axis)] = extent == 1 ? 0 : stride;
    stride = checked_product(stride, extent);
  }
  return strides;
}

/// Throws unless the cells of a grid are the last axes of the tensor before its features.
template <class In>
void check_grid(const Positions& positions, const StridedView<In>& in, int seq_axis) {
  const std::vector<Index> shape = positions.shape();
  const int axes = static_cast<int>(shape.size());
  if (axes > in.rank - 1) fail("a grid of ", axes, " axes does not fit a tensor of shape ", shape_text(in));
  for (int n = 0; n < axes; ++n) {
    const int axis = axes == 1 ? seq_axis : in.rank - 1 - axes + n;
    const Index extent = shape[static_cast<std::size_t>(n)];
    if (extent != in.extent(axis))
      fail("the grid has ", extent, " cells along axis ", axis, " of a tensor of shape ", shape_text(in));
  }
}

template <RowScalar T, class In, RotaryScalar X>
void apply_rows(const CosSinTable<T>& table, const StridedView<In>& in, const StridedView<X>& out,
                const RowStrides& strides, const T* rows, Direction direction) {
  auto job = window_job<T>(in, out, table.layout(), direction,
                           [&](int axis) { return strides[static_cast<std::size_t>(axis)]; });
  job.rows = rows;
  job.second_row = table.separate() ? table.layout().rotary_dim : 0;
  kernels::rotate(std::move(job));
}

inline void check_table_direction(Direction direction) {
  if (direction == Direction::forward || direction == Direction::transpose) return;
  check_direction(direction);
  fail("a table cannot tell magnitudes; use Direction::transpose");
}

/// out = rows × in, the axes of the table's rows being what its `RowAxes` say.
template <RowScalar T, class In, RotaryScalar X, ParallelDevice Device = CallingThread>
void apply_table(const CosSinTable<T>& table, const StridedView<In>& in, const StridedView<X>& out,
                 Direction direction = Direction::forward, const Device& device = {}) {
  check_table_direction(direction);
  check_window(in, table.layout().start_index, table.layout().rotary_dim);
  const int seq_axis = sequence_axis(table.layout().seq_dim, in.rank);
  const RowStrides strides = row_strides_of(table, in, seq_axis);
  check_output(in, out);
  if (in.empty()) return;
  if constexpr (std::is_same_v<Device, CallingThread>) {
    apply_rows(table, in, out, strides, table.data(), direction);
  } else {
    in_parts(device, in, seq_axis, [&](int axis, Index begin, Index end) {
      apply_rows(table, in.slice(axis, begin, end - begin), out.slice(axis, begin, end - begin), strides,
                 table.data() + begin * strides[static_cast<std::size_t>(axis)], direction);
    });
  }
}

/// out = rows × in for one token, [heads, head_dim] or [batch, heads, head_dim]: the table has one row, or one for
/// each sequence of the batch.
template <RowScalar T, class In, RotaryScalar X>
void apply_table_to_token(const CosSinTable<T>& table, const StridedView<In>& in, const StridedView<X>& out,
                          Direction direction) {
  check_table_direction(direction);
  check_window(in, table.layout().start_index, table.layout().rotary_dim);
  if (table.rows() != 1 && !(in.rank >= 3 && table.rows() == in.extent(0)))
    fail("the table has ", table.rows(), " rows, one token of each sequence in ", shape_text(in),
         " needs 1, or one for each sequence");
  check_output(in, out);
  if (in.empty()) return;
  RowStrides strides{};
  if (table.rows() > 1) strides[0] = table.row_size();
  apply_rows(table, in, out, strides, table.data(), direction);
}

}  // namespace rotary::inline ROTARY_ABI::detail
