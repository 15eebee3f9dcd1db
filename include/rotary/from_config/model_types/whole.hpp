// Types whose heads rotate as a whole, in halves, with one base in all layers: the attention of Llama under
// many names.
#pragma once

#include "../model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Llama: whole heads in halves, and one base (transformers llama).
inline constexpr ModelType kLlama = {.hidden_size = 4096, .heads = 32, .layers = 32};

inline constexpr auto kWholeHeads = std::to_array<ModelType>({
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
    // transformers bitnet; mlx-lm bitnet.py
    {.name = "bitnet", .theta = 500000},
    // transformers chameleon (LlamaAttention with norms)
    {.name = "chameleon", .hidden_size = 4096, .heads = 32, .layers = 32},
    // the configuration class of Llama under another name (transformers CONFIG_MAPPING_NAMES)
    named("code_llama", kLlama),
    // transformers csm: Llama's attention
    {.name = "csm", .theta = 500000},
    // transformers cwm: Llama's attention in windows
    {.name = "cwm", .theta = 1000000},
    // transformers dbrx; mlx-lm dbrx.py: attn_config.rope_theta
    {.name = "dbrx", .theta = 0, .rope_object_key = "attn_config", .object_theta_key = "rope_theta"},
    // vLLM decilm: Llama's attention
    {.name = "deci"},
    // mlx-lm deepseek.py; lmdeploy deepseek.py: Llama's attention
    {.name = "deepseek"},
    // transformers diffllama
    {.name = "diffllama", .hidden_size = 2048, .heads = 32, .layers = 16},
    // transformers doge (Llama's rotation)
    {.name = "doge", .hidden_size = 1024, .heads = 8, .layers = 32},
    // transformers dots1; mlx-lm dots1.py
    {.name = "dots1"},
    // vLLM dotsocr.py: Qwen2's attention
    {.name = "dots_ocr", .theta = 0},
    // transformers emu3
    {.name = "emu3_text_model", .theta = 1000000},
    // mlx-lm exaone.py: rope_traditional is false; vLLM exaone.py
    {.name = "exaone"},
    // transformers falcon; alibi true is refused
    {.name = "falcon", .hidden_size = 4544, .heads = 71, .layers = 32},
    // mlx-lm falcon_h1.py: every layer has attention beside its state space
    {.name = "falcon_h1", .theta = 100000},
    // transformers flex_olmo (Olmo2's attention)
    {.name = "flex_olmo", .theta = 500000},
    // transformers gemma
    {.name = "gemma", .hidden_size = 3072, .heads = 16, .layers = 28, .head_dim = 256},
    // transformers granite, granitemoe, granitemoeshared (Llama's attention with a multiplier)
    {.name = "granite"},
    {.name = "granitemoe"},
    {.name = "granitemoeshared"},
    // vLLM grok1.py: halves, whole heads
    {.name = "grok-1"},
    // mlx-vlm hrm_text: halves
    {.name = "hrm_text"},
    // mlx-lm hunyuan.py, hunyuan_v1_dense.py: NTK with alpha
    {.name = "hunyuan"},
    {.name = "hunyuan_v1_dense"},
    {.name = "hunyuan_v1_moe"},
    // transformers hy_v3: default_theta 11158840; lmdeploy hy3.py
    {.name = "hy_v3", .head_dim = 128, .theta = 11158840},
    // internlm's modeling_internlm.py: an object rotary with base and type
    {.name = "internlm", .hidden_size = 4096, .heads = 32, .layers = 32, .rope_object_key = "rotary"},
    // mlx-lm internlm2.py, internlm3.py; lmdeploy
    {.name = "internlm2", .hidden_size = 4096, .heads = 32, .layers = 32},
    {.name = "internlm3"},
    // mlx-lm iquestloopcoder.py: halves; IQuest-Coder has Llama's attention
    {.name = "iquestcoder", .theta = 500000},
    {.name = "iquestloopcoder", .theta = 500000},
    // transformers jais2 (LlamaModel)
    {.name = "jais2", .hidden_size = 3328, .heads = 26, .layers = 32, .theta = 500000},
    // transformers jetmoe: heads of kv_channels
    {.name = "jetmoe", .head_dim = 128},
    // mlx-lm Klear.py
    {.name = "klear", .theta = 0},
    // GSAI-ML's modeling_llada.py: halves; a flag rope
    {.name = "llada",
     .switch_key = "rope",
     .switch_default = true,
     .inert_keys = {"alibi_bias_max", "rope_full_precision", "block_type"}},
    named("llama", kLlama),
    // mlx-vlm llama_bidirec: Llama without a causal mask
    named("llama_bidirec", kLlama),
    // mlx-lm mellum.py: an object for every type of layers
    {.name = "mellum", .theta = 0},
    // mlx-lm mimo.py: Qwen2's attention
    {.name = "mimo", .theta = 0},
    // mlx-lm minicpm.py; vLLM minicpm.py
    {.name = "minicpm"},
    // transformers ministral: Mistral with windows
    {.name = "ministral", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers ministral3: get_llama_4_attn_scale
    {.name = "ministral3", .theta = 1000000, .temperature = TemperatureKeys::ministral3},
    // transformers mistral
    {.name = "mistral", .hidden_size = 4096, .heads = 32, .layers = 32},
    // transformers mixtral
    {.name = "mixtral", .hidden_size = 4096, .heads = 32, .layers = 32, .theta = 1000000},
    // transformers olmo, olmo2, olmoe
    {.name = "olmo"},
    {.name = "olmo2"},
    {.name = "olmoe"},
    // mlx-lm openelm.py: rope_freq_constant
    {.name = "openelm", .layers_key = "num_transformer_layers", .theta_keys = {"rope_freq_constant"}},
    // vLLM orion.py: Llama's attention
    {.name = "orion"},
    // vLLM openpangu.py: is_neox_style
    {.name = "PanguEmbedded", .theta = 0},
    // transformers phi3
    {.name = "phi3", .hidden_size = 3072, .heads = 32, .layers = 32},
    // Microsoft's modeling_phi3_v.py: Phi-3
    {.name = "phi3_v", .hidden_size = 3072, .heads = 32, .layers = 32},
    // Microsoft's modeling_phi3_small.py; mlx-lm phi3small.py
    {.name = "phi3small", .theta_keys = {"rope_embedding_base"}, .linear_key = "rope_position_scale"},
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
    // transformers falcon under its first names (TII's modelling_RW.py)
    {.name = "RefinedWeb"},
    {.name = "RefinedWebModel"},
    // lmdeploy sdar.py, sdar_moe.py: Qwen3's attention
    {.name = "sdar", .theta = 0},
    {.name = "sdar_moe", .theta = 0},
    // transformers seed_oss
    {.name = "seed_oss"},
    // Skywork's modeling_skywork.py: Llama's attention
    {.name = "skywork"},
    // vLLM solar.py: Llama's attention
    {.name = "solar"},
    // transformers starcoder2
    {.name = "starcoder2", .hidden_size = 3072, .heads = 24, .layers = 30},
    // mlx-lm telechat3.py; vLLM: the magnitude is 1 + 0.07 ln(factor)
    {.name = "telechat3", .theta = 0, .yarn_coefficient = 0.07},
    // transformers vaultgemma (Gemma2's attention)
    {.name = "vaultgemma", .head_dim = 256},
    // vLLM xverse (Llama's attention)
    {.name = "xverse"},
    // 01.AI's first modeling_yi.py: Llama's attention
    {.name = "Yi", .theta = 0},
});

}  // namespace rotary::inline ROTARY_ABI::detail
