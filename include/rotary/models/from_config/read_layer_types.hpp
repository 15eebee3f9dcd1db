// Reads the rotary embedding of each type of layers.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "read_keys.hpp"
#include "read_layers.hpp"
#include "read_rope.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The objects of a configuration, and the properties of the whole model.
struct ModelParts {
  ConfigObject root, model, rope;
  const ModelType& type;
  LayerPlan plan;
  bool nested = false;                             ///< the rope object has an object for each type of layers
  std::vector<double> thetas = {}, partials = {};  ///< one for every layer, if the file lists them
};

/// The rope object. If there are two, `rope_scaling` is used unless it is empty, as in Hugging Face; keys
/// that are in both must agree.
inline ConfigObject read_rope_object(const ConfigObject& model) {
  const ConfigObject older = model.object("rope_scaling"), newer = model.object("rope_parameters");
  if (older.empty() || newer.empty()) return older.empty() ? newer : older;
  for (const std::string& key : newer.keys()) {
    older.check_agrees(key, newer);
    if (!older.has(key))
      newer.note_ignored(key, "there is a rope_scaling, which takes the place of rope_parameters");
  }
  return older;
}

/// The name of this kind of layers in a rope object that has an object for each kind.
inline std::string rope_name(const ModelType& type, const std::string& name, LayerKind kind) {
  if (type.compressed_theta_key.empty()) return name;
  return kind == LayerKind::compressed ? "compress" : "main";  // DeepSeek-V4
}

inline ConfigObject rope_of_type(const ModelParts& parts, const std::string& name, LayerKind kind) {
  const ModelType& type = parts.type;
  const ConfigObject none(parts.model.report());
  if (parts.nested) return parts.rope.object(rope_name(type, name, kind));
  if (kind == LayerKind::local && !type.local_rope_key.empty() && parts.model.has_object(type.local_rope_key))
    return parts.model.object(type.local_rope_key);
  if (type.extends == Extends::full_only && kind != LayerKind::full) return none;
  if (type.extends == Extends::compressed_only && kind != LayerKind::compressed) return none;
  // Step: yarn_only_types lists the types of layers that the rope object extends.
  if (type.lists_per_layer)
    if (const auto extended = parts.model.texts("yarn_only_types"); extended && !extended->empty())
      if (std::find(extended->begin(), extended->end(), name) == extended->end()) return none;
  return parts.rope;
}

inline ModelConfiguration::LayerType read_layer_type(const ModelParts& parts, const std::string& name,
                                                     std::optional<double> theta,
                                                     std::optional<double> partial) {
  const ModelType& type = parts.type;
  const auto none = [&](std::string why) {
    return ModelConfiguration::LayerType{name, std::nullopt, std::move(why)};
  };
  LayerKind kind = kind_of_layer(name);
  if (name == type.local) kind = LayerKind::local;
  if (kind == LayerKind::cross) return none("cross attention has none");
  if (kind == LayerKind::other) {
    if (!type.other_rotates) return none("they are no attention");
    kind = LayerKind::full;
  }
  const bool no_window = type.rotates == Rotates::local_if_windowed && parts.model.has_null("sliding_window");
  if (kind == LayerKind::full && type.rotates != Rotates::attention && !no_window && !theta)
    return none("in model_type " + std::string(type.name) + " only local layers have one" +
                (type.rotates == Rotates::local_if_windowed ? ", unless sliding_window is null" : ""));
  const std::string key = rope_name(type, name, kind);
  if (parts.nested && !parts.rope.has_object(key)) {
    if (parts.rope.has_null(key)) return none(parts.rope.path(key) + " is null");
    fail(parts.rope.path(key), " is missing, and there are layers of this type");
  }
  RopeSource source{.model = parts.model,
                    .rope = rope_of_type(parts, name, kind),
                    .type = type,
                    .nested = parts.nested || (kind == LayerKind::local && !type.local_rope_key.empty() &&
                                               parts.model.has_object(type.local_rope_key)),
                    .kind = kind,
                    .theta = theta,
                    .partial = partial};
  // If local layers have their own base, the model's rope object is for layers of full attention alone.
  if (source.has_local_theta() && !source.nested) source.rope = ConfigObject(parts.model.report());
  ModelConfiguration::LayerType layer_type{name, read_rope(source)};
  // The configuration class of Gemma 4 has an object where the file has none.
  if (kind == LayerKind::full && type.full_head_dim > 0 && parts.rope.empty()) {
    layer_type.rope->scaling = ProportionalOptions{.partial_rotary_factor = 0.25};
    parts.model.note_defaulted(
        "rope_parameters",
        of_model_type(type, "proportional with partial_rotary_factor 0.25 for full attention"));
  }
  return layer_type;
}

