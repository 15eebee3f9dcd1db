// Presets: DeepSeek and models with its latent attention, gpt-oss, and GLM.
#pragma once

#include <array>

#include "preset.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Latent attention: of a head of 192 features the last 64 rotate. YaRN's magnitude cancels, and the softmax
/// is scaled instead.
inline ModelConfiguration latent_attention(const char* model_type, std::size_t layers, double theta,
                                           const YarnOptions& yarn) {
  return uniform_model(model_type, layers,
                       {.theta = theta,
                        .head_dim = 192,
                        .rotary_dim = 64,
                        .start_index = 128,
                        .pairing = Pairing::interleaved,
                        .scaling = yarn,
                        .softmax_scale = yarn_softmax_scale(yarn)});
}

inline ModelConfiguration deepseek(const char* model_type, std::size_t layers, double mscale) {
  return latent_attention(
      model_type, layers, 10000,
      {.factor = 40, .original_max_position_embeddings = 4096, .mscale = mscale, .mscale_all_dim = mscale});
}

/// Alternating layers of window and of full attention, with one embedding for both.
inline ModelConfiguration gpt_oss(std::size_t layers) {
  const RopeParameters rope{
      .theta = 150000,
      .head_dim = 64,
      .scaling = YarnOptions{.factor = 32, .original_max_position_embeddings = 4096, .truncate = false}};
  return model_of_two_types(
      {.model_type = "gpt_oss", .layers = layers, .period = 2, .full = 1, .of_full = rope, .of_other = rope});
}

/// Half of a head of 128 rotates.
inline RopeParameters glm(double theta, Pairing pairing, std::vector<Index> sections = {}) {
  return {.theta = theta,
          .head_dim = 128,
          .rotary_dim = 64,
          .pairing = pairing,
          .mrope_section = std::move(sections)};
}

inline constexpr auto kDeepseekPresets = std::to_array<Preset>({
    {"deepseek-ai/DeepSeek-V2", [] { return deepseek("deepseek_v2", 60, 0.707); }},
    {"deepseek-ai/DeepSeek-V2-Lite", [] { return deepseek("deepseek_v2", 27, 0.707); }},
    {"deepseek-ai/DeepSeek-V3", [] { return deepseek("deepseek_v3", 61, 1); }},
    {"deepseek-ai/DeepSeek-R1", [] { return deepseek("deepseek_v3", 61, 1); }},
    {"moonshotai/Kimi-K2-Instruct",
     [] {
       return latent_attention("kimi_k2", 61, 50000,
                               {.factor = 32,
                                .original_max_position_embeddings = 4096,
                                .beta_fast = 1,
                                .mscale = 1,
                                .mscale_all_dim = 1});
     }},
    {"openai/gpt-oss-20b", [] { return gpt_oss(24); }},
    {"openai/gpt-oss-120b", [] { return gpt_oss(36); }},
    {"zai-org/chatglm3-6b", [] { return uniform_model("chatglm", 28, glm(10000, Pairing::interleaved)); }},
    {"zai-org/glm-4-9b-chat",
     [] { return uniform_model("chatglm", 40, glm(5000000, Pairing::interleaved)); }},
    {"zai-org/GLM-4-9B-0414", [] { return uniform_model("glm4", 40, glm(10000, Pairing::interleaved)); }},
    {"zai-org/GLM-4.5", [] { return uniform_model("glm4_moe", 92, glm(1000000, Pairing::half)); }},
    {"zai-org/GLM-4.1V-9B-Thinking",
     [] {
       return uniform_model("glm4v_text", 40, glm(10000, Pairing::interleaved, {8, 12, 12}));
     }},
});

}  // namespace rotary::inline ROTARY_ABI::detail
