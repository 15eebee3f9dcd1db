// Reads the configuration that Llama 3.1 is published with, and rotates queries and keys as the model does.
#include <cstdio>
#include <rotary/from_config.hpp>
#include <rotary/rotary.hpp>

namespace {

// The relevant part of its config.json, and a key that belongs to YaRN.
constexpr const char* kConfig = R"({
  "model_type": "llama",
  "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
  "rope_theta": 500000.0,
  "rope_scaling": {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "beta_fast": 32
  },
  "vocab_size": 128256
})";

}  // namespace

int main() {
  const rotary::ModelConfiguration llama = rotary::from_config(kConfig);
  for (const rotary::ConfigurationNote& note : llama.notes) std::printf("%s\n", note.text.c_str());

  // Pairs that rotate fast are those of Llama 3; slow ones rotate 8 times slower.
  const rotary::RopeParameters& rope = llama.layer(0);
  const rotary::RotaryEmbedding<float> rotary_emb(rope);
  const rotary::RotaryEmbedding<float> llama3({.dim = rope.rotary_dim, .theta = rope.theta});
  for (const std::size_t pair : {0u, 20u, 30u, 40u, 63u})
    std::printf("pair %2zu: %.2e radians per token, %.2f times slower\n", pair, rotary_emb.freqs()[pair],
                llama3.freqs()[pair] / rotary_emb.freqs()[pair]);

  // Four heads of queries share one of keys; the score is that of the last token with the first, 999 tokens
  // before.
  rotary::Tensor<float, 4> q(1, 32, 1, 128), k(1, 8, 1000, 128);  // [batch, heads, seq, head_dim]
  q.setConstant(1);
  k.setConstant(1);
  for (const long first : {0, 100000}) {
    const auto rotated_q = rotary_emb.rotate_queries_or_keys(q, first + 999);
    const auto rotated_k = rotary_emb.rotate_queries_or_keys(k, first);
    double score = 0;
    for (int i = 0; i < 128; ++i)
      score += static_cast<double>(rotated_q(0, 31, 0, i)) * static_cast<double>(rotated_k(0, 31 / 4, 0, i));
    std::printf("query at %6ld, key at %6ld: %.2f\n", first + 999, first, score);
  }
}

// prints:
//   rope_scaling.beta_fast is 32: it is ignored, since rope_type llama3 has no such parameter
//   pair  0: 1.00e+00 radians per token, 1.00 times slower
//   pair 20: 1.66e-02 radians per token, 1.00 times slower
//   pair 30: 1.37e-03 radians per token, 1.55 times slower
//   pair 40: 3.43e-05 radians per token, 8.00 times slower
//   pair 63: 3.07e-07 radians per token, 8.00 times slower
//   query at    999, key at      0: 71.24
//   query at 100999, key at 100000: 71.24
