// ModelType: a row of the table in model_types.hpp, with what configurations of a `model_type` leave out.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "../../core/pairing.hpp"
#include "../rope_parameters.hpp"
#include "quoting.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The pattern of the kinds of layers, for files without a key that lists them. Layers count from 0.
enum class LayerPattern {
  uniform,        ///< all full_attention
  full_last,      ///< of every `period` layers the last is full_attention, the others are local
  full_first,     ///< of every `period` layers the first is full_attention, the others are local
  full_from_end,  ///< as full_last, counted so that the last layer of the model is full_attention
  full_middle,    ///< of every `period` layers the one numbered period / 2 is full_attention
};

/// The forms in which files say which layer is of which kind.
enum class ListForm {
  names,               ///< the type of every layer
  repeated_names,      ///< types that repeat until there is one for every layer
  full_indices,        ///< indices of the layers of attention; all others are `other`
  local_indices,       ///< indices of the local layers; all others are full_attention
  local_flags,         ///< 1 or true: local; 0 or false: full_attention
  full_flags,          ///< 1: full_attention; 0: `other`
  rotating_flags,      ///< 1 or true: with a rotary embedding; 0 or false: without
  cross_indices,       ///< indices of cross attention, which has no rotary embedding
  compression_ratios,  ///< DeepSeek-V4: 0 is sliding_attention, 4 and 128 are layers that compress
  thetas,              ///< Muse: the base of every layer; 0 is a layer that has no rotary embedding
  group_size           ///< Ling: of so many layers the last is full_attention, and so is an incomplete group
};

/// A key, "object.key" if it is in an object, and the form of its value.
struct LayerList {
  std::string_view key = {};
  ListForm form = ListForm::names;
};

/// Which kinds of layers have a rotary embedding.
enum class Rotates {
  attention,         ///< all layers of attention
  local_only,        ///< local layers, not those of full attention
  local_if_windowed  ///< local layers; all layers if sliding_window is null in the file
};

/// Which layers the rope object extends.
enum class Extends { all, full_only, compressed_only };

/// The meaning of position_embedding_type.
enum class PositionType {
  checked,  ///< models have a rotary embedding; a file that says otherwise throws
  ignored,  ///< files have the key by inheritance, and the model does not read it
  decides   ///< a model has a rotary embedding only if the file says so
};

/// The keys by which a file scales queries by their position.
enum class TemperatureKeys {
  none,
  llama4,     ///< attn_temperature_tuning, attn_scale, floor_scale: layers without a rotary embedding
  ministral3  ///< llama_4_scaling_beta in the rope object: every layer
};

/// The names of a value; the first is the usual one.
using KeyNames = std::array<std::string_view, 3>;

struct ModelType {
  std::string_view name = {};
  std::string_view refusal = {};  ///< why configurations of this type are refused; empty: they are read

  Pairing pairing = Pairing::half;
  std::string_view pairing_key = {};  ///< a flag that decides instead: true is interleaved

  // Sizes: the defaults of the configuration class, for files that leave them out. 0: files always have them.
  Index hidden_size = 0, heads = 0, layers = 0;
  std::string_view layers_key = {};  ///< num_hidden_layers under a name of its own
  Index only_hidden_size = 0;        ///< models of other sizes have no rotary embedding; 0: all have one

  // The window: which features of a head rotate.
  Index head_dim = 0;  ///< if the key is missing; 0: hidden_size / heads
  std::string_view full_head_dim_key = {};
  Index full_head_dim = 0;  ///< of layers of full attention; 0: as in the others
  std::string_view local_head_dim_key = {};
  double partial = 1;  ///< the share of the head that rotates; 0: not known, and an error
  KeyNames partial_keys = {"partial_rotary_factor"};
  Index rotary_dim = 0;  ///< the number of features that rotate, if the key is missing; 0: by the share
  std::string_view rotary_dim_key = {};
  bool latent = false;        ///< the head is [nope | rope]: qk_nope_head_dim, qk_rope_head_dim
  bool at_end = false;        ///< the last qk_rope_head_dim features of head_dim rotate
  bool rotates_back = false;  ///< the output of attention is rotated by minus the position

  // The base.
  double theta = 10000;  ///< if the key is missing; 0: not known, and an error
  KeyNames theta_keys = {"rope_theta"};
  std::string_view theta_ratio_key = {};  ///< multiplies the base
  double local_theta = 0;                 ///< of local layers, if the key is missing; 0: the base of all
  KeyNames local_theta_keys = {};
  std::string_view local_rope_key = {};  ///< a rope object of local layers
  std::string_view compressed_theta_key = {};
  double compressed_theta = 0;
  bool lists_per_layer = false;  ///< rope_theta, partial_rotary_factors and use_rope_layers may be lists

