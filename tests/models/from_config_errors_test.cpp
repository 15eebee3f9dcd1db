// Configurations that are wrong: each ends in std::invalid_argument with a message that names the key.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "support/compiled_from_config.hpp"
#include "support/errors.hpp"
#include "support/model_configs.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

using Json = nlohmann::json;

Json model_with(const Json& keys) {
  Json config = {{"model_type", "llama"},  {"hidden_size", 256},    {"num_attention_heads", 4},
                 {"num_hidden_layers", 4}, {"rope_theta", 10000.0}, {"max_position_embeddings", 8192}};
  config.update(keys);
  return config;
}

/// Reading must fail, and say all of the parts in a few lines.
template <class Config>
void expect_refused(const Config& config, std::initializer_list<std::string_view> parts) {
  const auto read = [&] { from_config(config); };
  expect_error(read, parts);
  EXPECT_LT(error_of_call(read).size(), 600u) << error_of_call(read);
}

void expect_wrong(const Json& keys, std::initializer_list<std::string_view> parts) {
  SCOPED_TRACE(keys.dump().substr(0, 300));
  expect_refused(model_with(keys), parts);
}

/// Likewise for keys of a rope object.
void expect_wrong_rope(const Json& rope, std::initializer_list<std::string_view> parts) {
  for (const char* object : {"rope_scaling", "rope_parameters"}) expect_wrong({{object, rope}}, parts);
}

Json yarn(const Json& keys) {
  Json rope = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 2048}};
  rope.update(keys);
  return rope;
}

Json llama3(const Json& keys) {
  Json rope = {{"rope_type", "llama3"},
               {"factor", 8.0},
               {"low_freq_factor", 1.0},
               {"high_freq_factor", 4.0},
               {"original_max_position_embeddings", 2048}};
  rope.update(keys);
  return rope;
}

Json longrope(const Json& keys) {
  Json rope = {{"rope_type", "longrope"},
               {"short_factor", std::vector<double>(32, 1.0)},
               {"long_factor", std::vector<double>(32, 2.0)},
               {"original_max_position_embeddings", 2048}};
  rope.update(keys);
  return rope;
}

TEST(FromConfigErrors, MissingKeys) {
  expect_refused(std::string("{}"), {"model_type is missing", "assume.model_type"});
  expect_refused(std::string(R"({"model_type": "olmo"})"), {"head_dim", "hidden_size"});
  expect_refused(std::string(R"({"model_type": "olmo", "hidden_size": 64})"),
                 {"head_dim", "num_attention_heads"});
  expect_wrong_rope({{"rope_type", "linear"}}, {"factor is missing", "linear"});
  expect_wrong_rope({{"rope_type", "dynamic"}}, {"factor is missing"});
  expect_wrong_rope({{"rope_type", "ntk"}}, {"factor is missing"});
  expect_wrong_rope({{"rope_type", "yarn"}}, {"factor is missing"});
  expect_wrong_rope({{"rope_type", "xdrope"}}, {"alpha is missing"});
  expect_wrong_rope({{"rope_type", "longrope"}}, {"short_factor is missing"});
  expect_wrong_rope({{"rope_type", "su"}, {"short_factor", std::vector<double>(32, 1.0)}},
                    {"long_factor is missing"});
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
    expect_wrong_rope(llama3({{key, nullptr}}), {std::string(key) + " is missing", "llama3"});
  for (const char* rope_type : {"yarn", "llama3", "longrope", "dynamic"}) {
    Json rope = rope_type == std::string("yarn")       ? yarn(Json::object())
                : rope_type == std::string("llama3")   ? llama3(Json::object())
                : rope_type == std::string("longrope") ? longrope(Json::object())
                                                       : Json{{"rope_type", "dynamic"}, {"factor", 2}};
    rope.erase("original_max_position_embeddings");
    expect_wrong({{"rope_scaling", rope}, {"max_position_embeddings", nullptr}}, {"max_position_embeddings"});
  }
  expect_wrong({{"model_type", "qwen"}, {"rope_theta", nullptr}, {"use_dynamic_ntk", true}},
               {"seq_length is missing", "use_dynamic_ntk"});
}

