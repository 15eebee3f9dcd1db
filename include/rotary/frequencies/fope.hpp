// FoPE (Fourier position embedding), as far as it is frequencies: pairs too slow to be trained do not turn.
#pragma once

#include <optional>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// f_i = theta^(−2i/dim), and 0 for pairs that make no full turn over `max_position_embeddings` positions;
/// or, if `num_inv_freq` is given, for all but the first so many.
///
/// FoPE (Hua et al. 2024) then mixes the cosines of a head by a learned matrix, and the sines by another,
/// which is no choice of frequencies, nor a rotation.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::fope_frequencies(64, 10000, 512);
/// @endcode
inline Frequencies fope_frequencies(Index dim, const DoubleDouble& theta, double max_position_embeddings,
                                    std::optional<Index> num_inv_freq = {}) {
  Frequencies frequencies = language_frequencies(dim, theta);
  if (num_inv_freq) {
    const std::size_t kept = detail::checked_count("num_inv_freq", *num_inv_freq);
    for (std::size_t i = kept; i < frequencies.values.size(); ++i) frequencies.values[i] = 0;
    return frequencies;
  }
  detail::check_positive("max_position_embeddings", max_position_embeddings);
  const DoubleDouble slowest = 2 * kPi / max_position_embeddings;
  for (DoubleDouble& f : frequencies.values)
    if (f <= slowest) f = 0;
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
