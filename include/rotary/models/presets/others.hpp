// Presets: the first models with rotary embeddings, and all models without a header of their own.
#pragma once

#include <array>

#include "preset.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// theta 10000, and a part of the head.
inline RopeParameters partial_rope(Index head_dim, Index rotary_dim, Pairing pairing = Pairing::half) {
  return {.head_dim = head_dim, .rotary_dim = rotary_dim, .pairing = pairing};
}

inline RopeParameters whole_head(Index head_dim, double theta, Pairing pairing = Pairing::half) {
  return {.theta = theta, .head_dim = head_dim, .pairing = pairing};
}

inline RopeParameters dynamic_ntk(double theta, double factor) {
  return {.theta = theta, .head_dim = 128, .scaling = DynamicNtkOptions{factor, 32768}};
}

inline RopeParameters hunyuan(std::vector<Index> sections = {}) {
  return {.head_dim = 128, .scaling = NtkOptions{1000}, .mrope_section = std::move(sections)};
}

inline constexpr auto kOtherPresets = std::to_array<Preset>({
    {"EleutherAI/gpt-j-6b",
     [] { return uniform_model("gptj", 28, partial_rope(256, 64, Pairing::interleaved)); }},
    {"EleutherAI/gpt-neox-20b", [] { return uniform_model("gpt_neox", 44, partial_rope(96, 24)); }},
    {"EleutherAI/pythia-1.4b", [] { return uniform_model("gpt_neox", 24, partial_rope(128, 32)); }},
    {"Salesforce/codegen-350M-mono",
     [] { return uniform_model("codegen", 20, partial_rope(64, 32, Pairing::interleaved)); }},
    {"nomic-ai/nomic-embed-text-v1.5", [] { return uniform_model("nomic_bert", 12, whole_head(64, 1000)); }},
    {"CohereForAI/c4ai-command-r-v01",
     [] { return uniform_model("cohere", 40, whole_head(128, 8000000, Pairing::interleaved)); }},
    {"stabilityai/stablelm-2-1_6b", [] { return uniform_model("stablelm", 24, partial_rope(64, 16)); }},
    {"adept/persimmon-8b-base",
     [] { return uniform_model("persimmon", 36, {.theta = 25000, .head_dim = 64, .rotary_dim = 32}); }},
    {"nvidia/Minitron-8B-Base", [] { return uniform_model("nemotron", 32, partial_rope(128, 64)); }},
    {"tiiuae/falcon-7b", [] { return uniform_model("falcon", 32, whole_head(64, 10000)); }},
    {"internlm/internlm2-chat-7b", [] { return uniform_model("internlm2", 32, dynamic_ntk(1000000, 2)); }},
    {"internlm/internlm3-8b-instruct",
     [] { return uniform_model("internlm3", 48, dynamic_ntk(50000000, 6)); }},
    {"tencent/Hunyuan-7B-Instruct", [] { return uniform_model("hunyuan_v1_dense", 32, hunyuan()); }},
    {"tencent/HunyuanOCR",
     [] {
       return uniform_model("hunyuan_vl", 24, hunyuan({16, 16, 16, 16}));
     }},
    {"baidu/ERNIE-4.5-0.3B-PT",
     [] { return uniform_model("ernie4_5", 18, whole_head(128, 500000, Pairing::interleaved)); }},
    {"baidu/ERNIE-4.5-VL-28B-A3B-PT",
     [] {
       return uniform_model("ernie4_5_moe_vl", 28,
                            {.theta = 500000,
                             .head_dim = 128,
                             .pairing = Pairing::interleaved,
                             .mrope_section = {22, 22, 20},
                             .mrope_order = MropeOrder::ernie});
     }},
    {"ibm-granite/granite-3.3-8b-instruct",
     [] { return uniform_model("granite", 40, whole_head(128, 10000000)); }},
    {"bigcode/starcoder2-7b", [] { return uniform_model("starcoder2", 32, whole_head(128, 1000000)); }},
    {"allenai/OLMo-2-1124-7B", [] { return uniform_model("olmo2", 32, whole_head(128, 500000)); }},
    {"MiniMaxAI/MiniMax-M2",
     [] { return uniform_model("minimax_m2", 62, {.theta = 5000000, .head_dim = 128, .rotary_dim = 64}); }},
    {"ByteDance-Seed/Seed-OSS-36B-Instruct",
     [] { return uniform_model("seed_oss", 64, whole_head(128, 10000000)); }},
});

}  // namespace rotary::inline ROTARY_ABI::detail
