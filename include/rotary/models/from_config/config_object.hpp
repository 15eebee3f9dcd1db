// ConfigObject: a JSON object of a configuration, with typed values by key. Every error names the full key.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../model_configuration.hpp"
#include "options.hpp"
#include "quoting.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The notes so far, and the keys that were read.
class ConfigReport {
 public:
  using Kind = ConfigurationNote::Kind;

  explicit ConfigReport(const ConfigAssumptions& assume) : assume_(assume) {}

  const ConfigAssumptions& assume() const { return assume_; }

  /// Has the caller asked to ignore this key?
  bool leaves_out(std::string_view path) const {
    for (const std::string& key : assume_.ignored_keys)
      if (!key.empty() && path.ends_with(key) &&
          (path.size() == key.size() || path[path.size() - key.size() - 1] == '.'))
        return true;
    return false;
  }

  /// Adds a note, at most one of a kind on a key: layers that share an object would repeat it.
  void add(Kind kind, const std::string& key, std::string text) {
    if (noted_.emplace(kind, key).second) notes_.push_back({kind, key, std::move(text)});
  }

  void use(const std::string& key) { used_.insert(key); }
  bool uses(const std::string& key) const { return used_.contains(key); }
  std::vector<ConfigurationNote> take() { return std::move(notes_); }

 private:
  const ConfigAssumptions& assume_;
  std::vector<ConfigurationNote> notes_;
  std::set<std::pair<Kind, std::string>> noted_;
  std::set<std::string> used_;
};

/// A value and the key it was found under.
template <class T>
struct Keyed {
  T value;
  std::string key;
};

/// An object of the configuration. A missing object reads like an empty one, and a null like a missing key:
/// Hugging Face writes unset options as null.
class ConfigObject {
 public:
  using Json = nlohmann::json;

  explicit ConfigObject(ConfigReport& report) : report_(&report) {}
  ConfigObject(const Json& object, std::string path, ConfigReport& report)
      : object_(&object), path_(std::move(path)), report_(&report) {
    if (!object.is_object())
      fail(path_.empty() ? "the configuration" : path_, " is ", object.type_name(), ", it must be an object");
  }

