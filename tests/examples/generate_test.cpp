// examples/generate as a program, on checkpoints of random weights: its logits and tokens against a plain decoder in double
// precision, and what it must refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/plain_decoder.hpp"
#include "support/process.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using rotary::testing::PlainDecoder;

// ---------------------------------------------------------------- checkpoints

enum class Stored { f32, f16, bf16 };

/// The bytes of a number that the type holds exactly.
std::string bytes_of(float value, Stored type) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, 4);
  if (type == Stored::f32) return std::string(reinterpret_cast<const char*>(&bits), 4);
  std::uint16_t half = static_cast<std::uint16_t>(bits >> 16);  // bfloat16 is the upper half of a float
  if (type == Stored::f16)
    half = static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (((bits & 0x7FFFFFFF) - (112u << 23)) >> 13));
  return std::string(reinterpret_cast<const char*>(&half), 2);
}

/// The nearest number below that all three types hold: 8 significant bits, and no exponent that binary16 lacks.
float storable(double value) {
  float rounded = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &rounded, 4);
  bits &= 0xFFFF0000;
  std::memcpy(&rounded, &bits, 4);
  return std::abs(rounded) < 0x1p-14f ? 0x1p-14f : rounded;  // the smallest normal number of binary16
}

/// Weights for which features and logits are about 1, and norms that are not all the same.
void fill(PlainDecoder& model, std::uint64_t seed) {
  rotary::testing::Random random(seed);
  model.for_each_tensor([&](const std::string& name, const std::vector<std::size_t>& shape) {
    const bool norm = name.find("norm") != std::string::npos;
    const double deviation = name.find("embed") != std::string::npos ? 1
                             : shape.size() == 2 ? 1.5 / std::sqrt(static_cast<double>(shape[1]))
                                                 : 0.2;
    std::vector<double>& values = model.weights[name];
    values.resize(shape.size() == 2 ? shape[0] * shape[1] : shape[0]);
    for (double& value : values)
      value = static_cast<double>(storable((norm ? 1 : 0) + deviation * random.normal()));
  });
}

/// A safetensors file of those tensors of a model whose names `wanted` accepts.
std::string safetensors_of(
    const PlainDecoder& model, Stored type,
    const std::function<bool(const std::string&)>& wanted = [](const std::string&) { return true; }) {
  Json header;
  std::string data;
  header["__metadata__"] = {{"format", "pt"}};
  model.for_each_tensor([&](const std::string& name, const std::vector<std::size_t>& shape) {
    if (!wanted(name)) return;
    const std::size_t begin = data.size();
    for (const double value : model.weights.at(name)) data += bytes_of(static_cast<float>(value), type);
    header[name] = {{"dtype", type == Stored::f32   ? "F32"
                              : type == Stored::f16 ? "F16"
                                                    : "BF16"},
                    {"shape", shape},
                    {"data_offsets", {begin, data.size()}}};
  });
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
}

/// The keys of a config.json that all types have.
Json config_of(const PlainDecoder& model, const std::string& model_type) {
  return {{"model_type", model_type},
          {"vocab_size", model.vocabulary},
          {"hidden_size", model.hidden},
          {"intermediate_size", model.feed_forward},
          {"num_hidden_layers", model.layers},
          {"num_attention_heads", model.heads},
          {"num_key_value_heads", model.kv_heads},
          {"head_dim", model.head_dim},
          {"rms_norm_eps", model.epsilon},
          {"rope_theta", model.theta},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", model.tied},
          {"max_position_embeddings", 4096}};
}

struct Checkpoint {
  PlainDecoder model;
  Json config;
  Stored type = Stored::f32;
};

/// A checkpoint with random weights. `keys` are what config.json has besides those that all types have.
Checkpoint checkpoint_of(const std::string& model_type, const PlainDecoder& model, std::uint64_t seed,
                         const Json& keys = Json::object(), Stored type = Stored::f32) {
  Checkpoint checkpoint{model, config_of(model, model_type), type};
  checkpoint.config.update(keys);
  fill(checkpoint.model, seed);
  return checkpoint;
}

