// A text that a model reads and continues: prefill and decode, with cached keys and values.
#pragma once

#include <algorithm>
#include <rotary/attention/attend_cached.hpp>
#include <span>
#include <string>
#include <vector>

#include "model.hpp"

namespace generate {

/// The keys and values of one layer, and its attention.
class LayerCache {
 public:
  LayerCache(const ModelConfig& config, const LayerConfig& layer, Index tokens)
      : cache_(frequencies(layer, tokens), layout(layer), sizes(config, tokens)),
        sequence_(cache_.add_sequence()) {
    options_.window = layer.window;
    options_.rotate_queries = true;
    options_.scale =
        (layer.rope ? layer.rope->softmax_scale : 1) / std::sqrt(static_cast<double>(config.head_dim));
  }

  /// Appends keys and values [tokens, kv_heads · head_dim], and attends from the queries of the same tokens [tokens, heads ·
  /// head_dim]. Queries and keys are not yet rotated.
  void attend(const Matrix& queries, const Matrix& keys, const Matrix& values, Matrix& out,
              const Device& device) {
    const Index tokens = queries.rows(), kv_heads = cache_.heads(), d = cache_.head_dim(),
                heads = queries.cols() / d;
    cache_.append(sequence_, view(keys, kv_heads, d), view(values, kv_heads, d));
    out.resize(tokens, queries.cols());
    rotary::attend_cached(view(queries, heads, d), cache_, sequence_,
                          rotary::StridedView<float>(out.data(), {tokens, heads, d}), options_, device);
  }

 private:
  static rotary::StridedView<const float> view(const Matrix& x, Index heads, Index d) {
    return {x.data(), {x.rows(), heads, d}};
  }

  /// Some depend on the length of the text. Without a rotary embedding it is one frequency of 0, which rotates nothing.
  static rotary::Frequencies frequencies(const LayerConfig& layer, Index tokens) {
    if (layer.rope) return layer.rope->rope_frequencies(static_cast<double>(tokens));
    return rotary::custom_frequencies(std::vector<double>{0});
  }
  static rotary::HeadLayout layout(const LayerConfig& layer) {
    rotary::HeadLayout layout = layer.rope ? layer.rope->layout() : rotary::HeadLayout{};
    layout.seq_dim = -3;
    return layout;
  }
  static rotary::KeyValueCacheOptions sizes(const ModelConfig& config, Index tokens) {
    rotary::KeyValueCacheOptions options{.heads = config.kv_heads, .head_dim = config.head_dim};
    options.pages = (tokens + options.page_tokens - 1) / options.page_tokens;
    return options;
  }

  rotary::KeyValueCache<float> cache_;
  rotary::SequenceId sequence_;
  rotary::CachedAttentionOptions<float> options_;
};

/// One text of at most `tokens` tokens.
class Session {
 public:
  Session(const Model& model, Index tokens, const Device& device) : model_(model), device_(device) {
    for (const Layer& layer : model.layers) caches_.emplace_back(model.config, layer.config, tokens);
  }

  /// Which logits `read` returns.
  enum class Logits { last, all };

  /// Reads tokens, which come after those that were read before. Returns the logits of what follows each of them, [tokens,
  /// vocabulary], or what follows the last one, [1, vocabulary].
  const Matrix& read(std::span<const int> tokens, Logits which = Logits::last) {
    // Activations have a row for each token of a part; a long prompt is read in several.
    constexpr std::size_t kPart = 512;
    Matrix all(which == Logits::all ? static_cast<Index>(tokens.size()) : 0, model_.config.vocabulary);
    for (std::size_t first = 0; first < tokens.size(); first += kPart) {
      read_part(tokens.subspan(first, std::min(kPart, tokens.size() - first)));
      if (which == Logits::last && first + kPart < tokens.size()) continue;
      if (which == Logits::last) x_ = x_.bottomRows(1).eval();
      model_.norm.forward(x_, in_);
      multiply_transposed(in_, model_.head_weight(), logits_, device_);
      if (model_.head.bias.size() > 0) logits_.rowwise() += model_.head.bias;
      if (which == Logits::all) all.middleRows(static_cast<Index>(first), logits_.rows()) = logits_;
    }
    if (which == Logits::all) logits_.swap(all);
    return logits_;
  }

 private:
  /// Leaves what comes out of the last layer in `x_`.
  void read_part(std::span<const int> tokens) {
    x_.resize(static_cast<Index>(tokens.size()), model_.config.hidden);
    for (std::size_t t = 0; t < tokens.size(); ++t)
      x_.row(static_cast<Index>(t)) = model_.embedding.row(tokens[t]);
    for (std::size_t i = 0; i < caches_.size(); ++i) {
      const Layer& layer = model_.layers[i];
      layer.attention_norm.forward(x_, in_);
      layer.query.forward(in_, queries_, device_);
      layer.key.forward(in_, keys_, device_);
      layer.value.forward(in_, values_, device_);
      if (layer.query_norm) normalize_heads(*layer.query_norm, queries_);
      if (layer.key_norm) normalize_heads(*layer.key_norm, keys_);
      caches_[i].attend(queries_, keys_, values_, attended_, device_);
      layer.output.forward(attended_, branch_, device_);
      x_ += branch_;
      layer.feed_forward_norm.forward(x_, in_);
      layer.feed_forward.forward(in_, hidden_, gated_, branch_, device_);
      x_ += branch_;
    }
  }

  void normalize_heads(const Norm& norm, Matrix& x) const {
    norm.forward(x.data(), x.data(), x.size() / model_.config.head_dim);
  }

  const Model& model_;
  const Device& device_;
  std::vector<LayerCache> caches_;
  Matrix x_, in_, queries_, keys_, values_, attended_, branch_, hidden_, gated_, logits_;
};

}  // namespace generate
