// Frequencies by which random tests rotate the keys of a cache.
#pragma once

#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/frequencies/yarn.hpp>

#include "random.hpp"

namespace rotary::testing {

enum class KeyRotation { plain, yarn, xpos, mrope };

/// Frequencies of `pairs` pairs on `axes` axes; M-RoPE has YaRN's in half of the cases.
inline Frequencies random_frequencies(Random& random, KeyRotation kind, Index pairs, Index axes) {
  const double theta = random.pick({10000.0, 500000.0, 1234.5});
  const bool mrope = kind == KeyRotation::mrope;
  Frequencies frequencies = language_frequencies(2 * pairs, theta);
  if (kind == KeyRotation::yarn || (mrope && random.integer(0, 1) == 1))
    frequencies =
        yarn_frequencies(2 * pairs, theta,
                         {.factor = random.pick({2.0, 4.0, 40.0}), .original_max_position_embeddings = 4096});
  return mrope ? on_axes(frequencies, mrope_axes_chunked({1, 1, pairs - 2}), axes) : frequencies;
}

}  // namespace rotary::testing
