// How fast each pair rotates, in radians per unit of position. A new variant of RoPE is a new function like
// these.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "core/checks.hpp"

namespace rotary::inline ROTARY_ABI {

/// The kinds of frequencies of rotary-embedding-torch.
///
///     lang       theta^(−2i/rotary_dim)                text                             `language_frequencies`
///     pixel      π · linspace(1, max_freq/2, pairs)    coordinates between −1 and 1     `pixel_frequencies`
///     constant   1, 1, ...                             any                              `constant_frequencies`
enum class FreqsFor {
  lang,     ///< theta^(−2i/rotary_dim), for text: `language_frequencies`
  pixel,    ///< π · linspace(1, max_freq/2, pairs), for coordinates between −1 and 1: `pixel_frequencies`
  constant  ///< 1 radian per unit of position for every pair: `constant_frequencies`
};

/// The frequencies of all pairs, and a magnitude: all that one variant of RoPE differs in from another.
///
///     φ_i = Σ_a p_a · f(a, i)        the angle of pair i for a token with coordinates p_a
///     A cos φ_i, A sin φ_i           what the pair is rotated by; A is the magnitude
///
/// Functions such as `language_frequencies` return it; it may also be filled in by hand. What takes it throws
/// std::invalid_argument if a number in it is not finite, or the count is no multiple of `axes`.
///
/// @code
///   const rotary::Frequencies frequencies{.values = {1, 0.1, 0.01, 0.001}, .magnitude = 0.5};
///   const rotary::RotaryEmbedding<float> rotary_emb(frequencies);   // 8 features rotate
/// @endcode
struct Frequencies {
  std::vector<DoubleDouble> values;  ///< [axes, pairs], in radians per unit of position
  Index axes = 1;                    ///< coordinates of a token: 1 for text, 2 for images, 3 for M-RoPE
  double magnitude = 1;              ///< the "attention factor": scores grow by its square