  // Scaling outside of a rope object.
  std::string_view linear_key = {};   ///< positions are divided by it
  std::string_view dynamic_key = {};  ///< the factor of dynamic NTK
  std::string_view dynamic_length_key = {};
  bool qwen_dynamic_ntk = false;               ///< use_dynamic_ntk and seq_length
  std::string_view rope_object_key = {};       ///< another object, which has the base,
  std::string_view object_theta_key = "base";  ///< under this key, and may have type and scaling_factor
  Extends extends = Extends::all;
  bool scales_softmax = false;    ///< by YaRN's mscale_all_dim
  double yarn_coefficient = 0.1;  ///< YaRN's magnitude is 1 + coefficient · ln(factor); 0: it is 1

  // Layers.
  Rotates rotates = Rotates::attention;
  LayerPattern pattern = LayerPattern::uniform;
  Index period = 0;
  KeyNames period_keys = {};
  std::array<LayerList, 2> lists = {};
  std::string_view local = "sliding_attention";
  bool last_is_full = false;    ///< the last layer is full_attention, whatever the pattern or the list says
  KeyNames layer_names = {};    ///< further types that layer_types may have
  std::string_view other = {};  ///< the type of layers that are not attention, if there are any
  bool other_rotates = false;
  bool interval_keys = false;  ///< no_rope_layers and no_rope_layer_interval
  Index no_rope_interval = 0;  ///< the last of every so many layers has no rotary embedding

  // Is there a rotary embedding at all?
  std::string_view switch_key = {};  ///< a flag that decides
  bool switch_default = true;
  bool switch_off_is_nope = false;  ///< true switches it off
  PositionType position_type = PositionType::checked;

  KeyNames inert_keys = {};  ///< keys in files of this type that have no effect

  // Keys that files must have, since this version does not know the defaults of the configuration class.
  KeyNames required = {};       ///< one of these keys
  bool lists_required = false;  ///< layer_types, or one of the lists

  std::optional<MropeOrder> mrope = {};  ///< positions have several coordinates if there are sections
  std::array<Index, 3> sections = {};    ///< the default if the file has no sections; zeros: no sections
  TemperatureKeys temperature = TemperatureKeys::none;
};

// Abbreviations for the rows of the table.

inline constexpr Pairing kInterleaved = Pairing::interleaved;
inline constexpr KeyNames kNoKeys = {};
inline constexpr KeyNames kRopeObject = {"rope_parameters", "rope_scaling"};
inline constexpr KeyNames kSlidingPattern = {"sliding_window_pattern", "_sliding_window_pattern"};

/// A copy of a row under another name.
// not covered: runs while compiling
constexpr ModelType named(std::string_view name, ModelType type) {
  type.name = name;
  return type;
}

/// The text of a note on a value that comes from the type.
inline std::string of_model_type(const ModelType& type, std::string_view value) {
  return "it is taken to be " + std::string(value) + ", as in model_type " + std::string(type.name);
}
inline std::string of_model_type(const ModelType& type, double value) {
  return of_model_type(type, number_text(value));
}

/// The kinds of layers, by the names that files give them.
enum class LayerKind {
  full,
  local,
  compressed,  ///< DeepSeek-V4
  cross,       ///< cross attention
  other,       ///< not attention
  unknown
};

struct LayerName {
  std::string_view name;
  LayerKind kind;
};

inline constexpr auto kLayerNames = std::to_array<LayerName>({
    {"attention", LayerKind::full},
    {"attention_layer", LayerKind::full},
    {"chunked_attention", LayerKind::local},
    {"compressed_sparse_attention", LayerKind::compressed},
    {"conv", LayerKind::other},
    {"cross_attention", LayerKind::cross},
    {"deepseek_sparse_attention", LayerKind::full},
    {"full_attention", LayerKind::full},
    {"heavily_compressed_attention", LayerKind::compressed},
    {"hybrid", LayerKind::full},
    {"hybrid_attention", LayerKind::full},
    {"hybrid_sliding", LayerKind::local},
    {"linear_attention", LayerKind::other},
    {"mamba", LayerKind::other},
    {"mamba2", LayerKind::other},
    {"minimax_m3_sparse", LayerKind::full},
    {"recurrent", LayerKind::other},
    {"sliding_attention", LayerKind::local},
});

inline LayerKind kind_of_layer(std::string_view name) {
  for (const LayerName& known : kLayerNames)
    if (known.name == name) return known.kind;
  return LayerKind::unknown;  // not covered: the names of every model type are listed
}

}  // namespace rotary::inline ROTARY_ABI::detail
