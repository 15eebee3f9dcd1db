// Reading configurations: all their forms, every key about positions, and the notes on the rest.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "support/compiled_from_config.hpp"
#include "support/errors.hpp"
#include "support/model_configs.hpp"

namespace rotary::testing {
namespace {

using Json = nlohmann::json;
using Kind = ConfigurationNote::Kind;

/// A model of heads of 64 features, with the given keys in place of its own.
Json model_with(const Json& keys = Json::object()) {
  Json config = {{"model_type", "llama"},  {"hidden_size", 256},    {"num_attention_heads", 4},
                 {"num_hidden_layers", 4}, {"rope_theta", 10000.0}, {"max_position_embeddings", 8192},
                 {"vocab_size", 32000}};
  config.update(keys);
  return config;
}

/// The embedding of its first layer.
RopeParameters rope_of(const Json& keys) { return from_config(model_with(keys)).layer(0); }

/// The notes of a configuration, as "kind key".
std::set<std::string> notes_of(const ModelConfiguration& model) {
  std::set<std::string> notes;
  for (const ConfigurationNote& note : model.notes) {
    const char* kinds[] = {"ignored ", "defaulted ", "contradictory ", "assumed ", "unread "};
    notes.insert(kinds[static_cast<int>(note.kind)] + note.key);
    EXPECT_EQ(note.text.rfind(note.key + " is ", 0), 0u) << note.text;
  }
  EXPECT_EQ(notes.size(), model.notes.size()) << "a note was made twice";
  return notes;
}

using Notes = std::set<std::string>;

/// What kind of note a key has, if any.
std::optional<Kind> kind_of(const ModelConfiguration& model, const char* key) {
  const ConfigurationNote* note = model.note(key);
  return note ? std::optional(note->kind) : std::nullopt;
}

const Json kYarn = {{"rope_type", "yarn"},
                    {"factor", 4.0},
                    {"original_max_position_embeddings", 2048},
                    {"beta_fast", 32.0},
                    {"beta_slow", 1.0}};

Json changed(Json object, const Json& keys) {
  object.update(keys);
  return object;
}

/// A configuration of the golden file, which has no model type, and parameters for one type of layers only.
Json as_llama(Json config) {
  config["model_type"] = "llama";
  if (config["rope_parameters"].contains("full_attention") &&
      !config["rope_parameters"].contains("sliding_attention"))
    config["rope_parameters"]["sliding_attention"] = nullptr;
  return config;
}

// ---------------------------------------------------------------- forms

TEST(FromConfig, OldAndNewFormAreTheSame) {
  const RopeParameters older =
      rope_of({{"rope_theta", 500000.0}, {"rope_scaling", kYarn}, {"partial_rotary_factor", 0.5}});
  Json form = changed(kYarn, {{"rope_theta", 500000.0}, {"partial_rotary_factor", 0.5}});
  Json config = model_with({{"rope_parameters", form}});
  config.erase("rope_theta");
  const ModelConfiguration model = from_config(config);
  const RopeParameters& newer = model.layer(0);
  EXPECT_TRUE(notes_of(model).empty());
  EXPECT_EQ(newer.theta, 500000);
  EXPECT_EQ(newer.rotary_dim, 32);
  EXPECT_EQ(newer.rope_type(), "yarn");
  EXPECT_EQ(newer.frequencies().values, older.frequencies().values);
  EXPECT_EQ(newer.frequencies().magnitude, older.frequencies().magnitude);
}

TEST(FromConfig, TextAndDocumentAreTheSame) {
  const Json config = model_with();
  const std::string text = config.dump();
  const std::string_view view = text;
  EXPECT_EQ(from_config(text).layer(3).theta, 10000);
  EXPECT_EQ(from_config(view).layer(3).theta, 10000);
  EXPECT_EQ(from_config(text.c_str()).layer(3).theta, 10000);
  EXPECT_EQ(from_config(config).layer(3).theta, 10000);
}

TEST(FromConfig, NullStandsForNothing) {
  const Json nothing = nullptr;
  const ModelConfiguration model = from_config(model_with({{"head_dim", nothing},
                                                           {"rope_scaling", nothing},
                                                           {"layer_types", nothing},
                                                           {"partial_rotary_factor", nothing}}));
  EXPECT_EQ(model.layer(0).head_dim, 64);
  EXPECT_EQ(model.layer(0).rope_type(), "default");
  EXPECT_TRUE(notes_of(model).empty());
  EXPECT_EQ(rope_of({{"rope_scaling", Json::object()},
                     {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}}}})
                .rope_type(),
            "linear");
}

TEST(FromConfig, ParametersPerLayerType) {
  const Json full = {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 1e6}},
             sliding = {{"rope_type", "default"}, {"rope_theta", 2e4}};
  Json config = model_with(
      {{"layer_types", {"sliding_attention", "full_attention", "sliding_attention", "full_attention"}},
       {"rope_parameters", {{"full_attention", full}, {"sliding_attention", sliding}}}});
  config.erase("rope_theta");
  const ModelConfiguration model = from_config(config);
  EXPECT_TRUE(notes_of(model).empty());
  for (Index i = 0; i < 4; ++i) {
    EXPECT_EQ(model.layer(i).theta, i % 2 == 0 ? 2e4 : 1e6);
    EXPECT_EQ(model.layer(i).rope_type(), i % 2 == 0 ? "default" : "linear");
  }
  EXPECT_EQ(&model.layer("full_attention"), &model.layer(1));

  // Without a list of layers, types can be asked for.
  config.erase("layer_types");
  const ModelConfiguration by_type = from_config(config);
  EXPECT_EQ(notes_of(by_type), (Notes{"defaulted layer_types"}));
  EXPECT_EQ(by_type.layer("sliding_attention").theta, 2e4);
  EXPECT_THROW(by_type.layer(0), std::invalid_argument);

  // A base of the model does not hold where the layers have their own.
  config["rope_theta"] = 777.0;
  EXPECT_EQ(from_config(config).layer("sliding_attention").theta, 2e4);
  EXPECT_EQ(kind_of(from_config(config), "sliding_attention.rope_theta"), Kind::contradictory);
}

