// Configurations that versions before this one read wrongly, one of each kind, and their siblings: layers,
// bases, scaling, sizes and pairs under keys that had not been read.
#include <gtest/gtest.h>

#include <cmath>

#include "support/compiled_from_config.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

using Json = nlohmann::json;

/// θ^(−2i/d), without the library.
double plain(int pair, double rotary_dim, double theta) { return std::pow(theta, -2 * pair / rotary_dim); }

/// The frequency of a pair, and whether the magnitude is 1.
double frequency(const RopeParameters& rope, std::size_t pair, double length = 0) {
  const Frequencies frequencies = rope.frequencies(length);
  EXPECT_EQ(frequencies.magnitude, 1);
  return frequencies.values.at(pair).hi;
}

/// All pairs plain, the head as wide as its window.
void expect_plain(const RopeParameters& rope, Index head_dim, double theta, Pairing pairing) {
  EXPECT_EQ(rope.head_dim, head_dim);
  EXPECT_EQ(rope.rotary_dim, head_dim);
  EXPECT_EQ(rope.start_index, 0);
  EXPECT_EQ(rope.pairing, pairing);
  for (int i = 0; i < head_dim / 2; ++i) {
    const double wanted = plain(i, static_cast<double>(head_dim), theta);
    EXPECT_NEAR(frequency(rope, static_cast<std::size_t>(i)), wanted, 1e-14 * wanted);
  }
}

/// One letter for every layer: r if it rotates, - if not.
std::string layers_of(const ModelConfiguration& model) {
  std::string letters;
  for (Index i = 0; i < model.layer_count(); ++i) letters += model.has_rope(i) ? 'r' : '-';
  return letters;
}

ModelConfiguration read(Json config, const Json& changes = Json::object()) {
  config.update(changes);
  return from_config(config);
}

const Json kSmall = {{"hidden_size", 64}, {"num_attention_heads", 4}, {"num_hidden_layers", 4}};

Json small(const char* model_type, const Json& keys = Json::object()) {
  Json config = kSmall;
  config["model_type"] = model_type;
  config.update(keys);
  return config;
}

// ---------------------------------------------------------------- layers that do not rotate

TEST(FromConfigCases, D01LayersOfFullAttentionWithout) {
  const Json afmoe = small("afmoe", {{"head_dim", 16}, {"rope_theta", 10000}});
  const ModelConfiguration listed = read(
      afmoe,
      {{"layer_types", {"sliding_attention", "sliding_attention", "sliding_attention", "full_attention"}}});
  EXPECT_EQ(layers_of(listed), "rrr-");
  expect_plain(listed.layer(0), 16, 10000, Pairing::half);
  const ModelConfiguration counted = read(afmoe, {{"global_attn_every_n_layers", 4}});
  EXPECT_EQ(layers_of(counted), "rrr-");
  EXPECT_EQ(counted.layer_types[counted.layers[3].type].name, "full_attention");
  // ModernBERT has the key too, and means the first of every n.
  const ModelConfiguration bert =
      from_config(small("modernbert", {{"global_rope_theta", 160000}, {"global_attn_every_n_layers", 2}}));
  EXPECT_EQ(bert.layer(0).theta, 160000);
  EXPECT_EQ(bert.layer(1).theta, 10000);
  // A key that contradicts the list gets a note, and the list is used.
  const ModelConfiguration both = read(
      afmoe,
      {{"global_attn_every_n_layers", 2},
       {"layer_types", {"sliding_attention", "sliding_attention", "sliding_attention", "full_attention"}}});
  EXPECT_EQ(layers_of(both), "rrr-");
  ASSERT_NE(both.note("global_attn_every_n_layers"), nullptr);
  EXPECT_EQ(both.note("global_attn_every_n_layers")->kind, ConfigurationNote::Kind::contradictory);
}

