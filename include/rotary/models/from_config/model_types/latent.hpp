// Types of multi-head latent attention: a head is [nope | rope], and its last part rotates.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Multi-head latent attention: [nope | rope] heads of interleaved pairs, and YaRN that scales the softmax
/// (transformers deepseek_v3; mlx-lm deepseek_v3.py). rope_interleave false makes halves of them.
inline constexpr ModelType kLatent = {
    .pairing = kInterleaved, .pairing_key = "rope_interleave", .latent = true, .scales_softmax = true};

/// Multi-head latent attention with interleaved pairs, whatever rope_interleave says (transformers
/// deepseek_v2, deepseek_v32, glm_moe_dsa).
inline constexpr ModelType kInterleavedLatent = {
    .pairing = kInterleaved,
    .latent = true,
    .scales_softmax = true,
    .layer_names = {"deepseek_sparse_attention"},
    .inert_keys = {"rope_interleave", "indexer_rope_interleave"}};

inline constexpr auto kLatentHeads = std::to_array<ModelType>({
    // vLLM AXK1.py; transformers axk1, axk2, youtu
    named("AXK1", kLatent),
    named("axk1", kLatent),
    named("axk2", kInterleavedLatent),
    named("youtu", kLatent),
    // transformers deepseek_v2: complex numbers of every two features
    named("deepseek_v2", kInterleavedLatent),
    named("deepseek_v3", kLatent),
    // mlx-lm deepseek_v32.py; transformers deepseek_v32
    named("deepseek_v32", kInterleavedLatent),
    // transformers glm4_moe_lite, glm_moe_dsa; mlx-lm: DeepSeek's attention
    named("glm4_moe_lite", kLatent),
    named("glm_moe_dsa", kInterleavedLatent),
    // mlx-lm utils.py: DeepSeek-V3 under another name
    named("joyai_llm_flash", kLatent),
    // mlx-lm kimi_vl.py, kimi_k25.py: DeepSeek-V3
    named("kimi_k2", kLatent),
    // vLLM kimi_linear.py; mlx-lm kimi_linear.py: mla_use_nope switches positions off, KDA is not attention
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
    // mlx-lm longcat_flash_ngram.py: LongCat with embeddings of n-grams
    {.name = "longcat_flash_ngram",
     .pairing = kInterleaved,
     .layers_key = "num_layers",
     .latent = true,
     .theta = 0,
     .scales_softmax = true},
    // transformers minicpm3: latent attention with halves
    {.name = "minicpm3", .latent = true, .scales_softmax = true},
    // transformers mistral4; mlx-vlm mistral4: latent attention, rope_interleave, temperature; YaRN if the
    // file has no rope object
    {.name = "mistral4",
     .pairing = kInterleaved,
     .pairing_key = "rope_interleave",
     .latent = true,
     .scales_softmax = true,
     .required = kRopeObject,
     .temperature = TemperatureKeys::ministral3},
    // vLLM sarvam.py (SarvamMLAAttention): is_neox_style is false
    named("sarvam_mla", kInterleavedLatent),
    // mlx-lm youtu_llm.py: DeepSeek's attention
    {.name = "youtu_llm",
     .pairing = kInterleaved,
     .pairing_key = "rope_interleave",
     .latent = true,
     .theta = 1600000,
     .scales_softmax = true},
});

}  // namespace rotary::inline ROTARY_ABI::detail
