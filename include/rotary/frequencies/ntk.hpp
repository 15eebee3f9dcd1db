// NTK-aware scaling: a larger theta for longer contexts, which hardly changes fast pairs and slows the others
// down.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {
namespace detail {

/// rescaled_theta, whose errors call the factor `name`.
inline DoubleDouble ntk_theta(const char* name, const DoubleDouble& theta, const DoubleDouble& factor,
                              Index rotary_dim) {
  check_positive(name, factor);
  if (rotary_dim <= 2 && factor != 1)
    fail(name, " is ", factor.hi, " with rotary_dim ", rotary_dim,
         ", which has no second pair to slow down: it must be 1, or rotary_dim at least 3");
  return rescaled_theta(theta, factor, rotary_dim);
}

/// `ntk_frequencies` whose alpha, called `name` in errors, no double may hold.
inline Frequencies ntk_frequencies_of(const char* name, Index rotary_dim, const DoubleDouble& theta,
                                      const DoubleDouble& alpha) {
  return language_frequencies(rotary_dim, ntk_theta(name, theta, alpha, rotary_dim));
}

}  // namespace detail

/// The parameter of `ntk_frequencies`: HunYuan's `dynamic` with an `alpha`, and `xdrope`.
struct NtkOptions {
  double alpha = 1;  ///< how many times slower the last pair becomes
};

/// NTK-aware scaling: a larger theta, so that the first pair is unchanged and the last is alpha times slower.
///
///     f_i = (theta · alpha^(d/(d − 2)))^(−2i/d),   d = rotary_dim
///
/// Throws std::invalid_argument unless theta, alpha > 0, and for an alpha other than 1 with rotary_dim 2,
/// where the exponent is undefined.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::ntk_frequencies(4, 10000, {.alpha = 8});   // 1, 0.00125
/// @endcode
///
/// Source: the YaRN repository; `theta_rescale_factor` of rotary-embedding-torch; `alpha` of HunYuan.
inline Frequencies ntk_frequencies(Index rotary_dim, double theta, const NtkOptions& options) {
  return detail::ntk_frequencies_of("alpha", rotary_dim, theta, options.alpha);
}

/// The parameters of `vllm_ntk_frequencies`.
struct VllmNtkOptions {
  double factor = 1;                   ///< how many times slower the last pair becomes
  std::optional<double> mixed_b = {};  ///< the exponent of (i + 1) / (d/2) in the formula; 1 if left out
};

/// vLLM's `ntk`, which slows down even the first pair:
///
///     f'_i = f_i · factor^(−((i + 1) / (d/2))^mixed_b),   f_i = theta^(−2i/d),   d = rotary_dim
///
/// `mixed_b` is 1 if left out, which makes this (theta · factor)^(−2i/d) / factor^(2/d).
/// Throws std::invalid_argument unless theta, factor > 0 and mixed_b is finite.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::vllm_ntk_frequencies(4, 10000, {.factor = 4});   // 0.5, 0.0025
/// @endcode
///
/// Source: `rope_type` ntk of vLLM.
inline Frequencies vllm_ntk_frequencies(Index rotary_dim, double theta, const VllmNtkOptions& options) {
  const DoubleDouble factor = options.factor, exponent = options.mixed_b.value_or(1);
  detail::check_positive("factor", factor);
  detail::check_finite("mixed_b", exponent);
  Frequencies frequencies = language_frequencies(rotary_dim, theta);
  Index next = 1;
  for (DoubleDouble& f : frequencies.values)
    f = f * pow(factor, -pow(DoubleDouble(2 * next++) / rotary_dim, exponent));
  return frequencies;
}

/// The parameters of `dynamic_ntk_frequencies`: Hugging Face's `dynamic`.
struct DynamicNtkOptions {
  double factor = 1;                   ///< alpha, which is 1 up to M tokens, grows by this for every M more
  double max_position_embeddings = 0;  ///< M: up to so many tokens frequencies are plain; must be given
};

/// Dynamic NTK: up to M tokens the frequencies are plain; the longer the text, the slower they are.
///
///     `ntk_frequencies` with alpha = factor · max(length, M) / M − (factor − 1),   M = max_position_embeddings
///
/// `length`, in tokens, is one more than the largest position so far: see `dynamic_ntk_length`.
/// Throws std::invalid_argument unless length ≥ 0 and factor, M > 0, and where `ntk_frequencies` throws.
///
/// @code
///   const rotary::Frequencies of_16k = rotary::dynamic_ntk_frequencies(
///       128, 10000, {.factor = 10, .max_position_embeddings = 2048}, 16384);
/// @endcode
///
/// Source: `rope_type` dynamic of Hugging Face.
inline Frequencies dynamic_ntk_frequencies(Index rotary_dim, double theta, const DynamicNtkOptions& options,
                                           double length) {
  const DoubleDouble factor = options.factor, limit = options.max_position_embeddings;
  detail::check_positive("factor", factor);
  detail::check_positive("max_position_embeddings", limit);
  detail::check_not_negative("length", length);
  const DoubleDouble excess = std::max(length - limit, DoubleDouble(0));
  return detail::ntk_frequencies_of("the stretch of theta", rotary_dim, theta, 1 + factor * excess / limit);
}