TEST(FromConfigErrors, WrongTypes) {
  for (const Json& wrong : {Json("10000"), Json(true), Json::array({1}), Json{{"a", 1}}})
    expect_wrong({{"rope_theta", wrong}}, {"rope_theta", "number"});
  for (const char* key :
       {"hidden_size", "num_attention_heads", "num_hidden_layers", "head_dim", "partial_rotary_factor"})
    expect_wrong({{key, "many"}}, {key, "string", "number"});
  expect_wrong({{"model_type", "minimax_m2"}, {"rotary_dim", "many"}}, {"rotary_dim", "string", "number"});
  expect_wrong({{"model_type", "smollm3"}, {"no_rope_layer_interval", "many"}},
               {"no_rope_layer_interval", "string", "number"});
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    expect_wrong({{key, "yarn"}}, {key, "string", "object"});
    expect_wrong({{key, 4}}, {key, "number", "object"});
    expect_wrong({{key, Json::array({"yarn"})}}, {key, "array", "object"});
    expect_wrong({{key, {{"rope_type", 7}}}}, {std::string(key) + ".rope_type", "number", "text"});
  }
  expect_wrong({{"model_type", 5}}, {"model_type", "text"});
  expect_wrong({{"layer_types", "full_attention"}}, {"layer_types", "array"});
  expect_wrong({{"layer_types", {1, 2, 3, 4}}}, {"layer_types", "text"});
  expect_wrong({{"model_type", "smollm3"}, {"no_rope_layers", {"a", "b", "c", "d"}}}, {"no_rope_layers"});
  expect_wrong({{"model_type", "deepseek_v3"},
                {"qk_rope_head_dim", 8},
                {"qk_nope_head_dim", 8},
                {"rope_interleave", 1}},
               {"rope_interleave", "true or false"});
  expect_wrong({{"model_type", "exaone4"}, {"sliding_window_pattern", "GL"}},
               {"sliding_window_pattern", "LLLG"});
  expect_wrong_rope(yarn({{"truncate", "no"}}), {"truncate", "string"});
  expect_wrong_rope(yarn({{"factor", "4"}}), {"factor", "string"});
  expect_wrong_rope(longrope({{"long_factor", 2.0}}), {"long_factor", "array"});
  expect_wrong_rope(longrope({{"long_factor", std::vector<std::string>(32, "2")}}),
                    {"long_factor", "string"});
  expect_wrong({{"model_type", "qwen2_vl"}, {"rope_scaling", {{"mrope_section", "16,8,8"}}}},
               {"mrope_section", "array"});
  expect_refused(std::string("[]"), {"the configuration is array", "object"});
  expect_refused(std::string("7"), {"the configuration is number", "object"});
  expect_refused(std::string("-7"), {"the configuration is number", "object"});
  expect_refused(std::string(R"({"model_type": "llama", "hidden_size": -64, "num_attention_heads": 4})"),
                 {"hidden_size is -64", "whole number"});
  expect_refused(std::string("null"), {"the configuration is null", "object"});
}

TEST(FromConfigErrors, WrongValues) {
  for (const double theta : {0.0, -1.0}) {
    expect_wrong({{"rope_theta", theta}}, {"rope_theta", "positive"});
    expect_wrong({{"rope_theta", nullptr}, {"rope_parameters", {{"rope_theta", theta}}}},
                 {"rope_parameters.rope_theta", "positive"});
    expect_wrong({{"model_type", "chatglm"}, {"rope_ratio", theta}}, {"rope_ratio", "positive"});
  }
  for (const double size : {0.0, -64.0, 63.5, 1e9, 1e300}) {
    for (const char* key : {"head_dim", "num_hidden_layers"})
      expect_wrong({{key, size}}, {key, "whole number"});
    expect_wrong({{"model_type", "minimax_m2"}, {"rotary_dim", size}}, {"rotary_dim", "whole number"});
    if (size < 1e9) expect_wrong({{"hidden_size", size}}, {"hidden_size", "whole number"});
  }
  expect_wrong({{"head_dim", 63}}, {"head_dim", "even"});
  expect_wrong({{"head_dim", 1}}, {"head_dim", "even"});
  expect_wrong({{"hidden_size", 250}}, {"hidden_size", "multiple", "num_attention_heads"});
  expect_wrong({{"model_type", "minimax_m2"}, {"rotary_dim", 31}}, {"rotary_dim lets 31", "even"});
  expect_wrong({{"model_type", "minimax_m2"}, {"head_dim", 64}, {"rotary_dim", 66}},
               {"rotary_dim lets 66", "a head of 64"});
  for (const double share : {0.0, -0.5, 1.5, 1e300})
    expect_wrong({{"partial_rotary_factor", share}}, {"partial_rotary_factor", "at most 1"});
  expect_wrong({{"partial_rotary_factor", 0.01}}, {"partial_rotary_factor", "even"});
  expect_wrong({{"partial_rotary_factor", 0.3}}, {"partial_rotary_factor", "19", "even"});
  expect_wrong({{"model_type", "deepseek_v3"}, {"qk_nope_head_dim", 64}, {"qk_rope_head_dim", 63}},
               {"qk_rope_head_dim", "even"});
  expect_wrong_rope({{"rope_type", "cubic"}}, {"rope_type is cubic", "known are"});
  for (const double factor : {0.0, -2.0}) {
    for (const char* rope_type : {"linear", "dynamic", "ntk"})
      expect_wrong_rope({{"rope_type", rope_type}, {"factor", factor}}, {"factor", "positive"});
    expect_wrong_rope(yarn({{"factor", factor}}), {"factor", "positive"});
    expect_wrong_rope(llama3({{"factor", factor}}), {"factor", "positive"});
    expect_wrong_rope(yarn({{"attention_factor", factor}}), {"attention_factor", "positive"});
    expect_wrong_rope(longrope({{"attention_factor", factor}}), {"attention_factor", "positive"});
    expect_wrong_rope({{"rope_type", "dynamic"}, {"alpha", factor}}, {"alpha", "positive"});
  }
  expect_wrong_rope(yarn({{"beta_fast", -1}}), {"beta_fast", "positive"});
  expect_wrong_rope(yarn({{"original_max_position_embeddings", 6}}), {"original_max_position_embeddings"});
  expect_wrong_rope(longrope({{"short_factor", std::vector<double>(32, 0.0)}}), {"short_factor", "positive"});
  expect_wrong_rope({{"extra_method", "magic"}, {"factor", 2}, {"rope_type", "yarn"}},
                    {"extra_method", "magic", "known are"});
  expect_wrong({{"model_type", "smollm3"}, {"no_rope_layers", {1, 2, 0, 1}}}, {"no_rope_layers"});
  // A base of 1 or less makes no pair slower than another.
  expect_wrong({{"rope_theta", 1.0}, {"rope_scaling", yarn(Json::object())}}, {"theta"});
}

