// Reads which layer is of which type, and which layers have no rotary embedding.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layer_rhythm.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline constexpr std::size_t kMaxLayerTypes = 100;

/// The types of the layers in the order of their first appearance, and the type of each layer.
struct LayerPlan {
  std::vector<std::string> types;
  std::vector<ModelConfiguration::Layer> layers;  ///< empty if their number is not known
  std::vector<double> thetas;  ///< the base of each layer, if the file lists them; else empty
  bool assumed = false;        ///< neither the file nor the model type names types

  void append(std::string_view type) {
    const auto known = std::find(types.begin(), types.end(), type);
    layers.push_back({.type = static_cast<std::size_t>(known - types.begin())});
    if (known == types.end()) types.emplace_back(type);
  }
  bool has(std::string_view type) const { return std::find(types.begin(), types.end(), type) != types.end(); }
};

/// Throws on a type of layers that the model type is not known to have.
inline void check_layer_name(const ConfigObject& model, std::string_view key, const ModelType& type,
                             std::string_view name) {
  for (const std::string_view known : {kFullAttention, std::string_view("sliding_attention"),
                                       std::string_view("chunked_attention"), type.local, type.other})
    if (name == known) return;
  for (const std::string_view known : type.layer_names)
    if (!known.empty() && name == known) return;
  fail(model.path(shortened(key)), " has an entry ", shortened(name), ", a type of layers that model_type ",
       type.name, " is not known to have");
}

/// The object that holds the key of a list, and the last part of the key.
inline std::pair<ConfigObject, std::string_view> place_of(const ConfigObject& model, std::string_view key) {
  const std::size_t dot = key.find('.');
  if (dot == key.npos) return {model, key};
  const std::string_view object = key.substr(0, dot);
  return {model.has_object(object) ? model.object(object) : ConfigObject(model.report()),
          key.substr(dot + 1)};
}

/// Marks every listed layer in a vector of flags.
inline std::vector<bool> marked(const ConfigObject& model, std::string_view key, Index count, Index first) {
  std::vector<bool> marks(static_cast<std::size_t>(count));
  const std::vector<Index> listed = *model.integers(key, first, count - 1 + first);
  for (const Index layer : listed) {
    auto mark = marks[static_cast<std::size_t>(layer - first)];
    if (mark) fail(model.path(key), " has ", layer, " twice");
    mark = true;
  }
  return marks;
}

/// Throws unless the list has an entry for every layer; entries of layers that only predict further tokens
/// may follow.
inline void check_length(const ConfigObject& model, std::string_view path, std::size_t size, Index count) {
  const Index further = model.first_integer({"num_nextn_predict_layers", "num_mtp_layers"}, 0, kMaxLayers)
                            .value_or(Keyed<Index>{0, ""})
                            .value;
  if (static_cast<Index>(size) == count || (further > 0 && static_cast<Index>(size) == count + further))
    return;
  fail(path, " has ", size, " entries, it must have one for each of ", count, " layers");
}

/// Do lists of this form name the types of layers? The others name only those that rotate.
inline bool names_types(ListForm form) {
  return form != ListForm::rotating_flags && form != ListForm::thetas;
}

/// Uses the types of layers of a key, unless layer_types has given them. Adds a note if the two contradict
/// each other.
inline void settle_types(const ConfigObject& holder, std::string_view key,
                         const std::vector<std::string_view>& names, bool names_known, LayerPlan& plan) {
  if (!names_known) {
    plan.types.clear();
    plan.layers.clear();
    for (const std::string_view name : names) plan.append(name);
    return;
  }
  for (std::size_t i = 0; i < plan.layers.size() && i < names.size(); ++i)
    if (plan.types[plan.layers[i].type] != names[i]) {
      holder.note_contradictory(key, "layer_types says otherwise; that holds");
      return;
    }
}

