// Which keys of a configuration could change a rotary embedding: found by parts of their names, since new
// models bring new names.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "../../core/config.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A key that contains one of these is about positions, pairs, bases, scaling, or the kinds of layers.
inline constexpr auto kFamilies = std::to_array<std::string_view>({
    "_idxs",
    "_indices",
    "alibi",
    "attention_factor",
    "attention_layers",
    "attention_types",
    "attn_factor",
    "attn_idx",
    "attn_layer",
    "attn_scale",
    "attn_temperature",
    "attn_type",
    "block_type",
    "compress",
    "cross_attention",
    "dual_chunk",
    "every_n",
    "floor_scale",
    "fope",
    "freq",
    "full_attention",
    "full_attn",
    "global_attention",
    "global_attn",
    "global_head",
    "hybrid",
    "interleave",
    "inv_freq",
    "layer_group",
    "layer_type",
    "layers_type",
    "linear_attn",
    "llama_4_scaling",
    "local_attention",
    "local_attn",
    "logn",
    "log_scaling",
    "max_trained",
    "mscale",
    "nope",
    "ntk",
    "partial",
    "pattern",
    "pos_emb",
    "position",
    "rope",
    "rotary",
    "rotat",
    "scaling_factor",
    "sliding",
    "theta",
    "xpos",
    "yarn",
});

/// A key with a word, between underscores, that begins with one of these counts too; inside other words they
/// mean nothing.
inline constexpr auto kFamilyWords =
    std::to_array<std::string_view>({"base", "interval", "kda", "layout", "local", "mla", "swa"});

/// How a key of these families that is never read is handled.
enum class KeyAnswer {
  silent,  ///< it is about something else
  note     ///< it is about positions, but not about frequencies, pairs or layers
};

struct KnownKey {
  std::string_view name;
  KeyAnswer answer;
  std::string_view reason;
};

inline constexpr auto kKnownKeys = std::to_array<KnownKey>({
    {"attention_window_size", KeyAnswer::silent, "which keys a query sees"},
    {"audio_rope_theta", KeyAnswer::silent, "another part of the model"},
    {"base_config_key", KeyAnswer::silent, "a library's own key"},
    {"base_model", KeyAnswer::silent, "where weights come from"},
    {"base_model_ep_plan", KeyAnswer::silent, "parallel execution"},
    {"base_model_name", KeyAnswer::silent, "where weights come from"},
    {"base_model_name_or_path", KeyAnswer::silent, "where weights come from"},
    {"base_model_pp_plan", KeyAnswer::silent, "parallel execution"},
    {"base_model_prefix", KeyAnswer::silent, "names of weights"},
    {"base_model_tp_plan", KeyAnswer::silent, "parallel execution"},
    {"cross_attention_hidden_size", KeyAnswer::silent, "a size of another part"},
    {"dual_chunk_attention_config", KeyAnswer::note,
     "dual chunk attention changes positions, not frequencies"},
    {"ep_plan", KeyAnswer::silent, "parallel execution"},
    {"expert_layer_period", KeyAnswer::silent, "experts"},
    {"first_k_dense_replace", KeyAnswer::silent, "experts"},
    {"frequency_penalty", KeyAnswer::silent, "sampling"},
    {"index_topk_freq", KeyAnswer::silent, "which keys a query sees"},
    {"index_topk_pattern", KeyAnswer::silent, "which keys a query sees"},
    {"interleave_moe_layer_step", KeyAnswer::silent, "experts"},
    {"local_attention", KeyAnswer::silent, "which keys a query sees"},
    {"max_position_embeddings", KeyAnswer::silent, "how long texts may be, where no scaling depends on it"},
    {"max_trained_positions", KeyAnswer::silent, "how long texts were, where no scaling depends on it"},
    {"mlp_layer_types", KeyAnswer::silent, "feed-forward layers"},
    {"moe_layer_freq", KeyAnswer::silent, "experts"},
    {"moe_layer_interval", KeyAnswer::silent, "experts"},
    {"n_positions", KeyAnswer::silent, "how long texts may be, where no scaling depends on it"},
    {"num_local_experts", KeyAnswer::silent, "experts"},
    {"original_max_position_embeddings", KeyAnswer::note, "no scaling depends on it"},
    {"rope_traditional", KeyAnswer::silent, "MLX's own key, which published files do not have"},
    {"routed_scaling_factor", KeyAnswer::silent, "experts"},
    {"moe_routed_scaling_factor", KeyAnswer::silent, "experts"},
    {"moe_router_scaling_factor", KeyAnswer::silent, "experts"},
    {"sliding_window", KeyAnswer::silent, "which keys a query sees"},
    {"sliding_window_size", KeyAnswer::silent, "which keys a query sees"},
    {"swa_window", KeyAnswer::silent, "which keys a query sees"},
    {"swa_window_size", KeyAnswer::silent, "which keys a query sees"},
    {"add_full_attention_sink_bias", KeyAnswer::silent, "weights"},
    {"add_swa_attention_sink_bias", KeyAnswer::silent, "weights"},
    {"swa_num_attention_heads", KeyAnswer::silent, "a number of heads"},
    {"swa_num_key_value_heads", KeyAnswer::silent, "a number of heads"},
    {"swa_v_head_dim", KeyAnswer::silent, "a size of values"},
    {"use_logn_attn", KeyAnswer::note, "it scales queries by their position, which is no rotation"},
    {"use_sliding_window", KeyAnswer::silent, "which keys a query sees"},
});

