// XPosScales: the scales of XPos, one for every pair, as powers of the distance from a centre.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "../kernels/cos_sin_rows.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// ζ_i^(±(p / interpolate_factor − centre) / base) for pair i at position p: + for queries, − for keys.
class XPosScales {
 public:
  /// ζ_i = (2i + 0.4 dim) / (1.4 dim), for 2i < dim: an odd dim has one more than it has pairs, as in the reference.
  XPosScales(double base, Index dim, double interpolate_factor)
      : base_(base), interpolate_factor_(interpolate_factor) {
    if (!finite_bits(base_) || !(base_ > 0))
      fail("xpos_scale_base is ", base_, ", it must be positive and finite");
    if (dim < 1) fail("dim is ", dim, ", it must be positive");
    // Every operation rounded by itself, whatever the compiler's flags.
    const double end = rounded(1.4 * static_cast<double>(dim));
    for (Index i = 0; 2 * i < dim; ++i)
      zeta_.push_back(rounded(
          rounded(2.0 * static_cast<double>(i) + rounded(0.4 * static_cast<double>(dim))) / rounded(end)));
    set(std::vector<double>(zeta_));
  }

  double base() const { return base_; }
  const std::vector<double>& zeta() const { return zeta_; }

  void set(std::vector<double> zeta) {
    if (zeta.size() != zeta_.size()) fail("found ", zeta.size(), " scales, there must be ", zeta_.size());
    std::vector<double> logs;
    for (const double& z : zeta) {
      if (!finite_bits(z) || !(z > 0)) fail("a scale is ", z, ", it must be positive");
      logs.push_back(std::log(z));
    }
    zeta_ = std::move(zeta);
    log_zeta_ = std::move(logs);
  }

  /// ζ_i^((position − centre) / base), of a position that is interpolated already.
  double at(std::size_t i, double position, double centre) const {
    return rounded(std::exp(rounded(rounded(log_zeta_[i] * rounded(position - centre)) / rounded(base_))));
  }

  /// The scales of rows of queries (sign 1) or keys (sign −1), times `factor`. Refers to this object.
  kernels::Magnitude magnitude(double factor, double centre, int sign) const {
    return {.factor = factor,
            .log_scale = log_zeta_,
            .slope = sign / rounded(interpolate_factor_ * base_),
            .origin = centre * interpolate_factor_};
  }

  /// Throws where a scale would be infinite in the type `T` of the rows or `X` of the tensor, or its inverse, unless
  /// scales may vanish.
  template <class T, class X>
  void check_range(const Positions& positions, double centre, int sign, bool may_vanish) const {
    const kernels::Magnitude scales = magnitude(1, centre, sign);
    const double largest = std::min(static_cast<double>(std::numeric_limits<T>::max()),
                                    static_cast<double>(std::numeric_limits<X>::max()));
    const double largest_log = std::log(largest) - 1;
    const auto [first, last] = range_of(positions);
    for (const FixedPosition& end : {first, last}) {
      const double position = static_cast<double>(end);
      for (const double log_zeta : log_zeta_) {
        const double log_scale = log_zeta * scales.exponent(position);
        if (!finite_bits(log_scale) || !((may_vanish ? log_scale : std::fabs(log_scale)) < largest_log))
          fail("position ", position, " is so far from the centre, ", centre,
               ", that its scale is out of range; name a centre nearer to it, or centre_on_last_query");
      }
    }
  }

  /// The smallest and the largest of some positions.
  static std::pair<FixedPosition, FixedPosition> range_of(const Positions& positions) {
    const FixedPosition first = positions.at(0);
    if (positions.is_consecutive()) return {first, positions.at(positions.count() - 1)};
    std::pair range{first, first};
    const auto less = [](const FixedPosition& a, const FixedPosition& b) {
      return a.whole != b.whole ? a.whole < b.whole : a.fraction < b.fraction;
    };
    for (Index n = 1; n < positions.count(); ++n)
      range = {std::min(range.first, positions.at(n), less), std::max(range.second, positions.at(n), less)};
    return range;
  }

 private:
  double base_, interpolate_factor_;
  std::vector<double> zeta_ = {}, log_zeta_ = {};
};

}  // namespace rotary::inline ROTARY_ABI::detail