TEST(FromConfigErrors, WrongLengths) {
  for (const std::size_t length : {0u, 31u, 33u, 64u}) {
    const std::string found = std::to_string(length);
    expect_wrong_rope(longrope({{"short_factor", std::vector<double>(length, 1.0)}}),
                      {"short_factor has " + found, "32 pairs"});
    expect_wrong_rope(longrope({{"long_factor", std::vector<double>(length, 1.0)}}),
                      {"long_factor has " + found, "32 pairs"});
  }
  expect_wrong({{"layer_types", {"full_attention"}}}, {"layer_types has 1", "each of 4 layers"});
  expect_wrong({{"layer_types", std::vector<std::string>(5, "full_attention")}},
               {"layer_types has 5", "each of 4 layers"});
  expect_wrong({{"layer_types", Json::array()}}, {"layer_types has 0"});
  expect_wrong({{"model_type", "smollm3"}, {"no_rope_layers", {1, 0}}}, {"no_rope_layers has 2", "4 layers"});
  const auto sections = [](const Json& list, std::initializer_list<std::string_view> parts) {
    for (const char* object : {"rope_scaling", "rope_parameters"})
      expect_wrong({{"model_type", "qwen2_vl"}, {object, {{"mrope_section", list}}}}, parts);
  };
  sections({16, 8, 9}, {"mrope_section adds up to 33", "32"});
  sections(Json::array(), {"mrope_section adds up to 0"});
  sections({33, -1, 0}, {"mrope_section", "-1"});
  expect_wrong({{"model_type", "ernie4_5_vl_moe_text"}, {"rope_scaling", {{"mrope_section", {16, 16}}}}},
               {"mrope_section has 2"});
}

TEST(FromConfigErrors, Contradictions) {
  expect_wrong({{"rope_parameters", {{"rope_theta", 500000.0}}}},
               {"rope_theta is 10000", "rope_parameters.rope_theta is 500000"});
  expect_wrong({{"model_type", "gpt_neox"}, {"rotary_emb_base", 500000.0}},
               {"rope_theta", "rotary_emb_base", "agree"});
  expect_wrong({{"model_type", "gpt_neox"}, {"rotary_pct", 0.5}, {"partial_rotary_factor", 0.25}},
               {"rotary_pct", "partial_rotary_factor"});
  expect_wrong({{"model_type", "minimax_m2"}, {"rotary_dim", 16}, {"partial_rotary_factor", 0.5}},
               {"rotary_dim is 16", "partial_rotary_factor"});
  expect_wrong({{"model_type", "deepseek_v3"},
                {"qk_rope_head_dim", 64},
                {"qk_nope_head_dim", 64},
                {"partial_rotary_factor", 0.25}},
               {"partial_rotary_factor", "qk_rope_head_dim"});
  expect_wrong({{"n_layer", 5}}, {"num_hidden_layers is 4", "n_layer is 5", "agree"});
  expect_wrong({{"kv_channels", 32}, {"head_dim", 64}}, {"head_dim is 64", "kv_channels is 32"});
  expect_wrong({{"rope_scaling", yarn(Json::object())}, {"rope_parameters", yarn({{"factor", 8.0}})}},
               {"rope_scaling.factor", "rope_parameters.factor", "agree"});
  expect_wrong(
      {{"original_max_position_embeddings", 4096}, {"rope_scaling", yarn(Json::object())}},
      {"original_max_position_embeddings is 4096", "rope_scaling.original_max_position_embeddings is 2048"});
  expect_wrong_rope(yarn({{"type", "linear"}}), {"rope_type is yarn", "type is linear"});
  expect_wrong_rope(yarn({{"beta_fast", 1.0}, {"beta_slow", 32.0}}), {"beta_fast is 1", "beta_slow"});
  expect_wrong_rope(llama3({{"high_freq_factor", 0.5}}), {"high_freq_factor is 0.5", "low_freq_factor"});
  expect_refused(
      std::string(R"({"hidden_size": 64, "rope_theta": 1e4, "num_attention_heads": 1, "rope_theta": 1e6})"),
      {"rope_theta stands twice"});
  expect_refused(std::string(R"({"text_config": {"rope_scaling": {"factor": 2, "factor": 4}}})"),
                 {"text_config.rope_scaling.factor stands twice"});
}

