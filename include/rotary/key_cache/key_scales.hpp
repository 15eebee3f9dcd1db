// KeyScales: the scales of stored keys, a magnitude and those of XPos.
#pragma once

#include <cmath>
#include <limits>

#include "../xpos.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The scale A ζ_i^(slope · (p − origin)) of pair i of a key at position p. Without XPos it is A for all
/// pairs.
class KeyScales {
 public:
  KeyScales() = default;

  template <class T>
  KeyScales(const XPos<T>& xpos, double centre) : interpolate_factor_(xpos.rotary().interpolate_factor()) {
    for (const double zeta : xpos.scale()) log_scale_.push_back(std::log(zeta));
    slope_ = -1 / (interpolate_factor_ * xpos.scale_base());
    *this = around(centre);
  }

  /// These scales around another centre, in positions divided by interpolate_factor, as in XPos.
  KeyScales around(const double& centre) const {
    if (!finite_bits(centre)) fail("the centre is ", centre, ", it must be finite");
    KeyScales moved = *this;
    moved.origin_ = centre * interpolate_factor_;
    return moved;
  }

  /// Are they those of XPos?
  bool decay() const { return !log_scale_.empty(); }

  /// Do these scales decay as others do, around whatever centre?
  bool decay_like(const KeyScales& other) const {
    return log_scale_ == other.log_scale_ && is_equal(slope_, other.slope_);
  }

  /// Refers to this object's ζ.
  kernels::Magnitude magnitude(double factor) const { return {factor, span_of(log_scale_), slope_, origin_}; }

  /// Throws if a position is out of range, or a scale at that position is out of range in the scalar X of
  /// keys.
  template <class X>
  void check(const FixedPosition& position) const {
    check_range(position);
    if (!decay()) return;
    const double value = static_cast<double>(position);
    const double largest_log = std::log(static_cast<double>(std::numeric_limits<X>::max())) - 1;
    for (const double log_zeta : log_scale_)
      if (const double log_scale = log_zeta * slope_ * (value - origin_);
          !finite_bits(log_scale) || !(std::fabs(log_scale) < largest_log))
        fail("position ", value, " is so far from the centre, ", origin_ / interpolate_factor_,
             ", that its scale is out of range; name a centre nearer to it");
  }

 private:
  std::vector<double> log_scale_ = {};
  double slope_ = 0, origin_ = 0;
  double interpolate_factor_ = 1;
};

}  // namespace rotary::inline ROTARY_ABI::detail