/// Reads the layers from a list of the model type's own. `names_known`: layer_types has given their types.
inline void read_list(const ConfigObject& model, const ModelType& type, const LayerList& list, Index count,
                      bool names_known, LayerPlan& plan) {
  // Not a structured binding, which Clang captures from version 16 on.
  const std::pair<ConfigObject, std::string_view> place = place_of(model, list.key);
  const ConfigObject& holder = place.first;
  const std::string_view key = place.second;
  if (!holder.has_value(key)) return;
  if (count == 0) fail("num_hidden_layers is missing, ", holder.path(key), " needs it");
  std::vector<std::string_view> names;
  const auto name_all = [&](const std::vector<bool>& marks, std::string_view of_marked,
                            std::string_view of_others) {
    for (Index i = 0; i < count; ++i)
      names.push_back(marks[static_cast<std::size_t>(i)] ? of_marked : of_others);
  };
  const auto flags = [&] {
    const std::vector<bool> found = *holder.flags(key);
    check_length(model, holder.path(key), found.size(), count);
    return found;
  };
  std::vector<std::string> texts;
  switch (list.form) {
    case ListForm::names:
    case ListForm::repeated_names:
      texts = *holder.texts(key);
      if (texts.empty()) fail(holder.path(key), " has 0 entries, it must have 1 at least");
      if (list.form == ListForm::names) check_length(model, holder.path(key), texts.size(), count);
      for (const std::string& name : texts) check_layer_name(holder, key, type, name);
      for (Index i = 0; i < count; ++i) names.push_back(texts[static_cast<std::size_t>(i) % texts.size()]);
      break;
    case ListForm::full_indices: {
      const Index first = list.key.find('.') == list.key.npos ? 0 : 1;  // Kimi counts from 1
      name_all(marked(holder, key, count, first), kFullAttention, type.other);
      break;
    }
    case ListForm::local_indices:
      name_all(marked(holder, key, count, 0), type.local, kFullAttention);
      break;
    case ListForm::local_flags:
      name_all(flags(), type.local, kFullAttention);
      break;
    case ListForm::full_flags:
      name_all(flags(), kFullAttention, type.other);
      break;
    case ListForm::cross_indices:
      name_all(marked(holder, key, count, 0), "cross_attention", kFullAttention);
      break;
    case ListForm::compression_ratios: {
      const std::vector<Index> ratios = *holder.integers(key, 0, 128);
      check_length(model, holder.path(key), ratios.size(), count);
      for (Index i = 0; i < count; ++i) {
        const Index ratio = ratios[static_cast<std::size_t>(i)];
        if (ratio != 0 && ratio != 4 && ratio != 128)
          fail(holder.path(key), " has an entry ", ratio, ", known are 0, 4 and 128");
        names.push_back(ratio == 0   ? "sliding_attention"
                        : ratio == 4 ? "compressed_sparse_attention"
                                     : "heavily_compressed_attention");
      }
      break;
    }
    case ListForm::group_size: {
      const Index size = *holder.integer(key, 1, kMaxLayers), whole = count / size * size;
      for (Index i = 0; i < count; ++i)
        names.push_back((i + 1) % size == 0 || i >= whole ? kFullAttention : type.other);
      break;
    }
    case ListForm::rotating_flags: {
      if (holder.flags(key)->empty()) return;  // an empty list counts as a missing one
      const std::vector<bool> rotates = flags();
      for (std::size_t i = 0; i < plan.layers.size(); ++i) plan.layers[i].rotates = rotates[i];
      return;
    }
    case ListForm::thetas: {
      plan.thetas = *holder.numbers(key);
      check_length(model, holder.path(key), plan.thetas.size(), count);
      for (std::size_t i = 0; i < plan.layers.size(); ++i) {
        if (plan.thetas[i] < 0)
          fail(holder.path(key), " has an entry ", plan.thetas[i], ", none may be negative");
        plan.layers[i].rotates = plan.thetas[i] > 0;
      }
      return;
    }
  }
  settle_types(holder, key, names, names_known, plan);
}

/// Reads `no_rope_layers`, where 1 is a layer with a rotary embedding and 0 one without, or
/// `no_rope_layer_interval`, by which every n-th layer has none.
inline void read_layers_without_rope(const ConfigObject& model, const ModelType& type, LayerPlan& plan) {
  if (!type.interval_keys) return;
  const auto given = model.flags("no_rope_layers");
  const auto interval = model.integer("no_rope_layer_interval", 0, kMaxLayers);
  const bool listed = given && !given->empty();  // an empty list counts as a missing one
  if (listed && plan.layers.empty()) fail("num_hidden_layers is missing, no_rope_layers needs it");
  if (listed && given->size() != plan.layers.size())
    fail(model.path("no_rope_layers"), " has ", given->size(), " entries, it must have one for each of ",
         plan.layers.size(), " layers");
  const Index period = interval.value_or(type.no_rope_interval);
  if (!listed && !interval && period > 0)
    model.note_defaulted("no_rope_layer_interval", of_model_type(type, static_cast<double>(period)));
  for (std::size_t i = 0; i < plan.layers.size(); ++i)
    plan.layers[i].rotates = listed ? (*given)[i] : period == 0 || (static_cast<Index>(i) + 1) % period != 0;
}

/// Applies the caller's list of layers that rotate.
inline void assume_rotating_layers(const ConfigObject& model, LayerPlan& plan) {
  const auto& layers = model.report().assume().rotating_layers;
  if (!layers) return;
  if (plan.layers.empty()) fail("num_hidden_layers is missing, assume.rotating_layers needs it");
  for (auto& layer : plan.layers) layer.rotates = false;
  for (const Index layer : *layers) {
    if (layer < 0 || layer >= static_cast<Index>(plan.layers.size()))
      fail("assume.rotating_layers has ", layer, ", there are ", plan.layers.size(), " layers");
    plan.layers[static_cast<std::size_t>(layer)].rotates = true;
  }
  model.note_assumed("layer_types", "the caller says which layers have a rotary embedding");
}

