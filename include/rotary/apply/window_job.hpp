// What every rotation demands of its tensors, and the kernel's job for a window of their features.
#pragma once

#include <optional>

#include "../core/head_layout.hpp"
#include "../kernels/cos_sin_rows.hpp"
#include "../kernels/rotate.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// What a job takes from the layout and the direction.
template <class X, class T>
ROTARY_ALWAYS_INLINE void set_layout(kernels::RotationJob<X, T>& job, const HeadLayout& layout,
                                     Direction direction, Index features) {
  const bool forward = direction == Direction::forward;
  if (!forward) check_direction(direction);  // calls whose rows are cached check nothing before
  const Pairing written = layout.written_pairing();
  job.row_pairing = layout.pairing;
  job.in_pairing = forward ? layout.pairing : written;
  job.out_pairing = forward ? written : layout.pairing;
  job.negate_sin = !forward;
  job.pairs = layout.rotary_dim / 2;
  job.untouched_before = layout.start_index;
  job.untouched_after = features - layout.start_index - layout.rotary_dim;
}

/// The job that rotates the window of `layout`, its other axes and its rows still missing. `In` is X or const X: in place
/// both views are the same object, and nothing is copied.
template <class T, class In, class X>
ROTARY_ALWAYS_INLINE void set_window(kernels::RotationJob<X, T>& job, const StridedView<In>& in,
                                     const StridedView<X>& out, const HeadLayout& layout,
                                     Direction direction) {
  const int features = in.rank - 1;
  job.in_feature = in.stride(features);
  job.out_feature = out.stride(features);
  job.in = in.data + layout.start_index * job.in_feature;
  job.out = out.data + layout.start_index * job.out_feature;
  set_layout(job, layout, direction, in.extent(features));
}

/// The job that rotates the window of `layout` for every index into the other axes; a step along one of these is
/// `row_stride(axis)` scalars in the rows, which the job lacks.
template <class T, class In, class X, class RowStride>
kernels::RotationJob<X, T> window_job(const StridedView<In>& in, const StridedView<X>& out,
                                      const HeadLayout& layout, Direction direction,
                                      const RowStride& row_stride) {
  kernels::RotationJob<X, T> job;
  set_window(job, in, out, layout, direction);
  for (int axis = 0; axis < in.rank - 1; ++axis)
    job.add_axis({in.extent(axis), in.stride(axis), out.stride(axis), row_stride(axis)});
  return job;
}

template <class In>
[[noreturn]] ROTARY_COLD void fail_window(StridedView<In> in, Index start, Index width) {
  if (in.rank < 2)
    fail("a tensor to rotate needs at least two axes, [seq, head_dim], found ", shape_text(in));
  if (start < 0) fail("start_index is ", start, ", it must not be negative");
  fail(width, " features from start_index ", start, " on are to rotate, but the last axis of the tensor ",
       shape_text(in), ", which holds the features, has only ", in.extent(in.rank - 1));
}
/// Has every head the features [start, start + width)?
template <class In>
ROTARY_ALWAYS_INLINE bool has_window(const StridedView<In>& in, Index start, Index width) {
  return in.rank >= 2 && start >= 0 && start <= in.extent(in.rank - 1) - width;
}
/// Throws unless the features [start, start + width) are there.
template <class In>
void check_window(const StridedView<In>& in, Index start, Index width) {
  if (!has_window(in, start, width)) fail_window(in, start, width);
}

/// Throws unless `out`, which is not `in`, has its shape, and either is in the same memory or shares none.
template <class In, class X>
ROTARY_NOINLINE void check_other_output(const StridedView<In>& in, const StridedView<X>& out) {
  if (!same_shape(in, out))
    fail("the tensor to write to has shape ", shape_text(out), ", it must have ", shape_text(in));
  if (overlap_partly(in, out))
    fail("the tensors to read and to write overlap; they must be the same or apart");
}
/// Likewise, or one view for both: in place.
template <class In, class X>
void check_output(const StridedView<In>& in, const StridedView<X>& out) {
  if (static_cast<const void*>(&in) != &out) check_other_output(in, out);
}

/// Queries that are written before keys are read must not be in their place.
template <class Q, class K>
void check_apart(const StridedView<Q>& queries, const StridedView<K>& keys) {
  if (!ranges_are_apart(queries, keys) && share_elements(queries, keys, false))
    fail("queries and keys share memory, they would be rotated twice; they must be apart");
}

ROTARY_COLD inline int checked_sequence_axis(Index seq_dim, int rank) {
  const int axis = resolve_axis(seq_dim, rank, "seq_dim");
  if (axis == rank - 1)
    fail("seq_dim is ", seq_dim, ", the last axis of a tensor of rank ", rank, ", which holds the features");
  return axis;
}
/// The sequence axis as a number from 0. Throws if there is none, and on the last, which holds the features.
ROTARY_ALWAYS_INLINE int sequence_axis(Index seq_dim, int rank) {
  if (seq_dim < 0) [[likely]] {
    const Index axis = seq_dim + rank;
    if (axis >= 0 && axis < rank - 1) return static_cast<int>(axis);
  }
  return checked_sequence_axis(seq_dim, rank);
}

/// The magnitude of the rows of a rotation in `direction` whose forward magnitude is `factor`.
inline double directed(double factor, Direction direction) {
  if (direction != Direction::inverse) return factor;
  if (!finite_bits(factor)) fail("the magnitude is ", factor, ", it must be finite");
  if (is_equal(factor, 0.0)) fail("the magnitude is 0, a rotation with it cannot be undone");
  return 1 / factor;
}
inline kernels::Magnitude directed(kernels::Magnitude magnitude, Direction direction) {
  magnitude.factor = directed(magnitude.factor, direction);
  if (direction == Direction::inverse) magnitude.slope = -magnitude.slope;
  return magnitude;
}

template <RowScalar T>
[[noreturn]] ROTARY_COLD void fail_magnitude(double factor) {
  fail("the magnitude of the rotation is ", factor, ", it must be finite in the type of the rows");
}
/// Throws unless the magnitude is finite in the type of the rows.
template <RowScalar T>
void check_magnitude(const double& factor) {
  if (!kernels::is_magnitude<T>(factor)) fail_magnitude<T>(factor);
}

}  // namespace rotary::inline ROTARY_ABI::detail
