// TokenAxes: a tensor with contiguous features in the form of the common calls, and its job in few instructions.
#pragma once

#include "window_job.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A tensor with contiguous features as [outer, tokens, inner, features]: the form of the common calls, for which
/// `set_contiguous_job` makes the job in fewer instructions than `window_job`. Of one token all heads are `inner`.
template <class X>
struct TokenAxes {
  X* data;
  Index outer = 1, tokens = 1, inner = 1, features = 0;
  Index outer_stride = 0, token_stride = 0, inner_stride = 0;
  /// Has the tensor this form? Then it is not empty, its elements are distinct, and its sizes fit.
  bool fits = true;

  static TokenAxes none() {
    TokenAxes axes{nullptr};
    axes.fits = false;
    return axes;
  }
  /// A row-major tensor of Eigen's.
  template <int kRank, class Extents>
  ROTARY_ALWAYS_INLINE static TokenAxes of(X* data, const Extents& extents, int seq_axis) {
    TokenAxes axes{data};
    axes.features = static_cast<Index>(extents[kRank - 1]);
    Index stride = axes.features;
    axes.fits = stride > 0;
    // Written out: a loop over the axes would keep the extents in memory.
    [&]<int... N>(std::integer_sequence<int, N...>) ROTARY_INLINE_LAMBDA {
      (axes.add_contiguous(static_cast<Index>(extents[kRank - 2 - N]), kRank - 2 - N, seq_axis, stride), ...);
    }
    (std::make_integer_sequence<int, kRank - 1>());
    axes.fits = axes.fits && stride <= PTRDIFF_MAX / Index{sizeof(X)};
    axes.merge_heads();
    return axes;
  }
  /// Any view.
  ROTARY_ALWAYS_INLINE static TokenAxes of(const StridedView<X>& view, int seq_axis) {
    TokenAxes axes{view.data};
    const int last = view.rank - 1;
    axes.fits = view.is_nested() && last > 0 && view.stride(last) == 1;
    if (!axes.fits) return axes;
    axes.features = view.extent(last);
    for (int axis = last - 1; axis >= 0; --axis)
      axes.add(view.extent(axis), view.stride(axis), axis, seq_axis);
    axes.merge_heads();
    return axes;
  }

  /// Bytes from the first element to the one after the last.
  Index bytes() const {
    return ((outer - 1) * outer_stride + (tokens - 1) * token_stride + (inner - 1) * inner_stride +
            features) *
           Index{sizeof(X)};
  }

 private:
  ROTARY_ALWAYS_INLINE void add_contiguous(Index extent, int axis, int seq_axis, Index& stride) {
    const Index own_stride = stride;
    fits = fits && extent > 0 && multiplied(stride, extent, stride);
    if (fits) add(extent, own_stride, axis, seq_axis);
  }
  ROTARY_ALWAYS_INLINE void add(Index extent, Index stride, int axis, int seq_axis) {
    if (axis == seq_axis) {
      tokens = extent, token_stride = stride;
    } else if (axis > seq_axis) {
      merge(extent, stride, inner, inner_stride);
    } else {
      merge(extent, stride, outer, outer_stride);
    }
  }
  ROTARY_ALWAYS_INLINE void merge(Index extent, Index stride, Index& merged, Index& merged_stride) {
    if (extent == 1) return;
    if (merged == 1) {
      merged_stride = stride;
    } else if (stride != merged * merged_stride) {
      fits = false;
    }
    merged *= extent;
  }
  ROTARY_ALWAYS_INLINE void merge_heads() {
    if (tokens != 1) return;
    merge(outer, outer_stride, inner, inner_stride);
    outer = 1;
  }
};

/// The first element, as the kernels see it; const if the elements are.
template <class X>
ROTARY_ALWAYS_INLINE auto* canonical_data(X& x) {
  if constexpr (is_view<X>) {
    using S = std::remove_pointer_t<decltype(x.data)>;
    return reinterpret_cast<std::conditional_t<std::is_const_v<S>, const Scalar<X>, Scalar<X>>*>(x.data);
  } else {
    using S = std::remove_pointer_t<decltype(x.data())>;
    return reinterpret_cast<std::conditional_t<std::is_const_v<S>, const Scalar<X>, Scalar<X>>*>(x.data());
  }
}

/// A view of elements as the kernels see them, without a check; views of Eigen's scalars are passed on as they are.
template <class X>
ROTARY_ALWAYS_INLINE decltype(auto) unchecked_view_of(X& x) {
  if constexpr (is_view<X> && std::is_same_v<Scalar<X>, Element<X>>) {
    return (x);
  } else if constexpr (is_view<X>) {
    return canonical(x);
  } else {
    auto view = StridedView<std::remove_pointer_t<decltype(canonical_data(x))>>::unset(canonical_data(x), 2);
    view.set_axis(0, x.rows(), x.rowStride());
    view.set_axis(1, x.cols(), x.colStride());
    return view;
  }
}

