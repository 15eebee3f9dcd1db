// Encoders of text, most of them relatives of BERT: some rotate only if the file says so.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline constexpr auto kEncoders = std::to_array<ModelType>({
    // transformers esm: halves, if position_embedding_type is rotary
    {.name = "esm", .partial_keys = kNoKeys, .position_type = PositionType::decides},
    // transformers eurobert: versions disagree about the base
    {.name = "eurobert", .theta = 0},
    // transformers jina_embeddings_v3: rope_theta 20000
    {.name = "jina_embeddings_v3", .hidden_size = 1024, .heads = 16, .layers = 24, .theta = 20000},
    // llama.cpp neo-bert.cpp: every two features, base 10000; a flag rope
    {.name = "neobert",
     .pairing = kInterleaved,
     .partial_keys = kNoKeys,
     .theta_keys = kNoKeys,
     .switch_key = "rope"},
    // Alibaba's modeling of gte-*-en-v1.5 (vLLM bert_with_rope.py): rope if position_embedding_type says so
    {.name = "new", .theta = 0, .position_type = PositionType::decides},
    // nomic's modeling_hf_nomic_bert.py: DynamicNTK over max_trained_positions; transformers nomic_bert,
    // which has another base where the file has none
    {.name = "nomic_bert",
     .pairing_key = "rotary_emb_interleaved",
     .partial_keys = {"rotary_emb_fraction"},
     .theta = 0,
     .theta_keys = {"rotary_emb_base", "rope_theta"},
     .dynamic_key = "rotary_scaling_factor",
     .dynamic_length_key = "max_trained_positions"},
    // transformers roformer: sinusoids of base 10000, every two features; rotary_value rotates values too
    {.name = "roformer",
     .pairing = kInterleaved,
     .hidden_size = 768,
     .heads = 12,
     .layers = 12,
     .partial_keys = kNoKeys,
     .theta_keys = kNoKeys},
    // Jina's xlm-roberta-flash-implementation: rotary if position_embedding_type says so
    {.name = "xlm-roberta", .theta_keys = {"rotary_emb_base"}, .position_type = PositionType::decides},
});

}  // namespace rotary::inline ROTARY_ABI::detail