/// The sizes of most checkpoints.
PlainDecoder small_decoder() {
  return {.vocabulary = 41,
          .hidden = 32,
          .feed_forward = 48,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 8,
          .layers = 3};
}

/// Grouped heads, halves, Llama 3's scaling, wavelengths on both sides of the original length of 64.
Checkpoint llama() {
  PlainDecoder model = small_decoder();
  model.vocabulary = 61, model.hidden = 48, model.feed_forward = 80, model.heads = 6, model.head_dim = 16;
  model.llama3_factor = 8;
  return checkpoint_of("llama", model, 1,
                       {{"rope_scaling",
                         {{"rope_type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 64}}}});
}

/// Norms of queries and keys, tied embeddings, a head_dim that is not hidden_size / heads, bfloat16.
Checkpoint qwen3() {
  PlainDecoder model = small_decoder();
  model.hidden = 40, model.feed_forward = 72, model.head_dim = 24;
  model.theta = 1e6, model.epsilon = 1e-6;
  model.qk_norm = model.tied = true;
  return checkpoint_of("qwen3", model, 2, Json::object(), Stored::bf16);
}

/// Biases of queries, keys and values, one head of keys, a window from layer 1 on, binary16.
Checkpoint qwen2() {
  PlainDecoder model = small_decoder();
  model.kv_heads = 1;
  model.qkv_bias = true;
  model.window = 5, model.first_window = 1;
  return checkpoint_of("qwen2", model, 3,
                       {{"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}},
                       Stored::f16);
}

/// A window in all layers, heads that are not grouped.
Checkpoint mistral() {
  PlainDecoder model = small_decoder();
  model.heads = 2, model.head_dim = 16;
  model.window = 7;
  return checkpoint_of("mistral", model, 4, {{"sliding_window", 7}});
}

/// Interleaved pairs, biases everywhere.
Checkpoint ernie() {
  PlainDecoder model = small_decoder();
  model.interleaved = model.qkv_bias = model.output_bias = model.mlp_bias = true;
  model.theta = 500000;
  return checkpoint_of("ernie4_5", model, 5, {{"use_bias", true}});
}

/// Every second layer does not rotate; tied embeddings by default.
Checkpoint smollm3() {
  PlainDecoder model = small_decoder();
  model.still_layers = 2;
  model.tied = true;
  Checkpoint checkpoint = checkpoint_of("smollm3", model, 6, {{"no_rope_layer_interval", 2}});
  checkpoint.config.erase("head_dim");
  checkpoint.config.erase("tie_word_embeddings");
  return checkpoint;
}

// ---------------------------------------------------------------- the program

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

std::string joined(const std::vector<int>& tokens) {
  std::string text;
  for (const int token : tokens) text += (text.empty() ? "" : ",") + std::to_string(token);
  return text;
}

std::vector<int> random_tokens(std::size_t count, const PlainDecoder& model, std::uint64_t seed) {
  rotary::testing::Random random(seed);
  std::vector<int> tokens(count);
  for (int& token : tokens) token = random.integer(0, static_cast<int>(model.vocabulary) - 1);
  return tokens;
}

class Generate : public testing::Test {
 protected:
  struct Outcome {
    int code;
    std::string output, messages;
  };

  void write(const Checkpoint& checkpoint) {
    folder_.write("config.json", checkpoint.config.dump());
    folder_.write("model.safetensors", safetensors_of(checkpoint.model, checkpoint.type));
  }

  Outcome run(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command{ROTARY_GENERATE_BINARY, (folder_ / "").string()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    rotary::testing::Process process(command, files_ / "output", files_ / "messages");
    const int code = process.wait();
    return {code, read(files_ / "output"), read(files_ / "messages")};
  }

  /// The tensor that --logits writes.
  std::vector<std::vector<double>> written_logits() const {
    const std::string file = read(files_ / "logits.safetensors");
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), 8);
    const Json tensor = Json::parse(file.substr(8, length))["logits"];
    const auto rows = tensor["shape"][0].get<std::size_t>(), cols = tensor["shape"][1].get<std::size_t>();
    std::vector<std::vector<double>> logits(rows, std::vector<double>(cols));
    const char* next = file.data() + 8 + length;
    for (auto& row : logits)
      for (double& logit : row) {
        float value = 0;
        std::memcpy(&value, next, 4);
        logit = static_cast<double>(value);
        next += 4;
      }
    return logits;
  }
  std::vector<std::string> with_logits(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--logits", (files_ / "logits.safetensors").string()});
    return arguments;
  }

  /// Relative to the largest logit. A float is off by at most 6e-8 of its size after each operation. On the way to a logit
  /// of these models are up to 21 products of matrices in a row, with sums of up to 80 terms, whose errors of random signs add
  /// up: √(80 · 21) · 6e-8 = 2.5e-6. Measured are at most 2e-6. A wrong frequency, pairing, window or head shows up at 1e-3
  /// and above.
  static constexpr double kTolerance = 1e-5;

  static void expect_near(const std::vector<std::vector<double>>& found,
                          const std::vector<std::vector<double>>& wanted) {
    ASSERT_EQ(found.size(), wanted.size());
    double largest = 0, error = 0;
    for (std::size_t t = 0; t < wanted.size(); ++t) {
      ASSERT_EQ(found[t].size(), wanted[t].size());
      for (std::size_t i = 0; i < wanted[t].size(); ++i) {
        largest = std::max(largest, std::abs(wanted[t][i]));
        error = std::max(error, std::abs(found[t][i] - wanted[t][i]));
      }
    }
    EXPECT_GT(largest, 0.5);
    EXPECT_LT(error, kTolerance * largest);
  }

  /// Prefill of `prompt` tokens, then `length` tokens of decoding: logits and tokens are those of a full pass of the plain
  /// decoder.
  void expect_generates(const Checkpoint& checkpoint, std::size_t prompt, std::size_t length) {
    write(checkpoint);
    std::vector<int> tokens = random_tokens(prompt, checkpoint.model, 9);
    const Outcome outcome =
        run(with_logits({"--tokens", joined(tokens), "--length", std::to_string(length)}));
    ASSERT_EQ(outcome.code, 0) << outcome.messages;
    for (const int token : checkpoint.model.greedy(tokens, length)) tokens.push_back(token);
    EXPECT_EQ(outcome.output, joined(tokens) + "\n");
    EXPECT_NE(outcome.messages.find("prefill  " + std::to_string(prompt) + " tokens, "), std::string::npos)
        << outcome.messages;
    EXPECT_EQ(
        outcome.messages.find("decode   " + std::to_string(length - 1) + " tokens, ") != std::string::npos,
        length > 1)
        << outcome.messages;
    tokens.pop_back();  // what would follow the last token is not computed
    expect_near(written_logits(), checkpoint.model.logits(tokens));
  }

  void expect_refused(const std::vector<std::string>& arguments, const std::string& part) const {
    const Outcome outcome = run(with_logits(arguments));
    EXPECT_EQ(outcome.code, 1) << outcome.messages;
    EXPECT_EQ(outcome.output, "");
    EXPECT_NE(outcome.messages.find(part), std::string::npos) << outcome.messages << "\nlacks: " << part;
    EXPECT_EQ(std::count(outcome.messages.begin(), outcome.messages.end(), '\n'), 1) << outcome.messages;
    EXPECT_FALSE(fs::exists(files_ / "logits.safetensors"));
  }

  rotary::testing::TemporaryFolder folder_, files_;  // the model, and what the program writes
};

TEST_F(Generate, Llama) { expect_generates(llama(), 40, 30); }
TEST_F(Generate, Qwen3) { expect_generates(qwen3(), 23, 20); }
TEST_F(Generate, Qwen2) { expect_generates(qwen2(), 17, 20); }
TEST_F(Generate, Mistral) { expect_generates(mistral(), 1, 20); }
TEST_F(Generate, InterleavedPairs) { expect_generates(ernie(), 12, 15); }
TEST_F(Generate, LayersThatDoNotRotate) { expect_generates(smollm3(), 12, 15); }

TEST_F(Generate, APromptOfSeveralPartsAndPages) { expect_generates(llama(), 600, 1); }

/// The reference notices what the tolerance must not hide.
TEST_F(Generate, WrongModelsDifferByMoreThanTheTolerance) {
  const Checkpoint right = llama();
  const std::vector<int> tokens = random_tokens(30, right.model, 9);
  const std::vector<double> wanted = right.model.logits(tokens).back();
  PlainDecoder wrong[] = {right.model, right.model, right.model, right.model};
  wrong[0].llama3_factor = 0;
  wrong[1].interleaved = true;
  wrong[2].window = 29;
  wrong[3].theta = 10500;
  for (const PlainDecoder& model : wrong) {
    const std::vector<double> found = model.logits(tokens).back();
    double error = 0;
    for (std::size_t i = 0; i < found.size(); ++i) error = std::max(error, std::abs(found[i] - wanted[i]));
    EXPECT_GT(error, 100 * kTolerance);
  }
}

TEST_F(Generate, ThreadsDoNotChangeTheNumbers) {
  const Checkpoint checkpoint = llama();
  write(checkpoint);
  const std::string tokens = joined(random_tokens(300, checkpoint.model, 9));
  std::string first;
  for (const char* threads : {"1", "2", "5"}) {
    ASSERT_EQ(run(with_logits({"--tokens", tokens, "--length", "5", "--threads", threads})).code, 0);
    const std::string logits = read(files_ / "logits.safetensors");
    if (first.empty()) first = logits;
    EXPECT_TRUE(logits == first) << threads << " threads";
  }
}

TEST_F(Generate, ReadsWeightsOfSeveralFiles) {
  const Checkpoint checkpoint = llama();
  write(checkpoint);
  const std::vector<std::string> arguments{"--tokens", "1,2,3", "--length", "8"};
  const std::string wanted = run(arguments).output;
  fs::remove(folder_ / "model.safetensors");
  const auto in_first = [](const std::string& name) { return name.find("layers.1") == std::string::npos; };
  const auto in_second = [&](const std::string& name) { return !in_first(name); };
  folder_.write("a.safetensors", safetensors_of(checkpoint.model, Stored::f32, in_first));
  folder_.write("b.safetensors", safetensors_of(checkpoint.model, Stored::f32, in_second));
  Json index;
  checkpoint.model.for_each_tensor([&](const std::string& name, const std::vector<std::size_t>&) {
    index["weight_map"][name] = in_first(name) ? "a.safetensors" : "b.safetensors";
  });
  folder_.write("model.safetensors.index.json", index.dump());
  EXPECT_EQ(run(arguments).output, wanted);

  index["weight_map"]["lm_head.weight"] = "b.safetensors";
  folder_.write("model.safetensors.index.json", index.dump());
  expect_refused(arguments, "b.safetensors: has no tensor \"lm_head.weight\"");
  index["weight_map"]["lm_head.weight"] = "../b.safetensors";
  folder_.write("model.safetensors.index.json", index.dump());
  expect_refused(arguments, "wanted the name of a file");
}

TEST_F(Generate, ReadsAndWritesText) {
  Checkpoint checkpoint = llama();
  write(checkpoint);
  Json tokenizer{{"model", {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}}}};
  std::vector<std::string> characters;
  for (int token = 0; token < 61; ++token)
    characters.push_back(token == 60 ? "é" : std::string(1, static_cast<char>('A' + token)));
  for (int token = 0; token < 61; ++token)
    tokenizer["model"]["vocab"][characters[static_cast<std::size_t>(token)]] = token;
  folder_.write("tokenizer.json", tokenizer.dump());
  std::string wanted = "HIJé";
  for (const int token : checkpoint.model.greedy({7, 8, 9, 60}, 12))
    wanted += characters[static_cast<std::size_t>(token)];
  const std::vector<std::string> arguments{"--prompt", "HIJé", "--length", "12"};
  EXPECT_EQ(run(arguments).output, wanted + "\n");

  expect_refused({"--prompt", "HI "}, "the character ' ' is not in the vocabulary");
  expect_refused({"--prompt", ""}, "--prompt is empty");
  tokenizer["model"]["merges"].push_back("A B");
  folder_.write("tokenizer.json", tokenizer.dump());
  expect_refused(arguments, "BPE without merges");
  fs::remove(folder_ / "tokenizer.json");
  expect_refused(arguments, "tokenizer.json: there is no such file; give tokens by --tokens");
}

TEST_F(Generate, DrawsTokensBySeedTemperatureAndTopK) {
  const Checkpoint checkpoint = llama();
  write(checkpoint);
  const auto output = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--tokens", "1,2,3", "--length", "30"});
    return run(arguments).output;
  };
  const std::string greedy = output({});
  EXPECT_EQ(output({"--temperature", "1", "--top-k", "1"}), greedy);
  const std::string drawn = output({"--temperature", "1"});
  EXPECT_NE(drawn, greedy);
  EXPECT_EQ(output({"--temperature", "1", "--seed", "1"}), drawn);
  EXPECT_NE(output({"--temperature", "1", "--seed", "2"}), drawn);
  EXPECT_NE(output({"--temperature", "1", "--top-k", "2"}), drawn);

  // Every token of the last draw was one of the two likeliest.
  ASSERT_EQ(
      run(with_logits({"--tokens", "1,2,3", "--length", "30", "--temperature", "5", "--top-k", "2"})).code,
      0);
  const auto logits = written_logits();
  std::istringstream numbers(read(files_ / "output"));
  std::string number;
  for (std::size_t t = 0; std::getline(numbers, number, ','); ++t) {
    if (t < 3) continue;
    const std::vector<double>& row = logits[t - 1];
    const double logit = row[static_cast<std::size_t>(std::stoi(number))];
    EXPECT_LE(std::count_if(row.begin(), row.end(), [&](double other) { return other > logit; }), 1) << t;
  }
}

TEST_F(Generate, StopsAfterAnEndToken) {
  Checkpoint checkpoint = llama();
  const std::vector<int> continuation = checkpoint.model.greedy({1, 2, 3}, 10);
  const int end = continuation[4];
  const auto stop = std::find(continuation.begin(), continuation.end(), end) + 1;
  std::vector<int> wanted{1, 2, 3};
  wanted.insert(wanted.end(), continuation.begin(), stop);
  checkpoint.config["eos_token_id"] = {500, end};
  write(checkpoint);
  EXPECT_EQ(run({"--tokens", "1,2,3", "--length", "10"}).output, joined(wanted) + "\n");
}

TEST_F(Generate, RefusesConfigurationsThatMakeNoSense) {
  const Checkpoint good = llama();
  write(good);
  const auto refused = [&](const std::string& key, const Json& value, const std::string& part) {
    Json config = good.config;
    config[key] = value;
    folder_.write("config.json", config.dump());
    expect_refused({"--tokens", "1"}, "config.json: " + part);
  };
  refused("model_type", "mamba",
          "model_type is \"mamba\", of which the layers are not known here; wanted one of");
  refused("model_type", nullptr, "has no model_type");
  refused("hidden_size", 0, "hidden_size is 0, wanted a whole number from 1 to");
  refused("hidden_size", "48", "hidden_size is \"48\", wanted a whole number");
  refused("vocab_size", -3, "vocab_size is -3, wanted a whole number");
  refused("num_key_value_heads", 4, "num_key_value_heads is 4, which does not divide num_attention_heads 6");
  refused("hidden_act", "gelu", "hidden_act is \"gelu\", wanted \"silu\"");
  refused("rms_norm_eps", "small", "rms_norm_eps is \"small\", wanted a number above 0");
  refused("quantization_config", Json::object(), "has a quantization_config");
  refused("eos_token_id", "end", "eos_token_id is \"end\", wanted a token or a list");
  refused("rope_scaling", {{"rope_type", "unheard"}}, "");
  folder_.write("config.json", "{\"model_type\":");
  expect_refused({"--tokens", "1"}, "config.json: ");
  folder_.write("config.json", "[]");
  expect_refused({"--tokens", "1"}, "config.json: is no JSON object");
  fs::remove(folder_ / "config.json");
  expect_refused({"--tokens", "1"}, "config.json: cannot open it");
}

TEST_F(Generate, RefusesWeightsThatAConfigurationDoesNotFit) {
  const Checkpoint good = llama();
  write(good);
  const auto refused = [&](const std::string& key, const Json& value, const std::string& part) {
    Json config = good.config;
    config[key] = value;
    folder_.write("config.json", config.dump());
    expect_refused({"--tokens", "1"}, "model.safetensors: " + part);
  };
  const std::string layer = "model.layers.0.";
  refused("vocab_size", 60,
          "has the tensor \"model.embed_tokens.weight\" with the shape [61,48]; config.json wants [60,48]");
  refused("head_dim", 8,
          "has the tensor \"" + layer +
              "self_attn.q_proj.weight\" with the shape [96,48]; config.json wants [48,48]");
  refused("num_key_value_heads", 3,
          "has the tensor \"" + layer + "self_attn.k_proj.weight\" with the shape [32,48]");
  refused("intermediate_size", 81, "has the tensor \"" + layer + "mlp.gate_proj.weight\"");
  refused("num_hidden_layers", 2, "has a tensor \"model.layers.2.input_layernorm.weight\", which");
  refused("num_hidden_layers", 4, "has no tensor \"model.layers.3.input_layernorm.weight\"");
  refused("attention_bias", true, "has no tensor \"" + layer + "self_attn.q_proj.bias\"");
  refused("model_type", "qwen3", "has no tensor \"" + layer + "self_attn.q_norm.weight\"");
}

TEST_F(Generate, RefusesDamagedWeights) {
  const Checkpoint good = llama();
  write(good);
  const std::string file = safetensors_of(good.model, Stored::f32);
  const auto refused = [&](const std::string& bytes, const std::string& part) {
    folder_.write("model.safetensors", bytes);
    expect_refused({"--tokens", "1"}, "model.safetensors: " + part);
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bytes = file;
    return bytes.replace(bytes.find(from), from.size(), to);
  };
  refused("", "has 0 bytes, too few");
  refused(file.substr(0, 500), "says that its header has");
  refused(file.substr(0, file.size() - 4), "tensor \"lm_head.weight\" lies at bytes");
  refused(file + "more", "has 4 bytes after its last tensor");
  refused(std::string(8, '\x7F') + file.substr(8), "says that its header has 9187201950435737471 bytes");
  refused(with("\"shape\":[61,48]", "\"shape\":[48,61]"),
          "has the tensor \"model.embed_tokens.weight\" with the shape [48,61]");
  refused(with("\"shape\":[61,48]", "\"shape\":[61,47]"),
          "tensor \"model.embed_tokens.weight\" of shape [61,47] needs");
  refused(with("\"F32\"", "\"I32\""),
          "tensor \"model.embed_tokens.weight\" has numbers of type \"I32\"; wanted");
  refused(with("\"model.norm.weight\"", "\"model.norm.height\""), "has no tensor \"model.norm.weight\"");
  std::string nan = file;
  const std::uint32_t bits = 0x7FC00000;
  std::memcpy(nan.data() + nan.size() - 8, &bits, 4);
  refused(nan, "has the tensor \"lm_head.weight\" with a number that is not finite");
  fs::remove(folder_ / "model.safetensors");
  expect_refused({"--tokens", "1"},
                 "has no model.safetensors, model.safetensors.index.json or checkpoint.safetensors");
}

TEST_F(Generate, RefusesOptionsThatMakeNoSense) {
  write(llama());
  expect_refused({"--tokens", "1,61"}, "--tokens has 61, wanted 0 to 60");
  expect_refused({"--tokens", "-1"}, "--tokens has -1, wanted 0 to 60");
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"--tokens", "1", "--prompt", "A"},
                                                    {"--tokens", "one"},
                                                    {"--tokens", "1", "--length", "-1"}})
    EXPECT_EQ(run(arguments).code, 1);
  EXPECT_EQ(run({"--help"}).code, 0);
}

}  // namespace
