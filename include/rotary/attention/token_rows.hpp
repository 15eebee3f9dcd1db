// Matrices with a row for each token, the features of one head in them, and products of such matrices.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>

#include "../tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template <class T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A reference to a matrix of token rows or a part of one; rows may be strided.
template <class T>
using RowsRef = Eigen::Ref<RowMajorMatrix<T>>;
template <class T>
using ConstRowsRef = Eigen::Ref<const RowMajorMatrix<T>>;

/// Sequence `b`, head `h` of a row-major tensor [seq, batch, heads, d_k]: a matrix [seq, d_k] with strided
/// rows.
template <class T>
using HeadRows = Eigen::Map<
    std::conditional_t<std::is_const_v<T>, const RowMajorMatrix<std::remove_const_t<T>>, RowMajorMatrix<T>>,
    0, Eigen::OuterStride<>>;

template <class T>
HeadRows<T> head_rows(const StridedView<T>& tokens, Index b, Index h) {
  return HeadRows<T>(tokens.data + b * tokens.stride(1) + h * tokens.stride(2), tokens.extent(0),
                     tokens.extent(3), Eigen::OuterStride<>(tokens.stride(0)));
}

/// In a wanted shape: any extent.
inline constexpr Index kAnyExtent = -1;

/// Throws unless `view` has the wanted shape.
template <class T>
void check_shape(const StridedView<T>& view, std::span<const Index> wanted, const char* name) {
  bool fits = view.rank == static_cast<int>(wanted.size());
  for (int axis = 0; fits && axis < view.rank; ++axis) {
    const Index extent = wanted[static_cast<std::size_t>(axis)];
    fits = extent == kAnyExtent || view.extent(axis) == extent;
  }
  if (fits) return;
  std::string text;
  for (const Index extent : wanted)
    text += (text.empty() ? "" : ", ") + (extent == kAnyExtent ? "any" : std::to_string(extent));
  fail(name, " has shape ", shape_text(view), ", it must be [", text, "]");
}

/// c = a bᵀ. All products of attention go through these four functions, so that each is compiled once, which
/// takes some seconds, and not for every type of map or block.
template <class T>
void multiply_transposed(const ConstRowsRef<T>& a, const ConstRowsRef<T>& b, RowsRef<T> c) {
  c.noalias() = a * b.transpose();
}
/// c += a b
template <class T>
void add_product(const ConstRowsRef<T>& a, const ConstRowsRef<T>& b, RowsRef<T> c) {
  c.noalias() += a * b;
}
/// c += aᵀ b
template <class T>
void add_transposed_product(const ConstRowsRef<T>& a, const ConstRowsRef<T>& b, RowsRef<T> c) {
  c.noalias() += a.transpose() * b;
}
/// c = a b
template <class T>
void multiply(const ConstRowsRef<T>& a, const ConstRowsRef<T>& b, RowsRef<T> c) {
  c.setZero();
  add_product<T>(a, b, c);
}

/// scores(i, j, b, h) = ⟨queries(i, b, h), keys(j, b, h / group)⟩, from row-major [seq, batch, heads, d_k] and [seq, batch,
/// kv_heads, d_k].
template <class T>
void dot_products(const StridedView<const T>& queries, const StridedView<const T>& keys,
                  Tensor<T, 4>& scores) {
  if (scores.size() == 0) return;
  RowMajorMatrix<T> products(queries.extent(0), keys.extent(0));
  const Index group = queries.extent(2) / keys.extent(2);
  for (Index b = 0; b < queries.extent(1); ++b)
    for (Index h = 0; h < queries.extent(2); ++h) {
      multiply_transposed<T>(head_rows(queries, b, h), head_rows(keys, b, h / group), products);
      copy_elements(StridedView<const T>(products.data(), {products.rows(), products.cols(), 1, 1}),
                    view_of(scores).slice(2, b, 1).slice(3, h, 1));
    }
}

/// The gradients of `dot_products` with respect to queries and keys.
template <class T>
void dot_products_backward(const StridedView<const T>& queries, const StridedView<const T>& keys,
                           const StridedView<const T>& grad_scores, const StridedView<T>& grad_queries,
                           const StridedView<T>& grad_keys) {
  if (grad_scores.empty()) {  // there are no queries or no keys
    for (const auto& grad : {grad_queries, grad_keys})
      if (!grad.empty()) std::fill_n(grad.data, grad.size(), T(0));
    return;
  }
  RowMajorMatrix<T> grad(queries.extent(0), keys.extent(0));
  const Index group = queries.extent(2) / keys.extent(2);
  for (Index b = 0; b < queries.extent(1); ++b)
    for (Index h = 0; h < queries.extent(2); ++h) {
      copy_elements(grad_scores.slice(2, b, 1).slice(3, h, 1),
                    StridedView<T>(grad.data(), {grad.rows(), grad.cols(), 1, 1}));
      multiply<T>(grad, head_rows(keys, b, h / group), head_rows(grad_queries, b, h));
      if (h % group == 0) head_rows(grad_keys, b, h / group).setZero();
      add_transposed_product<T>(grad, head_rows(queries, b, h), head_rows(grad_keys, b, h / group));
    }
}

}  // namespace rotary::inline ROTARY_ABI::detail
