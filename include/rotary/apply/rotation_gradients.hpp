// The gradients of a rotated sequence with respect to angles and magnitudes, from which all others follow.
#pragma once

#include "../cos_sin_table.hpp"
#include "../kernels/rotate_gradient.hpp"
#include "window_job.hpp"

namespace rotary::inline ROTARY_ABI {

/// Gradients of the loss with respect to the angle, and to the logarithm of the magnitude, of every pair at
/// every position of a sequence, summed over all heads: [seq, pairs], row-major. Of an empty tensor seq is 0.
/// `frequency_gradient` and `position_gradient` sum them up further.
struct RotationGradients {
  /// The number of tokens, 0 for an empty tensor, and of pairs.
  Index seq = 0, pairs = 0;
  /// The gradients with respect to angles and to logarithms of magnitudes, [seq, pairs] each.
  std::vector<double> angle, log_magnitude;

  /// The gradient with respect to the angle of a pair at token `n`. Unchecked.
  double angle_at(Index n, Index pair) const { return angle[static_cast<std::size_t>(n * pairs + pair)]; }
  /// The gradient with respect to the logarithm of the magnitude of a pair at token `n`. Unchecked.
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

/// The gradients of a forward rotation of `x`, given the gradient with respect to its result. Index n of the
/// sequence is at row `first_row` + n of `positions`.
template <class X, class G>
RotationGradients rotation_gradients(const TurnSteps& steps, const Positions& positions,
                                     const kernels::Magnitude& magnitude, const HeadLayout& layout,
                                     const StridedView<const X>& x, const StridedView<const G>& grad,
                                     int seq_axis, Index first_row = 0) {
  const Index pairs = steps.pairs(), seq = x.extent(seq_axis), start = layout.start_index;
  const Pairing pairing = layout.pairing;
  check_window(x, start, 2 * pairs);
  check_gradient(x, grad);
  if (x.empty()) return {0, pairs, {}, {}};  // whose sequence may be of any length
  const std::size_t entries = checked_elements<double>(seq, 2 * pairs);
  std::vector<double> rows(entries), angle(entries), log_magnitude(entries);
  kernels::cos_sin_rows(steps, positions, first_row, first_row + seq, magnitude, pairing, rows.data());

  auto job = gradient_job<X, G, double>(x, grad, start, pairs, pairing);
  job.grad_pairs = kernels::pair_strides(layout.written_pairing(), pairs, grad.stride(grad.rank - 1));
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
    const double position = rounded(static_cast<double>(positions.at(n)) / rounded(interpolate_factor));
    for (Index i = 0; i < gradients.pairs; ++i)
      sums[static_cast<std::size_t>(i)] += rounded(position * gradients.angle_at(n, i));
  }
  return sums;
}

/// Throws unless every token has a position.
template <class X>
void check_sequences(const Positions& positions, const StridedView<X>& x, int seq_axis) {
  const Index seq = x.extent(seq_axis);
  if (positions.batch() == 0) {
    if (positions.count() != seq)
      fail("found ", positions.count(), " positions for a sequence of ", seq, " tokens");
    return;
  }
  if (seq_axis == 0 || x.extent(0) != positions.batch() || positions.count() / positions.batch() != seq)
    fail("found positions for ", positions.batch(), " sequences of ", positions.count() / positions.batch(),
         " tokens, the tensor is ", shape_text(x), " with the sequence on axis ", seq_axis);
}

/// visit(x, grad, row of the first token) for every sequence that has positions of its own.
template <class X, class G, class Visit>
void for_each_sequence(const Positions& positions, const StridedView<const X>& x,
                       const StridedView<const G>& grad, int seq_axis, const Visit& visit) {
  check_gradient(x, grad);
  check_sequences(positions, x, seq_axis);
  if (positions.batch() == 0) return visit(x, grad, Index{0});
  if (x.empty()) return;
  const Index seq = x.extent(seq_axis);
  for (Index b = 0; b < positions.batch(); ++b) visit(x.slice(0, b, 1), grad.slice(0, b, 1), b * seq);
}

/// Throws unless tokens have a coordinate for each axis of the frequencies.
inline void check_coordinates(const Frequencies& frequencies, const Positions& positions) {
  if (positions.axis_count() != frequencies.axes)
    fail("tokens have ", positions.axis_count(), " coordinates, the frequencies are for ", frequencies.axes);
}

/// visit(row of positions, axis, pair, ∂L/∂φ) for every coordinate of every token and every pair.
template <class X, class G, class Visit>
void for_each_angle_gradient(const Frequencies& frequencies, const Positions& positions,
                             const HeadLayout& layout, const X& x, const G& grad, const Visit& visit) {
  static_assert(check_rotatable<X>() && check_rotatable<G>());
  check_coordinates(frequencies, positions);
  decltype(auto) stored_x = stored(x);
  decltype(auto) stored_grad = stored(grad);
  const auto in = const_view_of(stored_x);
  const int seq_axis = sequence_axis(layout.seq_dim, in.rank);
  const TurnSteps steps(frequencies);
  for_each_sequence(positions, in, const_view_of(stored_grad), seq_axis,
                    [&](const auto& part, const auto& grad_part, Index first_row) {
                      const RotationGradients of =
                          rotation_gradients(steps, positions, {.factor = frequencies.magnitude}, layout,
                                             part, grad_part, seq_axis, first_row);
                      for (Index n = 0; n < of.seq; ++n)
                        for (Index axis = 0; axis < frequencies.axes; ++axis)
                          for (Index i = 0; i < of.pairs; ++i)
                            visit(first_row + n, axis, i, of.angle_at(n, i));
                    });
}

}  // namespace detail

