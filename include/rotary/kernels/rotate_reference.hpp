// The rotation, scalar and obvious: the truth that every fast kernel is compared with.
#pragma once

#include <cmath>

#include "../pairing.hpp"
#include "../tensor.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// Where the two members of pair i lie: at `i * pair` and at `i * pair + partner`.
struct PairStrides {
  Index pair, partner;
};

/// The pairs of a window of `2 * pairs` features whose neighbours are `feature` elements apart.
constexpr PairStrides pair_strides(Pairing pairing, Index pairs, Index feature = 1) {
  return pairing == Pairing::half ? PairStrides{feature, pairs * feature} : PairStrides{2 * feature, feature};
}

/// One axis of a job: how many indices it has, and how far apart they are, in elements.
struct JobAxis {
  Index extent, in, out, row;
};

/// One rotation, reduced to pointers and strides; nothing here knows which embedding it serves.
///
/// Every combination of indices into `axes` names one head at one position. Its window of features starts at
/// the sum of `in` (`out`) strides, and its row of cosines and sines at the sum of `row` strides: 0 along an
/// axis that all share, such as heads. A row looks like a window: where a pair keeps its first member stands
/// A cos φ, where it keeps the second stands A sin φ.
template <class X, class Row>
struct RotationJob {
  const X* in = nullptr;
  X* out = nullptr;  // may equal `in`: every pair is read before it is written
  const Row* rows = nullptr;
  Pairing pairing = Pairing::interleaved;
  Index pairs = 0;
  Index in_feature = 1, out_feature = 1;  // from feature to feature
  Index second_row =
      0;  // where the second member's own cos and sin stand after the first's; 0: they share them
  bool negate_sin = false;  // turn backwards
  int axis_count = 0;
  std::array<JobAxis, kMaxRank> axes;  // the first axis_count are set, outermost first
  // Features outside the window, copied when `out` is another tensor than `in`.
  Index untouched_before = 0, untouched_after = 0;

  bool in_place() const { return static_cast<const X*>(out) == in; }

  /// Another axis, inside those there are. One of extent 1 is none, and one that goes on where the axis
  /// around it takes its next step is part of that.
  void add_axis(const JobAxis& axis) {
    if (axis.extent == 1) return;
    if (axis_count > 0) {
      JobAxis& outer = axes[static_cast<std::size_t>(axis_count - 1)];
      if (outer.in == axis.in * axis.extent && outer.out == axis.out * axis.extent &&
          outer.row == axis.row * axis.extent) {
        outer = {outer.extent * axis.extent, axis.in, axis.out, axis.row};
        return;
      }
    }
    axes[static_cast<std::size_t>(axis_count++)] = axis;
  }
};

/// a cos φ − b sin φ, and with (b, a, cos, −sin) also b cos φ + a sin φ: the one fused form that all kernels
/// share.
template <class A>
A turned(A a, A b, A cos, A sin) {
  return std::fma(a, cos, -(b * sin));
}

/// Turns one window, and copies what lies around it.
template <class X, class Row>
void rotate_window_reference(const RotationJob<X, Row>& job, const X* in, X* out, const Row* row) {
  using A = rotary::detail::Arithmetic<X, Row>;
  const auto [pair, partner] = pair_strides(job.pairing, job.pairs);
  for (Index i = 0; i < job.pairs; ++i) {
    const X* const from = in + i * pair * job.in_feature;
    X* const to = out + i * pair * job.out_feature;
    const Row* const first = row + i * pair;
    const Row* const second = first + job.second_row;
    const A a = static_cast<A>(from[0]), b = static_cast<A>(from[partner * job.in_feature]);
    const auto sin = [&, at = partner](const Row* of) {
      return static_cast<A>(job.negate_sin ? -of[at] : of[at]);
    };
    to[0] = static_cast<X>(turned(a, b, static_cast<A>(first[0]), sin(first)));
    to[partner * job.out_feature] = static_cast<X>(turned(b, a, static_cast<A>(second[0]), -sin(second)));
  }
  if (job.in_place()) return;
  for (Index j = 1; j <= job.untouched_before; ++j) out[-j * job.out_feature] = in[-j * job.in_feature];
  for (Index j = 2 * job.pairs; j < 2 * job.pairs + job.untouched_after; ++j)
    out[j * job.out_feature] = in[j * job.in_feature];
}

namespace detail {
template <class X, class Row>
void rotate_reference_axis(const RotationJob<X, Row>& job, int axis, const X* in, X* out, const Row* row) {
  if (axis == job.axis_count) return rotate_window_reference(job, in, out, row);
  const auto& [extent, in_stride, out_stride, row_stride] = job.axes[static_cast<std::size_t>(axis)];
  for (Index n = 0; n < extent; ++n)
    rotate_reference_axis(job, axis + 1, in + n * in_stride, out + n * out_stride, row + n * row_stride);
}
}  // namespace detail

/// out = R in, window by window, in order.
template <class X, class Row>
void rotate_reference(const RotationJob<X, Row>& job) {
  detail::rotate_reference_axis(job, 0, job.in, job.out, job.rows);
}

}  // namespace rotary::inline ROTARY_ABI::kernels