TEST(FromConfigCases, D02PositionsSwitchedOff) {
  const Json kimi =
      small("kimi_linear", {{"num_hidden_layers", 2},
                            {"qk_nope_head_dim", 16},
                            {"qk_rope_head_dim", 8},
                            {"rope_theta", 10000.0},
                            {"linear_attn_config", {{"kda_layers", {1}}, {"full_attn_layers", {2}}}}});
  expect_error([&] { read(kimi, {{"mla_use_nope", true}}); }, {"mla_use_nope is true"});
  expect_error(
      [&] {
        read(
            Json{{"model_type", "kimi_k3"}, {"text_config", kimi}},
            {{"text_config",
              Json(kimi).patch(Json::array({{{"op", "add"}, {"path", "/mla_use_nope"}, {"value", true}}}))}});
      },
      {"text_config.mla_use_nope is true"});
  const ModelConfiguration model = read(kimi, {{"mla_use_nope", false}});
  EXPECT_EQ(layers_of(model), "-r") << "layers of linear_attn_config are numbered from 1";
  EXPECT_EQ(model.layer(1).start_index, 16);
  EXPECT_EQ(model.layer(1).pairing, Pairing::interleaved);
}

TEST(FromConfigCases, D03IndicesOfAttention) {
  const ModelConfiguration model =
      from_config(small("lfm2", {{"rope_theta", 1000000.0}, {"full_attn_idxs", {2}}}));
  EXPECT_EQ(layers_of(model), "--r-");
  expect_plain(model.layer(2), 16, 1e6, Pairing::half);
  EXPECT_EQ(layers_of(from_config(small("bamba", {{"attn_layer_indices", {0, 3}}}))), "r--r");
}

TEST(FromConfigCases, D04CrossAttention) {
  const ModelConfiguration model = from_config(
      small("mllama_text_model",
            {{"num_hidden_layers", 3}, {"rope_theta", 500000.0}, {"cross_attention_layers", {1}}}));
  EXPECT_EQ(layers_of(model), "r-r");
  expect_plain(model.layer(2), 16, 500000, Pairing::half);
}

TEST(FromConfigCases, D05MemoryRope) {
  const Json zamba =
      small("zamba2", {{"attention_head_dim", 32}, {"num_hidden_layers", 2}, {"rope_theta", 1e4}});
  expect_error([&] { read(zamba, {{"use_mem_rope", false}}); }, {"use_mem_rope is false"});
  const ModelConfiguration model =
      read(zamba, {{"use_mem_rope", true}, {"layers_block_type", {"mamba", "hybrid"}}});
  EXPECT_EQ(layers_of(model), "-r");
  expect_plain(model.layer(1), 32, 10000, Pairing::half);
}

TEST(FromConfigCases, D06FlagsOfLayers) {
  const ModelConfiguration model = from_config(
      small("smallthinker", {{"head_dim", 16}, {"rope_layout", {0, 1, 1, 1}}, {"rope_theta", 1500000.0}}));
  EXPECT_EQ(layers_of(model), "-rrr");
  expect_plain(model.layer(1), 16, 1500000, Pairing::half);
  EXPECT_EQ(layers_of(from_config(small(
                "minimax", {{"rope_theta", 1e7}, {"rotary_dim", 8}, {"attn_type_list", {0, 0, 0, 1}}}))),
            "---r");
  EXPECT_EQ(layers_of(from_config(small("muse_glimmer_text", {{"layer_rope_theta", {5e5, 5e5, 5e5, 0}}}))),
            "rrr-");
}

// ---------------------------------------------------------------- scaling and bases of some layers

