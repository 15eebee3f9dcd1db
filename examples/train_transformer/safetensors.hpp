// The safetensors format: named tensors in a file that other programs read, too.
//
//   8 bytes      length of the header, little-endian
//   header       JSON: {"__metadata__": {"key": "text", ...}, "name": {"dtype": "F32", "shape": [2, 3],
//                "data_offsets": [begin, end]}, ...}, filled up with spaces to a multiple of 8
//   data         the tensors one after another, row-major, little-endian; offsets count from here
//
// In Python: safetensors.numpy.load_file("checkpoint.safetensors").
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace train::safetensors {

static_assert(std::endian::native == std::endian::little, "safetensors are written as they lie in memory");

/// What is wrong with a file, as the end of a sentence that begins with the file's name.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A tensor whose bytes belong to someone else: to a model, or to the contents of a file.
struct Tensor {
  std::string name;
  std::string dtype;  ///< "F64", "F32", "F16" or "BF16"
  std::vector<std::uint64_t> shape;
  std::string_view bytes;
};

struct Contents {
  std::map<std::string, std::string> metadata;
  std::vector<Tensor> tensors;

  /// The tensor of that name; throws Error if there is none.
  const Tensor& tensor(const std::string& name) const {
    for (const Tensor& tensor : tensors)
      if (tensor.name == name) return tensor;
    throw Error("has no tensor \"" + name + "\"");
  }
};

/// The reader of the Python package refuses longer headers, too.
inline constexpr std::uint64_t kLargestHeader = 100'000'000;

template <class Scalar>
constexpr const char* dtype_of() {
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "F32 and F64 are what we write");
  return std::is_same_v<Scalar, float> ? "F32" : "F64";
}

/// Describes numbers in memory as a tensor.
template <class Scalar>
Tensor tensor_of(std::string name, std::vector<std::uint64_t> shape, const Scalar* data, std::size_t count) {
  return {std::move(name), dtype_of<Scalar>(), std::move(shape),
          std::string_view(reinterpret_cast<const char*>(data), count * sizeof(Scalar))};
}

/// The file's length field and header. After it come the bytes of the tensors, in their order.
inline std::string header_of(const Contents& contents) {
  nlohmann::json header = nlohmann::json::object();
  if (!contents.metadata.empty()) header["__metadata__"] = contents.metadata;
  std::uint64_t offset = 0;
  for (const Tensor& tensor : contents.tensors) {
    const std::uint64_t end = offset + tensor.bytes.size();
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  std::string all(sizeof length, '\0');
  std::memcpy(all.data(), &length, sizeof length);
  return all + text;
}

namespace detail {

inline std::uint64_t size_of(const std::string& name, const std::string& dtype) {
  if (dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "F32") return 4;
  if (dtype == "F64") return 8;
  throw Error("tensor \"" + name + "\" has numbers of type \"" + dtype + "\"; wanted F64, F32, F16 or BF16");
}

/// A whole number ≥ 0 of the header. JSON has other numbers and other things than numbers; none of them is a
/// length.
inline std::uint64_t whole_number(const nlohmann::json& value, const std::string& name, const char* field) {
  if (!value.is_number_unsigned())
    throw Error("tensor \"" + name + "\" has " + value.dump() + " in its " + field +
                "; wanted a whole number");
  return value.get<std::uint64_t>();
}

inline Tensor parse_tensor(const std::string& name, const nlohmann::json& entry, std::string_view data) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets") || !entry["dtype"].is_string() || !entry["shape"].is_array() ||
      !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2)
    throw Error("tensor \"" + name + "\" lacks a dtype, a shape or two data_offsets");
  Tensor tensor{name, entry["dtype"].get<std::string>(), {}, {}};
  std::uint64_t bytes = size_of(name, tensor.dtype);
  for (const auto& value : entry["shape"]) {
    const std::uint64_t extent = whole_number(value, name, "shape");
    if (extent > 0 && bytes > UINT64_MAX / extent)
      throw Error("tensor \"" + name + "\" has the shape " + entry["shape"].dump() +
                  ", which no memory holds");
    bytes *= extent;
    tensor.shape.push_back(extent);
  }
  const std::uint64_t begin = whole_number(entry["data_offsets"][0], name, "data_offsets");
  const std::uint64_t end = whole_number(entry["data_offsets"][1], name, "data_offsets");
  if (begin > end || end > data.size())
    throw Error("tensor \"" + name + "\" lies at bytes " + std::to_string(begin) + " to " +
                std::to_string(end) + " of data that has " + std::to_string(data.size()) +
                "; is the file cut short?");
  if (end - begin != bytes)
    throw Error("tensor \"" + name + "\" of shape " + entry["shape"].dump() + " needs " +
                std::to_string(bytes) + " bytes, and has " + std::to_string(end - begin));
  tensor.bytes = data.substr(begin, end - begin);
  return tensor;
}

}  // namespace detail

/// Reads the contents of a file; the tensors point into `file`. Throws Error, whatever the bytes are.
inline Contents parse(std::string_view file) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length)
    throw Error("has " + std::to_string(file.size()) +
                " bytes, too few for the length of a safetensors header");
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kLargestHeader)
    throw Error("says that its header has " + std::to_string(length) + " bytes; more than " +
                std::to_string(kLargestHeader) + " is no safetensors file");
  if (length > file.size() - sizeof length)
    throw Error("says that its header has " + std::to_string(length) + " bytes, but only " +
                std::to_string(file.size() - sizeof length) + " follow; is the file cut short?");
  const std::string_view text = file.substr(sizeof length, length);
  const std::string_view data = file.substr(sizeof length + length);

  nlohmann::json header;
  try {
    header = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error(std::string("has a header that is not JSON: ") + error.what());
  }
  if (!header.is_object()) throw Error("has a header that is no JSON object");

  Contents contents;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) throw Error("has __metadata__ that is no JSON object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) throw Error("has __metadata__ \"" + key + "\" that is no text");
        contents.metadata[key] = value.get<std::string>();
      }
    } else {
      contents.tensors.push_back(detail::parse_tensor(name, entry, data));
    }
  }

  // The tensors fill the data without holes or overlaps: the format demands it, and it finds a file that was
  // cut.
  std::sort(contents.tensors.begin(), contents.tensors.end(), [](const Tensor& a, const Tensor& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  const char* next = data.data();
  for (const Tensor& tensor : contents.tensors) {
    if (tensor.bytes.data() != next)
      throw Error("has a hole or an overlap before the data of tensor \"" + tensor.name + "\"");
    next += tensor.bytes.size();
  }
  if (next != data.data() + data.size())
    throw Error("has " + std::to_string(data.data() + data.size() - next) + " bytes after its last tensor");
  return contents;
}

}  // namespace train::safetensors
