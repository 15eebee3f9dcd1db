// Position interpolation whose factor follows the length of the text.
#pragma once

#include "../frequencies.hpp"
#include "../positions/position_ids.hpp"

namespace rotary::inline ROTARY_ABI {

/// f_i = theta^(−2i/rotary_dim) / `length_interpolation_factor`, of which not even the factor is rounded:
/// Transformer Engine's position interpolation.
///
/// @code
///   const rotary::Frequencies of_9000 =
///       rotary::length_interpolated_frequencies(128, 10000, {.pretrained_length = 4096}, 9000);
/// @endcode
inline Frequencies length_interpolated_frequencies(Index rotary_dim, double theta,
                                                   const LengthInterpolation& options, Index length) {
  return detail::scaled(language_frequencies(rotary_dim, theta),
                        detail::length_interpolation_factor(length, options));
}

}  // namespace rotary::inline ROTARY_ABI
