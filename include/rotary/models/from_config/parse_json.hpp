// Parses untrusted JSON text into nlohmann::json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../core/error.hpp"
#include "quoting.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Configurations have a few kilobytes and three levels; text beyond these limits is something else. The
/// limit of depth protects the stack of recursive functions, the limit of size protects the memory.
inline constexpr std::size_t kMaxConfigBytes = std::size_t(16) << 20;
inline constexpr std::size_t kMaxConfigDepth = 64;

/// How much of a document a message quotes.
inline constexpr std::size_t kMaxQuote = 200;

/// Builds the document while nlohmann's parser, which does not recurse, reads it.
///
/// nlohmann's own builder has no limit of depth, silently takes the last of two values under one key, and
/// throws in programs without exceptions; its errors do not name the key.
class JsonBuilder {
 public:
  using Json = nlohmann::json;

  Json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  // not covered: the parser of text finds no binary values
  bool binary(Json::binary_t&) { fail("the configuration is not JSON but a binary format"); }

  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Level& level = levels_.back();
    level.key = name;
    if (level.value->contains(name)) fail(path(), " stands twice in the configuration, once is wanted");
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    const std::string where = path(), message = shortened(error.what(), kMaxQuote);
    fail("the configuration is not JSON at byte ", position,
         where.empty() ? std::string() : ", the value of " + where, ": ", message);
  }

 private:
  struct Level {
    Json* value;
    std::string key = {};
  };

  /// The key whose value is being read, with the objects that contain it.
  std::string path() const {
    std::string path;
    for (const Level& level : levels_)
      if (!level.key.empty()) path += (path.empty() ? "" : ".") + level.key;
    return shortened(path, kMaxQuote);
  }

  Json* place(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.value->is_array()) {
      level.value->push_back(std::move(value));
      return &level.value->back();
    }
    return &((*level.value)[level.key] = std::move(value));
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (levels_.size() == kMaxConfigDepth)
      fail("the configuration has more than ", kMaxConfigDepth, " levels of brackets",
           path().empty() ? std::string() : ", under " + path());
    levels_.push_back({place(std::move(container))});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Level> levels_;
};

inline nlohmann::json parse_json(std::string_view text) {
  if (text.size() > kMaxConfigBytes)
    fail("the configuration has ", text.size(), " bytes, at most ", kMaxConfigBytes, " are read");
  if (const std::size_t zero = text.find('\0');
      zero != text.npos)  // the parser would stop there without an error
    fail("the configuration is not JSON at byte ", zero, ", which is zero");
  JsonBuilder builder;
  nlohmann::json::sax_parse(text, &builder);
  return builder.take();
}

}  // namespace rotary::inline ROTARY_ABI::detail
