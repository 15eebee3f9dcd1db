// config.json and tokenizer.json: what examples/generate needs besides the checkpoint.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "files.hpp"
#include "layers.hpp"
#include "run_options.hpp"
#include "tokenizer.hpp"

namespace train {

/// The configuration of a model, with the names of Hugging Face where they have one. `rotary_pct` and `rotary_emb_base` are
/// GPT-NeoX's, whose features are paired as here.
inline nlohmann::json model_config(const RunOptions& run, const Tokenizer& tokenizer) {
  return {{"model_type", "train_transformer"},
          {"vocab_size", tokenizer.size()},
          {"hidden_size", run.d_model},
          {"intermediate_size", run.d_ff},
          {"num_hidden_layers", run.layers},
          {"num_attention_heads", run.heads},
          {"layer_norm_eps", LayerNorm<double>::kEpsilon},
          {"hidden_act", "relu"},
          {"positions", run.positions},
          {"rotary_pct", run.rope_percentage},
          {"rotary_emb_base", 10000.0},
          {"max_position_embeddings", run.seq_len}};
}

/// The vocabulary in the format of Hugging Face's tokenizer.json: BPE without merges, where each character is a token.
inline nlohmann::json tokenizer_file(const Tokenizer& tokenizer) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (int token = 0; token < tokenizer.size(); ++token) vocabulary[tokenizer.decode({token})] = token;
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}};
}

/// Writes both into a folder; throws FileError.
inline void write_model_files(const std::filesystem::path& folder, const RunOptions& run,
                              const Tokenizer& tokenizer) {
  write_file_atomically(folder / "config.json", {model_config(run, tokenizer).dump(2)});
  write_file_atomically(folder / "tokenizer.json", {tokenizer_file(tokenizer).dump(2)});
}

}  // namespace train
