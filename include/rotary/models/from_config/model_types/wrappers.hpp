// Models of several parts: the type of their language model, if its object does not name it.
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
    {"audioflamingo3", "qwen2"},
    {"aya_vision", "cohere2"},
    {"cohere2_vision", "cohere2"},
    {"cohere_compass", "cohere_compass_text"},
    {"colpali", "gemma"},
    {"cosmos3_edge", "cosmos3_edge_text"},
    {"cosmos3_omni", "qwen3_vl_text"},
    {"deepseek_ocr2", "deepseek_ocr2_text"},
    {"deepseek_vl", "llama"},
    {"deepseek_vl_hybrid", "llama"},
    {"deepseek_vl_v2", "deepseek_v2"},
    {"diffusion_gemma", "diffusion_gemma_text"},
    {"emu3", "emu3_text_model"},
    {"exaone4_5", "exaone4"},
    {"fast_vlm", "qwen2"},
    {"fuyu", "persimmon"},
    {"gemma3", "gemma3_text"},
    {"gemma3n", "gemma3n_text"},
    {"gemma4", "gemma4_text"},
    {"gemma4_unified", "gemma4_unified_text"},
    {"glm46v", "glm4v_text"},
    {"glm4v", "glm4v_text"},
    {"glm4v_moe", "glm4v_moe_text"},
    {"glm_image", "glm_image_text"},
    {"glm_ocr", "glm_ocr_text"},
    {"glmasr", "llama"},
    {"glmga", "glm4v_text"},
    {"got_ocr2", "qwen2"},
    {"granite4_vision", "granite4_vision_text"},
    {"granite_speech", "granite"},
    {"granite_speech_plus", "granite"},
    {"idefics2", "mistral"},
    {"idefics3", "llama"},
    {"internvl", "qwen2"},
    {"janus", "llama"},
    {"kimi_k25", "deepseek_v3"},
    {"kimi_vl", "deepseek_v3"},
    {"lfm2_vl", "lfm2"},
    {"lighton_ocr", "qwen3"},
    {"llama4", "llama4_text"},
    {"llava", "llama"},
    {"llava_next", "llama"},
    {"llava_next_video", "llama"},
    {"llava_onevision", "qwen2"},
    {"minicpmv4_6", "qwen3_5_text"},
    {"minimax_m3_vl", "minimax_m3_vl_text", true},
    {"mistral3", "mistral"},
    {"mllama", "mllama_text_model"},
    {"modernvbert", "modernbert"},
    {"muse_glimmer", "muse_glimmer_text"},
    {"musicflamingo", "qwen2"},
    {"ovis2", "qwen2"},
    {"paligemma", "gemma"},
    {"pe_audio", "modernbert"},
    {"pe_audio_video", "modernbert"},
    {"pe_video", "modernbert"},
    {"perception_lm", "llama"},
    {"pp_chart2table", "qwen2"},
    {"qianfan_ocr", "qwen3"},
    {"qwen2_5_omni_thinker", "qwen2_5_omni_text"},
    {"qwen2_audio", "qwen2"},
    {"qwen3_5", "qwen3_5_text"},
    {"qwen3_5_moe", "qwen3_5_moe_text"},
    {"qwen3_asr", "qwen3"},
    {"qwen3_omni_moe_thinker", "qwen3_omni_moe_text"},
    {"qwen3_vl", "qwen3_vl_text"},
    {"qwen3_vl_moe", "qwen3_vl_moe_text"},
    {"shieldgemma2", "gemma3_text"},
    {"smolvlm", "llama"},
    {"step3_vl", "step3_text"},
    {"step3p7", "step3p5"},
    {"t5gemma2_encoder", "t5gemma2_text"},
    {"vibevoice_asr", "qwen2"},
    {"video_llama_3", "qwen2"},
    {"video_llava", "llama"},
    {"vipllava", "llama"},
    {"voxtral", "llama"},
    {"voxtral_realtime", "voxtral_realtime_text"},
});

inline const WrapperType* find_wrapper_type(std::string_view name) {
  for (const WrapperType& type : kWrapperTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace rotary::inline ROTARY_ABI::detail
