// Sizes for tests of vector code, relative to the number of lanes.
#pragma once

#include <rotary/core/config.hpp>
#include <vector>

namespace rotary::testing {

/// The lanes of the widest vectors of T that any instruction set has: of 64 bytes.
template <class T>
inline constexpr Index kWidestLanes = static_cast<Index>(64 / sizeof(T));

/// Counts of elements at which a loop over vectors takes another path, where the widest vector has `lanes` elements, a power of
/// two: around each power of two up to eight such vectors, one element less, as many, and one more; and eight vectors with a remainder.
inline std::vector<Index> sizes_around(Index lanes) {
  std::vector<Index> sizes = {1};
  const auto add = [&](Index size) {
    if (size > sizes.back()) sizes.push_back(size);
  };
  for (Index width = 2; width <= 8 * lanes; width *= 2)
    for (const Index size : {width - 1, width, width + 1}) add(size);
  add(8 * lanes + lanes / 2 + 1);
  return sizes;
}

}  // namespace rotary::testing
