// The command line: what a run is (run_options.hpp), and how it is carried out.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "run_options.hpp"

namespace train {

/// Sequences of a step of the addition task, unless the command line says otherwise.
inline constexpr Index kAdditionBatch = 128;

/// The rest of the command line: no loss depends on it.
struct Options {
  RunOptions run;
  std::set<std::string> given;  ///< the members of `run` that the command line named
  std::string out = "train_transformer.out";
  bool resume = false;
  bool demo = false;
  bool evaluate = false;
  std::string rescale = "none";
  double factor = 0;   ///< of `rescale`; 0 for the sequence length over that of training
  double minutes = 0;  ///< 0 for no limit
  Index threads = 1;
  Index checkpoint_every = 100;
  std::string prompt = "It is ";
  bool prompt_given = false;
  Index sample_length = 300;
  double temperature = 0.8;
};

/// "--seq-len" for the member seq_len.
inline std::string option_name(std::string member) {
  std::replace(member.begin(), member.end(), '_', '-');
  return "--" + member;
}

/// Throws OptionError if options do not go with --evaluate.
inline void check_evaluation(const Options& options) {
  if (options.demo || options.resume)
    throw OptionError(std::string(options.demo ? "--demo" : "--resume") +
                      " and --evaluate do not go together");
  for (const std::string& member : options.given)
    if (member != "seq_len" && member != "text")
      throw OptionError(option_name(member) +
                        " does not go with --evaluate, which takes it from the checkpoint");
  if (options.factor > 0 && options.rescale == "none") throw OptionError("--factor goes with --rescale");
}

/// Reads the command line. Throws CLI::ParseError, to be given to `CLI::App::exit`, or OptionError.
inline void parse_options(CLI::App& app, int argc, const char* const* argv, Options& options) {
  RunOptions& run = options.run;
  options.threads = std::max<Index>(1, static_cast<Index>(std::thread::hardware_concurrency()));
  std::map<std::string, CLI::Option*> run_options;
  app.option_defaults()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);  // so that scripts can override
  const auto add = [&](const std::string& name, auto& value, const std::string& help) {
    std::string member = name;
    std::replace(member.begin(), member.end(), '-', '_');
    run_options[member] =
        app.add_option("--" + name, value, help)->capture_default_str()->group("What is trained");
  };
  const auto how = [&](const std::string& name, auto& value, const std::string& help) {
    return app.add_option("--" + name, value, help)->capture_default_str()->group("How");
  };
  add("text", run.text, "text file to learn to continue; without it, additions are learned");
  add("digits", run.digits, "digits of the numbers to add");
  add("positions", run.positions, std::string("how the model knows positions: ") + kPositionList);
  add("rope-percentage", run.rope_percentage, "share of the features of a head that rotate");
  add("seq-len", run.seq_len, "characters of a sequence of the text; an addition is one sequence");
  add("batch", run.batch, "sequences of a step; for additions " + std::to_string(kAdditionBatch));
  add("layers", run.layers, "layers of attention and feed-forward");
  add("d-model", run.d_model, "features of a token");
  add("heads", run.heads, "heads of attention");
  add("d-ff", run.d_ff, "hidden features of the feed-forward");
  add("dropout", run.dropout, "probability with which a feature is dropped in training");
  add("learning-rate", run.learning_rate, "factor of the Noam schedule");
  add("warmup", run.warmup, "steps in which the learning rate rises");
  add("gradient-clip", run.gradient_clip, "longest gradient; a longer one is shortened to this (1e9: any)");
  add("seed", run.seed, "names the random numbers: weights, order of the data, dropout");
  add("epochs", run.epochs, "times through the training data (10,000 additions count as one)");
  add("steps", run.steps, "steps to train, instead of epochs");
  add("validate-every", run.validate_every, "steps from one validation to the next");

  how("out", options.out, "folder for checkpoint.safetensors, loss.csv and the picture of the curves");
  app.add_flag("--resume", options.resume, "go on from the checkpoint in --out")->group("How");
  app.add_flag("--demo", options.demo, "learn to add with rotary positions and with none, and compare")
      ->group("How");
  app.add_flag("--evaluate", options.evaluate,
               "print the validation loss of the checkpoint in --out, also at another --seq-len")
      ->group("How");
  how("rescale", options.rescale,
      "with --evaluate: rescales frequencies for longer sequences: none, interpolate, ntk or yarn");
  how("factor", options.factor, "factor of --rescale (0: --seq-len over that of training)")
      ->check(CLI::Range(0.0, 1e6));
  how("minutes", options.minutes, "stop after so many minutes (0: no limit)")->check(CLI::NonNegativeNumber);
  how("threads", options.threads, "threads; the numbers do not depend on it")->check(CLI::Range(1, 1024));
  how("checkpoint-every", options.checkpoint_every, "steps from one checkpoint to the next")
      ->check(CLI::Range(1, 1'000'000'000));
  CLI::Option* prompt = how("prompt", options.prompt, "text that the samples continue");
  how("sample-length", options.sample_length, "characters of the last sample")
      ->check(CLI::Range(0, 1'000'000));
  how("temperature", options.temperature, "randomness of samples; 0 takes the likeliest character")
      ->check(CLI::Range(0.0, 100.0));

  app.parse(argc, argv);
  for (const auto& [member, option] : run_options)
    if (option->count() > 0) options.given.insert(member);
  options.prompt_given = prompt->count() > 0;
  if (options.given.count("text") && run.text.empty())
    throw OptionError("--text is empty, wanted the name of a file");
  if (options.given.count("text") && options.given.count("digits"))
    throw OptionError("--digits goes without --text");
  if (options.evaluate) return check_evaluation(options);
  if (options.rescale != "none" || options.factor > 0)
    throw OptionError("--rescale and --factor go with --evaluate");
  if (!options.given.count("text") && !options.resume) {
    // An addition is one short sequence: many of them make a step of as many tokens as 4 sequences of text.
    if (options.given.count("seq_len"))
      throw OptionError("--seq-len goes with --text: an addition is one sequence");
    if (!options.given.count("batch")) run.batch = kAdditionBatch;
  }
  if (options.demo && options.resume) throw OptionError("--demo and --resume do not go together");
  for (const std::string& member : options.given)
    if (options.demo && member != "seed")
      throw OptionError(option_name(member) +
                        " does not go with --demo, which has a model and a task of its own");
  if (!options.resume) validate(run);
}

/// Options of a resumed run: those of the checkpoint. The length of the training may be changed; all other
/// options that are given must equal those of the checkpoint.
inline RunOptions resumed_options(const Options& options, const RunOptions& saved) {
  const nlohmann::json now = options.run, then = saved;
  nlohmann::json resumed = then;
  for (const std::string& member : options.given) {
    if (member == "steps" || member == "epochs" || member == "text")
      resumed[member] = now[member];
    else if (now[member] != then[member])
      throw OptionError(option_name(member) + " is " + now[member].dump() +
                        ", but the checkpoint was trained with " + then[member].dump());
  }
  if (options.given.count("epochs") && !options.given.count("steps")) resumed["steps"] = 0;
  RunOptions run = resumed.get<RunOptions>();
  validate(run);
  return run;
}

}  // namespace train
