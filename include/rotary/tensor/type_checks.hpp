// Which types a call accepts: one sentence of the compiler for each that it does not.
#pragma once

#include "eigen_types.hpp"

namespace rotary::inline ROTARY_ABI::detail {

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
  return false;  // not covered: a static_assert has failed
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
  return false;  // not covered: a static_assert has failed
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
  return false;  // not covered: a static_assert has failed
}

template <class X, class Y>
constexpr bool check_same_scalar() {  // not covered: runs while compiling
  static_assert(std::is_same_v<Scalar<X>, Scalar<Y>>,
                "rotary: the tensors to read and to write must have the same scalar");
  return std::is_same_v<Scalar<X>, Scalar<Y>>;
}

template <class X>
constexpr bool check_returnable() {  // not covered: runs while compiling
  static_assert(!is_view<X>,
                "rotary: a view owns no memory to return; rotate it in place or into another tensor");
  return !is_view<X>;
}

}  // namespace rotary::inline ROTARY_ABI::detail
