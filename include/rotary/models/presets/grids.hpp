// Presets: vision towers and diffusion models, whose tokens are patches of images and video.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "../../core/head_layout.hpp"
#include "../../frequencies/vision.hpp"

namespace rotary::inline ROTARY_ABI {

/// The coordinates of a grid's patches along an axis of n patches, for `GridRope`.
enum class GridCoordinates {
  from_zero,  ///< 0, 1, 2, ...: AxisPositions::consecutive(n)
  from_one,   ///< 1, 2, 3, ...: AxisPositions::consecutive(n, 1); tokens that are not patches are at 0
  centred,    ///< −⌈n/2⌉, ..., ⌊n/2⌋ − 1
  dinov3      ///< `dinov3_coordinates(n)`
};

/// The rotary embedding of a vision or diffusion model: frequencies with an axis for each side of the grid.
/// `grid_preset` returns it.
struct GridRope {
  Index head_dim = 0;                                        ///< features of a head, all of which rotate
  Pairing pairing = Pairing::half;                           ///< the pairing of the weights
  GridCoordinates coordinates = GridCoordinates::from_zero;  ///< the coordinates of patches along an axis
  Frequencies frequencies = {};  ///< [axes, pairs]; the axes are (y, x), (t, y, x) or (t, y, x, token)

  /// The frequencies, for the constructor of an embedding. They do not depend on a length.
  [[nodiscard]] Frequencies rope_frequencies(double = 0) const { return frequencies; }
  /// The layout, for the constructor of an embedding: all features of a head rotate.
  [[nodiscard]] HeadLayout layout() const { return {.pairing = pairing}; }
};

namespace detail {

struct GridPreset {
  std::string_view name;
  GridRope (*make)();
};

/// Pairs of y, then pairs of x, as in Qwen2-VL.
inline GridRope qwen_tower(Index head_dim) {
  return {head_dim, Pairing::half, GridCoordinates::from_zero, qwen2_vl_vision_frequencies(head_dim)};
}

inline GridRope dinov3_tower(Index head_dim) {
  return {head_dim, Pairing::half, GridCoordinates::dinov3, dinov3_frequencies(head_dim)};
}

/// Blocks of a diffusion model, one for each axis.
inline GridRope diffusion_blocks(std::vector<Index> axis_dims, double theta,
                                 GridCoordinates coordinates = GridCoordinates::from_zero) {
  Index head_dim = 0;
  for (const Index dim : axis_dims) head_dim += dim;
  return {head_dim, Pairing::interleaved, coordinates, diffusion_frequencies(axis_dims, theta)};
}

inline constexpr auto kGridPresets = std::to_array<GridPreset>({
    // transformers qwen2_vl, qwen2_5_vl, qwen3_vl, glm4v: hidden size / heads of vision_config
    {"Qwen/Qwen2-VL-7B-Instruct, vision", [] { return qwen_tower(80); }},
    {"Qwen/Qwen2.5-VL-7B-Instruct, vision", [] { return qwen_tower(80); }},
    {"Qwen/Qwen3-VL-8B-Instruct, vision", [] { return qwen_tower(72); }},
    {"zai-org/GLM-4.1V-9B-Thinking, vision", [] { return qwen_tower(128); }},
    // transformers llama4: 1408 features, 16 heads, patches from 1
    {"meta-llama/Llama-4-Scout-17B-16E-Instruct, vision",
     [] {
       return GridRope{88, Pairing::interleaved, GridCoordinates::from_one, llama4_vision_frequencies(88)};
     }},
    // transformers pixtral: 1024 features, 16 heads
    {"mistralai/Pixtral-12B-2409, vision",
     [] {
       return GridRope{64, Pairing::half, GridCoordinates::from_zero, pixtral_frequencies(64)};
     }},
    // transformers dinov3_vit: rope_theta 100
    {"facebook/dinov3-vits16-pretrain-lvd1689m", [] { return dinov3_tower(64); }},
    {"facebook/dinov3-vitb16-pretrain-lvd1689m", [] { return dinov3_tower(64); }},
    {"facebook/dinov3-vitl16-pretrain-lvd1689m", [] { return dinov3_tower(64); }},
    {"facebook/dinov3-vit7b16-pretrain-lvd1689m", [] { return dinov3_tower(128); }},
    // diffusers transformer_flux: axes_dims_rope (16, 56, 56)
    {"black-forest-labs/FLUX.1-dev",
     [] {
       return diffusion_blocks({16, 56, 56}, 10000);
     }},
    {"black-forest-labs/FLUX.1-schnell",
     [] {
       return diffusion_blocks({16, 56, 56}, 10000);
     }},
    // mlx-vlm flux2: theta 2000, four axes (t, y, x, the index of the token)
    {"black-forest-labs/FLUX.2-dev",
     [] {
       return diffusion_blocks({32, 32, 32, 32}, 2000);
     }},
    // mlx-vlm z_image: theta 256
    {"Tongyi-MAI/Z-Image-Turbo",
     [] {
       return diffusion_blocks({32, 48, 48}, 256);
     }},
    // diffusers transformer_qwenimage: the same blocks, rows and columns about the centre
    {"Qwen/Qwen-Image",
     [] {
       return diffusion_blocks({16, 56, 56}, 10000, GridCoordinates::centred);
     }},
    // diffusers transformer_hunyuan_video: rope_theta 256
    {"tencent/HunyuanVideo",
     [] {
       return diffusion_blocks({16, 56, 56}, 256);
     }},
    // diffusers get_3d_rotary_pos_embed: a quarter of the head for time, three eighths for each side
    {"THUDM/CogVideoX-5b",
     [] {
       return diffusion_blocks({16, 24, 24}, 10000);
     }},
    // Wan's model.py; diffusers transformer_wan
    {"Wan-AI/Wan2.1-T2V-1.3B",
     [] {
       return GridRope{128, Pairing::interleaved, GridCoordinates::from_zero, wan_frequencies(128)};
     }},
    {"Wan-AI/Wan2.1-T2V-14B",
     [] {
       return GridRope{128, Pairing::interleaved, GridCoordinates::from_zero, wan_frequencies(128)};
     }},
});

}  // namespace detail

/// The names that `grid_preset` knows: "black-forest-labs/FLUX.1-dev".
inline std::vector<std::string_view> grid_preset_names() {
  std::vector<std::string_view> names;
  for (const detail::GridPreset& preset : detail::kGridPresets) names.push_back(preset.name);
  return names;
}

/// The rotary embedding of a published vision tower or diffusion model.
/// Throws std::invalid_argument on an unknown name.
///
/// @code
///   const rotary::GridRope flux = rotary::grid_preset("black-forest-labs/FLUX.1-dev");
///   flux.frequencies.axes;   // 3: (t, y, x)
/// @endcode
inline GridRope grid_preset(std::string_view name) {
  for (const detail::GridPreset& preset : detail::kGridPresets)
    if (preset.name == name) return preset.make();
  detail::fail("there is no grid preset ", name, "; grid_preset_names() tells which there are");
}

}  // namespace rotary::inline ROTARY_ABI
