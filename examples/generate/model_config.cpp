// Reads config.json: sizes, and for each model type what its layers consist of. rotary::from_config reads what concerns
// positions.
#include "model_config.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <rotary/from_config.hpp>
#include <string_view>

#include "../train_transformer/files.hpp"

namespace generate {
namespace {

using Json = nlohmann::json;

/// What is wrong with a configuration, without the name of its file.
struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void fail(const std::string& sentence) { throw ConfigError(sentence); }

/// The values of a configuration by key. A key whose value is null counts as missing.
class Keys {
 public:
  explicit Keys(const Json& json) : json_(json) {
    if (!json.is_object()) fail("is no JSON object");
  }

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  const Json& at(const char* key) const {
    if (!has(key)) fail(std::string("has no ") + key);
    return json_[key];
  }

  std::string text(const char* key) const {
    if (!at(key).is_string()) wrong(key, "a text");
    return json_[key].get<std::string>();
  }
  bool flag(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_boolean()) wrong(key, "true or false");
    return json_[key].get<bool>();
  }
  /// A whole number from 1 to `largest`.
  Index size(const char* key, Index largest = 1 << 24) const {
    if (!at(key).is_number_unsigned() || json_[key].get<std::uint64_t>() < 1 ||
        json_[key].get<std::uint64_t>() > static_cast<std::uint64_t>(largest))
      wrong(key, "a whole number from 1 to " + std::to_string(largest));
    return json_[key].get<Index>();
  }
  Index size_or(const char* key, Index otherwise) const { return has(key) ? size(key) : otherwise; }
  double positive(const char* key) const {
    if (!at(key).is_number() || !(json_[key].get<double>() > 0)) wrong(key, "a number above 0");
    return json_[key].get<double>();
  }
  [[noreturn]] void wrong(const char* key, const std::string& wanted) const {
    fail(std::string(key) + " is " + json_[key].dump(-1, ' ', true, Json::error_handler_t::replace) +
         ", wanted " + wanted);
  }

 private:
  const Json& json_;
};

/// How a type of models says which projections have a bias.
enum class Bias {
  none,
  qkv,             ///< queries, keys and values always have one, nothing else
  attention_keys,  ///< attention_bias for all of attention, mlp_bias for the feed-forward network
  use_bias         ///< the key use_bias for all of them
};

/// How a type of models says which layers have a window.
enum class Window {
  none,
  all_layers,  ///< sliding_window, if it is not null, in all layers
  by_switch    ///< if use_sliding_window, in those of layer_types, or from layer max_window_layers on
};

struct Architecture {
  std::string_view model_type;
  Bias bias;
  Window window;
  bool tied_embeddings;  ///< if tie_word_embeddings is missing
  bool qk_norm;
};

/// The types whose layers are those of Llama but for what the columns say (transformers modeling_<type>.py). Their pairing,
/// and which of their layers rotate, is what from_config knows.
constexpr auto kArchitectures = std::to_array<Architecture>({
    {"ernie4_5", Bias::use_bias, Window::none, true, false},
    {"llama", Bias::attention_keys, Window::none, false, false},
    {"mistral", Bias::none, Window::all_layers, false, false},
    {"qwen2", Bias::qkv, Window::by_switch, false, false},
    {"qwen3", Bias::attention_keys, Window::by_switch, false, true},
    {"smollm3", Bias::attention_keys, Window::none, true, false},
});

/// The type that train_transformer writes.
constexpr std::string_view kTrained = "train_transformer";

const Architecture& architecture_of(const std::string& model_type) {
  std::string known(kTrained);
  for (const Architecture& candidate : kArchitectures) {
    if (candidate.model_type == model_type) return candidate;
    known += ", " + std::string(candidate.model_type);
  }
  fail("model_type is \"" + model_type + "\", of which the layers are not known here; wanted one of " +
       known);
}

std::vector<int> read_end_tokens(const Keys& keys, Index vocabulary) {
  std::vector<int> tokens;
  if (!keys.has("eos_token_id")) return tokens;
  const Json& value = keys.at("eos_token_id");
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer()) keys.wrong("eos_token_id", "a token or a list of tokens");
    if (id < 0 || id >= vocabulary) continue;  // some files have -1 for none
    tokens.push_back(id.get<int>());
  }
  return tokens;
}

void read_biases(const Keys& keys, Bias bias, ModelConfig& config) {
  if (bias == Bias::qkv) config.qkv_bias = true;
  if (bias == Bias::attention_keys) {
    config.qkv_bias = config.output_bias = keys.flag("attention_bias", false);
    config.feed_forward_bias = keys.flag("mlp_bias", false);
  }
  if (bias == Bias::use_bias)
    config.qkv_bias = config.output_bias = config.feed_forward_bias = keys.flag("use_bias", false);
}

