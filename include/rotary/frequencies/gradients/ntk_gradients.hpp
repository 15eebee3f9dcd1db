// Gradients with respect to the parameters of NTK-aware scaling.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "../ntk.hpp"
#include "frequency_gradients.hpp"

namespace rotary::inline ROTARY_ABI {

/// The gradient with respect to theta and the options of `ntk_frequencies`, as `ntk_gradient` returns it.
struct NtkGradient {
  /// ∂L/∂theta and ∂L/∂alpha, for the loss L.
  double theta = 0, alpha = 0;
};

/// The gradient of `ntk_frequencies`, from g_i = ∂L/∂f'_i for every pair, with d = rotary_dim:
///
///     ∂L/∂theta = Σ g_i · (−2i/d) f'_i / theta,   ∂L/∂alpha = Σ g_i · (−2i/(d − 2)) f'_i / alpha
///
/// Throws std::invalid_argument where `ntk_frequencies` does, and unless `grad` has an entry for each pair.
/// Called as `linear_gradient`, which has an example.
inline NtkGradient ntk_gradient(Index rotary_dim, double theta, const NtkOptions& options,
                                std::span<const double> grad) {
  const double of_theta =
      detail::theta_gradient(ntk_frequencies(rotary_dim, theta, options), rotary_dim, theta, grad);
  const double exponent = static_cast<double>(rotary_dim) / static_cast<double>(rotary_dim - 2);
  return {of_theta, rotary_dim > 2 ? of_theta * theta * exponent / options.alpha : 0};
}

/// The gradient with respect to theta and the options of `vllm_ntk_frequencies`, as `vllm_ntk_gradient`
/// returns it.
struct VllmNtkGradient {
  /// ∂L/∂theta and ∂L/∂factor, for the loss L.
  double theta = 0, factor = 0;
  double mixed_b = 0;  ///< ∂L/∂mixed_b, at mixed_b = 1 if the option was left out
};

/// The gradient of `vllm_ntk_frequencies`, from g_i = ∂L/∂f'_i for every pair, with
/// x_i = (i + 1) / (rotary_dim/2) and f'_i = f_i · factor^(−x_i^mixed_b):
///
///     ∂L/∂theta   = Σ g_i · (−2i/rotary_dim) f'_i / theta
///     ∂L/∂factor  = −Σ g_i x_i^mixed_b f'_i / factor
///     ∂L/∂mixed_b = −Σ g_i x_i^mixed_b ln x_i · f'_i ln factor
///
/// Throws std::invalid_argument where `vllm_ntk_frequencies` does, and unless `grad` has an entry for each
/// pair. Called as `linear_gradient`, which has an example.
inline VllmNtkGradient vllm_ntk_gradient(Index rotary_dim, double theta, const VllmNtkOptions& options,
                                         std::span<const double> grad) {
  const Frequencies frequencies = vllm_ntk_frequencies(rotary_dim, theta, options);
  VllmNtkGradient gradient{.theta = detail::theta_gradient(frequencies, rotary_dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double x = static_cast<double>(2 * (i + 1)) / static_cast<double>(rotary_dim);
    const double weight = grad[i] * std::pow(x, options.mixed_b.value_or(1)) * frequencies.values[i].hi;
    gradient.factor -= weight / options.factor;
    gradient.mixed_b -= weight * std::log(x) * std::log(options.factor);
  }
  return gradient;
}

/// The gradient with respect to theta and the factor of dynamic NTK, as `dynamic_ntk_gradient` and
/// `frozen_dynamic_ntk_gradient` return it.
struct DynamicNtkGradient {
  /// ∂L/∂theta and ∂L/∂factor, for the loss L.
  double theta = 0, factor = 0;
};

/// The gradient of `dynamic_ntk_frequencies`, from g_i = ∂L/∂f'_i for every pair: that of `ntk_gradient`,
/// with
///
///     ∂alpha/∂factor = max(length/M − 1, 0),   M = max_position_embeddings
///
/// `length` is in tokens.
/// Throws std::invalid_argument where `dynamic_ntk_frequencies` does, and unless `grad` has an entry for each
/// pair.
///
/// @code
///   const std::vector<double> grad(64, 1.0);   // ∂L/∂f'_i, from a rotation
///   const double of_factor = rotary::dynamic_ntk_gradient(
///       128, 10000, {.factor = 2, .max_position_embeddings = 2048}, 16384, grad).factor;
/// @endcode
inline DynamicNtkGradient dynamic_ntk_gradient(Index rotary_dim, double theta,
                                               const DynamicNtkOptions& options, double length,
                                               std::span<const double> grad) {
  const Frequencies frequencies = dynamic_ntk_frequencies(rotary_dim, theta, options, length);
  const double excess = std::max(length / options.max_position_embeddings - 1, 0.0);
  if (detail::is_equal(excess, 0)) return {detail::theta_gradient(frequencies, rotary_dim, theta, grad), 0};
  const NtkGradient ntk = ntk_gradient(rotary_dim, theta, {.alpha = 1 + options.factor * excess}, grad);
  return {ntk.theta, ntk.alpha * excess};
}

/// The gradient of `frozen_dynamic_ntk_frequencies`, from g_i = ∂L/∂f'_i for every pair: that of
/// `ntk_gradient`, with ∂alpha/∂factor = 2 factor − 1.
/// Throws std::invalid_argument where `frozen_dynamic_ntk_frequencies` does, and unless `grad` has an entry
/// for each pair. Called as `linear_gradient`, which has an example.
inline DynamicNtkGradient frozen_dynamic_ntk_gradient(Index rotary_dim, double theta,
                                                      const FrozenDynamicNtkOptions& options,
                                                      std::span<const double> grad) {
  const double factor = options.factor;
  detail::check_positive("factor", factor);
  const NtkGradient ntk = ntk_gradient(rotary_dim, theta, {.alpha = 1 + factor * (factor - 1)}, grad);
  return {ntk.theta, ntk.alpha * (2 * factor - 1)};
}

}  // namespace rotary::inline ROTARY_ABI
