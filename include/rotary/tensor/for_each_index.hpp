// The one loop over the indices of strided views.
#pragma once

#include <algorithm>
#include <array>
#include <tuple>

#include "strided_view.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Calls visit(offset, ...) for every index into the first `axes` axes of `view`, the last of them fastest. An offset is
/// that of the index in `view` and in each of `others`, in elements; along an axis that is broadcast their stride is 0.
template <class Visit, class View, class... Others>
void for_each_index(int axes, const Visit& visit, const View& view, const Others&... others) {
  if (view.empty()) return;  // whose other extents may be of any size
  std::array<Index, kMaxRank> index{};
  std::array<Index, 1 + sizeof...(Others)> offsets{};
  const auto move = [&](int axis, Index steps) {
    std::size_t n = 0;
    offsets[n++] += steps * view.stride(axis);
    ((offsets[n++] += steps * others.stride(axis)), ...);
  };
  for (;;) {
    std::apply(visit, offsets);
    int axis = axes - 1;
    for (; axis >= 0; --axis) {
      Index& at = index[static_cast<std::size_t>(axis)];
      move(axis, 1);
      if (++at < view.extent(axis)) break;
      move(axis, -at);
      at = 0;
    }
    if (axis < 0) return;
  }
}

/// to = from, element by element, for views of one shape.
template <class From, class To>
void copy_elements(const StridedView<From>& from, const StridedView<To>& to) {
  const int last = to.rank - 1;
  if (last < 0) return static_cast<void>(*to.data = static_cast<To>(*from.data));
  const Index count = to.extent(last), step = from.stride(last), to_step = to.stride(last);
  for_each_index(
      last,
      [&](Index at, Index from_at) {
        To* const out = to.data + at;
        const From* const in = from.data + from_at;
        if (step == 1 && to_step == 1) {
          std::transform(in, in + count, out, [](const From& x) { return static_cast<To>(x); });
        } else {
          for (Index n = 0; n < count; ++n) out[n * to_step] = static_cast<To>(in[n * step]);
        }
      },
      to, from);
}

}  // namespace rotary::inline ROTARY_ABI::detail
