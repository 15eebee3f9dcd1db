// Dropout of attention probabilities, by a hash of their indices.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../core/error.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Which attention probabilities are dropped. This is a hash of the seed and the indices of a probability, so
/// that backward finds the dropped ones without storing them, and the order or number of threads does not
/// matter.
struct AttentionDropout {
  double probability = 0;
  std::uint64_t seed = 0;

  bool active() const { return probability > 0; }

  /// Writes 0 or 1 / (1 − probability) for keys [first, first + count) of one query, named by its sequence, head and row.
  template <class T>
  void factors(Index sequence, Index head, Index row, Index first, Index count, T* out) const {
    std::uint64_t name = seed;
    for (const Index part : {sequence, head, row})
      name = mix(name + 0x9e3779b97f4a7c15u + static_cast<std::uint64_t>(part));
    const auto low = static_cast<std::uint32_t>(name), high = static_cast<std::uint32_t>(name >> 32);
    const auto threshold = static_cast<std::uint32_t>(std::min(probability * 0x1p32, 0x1p32 - 1));
    const T scale = static_cast<T>(1 / (1 - probability));
    for (Index j = 0; j < count; ++j) {
      // The finisher of MurmurHash3 (Appleby), 32 bits wide: it vectorises, unlike a 64-bit product.
      std::uint32_t z = static_cast<std::uint32_t>(first + j) * 0x9e3779b9u + low;
      z = (z ^ (z >> 16)) * 0x85ebca6bu;
      z = ((z ^ (z >> 13)) + high) * 0xc2b2ae35u;
      z ^= z >> 16;
      out[j] = z < threshold ? T(0) : scale;
    }
  }

 private:
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
};

}  // namespace rotary::inline ROTARY_ABI::detail
