// A whole configuration: which of its objects describes the language model, its types of layers, and the
// notes on what was left over.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "read_layers.hpp"
#include "read_rope.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The object that describes the language model, in a configuration that has others beside it.
inline ConfigObject language_part(const ConfigObject& root) {
  constexpr int kMostParts = 4;  // Qwen2.5-Omni has one inside the other
  ConfigObject part = root;
  for (int depth = 0; depth < kMostParts; ++depth) {
    const ConfigObject outer = part;
    for (const std::string_view key : {"text_config", "llm_config", "language_config", "thinker_config"})
      if (outer.has_object(key)) {
        part = outer.object(key);
        break;
      }
  }
  return part;
}

/// Keys that nothing was made of are reported if they read as if they were about positions. All of a rope
/// object is; of the many other keys of a model, those with one of these in them.
inline bool sounds_like_rope(std::string_view key) {
  for (const std::string_view part :
       {"rope", "rotary", "fope", "theta", "yarn", "ntk", "freq", "mscale", "xpos", "position_ids",
        "original_max_position", "attn_temperature", "floor_scale", "attn_scale", "llama_4_scaling", "logn",
        "dual_chunk", "attn_factor", "attention_factor"})
    if (key.find(part) != std::string_view::npos) return true;
  return false;
}

/// Why a known key is ignored; empty for others.
inline std::string_view reason_to_ignore(std::string_view key) {
  if (key == "use_fope" || key == "fope_init_factor" || key == "fope_sep_head" || key == "num_inv_freq")
    return "FoPE multiplies cosines and sines by matrices, which are weights and no configuration";
  if (key == "dual_chunk_attention_config") return "dual chunk attention changes positions, not frequencies";
  if (key == "rotary_emb_scale_base") return "XPos is not read from configurations; construct rotary::XPos";
  if (key.find("llama_4_scaling") != std::string_view::npos ||
      key.find("attn_temperature") != std::string_view::npos || key == "floor_scale" || key == "attn_scale" ||
      key.find("logn") != std::string_view::npos)
    return "it scales queries by their position, which is no rotation";
  return {};
}

/// Why any other key of a rope object is ignored.
inline std::string reason_to_ignore(const ConfigObject& rope) {
  for (const std::string_view key : {"extra_method", "rope_type", "type"})
    if (rope.has_text(key))
      return std::string(key == "type" ? "rope_type" : key) + " " + rope.name(key) + " has no such parameter";
  return "rope_type default has no such parameter";
}

/// Models whose positions are not rotations have nothing to be read.
inline void refuse_other_positions(const ConfigObject& model, const std::string& model_type, bool has_rope) {
  if (model.flag("alibi").value_or(false))
    fail(model.path("alibi"), " is true: positions are a bias of the scores, there is no rotary embedding");
  for (const std::string_view key : {"use_rope", "use_rotary_pos_emb"})
    if (!model.flag(key).value_or(true)) fail(model.path(key), " is false: there is no rotary embedding");
  if (const auto kind = model.text("position_embedding_type")) {
    const bool rotary = kind->find("rope") != std::string::npos || kind->find("rotary") != std::string::npos;
    if (*kind == "nope" || (!rotary && !has_rope))
      fail(model.path("position_embedding_type"), " is ", *kind, ": there is no rotary embedding");
    if (!rotary)  // ModernBERT's file says "absolute", which it inherited
      model.note_contradictory("position_embedding_type",
                               "it is no rotation, of which other keys tell; they hold");
  }
  if (!has_rope && never_rotates(model_type))
    fail(model.path("model_type"), " is ", model_type, ", which has no rotary embedding");
}

/// What is said of the model as a whole.
struct ModelParts {
  ConfigObject root, model, rope;
  std::string model_type;
  const ModelType& type;
  LayerPlan plan;
  bool nested = false;  ///< the rope object has an object for each type of layers
};

/// The rope object. Of two that are there `rope_scaling` holds, unless it is empty, as in Hugging Face; what
/// both say they must agree on.
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

inline ConfigObject rope_of_type(const ModelParts& parts, const std::string& name, bool local) {
  if (parts.nested) return parts.rope.object(name);
  if (local && parts.model.has_object("swa_rope_parameters"))
    return parts.model.object("swa_rope_parameters");
  return parts.rope;
}

