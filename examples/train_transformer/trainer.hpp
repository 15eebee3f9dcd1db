// One training: the model, its optimizer and what happened so far.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "adam.hpp"
#include "data_parallel.hpp"
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

/// The model of a run. `frequencies`, if given, replace those of training.
inline ModelOptions model_options(const RunOptions& run, const Task& task,
                                  std::optional<rotary::Frequencies> frequencies = {}) {
  ModelOptions options;
  options.vocabulary = task.tokenizer().size();
  options.layers = run.layers;
  options.d_ff = run.d_ff;
  options.attention.dropout = run.dropout;
  options.attention.d_model = run.d_model;
  options.attention.heads = run.heads;
  options.attention.rope_percentage = run.rope_percentage;
  options.attention.positions = position_kind(run.positions).value();
  options.attention.frequencies = std::move(frequencies);
  return options;
}

/// Trains a model, a step at a time.
///
/// A batch is cut into shards, at most eight and as many whatever the number of threads and ranks. Each shard
/// has its own gradient, and the gradients are added in the order of the shards: so any number of threads
/// gives the same bits. Several ranks share the shards. Each adds the gradients of its own in their order, and MPI
/// adds those of the ranks, which rounds in another order than one rank does.
class Trainer {
 public:
  /// `frequencies`, if given, replace those of the run: for validation at another length.
  Trainer(const RunOptions& run, const Task& task, Workers& workers,
          std::optional<rotary::Frequencies> frequencies = {}, const Ranks& ranks = one_process)
      : run_(run),
        task_(task),
        workers_(workers),
        ranks_(ranks),
        model_(model_options(run, task, std::move(frequencies))),
        parameters_(model_.parameters()),
        adam_(parameters_, {}),
        activations_(static_cast<std::size_t>(workers.count())) {
    model_.initialize(run.seed);
    shards_ = std::min(run.batch, kMostShards);
    if (shards_ < ranks.count())
      throw OptionError("--batch " + std::to_string(run.batch) + " is cut into " + std::to_string(shards_) +
                        " shards, too few for " + std::to_string(ranks.count()) + " ranks");
    if (workers.count() > 1 && !ranks.any_thread())
      throw OptionError("this MPI lets one thread call it, wanted --threads 1");
    first_shard_ = ranks.rank() * shards_ / ranks.count();
    const Index own_shards = (ranks.rank() + 1) * shards_ / ranks.count() - first_shard_;
    for (Index shard = 0; shard < own_shards; ++shard) {
      gradients_.push_back(std::make_unique<Model<float>>(model_.options()));
      gradient_parameters_.push_back(gradients_.back()->parameters());
      gradient_stages_.push_back(gradients_.back()->stages());
    }
  }

  const RunOptions& run() const { return run_; }
  const Ranks& ranks() const { return ranks_; }
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
    const std::vector<Batch> batches = training_shards(step);
    Loss loss;
    for (const Batch& batch : batches) loss.graded += graded_tokens(batch);