TEST(FromConfig, AListOfBasesHolds) {
  const ModelConfiguration model = from_config(model_with({{"model_type", "step3p5"},
                                                           {"rope_theta", {1e4, 2e4, 1e4, 3e4}},
                                                           {"rope_scaling", {{"rope_theta", 5e4}}}}));
  EXPECT_EQ(model.layer(0).theta, 1e4);
  EXPECT_EQ(model.layer(3).theta, 3e4);
  EXPECT_EQ(kind_of(model, "rope_scaling.rope_theta"), Kind::contradictory);
}

TEST(FromConfig, TypesWithoutParameters) {
  Json config = model_with(
      {{"layer_types", {"full_attention", "sliding_attention", "full_attention", "sliding_attention"}},
       {"rope_parameters",
        {{"full_attention", {{"rope_theta", 5e5}}}, {"chunked_attention", {{"rope_theta", 1e4}}}}}});
  expect_error([&] { from_config(config); }, {"rope_parameters.sliding_attention is missing"});
  config["rope_parameters"]["sliding_attention"] = nullptr;  // says that they have none
  const ModelConfiguration model = from_config(config);
  EXPECT_EQ(model.layer(0).theta, 5e5);
  EXPECT_FALSE(model.has_rope(1));
  expect_error([&] { model.layer(1); }, {"rope_parameters.sliding_attention is null"});
  EXPECT_EQ(kind_of(model, "rope_parameters.chunked_attention"), Kind::contradictory);
}

TEST(FromConfig, PartsOfMultimodalModels) {
  for (const char* part : {"text_config", "llm_config", "language_config"}) {
    const ModelConfiguration model =
        from_config(Json{{"model_type", "something"},
                         {"rope_theta", 1.0},
                         {"sliding_window", 512},
                         {part, model_with({{"rope_theta", 123.0}})},
                         {"vision_config", {{"rope_theta", 100.0}, {"hidden_size", 7}}}});
    EXPECT_EQ(model.layer(0).theta, 123);
    EXPECT_EQ(model.model_type, "llama");
    EXPECT_EQ(notes_of(model), (Notes{"ignored rope_theta", "ignored vision_config.rope_theta"}));
  }
  const ModelConfiguration omni = from_config(
      Json{{"thinker_config",
            {{"text_config", model_with({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 0.5}}}})}}}});
  EXPECT_EQ(kind_of(omni, "thinker_config.text_config.rope_scaling.factor"), Kind::contradictory);
}

// ---------------------------------------------------------------- published files

TEST(FromConfig, NotesOnPublishedFiles) {
  const std::map<std::string, Notes> wanted = {
      {"llama-3.1-8b.json", {}},
      {"llama-2-7b-hf.json", {"defaulted rope_theta"}},
      {"gpt-j-6b.json", {"ignored rotary"}},
      {"qwen-7b.json", {"ignored use_logn_attn"}},
      {"qwen2.5-7b-instruct-1m.json", {"ignored dual_chunk_attention_config"}},
      {"qwen2.5-7b-instruct-yarn-x4.json",
       {"contradictory rope_scaling.factor", "defaulted rope_scaling.beta_fast",
        "defaulted rope_scaling.beta_slow"}},
      {"gemma-3-4b-it.json",
       {"defaulted text_config.layer_types", "defaulted text_config.head_dim",
        "defaulted text_config.rope_local_base_freq", "defaulted text_config.rope_theta"}},
      {"gemma-4-26b-a4b-it.json", {"ignored vision_config.rope_parameters"}},
      {"modernbert-base.json", {"contradictory position_embedding_type"}},
      {"phi-3-mini-4k-instruct.json", {"ignored original_max_position_embeddings"}},
      {"phi-4-mini-instruct.json", {}},
      {"deepseek-v3.json", {}},
      {"gpt-oss-20b.json", {}},
      {"ministral-3-8b-instruct-2512.json", {"ignored vision_config.rope_parameters"}},
      {"llama-4-scout-17b-16e-instruct.json",
       {"defaulted text_config.no_rope_layer_interval", "ignored vision_config.rope_theta"}},
      {"afm-4.5b.json", {"contradictory rope_scaling.factor", "ignored rope_scaling.mscale"}},
      {"persimmon-8b-base.json", {"defaulted partial_rotary_factor"}},
  };
  for (const auto& [file, notes] : wanted) {
    SCOPED_TRACE(file);
    EXPECT_EQ(notes_of(from_config(config_text(file))), notes);
  }
}

