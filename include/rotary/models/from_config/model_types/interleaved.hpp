// Types that pair adjacent features, and have one base in all layers.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// GLM-4: half of a head of interleaved pairs (transformers glm, glm4; mlx-lm glm4.py).
inline constexpr ModelType kGlm = {.pairing = kInterleaved, .head_dim = 128, .partial = 0.5};

/// Encoders of Perception: adjacent features, base 20000.
inline constexpr ModelType kPerception = {
    .pairing = kInterleaved, .hidden_size = 1792, .heads = 14, .layers = 6, .head_dim = 128, .theta = 20000};

inline constexpr auto kInterleavedPairs = std::to_array<ModelType>({
    // transformers blt (rotate_half of x[..., ::2], x[..., 1::2])
    {.name = "blt_global_transformer",
     .pairing = kInterleaved,
     .hidden_size = 2048,
     .heads = 16,
     .layers = 25,
     .theta = 500000},
    {.name = "blt_local_decoder",
     .pairing = kInterleaved,
     .hidden_size = 1024,
     .heads = 16,
     .layers = 9,
     .theta = 500000},
    {.name = "blt_local_encoder",
     .pairing = kInterleaved,
     .hidden_size = 1024,
     .heads = 16,
     .layers = 1,
     .theta = 500000},
    {.name = "blt_patcher", .pairing = kInterleaved, .hidden_size = 768, .heads = 12, .layers = 14},
    // THUDM's modeling_chatglm.py of ChatGLM2, ChatGLM3 and GLM-4; lmdeploy chatglm2.py. The first
    // ChatGLM-6B has position_encoding_2d, which is refused.
    {.name = "chatglm",
     .pairing = kInterleaved,
     .head_dim = 128,
     .partial = 0.5,
     .partial_keys = kNoKeys,
     .theta_ratio_key = "rope_ratio",
     .inert_keys = {"original_rope"}},
    // transformers codegen: create_sinusoidal_positions, base 10000, every two features
    {.name = "codegen",
     .pairing = kInterleaved,
     .partial_keys = kNoKeys,
     .rotary_dim = 64,
     .rotary_dim_key = "rotary_dim",
     .theta_keys = kNoKeys},
    // transformers cohere; mlx-lm cohere.py. Versions of the configuration class disagree about the base.
    {.name = "cohere", .pairing = kInterleaved, .hidden_size = 8192, .heads = 64, .layers = 40, .theta = 0},
    // transformers ernie4_5, ernie4_5_moe: rotate_half of every two features; mlx-lm ernie4_5.py
    {.name = "ernie4_5", .pairing = kInterleaved, .head_dim = 128, .theta = 500000},
    {.name = "ernie4_5_moe", .pairing = kInterleaved, .theta = 500000},
    named("glm", kGlm),
    named("glm4", kGlm),
    // transformers gptj: create_sinusoidal_positions, base 10000, every two features
    {.name = "gptj",
     .pairing = kInterleaved,
     .hidden_size = 4096,
     .heads = 16,
     .layers = 28,
     .partial_keys = kNoKeys,
     .rotary_dim = 64,
     .rotary_dim_key = "rotary_dim",
     .theta_keys = kNoKeys,
     .inert_keys = {"rotary"}},
    // transformers modular_helium.py: pairs x[0::2], x[1::2]; mlx-lm helium.py
    {.name = "helium",
     .pairing = kInterleaved,
     .hidden_size = 2560,
     .heads = 20,
     .layers = 24,
     .head_dim = 128,
     .theta = 100000},
    // mlx-lm lille-130m.py: every two features
    {.name = "lille-130m", .pairing = kInterleaved, .theta = 0},
    // transformers moonshine (rotate_half of x[..., 0::2], x[..., 1::2]): nine tenths of the head
    {.name = "moonshine",
     .pairing = kInterleaved,
     .hidden_size = 288,
     .heads = 8,
     .layers = 6,
     .layers_key = "decoder_num_hidden_layers",
     .partial = 0.9},
    // transformers moonshine_streaming: eight tenths of it; the encoder has no positions
    {.name = "moonshine_streaming",
     .pairing = kInterleaved,
     .hidden_size = 320,
     .heads = 8,
     .layers = 6,
     .partial = 0.8},
    // transformers openai_privacy_filter (x[..., ::2], x[..., 1::2]): YaRN where the file has no rope object
    {.name = "openai_privacy_filter",
     .pairing = kInterleaved,
     .hidden_size = 640,
     .heads = 14,
     .layers = 8,
     .head_dim = 64,
     .theta = 150000,
     .required = kRopeObject},
    // transformers pe_audio, pe_audio_video, pe_video (stack_freqs: matrices of adjacent features)
    named("pe_audio_encoder", kPerception),
    named("pe_audio_video_encoder", kPerception),
    named("pe_video_encoder", kPerception),
});

}  // namespace rotary::inline ROTARY_ABI::detail
