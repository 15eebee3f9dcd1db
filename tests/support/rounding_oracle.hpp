// Whether a float is the one nearest to a cosine of position × frequency, for every float of a large table.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "mpfr_oracle.hpp"

namespace rotary::testing {

/// The cosines and sines of position · theta^(−2i/dim), whole positions from 0 to 2^22, rounded to float.
///
/// `FastOracle` knows them within 4e-19. Where that cannot decide, some five times in a million, MPFR does.
class RoundingOracle {
 public:
  RoundingOracle(double theta, int dim)
      : frequencies_(real_language_frequencies(theta, dim)), fast_(frequencies_) {}

  /// How many of the two are not the nearest floats.
  int count_wrong(std::size_t pair, std::int64_t position, float cos_found, float sin_found) {
    const FastOracle::Rotation truth = fast_(pair, position);
    if (is_surely_nearest(cos_found, truth.cos) && is_surely_nearest(sin_found, truth.sin)) return 0;
    ++undecided_;
    const Real angle = Real::of_integer(position) * frequencies_[pair];
    return (is_same(cos_found, static_cast<float>(cos(angle))) ? 0 : 1) +
           (is_same(sin_found, static_cast<float>(sin(angle))) ? 0 : 1);
  }

  /// How many pairs were left to MPFR.
  std::int64_t undecided() const { return undecided_; }

 private:
  static bool is_surely_nearest(float found, long double truth) {
    // Half the distance to the nearer adjacent float. (Of a power of two that is the one below.)
    const float size = std::fabs(found);
    const long double half_unit = (static_cast<long double>(size) - std::nextafter(size, 0.0f)) / 2;
    return std::fabs(truth - static_cast<long double>(found)) <= half_unit - 1e-18L;
  }
  static bool is_same(float a, float b) { return a <= b && a >= b; }

  std::vector<Real> frequencies_;
  FastOracle fast_;
  std::int64_t undecided_ = 0;
};

}  // namespace rotary::testing
