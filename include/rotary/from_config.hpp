// From a model's config.json, as published on Hugging Face, to the rotary embedding of each layer.
//
// The only header of the library that needs nlohmann/json; rotary.hpp leaves it out.
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "models/from_config/options.hpp"
#include "models/from_config/parse_json.hpp"
#include "models/from_config/read_model.hpp"
#include "models/model_configuration.hpp"
#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

/// Reads the text of a config.json in any of its forms, and throws rather than guess.
///
/// The old form has `rope_theta`, `rope_scaling` (with `rope_type` or `type`) and others at the top level.
/// The new form has `rope_parameters`, one object for all layers or one for each type of layer. For models of
/// several parts, with a `text_config`, the language model is read. A table of model types supplies what
/// files leave out, above all the pairing, which hardly any file names: it is that of the weights on Hugging
/// Face (`known_model_types`, docs/model-types.md).
///
/// A key that could change which features or layers rotate, the base, the scaling, the magnitude or the
/// pairing, and that is not read for the model's type, is an error that names it. `options.assume` supplies
/// values for such keys. The result has notes on defaults for missing keys, on values that contradict each
/// other if one of them is known to count, on keys about positions that are known not to matter, and on what
/// was assumed:
///
///     rope_scaling.beta_fast is 32: it is ignored, since rope_type llama3 has no such parameter
///
/// Keys about other things (`vocab_size`) are skipped without a note unless `options.list_unread_keys`.
///
/// Throws std::invalid_argument, naming the key, also for keys that are missing or have the wrong type,
/// length or value; for two keys that mean the same and disagree; and for text that is not JSON, has a key
/// twice, is larger than 16 MiB or nested deeper than 64 brackets. Follows Hugging Face where implementations
/// differ.
///
/// @code
///   #include <rotary/from_config.hpp>
///   const auto model = rotary::from_config(R"({"model_type": "llama", "hidden_size": 4096,
///     "num_attention_heads": 32, "num_hidden_layers": 32, "rope_theta": 500000.0})");
///   const rotary::RopeParameters& rope = model.layer(0);
///   const rotary::Frequencies frequencies = rope.rope_frequencies();
///   for (const rotary::ConfigurationNote& note : model.notes) std::printf("%s\n", note.text.c_str());
/// @endcode
inline ModelConfiguration from_config(std::string_view text, const FromConfigOptions& options = {}) {
  return detail::read_model(detail::parse_json(text), options);
}

/// Reads a configuration that has been parsed already, as `from_config` reads the text of one; the same
/// errors throw. (A template, so that text does not convert to a JSON string.)
///
/// @code
///   #include <rotary/from_config.hpp>
///   const auto json = nlohmann::json::parse(R"({"model_type": "llama", "hidden_size": 4096,
///     "num_attention_heads": 32, "num_hidden_layers": 32, "rope_theta": 500000.0})");
///   const rotary::RotaryEmbedding<float> rotary_emb(rotary::from_config(json));   // all layers are alike
/// @endcode
template <std::same_as<nlohmann::json> Json>
ModelConfiguration from_config(const Json& json, const FromConfigOptions& options = {}) {
  return detail::read_model(json, options);
}

/// The model types that `from_config` reads, such as "llama", without those that it rejects by name.
/// docs/model-types.md lists them.
inline std::vector<std::string_view> known_model_types() {
  std::vector<std::string_view> names;
  for (const detail::ModelType& type : detail::kModelTypes)
    if (type.refusal.empty()) names.push_back(type.name);
  return names;
}

}  // namespace rotary::inline ROTARY_ABI
