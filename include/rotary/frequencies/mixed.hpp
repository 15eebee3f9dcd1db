// RoPE-Mixed: two learned frequencies for every pair, so that each head rotates along its own direction.
#pragma once

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The start of a head of RoPE-Mixed, for `mixed_frequencies`.
struct MixedOptions {
  double angle = 0;  ///< ω, the direction of the first half of the pairs, in radians
};

/// The initial frequencies of a head of RoPE-Mixed whose axes are rotated by ω, on axes (y, x): a patch at
/// (y, x) rotates pair i by y · f(0, i) + x · f(1, i). Training changes them from there.
///
///     m_i = theta^(−4i/D), i < D/4, D being head_dim
///     x:  m_i cos ω   −m_i sin ω        the first D/4 pairs rotate along the direction of ω,
///     y:  m_i sin ω    m_i cos ω        the others across it
///
/// Throws std::invalid_argument unless head_dim is a multiple of 4, theta > 0, and the angle is finite.
///
/// @code
///   const rotary::Frequencies head = rotary::mixed_frequencies(64, 10, {.angle = 0.5});   // [2 axes, 32 pairs]
/// @endcode
///
/// Source: Heo et al. 2024 (rope-vit), with theta 10, `Pairing::interleaved` and coordinates from 0.
inline Frequencies mixed_frequencies(Index head_dim, double theta, const MixedOptions& options) {
  if (head_dim < 0 || head_dim % 4 != 0)
    detail::fail("head_dim is ", head_dim, ", it must be a multiple of 4");
  detail::check_finite("angle", options.angle);
  const double cos = std::cos(options.angle), sin = std::sin(options.angle);
  const Frequencies sizes = language_frequencies(head_dim / 2, theta);
  Frequencies frequencies{.values = {}, .axes = 2};
  frequencies.values.reserve(4 * sizes.values.size());
  for (const double direction : {sin, cos, cos, -sin})
    for (const DoubleDouble& size : sizes.values) frequencies.values.push_back(size * direction);
  return frequencies;
}

/// `mixed_frequencies` for `heads` heads, with angles drawn evenly from [0, 2π); one entry for each head, as
/// the constructor of `CosSinTable` takes them.
/// Throws std::invalid_argument unless heads ≥ 0, head_dim is a multiple of 4, and theta > 0.
///
/// @code
///   std::mt19937_64 generator(1);
///   const std::vector<rotary::Frequencies> heads = rotary::random_mixed_frequencies(64, 12, generator);
/// @endcode
template <class Generator>
std::vector<Frequencies> random_mixed_frequencies(Index head_dim, Index heads, Generator& generator,
                                                  double theta = 10) {
  std::vector<Frequencies> of_heads(detail::checked_count("heads", heads));
  for (Frequencies& head : of_heads) {
    const double part = std::generate_canonical<double, std::numeric_limits<double>::digits>(generator);
    head = mixed_frequencies(head_dim, theta, {.angle = 2 * kPi.hi * part});
  }
  return of_heads;
}

}  // namespace rotary::inline ROTARY_ABI
