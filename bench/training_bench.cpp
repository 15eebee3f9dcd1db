// A training step of examples/train_transformer, with the defaults of the experiment and the flags of the trainer, against
// Eigen's own products of the same shapes and count.
#include <array>
#include <cmath>
#include <map>
#include <memory>

#include "../examples/train_transformer/adam.hpp"
#include "../examples/train_transformer/model.hpp"
#include "support/comparison.hpp"
#include "support/compiled_kernels.hpp"

namespace {

using namespace bench;
using Matrix = train::Matrix<float>;

constexpr Index kBatch = 4, kVocabulary = 65;
Index sequence() { return settings().smoke ? 64 : 512; }

train::ModelOptions model_options() {
  train::ModelOptions options;
  options.vocabulary = kVocabulary;
  options.attention.d_model = 128;
  options.attention.heads = 16;
  return options;
}

/// The model, the gradient of each sequence, and the optimizer; random tokens.
struct Training {
  train::Model<float> model{model_options()};
  train::Parameters<float> parameters = model.parameters();
  train::Adam<float> adam{parameters, {}};
  train::Model<float>::Activations activations;
  std::vector<std::unique_ptr<train::Model<float>>> gradients;
  std::vector<train::Parameters<float>> of_gradients;
  std::vector<train::Batch> batches;
  std::vector<float> losses;
  Index steps = 0;

  Training() {
    model.initialize(1);
    train::Random random({1});
    const auto token = [&] { return static_cast<int>(random.below(kVocabulary)); };
    for (Index n = 0; n < kBatch; ++n) {
      gradients.push_back(std::make_unique<train::Model<float>>(model_options()));
      of_gradients.push_back(gradients.back()->parameters());
      train::Batch& batch = batches.emplace_back(train::Batch{sequence(), 1, {}, {}});
      for (Index t = 0; t < sequence(); ++t)
        batch.inputs.push_back(token()), batch.targets.push_back(token());
    }
  }

  void step() {
    double loss = 0;
    for (std::size_t n = 0; n < batches.size(); ++n) {
      for (const auto& gradient : of_gradients[n]) gradient.values().setZero();
      train::Random dropout({1, n});
      loss += model
                  .train(batches[n], 1.0 / static_cast<double>(kBatch * sequence()), activations, dropout,
                         *gradients[n])
                  .mean();
    }
    ++steps;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      auto sum = of_gradients[0][i].values();
      for (std::size_t n = 1; n < batches.size(); ++n) sum += of_gradients[n][i].values();
      adam.update(i, parameters[i], of_gradients[0][i], 1, 1e-3, steps);
    }
    losses.push_back(static_cast<float>(loss) / static_cast<float>(kBatch));
  }

  /// Steps on few sequences lower their loss.
  std::string check() {
    for (int n = 0; n < 3; ++n) step();
    if (!std::isfinite(losses.back())) return "the loss is " + std::to_string(losses.back());
    return losses.back() < losses.front() ? "" : "the loss does not fall";
  }
};

/// The products of a linear map of `rows` tokens: forward, and the gradients of inputs and weights.
void linear_map(Index rows, Index in, Index out) {
  static std::map<std::array<Index, 3>, std::array<Matrix, 3>> all;
  auto& [x, weight, y] = all[{rows, in, out}];
  if (x.size() == 0) x.setZero(rows, in), weight.setZero(out, in), y.setZero(rows, out);
  y.noalias() = x * weight.transpose();
  x.noalias() = y * weight;
  weight.noalias() = y.transpose() * x;
  benchmark::ClobberMemory();
}

/// The products of one causal head, for blocks of queries and all keys up to their last: two of forward and five of
/// backward.
void head(Index seq, Index d) {
  constexpr Index kBlock = 128;
  static Matrix q, k, scores, out;
  if (q.rows() != seq) {
    q.setZero(seq, d), k.setZero(seq, d);
    scores.setZero(kBlock, seq), out.setZero(seq, d);
  }
  for (Index first = 0; first < seq; first += kBlock) {
    const Index rows = std::min(kBlock, seq - first), keys = first + rows;
    auto block = scores.topLeftCorner(rows, keys);
    for (int n = 0; n < 3; ++n) {  // scores, again, and the gradients of probabilities
      block.noalias() = q.middleRows(first, rows) * k.topRows(keys).transpose();
      benchmark::ClobberMemory();
    }
    for (int n = 0; n < 2; ++n) {  // outputs, and the gradients of queries
      out.middleRows(first, rows).noalias() = block * k.topRows(keys);
      benchmark::ClobberMemory();
    }
    for (int n = 0; n < 2; ++n) {  // the gradients of keys and of values
      out.topRows(keys).noalias() += block.transpose() * q.middleRows(first, rows);
      benchmark::ClobberMemory();
    }
  }
}

void products() {
  const train::ModelOptions options = model_options();
  const Index seq = sequence(), width = options.attention.d_model, heads = options.attention.heads;
  for (Index n = 0; n < kBatch; ++n) {
    for (Index layer = 0; layer < options.layers; ++layer) {
      for (int map = 0; map < 4; ++map) linear_map(seq, width, width);  // queries, keys, values, output
      linear_map(seq, width, options.d_ff);
      linear_map(seq, options.d_ff, width);
      for (Index h = 0; h < heads; ++h) head(seq, width / heads);
    }
    linear_map(seq, width, kVocabulary);
  }
}

}  // namespace

void bench::register_benchmarks() {
  add({"training/step", "training step of the experiment, 4 × 512 tokens", "Eigen's products alone",
       at_least(0.6)},
      [] {
        const auto training = std::make_shared<Training>();
        return Comparison{repeated([=] { training->step(); }), repeated(products),
                          [=] { return training->check(); }, 1, 1};
      });
}
