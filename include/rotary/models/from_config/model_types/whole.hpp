// Types whose heads rotate as a whole, in halves, with one base in all layers: the attention of Llama under
// many names.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Llama: whole heads in halves, and one base (transformers llama).
inline constexpr ModelType kLlama = {.hidden_size = 4096, .heads = 32, .layers = 32};

inline constexpr auto kWholeHeads = std::to_array<ModelType>({
    // transformers apertus: llama3 scaling where the file has none; mlx-lm apertus.py
    {.name = "apertus", .theta = 12000000, .required = kRopeObject},
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
    // transformers bitnet; mlx-lm bitnet.py
    {.name = "bitnet", .theta = 500000},
    // Bunny's bunny_llama.py, bunny_minicpm.py, bunny_phi3.py, bunny_qwen.py: the classes they derive from
    named("bunny-llama", kLlama),
    {.name = "bunny-minicpm"},
    {.name = "bunny-phi3", .hidden_size = 3072, .heads = 32, .layers = 32},
    {.name = "bunny-qwen", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers chameleon (LlamaAttention with norms)
    {.name = "chameleon", .hidden_size = 4096, .heads = 32, .layers = 32},
    // the configuration class of Llama under another name (transformers CONFIG_MAPPING_NAMES)
    named("code_llama", kLlama),
    // llama.cpp codeshell.cpp: base 10000
    {.name = "codeshell", .partial_keys = kNoKeys, .theta_keys = kNoKeys},
    // transformers csm: Llama's attention
    {.name = "csm", .theta = 500000},
    // transformers csm: the decoder of codebooks
    {.name = "csm_depth_decoder_model", .hidden_size = 1024, .heads = 8, .layers = 4, .theta = 500000},
    // transformers cwm: Llama's attention in windows; llama3 scaling where the file has none
    {.name = "cwm", .head_dim = 128, .theta = 1000000, .required = kRopeObject},
    // transformers dbrx; mlx-lm dbrx.py: attn_config.rope_theta
    {.name = "dbrx", .theta = 0, .rope_object_key = "attn_config", .object_theta_key = "rope_theta"},
    // vLLM decilm: Llama's attention
    {.name = "deci"},
    // mlx-lm deepseek.py; lmdeploy deepseek.py: Llama's attention
    {.name = "deepseek"},
    // transformers deepseek_ocr2: Llama's attention, and Qwen2's in the encoder
    {.name = "deepseek_ocr2_encoder", .hidden_size = 4096, .heads = 32, .layers = 32},
    {.name = "deepseek_ocr2_text",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 32,
     .inert_keys = {"use_mla", "qk_nope_head_dim", "qk_rope_head_dim"}},
    // transformers dia: self attention; cross attention in the same layers has no positions
    {.name = "dia_decoder", .hidden_size = 2048, .heads = 16, .layers = 18, .head_dim = 128},
    {.name = "dia_encoder", .hidden_size = 1024, .heads = 16, .layers = 12, .head_dim = 128},
    // transformers diffllama
    {.name = "diffllama", .hidden_size = 2048, .heads = 32, .layers = 16},
    // transformers doge (Llama's rotation)
    {.name = "doge", .hidden_size = 1024, .heads = 8, .layers = 32},
    // transformers dots1; mlx-lm dots1.py
    {.name = "dots1"},
    // vLLM dotsocr.py: Qwen2's attention
    {.name = "dots_ocr", .theta = 0},
    // llama.cpp dream.cpp: Qwen2's attention
    {.name = "Dream", .theta = 0},
    // transformers emu3
    {.name = "emu3_text_model", .theta = 1000000},
    // transformers evolla: its language model
    {.name = "evolla", .hidden_size = 4096, .heads = 32, .layers = 32, .theta = 500000},
    // mlx-lm exaone.py: rope_traditional is false; vLLM exaone.py
    {.name = "exaone"},
    // transformers falcon; alibi true is refused
    {.name = "falcon", .hidden_size = 4544, .heads = 71, .layers = 32},
    // transformers falcon_h1; mlx-lm falcon_h1.py: every layer has attention next to its state space.
    // Versions of the configuration class disagree about the base.
    {.name = "falcon_h1", .theta = 0},
    // transformers flex_olmo (Olmo2's attention)
    {.name = "flex_olmo", .theta = 500000},
    // transformers gemma
    {.name = "gemma", .hidden_size = 3072, .heads = 16, .layers = 28, .head_dim = 256},
    // transformers granite, granitemoe, granitemoeshared (Llama's attention with a multiplier)
    {.name = "granite"},
    {.name = "granitemoe"},
    {.name = "granitemoeshared"},
    // transformers granite4_vision (LlamaAttention with a multiplier)
    {.name = "granite4_vision_text", .hidden_size = 4096, .heads = 32, .layers = 32},
    // vLLM grok1.py: halves, whole heads
    {.name = "grok-1"},
    // llama.cpp grovemoe.cpp: Qwen3's attention
    {.name = "grove_moe", .theta = 0},
    // transformers higgs_audio_v2: llama3 scaling where the file has none
    {.name = "higgs_audio_v2",
     .hidden_size = 3072,
     .heads = 24,
     .layers = 28,
     .head_dim = 128,
     .theta = 500000,
     .required = kRopeObject},
    // mlx-vlm hrm_text: halves
    {.name = "hrm_text", .head_dim = 128},
    // mlx-lm hunyuan.py, hunyuan_v1_dense.py: NTK with alpha
    {.name = "hunyuan"},
    {.name = "hunyuan_v1_dense"},
    {.name = "hunyuan_v1_moe"},
    // transformers hy_v3: default_theta 11158840; lmdeploy hy3.py
    {.name = "hy_v3", .head_dim = 128, .theta = 11158840},
    // transformers hyperclovax; exllamav3 hyperclovax.py: Granite's attention
    {.name = "hyperclovax", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers idefics: base 10000; gated cross attention between the layers has no positions
    {.name = "idefics",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 32,
     .partial_keys = kNoKeys,
     .theta_keys = kNoKeys,
     .inert_keys = {"cross_layer_interval"}},
    // internlm's modeling_internlm.py: an object rotary with base and type
    {.name = "internlm", .hidden_size = 4096, .heads = 32, .layers = 32, .rope_object_key = "rotary"},
    // mlx-lm internlm2.py, internlm3.py; lmdeploy
    {.name = "internlm2", .hidden_size = 4096, .heads = 32, .layers = 32},
    {.name = "internlm3"},
    // mlx-lm iquestloopcoder.py: halves; IQuest-Coder has Llama's attention
    {.name = "iquestcoder", .theta = 500000},
    {.name = "iquestloopcoder", .theta = 500000},
    // transformers jais2 (LlamaModel): versions disagree about the base
    {.name = "jais2", .hidden_size = 3328, .heads = 26, .layers = 32, .theta = 0},
    // transformers jetmoe: heads of kv_channels
    {.name = "jetmoe", .head_dim = 128},
    // mlx-lm Klear.py
    {.name = "klear", .theta = 0},
    // transformers kyutai_speech_to_text, mimi, moshi: the decoder of the depth of moshi has no positions
    {.name = "kyutai_speech_to_text", .hidden_size = 2048, .heads = 32, .layers = 48},
    {.name = "mimi", .hidden_size = 512, .heads = 8, .layers = 8},
    {.name = "moshi", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers lasr: Llama's attention between convolutions
    {.name = "lasr_encoder", .hidden_size = 512, .heads = 8, .layers = 17},
    // GSAI-ML's modeling_llada.py: halves; a flag rope
    {.name = "llada",
     .switch_key = "rope",
     .switch_default = true,
     .inert_keys = {"alibi_bias_max", "rope_full_precision", "block_type"}},
    named("llama", kLlama),
    // mlx-vlm llama_bidirec: Llama without a causal mask
    named("llama_bidirec", kLlama),
    // LLaVA's llava_llama.py, llava_mistral.py: Llama and Mistral in one object with what concerns images
    {.name = "llava_llama",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 32,
     .inert_keys = {"mm_newline_position"}},
    {.name = "llava_mistral",
     .hidden_size = 4096,
     .heads = 32,
     .layers = 32,
     .inert_keys = {"mm_newline_position"}},
    // transformers mellum; mlx-lm mellum.py: an object for every type of layers
    {.name = "mellum", .head_dim = 128, .theta = 0, .required = kRopeObject},
    // mlx-lm mimo.py: Qwen2's attention
    {.name = "mimo", .theta = 0},
    // mlx-lm minicpm.py; vLLM minicpm.py
    {.name = "minicpm"},
    // transformers ministral: Mistral with windows
    {.name = "ministral", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers ministral3: get_llama_4_attn_scale; YaRN where the file has no rope object
    {.name = "ministral3",
     .head_dim = 128,
     .theta = 1000000,
     .required = kRopeObject,
     .temperature = TemperatureKeys::ministral3},
    // transformers mistral
    {.name = "mistral", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers mixtral
    {.name = "mixtral", .hidden_size = 4096, .heads = 32, .layers = 32, .theta = 1000000},
    // vLLM molmo.py: is_neox_style, whole heads
    {.name = "molmo", .theta = 0, .inert_keys = {"use_position_ids"}},
    // transformers muse_glimmer_assistant: Qwen3's attention
    {.name = "muse_glimmer_assistant",
     .hidden_size = 6656,
     .heads = 32,
     .layers = 5,
     .head_dim = 128,
     .theta = 500000},
    // mlx-vlm nemotron_labs_diffusion: Ministral 3 without a causal mask
    {.name = "nemotron_labs_diffusion",
     .head_dim = 128,
     .theta = 0,
     .temperature = TemperatureKeys::ministral3},
    // transformers olmo, olmo2, olmoe
    {.name = "olmo"},
    {.name = "olmo2"},
    {.name = "olmoe"},
    // mlx-lm openelm.py: rope_freq_constant
    {.name = "openelm", .layers_key = "num_transformer_layers", .theta_keys = {"rope_freq_constant"}},
    // vLLM orion.py: Llama's attention
    {.name = "orion"},
    // vLLM ouro.py: Llama's attention
    {.name = "ouro", .theta = 0},
    // vLLM openpangu.py: is_neox_style
    {.name = "PanguEmbedded", .theta = 0},
    // transformers phi3
    {.name = "phi3", .hidden_size = 3072, .heads = 32, .layers = 32},
    // Microsoft's modeling_phi3_v.py: Phi-3
    {.name = "phi3_v", .hidden_size = 3072, .heads = 32, .layers = 32},
    // Microsoft's modeling_phi3_small.py; mlx-lm phi3small.py
    {.name = "phi3small", .theta_keys = {"rope_embedding_base"}, .linear_key = "rope_position_scale"},
    // transformers phi4_multimodal: Phi-3
    {.name = "phi4_multimodal", .hidden_size = 3072, .heads = 32, .layers = 32},
    // transformers phimoe
    {.name = "phimoe", .theta = 1000000},
    // mlx-lm plamo.py
    {.name = "plamo"},
    // transformers qwen2, qwen2_moe
    {.name = "qwen2", .hidden_size = 4096, .heads = 32, .layers = 32},
    {.name = "qwen2_moe"},
    // transformers qwen3, qwen3_moe
    {.name = "qwen3", .head_dim = 128},
    {.name = "qwen3_moe"},
    // transformers qwen3_omni_moe: the predictor of codes is a Qwen3
    {.name = "qwen3_omni_moe_talker_code_predictor",
     .hidden_size = 1024,
     .heads = 16,
     .layers = 5,
     .head_dim = 128,
     .theta = 0},
    // transformers falcon under its first names (TII's modelling_RW.py)
    {.name = "RefinedWeb"},
    {.name = "RefinedWebModel"},
    // llama.cpp rnd1.cpp: Qwen3's attention
    {.name = "rnd1", .theta = 0},
    // lmdeploy sdar.py, sdar_moe.py: Qwen3's attention
    {.name = "sdar", .theta = 0},
    {.name = "sdar_moe", .theta = 0},
    // transformers seed_oss
    {.name = "seed_oss", .head_dim = 128},
    // Skywork's modeling_skywork.py: Llama's attention
    {.name = "skywork"},
    // vLLM solar.py: Llama's attention
    {.name = "solar"},
    // transformers starcoder2
    {.name = "starcoder2", .hidden_size = 3072, .heads = 24, .layers = 30},
    // vLLM step3_text.py
    {.name = "step3_text", .hidden_size = 7168, .heads = 64, .layers = 61, .head_dim = 256, .theta = 500000},
    // mlx-lm telechat3.py; vLLM: the magnitude is 1 + 0.07 ln(factor)
    {.name = "telechat3", .theta = 0, .yarn_coefficient = 0.07},
    // vLLM teleflm.py: Llama's attention
    {.name = "TeleFLM", .theta = 0},
    // transformers timesfm2_5: the tokens are patches of a series
    {.name = "timesfm2_5", .hidden_size = 1280, .heads = 16, .layers = 20, .head_dim = 80},
    // transformers voxtral_realtime: Mistral's attention
    {.name = "voxtral_realtime_text", .hidden_size = 4096, .heads = 32, .layers = 32},
    // vLLM xverse (Llama's attention)
    {.name = "xverse"},
    // 01.AI's first modeling_yi.py: Llama's attention
    {.name = "Yi", .theta = 0},
});

}  // namespace rotary::inline ROTARY_ABI::detail
