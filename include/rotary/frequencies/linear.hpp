// Position interpolation: all frequencies are divided by a factor, which has the effect of positions divided by
// it.
#pragma once

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameter of position interpolation, for `linear_frequencies`.
struct LinearOptions {
  double factor = 1;  ///< the divisor of positions: how many times longer contexts become
};

/// Position interpolation, `linear` in configurations; `scaled` does this to any frequencies.
///
///     f_i = theta^(−2i/rotary_dim) / factor
///
/// Throws std::invalid_argument unless rotary_dim ≥ 0 and theta, factor > 0.
///
/// @code
///   const rotary::Frequencies longer = rotary::linear_frequencies(4, 10000, {.factor = 4});   // 0.25, 0.0025
/// @endcode
///
/// Source: Chen et al. 2023.
inline Frequencies linear_frequencies(Index rotary_dim, double theta, const LinearOptions& options) {
  detail::check_positive("factor", options.factor);
  return scaled(language_frequencies(rotary_dim, theta), options.factor);
}

}  // namespace rotary::inline ROTARY_ABI