// The inputs of golden/expected_frequencies.json are configurations themselves.
TEST(FromConfig, ExpectedFrequencies) {
  std::ifstream stream(ROTARY_TEST_DATA_DIR "/expected_frequencies.json");
  const Json file = Json::parse(stream);
  const double tolerance = file.at("tolerances").at("cases").at("rtol");
  for (const Json& entry : file.at("cases")) {
    SCOPED_TRACE(entry.at("id").get<std::string>());
    const Json& input = entry.at("input");
    const RopeParameters rope = from_config(as_llama(input)).layer("full_attention");
    const Frequencies found = rope.frequencies(input.value("seq_len", 0.0));
    const std::vector<double> wanted = entry.at("expected").at("inv_freq");
    ASSERT_EQ(found.values.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(found.values[i].hi, wanted[i], tolerance * wanted[i]);
    if (entry.at("expected").contains("attention_factor")) {
      EXPECT_NEAR(found.magnitude, entry.at("expected").at("attention_factor").get<double>(), 1e-12);
    }
  }
  std::size_t relations = 0, lists = 0;
  for (const Json& entry : file.at("relations")) {
    for (const auto& [key, length] :
         {std::pair("inv_freq_exact", 0.0), std::pair("inv_freq_len32_exact", 32.0),
          std::pair("inv_freq_reset_exact", 8.0)}) {
      if (!entry.contains("expected") || !entry.at("expected").contains(key)) continue;
      SCOPED_TRACE(entry.at("id").get<std::string>() + ", " + key);
      const Frequencies found =
          from_config(as_llama(entry.at("input"))).layer("full_attention").frequencies(length);
      const std::vector<double> wanted = entry.at("expected").at(key);
      ASSERT_EQ(found.values.size(), wanted.size());
      for (std::size_t i = 0; i < wanted.size(); ++i)
        EXPECT_NEAR(found.values[i].hi, wanted[i], 1e-13 * wanted[i]);
      ++lists;
    }
    if (!entry.contains("expected") || !entry.at("expected").contains("attention_factor")) continue;
    SCOPED_TRACE(entry.at("id").get<std::string>());
    ++relations;
    Json input = as_llama(entry.at("input"));
    const bool nested = input.at("rope_parameters").contains("full_attention");
    Json& rope = nested ? input["rope_parameters"]["full_attention"] : input["rope_parameters"];
    if (rope.contains("long_factor")) {  // described in words
      const std::size_t pairs = input.at("head_dim").get<std::size_t>() / 2;
      rope["short_factor"] = std::vector<double>(pairs, 2.0);
      rope["long_factor"] = std::vector<double>(pairs, 3.0);
    }
    const double wanted = entry.at("expected").at("attention_factor");
    EXPECT_NEAR(from_config(input).layer("full_attention").frequencies().magnitude, wanted, 1e-12);
    if (!entry.at("expected").contains("attention_factor_when_0.5_given")) continue;
    rope["attention_factor"] = 0.5;
    EXPECT_EQ(from_config(input).layer("full_attention").frequencies().magnitude, 0.5);
  }
  EXPECT_EQ(relations, 18u);
  EXPECT_EQ(lists, 4u);
}

// What published tests say of configurations Hugging Face refuses or warns about.
TEST(FromConfig, RequiredAndOptionalKeys) {
  const Json all = {{"factor", 4.0},
                    {"low_freq_factor", 1.0},
                    {"high_freq_factor", 4.0},
                    {"original_max_position_embeddings", 2048},
                    {"short_factor", std::vector<double>(32, 1.0)},
                    {"long_factor", std::vector<double>(32, 2.0)}};
  const std::map<std::string, std::vector<std::string>> required = {
      {"default", {}},
      {"proportional", {}},
      {"linear", {"factor"}},
      {"dynamic", {"factor"}},
      {"yarn", {"factor"}},
      {"longrope", {"short_factor", "long_factor"}},
      {"llama3", {"factor", "low_freq_factor", "high_freq_factor"}}};
  for (const auto& [rope_type, keys] : required) {
    Json rope = {{"rope_type", rope_type}};
    for (const std::string& key : keys) rope[key] = all.at(key);
    EXPECT_EQ(rope_of({{"rope_parameters", rope}}).rope_type(), rope_type);
    for (const std::string& key : keys) {
      Json lacking = rope;
      lacking.erase(key);
      SCOPED_TRACE(rope_type);
      expect_error(
          [&] {
            rope_of({{"rope_parameters", lacking}});
          },
          {"rope_parameters." + key + " is missing"});
    }
  }
}

// ---------------------------------------------------------------- keys

TEST(FromConfig, OlderNames) {
  const auto rope = [](const char* model_type, const char* key, double value) {
    return rope_of({{"model_type", model_type}, {"rope_theta", nullptr}, {key, value}});
  };
  EXPECT_EQ(rope("gpt_neox", "rotary_pct", 0.25).rotary_dim, 16);
  EXPECT_EQ(rope("stablelm", "rope_pct", 0.25).rotary_dim, 16);
  EXPECT_EQ(rope("nemotron", "rope_percent", 0.5).rotary_dim, 32);
  EXPECT_EQ(
      rope_of({{"model_type", "nomic_bert"}, {"rotary_emb_base", 10000.0}, {"rotary_emb_fraction", 0.5}})
          .rotary_dim,
      32);
  EXPECT_EQ(rope("minimax_m2", "rotary_dim", 24).rotary_dim, 24);
  EXPECT_EQ(rope("gptj", "rotary_dim", 24).rotary_dim, 24);
  EXPECT_EQ(rope("chatglm", "rope_ratio", 50).theta, 500000);
  EXPECT_EQ(rope("gpt_neox", "rotary_emb_base", 1234).theta, 1234);
  EXPECT_EQ(rope("openelm", "rope_freq_constant", 1234).theta, 1234);
  EXPECT_EQ(rope_of({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}).rope_type(), "linear");
  EXPECT_EQ(from_config(Json{{"model_type", "llama"}, {"n_embd", 96}, {"n_head", 2}, {"n_layer", 3}})
                .layer(2)
                .head_dim,
            48);
  EXPECT_EQ(rope_of({{"kv_channels", 32}}).head_dim, 32);
  EXPECT_EQ(rope_of({{"attention_head_dim", 32}}).head_dim, 32);
}

TEST(FromConfig, PairingFromTheModelTypeOrAKey) {
  EXPECT_EQ(rope_of({{"model_type", "cohere"}}).pairing, Pairing::interleaved);
  EXPECT_EQ(rope_of({{"model_type", "llama"}}).pairing, Pairing::half);
  const Json latent = {{"qk_rope_head_dim", 64}, {"qk_nope_head_dim", 128}, {"model_type", "deepseek_v3"}};
  EXPECT_EQ(rope_of(changed(latent, {{"rope_interleave", true}})).pairing, Pairing::interleaved);
  EXPECT_EQ(rope_of(changed(latent, {{"rope_interleave", false}})).pairing, Pairing::half);
  EXPECT_EQ(rope_of({{"model_type", "nomic_bert"}, {"rotary_emb_interleaved", true}}).pairing,
            Pairing::interleaved);
}

TEST(FromConfig, LatentAttention) {
  const RopeParameters rope =
      rope_of({{"qk_rope_head_dim", 64}, {"qk_nope_head_dim", 128}, {"model_type", "deepseek_v3"}});
  EXPECT_EQ(rope.head_dim, 192);
  EXPECT_EQ(rope.rotary_dim, 64);
  EXPECT_EQ(rope.start_index, 128);
  EXPECT_EQ(rope.pairing, Pairing::interleaved);
  const ModelConfiguration odd = from_config(model_with({{"model_type", "deepseek_v3"},
                                                         {"qk_rope_head_dim", 64},
                                                         {"qk_nope_head_dim", 128},
                                                         {"head_dim", 100}}));
  EXPECT_EQ(kind_of(odd, "head_dim"), Kind::contradictory);
}

TEST(FromConfig, ScalesTheSoftmaxOfDeepseek) {
  const Json yarn = changed(kYarn, {{"mscale", 0.5}, {"mscale_all_dim", 0.5}});
  const double g = 0.1 * 0.5 * std::log(4.0) + 1;
  EXPECT_NEAR(rope_of({{"model_type", "deepseek_v3"},
                       {"qk_rope_head_dim", 64},
                       {"qk_nope_head_dim", 0},
                       {"rope_scaling", yarn}})
                  .softmax_scale,
              g * g, 1e-15);
  EXPECT_EQ(rope_of({{"model_type", "ministral3"}, {"rope_scaling", yarn}}).softmax_scale, 1);
}

TEST(FromConfig, LayersWithoutRope) {
  const auto smollm = [](const Json& keys) {
    return from_config(model_with(changed(keys, {{"model_type", "smollm3"}})));
  };
  const ModelConfiguration listed = smollm({{"no_rope_layers", {1, 0, 1, 0}}});
  const ModelConfiguration counted = smollm({{"no_rope_layer_interval", 2}});
  const ModelConfiguration by_type = from_config(model_with({{"model_type", "smollm3"}}));
  for (Index i = 0; i < 4; ++i) {
    EXPECT_EQ(listed.has_rope(i), i % 2 == 0);
    EXPECT_EQ(counted.has_rope(i), i % 2 == 0);
    EXPECT_EQ(by_type.has_rope(i), i != 3);
  }
  const ModelConfiguration none =
      from_config(model_with({{"model_type", "smollm3"}, {"no_rope_layer_interval", 0}}));
  EXPECT_TRUE(none.has_rope(3));
}

TEST(FromConfig, PatternsOfLayers) {
  const auto full_layers = [](const Json& keys) {
    std::string pattern;
    ModelConfiguration model;
    try {
      model = from_config(model_with(keys));
    } catch (const std::invalid_argument&) {
      return pattern;
    }
    for (const auto& layer : model.layers) pattern += model.layer_types[layer.type].name[0];
    return pattern;
  };
  const auto of_type = [&](const char* model_type, const char* key, const Json& value) {
    return full_layers({{"num_hidden_layers", 7}, {"model_type", model_type}, {key, value}});
  };
  EXPECT_EQ(of_type("gemma3_text", "sliding_window_pattern", 3), "ssfssfs");
  EXPECT_EQ(of_type("gemma3_text", "_sliding_window_pattern", 3), "ssfssfs");
  EXPECT_EQ(of_type("exaone4", "sliding_window_pattern", "LLG"), "ssfssfs");
  EXPECT_EQ(of_type("afmoe", "global_attn_every_n_layers", 3), "ssfssfs");
  EXPECT_EQ(of_type("qwen3_next", "full_attention_interval", 3), "llfllfl");
  EXPECT_EQ(of_type("bailing_moe_linear", "layer_group_size", 3), "");
  EXPECT_EQ(full_layers({{"num_hidden_layers", 7},
                         {"model_type", "bailing_moe_linear"},
                         {"partial_rotary_factor", 0.5},
                         {"layer_group_size", 3}}),
            "llfllff");
  EXPECT_EQ(of_type("lfm2", "full_attn_idxs", {2, 5}), "ccfccfc");
  EXPECT_EQ(of_type("lfm2", "layer_types",
                    {"conv", "conv", "full_attention", "conv", "conv", "full_attention", "conv"}),
            "ccfccfc");
  EXPECT_EQ(of_type("bamba", "attn_layer_indices", {2}), "mmfmmmm");
  EXPECT_EQ(of_type("minimax", "attn_type_list", {0, 0, 1, 0, 0, 1, 0}), "llfllfl");
  EXPECT_EQ(of_type("recurrent_gemma", "block_types", {"recurrent", "recurrent", "attention"}), "rrarrar");
  EXPECT_EQ(of_type("mllama_text_model", "cross_attention_layers", {2}), "ffcffff");
  EXPECT_EQ(full_layers({{"num_hidden_layers", 7}, {"model_type", "modernbert"}, {"rope_theta", nullptr}}),
            "fssfssf");
  EXPECT_EQ(full_layers({{"num_hidden_layers", 7}, {"model_type", "gemma2"}}), "sfsfsfs");
  EXPECT_EQ(full_layers({{"num_hidden_layers", 7}}), "fffffff");
}

TEST(FromConfig, BasesOfSlidingLayers) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 8.0}};
  for (const auto& [model_type, key] :
       {std::pair("gemma3_text", "rope_local_base_freq"), std::pair("gemma3n_text", "rope_local_base_freq"),
        std::pair("plamo3", "rope_local_theta")}) {
    const ModelConfiguration model = from_config(model_with(
        {{"model_type", model_type},
         {"rope_theta", 1e6},
         {key, 5000},
         {"rope_scaling", linear},
         {"layer_types", {"sliding_attention", "full_attention", "sliding_attention", "full_attention"}}}));
    EXPECT_EQ(model.layer("sliding_attention").theta, 5000) << key;
    EXPECT_EQ(model.layer("sliding_attention").rope_type(), "default") << key;
    EXPECT_EQ(model.layer("full_attention").theta, 1e6) << key;
    EXPECT_EQ(model.layer("full_attention").rope_type(), "linear") << key;
  }
  // Laguna: half of a head by YaRN, and all of it in sliding layers.
  const ModelConfiguration laguna = from_config(model_with(
      {{"model_type", "laguna"},
       {"head_dim", 64},
       {"rope_parameters",
        changed(kYarn, {{"rope_theta", 10000.0}, {"attention_factor", 1.0}, {"partial_rotary_factor", 0.5}})},
       {"swa_rope_parameters",
        {{"rope_type", "default"}, {"rope_theta", 2e4}, {"partial_rotary_factor", 1.0}}},
       {"layer_types", {"full_attention", "sliding_attention", "full_attention", "sliding_attention"}}}));
  EXPECT_EQ(laguna.layer("full_attention").rotary_dim, 32);
  EXPECT_EQ(laguna.layer("full_attention").frequencies().magnitude, 1);
  EXPECT_EQ(laguna.layer("sliding_attention").rotary_dim, 64);
  EXPECT_EQ(laguna.layer("sliding_attention").theta, 2e4);
}

