// Presets: Llama and Mistral, and models built like them.
#pragma once

#include <array>

#include "preset.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Llama 2 and others before it: theta 10000, heads of 128.
inline ModelConfiguration llama2(RopeScaling scaling = {}) {
  return uniform_model("llama", 32, {.head_dim = 128, .scaling = std::move(scaling)});
}

inline RopeParameters llama3(Index head_dim, RopeScaling scaling = {}) {
  return {.theta = 500000, .head_dim = head_dim, .scaling = std::move(scaling)};
}

/// Llama 4: weights of interleaved pairs; every fourth layer has no rotary embedding.
inline ModelConfiguration llama4(RopeScaling scaling = {}) {
  RopeParameters rope = llama3(128, std::move(scaling));
  rope.pairing = rope.output_pairing = Pairing::interleaved;
  return model_with_gaps("llama4_text", 48, 4, std::move(rope));
}

/// Llama 4 Scout, which scales the queries of layers without a rotary embedding by their position.
inline ModelConfiguration llama4_scout() {
  ModelConfiguration model = llama4(Llama3Options{.factor = 16, .high_freq_factor = 1});
  model.temperature = QueryTemperature{.scale = 0.1, .interval = 8192, .shift = 1};
  model.temperature_without_rope = true;
  return model;
}

/// Ministral 3: YaRN without a magnitude, and queries scaled by their position.
inline ModelConfiguration ministral3(std::size_t layers) {
  ModelConfiguration model = uniform_model(
      "ministral3", layers,
      {.theta = 1000000,
       .head_dim = 128,
       .scaling = YarnOptions{
           .factor = 16, .original_max_position_embeddings = 16384, .mscale = 1, .mscale_all_dim = 1}});
  model.temperature = QueryTemperature{.scale = 0.1, .interval = 16384};
  return model;
}

inline ModelConfiguration mistral(std::size_t layers, double theta) {
  return uniform_model("mistral", layers, {.theta = theta, .head_dim = 128});
}

inline constexpr auto kLlamaPresets = std::to_array<Preset>({
    {"huggyllama/llama-7b", [] { return llama2(); }},
    {"meta-llama/Llama-2-7b-hf", [] { return llama2(); }},
    {"codellama/CodeLlama-7b-hf",
     [] { return uniform_model("llama", 32, {.theta = 1000000, .head_dim = 128}); }},
    {"lmsys/vicuna-7b-v1.5-16k", [] { return llama2(LinearOptions{4}); }},
    {"NousResearch/Yarn-Llama-2-7b-128k",
     [] { return llama2(YarnOptions{.factor = 32, .original_max_position_embeddings = 4096}); }},
    {"meta-llama/Meta-Llama-3-8B", [] { return uniform_model("llama", 32, llama3(128)); }},
    {"meta-llama/Llama-3.1-8B",
     [] { return uniform_model("llama", 32, llama3(128, Llama3Options{.factor = 8})); }},
    {"meta-llama/Llama-3.1-70B",
     [] { return uniform_model("llama", 80, llama3(128, Llama3Options{.factor = 8})); }},
    {"meta-llama/Llama-3.2-1B",
     [] { return uniform_model("llama", 16, llama3(64, Llama3Options{.factor = 32})); }},
    {"meta-llama/Llama-3.2-3B",
     [] { return uniform_model("llama", 28, llama3(128, Llama3Options{.factor = 32})); }},
    {"meta-llama/Llama-4-Scout-17B-16E-Instruct", [] { return llama4_scout(); }},
    {"meta-llama/Llama-4-Maverick-17B-128E-Instruct", [] { return llama4(); }},
    {"mistralai/Mistral-7B-v0.1", [] { return mistral(32, 10000); }},
    {"mistralai/Mistral-7B-Instruct-v0.3", [] { return mistral(32, 1000000); }},
    {"mistralai/Mistral-Nemo-Instruct-2407", [] { return mistral(40, 1000000); }},
    {"mistralai/Mixtral-8x7B-v0.1",
     [] { return uniform_model("mixtral", 32, {.theta = 1000000, .head_dim = 128}); }},
    {"mistralai/Ministral-3-8B-Instruct-2512", [] { return ministral3(34); }},
    {"HuggingFaceTB/SmolLM3-3B",
     [] { return model_with_gaps("smollm3", 36, 4, {.theta = 5000000, .head_dim = 128}); }},
    {"swiss-ai/Apertus-8B-2509",
     [] {
       return uniform_model("apertus", 32,
                            {.theta = 12000000, .head_dim = 128, .scaling = Llama3Options{.factor = 8}});
     }},
    {"arcee-ai/AFM-4.5B",
     [] {
       return uniform_model(
           "arcee", 36,
           {.head_dim = 128, .scaling = YarnOptions{.factor = 20, .original_max_position_embeddings = 4096}});
     }},
});

}  // namespace rotary::inline ROTARY_ABI::detail
