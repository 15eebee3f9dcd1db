// Gradients with respect to the parameters of frequencies: theta, factors, divisors. Those of YaRN and its
// relatives are in yarn_gradients.hpp.
//
// A rotation gives ∂L/∂f' for every pair, and ∂L/∂A for the magnitude; these functions multiply them by the
// derivatives of f' and A, in closed form. At a corner of a formula (a clamp, a rounded range) they
// differentiate the piece in use.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "../fope.hpp"
#include "../llama3.hpp"
#include "../longrope.hpp"
#include "../ntk.hpp"
#include "../proportional.hpp"

namespace rotary::inline ROTARY_ABI {

/// Gradients with respect to theta and to the factor of a variant.
struct ThetaGradients {
  double theta = 0, factor = 0;
};

/// Gradients with respect to frequencies before scaling, and to the factor.
struct ScalingGradients {
  std::vector<double> frequencies;
  double factor = 0;
};

namespace detail {

inline void check_gradient(std::span<const double> grad, std::size_t count) {
  if (grad.size() != count)
    fail("the gradient has ", grad.size(), " entries, it must have one for each of ", count, " frequencies");
}

/// Σ_i grad_i · (−2i/dim) f_i / theta: ∂L/∂theta for frequencies theta^(−2i/dim) · c_i, if no c_i depends on
/// theta.
inline double theta_gradient(const Frequencies& frequencies, Index dim, double theta,
                             std::span<const double> grad) {
  check_gradient(grad, frequencies.values.size());
  double sum = 0;
  for (std::size_t i = 0; i < grad.size(); ++i)
    sum -= grad[i] * static_cast<double>(2 * i) * frequencies.values[i].hi;
  return sum / (static_cast<double>(dim) * theta);
}

}  // namespace detail

/// ∂L/∂theta for `language_frequencies`: Σ g_i · (−2i/dim) f_i / theta.
///
/// @code
///   const std::vector<double> grad(64, 1.0);   // ∂L/∂f_i, from a rotation
///   const double of_theta = rotary::language_theta_gradient(128, 10000, grad);
/// @endcode
inline double language_theta_gradient(Index dim, double theta, std::span<const double> grad) {
  return detail::theta_gradient(language_frequencies(dim, theta), dim, theta, grad);
}

/// Gradients of `scaled`: ∂L/∂f_i = g_i / factor, ∂L/∂factor = −Σ g_i f_i / factor².
inline ScalingGradients scaled_gradients(const Frequencies& frequencies, double factor,
                                         std::span<const double> grad) {
  detail::check_gradient(grad, frequencies.values.size());
  detail::check_positive("factor", factor);
  ScalingGradients gradients;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    gradients.frequencies.push_back(grad[i] / factor);
    gradients.factor -= grad[i] * frequencies.values[i].hi / (factor * factor);
  }
  return gradients;
}

/// Gradients of `ntk_frequencies`: ∂L/∂theta, and ∂L/∂alpha = Σ g_i · (−2i/(dim − 2)) f'_i / alpha.
inline ThetaGradients ntk_gradients(Index dim, double theta, double alpha, std::span<const double> grad) {
  const double of_theta = detail::theta_gradient(ntk_frequencies(dim, theta, alpha), dim, theta, grad);
  const double exponent = static_cast<double>(dim) / static_cast<double>(dim - 2);
  return {of_theta, dim > 2 ? of_theta * theta * exponent / alpha : 0};
}

/// Gradients with respect to the parameters of vLLM's `ntk`.
struct VllmNtkGradients {
  double theta = 0, factor = 0;
  double mixed_b = 0;  ///< taken at 1 if it was left out
};