TEST(FromConfig, HeadsOfFullAttention) {
  const Json config = {{"model_type", "gemma4_text"}, {"num_hidden_layers", 6}};
  const ModelConfiguration model = from_config(config);
  EXPECT_EQ(model.layer(0).head_dim, 256);
  EXPECT_EQ(model.layer(5).head_dim, 512);
  EXPECT_EQ(model.layer(5).rope_type(), "proportional");
  EXPECT_EQ(model.layer(5).frequencies().values,
            proportional_frequencies(512, 1000000, {.partial_rotary_factor = 0.25}).values);
  EXPECT_EQ(kind_of(model, "rope_parameters"), Kind::defaulted);
}

TEST(FromConfig, SectionsOfAxes) {
  const auto axes = [](const Json& rope, const Json& keys = Json::object()) {
    return rope_of(changed({{"model_type", "qwen2_vl"}, {"rope_scaling", rope}}, keys)).axis_of_pair();
  };
  const Json sections = {{"rope_type", "default"}, {"mrope_section", {12, 10, 10}}};
  EXPECT_EQ(axes(sections), mrope_axes_chunked({12, 10, 10}));
  EXPECT_EQ(axes({{"type", "mrope"}, {"mrope_section", {12, 10, 10}}}), mrope_axes_chunked({12, 10, 10}));
  EXPECT_EQ(axes(changed(sections, {{"mrope_interleaved", true}})), mrope_axes_interleaved({12, 10, 10}));
  EXPECT_EQ(axes(changed(sections, {{"interleaved", true}})), mrope_axes_interleaved({12, 10, 10}));
  EXPECT_EQ(axes(sections, {{"model_type", "qwen3_vl_text"}, {"head_dim", 64}}),
            mrope_axes_interleaved({12, 10, 10}));
  EXPECT_EQ(axes(changed(sections, {{"rope_type", "openpangu"}})), mrope_axes_openpangu({12, 10, 10}));
  EXPECT_EQ(axes({{"mrope_section", {10, 10, 12}}}, {{"model_type", "ernie4_5_vl_moe_text"}}),
            mrope_axes_ernie({10, 10, 12}));
  EXPECT_EQ(axes({{"type", "xdrope"}, {"alpha", 1000.0}, {"xdrope_section", {8, 8, 8, 8}}}),
            mrope_axes_chunked({8, 8, 8, 8}));
  EXPECT_EQ(axes(changed(sections, {{"mrope_interleaved_glm", true}})), mrope_axes_glm({12, 10, 10}));
  EXPECT_EQ(axes({{"rope_type", "video_rope"}, {"factor", nullptr}, {"mrope_section", {4, 6, 6}}},
                 {{"model_type", "bailing_moe_v2"}}),
            mrope_axes_video({4, 6, 6}));
  EXPECT_EQ(mrope_axes_video({3, 2, 2}), (std::vector<Index>{1, 2, 1, 2, 0, 0, 0}));
  EXPECT_EQ(mrope_axes_glm({2, 3, 3}), (std::vector<Index>{0, 1, 2, 0, 1, 2, 1, 2}));
  const RopeParameters yarn = rope_of(
      {{"model_type", "qwen2_vl"}, {"rope_scaling", changed(kYarn, {{"mrope_section", {12, 10, 10}}})}});
  EXPECT_EQ(yarn.rope_type(), "yarn");
  EXPECT_EQ(yarn.frequencies_on_axes().magnitude, yarn.frequencies().magnitude);
}

