// A model's config.json, as Hugging Face publishes them → the rotary embedding of each layer.
//
// The only header of the library that needs nlohmann/json; rotary.hpp leaves it out.
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <string_view>

#include "from_config/parse_json.hpp"
#include "from_config/read_model.hpp"
#include "model_configuration.hpp"
#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

/// Reads the text of a config.json in any of its forms.
///
/// Old: `rope_theta`, `rope_scaling` (with `rope_type` or `type`) and others at the top. New:
/// `rope_parameters`, one object for all layers or one for each type of them. Of models of several parts,
/// with a `text_config`, the language model is read. Model types stand for what files leave out, and for the
/// pairing, which no file tells: weights are taken to be as Hugging Face has them.
///
/// The result carries notes: on every key about positions that nothing was made of, on every value that
/// stands for a missing key, and on values that do not fit each other where one of them holds all the same:
///
///     rope_scaling.beta_fast is 32: it is ignored, since rope_type llama3 has no such parameter
///
/// Keys about other things (`vocab_size`) are passed over in silence.
///
/// Throws std::invalid_argument, naming the key, for what is missing or has the wrong type, length or value;
/// for two keys that mean the same and disagree; and for text that is not JSON, has a key twice, or is larger
/// or deeper than configurations are (16 MiB, 64 brackets). Follows Hugging Face where implementations
/// differ.
///
/// @code
///   #include <rotary/from_config.hpp>
///   const auto model = rotary::from_config(R"({"model_type": "llama", "hidden_size": 4096,
///     "num_attention_heads": 32, "num_hidden_layers": 32, "rope_theta": 500000.0})");
///   const rotary::RopeParameters& rope = model.layer(0);
///   const rotary::RotaryEmbedding<float> rotary_emb(rope.frequencies(), {.pairing = rope.pairing});
///   for (const rotary::ConfigurationNote& note : model.notes) std::printf("%s\n", note.text.c_str());
/// @endcode
inline ModelConfiguration from_config(std::string_view text) {
  return detail::read_model(detail::parse_json(text));
}

/// The same for a configuration that has been parsed. (A template, lest text should become a JSON string.)
template <std::same_as<nlohmann::json> Json>
ModelConfiguration from_config(const Json& json) {
  return detail::read_model(json);
}

}  // namespace rotary::inline ROTARY_ABI
