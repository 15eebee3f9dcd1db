// A run from its start, or from a checkpoint, to its end.
#pragma once

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "addition_task.hpp"
#include "checkpoint.hpp"
#include "curves.hpp"
#include "model_files.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "sample.hpp"
#include "text_task.hpp"
#include "trainer.hpp"

namespace train {

/// Set by Ctrl-C: the current step is finished and a checkpoint written.
inline volatile std::sig_atomic_t interrupted = 0;

inline std::unique_ptr<Task> make_task(const RunOptions& run) {
  if (run.text.empty()) return std::make_unique<AdditionTask>(run.digits);
  return std::make_unique<TextTask>(run.text, run.seq_len);
}

/// Where the files of a run are.
struct RunFiles {
  std::filesystem::path folder;

  std::filesystem::path checkpoint() const { return folder / "checkpoint.safetensors"; }
  std::filesystem::path csv() const { return folder / "loss.csv"; }

  void save(Trainer& trainer) const {
    if (!trainer.ranks().is_first()) return;
    write_csv(csv(), trainer);
    write_model_files(folder, trainer.run(), trainer.task().tokenizer());
    save_checkpoint(checkpoint(), trainer);
  }
};

/// Tokens in the validations during training; the last one takes everything.
inline constexpr Index kValidationTokensOnTheWay = 16'384;

/// What `train_until_done` tells of, while it goes on.
struct Watcher {
  std::function<void(double seconds)> after_step = [](double) {};
  std::function<void(const Validation&)> after_validation = [](const Validation&) {};
};

/// Trains to the last step, or until the minutes are over or Ctrl-C. Validates and saves on the way, and
/// saves at the end. Returns the seconds spent in training steps.
inline double train_until_done(Trainer& trainer, const RunFiles& files, const Options& options,
                               const Watcher& watcher) {
  const Stopwatch watch;
  double training_seconds = 0;
  Index saved = trainer.steps_done();
  const auto stopping = [&] {
    const bool late = options.minutes > 0 && watch.seconds() >= 60 * options.minutes;
    return trainer.ranks().any(interrupted || late);
  };
  while (trainer.steps_done() < trainer.last_step() && !stopping()) {
    const double before = watch.seconds();
    trainer.train_step();
    training_seconds += watch.seconds() - before;
    watcher.after_step(training_seconds);
    const Index step = trainer.steps_done();
    if (step % trainer.run().validate_every == 0) {
      trainer.history().validations.push_back(
          trainer.validate(std::max<Index>(1, kValidationTokensOnTheWay / trainer.task().seq_len())));
      watcher.after_validation(trainer.history().validations.back());
    }
    if (step % options.checkpoint_every == 0) {
      files.save(trainer);
      saved = step;
    }
  }
  if (saved != trainer.steps_done()) files.save(trainer);
  return training_seconds;
}

/// "loss 2.1436", or "loss 0.0012, exact answers 99.8 %"
inline std::string text_of(const Validation& validation) {
  std::string text = format("loss %.4f", validation.loss);
  if (validation.exact_answers) text += format(", exact answers %.1f %%", 100 * *validation.exact_answers);
  return text;
}

/// What the model makes of the prompt, or of a question.
inline std::string continued(const Trainer& trainer, const std::string& prompt, Index length,
                             double temperature) {
  const Random random({trainer.run().seed, kSampling, static_cast<std::uint64_t>(trainer.steps_done())});
  return prompt + continue_text(trainer.model(), trainer.task().tokenizer(), prompt, length,
                                trainer.task().seq_len(), temperature, random);
}

/// Shows what the model does: it continues the prompt, or answers a few questions that it was not trained on.
inline std::string sample_text(const Trainer& trainer, const Options& options, Index length,
                               Index questions) {
  const auto* additions = dynamic_cast<const AdditionTask*>(&trainer.task());
  if (!additions) return continued(trainer, options.prompt, length, options.temperature);
  const Index answer_length = trainer.run().digits + 2;
  if (options.prompt_given) return continued(trainer, options.prompt, answer_length, 0);
  std::string text;
  for (Index i = 0; i < questions; ++i) {
    const AdditionTask::Problem problem = additions->validation_problem(i);
    const std::string right = additions->question(problem) + additions->answer(problem);
    const std::string said = continued(trainer, additions->question(problem), answer_length, 0);
    text += (i > 0 ? "\n" : "") + said + (said == right ? "  right" : "  wrong, it is " + right);
  }
  return text;
}

/// A folder to write into; throws FileError if it cannot be made.
inline void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || !std::filesystem::is_directory(folder))
    throw FileError(folder, "cannot be made a folder" + (error ? ": " + error.message() : std::string()));
}

/// Throws OptionError if the model could not read the prompt.
inline void check_prompt(const std::string& prompt, const Tokenizer& tokenizer) {
  try {
    if (tokenizer.encode(prompt).empty()) throw OptionError("--prompt is empty");
  } catch (const std::invalid_argument& error) {
    throw OptionError(std::string("--prompt: ") + error.what());
  }
}

