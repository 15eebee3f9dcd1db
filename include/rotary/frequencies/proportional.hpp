// Proportional RoPE: the frequencies of a whole head, of which the slow ones are zero.
#pragma once

#include <cmath>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameters of `proportional_frequencies`, under the names of configurations.
struct ProportionalOptions {
  double partial_rotary_factor = 1;  ///< the share of pairs that rotate, more than 0 and at most 1
  double factor = 1;                 ///< the divisor of the frequencies
};

/// Proportional RoPE: the frequencies of a whole head, of which the slow ones are 0.
///
///     f_i = theta^(−2i/head_dim) / factor   for i < ⌊partial_rotary_factor · head_dim / 2⌋,   else 0
///
/// This is not a partial rotation: exponents are over head_dim, and with `Pairing::half` the members of a
/// pair are head_dim/2 features from each other.
/// Throws std::invalid_argument unless 0 < partial_rotary_factor ≤ 1 and theta, factor > 0.
///
/// @code
///   const rotary::Frequencies gemma4 =
///       rotary::proportional_frequencies(512, 1000000, {.partial_rotary_factor = 0.25});   // 64 of 256 pairs rotate
/// @endcode
///
/// Source: Barbero et al. 2024 (p-RoPE); the layers of full attention of Gemma 4.
inline Frequencies proportional_frequencies(Index head_dim, double theta,
                                            const ProportionalOptions& options) {
  const double partial_rotary_factor = options.partial_rotary_factor;
  detail::check_positive("partial_rotary_factor", partial_rotary_factor);
  if (partial_rotary_factor > 1)
    detail::fail("partial_rotary_factor is ", partial_rotary_factor, ", it must be at most 1");
  Frequencies frequencies = scaled(language_frequencies(head_dim, theta), options.factor);
  const double rotating = std::floor(partial_rotary_factor * static_cast<double>(head_dim) / 2);
  for (auto i = static_cast<std::size_t>(rotating); i < frequencies.values.size(); ++i)
    frequencies.values[i] = 0;
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
