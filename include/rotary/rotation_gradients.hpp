// The gradients of a rotated sequence with respect to angles and magnitudes, from which all others follow.
#pragma once

#include "kernels/rotate_gradient.hpp"
#include "rotate_sequence.hpp"

namespace rotary {

/// Gradients of the loss with respect to the angle, and to the logarithm of the magnitude, of every pair at
/// every position of a sequence, summed over all heads: [seq, pairs], row-major.
struct RotationGradients {
  Index seq = 0, pairs = 0;
  std::vector<double> angle, log_magnitude;

  double angle_at(Index n, Index pair) const { return angle[static_cast<std::size_t>(n * pairs + pair)]; }
  double log_magnitude_at(Index n, Index pair) const {
    return log_magnitude[static_cast<std::size_t>(n * pairs + pair)];
  }
};

namespace detail {

template <class X, class G>
void check_gradient(const StridedView<const X>& x, const StridedView<const G>& grad) {
  if (!same_shape(x, grad))
    fail("the gradient has shape ", shape_text(grad), ", it must have that of the rotated tensor, ",
         shape_text(x));
}

template <class X, class G, class T>
kernels::RotationGradientJob<X, G, T> gradient_job(const StridedView<const X>& x,
                                                   const StridedView<const G>& grad, Index start, Index pairs,
                                                   Pairing pairing) {
  const Index x_feature = x.stride(x.rank - 1), grad_feature = grad.stride(x.rank - 1);
  kernels::RotationGradientJob<X, G, T> job;
  job.row_pairs = kernels::pair_strides(pairing, pairs);
  if (x.size() == 0) return job;  // nothing to do
  job.in = x.data + start * x_feature;
  job.grad = grad.data + start * grad_feature;
  job.pairs = pairs;
  job.in_pairs = kernels::pair_strides(pairing, pairs, x_feature);
  job.grad_pairs = kernels::pair_strides(pairing, pairs, grad_feature);
  job.axis_count = x.rank - 1;
  for (int axis = 0; axis < x.rank - 1; ++axis)
    job.axes[static_cast<std::size_t>(axis)] = {x.extent(axis), x.stride(axis), grad.stride(axis), 0};
  return job;
}

/// The gradients of a forward rotation of `x`, given the gradient with respect to its result.
template <class X, class G>
RotationGradients rotation_gradients(const TurnSteps& steps, const Positions& positions,
                                     const kernels::Magnitude& magnitude, Pairing pairing,
                                     const StridedView<const X>& x, const StridedView<const G>& grad,
                                     int seq_axis, Index start) {
  const Index pairs = steps.pairs(), seq = x.extent(seq_axis);
  check_window(x, start, 2 * pairs);
  check_gradient(x, grad);
  const auto entries = static_cast<std::size_t>(checked_product(seq, 2 * pairs));
  std::vector<double> rows(entries), angle(entries), log_magnitude(entries);
  kernels::cos_sin_rows(steps, positions, 0, seq, magnitude, pairing, rows.data());

  auto job = gradient_job<X, G, double>(x, grad, start, pairs, pairing);
  job.rows = rows.data();
  job.angle = angle.data();
  job.log_magnitude = log_magnitude.data();
  job.axes[static_cast<std::size_t>(seq_axis)].row = 2 * pairs;
  kernels::rotate_gradient(job);

  // Both members of a pair share its angle and magnitude.
  RotationGradients gradients{seq, pairs, {}, {}};
  gradients.angle.reserve(entries / 2);
  gradients.log_magnitude.reserve(entries / 2);
  for (Index n = 0; n < seq; ++n) {
    for (Index i = 0; i < pairs; ++i) {
      const auto first = static_cast<std::size_t>(n * 2 * pairs + i * job.row_pairs.pair);
      const auto second = first + static_cast<std::size_t>(job.row_pairs.partner);
      gradients.angle.push_back(angle[first] + angle[second]);
      gradients.log_magnitude.push_back(log_magnitude[first] + log_magnitude[second]);
    }
  }
  return gradients;
}

/// Σ_n p_n ∂L/∂φ_{n,i}: the gradient with respect to frequency i, φ being p · f.
inline std::vector<double> frequency_gradient(const RotationGradients& gradients, const Positions& positions,
                                              double interpolate_factor) {
  std::vector<double> sums(static_cast<std::size_t>(gradients.pairs));
  for (Index n = 0; n < gradients.seq; ++n) {
    const double position = static_cast<double>(positions.at(n)) / interpolate_factor;
    for (Index i = 0; i < gradients.pairs; ++i)
      sums[static_cast<std::size_t>(i)] += position * gradients.angle_at(n, i);
  }
  return sums;
}

}  // namespace detail
}  // namespace rotary
