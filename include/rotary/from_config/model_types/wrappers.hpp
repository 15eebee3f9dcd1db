// Models of several parts: what type their language model is of, where its object does not say so.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A model of several parts, and the type of its language model where that has no model_type of its own.
struct WrapperType {
  std::string_view name;
  std::string_view language_type;
  bool rebuilds = false;  ///< the language model is of this type, whatever its own model_type says
};

/// From the configuration classes of transformers.
inline constexpr auto kWrapperTypes = std::to_array<WrapperType>({
    {"aria", "aria_text"},
    {"aya_vision", "cohere2"},
    {"cohere2_vision", "cohere2"},
    {"deepseek_vl", "llama"},
    {"deepseek_vl_hybrid", "llama"},
    {"deepseek_vl_v2", "deepseek_v2"},
    {"emu3", "emu3_text_model"},
    {"fuyu", "persimmon"},
    {"gemma3", "gemma3_text"},
    {"gemma3n", "gemma3n_text"},
    {"gemma4", "gemma4_text"},
    {"glm4v", "glm4v_text"},
    {"glm4v_moe", "glm4v_moe_text"},
    {"got_ocr2", "qwen2"},
    {"granite_speech", "granite"},
    {"idefics2", "mistral"},
    {"idefics3", "llama"},
    {"internvl", "qwen2"},
    {"janus", "llama"},
    {"kimi_vl", "deepseek_v3"},
    {"lfm2_vl", "lfm2"},
    {"llama4", "llama4_text"},
    {"llava", "llama"},
    {"llava_next", "llama"},
    {"llava_next_video", "llama"},
    {"llava_onevision", "qwen2"},
    {"minimax_m3_vl", "minimax_m3_vl_text", true},
    {"mistral3", "mistral"},
    {"mllama", "mllama_text_model"},
    {"muse_glimmer", "muse_glimmer_text"},
    {"ovis2", "qwen2"},
    {"paligemma", "gemma"},
    {"perception_lm", "llama"},
    {"qwen2_5_omni_thinker", "qwen2_5_omni_text"},
    {"qwen2_audio", "qwen2"},
    {"qwen3_5", "qwen3_5_text"},
    {"qwen3_5_moe", "qwen3_5_moe_text"},
    {"qwen3_omni_moe_thinker", "qwen3_omni_moe_text"},
    {"qwen3_vl", "qwen3_vl_text"},
    {"qwen3_vl_moe", "qwen3_vl_moe_text"},
    {"shieldgemma2", "gemma3_text"},
    {"smolvlm", "llama"},
    {"video_llama_3", "qwen2"},
    {"video_llava", "llama"},
    {"vipllava", "llama"},
    {"voxtral", "llama"},
});

inline const WrapperType* find_wrapper_type(std::string_view name) {
  for (const WrapperType& type : kWrapperTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace rotary::inline ROTARY_ABI::detail
