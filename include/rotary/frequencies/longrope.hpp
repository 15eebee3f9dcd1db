// LongRoPE: every pair has its own divisor, found by search; one set for short texts, another for long ones.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameters of `longrope_frequencies`, under the names of configurations.
struct LongRopeOptions {
  std::vector<double> short_factor = {},        ///< rotary_dim/2 divisors, for texts of at most L tokens
      long_factor = {};                         ///< rotary_dim/2 divisors, for longer texts
  double original_max_position_embeddings = 0;  ///< L, the context of pretraining, in tokens; must be given
  double max_position_embeddings = 0;           ///< M, in tokens; not needed if the magnitude is given
  std::optional<double> factor = {};            ///< s: how many times longer contexts become; left out, M / L
  std::optional<double> attention_factor = {};  ///< the magnitude; left out, it follows from s and L
  std::optional<double> short_mscale = {}, long_mscale = {};  ///< the magnitude of short texts, of long ones
};

namespace detail {

inline bool is_long(const LongRopeOptions& options, double length) {
  check_not_negative("length", length);
  check_positive("original_max_position_embeddings", options.original_max_position_embeddings);
  return length > options.original_max_position_embeddings;
}

inline void check_divisors(const char* name, const std::vector<double>& divisors, std::size_t pairs) {
  if (divisors.size() != pairs)
    fail(name, " has ", divisors.size(), " entries, it must have one for each of ", pairs, " pairs");
  for (const double& divisor : divisors)
    if (!finite_bits(divisor) || divisor <= 0)
      fail(name, " has an entry ", divisor, ", every entry must be positive and finite");
}

}  // namespace detail

/// The magnitude of LongRoPE: cos and sin are multiplied by it, and so scores by its square.
///
///     A = √(1 + ln s / ln L),   1 for s ≤ 1
///
/// An `attention_factor`, or the mscale of the set that `length` selects, takes its place.
/// Throws std::invalid_argument on an invalid option, naming it.
///
/// @code
///   const double a = rotary::longrope_magnitude(
///       {.original_max_position_embeddings = 4096, .max_position_embeddings = 131072}, 8000);   // √(1 + 5/12)
/// @endcode
///
/// Source: Ding et al. 2024, as in Hugging Face's Phi-3.
inline double longrope_magnitude(const LongRopeOptions& options, double length) {
  const auto& of_set = detail::is_long(options, length) ? options.long_mscale : options.short_mscale;
  if (const auto& given = of_set ? of_set : options.attention_factor) {
    detail::check_finite(of_set ? "the mscale of the set" : "attention_factor", *given);
    return *given;
  }
  const double original = options.original_max_position_embeddings;
  if (!options.factor) detail::check_positive("max_position_embeddings", options.max_position_embeddings);
  const double factor = options.factor.value_or(options.max_position_embeddings / original);
  detail::check_positive("factor", factor);
  if (factor <= 1) return 1;
  if (original <= 1)
    detail::fail("original_max_position_embeddings is ", original,
                 ", it must be more than 1 for the magnitude to follow from it");
  return std::sqrt(1 + std::log(factor) / std::log(original));
}

/// LongRoPE's frequencies: every pair has its own divisor, one set for short texts and one for long ones.
///
///     f'_i = theta^(−2i/rotary_dim) / long_factor_i     if length > original_max_position_embeddings
///     f'_i = theta^(−2i/rotary_dim) / short_factor_i    otherwise
///
/// The magnitude is `longrope_magnitude`. `length` is in tokens: in Hugging Face one more than the largest
/// position of the call, in vLLM the longest context it was started for; MLX-LM always takes the long set.
/// Keys rotated with one set do not match queries rotated with the other.
/// Throws std::invalid_argument unless both sets have rotary_dim/2 positive divisors.
///
/// @code
///   const rotary::LongRopeOptions options{.short_factor = std::vector<double>(32, 1.0),
///                                         .long_factor = std::vector<double>(32, 4.0),
///                                         .original_max_position_embeddings = 4096,
///                                         .max_position_embeddings = 131072};
///   const rotary::Frequencies of_long_texts = rotary::longrope_frequencies(64, 10000, options, 100000);
/// @endcode
///
/// Source: Ding et al. 2024; `longrope` or `su` of Phi-3 and later.
inline Frequencies longrope_frequencies(Index rotary_dim, double theta, const LongRopeOptions& options,
                                        double length) {
  Frequencies frequencies = language_frequencies(rotary_dim, theta);
  detail::check_divisors("short_factor", options.short_factor, frequencies.values.size());
  detail::check_divisors("long_factor", options.long_factor, frequencies.values.size());
  frequencies.magnitude = longrope_magnitude(options, length);
  const auto& divisors = detail::is_long(options, length) ? options.long_factor : options.short_factor;
  for (std::size_t i = 0; i < divisors.size(); ++i)
    frequencies.values[i] = frequencies.values[i] / divisors[i];
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
