// One training: the model, its optimizer and what happened so far.
#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "adam.hpp"
#include "model.hpp"
#include "run_options.hpp"
#include "task.hpp"
#include "workers.hpp"

namespace train {

/// What a validation found.
struct Validation {
  Index step = 0;
  double loss = 0;
  std::optional<double> exact_answers;  ///< share of right answers, for tasks that have them
};

/// The losses of a run from its first step on.
struct History {
  std::vector<double> training_loss;  ///< of step 1, 2, ...
  std::vector<Validation> validations;
};

inline ModelOptions model_options(const RunOptions& run, const Task& task) {
  ModelOptions options;
  options.vocabulary = task.tokenizer().size();
  options.layers = run.layers;
  options.d_ff = run.d_ff;
  options.attention.dropout = run.dropout;
  options.attention.d_model = run.d_model;
  options.attention.heads = run.heads;
  options.attention.rope_percentage = run.rope_percentage;
  options.attention.positions = run.positions == "rotary" ? PositionKind::rotary
                                : run.positions == "xpos" ? PositionKind::xpos
                                                          : PositionKind::none;
  return options;
}

/// Trains a model, a step at a time.
///
/// A batch is cut into shards, at most eight and as many whatever the number of threads. Each shard has its
/// own gradient, and the gradients are added in the order of the shards: so any number of threads gives the
/// same bits.
class Trainer {
 public:
  Trainer(const RunOptions& run, const Task& task, Workers& workers)
      : run_(run),
        task_(task),
        workers_(workers),
        model_(model_options(run, task)),
        parameters_(model_.parameters()),
        adam_(parameters_, {}),
        activations_(static_cast<std::size_t>(workers.count())) {
    model_.initialize(run.seed);
    for (Index shard = 0; shard < std::min(run.batch, kMostShards); ++shard) {
      gradients_.push_back(std::make_unique<Model<float>>(model_.options()));
      gradient_parameters_.push_back(gradients_.back()->parameters());
    }
  }

  const RunOptions& run() const { return run_; }
  const Task& task() const { return task_; }
  const Model<float>& model() const { return model_; }
  const Parameters<float>& parameters() const { return parameters_; }
  Adam<float>& adam() { return adam_; }
  const Adam<float>& adam() const { return adam_; }
  History& history() { return history_; }
  const History& history() const { return history_; }

  Index steps_done() const { return static_cast<Index>(history_.training_loss.size()); }
  Index tokens_per_step() const { return run_.batch * task_.seq_len(); }

  /// The step at which the run is complete.
  Index last_step() const {
    return run_.steps > 0 ? run_.steps
                          : std::max<Index>(1, run_.epochs * task_.sequences_per_epoch() / run_.batch);
  }

  double learning_rate(Index step) const {
    return noam_learning_rate(run_.learning_rate, run_.d_model, run_.warmup, step);
  }

  /// Takes one step and returns its mean loss. Throws std::runtime_error if the loss is no longer a number.
  double train_step() {
    const Index step = steps_done() + 1;
    const Index shards = static_cast<Index>(gradients_.size());
    const std::vector<Batch> batches = training_shards(step, shards);
    Index graded = 0;
    for (const Batch& batch : batches) graded += graded_tokens(batch);

    std::vector<Loss> losses(batches.size());
    workers_.run(shards, [&](Index shard, Index worker) {
      const auto s = static_cast<std::size_t>(shard);
      for (const auto& gradient : gradient_parameters_[s]) gradient.values().setZero();
      Random dropout(
          {run_.seed, kDropout, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(shard)});
      losses[s] = model_.train(batches[s], 1.0 / static_cast<double>(graded),
                               activations_[static_cast<std::size_t>(worker)], dropout, *gradients_[s]);
    });
    Loss loss;
    for (const Loss& shard : losses) loss += shard;
    if (!std::isfinite(loss.sum))
      throw std::runtime_error(
          "the loss of step " + std::to_string(step) +
          " is not a number any more: try a smaller --learning-rate or a longer --warmup");
    update(step, add_gradients());
    history_.training_loss.push_back(loss.mean());
    return loss.mean();
  }

