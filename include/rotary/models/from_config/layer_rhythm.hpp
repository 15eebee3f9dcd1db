// The pattern of the kinds of layers, for files without a key that lists them.
#pragma once

#include <string>
#include <string_view>

#include "config_object.hpp"
#include "model_type.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline constexpr Index kMaxLayers = 100000;
inline constexpr std::string_view kFullAttention = "full_attention";

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
  for (const std::string_view key : type.period_keys) {
    if (key.empty()) continue;
    if (model.has_text(key)) return read_letters(model, key);
    if (const auto period = model.integer(key, 1, kMaxLayers)) return {type.pattern, *period};
  }
  if (type.pattern != LayerPattern::uniform)
    model.note_defaulted(type.lists[0].key.empty() ? "layer_types" : type.lists[0].key,
                         "without it and layer_types of every " + to_text(type.period) +
                             " layers one is full_attention, as in model_type " + std::string(type.name));
  return {type.pattern, type.period};
}

inline std::string_view type_of_layer(Index layer, Index count, const LayerRhythm& rhythm,
                                      const ModelType& type) {
  const std::string_view other = type.other.empty() ? type.local : type.other;
  bool full = true;
  switch (rhythm.pattern) {
    case LayerPattern::uniform:
      break;
    case LayerPattern::full_last:
      full = (layer + 1) % rhythm.period == 0;
      break;
    case LayerPattern::full_first:
      full = layer % rhythm.period == 0;
      break;
    case LayerPattern::full_from_end:
      full = (count - 1 - layer) % rhythm.period == 0;
      break;
    case LayerPattern::full_middle:
      full = layer % rhythm.period == rhythm.period / 2;
      break;
  }
  return full ? kFullAttention : other;
}

}  // namespace rotary::inline ROTARY_ABI::detail
