// The gradients of a rotation with respect to its angles and magnitudes.
#pragma once

#include "../core/double_double.hpp"
#include "job_axes.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// What a rotation y = R x leaves to differentiate: x, the gradient g of the loss with respect to y, and the
/// rows of R.
///
/// Axes, strides and rows are those of the `RotationJob`, with `grad` in the place of `out`. For a pair (a,
/// b) rotated into (a', b') with gradients (g, h):
///
///     ∂/∂φ = h a' − g b'          ∂/∂ln A = g a' + h b'
///
/// each term belonging to one member of the pair, so that members with angles of their own are served too.
/// The terms are added, over all heads that share a row, to `angle` and `log_magnitude`, which are shaped
/// like `rows`: the first member's where its cosine stands, the second's where its sine stands. Either may be
/// null.
template <class X, class G, class Row>
struct RotationGradientJob {
  const X* in = nullptr;
  const G* grad = nullptr;
  const Row* rows = nullptr;
  double* angle = nullptr;
  double* log_magnitude = nullptr;
  Index pairs = 0;
  PairStrides in_pairs{}, grad_pairs{}, row_pairs{};
  Index second_row = 0;
  int axis_count = 0;
  std::array<JobAxis, kMaxRank> axes{};  // `out` is the stride of `grad`
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

}  // namespace detail

/// Adds the gradients of one rotation to `angle` and `log_magnitude`, in double, in order.
template <class X, class G, class Row>
void rotate_gradient(const RotationGradientJob<X, G, Row>& job) {
  detail::for_each_index(job.axes.data(), job.axis_count, {}, [&](const detail::Offsets& at) {
    detail::window_gradient(job, job.in + at.in, job.grad + at.out, at.row);
  });
}

}  // namespace rotary::inline ROTARY_ABI::kernels
