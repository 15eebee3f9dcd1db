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

/// The parameter of NTK-aware scaling: HunYuan's `dynamic` with an `alpha`, and `xdrope`.
struct NtkOptions {
  double alpha = 1;  ///< how many times slower the last pair becomes
};

/// NTK-aware frequencies f_i = (theta · alpha^(d/(d − 2)))^(−2i/d), d being rotary_dim: the first pair is
/// unchanged, the last is alpha times slower.
///
/// The form of the YaRN repository, of rotary-embedding-torch (`theta_rescale_factor`) and of HunYuan
/// (`alpha`). Throws for alpha other than 1 with rotary_dim 2, where the exponent is undefined.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::ntk_frequencies(128, 10000, {.alpha = 8});
///   const rotary::CosSinTable<float> table(frequencies, rotary::Positions::consecutive(16));
/// @endcode
inline Frequencies ntk_frequencies(Index rotary_dim, double theta, const NtkOptions& options) {
  return detail::ntk_frequencies_of("alpha", rotary_dim, theta, options.alpha);
}

/// The parameters of vLLM's `ntk`.
struct VllmNtkOptions {
  double factor = 1;                   ///< how many times slower the last pair becomes
  std::optional<double> mixed_b = {};  ///< how the others follow; 1 if left out
};

/// vLLM's `ntk`: f_i · factor^(−((i + 1) / (rotary_dim/2))^mixed_b), which slows down even the first pair.
///
/// `mixed_b` is 1 by default, which makes this (theta · factor)^(−2i/d) / factor^(2/d), d being rotary_dim. Throws
/// unless factor > 0.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::vllm_ntk_frequencies(128, 10000, {.factor = 4});
/// @endcode
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

/// The parameters of Hugging Face's `dynamic`.
struct DynamicNtkOptions {
  double factor = 1;                   ///< how fast alpha grows beyond M
  double max_position_embeddings = 0;  ///< M, the longest text with plain frequencies; must be given
};

/// Dynamic NTK: `ntk_frequencies` with alpha = factor · L/M − (factor − 1), where M is
/// `max_position_embeddings` and L the larger of `length` and M. Up to M the frequencies are plain; the
/// longer the text, the slower they are.
///
/// The rule of Hugging Face's `dynamic`, where `length` is one more than the largest position so far: see
/// `dynamic_ntk_length`.
///
/// @code
///   const rotary::Frequencies of_16k = rotary::dynamic_ntk_frequencies(
///       128, 10000, {.factor = 10, .max_position_embeddings = 2048}, 16384);
/// @endcode
inline Frequencies dynamic_ntk_frequencies(Index rotary_dim, double theta, const DynamicNtkOptions& options,
                                           double length) {
  const DoubleDouble factor = options.factor, limit = options.max_position_embeddings;
  detail::check_positive("factor", factor);
  detail::check_positive("max_position_embeddings", limit);
  detail::check_not_negative("length", length);
  const DoubleDouble excess = std::max(length - limit, DoubleDouble(0));
  return detail::ntk_frequencies_of("the stretch of theta", rotary_dim, theta, 1 + factor * excess / limit);
}

/// The parameter of dynamic NTK that is frozen at its final length.
struct FrozenDynamicNtkOptions {
  double factor = 1;  ///< the final length over `max_position_embeddings`
};

/// Dynamic NTK frozen at the final length, factor · max_position_embeddings: `ntk_frequencies` with
/// alpha = factor² − factor + 1. vLLM and SGLang implement `dynamic` like this, also for short texts.
inline Frequencies frozen_dynamic_ntk_frequencies(Index rotary_dim, double theta,
                                                  const FrozenDynamicNtkOptions& options) {
  const DoubleDouble factor = options.factor;
  detail::check_positive("factor", factor);
  return detail::ntk_frequencies_of("the stretch of theta", rotary_dim, theta, 1 + factor * (factor - 1));
}

/// The length for `dynamic_ntk_frequencies` in Hugging Face: the longest so far, until a text shorter than
/// `max_position_embeddings` resets it.
///
/// Hugging Face stores it between two calls. `length_in_use` is the result of the call before, at first
/// `max_position_embeddings`.
///
/// @code
///   double in_use = 2048;
///   in_use = rotary::dynamic_ntk_length(in_use, 5000, 2048);   // 5000
///   in_use = rotary::dynamic_ntk_length(in_use, 3000, 2048);   // still 5000
///   in_use = rotary::dynamic_ntk_length(in_use, 12, 2048);     // 2048
/// @endcode
inline double dynamic_ntk_length(double length_in_use, double length, double max_position_embeddings) {
  detail::check_not_negative("length_in_use", length_in_use);
  detail::check_not_negative("length", length);
  detail::check_positive("max_position_embeddings", max_position_embeddings);
  return length < max_position_embeddings ? max_position_embeddings : std::max(length_in_use, length);
}

/// The alpha of Qwen-1's `use_dynamic_ntk`, for `ntk_frequencies`: 2^⌈log2(length / original) + 1⌉ − 1, at
/// least 1. Throws unless both lengths, in tokens, are positive.
inline double qwen_ntk_alpha(double length, double original_max_position_embeddings) {
  detail::check_positive("length", length);
  detail::check_positive("original_max_position_embeddings", original_max_position_embeddings);
  const double doublings = std::ceil(std::log2(length / original_max_position_embeddings) + 1);
  return std::max(std::exp2(doublings) - 1, 1.0);
}

/// The parameter of Qwen-1's `use_dynamic_ntk`.
struct QwenNtkOptions {
  double original_max_position_embeddings = 0;  ///< the longest text with plain frequencies; must be given
};

/// Qwen-1's `use_dynamic_ntk`: `ntk_frequencies` with the alpha of `qwen_ntk_alpha`.
///
/// @code
///   const rotary::Frequencies of_8k =
///       rotary::qwen_ntk_frequencies(128, 10000, {.original_max_position_embeddings = 2048}, 8192);
/// @endcode
inline Frequencies qwen_ntk_frequencies(Index rotary_dim, double theta, const QwenNtkOptions& options,
                                        double length) {
  const double original = options.original_max_position_embeddings;
  detail::check_positive("original_max_position_embeddings", original);
  detail::check_not_negative("length", length);
  return ntk_frequencies(rotary_dim, theta,
                         {.alpha = length > original ? qwen_ntk_alpha(length, original) : 1});
}

}  // namespace rotary::inline ROTARY_ABI