inline Index read_layer_count(const ConfigObject& model, const ModelType& type) {
  const auto count =
      type.layers_key.empty()
          ? model.size_of({"num_hidden_layers", "n_layer", "num_layers", "n_layers"}, 1, kMaxLayers)
          : model.size_of({type.layers_key}, 1, kMaxLayers);
  if (count) return count->value;
  const std::string_view key = type.layers_key.empty() ? "num_hidden_layers" : type.layers_key;
  if (model.has_array("layer_types") || type.layers == 0) return 0;
  model.note_defaulted(key, of_model_type(type, static_cast<double>(type.layers)));
  return type.layers;
}

inline LayerPlan read_layers(const ConfigObject& model, const ModelType& type) {
  LayerPlan plan;
  if (type.rotates == Rotates::local_if_windowed) {
    if (!model.has("sliding_window")) model.note_defaulted("sliding_window", of_model_type(type, "a number"));
    model.use("sliding_window");
  }
  const Index count = read_layer_count(model, type);
  if (const auto types = model.texts("layer_types")) {
    if (types->empty() || types->size() > static_cast<std::size_t>(kMaxLayers))
      fail(model.path("layer_types"), " has ", types->size(), " entries, it must have 1 to ", kMaxLayers);
    if (count > 0) check_length(model, model.path("layer_types"), types->size(), count);
    const std::size_t used = count > 0 ? static_cast<std::size_t>(count) : types->size();
    for (std::size_t i = 0; i < used; ++i) {
      plan.append((*types)[i]);
      if (plan.types.size() > kMaxLayerTypes)
        fail(model.path("layer_types"), " has more than ", kMaxLayerTypes, " different entries");
    }
    for (const std::string& name : plan.types) check_layer_name(model, "layer_types", type, name);
  }
  const bool names_known = !plan.layers.empty();
  const auto names_by = [&](const LayerRhythm& rhythm) {
    std::vector<std::string_view> names;
    for (Index layer = 0; layer < count; ++layer) names.push_back(type_of_layer(layer, count, rhythm, type));
    return names;
  };
  const auto read_lists = [&] {
    // Lists of types come first: lists of the layers that rotate add to them.
    for (const bool of_types : {true, false})
      for (const LayerList& list : type.lists)
        if (!list.key.empty() && names_types(list.form) == of_types)
          read_list(model, type, list, count, names_known, plan);
  };
  if (names_known) {
    read_lists();
    for (const std::string_view key : type.period_keys)  // repeats layer_types
      if (!key.empty() && model.has_value(key))
        settle_types(model, key, names_by(read_rhythm(model, type)), names_known, plan);
  } else {
    // A model without a window, such as the smaller EXAONE 4, has no local layers.
    const bool no_window = type.rotates == Rotates::local_if_windowed && model.has_null("sliding_window");
    const bool listed = std::any_of(type.lists.begin(), type.lists.end(), [&](const LayerList& list) {
      const auto [holder, key] = place_of(model, list.key);
      return names_types(list.form) && holder.has_value(key);
    });
    if (!listed) {
      const LayerRhythm rhythm = no_window ? LayerRhythm{} : read_rhythm(model, type);
      plan.assumed = rhythm.pattern == LayerPattern::uniform;
      if (plan.assumed && !type.lists[0].key.empty() && names_types(type.lists[0].form))
        model.note_defaulted(type.lists[0].key,
                             "without it and layer_types all layers are full_attention, as in " +
                                 std::string("model_type ") + std::string(type.name));
      for (const std::string_view name : names_by(rhythm)) plan.append(name);
      if (count == 0)
        for (Index layer = 0; layer < (plan.assumed ? 1 : rhythm.period); ++layer)
          if (const std::string_view name = type_of_layer(layer, rhythm.period, rhythm, type);
              !plan.has(name))
            plan.types.emplace_back(name);
    }
    read_lists();
  }
  if (type.last_is_full && !plan.layers.empty() && plan.types[plan.layers.back().type] != kFullAttention) {
    plan.layers.pop_back();
    plan.append(kFullAttention);
    if (names_known)
      model.note_contradictory("layer_types",
                               "the last layer is full_attention all the same, as in Hugging Face");
    else
      model.note_defaulted("layer_types", "the last layer is full_attention, as in Hugging Face");
  }
  if (plan.layers.empty())
    model.note_defaulted("num_hidden_layers", "ask for types of layers, not for one layer");
  read_layers_without_rope(model, type, plan);
  assume_rotating_layers(model, plan);
  return plan;
}

}  // namespace rotary::inline ROTARY_ABI::detail
