// Types of multi-head latent attention: a head is [nope | rope], and its last part rotates.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Multi-head latent attention: [nope | rope] heads of interleaved pairs, and YaRN that scales the softmax
/// (transformers deepseek_v2, deepseek_v3; mlx-lm deepseek_v3.py). Files of V3's relatives may have
/// rope_interleave.
inline constexpr ModelType kLatent = {
    .pairing = kInterleaved, .pairing_key = "rope_interleave", .latent = true, .scales_softmax = true};

inline constexpr auto kLatentHeads = std::to_array<ModelType>({
    // transformers deepseek_v2: complex numbers of every two features
    named("deepseek_v2", kLatent),
    named("deepseek_v3", kLatent),
    // mlx-lm deepseek_v32.py; transformers deepseek_v32
    named("deepseek_v32", kLatent),
    // mlx-lm glm4_moe_lite.py, glm_moe_dsa.py: DeepSeek's attention
    named("glm4_moe_lite", kLatent),
    named("glm_moe_dsa", kLatent),
    // mlx-lm kimi_vl.py, kimi_k25.py: DeepSeek-V3
    named("kimi_k2", kLatent),
    // vLLM kimi_linear.py; mlx-lm kimi_linear.py: mla_use_nope switches positions off, KDA is no attention
    {.name = "kimi_linear",
     .pairing = kInterleaved,
     .latent = true,
     .lists = {{{"linear_attn_config.full_attn_layers", ListForm::full_indices}}},
     .other = "linear_attention",
     .switch_key = "mla_use_nope",
     .switch_default = false,
     .switch_off_is_nope = true},
    // LongCat's and transformers longcat_flash (apply_rotary_pos_emb_interleave); mlx-lm longcat_flash.py
    {.name = "longcat_flash",
     .pairing = kInterleaved,
     .layers_key = "num_layers",
     .latent = true,
     .theta = 10000000,
     .scales_softmax = true},
    // transformers minicpm3: latent attention with halves
    {.name = "minicpm3", .latent = true},
    // transformers mistral4; mlx-vlm mistral4: latent attention, rope_interleave, temperature
    {.name = "mistral4",
     .pairing = kInterleaved,
     .pairing_key = "rope_interleave",
     .latent = true,
     .temperature = TemperatureKeys::ministral3},
    // mlx-lm youtu_llm.py: DeepSeek's attention
    {.name = "youtu_llm",
     .pairing = kInterleaved,
     .pairing_key = "rope_interleave",
     .latent = true,
     .theta = 1600000,
     .scales_softmax = true},
});

}  // namespace rotary::inline ROTARY_ABI::detail