/// A list of numbers in the file, one for every layer; empty without one.
inline std::vector<double> read_list_per_layer(const ConfigObject& model, std::string_view key, Index count) {
  if (!model.has_array(key)) return {};
  if (count == 0) fail("num_hidden_layers is missing, ", model.path(key), " needs it");
  std::vector<double> values = *model.numbers(key);
  check_length(model, model.path(key), values.size(), count);
  for (const double value : values)
    if (!(value > 0)) fail(model.path(key), " has an entry ", value, ", every entry must be positive");
  values.resize(static_cast<std::size_t>(count));
  return values;
}

/// Layers of one name may differ in their listed base or share. Each combination becomes a type of its own;
/// the names of all but the first include their values.
inline void read_types_per_layer(const ModelParts& parts, ModelConfiguration& configuration) {
  std::map<std::tuple<std::size_t, double, double>, std::size_t> known;
  std::vector<bool> named(parts.plan.types.size());
  for (std::size_t i = 0; i < parts.plan.layers.size(); ++i) {
    ModelConfiguration::Layer& layer = configuration.layers[i];
    const double theta = parts.thetas.empty() ? 0 : parts.thetas[i];
    const double partial = parts.partials.empty() ? 0 : parts.partials[i];
    const bool rotates = layer.rotates;
    const auto key = rotates ? std::tuple(layer.type, theta, partial) : std::tuple(layer.type, 0.0, 0.0);
    const auto [found, is_new] = known.emplace(key, configuration.layer_types.size());
    if (is_new) {
      if (configuration.layer_types.size() == kMaxLayerTypes)
        fail("more than ", kMaxLayerTypes, " types of layers have bases or shares of their own");
      const std::string& name = parts.plan.types[layer.type];
      configuration.layer_types.push_back(
          rotates ? read_layer_type(parts, name, theta > 0 ? std::optional(theta) : std::nullopt,
                                    partial > 0 ? std::optional(partial) : std::nullopt)
                  : ModelConfiguration::LayerType{name, std::nullopt, "the model gives them none"});
      if (named[layer.type])
        configuration.layer_types.back().name +=
            rotates ? ", rope_theta " + to_text(theta) + ", partial_rotary_factor " + to_text(partial)
                    : ", without rotary embedding";
      named[layer.type] = true;
    }
    layer.type = found->second;
  }
}

/// Throws on a key that was not read and could matter.
[[noreturn]] inline void fail_unread(const ConfigObject& object, const std::string& key,
                                     const ModelType& type) {
  fail(object.path(shortened(key)), " is ", object.value_text(key),
       ", which this version does not read for model_type ", type.name,
       "; assume.ignored_keys can leave it out");
}

/// Checks rope objects with an object for each type of layers: their names must be types of the model.
inline void read_nested_names(ModelParts& parts) {
  std::vector<std::string> named;
  for (const std::string& key : parts.rope.keys())
    if (parts.rope.has_object(key)) named.push_back(key);
  parts.nested = !named.empty();
  if (named.size() > kMaxLayerTypes)
    fail(parts.rope.path(), " has ", named.size(), " objects, at most ", kMaxLayerTypes,
         " types of layers are read");
  const bool by_layer = parts.type.compressed_theta_key.empty();
  for (const std::string& name : named) {
    if (by_layer)
      check_layer_name(parts.rope, name, parts.type, name);
    else if (name != "main" && name != "compress")
      fail_unread(parts.rope, name, parts.type);
  }
  const bool known =
      std::all_of(named.begin(), named.end(), [&](const auto& name) { return parts.plan.has(name); });
  if (by_layer && parts.plan.assumed && !known) {  // the rope object alone names types
    parts.plan.types = named;
    parts.plan.layers.clear();
    parts.model.note_defaulted("layer_types", "ask for types of layers, not for one layer");
  }
  for (const std::string& name : named) {
    parts.rope.use(name);
    if (by_layer && !parts.plan.has(name)) parts.rope.note_contradictory(name, "no layer is of this type");
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