// A configuration that somebody filled in by hand.
TEST(FromConfigErrors, WhatModelsDoNotHave) {
  ModelConfiguration model = from_config(model_with(Json::object()));
  EXPECT_EQ(model.layout().rotary_dim, 64);
  model.layers[1].rotates = false;
  expect_error([&] { static_cast<void>(model.layout()); }, {"llama", "different rotary embeddings, or none"});
  expect_error([&] { static_cast<void>(model.rope_frequencies()); }, {"layer(i)"});
  model.layers[2].type = 1;
  expect_error([&] { model.layer(2); }, {"layer 2 is of type 1", "1 types"});
  expect_error([&] { model.has_rope(2); }, {"layer 2 is of type 1", "1 types"});
  RopeParameters rope = model.layer(0);
  expect_error([&] { rope.axis_of_pair(); }, {"mrope_section", "one coordinate"});
  rope.mrope_section = {32};
  rope.mrope_order = static_cast<MropeOrder>(9);
  expect_error([&] { rope.axis_of_pair(); }, {"mrope_order is 9"});
}

// Refusals that belong to a model type or to one kind of list, a row each.
TEST(FromConfigErrors, KeysOfOneModelType) {
  struct Row {
    const char* keys;  // of the model, beside those of model_with; null takes one away
    std::vector<std::string_view> parts;
  };
  const Row rows[] = {
      // Scaling.
      {R"({"max_position_embeddings": null,
           "rope_scaling": {"rope_type": "yarn", "factor": null, "original_max_position_embeddings": 2048}})",
       {"rope_scaling.factor is null", "max_position_embeddings"}},
      {R"({"rope_scaling": {"extra_method": "original", "original_max_position_embeddings": 2048}})",
       {"rope_scaling.factor is missing or not positive", "extra_method"}},
      {R"({"rope_scaling": {"extra_method": "original", "original_max_position_embeddings": 2048, "factor": 0}})",
       {"rope_scaling.factor is missing or not positive", "extra_method"}},
      {R"({"max_position_embeddings": null, "rope_scaling": {"rope_type": "dynamic", "factor": 2}})",
       {"max_position_embeddings is missing", "rope_type dynamic"}},
      {R"({"model_type": "nomic_bert", "rotary_scaling_factor": 2})",
       {"max_trained_positions is missing", "rotary_scaling_factor"}},
      {R"({"model_type": "internlm", "rotary": {"base": 10000, "type": "linear"}})",
       {"rotary.type is linear", "origin and dynamic"}},
      {R"({"model_type": "internlm", "max_position_embeddings": null, "rotary": {"type": "dynamic"}})",
       {"max_position_embeddings is missing", "rotary.type"}},
      {R"({"model_type": "internlm", "rotary": {"type": "dynamic"},
           "rope_scaling": {"rope_type": "linear", "factor": 2}})",
       {"rope_scaling.rope_type is linear", "internlm", "only one of them"}},
      {R"({"model_type": "internlm", "rotary": {"base": 500000}})",
       {"rope_theta is 10000", "rotary.base is 500000", "agree"}},
      {R"({"model_type": "internlm", "rotary": {"trick": 1}})", {"rotary.trick is 1", "does not read"}},
      {R"({"rope_scaling": {"rope_type": "video_rope"}})", {"rope_type is video_rope", "sections"}},
      {R"({"model_type": "ministral3", "rope_theta": null,
           "rope_parameters": {"rope_theta": 1000000, "llama_4_scaling_beta": 0.1}})",
       {"rope_parameters.original_max_position_embeddings is missing", "llama_4_scaling_beta"}},
      // Sizes.
      {R"({"hidden_size": 4294967296, "num_attention_heads": 1})", {"hidden_size is 4294967296", "65536"}},
      {R"({"head_dim": 63, "rope_scaling": {"rope_type": "proportional"}})", {"head_dim is 63", "even"}},
      {R"({"model_type": "phi4mm"})", {"partial_rotary_factor is missing", "phi4mm", "not known"}},
      {R"({"model_type": "deepseek_v3", "qk_rope_head_dim": 64})", {"qk_nope_head_dim is missing"}},
      {R"({"model_type": "deepseek_v3", "qk_nope_head_dim": 64})", {"qk_rope_head_dim is missing"}},
      {R"({"model_type": "deepseek_v4", "head_dim": 64, "qk_rope_head_dim": 66, "compress_ratios": [0, 4, 128, 0]})",
       {"qk_rope_head_dim is 66", "even and at most head_dim, 64"}},
      {R"({"model_type": "deepseek_v4", "head_dim": 64, "qk_rope_head_dim": 0, "compress_ratios": [0, 4, 128, 0]})",
       {"qk_rope_head_dim is 0", "even and at most head_dim, 64"}},
      // Layers.
      {R"({"layer_types": ["full_attention", "chunked_attention", "cubic", "full_attention"]})",
       {"layer_types has an entry cubic", "llama"}},
      {R"({"model_type": "baichuan_m1", "sliding_window_layers": [1, 2, 1]})",
       {"sliding_window_layers has 1 twice"}},
      {R"({"model_type": "baichuan_m1", "sliding_window_layers": [4]})",
       {"sliding_window_layers has an entry 4", "whole number from 0 to 3"}},
      {R"({"model_type": "baichuan_m1", "sliding_window_layers": [-1]})",
       {"sliding_window_layers has an entry -1", "whole number from 0 to 3"}},
      {R"({"model_type": "kimi_linear", "linear_attn_config": {"full_attn_layers": [0, 4]}})",
       {"linear_attn_config.full_attn_layers has an entry 0", "whole number from 1 to 4"}},
      {R"({"model_type": "baichuan_m1", "num_hidden_layers": null, "sliding_window_layers": [1]})",
       {"num_hidden_layers is missing", "sliding_window_layers"}},
      {R"({"model_type": "recurrent_gemma", "block_types": []})",
       {"block_types has 0 entries", "1 at least"}},
      {R"({"model_type": "deepseek_v4", "head_dim": 64, "compress_ratios": [0, 4, 5, 0]})",
       {"compress_ratios has an entry 5", "0, 4 and 128"}},
      {R"({"model_type": "granite_swa", "layer_rope_theta": [10000, -1, 0, 10000]})",
       {"layer_rope_theta has an entry -1", "negative"}},
      {R"({"model_type": "granite_swa", "layer_rope_theta": [10000, 5, 0, 10000],
           "rope_scaling": {"full_attention": {}, "sliding_attention": {}}})",
       {"rope_scaling has bases for types of layers", "every layer"}},
      {R"({"model_type": "step3p5", "rope_theta": [10000, 0, 10000, 10000]})",
       {"rope_theta has an entry 0", "positive"}},
      {R"({"model_type": "step3p5", "num_hidden_layers": null, "rope_theta": [10000, 5]})",
       {"num_hidden_layers is missing", "rope_theta"}},
      {R"({"rope_scaling": {"full_attention": {"factor": 2, "trick": 1}}})",
       {"rope_scaling.full_attention.trick is 1", "does not read"}},
      {R"({"rope_scaling": {"full_attention": {}, "extra_method": "original"}})",
       {"rope_scaling.extra_method", "does not read"}},
      {R"({"model_type": "deepseek_v4", "head_dim": 64, "compress_ratios": [0, 4, 128, 0],
           "rope_parameters": {"main": {}, "compress": {}, "other": {}}})",
       {"rope_parameters.other", "does not read"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.keys);
    const std::string message = error_of_call([&] { from_config(model_with(Json::parse(row.keys))); });
    EXPECT_NE(message, kNoError);
    for (const std::string_view part : row.parts) EXPECT_NE(message.find(part), message.npos) << message;
  }
}

