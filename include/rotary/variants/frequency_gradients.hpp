// Gradients with respect to what frequencies were made from: theta, factors, divisors.
//
// The rotation gives ∂L/∂f' for every pair (and ∂L/∂A for the magnitude); from there these go on, in closed
// form. Where a formula has a corner (a clamp, a rounded range) they are those of the piece it is on.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "llama3.hpp"
#include "longrope.hpp"
#include "ntk.hpp"
#include "proportional.hpp"
#include "yarn.hpp"

namespace rotary {

/// Gradients with respect to theta and to the factor of a variant.
struct ThetaGradients {
  double theta = 0, factor = 0;
};

/// Gradients with respect to the frequencies that were scaled, and to the factor.
struct ScalingGradients {
  std::vector<double> frequencies;
  double factor = 0;
};

namespace detail {

inline void check_gradient(std::span<const double> grad, std::size_t count) {
  if (grad.size() != count)
    fail("the gradient has ", grad.size(), " entries, it must have one for each of ", count, " frequencies");
}

/// Σ_i grad_i · (−2i/dim) f_i / theta: the gradient of every f that is theta^(−2i/dim) times what does not
/// depend on theta.
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

/// For `scaled`: ∂L/∂f_i = g_i / factor, ∂L/∂factor = −Σ g_i f_i / factor².
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

/// For `ntk_frequencies`: ∂L/∂theta, and ∂L/∂alpha = Σ g_i · (−2i/(dim − 2)) f'_i / alpha.
inline ThetaGradients ntk_gradients(Index dim, double theta, double alpha, std::span<const double> grad) {
  const double of_theta = detail::theta_gradient(ntk_frequencies(dim, theta, alpha), dim, theta, grad);
  const double exponent = static_cast<double>(dim) / static_cast<double>(dim - 2);
  return {of_theta, dim > 2 ? of_theta * theta * exponent / alpha : 0};
}

/// For `ntk_frequencies_vllm`: ∂L/∂theta, and ∂L/∂factor = −Σ g_i x_i f'_i / factor, with
/// x_i = ((i + 1) / (dim/2))^mixed_b.
inline ThetaGradients ntk_vllm_gradients(Index dim, double theta, double factor,
                                         std::optional<double> mixed_b, std::span<const double> grad) {
  const Frequencies frequencies = ntk_frequencies_vllm(dim, theta, factor, mixed_b);
  ThetaGradients gradients{.theta = detail::theta_gradient(frequencies, dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double exponent =
        std::pow(static_cast<double>(2 * (i + 1)) / static_cast<double>(dim), mixed_b.value_or(1));
    gradients.factor -= grad[i] * exponent * frequencies.values[i].hi / factor;
  }
  return gradients;
}

/// For `dynamic_ntk_frequencies`: that of the alpha form times ∂alpha/∂factor = max(length/M − 1, 0).
inline ThetaGradients dynamic_ntk_gradients(Index dim, double theta, double factor,
                                            double max_position_embeddings, double length,
                                            std::span<const double> grad) {
  const Frequencies frequencies =
      dynamic_ntk_frequencies(dim, theta, factor, max_position_embeddings, length);
  const double excess = std::max(length / max_position_embeddings - 1, 0.0);
  if (excess == 0) return {detail::theta_gradient(frequencies, dim, theta, grad), 0};
  ThetaGradients gradients = ntk_gradients(dim, theta, 1 + factor * excess, grad);
  gradients.factor *= excess;
  return gradients;
}

/// For `llama3_scaled`, with f'_i = f_i ((1 − t_i) / s + t_i):
/// ∂L/∂f_i = g_i ((1 − t_i) / s + t_i + (1 − 1/s) f_i ∂t_i/∂f_i), ∂L/∂s = −Σ g_i f_i (1 − t_i) / s².
inline ScalingGradients llama3_gradients(const Frequencies& frequencies, const Llama3Options& options,
                                         std::span<const double> grad) {
  detail::check(options);
  detail::check_gradient(grad, frequencies.values.size());
  const double s = options.factor, width = options.high_freq_factor - options.low_freq_factor;
  ScalingGradients gradients;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double f = frequencies.values[i].hi, t = detail::llama3_kept(frequencies.values[i], options).hi;
    const bool between = t > 0 && t < 1;
    const double t_slope = between ? options.original_max_position_embeddings / (2 * kPi.hi * width) : 0;
    gradients.frequencies.push_back(grad[i] * ((1 - t) / s + t + (1 - 1 / s) * f * t_slope));
    gradients.factor -= grad[i] * f * (1 - t) / (s * s);
  }
  return gradients;
}

/// ∂A/∂factor of `yarn_magnitude`.
inline double yarn_magnitude_gradient(const YarnOptions& options) {
  const auto [above, below, times] = detail::yarn_magnitude_terms(options);
  const double s = options.factor, divisor = yarn_mscale(s, below);
  if (s <= 1) return 0;
  return 0.1 * times * (above * divisor - below * yarn_mscale(s, above)) / (s * divisor * divisor);
}

/// For `yarn_frequencies`, `grad_magnitude` being ∂L/∂A. With f'_i = f_i ((1 − μ_i) / s + μ_i):
///
///     ∂L/∂s     = −Σ g_i f_i (1 − μ_i) / s² + grad_magnitude · ∂A/∂s
///     ∂L/∂theta = Σ g_i ((−2i/dim) f'_i / theta + (1 − 1/s) f_i ∂μ_i/∂theta)
///
/// The range depends on theta only without `truncate`, as c / (theta ln theta) of either end c.
inline ThetaGradients yarn_gradients(Index dim, double theta, const YarnOptions& options,
                                     std::span<const double> grad, double grad_magnitude = 0) {
  ThetaGradients gradients;
  gradients.theta = detail::theta_gradient(yarn_frequencies(dim, theta, options), dim, theta, grad);
  gradients.factor = grad_magnitude * yarn_magnitude_gradient(options);
  const CorrectionRange range = correction_range(dim, theta, options.original_max_position_embeddings,
                                                 options.beta_fast, options.beta_slow, options.truncate);
  const double low = range.low.hi, high = range.high.hi, width = high - low, s = options.factor;
  const bool low_moves = !options.truncate, high_moves = low_moves && high < static_cast<double>(dim - 1);
  const Frequencies plain = language_frequencies(dim, theta);
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double f = plain.values[i].hi, pair = static_cast<double>(i);
    const double ramp = correction_ramp(range, static_cast<Index>(i)).hi;
    gradients.factor -= grad[i] * f * (1 - options.extrapolation_factor * (1 - ramp)) / (s * s);
    if (ramp <= 0 || ramp >= 1) continue;
    const double ends = (low_moves ? low * (high - pair) : 0) + (high_moves ? high * (pair - low) : 0);
    const double ramp_slope = ends / (width * width * theta * std::log(theta));
    gradients.theta -= grad[i] * (1 - 1 / s) * f * options.extrapolation_factor * ramp_slope;
  }
  return gradients;
}

/// Gradients with respect to theta and to the divisors of the set in use.
struct LongRopeGradients {
  double theta = 0;
  std::vector<double> divisors;
};

/// For `longrope_frequencies`: ∂L/∂theta, and ∂L/∂e_i = −g_i f'_i / e_i.
inline LongRopeGradients longrope_gradients(Index dim, double theta, const LongRopeOptions& options,
                                            double length, std::span<const double> grad) {
  const Frequencies frequencies = longrope_frequencies(dim, theta, options, length);
  LongRopeGradients gradients{.theta = detail::theta_gradient(frequencies, dim, theta, grad), .divisors = {}};
  const auto& divisors = detail::is_long(options, length) ? options.long_factor : options.short_factor;
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradients.divisors.push_back(-grad[i] * frequencies.values[i].hi / divisors[i]);
  return gradients;
}

/// For `proportional_frequencies`; what does not turn has no say.
inline ThetaGradients proportional_gradients(Index head_dim, double theta, double partial_rotary_factor,
                                             double factor, std::span<const double> grad) {
  const Frequencies frequencies = proportional_frequencies(head_dim, theta, partial_rotary_factor, factor);
  ThetaGradients gradients{.theta = detail::theta_gradient(frequencies, head_dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradients.factor -= grad[i] * frequencies.values[i].hi / factor;
  return gradients;
}

}  // namespace rotary