inline const KnownKey* find_known_key(std::string_view key) {
  for (const KnownKey& known : kKnownKeys)
    if (known.name == key) return &known;
  return nullptr;
}

/// Could a key of this name change a rotary embedding? Upper and lower case do not differ.
inline bool concerns_rope(std::string_view key) {
  std::string lower(key);
  for (char& letter : lower)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  for (const std::string_view part : kFamilies)
    if (lower.find(part) != std::string::npos) return true;
  for (std::size_t begin = 0; begin <= lower.size();) {
    const std::size_t end = std::min(lower.find_first_of("_.-", begin), lower.size());
    for (const std::string_view word : kFamilyWords)
      if (std::string_view(lower).substr(begin, end - begin).starts_with(word)) return true;
    begin = end + 1;
  }
  return false;
}

/// Is an object whose name ends in _config about positions? Others are about other parts of a model, or its
/// training.
inline bool is_rope_config(std::string_view key) {
  return key.find("rope") != key.npos || key.find("rotary") != key.npos || key.starts_with("linear_attn") ||
         key.starts_with("dual_chunk");
}

/// Keys that rope objects are known to have. They have no effect on variants without such a parameter; any
/// other key in a rope object could mean anything.
inline constexpr auto kRopeKeys = std::to_array<std::string_view>({
    "alpha",
    "apply_yarn_scaling",
    "attention_factor",
    "attn_factor",
    "beta_fast",
    "beta_slow",
    "extrapolation_factor",
    "factor",
    "finetuned",
    "high_freq_factor",
    "llama_4_scaling_beta",
    "long_factor",
    "long_mscale",
    "low_freq_factor",
    "max_position_embeddings",
    "mixed_b",
    "mscale",
    "mscale_all_dim",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "rope_theta",
    "rope_type",
    "scaling_factor",
    "short_factor",
    "short_mscale",
    "truncate",
    "type",
});

/// Does a key show that its object, whatever its name, is about rotary embeddings?
inline bool tells_rope_object(std::string_view key) {
  return key.starts_with("rope_") || key.starts_with("mrope_") || key.starts_with("original_max_position") ||
         key.ends_with("_factor") || key.ends_with("_section") || key.starts_with("beta_") ||
         key == "alpha" || key == "base";
}

/// Is it a key of rope objects about sections?
inline bool is_section_key(std::string_view key) {
  return key == "mrope_section" || key == "xdrope_section" || key == "mrope_interleaved" ||
         key == "interleaved" || key == "mrope_interleaved_glm";
}

inline bool is_rope_key(std::string_view key) {
  for (const std::string_view known : kRopeKeys)
    if (known == key) return true;
  return false;
}

}  // namespace rotary::inline ROTARY_ABI::detail
