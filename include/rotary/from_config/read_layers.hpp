// Which layer is of which type, and which layers go without a rotary embedding.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config_object.hpp"
#include "model_types.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline constexpr Index kMaxLayers = 100000;
inline constexpr std::size_t kMaxLayerTypes = 100;

/// The types of the layers in the order of their first appearance, and the type of each layer.
struct LayerPlan {
  std::vector<std::string> types;
  std::vector<ModelConfiguration::Layer> layers;  ///< empty if their number is not known
  bool assumed = false;                           ///< nothing was said of types

  void append(const std::string& type) {
    const auto known = std::find(types.begin(), types.end(), type);
    layers.push_back({.type = static_cast<std::size_t>(known - types.begin())});
    if (known == types.end()) types.push_back(type);
  }
  bool has(std::string_view type) const { return std::find(types.begin(), types.end(), type) != types.end(); }
};

/// A pattern of layers and its period.
struct LayerRhythm {
  LayerPattern pattern = LayerPattern::uniform;
  Index period = 0;
};

/// "LLLG": three local layers and a global one.
inline LayerRhythm read_letters(const ConfigObject& model, std::string_view key) {
  const std::string letters = *model.text(key);
  if (letters.empty() || letters.find_first_not_of('L') != letters.size() - 1 || letters.back() != 'G')
    fail(model.path(key), " is ", letters, ", it must be a number or letters such as LLLG");
  return {LayerPattern::full_last, static_cast<Index>(letters.size())};
}

inline LayerRhythm read_rhythm(const ConfigObject& model, const ModelType& type) {
  for (const std::string_view key : {"sliding_window_pattern", "_sliding_window_pattern"}) {
    if (model.has_text(key)) return read_letters(model, key);
    if (const auto period = model.integer(key, 1, kMaxLayers)) return {LayerPattern::full_last, *period};
  }
  if (const auto period = model.integer("global_attn_every_n_layers", 1, kMaxLayers))
    return {LayerPattern::full_first, *period};
  if (const auto period = model.integer("full_attention_interval", 1, kMaxLayers))
    return {LayerPattern::linear_first, *period};
  if (type.pattern != LayerPattern::uniform)
    model.note_defaulted("layer_types", "of every " + to_text(type.period) +
                                            " layers one is full_attention, as in model_type " +
                                            std::string(type.name));
  return {type.pattern, type.period};
}

inline std::string type_of_layer(Index layer, const LayerRhythm& rhythm) {
  switch (rhythm.pattern) {
    case LayerPattern::uniform:
      break;
    case LayerPattern::full_last:
      return (layer + 1) % rhythm.period == 0 ? "full_attention" : "sliding_attention";
    case LayerPattern::full_first:
      return layer % rhythm.period == 0 ? "full_attention" : "sliding_attention";
    case LayerPattern::linear_first:
      return (layer + 1) % rhythm.period == 0 ? "full_attention" : "linear_attention";
  }
  return "full_attention";
}

/// `no_rope_layers`, where 1 is a layer that has a rotary embedding and 0 one that has none, or every n-th
/// layer by `no_rope_layer_interval`.
inline void read_layers_without_rope(const ConfigObject& model, const ModelType& type, LayerPlan& plan) {
  const auto given = model.integers("no_rope_layers", 0, 1);
  const auto interval = model.integer("no_rope_layer_interval", 0, kMaxLayers);
  const bool listed = given && !given->empty();  // an empty list stands for none at all
  if (listed && plan.layers.empty()) fail("num_hidden_layers is missing, no_rope_layers needs it");
  if (listed && given->size() != plan.layers.size())
    fail(model.path("no_rope_layers"), " has ", given->size(), " entries, it must have one for each of ",
         plan.layers.size(), " layers");
  const Index period = interval.value_or(type.no_rope_interval);
  if (!listed && !interval && period > 0)
    model.note_defaulted("no_rope_layer_interval", of_model_type(type, static_cast<double>(period)));
  for (std::size_t i = 0; i < plan.layers.size(); ++i)
    plan.layers[i].rotates =
        listed ? (*given)[i] != 0 : period == 0 || (static_cast<Index>(i) + 1) % period != 0;
}

inline LayerPlan read_layers(const ConfigObject& model, const ModelType& type) {
  LayerPlan plan;
  const auto count =
      model.first_integer({"num_hidden_layers", "n_layer", "num_layers", "n_layers"}, 1, kMaxLayers);
  if (const auto types = model.texts("layer_types")) {
    if (types->empty() || types->size() > static_cast<std::size_t>(kMaxLayers))
      fail(model.path("layer_types"), " has ", types->size(), " entries, it must have 1 to ", kMaxLayers);
    if (count && static_cast<Index>(types->size()) != count->value)
      fail(model.path("layer_types"), " has ", types->size(), " entries, ", count->key, " is ", count->value);
    for (const std::string& name : *types) {
      plan.append(name);
      if (plan.types.size() > kMaxLayerTypes)
        fail(model.path("layer_types"), " has more than ", kMaxLayerTypes, " different entries");
    }
  } else {
    // A model without a window, such as the smaller EXAONE 4, has no local layers.
    const bool no_window =
        model.has("sliding_window") && type.full_without_rope && !model.number("sliding_window");
    const LayerRhythm rhythm = no_window ? LayerRhythm{} : read_rhythm(model, type);
    plan.assumed = rhythm.pattern == LayerPattern::uniform;
    for (Index layer = 0; count && layer < count->value; ++layer) plan.append(type_of_layer(layer, rhythm));
    if (!count)
      for (Index layer = 0; layer < (plan.assumed ? 1 : rhythm.period); ++layer)
        if (const std::string name = type_of_layer(layer, rhythm); !plan.has(name))
          plan.types.push_back(name);
  }
  if (!count && plan.layers.empty())
    model.note_defaulted("num_hidden_layers", "ask for types of layers, not for one layer");
  read_layers_without_rope(model, type, plan);
  return plan;
}

}  // namespace rotary::inline ROTARY_ABI::detail