TEST(FromConfig, VariantsOfVllm) {
  const RopeParameters ntk =
      rope_of({{"rope_scaling", {{"rope_type", "ntk"}, {"factor", 4}, {"mixed_b", 0.6}}}});
  EXPECT_EQ(ntk.frequencies().values, vllm_ntk_frequencies(64, 10000, {.factor = 4, .mixed_b = 0.6}).values);
  const RopeParameters grok = rope_of({{"rope_scaling",
                                        {{"extra_method", "yarn_log"},
                                         {"scaling_factor", 16.0},
                                         {"original_max_position_embeddings", 2048},
                                         {"beta_fast", 8}}}});
  EXPECT_EQ(
      grok.frequencies().values,
      grok_frequencies(64, 10000, {.factor = 16, .original_max_position_embeddings = 2048, .beta_fast = 8})
          .values);
  for (const auto& [name, method] :
       {std::pair("original", GrokMethod::original), std::pair("yarn", GrokMethod::yarn_linear),
        std::pair("yarn_linear", GrokMethod::yarn_linear), std::pair("yarn_log", GrokMethod::yarn_log),
        std::pair("theta_scale", GrokMethod::theta_scale)}) {
    const RopeParameters rope =
        rope_of({{"rope_scaling",
                  {{"extra_method", name}, {"factor", 16.0}, {"original_max_position_embeddings", 2048}}}});
    EXPECT_EQ(std::get<GrokOptions>(rope.scaling).method, method) << name;
  }
  // attn_factor multiplies the magnitude, attention_factor replaces it.
  const double g = yarn_mscale(4);
  EXPECT_NEAR(rope_of({{"rope_scaling", changed(kYarn, {{"attn_factor", 2.0}})}}).frequencies().magnitude,
              2 * g, 1e-15);
  EXPECT_EQ(rope_of({{"rope_scaling", changed(kYarn, {{"attn_factor", 2.0}, {"apply_yarn_scaling", false}})}})
                .frequencies()
                .magnitude,
            2);
  EXPECT_EQ(rope_of({{"rope_scaling", changed(kYarn, {{"attn_factor", 2.0}, {"attention_factor", 0.5}})}})
                .frequencies()
                .magnitude,
            0.5);
}

