// The table of model types: what each says that its configuration need not.
//
// Adding a type means one row here, near its place in the alphabet, and one configuration in
// tests/configs/model_types/published.json; run from_config_page_test with ROTARY_WRITE_DOCS set for
// docs/model-types.md. Work the answers out from the model's own code and name it above the row.
#pragma once

#include <array>
#include <string_view>

#include "model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline constexpr Pairing kInterleaved = Pairing::interleaved;

inline constexpr KeyNames kNoKeys = {};
inline constexpr KeyNames kSlidingPattern = {"sliding_window_pattern", "_sliding_window_pattern"};

/// A row like another, under a name of its own.
constexpr ModelType named(std::string_view name, ModelType type) {
  type.name = name;
  return type;
}

/// Types that are refused, and the reason.
constexpr ModelType refused(std::string_view name, std::string_view reason) {
  return {.name = name, .refusal = reason};
}

inline constexpr std::string_view kAlibi = "positions are a bias of the scores (ALiBi)";
inline constexpr std::string_view kLearned = "positions are learned embeddings";
inline constexpr std::string_view kRelative = "positions are a relative bias of the scores";
inline constexpr std::string_view kNoPositions = "its layers have no position encoding";

/// Multi-head latent attention: [nope | rope] heads of interleaved pairs, and YaRN that scales the softmax
/// (transformers deepseek_v2, deepseek_v3; mlx-lm deepseek_v3.py). Files of V3's relatives may have
/// rope_interleave.
inline constexpr ModelType kLatent = {
    .pairing = kInterleaved, .pairing_key = "rope_interleave", .latent = true, .scales_softmax = true};

/// Three layers of linear attention, then one of attention, which rotates a quarter of its heads
/// (transformers qwen3_next, qwen3_5).
inline constexpr ModelType kQwenHybrid = {.head_dim = 256,
                                          .partial = 0.25,
                                          .pattern = LayerPattern::full_last,
                                          .period = 4,
                                          .period_keys = {"full_attention_interval"},
                                          .other = "linear_attention",
                                          .mrope = MropeOrder::interleaved};

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
inline constexpr ModelType kGemma4 = {.full_head_dim_key = "global_head_dim",
                                      .full_head_dim = 512,
                                      .theta = 1000000,
                                      .local_theta = 10000,
                                      .pattern = LayerPattern::full_last,
                                      .period = 6};

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

/// LFM2: convolutions, and attention where full_attn_idxs or layer_types says so (transformers lfm2; mlx-lm
/// lfm2.py, lfm2_moe.py).
inline constexpr ModelType kLfm2 = {
    .theta = 1000000, .lists = {{{"full_attn_idxs", ListForm::full_indices}}}, .other = "conv"};

/// MiniMax-Text-01, M1: lightning attention has no rotary embedding; attn_type_list has 1 for softmax
/// attention (transformers minimax; mlx-lm minimax.py; vLLM minimax_text_01.py).
inline constexpr ModelType kMinimaxText = {.rotary_dim_key = "rotary_dim",
                                           .theta = 1000000,
                                           .lists = {{{"attn_type_list", ListForm::full_flags}}},
                                           .other = "linear_attention"};

/// Phi-1, Phi-2 before transformers had them, and Phixtral (mlx-lm phixtral.py).
inline constexpr ModelType kPhiMsft = {
    .partial_keys = kNoKeys, .rotary_dim = 32, .rotary_dim_key = "rotary_dim", .theta_keys = kNoKeys};

/// Qwen2-VL and its relatives: whole sections (transformers qwen2_vl, qwen2_5_vl, qwen2_5_omni).
inline constexpr ModelType kQwenVl = {.theta = 1000000, .mrope = MropeOrder::chunked};

/// GLM-4: half of a head of interleaved pairs (transformers glm, glm4; mlx-lm glm4.py).
inline constexpr ModelType kGlm = {.pairing = kInterleaved, .head_dim = 128, .partial = 0.5};

/// Step 3.5: bases and shares listed per layer, and YaRN for the types in yarn_only_types (transformers
/// step3p7; mlx-lm step3p5.py; mlx-vlm step3p7).
inline constexpr ModelType kStep35 = {
    .head_dim = 128, .lists_per_layer = true, .lists = {{{"use_rope_layers", ListForm::rotating_flags}}}};