inline ModelConfiguration::LayerType read_layer_type(const ModelParts& parts, const std::string& name) {
  const auto none = [&](std::string why) {
    return ModelConfiguration::LayerType{name, std::nullopt, std::move(why)};
  };
  const bool full = name == "full_attention", local = name.starts_with("sliding");
  if (!is_attention(name)) return none("they are no attention");
  if (full && parts.type.full_without_rope && parts.plan.types.size() > 1)
    return none("in model_type " + std::string(parts.type.name) + " only local layers have one");
  if (parts.nested && !parts.rope.has_object(name)) {
    parts.rope.note_contradictory(name, "there are layers of this type, and no parameters for them");
    return none(parts.rope.path(name) + " is missing");
  }
  RopeSource source{
      .model = parts.model, .rope = rope_of_type(parts, name, local), .type = parts.type, .full = full};
  source.local = local && (parts.type.local_theta > 0 || parts.model.has("rope_local_base_freq") ||
                           parts.model.has("local_rope_theta") || parts.model.has("swa_rope_theta"));
  source.nested = parts.nested || (local && parts.model.has_object("swa_rope_parameters"));
  // A base for sliding layers means that the rope object of the model concerns the full ones only.
  if (source.local && !source.nested) source.rope = ConfigObject(parts.model.report());
  ModelConfiguration::LayerType layer_type{name, read_rope(source)};
  // The configuration class of Gemma 4 has an object where the file has none.
  if (full && parts.type.full_head_dim > 0 && parts.rope.empty()) {
    layer_type.rope->scaling = ProportionalOptions{.partial_rotary_factor = 0.25};
    parts.model.note_defaulted(
        "rope_parameters",
        of_model_type(parts.type, "proportional with partial_rotary_factor 0.25 for full attention"));
  }
  return layer_type;
}

/// Notes for every key that sounds like this subject and was not put to use.
inline void note_unused(const ModelParts& parts, const std::vector<ModelConfiguration::LayerType>& types) {
  const auto note = [](const ConfigObject& object, bool all, std::string_view otherwise) {
    for (const std::string& key : object.keys()) {
      if (object.report().uses(object.path(key)) || !(all || sounds_like_rope(key))) continue;
      const std::string_view known = reason_to_ignore(key);
      object.note_ignored(key, known.empty() ? otherwise : known);
    }
  };
  const auto is_turned = [&](const std::string& name) {
    return std::any_of(types.begin(), types.end(),
                       [&](const auto& type) { return type.name == name && type.rope; });
  };
  note(parts.model, false, "no rotary embedding of this model depends on it");
  note(parts.rope, true,
       parts.nested ? "every type of layers has parameters of its own" : reason_to_ignore(parts.rope));
  if (parts.nested)
    for (const std::string& key : parts.rope.keys())
      if (parts.rope.has_object(key)) {
        const ConfigObject rope = parts.rope.object(key);
        note(rope, true,
             is_turned(key) ? reason_to_ignore(rope) : "no layer of this type has a rotary embedding");
      }
  if (parts.model.has_object("swa_rope_parameters")) {
    const ConfigObject rope = parts.model.object("swa_rope_parameters");
    note(rope, true, reason_to_ignore(rope));
  }
  if (parts.root.path() != parts.model.path())
    note(parts.root, false, "the model that is read is " + parts.model.path());
  const ConfigReport& report = parts.root.report();
  for (const std::string& key : parts.root.keys())  // vision_config, audio_config, ...
    if (key.ends_with("_config") && parts.root.has_object(key) && !report.uses(parts.root.path(key)))
      note(parts.root.object(key), false, "only the language model is read");
}

inline ModelConfiguration read_model(const nlohmann::json& json) {
  ConfigReport report;
  const ConfigObject root(json, {}, report), model = language_part(root);
  const ConfigObject rope = read_rope_object(model);
  std::string model_type = model.text("model_type").value_or(root.text("model_type").value_or(""));
  refuse_other_positions(model, model_type,
                         !rope.empty() || model.has("rope_theta") || find_model_type(model_type));

  static constexpr ModelType kUnknown{};
  const ModelType* type = find_model_type(model_type);
  if (!type)
    model.note_defaulted("model_type", (model_type.empty() ? "" : model_type + " is not known, and ") +
                                           "pairs are taken to be (i, i + rotary_dim/2)");

  ModelParts parts{.root = root,
                   .model = model,
                   .rope = rope,
                   .model_type = model_type,
                   .type = type ? *type : kUnknown,
                   .plan = read_layers(model, type ? *type : kUnknown)};
  std::vector<std::string> named;
  for (const std::string& key : rope.keys())
    if (rope.has_object(key)) named.push_back(key);
  parts.nested = !named.empty();
  if (named.size() > kMaxLayerTypes)
    fail(rope.path(), " has ", named.size(), " objects, at most ", kMaxLayerTypes,
         " types of layers are read");
  const bool known =
      std::all_of(named.begin(), named.end(), [&](const auto& name) { return parts.plan.has(name); });
  if (parts.plan.assumed && !known) {  // the rope object is all that tells of types
    parts.plan.types = named;
    parts.plan.layers.clear();
    model.note_defaulted("layer_types", "ask for types of layers, not for one layer");
  }
  for (const std::string& name : named) {
    rope.use(name);
    if (!parts.plan.has(name)) rope.note_contradictory(name, "no layer is of this type");
  }

  ModelConfiguration configuration{
      .model_type = std::move(model_type), .layer_types = {}, .layers = parts.plan.layers};
  for (const std::string& name : parts.plan.types)
    configuration.layer_types.push_back(read_layer_type(parts, name));
  note_unused(parts, configuration.layer_types);
  configuration.notes = report.take();
  return configuration;
}

}  // namespace rotary::inline ROTARY_ABI::detail
