// A whole configuration: which of its objects describes the language model, its types of layers, and what is
// left over.
#pragma once

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "key_families.hpp"
#include "model_types.hpp"
#include "read_layers.hpp"
#include "read_rope.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The object that describes the language model, and its type.
struct LanguagePart {
  ConfigObject object;
  std::string model_type = {};
};

inline LanguagePart find_language_part(const ConfigObject& root) {
  constexpr int kMostParts = 4;  // Qwen2.5-Omni has one inside the other
  LanguagePart part{root, root.text("model_type").value_or("")};
  for (int depth = 0; depth < kMostParts; ++depth) {
    const ConfigObject outer = part.object;
    std::string_view found;
    for (const std::string_view key : {"text_config", "llm_config", "language_config", "thinker_config",
                                       "language_model_config", "lm_config", "llm_cfg"}) {
      if (!outer.has_object(key)) continue;
      if (!found.empty())
        fail(outer.path(found), " and ", outer.path(key),
             " are both there, only one can be the language model; name one in assume.ignored_keys");
      found = key;
    }
    if (found.empty()) break;
    outer.use(found);
    part.object = outer.object(found);
    const std::optional<std::string> own = part.object.text("model_type");
    const WrapperType* wrapper = find_wrapper_type(part.model_type);
    if (own && !(wrapper && wrapper->rebuilds)) {
      part.model_type = *own;
    } else if (wrapper) {
      part.model_type = wrapper->language_type;
      part.object.note_defaulted("model_type", "it is taken to be " + part.model_type +
                                                   ", as in model_type " + std::string(wrapper->name));
    } else if (!find_model_type(part.model_type)) {
      part.model_type.clear();
    }
  }
  return part;
}

/// The row of the table for the language model. Throws for a type that is not there.
inline const ModelType& find_type(const LanguagePart& part) {
  const ConfigObject& model = part.object;
  const std::string& assumed = model.report().assume().model_type;
  if (!assumed.empty()) {
    const ModelType* type = find_model_type(assumed);
    if (!type)
      fail("assume.model_type is ", shortened(assumed), ", which is not a type that this version knows");
    if (assumed != part.model_type)
      model.note_assumed("model_type", "the caller has it read as one of type " + assumed);
    return *type;
  }
  if (part.model_type.empty())
    fail(
        model.path("model_type"),
        " is missing, so neither pairs nor layers are known; assume.model_type can name a known type to read "
        "it as");
  const ModelType* type = find_model_type(part.model_type);
  if (!type)
    fail(model.path("model_type"), " is ", part.model_type,
         ", a type that this version does not know; assume.model_type can name a known type to read it as");
  return *type;
}

/// Models whose positions are not rotations have nothing to be read.
inline void refuse_other_positions(const ConfigObject& model, const ModelType& type) {
  if (!type.refusal.empty())
    fail(model.path("model_type"), " is ", type.name,
         ", which has no rotary embedding that this version reads: ", type.refusal);
  if (type.only_hidden_size > 0) {
    const auto hidden = model.size_of({"hidden_size"}, 1, kMaxSize);
    if (hidden && hidden->value != type.only_hidden_size)
      fail(hidden->key, " is ", hidden->value, ", of model_type ", type.name, " only models of ",
           type.only_hidden_size, " have a rotary embedding");
  }
  if (model.flag("alibi").value_or(false))
    fail(model.path("alibi"), " is true: positions are a bias of the scores, there is no rotary embedding");
  for (const std::string_view key : {"use_rope", "use_rotary_pos_emb"})
    if (model.has_value(key) && key != type.switch_key && !*model.flag(key))
      fail(model.path(key), " is false: there is no rotary embedding");
  if (!type.switch_key.empty()) {
    const bool on = model.flag(type.switch_key).value_or(type.switch_default);
    if (!model.has_value(type.switch_key))
      model.note_defaulted(type.switch_key, of_model_type(type, on ? "true" : "false"));
    if (on == type.switch_off_is_nope)
      fail(model.path(type.switch_key), " is ", on ? "true" : "false", ": there is no rotary embedding");
  }
  const auto kind = model.text("position_embedding_type");
  const bool rotary =
      kind && (kind->find("rope") != std::string::npos || kind->find("rotary") != std::string::npos);
  if (type.position_type == PositionType::decides && !rotary)
    fail(model.path("position_embedding_type"), " is ", kind ? *kind : "missing", ": in model_type ",
         type.name, " there is no rotary embedding then");
  if (kind && !rotary && type.position_type == PositionType::ignored)
    model.note_contradictory("position_embedding_type",
                             "it is no rotation, but model_type " + std::string(type.name) + " has one");
  if (kind && (*kind == "nope" || (!rotary && type.position_type == PositionType::checked)))
    fail(model.path("position_embedding_type"), " is ", *kind, ": there is no rotary embedding");
}

