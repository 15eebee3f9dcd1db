// ModelConfiguration: the rotary embeddings of the layers of a model.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rope_parameters.hpp"

namespace rotary::inline ROTARY_ABI {

/// A note on a key of a configuration that its user should know of: an entry of `ModelConfiguration::notes`,
/// as `from_config` writes it.
struct ConfigurationNote {
  /// Why there is a note.
  enum class Kind {
    ignored,        ///< the key is about positions, and is not read; the text says why
    defaulted,      ///< the key is missing; the text says where its value comes from
    contradictory,  ///< the value contradicts another one; the text says which of them is used
    assumed,        ///< the caller supplied the value
    unread          ///< the key is not read; noted only if asked for
  };

  Kind kind = Kind::ignored;  ///< what was done with the key
  std::string key;            ///< the key and the objects that hold it: "text_config.rope_scaling.factor"
  std::string text;           ///< a sentence: the key, its value, what was done and why
};

/// A factor of queries that grows with their position, by which some models counter the dilution of attention
/// over long texts. It is not part of the rotation: multiply queries by it after they are rotated.
///
///     1 + scale · ln(1 + ⌊(position + shift) / interval⌋)
///
/// @code
///   const rotary::QueryTemperature temperature{.scale = 0.1, .interval = 8192, .shift = 1};
///   temperature.at(0);      // 1
///   temperature.at(8191);   // 1 + 0.1 · ln 2
/// @endcode
///
/// Source: Llama 4, which has it in layers without a rotary embedding, with shift 1; Ministral 3 in all, with
/// shift 0.
struct QueryTemperature {
  double scale = 0.1;      ///< how fast the factor grows
  double interval = 8192;  ///< positions of one value, in tokens
  double shift = 0;        ///< added to positions

  /// The factor of a query at `position`: 1 + scale · ln(1 + ⌊(position + shift) / interval⌋).
  double at(double position) const {
    return 1 + scale * std::log1p(std::floor((position + shift) / interval));
  }
};

/// The layers of a model, by type and by index, and notes on the configuration they come from; `preset` and
/// `from_config` return it.
///
/// In some models all layers have one rotary embedding, in others each type of layer has its own, and some
/// layers may have none: for those `has_rope` is false and `layer` throws std::invalid_argument.
///
/// @code
///   const rotary::ModelConfiguration gemma = rotary::preset("google/gemma-3-1b-it");
///   for (rotary::Index i = 0; i < gemma.layer_count(); ++i) {
///     if (!gemma.has_rope(i)) continue;
///     const rotary::RopeParameters& rope = gemma.layer(i);
///     const rotary::RotaryEmbedding<float> rotary_emb(rope);                  // layout included
///   }
/// @endcode
struct ModelConfiguration {
  /// What layers of one type share: their name, and their rotary embedding or why they have none.
  struct LayerType {
    std::string name;                    ///< as in configurations: "full_attention", "sliding_attention", ...
    std::optional<RopeParameters> rope;  ///< the rotary embedding of these layers; empty if they have none
    std::string why_not = {};            ///< why these layers have no rotary embedding
  };
  /// One layer of the model.
  struct Layer {
    std::size_t type = 0;  ///< the index of its type in `layer_types`
    bool rotates = true;   ///< false for a layer that has no rotary embedding, unlike others of its type
  };

  std::string model_type;                            ///< as in the configuration: "llama"
  std::vector<LayerType> layer_types;                ///< the types of layers; one if all layers are alike
  std::vector<Layer> layers;                         ///< all layers; empty if their number is not known
  std::vector<ConfigurationNote> notes = {};         ///< on keys that were ignored, missing or contradictory
  std::optional<QueryTemperature> temperature = {};  ///< a factor of queries, for `query_temperature`
  bool temperature_without_rope = false;             ///< is `temperature` for layers without rotation only?

  /// The number of layers; 0 if it is not known.
  Index layer_count() const { return static_cast<Index>(layers.size()); }

  /// The rotary embedding of a layer, counted from 0.
  /// Throws std::invalid_argument if there is no such layer, or if it has none.
  const RopeParameters& layer(Index index) const& {
    const Layer found = layer_at(index);
    const LayerType& type = layer_types[found.type];
    if (!found.rotates)
      detail::fail("layer ", index, " has no rotary embedding, unlike others of type ", type.name);
    return rope_of(type);
  }

