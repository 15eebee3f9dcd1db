// FoPE (Fourier position embedding): its frequencies, which are 0 for pairs too slow to be trained.
#pragma once

#include <optional>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// Which pairs of `fope_frequencies` rotate, under the names of configurations.
struct FopeOptions {
  double max_position_embeddings = 0;  ///< pairs of at most one turn over this many tokens do not rotate
  /// The number of pairs that rotate, from the first on; if given, max_position_embeddings is not used.
  std::optional<Index> num_inv_freq = {};
};

/// The frequencies of FoPE, which are 0 for pairs too slow to be trained:
///
///     f_i = theta^(−2i/rotary_dim)   if f_i · max_position_embeddings > 2π,   else 0
///     f_i = theta^(−2i/rotary_dim)   if i < num_inv_freq,                     else 0    where num_inv_freq is given
///
/// FoPE then multiplies the cosines of a head by a learned matrix, and the sines by another. That is not a
/// rotation, and not part of this library.
/// Throws std::invalid_argument unless rotary_dim, num_inv_freq ≥ 0 and theta, max_position_embeddings > 0.
///
/// @code
///   const rotary::Frequencies frequencies =
///       rotary::fope_frequencies(64, 10000, {.max_position_embeddings = 512});
/// @endcode
///
/// Source: Hua et al. 2024.
inline Frequencies fope_frequencies(Index rotary_dim, double theta, const FopeOptions& options) {
  Frequencies frequencies = language_frequencies(rotary_dim, theta);
  if (options.num_inv_freq) {
    const std::size_t nonzero = detail::checked_count("num_inv_freq", *options.num_inv_freq);
    for (std::size_t i = nonzero; i < frequencies.values.size(); ++i) frequencies.values[i] = 0;
    return frequencies;
  }
  detail::check_positive("max_position_embeddings", options.max_position_embeddings);
  const DoubleDouble slowest = 2 * kPi / options.max_position_embeddings;
  for (DoubleDouble& f : frequencies.values)
    if (f <= slowest) f = 0;
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
