// Types with layers that are not attention: state spaces, convolutions, linear attention.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Three layers of linear attention, then one of attention, which rotates a quarter of each head
/// (transformers qwen3_next, qwen3_5).
inline constexpr ModelType kQwenHybrid = {.head_dim = 256,
                                          .partial = 0.25,
                                          .pattern = LayerPattern::full_last,
                                          .period = 4,
                                          .period_keys = {"full_attention_interval"},
                                          .other = "linear_attention",
                                          .mrope = MropeOrder::interleaved};

/// With sections (transformers qwen3_5, qwen3_5_moe).
inline constexpr ModelType kQwen35 = [] {
  ModelType type = kQwenHybrid;
  type.sections = {11, 11, 10};
  return type;
}();

/// LFM2: convolutions, and attention where full_attn_idxs or layer_types says so (transformers lfm2; mlx-lm
/// lfm2.py, lfm2_moe.py).
inline constexpr ModelType kLfm2 = {
    .theta = 1000000, .lists = {{{"full_attn_idxs", ListForm::full_indices}}}, .other = "conv"};

/// MiniMax-Text-01, M1: lightning attention has no rotary embedding; attn_type_list has 1 for softmax
/// attention (transformers minimax; mlx-lm minimax.py; vLLM minimax_text_01.py).
inline constexpr ModelType kMinimaxText = {.rotary_dim_key = "rotary_dim",
                                           .theta = 1000000,
                                           .lists = {{{"attn_type_list", ListForm::full_flags}}},
                                           .other = "linear_attention",
                                           .lists_required = true};

inline constexpr auto kHybrids = std::to_array<ModelType>({
    // mlx-lm bailing_moe_linear.py: linear attention rotates as well
    {.name = "bailing_moe_linear",
     .partial = 0,
     .theta = 0,
     .lists = {{{"layer_group_size", ListForm::group_size}}},
     .other = "linear_attention",
     .other_rotates = true,
     .lists_required = true},
    // transformers bamba: attn_layer_indices, half of a head
    {.name = "bamba",
     .partial = 0.5,
     .rotary_dim_key = "attn_rotary_emb",
     .lists = {{{"attn_layer_indices", ListForm::full_indices}, {"layers_block_type", ListForm::names}}},
     .layer_names = {"attention", "linear_attention"},
     .other = "mamba",
     .lists_required = true},
    // transformers granitemoehybrid: mamba, and attention that rotates if position_embedding_type is rope
    {.name = "granitemoehybrid",
     .layer_names = {"attention", "linear_attention"},
     .other = "mamba",
     .position_type = PositionType::decides,
     .lists_required = true},
    named("lfm2", kLfm2),
    named("lfm2_moe", kLfm2),
    // transformers minimax: of every two layers the first is full_attention where the file has no list
    [] {
      ModelType type = kMinimaxText;
      type.name = "minimax";
      type.pattern = LayerPattern::full_first;
      type.period = 2;
      type.lists_required = false;
      return type;
    }(),
    named("minimax_m1", kMinimaxText),
    named("minimax_text_01", kMinimaxText),
    // transformers olmo_hybrid; vLLM olmo_hybrid.py: gated linear attention; without a base there is no rope
    {.name = "olmo_hybrid",
     .hidden_size = 3840,
     .heads = 30,
     .layers = 32,
     .theta = 0,
     .pattern = LayerPattern::full_last,
     .period = 4,
     .other = "linear_attention"},
    // mlx-lm plamo2.py: of every mamba_step layers the middle one is attention
    {.name = "plamo2",
     .pattern = LayerPattern::full_middle,
     .period = 2,
     .period_keys = {"mamba_step"},
     .other = "mamba"},
    named("qwen3_5_moe_text", kQwen35),
    named("qwen3_5_text", kQwen35),
    named("qwen3_next", kQwenHybrid),
    // transformers recurrent_gemma; mlx-lm recurrent_gemma.py: block_types repeat
    {.name = "recurrent_gemma",
     .hidden_size = 2560,
     .heads = 10,
     .layers = 26,
     .partial = 0.5,
     .pattern = LayerPattern::full_last,
     .period = 3,
     .lists = {{{"block_types", ListForm::repeated_names}, {"_block_types", ListForm::repeated_names}}},
     .layer_names = {"attention"},
     .other = "recurrent"},
    // transformers zamba2: use_mem_rope; shared attention in layers named hybrid
    {.name = "zamba2",
     .lists = {{{"layers_block_type", ListForm::names}, {"hybrid_layer_ids", ListForm::full_indices}}},
     .layer_names = {"hybrid", "linear_attention"},
     .other = "mamba",
     .switch_key = "use_mem_rope",
     .switch_default = false,
     .required = {"attention_head_dim", "head_dim"},
     .lists_required = true},
});

}  // namespace rotary::inline ROTARY_ABI::detail
