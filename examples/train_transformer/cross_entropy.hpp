// The loss: cross entropy of the logits with the tokens that should come next.
#pragma once

#include <cmath>
#include <vector>

#include "matrix.hpp"

namespace train {

/// A target that is not graded: the question of an addition, say.
inline constexpr int kNotGraded = -1;

/// The summed loss of a batch in nats, and how many tokens were graded.
struct Loss {
  double sum = 0;
  Index graded = 0;

  double mean() const { return graded > 0 ? sum / static_cast<double>(graded) : 0.0; }
  Loss& operator+=(const Loss& other) {
    sum += other.sum;
    graded += other.graded;
    return *this;
  }
};

/// Σ -log softmax(logits)[target] over the graded tokens.
///
/// The logits [tokens, vocabulary] are replaced by the gradient with respect to them, (softmax - one_hot) *
/// scale. For the mean over a batch that is spread over several calls, `scale` is 1 / (graded tokens of the
/// whole batch).
template <class Scalar>
Loss cross_entropy(Matrix<Scalar>& logits, const std::vector<int>& targets, double scale) {
  Loss loss;
  for (Index t = 0; t < logits.rows(); ++t) {
    auto row = logits.row(t).array();
    const int target = targets[static_cast<std::size_t>(t)];
    if (target == kNotGraded) {
      row.setZero();
      continue;
    }
    const Scalar largest = row.maxCoeff();
    const Scalar shifted_target = row(target) - largest;
    row = (row - largest).exp();
    const Scalar total = row.sum();
    loss.sum += std::log(static_cast<double>(total)) - static_cast<double>(shifted_target);
    ++loss.graded;
    row *= static_cast<Scalar>(scale) / total;
    row(target) -= static_cast<Scalar>(scale);
  }
  return loss;
}

/// `cross_entropy` of rows first to last - 1 alone, without the gradient.
template <class Scalar>
Loss loss_of_rows(const Matrix<Scalar>& logits, const std::vector<int>& targets, Index first, Index last) {
  Loss loss;
  for (Index t = first; t < last; ++t) {
    const int target = targets[static_cast<std::size_t>(t)];
    if (target == kNotGraded) continue;
    const auto row = logits.row(t).array();
    const Scalar largest = row.maxCoeff();
    loss.sum += std::log(static_cast<double>((row - largest).exp().sum())) -
                static_cast<double>(row(target) - largest);
    ++loss.graded;
  }
  return loss;
}

}  // namespace train
