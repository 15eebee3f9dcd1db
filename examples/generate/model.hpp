// The weights of a decoder, read from a folder.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "layers.hpp"
#include "model_config.hpp"
#include "weights.hpp"

namespace generate {

/// One layer: x + attention(norm(x)), then that + feed_forward(norm(that)).
struct Layer {
  LayerConfig config;
  Norm attention_norm, feed_forward_norm;
  Linear query, key, value, output;
  std::optional<Norm> query_norm, key_norm;  ///< of each head
  FeedForward feed_forward;
};

struct Model {
  ModelConfig config;
  Matrix embedding;  ///< [vocabulary, hidden]
  std::vector<Layer> layers;
  Norm norm;
  Linear head;  ///< without a weight if that of the embedding is used

  const Matrix& head_weight() const { return config.tied_embeddings ? embedding : head.weight; }
};

namespace detail {

/// Reads the parts of a model by their names in the files of Hugging Face.
class LlamaReader {
 public:
  LlamaReader(const ModelConfig& config, Weights& weights) : config_(config), weights_(weights) {}

  Model read() {
    Model model{config_,
                weights_.matrix("model.embed_tokens.weight", config_.vocabulary, config_.hidden),
                {},
                {},
                {}};
    for (std::size_t i = 0; i < config_.layers.size(); ++i)
      model.layers.push_back(layer("model.layers." + std::to_string(i) + ".", config_.layers[i]));
    model.norm = norm("model.norm", config_.hidden);
    if (config_.tied_embeddings)
      weights_.ignore("lm_head.weight");
    else
      model.head = linear("lm_head", config_.vocabulary, config_.hidden, false);
    return model;
  }

 private:
  Layer layer(const std::string& name, const LayerConfig& of) {
    const std::string attention = name + "self_attn.", mlp = name + "mlp.";
    const Index hidden = config_.hidden, queries = config_.heads * config_.head_dim,
                keys = config_.kv_heads * config_.head_dim;
    weights_.ignore(attention + "rotary_emb.inv_freq");  // of older files; the configuration says as much
    Layer layer;
    layer.config = of;
    layer.attention_norm = norm(name + "input_layernorm", hidden);
    layer.feed_forward_norm = norm(name + "post_attention_layernorm", hidden);
    layer.query = linear(attention + "q_proj", queries, hidden, config_.qkv_bias);
    layer.key = linear(attention + "k_proj", keys, hidden, config_.qkv_bias);
    layer.value = linear(attention + "v_proj", keys, hidden, config_.qkv_bias);
    layer.output = linear(attention + "o_proj", hidden, queries, config_.output_bias);
    if (config_.qk_norm) {
      layer.query_norm = norm(attention + "q_norm", config_.head_dim);
      layer.key_norm = norm(attention + "k_norm", config_.head_dim);
    }
    const bool bias = config_.feed_forward_bias;
    layer.feed_forward = {config_.activation, linear(mlp + "gate_proj", config_.feed_forward, hidden, bias),
                          linear(mlp + "up_proj", config_.feed_forward, hidden, bias),
                          linear(mlp + "down_proj", hidden, config_.feed_forward, bias)};
    return layer;
  }

  Norm norm(const std::string& name, Index features) {
    return {NormKind::rms,
            static_cast<float>(config_.norm_epsilon),
            weights_.vector(name + ".weight", features),
            {}};
  }
  Linear linear(const std::string& name, Index out, Index in, bool bias) {
    Linear linear{weights_.matrix(name + ".weight", out, in), {}};
    if (bias) linear.bias = weights_.vector(name + ".bias", out);
    return linear;
  }

  const ModelConfig& config_;
  Weights& weights_;
};

/// Reads the parts of a model by the names of train_transformer. Its linear maps other than those of attention are [in, out].
class TrainedReader {
 public:
  TrainedReader(const ModelConfig& config, Weights& weights) : config_(config), weights_(weights) {}

  Model read() {
    Model model{config_, weights_.matrix("embedding.weight", config_.vocabulary, config_.hidden), {}, {}, {}};
    for (std::size_t i = 0; i < config_.layers.size(); ++i)
      model.layers.push_back(layer("layers." + std::to_string(i) + ".", config_.layers[i]));
    model.norm = norm("norm");
    model.head = transposed("head", config_.hidden, config_.vocabulary);
    weights_.ignore_beginning("adam.");
    weights_.ignore_beginning("history.");
    return model;
  }

 private:
  Layer layer(const std::string& name, const LayerConfig& of) {
    const std::string attention = name + "attention.";
    Layer layer;
    layer.config = of;
    layer.attention_norm = norm(name + "norm_attention");
    layer.feed_forward_norm = norm(name + "norm_feed_forward");
    layer.query = square(attention + "query.linear");
    layer.key = square(attention + "key.linear");
    layer.value = square(attention + "value.linear");
    layer.output = square(attention + "output");
    layer.feed_forward = {config_.activation,
                          {},
                          transposed(name + "feed_forward.layer1", config_.hidden, config_.feed_forward),
                          transposed(name + "feed_forward.layer2", config_.feed_forward, config_.hidden)};
    return layer;
  }

  Norm norm(const std::string& name) {
    return {NormKind::layer, static_cast<float>(config_.norm_epsilon),
            weights_.vector(name + ".gain", config_.hidden), weights_.vector(name + ".bias", config_.hidden)};
  }
  /// A linear map of attention. Runs may be without the biases of queries and keys.
  Linear square(const std::string& name) {
    Linear linear{weights_.matrix(name + ".weight", config_.hidden, config_.hidden), {}};
    if (weights_.has(name + ".bias")) linear.bias = weights_.vector(name + ".bias", config_.hidden);
    return linear;
  }
  Linear transposed(const std::string& name, Index in, Index out) {
    return {weights_.matrix(name + ".weight", in, out).transpose(), weights_.vector(name + ".bias", out)};
  }

  const ModelConfig& config_;
  Weights& weights_;
};

}  // namespace detail

/// Reads config.json and the weights of a folder. Throws train::FileError if they do not fit each other.
inline Model read_model(const std::filesystem::path& folder) {
  const ModelConfig config = read_model_config(folder / "config.json");
  Weights weights(folder);
  Model model = config.norm == NormKind::layer ? detail::TrainedReader(config, weights).read()
                                               : detail::LlamaReader(config, weights).read();
  weights.check_all_used();
  return model;
}

}  // namespace generate