/// Gradients of `ntk_frequencies_vllm`, with x_i = (i + 1) / (dim/2), f'_i being f_i · factor^(−x_i^mixed_b):
/// ∂L/∂theta, ∂L/∂factor = −Σ g_i x_i^mixed_b f'_i / factor, and
/// ∂L/∂mixed_b = −Σ g_i x_i^mixed_b ln x_i · f'_i ln factor.
inline VllmNtkGradients ntk_vllm_gradients(Index dim, double theta, double factor,
                                           std::optional<double> mixed_b, std::span<const double> grad) {
  const Frequencies frequencies = ntk_frequencies_vllm(dim, theta, factor, mixed_b);
  VllmNtkGradients gradients{.theta = detail::theta_gradient(frequencies, dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double x = static_cast<double>(2 * (i + 1)) / static_cast<double>(dim);
    const double weight = grad[i] * std::pow(x, mixed_b.value_or(1)) * frequencies.values[i].hi;
    gradients.factor -= weight / factor;
    gradients.mixed_b -= weight * std::log(x) * std::log(factor);
  }
  return gradients;
}

/// Gradients of `dynamic_ntk_frequencies`: those of `ntk_gradients`, with ∂alpha/∂factor = max(length/M − 1,
/// 0).
inline ThetaGradients dynamic_ntk_gradients(Index dim, double theta, double factor,
                                            double max_position_embeddings, double length,
                                            std::span<const double> grad) {
  const Frequencies frequencies =
      dynamic_ntk_frequencies(dim, theta, factor, max_position_embeddings, length);
  const double excess = std::max(length / max_position_embeddings - 1, 0.0);
  if (detail::is_equal(excess, 0)) return {detail::theta_gradient(frequencies, dim, theta, grad), 0};
  ThetaGradients gradients = ntk_gradients(dim, theta, 1 + factor * excess, grad);
  gradients.factor *= excess;
  return gradients;
}

/// Gradients of `frozen_dynamic_ntk_frequencies`: those of `ntk_gradients`, with ∂alpha/∂factor = 2 factor −
/// 1.
inline ThetaGradients frozen_dynamic_ntk_gradients(Index dim, double theta, double factor,
                                                   std::span<const double> grad) {
  detail::check_positive("factor", factor);
  ThetaGradients gradients = ntk_gradients(dim, theta, 1 + factor * (factor - 1), grad);
  gradients.factor *= 2 * factor - 1;
  return gradients;
}

/// Gradients with respect to frequencies before scaling, and to the parameters of Llama 3.
struct Llama3Gradients {
  std::vector<double> frequencies;
  double factor = 0, low_freq_factor = 0, high_freq_factor = 0, original_max_position_embeddings = 0;
};

/// Gradients of `llama3_scaled`, with f'_i = f_i ((1 − t_i) / s + t_i):
///
///     ∂L/∂f_i = g_i ((1 − t_i) / s + t_i + (1 − 1/s) f_i ∂t_i/∂f_i)
///     ∂L/∂s   = −Σ g_i f_i (1 − t_i) / s²
///     ∂L/∂x   = Σ g_i (1 − 1/s) f_i ∂t_i/∂x        x: the two freq_factors, and the original context
inline Llama3Gradients llama3_gradients(const Frequencies& frequencies, const Llama3Options& options,
                                        std::span<const double> grad) {
  detail::check(options);
  detail::check_gradient(grad, frequencies.values.size());
  const double s = options.factor, length = options.original_max_position_embeddings;
  const double width = options.high_freq_factor - options.low_freq_factor;
  Llama3Gradients gradients;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double f = frequencies.values[i].hi,
                 t = detail::llama3_unscaled_share(frequencies.values[i], options).hi;
    const double of_t = grad[i] * (1 - 1 / s) * f;  // ∂L/∂t_i
    gradients.frequencies.push_back(grad[i] * ((1 - t) / s + t));
    gradients.factor -= grad[i] * f * (1 - t) / (s * s);
    if (t <= 0 || t >= 1) continue;
    gradients.frequencies[i] += of_t * length / (2 * kPi.hi * width);
    gradients.low_freq_factor -= of_t * (1 - t) / width;
    gradients.high_freq_factor -= of_t * t / width;
    gradients.original_max_position_embeddings += of_t * f / (2 * kPi.hi * width);
  }
  return gradients;
}

/// ∂A/∂s of `longrope_magnitude`: 1 / (2 A s ln L) if A is computed from the factor s, and 0 if A is given or
/// s ≤ 1.
inline double longrope_magnitude_gradient(const LongRopeOptions& options, double length) {
  const double magnitude = longrope_magnitude(options, length);
  const double original = options.original_max_position_embeddings;
  const auto& of_set = detail::is_long(options, length) ? options.long_mscale : options.short_mscale;
  const double factor = options.factor.value_or(options.max_position_embeddings / original);
  if (of_set || options.attention_factor || factor <= 1) return 0;
  return 1 / (2 * magnitude * factor * std::log(original));
}

/// Gradients with respect to theta, to the divisors of the set in use, and to the factor.
struct LongRopeGradients {
  double theta = 0;
  std::vector<double> divisors;
  double factor = 0;
};

