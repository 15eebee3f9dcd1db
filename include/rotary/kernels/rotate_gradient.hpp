// The gradients of a rotation with respect to its angles and magnitudes.
#pragma once

#include "../core/double_double.hpp"
#include "rotation_job.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// What a rotation y = R x leaves to differentiate: x, the gradient g of the loss with respect to y, and the
/// rows of R.
///
/// Axes, strides and rows are those of the `RotationJob`, with `grad` in the place of `out`. For a pair (a,
/// b) turned into (a', b') with gradients (g, h):
///
///     ∂/∂φ = h a' − g b'          ∂/∂ln A = g a' + h b'
///
/// each term belonging to one member of the pair, so that members with angles of their own are served too.
/// The terms are added, over all heads that share a row, to `angle` and `log_magnitude`, which are shaped
/// like `rows`: the first member's where its cosine stands, the second's where its sine stands. Either may be
/// null.
template <class X, class G, class Row>
struct RotationGradientJob {
  struct Axis {
    Index extent, in, grad, row;
  };

  const X* in = nullptr;
  const G* grad = nullptr;
  const Row* rows = nullptr;
  double* angle = nullptr;
  double* log_magnitude = nullptr;
  Index pairs = 0;
  PairStrides in_pairs{}, grad_pairs{}, row_pairs{};
  Index second_row = 0;
  int axis_count = 0;
  std::array<Axis, kMaxRank> axes{};
};

namespace detail {

template <class X, class G, class Row>
void window_gradient(const RotationGradientJob<X, G, Row>& job, const X* in, const G* grad, Index row) {
  for (Index i = 0; i < job.pairs; ++i) {
    const double a = static_cast<double>(in[i * job.in_pairs.pair]);
    const double b = static_cast<double>(in[i * job.in_pairs.pair + job.in_pairs.partner]);
    const double g = static_cast<double>(grad[i * job.grad_pairs.pair]);
    const double h = static_cast<double>(grad[i * job.grad_pairs.pair + job.grad_pairs.partner]);
    const Index first = row + i * job.row_pairs.pair, second = first + job.row_pairs.partner;
    const double cos = static_cast<double>(job.rows[first]), sin = static_cast<double>(job.rows[second]);
    const double own_cos = static_cast<double>(job.rows[first + job.second_row]);
    const double own_sin = static_cast<double>(job.rows[second + job.second_row]);
    // Every operation rounded by itself, whatever the compiler's flags.
    using rotary::detail::rounded;
    const auto term = [](double grad_of, double x, double factor, double y, double other_factor) {
      return rounded(grad_of * rounded(rounded(x * factor) + rounded(y * other_factor)));
    };
    if (job.angle) {
      job.angle[first] -= term(g, b, cos, a, sin);
      job.angle[second] += term(h, a, own_cos, -b, own_sin);
    }
    if (job.log_magnitude) {
      job.log_magnitude[first] += term(g, a, cos, -b, sin);
      job.log_magnitude[second] += term(h, b, own_cos, a, own_sin);
    }
  }
}

template <class X, class G, class Row>
void rotate_gradient_axis(const RotationGradientJob<X, G, Row>& job, int axis, const X* in, const G* grad,
                          Index row) {
  if (axis == job.axis_count) return window_gradient(job, in, grad, row);
  const auto& [extent, in_stride, grad_stride, row_stride] = job.axes[static_cast<std::size_t>(axis)];
  for (Index n = 0; n < extent; ++n)
    rotate_gradient_axis(job, axis + 1, in + n * in_stride, grad + n * grad_stride, row + n * row_stride);
}

}  // namespace detail

/// Adds the gradients of one rotation to `angle` and `log_magnitude`, in double, in order.
template <class X, class G, class Row>
void rotate_gradient(const RotationGradientJob<X, G, Row>& job) {
  detail::rotate_gradient_axis(job, 0, job.in, job.grad, Index{0});
}

}  // namespace rotary::inline ROTARY_ABI::kernels