TEST(FromConfig, DynamicNtk) {
  const RopeParameters dynamic = rope_of({{"rope_scaling", {{"type", "dynamic"}, {"factor", 4.0}}}});
  EXPECT_EQ(dynamic.frequencies(20000).values,
            dynamic_ntk_frequencies(64, 10000, {.factor = 4, .max_position_embeddings = 8192}, 20000).values);
  const RopeParameters alpha =
      rope_of({{"rope_scaling", {{"type", "dynamic"}, {"alpha", 1000.0}, {"factor", 1.0}}}});
  EXPECT_EQ(alpha.frequencies(20000).values, ntk_frequencies(64, 10000, {.alpha = 1000}).values);
  const RopeParameters qwen = rope_of({{"model_type", "qwen"},
                                       {"rope_theta", nullptr},
                                       {"rotary_emb_base", 10000},
                                       {"use_dynamic_ntk", true},
                                       {"seq_length", 2048}});
  EXPECT_EQ(qwen.frequencies(2048).values, language_frequencies(64).values);
  EXPECT_EQ(qwen.frequencies(2049).values, ntk_frequencies(64, 10000, {.alpha = 3}).values);
  EXPECT_EQ(qwen.frequencies(4097).values, ntk_frequencies(64, 10000, {.alpha = 7}).values);
}

TEST(FromConfig, YarnWithoutAFactor) {
  const Json none = nullptr;
  const ModelConfiguration model =
      from_config(model_with({{"rope_scaling", changed(kYarn, {{"factor", none}})}}));
  EXPECT_EQ(std::get<YarnOptions>(model.layer(0).scaling).factor, 4);
  EXPECT_EQ(kind_of(model, "factor"), Kind::defaulted);
  const ModelConfiguration betas =
      from_config(model_with({{"rope_scaling", changed(kYarn, {{"beta_fast", 0}, {"beta_slow", none}})}}));
  EXPECT_EQ(betas.layer(0).frequencies().values, rope_of({{"rope_scaling", kYarn}}).frequencies().values);
  EXPECT_EQ(notes_of(betas), (Notes{"defaulted rope_scaling.beta_fast", "defaulted rope_scaling.beta_slow"}));
}

// ---------------------------------------------------------------- notes

TEST(FromConfig, NotesTellOfEveryKeyInARopeObject) {
  const Json rope = {{"rope_type", "linear"}, {"factor", 2.0}, {"finetuned", true}, {"beta_fast", 32}};
  const ModelConfiguration model =
      from_config(model_with({{"rope_scaling", rope}, {"bos_token_id", 1}, {"use_logn_attn", true}}));
  EXPECT_EQ(notes_of(model), (Notes{"ignored rope_scaling.finetuned", "ignored rope_scaling.beta_fast",
                                    "ignored use_logn_attn"}));
  EXPECT_EQ(model.note("beta_fast")->key, "rope_scaling.beta_fast");
  EXPECT_EQ(model.note("eta_fast"), nullptr);
  EXPECT_EQ(model.note("vocab_size"), nullptr);
}

/// What the note on a key says.
std::string sentence(const Json& keys, const char* key) {
  const ModelConfiguration model = from_config(model_with(keys));
  const ConfigurationNote* note = model.note(key);
  return note ? note->text : "no note";
}

