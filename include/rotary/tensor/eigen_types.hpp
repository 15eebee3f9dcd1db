// Eigen's tensors and matrices: names for them, which scalars can be rotated, and what is known of a type.
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

#include <type_traits>

#include "strided_view.hpp"

namespace rotary::inline ROTARY_ABI {

/// Row-major tensors, the order in which all shapes here are written: [batch, heads, seq, head_dim].
template <class Scalar, int Rank>
using Tensor = Eigen::Tensor<Scalar, Rank, Eigen::RowMajor>;

/// The scalar that has the same bits as `S`: for 16-bit types that are not Eigen's. Specialise it for yours, and
/// tensors of them and a `StridedView` can be rotated as they are; `_Float16`, `__bf16` and C++23's types need nothing.
///
///     struct MyHalf { std::uint16_t bits; };                       // IEEE binary16, as torch's c10::Half
///     template <> struct rotary::SameBitsAs<MyHalf> { using type = Eigen::half; };
///
/// tests/tensor/same_bits_as_test.cpp rotates such a type.
template <class S>
struct SameBitsAs {
  /// The scalar of Eigen's that has the bits of `S`; `S` itself where the template is not specialised.
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

/// The scalars of tensors that can be rotated: float, double, Eigen::half, Eigen::bfloat16, and types for
/// which `SameBitsAs` names one of these. 16-bit scalars are widened to float, rotated, and rounded once.
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
constexpr bool is_stored() {  // not covered: runs while compiling
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
constexpr bool is_rotatable_container() {  // not covered: runs while compiling
  return is_tensor<X> || is_dense<X> || is_view<X>;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
