// What a `model_type` says that its configuration need not: how features are paired, and the values of keys
// left out, which Hugging Face takes from the configuration class.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "../pairing.hpp"
#include "../rope_parameters.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// How the types of layers follow each other where `layer_types` is missing. Layers count from 0.
enum class LayerPattern {
  uniform,      ///< all full_attention
  full_last,    ///< of every `period` layers the last is full_attention, the others sliding_attention
  full_first,   ///< the same with the first
  linear_first  ///< of every `period` layers the last is full_attention, the others linear_attention
};

struct ModelType {
  std::string_view name;
  Pairing pairing = Pairing::half;
  double theta = 10000;
  double local_theta = 0;  ///< of sliding layers, where it is another
  double partial_rotary_factor = 1;
  Index head_dim = 0;       ///< 0: hidden_size / num_attention_heads
  Index full_head_dim = 0;  ///< of layers of full attention, where it is another
  Index rotary_dim = 0;     ///< 0: head_dim · partial_rotary_factor
  LayerPattern pattern = LayerPattern::uniform;
  Index period = 0;
  Index no_rope_interval = 0;      ///< of as many layers the last has no rotary embedding
  bool full_without_rope = false;  ///< layers of full attention have none
  bool scales_softmax = false;     ///< by YaRN's mscale_all_dim
  MropeOrder mrope_order = MropeOrder::chunked;
};

/// What a note says of a value that comes from the type.
inline std::string of_model_type(const ModelType& type, std::string_view value) {
  return "it is taken to be " + std::string(value) + ", as in " +
         (type.name.empty() ? "most models" : "model_type " + std::string(type.name));
}
inline std::string of_model_type(const ModelType& type, double value) {
  return of_model_type(type, to_text(value));
}

inline constexpr Pairing kInterleaved = Pairing::interleaved;

