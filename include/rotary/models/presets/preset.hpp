// Preset: a name, and the function that builds the configuration of that model.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "../model_configuration.hpp"

namespace rotary::inline ROTARY_ABI::detail {

struct Preset {
  std::string_view name;
  ModelConfiguration (*make)();
};

/// A model whose layers are all alike.
inline ModelConfiguration uniform_model(const char* model_type, std::size_t layers, RopeParameters rope) {
  return {.model_type = model_type,
          .layer_types = {{"full_attention", std::move(rope)}},
          .layers = std::vector<ModelConfiguration::Layer>(layers)};
}

/// A model whose layers are alike, but the last of every `interval` layers has no rotary embedding.
inline ModelConfiguration model_with_gaps(const char* model_type, std::size_t layers, std::size_t interval,
                                          RopeParameters rope) {
  ModelConfiguration model = uniform_model(model_type, layers, std::move(rope));
  for (std::size_t i = interval - 1; i < layers; i += interval) model.layers[i].rotates = false;
  return model;
}

/// A model of two types of layers: of every `period` layers the one numbered `full` is of full attention, the
/// others are of type `other`. A type without parameters has no rotary embedding.
struct TwoTypes {
  const char* model_type;
  std::size_t layers, period, full;
  std::optional<RopeParameters> of_full;
  const char* other = "sliding_attention";
  std::optional<RopeParameters> of_other = {};
};

inline ModelConfiguration model_of_two_types(TwoTypes types) {
  const char* none = "the model gives them none";
  ModelConfiguration model{.model_type = types.model_type,
                           .layer_types = {{types.other, std::move(types.of_other), none},
                                           {"full_attention", std::move(types.of_full), none}},
                           .layers = {}};
  for (std::size_t i = 0; i < types.layers; ++i)
    model.layers.push_back({.type = i % types.period == types.full ? std::size_t(1) : std::size_t(0)});
  return model;
}

}  // namespace rotary::inline ROTARY_ABI::detail
