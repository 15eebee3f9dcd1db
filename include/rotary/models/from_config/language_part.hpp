// Finds the object of a configuration that describes the language model, and its type.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "config_object.hpp"
#include "model_types.hpp"
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

/// The row of the table for the language model. Throws on an unknown type.
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
  if (!type && find_wrapper_type(part.model_type))
    fail(model.path("model_type"), " is ", part.model_type,
         ", whose language model is in an object such as text_config, and there is none");
  if (!type)
    fail(model.path("model_type"), " is ", part.model_type,
         ", a type that this version does not know; assume.model_type can name a known type to read it as");
  return *type;
}

/// Throws if keys are missing for which the configuration class of the type has defaults that this version
/// lacks.
inline void require_keys(const ConfigObject& model, const ModelType& type) {
  const auto is_there = [&](std::string_view key) {
    return !key.empty() && model.has_value(key.substr(0, key.find('.')));
  };
  const auto list_is_there = [&](const LayerList& list) { return is_there(list.key); };
  std::string_view missing;
  if (type.lists_required && !is_there("layer_types") &&
      std::none_of(type.lists.begin(), type.lists.end(), list_is_there))
    missing = type.lists[0].key.empty() ? "layer_types" : type.lists[0].key;
  if (!type.required[0].empty() && std::none_of(type.required.begin(), type.required.end(), is_there))
    missing = type.required[0];
  if (!missing.empty())
    fail(model.path(missing), " is missing, and what model_type ", type.name,
         " has then is not known to this version");
}

/// Throws on models whose positions are not rotations.
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

}  // namespace rotary::inline ROTARY_ABI::detail