TEST(FromConfigCases, D07ScalingOfFullAttention) {
  const ModelConfiguration model =
      from_config(small("olmo3", {{"num_hidden_layers", 2},
                                  {"max_position_embeddings", 65536},
                                  {"rope_theta", 500000},
                                  {"layer_types", {"sliding_attention", "full_attention"}},
                                  {"rope_scaling",
                                   {{"rope_type", "yarn"},
                                    {"factor", 8.0},
                                    {"original_max_position_embeddings", 8192},
                                    {"beta_fast", 32.0},
                                    {"beta_slow", 1.0},
                                    {"attention_factor", 1.2079441541679836}}}}));
  expect_plain(model.layer(0), 16, 500000, Pairing::half);
  EXPECT_NEAR(frequency(model.layer(0), 3), 0.00729266474, 1e-11);
  const Frequencies full = model.layer(1).frequencies();
  EXPECT_EQ(full.magnitude, 1.2079441541679836);
  EXPECT_NEAR(full.values[3].hi, 0.00516563752, 1e-11);
}

TEST(FromConfigCases, D08BaseOfLocalLayers) {
  const ModelConfiguration model = from_config(small("plamo3", {{"head_dim", 16},
                                                                {"num_hidden_layers", 2},
                                                                {"sliding_window_pattern", 2},
                                                                {"rope_theta", 1000000},
                                                                {"rope_local_theta", 10000}}));
  expect_plain(model.layer(0), 16, 1e4, Pairing::half);
  expect_plain(model.layer(1), 16, 1e6, Pairing::half);
  const ModelConfiguration mimo =
      from_config(small("mimo_v2_flash", {{"head_dim", 16},
                                          {"swa_head_dim", 8},
                                          {"rope_theta", 5e6},
                                          {"swa_rope_theta", 1e4},
                                          {"partial_rotary_factor", 1.0},
                                          {"hybrid_layer_pattern", {0, 1, 1, 0}}}));
  expect_plain(mimo.layer(0), 16, 5e6, Pairing::half);
  expect_plain(mimo.layer(1), 8, 1e4, Pairing::half);
}

TEST(FromConfigCases, D09BaseUnderAnotherName) {
  const Json phi = small("phi3small", {{"rope_embedding_base", 1000000}, {"rope_position_scale", 1.0}});
  expect_plain(from_config(phi).layer(0), 16, 1e6, Pairing::half);
  EXPECT_NEAR(frequency(from_config(phi).layer(0), 1), 0.177827941, 1e-9);
  EXPECT_NEAR(frequency(read(phi, {{"rope_position_scale", 4.0}}).layer(0), 1), 0.177827941 / 4, 1e-9);
}

TEST(FromConfigCases, D10BaseInAnObject) {
  const Json internlm = small("internlm", {{"max_position_embeddings", 2048}});
  expect_plain(read(internlm, {{"rotary", {{"base", 1000000}, {"type", "origin"}}}}).layer(0), 16, 1e6,
               Pairing::half);
  const RopeParameters dynamic =
      read(internlm, {{"rotary", {{"base", 10000}, {"type", "dynamic"}, {"scaling_factor", 2.0}}}}).layer(0);
  EXPECT_NEAR(frequency(dynamic, 7, 8192), plain(7, 16, 10000 * std::pow(7.0, 8.0 / 7)), 1e-12);
  expect_error(
      [&] {
        read(internlm, {{"rotary", {{"base", 10000}, {"type", "linear"}}}});
      },
      {"rotary.type is linear"});
  const Json dbrx = {{"model_type", "dbrx"}, {"d_model", 64}, {"n_heads", 4}, {"n_layers", 1}};
  expect_plain(read(dbrx, {{"attn_config", {{"rope_theta", 500000}, {"kv_n_heads", 2}}}}).layer(0), 16, 5e5,
               Pairing::half);
}

TEST(FromConfigCases, D11DynamicNtkUnderAnotherName) {
  const RopeParameters rope = from_config(Json{{"model_type", "nomic_bert"},
                                               {"n_embd", 64},
                                               {"n_head", 4},
                                               {"n_layer", 1},
                                               {"n_positions", 8192},
                                               {"max_trained_positions", 2048},
                                               {"rotary_emb_base", 1000},
                                               {"rotary_emb_fraction", 1.0},
                                               {"rotary_scaling_factor", 2}})
                                  .layer(0);
  EXPECT_NEAR(frequency(rope, 7, 8192), 0.000338767673, 1e-12);
  EXPECT_NEAR(frequency(rope, 7, 2048), plain(7, 16, 1000), 1e-16);
}

