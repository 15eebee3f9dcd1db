// Types of which a part of the head rotates, in halves.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Phi-1, Phi-2 before transformers had them, and Phixtral (mlx-lm phixtral.py).
inline constexpr ModelType kPhiMsft = {
    .partial_keys = kNoKeys, .rotary_dim = 32, .rotary_dim_key = "rotary_dim", .theta_keys = kNoKeys};

inline constexpr auto kPartialHeads = std::to_array<ModelType>({
    // vLLM bailing_moe.py; mlx-lm bailing_moe.py: rotary_dim, or a share of the head, in halves
    {.name = "bailing_moe", .rotary_dim_key = "rotary_dim", .theta = 0},
    // Bunny's bunny_phi.py, bunny_stablelm.py: the classes they derive from
    {.name = "bunny-phi", .hidden_size = 2048, .heads = 32, .layers = 24, .partial = 0.5},
    {.name = "bunny-stablelm", .partial = 0.25, .partial_keys = {"rope_pct"}},
    // transformers glm4_moe; mlx-lm glm4_moe.py: halves
    {.name = "glm4_moe", .partial = 0.5},
    // transformers glmasr: half of a head, setdefault of partial_rotary_factor
    {.name = "glmasr_encoder", .hidden_size = 1280, .heads = 20, .layers = 32, .partial = 0.5},
    // transformers gpt_neox; mlx-lm gpt_neox.py
    {.name = "gpt_neox",
     .hidden_size = 6144,
     .heads = 64,
     .layers = 44,
     .partial = 0.25,
     .partial_keys = {"rotary_pct", "partial_rotary_factor"},
     .theta_keys = {"rotary_emb_base", "rope_theta"}},
    // transformers gpt_neox_japanese
    {.name = "gpt_neox_japanese",
     .hidden_size = 2560,
     .heads = 32,
     .layers = 32,
     .partial_keys = {"rotary_pct", "partial_rotary_factor"},
     .theta_keys = {"rotary_emb_base", "rope_theta"}},
    // mlx-vlm llada2_moe: half of a head, in halves
    {.name = "llada2_moe", .partial = 0.5, .rotary_dim_key = "rotary_dim", .theta = 600000},
    // transformers minimax_m2; mlx-lm minimax.py
    {.name = "minimax_m2",
     .head_dim = 128,
     .rotary_dim = 64,
     .rotary_dim_key = "rotary_dim",
     .theta = 5000000},
    // transformers minimax_m3_vl; mlx-vlm minimax_m3_vl
    {.name = "minimax_m3_vl_text",
     .hidden_size = 6144,
     .heads = 64,
     .layers = 60,
     .head_dim = 128,
     .rotary_dim = 64,
     .rotary_dim_key = "rotary_dim",
     .theta = 5000000,
     .layer_names = {"minimax_m3_sparse"}},
    // transformers nemotron; mlx-lm nemotron.py
    {.name = "nemotron",
     .hidden_size = 6144,
     .heads = 48,
     .layers = 32,
     .partial = 0.5,
     .partial_keys = {"partial_rotary_factor", "rope_percent"}},
    // vLLM param2moe.py: is_neox_style
    {.name = "param2moe", .partial = 0, .theta = 0},
    // transformers persimmon: versions disagree about the base
    {.name = "persimmon", .hidden_size = 4096, .heads = 64, .layers = 36, .partial = 0.5, .theta = 0},
    // transformers phi
    {.name = "phi", .hidden_size = 2048, .heads = 32, .layers = 24, .partial = 0.5},
    named("phi-msft", kPhiMsft),
    // Microsoft's modeling_phi4mm.py: Phi-3 with partial_rotary_factor
    {.name = "phi4mm", .partial = 0},
    named("phixtral", kPhiMsft),
    // Alibaba's modeling_qwen.py
    {.name = "qwen",
     .partial_keys = {"rotary_pct"},
     .theta_keys = {"rotary_emb_base"},
     .qwen_dynamic_ntk = true},
    // vLLM sarvam.py (SarvamMoEForCausalLM): bailing_moe
    {.name = "sarvam_moe", .rotary_dim_key = "rotary_dim", .theta = 0},
    // transformers solar_open; mlx-lm solar_open.py: GLM-4.5's attention
    {.name = "solar_open", .head_dim = 128, .theta = 1000000},
    // transformers stablelm
    {.name = "stablelm",
     .hidden_size = 2560,
     .heads = 32,
     .layers = 32,
     .partial = 0.25,
     .partial_keys = {"partial_rotary_factor", "rope_pct"}},
    // Stability's modeling_stablelm_epoch.py
    {.name = "stablelm_epoch", .partial = 0.25, .partial_keys = {"rope_pct"}},
});

}  // namespace rotary::inline ROTARY_ABI::detail