TEST(FromConfigErrors, LayersWithoutNumber) {
  const auto olmo = [](const Json& keys) {
    Json config = model_with(keys);
    config["model_type"] = "olmo";
    config["num_hidden_layers"] = nullptr;
    return config;
  };
  expect_error([&] { from_config(olmo(Json::object()), {.assume = {.rotating_layers = {{0}}}}); },
               {"num_hidden_layers is missing", "assume.rotating_layers"});
  expect_refused(olmo({{"layer_types", std::vector<std::string>(100001, "full_attention")}}),
                 {"layer_types has 100001 entries", "100000"});
  expect_refused(olmo({{"layer_types", Json::array()}}), {"layer_types has 0 entries"});
  // A model of more types of layers than anybody has.
  std::vector<double> thetas;
  for (int layer = 0; layer < 101; ++layer) thetas.push_back(10000 + layer);
  expect_refused(model_with({{"model_type", "step3p5"}, {"num_hidden_layers", 101}, {"rope_theta", thetas}}),
                 {"more than 100 types of layers"});
}

TEST(FromConfigErrors, ModelsThatDoNotRotate) {
  expect_wrong({{"alibi", true}}, {"alibi"});
  expect_wrong({{"use_rope", false}}, {"use_rope"});
  expect_wrong({{"position_embedding_type", "nope"}}, {"position_embedding_type"});
  expect_refused(std::string(R"({"model_type": "bert", "hidden_size": 768, "num_attention_heads": 12})"),
                 {"model_type is bert"});
  expect_refused(
      std::string(
          R"({"model_type": "llama", "hidden_size": 768, "num_attention_heads": 12, "position_embedding_type": "absolute"})"),
      {"position_embedding_type is absolute"});
}

