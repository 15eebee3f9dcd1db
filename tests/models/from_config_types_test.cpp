// Published configurations of every model type, against numbers worked out here in double, from the formulas
// alone and without the library.
#include <gtest/gtest.h>
#include <rotary/models/from_config/model_types.hpp>

#include <cmath>
#include <numbers>
#include <set>

#include "support/compiled_from_config.hpp"
#include "support/errors.hpp"
#include "support/model_configs.hpp"

namespace rotary::testing {
namespace {

using Json = nlohmann::json;

Json published() { return Json::parse(config_text("model_types/published.json")); }

/// What tests/configs/model_types/published.json says of a kind of layers.
struct Wanted {
  double theta;
  int head, rotary, start;
  Pairing pairing;
  Json kind;

  explicit Wanted(const Json& json)
      : theta(json.at("theta")),
        head(json.at("head")),
        rotary(json.value("rotary", head)),
        start(json.value("start", 0)),
        pairing(json.value("pairs", "half") == "half" ? Pairing::half : Pairing::interleaved),
        kind(json) {}

  /// f_i for a text of a length.
  std::vector<double> frequencies(double length) const {
    const double d = rotary;
    std::vector<double> result;
    for (int i = 0; i < rotary / 2; ++i) result.push_back(std::pow(theta, -2 * i / d));
    const auto rebase = [&](double base) {
      for (int i = 0; i < rotary / 2; ++i) result[static_cast<std::size_t>(i)] = std::pow(base, -2 * i / d);
    };
    if (kind.contains("linear"))
      for (double& f : result) f /= kind["linear"].get<double>();
    if (kind.contains("ntk"))  // the first pair by factor^(2/d), the last by factor
      for (int i = 0; i < rotary / 2; ++i)
        result[static_cast<std::size_t>(i)] /= std::pow(kind["ntk"].get<double>(), 2 * (i + 1) / d);
    if (kind.contains("alpha")) rebase(theta * std::pow(kind["alpha"].get<double>(), d / (d - 2)));
    if (kind.contains("dynamic")) {
      const double factor = kind["dynamic"][0], whole = kind["dynamic"][1], used = std::max(length, whole);
      rebase(theta * std::pow(factor * used / whole - (factor - 1), d / (d - 2)));
    }
    if (kind.contains("llama3")) {
      const double factor = kind["llama3"][0], low = kind["llama3"][1], high = kind["llama3"][2],
                   original = kind["llama3"][3];
      for (double& f : result) {
        const double turns = original * f / (2 * std::numbers::pi);
        const double smooth = (turns - low) / (high - low);
        if (turns < low)
          f /= factor;
        else if (turns <= high)
          f = (1 - smooth) * f / factor + smooth * f;
      }
    }
    if (kind.contains("yarn")) {
      const double factor = kind["yarn"][0], original = kind["yarn"][1];
      const auto pair_of = [&](double turns) {
        return d * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
      };
      double low = pair_of(kind["yarn"][2]), high = pair_of(kind["yarn"][3]);
      if (kind["yarn"][4].get<bool>()) {
        low = std::floor(low);
        high = std::ceil(high);
      }
      low = std::max(low, 0.0);
      high = std::min(high, d - 1);
      for (std::size_t i = 0; i < result.size(); ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
        result[i] = result[i] / factor * ramp + result[i] * (1 - ramp);
      }
    }
    if (kind.contains("proportional")) {
      const auto rotating = static_cast<std::size_t>(kind["proportional"].get<double>() * d / 2);
      for (std::size_t i = rotating; i < result.size(); ++i) result[i] = 0;
    }
    if (kind.contains("divisors")) {
      const bool is_long = length > kind["long_above"].get<double>();
      const std::vector<double> divisors = kind[is_long ? "long_divisors" : "divisors"];
      for (std::size_t i = 0; i < result.size(); ++i) result[i] /= divisors[i];
    }
    return result;
  }