// ---------------------------------------------------------------- sizes

TEST(FromConfigCases, D12SizesUnderOtherNames) {
  const Json llada = {{"model_type", "llada"}, {"d_model", 64},          {"n_heads", 4},  {"n_layers", 1},
                      {"rope", true},          {"rope_theta", 500000.0}, {"alibi", false}};
  expect_plain(from_config(llada).layer(0), 16, 500000, Pairing::half);
  expect_error([&] { read(llada, {{"rope", false}}); }, {"rope is false"});
  expect_error([&] { read(llada, {{"alibi", true}}); }, {"alibi is true"});
}

TEST(FromConfigCases, D13SizesOfTheClass) {
  const ModelConfiguration llava = from_config(Json{
      {"model_type", "llava"},
      {"text_config", {{"model_type", "llama"}, {"max_position_embeddings", 4096}, {"vocab_size", 32064}}}});
  EXPECT_EQ(llava.layer_count(), 32);
  expect_plain(llava.layer(31), 128, 10000, Pairing::half);
  EXPECT_EQ(llava.note("text_config.hidden_size")->kind, ConfigurationNote::Kind::defaulted);
}

// ---------------------------------------------------------------- whether there is a rotary embedding

TEST(FromConfigCases, D14RotaryThoughOthersAreNot) {
  const Json jina = small("xlm-roberta", {{"num_hidden_layers", 1}, {"rotary_emb_base", 20000.0}});
  expect_plain(read(jina, {{"position_embedding_type", "rotary"}}).layer(0), 16, 20000, Pairing::half);
  expect_error(
      [&] {
        read(jina, {{"position_embedding_type", "absolute"}});
      },
      {"position_embedding_type is absolute"});
  expect_error([&] { from_config(jina); }, {"position_embedding_type is missing"});
  const Json granite = small("granitemoehybrid", {{"layer_types", {"mamba", "mamba", "attention", "mamba"}}});
  EXPECT_EQ(layers_of(read(granite, {{"position_embedding_type", "rope"}})), "--r-");
  expect_error(
      [&] {
        read(granite, {{"position_embedding_type", "nope"}});
      },
      {"position_embedding_type is nope"});
}

TEST(FromConfigCases, D15AlibiBySize) {
  Json baichuan = {{"model_type", "baichuan"},
                   {"hidden_size", 5120},
                   {"num_attention_heads", 40},
                   {"num_hidden_layers", 40},
                   {"model_max_length", 4096}};
  expect_error([&] { from_config(baichuan); }, {"hidden_size is 5120", "baichuan"});
  baichuan.update({{"hidden_size", 4096}, {"num_attention_heads", 32}, {"num_hidden_layers", 32}});
  expect_plain(from_config(baichuan).layer(0), 128, 10000, Pairing::half);
}

// ---------------------------------------------------------------- pairs

