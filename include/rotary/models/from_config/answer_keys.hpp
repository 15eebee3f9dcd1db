// Keys that were not read: an error, a note, or nothing.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "read_layer_types.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The reason, in a note, why a key of a related variant is ignored.
inline std::string reason_to_ignore(const ConfigObject& rope, const std::string& key) {
  if (key == "finetuned") return "it is not read by this version, nor by Hugging Face";
  for (const std::string_view kind : {"extra_method", "rope_type", "type"})
    if (rope.has_text(kind))
      return std::string(kind == "type" ? "rope_type" : kind) + " " + rope.name(kind) +
             " has no such parameter";
  return "rope_type default has no such parameter";
}

/// Throws on a key that is never read for models of this type and that could matter. Called first: otherwise
/// a message might say that something else is missing.
inline void refuse_unknown_keys(const ConfigObject& model, const ConfigObject& rope, const ModelType& type) {
  for (const std::string& key : model.keys())
    if (concerns_rope(key) && !may_read(type, key) && !find_known_key(key) &&
        !model.report().leaves_out(model.path(key)) &&
        !(model.has_object(key) && key.ends_with("_config") && !is_rope_config(key)))
      fail_unread(model, key, type);
  // A rope object under a name of its own.
  for (const std::string& key : model.keys()) {
    if (!model.has_object(key) || may_read(type, key) || key.ends_with("_config")) continue;
    const ConfigObject object = model.object(key);
    const std::vector<std::string> inner = object.keys();
    if (object.has("factor") || std::any_of(inner.begin(), inner.end(), tells_rope_object))
      fail_unread(model, key, type);
  }
  for (const std::string& key : rope.keys())
    if (!rope.has_object(key) && !is_rope_key(key) && !(type.mrope && is_section_key(key)) &&
        key != "extra_method" && !rope.report().leaves_out(rope.path(key)))
      fail_unread(rope, key, type);
}

/// Handles every key that was not read: an error if it could change the rotary embedding, a note if it is
/// known not to, nothing if it is about something else.
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

}  // namespace rotary::inline ROTARY_ABI::detail