  /// Validates with up to `most` sequences, spread evenly over those of the task.
  Validation validate(Index most = std::numeric_limits<Index>::max()) {
    const Index all = task_.validation_sequences();
    const Index sequences = std::min(most, all);
    const Index chunk = std::max<Index>(1, kValidationTokens / task_.seq_len());
    const Index chunks = (sequences + chunk - 1) / chunk;
    std::vector<Loss> losses(static_cast<std::size_t>(chunks));
    std::vector<Index> exact(static_cast<std::size_t>(chunks));
    workers_.run(chunks, [&](Index piece, Index worker) {
      const Index first = piece * chunk, count = std::min(chunk, sequences - first);
      Batch batch = task_.empty_batch(count);
      for (Index i = 0; i < count; ++i) task_.validation_sequence((first + i) * all / sequences, i, batch);
      auto& activations = activations_[static_cast<std::size_t>(worker)];
      model_.forward(batch, activations);
      const auto p = static_cast<std::size_t>(piece);
      exact[p] = exact_answers(batch, activations.logits);
      losses[p] = cross_entropy(activations.logits, batch.targets, 0.0);
    });
    Loss loss;
    Index right = 0;
    for (std::size_t p = 0; p < losses.size(); ++p) {
      loss += losses[p];
      right += exact[p];
    }
    Validation found;
    found.step = steps_done();
    found.loss = loss.mean();
    if (task_.has_exact_answers())
      found.exact_answers = static_cast<double>(right) / static_cast<double>(sequences);
    return found;
  }

  /// The number of sequences of the batch in whose answer the likeliest token is right everywhere. Each token
  /// is predicted after the right ones, so for these sequences greedy decoding gives exactly the answer.
  static Index exact_answers(const Batch& batch, const Matrix<float>& logits) {
    Index right = 0;
    for (Index column = 0; column < batch.batch; ++column) {
      bool exact = true;
      for (Index t = 0; t < batch.seq && exact; ++t) {
        const Index row = t * batch.batch + column;
        const int target = batch.targets[static_cast<std::size_t>(row)];
        Index likeliest = 0;
        if (target != kNotGraded) logits.row(row).maxCoeff(&likeliest);
        exact = target == kNotGraded || likeliest == target;
      }
      right += exact;
    }
    return right;
  }

 private:
  static constexpr Index kMostShards = 8;
  static constexpr Index kValidationTokens = 512;  ///< in one forward pass: they stay in the cache

  static Index graded_tokens(const Batch& batch) {
    return static_cast<Index>(batch.targets.size()) -
           static_cast<Index>(std::count(batch.targets.begin(), batch.targets.end(), kNotGraded));
  }

  std::vector<Batch> training_shards(Index step, Index shards) const {
    std::vector<Batch> batches;
    for (Index shard = 0; shard < shards; ++shard) {
      const Index first = shard * run_.batch / shards, last = (shard + 1) * run_.batch / shards;
      batches.push_back(task_.training_batch(run_.seed, step, first, last - first));
    }
    return batches;
  }

  /// Adds the gradients of all shards to that of the first; returns what to multiply them by, to clip their
  /// length.
  double add_gradients() {
    std::vector<double> squares(parameters_.size());
    workers_.run(static_cast<Index>(parameters_.size()), [&](Index index, Index) {
      const auto i = static_cast<std::size_t>(index);
      auto sum = gradient_parameters_[0][i].values();
      for (std::size_t s = 1; s < gradient_parameters_.size(); ++s)
        sum += gradient_parameters_[s][i].values();
      squares[i] = static_cast<double>(sum.square().sum());
    });
    double square = 0;
    for (const double part : squares) square += part;
    const double length = std::sqrt(square);
    return length > run_.gradient_clip ? run_.gradient_clip / length : 1.0;
  }

  void update(Index step, double gradient_scale) {
    workers_.run(static_cast<Index>(parameters_.size()), [&](Index index, Index) {
      const auto i = static_cast<std::size_t>(index);
      adam_.update(i, parameters_[i], gradient_parameters_[0][i], gradient_scale, learning_rate(step), step);
    });
  }

  RunOptions run_;
  const Task& task_;
  Workers& workers_;
  Model<float> model_;
  Parameters<float> parameters_;
  Adam<float> adam_;
  std::vector<Model<float>::Activations> activations_;
  std::vector<std::unique_ptr<Model<float>>> gradients_;
  std::vector<Parameters<float>> gradient_parameters_;
  History history_;
};

}  // namespace train