/// The parameter of `frozen_dynamic_ntk_frequencies`.
struct FrozenDynamicNtkOptions {
  double factor = 1;  ///< the final length over `max_position_embeddings`
};

/// Dynamic NTK frozen at its final length, factor · max_position_embeddings, also for short texts:
/// `ntk_frequencies` with alpha = factor² − factor + 1.
/// Throws std::invalid_argument unless factor > 0, and where `ntk_frequencies` throws.
///
/// @code
///   const auto frequencies = rotary::frozen_dynamic_ntk_frequencies(4, 10000, {.factor = 4});   // 1, 0.01 / 13
/// @endcode
///
/// Source: `rope_type` dynamic of vLLM and SGLang.
inline Frequencies frozen_dynamic_ntk_frequencies(Index rotary_dim, double theta,
                                                  const FrozenDynamicNtkOptions& options) {
  const DoubleDouble factor = options.factor;
  detail::check_positive("factor", factor);
  return detail::ntk_frequencies_of("the stretch of theta", rotary_dim, theta, 1 + factor * (factor - 1));
}

/// The length, in tokens, for `dynamic_ntk_frequencies` in Hugging Face: the longest so far, until a text
/// shorter than `max_position_embeddings` resets it.
///
/// Hugging Face stores it between two calls. `length_in_use` is the result of the call before, at first
/// `max_position_embeddings`.
/// Throws std::invalid_argument unless both lengths are ≥ 0 and max_position_embeddings > 0.
///
/// @code
///   double in_use = 2048;
///   in_use = rotary::dynamic_ntk_length(in_use, 5000, 2048);   // 5000
///   in_use = rotary::dynamic_ntk_length(in_use, 3000, 2048);   // still 5000
///   in_use = rotary::dynamic_ntk_length(in_use, 12, 2048);     // 2048
/// @endcode
///
/// Source: `dynamic_rope_update` of Hugging Face.
inline double dynamic_ntk_length(double length_in_use, double length, double max_position_embeddings) {
  detail::check_not_negative("length_in_use", length_in_use);
  detail::check_not_negative("length", length);
  detail::check_positive("max_position_embeddings", max_position_embeddings);
  return length < max_position_embeddings ? max_position_embeddings : std::max(length_in_use, length);
}

/// The alpha of Qwen-1's `use_dynamic_ntk`, for `ntk_frequencies`:
///
///     max(2^⌈log2(length / original_max_position_embeddings) + 1⌉ − 1, 1)
///
/// Throws std::invalid_argument unless both lengths, in tokens, are positive.
///
/// @code
///   rotary::qwen_ntk_alpha(2048, 2048);   // 1
///   rotary::qwen_ntk_alpha(8192, 2048);   // 7
/// @endcode
inline double qwen_ntk_alpha(double length, double original_max_position_embeddings) {
  detail::check_positive("length", length);
  detail::check_positive("original_max_position_embeddings", original_max_position_embeddings);
  const double doublings = std::ceil(std::log2(length / original_max_position_embeddings) + 1);
  return std::max(std::exp2(doublings) - 1, 1.0);
}

/// The parameter of `qwen_ntk_frequencies`.
struct QwenNtkOptions {
  double original_max_position_embeddings = 0;  ///< up to so many tokens frequencies are plain; must be given
};

/// Qwen-1's `use_dynamic_ntk`: `ntk_frequencies` with the alpha of `qwen_ntk_alpha` for a text of `length`
/// tokens, and plain frequencies up to original_max_position_embeddings.
/// Throws std::invalid_argument unless length ≥ 0 and original_max_position_embeddings > 0, and where
/// `ntk_frequencies` throws.
///
/// @code
///   const rotary::Frequencies of_8k =
///       rotary::qwen_ntk_frequencies(128, 10000, {.original_max_position_embeddings = 2048}, 8192);   // alpha 7
/// @endcode
///
/// Source: Qwen-1's code on Hugging Face.
inline Frequencies qwen_ntk_frequencies(Index rotary_dim, double theta, const QwenNtkOptions& options,
                                        double length) {
  const double original = options.original_max_position_embeddings;
  detail::check_positive("original_max_position_embeddings", original);
  detail::check_not_negative("length", length);
  return ntk_frequencies(rotary_dim, theta,
                         {.alpha = length > original ? qwen_ntk_alpha(length, original) : 1});
}

}  // namespace rotary::inline ROTARY_ABI
