// Do the elements of views share memory? Asked before anything is written.
#pragma once

#include <array>
#include <cstdint>

#include "strided_view.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template <class Scalar>
Index step_size(const StridedView<Scalar>& view, int axis) {
  return view.stride(axis) < 0 ? -view.stride(axis) : view.stride(axis);
}

/// Has every element of the view an address of its own? True for anything but broadcast or
/// overlapping axes; needed of what is written to.
template <class Scalar>
bool elements_are_distinct(const StridedView<Scalar>& view) {
  if (view.is_nested()) return true;
  // Mostly each axis steps over all that the ones after it span (row-major), or before it (column-major).
  const auto nested = [&](int axis, int end, int step) {
    for (Index span = 1; axis != end; axis += step) {
      if (view.extent(axis) == 1) continue;
      if (view.stride(axis) < span) return false;
      span += (view.extent(axis) - 1) * view.stride(axis);
    }
    return true;
  };
  if (view.empty() || nested(view.rank - 1, -1, -1) || nested(0, view.rank, 1)) return true;
  // Axes from the smallest stride to the largest: each must step over all that the ones before it span.
  std::array<bool, kMaxRank> used{};
  Index span = 1;
  for (;;) {
    int next = -1;
    for (int axis = 0; axis < view.rank; ++axis)
      if (!used[static_cast<std::size_t>(axis)] && view.extent(axis) > 1 &&
          (next < 0 || step_size(view, axis) < step_size(view, next)))
        next = axis;
    if (next < 0) return true;
    used[static_cast<std::size_t>(next)] = true;
    if (step_size(view, next) < span) return false;
    span += (view.extent(next) - 1) * step_size(view, next);
  }
}

struct AddressRange {
  std::uintptr_t first, last;
};

template <class Scalar>
AddressRange address_range(const StridedView<Scalar>& view) {
  const auto start = reinterpret_cast<std::uintptr_t>(view.data);
  AddressRange range{start, start + sizeof(Scalar)};
  for (int axis = 0; axis < view.rank; ++axis) {
    // Unsigned, since an empty view may have extents and strides of any size.
    const auto bytes = static_cast<std::uintptr_t>(view.extent(axis) - 1) *
                       static_cast<std::uintptr_t>(view.stride(axis)) * sizeof(Scalar);
    (static_cast<std::intptr_t>(bytes) < 0 ? range.first : range.last) += bytes;
  }
  return range;
}

template <class A, class B>
bool ranges_are_apart(const StridedView<A>& a, const StridedView<B>& b) {
  const AddressRange of_a = address_range(a), of_b = address_range(b);
  return of_a.last <= of_b.first || of_b.last <= of_a.first;
}

/// Are there indices i into `a` and j into `b` with Σ (i − j) · stride = distance? The strides of both must
/// agree, and each be larger than all that the smaller ones span.
template <class A, class B>
bool is_distance_between(const StridedView<A>& a, const StridedView<B>& b, Index distance,
                         std::array<bool, kMaxRank> used = {}) {
  int largest = -1;
  for (int axis = 0; axis < a.rank; ++axis)
    if (!used[static_cast<std::size_t>(axis)] && (a.extent(axis) > 1 || b.extent(axis) > 1) &&
        (largest < 0 || step_size(a, axis) > step_size(a, largest)))
      largest = axis;
  if (largest < 0) return distance == 0;
  used[static_cast<std::size_t>(largest)] = true;
  const Index step = step_size(a, largest);
  const bool backwards = a.stride(largest) < 0;
  const Index of_a = a.extent(largest), of_b = b.extent(largest);
  const Index furthest = (backwards ? of_b : of_a) - 1, nearest = 1 - (backwards ? of_a : of_b);
  // The other axes span less than one step, so it is the last step before the goal or the first after it.
  const Index before = distance / step - (distance % step < 0 ? 1 : 0);
  for (const Index steps : {before, before + 1})
    if (steps >= nearest && steps <= furthest && is_distance_between(a, b, distance - steps * step, used))
      return true;
  return false;
}

/// Is there an element of `a` in the memory of one of `b`? Views that interleave, such as queries and keys in
/// one buffer, share none. Where strides differ that is hard to tell, and the answer is `if_unknown`.
template <class A, class B>
bool share_elements(const StridedView<A>& a, const StridedView<B>& b, bool if_unknown) {
  if (a.empty() || b.empty() || ranges_are_apart(a, b)) return false;
  constexpr Index kBytes = sizeof(A);
  if (sizeof(A) != sizeof(B) || a.rank != b.rank) return if_unknown;
  StridedView<A> both = a;
  for (int axis = 0; axis < a.rank; ++axis) {
    const Index extent = a.extent(axis) > b.extent(axis) ? a.extent(axis) : b.extent(axis);
    both.set_extent(axis, extent);
    if (extent > 1 && a.stride(axis) != b.stride(axis)) return if_unknown;
  }
  const auto bytes =
      static_cast<Index>(reinterpret_cast<std::uintptr_t>(b.data) - reinterpret_cast<std::uintptr_t>(a.data));
  if (bytes % kBytes != 0 || !elements_are_distinct(both)) return if_unknown;
  return is_distance_between(a, b, bytes / kBytes);
}

/// Do two views of one shape share elements without being the same elements in the same places?
template <class In, class Scalar>
bool overlap_partly(const StridedView<In>& in, const StridedView<Scalar>& out) {
  if (ranges_are_apart(in, out)) return false;  // as mostly
  bool same = in.data == out.data;
  for (int axis = 0; axis < in.rank; ++axis)
    same = same && (in.extent(axis) <= 1 || in.stride(axis) == out.stride(axis));
  return !same && share_elements(in, out, true);
}

}  // namespace rotary::inline ROTARY_ABI::detail
