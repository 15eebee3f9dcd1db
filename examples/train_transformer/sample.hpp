// Text from a trained model.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model.hpp"
#include "random.hpp"
#include "tokenizer.hpp"

namespace train {

/// Draws a token from softmax(logits / temperature); with temperature 0, takes the likeliest.
inline int draw_token(const RowVector<float>& logits, double temperature, Random& random) {
  Index likeliest = 0;
  const float largest = logits.maxCoeff(&likeliest);
  if (temperature <= 0) return static_cast<int>(likeliest);
  std::vector<double> cumulated;
  double total = 0;
  for (const float logit : logits) {
    total += std::exp((static_cast<double>(logit) - static_cast<double>(largest)) / temperature);
    cumulated.push_back(total);
  }
  const auto found = std::upper_bound(cumulated.begin(), cumulated.end(), random.uniform() * total);
  return static_cast<int>(std::min<std::ptrdiff_t>(found - cumulated.begin(), logits.size() - 1));
}

/// Continues `prompt` by `length` tokens, and returns those. The model sees the last `window` tokens.
///
/// It reads the window again for every token. That is the plainest way; decoding with cached keys is faster,
/// and shown by the examples of the library.
inline std::string continue_text(const Model<float>& model, const Tokenizer& tokenizer,
                                 const std::string& prompt, Index length, Index window, double temperature,
                                 Random random) {
  std::vector<int> tokens = tokenizer.encode(prompt);
  const std::size_t start = tokens.size();
  Model<float>::Activations activations;
  for (Index i = 0; i < length && !tokens.empty(); ++i) {
    const auto seen = std::min(tokens.size(), static_cast<std::size_t>(window));
    Batch batch{
        static_cast<Index>(seen), 1, {tokens.end() - static_cast<std::ptrdiff_t>(seen), tokens.end()}, {}};
    model.forward(batch, activations);
    tokens.push_back(draw_token(activations.logits.row(batch.seq - 1), temperature, random));
  }
  return tokenizer.decode({tokens.begin() + static_cast<std::ptrdiff_t>(start), tokens.end()});
}

}  // namespace train
