// Reads the factor of queries that grows with their position.
#pragma once

#include <string_view>

#include "read_layer_types.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// `temperature`, checked: throws on a factor that would not be finite at a possible position.
inline QueryTemperature checked(const ConfigObject& object, std::string_view scale, std::string_view interval,
                                const QueryTemperature& temperature) {
  if (!finite_bits(temperature.at(0x1p40)))
    fail(object.path(scale), " is ", temperature.scale, " and ", object.path(interval), " is ",
         temperature.interval, ", which gives queries a factor that is not finite");
  return temperature;
}

/// Reads the factor of queries that depends on their position.
inline void read_temperature(const ModelParts& parts, ModelConfiguration& configuration) {
  switch (parts.type.temperature) {
    case TemperatureKeys::none:
      return;
    case TemperatureKeys::llama4: {
      const ConfigObject& model = parts.model;
      const auto scale = model.number("attn_scale"), interval = model.positive("floor_scale");
      const auto tuned = model.flag_or_number("attn_temperature_tuning");
      if (!tuned) model.note_defaulted("attn_temperature_tuning", of_model_type(parts.type, "true"));
      if (!tuned.value_or(true)) return;
      if (!scale) model.note_defaulted("attn_scale", of_model_type(parts.type, 0.1));
      if (!interval) model.note_defaulted("floor_scale", of_model_type(parts.type, 8192));
      configuration.temperature =
          checked(model, "attn_scale", "floor_scale", {scale.value_or(0.1), interval.value_or(8192), 1});
      configuration.temperature_without_rope = true;
      return;
    }
    case TemperatureKeys::ministral3: {
      const ConfigObject& rope = parts.rope;
      const auto scale = rope.number("llama_4_scaling_beta");
      if (!scale) return;
      const auto interval = rope.positive("original_max_position_embeddings");
      if (!interval)
        fail(rope.path("original_max_position_embeddings"), " is missing, ",
             rope.path("llama_4_scaling_beta"), " needs it");
      configuration.temperature =
          checked(rope, "llama_4_scaling_beta", "original_max_position_embeddings", {*scale, *interval, 0});
      return;
    }
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
