// Which token comes next.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "../train_transformer/random.hpp"
#include "device.hpp"

namespace generate {

struct SamplingOptions {
  double temperature = 0;  ///< 0 takes the likeliest token
  Index top_k = 0;         ///< draws from so many likeliest tokens; 0: from all
};

/// Draws a token from softmax(logits / temperature). Of tokens with equal logits, the smaller one counts as likelier.
inline int draw_token(const RowVector& logits, const SamplingOptions& options, train::Random& random) {
  std::vector<int> tokens(static_cast<std::size_t>(logits.size()));
  std::iota(tokens.begin(), tokens.end(), 0);
  const Index wanted = options.temperature <= 0 ? 1 : options.top_k > 0 ? options.top_k : logits.size();
  const auto end = tokens.begin() + std::min(wanted, logits.size());
  std::partial_sort(tokens.begin(), end, tokens.end(),
                    [&](int a, int b) { return logits(a) > logits(b) || (logits(a) == logits(b) && a < b); });
  if (options.temperature <= 0) return tokens.front();
  std::vector<double> sums;
  double sum = 0;
  for (auto token = tokens.begin(); token != end; ++token) {
    sum += std::exp((static_cast<double>(logits(*token)) - static_cast<double>(logits(tokens.front()))) /
                    options.temperature);
    sums.push_back(sum);
  }
  const auto drawn = std::upper_bound(sums.begin(), sums.end() - 1, random.uniform() * sum);
  return tokens[static_cast<std::size_t>(drawn - sums.begin())];
}

}  // namespace generate
