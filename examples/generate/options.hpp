// The command line.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sampling.hpp"

namespace generate {

struct Options {
  std::string folder;
  std::optional<std::string> prompt;
  std::vector<int> tokens;
  Index length = 100;
  SamplingOptions sampling;
  std::uint64_t seed = 1;
  int threads = 1;
  std::string logits;  ///< a file for the logits of all tokens; empty: none
};

/// Reads the command line. Throws CLI::ParseError, to be given to `CLI::App::exit`.
inline void parse_options(CLI::App& app, int argc, const char* const* argv, Options& options) {
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  app.option_defaults()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);  // so that scripts can override
  app.add_option("model", options.folder, "folder of config.json, model.safetensors and tokenizer.json")
      ->required();
  auto* prompt = app.add_option("--prompt", options.prompt, "text to continue");
  auto* tokens = app.add_option("--tokens", options.tokens, "tokens to continue, by number: 1,5,7");
  tokens->delimiter(',')->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->excludes(prompt);
  app.add_option("--length", options.length, "tokens to generate")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 24));
  app.add_option("--temperature", options.sampling.temperature, "randomness; 0 takes the likeliest token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--top-k", options.sampling.top_k, "draw from so many likeliest tokens; 0: from all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", options.seed, "names the random numbers")->capture_default_str();
  app.add_option("--threads", options.threads, "threads; the numbers do not depend on it")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--logits", options.logits,
                 "safetensors file for the logits of all tokens, [tokens, vocabulary]");
  app.parse(argc, argv);
  if (options.tokens.empty() && !options.prompt) throw CLI::RequiredError("--prompt or --tokens");
}

}  // namespace generate
