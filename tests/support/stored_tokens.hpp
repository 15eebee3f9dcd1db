// What a cache of keys and values should hold: plain rotations, roundings and error bounds.
#pragma once

#include <cmath>
#include <cstdint>
#include <rotary/core/head_layout.hpp>
#include <rotary/frequencies.hpp>
#include <span>
#include <vector>

#include "strided_array.hpp"

namespace rotary::testing {

/// Heads of `width` numbers as they are read in T after they have been stored: rounded once, or as 8-bit integers with a
/// scale for each head.
template <class Stored, class T>
std::vector<double> stored_as(std::vector<double> x, Index width) {
  if constexpr (!std::is_same_v<Stored, std::int8_t>) {
    for (double& value : x) value = static_cast<double>(static_cast<Stored>(static_cast<T>(value)));
  } else {
    for (auto head = x.begin(); head != x.end(); head += width) {
      float largest = 0;
      for (Index f = 0; f < width; ++f) largest = std::max(largest, std::fabs(static_cast<float>(head[f])));
      const float scale = largest / 127;
      for (Index f = 0; f < width; ++f)
        head[f] = static_cast<double>(scale * std::nearbyint(static_cast<float>(head[f]) / scale));
    }
  }
  return x;
}

/// Heads of `head_dim` features rotated from the definition, for a token at `at`, in the pairing that the layout writes.
inline std::vector<double> exactly_rotated(const std::vector<double>& x, Index head_dim,
                                           const Frequencies& frequencies, const HeadLayout& layout,
                                           std::span<const double> at) {
  std::vector<double> out = x;
  const Index pairs = frequencies.pairs();
  for (Index pair = 0; pair < pairs; ++pair) {
    long double angle = 0;
    for (std::size_t axis = 0; axis < at.size(); ++axis) {
      const DoubleDouble f =
          frequencies.values[axis * static_cast<std::size_t>(pairs) + static_cast<std::size_t>(pair)];
      angle += at[axis] * (static_cast<long double>(f.hi) + f.lo);
    }
    const long double c = frequencies.magnitude * std::cos(angle),
                      s = frequencies.magnitude * std::sin(angle);
    const auto from = pair_features(layout.pairing, pairs, pair),
               to = pair_features(layout.written_pairing(), pairs, pair);
    for (Index head = layout.start_index; head < static_cast<Index>(x.size()); head += head_dim) {
      const auto a = static_cast<std::size_t>(head + from.a), b = static_cast<std::size_t>(head + from.b);
      out[static_cast<std::size_t>(head + to.a)] = static_cast<double>(x[a] * c - x[b] * s);
      out[static_cast<std::size_t>(head + to.b)] = static_cast<double>(x[b] * c + x[a] * s);
    }
  }
  return out;
}

/// The roundings of one rotation, in units of the storage: those of the arithmetic count where it is not wider.
template <class Stored>
inline constexpr double kRoundings = 1.01;
template <>
inline constexpr double kRoundings<float> = 4;
template <>
inline constexpr double kRoundings<double> = 4;

/// Adds the error of one more rotation and rounding to the bounds of one head, `exact` being what it should be then; before,
/// errors have grown by `ratio`, that of the magnitudes. Features that do not rotate are rounded when they are given only.
template <class Stored, class X>
void add_rounding(std::span<const double> exact, std::span<double> bound, double ratio,
                  const HeadLayout& layout, Index pairs) {
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    double largest = 0, error = 0;
    for (double& b : bound) b *= std::max(1.0, ratio);
    for (Index pair = 0; pair < pairs; ++pair) {
      const auto at = pair_features(layout.pairing, pairs, pair);
      largest = std::max(largest, std::hypot(exact[static_cast<std::size_t>(layout.start_index + at.a)],
                                             exact[static_cast<std::size_t>(layout.start_index + at.b)]));
    }
    for (std::size_t f = 0; f < exact.size(); ++f)
      largest = std::max(largest, std::fabs(exact[f])), error = std::max(error, bound[f]);
    for (double& b : bound) b = error + (largest + error) / 179;
  } else {
    const double u = kRoundings<Stored> * kUnit<Stored>;
    for (std::size_t f = 0; f < exact.size(); ++f)  // of features that do not rotate
      if (static_cast<Index>(f) < layout.start_index ||
          static_cast<Index>(f) >= layout.start_index + 2 * pairs)
        bound[f] = std::is_same_v<Stored, X> ? 0 : kUnit<Stored> * std::fabs(exact[f]);
    for (Index pair = 0; pair < pairs; ++pair) {
      const auto at = pair_features(layout.pairing, pairs, pair);
      const auto a = static_cast<std::size_t>(layout.start_index + at.a),
                 b = static_cast<std::size_t>(layout.start_index + at.b);
      const double length = std::hypot(exact[a], exact[b]), error = bound[a] * ratio;
      bound[a] = bound[b] = error + u * (length + error) + kSmallest<Stored>;
    }
  }
}

}  // namespace rotary::testing
