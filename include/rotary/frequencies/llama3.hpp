// Llama 3's scaling: short waves are unchanged, long ones are interpolated, those between in part.
#pragma once

#include <algorithm>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameters of `llama3_frequencies`, under the names of configurations; the defaults are those of Llama
/// 3.1.
struct Llama3Options {
  double factor = 8;                               ///< s: how many times longer contexts become
  double low_freq_factor = 1;                      ///< pairs of at most so many turns over L: f / s
  double high_freq_factor = 4;                     ///< pairs of at least so many turns over L: f
  double original_max_position_embeddings = 8192;  ///< L, the context of pretraining, in tokens
};

namespace detail {

inline void check(const Llama3Options& options) {
  check_positive("factor", options.factor);
  check_positive("original_max_position_embeddings", options.original_max_position_embeddings);
  check_not_negative("low_freq_factor", options.low_freq_factor);
  check_not_negative("high_freq_factor", options.high_freq_factor);
  if (options.high_freq_factor < options.low_freq_factor)
    fail("high_freq_factor is ", options.high_freq_factor, ", it must not be less than low_freq_factor, ",
         options.low_freq_factor);
}

/// t, the share of a frequency that is not interpolated.
inline DoubleDouble llama3_unscaled_share(const DoubleDouble& f, const Llama3Options& options) {
  const DoubleDouble turns = f * options.original_max_position_embeddings / (2 * kPi);
  const DoubleDouble low = options.low_freq_factor, high = options.high_freq_factor;
  if (low == high) return turns > high ? 1 : 0;
  return std::clamp((turns - low) / (high - low), DoubleDouble(0), DoubleDouble(1));
}

/// Llama 3's scaling of any frequencies.
inline Frequencies llama3_scaled(Frequencies frequencies, const Llama3Options& options) {
  check(frequencies);
  check(options);
  for (DoubleDouble& f : frequencies.values) {
    const DoubleDouble unscaled = llama3_unscaled_share(f, options);
    f = f / options.factor * (1 - unscaled) + f * unscaled;
  }
  return frequencies;
}

}  // namespace detail

/// Llama 3's frequencies. With f = theta^(−2i/rotary_dim), low and high the two freq_factors, and L the
/// original context:
///
///     f' = (1 − t) f / s + t f,   t = clamp((L f / 2π − low) / (high − low), 0, 1)
///
/// If both factors are equal, as in Llama 4, waves shorter than L / low are unchanged; all others, also those
/// of exactly this length, are interpolated. ggml's `freq_factors` are f / f'.
/// Throws std::invalid_argument on an invalid option, naming it.
///
/// @code
///   const rotary::Frequencies llama31 = rotary::llama3_frequencies(128, 500000, {.factor = 8});
///   const rotary::RotaryEmbedding<float> rotary_emb(llama31, {.pairing = rotary::Pairing::half});
/// @endcode
///
/// Source: `rope_type` llama3 of Hugging Face's Llama 3.1.
inline Frequencies llama3_frequencies(Index rotary_dim, double theta, const Llama3Options& options) {
  return detail::llama3_scaled(language_frequencies(rotary_dim, theta), options);
}

}  // namespace rotary::inline ROTARY_ABI
