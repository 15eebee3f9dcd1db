// A Llama-style decoder in double precision and plain loops, from the published formulas: what examples/generate is compared
// with. It uses nothing of the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace rotary::testing {

/// One decoder. Weights are [out, in], by their names in the files of Hugging Face; they are float or less, so that the
/// program under test reads the same numbers.
struct PlainDecoder {
  std::size_t vocabulary, hidden, feed_forward, heads, kv_heads, head_dim, layers;
  double theta = 10000, epsilon = 1e-5;
  bool interleaved = false, qk_norm = false, tied = false;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  std::size_t window = 0;        ///< 0: none
  std::size_t first_window = 0;  ///< the first layer that has it
  std::size_t still_layers = 0;  ///< the last of so many layers does not rotate; 0: all rotate
  double llama3_factor = 0;      ///< 0: no scaling
  double llama3_low = 1, llama3_high = 4, llama3_length = 64;
  std::map<std::string, std::vector<double>> weights = {};

  using Vector = std::vector<double>;
  using Rows = std::vector<Vector>;

  /// Calls f(name, shape) for every tensor that the model has.
  void for_each_tensor(const std::function<void(const std::string&, std::vector<std::size_t>)>& f) const {
    const std::size_t q = heads * head_dim, k = kv_heads * head_dim;
    const auto linear = [&](const std::string& name, std::size_t out, std::size_t in, bool bias) {
      f(name + ".weight", {out, in});
      if (bias) f(name + ".bias", {out});
    };
    f("model.embed_tokens.weight", {vocabulary, hidden});
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const std::string name = "model.layers." + std::to_string(layer) + ".";
      f(name + "input_layernorm.weight", {hidden});
      f(name + "post_attention_layernorm.weight", {hidden});
      linear(name + "self_attn.q_proj", q, hidden, qkv_bias);
      linear(name + "self_attn.k_proj", k, hidden, qkv_bias);
      linear(name + "self_attn.v_proj", k, hidden, qkv_bias);
      linear(name + "self_attn.o_proj", hidden, q, output_bias);
      if (qk_norm) f(name + "self_attn.q_norm.weight", {head_dim});
      if (qk_norm) f(name + "self_attn.k_norm.weight", {head_dim});
      linear(name + "mlp.gate_proj", feed_forward, hidden, mlp_bias);
      linear(name + "mlp.up_proj", feed_forward, hidden, mlp_bias);
      linear(name + "mlp.down_proj", hidden, feed_forward, mlp_bias);
    }
    f("model.norm.weight", {hidden});
    if (!tied) f("lm_head.weight", {vocabulary, hidden});
  }

  /// The logits of what follows each token, [tokens, vocabulary].
  Rows logits(const std::vector<int>& tokens) const {
    const Vector& embedding = weights.at("model.embed_tokens.weight");
    Rows x;
    for (const int token : tokens) {
      const auto row =
          embedding.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(token) * hidden);
      x.emplace_back(row, row + static_cast<std::ptrdiff_t>(hidden));
    }
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const std::string name = "model.layers." + std::to_string(layer) + ".";
      add(x, attention(normalized(x, name + "input_layernorm"), name + "self_attn.", layer));
      Rows in = normalized(x, name + "post_attention_layernorm");
      Rows gate = linear(in, name + "mlp.gate_proj");
      const Rows up = linear(in, name + "mlp.up_proj");
      for (std::size_t t = 0; t < gate.size(); ++t)
        for (std::size_t i = 0; i < feed_forward; ++i) gate[t][i] *= up[t][i] / (1 + std::exp(-gate[t][i]));
      add(x, linear(gate, name + "mlp.down_proj"));
    }
    return linear(normalized(x, "model.norm"), tied ? "model.embed_tokens" : "lm_head");
  }

  /// The tokens that greedy generation gives after `prompt`.
  std::vector<int> greedy(std::vector<int> tokens, std::size_t length) const {
    const std::size_t prompt = tokens.size();
    for (std::size_t i = 0; i < length; ++i) {
      const Vector last = logits(tokens).back();
      tokens.push_back(static_cast<int>(std::max_element(last.begin(), last.end()) - last.begin()));
    }
    return {tokens.begin() + static_cast<std::ptrdiff_t>(prompt), tokens.end()};
  }

 private:
  static void add(Rows& x, const Rows& y) {
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
  }

  /// y = W x + b
  Rows linear(const Rows& x, const std::string& name) const {
    const Vector& weight = weights.at(name + ".weight");
    const auto bias = weights.find(name + ".bias");
    Rows y;
    for (const Vector& row : x) {
      Vector out(weight.size() / row.size());
      for (std::size_t o = 0; o < out.size(); ++o) {
        double sum = bias == weights.end() ? 0 : bias->second[o];
        for (std::size_t i = 0; i < row.size(); ++i) sum += weight[o * row.size() + i] * row[i];
        out[o] = sum;
      }
      y.push_back(out);
    }
    return y;
  }

  /// RMSNorm of `size` numbers.
  void normalize(double* x, std::size_t size, const Vector& weight) const {
    double squares = 0;
    for (std::size_t i = 0; i < size; ++i) squares += x[i] * x[i];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(size) + epsilon);
    for (std::size_t i = 0; i < size; ++i) x[i] *= factor * weight[i];
  }
  Rows normalized(Rows x, const std::string& name) const {
    for (Vector& row : x) normalize(row.data(), hidden, weights.at(name + ".weight"));
    return x;
  }

  /// theta^(-2i/d), slowed down for long wavelengths as Llama 3.1 does it.
  double frequency(std::size_t pair) const {
    const double f = std::pow(theta, -2.0 * static_cast<double>(pair) / static_cast<double>(head_dim));
    if (llama3_factor <= 0) return f;
    const double rotations = llama3_length * f / (2 * std::acos(-1.0));  // over the original length
    if (rotations > llama3_high) return f;
    if (rotations < llama3_low) return f / llama3_factor;
    const double smooth = (rotations - llama3_low) / (llama3_high - llama3_low);
    return (1 - smooth) * f / llama3_factor + smooth * f;
  }

  void rotate(double* head, std::size_t position) const {
    const std::size_t half = head_dim / 2;
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequency(i);
      double& a = head[interleaved ? 2 * i : i];
      double& b = head[interleaved ? 2 * i + 1 : i + half];
      const double rotated = a * std::cos(angle) - b * std::sin(angle);
      b = a * std::sin(angle) + b * std::cos(angle);
      a = rotated;
    }
  }

  Rows attention(const Rows& x, const std::string& name, std::size_t layer) const {
    Rows q = linear(x, name + "q_proj"), k = linear(x, name + "k_proj");
    const Rows v = linear(x, name + "v_proj");
    const bool rotates = still_layers == 0 || (layer + 1) % still_layers != 0;
    for (std::size_t t = 0; t < x.size(); ++t) {
      for (std::size_t h = 0; h < heads; ++h) {
        if (qk_norm) normalize(&q[t][h * head_dim], head_dim, weights.at(name + "q_norm.weight"));
        if (rotates) rotate(&q[t][h * head_dim], t);
      }
      for (std::size_t h = 0; h < kv_heads; ++h) {
        if (qk_norm) normalize(&k[t][h * head_dim], head_dim, weights.at(name + "k_norm.weight"));
        if (rotates) rotate(&k[t][h * head_dim], t);
      }
    }
    Rows out(x.size(), Vector(heads * head_dim, 0.0));
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t h = 0; h < heads; ++h) {
        const std::size_t of = h / (heads / kv_heads) * head_dim;  // where the head's key and value begin
        const bool sliding = window > 0 && layer >= first_window && t + 1 > window;
        const std::size_t first = sliding ? t + 1 - window : 0;
        double sum = 0;
        for (std::size_t j = first; j <= t; ++j) {
          double score = 0;
          for (std::size_t i = 0; i < head_dim; ++i) score += q[t][h * head_dim + i] * k[j][of + i];
          const double weight = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
          sum += weight;
          for (std::size_t i = 0; i < head_dim; ++i) out[t][h * head_dim + i] += weight * v[j][of + i];
        }
        for (std::size_t i = 0; i < head_dim; ++i) out[t][h * head_dim + i] /= sum;
      }
    return linear(out, name + "o_proj");
  }
};

}  // namespace rotary::testing
