// What is learned: a source of training and of validation sequences.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model.hpp"
#include "tokenizer.hpp"

namespace train {

/// Sequences to train on and to validate with. The same arguments always give the same sequences.
class Task {
 public:
  virtual ~Task() = default;

  virtual const Tokenizer& tokenizer() const = 0;

  /// Tokens of a sequence.
  virtual Index seq_len() const = 0;

  /// How many sequences make an epoch.
  virtual Index sequences_per_epoch() const = 0;

  /// How many sequences there are to validate with.
  virtual Index validation_sequences() const = 0;

  /// Writes sequence `index` of the batch of a training step into column `column` of `into`.
  virtual void training_sequence(std::uint64_t seed, Index step, Index index, Index column,
                                 Batch& into) const = 0;

  /// Writes validation sequence `index` into column `column` of `into`.
  virtual void validation_sequence(Index index, Index column, Batch& into) const = 0;

  /// Whether a sequence has an answer that is right or wrong as a whole.
  virtual bool has_exact_answers() const = 0;

  /// What is learned, for messages.
  virtual std::string description() const = 0;

  /// What identifies the data: a resumed run must go on with the same.
  virtual std::string fingerprint() const = 0;

  /// A batch of `count` sequences, to be filled in.
  Batch empty_batch(Index count) const {
    Batch batch{seq_len(), count, {}, {}};
    batch.inputs.assign(static_cast<std::size_t>(batch.tokens()), 0);
    batch.targets.assign(static_cast<std::size_t>(batch.tokens()), kNotGraded);
    return batch;
  }

  /// Sequences first, first + 1, ..., first + count - 1 of the batch of a training step.
  Batch training_batch(std::uint64_t seed, Index step, Index first, Index count) const {
    Batch batch = empty_batch(count);
    for (Index i = 0; i < count; ++i) training_sequence(seed, step, first + i, i, batch);
    return batch;
  }

 protected:
  /// Sets token t of a column, and what should follow it.
  static void set(Batch& batch, Index t, Index column, int input, int target) {
    const auto place = static_cast<std::size_t>(t * batch.batch + column);
    batch.inputs[place] = input;
    batch.targets[place] = target;
  }
};

/// FNV-1a, to recognise data: 64 bits of everything that was added.
class Fingerprint {
 public:
  void add(std::string_view bytes) {
    for (const char byte : bytes) hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  }
  std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash_));
    return digits;
  }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325;
};

}  // namespace train
