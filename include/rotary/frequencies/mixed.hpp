// RoPE-Mixed: two learned frequencies for every pair, so that each head rotates along its own direction.
#pragma once

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The initial frequencies of a head whose axes are rotated by `angle`, on axes (y, x): a patch at (y, x)
/// rotates pair i by y · f(0, i) + x · f(1, i). Training changes them from there.
///
///     m_i = theta^(−4i/D), i < D/4
///     x:  m_i cos ω   −m_i sin ω        the first D/4 pairs rotate along the direction of ω,
///     y:  m_i sin ω    m_i cos ω        the others across it
///
/// Heo et al. 2024 (rope-vit): `Pairing::interleaved`, coordinates from 0.
inline Frequencies mixed_frequencies(Index head_dim, double angle = 0, const DoubleDouble& theta = 10) {
  if (head_dim < 0 || head_dim % 4 != 0)
    detail::fail("head_dim is ", head_dim, ", it must be a multiple of 4");
  detail::check_finite("angle", angle);
  const double cos = std::cos(angle), sin = std::sin(angle);
  const Frequencies sizes = language_frequencies(head_dim / 2, theta);
  Frequencies frequencies{.values = {}, .axes = 2};
  frequencies.values.reserve(4 * sizes.values.size());
  for (const double direction : {sin, cos, cos, -sin})
    for (const DoubleDouble& size : sizes.values) frequencies.values.push_back(size * direction);
  return frequencies;
}

/// `mixed_frequencies` for `heads` heads, with angles drawn evenly from [0, 2π).
///
/// @code
///   std::mt19937_64 generator(1);
///   const std::vector<rotary::Frequencies> heads = rotary::random_mixed_frequencies(64, 12, generator);
/// @endcode
template <class Generator>
std::vector<Frequencies> random_mixed_frequencies(Index head_dim, Index heads, Generator& generator,
                                                  const DoubleDouble& theta = 10) {
  std::vector<Frequencies> of_heads(detail::checked_count("heads", heads));
  for (Frequencies& head : of_heads) {
    const double part = std::generate_canonical<double, std::numeric_limits<double>::digits>(generator);
    head = mixed_frequencies(head_dim, 2 * kPi.hi * part, theta);
  }
  return of_heads;
}

}  // namespace rotary::inline ROTARY_ABI
