// Reads a whole configuration: the language model, its types of layers, and the keys that were not read.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "answer_keys.hpp"
#include "language_part.hpp"
#include "read_temperature.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline ModelConfiguration read_model(const nlohmann::json& json, const FromConfigOptions& options) {
  ConfigReport report(options.assume);
  const ConfigObject root(json, {}, report);
  const LanguagePart part = find_language_part(root);
  const ConfigObject& model = part.object;
  const ModelType& type = find_type(part);
  refuse_other_positions(model, type);
  const ConfigObject rope = read_rope_object(model);
  refuse_unknown_keys(model, rope, type);
  require_keys(model, type);
  ModelParts parts{
      .root = root, .model = model, .rope = rope, .type = type, .plan = read_layers(model, type)};
  read_nested_names(parts);
  const Index count = static_cast<Index>(parts.plan.layers.size());
  parts.thetas = parts.plan.thetas;
  if (!parts.thetas.empty())
    for (const std::string_view key : type.theta_keys)
      if (model.has_value(key)) model.note_ignored(key, "another key lists the base of every layer");
  if (type.lists_per_layer && !parts.nested) {
    if (parts.thetas.empty()) parts.thetas = read_list_per_layer(model, "rope_theta", count);
    parts.partials = read_list_per_layer(model, "partial_rotary_factors", count);
  }
  ModelConfiguration configuration{
      .model_type = part.model_type, .layer_types = {}, .layers = parts.plan.layers};
  if (!parts.thetas.empty() || !parts.partials.empty()) {
    if (parts.nested)
      fail(parts.rope.path(), " has bases for types of layers, and another key for every layer");
    read_types_per_layer(parts, configuration);
  } else {
    for (const std::string& name : parts.plan.types)
      configuration.layer_types.push_back(read_layer_type(parts, name, {}, {}));
  }
  const auto& types = configuration.layer_types;
  if (types.empty()) fail("the model has no layers");
  if (std::none_of(types.begin(), types.end(), [](const auto& layer_type) { return layer_type.rope; }))
    fail("no layer of the model has a rotary embedding: those of type ", types[0].name, " have none since ",
         types[0].why_not);
  read_temperature(parts, configuration);
  answer_unread_keys(parts, configuration.layer_types, options.list_unread_keys);
  configuration.notes = report.take();
  return configuration;
}

}  // namespace rotary::inline ROTARY_ABI::detail
