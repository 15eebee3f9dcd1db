// The rotation in scalar loops: the reference that every fast kernel is compared with, bit for bit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "job_axes.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// a cos φ − b sin φ, and with (b, a, cos, −sin) also b cos φ + a sin φ: the one fused form that all kernels
/// share.
template <class A>
A rotated(A a, A b, A cos, A sin) {
#if defined(__clang__) && defined(__FAST_MATH__) && !defined(__FMA__) && !defined(__aarch64__)
  // Clang then takes the operation apart, unless it cannot know the function: that of C, since the float one of C++ is
  // inline and taken apart itself.
  if constexpr (std::is_same_v<A, float>) {
    float (*volatile fused)(float, float, float) = &::fmaf;
    return fused(a, cos, -(b * sin));
  } else {
    double (*volatile fused)(double, double, double) = &::fma;
    return fused(a, cos, -(b * sin));
  }
#else
  return std::fma(a, cos, -(b * sin));
#endif
}

/// A result in the scalar of the tensor, rounded to nearest, ties to even. Not by Eigen's conversion to
/// bfloat16, which calls a function isnan that units with and without -ffast-math would share.
template <class X, class A>
X narrowed(A value) {
  if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
    constexpr std::uint32_t kSign = 0x80000000u, kInfinity = 0x7f800000u, kNan = 0x7fc00000u;
    const auto bits = std::bit_cast<std::uint32_t>(value), size = bits & ~kSign;
    const std::uint32_t rounded = size > kInfinity ? kNan : size + 0x7fff + (size >> 16 & 1);
    return std::bit_cast<X>(static_cast<std::uint16_t>(((bits & kSign) | rounded) >> 16));
  } else {
    return static_cast<X>(value);
  }
}

/// Rotates pairs [first, last) of one window. `in` and `out` may be the same only if their pairings are.
template <class X, class Row>
ROTARY_NOINLINE void rotate_pairs_reference(const JobShape& job, Index first, Index last, const X* in, X* out,
                                            const Row* row) {
  using A = rotary::detail::Arithmetic<X, Row>;
  const PairStrides from = pair_strides(job.in_pairing, job.pairs, job.in_feature),
                    to = pair_strides(job.out_pairing, job.pairs, job.out_feature),
                    by = pair_strides(job.row_pairing, job.pairs);
  const A sign = job.negate_sin ? A(-1) : A(1);
  for (Index i = first; i < last; ++i) {
    const Row* const cos = row + i * by.pair;
    const Row* const sin = cos + by.partner;
    const A a = static_cast<A>(in[i * from.pair]), b = static_cast<A>(in[i * from.pair + from.partner]);
    out[i * to.pair] = narrowed<X>(rotated(a, b, static_cast<A>(cos[0]), sign * static_cast<A>(sin[0])));
    out[i * to.pair + to.partner] = narrowed<X>(
        rotated(b, a, static_cast<A>(cos[job.second_row]), -sign * static_cast<A>(sin[job.second_row])));
  }
}

/// Copies the features around a window.
template <class X>
void copy_untouched_reference(const JobShape& job, const X* in, X* out) {
  for (Index j = 1; j <= job.untouched_before; ++j) out[-j * job.out_feature] = in[-j * job.in_feature];
  for (Index j = 2 * job.pairs; j < 2 * job.pairs + job.untouched_after; ++j)
    out[j * job.out_feature] = in[j * job.in_feature];
}

/// out = R in, window by window, in order.
template <class X, class Row>
ROTARY_NOINLINE void rotate_reference(const RotationJob<X, Row>& job) {
  const bool in_place = job.in_place();
  // In place and from one pairing to the other, a pair is written where another is still to be read: such
  // windows are read from a copy.
  std::vector<X> window(
      static_cast<std::size_t>(in_place && job.in_pairing != job.out_pairing ? 2 * job.pairs : 0));
  JobShape shape = job;
  if (!window.empty()) shape.in_feature = 1;
  detail::for_each_index(job.axes.data(), job.axis_count, {}, [&](const detail::Offsets& at) {
    const X* const in = job.in + at.in;
    X* const out = job.out + at.out;
    for (std::size_t j = 0; j < window.size(); ++j) window[j] = in[static_cast<Index>(j) * job.in_feature];
    rotate_pairs_reference(shape, 0, job.pairs, window.empty() ? in : window.data(), out, job.rows + at.row);
    if (!in_place) copy_untouched_reference(job, in, out);
  });
}

}  // namespace rotary::inline ROTARY_ABI::kernels
