// Eigen's tensors and matrices: names for them, and the strided view of each.
#pragma once

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-enum-enum-conversion"  // Eigen 3.4 in C++20
#pragma GCC diagnostic ignored "-Wdeprecated"
#endif
#include <Eigen/Core>
#if __has_include(<unsupported/Eigen/Tensor>)
#include <unsupported/Eigen/Tensor>
#else
#include <unsupported/Eigen/CXX11/Tensor>
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <algorithm>

#include "strided_view.hpp"

namespace rotary::inline ROTARY_ABI {

/// Row-major tensors, the order in which all shapes here are written: [batch, heads, seq, head_dim].
template <class Scalar, int Rank>
using Tensor = Eigen::Tensor<Scalar, Rank, Eigen::RowMajor>;

/// What can be rotated: 16-bit scalars are widened to float, turned, and rounded once.
template <class Scalar>
concept RotaryScalar = std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double> ||
    std::is_same_v<Scalar, Eigen::half> || std::is_same_v<Scalar, Eigen::bfloat16>;

/// What cosines and sines are held in.
template <class Scalar>
concept RowScalar = std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>;

namespace detail {

/// The type in which a tensor of `X` is turned by rows of `Row`: the wider of the two, but float for 16-bit
/// tensors, so that one rounding leads from there to the result.
template <class X, class Row>
using Arithmetic =
    std::conditional_t<std::is_same_v<X, double> || (std::is_same_v<X, float> && std::is_same_v<Row, double>),
                       double, float>;

// --- telling Eigen's types apart
// ------------------------------------------------------------------------------

template <class Derived, int Access>
std::true_type is_tensor_test(const Eigen::TensorBase<Derived, Access>*);
std::false_type is_tensor_test(const void*);
template <class Derived>
std::true_type is_dense_test(const Eigen::DenseBase<Derived>*);
std::false_type is_dense_test(const void*);
template <class Scalar>
std::true_type is_view_test(const StridedView<Scalar>*);
std::false_type is_view_test(const void*);

template <class X>
inline constexpr bool is_tensor =
    decltype(is_tensor_test(static_cast<std::remove_cvref_t<X>*>(nullptr)))::value;
template <class X>
inline constexpr bool is_dense =
    decltype(is_dense_test(static_cast<std::remove_cvref_t<X>*>(nullptr)))::value;
template <class X>
inline constexpr bool is_view = decltype(is_view_test(static_cast<std::remove_cvref_t<X>*>(nullptr)))::value;

/// A tensor with elements in memory, and not an expression that has yet to be evaluated.
template <class X>
inline constexpr bool is_stored_tensor = false;
template <class S, int R, int O, class I>
inline constexpr bool is_stored_tensor<Eigen::Tensor<S, R, O, I>> = true;
template <class S, class D, int O, class I>
inline constexpr bool is_stored_tensor<Eigen::TensorFixedSize<S, D, O, I>> = true;
template <class P, int O, template <class> class M>
inline constexpr bool is_stored_tensor<Eigen::TensorMap<P, O, M>> = true;

template <class X>
inline constexpr bool is_fixed_size = false;
template <class S, class D, int O, class I>
inline constexpr bool is_fixed_size<Eigen::TensorFixedSize<S, D, O, I>> = true;

template <class X>
constexpr bool is_stored() {
  using Type = std::remove_cvref_t<X>;
  if constexpr (is_view<Type>) {
    return true;
  } else if constexpr (is_tensor<Type>) {
    return is_stored_tensor<Type>;
  } else if constexpr (is_dense<Type>) {
    return (Eigen::internal::traits<Type>::Flags & Eigen::DirectAccessBit) != 0;
  } else {
    return false;
  }
}

template <class Expression>
using EvaluatedTensor =
    Eigen::Tensor<std::remove_const_t<typename Eigen::internal::traits<Expression>::Scalar>,
                  static_cast<int>(Eigen::internal::traits<Expression>::NumDimensions),
                  static_cast<int>(Eigen::internal::traits<Expression>::Layout)>;

/// The type that owns a result of the shape of X: tensors stay what they are, maps and expressions become
/// tensors. What is no tensor stays itself too, for the functions below to refuse.
template <class X>
struct OwnedOf {
  using type = X;
};
template <class X>
requires(is_tensor<X>) struct OwnedOf<X> {
  using type = EvaluatedTensor<X>;
};
template <class S, int R, int O, class I>
struct OwnedOf<Eigen::Tensor<S, R, O, I>> {
  using type = Eigen::Tensor<std::remove_const_t<S>, R, O, I>;
};
template <class S, class D, int O, class I>
struct OwnedOf<Eigen::TensorFixedSize<S, D, O, I>> {
  using type = Eigen::TensorFixedSize<S, D, O, I>;
};
template <class X>
requires(is_dense<X>) struct OwnedOf<X> {
  using type = typename X::PlainObject;
};
template <class X>
using Owned = typename OwnedOf<std::remove_cvref_t<X>>::type;

template <class X>
struct ScalarOf {
  using type = std::remove_const_t<typename Eigen::internal::traits<X>::Scalar>;
};
template <class S>
struct ScalarOf<StridedView<S>> {
  using type = std::remove_const_t<S>;
};
template <class X>
using Scalar = typename ScalarOf<std::remove_cvref_t<X>>::type;

template <class X>
constexpr bool is_rotatable_container() {
  return is_tensor<X> || is_dense<X> || is_view<X>;
}

// One sentence for each way of passing the wrong type. After it they are false, so that an `if constexpr`
// around all that follows keeps the compiler from saying more.

template <class X>
constexpr bool check_rotatable() {
  static_assert(
      is_rotatable_container<X>(),
      "rotary: pass an Eigen tensor, matrix, map or block, or a rotary::StridedView of your own tensor");
  if constexpr (is_rotatable_container<X>()) {
    static_assert(RotaryScalar<Scalar<X>>,
                  "rotary: only float, double, Eigen::half and Eigen::bfloat16 tensors can be rotated");
    if constexpr (is_tensor<X>) {
      constexpr int kRank = static_cast<int>(Eigen::internal::traits<std::remove_cvref_t<X>>::NumDimensions);
      static_assert(kRank >= 2, "rotary: a tensor to rotate needs at least two axes, [seq, head_dim]");
      static_assert(kRank <= kMaxRank, "rotary: tensors of more than 12 axes are not supported");
      return RotaryScalar<Scalar<X>> && kRank >= 2 && kRank <= kMaxRank;
    }
    return RotaryScalar<Scalar<X>>;
  }
  return false;
}

template <class X>
constexpr bool check_writable() {
  using Pointee = std::remove_reference_t<X>;
  static_assert(is_stored<X>(),
                "rotary: a result can be written to a tensor, map or block, not to an expression");
  if constexpr (is_view<X>) {
    constexpr bool kConst = std::is_const_v<std::remove_pointer_t<decltype(Pointee::data)>>;
    static_assert(!kConst, "rotary: the tensor to write to is const");
    return !kConst;
  } else if constexpr (is_stored<X>()) {
    constexpr bool kConst = !std::is_same_v<decltype(std::declval<Pointee&>().data()), Scalar<X>*>;
    static_assert(!kConst, "rotary: the tensor to write to is const");
    return !kConst;
  }
  return false;
}

template <class X, class Y>
constexpr bool check_same_scalar() {
  static_assert(std::is_same_v<Scalar<X>, Scalar<Y>>,
                "rotary: the tensors to read and to write must have the same scalar");
  return std::is_same_v<Scalar<X>, Scalar<Y>>;
}

template <class X>
constexpr bool check_returnable() {
  static_assert(!is_view<X>,
                "rotary: a view owns no memory to return; rotate it in place or into another tensor");
  return !is_view<X>;
}

}  // namespace detail

/// The strided view of an Eigen tensor, fixed-size tensor or map, in its own storage order; `const` if `x`
/// is.
template <class X>
requires(detail::is_stored<X>() && detail::is_tensor<X>) auto view_of(X& x) {
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
    view.extents[axis] = extents[axis];
    view.strides[axis] = size;
    fits = extents[axis] >= 0 && detail::multiplied(size, extents[axis], size) && fits;
  };
  // Not a loop, which at -O2 takes longer than a token's head.
  [&]<std::size_t... N>(std::index_sequence<N...>) { (set_axis(kRowMajor ? kRank - 1 - N : N), ...); }
  (std::make_index_sequence<kRank>());
  if (!fits || size > PTRDIFF_MAX / static_cast<Index>(sizeof(Element))) {
    view.check();  // fails, unless another extent is 0
    view.strides = {};
  }
  return view;
}

/// The strided view of a matrix, map, ref or block as [seq, head_dim], whatever its storage order and
/// strides.
template <class X>
requires(detail::is_stored<X>() && detail::is_dense<X>) auto view_of(X& x) {
  using Element = std::remove_pointer_t<decltype(x.data())>;
  auto view = StridedView<Element>::unset(x.data(), 2);
  view.extents[0] = x.rows();
  view.extents[1] = x.cols();
  view.strides[0] = x.rowStride();
  view.strides[1] = x.colStride();
  view.check();
  return view;
}

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

template <class X>
auto const_view_of(const X& x) {
  return StridedView<const Scalar<X>>(view_of(x));
}

/// The view of what will be written to: fails if elements share memory, as those of a tensor of Eigen's never
/// do.
template <class X>
auto writable_view_of(X& x) {
  const auto view = view_of(x);
  if constexpr (!is_tensor<X>)
    if (!elements_are_distinct(view)) fail("the tensor to write to has elements that share memory");
  return view;
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
