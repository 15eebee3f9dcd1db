// Learning to continue a text, character by character.
#pragma once

#include <filesystem>
#include <string>

#include "files.hpp"
#include "task.hpp"

namespace train {

/// The first 90 % of a text to train on, the rest to validate with.
///
/// Training sequences start anywhere, drawn with replacement; an epoch is as many as the part has adjacent
/// sequences. Validation sequences are adjacent, from the start of their part.
class TextTask : public Task {
 public:
  /// Reads the text; throws FileError if it is missing, empty, not UTF-8 or too short for `seq_len`.
  TextTask(const std::filesystem::path& path, Index seq_len)
      : path_(path), text_(read_text(path)), tokenizer_(tokenize(path)), seq_len_(seq_len) {
    tokens_ = tokenizer_.encode(text_);
    training_tokens_ = static_cast<Index>(tokens_.size()) * 9 / 10;
    const Index validation_tokens = static_cast<Index>(tokens_.size()) - training_tokens_;
    if (std::min(training_tokens_, validation_tokens) <= seq_len_)
      throw FileError(path, "has " + std::to_string(tokens_.size()) + " characters, of which " +
                                std::to_string(validation_tokens) + " are for validation; a sequence of " +
                                std::to_string(seq_len_) +
                                " and the character after it need more (see --seq-len)");
    Fingerprint fingerprint;
    fingerprint.add(text_);
    fingerprint_ = fingerprint.text();
    text_.clear();
  }

  const Tokenizer& tokenizer() const override { return tokenizer_; }
  Index seq_len() const override { return seq_len_; }
  Index sequences_per_epoch() const override { return (training_tokens_ - 1) / seq_len_; }
  Index validation_sequences() const override {
    return (static_cast<Index>(tokens_.size()) - training_tokens_ - 1) / seq_len_;
  }
  bool has_exact_answers() const override { return false; }
  std::string description() const override {
    return path_.string() + " (" + std::to_string(tokens_.size()) + " characters, " +
           std::to_string(tokenizer_.size()) + " different)";
  }
  std::string fingerprint() const override { return fingerprint_; }

  void training_sequence(std::uint64_t seed, Index step, Index index, Index column,
                         Batch& into) const override {
    Random random(
        {seed, kTrainingBatch, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(index)});
    const auto starts = static_cast<std::uint64_t>(training_tokens_ - seq_len_);
    copy(static_cast<Index>(random.below(starts)), column, into);
  }

  void validation_sequence(Index index, Index column, Batch& into) const override {
    copy(training_tokens_ + index * seq_len_, column, into);
  }

 private:
  static std::string read_text(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path)) throw FileError(path, "there is no such file");
    std::string text = read_file(path);
    if (text.empty()) throw FileError(path, "is empty");
    return text;
  }

  Tokenizer tokenize(const std::filesystem::path& path) const {
    try {
      return Tokenizer(text_);
    } catch (const std::invalid_argument& error) {
      throw FileError(path, error.what());
    }
  }

  void copy(Index start, Index column, Batch& into) const {
    const int* tokens = tokens_.data() + start;
    for (Index t = 0; t < seq_len_; ++t) set(into, t, column, tokens[t], tokens[t + 1]);
  }

  std::filesystem::path path_;
  std::string text_;
  Tokenizer tokenizer_;
  Index seq_len_;
  std::vector<int> tokens_;
  Index training_tokens_ = 0;
  std::string fingerprint_;
};

}  // namespace train
