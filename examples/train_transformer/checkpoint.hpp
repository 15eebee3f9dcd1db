// Checkpoints: everything that a run needs to continue as if it had never stopped.
#pragma once

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "files.hpp"
#include "safetensors.hpp"
#include "trainer.hpp"

namespace train {

/// What a checkpoint consists of, as a safetensors file:
///
///     <parameter>                 the weights, by name: "layers.0.attention.query.weight"
///     adam.first.<parameter>      Adam's moments
///     adam.second.<parameter>
///     history.training_loss       [steps]
///     history.validations         [validations, 3]: step, loss, share of exact answers (-1: no answers)
///     __metadata__                format, options (JSON), alphabet, fingerprint of the data, steps, checksum
///
/// Random numbers have no state beyond the seed and the step (see random.hpp), nor has the order of the data.
inline constexpr const char* kCheckpointFormat = "train_transformer 2";

namespace detail {

/// Checksum of metadata (but for the checksum itself), names and numbers: finds damage that leaves a valid
/// file.
inline std::string checksum_of(const safetensors::Contents& contents) {
  // Eight bytes at a time: a checkpoint has millions.
  std::uint64_t hash = 0xCBF29CE484222325;
  const auto add = [&hash](std::string_view bytes) {
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), 8);
      hash = (hash ^ word) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
    hash = (hash ^ 0xFF) * 0x100000001B3;  // where one part ends and the next begins
  };
  for (const auto& [key, value] : contents.metadata)
    if (key != "checksum") add(key), add(value);
  // By name: the offsets of empty tensors do not determine their order in the file.
  std::map<std::string_view, const safetensors::Tensor*> by_name;
  for (const safetensors::Tensor& tensor : contents.tensors) by_name[tensor.name] = &tensor;
  for (const auto& [name, tensor] : by_name) add(name), add(tensor->dtype), add(tensor->bytes);
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

template <class Scalar>
void copy_tensor(const safetensors::Contents& contents, const std::string& name,
                 const std::vector<std::uint64_t>& shape, Scalar* into) {
  const safetensors::Tensor& tensor = contents.tensor(name);
  const nlohmann::json found = tensor.shape, wanted = shape;
  if (tensor.dtype != safetensors::dtype_of<Scalar>())
    throw safetensors::Error("tensor \"" + name + "\" is " + tensor.dtype + ", wanted " +
                             safetensors::dtype_of<Scalar>());
  if (tensor.shape != shape)
    throw safetensors::Error("tensor \"" + name + "\" has the shape " + found.dump() + ", wanted " +
                             wanted.dump());
  if (tensor.bytes.empty()) return;  // there may be no bytes to point at
  std::memcpy(into, tensor.bytes.data(), tensor.bytes.size());
  for (std::size_t i = 0; i < tensor.bytes.size() / sizeof(Scalar); ++i)
    if (!std::isfinite(into[i]))
      throw safetensors::Error("tensor \"" + name + "\" holds a number that is not finite");
}

inline std::vector<std::uint64_t> unsigned_shape(const std::vector<Index>& shape) {
  return {shape.begin(), shape.end()};
}

inline std::vector<double> flat(const std::vector<Validation>& validations) {
  std::vector<double> numbers;
  for (const Validation& v : validations) {
    numbers.push_back(static_cast<double>(v.step));
    numbers.push_back(v.loss);
    numbers.push_back(v.exact_answers.value_or(-1.0));
  }
  return numbers;
}

}  // namespace detail

/// Writes a checkpoint in place of the one before; a kill at any moment leaves one of the two. Throws
/// FileError.
inline void save_checkpoint(const std::filesystem::path& path, Trainer& trainer) {
  using safetensors::tensor_of;
  safetensors::Contents contents;
  const Parameters<float>& parameters = trainer.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, shape, data] = parameters[i];
    const auto& moments = trainer.adam().moments()[i];
    const auto size = static_cast<std::size_t>(parameters[i].size());
    const auto extents = detail::unsigned_shape(shape);
    contents.tensors.push_back(tensor_of(name, extents, data, size));
    contents.tensors.push_back(tensor_of("adam.first." + name, extents, moments.first.data(), size));
    contents.tensors.push_back(tensor_of("adam.second." + name, extents, moments.second.data(), size));
  }
  const History& history = trainer.history();
  const std::vector<double> validations = detail::flat(history.validations);
  // Tensors of 8-byte numbers come first in the file, so that every tensor is aligned to its numbers.
  contents.tensors.insert(contents.tensors.begin(),
                          {tensor_of("history.training_loss", {history.training_loss.size()},
                                     history.training_loss.data(), history.training_loss.size()),
                           tensor_of("history.validations", {history.validations.size(), 3},
                                     validations.data(), validations.size())});
  RunOptions options = trainer.run();
  if (!options.text.empty()) options.text = std::filesystem::absolute(options.text).string();
  contents.metadata = {
      {"format", kCheckpointFormat},
      {"options", nlohmann::json(options).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)},
      {"alphabet", trainer.task().tokenizer().alphabet()},
      {"data", trainer.task().fingerprint()},
      {"steps", std::to_string(trainer.steps_done())}};
  contents.metadata["checksum"] = detail::checksum_of(contents);

  const std::string header = safetensors::header_of(contents);
  std::vector<std::string_view> pieces{header};
  for (const safetensors::Tensor& tensor : contents.tensors) pieces.push_back(tensor.bytes);
  write_file_atomically(path, pieces);
}