  /// The rotary embedding of the layers of a type, such as "sliding_attention".
  /// Throws std::invalid_argument if there is no such type, or if its layers have none.
  const RopeParameters& layer(std::string_view type) const& {
    for (const LayerType& candidate : layer_types)
      if (candidate.name == type) return rope_of(candidate);
    std::string known;
    for (const LayerType& candidate : layer_types) known += (known.empty() ? "" : ", ") + candidate.name;
    detail::fail("there are no layers of type ", type, ", there are ", known);
  }

  /// A copy of the rotary embedding of a layer, counted from 0, for a temporary configuration.
  /// Throws std::invalid_argument if there is no such layer, or if it has none.
  RopeParameters layer(Index index) && { return std::as_const(*this).layer(index); }
  /// A copy of the rotary embedding of the layers of a type, for a temporary configuration.
  /// Throws std::invalid_argument if there is no such type, or if its layers have none.
  RopeParameters layer(std::string_view type) && { return std::as_const(*this).layer(type); }

  /// The frequencies that all layers share, for texts of `length` tokens; with `layout`, an embedding can be
  /// constructed from the model.
  /// Throws std::invalid_argument if layers differ or some have no rotary embedding: then construct an
  /// embedding from each `layer(i)`.
  [[nodiscard]] Frequencies rope_frequencies(double length = 0) const {
    return only().rope_frequencies(length);
  }
  /// The layout that all layers share: which features of a head rotate, and how they are paired.
  /// Throws std::invalid_argument if layers differ or some have no rotary embedding.
  [[nodiscard]] HeadLayout layout() const { return only().layout(); }

  /// The factor by which the queries of a layer are multiplied, if it has one.
  /// Throws std::invalid_argument if `temperature_without_rope` is set and there is no such layer.
  std::optional<QueryTemperature> query_temperature(Index index) const {
    return temperature_without_rope && has_rope(index) ? std::nullopt : temperature;
  }

  /// Are queries and keys of a layer, counted from 0, rotated by their positions?
  /// Throws std::invalid_argument if there is no such layer.
  bool has_rope(Index index) const {
    const Layer found = layer_at(index);
    return found.rotates && layer_types[found.type].rope;
  }

  /// The first note on a key, given as a whole or by its last part; null if there is none.
  [[nodiscard]] const ConfigurationNote* note(std::string_view key) const& {
    for (const ConfigurationNote& candidate : notes) {
      const std::string_view full = candidate.key;
      if (full == key) return &candidate;
      if (full.size() > key.size() && full.ends_with(key) && full[full.size() - key.size() - 1] == '.')
        return &candidate;
    }
    return nullptr;
  }
  const ConfigurationNote* note(std::string_view key) const&& = delete;  ///< of a temporary: it would dangle

 private:
  const RopeParameters& only() const {
    if (layer_types.empty()) detail::fail("the model has no layers");
    bool alike = layer_types.size() == 1;
    for (const Layer& layer : layers) alike = alike && layer.rotates;
    if (!alike)
      detail::fail("the layers of ", model_type,
                   " have different rotary embeddings, or none; make one for each kind, "
                   "of layer(i)");
    return rope_of(layer_types[0]);
  }

  Layer layer_at(Index index) const {
    if (layer_types.empty()) detail::fail("the model has no layers");
    if (index < 0) detail::fail("there is no layer ", index);
    if (layers.empty()) {
      if (layer_types.size() > 1)
        detail::fail("num_hidden_layers is not known, so neither is the type of layer ", index,
                     ": ask for a type of layers");
      return {};
    }
    if (index >= layer_count()) detail::fail("there is no layer ", index, ", there are ", layer_count());
    const Layer found = layers[static_cast<std::size_t>(index)];
    if (found.type >= layer_types.size())
      detail::fail("layer ", index, " is of type ", found.type, ", there are ", layer_types.size(), " types");
    return found;
  }

  static const RopeParameters& rope_of(const LayerType& type) {
    if (!type.rope) detail::fail("layers of type ", type.name, " have no rotary embedding: ", type.why_not);
    return *type.rope;
  }
};

}  // namespace rotary::inline ROTARY_ABI