/// From the configuration and model classes of Hugging Face's transformers, and from the models' own code for
/// those that bring it along (chatglm, qwen, nomic_bert).
inline constexpr auto kModelTypes = std::to_array<ModelType>({
    {.name = "apertus", .theta = 12000000},
    {.name = "arcee"},
    {.name = "baichuan"},
    {.name = "bitnet", .theta = 500000},
    {.name = "chatglm", .pairing = kInterleaved, .partial_rotary_factor = 0.5, .head_dim = 128},
    {.name = "codegen", .pairing = kInterleaved, .rotary_dim = 64},
    {.name = "cohere", .pairing = kInterleaved},
    {.name = "cohere2",
     .pairing = kInterleaved,
     .pattern = LayerPattern::full_last,
     .period = 4,
     .full_without_rope = true},
    {.name = "deepseek_v2", .pairing = kInterleaved, .scales_softmax = true},
    {.name = "deepseek_v3", .pairing = kInterleaved, .scales_softmax = true},
    {.name = "deepseek_v32", .pairing = kInterleaved, .scales_softmax = true},
    {.name = "dots1"},
    {.name = "ernie4_5", .pairing = kInterleaved, .theta = 500000},
    {.name = "ernie4_5_moe", .pairing = kInterleaved, .theta = 500000},
    {.name = "ernie4_5_moe_vl", .pairing = kInterleaved, .theta = 500000, .mrope_order = MropeOrder::ernie},
    {.name = "ernie4_5_vl_moe", .pairing = kInterleaved, .theta = 500000, .mrope_order = MropeOrder::ernie},
    {.name = "ernie4_5_vl_moe_text",
     .pairing = kInterleaved,
     .theta = 500000,
     .mrope_order = MropeOrder::ernie},
    {.name = "exaone4", .pattern = LayerPattern::full_last, .period = 4, .full_without_rope = true},
    {.name = "falcon"},
    {.name = "gemma", .head_dim = 256},
    {.name = "gemma2", .head_dim = 256, .pattern = LayerPattern::full_last, .period = 2},
    {.name = "gemma3_text",
     .theta = 1000000,
     .local_theta = 10000,
     .head_dim = 256,
     .pattern = LayerPattern::full_last,
     .period = 6},
    {.name = "gemma3n_text",
     .theta = 1000000,
     .local_theta = 10000,
     .head_dim = 256,
     .pattern = LayerPattern::full_last,
     .period = 5},
    {.name = "gemma4_text",
     .theta = 1000000,
     .local_theta = 10000,
     .head_dim = 256,
     .full_head_dim = 512,
     .pattern = LayerPattern::full_last,
     .period = 6},
    {.name = "glm", .pairing = kInterleaved, .partial_rotary_factor = 0.5, .head_dim = 128},
    {.name = "glm4", .pairing = kInterleaved, .partial_rotary_factor = 0.5, .head_dim = 128},
    {.name = "glm4_moe", .partial_rotary_factor = 0.5},
    {.name = "glm4v_moe_text", .partial_rotary_factor = 0.5},
    {.name = "glm4v_text", .pairing = kInterleaved, .partial_rotary_factor = 0.5},
    {.name = "gpt_neox", .partial_rotary_factor = 0.25},
    {.name = "gpt_oss", .theta = 150000, .head_dim = 64, .pattern = LayerPattern::full_last, .period = 2},
    {.name = "gptj", .pairing = kInterleaved, .rotary_dim = 64},
    {.name = "granite"},
    {.name = "granitemoe"},
    {.name = "hunyuan_v1_dense"},
    {.name = "hunyuan_v1_moe"},
    {.name = "hunyuan_vl"},
    {.name = "hunyuan_vl_text"},
    {.name = "internlm2"},
    {.name = "internlm3"},
    {.name = "kimi_k2", .pairing = kInterleaved, .scales_softmax = true},
    {.name = "llama"},
    {.name = "llama4_text", .pairing = kInterleaved, .theta = 500000, .head_dim = 128, .no_rope_interval = 4},
    {.name = "minimax_m2", .rotary_dim = 64},
    {.name = "ministral3", .theta = 1000000},
    {.name = "mistral"},
    {.name = "mixtral", .theta = 1000000},
    {.name = "modernbert",
     .theta = 160000,
     .local_theta = 10000,
     .pattern = LayerPattern::full_first,
     .period = 3},
    {.name = "nemotron", .partial_rotary_factor = 0.5},
    {.name = "nomic_bert"},
    {.name = "olmo"},
    {.name = "olmo2"},
    {.name = "olmoe"},
    {.name = "persimmon", .theta = 25000, .partial_rotary_factor = 0.5},
    {.name = "phi", .partial_rotary_factor = 0.5},
    {.name = "phi3"},
    {.name = "qwen"},
    {.name = "qwen2"},
    {.name = "qwen2_5_omni_text", .theta = 1000000},
    {.name = "qwen2_5_vl", .theta = 1000000},
    {.name = "qwen2_5_vl_text", .theta = 1000000},
    {.name = "qwen2_moe"},
    {.name = "qwen2_vl", .theta = 1000000},
    {.name = "qwen2_vl_text", .theta = 1000000},
    {.name = "qwen3"},
    {.name = "qwen3_5_text",
     .partial_rotary_factor = 0.25,
     .head_dim = 256,
     .pattern = LayerPattern::linear_first,
     .period = 4,
     .mrope_order = MropeOrder::interleaved},
    {.name = "qwen3_moe"},
    {.name = "qwen3_next",
     .partial_rotary_factor = 0.25,
     .head_dim = 256,
     .pattern = LayerPattern::linear_first,
     .period = 4},
    {.name = "qwen3_vl_moe_text", .theta = 5000000, .mrope_order = MropeOrder::interleaved},
    {.name = "qwen3_vl_text", .theta = 5000000, .mrope_order = MropeOrder::interleaved},
    {.name = "seed_oss"},
    {.name = "smollm3", .theta = 2000000, .no_rope_interval = 4},
    {.name = "stablelm", .partial_rotary_factor = 0.25},
    {.name = "starcoder2"},
});

/// Null for a type that is not listed.
inline const ModelType* find_model_type(std::string_view name) {
  for (const ModelType& type : kModelTypes)
    if (type.name == name) return &type;
  return nullptr;
}

/// Types that have positions of another kind, and no rotation at all.
inline constexpr auto kWithoutRope = std::to_array<std::string_view>(
    {"albert", "bart", "bert", "bloom", "distilbert", "electra", "gpt2", "gpt_bigcode", "gpt_neo", "jamba",
     "mamba", "mamba2", "mpt", "opt", "roberta", "t5", "whisper", "xlm-roberta"});

inline bool never_rotates(std::string_view model_type) {
  for (const std::string_view name : kWithoutRope)
    if (name == model_type) return true;
  return false;
}

/// Layers that are no attention, whatever the model.
inline constexpr auto kNoAttention =
    std::to_array<std::string_view>({"conv", "linear_attention", "mamba", "mamba2", "recurrent"});

inline bool is_attention(std::string_view layer_type) {
  for (const std::string_view name : kNoAttention)
    if (name == layer_type) return false;
  return true;
}

}  // namespace rotary::inline ROTARY_ABI::detail
