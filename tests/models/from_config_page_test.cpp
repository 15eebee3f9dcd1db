// docs/model-types.md agrees with the table of model types. With ROTARY_WRITE_DOCS in the environment the
// page is rewritten.
#include <gtest/gtest.h>
#include <rotary/models/from_config/model_types.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace rotary::testing {
namespace {

using detail::ModelType;

std::string number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

/// The names that are there, the usual one first.
std::string names(const detail::KeyNames& keys) {
  std::string text;
  for (const std::string_view key : keys)
    if (!key.empty()) text += (text.empty() ? "" : ", ") + code(key);
  return text;
}

void add(std::string& text, const std::string& part) { text += (text.empty() ? "" : "; ") + part; }

std::string pairs_of(const ModelType& type) {
  const std::string pairs = type.pairing == Pairing::half ? "half" : "interleaved";
  return type.pairing_key.empty() ? pairs : pairs + ", or by " + code(type.pairing_key);
}

std::string window_of(const ModelType& type) {
  if (type.at_end) return "the last " + code("qk_rope_head_dim") + " features";
  if (type.latent) return "the last " + code("qk_rope_head_dim") + " of [nope, rope]";
  std::string text;
  if (!type.rotary_dim_key.empty())
    add(text, code(type.rotary_dim_key) +
                  (type.rotary_dim > 0 ? ", else " + number(static_cast<double>(type.rotary_dim)) : ""));
  const std::string share = names(type.partial_keys);
  if (type.partial == 0)
    add(text, "the share in " + share);
  else if (type.partial != 1)
    add(text, share.empty() ? number(type.partial) + " of the head"
                            : share + ", else " + number(type.partial) + " of the head");
  return text.empty() ? "the head" : text;
}

std::string base_of(const ModelType& type) {
  std::string text = names(type.theta_keys);
  if (text.empty())
    text = number(type.theta);
  else if (type.theta > 0)
    text += ", else " + number(type.theta);
  if (!type.theta_ratio_key.empty()) text += ", times " + code(type.theta_ratio_key);
  if (!type.rope_object_key.empty())
    add(text, code(std::string(type.rope_object_key) + "." + std::string(type.object_theta_key)));
  if (!type.compressed_theta_key.empty())
    add(text, "layers that compress: " + code(type.compressed_theta_key));
  const std::string local = names(type.local_theta_keys);
  if (!local.empty() || type.local_theta > 0)
    add(text, "local layers: " + local +
                  (type.local_theta > 0 ? (local.empty() ? "" : ", else ") + number(type.local_theta) : ""));
  return text;
}

std::string layers_of(const ModelType& type) {
  std::string text;
  if (type.rotates != detail::Rotates::attention) add(text, "local layers rotate");
  for (const detail::LayerList& list : type.lists)
    if (!list.key.empty()) add(text, code(list.key));
  if (const std::string periods = names(type.period_keys); !periods.empty()) add(text, periods);
  if (type.period > 0) add(text, "else one of " + std::to_string(type.period) + " is full_attention");
  if (type.interval_keys) add(text, code("no_rope_layers") + ", " + code("no_rope_layer_interval"));
  if (type.extends == detail::Extends::full_only) add(text, "scaling of full_attention only");
  if (type.extends == detail::Extends::compressed_only) add(text, "scaling of layers that compress only");
  if (!type.switch_key.empty())
    add(text, "none unless " + code(type.switch_key) + (type.switch_off_is_nope ? " is false" : ""));
  if (type.position_type == detail::PositionType::decides)
    add(text, "none unless " + code("position_embedding_type") + " says so");
  if (type.only_hidden_size > 0)
    add(text, "none unless hidden_size is " + std::to_string(type.only_hidden_size));
  if (type.mrope) {
    const auto [t, h, w] = type.sections;
    add(text, "sections" + (t > 0 ? ", else [" + std::to_string(t) + ", " + std::to_string(h) + ", " +
                                        std::to_string(w) + "]"
                                  : ""));
  }
  if (type.temperature != detail::TemperatureKeys::none) add(text, "query temperature");
  return text.empty() ? "all" : text;
}

/// The sizes that the model's class has by default.
std::string sizes_of(const ModelType& type) {
  std::string text;
  for (const auto& [key, size] :
       {std::pair("hidden_size", type.hidden_size), std::pair("num_attention_heads", type.heads),
        std::pair("num_hidden_layers", type.layers), std::pair("head_dim", type.head_dim),
        std::pair("head_dim of full_attention", type.full_head_dim)})
    if (size > 0) text += (text.empty() ? "" : ", ") + std::string(key) + " " + std::to_string(size);
  return text;
}

/// By name, letters of either case alike.
std::vector<ModelType> sorted_types() {
  std::vector<ModelType> types(detail::kModelTypes.begin(), detail::kModelTypes.end());
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  std::sort(types.begin(), types.end(), [&](const ModelType& a, const ModelType& b) {
    return std::lexicographical_compare(a.name.begin(), a.name.end(), b.name.begin(), b.name.end(),
                                        [&](char x, char y) { return lower(x) < lower(y); });
  });
  return types;
}

std::string page() {
  std::ostringstream text;
  const std::vector<ModelType> types = sorted_types();
  std::size_t read = 0, refused = 0;
  for (const ModelType& type : types) ++(type.refusal.empty() ? read : refused);
  text
      << "# Model types that `from_config` knows\n\n"
      << "Made from the table in `include/rotary/models/from_config/model_types` by `from_config_page_test`; "
         "do not edit.\n\n"
      << read << " model types are read, " << refused << " are refused by name, and "
      << detail::kWrapperTypes.size()
      << " types of models of several parts name the type of their language model. Any other type, and any "
         "key "
         "that could change a rotary embedding and is not read for the type, is an error.\n\n"
      << "Every type reads `rope_scaling` and `rope_parameters`, old and new form. A head is `head_dim`, or "
         "`hidden_size` / `num_attention_heads`. The last column has the sizes of a file that leaves them "
         "out.\n\n"
      << "| model_type | pairs | rotates | base | layers | sizes |\n|---|---|---|---|---|---|\n";
  for (const ModelType& type : types)
    if (type.refusal.empty())
      text << "| " << code(type.name) << " | " << pairs_of(type) << " | " << window_of(type) << " | "
           << base_of(type) << " | " << layers_of(type) << " | " << sizes_of(type) << " |\n";
  text << "\n## Refused\n\n| model_type | reason |\n|---|---|\n";
  for (const ModelType& type : types)
    if (!type.refusal.empty()) text << "| " << code(type.name) << " | " << type.refusal << " |\n";
  text << "\n## Models of several parts\n\nThe language model is the one in `text_config`, `llm_config`, "
          "`language_config` or `thinker_config`. Where it has no `model_type` of its own, it is of this "
          "type:\n\n"
          "| model_type | language model |\n|---|---|\n";
  for (const detail::WrapperType& type : detail::kWrapperTypes)
    text << "| " << code(type.name) << " | " << code(type.language_type) << (type.rebuilds ? ", always" : "")
         << " |\n";
  return text.str();
}

TEST(FromConfigPage, IsUpToDate) {
  const std::string path = ROTARY_SOURCE_DIR "/docs/model-types.md";
  if (std::getenv("ROTARY_WRITE_DOCS") != nullptr) std::ofstream(path) << page();
  std::ifstream stream(path);
  std::stringstream found;
  found << stream.rdbuf();
  EXPECT_EQ(found.str(), page()) << "run this test with ROTARY_WRITE_DOCS=1";
}

}  // namespace
}  // namespace rotary::testing
