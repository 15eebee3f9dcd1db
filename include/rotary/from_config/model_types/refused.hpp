// Types that are refused by name, by the reason.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template <std::size_t N>
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
    {.name = "telechat",
     .refusal = "its code scales the base by training_seqlen, which is not read by this version"},
});

}  // namespace rotary::inline ROTARY_ABI::detail
