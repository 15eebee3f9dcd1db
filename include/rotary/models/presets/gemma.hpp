// Presets: Gemma, and other models whose local and global layers differ.
#pragma once

#include <array>

#include "preset.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// `period` − 1 layers with a sliding window and theta 10000, then one that sees all.
inline ModelConfiguration gemma(const char* model_type, std::size_t layers, std::size_t period,
                                Index head_dim, RopeParameters full) {
  return model_of_two_types({.model_type = model_type,
                             .layers = layers,
                             .period = period,
                             .full = period - 1,
                             .of_full = std::move(full),
                             .of_other = RopeParameters{.head_dim = head_dim}});
}

inline RopeParameters gemma3_full(Index head_dim, RopeScaling scaling = {}) {
  return {.theta = 1000000, .head_dim = head_dim, .scaling = std::move(scaling)};
}

inline RopeParameters gemma4_full() {
  return {.theta = 1000000, .head_dim = 512, .scaling = ProportionalOptions{.partial_rotary_factor = 0.25}};
}

/// Three local layers, then a global one without a rotary embedding.
inline ModelConfiguration local_only(const char* model_type, std::size_t layers, RopeParameters local) {
  return model_of_two_types({.model_type = model_type,
                             .layers = layers,
                             .period = 4,
                             .full = 3,
                             .of_full = {},
                             .of_other = std::move(local)});
}

inline constexpr auto kGemmaPresets = std::to_array<Preset>({
    {"google/gemma-2b", [] { return uniform_model("gemma", 18, {.head_dim = 256}); }},
    {"google/gemma-2-9b", [] { return gemma("gemma2", 42, 2, 256, {.head_dim = 256}); }},
    {"google/gemma-3-1b-it", [] { return gemma("gemma3_text", 26, 6, 256, gemma3_full(256)); }},
    {"google/gemma-3-4b-it",
     [] { return gemma("gemma3_text", 34, 6, 256, gemma3_full(256, LinearOptions{8})); }},
    {"google/gemma-3-27b-it",
     [] { return gemma("gemma3_text", 62, 6, 128, gemma3_full(128, LinearOptions{8})); }},
    {"google/gemma-3n-E4B-it", [] { return gemma("gemma3n_text", 35, 5, 256, gemma3_full(256)); }},
    {"google/gemma-4-E2B-it", [] { return gemma("gemma4_text", 35, 5, 256, gemma4_full()); }},
    {"google/gemma-4-26B-A4B-it", [] { return gemma("gemma4_text", 30, 6, 256, gemma4_full()); }},
    {"answerdotai/ModernBERT-base",
     [] {
       return model_of_two_types({.model_type = "modernbert",
                                  .layers = 22,
                                  .period = 3,
                                  .full = 0,
                                  .of_full = RopeParameters{.theta = 160000, .head_dim = 64},
                                  .of_other = RopeParameters{.head_dim = 64}});
     }},
    {"CohereForAI/c4ai-command-r7b-12-2024",
     [] {
       return local_only("cohere2", 32, {.theta = 50000, .head_dim = 128, .pairing = Pairing::interleaved});
     }},
    {"LGAI-EXAONE/EXAONE-4.0-32B",
     [] {
       return local_only("exaone4", 64,
                         {.theta = 1000000, .head_dim = 128, .scaling = Llama3Options{.factor = 16}});
     }},
    {"LGAI-EXAONE/EXAONE-4.0-1.2B",
     [] {
       return uniform_model("exaone4", 30,
                            {.theta = 1000000, .head_dim = 64, .scaling = Llama3Options{.factor = 16}});
     }},
});

}  // namespace rotary::inline ROTARY_ABI::detail
