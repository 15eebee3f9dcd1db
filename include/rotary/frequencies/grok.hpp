// Grok-1's `extra_method`: YaRN's mixture as an arithmetic or a geometric mean, or a larger theta.
#pragma once

#include "../frequencies.hpp"
#include "correction_range.hpp"

namespace rotary::inline ROTARY_ABI {

/// Grok-1's `extra_method`, for `grok_frequencies`. With μ_i as in `yarn_frequencies` and s the factor:
///
///     original      f_i
///     yarn_linear   (1 − μ_i) f_i / s + μ_i f_i
///     yarn_log      f_i^μ_i · (f_i / s)^(1 − μ_i)
///     theta_scale   theta'^(−2i/rotary_dim), theta' = theta^(ln(L s / 2π) / ln(L / 2π)), L the
///                   original context
enum class GrokMethod {
  original,     ///< the frequencies are not scaled: f_i
  yarn_linear,  ///< YaRN's mixture as an arithmetic mean: (1 − μ_i) f_i / s + μ_i f_i
  yarn_log,     ///< YaRN's mixture as a geometric mean: f_i^μ_i · (f_i / s)^(1 − μ_i)
  theta_scale   ///< a larger theta: theta^(ln(L s / 2π) / ln(L / 2π))
};

/// The parameters of the Grok-1 family, for `grok_frequencies`.
struct GrokOptions {
  double factor = 1;                            ///< s: how many times longer contexts become
  double original_max_position_embeddings = 0;  ///< L, the context of pretraining, in tokens; must be given
  double beta_fast = 32;                        ///< pairs of at least so many turns over L are unchanged
  double beta_slow = 1;                         ///< pairs of at most so many turns over L are interpolated
  bool truncate = true;                         ///< rounds the range between them outwards to whole pairs
  double extrapolation_factor = 1;              ///< multiplies μ, the share of f_i in YaRN's mixture
  GrokMethod method = GrokMethod::yarn_log;     ///< the formula: `extra_method` in configurations
};

/// The frequencies of Grok-1, by the formula that `GrokMethod` has for `options.method`. The magnitude is 1:
/// vLLM computes YaRN's and then does not apply it.
///
/// Throws std::invalid_argument on an invalid option, naming it, and where `correction_range` throws.
///
/// @code
///   const rotary::Frequencies frequencies =
///       rotary::grok_frequencies(128, 10000, {.factor = 16, .original_max_position_embeddings = 8192});
/// @endcode
///
/// Source: `extra_method` in vLLM's configurations of Grok-1.
inline Frequencies grok_frequencies(Index rotary_dim, double theta, const GrokOptions& options) {
  const DoubleDouble factor = options.factor;
  detail::check_positive("factor", factor);
  detail::check_finite("extrapolation_factor", options.extrapolation_factor);
  if (options.method < GrokMethod::original || options.method > GrokMethod::theta_scale)
    detail::fail("method is ", static_cast<int>(options.method), ", which GrokMethod has not");
  if (options.method == GrokMethod::original) return language_frequencies(rotary_dim, theta);
  if (options.method == GrokMethod::theta_scale) {
    const DoubleDouble turns = options.original_max_position_embeddings / (2 * kPi);
    if (!isfinite(turns) || turns <= 1)
      detail::fail("original_max_position_embeddings is ", options.original_max_position_embeddings,
                   ", it must be finite and more than 2 pi");
    return detail::language_frequencies(rotary_dim,
                                        pow(DoubleDouble(theta), log(turns * factor) / log(turns)));
  }
  const CorrectionRange range = correction_range(rotary_dim, theta, options.original_max_position_embeddings,
                                                 options.beta_fast, options.beta_slow, options.truncate);
  Frequencies frequencies = language_frequencies(rotary_dim, theta);
  Index pair = 0;
  for (DoubleDouble& f : frequencies.values) {
    const DoubleDouble unscaled = options.extrapolation_factor * (1 - correction_ramp(range, pair++));
    f = options.method == GrokMethod::yarn_log ? f * pow(factor, unscaled - 1)
                                               : f / factor * (1 - unscaled) + f * unscaled;
  }
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