/// Gradients of `longrope_frequencies`, with e_i its divisors and `grad_magnitude` = ∂L/∂A: ∂L/∂theta,
/// ∂L/∂e_i = −g_i f'_i / e_i, and ∂L/∂s = grad_magnitude · ∂A/∂s, since no frequency depends on the factor.
inline LongRopeGradients longrope_gradients(Index dim, double theta, const LongRopeOptions& options,
                                            double length, std::span<const double> grad,
                                            double grad_magnitude = 0) {
  const Frequencies frequencies = longrope_frequencies(dim, theta, options, length);
  LongRopeGradients gradients{.theta = detail::theta_gradient(frequencies, dim, theta, grad),
                              .divisors = {},
                              .factor = grad_magnitude * longrope_magnitude_gradient(options, length)};
  const auto& divisors = detail::is_long(options, length) ? options.long_factor : options.short_factor;
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradients.divisors.push_back(-grad[i] * frequencies.values[i].hi / divisors[i]);
  return gradients;
}

/// Gradients of `proportional_frequencies`: ∂L/∂theta and ∂L/∂factor. Pairs of frequency 0 contribute
/// nothing.
inline ThetaGradients proportional_gradients(Index head_dim, double theta, double partial_rotary_factor,
                                             double factor, std::span<const double> grad) {
  const Frequencies frequencies = proportional_frequencies(head_dim, theta, partial_rotary_factor, factor);
  ThetaGradients gradients{.theta = detail::theta_gradient(frequencies, head_dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradients.factor -= grad[i] * frequencies.values[i].hi / factor;
  return gradients;
}

/// ∂L/∂theta for `fope_frequencies`. Pairs of frequency 0 contribute nothing.
inline double fope_theta_gradient(Index dim, double theta, double max_position_embeddings,
                                  std::optional<Index> num_inv_freq, std::span<const double> grad) {
  return detail::theta_gradient(fope_frequencies(dim, theta, max_position_embeddings, num_inv_freq), dim,
                                theta, grad);
}

/// Gradient of `on_axes`: from ∂L/∂f(a, i), [axes, pairs], to the frequencies before `on_axes`. That of pair
/// i is on the pair's own axis.
///
/// @code
///   const auto axis_of_pair = rotary::mrope_axes_chunked({16, 24, 24});
///   const std::vector<double> grad(3 * 64, 1.0);   // from a rotation by frequencies on three axes
///   const double of_theta =
///       rotary::language_theta_gradient(128, 1e6, rotary::on_axes_gradient(axis_of_pair, 3, grad));
/// @endcode
inline std::vector<double> on_axes_gradient(std::span<const Index> axis_of_pair, Index axes,
                                            std::span<const double> grad) {
  if (axes < 1) detail::fail("found ", axes, " axes, there must be at least 1");
  const Index pairs = static_cast<Index>(axis_of_pair.size());
  detail::check_gradient(grad, static_cast<std::size_t>(detail::checked_product(axes, pairs)));
  std::vector<double> of_pairs;
  for (Index pair = 0; pair < pairs; ++pair) {
    const Index axis = axis_of_pair[static_cast<std::size_t>(pair)];
    if (axis < 0 || axis >= axes)
      detail::fail("pair ", pair, " is on axis ", axis, ", there are ", axes, " axes");
    of_pairs.push_back(grad[static_cast<std::size_t>(axis * pairs + pair)]);
  }
  return of_pairs;
}

/// Gradient of `axial`: ∂L/∂f_i = Σ_a ∂L/∂f(a, a·n + i), where n is the number of frequencies of an axis.
inline std::vector<double> axial_gradient(Index axes, std::span<const double> grad) {
  const Index count = static_cast<Index>(grad.size());
  if (axes < 1 || count % axes != 0 || count / axes % axes != 0)
    detail::fail("the gradient has ", count, " entries, of ", axes, " axes it must have a multiple of ", axes,
                 " times ", axes);
  const Index each = count / axes / axes;
  std::vector<double> sums(static_cast<std::size_t>(each));
  for (Index axis = 0; axis < axes; ++axis)
    for (Index i = 0; i < each; ++i)
      sums[static_cast<std::size_t>(i)] += grad[static_cast<std::size_t>((axis * axes + axis) * each + i)];
  return sums;
}

}  // namespace rotary::inline ROTARY_ABI
