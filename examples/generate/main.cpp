// Generates text from a Llama-style checkpoint. See README.md in this folder, or --help.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "options.hpp"
#include "session.hpp"
#include "vocabulary.hpp"

namespace generate {
namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void print_speed(const char* what, std::size_t tokens, double taken) {
  std::fprintf(stderr, "%-8s %zu tokens, %.1f tokens/s\n", what, tokens, static_cast<double>(tokens) / taken);
}

/// Prints tokens as they come: their text, or their numbers.
class Printer {
 public:
  explicit Printer(const Vocabulary* vocabulary) : vocabulary_(vocabulary) {}

  void print(int token) {
    if (vocabulary_)
      std::fputs(vocabulary_->decode(token).c_str(), stdout);
    else
      std::printf("%s%d", first_ ? "" : ",", token);
    first_ = false;
    std::fflush(stdout);
  }

 private:
  const Vocabulary* vocabulary_;
  bool first_ = true;
};

/// Writes the tensor "logits", one row for each token that was read.
void write_logits(const std::string& path, const std::vector<float>& logits, Index vocabulary) {
  const std::uint64_t columns = static_cast<std::uint64_t>(vocabulary), rows = logits.size() / columns;
  train::safetensors::Contents contents;
  contents.tensors.push_back(
      train::safetensors::tensor_of("logits", {rows, columns}, logits.data(), logits.size()));
  train::write_file_atomically(path, {train::safetensors::header_of(contents), contents.tensors[0].bytes});
}

std::vector<int> prompt_tokens(const Options& options, const Vocabulary* vocabulary, Index size) {
  std::vector<int> tokens = vocabulary ? vocabulary->encode(*options.prompt) : options.tokens;
  if (tokens.empty()) throw std::invalid_argument("--prompt is empty");
  for (const int token : tokens)
    if (token < 0 || token >= size)
      throw std::invalid_argument("--tokens has " + std::to_string(token) + ", wanted 0 to " +
                                  std::to_string(size - 1));
  return tokens;
}

void run(const Options& options) {
  const Model model = read_model(options.folder);
  const Index size = model.config.vocabulary;
  std::optional<Vocabulary> text;
  if (options.prompt) text.emplace(std::filesystem::path(options.folder) / "tokenizer.json", size);
  const Vocabulary* vocabulary = text ? &*text : nullptr;
  std::vector<int> tokens = prompt_tokens(options, vocabulary, size);
  const std::size_t prompt = tokens.size();

  Eigen::ThreadPool pool(options.threads);
  const Device device(&pool, options.threads);
  Session session(model, static_cast<Index>(prompt) + options.length, device);
  const auto which = options.logits.empty() ? Session::Logits::last : Session::Logits::all;
  std::vector<float> logits;  // of all tokens
  const auto read = [&](std::span<const int> next) {
    const Matrix& found = session.read(next, which);
    if (which == Session::Logits::all) logits.insert(logits.end(), found.data(), found.data() + found.size());
    return RowVector(found.bottomRows(1));
  };

  Printer printer(vocabulary);
  for (const int token : tokens) printer.print(token);
  const double start = seconds();
  RowVector last = read(tokens);
  const double prefilled = seconds();
  train::Random random({options.seed, train::kSampling});
  const auto& ends = model.config.end_tokens;
  std::size_t steps = 0;  // of decoding; the first new token comes from the prefill
  for (Index left = options.length; left > 0; --left) {
    tokens.push_back(draw_token(last, options.sampling, random));
    printer.print(tokens.back());
    if (left == 1 || std::find(ends.begin(), ends.end(), tokens.back()) != ends.end()) break;
    last = read({&tokens.back(), 1});
    ++steps;
  }
  const double decoded = seconds();
  std::printf("\n");
  print_speed("prefill", prompt, prefilled - start);
  if (steps > 0) print_speed("decode", steps, decoded - prefilled);
  if (!options.logits.empty()) write_logits(options.logits, logits, size);
}

}  // namespace
}  // namespace generate

int main(int argc, char** argv) {
  CLI::App app{
      "Generates text from a Llama-style checkpoint: prefill, then decoding with cached keys and values."};
  generate::Options options;
  try {
    generate::parse_options(app, argc, argv, options);
    generate::run(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "generate: not enough memory for this model\n");
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "generate: %s\n", error.what());
    return 1;
  }
  return 0;
}