TEST(FromConfigErrors, NotJson) {
  for (const char* text :
       {"", " ", "{", "}", "hello", "{\"rope_theta\"}", "{\"rope_theta\": }", "{\"a\": 1,}", "{\"a\": 1} x",
        "{'a': 1}", "// a comment\n{}", "\xff\xfe{}", "{\"a\": \"\x01\"}"})
    expect_refused(std::string(text), {"not JSON"});
  expect_refused(std::string("{}\0", 3), {"not JSON"});
  // What Python writes for numbers that JSON has not, and what does not fit a double.
  for (const char* value : {"NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "01", "1."}) {
    expect_refused(std::string("{\"rope_theta\": ") + value + "}", {"not JSON", "rope_theta"});
    expect_refused(std::string("{\"rope_scaling\": {\"factor\": ") + value + "}}",
                   {"not JSON", "rope_scaling.factor"});
  }
  // A quoted document of its own size is no message.
  expect_refused("{\"rope_theta\": \"" + std::string(1 << 20, 'x'), {"not JSON", "rope_theta"});
}

TEST(FromConfigErrors, NumbersThatAreNone) {
  for (const double number :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const char* key : {"rope_theta", "head_dim", "partial_rotary_factor", "hidden_size"})
      expect_refused(model_with({{key, number}}), {key, "finite"});
    expect_refused(model_with({{"rope_scaling", yarn({{"factor", number}})}}),
                   {"rope_scaling.factor", "finite"});
    expect_refused(
        model_with({{"rope_scaling", longrope({{"long_factor", std::vector<double>(32, number)}})}}),
        {"rope_scaling.long_factor", "finite"});
  }
  expect_wrong({{"model_type", "chatglm"}, {"rope_theta", 1e308}, {"rope_ratio", 10}}, {"theta"});
  expect_wrong_rope({{"rope_type", "linear"}, {"factor", 5e-324}}, {"frequency"});
}

TEST(FromConfigErrors, BracketsWithoutEnd) {
  const std::size_t hundred_megabytes = 100'000'000, ten = 10'000'000;
  expect_refused(std::string(hundred_megabytes, '['), {"bytes"});
  expect_refused(std::string(ten, '['), {"levels of brackets"});
  std::string objects = "{\"rope_scaling\": ";
  while (objects.size() < ten) objects += "{\"a\":";
  expect_refused(objects, {"levels of brackets", "rope_scaling"});
  // Closed ones are as deep.
  expect_refused(std::string(65, '[') + std::string(65, ']'), {"levels of brackets"});
  expect_refused(std::string(64, '[') + std::string(64, ']'), {"the configuration is array"});
}

// What is just as long as it may be is read, and nothing longer.
TEST(FromConfigErrors, LimitsOfDocuments) {
  std::string text = model_with(Json::object()).dump();
  text.resize(std::size_t(16) << 20, ' ');
  EXPECT_NO_THROW(from_config(text));
  expect_refused(text + ' ', {"has 16777217 bytes", "at most 16777216"});

  Json nested = model_with(Json::object());
  for (int levels = 1; levels <= 5; ++levels) {
    nested = {{"text_config", nested}};
    if (levels <= 4) {
      EXPECT_NO_THROW(from_config(nested));
    }
  }
  expect_refused(nested, {"text_config.text_config.text_config.text_config"});

  for (const std::size_t length : {199u, 200u, 201u}) {
    const std::string key(length, 'k');
    expect_refused("{\"" + key + "\": 1, \"" + key + "\": 2}",
                   {length <= 200 ? key + " stands twice" : std::string(200, 'k') + "... stands twice"});
  }

  Json types = Json::array();
  for (int n = 0; n < 100; ++n) types.push_back("layers_" + std::to_string(n));
  const auto with_types = [&] {
    return model_with({{"num_hidden_layers", types.size()}, {"layer_types", types}});
  };
  expect_refused(with_types(), {"layer_types has an entry layers_0"});
  types.push_back("layers_100");
  expect_refused(with_types(), {"layer_types has more than 100 different entries"});
}

