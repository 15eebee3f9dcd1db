// Types whose layers differ: local layers with bases of their own, layers without a rotary embedding, scaling
// of some layers.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Alternating sliding layers and layers of full attention (transformers gemma2, vaultgemma).
inline constexpr ModelType kGemma2 = {.hidden_size = 2304,
                                      .heads = 8,
                                      .layers = 26,
                                      .head_dim = 256,
                                      .pattern = LayerPattern::full_last,
                                      .period = 2};

/// Of every three layers the first has the base of full attention (transformers modernbert,
/// modernbert_decoder).
inline constexpr ModelType kModernBert = {.hidden_size = 768,
                                          .heads = 12,
                                          .layers = 22,
                                          .theta = 160000,
                                          .theta_keys = {"global_rope_theta"},
                                          .local_theta = 10000,
                                          .local_theta_keys = {"local_rope_theta"},
                                          .pattern = LayerPattern::full_first,
                                          .period = 3,
                                          .period_keys = {"global_attn_every_n_layers"},
                                          .position_type = PositionType::ignored};

/// Sliding layers with theta 10000, and every few layers one of full attention (transformers gemma3).
inline constexpr ModelType kGemma3 = {.hidden_size = 2304,
                                      .heads = 8,
                                      .layers = 26,
                                      .head_dim = 256,
                                      .theta = 1000000,
                                      .local_theta = 10000,
                                      .local_theta_keys = {"rope_local_base_freq"},
                                      .pattern = LayerPattern::full_last,
                                      .period = 6,
                                      .period_keys = kSlidingPattern};

/// Gemma 4: heads of 512 and p-RoPE in layers of full attention (transformers gemma4; mlx-lm gemma4_text.py).
inline constexpr ModelType kGemma4 = {.head_dim = 256,
                                      .full_head_dim_key = "global_head_dim",
                                      .full_head_dim = 512,
                                      .theta = 1000000,
                                      .local_theta = 10000,
                                      .pattern = LayerPattern::full_last,
                                      .period = 6,
                                      .last_is_full = true};

/// Granite with windows: layer_rope_theta has 0 for layers without (transformers granite_swa,
/// granitemoe_swa).
inline constexpr ModelType kGraniteSwa = {.theta = 10000,
                                          .pattern = LayerPattern::full_first,
                                          .period = 4,
                                          .lists = {{{"layer_rope_theta", ListForm::thetas}}}};

/// Cohere 2: only sliding layers rotate (transformers cohere2; mlx-lm cohere2.py).
inline constexpr ModelType kCohere2 = {.pairing = kInterleaved,
                                       .hidden_size = 8192,
                                       .heads = 64,
                                       .layers = 40,
                                       .rotates = Rotates::local_only,
                                       .pattern = LayerPattern::full_last,
                                       .period = 4,
                                       .period_keys = kSlidingPattern,
                                       .inert_keys = {"order_of_interleaved_layers", "rotary_pct"}};

/// EXAONE 4: only sliding layers rotate, unless there are none (transformers exaone4; mlx-lm exaone4.py,
/// exaone_moe.py).
inline constexpr ModelType kExaone4 = {.rotates = Rotates::local_if_windowed,
                                       .pattern = LayerPattern::full_last,
                                       .period = 4,
                                       .period_keys = kSlidingPattern};

/// Step 3.5: bases and shares listed per layer, and YaRN for the types in yarn_only_types (transformers
/// step3p7; mlx-lm step3p5.py; mlx-vlm step3p7).
inline constexpr ModelType kStep35 = {
    .head_dim = 128, .lists_per_layer = true, .lists = {{{"use_rope_layers", ListForm::rotating_flags}}}};

