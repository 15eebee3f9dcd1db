// The tensors of a model folder: model.safetensors, or several files and an index of them.
#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "../train_transformer/files.hpp"
#include "../train_transformer/safetensors.hpp"
#include "device.hpp"

namespace generate {

/// Reads tensors by name, as float, whatever of F64, F32, F16 and BF16 they are stored in. Throws train::FileError.
///
/// A folder holds model.safetensors; or model.safetensors.index.json, which names a file for each tensor; or
/// checkpoint.safetensors, which train_transformer writes.
class Weights {
 public:
  explicit Weights(const std::filesystem::path& folder) : folder_(folder) {
    for (const char* name : {"model.safetensors", "model.safetensors.index.json", "checkpoint.safetensors"}) {
      if (!std::filesystem::exists(folder / name)) continue;
      path_ = folder / name;
      path_.extension() == ".json" ? read_index() : read_tensors(path_);
      return;
    }
    throw train::FileError(
        folder, "has no model.safetensors, model.safetensors.index.json or checkpoint.safetensors");
  }

  bool has(const std::string& name) const { return tensors_.count(name) > 0; }

  /// The tensor of this name, [rows, cols].
  Matrix matrix(const std::string& name, Index rows, Index cols) {
    const Entry& entry = use(name, {rows, cols});
    Matrix values(rows, cols);
    convert(entry, values.data());
    return values;
  }
  /// The tensor of this name, [size].
  RowVector vector(const std::string& name, Index size) {
    const Entry& entry = use(name, {size});
    RowVector values(size);
    convert(entry, values.data());
    return values;
  }

  /// Marks a tensor that a model may have and does not need.
  void ignore(const std::string& name) {
    if (has(name)) tensors_.at(name).used = true;
  }

  /// Marks all tensors whose names begin so.
  void ignore_beginning(std::string_view beginning) {
    for (auto& [name, entry] : tensors_)
      if (name.starts_with(beginning)) entry.used = true;
  }

  /// Throws if a tensor was neither read nor ignored: then the layers are not what the configuration says.
  void check_all_used() const {
    for (const auto& [name, entry] : tensors_)
      if (!entry.used)
        throw train::FileError(path_,
                               "has a tensor \"" + name + "\", which a model of this config.json has not");
  }

 private:
  struct Entry {
    train::safetensors::Tensor tensor;
    std::filesystem::path file;
    bool used = false;
  };

  void read_tensors(const std::filesystem::path& path) {
    files_.push_back(std::make_unique<std::string>(train::read_file(path)));
    try {
      for (train::safetensors::Tensor& tensor : train::safetensors::parse(*files_.back()).tensors) {
        const std::string name = tensor.name;
        if (!tensors_.try_emplace(name, Entry{std::move(tensor), path}).second)
          throw train::safetensors::Error("has a tensor \"" + name + "\", and so has another file");
      }
    } catch (const train::safetensors::Error& error) {
      throw train::FileError(path, error.what());
    }
  }

  /// {"weight_map": {"<tensor>": "<file>", ...}}
  void read_index() {
    const nlohmann::json index = nlohmann::json::parse(train::read_file(path_), nullptr, false);
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
      throw train::FileError(path_, "is no JSON object with a weight_map");
    std::set<std::string> names;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      if (!file.is_string() || file != std::filesystem::path(file.get<std::string>()).filename().string())
        throw train::FileError(path_,
                               "has " + file.dump() + " for \"" + tensor + "\", wanted the name of a file");
      names.insert(file.get<std::string>());
    }
    for (const std::string& name : names) read_tensors(folder_ / name);
    for (const auto& [tensor, file] : index["weight_map"].items())
      if (!has(tensor) || tensors_.at(tensor).file != folder_ / file)
        throw train::FileError(folder_ / file, "has no tensor \"" + tensor + "\"");
  }

  const Entry& use(const std::string& name, const std::vector<Index>& shape) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw train::FileError(path_, "has no tensor \"" + name + "\"");
    Entry& entry = found->second;
    const std::vector<std::uint64_t> wanted(shape.begin(), shape.end());
    if (entry.tensor.shape != wanted)
      throw train::FileError(entry.file, "has the tensor \"" + name + "\" with the shape " +
                                             nlohmann::json(entry.tensor.shape).dump() +
                                             "; config.json wants " + nlohmann::json(wanted).dump());
    entry.used = true;
    return entry;
  }

  static void convert(const Entry& entry, float* into) {
    const std::string& dtype = entry.tensor.dtype;
    if (dtype == "F32") convert_from<float>(entry, into);
    if (dtype == "F64") convert_from<double>(entry, into);
    if (dtype == "F16") convert_from<Eigen::half>(entry, into);
    if (dtype == "BF16") convert_from<Eigen::bfloat16>(entry, into);
  }

  template <class Stored>
  static void convert_from(const Entry& entry, float* into) {
    const std::string_view bytes = entry.tensor.bytes;
    for (std::size_t i = 0; i < bytes.size() / sizeof(Stored); ++i) {
      Stored value;  // files do not align their numbers
      std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
      into[i] = static_cast<float>(value);
      if (!std::isfinite(into[i]))
        throw train::FileError(
            entry.file, "has the tensor \"" + entry.tensor.name + "\" with a number that is not finite");
    }
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;                       // the file or the index
  std::vector<std::unique_ptr<std::string>> files_;  // what the tensors point into
  std::map<std::string, Entry> tensors_;
};

}  // namespace generate