/// A checkpoint that was read and found to be whole, before there is a model to put it into.
class Checkpoint {
 public:
  /// Throws FileError with what is wrong, whatever the bytes of the file are.
  explicit Checkpoint(const std::filesystem::path& path) : path_(path) {
    if (!std::filesystem::exists(path)) throw FileError(path, "there is no checkpoint to resume from");
    file_ = read_file(path);
    said_by_file([&] {
      contents_ = safetensors::parse(file_);
      if (metadata("format") != kCheckpointFormat)
        throw safetensors::Error("is no checkpoint of this program: its format is \"" + metadata("format") +
                                 "\"");
      try {
        options_ = run_options_of(nlohmann::json::parse(metadata("options")));
        validate(options_);
      } catch (const std::exception& error) {
        throw safetensors::Error(std::string("has options that make no sense: ") + error.what());
      }
    });
  }

  /// The options that the run was started with.
  const RunOptions& options() const { return options_; }

  /// Puts weights, moments and history into a trainer that was made with the options. Throws FileError.
  void restore(Trainer& trainer) const {
    said_by_file([&] {
      if (metadata("data") != trainer.task().fingerprint() ||
          metadata("alphabet") != trainer.task().tokenizer().alphabet())
        throw safetensors::Error("was trained on other data: " + trainer.task().description() +
                                 " is not what it was then");
      const Parameters<float>& parameters = trainer.parameters();
      if (contents_.tensors.size() != 3 * parameters.size() + 2)
        throw safetensors::Error("has " + std::to_string(contents_.tensors.size()) + " tensors, wanted " +
                                 std::to_string(3 * parameters.size() + 2));
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        const auto& [name, shape, data] = parameters[i];
        auto& moments = trainer.adam().moments()[i];
        const auto extents = detail::unsigned_shape(shape);
        detail::copy_tensor(contents_, name, extents, data);
        detail::copy_tensor(contents_, "adam.first." + name, extents, moments.first.data());
        detail::copy_tensor(contents_, "adam.second." + name, extents, moments.second.data());
      }
      restore_history(trainer.history());
      if (metadata("steps") != std::to_string(trainer.steps_done()))
        throw safetensors::Error("says that it is of step " + metadata("steps") + ", but has the losses of " +
                                 std::to_string(trainer.steps_done()) + " steps");
      const std::string found = detail::checksum_of(contents_);
      if (found != metadata("checksum"))
        throw safetensors::Error("is damaged: its checksum is " + found + ", and should be " +
                                 metadata("checksum"));
    });
  }

 private:
  template <class Body>
  void said_by_file(const Body& body) const {
    try {
      body();
    } catch (const safetensors::Error& error) {
      throw FileError(path_, error.what());
    }
  }

  std::string metadata(const std::string& key) const {
    const auto found = contents_.metadata.find(key);
    if (found == contents_.metadata.end())
      throw safetensors::Error("has no \"" + key + "\" in its __metadata__");
    return found->second;
  }

  void restore_history(History& history) const {
    const safetensors::Tensor& losses = contents_.tensor("history.training_loss");
    history.training_loss.resize(losses.bytes.size() / sizeof(double));
    detail::copy_tensor(contents_, losses.name, {history.training_loss.size()}, history.training_loss.data());

    const safetensors::Tensor& validations = contents_.tensor("history.validations");
    const std::size_t count = validations.bytes.size() / (3 * sizeof(double));
    std::vector<double> numbers(3 * count);
    detail::copy_tensor(contents_, validations.name, {count, 3}, numbers.data());
    history.validations.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const double step = numbers[3 * i], exact = numbers[3 * i + 2];
      if (step < 0 || step > static_cast<double>(history.training_loss.size()))
        throw safetensors::Error("has a validation of step " + std::to_string(step) + ", which never was");
      history.validations.push_back({static_cast<Index>(step), numbers[3 * i + 1],
                                     exact < 0 ? std::nullopt : std::optional<double>(exact)});
    }
  }

  std::filesystem::path path_;
  std::string file_;
  safetensors::Contents contents_;
  RunOptions options_;
};

}  // namespace train
