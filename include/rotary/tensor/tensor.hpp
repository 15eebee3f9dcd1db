// The strided views of Eigen's tensors and matrices.
#pragma once

#include <utility>

#include "for_each_index.hpp"
#include "overlap.hpp"
#include "type_checks.hpp"

namespace rotary::inline ROTARY_ABI {

/// The strided view of an Eigen tensor, fixed-size tensor or map, in its own storage order; of const elements
/// if `x` is const.
/// Throws std::invalid_argument on sizes that do not fit into memory.
///
/// @code
///   rotary::Tensor<float, 4> q(1, 8, 16, 64);            // [batch, heads, seq, head_dim]
///   q.setRandom();
///   const auto view = rotary::view_of(q);                // strides 8192 1024 64 1
///   const auto rotated = view.slice(2, 4, 12);           // tokens 4 to 15
/// @endcode
template <class X>
requires(detail::is_stored<X>() && detail::is_tensor<X>) [[nodiscard]] ROTARY_ALWAYS_INLINE
    auto view_of(X& x) {
  using Element = std::remove_pointer_t<decltype(x.data())>;
  constexpr int kRank = static_cast<int>(Eigen::internal::traits<std::remove_cv_t<X>>::NumDimensions);
  static_assert(kRank <= kMaxRank, "rotary: tensors of more than 12 axes are not supported");
  constexpr bool kRowMajor = static_cast<int>(Eigen::internal::traits<std::remove_cv_t<X>>::Layout) ==
                             static_cast<int>(Eigen::RowMajor);
  auto view = StridedView<Element>::unset(x.data(), kRank);
  // Not dimension(axis), which wants another type of axis from each kind of tensor.
  const Eigen::DSizes<Index, kRank> extents(x.dimensions());
  Index size = 1;
  bool fits = true;
  const auto set_axis = [&](std::size_t axis) {
    view.set_axis(static_cast<int>(axis), extents[axis], size);
    fits = extents[axis] >= 0 && detail::multiplied(size, extents[axis], size) && fits;
  };
  // Not a loop, which at -O2 takes longer than a token's head.
  [&]<std::size_t... N>(std::index_sequence<N...>) { (set_axis(kRowMajor ? sizeof...(N) - 1 - N : N), ...); }
  (std::make_index_sequence<static_cast<std::size_t>(kRank)>());
  if (!fits || size > PTRDIFF_MAX / static_cast<Index>(sizeof(Element))) {
    view.check();  // fails, unless another extent is 0
    view.strides = {};
  }
  return view;
}

/// The strided view of a matrix, map, ref or block as [seq, head_dim]: rows are tokens, columns are features,
/// whatever the storage order and strides. A matrix of [features, tokens], as Eigen programs often have it,
/// cannot be distinguished from one: pass `x.transpose()`.
/// Throws std::invalid_argument on sizes that do not fit into memory.
template <class X>
requires(detail::is_stored<X>() && detail::is_dense<X>) auto view_of(X& x) {
  using Element = std::remove_pointer_t<decltype(x.data())>;
  auto view = StridedView<Element>::unset(x.data(), 2);
  view.set_axis(0, x.rows(), x.rowStride());
  view.set_axis(1, x.cols(), x.colStride());
  view.check();
  return view;
}

/// The view itself, checked, so that code for any tensor may call `view_of`.
/// Throws std::invalid_argument if its extents or strides are invalid.
template <class S>
StridedView<S> view_of(const StridedView<S>& x) {
  x.check();
  return x;
}

namespace detail {

/// `x` itself where its elements are in memory; otherwise what it evaluates to, once.
template <class X>
decltype(auto) stored(const X& x) {
  if constexpr (is_stored<X>()) {
    return (x);
  } else if constexpr (is_tensor<X>) {
    return EvaluatedTensor<X>(x);
  } else {
    return typename X::PlainObject(x);
  }
}

/// `view` with elements of Eigen's type of the same bits.
template <class S>
auto canonical(const StridedView<S>& view) {
  using Plain = typename SameBitsAs<std::remove_const_t<S>>::type;
  if constexpr (std::is_same_v<Plain, std::remove_const_t<S>>) {
    return view;
  } else {
    using To = std::conditional_t<std::is_const_v<S>, const Plain, Plain>;
    static_assert(sizeof(To) == sizeof(S) && std::is_trivially_copyable_v<std::remove_const_t<S>>,
                  "rotary: SameBitsAs names a type of another size");
    auto same = StridedView<To>::unset(reinterpret_cast<To*>(view.data), view.rank);
    same.extents = view.extents;
    same.strides = view.strides;
    return same;
  }
}

template <class X>
auto const_view_of(const X& x) {
  return StridedView<const Scalar<X>>(canonical(view_of(x)));
}

/// The elements of a tensor, matrix or view of any type; a vector has one axis, whichever way it lies.
template <class X>
auto elements_of(X& x) {
  using Matrix = std::remove_cv_t<X>;
  auto view = view_of(x);
  if constexpr (is_dense<Matrix>) {
    if constexpr (Matrix::IsVectorAtCompileTime) {
      if constexpr (Matrix::RowsAtCompileTime == 1) {
        view.set_axis(0, view.extent(1), view.stride(1));
      }
      view.rank = 1;
    }
  }
  return view;
}
template <class X>
auto const_elements_of(const X& x) {
  return StridedView<const Element<X>>(elements_of(x));
}

/// The view of what will be written to: throws if elements share memory, as those of a tensor of Eigen's never
/// do.
template <class X>
auto writable_view_of(X& x) {
  const auto view = canonical(view_of(x));
  if constexpr (!is_tensor<X>)
    if (!elements_are_distinct(view)) fail("the tensor to write to has elements that share memory");
  return view;
}

/// One token, [..., heads, head_dim]: a vector is one head of it, whichever way it lies.
template <class S, class X>
StridedView<S> as_heads(StridedView<S> view, const X&) {
  if constexpr (is_column<X>()) {
    const Index of_features = view.stride(1);
    view.set_axis(1, view.extent(0), view.stride(0));
    view.set_axis(0, 1, of_features);
  }
  return view;
}
template <class X>
auto const_heads_of(const X& x) {
  return as_heads(const_view_of(x), x);
}
template <class X>
auto writable_heads_of(X& x) {
  return as_heads(writable_view_of(x), x);
}

/// An owned tensor or matrix of the shape of `x`, not initialised.
template <class X>
Owned<X> make_like(const X& x) {
  if constexpr (is_dense<X>) {
    return Owned<X>(x.rows(), x.cols());
  } else if constexpr (is_fixed_size<Owned<X>>) {
    return Owned<X>();
  } else {
    typename Owned<X>::Dimensions shape;  // of the result's own type of index
    for (std::size_t axis = 0; axis < shape.size(); ++axis)
      shape[axis] = static_cast<typename Owned<X>::Index>(x.dimensions()[axis]);
    return Owned<X>(shape);
  }
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