  /// The number of pairs that rotate, values.size() / axes.
  Index pairs() const { return axes > 0 ? static_cast<Index>(values.size()) / axes : 0; }
};

namespace detail {

/// Throws on invalid frequencies: the struct may be filled in by hand.
inline void check(const Frequencies& frequencies) {
  if (frequencies.axes < 1) fail("frequencies have ", frequencies.axes, " axes, they must have at least 1");
  if (static_cast<Index>(frequencies.values.size()) % frequencies.axes != 0)
    fail(frequencies.values.size(), " frequencies found, the number must be a multiple of the ",
         frequencies.axes, " axes");
  for (const DoubleDouble& f : frequencies.values)
    if (!isfinite(f)) fail("a frequency is ", f.hi, ", it must be finite");
  if (!finite_bits(frequencies.magnitude))
    fail("the magnitude is ", frequencies.magnitude, ", it must be finite");
}

/// `language_frequencies` of a theta that no double holds: that of NTK-aware scaling, say.
inline Frequencies language_frequencies(Index rotary_dim, const DoubleDouble& theta) {
  Frequencies frequencies;
  frequencies.values.reserve(checked_count("rotary_dim", rotary_dim) / 2);
  check_positive("theta", theta);
  for (Index i = 0; i < rotary_dim / 2; ++i)
    frequencies.values.push_back(pow(theta, DoubleDouble(-2 * i) / rotary_dim));
  return frequencies;
}

/// `scaled` by a factor that no double holds.
inline Frequencies scaled(Frequencies frequencies, const DoubleDouble& factor) {
  check(frequencies);
  check_positive("the factor that positions are divided by", factor);
  for (DoubleDouble& f : frequencies.values) f = f / factor;
  return frequencies;
}

/// theta · factor^(dim/(dim − 2)): the frequency of the first pair is unchanged, that of the last is divided
/// by `factor` (NTK-aware scaling; `theta_rescale_factor` of rotary-embedding-torch). Factor 1 returns theta,
/// for every dim.
inline DoubleDouble rescaled_theta(const DoubleDouble& theta, const DoubleDouble& factor, Index dim) {
  check_positive("theta", theta);
  check_positive("theta_rescale_factor", factor);
  if (factor == 1) return theta;
  if (dim <= 2)
    fail("theta_rescale_factor is ", factor.hi, " with dim ", dim,
         ", which has no second pair to rescale: the factor must be 1 or dim at least 3");
  return theta * pow(factor, DoubleDouble(dim) / (dim - 2));
}

}  // namespace detail

/// The frequencies of text, for positions 0, 1, 2, ..., in radians per position:
///
///     f_i = theta^(−2i/rotary_dim),   i < ⌊rotary_dim/2⌋
///
/// `rotary_dim` counts the features of a head that rotate; with an odd number the last one does not.
/// Throws std::invalid_argument unless rotary_dim ≥ 0 and theta > 0.
/// Cost: a power of 106 bits for each pair; call it when a model is loaded.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::language_frequencies(4);   // 1, 0.01
/// @endcode
///
/// Source: Su et al. 2021 (RoFormer); `freqs_for = "lang"` of rotary-embedding-torch.
inline Frequencies language_frequencies(Index rotary_dim, double theta = 10000) {
  return detail::language_frequencies(rotary_dim, theta);
}

/// The frequencies of images, for coordinates between −1 and 1, in radians per unit of coordinate:
///
///     f_i = π · linspace(1, max_freq/2, pairs)_i,   pairs = ⌊rotary_dim/2⌋;   a single one is π
///
/// `rotary_dim` counts the features that rotate by one axis; `axial` repeats them for the others.
/// Throws std::invalid_argument unless rotary_dim ≥ 0 and max_freq > 0.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::pixel_frequencies(6, 10);   // π, 3π, 5π
/// @endcode
///
/// Source: `freqs_for = "pixel"` of rotary-embedding-torch.
inline Frequencies pixel_frequencies(Index rotary_dim, double max_freq = 10) {
  Frequencies frequencies;
  frequencies.values.reserve(detail::checked_count("rotary_dim", rotary_dim) / 2);
  detail::check_positive("max_freq", max_freq);
  const Index count = rotary_dim / 2;
  for (Index i = 0; i < count; ++i) {
    const DoubleDouble part = count > 1 ? DoubleDouble(i) / (count - 1) : DoubleDouble(0);
    frequencies.values.push_back(kPi * (1 - part + part * max_freq / 2));
  }
  return frequencies;
}

/// `count` frequencies of 1 radian per position.
/// Throws std::invalid_argument unless count ≥ 0.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::constant_frequencies(3);   // 1, 1, 1
/// @endcode
///
/// Source: `freqs_for = "constant"` of rotary-embedding-torch.
inline Frequencies constant_frequencies(Index count = 1) {
  return {.values = std::vector<DoubleDouble>(detail::checked_count("num_freqs", count), DoubleDouble(1))};
}

/// The given frequencies, in radians per unit of position: learned ones, or those of a variant that is not
/// part of this library.
/// Throws std::invalid_argument on infinite values and NaN.
///
/// @code
///   const std::vector<double> learned = {1, 0.2, 0.03};
///   const rotary::RotaryEmbedding<float> rotary_emb(rotary::custom_frequencies(learned));   // 6 features rotate
/// @endcode
inline Frequencies custom_frequencies(std::span<const double> values) {
  Frequencies frequencies{.values = {values.begin(), values.end()}};
  detail::check(frequencies);
  return frequencies;
}

/// Position interpolation of any frequencies: f_i / factor, which has the effect of positions divided by
/// `factor`.
/// Throws std::invalid_argument unless factor > 0.
///
/// @code
///   const auto frequencies = rotary::scaled(rotary::language_frequencies(4), 2);   // 0.5, 0.005
/// @endcode
///
/// Source: Chen et al. 2023.
inline Frequencies scaled(Frequencies frequencies, double factor) {
  return detail::scaled(std::move(frequencies), factor);
}

/// The frequencies, on one axis, of a token whose coordinates are all equal, such as a text token of M-RoPE:
///
///     f_i = Σ_a f(a, i)
///
/// The magnitude stays.
/// Throws std::invalid_argument on invalid frequencies.
///
/// @code
///   const rotary::Frequencies image = rotary::axial(rotary::language_frequencies(4), 2);   // [2 axes, 4 pairs]
///   const rotary::Frequencies diagonal = rotary::summed_over_axes(image);                  // 1, 0.01, 1, 0.01
/// @endcode
inline Frequencies summed_over_axes(const Frequencies& frequencies) {
  detail::check(frequencies);
  const auto pairs = static_cast<std::size_t>(frequencies.pairs());
  Frequencies sums{.values = std::vector<DoubleDouble>(pairs), .magnitude = frequencies.magnitude};
  for (std::size_t n = 0; n < frequencies.values.size(); ++n)
    sums.values[n % pairs] = sums.values[n % pairs] + frequencies.values[n];
  return sums;
}

/// Frequencies of one axis, assigned to several: pair i rotates by coordinate `axis_of_pair[i]` alone.
///
///     language_frequencies(8) on axes {0, 1, 1, 2}:   f0  0   0   0
///                                                     0   f1  f2  0
///                                                     0   0   0   f3
///
/// `axis_of_pair` has one entry for each pair; `mrope_axes_chunked` and its relatives return such lists. The
/// result is [axes, pairs].
/// Throws std::invalid_argument unless the frequencies have one axis, and the list has an axis below `axes`
/// for each pair.
///
/// @code
///   const std::vector<rotary::Index> axis_of_pair = {0, 1, 1, 2};
///   const auto frequencies = rotary::on_axes(rotary::language_frequencies(8), axis_of_pair, 3);   // [3, 4]
/// @endcode
inline Frequencies on_axes(const Frequencies& frequencies, std::span<const Index> axis_of_pair, Index axes) {
  detail::check(frequencies);
  if (frequencies.axes != 1)
    detail::fail("frequencies of ", frequencies.axes, " axes found, those of one axis are wanted");
  if (static_cast<Index>(axis_of_pair.size()) != frequencies.pairs())
    detail::fail("an axis for each of ", frequencies.pairs(), " pairs is wanted, found ",
                 axis_of_pair.size());
  if (axes < 1) detail::fail("found ", axes, " axes, there must be at least 1");
  const Index pairs = frequencies.pairs();
  Frequencies dealt{.values = std::vector<DoubleDouble>(detail::checked_elements<DoubleDouble>(axes, pairs)),
                    .axes = axes,
                    .magnitude = frequencies.magnitude};
  for (std::size_t i = 0; i < axis_of_pair.size(); ++i) {
    const Index axis = axis_of_pair[i];
    if (axis < 0 || axis >= axes)
      detail::fail("pair ", i, " is on axis ", axis, ", there are ", axes, " axes");
    dealt.values[static_cast<std::size_t>(axis * pairs) + i] = frequencies.values[i];
  }
  return dealt;
}

/// These n frequencies for every axis, each with its own pairs: axis a rotates pairs [a·n, (a + 1)·n).
///
///     f0 and f1 on 2 axes:   f0  f1  0   0
///                            0   0   f0  f1
///
/// Throws std::invalid_argument unless the frequencies have one axis and axes ≥ 1.
///
/// @code
///   const rotary::Frequencies image = rotary::axial(rotary::language_frequencies(32), 2);   // 64 features rotate
///   const std::array sides{rotary::AxisPositions::consecutive(3), rotary::AxisPositions::consecutive(5)};
///   const rotary::CosSinTable<float> table(image, rotary::Positions::grid(sides));          // [3, 5] rows
/// @endcode
///
/// Source: `get_axial_freqs` of rotary-embedding-torch.
inline Frequencies axial(const Frequencies& frequencies, Index axes) {
  detail::check(frequencies);
  if (axes < 1) detail::fail("found ", axes, " axes, there must be at least 1");
  const Index pairs = detail::checked_product(frequencies.pairs(), axes);
  Frequencies repeated{.values = {}, .axes = frequencies.axes, .magnitude = frequencies.magnitude};
  std::vector<Index> axis_of_pair;
  repeated.values.reserve(detail::checked_elements<DoubleDouble>(pairs));
  axis_of_pair.reserve(static_cast<std::size_t>(pairs));
  for (Index axis = 0; axis < axes; ++axis) {
    for (const DoubleDouble& f : frequencies.values) {
      repeated.values.push_back(f);
      axis_of_pair.push_back(axis);
    }
  }
  return on_axes(repeated, detail::span_of(axis_of_pair), axes);
}

}  // namespace rotary::inline ROTARY_ABI