TEST(FromConfigCases, D16InterleavedPairs) {
  expect_plain(from_config(small("helium", {{"head_dim", 16}, {"rope_theta", 100000.0}})).layer(0), 16, 1e5,
               Pairing::interleaved);
  const RopeParameters longcat = from_config(Json{{"model_type", "longcat_flash"},
                                                  {"hidden_size", 64},
                                                  {"num_attention_heads", 4},
                                                  {"num_layers", 1},
                                                  {"qk_nope_head_dim", 16},
                                                  {"qk_rope_head_dim", 8},
                                                  {"rope_theta", 10000000.0}})
                                     .layer(0);
  EXPECT_EQ(longcat.pairing, Pairing::interleaved);
  EXPECT_EQ(longcat.head_dim, 24);
  EXPECT_EQ(longcat.start_index, 16);
  EXPECT_NEAR(frequency(longcat, 3), plain(3, 8, 1e7), 1e-18);
  const RopeParameters extended = read(Json{{"model_type", "longcat_flash"},
                                            {"num_layers", 1},
                                            {"qk_nope_head_dim", 128},
                                            {"qk_rope_head_dim", 64}},
                                       {{"rope_scaling",
                                         {{"rope_type", "yarn"},
                                          {"factor", 10.0},
                                          {"original_max_position_embeddings", 32768},
                                          {"mscale", 1.0},
                                          {"mscale_all_dim", 1.0}}}})
                                      .layer(0);
  EXPECT_NEAR(extended.softmax_scale, std::pow(0.1 * std::log(10.0) + 1, 2), 1e-15);
  // Latent attention of a type that is not known is not guessed.
  expect_error(
      [] {
        from_config(small("novel_mla", {{"qk_rope_head_dim", 8}, {"qk_nope_head_dim", 16}}));
      },
      {"model_type is novel_mla", "assume.model_type"});
}

TEST(FromConfigCases, D17LatentAttentionSwitchedOff) {
  const ModelConfiguration model = from_config(Json{{"model_type", "deepseek_vl_v2"},
                                                    {"language_config",
                                                     {{"model_type", "deepseek_v2"},
                                                      {"hidden_size", 64},
                                                      {"num_attention_heads", 4},
                                                      {"num_hidden_layers", 1},
                                                      {"qk_nope_head_dim", 0},
                                                      {"qk_rope_head_dim", 0},
                                                      {"use_mla", false}}}});
  expect_plain(model.layer(0), 16, 10000, Pairing::half);
}

TEST(FromConfigCases, D18PositionsOfTwoKinds) {
  const Json chatglm = {{"model_type", "chatglm"},
                        {"hidden_size", 64},
                        {"num_attention_heads", 4},
                        {"num_layers", 1},
                        {"max_sequence_length", 2048}};
  expect_error([&] { read(chatglm, {{"position_encoding_2d", true}}); }, {"position_encoding_2d is true"});
}

// ---------------------------------------------------------------- notes

TEST(FromConfigCases, D19NoNoteWhereTheFileTells) {
  const ModelConfiguration model = from_config(
      small("mistral4", {{"qk_nope_head_dim", 8},
                         {"qk_rope_head_dim", 8},
                         {"rope_interleave", true},
                         {"rope_parameters", {{"rope_theta", 10000.0}, {"rope_type", "default"}}}}));
  EXPECT_EQ(model.layer(0).pairing, Pairing::interleaved);
  EXPECT_TRUE(model.notes.empty()) << model.notes[0].text;
}

TEST(FromConfigCases, D20NotesClaimNoMoreThanIsKnown) {
  const Json finetuned = {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}, {"finetuned", true}}}};
  for (const ConfigurationNote& note : from_config(small("llama", finetuned)).notes)
    EXPECT_EQ(note.text.find("no rotary embedding of this model depends"), std::string::npos) << note.text;
  for (const char* key : {"use_mem_rope", "rope_layout", "rope_local_theta", "rope_embedding_base", "rotary",
                          "rotary_scaling_factor", "full_attn_idxs", "rope_trick", "layer_pattern_x"})
    expect_error(
        [&] {
          from_config(small("llama", {{key, 3}}));
        },
        {std::string(key) + " is 3", "does not read"});
}

// ---------------------------------------------------------------- more models of several kinds of layers

