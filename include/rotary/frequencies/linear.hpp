// Position interpolation: all frequencies are divided by a factor, which has the effect of positions divided by
// it.
#pragma once

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameter of position interpolation.
struct LinearOptions {
  double factor = 1;  ///< the divisor of positions: how many times longer contexts become
};

/// f_i = theta^(−2i/rotary_dim) / factor: `linear`, position interpolation (Chen et al. 2023). `scaled` does
/// this to any frequencies.
///
/// @code
///   const rotary::Frequencies four_times_longer = rotary::linear_frequencies(128, 10000, {.factor = 4});
/// @endcode
inline Frequencies linear_frequencies(Index rotary_dim, double theta, const LinearOptions& options) {
  detail::check_positive("factor", options.factor);
  return scaled(language_frequencies(rotary_dim, theta), options.factor);
}

}  // namespace rotary::inline ROTARY_ABI
