// Views that are broadcast against a tensor: axes of extent 1 and stride 0.
#pragma once

#include "strided_view.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A view of `rank` axes, all of extent 1.
template <class S>
StridedView<S> view_of_ones(S* data, int rank) {
  auto view = StridedView<S>::unset(data, rank);
  view.extents.fill(1);
  view.strides.fill(0);
  return view;
}

/// Gives `axis` the extent and the stride of an axis of another view; extent 1 is broadcast.
template <class S, class Of>
void set_axis(StridedView<S>& view, int axis, const StridedView<Of>& of, int of_axis) {
  const Index extent = of.extent(of_axis);
  view.set_axis(axis, extent, extent == 1 ? 0 : of.stride(of_axis));
}

/// `x` with `rank` axes, aligned from the last: the new ones, in front, have extent 1.
template <class S>
StridedView<S> with_rank(const StridedView<S>& x, int rank, const char* what) {
  const int added = rank - x.rank;
  if (added < 0)
    fail(what, " of shape ", shape_text(x), " cannot be broadcast against a tensor of rank ", rank);
  auto view = view_of_ones(x.data, rank);
  for (int axis = added; axis < rank; ++axis) set_axis(view, axis, x, axis - added);
  return view;
}

/// `x`, [seq, features], as it meets a tensor of `rank` axes of which `seq_axis` is the sequence.
template <class S>
StridedView<S> along_sequence(const StridedView<S>& x, int rank, int seq_axis) {
  auto view = view_of_ones(x.data, rank);
  set_axis(view, seq_axis, x, 0);
  set_axis(view, rank - 1, x, 1);
  return view;
}

}  // namespace rotary::inline ROTARY_ABI::detail
