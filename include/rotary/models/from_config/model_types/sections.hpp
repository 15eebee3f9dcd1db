// Types whose positions have several coordinates: text, images and video (M-RoPE).
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Qwen2-VL and its relatives: whole sections (transformers qwen2_vl, qwen2_5_vl, qwen2_5_omni).
inline constexpr ModelType kQwenVl = {.theta = 1000000, .mrope = MropeOrder::chunked};

/// Sections of ERNIE-4.5-VL: (height, width, time) (transformers ernie4_5_vl_moe; vLLM ernie45_vl).
inline constexpr ModelType kErnieVl = {.pairing = kInterleaved,
                                       .theta = 500000,
                                       .inert_keys = {"freq_allocation", "rope_3d"},
                                       .mrope = MropeOrder::ernie,
                                       .sections = {22, 22, 20}};

inline constexpr auto kSections = std::to_array<ModelType>({
    // Ming's modeling_bailing_moe_v2.py: half of a head; video_rope and 3D have sections
    {.name = "bailing_moe_v2",
     .partial = 0.5,
     .rotary_dim_key = "rotary_dim",
     .theta = 0,
     .mrope = MropeOrder::chunked},
    named("ernie4_5_moe_vl", kErnieVl),
    named("ernie4_5_vl_moe", kErnieVl),
    named("ernie4_5_vl_moe_text", kErnieVl),
    // transformers cohere_compass: an object, or null, for every type of layers; sections as in Qwen3-VL
    {.name = "cohere_compass_text",
     .hidden_size = 8192,
     .heads = 64,
     .layers = 40,
     .theta = 0,
     .pattern = LayerPattern::full_last,
     .period = 4,
     .period_keys = kSlidingPattern,
     .required = kRopeObject,
     .mrope = MropeOrder::interleaved,
     .sections = {24, 20, 20}},
    // transformers cosmos3_edge: sections as in Qwen3-VL
    {.name = "cosmos3_edge_text",
     .hidden_size = 2048,
     .heads = 16,
     .layers = 28,
     .head_dim = 128,
     .theta = 0,
     .mrope = MropeOrder::interleaved,
     .sections = {24, 20, 20}},
    // transformers glm4v_moe: halves
    {.name = "glm4v_moe_text", .partial = 0.5, .mrope = MropeOrder::chunked, .sections = {8, 12, 12}},
    // transformers glm4v: every two features
    {.name = "glm4v_text",
     .pairing = kInterleaved,
     .partial = 0,
     .mrope = MropeOrder::chunked,
     .sections = {8, 12, 12}},
    // transformers glm_image: apply_mrope of whole sections
    {.name = "glm_image_text",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 40,
     .partial = 0,
     .mrope = MropeOrder::chunked,
     .sections = {8, 12, 12}},
    // transformers glm_ocr; mlx-vlm glm_ocr: every two features, sections
    {.name = "glm_ocr_text",
     .pairing = kInterleaved,
     .partial = 0,
     .theta = 0,
     .mrope = MropeOrder::chunked,
     .sections = {8, 12, 12}},
    {.name = "hunyuan_vl", .mrope = MropeOrder::chunked},
    {.name = "hunyuan_vl_text", .mrope = MropeOrder::chunked},
    // mlx-vlm paddleocr_vl: halves, sections
    {.name = "paddleocr_vl", .theta = 500000, .mrope = MropeOrder::chunked},
    {.name = "paddleocr_vl_text", .head_dim = 128, .theta = 500000, .mrope = MropeOrder::chunked},
    named("qwen2_5_omni_text", kQwenVl),
    named("qwen2_5_vl", kQwenVl),
    named("qwen2_5_vl_text", kQwenVl),
    named("qwen2_vl", kQwenVl),
    named("qwen2_vl_text", kQwenVl),
    // transformers qwen2_5_omni, qwen3_omni_moe: the models that speak
    {.name = "qwen2_5_omni_talker",
     .hidden_size = 3584,
     .heads = 28,
     .layers = 28,
     .head_dim = 128,
     .theta = 1000000,
     .mrope = MropeOrder::chunked},
    {.name = "qwen3_omni_moe_talker_text",
     .hidden_size = 1024,
     .heads = 16,
     .layers = 20,
     .theta = 0,
     .mrope = MropeOrder::interleaved,
     .sections = {24, 20, 20}},
    // transformers qwen3_omni_moe
    {.name = "qwen3_omni_moe_text",
     .theta = 1000000,
     .mrope = MropeOrder::interleaved,
     .sections = {24, 20, 20}},
    // transformers qwen3_vl, qwen3_vl_moe: versions disagree about the base
    {.name = "qwen3_vl_moe_text", .theta = 0, .mrope = MropeOrder::interleaved, .sections = {24, 20, 20}},
    {.name = "qwen3_vl_text",
     .head_dim = 128,
     .theta = 0,
     .mrope = MropeOrder::interleaved,
     .sections = {24, 20, 20}},
});

}  // namespace rotary::inline ROTARY_ABI::detail
