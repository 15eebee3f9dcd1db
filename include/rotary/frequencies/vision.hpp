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

/// The frequencies of Qwen2-VL's vision tower, on axes (y, x); D is head_dim.
///
///     pairs [0, D/4):     y · theta^(−2i/(D/2)),   i = 0, 1, ...
///     pairs [D/4, D/2):   x · theta^(−2i/(D/2))
///
/// `Pairing::half`, coordinates from 0.
/// Throws std::invalid_argument unless head_dim is a multiple of 4 and theta > 0.
///
/// @code
///   const std::array<rotary::AxisPositions, 2> sides{rotary::AxisPositions::consecutive(3),    // height
///                                                    rotary::AxisPositions::consecutive(5)};   // width
///   const rotary::CosSinTable<float> table(rotary::qwen2_vl_vision_frequencies(80),
///                                          rotary::Positions::grid(sides), {.pairing = rotary::Pairing::half});
/// @endcode
///
/// Source: Qwen2-VL in Hugging Face; ggml's VISION mode.
inline Frequencies qwen2_vl_vision_frequencies(Index head_dim, double theta = 10000) {
  detail::check_head_dim(head_dim, 4);
  return axial(language_frequencies(head_dim / 2, theta), 2);
}

/// The frequencies of Llama 4's vision tower, on axes (y, x); D is head_dim.
///
///     pairs [0, D/4):     x · theta^(−2i/(D/2)),   i = 0, 1, ...
///     pairs [D/4, D/2):   y · theta^(−2i/(D/2))
///
/// `Pairing::interleaved`, patches counted from 1, so that the class token at (0, 0) does not rotate.
/// Throws std::invalid_argument unless head_dim is a multiple of 4 and theta > 0.
///
/// @code
///   const std::array<rotary::AxisPositions, 2> sides{rotary::AxisPositions::consecutive(24, 1),
///                                                    rotary::AxisPositions::consecutive(24, 1)};
///   const rotary::CosSinTable<float> table(rotary::llama4_vision_frequencies(88), rotary::Positions::grid(sides));
/// @endcode
///
/// Source: Llama 4 in Hugging Face; torchtune.
inline Frequencies llama4_vision_frequencies(Index head_dim, double theta = 10000) {
  return detail::with_axes_swapped(qwen2_vl_vision_frequencies(head_dim, theta));
}

/// The frequencies of the axial form of rope-vit, on axes (y, x); D is head_dim.
///
///     pairs [0, D/4):     x · theta^(−2i/(D/2)),   i = 0, 1, ...
///     pairs [D/4, D/2):   y · theta^(−2i/(D/2))
///
/// `Pairing::interleaved`, patches counted from 0, the class token not rotated.
/// Throws std::invalid_argument unless head_dim is a multiple of 4 and theta > 0.
/// `qwen2_vl_vision_frequencies` has an example with a grid.
///
/// Source: Heo et al. 2024 (rope-vit).
inline Frequencies rope_vit_frequencies(Index head_dim, double theta = 100) {
  return llama4_vision_frequencies(head_dim, theta);
}

/// The frequencies of Pixtral's vision tower, on axes (y, x); D is head_dim.
///
///     pairs [0, D/4):     y · theta^(−2i/D) at even i = 0, 2, ...
///     pairs [D/4, D/2):   x · theta^(−2i/D) at odd i = 1, 3, ...
///
/// `Pairing::half`, coordinates from 0.
/// Throws std::invalid_argument unless head_dim is a multiple of 4 and theta > 0.
/// `qwen2_vl_vision_frequencies` has an example with a grid.
///
/// Source: Pixtral in Hugging Face.
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

/// The frequencies of DINOv3, on axes (y, x), for the coordinates of `dinov3_coordinates`; D is head_dim.
///
///     pairs [0, D/4):     y · 2π · theta^(−4i/D),   i = 0, 1, ...
///     pairs [D/4, D/2):   x · 2π · theta^(−4i/D)
///
/// `Pairing::half`, class and register tokens not rotated.
/// Throws std::invalid_argument unless head_dim is a multiple of 4 and theta > 0.
///
/// @code
///   const std::vector<double> y = rotary::dinov3_coordinates(3), x = rotary::dinov3_coordinates(5);
///   const std::array<rotary::AxisPositions, 2> sides{rotary::AxisPositions::listed(std::span(y)),
///                                                    rotary::AxisPositions::listed(std::span(x))};
///   const rotary::CosSinTable<float> table(rotary::dinov3_frequencies(64), rotary::Positions::grid(sides),
///                                          {.pairing = rotary::Pairing::half});
/// @endcode
///
/// Source: DINOv3 in Hugging Face.
inline Frequencies dinov3_frequencies(Index head_dim, double theta = 100) {
  Frequencies frequencies = qwen2_vl_vision_frequencies(head_dim, theta);
  for (DoubleDouble& f : frequencies.values) f = 2 * kPi * f;
  return frequencies;
}

/// The centres of n adjacent patches, scaled to lie between −1 and 1, for `dinov3_frequencies`:
///
///     2 (k + ½) / n − 1,   k < n
///
/// Throws std::invalid_argument if n is negative.
///
/// @code
///   const std::vector<double> centres = rotary::dinov3_coordinates(4);   // −0.75 −0.25 0.25 0.75
/// @endcode
inline std::vector<double> dinov3_coordinates(Index patches) {
  std::vector<double> centres(detail::checked_count("patches", patches));
  double next = 1;
  for (double& centre : centres) {
    centre = (next - static_cast<double>(patches)) / static_cast<double>(patches);
    next += 2;
  }
  return centres;
}

/// What diffusion models do to frequencies for larger images, for `diffusion_frequencies`.
struct DiffusionOptions {
  double linear_factor = 1;  ///< the divisor of all frequencies
  double ntk_factor = 1;     ///< multiplies theta as it is; NTK-aware scaling raises it to a power first
};

/// The frequencies of diffusion models: each axis a rotates its own axis_dims[a] / 2 pairs, one block after
/// the other.
///
///     (ntk_factor · theta)^(−2i/axis_dims[a]) / linear_factor
///
/// `axis_dims` counts the features of each axis; the result is [axes, pairs]. `Pairing::interleaved`, any
/// coordinates.
/// Throws std::invalid_argument unless every entry is even and not negative, and theta and both factors are
/// positive.
///
/// @code
///   const std::vector<rotary::Index> axis_dims = {16, 56, 56};
///   const rotary::Frequencies flux = rotary::diffusion_frequencies(axis_dims);   // [3 axes, 64 pairs]
/// @endcode
///
/// Source: FLUX, with axis_dims (16, 56, 56), and other models of diffusers.
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

/// The frequencies of Wan's video models, on axes (t, y, x): y and x have 2 ⌊D/6⌋ features each, t the rest,
/// D being head_dim; exponents are over the axis's number of features, as in `diffusion_frequencies`.
///
/// `Pairing::interleaved`, coordinates from 0.
/// Throws std::invalid_argument unless head_dim is even and theta > 0.
///
/// @code
///   const rotary::Frequencies wan = rotary::wan_frequencies(128);   // 44, 42 and 42 features: [3 axes, 64 pairs]
/// @endcode
///
/// Source: Wan's model.py.
inline Frequencies wan_frequencies(Index head_dim, double theta = 10000) {
  detail::check_head_dim(head_dim, 2);
  const Index side = 2 * (head_dim / 6);
  const Index dims[] = {head_dim - 2 * side, side, side};
  return diffusion_frequencies({dims, 3}, theta);
}

}  // namespace rotary::inline ROTARY_ABI
