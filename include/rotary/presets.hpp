// Published models by name: the rotary embeddings of their configurations.
#pragma once

#include <string_view>
#include <vector>

#include "models/model_configuration.hpp"
#include "models/presets/deepseek.hpp"
#include "models/presets/gemma.hpp"
#include "models/presets/grids.hpp"
#include "models/presets/llama.hpp"
#include "models/presets/others.hpp"
#include "models/presets/phi.hpp"
#include "models/presets/qwen.hpp"
#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {
namespace detail {

/// Calls visit for every preset until it returns true.
template <class Visit>
void find_preset(Visit visit) {
  const auto visit_all = [&visit](const auto& presets) {
    for (const Preset& preset : presets)
      if (visit(preset)) return true;
    return false;
  };
  static_cast<void>(visit_all(kLlamaPresets) || visit_all(kQwenPresets) || visit_all(kGemmaPresets) ||
                    visit_all(kPhiPresets) || visit_all(kDeepseekPresets) || visit_all(kOtherPresets));
}

}  // namespace detail

/// The names that `preset` knows, as on Hugging Face: "meta-llama/Llama-3.1-8B".
inline std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  detail::find_preset([&](const detail::Preset& preset) {
    names.push_back(preset.name);
    return false;
  });
  return names;
}

/// The model of that name on Hugging Face, with the pairing of its weights there.
/// Throws std::invalid_argument on an unknown name, for which `from_config` can read the configuration; most
/// models of a family have equal parameters.
///
/// @code
///   const rotary::RopeParameters rope = rotary::preset("meta-llama/Llama-3.1-8B").layer(0);
///   const rotary::RotaryEmbedding<float> rotary_emb(rope);
/// @endcode
inline ModelConfiguration preset(std::string_view name) {
  const detail::Preset* found = nullptr;
  detail::find_preset([&](const detail::Preset& preset) {
    if (preset.name == name) found = &preset;
    return found != nullptr;
  });
  if (!found) detail::fail("there is no preset ", name, "; preset_names() tells which there are");
  return found->make();
}

}  // namespace rotary::inline ROTARY_ABI
