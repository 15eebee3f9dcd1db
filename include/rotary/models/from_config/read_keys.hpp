// Which keys the reader may look at for a type.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "key_families.hpp"
#include "model_types.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// May the reader look at a key for a model of this type?
inline bool may_read(const ModelType& type, std::string_view key) {
  for (const std::string_view general :
       {"rope_scaling", "rope_parameters", "layer_types", "use_rope", "use_rotary_pos_emb", "alibi",
        "position_embedding_type", "max_position_embeddings", "n_positions", "sliding_window",
        "original_max_position_embeddings"})
    if (key == general) return true;
  for (const std::string_view own :
       {type.pairing_key, type.layers_key, type.full_head_dim_key, type.local_head_dim_key,
        type.rotary_dim_key, type.theta_ratio_key, type.local_rope_key, type.compressed_theta_key,
        type.linear_key, type.dynamic_key, type.dynamic_length_key, type.rope_object_key, type.switch_key})
    if (!own.empty() && key == own) return true;
  for (const KeyNames& names : {type.partial_keys, type.theta_keys, type.local_theta_keys, type.period_keys,
                                type.inert_keys, type.required})
    for (const std::string_view own : names)
      if (!own.empty() && key == own) return true;
  for (const LayerList& list : type.lists)
    if (!list.key.empty() && key == list.key.substr(0, list.key.find('.'))) return true;
  const auto one_of = [key](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), key) != names.end();
  };
  return ((type.latent || type.at_end) && one_of({"qk_rope_head_dim", "qk_nope_head_dim", "use_mla"})) ||
         (type.interval_keys && one_of({"no_rope_layers", "no_rope_layer_interval"})) ||
         (type.lists_per_layer && one_of({"partial_rotary_factors", "yarn_only_types"})) ||
         (type.qwen_dynamic_ntk && key == "use_dynamic_ntk") ||
         (type.temperature == TemperatureKeys::llama4 &&
          one_of({"attn_temperature_tuning", "attn_scale", "floor_scale"}));
}

}  // namespace rotary::inline ROTARY_ABI::detail