/// A document of as many brackets, built without the parser.
Json nested_arrays(int levels) {
  Json deep = 1;
  for (int i = 0; i < levels; ++i) {
    Json outer = Json::array();
    outer.push_back(std::move(deep));
    deep = std::move(outer);
  }
  return deep;
}

// What a document is made of never makes a message long, or reading slow.
TEST(FromConfigErrors, MessagesAreOneLine) {
  for (
      const char* text :
      {R"({"model_type":"lla\nma"})", R"({"rope\nx":)", R"({"model_type":"llama","rope_\n":1,"hidden_size":64,
       "num_attention_heads":4})",
       R"({"model_type":"llama","hidden_size":64,"num_attention_heads":4,"rope_scaling":{"type":"a\tb"}})"}) {
    const std::string message = error_of_call([&] { from_config(text); });
    EXPECT_NE(message, kNoError) << text;
    for (const char letter : message) EXPECT_GE(letter, ' ') << message;
  }
  const ModelConfiguration model = from_config(
      R"({"model_type":"llama","hidden_size":64,"num_attention_heads":4,"num_hidden_layers":1,"rope_theta":1e4,"a\nb":1})",
      {.list_unread_keys = true});
  ASSERT_NE(model.note("a\nb"), nullptr);
  EXPECT_EQ(model.note("a\nb")->text.find('\n'), std::string::npos);
}

TEST(FromConfigErrors, LongNames) {
  const std::string name(1 << 20, 'x');
  expect_wrong({{"model_type", name}}, {"model_type"});
  expect_wrong({{"layer_types", {name, "a", "b", "c"}}}, {"layer_types"});
  for (const std::size_t length : {99u, 100u, 101u})
    expect_wrong({{"layer_types", {std::string(length, 'x'), "a", "b", "c"}}},
                 {length <= 100 ? std::string(length, 'x') + ", a type of layers" : "101 characters"});
  expect_refused(model_with({{"rope_scaling", {{"rope_type", name}}}}), {"rope_scaling.rope_type"});
  expect_refused("{\"" + name + "\": {\"rope_theta\": nan}}", {"not JSON"});
  expect_refused("{\"" + name + "\": 1, \"" + name + "\": 2}", {"stands twice"});
  Json types = Json::array(), rope = Json::object();
  for (int i = 0; i < 100000; ++i) types.push_back("type " + std::to_string(i));
  expect_refused(model_with({{"num_hidden_layers", 100000}, {"layer_types", types}}), {"layer_types", "100"});
  for (int i = 0; i < 100000; ++i) rope["rope key " + std::to_string(i)] = Json::object();
  expect_refused(model_with({{"rope_scaling", rope}}), {"rope_scaling", "100000"});
  for (int i = 0; i < 100000; ++i) rope["rope key " + std::to_string(i)] = i;
  expect_refused(model_with({{"rope_scaling", rope}}), {"rope_scaling.rope key 0 is 0", "does not read"});
  expect_refused(model_with({{"rope_scaling", {{"full_attention", Json::object()}, {name, rope}}}}),
                 {"rope_scaling", "not known to have"});
  expect_refused(model_with({{"rope" + name, 1}}), {"rope", "does not read"});
  // Notes say where their keys stand, a hundred thousand times, and what has been found there.
  rope["text"] = name;
  const ModelConfiguration model = from_config(model_with({{name + "_config", rope}}));
  EXPECT_GE(model.notes.size(), 100000u);
  for (const ConfigurationNote& note : model.notes) ASSERT_LT(note.text.size(), 600u) << note.text;
}

// An object whose name ends in _config is of another part of the model, unless its name speaks of positions.
TEST(FromConfigErrors, ObjectsOfOtherParts) {
  const ModelConfiguration model =
      from_config(model_with({{"sliding_head_config", {{"size", 3}}}}), {.list_unread_keys = true});
  EXPECT_NE(model.note("sliding_head_config"), nullptr);
  // Said before head_dim is found missing.
  for (const char* key : {"rope_config", "my_rotary_config", "linear_attn_config", "dual_chunk_config"})
    expect_refused(Json{{"model_type", "olmo"}, {key, {{"size", 3}}}}, {key, "does not read"});
}

