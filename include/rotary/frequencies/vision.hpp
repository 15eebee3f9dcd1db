// Frequencies of images and video, one function for each layout in use.
//
// The axes of an image are (y, x), those of video (t, y, x): the order in which Positions::grid numbers the
// tokens of a [height, width] or [frames, height, width] grid. Tokens that are not patches have coordinate 0
// on every axis, and do not rotate.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {
namespace detail {

inline void check_head_dim(Index head_dim, Index divisor) {
  if (head_dim < 0 || head_dim % divisor != 0)
    fail("head_dim is ", head_dim, ", it must be a multiple of ", divisor);
}

/// The rows of two axes exchanged: pairs that rotated by the first coordinate now rotate by the second.
inline Frequencies with_axes_swapped(Frequencies frequencies) {
  const auto second = frequencies.values.begin() + frequencies.pairs();
  std::swap_ranges(frequencies.values.begin(), second, second);
  return frequencies;
}

}  // namespace detail

/// Pairs [0, D/4) rotate by y, pairs [D/4, D/2) by x, both at theta^(−2i/(D/2)); D is head_dim.
///
/// Qwen2-VL's vision tower and ggml's VISION mode: `Pairing::half`, coordinates from 0.
///
/// @code
///   const std::array<rotary::AxisPositions, 2> sides{rotary::AxisPositions::consecutive(3),    // height
///                                                    rotary::AxisPositions::consecutive(5)};   // width
///   const rotary::CosSinTable<float> table(rotary::qwen2_vl_vision_frequencies(80),
///                                          rotary::Positions::grid(sides), {.pairing = rotary::Pairing::half});
/// @endcode
inline Frequencies qwen2_vl_vision_frequencies(Index head_dim, double theta = 10000) {
  detail::check_head_dim(head_dim, 4);
  return axial(language_frequencies(head_dim / 2, theta), 2);
}

/// Pairs [0, D/4) rotate by x, pairs [D/4, D/2) by y, both at theta^(−2i/(D/2)); D is head_dim.
///
/// Llama 4's and torchtune's vision towers: `Pairing::interleaved`, patches counted from 1, so that the class
/// token at (0, 0) does not rotate.
inline Frequencies llama4_vision_frequencies(Index head_dim, double theta = 10000) {
  return detail::with_axes_swapped(qwen2_vl_vision_frequencies(head_dim, theta));
}

/// The axial form of rope-vit (Heo et al. 2024): pairs [0, D/4) rotate by x, pairs [D/4, D/2) by y, both at
/// theta^(−2i/(D/2)) with theta 100. `Pairing::interleaved`, patches counted from 0, the class token not
/// rotated.
inline Frequencies rope_vit_frequencies(Index head_dim, double theta = 100) {
  return llama4_vision_frequencies(head_dim, theta);
}

/// Pairs [0, D/4) rotate by y at the even ones of f_i = theta^(−2i/D), pairs [D/4, D/2) by x at the odd ones.
///
/// Pixtral: `Pairing::half`, coordinates from 0.
inline Frequencies pixtral_frequencies(Index head_dim, double theta = 10000) {
  detail::check_head_dim(head_dim, 4);
  const Frequencies all = language_frequencies(head_dim, theta);
  const std::size_t pairs = all.values.size();
  Frequencies frequencies{.values = std::vector<DoubleDouble>(2 * pairs), .axes = 2};
  for (std::size_t i = 0; i < pairs; ++i) {
    const bool odd = i % 2 != 0;
    frequencies.values[(odd ? pairs + pairs / 2 : 0) + i / 2] = all.values[i];
  }
  return frequencies;
}

/// Pairs [0, D/4) rotate by y, pairs [D/4, D/2) by x, both at 2π · theta^(−4i/D), with `dinov3_coordinates`.
///
/// DINOv3: `Pairing::half`, class and register tokens not rotated.
///
/// @code
///   const std::vector<double> y = rotary::dinov3_coordinates(3), x = rotary::dinov3_coordinates(5);
///   const std::array<rotary::AxisPositions, 2> sides{rotary::AxisPositions::listed(std::span(y)),
///                                                    rotary::AxisPositions::listed(std::span(x))};
///   const rotary::CosSinTable<float> table(rotary::dinov3_frequencies(64), rotary::Positions::grid(sides),
///                                          {.pairing = rotary::Pairing::half});
/// @endcode
inline Frequencies dinov3_frequencies(Index head_dim, double theta = 100) {
  Frequencies frequencies = qwen2_vl_vision_frequencies(head_dim, theta);
  for (DoubleDouble& f : frequencies.values) f = 2 * kPi * f;
  return frequencies;
}

/// The centres of n adjacent patches, between −1 and 1: 2 (k + ½) / n − 1.
inline std::vector<double> dinov3_coordinates(Index patches) {
  std::vector<double> centres(detail::checked_count("patches", patches));
  double next = 1;
  for (double& centre : centres) {
    centre = (next - static_cast<double>(patches)) / static_cast<double>(patches);
    next += 2;
  }
  return centres;
}

/// What diffusion models do to frequencies for larger images.
struct DiffusionOptions {
  double linear_factor = 1;  ///< the divisor of frequencies
  double ntk_factor = 1;     ///< multiplies theta, without an exponent
};

/// Each axis a rotates its own axis_dims[a] / 2 pairs, at (ntk_factor · theta)^(−2i/axis_dims[a]) /
/// linear_factor.
///
/// FLUX with axis_dims (16, 56, 56), and other models of diffusers: `Pairing::interleaved`, any coordinates.
///
/// @code
///   const rotary::Frequencies flux = rotary::diffusion_frequencies(std::vector<rotary::Index>{16, 56, 56});
/// @endcode
inline Frequencies diffusion_frequencies(std::span<const Index> axis_dims, double theta = 10000,
                                         const DiffusionOptions& options = {}) {
  detail::check_positive("ntk_factor", options.ntk_factor);
  const DoubleDouble base = DoubleDouble(options.ntk_factor) * theta;
  Frequencies of_all_axes;
  std::vector<Index> axis_of_pair;
  for (std::size_t axis = 0; axis < axis_dims.size(); ++axis) {
    const Index dim = axis_dims[axis];
    if (dim < 0 || dim % 2 != 0)
      detail::fail("axis_dims has an entry ", dim, ", every entry must be even and not negative");
    const Frequencies one = scaled(detail::language_frequencies(dim, base), options.linear_factor);
    for (const DoubleDouble& f : one.values) {
      of_all_axes.values.push_back(f);
      axis_of_pair.push_back(static_cast<Index>(axis));
    }
  }
  return on_axes(of_all_axes, detail::span_of(axis_of_pair), static_cast<Index>(axis_dims.size()));
}

/// Frequencies on axes (t, y, x): y and x have 2 ⌊D/6⌋ features each, t the rest; exponents are over the
/// axis's size. Throws unless head_dim D is even.
///
/// Wan's video models: `Pairing::interleaved`, coordinates from 0.
inline Frequencies wan_frequencies(Index head_dim, double theta = 10000) {
  detail::check_head_dim(head_dim, 2);
  const Index side = 2 * (head_dim / 6);
  const Index dims[] = {head_dim - 2 * side, side, side};
  return diffusion_frequencies({dims, 3}, theta);
}

}  // namespace rotary::inline ROTARY_ABI
