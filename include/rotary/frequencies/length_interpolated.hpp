// Position interpolation whose factor follows the length of the text.
#pragma once

#include "../frequencies.hpp"
#include "../positions/position_ids.hpp"

namespace rotary::inline ROTARY_ABI {

/// Position interpolation whose factor follows the length of the text, in tokens; not even the factor is
/// rounded:
///
///     f_i = theta^(−2i/rotary_dim) / max(factor, length / pretrained_length)
///
/// `interpolated_positions` divides the positions instead.
/// Throws std::invalid_argument unless length ≥ 0 and theta, factor, pretrained_length > 0.
///
/// @code
///   const rotary::Frequencies of_9000 =
///       rotary::length_interpolated_frequencies(128, 10000, {.pretrained_length = 4096}, 9000);
/// @endcode
///
/// Source: Transformer Engine.
inline Frequencies length_interpolated_frequencies(Index rotary_dim, double theta,
                                                   const LengthInterpolation& options, Index length) {
  return detail::scaled(language_frequencies(rotary_dim, theta),
                        detail::length_interpolation_factor(length, options));
}

}  // namespace rotary::inline ROTARY_ABI