  void compare(const RopeParameters& rope) const {
    EXPECT_EQ(rope.head_dim, head);
    EXPECT_EQ(rope.rotary_dim, rotary);
    EXPECT_EQ(rope.start_index, start);
    EXPECT_EQ(rope.pairing, pairing);
    EXPECT_EQ(rope.output_pairing, pairing);
    EXPECT_NEAR(rope.softmax_scale, kind.value("softmax", 1.0), 1e-13);
    for (const double length : {0.0, 2048.0, 8192.0, 100000.0}) {
      const Frequencies found = rope.frequencies(length);
      const std::vector<double> right = frequencies(length);
      ASSERT_EQ(found.values.size(), right.size());
      for (std::size_t i = 0; i < right.size(); ++i)
        ASSERT_NEAR(found.values[i].hi, right[i], 2e-13 * right[i])
            << "pair " << i << " at length " << length;
      EXPECT_NEAR(found.magnitude, kind.value("magnitude", 1.0), 1e-13);
    }
    if (kind.contains("axes"))
      EXPECT_EQ(rope.axis_of_pair(), kind["axes"].get<std::vector<Index>>());
    else
      EXPECT_TRUE(rope.mrope_section.empty());
  }
};

TEST(FromConfigTypes, PublishedConfigurations) {
  std::set<std::string> names;
  for (const Json& entry : published()) {
    const std::string name = entry.at("name"), layers = entry.at("layers");
    SCOPED_TRACE(name);
    EXPECT_TRUE(names.insert(name).second) << "stands twice";
    ModelConfiguration model;
    try {
      model = from_config(entry.at("config"));
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
      continue;
    }
    ASSERT_EQ(model.layer_count(), static_cast<Index>(layers.size()));
    for (Index i = 0; i < model.layer_count(); ++i) {
      SCOPED_TRACE("layer " + std::to_string(i));
      const char kind = layers[static_cast<std::size_t>(i)];
      EXPECT_EQ(model.has_rope(i), kind != '-');
      if (kind != '-' && model.has_rope(i))
        Wanted(entry.at("kinds").at(std::string(1, kind))).compare(model.layer(i));
    }
    for (const ConfigurationNote& note : model.notes)
      EXPECT_NE(note.kind, ConfigurationNote::Kind::unread) << note.text;
  }
}

/// The type of the language model of a published configuration, as the table has it.
std::string type_of(const Json& config) { return from_config(config).model_type; }

TEST(FromConfigTypes, EveryTypeHasAPublishedConfiguration) {
  std::set<std::string> covered;
  for (const Json& entry : published()) covered.insert(type_of(entry.at("config")));
  for (const auto& file : config_files()) covered.insert(type_of(Json::parse(text_of(file))));
  for (const std::string_view name : known_model_types())
    EXPECT_TRUE(covered.contains(std::string(name))) << name;
}

// The keys without which a configuration is refused, since its type has no default for them.
TEST(FromConfigTypes, KeysWithoutADefault) {
  for (const Json& entry : published()) {
    Json required = Json::array();
    for (const auto& [key, value] : entry.at("config").items()) {
      Json config = entry.at("config");
      config.erase(key);
      if (error_of_call([&] { from_config(config); }) != kNoError) required.push_back(key);
    }
    EXPECT_EQ(required, entry.at("required")) << entry.at("name");
  }
}

TEST(FromConfigTypes, TheTableIsInOrder) {
  std::set<std::string_view> names;
  for (const detail::ModelType& type : detail::kModelTypes) {
    EXPECT_FALSE(type.name.empty());
    EXPECT_TRUE(names.insert(type.name).second) << type.name << " stands twice";
    EXPECT_EQ(type.pattern == detail::LayerPattern::uniform, type.period == 0) << type.name;
  }
  for (const detail::WrapperType& wrapper : detail::kWrapperTypes) {
    const detail::ModelType* inner = detail::find_model_type(wrapper.language_type);
    ASSERT_NE(inner, nullptr) << wrapper.name;
    EXPECT_TRUE(inner->refusal.empty()) << wrapper.name;
  }
  EXPECT_GE(known_model_types().size(), 250u);
}

TEST(FromConfigTypes, RefusedTypesSayWhy) {
  std::size_t refused = 0;
  for (const detail::ModelType& type : detail::kModelTypes) {
    if (type.refusal.empty()) continue;
    ++refused;
    expect_error(
        [&] {
          from_config(Json{{"model_type", std::string(type.name)},
                           {"hidden_size", 64},
                           {"num_attention_heads", 4},
                           {"num_hidden_layers", 1}});
        },
        {"model_type is " + std::string(type.name), type.refusal});
  }
  EXPECT_GE(refused, 90u);
}

}  // namespace
}  // namespace rotary::testing
