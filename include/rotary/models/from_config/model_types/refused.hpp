// Types that are refused by name, by the reason.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template <std::size_t N>
// not covered: runs while compiling
constexpr std::array<ModelType, N> refused(std::string_view reason, const std::string_view (&names)[N]) {
  std::array<ModelType, N> types;
  for (std::size_t i = 0; i < N; ++i) types[i] = {.name = names[i], .refusal = reason};
  return types;
}

inline constexpr auto kLearnedPositions = refused("positions are learned embeddings", {"albert",
                                                                                       "bart",
                                                                                       "bert",
                                                                                       "bert-generation",
                                                                                       "big_bird",
                                                                                       "bigbird_pegasus",
                                                                                       "biogpt",
                                                                                       "blenderbot",
                                                                                       "blip_text_model",
                                                                                       "bros",
                                                                                       "camembert",
                                                                                       "canine",
                                                                                       "clip_text_model",
                                                                                       "convbert",
                                                                                       "data2vec-text",
                                                                                       "distilbert",
                                                                                       "electra",
                                                                                       "ernie",
                                                                                       "flaubert",
                                                                                       "gpt-sw3",
                                                                                       "gpt2",
                                                                                       "gpt_bigcode",
                                                                                       "gpt_neo",
                                                                                       "ibert",
                                                                                       "imagegpt",
                                                                                       "layoutlm",
                                                                                       "layoutlmv3",
                                                                                       "led",
                                                                                       "longformer",
                                                                                       "luke",
                                                                                       "markuplm",
                                                                                       "mbart",
                                                                                       "megatron-bert",
                                                                                       "mobilebert",
                                                                                       "mvp",
                                                                                       "nystromformer",
                                                                                       "openai-gpt",
                                                                                       "opt",
                                                                                       "plbart",
                                                                                       "rembert",
                                                                                       "roberta",
                                                                                       "roc_bert",
                                                                                       "siglip_text_model",
                                                                                       "splinter",
                                                                                       "squeezebert",
                                                                                       "whisper",
                                                                                       "xlm",
                                                                                       "xlm-roberta-xl",
                                                                                       "yoso"});

inline constexpr auto kRelativePositions =
    refused("positions are a relative bias of the scores",
            {"cpmant", "deberta", "deberta-v2", "inkling_text", "longt5", "mpnet", "mt5",
             "switch_transformers", "t5", "udop", "umt5", "xlnet"});

inline constexpr auto kAlibi =
    refused("positions are a bias of the scores (ALiBi)", {"bloom", "jais", "mpt"});

inline constexpr auto kSinusoids =
    refused("positions are sinusoids added to embeddings", {"ctrl", "nllb-moe", "xglm"});

inline constexpr auto kStateSpaces =
    refused("its layers are state spaces", {"falcon_mamba", "mamba", "mamba2"});

inline constexpr auto kNoAttention = refused("it has no attention", {"fnet", "rwkv", "rwkv7"});

// nemotron_h: transformers NemotronHAttention; phi4flash: Microsoft's modeling_phi4flash.py
inline constexpr auto kNoPositions =
    refused("its layers have no position encoding", {"jamba", "nemotron_h", "phi4flash"});

inline constexpr auto kUnsettled = std::to_array<ModelType>({
    // transformers nanochat: rotate_half has the other sign
    {.name = "nanochat", .refusal = "its code rotates by minus the position"},
    {.name = "nemotron-nas",
     .refusal = "block_configs tells which layers are attention, and is not read by this version"},
    // transformers qwen2_5_omni: apply_rotary_pos_emb of query[:, :1]
    {.name = "qwen2_5_omni_dit", .refusal = "it rotates its first head alone"},
    // transformers t5gemma, t5gemma2
    {.name = "t5gemma",
     .refusal = "it is two models; read the object encoder or the object decoder by itself"},
    {.name = "t5gemma2",
     .refusal = "it is two models; read the object encoder or the object decoder by itself"},
    // transformers cohere2_moe: force_rope in dense layers, counted by a pattern of their own
    {.name = "cohere2_moe",
     .refusal = "which layers rotate depends on mlp_layer_types, which is not read by this version"},
    // vLLM molmo2.py
    {.name = "molmo2",
     .refusal = "rope_scaling_layers tells which layers are scaled, and is not read by this version"},
    // transformers clvp: values are rotated like queries
    {.name = "clvp_decoder", .refusal = "positions are learned embeddings"},
    {.name = "clvp_encoder",
     .refusal = "it rotates values as well, and a size that follows from projection_dim"},
    // transformers wav2vec2_conformer, wav2vec2_bert
    {.name = "wav2vec2-bert", .refusal = "position_embeddings_type decides, and is not read by this version"},
    {.name = "wav2vec2-conformer",
     .refusal = "position_embeddings_type decides, and is not read by this version"},
    // vLLM bailing_moe_linear.py (BailingMoeV25ForCausalLM): latent attention and linear attention pair otherwise
    {.name = "bailing_hybrid", .refusal = "its kinds of layers pair features in two ways"},
    // transformers xcodec2: unsqueeze_dim 2 of [batch, heads, tokens, head_dim]
    {.name = "xcodec2", .refusal = "it rotates by the number of the head, not by the position"},
    // vLLM step1.py
    {.name = "step1", .refusal = "positions are a bias of the scores (ALiBi)"},
    {.name = "telechat",
     .refusal = "its code scales the base by training_seqlen, which is not read by this version"},
});

}  // namespace rotary::inline ROTARY_ABI::detail
