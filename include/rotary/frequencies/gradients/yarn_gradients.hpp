// Gradients with respect to the parameters of YaRN and its relatives, which mix frequencies over a range of
// pairs.
#pragma once

#include <cmath>
#include <span>

#include "../grok.hpp"
#include "../ntk_by_parts.hpp"
#include "../yarn.hpp"
#include "frequency_gradients.hpp"

namespace rotary::inline ROTARY_ABI {

/// ∂A/∂s of `yarn_magnitude`, for the factor s: 0 for s ≤ 1, and where attention_factor gives A.
/// Throws std::invalid_argument if the factor or an mscale is invalid.
///
/// @code
///   const double slope = rotary::yarn_magnitude_gradient({.factor = 4});   // 0.1 / 4
/// @endcode
inline double yarn_magnitude_gradient(const YarnOptions& options) {
  const auto [above, below, times] = detail::yarn_magnitude_terms(options);
  const double s = options.factor, divisor = yarn_mscale(s, below);
  if (s <= 1) return 0;
  return 0.1 * times * (above * divisor - below * yarn_mscale(s, above)) / (s * divisor * divisor);
}

/// The gradient with respect to theta and the parameters of YaRN and of the Grok-1 family, as `yarn_gradient`
/// and `grok_gradient` return it.
struct YarnGradient {
  /// ∂L/∂theta, ∂L/∂factor and ∂L/∂extrapolation_factor, for the loss L.
  double theta = 0, factor = 0, extrapolation_factor = 0;

  /// ∂L/∂original_max_position_embeddings, ∂L/∂beta_fast and ∂L/∂beta_slow. In YaRN's mixtures these act
  /// through the ends of the range of pairs alone, so that they are 0 with `truncate`, which rounds the ends.
  double original_max_position_embeddings = 0, beta_fast = 0, beta_slow = 0;
};

namespace detail {

/// The derivatives of a pair's ramp with respect to the parameters of its range.
struct RampSlopes {
  double theta = 0, original_max_position_embeddings = 0, beta_fast = 0, beta_slow = 0;
};

/// The slopes for ends c(n) = d · ln(L / 2πn) / (2 ln theta), neither rounded nor clamped, d being rotary_dim:
/// ∂c/∂theta = −c / (theta ln theta), ∂c/∂L = d / (2 L ln theta), ∂c/∂n = −d / (2 n ln theta).
template <class Options>
RampSlopes ramp_slopes(const CorrectionRange& range, Index pair, Index rotary_dim, double theta,
                       const Options& options) {
  const double ramp = correction_ramp(range, pair).hi;
  if (options.truncate || ramp <= 0 || ramp >= 1) return {};
  const double low = range.low.hi, high = range.high.hi, width = high - low;
  const double of_low = low > 0 ? -(1 - ramp) / width : 0;
  const double of_high = high < static_cast<double>(rotary_dim - 1) ? -ramp / width : 0;
  const double each = static_cast<double>(rotary_dim) / (2 * std::log(theta));
  return {.theta = -(of_low * low + of_high * high) / (theta * std::log(theta)),
          .original_max_position_embeddings =
              (of_low + of_high) * each / options.original_max_position_embeddings,
          .beta_fast = -of_low * each / options.beta_fast,
          .beta_slow = -of_high * each / options.beta_slow};
}

/// The gradient of f_i / s and f_i mixed by μ_i: as the mean (1 − μ_i) f_i / s + μ_i f_i, or as the
/// geometric mean (f_i / s)^(1 − μ_i) · f_i^μ_i.
template <class Options>
YarnGradient mixture_gradient(const Frequencies& mixed, bool geometric, Index rotary_dim, double theta,
                              const Options& options, std::span<const double> grad) {
  YarnGradient gradient{.theta = theta_gradient(mixed, rotary_dim, theta, grad)};
  const CorrectionRange range = correction_range(rotary_dim, theta, options.original_max_position_embeddings,
                                                 options.beta_fast, options.beta_slow, options.truncate);
  const Frequencies plain = language_frequencies(rotary_dim, theta);
  const double s = options.factor, extrapolation = options.extrapolation_factor;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const Index pair = static_cast<Index>(i);
    const double stays = 1 - correction_ramp(range, pair).hi, unscaled = extrapolation * stays;
    const double f = (geometric ? mixed : plain).values[i].hi;
    gradient.factor -= grad[i] * f * (1 - unscaled) / (geometric ? s : s * s);
    const double of_unscaled = grad[i] * f * (geometric ? std::log(s) : 1 - 1 / s);  // ∂L/∂μ_i
    gradient.extrapolation_factor += of_unscaled * stays;
    const RampSlopes slopes = ramp_slopes(range, pair, rotary_dim, theta, options);
    const double of_ramp = -of_unscaled * extrapolation;
    gradient.theta += of_ramp * slopes.theta;
    gradient.original_max_position_embeddings += of_ramp * slopes.original_max_position_embeddings;
    gradient.beta_fast += of_ramp * slopes.beta_fast;
    gradient.beta_slow += of_ramp * slopes.beta_slow;
  }
  return gradient;
}

}  // namespace detail