/// The axes of a tensor of sequences.
template <class X>
ROTARY_ALWAYS_INLINE auto token_axes_of(X& x, Index seq_dim) {
  using S = std::remove_pointer_t<decltype(canonical_data(x))>;
  using Axes = TokenAxes<S>;
  const auto axis = [&](int rank) ROTARY_INLINE_LAMBDA {
    const Index seq_axis = seq_dim < 0 ? seq_dim + rank : seq_dim;
    return seq_axis >= 0 && seq_axis < rank - 1 ? static_cast<int>(seq_axis) : -1;
  };
  if constexpr (is_tensor<X>) {
    constexpr int kRank = static_cast<int>(Eigen::internal::traits<std::remove_cv_t<X>>::NumDimensions);
    const int seq_axis = axis(kRank);
    if (!is_contiguous_type<X> || seq_axis < 0) return Axes::none();
    return Axes::template of<kRank>(canonical_data(x), x.dimensions(), seq_axis);
  } else {
    const auto& view = unchecked_view_of(x);
    const int seq_axis = axis(view.rank);
    return seq_axis < 0 ? Axes::none() : Axes::of(view, seq_axis);
  }
}

/// The axes of a tensor that is one token, [..., heads, head_dim].
template <class X>
ROTARY_ALWAYS_INLINE auto head_axes_of(X& x) {
  using S = std::remove_pointer_t<decltype(canonical_data(x))>;
  using Axes = TokenAxes<S>;
  if constexpr (is_tensor<X>) {
    constexpr int kRank = static_cast<int>(Eigen::internal::traits<std::remove_cv_t<X>>::NumDimensions);
    if (!is_contiguous_type<X>) return Axes::none();
    return Axes::template of<kRank>(canonical_data(x), x.dimensions(), -1);
  } else {
    if constexpr (is_column<X>()) {
      return Axes::of(as_heads(unchecked_view_of(x), x), -1);
    } else {
      return Axes::of(unchecked_view_of(x), -1);
    }
  }
}

/// Have two tensors one shape? A cheap answer for the common kinds; false where there is none.
template <class X, class Y>
ROTARY_ALWAYS_INLINE bool have_one_shape(const X& x, const Y& y) {
  if constexpr (is_tensor<X> && is_tensor<Y>) {
    constexpr int kRank = static_cast<int>(Eigen::internal::traits<std::remove_cv_t<X>>::NumDimensions);
    if constexpr (kRank != static_cast<int>(Eigen::internal::traits<std::remove_cv_t<Y>>::NumDimensions)) {
      return false;
    } else {
      const auto in = x.dimensions();
      const auto out = y.dimensions();
      return [&]<std::size_t... N>(std::index_sequence<N...>) ROTARY_INLINE_LAMBDA {
        return (... && (static_cast<Index>(in[N]) == static_cast<Index>(out[N])));
      }
      (std::make_index_sequence<static_cast<std::size_t>(kRank)>());
    }
  } else if constexpr (is_tensor<X> || is_tensor<Y>) {
    return false;
  } else {
    return same_shape(unchecked_view_of(x), unchecked_view_of(y));
  }
}

/// The job that rotates `in` into `out`, which has its shape or is the same, its rows still missing.
template <class T, class In, class X>
ROTARY_ALWAYS_INLINE void set_contiguous_job(kernels::RotationJob<X, T>& job, const TokenAxes<In>& in,
                                             const TokenAxes<X>& out, const HeadLayout& layout,
                                             Direction direction) {
  job.in = in.data + layout.start_index;
  job.out = out.data + layout.start_index;
  set_layout(job, layout, direction, out.features);
  int count = 0;
  const auto add = [&](Index extent, Index in_stride, Index out_stride, Index row) ROTARY_INLINE_LAMBDA {
    job.axes[static_cast<std::size_t>(count)] = {extent, in_stride, out_stride, row};
    count += extent != 1 ? 1 : 0;
  };
  if (out.tokens != 1) {
    add(out.outer, in.outer_stride, out.outer_stride, 0);
    add(out.tokens, in.token_stride, out.token_stride, layout.rotary_dim);
  }
  add(out.inner, in.inner_stride, out.inner_stride, 0);
  job.axis_count = count;
}

}  // namespace rotary::inline ROTARY_ABI::detail