void read_windows(const Keys& keys, Window window, ModelConfig& config) {
  const bool wanted = keys.flag("use_sliding_window", false);
  if (window == Window::none && wanted) keys.wrong("use_sliding_window", "false for this model_type");
  if (window == Window::none || !keys.has("sliding_window")) return;
  if (window == Window::by_switch && !wanted) return;
  const Index size = keys.size("sliding_window", std::numeric_limits<int>::max());
  const auto layers = static_cast<Index>(config.layers.size());
  const Json types = keys.has("layer_types") ? keys.at("layer_types") : Json();
  if (!types.is_null() && (!types.is_array() || types.size() != config.layers.size()))
    keys.wrong("layer_types", "a list of num_hidden_layers " + std::to_string(layers) + " types");
  const Index first =
      window == Window::all_layers || !types.is_null() ? 0 : keys.size_or("max_window_layers", 28);
  for (Index layer = first; layer < layers; ++layer)
    if (types.is_null() || types[static_cast<std::size_t>(layer)] == "sliding_attention")
      config.layers[static_cast<std::size_t>(layer)].window = size;
}

/// Reads what rotates, and the features of a head, which some types have a default of their own for.
void read_rope(const std::string& text, const rotary::FromConfigOptions& options, ModelConfig& config) {
  const rotary::ModelConfiguration rope = rotary::from_config(text, options);
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const auto layer = static_cast<Index>(i);
    if (rope.query_temperature(layer))
      fail("scales queries by their positions, which this program does not do");
    if (!rope.has_rope(layer)) continue;
    config.layers[i].rope = rope.layer(layer);
    config.head_dim = config.layers[i].rope->head_dim;
  }
}

/// The sizes that all types have.
void read_sizes(const Keys& keys, ModelConfig& config) {
  config.vocabulary = keys.size("vocab_size");
  config.hidden = keys.size("hidden_size");
  config.feed_forward = keys.size("intermediate_size");
  config.heads = keys.size("num_attention_heads");
  config.kv_heads = keys.size_or("num_key_value_heads", config.heads);
  if (config.heads % config.kv_heads != 0)
    fail("num_key_value_heads is " + std::to_string(config.kv_heads) +
         ", which does not divide num_attention_heads " + std::to_string(config.heads));
  config.head_dim = keys.size_or("head_dim", config.hidden / config.heads);
  config.layers.resize(static_cast<std::size_t>(keys.size("num_hidden_layers", 10'000)));
}

/// A model of train_transformer: labml's, with LayerNorm, ReLU and biases. Its keys of positions are those of GPT-NeoX, whose
/// rotation is also in halves of a part of the head.
ModelConfig read_trained(const Keys& keys, const std::string& text) {
  ModelConfig config;
  read_sizes(keys, config);
  config.norm = NormKind::layer;
  config.norm_epsilon = keys.positive("layer_norm_eps");
  config.activation = Activation::relu;
  config.gated = false;
  config.qkv_bias = config.output_bias = config.feed_forward_bias = config.head_bias = true;
  const std::string positions = keys.text("positions");
  if (positions == "none") return config;
  if (positions != "rotary") keys.wrong("positions", "\"rotary\" or \"none\"");
  read_rope(text, {.assume = {.model_type = "gpt_neox", .ignored_keys = {"positions"}}}, config);
  return config;
}

ModelConfig read_text(const std::string& text) {
  const Json json = Json::parse(text);
  const Keys keys(json);
  const std::string model_type = keys.text("model_type");
  if (keys.has("quantization_config")) fail("has a quantization_config; quantised weights are not read");
  ModelConfig config;
  if (model_type == kTrained) {
    config = read_trained(keys, text);
  } else {
    const Architecture& architecture = architecture_of(model_type);
    read_sizes(keys, config);
    config.norm_epsilon = keys.positive("rms_norm_eps");
    config.qk_norm = architecture.qk_norm;
    config.tied_embeddings = keys.flag("tie_word_embeddings", architecture.tied_embeddings);
    if (keys.text("hidden_act") != "silu") keys.wrong("hidden_act", "\"silu\"");
    read_biases(keys, architecture.bias, config);
    read_windows(keys, architecture.window, config);
    read_rope(text, {}, config);
  }
  config.model_type = model_type;
  config.end_tokens = read_end_tokens(keys, config.vocabulary);
  return config;
}

}  // namespace

ModelConfig read_model_config(const std::filesystem::path& path) {
  const std::string text = train::read_file(path);
  try {
    return read_text(text);
  } catch (const std::exception& error) {
    throw train::FileError(path, error.what());
  }
}

}  // namespace generate