/// The gradient of `yarn_frequencies`, from g_i = ∂L/∂f'_i for every pair and `grad_magnitude` = ∂L/∂A, with
/// d = rotary_dim and f'_i = f_i ((1 − μ_i) / s + μ_i):
///
///     ∂L/∂s     = −Σ g_i f_i (1 − μ_i) / s² + grad_magnitude · ∂A/∂s
///     ∂L/∂theta = Σ g_i (−2i/d) f'_i / theta + Σ ∂L/∂μ_i ∂μ_i/∂theta,   ∂L/∂μ_i = g_i (1 − 1/s) f_i
///
/// The extrapolation factor, and without `truncate` the original context and the two betas, act through μ_i
/// alone.
/// Throws std::invalid_argument where `yarn_frequencies` does, and unless `grad` has an entry for each pair.
///
/// @code
///   const rotary::YarnOptions yarn{.factor = 4, .original_max_position_embeddings = 32768};
///   const std::vector<double> grad(64, 1.0);   // ∂L/∂f'_i, from a rotation
///   const double of_factor = rotary::yarn_gradient(128, 1e6, yarn, grad).factor;
/// @endcode
inline YarnGradient yarn_gradient(Index rotary_dim, double theta, const YarnOptions& options,
                                  std::span<const double> grad, double grad_magnitude = 0) {
  YarnGradient gradient = detail::mixture_gradient(yarn_frequencies(rotary_dim, theta, options), false,
                                                   rotary_dim, theta, options, grad);
  gradient.factor += grad_magnitude * yarn_magnitude_gradient(options);
  return gradient;
}

/// The gradient of `grok_frequencies`, from g_i = ∂L/∂f'_i for every pair, by method:
///
///     original      ∂L/∂theta alone
///     yarn_linear   as `yarn_gradient`
///     yarn_log      ∂L/∂s = −Σ g_i f'_i (1 − μ_i) / s,   ∂L/∂μ_i = g_i f'_i ln s
///     theta_scale   with T = Σ g_i (−2i/rotary_dim) f'_i and k = ln(L s / 2π) / ln(L / 2π):
///                   ∂L/∂theta = k T / theta,   ∂L/∂s = T ln theta ∂k/∂s,   ∂L/∂L = T ln theta ∂k/∂L
///
/// Throws std::invalid_argument where `grok_frequencies` does, and unless `grad` has an entry for each pair.
/// Called as `yarn_gradient`, which has an example.
inline YarnGradient grok_gradient(Index rotary_dim, double theta, const GrokOptions& options,
                                  std::span<const double> grad) {
  const Frequencies frequencies = grok_frequencies(rotary_dim, theta, options);
  const bool geometric = options.method == GrokMethod::yarn_log;
  if (geometric || options.method == GrokMethod::yarn_linear)
    return detail::mixture_gradient(frequencies, geometric, rotary_dim, theta, options, grad);
  const double plain = detail::theta_gradient(frequencies, rotary_dim, theta, grad);
  if (options.method == GrokMethod::original) return {.theta = plain};
  const double length = options.original_max_position_embeddings, s = options.factor;
  const double turns = std::log(length / (2 * kPi.hi)), of_exponent = plain * theta * std::log(theta);
  return {.theta = plain * (1 + std::log(s) / turns),
          .factor = of_exponent / (s * turns),
          .original_max_position_embeddings = -of_exponent * std::log(s) / (length * turns * turns)};
}