/// The gradient with respect to any frequencies, from `x` as it was before the rotation of this layout, and
/// `grad`, the gradient with respect to its result, of the shape of `x`:
///
///     ∂L/∂f(a, i) = Σ p_a ∂L/∂φ_i        [axes, pairs]
///
/// Where heads have frequencies of their own, pass one head of either at a time.
/// Throws std::invalid_argument unless positions have as many coordinates as the frequencies, and shapes fit
/// each other.
///
/// @code
///   const auto positions = rotary::Positions::consecutive(3);
///   rotary::Tensor<float, 4> x(1, 2, 3, 8), grad(1, 2, 3, 8);   // [batch, heads, seq, head_dim]
///   x.setRandom(), grad.setRandom();
///   const auto of_frequencies =
///       rotary::frequency_gradient(rotary::language_frequencies(8), positions, {}, x, grad);   // [4]
/// @endcode
template <class X, class G>
[[nodiscard]] std::vector<double> frequency_gradient(const Frequencies& frequencies,
                                                     const Positions& positions, const HeadLayout& layout,
                                                     const X& x, const G& grad) {
  std::vector<double> sums(frequencies.values.size());
  detail::for_each_angle_gradient(frequencies, positions, detail::completed(layout, frequencies.pairs()), x,
                                  grad, [&](Index row, Index axis, Index pair, double angle) {
                                    sums[static_cast<std::size_t>(axis * frequencies.pairs() + pair)] +=
                                        static_cast<double>(positions.at(row, static_cast<int>(axis))) *
                                        angle;
                                  });
  return sums;
}

/// The gradient with respect to any positions, from `x` as it was before the rotation of this layout, and
/// `grad`, the gradient with respect to its result, of the shape of `x`:
///
///     ∂L/∂p_a(n) = Σ_i f(a, i) ∂L/∂φ_i        [rows of positions, axes]
///
/// Throws std::invalid_argument unless positions have as many coordinates as the frequencies, and shapes fit
/// each other. Called as `frequency_gradient`, which has an example.
template <class X, class G>
[[nodiscard]] std::vector<double> position_gradient(const Frequencies& frequencies,
                                                    const Positions& positions, const HeadLayout& layout,
                                                    const X& x, const G& grad) {
  static_assert(detail::check_rotatable<X>());
  decltype(auto) source = detail::stored(x);
  const auto in = detail::const_view_of(source);
  // Before anything is allocated.
  detail::check_coordinates(frequencies, positions);
  detail::check_sequences(positions, in, detail::sequence_axis(layout.seq_dim, in.rank));
  std::vector<double> sums(detail::checked_elements<double>(positions.count(), frequencies.axes));
  detail::for_each_angle_gradient(frequencies, positions, detail::completed(layout, frequencies.pairs()), x,
                                  grad, [&](Index row, Index axis, Index pair, double angle) {
                                    const auto of =
                                        static_cast<std::size_t>(axis * frequencies.pairs() + pair);
                                    sums[static_cast<std::size_t>(row * frequencies.axes + axis)] +=
                                        static_cast<double>(frequencies.values[of]) * angle;
                                  });
  return sums;
}

}  // namespace rotary::inline ROTARY_ABI
