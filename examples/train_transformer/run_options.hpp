// What a run is: everything that its numbers depend on.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "matrix.hpp"
#include "positions.hpp"

namespace train {

/// Everything that the numbers of a run depend on. It goes into every checkpoint, so that `--resume` needs no
/// options. The defaults are those of labml's annotated experiment with rotary positions on Tiny Shakespeare, as it is in
/// their repository since June 2022: all features of a head rotate, and projections have a bias.
struct RunOptions {
  std::string text;  ///< a file to learn to continue; empty for the addition task
  Index digits = 3;
  std::string positions = "rotary";
  double rope_percentage = 1.0;
  Index seq_len = 512;
  Index batch = 4;
  Index layers = 6;
  Index d_model = 128;
  Index heads = 16;
  Index d_ff = 512;
  double dropout = 0.0;
  double learning_rate = 1.0;
  Index warmup = 2000;
  double gradient_clip = 1.0;
  std::uint64_t seed = 1;
  Index epochs = 32;
  Index steps = 0;  ///< 0 for as many as the epochs have
  Index validate_every = 50;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunOptions, text, digits, positions, rope_percentage, seq_len, batch,
                                   layers, d_model, heads, d_ff, dropout, learning_rate, warmup,
                                   gradient_clip, seed, epochs, steps, validate_every)

/// A wrong option, in a sentence that names it.
struct OptionError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws OptionError if no model can be built or trained with these options. They may come from a damaged
/// checkpoint.
inline void validate(const RunOptions& run) {
  const auto require = [](bool holds, const std::string& sentence) {
    if (!holds) throw OptionError(sentence);
  };
  const auto in = [&](const char* name, Index value, Index low, Index high) {
    require(low <= value && value <= high, std::string("--") + name + " is " + std::to_string(value) +
                                               ", wanted a number from " + std::to_string(low) + " to " +
                                               std::to_string(high));
  };
  in("digits", run.digits, 1, 9);
  in("seq-len", run.seq_len, 1, 1 << 20);
  in("batch", run.batch, 1, 1 << 20);
  in("layers", run.layers, 1, 1000);
  in("d-model", run.d_model, 1, 1 << 16);
  in("heads", run.heads, 1, run.d_model);
  in("d-ff", run.d_ff, 1, 1 << 18);
  in("warmup", run.warmup, 0, 1'000'000'000);
  in("epochs", run.epochs, 1, 1'000'000'000);
  in("steps", run.steps, 0, 1'000'000'000);
  in("validate-every", run.validate_every, 1, 1'000'000'000);
  require(run.d_model % run.heads == 0, "--d-model " + std::to_string(run.d_model) +
                                            " does not divide into --heads " + std::to_string(run.heads));
  const std::optional<PositionKind> positions = position_kind(run.positions);
  require(positions.has_value(), "--positions is \"" + run.positions + "\", wanted " + kPositionList);
  require(run.rope_percentage > 0 && run.rope_percentage <= 1,
          "--rope-percentage must be above 0 and at most 1");
  const auto rotating =
      static_cast<Index>(static_cast<double>(run.d_model / run.heads) * run.rope_percentage);
  require(
      !rotates(*positions) || (rotating >= 2 && rotating % 2 == 0),
      "a head has " + std::to_string(run.d_model / run.heads) + " features, of which " +
          std::to_string(rotating) +
          " would rotate; that must be an even number above 0 (see --d-model, --heads, --rope-percentage)");
  require(run.dropout >= 0 && run.dropout < 1, "--dropout must be at least 0 and below 1");
  require(run.learning_rate > 0 && run.learning_rate < 1e6, "--learning-rate must be above 0");
  require(run.gradient_clip > 0 && run.gradient_clip < 1e30, "--gradient-clip must be above 0");
}

/// The options that a checkpoint holds. Throws OptionError if a whole number is none, and an exception of nlohmann's if an
/// option is missing or no number or text.
inline RunOptions run_options_of(const nlohmann::json& json) {
  const nlohmann::json usual = RunOptions();
  for (const auto& [name, value] : usual.items())  // converting 1e300 to an integer is undefined
    if (value.is_number_integer() && json.contains(name) && !json[name].is_number_integer())
      throw OptionError(name + " is " + json[name].dump() + ", wanted a whole number");
  return json.get<RunOptions>();
}

}  // namespace train
