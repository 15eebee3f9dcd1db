// Learning to add, a task that needs no file and says exactly what was learned.
#pragma once

#include <string>
#include <string_view>

#include "task.hpp"

namespace train {

/// Additions of two numbers of `digits` digits, one in each sequence: "740+589=2301." is 47 + 985 = 1032.
///
/// All numbers have their last digit first, the order in which one adds by hand. Only the answer is graded.
/// The two digits that go into a digit of the sum are always at the same distances before it, so this task
/// shows quickly how well a model knows positions. A hash assigns pairs of numbers to training or to
/// validation (one in ten), so that validation has only sums that were never seen.
class AdditionTask : public Task {
 public:
  static constexpr Index kSequencesPerEpoch = 10'000;
  static constexpr Index kValidationSequences = 1'000;

  explicit AdditionTask(Index digits) : digits_(digits), tokenizer_("0123456789+=.") {}

  const Tokenizer& tokenizer() const override { return tokenizer_; }
  Index seq_len() const override { return 3 * digits_ + 3; }
  Index sequences_per_epoch() const override { return kSequencesPerEpoch; }
  Index validation_sequences() const override { return kValidationSequences; }
  bool has_exact_answers() const override { return true; }
  std::string description() const override {
    return "additions of two numbers of " + std::to_string(digits_) + (digits_ == 1 ? " digit" : " digits");
  }
  std::string fingerprint() const override { return description(); }

  void training_sequence(std::uint64_t seed, Index step, Index index, Index column,
                         Batch& into) const override {
    Random random(
        {seed, kTrainingBatch, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(index)});
    write_problem(draw(random, /*validation=*/false), column, into);
  }

  void validation_sequence(Index index, Index column, Batch& into) const override {
    write_problem(validation_problem(index), column, into);
  }

  struct Problem {
    std::uint64_t a = 0, b = 0;
  };

  /// Problem number `index` of those to validate with; the same for every seed, so that runs can be compared.
  Problem validation_problem(Index index) const {
    Random random({0, kValidationBatch, static_cast<std::uint64_t>(index)});
    return draw(random, /*validation=*/true);
  }

  /// "740+589=" for 47 + 985
  std::string question(const Problem& problem) const {
    return reversed_digits(problem.a, digits_) + "+" + reversed_digits(problem.b, digits_) + "=";
  }

  /// "2301." for 47 + 985
  std::string answer(const Problem& problem) const {
    return reversed_digits(problem.a + problem.b, digits_ + 1) + ".";
  }

 private:
  /// The last `digits` digits of a number, the last one first.
  static std::string reversed_digits(std::uint64_t number, Index digits) {
    std::string text;
    for (Index i = 0; i < digits; ++i, number /= 10) text += static_cast<char>('0' + number % 10);
    return text;
  }

  Problem draw(Random& random, bool validation) const {
    std::uint64_t end = 1;
    for (Index i = 0; i < digits_; ++i) end *= 10;
    for (;;) {
      const Problem problem{random.below(end), random.below(end)};
      const bool held_out = Random({problem.a, problem.b}).below(10) == 0;
      if (held_out == validation) return problem;
    }
  }

  void write_problem(const Problem& problem, Index column, Batch& into) const {
    const std::string asked = question(problem);
    const std::vector<int> tokens = tokenizer_.encode(asked + answer(problem));
    for (Index t = 0; t + 1 < static_cast<Index>(tokens.size()); ++t) {
      const bool graded = t + 1 >= static_cast<Index>(asked.size());
      const auto place = static_cast<std::size_t>(t);
      set(into, t, column, tokens[place], graded ? tokens[place + 1] : kNotGraded);
    }
  }

  Index digits_;
  Tokenizer tokenizer_;
};

}  // namespace train
