// Learns frequencies by gradient descent: from rotated queries, finds out how fast they were rotated.
#include <cmath>
#include <cstdio>
#include <rotary/rotary.hpp>
#include <vector>

int main() {
  constexpr long kTokens = 16;
  const std::vector<double> hidden{0.9, 0.31};
  rotary::Tensor<double, 2> x(kTokens, 4);  // [seq, head_dim]
  x.setConstant(1);
  const auto wanted = rotary::RotaryEmbedding<double>({.custom_freqs = hidden}).rotate_queries_or_keys(x);

  rotary::RotaryEmbedding<double> learner({.custom_freqs = {0.8, 0.4}, .learned_freq = true});
  double loss = 0;
  for (int step = 0; step < 400; ++step) {
    // loss = |R x − wanted|² / 2, whose gradient with respect to R x is R x − wanted.
    const rotary::Tensor<double, 2> error = learner.rotate_queries_or_keys(x) - wanted;
    loss = 0;
    for (long i = 0; i < error.size(); ++i) loss += error.data()[i] * error.data()[i] / 2;
    const std::vector<double> gradient = learner.frequency_gradient(x, error);
    std::vector<double> freqs = learner.freqs();
    for (std::size_t i = 0; i < freqs.size(); ++i) freqs[i] -= 2e-4 * gradient[i];
    learner.set_freqs(freqs);
  }
  std::printf("learned %.4f and %.4f; hidden were %.4f and %.4f\n", learner.freqs()[0], learner.freqs()[1],
              hidden[0], hidden[1]);
  return loss < 1e-6 ? 0 : 1;
}

// prints:
//   learned 0.9000 and 0.3100; hidden were 0.9000 and 0.3100