/// A new run in the folder of an old one does not cost the old one its weights.
inline void keep_checkpoint_of_before(const RunFiles& files) {
  if (!std::filesystem::exists(files.checkpoint())) return;
  const std::filesystem::path previous = files.folder / "checkpoint.previous.safetensors";
  std::filesystem::rename(files.checkpoint(), previous);
  std::printf("A checkpoint was there already; it is now %s\n", previous.c_str());
}

inline void print_start(const Trainer& trainer, const Options& options) {
  double parameters = 0;
  for (const auto& parameter : trainer.parameters()) parameters += static_cast<double>(parameter.size());
  const Index ranks = trainer.ranks().count();
  const std::string threads =
      (ranks > 1 ? std::to_string(ranks) + " × " : "") + thousands(static_cast<double>(options.threads));
  std::printf("%s\n%s positions, %s parameters, %s threads, %s tokens a step\n",
              trainer.task().description().c_str(), trainer.run().positions.c_str(),
              thousands(parameters).c_str(), threads.c_str(),
              thousands(static_cast<double>(trainer.tokens_per_step())).c_str());
  if (trainer.steps_done() >= trainer.last_step())
    std::printf("This run is at its end, step %td; --steps takes it further\n", trainer.steps_done());
  else if (trainer.steps_done() > 0)
    std::printf("Going on after step %td of %td\n", trainer.steps_done(), trainer.last_step());
  std::fflush(stdout);
}

inline void print_end(const Trainer& trainer, const RunFiles& files, const Options& options,
                      const Validation& last, double tokens_per_second) {
  if (trainer.steps_done() < trainer.last_step())
    std::printf("Stopped after step %td of %td; --resume goes on from there\n", trainer.steps_done(),
                trainer.last_step());
  std::printf("\n%s\n\n", sample_text(trainer, options, options.sample_length, 5).c_str());
  std::printf("positions %s: validation %s (all %s sequences); %s tokens/s\n",
              trainer.run().positions.c_str(), text_of(last).c_str(),
              thousands(static_cast<double>(trainer.task().validation_sequences())).c_str(),
              thousands(tokens_per_second).c_str());
  const auto picture =
      draw_curves(files.folder, {{trainer.run().positions, files.csv()}}, trainer.task().has_exact_answers());
  std::printf("checkpoint  %s\nlosses      %s\n", files.checkpoint().c_str(), files.csv().c_str());
  std::printf("picture     %s\n", picture.empty() ? "none: there is no gnuplot to draw it" : picture.c_str());
}

/// The program without --demo, in one process or several.
inline void run(const Options& options, const Ranks& ranks) {
  const RunFiles files{options.out};
  std::optional<Checkpoint> checkpoint;
  if (options.resume) checkpoint.emplace(files.checkpoint());
  const RunOptions run_options = checkpoint ? resumed_options(options, checkpoint->options()) : options.run;

  // Whatever can be wrong is found before anything is written.
  const std::unique_ptr<Task> task = make_task(run_options);
  if (options.prompt_given || !run_options.text.empty()) check_prompt(options.prompt, task->tokenizer());
  Workers workers(options.threads);
  Trainer trainer(run_options, *task, workers, {}, ranks);
  if (checkpoint) checkpoint->restore(trainer);
  checkpoint.reset();
  if (ranks.is_first()) {
    make_folder(files.folder);
    if (!options.resume) keep_checkpoint_of_before(files);
  }
  files.save(trainer);  // a kill in the first steps leaves something to resume, too
  print_start(trainer, options);

  Progress progress;
  const Index first = trainer.steps_done();
  double tokens_per_second = 0;
  Watcher watcher;
  watcher.after_step = [&](double seconds) {
    const Index step = trainer.steps_done();
    const auto taken = static_cast<double>(step - first);
    const auto left = static_cast<double>(trainer.last_step() - step);
    tokens_per_second = taken * static_cast<double>(trainer.tokens_per_step()) / seconds;
    progress.update(
        static_cast<double>(step) / static_cast<double>(trainer.last_step()),
        format("step %td  loss %.4f  %s tokens/s  %s left", step, trainer.history().training_loss.back(),
               thousands(tokens_per_second).c_str(), clock_text(left * seconds / taken).c_str()));
  };
  watcher.after_validation = [&](const Validation& validation) {
    if (!ranks.is_first()) return;
    std::string sample = sample_text(trainer, options, 50, 1);
    std::replace(sample.begin(), sample.end(), '\n', ' ');
    progress.print(format("step %td  training loss %.4f  validation: %s  %s tokens/s\n    ", validation.step,
                          trainer.history().training_loss.back(), text_of(validation).c_str(),
                          thousands(tokens_per_second).c_str()) +
                   sample);
  };
  train_until_done(trainer, files, options, watcher);
  progress.clear();
  const Validation last = trainer.validate();
  if (ranks.is_first()) print_end(trainer, files, options, last, tokens_per_second);
}

}  // namespace train
