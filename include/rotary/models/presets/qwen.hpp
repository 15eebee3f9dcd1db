// Presets: Qwen.
#pragma once

#include <array>

#include "preset.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline ModelConfiguration qwen(const char* model_type, std::size_t layers, double theta,
                               RopeScaling scaling = {}) {
  return uniform_model(model_type, layers, {.theta = theta, .head_dim = 128, .scaling = std::move(scaling)});
}

/// Images and video: every token has a time, a height and a width.
inline RopeParameters qwen_vl(double theta, std::vector<Index> sections, MropeOrder order) {
  return {.theta = theta, .head_dim = 128, .mrope_section = std::move(sections), .mrope_order = order};
}

/// Three layers of linear attention, then one of full attention that rotates a quarter of each head.
inline ModelConfiguration qwen_hybrid(const char* model_type, std::size_t layers,
                                      std::vector<Index> sections) {
  return model_of_two_types({.model_type = model_type,
                             .layers = layers,
                             .period = 4,
                             .full = 3,
                             .of_full = RopeParameters{.theta = 10000000,
                                                       .head_dim = 256,
                                                       .rotary_dim = 64,
                                                       .mrope_section = std::move(sections),
                                                       .mrope_order = MropeOrder::interleaved},
                             .other = "linear_attention"});
}

inline constexpr auto kQwenPresets = std::to_array<Preset>({
    {"Qwen/Qwen-7B", [] { return qwen("qwen", 32, 10000, QwenNtkOptions{8192}); }},
    {"Qwen/Qwen1.5-7B", [] { return qwen("qwen2", 32, 1000000); }},
    {"Qwen/Qwen2-7B", [] { return qwen("qwen2", 28, 1000000); }},
    {"Qwen/Qwen2.5-7B-Instruct", [] { return qwen("qwen2", 28, 1000000); }},
    // As recommended by its model card for more than 32768 tokens.
    {"Qwen/Qwen2.5-7B-Instruct, YaRN x4",
     [] {
       return qwen("qwen2", 28, 1000000, YarnOptions{.factor = 4, .original_max_position_embeddings = 32768});
     }},
    {"Qwen/Qwen2.5-7B-Instruct-1M", [] { return qwen("qwen2", 28, 10000000); }},
    {"Qwen/Qwen3-8B", [] { return qwen("qwen3", 36, 1000000); }},
    {"Qwen/Qwen3-30B-A3B", [] { return qwen("qwen3_moe", 48, 1000000); }},
    {"Qwen/Qwen3-Next-80B-A3B-Instruct", [] { return qwen_hybrid("qwen3_next", 48, {}); }},
    {"Qwen/Qwen2-VL-7B-Instruct",
     [] {
       return uniform_model("qwen2_vl", 28, qwen_vl(1000000, {16, 24, 24}, MropeOrder::chunked));
     }},
    {"Qwen/Qwen2.5-VL-7B-Instruct",
     [] {
       return uniform_model("qwen2_5_vl", 28, qwen_vl(1000000, {16, 24, 24}, MropeOrder::chunked));
     }},
    {"Qwen/Qwen3-VL-8B-Instruct",
     [] {
       return uniform_model("qwen3_vl_text", 36, qwen_vl(5000000, {24, 20, 20}, MropeOrder::interleaved));
     }},
    {"Qwen/Qwen3.5-0.8B",
     [] {
       return qwen_hybrid("qwen3_5_text", 24, {11, 11, 10});
     }},
});

}  // namespace rotary::inline ROTARY_ABI::detail