// Every note is a sentence: the key, its value, what happened, and why.
TEST(FromConfig, NotesOnKeysThatAreIgnored) {
  const auto of_rope = [](const Json& rope, const char* key) {
    return sentence({{"rope_scaling", rope}}, key);
  };
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 4096}};
  const Json none = nullptr;
  EXPECT_EQ(of_rope(changed(llama3, {{"beta_fast", 32}}), "beta_fast"),
            "rope_scaling.beta_fast is 32: it is ignored, since rope_type llama3 has no such parameter");
  EXPECT_EQ(of_rope({{"type", "linear"}, {"factor", 2}, {"finetuned", true}}, "finetuned"),
            "rope_scaling.finetuned is true: it is ignored, since it is not read by this version, nor by "
            "Hugging Face");
  EXPECT_EQ(of_rope({{"factor", 2.5}, {"original", none}}, "factor"),
            "rope_scaling.factor is 2.5: it is ignored, since rope_type default has no such parameter");
  EXPECT_EQ(of_rope({{"factor", 2.5}, {"original", none}}, "original"), "no note");
  EXPECT_EQ(
      of_rope({{"extra_method", "original"}, {"factor", 4}, {"truncate", true}}, "truncate"),
      "rope_scaling.truncate is true: it is ignored, since extra_method original has no such parameter");
  EXPECT_EQ(of_rope({{"full_attention", {{"rope_type", "default"}}}, {"factor", 2}}, "factor"),
            "rope_scaling.factor is 2: it is ignored, since every type of layers has parameters of its own");
  EXPECT_EQ(of_rope({{"type", "linear"}, {"factor", 2}, {"long_factor", {1, 2, 3}}}, "long_factor"),
            "rope_scaling.long_factor is a list of 3: it is ignored, since rope_type linear has no such "
            "parameter");
  EXPECT_EQ(
      of_rope(changed(kYarn, {{"mscale", 0.7}}), "mscale"),
      "rope_scaling.mscale is 0.7: it is ignored, since without mscale_all_dim it changes nothing, as in "
      "Hugging Face");
  EXPECT_EQ(of_rope(changed(kYarn, {{"rope_type", "deepseek_yarn"}, {"attention_factor", 2.0}}),
                    "attention_factor"),
            "rope_scaling.attention_factor is 2.0: it is ignored, since rope_type deepseek_yarn has no such "
            "parameter");
  EXPECT_EQ(sentence({{"use_logn_attn", true}}, "use_logn_attn"),
            "use_logn_attn is true: it is ignored, since it scales queries by their position, which is no "
            "rotation");
  EXPECT_EQ(sentence({{"text_config", model_with()}, {"rope_theta", 5}}, "rope_theta"),
            "rope_theta is 5: it is ignored, since the model that is read is text_config");
  EXPECT_EQ(sentence({{"vision_config", {{"rope_theta", 5}}}}, "vision_config.rope_theta"),
            "vision_config.rope_theta is 5: it is ignored, since only the language model is read");
  const Json of_types = {{"full_attention", {{"rope_theta", 5e5}, {"beta_slow", 1}}},
                         {"chunked_attention", {{"rope_theta", 5}}}};
  EXPECT_EQ(
      sentence({{"rope_parameters", of_types}}, "full_attention.beta_slow"),
      "rope_parameters.full_attention.beta_slow is 1: it is ignored, since rope_type default has no such "
      "parameter");
  EXPECT_EQ(
      sentence(
          {{"layer_types", std::vector<std::string>(4, "full_attention")}, {"rope_parameters", of_types}},
          "chunked_attention.rope_theta"),
      "rope_parameters.chunked_attention.rope_theta is 5: it is ignored, since no layer of this type has "
      "a rotary embedding");
}