/// The gradient with respect to theta and the options of `ntk_by_parts_frequencies`, as
/// `ntk_by_parts_gradient` returns it.
struct NtkByPartsGradient {
  /// ∂L/∂theta, ∂L/∂factor, ∂L/∂ntk_factor and ∂L/∂extrapolation_factor, for the loss L.
  double theta = 0, factor = 0, ntk_factor = 0, extrapolation_factor = 0;
};

/// The gradient of `ntk_by_parts_frequencies`, whose ranges are rounded, from grad_i = ∂L/∂f'_i for every
/// pair, with d = rotary_dim, and μ, ν, g and ntk as there:
///
///     ∂L/∂theta                = Σ grad_i (−2i/d) f'_i / theta
///     ∂L/∂s                    = Σ grad_i (1 − ν_i) (μ_i ntk_i (−2i/(d − 2)) / s − (1 − μ_i) f_i / s²)
///     ∂L/∂ntk_factor           = Σ grad_i (1 − ν_i) (ntk_i − f_i / s) ∂μ_i/∂ntk_factor
///     ∂L/∂extrapolation_factor = Σ grad_i (f_i − g_i) ∂ν_i/∂extrapolation_factor
///
/// Throws std::invalid_argument where `ntk_by_parts_frequencies` does, and unless `grad` has an entry for
/// each pair. Called as `yarn_gradient`, which has an example.
inline NtkByPartsGradient ntk_by_parts_gradient(Index rotary_dim, double theta,
                                                const NtkByPartsOptions& options,
                                                std::span<const double> grad) {
  const Frequencies frequencies = ntk_by_parts_frequencies(rotary_dim, theta, options);
  NtkByPartsGradient gradient{.theta = detail::theta_gradient(frequencies, rotary_dim, theta, grad)};
  const double length = options.original_max_position_embeddings, s = options.factor;
  const CorrectionRange to_ntk = correction_range(rotary_dim, theta, length, 1.25, 0.75);
  const CorrectionRange to_plain = correction_range(rotary_dim, theta, length, 16, 2);
  const Frequencies plain = language_frequencies(rotary_dim, theta),
                    ntk = ntk_frequencies(rotary_dim, theta, {.alpha = s});
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const Index pair = static_cast<Index>(i);
    const double f = plain.values[i].hi, linear = f / s, scaled = ntk.values[i].hi;
    const double in_ntk = 1 - correction_ramp(to_ntk, pair).hi, taken = options.ntk_factor * in_ntk;
    const double in_plain = 1 - correction_ramp(to_plain, pair).hi;
    const double of_mixed = grad[i] * (1 - options.extrapolation_factor * in_plain);  // ∂L/∂g_i
    const double exponent =
        pair > 0 ? -2 * static_cast<double>(pair) / static_cast<double>(rotary_dim - 2) : 0;  // of s in ntk_i
    gradient.factor += of_mixed * (taken * scaled * exponent - (1 - taken) * linear) / s;
    gradient.ntk_factor += of_mixed * (scaled - linear) * in_ntk;
    gradient.extrapolation_factor += grad[i] * (f - linear * (1 - taken) - scaled * taken) * in_plain;
  }
  return gradient;
}

}  // namespace rotary::inline ROTARY_ABI