  ConfigReport& report() const { return *report_; }
  const std::string& path() const { return path_; }
  std::string path(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  /// The keys that have a value.
  std::vector<std::string> keys() const {
    std::vector<std::string> keys;
    if (object_)
      for (const auto& item : object_->items())
        if (!item.value().is_null()) keys.push_back(item.key());
    return keys;
  }

  bool empty() const { return !object_ || object_->empty(); }
  /// Is the key there, possibly with null?
  bool has(std::string_view key) const {
    return object_ && object_->contains(key) && !report_->leaves_out(path(key));
  }
  bool has_value(std::string_view key) const { return has(key) && !value_at(key).is_null(); }
  bool has_null(std::string_view key) const { return has(key) && value_at(key).is_null(); }
  bool has_object(std::string_view key) const { return has(key) && value_at(key).is_object(); }
  bool has_array(std::string_view key) const { return has(key) && value_at(key).is_array(); }
  bool has_text(std::string_view key) const { return has(key) && value_at(key).is_string(); }
  /// The text under a key, shortened for a message. Requires `has_text(key)`.
  std::string name(std::string_view key) const {
    return shortened(value_at(key).get_ref<const std::string&>());
  }

  ConfigObject object(std::string_view key) const {
    const Json* found = find(key);
    return found ? ConfigObject(*found, path(shortened(key)), *report_) : ConfigObject(*report_);
  }

  std::optional<double> number(std::string_view key) const {
    const Json* found = find(key);
    if (!found) return {};
    return as_number(*found, path(key));
  }

  /// A number that must be positive.
  std::optional<double> positive(std::string_view key) const {
    const std::optional<double> found = number(key);
    if (found && *found <= 0) fail(path(key), " is ", *found, ", it must be positive");
    return found;
  }

  /// A whole number from `low` to `high`.
  std::optional<Index> integer(std::string_view key, Index low, Index high) const {
    const std::optional<double> found = number(key);
    if (!found) return {};
    if (*found < static_cast<double>(low) || *found > static_cast<double>(high) ||
        !is_equal(*found, std::floor(*found)))
      fail(path(key), " is ", *found, ", it must be a whole number from ", low, " to ", high);
    return static_cast<Index>(*found);
  }

  std::optional<bool> flag(std::string_view key) const {
    const Json* found = find(key);
    if (!found) return {};
    if (!found->is_boolean()) fail(path(key), " is ", found->type_name(), ", it must be true or false");
    return found->get<bool>();
  }

  /// A flag that files also write as a number.
  std::optional<bool> flag_or_number(std::string_view key) const {
    const Json* found = find(key);
    if (!found) return {};
    return found->is_boolean() ? found->get<bool>() : !is_equal(as_number(*found, path(key)), 0);
  }

  std::optional<std::string> text(std::string_view key) const {
    const Json* found = find(key);
    if (!found) return {};
    return as_text(*found, path(key));
  }

  std::optional<std::vector<double>> numbers(std::string_view key) const {
    const Json* found = find_array(key);
    if (!found) return {};
    std::vector<double> values;
    for (const Json& entry : *found) values.push_back(as_number(entry, path(key)));
    return values;
  }

  std::optional<std::vector<Index>> integers(std::string_view key, Index low, Index high) const {
    const std::optional<std::vector<double>> found = numbers(key);
    if (!found) return {};
    std::vector<Index> values;
    for (const double entry : *found) {
      if (entry < static_cast<double>(low) || entry > static_cast<double>(high) ||
          !is_equal(entry, std::floor(entry)))
        fail(path(key), " has an entry ", entry, ", every entry must be a whole number from ", low, " to ",
             high);
      values.push_back(static_cast<Index>(entry));
    }
    return values;
  }

  std::optional<std::vector<std::string>> texts(std::string_view key) const {
    const Json* found = find_array(key);
    if (!found) return {};
    std::vector<std::string> values;
    for (const Json& entry : *found) values.push_back(as_text(entry, path(key)));
    return values;
  }

  /// Flags, as true and false or as 1 and 0.
  std::optional<std::vector<bool>> flags(std::string_view key) const {
    const Json* found = find_array(key);
    if (!found) return {};
    std::vector<bool> values;
    for (const Json& entry : *found) {
      const bool is_flag = entry.is_boolean() || (entry.is_number() && (entry == 0 || entry == 1));
      if (!is_flag) fail(path(key), " has an entry that is neither 0 nor 1, true nor false");
      values.push_back(entry.is_boolean() ? entry.get<bool>() : entry != 0);
    }
    return values;
  }

  /// A number under one of several names, some of which may be empty. Throws if two of them have different
  /// values.
  std::optional<Keyed<double>> number_of(std::span<const std::string_view> names) const {
    std::optional<Keyed<double>> found;
    for (const std::string_view name : names) {
      const std::optional<double> value = name.empty() ? std::nullopt : number(name);
      if (!value) continue;
      if (!found) found = {*value, path(name)};
      check_same(*found, {*value, path(name)});
    }
    return found;
  }

  /// The integer under the first of several names that is there, for lengths that files state more than once.
  std::optional<Keyed<Index>> first_integer(std::initializer_list<std::string_view> names, Index low,
                                            Index high) const {
    for (const std::string_view name : names)
      if (const std::optional<Index> value = integer(name, low, high))
        return Keyed<Index>{*value, path(name)};
    return {};
  }

  /// A size under one of several names. Throws if two of them have different values.
  std::optional<Keyed<Index>> size_of(std::initializer_list<std::string_view> names, Index low,
                                      Index high) const {
    std::optional<Keyed<Index>> found;
    for (const std::string_view name : names) {
      const std::optional<Index> value = name.empty() ? std::nullopt : integer(name, low, high);
      if (!value) continue;
      if (!found) found = {*value, path(name)};
      if (found->value != *value)
        fail(found->key, " is ", found->value, " and ", path(name), " is ", *value,
             ": they are one and the same, and must agree");
    }
    return found;
  }

  static void check_same(const Keyed<double>& a, const Keyed<double>& b) {
    if (!is_equal(a.value, b.value))
      fail(a.key, " is ", a.value, " and ", b.key, " is ", b.value,
           ": they are one and the same, and must agree");
  }

  /// Throws if the other object has a different number, text or flag under the key. (Arrays and objects are
  /// not compared: that would recurse as deep as they are nested.)
  void check_agrees(const std::string& key, const ConfigObject& other) const {
    if (!has(key) || !other.has(key)) return;
    const Json &a = (*object_)[key], &b = (*other.object_)[key];
    if (a.is_primitive() && b.is_primitive() && a != b)
      fail(path(key), " and ", other.path(key), " are one and the same, and must agree");
  }

  // Notes begin with the key and its value; the caller adds what was done and why.
  void note_ignored(std::string_view key, std::string_view why) const {
    note(ConfigReport::Kind::ignored, key, "it is ignored, since " + std::string(why));
    report_->use(path(key));
  }
  void note_defaulted(std::string_view key, std::string_view what) const {
    note(ConfigReport::Kind::defaulted, key, what);
  }
  void note_contradictory(std::string_view key, std::string_view what) const {
    note(ConfigReport::Kind::contradictory, key, what);
  }
  void note_assumed(std::string_view key, std::string_view what) const {
    note(ConfigReport::Kind::assumed, key, what);
    report_->use(path(key));
  }
  void note_unread(std::string_view key, std::string_view what) const {
    note(ConfigReport::Kind::unread, key, what);
  }

  /// The value under the key, as text for a message.
  std::string value_text(std::string_view key) const {
    if (!object_ || !object_->contains(key)) return "missing";
    const Json& value = value_at(key);
    if (value.is_string()) return '"' + shortened(value.get_ref<const std::string&>()) + '"';
    if (!value.is_structured()) return value.is_binary() ? "binary" : value.dump();
    if (value.empty()) return "empty";
    return value.is_object() ? "an object" : "a list of " + to_text(value.size());
  }

  /// Marks the key as read without reading it.
  void use(std::string_view key) const { report_->use(path(key)); }

 private:
  void note(ConfigReport::Kind kind, std::string_view key, std::string_view what) const {
    report_->add(kind, path(key), path(shortened(key)) + " is " + value_text(key) + ": " + std::string(what));
  }

  const Json& value_at(std::string_view key) const { return (*object_)[std::string(key)]; }

  const Json* find(std::string_view key) const {
    if (!object_ || report_->leaves_out(path(key))) return nullptr;
    report_->use(path(key));
    const auto found = object_->find(key);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }

  const Json* find_array(std::string_view key) const {
    const Json* found = find(key);
    if (found && !found->is_array()) fail(path(key), " is ", found->type_name(), ", it must be an array");
    return found;
  }

  static double as_number(const Json& value, const std::string& path) {
    if (!value.is_number()) fail(path, " holds ", value.type_name(), ", it must hold numbers");
    const double number = value.get<double>();
    if (!finite_bits(number)) fail(path, " is ", number, ", it must be finite");
    return number;
  }

  static std::string as_text(const Json& value, const std::string& path) {
    if (!value.is_string()) fail(path, " holds ", value.type_name(), ", it must hold text");
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > kMaxName)
      fail(path, " holds ", text.size(), " characters, no name has more than ", kMaxName);
    if (std::any_of(text.begin(), text.end(), is_control))
      fail(path, " holds ", shortened(text), ", no name has control characters");
    return text;
  }

  const Json* object_ = nullptr;
  std::string path_;
  ConfigReport* report_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