// LongRoPE takes its magnitude from these keys, or computes it from the ratio of two lengths.
TEST(FromConfigErrors, LongRopeWithoutALength) {
  const auto config = [](const Json& keys) {
    return model_with({{"max_position_embeddings", nullptr}, {"rope_scaling", longrope(keys)}});
  };
  expect_refused(config(Json::object()), {"max_position_embeddings is missing", "rope_scaling.factor"});
  expect_refused(config({{"short_mscale", 1.1}}), {"max_position_embeddings is missing"});
  expect_refused(config({{"long_mscale", 1.1}}), {"max_position_embeddings is missing"});
  EXPECT_NO_THROW(from_config(config({{"short_mscale", 1.1}, {"long_mscale", 1.2}})));
  EXPECT_NO_THROW(from_config(config({{"attention_factor", 1.1}})));
  EXPECT_NO_THROW(from_config(config({{"factor", 4.0}})));
}

TEST(FromConfigErrors, DeepDocumentsAreNotWalked) {
  Json config = model_with({{"rope_scaling", yarn(Json::object())}});
  config["quantization_config"] = nested_arrays(1'000'000);
  config["rope_scaling"]["extra"] = nested_arrays(1'000'000);
  expect_refused(config, {"rope_scaling.extra is a list of 1"});
  config["rope_scaling"].erase("extra");
  config["rope_scaling"]["finetuned"] = nested_arrays(1'000'000);
  const ModelConfiguration noted = from_config(config);
  EXPECT_NE(noted.note("rope_scaling.finetuned"), nullptr);
  config["rope_theta"] = nested_arrays(1'000'000);
  expect_refused(config, {"rope_theta", "array"});
  Json parts = Json::object();
  for (int i = 0; i < 1'000'000; ++i) {
    Json outer = Json::object();
    outer["text_config"] = std::move(parts);
    parts = std::move(outer);
  }
  expect_refused(parts, {"text_config.text_config", "model_type"});
}

/// One thing about a published configuration changed.
void mutate(Json& config, Random& random) {
  Json* object = &config;
  while (true) {  // down to an object, at random
    std::vector<Json*> inner;
    for (auto& [key, value] : object->items())
      if (value.is_object()) inner.push_back(&value);
    if (inner.empty() || random.integer(0, 2) == 0) break;
    object = inner[random.integer<std::size_t>(0, inner.size() - 1)];
  }
  std::vector<std::string> keys;
  for (const auto& [key, value] : object->items()) keys.push_back(key);
  if (keys.empty()) return;
  const std::string key = keys[random.integer<std::size_t>(0, keys.size() - 1)];
  const std::vector<Json> strange = {0,
                                     1,
                                     2,
                                     -1,
                                     3.5,
                                     1e308,
                                     5e-324,
                                     -1e308,
                                     18446744073709551615u,
                                     std::numeric_limits<double>::quiet_NaN(),
                                     true,
                                     "x",
                                     "su",
                                     "yarn",
                                     "llama3",
                                     nullptr,
                                     Json::array(),
                                     Json::array({1, 2, 3}),
                                     Json::object(),
                                     Json{{"rope_theta", 7}}};
  const int what = random.integer(0, 3);
  if (what == 0)
    object->erase(key);
  else if (what == 1)
    (*object)[key] = (*object)[keys[random.integer<std::size_t>(0, keys.size() - 1)]];
  else
    (*object)[key] = strange[random.integer<std::size_t>(0, strange.size() - 1)];
}

TEST(FromConfigErrors, ChangedFilesAreReadOrRefused) {
  Random random(20250401);
  SCOPED_TRACE(random.replay());
  std::size_t read = 0, refused = 0;
  for (const auto& file : config_files()) {
    const Json published = Json::parse(text_of(file));
    for (int i = 0; i < 60; ++i) {
      Json config = published;
      for (int changes = random.integer(1, 3); changes > 0; --changes) mutate(config, random);
      try {
        const ModelConfiguration model = from_config(config);
        for (const auto& type : model.layer_types) {
          if (!type.rope) continue;
          const Frequencies frequencies = type.rope->frequencies(random.uniform(0, 1e6));
          ASSERT_EQ(2 * frequencies.pairs(), type.rope->rotary_dim) << config;
          if (!type.rope->mrope_section.empty()) type.rope->frequencies_on_axes();
        }
        for (Index layer = 0; layer < model.layer_count(); ++layer)
          if (model.has_rope(layer)) model.layer(layer);
        ++read;
      } catch (const std::invalid_argument& error) {
        EXPECT_GT(std::string(error.what()).size(), 20u);
        ++refused;
      }
    }
  }
  EXPECT_GT(read, 1000u);
  EXPECT_GT(refused, 500u);
}

TEST(FromConfigErrors, TruncatedFilesAreRefused) {
  for (const auto& file : config_files()) {
    const std::string text = text_of(file);
    const std::size_t end = text.find_last_of('}');
    for (std::size_t length = 0; length < end; length += 37)
      EXPECT_THROW(from_config(text.substr(0, length)), std::invalid_argument);
  }
}

}  // namespace
}  // namespace rotary::testing
