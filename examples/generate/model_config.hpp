// ModelConfig: what config.json says of a model.
#pragma once

#include <filesystem>
#include <optional>
#include <rotary/models/rope_parameters.hpp>
#include <string>
#include <vector>

namespace generate {

using rotary::Index;

enum class NormKind { rms, layer };
enum class Activation { silu, relu };

/// What layers of one model differ in.
struct LayerConfig {
  std::optional<rotary::RopeParameters> rope;  ///< empty: queries and keys are not rotated
  std::optional<Index> window;                 ///< how many tokens a query sees, its own included; empty: all
};

struct ModelConfig {
  std::string model_type;
  Index vocabulary = 0, hidden = 0, feed_forward = 0;
  Index heads = 0, kv_heads = 0, head_dim = 0;
  std::vector<LayerConfig> layers;

  NormKind norm = NormKind::rms;
  double norm_epsilon = 0;
  Activation activation = Activation::silu;
  bool gated = true;                 ///< the feed-forward network has a gate: SwiGLU
  bool qk_norm = false;              ///< each head of queries and keys is normalized before it is rotated
  bool qkv_bias = false;             ///< of the projections to queries, keys and values
  bool output_bias = false;          ///< of the projection after attention
  bool feed_forward_bias = false;    ///< of the feed-forward network
  bool head_bias = false;            ///< of the output head
  bool tied_embeddings = false;      ///< the output head has the weights of the embedding
  std::vector<int> end_tokens = {};  ///< generation stops after one of them
};

/// Reads a config.json. Throws train::FileError, which names the file and the key, if the model is of a type that this
/// program does not know, or if a key is missing or has a value that makes no sense.
ModelConfig read_model_config(const std::filesystem::path& path);

}  // namespace generate
