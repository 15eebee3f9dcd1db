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
#include <utility>

#include "strided_view.hpp"

namespace rotary::inline ROTARY_ABI {

/// Row-major tensors, the order in which all shapes here are written: [batch, heads, seq, head_dim].
template <class Scalar, int Rank>
using Tensor = Eigen::Tensor<Scalar, Rank, Eigen::RowMajor>;

/// The scalar that has the same bits as `S`: for 16-bit types that are not Eigen's. Specialise it for yours, and
/// tensors and views of them can be rotated as they are; `_Float16`, `__bf16` and C++23's types need nothing.
///
///     struct MyHalf { std::uint16_t bits; };                       // IEEE binary16, as torch's c10::Half
///     template <> struct rotary::SameBitsAs<MyHalf> { using type = Eigen::half; };
///
/// tests/same_bits_as_test.cpp rotates such a type.
template <class S>
struct SameBitsAs {
  using type = S;
};
#if defined(__STDCPP_FLOAT16_T__) || \
    (defined(__FLT16_MANT_DIG__) && defined(__clang__) && __clang_major__ >= 15)
template <>
struct SameBitsAs<_Float16> {
  using type = Eigen::half;
};
#endif
#if defined(__STDCPP_BFLOAT16_T__) || (defined(__BFLT16_MANT_DIG__) && defined(__SSE2__))
template <>
struct SameBitsAs<__bf16> {
  using type = Eigen::bfloat16;
};
#endif

/// What can be rotated. 16-bit scalars are widened to float, rotated, and rounded once.
template <class Scalar>
concept RotaryScalar = std::is_same_v < typename SameBitsAs<Scalar>::type,
float > || std::is_same_v<typename SameBitsAs<Scalar>::type, double> ||
    std::is_same_v<typename SameBitsAs<Scalar>::type, Eigen::half> ||
    std::is_same_v<typename SameBitsAs<Scalar>::type, Eigen::bfloat16>;

/// The types of cosines and sines. They are never held in a 16-bit type, also for 16-bit tensors.
template <class Scalar>
concept RowScalar = std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>;

namespace detail {

/// The type in which a tensor of `X` is rotated by rows of `Row`: the wider of the two, but float for 16-bit
/// tensors, so that one rounding leads from there to the result.
template <class X, class Row>
using Arithmetic =
    std::conditional_t<std::is_same_v<X, double> || (std::is_same_v<X, float> && std::is_same_v<Row, double>),
                       double, float>;

// Which of Eigen's types `X` is.

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

/// Are the elements contiguous, the last axis fastest?
template <class X>
inline constexpr bool is_row_major_tensor = false;
template <class X>
requires(is_stored_tensor<X>) inline constexpr bool is_row_major_tensor<X> =
    static_cast<int>(Eigen::internal::traits<X>::Layout) == static_cast<int>(Eigen::RowMajor);

/// Does the type tell that the features of a head are contiguous?
template <class X>
inline constexpr bool is_contiguous_type = is_row_major_tensor<std::remove_cvref_t<X>>;

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
struct ElementOf {
  using type = std::remove_const_t<typename Eigen::internal::traits<X>::Scalar>;
};
template <class S>
struct ElementOf<StridedView<S>> {
  using type = std::remove_const_t<S>;
};
/// The elements of a tensor or view, as they are declared.
template <class X>
using Element = typename ElementOf<std::remove_cvref_t<X>>::type;
/// And as the kernels see them: other 16-bit types as Eigen's of the same bits.
template <class X>
using Scalar = typename SameBitsAs<Element<X>>::type;

template <class X>
constexpr bool is_column() {
  using Type = std::remove_cvref_t<X>;
  if constexpr (is_dense<Type>) {
    return Type::ColsAtCompileTime == 1;
  } else {
    return false;
  }
}

/// Does `X` own its elements, so that a temporary takes them with it?
template <class X>
inline constexpr bool is_owner = false;
template <class S, int R, int O, class I>
inline constexpr bool is_owner<Eigen::Tensor<S, R, O, I>> = true;
template <class S, class D, int O, class I>
inline constexpr bool is_owner<Eigen::TensorFixedSize<S, D, O, I>> = true;
template <class X>
requires(is_dense<X> && !std::is_reference_v<X>) inline constexpr bool is_owner<X> =
    std::is_same_v<X, typename X::PlainObject>;

template <class X>
constexpr bool is_rotatable_container() {
  return is_tensor<X> || is_dense<X> || is_view<X>;
}

// Each check issues one static_assert message and then returns false, so that the caller's `if constexpr`
// suppresses follow-on errors.

/// Is `X` a tensor of any rank, with a scalar that can be rotated?
template <class X>
constexpr bool check_rotatable_scalar() {
  static_assert(
      is_rotatable_container<X>(),
      "rotary: pass an Eigen tensor, matrix, map or block, or a rotary::StridedView of your own tensor");
  if constexpr (is_rotatable_container<X>()) {
    constexpr bool kScalar = RotaryScalar<Element<X>>;
    static_assert(
        kScalar,
        "rotary: only float, double, Eigen::half and Eigen::bfloat16 tensors can be rotated, and those of "
        "other 16-bit types for which rotary::SameBitsAs is specialised");
    return kScalar;
  }
  return false;
}

/// With `kHeads` the tensor is one token, and a vector one of its heads.
template <class X, bool kHeads = false>
constexpr bool check_rotatable() {
  if constexpr (check_rotatable_scalar<X>()) {
    static_assert(
        kHeads || !is_column<X>(),
        "rotary: a column vector has one feature for each of its tokens; pass x.transpose() for one token");
    if constexpr (is_tensor<X>) {
      constexpr int kRank = static_cast<int>(Eigen::internal::traits<std::remove_cvref_t<X>>::NumDimensions);
      static_assert(kRank >= 2, "rotary: a tensor to rotate needs at least two axes, [seq, head_dim]");
      static_assert(kRank <= kMaxRank, "rotary: tensors of more than 12 axes are not supported");
      return kRank >= 2 && kRank <= kMaxRank;
    }
    return kHeads || !is_column<X>();
  }
  return false;
}

template <class X>
constexpr bool check_writable() {
  using Pointee = std::remove_reference_t<X>;
  static_assert(is_stored<X>(),
                "rotary: a result can be written to a tensor, map or block, not to an expression");
  constexpr bool kLost = is_owner<std::remove_cv_t<X>>;  // X is a reference for what has a name
  static_assert(!kLost, "rotary: the tensor to write to is a temporary, so that the result would be lost");
  if constexpr (kLost) {
    return false;
  } else if constexpr (is_view<X>) {
    constexpr bool kConst = std::is_const_v<std::remove_pointer_t<decltype(Pointee::data)>>;
    static_assert(!kConst, "rotary: the tensor to write to is const");
    return !kConst;
  } else if constexpr (is_stored<X>()) {
    constexpr bool kConst = !std::is_same_v<decltype(std::declval<Pointee&>().data()), Element<X>*>;
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
    view.extents[axis] = extents[axis];
    view.strides[axis] = size;
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
/// whatever the storage order and strides. A matrix of [features, tokens], as Eigen programs often have it, cannot
/// be told from one: pass `x.transpose()`.
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
auto const_elements_of(const X& x) {
  auto view = StridedView<const Element<X>>(view_of(x));
  if constexpr (is_dense<X>) {
    if constexpr (X::IsVectorAtCompileTime) {
      if constexpr (X::RowsAtCompileTime == 1) {
        view.extents[0] = view.extents[1];
        view.strides[0] = view.strides[1];
      }
      view.rank = 1;
    }
  }
  return view;
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
    view.extents[1] = std::exchange(view.extents[0], 1);
    view.strides[1] = std::exchange(view.strides[0], view.strides[1]);
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