// The last 64 of 512 features; YaRN and a base of their own in layers that compress; no magnitude.
TEST(FromConfigCases, DeepseekV4) {
  const Json old_form = {{"model_type", "deepseek_v4"},
                         {"hidden_size", 4096},
                         {"num_attention_heads", 64},
                         {"num_hidden_layers", 4},
                         {"head_dim", 512},
                         {"qk_rope_head_dim", 64},
                         {"rope_theta", 10000},
                         {"compress_rope_theta", 160000},
                         {"compress_ratios", {128, 4, 0, 0, 0}},
                         {"num_nextn_predict_layers", 1},
                         {"rope_scaling",
                          {{"type", "yarn"},
                           {"factor", 16},
                           {"original_max_position_embeddings", 65536},
                           {"beta_fast", 32},
                           {"beta_slow", 1}}}};
  Json new_form = old_form;
  for (const char* key : {"rope_theta", "compress_rope_theta", "compress_ratios", "rope_scaling"})
    new_form.erase(key);
  new_form["layer_types"] = {"heavily_compressed_attention", "compressed_sparse_attention",
                             "sliding_attention", "sliding_attention"};
  Json compress = old_form["rope_scaling"];
  compress.update({{"rope_theta", 160000}, {"attention_factor", 1.0}, {"rope_type", "yarn"}});
  new_form["rope_parameters"] = {{"main", {{"rope_type", "default"}, {"rope_theta", 10000}}},
                                 {"compress", compress}};
  for (const Json& config : {old_form, new_form}) {
    const ModelConfiguration model = from_config(config);
    for (Index i = 0; i < 4; ++i) {
      const RopeParameters& rope = model.layer(i);
      EXPECT_EQ(rope.head_dim, 512);
      EXPECT_EQ(rope.rotary_dim, 64);
      EXPECT_EQ(rope.start_index, 448);
      EXPECT_EQ(rope.pairing, Pairing::interleaved);
      EXPECT_TRUE(rope.rotates_output_back);
      EXPECT_EQ(rope.softmax_scale, 1);
      EXPECT_NEAR(frequency(rope, 31), i < 2 ? plain(31, 64, 160000) / 16 : plain(31, 64, 10000), 1e-18);
      EXPECT_EQ(frequency(rope, 0), 1);
    }
  }
}