/// What is known of the model as a whole.
struct ModelParts {
  ConfigObject root, model, rope;
  const ModelType& type;
  LayerPlan plan;
  bool nested = false;                             ///< the rope object has an object for each type of layers
  std::vector<double> thetas = {}, partials = {};  ///< one for every layer, where the file lists them
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

/// What rope objects with an object for each kind of layers call this kind.
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
  if (kind == LayerKind::full && type.rotates != Rotates::attention && !no_window)
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
  // A base of local layers means that the rope object of the model concerns the full ones only.
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

/// Numbers that files list, one for every layer.
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

/// Layers of one name whose base or share is listed may differ: each combination is a type of its own, and
/// all but the first of a name have their values in it.
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

/// What a note says of a key of the variant's relatives.
inline std::string reason_to_ignore(const ConfigObject& rope, const std::string& key) {
  if (key == "finetuned") return "it is not read by this version, nor by Hugging Face";
  for (const std::string_view kind : {"extra_method", "rope_type", "type"})
    if (rope.has_text(kind))
      return std::string(kind == "type" ? "rope_type" : kind) + " " + rope.name(kind) +
             " has no such parameter";
  return "rope_type default has no such parameter";
}

/// A key that was not read and could matter.
[[noreturn]] inline void fail_unread(const ConfigObject& object, const std::string& key,
                                     const ModelType& type) {
  fail(object.path(shortened(key)), " is ", object.value_text(key),
       ", which this version does not read for model_type ", type.name,
       "; assume.ignored_keys can leave it out");
}

/// Whether reading a model of this type may look at a key.
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
  for (const KeyNames& names :
       {type.partial_keys, type.theta_keys, type.local_theta_keys, type.period_keys, type.inert_keys})
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

/// Throws for a key that no reading of a model of this type looks at and that could matter: before anything
/// else is found missing for want of it.
inline void refuse_unknown_keys(const ConfigObject& model, const ConfigObject& rope, const ModelType& type) {
  for (const std::string& key : model.keys())
    if (concerns_rope(key) && !may_read(type, key) && !find_known_key(key) &&
        !model.report().leaves_out(model.path(key)) &&
        !(model.has_object(key) && key.ends_with("_config") && !is_rope_config(key)))
      fail_unread(model, key, type);
  for (const std::string& key : rope.keys())
    if (!rope.has_object(key) && !is_rope_key(key) && !(type.mrope && is_section_key(key)) &&
        key != "extra_method" && !rope.report().leaves_out(rope.path(key)))
      fail_unread(rope, key, type);
}

/// Answers every key that was not read: with an error if it could change the rotary embedding, with a note if
/// it is known not to, in silence if it is about something else.
inline void answer_unread_keys(const ModelParts& parts,
                               const std::vector<ModelConfiguration::LayerType>& types, bool list_all) {
  const ConfigReport& report = parts.root.report();
  const auto each_unread = [&](const ConfigObject& object, const auto& answer) {
    for (const std::string& key : object.keys()) {
      if (report.uses(object.path(key))) continue;
      if (report.leaves_out(object.path(key)))
        object.note_assumed(key, "the caller has it left out");
      else
        answer(key);
    }
  };
  const auto list = [&](const ConfigObject& object, const std::string& key) {
    if (list_all) object.note_unread(key, "it is not read by this version");
  };
  each_unread(parts.model, [&](const std::string& key) {
    if (!concerns_rope(key) ||
        (parts.model.has_object(key) && key.ends_with("_config") && !is_rope_config(key)))
      return list(parts.model, key);
    for (const std::string_view inert : parts.type.inert_keys)
      if (key == inert)
        return parts.model.note_ignored(key, "the rotary embedding of model_type " +
                                                 std::string(parts.type.name) + " does not depend on it");
    const KnownKey* known = find_known_key(key);
    if (!known) fail_unread(parts.model, key, parts.type);
    if (known->answer == KeyAnswer::note) return parts.model.note_ignored(key, known->reason);
    list(parts.model, key);
  });
  const auto answer_rope = [&](const ConfigObject& rope, bool rotates) {
    each_unread(rope, [&](const std::string& key) {
      if (!is_rope_key(key)) fail_unread(rope, key, parts.type);
      rope.note_ignored(
          key, !rotates ? "no layer of this type has a rotary embedding" : reason_to_ignore(rope, key));
    });
  };
  const auto rotates = [&](const std::string& name) {
    return std::any_of(types.begin(), types.end(), [&](const auto& type) {
      return type.rope &&
             (type.name == name || rope_name(parts.type, type.name, kind_of_layer(type.name)) == name);
    });
  };
  if (parts.nested) {
    for (const std::string& key : parts.rope.keys())
      if (parts.rope.has_object(key)) answer_rope(parts.rope.object(key), rotates(key));
    each_unread(parts.rope, [&](const std::string& key) {
      if (!is_rope_key(key)) fail_unread(parts.rope, key, parts.type);
      parts.rope.note_ignored(key, "every type of layers has parameters of its own");
    });
  } else {
    answer_rope(parts.rope, true);
  }
  if (const std::string_view key = parts.type.local_rope_key; !key.empty() && parts.model.has_object(key))
    answer_rope(parts.model.object(key), true);
  if (const std::string_view key = parts.type.rope_object_key; !key.empty() && parts.model.has_object(key)) {
    const ConfigObject object = parts.model.object(key);
    each_unread(object, [&](const std::string& inner) {
      if (concerns_rope(inner) || concerns_rope(key)) fail_unread(object, inner, parts.type);
      list(object, inner);
    });
  }
  for (const LayerList& entry : parts.type.lists) {  // linear_attn_config
    const std::size_t dot = entry.key.find('.');
    if (dot == entry.key.npos || !parts.model.has_object(entry.key.substr(0, dot))) continue;
    const ConfigObject object = parts.model.object(entry.key.substr(0, dot));
    each_unread(object, [&](const std::string& inner) { list(object, inner); });
  }
  if (parts.root.path() != parts.model.path())
    each_unread(parts.root, [&](const std::string& key) {
      const KnownKey* known = find_known_key(key);
      if (!concerns_rope(key) || (known && known->answer == KeyAnswer::silent) || key.ends_with("_config"))
        return list(parts.root, key);
      parts.root.note_ignored(key, "the model that is read is " + parts.model.path());
    });
  for (const std::string& key : parts.root.keys()) {  // vision_config, audio_config, ...
    if (!key.ends_with("_config") || is_rope_config(key) || !parts.root.has_object(key) ||
        report.uses(parts.root.path(key)))
      continue;
    const ConfigObject part = parts.root.object(key);
    each_unread(part, [&](const std::string& inner) {
      const KnownKey* known = find_known_key(inner);
      if (concerns_rope(inner) && !(known && known->answer == KeyAnswer::silent))
        part.note_ignored(inner, "only the language model is read");
    });
  }
}

/// Throws for a factor that would not be finite at a position that can occur.
inline QueryTemperature checked(const ConfigObject& object, std::string_view scale, std::string_view interval,
                                const QueryTemperature& temperature) {
  if (!finite_bits(temperature.at(0x1p40)))
    fail(object.path(scale), " is ", temperature.scale, " and ", object.path(interval), " is ",
         temperature.interval, ", which gives queries a factor that is not finite");
  return temperature;
}

/// The factor of queries that depends on their position.
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

/// Rope objects that have an object for each type of layers; their names must be types that there are.
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
  if (by_layer && parts.plan.assumed && !known) {  // the rope object alone tells of types
    parts.plan.types = named;
    parts.plan.layers.clear();
    parts.model.note_defaulted("layer_types", "ask for types of layers, not for one layer");
  }
  for (const std::string& name : named) {
    parts.rope.use(name);
    if (by_layer && !parts.plan.has(name)) parts.rope.note_contradictory(name, "no layer is of this type");
  }
}

inline ModelConfiguration read_model(const nlohmann::json& json, const FromConfigOptions& options) {
  ConfigReport report(options.assume);
  const ConfigObject root(json, {}, report);
  const LanguagePart part = find_language_part(root);
  const ConfigObject& model = part.object;
  const ModelType& type = find_type(part);
  refuse_other_positions(model, type);
  const ConfigObject rope = read_rope_object(model);
  refuse_unknown_keys(model, rope, type);
  ModelParts parts{
      .root = root, .model = model, .rope = rope, .type = type, .plan = read_layers(model, type)};
  read_nested_names(parts);
  const Index count = static_cast<Index>(parts.plan.layers.size());
  parts.thetas = parts.plan.thetas;
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
