// Resonance RoPE: the wavelength of every pair is a whole number of positions.
#pragma once

#include <cmath>
#include <optional>

#include "../frequencies.hpp"
#include "yarn.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameters of `resonance_frequencies`.
struct ResonanceOptions {
  std::optional<YarnOptions> yarn = {};  ///< if given, the wavelengths of YaRN are rounded, not plain ones
};

/// Resonance RoPE: the wavelength of every pair is rounded to a whole number of positions.
///
///     f'_i = 2π / round(2π / f_i),   f_i = theta^(−2i/rotary_dim), or those of YaRN with its magnitude
///
/// A pair has the same angle again after a whole number of positions, so that distances beyond the context of
/// training bring no new angles to pairs whose wavelength is shorter than it.
/// Throws std::invalid_argument if a wavelength is infinite or rounds to 0, and where `yarn_frequencies`
/// throws.
///
/// @code
///   const rotary::Frequencies plain = rotary::resonance_frequencies(128, 10000, {});   // 2π / 6, ...
///   const rotary::Frequencies longer = rotary::resonance_frequencies(
///       128, 10000, {.yarn = rotary::YarnOptions{.factor = 4, .original_max_position_embeddings = 4096}});
/// @endcode
///
/// Source: Wang et al. 2024, "Resonance RoPE", and the authors' code, which rounds the wavelengths of float32
/// frequencies. Exact ones are rounded here, which differs only where a wavelength is as good as halfway
/// between two whole numbers.
inline Frequencies resonance_frequencies(Index rotary_dim, double theta, const ResonanceOptions& options) {
  Frequencies frequencies = options.yarn ? yarn_frequencies(rotary_dim, theta, *options.yarn)
                                         : language_frequencies(rotary_dim, theta);
  for (DoubleDouble& f : frequencies.values) {
    const double wavelength = (2 * kPi / f).hi, rounded = std::round(wavelength);
    if (!detail::finite_bits(rounded) || detail::is_equal(std::fabs(rounded), 0))
      detail::fail("a pair has the wavelength ", wavelength, ", it must be finite and not round to 0");
    f = 2 * kPi / rounded;
  }
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
