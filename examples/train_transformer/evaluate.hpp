// The validation loss of a checkpoint, also at another sequence length and with other frequencies.
#pragma once

#include <algorithm>
#include <optional>
#include <rotary/frequencies/linear.hpp>
#include <rotary/frequencies/ntk.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <string>
#include <vector>

#include "run.hpp"

namespace train {

/// The frequencies of a run, rescaled by a factor for longer sequences: all divided by it (Chen et al. 2023), NTK-aware, or
/// YaRN (Peng et al. 2023). Nothing for `rescale` "none". Throws OptionError if nothing rotates.
inline std::optional<rotary::Frequencies> rescaled_frequencies(const RunOptions& trained,
                                                               const std::string& rescale, double factor) {
  if (rescale == "none") return std::nullopt;
  if (rescale != "interpolate" && rescale != "ntk" && rescale != "yarn")
    throw OptionError("--rescale is \"" + rescale + "\", wanted none, interpolate, ntk or yarn");
  if (!rotates(position_kind(trained.positions).value()))
    throw OptionError("--rescale goes with rotary positions, but the checkpoint was trained with " +
                      trained.positions);
  const auto rotary_dim =
      static_cast<Index>(static_cast<double>(trained.d_model / trained.heads) * trained.rope_percentage);
  const double theta = 10000;
  if (rescale == "interpolate") return rotary::linear_frequencies(rotary_dim, theta, {.factor = factor});
  if (rescale == "ntk") return rotary::ntk_frequencies(rotary_dim, theta, {.alpha = factor});
  return rotary::yarn_frequencies(
      rotary_dim, theta,
      {.factor = factor, .original_max_position_embeddings = static_cast<double>(trained.seq_len)});
}

/// The program with --evaluate. Prints the loss of every part of the sequences that is as long as those of training, and of
/// all. Nothing is written to --out.
inline void evaluate(const Options& options) {
  const Checkpoint checkpoint(RunFiles{options.out}.checkpoint());
  const RunOptions& trained = checkpoint.options();
  RunOptions run = trained;
  if (options.given.count("text")) run.text = options.run.text;
  if (options.given.count("seq_len")) {
    if (trained.text.empty()) throw OptionError("--seq-len goes with a text: an addition is one sequence");
    run.seq_len = options.run.seq_len;
  }
  validate(run);
  const double factor =
      options.factor > 0
          ? options.factor
          : std::max(1.0, static_cast<double>(run.seq_len) / static_cast<double>(trained.seq_len));
  std::optional<rotary::Frequencies> frequencies = rescaled_frequencies(trained, options.rescale, factor);

  const std::unique_ptr<Task> task = make_task(run);
  Workers workers(options.threads);
  Trainer trainer(run, *task, workers, std::move(frequencies));
  checkpoint.restore(trainer);
  const Index part = trained.text.empty() ? task->seq_len() : std::min(trained.seq_len, task->seq_len());
  const std::vector<Loss> losses = trainer.validate_by_position(part);

  Loss all;
  std::printf("| tokens | validation loss |\n|---|---:|\n");
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const Index first = static_cast<Index>(i) * part;
    std::printf("| %td to %td | %.4f |\n", first + 1, std::min(first + part, task->seq_len()),
                losses[i].mean());
    all += losses[i];
  }
  const std::string rescaled =
      options.rescale == "none" ? "" : format(", %s by %g", options.rescale.c_str(), factor);
  std::printf("positions %s%s: validation loss %.4f at %td tokens (step %td, %s sequences)\n",
              run.positions.c_str(), rescaled.c_str(), all.mean(), task->seq_len(), trainer.steps_done(),
              thousands(static_cast<double>(task->validation_sequences())).c_str());
}

}  // namespace train