TEST(FromConfig, NotesOnOtherKeysAreSentencesToo) {
  EXPECT_EQ(sentence({{"rope_theta", nullptr}}, "rope_theta"),
            "rope_theta is null: it is taken to be 10000, as in model_type llama");
  EXPECT_EQ(sentence({{"rope_scaling", changed(kYarn, {{"beta_fast", 0}})}}, "beta_fast"),
            "rope_scaling.beta_fast is 0: it is taken to be 32, as YaRN has it");
  EXPECT_EQ(sentence({{"rope_scaling", changed(kYarn, {{"factor", nullptr}})}}, "factor"),
            "rope_scaling.factor is null: it is taken to be max_position_embeddings / "
            "original_max_position_embeddings, 4");
  EXPECT_EQ(sentence({{"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}}}, "factor"),
            "rope_scaling.factor is 0.5: it is less than 1, so contexts become shorter; it holds");
}

TEST(FromConfig, NotesOnValuesThatDoNotFit) {
  const auto kind = [](const Json& keys, const char* key) {
    return kind_of(from_config(model_with(keys)), key);
  };
  EXPECT_EQ(kind({{"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}}}, "factor"), Kind::contradictory);
  EXPECT_EQ(kind({{"rope_scaling", changed(kYarn, {{"factor", 8.0}})}}, "factor"), Kind::contradictory);
  EXPECT_EQ(kind({{"rope_scaling", kYarn}}, "factor"), std::nullopt);
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  EXPECT_EQ(kind({{"rope_scaling", llama3}}, "original_max_position_embeddings"), Kind::contradictory);
  EXPECT_EQ(kind({{"rope_scaling", llama3}, {"max_position_embeddings", 131072}},
                 "original_max_position_embeddings"),
            std::nullopt);
  // Two rope objects: what both say must agree, the rest of the newer one is left out.
  EXPECT_EQ(kind({{"rope_scaling", kYarn}, {"rope_parameters", changed(kYarn, {{"truncate", false}})}},
                 "rope_parameters.truncate"),
            Kind::ignored);
  EXPECT_EQ(kind({{"rope_scaling", kYarn}, {"rope_parameters", kYarn}}, "rope_parameters"), std::nullopt);
}

// ---------------------------------------------------------------- where sources disagree: our choice in each

// Dynamic NTK depends on the length, as in Hugging Face; vLLM fixes it at the final one.
TEST(FromConfigDisagreements, DynamicByLength) {
  const RopeParameters rope = rope_of({{"rope_scaling", {{"type", "dynamic"}, {"factor", 4.0}}}});
  EXPECT_EQ(rope.frequencies(100).values, language_frequencies(64).values);
  EXPECT_NE(rope.frequencies(100).values, frozen_dynamic_ntk_frequencies(64, 10000, {.factor = 4}).values);
}

// The magnitude of YaRN, and a lone mscale: Hugging Face's rules, and vLLM's under its own name for them.
TEST(FromConfigDisagreements, MagnitudeOfYarn) {
  const auto magnitude = [](const Json& keys) {
    return rope_of({{"rope_scaling", changed(kYarn, keys)}}).frequencies().magnitude;
  };
  EXPECT_NEAR(magnitude(Json::object()), 0.1 * std::log(4) + 1, 1e-15);
  EXPECT_EQ(magnitude({{"attention_factor", 1.0}}), 1);
  EXPECT_NEAR(magnitude({{"mscale", 0.707}}), 0.1 * std::log(4) + 1, 1e-15);
  EXPECT_NEAR(magnitude({{"mscale", 0.707}, {"rope_type", "deepseek_yarn"}}), 0.1 * 0.707 * std::log(4) + 1,
              1e-15);
}

// `truncate` of a layer's own parameters counts; Hugging Face looks for it one object further out.
TEST(FromConfigDisagreements, NestedTruncate) {
  const Json nested = {{"full_attention", changed(kYarn, {{"truncate", false}, {"rope_theta", 1e4}})}};
  EXPECT_FALSE(std::get<YarnOptions>(rope_of({{"rope_parameters", nested}}).scaling).truncate);
}

// LongRoPE: an explicit factor counts, as in the newest Hugging Face, and the set goes by the length of the
// call; vLLM and MLX-LM take the ratio of the lengths, and one set for all.
TEST(FromConfigDisagreements, LongRope) {
  Json rope = {{"rope_type", "longrope"},
               {"short_factor", std::vector<double>(32, 1.0)},
               {"long_factor", std::vector<double>(32, 2.0)},
               {"original_max_position_embeddings", 2048},
               {"factor", 16.0}};
  const RopeParameters parameters = rope_of({{"rope_scaling", rope}});
  EXPECT_NEAR(parameters.frequencies().magnitude, std::sqrt(1 + std::log(16) / std::log(2048)), 1e-15);
  EXPECT_EQ(parameters.frequencies(2048).values[0], 1);
  EXPECT_EQ(parameters.frequencies(2049).values[0], 0.5);
  rope.erase("factor");
  EXPECT_NEAR(rope_of({{"rope_scaling", rope}}).frequencies().magnitude,
              std::sqrt(1 + std::log(4) / std::log(2048)), 1e-15);
}

// llama3 with equal factors, as in Llama 4: a threshold without NaN, as in vLLM.
TEST(FromConfigDisagreements, EqualFactorsOfLlama3) {
  const ModelConfiguration scout = from_config(config_text("llama-4-scout-17b-16e-instruct.json"));
  EXPECT_EQ(scout.note("high_freq_factor"), nullptr);
  for (const DoubleDouble& f : scout.layer(0).frequencies().values) EXPECT_TRUE(f > 0);
}

// Proportional: ⌊p · D / 2⌋ pairs and a factor, as in Hugging Face; vLLM has no factor.
TEST(FromConfigDisagreements, Proportional) {
  const RopeParameters rope =
      rope_of({{"rope_parameters",
                {{"rope_type", "proportional"}, {"partial_rotary_factor", 0.3}, {"factor", 2.0}}}});
  EXPECT_EQ(rope.rotary_dim, 64) << "pairs are 32 apart, unlike in a partial rotation";
  EXPECT_EQ(rope.frequencies().values,
            proportional_frequencies(64, 10000, {.partial_rotary_factor = 0.3, .factor = 2}).values);
  EXPECT_NE(rope.frequencies().values[8], 0);
  EXPECT_EQ(rope.frequencies().values[9], 0);
}

// DeepSeek's output stays interleaved, as in its own code and in vLLM; Hugging Face leaves it in halves.
TEST(FromConfigDisagreements, OutputOfDeepseek) {
  EXPECT_EQ(from_config(config_text("deepseek-v3.json")).layer(0).output_pairing, Pairing::interleaved);
}

// Interleaved sections: time takes what is left, as in Hugging Face, vLLM and SGLang; ggml has a fourth axis.
TEST(FromConfigDisagreements, TailOfInterleavedSections) {
  const std::vector<Index> axes =
      from_config(config_text("qwen3-vl-8b-instruct.json")).layer(0).axis_of_pair();
  for (std::size_t i = 60; i < 64; ++i) EXPECT_EQ(axes[i], 0) << i;
}

// partial_rotary_factor twice: an error unless they agree. Hugging Face takes one at load, the other later.
// Only layers with parameters of their own may differ from the model.
TEST(FromConfigDisagreements, PartialFactorTwice) {
  const Json half = {{"rope_type", "default"}, {"rope_theta", 1e4}, {"partial_rotary_factor", 0.5}};
  EXPECT_EQ(rope_of({{"rope_parameters", half}, {"partial_rotary_factor", 0.5}}).rotary_dim, 32);
  EXPECT_THROW(rope_of({{"rope_parameters", half}, {"partial_rotary_factor", 0.25}}), std::invalid_argument);
  const ModelConfiguration nested = from_config(
      model_with({{"rope_parameters", {{"full_attention", half}}}, {"partial_rotary_factor", 0.25}}));
  EXPECT_EQ(nested.layer(0).rotary_dim, 32);
  EXPECT_EQ(kind_of(nested, "full_attention.partial_rotary_factor"), Kind::contradictory);
}

// original_max_position_embeddings of the model: used for one rope object, and not where layers have their
// own, as in Hugging Face; two that differ are an error.
TEST(FromConfigDisagreements, OriginalLengthOfTheModel) {
  Json yarn = changed(kYarn, {{"rope_theta", 1e4}});
  yarn.erase("original_max_position_embeddings");
  const auto original = [](const ModelConfiguration& model) {
    return std::get<YarnOptions>(model.layer(0).scaling).original_max_position_embeddings;
  };
  const Json of_model = {{"original_max_position_embeddings", 1024}};
  EXPECT_EQ(original(from_config(model_with(changed(of_model, {{"rope_parameters", yarn}})))), 1024);
  const ModelConfiguration nested =
      from_config(model_with(changed(of_model, {{"rope_parameters", {{"full_attention", yarn}}}})));
  EXPECT_EQ(original(nested), 8192);
  EXPECT_EQ(kind_of(nested, "original_max_position_embeddings"), Kind::ignored);
  EXPECT_EQ(kind_of(nested, "full_attention.original_max_position_embeddings"), Kind::defaulted);
  EXPECT_THROW(rope_of(changed(of_model, {{"rope_parameters", kYarn}})), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