/// Sections of ERNIE-4.5-VL: (height, width, time) (transformers ernie4_5_vl_moe; vLLM ernie45_vl).
inline constexpr ModelType kErnieVl = {.pairing = kInterleaved,
                                       .theta = 500000,
                                       .inert_keys = {"freq_allocation", "rope_3d"},
                                       .mrope = MropeOrder::ernie};

/// Llama: whole heads in halves, and one base (transformers llama).
inline constexpr ModelType kLlama = {.hidden_size = 4096, .heads = 32, .layers = 32};

inline constexpr auto kModelTypes = std::to_array<ModelType>({
    // transformers afmoe (modular_afmoe.py: rotates if is_local_attention); mlx-lm afmoe.py
    {.name = "afmoe",
     .head_dim = 128,
     .rotates = Rotates::local_only,
     .pattern = LayerPattern::full_last,
     .period = 4,
     .period_keys = {"global_attn_every_n_layers"}},
    refused("albert", kLearned),
    // transformers apertus; mlx-lm apertus.py
    {.name = "apertus", .theta = 12000000},
    // Llama's attention: vllm/model_executor/models/registry.py maps AquilaModel to LlamaForCausalLM
    {.name = "aquila"},
    // transformers arcee
    {.name = "arcee"},
    // vLLM arctic.py: is_neox_style, whole heads
    {.name = "arctic", .theta = 0},
    // transformers aria (LlamaAttention)
    {.name = "aria_text"},
    // vLLM baichuan.py: hidden_size 4096 has RoPE, all others ALiBi
    {.name = "baichuan", .only_hidden_size = 4096},
    // vLLM bailing_moe.py; mlx-lm bailing_moe.py: rotary_dim, or a share of the head, in halves
    {.name = "bailing_moe", .rotary_dim_key = "rotary_dim", .theta = 0},
    // mlx-lm bailing_moe_linear.py: linear attention rotates as well
    {.name = "bailing_moe_linear",
     .partial = 0,
     .theta = 0,
     .lists = {{{"layer_group_size", ListForm::group_size}}},
     .other = "linear_attention",
     .other_rotates = true},
    // Ming's modeling_bailing_moe_v2.py: half of a head; video_rope and 3D have sections
    {.name = "bailing_moe_v2",
     .partial = 0.5,
     .rotary_dim_key = "rotary_dim",
     .theta = 0,
     .mrope = MropeOrder::chunked},
    // transformers bamba: attn_layer_indices, half of a head
    {.name = "bamba",
     .partial = 0.5,
     .lists = {{{"attn_layer_indices", ListForm::full_indices}}},
     .layer_names = {"attention"},
     .other = "mamba"},
    refused("bart", kLearned),
    refused("bert", kLearned),
    refused("big_bird", kLearned),
    refused("biogpt", kLearned),
    // transformers bitnet; mlx-lm bitnet.py
    {.name = "bitnet", .theta = 500000},
    refused("blenderbot", kLearned),
    refused("bloom", kAlibi),
    refused("camembert", kLearned),
    // transformers chameleon (LlamaAttention with norms)
    {.name = "chameleon", .hidden_size = 4096, .heads = 32, .layers = 32},
    // THUDM's modeling_chatglm.py of ChatGLM2, ChatGLM3 and GLM-4; lmdeploy chatglm2.py. The first
    // ChatGLM-6B has position_encoding_2d, which is refused.
    {.name = "chatglm",
     .pairing = kInterleaved,
     .head_dim = 128,
     .partial = 0.5,
     .partial_keys = kNoKeys,
     .theta_ratio_key = "rope_ratio",
     .inert_keys = {"original_rope"}},
    refused("clip_text_model", kLearned),
    // the configuration class of Llama under another name (transformers CONFIG_MAPPING_NAMES)
    named("code_llama", kLlama),
    // transformers codegen: create_sinusoidal_positions, base 10000, every two features
    {.name = "codegen",
     .pairing = kInterleaved,
     .partial_keys = kNoKeys,
     .rotary_dim = 64,
     .rotary_dim_key = "rotary_dim",
     .theta_keys = kNoKeys},
    // transformers cohere; mlx-lm cohere.py
    {.name = "cohere", .pairing = kInterleaved, .hidden_size = 8192, .heads = 64, .layers = 40},
    named("cohere2", kCohere2),
    refused("cpmant", kRelative),
    // transformers csm: Llama's attention
    {.name = "csm", .theta = 500000},
    refused("ctrl", "positions are sinusoids added to embeddings"),
    // transformers cwm: Llama's attention in windows
    {.name = "cwm", .theta = 1000000},
    refused("data2vec-text", kLearned),
    // transformers dbrx; mlx-lm dbrx.py: attn_config.rope_theta
    {.name = "dbrx", .theta = 0, .rope_object_key = "attn_config", .object_theta_key = "rope_theta"},
    refused("deberta", kRelative),
    refused("deberta-v2", kRelative),
    // vLLM decilm: Llama's attention
    {.name = "deci"},
    // mlx-lm deepseek.py; lmdeploy deepseek.py: Llama's attention
    {.name = "deepseek"},
    // transformers deepseek_v2: complex numbers of every two features
    named("deepseek_v2", kLatent),
    named("deepseek_v3", kLatent),
    // mlx-lm deepseek_v32.py; transformers deepseek_v32
    named("deepseek_v32", kLatent),
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
     .layer_names = {"compressed_sparse_attention", "heavily_compressed_attention"}},
    // transformers diffllama
    {.name = "diffllama", .hidden_size = 2048, .heads = 32, .layers = 16},
    refused("distilbert", kLearned),
    // transformers doge (Llama's rotation)
    {.name = "doge", .hidden_size = 1024, .heads = 8, .layers = 32},
    // transformers dots1; mlx-lm dots1.py
    {.name = "dots1"},
    // vLLM dotsocr.py: Qwen2's attention
    {.name = "dots_ocr", .theta = 0},
    refused("electra", kLearned),
    // transformers emu3
    {.name = "emu3_text_model", .theta = 1000000},
    // transformers ernie4_5, ernie4_5_moe: rotate_half of every two features; mlx-lm ernie4_5.py
    {.name = "ernie4_5", .pairing = kInterleaved, .theta = 500000},
    {.name = "ernie4_5_moe", .pairing = kInterleaved, .theta = 500000},
    named("ernie4_5_moe_vl", kErnieVl),
    named("ernie4_5_vl_moe", kErnieVl),
    named("ernie4_5_vl_moe_text", kErnieVl),
    // transformers esm: RotaryEmbedding with base 10000 and halves, if position_embedding_type is rotary
    {.name = "esm", .partial_keys = kNoKeys, .theta_keys = kNoKeys, .position_type = PositionType::decides},
    // transformers eurobert
    {.name = "eurobert", .theta = 250000},
    // mlx-lm exaone.py: rope_traditional is false; vLLM exaone.py
    {.name = "exaone"},
    named("exaone4", kExaone4),
    named("exaone_moe", kExaone4),
    // transformers falcon; alibi true is refused
    {.name = "falcon", .hidden_size = 4544, .heads = 71, .layers = 32},
    // mlx-lm falcon_h1.py: every layer has attention beside its state space
    {.name = "falcon_h1", .theta = 100000},
    refused("falcon_mamba", "its layers are state spaces"),
    // transformers flex_olmo (Olmo2's attention)
    {.name = "flex_olmo", .theta = 500000},
    refused("fnet", "it has no attention"),
    // transformers gemma
    {.name = "gemma", .hidden_size = 3072, .heads = 16, .layers = 28, .head_dim = 256},
    // transformers gemma2
    {.name = "gemma2",
     .hidden_size = 2304,
     .heads = 8,
     .layers = 26,
     .head_dim = 256,
     .pattern = LayerPattern::full_last,
     .period = 2},
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
    [] {
      ModelType type = kGemma4;
      type.name = "gemma4_text";
      type.head_dim = 256;
      return type;
    }(),
    named("glm", kGlm),
    named("glm4", kGlm),
    // transformers glm4_moe; mlx-lm glm4_moe.py: halves
    {.name = "glm4_moe", .partial = 0.5},
    // mlx-lm glm4_moe_lite.py, glm_moe_dsa.py: DeepSeek's attention
    named("glm4_moe_lite", kLatent),
    // transformers glm4v_moe: halves
    {.name = "glm4v_moe_text", .partial = 0.5, .mrope = MropeOrder::chunked},
    // transformers glm4v: every two features
    {.name = "glm4v_text", .pairing = kInterleaved, .partial = 0.5, .mrope = MropeOrder::chunked},
    named("glm_moe_dsa", kLatent),
    // mlx-vlm glm_ocr: every two features, sections
    {.name = "glm_ocr_text", .pairing = kInterleaved, .partial = 0, .theta = 0, .mrope = MropeOrder::chunked},
    refused("gpt2", kLearned),
    refused("gpt_bigcode", kLearned),
    refused("gpt_neo", kLearned),
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
    // transformers gpt_oss; mlx-lm gpt_oss.py
    {.name = "gpt_oss",
     .hidden_size = 2880,
     .heads = 64,
     .layers = 36,
     .head_dim = 64,
     .theta = 150000,
     .pattern = LayerPattern::full_last,
     .period = 2},
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
    // transformers granite, granitemoe, granitemoeshared (Llama's attention with a multiplier)
    {.name = "granite"},
    {.name = "granitemoe"},
    // transformers granitemoehybrid: mamba, and attention that rotates if position_embedding_type is rope
    {.name = "granitemoehybrid",
     .layer_names = {"attention"},
     .other = "mamba",
     .position_type = PositionType::decides},
    {.name = "granitemoeshared"},
    // vLLM grok1.py: halves, whole heads
    {.name = "grok-1"},
    // transformers modular_helium.py: pairs x[0::2], x[1::2]; mlx-lm helium.py
    {.name = "helium",
     .pairing = kInterleaved,
     .hidden_size = 2560,
     .heads = 20,
     .layers = 24,
     .head_dim = 128,
     .theta = 100000},
    // mlx-vlm hrm_text: halves
    {.name = "hrm_text"},
    // mlx-lm hunyuan.py, hunyuan_v1_dense.py: NTK with alpha
    {.name = "hunyuan"},
    {.name = "hunyuan_v1_dense"},
    {.name = "hunyuan_v1_moe"},
    {.name = "hunyuan_vl", .mrope = MropeOrder::chunked},
    {.name = "hunyuan_vl_text", .mrope = MropeOrder::chunked},
    // transformers hy_v3: default_theta 11158840; lmdeploy hy3.py
    {.name = "hy_v3", .head_dim = 128, .theta = 11158840},
    refused("ibert", kLearned),
    refused("imagegpt", kLearned),
    refused("inkling_text", kRelative),
    // internlm's modeling_internlm.py: an object rotary with base and type
    {.name = "internlm", .hidden_size = 4096, .heads = 32, .layers = 32, .rope_object_key = "rotary"},
    // mlx-lm internlm2.py, internlm3.py; lmdeploy
    {.name = "internlm2", .hidden_size = 4096, .heads = 32, .layers = 32},
    {.name = "internlm3"},
    // mlx-lm iquestloopcoder.py: halves; IQuest-Coder has Llama's attention
    {.name = "iquestcoder", .theta = 500000},
    {.name = "iquestloopcoder", .theta = 500000},
    refused("jais", kAlibi),
    // transformers jais2 (LlamaModel)
    {.name = "jais2", .hidden_size = 3328, .heads = 26, .layers = 32, .theta = 500000},
    refused("jamba", kNoPositions),
    // transformers jetmoe: heads of kv_channels
    {.name = "jetmoe", .head_dim = 128},
    // transformers jina_embeddings_v3: rope_theta 20000
    {.name = "jina_embeddings_v3", .hidden_size = 1024, .heads = 16, .layers = 24, .theta = 20000},
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
    // mlx-lm Klear.py
    {.name = "klear", .theta = 0},
    // mlx-lm laguna.py; vLLM laguna: objects for both types of layers, or swa_rope_parameters
    {.name = "laguna", .head_dim = 128, .local_rope_key = "swa_rope_parameters"},
    refused("led", kLearned),
    named("lfm2", kLfm2),
    named("lfm2_moe", kLfm2),
    // mlx-lm lille-130m.py: every two features
    {.name = "lille-130m", .pairing = kInterleaved, .theta = 0},
    // GSAI-ML's modeling_llada.py: halves; a flag rope
    {.name = "llada",
     .switch_key = "rope",
     .switch_default = true,
     .inert_keys = {"alibi_bias_max", "rope_full_precision", "block_type"}},
    // mlx-vlm llada2_moe: half of a head, in halves
    {.name = "llada2_moe", .partial = 0.5, .rotary_dim_key = "rotary_dim", .theta = 600000},
    named("llama", kLlama),
    // mlx-vlm llama_bidirec: Llama without a causal mask
    named("llama_bidirec", kLlama),
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
    // LongCat's and transformers longcat_flash (apply_rotary_pos_emb_interleave); mlx-lm longcat_flash.py
    {.name = "longcat_flash",
     .pairing = kInterleaved,
     .layers_key = "num_layers",
     .latent = true,
     .theta = 10000000,
     .scales_softmax = true},
    refused("longformer", kLearned),
    refused("longt5", kRelative),
    refused("mamba", "its layers are state spaces"),
    refused("mamba2", "its layers are state spaces"),
    refused("mbart", kLearned),
    // mlx-lm mellum.py: an object for every type of layers
    {.name = "mellum", .theta = 0},
    // mlx-lm mimo.py: Qwen2's attention
    {.name = "mimo", .theta = 0},
    // mlx-lm mimo_v2_flash.py: hybrid_layer_pattern has 1 for sliding layers, with base and heads of their own
    {.name = "mimo_v2_flash",
     .local_head_dim_key = "swa_head_dim",
     .partial = 0,
     .theta = 0,
     .local_theta_keys = {"swa_rope_theta"},
     .lists = {{{"hybrid_layer_pattern", ListForm::local_flags}}}},
    // mlx-lm minicpm.py; vLLM minicpm.py
    {.name = "minicpm"},
    // transformers minicpm3: latent attention with halves
    {.name = "minicpm3", .latent = true},
    named("minimax", kMinimaxText),
    // transformers minimax_m2; mlx-lm minimax.py
    {.name = "minimax_m2", .rotary_dim = 64, .rotary_dim_key = "rotary_dim", .theta = 5000000},
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
    named("minimax_m1", kMinimaxText),
    named("minimax_text_01", kMinimaxText),
    // transformers ministral: Mistral with windows
    {.name = "ministral", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers ministral3: get_llama_4_attn_scale
    {.name = "ministral3", .theta = 1000000, .temperature = TemperatureKeys::ministral3},
    // transformers mistral
    {.name = "mistral", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers mistral4; mlx-vlm mistral4: latent attention, rope_interleave, temperature
    {.name = "mistral4",
     .pairing = kInterleaved,
     .pairing_key = "rope_interleave",
     .latent = true,
     .temperature = TemperatureKeys::ministral3},
    // transformers mixtral
    {.name = "mixtral", .hidden_size = 4096, .heads = 32, .layers = 32, .theta = 1000000},
    // transformers mllama: cross attention has no positions
    {.name = "mllama_text_model",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 40,
     .theta = 500000,
     .lists = {{{"cross_attention_layers", ListForm::cross_indices}}}},
    refused("mobilebert", kLearned),
    // transformers modernbert
    {.name = "modernbert",
     .hidden_size = 768,
     .heads = 12,
     .layers = 22,
     .theta = 160000,
     .theta_keys = {"global_rope_theta"},
     .local_theta = 10000,
     .local_theta_keys = {"local_rope_theta"},
     .pattern = LayerPattern::full_first,
     .period = 3,
     .period_keys = {"global_attn_every_n_layers"},
     .position_type = PositionType::ignored},
    // transformers modernbert_decoder
    {.name = "modernbert-decoder",
     .hidden_size = 768,
     .heads = 12,
     .layers = 22,
     .theta = 160000,
     .theta_keys = {"global_rope_theta"},
     .local_theta = 10000,
     .local_theta_keys = {"local_rope_theta"},
     .pattern = LayerPattern::full_first,
     .period = 3,
     .period_keys = {"global_attn_every_n_layers"},
     .position_type = PositionType::ignored},
    refused("mpnet", kRelative),
    refused("mpt", kAlibi),
    refused("mt5", kRelative),
    // transformers muse_glimmer; mlx-vlm muse_glimmer: layer_rope_theta has 0 for layers without
    {.name = "muse_glimmer_text",
     .pairing = kInterleaved,
     .hidden_size = 6656,
     .heads = 32,
     .layers = 52,
     .head_dim = 128,
     .theta = 500000,
     .rotates = Rotates::local_only,
     .pattern = LayerPattern::full_from_end,
     .period = 4,
     .lists = {{{"layer_rope_theta", ListForm::thetas}}}},
    refused("nanochat", "its code rotates by minus the position"),
    // transformers nemotron; mlx-lm nemotron.py
    {.name = "nemotron",
     .hidden_size = 6144,
     .heads = 48,
     .layers = 32,
     .partial = 0.5,
     .partial_keys = {"partial_rotary_factor", "rope_percent"}},
    refused("nemotron-nas",
            "block_configs tells which layers are attention, and is not read by this version"),
    refused("nemotron_h", kNoPositions),
    refused("nllb-moe", "positions are sinusoids added to embeddings"),
    // Alibaba's modeling of gte-*-en-v1.5 (vLLM bert_with_rope.py): rope if position_embedding_type says so
    {.name = "new", .theta = 0, .position_type = PositionType::decides},
    // nomic's modeling_hf_nomic_bert.py: DynamicNTK over max_trained_positions; transformers nomic_bert
    {.name = "nomic_bert",
     .pairing_key = "rotary_emb_interleaved",
     .partial_keys = {"rotary_emb_fraction"},
     .theta_keys = {"rotary_emb_base", "rope_theta"},
     .dynamic_key = "rotary_scaling_factor",
     .dynamic_length_key = "max_trained_positions"},
    // transformers olmo, olmo2, olmoe
    {.name = "olmo"},
    {.name = "olmo2"},
    // transformers olmo3; vllm-project/vllm#24534: YaRN in layers of full attention alone
    {.name = "olmo3",
     .theta = 500000,
     .extends = Extends::full_only,
     .pattern = LayerPattern::full_last,
     .period = 4},
    {.name = "olmoe"},
    // mlx-lm openelm.py: rope_freq_constant
    {.name = "openelm", .layers_key = "num_transformer_layers", .theta_keys = {"rope_freq_constant"}},
    refused("openai-gpt", kLearned),
    refused("opt", kLearned),
    // vLLM orion.py: Llama's attention
    {.name = "orion"},
    // mlx-vlm paddleocr_vl: halves, sections
    {.name = "paddleocr_vl", .theta = 500000, .mrope = MropeOrder::chunked},
    {.name = "paddleocr_vl_text", .theta = 500000, .mrope = MropeOrder::chunked},
    // vLLM openpangu.py: is_neox_style
    {.name = "PanguEmbedded", .theta = 0},
    // transformers persimmon
    {.name = "persimmon", .hidden_size = 4096, .heads = 64, .layers = 36, .partial = 0.5, .theta = 25000},
    // transformers phi
    {.name = "phi", .hidden_size = 2048, .heads = 32, .layers = 24, .partial = 0.5},
    named("phi-msft", kPhiMsft),
    // transformers phi3
    {.name = "phi3", .hidden_size = 3072, .heads = 32, .layers = 32},
    // Microsoft's modeling_phi3_v.py: Phi-3
    {.name = "phi3_v", .hidden_size = 3072, .heads = 32, .layers = 32},
    // Microsoft's modeling_phi3_small.py; mlx-lm phi3small.py
    {.name = "phi3small", .theta_keys = {"rope_embedding_base"}, .linear_key = "rope_position_scale"},
    refused("phi4flash", kNoPositions),
    // Microsoft's modeling_phi4mm.py: Phi-3 with partial_rotary_factor
    {.name = "phi4mm", .partial = 0},
    // transformers phimoe
    {.name = "phimoe", .theta = 1000000},
    named("phixtral", kPhiMsft),
    // mlx-lm plamo.py
    {.name = "plamo"},
    // mlx-lm plamo2.py: of every mamba_step layers the middle one is attention
    {.name = "plamo2",
     .pattern = LayerPattern::full_middle,
     .period = 2,
     .period_keys = {"mamba_step"},
     .other = "mamba"},
    // vLLM plamo3.py: rope_local_theta in sliding layers
    {.name = "plamo3",
     .theta = 0,
     .local_theta_keys = {"rope_local_theta"},
     .pattern = LayerPattern::full_last,
     .period = 8,
     .period_keys = kSlidingPattern},
    // Alibaba's modeling_qwen.py
    {.name = "qwen",
     .partial_keys = {"rotary_pct"},
     .theta_keys = {"rotary_emb_base"},
     .qwen_dynamic_ntk = true},
    // transformers qwen2, qwen2_moe
    {.name = "qwen2", .hidden_size = 4096, .heads = 32, .layers = 32},
    named("qwen2_5_omni_text", kQwenVl),
    named("qwen2_5_vl", kQwenVl),
    named("qwen2_5_vl_text", kQwenVl),
    {.name = "qwen2_moe"},
    named("qwen2_vl", kQwenVl),
    named("qwen2_vl_text", kQwenVl),
    // transformers qwen3, qwen3_moe
    {.name = "qwen3", .head_dim = 128},
    named("qwen3_5_moe_text", kQwenHybrid),
    named("qwen3_5_text", kQwenHybrid),
    {.name = "qwen3_moe"},
    named("qwen3_next", kQwenHybrid),
    // transformers qwen3_omni_moe
    {.name = "qwen3_omni_moe_text", .theta = 1000000, .mrope = MropeOrder::interleaved},
    // transformers qwen3_vl, qwen3_vl_moe
    {.name = "qwen3_vl_moe_text", .theta = 5000000, .mrope = MropeOrder::interleaved},
    {.name = "qwen3_vl_text", .theta = 5000000, .mrope = MropeOrder::interleaved},
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
    // transformers falcon under its first names (TII's modelling_RW.py)
    {.name = "RefinedWeb"},
    {.name = "RefinedWebModel"},
    refused("rembert", kLearned),
    refused("roberta", kLearned),
    // transformers roformer: sinusoids of base 10000, every two features; rotary_value rotates values too
    {.name = "roformer",
     .pairing = kInterleaved,
     .hidden_size = 768,
     .heads = 12,
     .layers = 12,
     .partial_keys = kNoKeys,
     .theta_keys = kNoKeys},
    refused("rwkv", "it has no attention"),
    refused("rwkv7", "it has no attention"),
    // lmdeploy sdar.py, sdar_moe.py: Qwen3's attention
    {.name = "sdar", .theta = 0},
    {.name = "sdar_moe", .theta = 0},
    // transformers seed_oss
    {.name = "seed_oss"},
    // Skywork's modeling_skywork.py: Llama's attention
    {.name = "skywork"},
    // PowerInfer's modeling_smallthinker.py: rope_layout has 0 for layers without
    {.name = "smallthinker",
     .theta = 0,
     .lists = {{{"rope_layout", ListForm::rotating_flags},
                {"sliding_window_layout", ListForm::local_flags}}}},
    // transformers smollm3: no_rope_layers
    {.name = "smollm3",
     .hidden_size = 2048,
     .heads = 16,
     .layers = 36,
     .theta = 2000000,
     .interval_keys = true,
     .no_rope_interval = 4},
    // vLLM solar.py: Llama's attention
    {.name = "solar"},
    // mlx-lm solar_open.py: GLM-4.5's attention
    {.name = "solar_open", .partial = 0},
    // transformers stablelm
    {.name = "stablelm",
     .hidden_size = 2560,
     .heads = 32,
     .layers = 32,
     .partial = 0.25,
     .partial_keys = {"partial_rotary_factor", "rope_pct"}},
    // Stability's modeling_stablelm_epoch.py
    {.name = "stablelm_epoch", .partial = 0.25, .partial_keys = {"rope_pct"}},
    // transformers starcoder2
    {.name = "starcoder2", .hidden_size = 3072, .heads = 24, .layers = 30},
    named("step3p5", kStep35),
    refused("switch_transformers", kRelative),
    refused("t5", kRelative),
    refused("telechat", "its code scales the base by training_seqlen, which is not read by this version"),
    // mlx-lm telechat3.py; vLLM: the magnitude is 1 + 0.07 ln(factor)
    {.name = "telechat3", .theta = 0, .yarn_coefficient = 0.07},
    refused("umt5", kRelative),
    // transformers vaultgemma (Gemma2's attention)
    {.name = "vaultgemma", .head_dim = 256},
    refused("bert-generation", kLearned),
    refused("bigbird_pegasus", kLearned),
    refused("blip_text_model", kLearned),
    refused("bros", kLearned),
    refused("canine", kLearned),
    refused("convbert", kLearned),
    refused("ernie", kLearned),
    refused("flaubert", kLearned),
    refused("gpt-sw3", kLearned),
    refused("layoutlm", kLearned),
    refused("layoutlmv3", kLearned),
    refused("luke", kLearned),
    refused("markuplm", kLearned),
    refused("megatron-bert", kLearned),
    refused("mvp", kLearned),
    refused("nystromformer", kLearned),
    refused("plbart", kLearned),
    refused("roc_bert", kLearned),
    refused("siglip_text_model", kLearned),
    refused("splinter", kLearned),
    refused("squeezebert", kLearned),
    refused("udop", kRelative),
    refused("xlm", kLearned),
    refused("yoso", kLearned),
    refused("whisper", kLearned),
    refused("xglm", "positions are sinusoids added to embeddings"),
    refused("xlm-roberta-xl", kLearned),
    // Jina's xlm-roberta-flash-implementation: rotary if position_embedding_type says so
    {.name = "xlm-roberta", .theta_keys = {"rotary_emb_base"}, .position_type = PositionType::decides},
    refused("xlnet", kRelative),
    // vLLM xverse (Llama's attention)
    {.name = "xverse"},
    // 01.AI's first modeling_yi.py: Llama's attention
    {.name = "Yi", .theta = 0},
    // mlx-lm youtu_llm.py: DeepSeek's attention
    {.name = "youtu_llm",
     .pairing = kInterleaved,
     .pairing_key = "rope_interleave",
     .latent = true,
     .theta = 1600000,
     .scales_softmax = true},
    // transformers zamba2: use_mem_rope; shared attention in layers named hybrid
    {.name = "zamba2",
     .lists = {{{"layers_block_type", ListForm::names}, {"hybrid_layer_ids", ListForm::full_indices}}},
     .layer_names = {"hybrid"},
     .other = "mamba",
     .switch_key = "use_mem_rope",
     .switch_default = false},
});

/// Null for a type that is not listed.
inline const ModelType* find_model_type(std::string_view name) {
  for (const ModelType& type : kModelTypes)
    if (type.name == name) return &type;
  return nullptr;
}

/// A model of several parts, and the type of its language model where that has no model_type of its own.
struct WrapperType {
  std::string_view name;
  std::string_view language_type;
  bool rebuilds = false;  ///< the language model is of this type, whatever its own model_type says
};

/// From the configuration classes of transformers.
inline constexpr auto kWrapperTypes = std::to_array<WrapperType>({
    {"aria", "aria_text"},
    {"aya_vision", "cohere2"},
    {"cohere2_vision", "cohere2"},
    {"deepseek_vl", "llama"},
    {"deepseek_vl_hybrid", "llama"},
    {"deepseek_vl_v2", "deepseek_v2"},
    {"emu3", "emu3_text_model"},
    {"fuyu", "persimmon"},
    {"gemma3", "gemma3_text"},
    {"gemma3n", "gemma3n_text"},
    {"gemma4", "gemma4_text"},
    {"glm4v", "glm4v_text"},
    {"glm4v_moe", "glm4v_moe_text"},
    {"got_ocr2", "qwen2"},
    {"granite_speech", "granite"},
    {"idefics2", "mistral"},
    {"idefics3", "llama"},
    {"internvl", "qwen2"},
    {"janus", "llama"},
    {"kimi_vl", "deepseek_v3"},
    {"lfm2_vl", "lfm2"},
    {"llama4", "llama4_text"},
    {"llava", "llama"},
    {"llava_next", "llama"},
    {"llava_next_video", "llama"},
    {"llava_onevision", "qwen2"},
    {"minimax_m3_vl", "minimax_m3_vl_text", true},
    {"mistral3", "mistral"},
    {"mllama", "mllama_text_model"},
    {"muse_glimmer", "muse_glimmer_text"},
    {"ovis2", "qwen2"},
    {"paligemma", "gemma"},
    {"perception_lm", "llama"},
    {"qwen2_5_omni_thinker", "qwen2_5_omni_text"},
    {"qwen2_audio", "qwen2"},
    {"qwen3_5", "qwen3_5_text"},
    {"qwen3_5_moe", "qwen3_5_moe_text"},
    {"qwen3_omni_moe_thinker", "qwen3_omni_moe_text"},
    {"qwen3_vl", "qwen3_vl_text"},
    {"qwen3_vl_moe", "qwen3_vl_moe_text"},
    {"shieldgemma2", "gemma3_text"},
    {"smolvlm", "llama"},
    {"video_llama_3", "qwen2"},
    {"video_llava", "llama"},
    {"vipllava", "llama"},
    {"voxtral", "llama"},
});

inline const WrapperType* find_wrapper_type(std::string_view name) {
  for (const WrapperType& type : kWrapperTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace rotary::inline ROTARY_ABI::detail