inline constexpr auto kMixedLayers = std::to_array<ModelType>({
    // transformers afmoe (modular_afmoe.py: rotates if is_local_attention); mlx-lm afmoe.py
    {.name = "afmoe",
     .head_dim = 128,
     .rotates = Rotates::local_only,
     .pattern = LayerPattern::full_last,
     .period = 4,
     .period_keys = {"global_attn_every_n_layers"}},
    named("cohere2", kCohere2),
    // mlx-lm baichuan_m1.py: sliding_window_layers tells which layers have a window; all rotate alike
    {.name = "baichuan_m1", .theta = 0, .lists = {{{"sliding_window_layers", ListForm::local_indices}}}},
    named("granite_swa", kGraniteSwa),
    named("granitemoe_swa", kGraniteSwa),
    // transformers deepseek_v4; mlx-vlm deepseek_v4: the last 64 of 512 features, YaRN without a magnitude in
    // layers that compress, output rotated back
    {.name = "deepseek_v4",
     .pairing = kInterleaved,
     .hidden_size = 4096,
     .heads = 64,
     .head_dim = 512,
     .rotary_dim = 64,
     .at_end = true,
     .rotates_back = true,
     .compressed_theta_key = "compress_rope_theta",
     .compressed_theta = 160000,
     .extends = Extends::compressed_only,
     .yarn_coefficient = 0,
     .lists = {{{"compress_ratios", ListForm::compression_ratios}}},
     .layer_names = {"compressed_sparse_attention", "heavily_compressed_attention"},
     .lists_required = true},
    named("exaone4", kExaone4),
    named("exaone_moe", kExaone4),
    // transformers gemma4, gemma4_unified, diffusion_gemma
    named("diffusion_gemma_text", kGemma4),
    named("gemma4_text", kGemma4),
    named("gemma4_unified_text", kGemma4),
    named("gemma2", kGemma2),
    named("gemma3_text", kGemma3),
    // transformers gemma3n: five layers to a period
    {.name = "gemma3n_text",
     .hidden_size = 2048,
     .heads = 8,
     .layers = 35,
     .head_dim = 256,
     .theta = 1000000,
     .local_theta = 10000,
     .local_theta_keys = {"rope_local_base_freq"},
     .pattern = LayerPattern::full_last,
     .period = 5},
    // transformers gpt_oss; mlx-lm gpt_oss.py
    {.name = "gpt_oss",
     .hidden_size = 2880,
     .heads = 64,
     .layers = 36,
     .head_dim = 64,
     .theta = 150000,
     .pattern = LayerPattern::full_last,
     .period = 2,
     .required = kRopeObject},
    // transformers laguna; mlx-lm laguna.py; vLLM laguna: objects for both types of layers, or
    // swa_rope_parameters
    {.name = "laguna", .head_dim = 128, .theta = 0, .local_rope_key = "swa_rope_parameters"},
    // transformers llama4: complex numbers of every two features; no_rope_layers; temperature
    {.name = "llama4_text",
     .pairing = kInterleaved,
     .hidden_size = 5120,
     .heads = 40,
     .layers = 48,
     .head_dim = 128,
     .theta = 500000,
     .interval_keys = true,
     .no_rope_interval = 4,
     .temperature = TemperatureKeys::llama4},
    // transformers mimo_v2_flash; mlx-lm mimo_v2_flash.py: hybrid_layer_pattern has 1 for sliding layers,
    // which have their own base and heads
    {.name = "mimo_v2_flash",
     .head_dim = 192,
     .local_head_dim_key = "swa_head_dim",
     .partial = 0,
     .theta = 0,
     .local_theta_keys = {"swa_rope_theta"},
     .lists = {{{"hybrid_layer_pattern", ListForm::local_flags}}},
     .required = {"swa_rope_theta", "rope_parameters"},
     .lists_required = true},
    // transformers mllama: cross attention has no positions
    {.name = "mllama_text_model",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 40,
     .theta = 500000,
     .lists = {{{"cross_attention_layers", ListForm::cross_indices}}},
     .lists_required = true},
    named("modernbert", kModernBert),
    named("modernbert-decoder", kModernBert),
    // transformers muse_glimmer; mlx-vlm muse_glimmer: layer_rope_theta has 0 for layers without
    {.name = "muse_glimmer_text",
     .hidden_size = 6656,
     .heads = 32,
     .layers = 52,
     .head_dim = 128,
     .theta = 0,
     .rotates = Rotates::local_only,
     .pattern = LayerPattern::full_from_end,
     .period = 4,
     .lists = {{{"layer_rope_theta", ListForm::thetas}}}},
    // transformers olmo3; vllm-project/vllm#24534: YaRN in layers of full attention alone
    {.name = "olmo3",
     .theta = 500000,
     .extends = Extends::full_only,
     .pattern = LayerPattern::full_last,
     .period = 4},
    // vLLM plamo3.py: rope_local_theta in sliding layers
    {.name = "plamo3",
     .theta = 0,
     .local_theta_keys = {"rope_local_theta"},
     .pattern = LayerPattern::full_last,
     .period = 8,
     .period_keys = kSlidingPattern,
     .required = {"rope_local_theta", "rope_parameters"}},
    // PowerInfer's modeling_smallthinker.py: rope_layout has 0 for layers without
    {.name = "smallthinker",
     .theta = 0,
     .lists = {{{"rope_layout", ListForm::rotating_flags}, {"sliding_window_layout", ListForm::local_flags}}},
     .required = {"rope_layout"}},
    // transformers smollm3: no_rope_layers
    {.name = "smollm3",
     .hidden_size = 2048,
     .heads = 16,
     .layers = 36,
     .theta = 2000000,
     .interval_keys = true,
     .no_rope_interval = 4},
    named("step3p5", kStep35),
    // transformers t5gemma: each of its two models is a Gemma 2
    named("t5_gemma_module", kGemma2),
    // transformers t5gemma2: Gemma 3
    named("t5gemma2_decoder", kGemma3),
    named("t5gemma2_text", kGemma3),
    named("vaultgemma", kGemma2),
    // transformers zaya: objects for layers named hybrid and hybrid_sliding, half of a head
    {.name = "zaya",
     .hidden_size = 2048,
     .heads = 8,
     .layers = 40,
     .head_dim = 128,
     .partial = 0.5,
     .theta = 0,
     .local = "hybrid_sliding",
     .layer_names = {"hybrid"},
     .required = kRopeObject},
});

}  // namespace rotary::inline ROTARY_ABI::detail
