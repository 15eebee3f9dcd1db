// YaRN: fast pairs are unchanged, slow ones interpolated, those between in part; and a magnitude for the
// scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "../frequencies.hpp"
#include "correction_range.hpp"

namespace rotary::inline ROTARY_ABI {

/// The formula of `yarn_magnitude`, A; implementations differ. With s the factor and g(s, m) = `yarn_mscale`:
///
///     hf         attention_factor if given; else g(s, 1), or if both are given and not zero
///                g(s, mscale) / g(s, mscale_all_dim)
///     original   g(s, 1) · attn_factor                 YaRN's repository, older vLLM
///     deepseek   g(s, mscale) / g(s, mscale_all_dim) · attn_factor, of 1 and 0 where not given
///     mlx        g(s, mscale) / g(s, mscale_all_dim), of 1 and 0 where not given   MLX-LM
///     ggml       g(s, 1) · attn_factor, and attn_factor alone if extrapolation_factor is 0
///
/// `deepseek` is vLLM's deepseek_yarn; with an mscale of 0.7, TeleChat3's 1 + 0.07 ln s.
enum class YarnMagnitude {
  hf,        ///< Hugging Face: attention_factor; else from both mscales if given and not 0; else g(s, 1)
  original,  ///< YaRN's repository and older vLLM: g(s, 1) · attn_factor
  deepseek,  ///< vLLM's deepseek_yarn: g(s, mscale) / g(s, mscale_all_dim) · attn_factor
  mlx,       ///< MLX-LM: g(s, mscale) / g(s, mscale_all_dim)
  ggml       ///< ggml: g(s, 1) · attn_factor; attn_factor alone if extrapolation_factor is 0
};

/// The parameters of `yarn_frequencies`, under the names of configurations.
struct YarnOptions {
  double factor = 1;                            ///< s: how many times longer contexts become
  double original_max_position_embeddings = 0;  ///< the context of pretraining, in tokens; must be given
  double beta_fast = 32;                        ///< pairs of at least so many turns over it are unchanged
  double beta_slow = 1;                         ///< pairs of at most so many turns over it are interpolated
  bool truncate = true;                         ///< rounds the range between them outwards to whole pairs
  double extrapolation_factor = 1;              ///< multiplies μ, the unscaled share; `ext_factor` of ggml
  std::optional<double> mscale = {}, mscale_all_dim = {};  ///< m of g(s, m): see `YarnMagnitude`
  std::optional<double> attention_factor = {};             ///< the magnitude, for YarnMagnitude::hf only
  double attn_factor = 1;                                  ///< multiplies the magnitude; not for hf and mlx
  YarnMagnitude magnitude = YarnMagnitude::hf;             ///< the formula of the magnitude
};

/// g(s, m) = 1 + 0.1 m ln s, and 1 for s ≤ 1: the term of which every `YarnMagnitude` is made.
/// Throws std::invalid_argument unless factor > 0 and mscale is finite.
///
/// @code
///   rotary::yarn_mscale(40, 0.707);   // 1.2608
/// @endcode
inline double yarn_mscale(double factor, double mscale = 1) {
  detail::check_positive("factor", factor);
  detail::check_finite("mscale", mscale);
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

namespace detail {

/// Every rule is A = g(s, above) / g(s, below) · times.
struct YarnMagnitudeTerms {
  double above, below, times;
};

inline YarnMagnitudeTerms yarn_magnitude_terms(const YarnOptions& options) {
  const double above = options.mscale.value_or(1), below = options.mscale_all_dim.value_or(0);
  const double times = options.attn_factor;
  check_finite("mscale", above);
  check_finite("mscale_all_dim", below);
  switch (options.magnitude) {
    case YarnMagnitude::hf:
      if (options.attention_factor) return {0, 0, *options.attention_factor};
      return !is_equal(options.mscale.value_or(0), 0.0) && !is_equal(below, 0)
                 ? YarnMagnitudeTerms{above, below, 1}
                 : YarnMagnitudeTerms{1, 0, 1};
    case YarnMagnitude::original:
      return {1, 0, times};
    case YarnMagnitude::deepseek:
      return {above, below, times};
    case YarnMagnitude::mlx:
      return {above, below, 1};
    case YarnMagnitude::ggml:
      return {!is_equal(options.extrapolation_factor, 0) ? 1.0 : 0.0, 0, times};
  }
  fail("magnitude is ", static_cast<int>(options.magnitude), ", which is none of the rules of YarnMagnitude");
}

}  // namespace detail

/// The magnitude A of YaRN, by the formula that `YarnMagnitude` has for `options.magnitude`: cos and sin are
/// multiplied by it, and so scores by A².
/// Throws std::invalid_argument if an option is invalid, naming it.
///
/// @code
///   rotary::yarn_magnitude({.factor = 4, .original_max_position_embeddings = 32768});   // 1 + 0.1 ln 4 = 1.1386
/// @endcode
inline double yarn_magnitude(const YarnOptions& options) {
  const auto [above, below, times] = detail::yarn_magnitude_terms(options);
  const double magnitude = yarn_mscale(options.factor, above) / yarn_mscale(options.factor, below) * times;
  detail::check_finite("the magnitude from attention_factor, attn_factor and mscale", magnitude);
  return magnitude;
}

/// The factor by which DeepSeek-V2 and V3 multiply the scale of their softmax, beside 1/√head_dim:
///
///     g(s, mscale_all_dim)²,   g being `yarn_mscale`
///
/// It is 1 without mscale_all_dim.
/// Throws std::invalid_argument unless factor > 0.
///
/// @code
///   rotary::yarn_softmax_scale({.factor = 40, .mscale = 1.0, .mscale_all_dim = 1.0});   // 1.8739
/// @endcode
///
/// Source: DeepSeek-V3 in Hugging Face.
inline double yarn_softmax_scale(const YarnOptions& options) {
  const double scale = yarn_mscale(options.factor, options.mscale_all_dim.value_or(0));
  return scale * scale;
}

/// YaRN's frequencies: fast pairs are unchanged, slow ones interpolated, those between in part.
///
///     f'_i = (1 − μ_i) f_i / factor + μ_i f_i,   f_i = theta^(−2i/rotary_dim)
///     μ_i  = extrapolation_factor · (1 − ramp_i)            `correction_ramp`, over `correction_range`
///
/// The magnitude is `yarn_magnitude`. Factor 1 changes nothing, and has magnitude 1.
/// Throws std::invalid_argument if an option is invalid, naming it, and where `correction_range` does: above
/// all if the original context is not longer than 2π · beta_slow tokens.
///
/// @code
///   const rotary::Frequencies qwen = rotary::yarn_frequencies(
///       128, 1000000, {.factor = 4, .original_max_position_embeddings = 32768});
///   const rotary::RotaryEmbedding<float> rotary_emb(qwen, {.pairing = rotary::Pairing::half});
/// @endcode
///
/// Source: Peng et al. 2023.
inline Frequencies yarn_frequencies(Index rotary_dim, double theta, const YarnOptions& options) {
  const double magnitude = yarn_magnitude(options);
  detail::check_finite("extrapolation_factor", options.extrapolation_factor);
  const CorrectionRange range = correction_range(rotary_dim, theta, options.original_max_position_embeddings,
                                                 options.beta_fast, options.beta_slow, options.truncate);
  Frequencies frequencies = language_frequencies(rotary_dim, theta);
  frequencies.magnitude = magnitude;
  Index pair = 0;
  for (DoubleDouble& f : frequencies.values) {
    const DoubleDouble unscaled = options.extrapolation_factor * (1 - correction_ramp(range, pair++));
    f = f / options.factor * (1 - unscaled) + f * unscaled;
  }
  return frequencies;
}

/// Dynamic YaRN: `yarn_frequencies` whose factor follows the length of the text, in tokens.
///
///     factor = max(options.factor, length / original_max_position_embeddings)
///
/// `length` is the longest so far; `options.factor` is 1 for a model that was not finetuned on longer
/// contexts.
/// Throws std::invalid_argument if `length` is negative, and where `yarn_frequencies` throws.
///
/// @code
///   const rotary::Frequencies of_8k = rotary::dynamic_yarn_frequencies(
///       128, 10000, {.original_max_position_embeddings = 4096}, 8192);   // factor 2
/// @endcode
///
/// Source: the dynamic form of the YaRN repository.
inline Frequencies dynamic_yarn_frequencies(Index rotary_dim, double theta, YarnOptions options,
                                            double length) {
  detail::check_not_negative("length", length);
  detail::check_positive("factor", options.factor);
  detail::check_positive("original_max_position_embeddings", options.original_max_position_embeddings);
  options.factor = std::max(options.factor, length / options.original_max_position_embeddings);
  return yarn_frequencies(rotary_dim, theta, options);
}

}  // namespace rotary::inline ROTARY_ABI
