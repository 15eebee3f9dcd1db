// The rotation in scalar loops: the reference that every fast kernel is compared with, bit for bit.
#pragma once

#include <cmath>
#include <vector>

#include "rotation_job.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// a cos φ − b sin φ, and with (b, a, cos, −sin) also b cos φ + a sin φ: the one fused form that all kernels
/// share.
template <class A>
A turned(A a, A b, A cos, A sin) {
  return std::fma(a, cos, -(b * sin));
}

/// Rotates one window, and copies the untouched features around it. `in` and `out` may be the same only if
/// the pairings of both are.
template <class X, class Row>
void rotate_window_reference(const RotationJob<X, Row>& job, const X* in, X* out, const Row* row) {
  using A = rotary::detail::Arithmetic<X, Row>;
  const PairStrides from = pair_strides(job.in_pairing, job.pairs, job.in_feature),
                    to = pair_strides(job.out_pairing, job.pairs, job.out_feature),
                    by = pair_strides(job.row_pairing, job.pairs);
  for (Index i = 0; i < job.pairs; ++i) {
    const Row* const first = row + i * by.pair;
    const Row* const second = first + job.second_row;
    const A a = static_cast<A>(in[i * from.pair]), b = static_cast<A>(in[i * from.pair + from.partner]);
    const auto sin = [&, at = by.partner](const Row* of) {
      return static_cast<A>(job.negate_sin ? -of[at] : of[at]);
    };
    out[i * to.pair] = static_cast<X>(turned(a, b, static_cast<A>(first[0]), sin(first)));
    out[i * to.pair + to.partner] = static_cast<X>(turned(b, a, static_cast<A>(second[0]), -sin(second)));
  }
  if (job.in_place()) return;
  for (Index j = 1; j <= job.untouched_before; ++j) out[-j * job.out_feature] = in[-j * job.in_feature];
  for (Index j = 2 * job.pairs; j < 2 * job.pairs + job.untouched_after; ++j)
    out[j * job.out_feature] = in[j * job.in_feature];
}

namespace detail {

/// visit(in, out, row) for every window, in order.
template <class X, class Row, class Visit>
void for_each_window(const RotationJob<X, Row>& job, int axis, const X* in, X* out, const Row* row,
                     const Visit& visit) {
  if (axis == job.axis_count) return visit(in, out, row);
  const auto& [extent, in_stride, out_stride, row_stride] = job.axes[static_cast<std::size_t>(axis)];
  for (Index n = 0; n < extent; ++n)
    for_each_window(job, axis + 1, in + n * in_stride, out + n * out_stride, row + n * row_stride, visit);
}

}  // namespace detail

/// out = R in, window by window, in order.
template <class X, class Row>
void rotate_reference(const RotationJob<X, Row>& job) {
  if (!job.in_place() || job.in_pairing == job.out_pairing) {
    detail::for_each_window(job, 0, job.in, job.out, job.rows, [&](const X* in, X* out, const Row* row) {
      rotate_window_reference(job, in, out, row);
    });
    return;
  }
  // A pair is written where other pairs are still to be read: hence from a copy of the window.
  std::vector<X> window(static_cast<std::size_t>(2 * job.pairs));
  RotationJob<X, Row> from_copy = job;
  from_copy.in_feature = 1;
  from_copy.untouched_before = from_copy.untouched_after = 0;
  detail::for_each_window(job, 0, job.in, job.out, job.rows, [&](const X* in, X* out, const Row* row) {
    for (std::size_t j = 0; j < window.size(); ++j) window[j] = in[static_cast<Index>(j) * job.in_feature];
    rotate_window_reference(from_copy, window.data(), out, row);
  });
}

}  // namespace rotary::inline ROTARY_ABI::kernels