TEST(FromConfigCases, BasesAndSharesListedPerLayer) {
  const ModelConfiguration step = from_config(small(
      "step3p5",
      {{"head_dim", 16},
       {"rope_theta", {5000000, 10000, 10000, 20000}},
       {"partial_rotary_factors", {0.5, 1.0, 1.0, 1.0}},
       {"layer_types", {"full_attention", "sliding_attention", "sliding_attention", "sliding_attention"}},
       {"yarn_only_types", {"full_attention"}},
       {"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}}}));
  EXPECT_EQ(step.layer(0).rotary_dim, 8);
  EXPECT_NEAR(frequency(step.layer(0), 3), plain(3, 8, 5e6) / 2, 1e-18);
  expect_plain(step.layer(1), 16, 10000, Pairing::half);
  expect_plain(step.layer(3), 16, 20000, Pairing::half);
  EXPECT_EQ(step.layer_types.size(), 3u);
  EXPECT_EQ(&step.layer("sliding_attention"), &step.layer(2));
}

TEST(FromConfigCases, QueryTemperature) {
  const Json llama4 = small(
      "llama4_text",
      {{"rope_theta", 5e5}, {"attn_temperature_tuning", true}, {"attn_scale", 0.2}, {"floor_scale", 4096}});
  const ModelConfiguration model = from_config(llama4);
  EXPECT_EQ(layers_of(model), "rrr-");
  EXPECT_FALSE(model.query_temperature(0));
  ASSERT_TRUE(model.query_temperature(3));
  EXPECT_EQ(model.query_temperature(3)->at(4094), 1);
  EXPECT_NEAR(model.query_temperature(3)->at(4095), 1 + 0.2 * std::log(2.0), 1e-15);
  EXPECT_FALSE(read(llama4, {{"attn_temperature_tuning", false}}).query_temperature(3));
  expect_error([&] { read(llama4, {{"floor_scale", 5e-324}}); }, {"floor_scale", "not finite"});
  const ModelConfiguration ministral =
      from_config(small("ministral3", {{"max_position_embeddings", 65536},
                                       {"rope_parameters",
                                        {{"rope_type", "yarn"},
                                         {"rope_theta", 1e6},
                                         {"factor", 4.0},
                                         {"beta_fast", 32.0},
                                         {"beta_slow", 1.0},
                                         {"original_max_position_embeddings", 16384},
                                         {"llama_4_scaling_beta", 0.1}}}}));
  ASSERT_TRUE(ministral.query_temperature(0));
  EXPECT_EQ(ministral.query_temperature(0)->at(16383), 1);
  EXPECT_NEAR(ministral.query_temperature(0)->at(40000), 1 + 0.1 * std::log(3.0), 1e-15);
}

// ---------------------------------------------------------------- what files leave out

// Their configuration classes have scaling, lists or sizes where the file has none: to read such a file as
// one of plain layers would be a guess.
TEST(FromConfigCases, KeysWithoutWhichNothingIsKnown) {
  for (const char* type :
       {"apertus", "cwm", "gpt_oss", "ministral3", "higgs_audio_v2", "openai_privacy_filter", "zaya"})
    expect_error(
        [&] {
          from_config(small(type, {{"rope_theta", 10000}}));
        },
        {"rope_parameters is missing", type, "not known to this version"});
  expect_error(
      [&] {
        from_config(small("mllama_text_model", {{"rope_theta", 500000}}));
      },
      {"cross_attention_layers is missing"});
  expect_error(
      [&] {
        from_config(small("bamba", {{"rope_theta", 10000}}));
      },
      {"attn_layer_indices is missing"});
  expect_error(
      [&] {
        from_config(small("minimax_text_01", {{"rope_theta", 1e7}}));
      },
      {"attn_type_list is missing"});
  expect_error(
      [&] {
        from_config(small("zamba2", {{"use_mem_rope", true},
                                     {"layers_block_type", {"hybrid", "mamba", "mamba", "mamba"}}}));
      },
      {"attention_head_dim is missing"});
  // Versions of transformers disagree about these bases.
  for (const char* type : {"cohere", "persimmon", "jais2", "falcon_h1", "eurobert", "qwen3_vl_text"})
    expect_error([&] { from_config(small(type)); }, {"rope_theta is missing", type});
}

TEST(FromConfigCases, DefaultsOfModels) {
  // The sections of images and video, where the file has none.
  const RopeParameters vision =
      from_config(small("qwen3_vl_text", {{"head_dim", 128}, {"rope_theta", 5e6}})).layer(0);
  EXPECT_EQ(vision.mrope_section, (std::vector<Index>{24, 20, 20}));
  EXPECT_EQ(vision.axis_of_pair(), mrope_axes_interleaved({24, 20, 20}));
  // The last layer of Gemma 4 is of full attention, whatever the pattern says.
  const Json rope = {{"full_attention", {{"rope_theta", 1e6}}}, {"sliding_attention", {{"rope_theta", 1e4}}}};
  const ModelConfiguration gemma = from_config(small("gemma4_text", {{"rope_parameters", rope}}));
  EXPECT_EQ(gemma.layer(2).theta, 1e4);
  EXPECT_EQ(gemma.layer(3).theta, 1e6);
  EXPECT_NE(gemma.note("layer_types"), nullptr);
  // MiniMax: of every two layers the first is of full attention.
  EXPECT_EQ(layers_of(from_config(small("minimax", {{"rope_theta", 1e7}, {"rotary_dim", 8}}))), "r-r-");
  // A list of bases is all that decides which layers of Muse rotate.
  EXPECT_EQ(layers_of(from_config(small("muse_glimmer_text", {{"layer_rope_theta", {0, 5e5, 5e5, 5e5}}}))),
            "-rrr");
}

TEST(FromConfigCases, RopeObjectsUnderOtherNames) {
  const Json llama = small("llama", {{"rope_theta", 10000}});
  for (const Json& object : {Json{{"type", "linear"}, {"factor", 2.0}}, Json{{"mrope_section", {4, 2, 2}}},
                             Json{{"original_max_position_embeddings", 4096}}})
    expect_error([&] { read(llama, {{"extension", object}}); }, {"extension is an object", "llama"});
  EXPECT_EQ(layers_of(read(llama, {{"quantization", {{"bits", 4}, {"group_size", 64}}}})), "rrrr");
}

// ---------------------------------------------------------------- answers of the caller

TEST(FromConfigAssume, ErrorsBecomeNotes) {
  const Json novel = small("novel", {{"rope_trick", 1}, {"rope_theta", 5e4}});
  expect_error([&] { from_config(novel); }, {"model_type is novel"});
  expect_error([&] { from_config(novel, {.assume = {.model_type = "llama"}}); }, {"rope_trick is 1"});
  expect_error([&] { from_config(novel, {.assume = {.model_type = "unheard_of"}}); },
               {"assume.model_type is unheard_of"});
  const ModelConfiguration model = from_config(novel, {.assume = {.model_type = "llama",
                                                                  .pairing = Pairing::interleaved,
                                                                  .rotating_layers = {{0, 2}},
                                                                  .ignored_keys = {"rope_trick"}}});
  EXPECT_EQ(model.model_type, "novel");
  EXPECT_EQ(layers_of(model), "r-r-");
  expect_plain(model.layer(0), 16, 5e4, Pairing::interleaved);
  for (const char* key : {"model_type", "layer_types", "rope_trick"}) {
    ASSERT_NE(model.note(key), nullptr) << key;
    EXPECT_EQ(model.note(key)->kind, ConfigurationNote::Kind::assumed) << key;
  }
  EXPECT_EQ(model.note("rope_trick")->text, "rope_trick is 1: the caller has it left out");
  expect_error(
      [&] {
        from_config(
            novel,
            {.assume = {.model_type = "llama", .rotating_layers = {{4}}, .ignored_keys = {"rope_trick"}}});
      },
      {"assume.rotating_layers has 4"});
}

TEST(FromConfigAssume, UnreadKeysAreListedOnRequest) {
  const Json config = small("llama", {{"vocab_size", 5}, {"rope_theta", 1e4}, {"sliding_window", 7}});
  EXPECT_TRUE(from_config(config).notes.empty());
  const ModelConfiguration model = from_config(config, {.list_unread_keys = true});
  ASSERT_EQ(model.notes.size(), 2u);
  EXPECT_EQ(model.notes[0].kind, ConfigurationNote::Kind::unread);
  EXPECT_EQ(model.note("vocab_size")->text, "vocab_size is 5: it is not read by this version");
}

TEST(FromConfigAssume, LanguageModelsOfWrappers) {
  const Json llama = {{"hidden_size", 64}, {"num_attention_heads", 4}, {"num_hidden_layers", 1}};
  expect_error(
      [&] {
        from_config(Json{{"model_type", "some_vlm"}, {"text_config", llama}});
      },
      {"text_config.model_type is missing"});
  expect_error(
      [&] {
        from_config(Json{{"model_type", "idefics3"}});
      },
      {"model_type is idefics3", "text_config", "there is none"});
  EXPECT_EQ(from_config(Json{{"model_type", "idefics3"}, {"text_config", llama}}).model_type, "llama");
  expect_error(
      [&] {
        from_config(Json{{"text_config", llama}, {"llm_config", llama}});
      },
      {"text_config and llm_config", "assume.ignored_keys"});
  Json typed = llama;
  typed["model_type"] = "cohere";
  typed["rope_theta"] = 10000.0;
  EXPECT_EQ(from_config(Json{{"text_config", llama}, {"llm_config", typed}},
                        {.assume = {.ignored_keys = {"text_config"}}})
                .layer(0)
                .pairing,
            Pairing::interleaved);
}

}  // namespace
}  // namespace rotary::testing