    std::vector<double> losses(batches.size());
    GradientSums sums;
    // A worker that is the last to complete a stage is not yet in the next one, so stages start in order, one at a time.
    std::vector<std::atomic<std::size_t>> complete(gradient_stages_[0].size());
    workers_.run(static_cast<Index>(gradients_.size()), [&](Index piece, Index worker) {
      const auto g = static_cast<std::size_t>(piece);
      const Index shard = first_shard_ + piece;
      for (const auto& gradient : gradient_parameters_[g]) gradient.values().setZero();
      Random dropout(
          {run_.seed, kDropout, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(shard)});
      const auto s = static_cast<std::size_t>(shard);
      losses[s] = model_
                      .train(batches[s], 1.0 / static_cast<double>(loss.graded),
                             activations_[static_cast<std::size_t>(worker)], dropout, *gradients_[g],
                             [&](std::size_t stage) {
                               if (ranks_.count() == 1 || ++complete[stage] < gradients_.size()) return;
                               add_shards(stage);
                               sums.start(gradient_stages_[0][stage]);
                             })
                      .sum;
    });
    sums.finish();
    ranks_.gather(losses);
    for (const double of_shard : losses) loss.sum += of_shard;
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
    const Index sequences = std::min(most, task_.validation_sequences());
    const auto chunks = static_cast<std::size_t>(validation_chunks(sequences));
    std::vector<double> numbers(3 * chunks);  // of each chunk: the loss, graded tokens, right answers
    run_validation(sequences, [&](std::size_t p, const Batch& batch, Matrix<float>& logits) {
      numbers[3 * p + 2] = static_cast<double>(exact_answers(batch, logits));
      const Loss loss = cross_entropy(logits, batch.targets, 0.0);
      numbers[3 * p] = loss.sum, numbers[3 * p + 1] = static_cast<double>(loss.graded);
    });
    ranks_.gather(numbers);
    Loss loss;
    double right = 0;
    for (std::size_t p = 0; p < chunks; ++p) {
      loss += {numbers[3 * p], static_cast<Index>(numbers[3 * p + 1])};
      right += numbers[3 * p + 2];
    }
    Validation found;
    found.step = steps_done();
    found.loss = loss.mean();
    if (task_.has_exact_answers()) found.exact_answers = right / static_cast<double>(sequences);
    return found;
  }

  /// Validates in one process, with all sequences of the task. Returns the losses of tokens 0 to `part` - 1 of the sequences, of the next
  /// `part` tokens, and so on.
  std::vector<Loss> validate_by_position(Index part) {
    const Index sequences = task_.validation_sequences();
    const auto parts = static_cast<std::size_t>((task_.seq_len() + part - 1) / part);
    std::vector<std::vector<Loss>> losses(static_cast<std::size_t>(validation_chunks(sequences)));
    run_validation(sequences, [&](std::size_t p, const Batch& batch, const Matrix<float>& logits) {
      for (Index first = 0; first < batch.seq; first += part)
        losses[p].push_back(loss_of_rows(logits, batch.targets, first * batch.batch,
                                         std::min(first + part, batch.seq) * batch.batch));
    });
    std::vector<Loss> sums(parts);
    for (const auto& of_chunk : losses)
      for (std::size_t i = 0; i < parts; ++i) sums[i] += of_chunk[i];
    return sums;
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

  Index validation_chunk() const { return std::max<Index>(1, kValidationTokens / task_.seq_len()); }
  Index validation_chunks(Index sequences) const {
    return (sequences + validation_chunk() - 1) / validation_chunk();
  }

  /// Runs the model on `sequences` validation sequences, spread evenly over those of the task. Calls body(chunk, batch,
  /// logits) for chunks of them, each on one of the ranks, on the threads of its workers.
  template <class Body>
  void run_validation(Index sequences, const Body& body) {
    const Index all = task_.validation_sequences(), chunk = validation_chunk();
    const Index chunks = validation_chunks(sequences), rank = ranks_.rank(), ranks = ranks_.count();
    workers_.run((chunks - rank + ranks - 1) / ranks, [&](Index of_rank, Index worker) {
      const Index piece = rank + of_rank * ranks;
      const Index first = piece * chunk, count = std::min(chunk, sequences - first);
      Batch batch = task_.empty_batch(count);
      for (Index i = 0; i < count; ++i) task_.validation_sequence((first + i) * all / sequences, i, batch);
      auto& activations = activations_[static_cast<std::size_t>(worker)];
      model_.forward(batch, activations);
      body(static_cast<std::size_t>(piece), batch, activations.logits);
    });
  }

  static Index graded_tokens(const Batch& batch) {
    return static_cast<Index>(batch.targets.size()) -
           static_cast<Index>(std::count(batch.targets.begin(), batch.targets.end(), kNotGraded));
  }

  /// All shards of a step, also those of other ranks, whose graded tokens count.
  std::vector<Batch> training_shards(Index step) const {
    std::vector<Batch> batches;
    for (Index shard = 0; shard < shards_; ++shard) {
      const Index first = shard * run_.batch / shards_, last = (shard + 1) * run_.batch / shards_;
      batches.push_back(task_.training_batch(run_.seed, step, first, last - first));
    }
    return batches;
  }

  /// Adds the gradients of all shards of this rank to that of the first.
  void add_shards(std::size_t stage) {
    Parameters<float>& sums = gradient_stages_[0][stage];
    for (std::size_t i = 0; i < sums.size(); ++i)
      for (std::size_t s = 1; s < gradient_stages_.size(); ++s)
        sums[i].values() += gradient_stages_[s][stage][i].values();
  }

  /// Adds the gradients of all shards to that of the first, if ranks have not done so; returns what to multiply them
  /// by, to clip their length.
  double add_gradients() {
    const std::size_t summands = ranks_.count() > 1 ? 1 : gradient_parameters_.size();
    std::vector<double> squares(parameters_.size());
    workers_.run(static_cast<Index>(parameters_.size()), [&](Index index, Index) {
      const auto i = static_cast<std::size_t>(index);
      auto sum = gradient_parameters_[0][i].values();
      for (std::size_t s = 1; s < summands; ++s) sum += gradient_parameters_[s][i].values();
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
  const Ranks& ranks_;
  Model<float> model_;
  Parameters<float> parameters_;
  Adam<float> adam_;
  std::vector<Model<float>::Activations> activations_;
  Index shards_ = 0, first_shard_ = 0;                    // of a step; the first one of this rank
  std::vector<std::unique_ptr<Model<float>>> gradients_;  // of each shard of this rank
  std::vector<Parameters<float>> gradient_parameters_;
  std::vector<std::vector<Parameters<float>>> gradient_stages_;
  History history_;
};

}  // namespace train
