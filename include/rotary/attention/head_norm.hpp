// QK-norm: the root mean square norm of heads of queries and keys.
#pragma once

#include <cmath>

#include "token_rows.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// y = gain ∘ x / √(mean x² + ε) over the features of each head (Zhang and Sennrich 2019); and what backward needs.
template <RowScalar T>
class HeadNorm {
 public:
  using Matrix = RowMajorMatrix<T>;
  using Gain = Eigen::Matrix<T, 1, Eigen::Dynamic, Eigen::RowMajor>;

  /// Replaces x, [tokens, heads · d_k], by y. `gain` is [d_k].
  void forward(const Gain& gain, double epsilon, Matrix& x) {
    const Index d_k = gain.size(), count = x.size() / d_k;
    Rows heads(x.data(), count, d_k);
    normalized_.resize(count, d_k);
    inverse_.resize(count);
    for (Index n = 0; n < count; ++n) {
      const T mean_square = heads.row(n).squaredNorm() / static_cast<T>(d_k);
      inverse_[n] = 1 / std::sqrt(mean_square + static_cast<T>(epsilon));
      normalized_.row(n) = heads.row(n) * inverse_[n];
      heads.row(n) = normalized_.row(n).cwiseProduct(gain);
    }
  }

  /// Replaces the gradient with respect to y by that with respect to x. Adds that with respect to the gain to `grad_gain`.
  ///
  /// With n = x / rms and h = gain ∘ ∂y:   ∂x = (h − n mean(h ∘ n)) / rms,   ∂gain = Σ n ∘ ∂y.
  void backward(const Gain& gain, Matrix& grad, Gain& grad_gain) const {
    const Index d_k = gain.size();
    Rows heads(grad.data(), normalized_.rows(), d_k);
    // The terms of a long sequence cancel; summed in float, their rounding errors would remain.
    grad_gain += heads.cwiseProduct(normalized_).template cast<double>().colwise().sum().template cast<T>();
    for (Index n = 0; n < heads.rows(); ++n) {
      heads.row(n).array() *= gain.array();
      const T mean = heads.row(n).dot(normalized_.row(n)) / static_cast<T>(d_k);
      heads.row(n) = (heads.row(n) - mean * normalized_.row(n)) * inverse_[n];
    }
  }

 private:
  using Rows = Eigen::Map<Matrix>;

  Matrix normalized_;  // [tokens · heads, d_k]
  Eigen::Matrix<T, Eigen::Dynamic, 1> inverse_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
