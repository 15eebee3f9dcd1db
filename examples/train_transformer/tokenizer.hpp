// Characters to numbers and back.
#pragma once

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace train {

/// A tokenizer whose tokens are the characters (Unicode code points) of a text, numbered in their order.
class Tokenizer {
 public:
  /// The characters that occur in `text`, which is UTF-8.
  explicit Tokenizer(std::string_view text) {
    std::vector<std::string_view> characters = split(text);
    std::sort(characters.begin(), characters.end());
    characters.erase(std::unique(characters.begin(), characters.end()), characters.end());
    for (const std::string_view character : characters) {
      tokens_.emplace(character, static_cast<int>(characters_.size()));
      characters_.emplace_back(character);
    }
  }

  /// How many different tokens there are.
  int size() const { return static_cast<int>(characters_.size()); }

  /// All characters, in the order of their tokens. A tokenizer made of this is equal to this one.
  std::string alphabet() const {
    std::string all;
    for (const std::string& character : characters_) all += character;
    return all;
  }

  /// The tokens of a text; throws std::invalid_argument naming the character if one is unknown.
  std::vector<int> encode(std::string_view text) const {
    std::vector<int> tokens;
    for (const std::string_view character : split(text)) {
      const auto found = tokens_.find(std::string(character));
      if (found == tokens_.end())
        throw std::invalid_argument("the character " + describe(character) + " is not among the " +
                                    std::to_string(size()) + " that the model knows");
      tokens.push_back(found->second);
    }
    return tokens;
  }

  std::string decode(const std::vector<int>& tokens) const {
    std::string text;
    for (const int token : tokens) text += characters_.at(static_cast<std::size_t>(token));
    return text;
  }

  /// A character for a message: 'é' (U+00E9), or U+000A alone where there is nothing to show.
  static std::string describe(std::string_view character) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
    unsigned code = character.size() == 1 ? byte(0) : byte(0) & (0xFFu >> (character.size() + 1));
    for (std::size_t i = 1; i < character.size(); ++i) code = code << 6 | (byte(i) & 0x3Fu);
    char name[16];
    std::snprintf(name, sizeof name, "U+%04X", code);
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return name;
    return "'" + std::string(character) + "' (" + name + ")";
  }

 private:
  /// The characters of a UTF-8 text. Throws std::invalid_argument naming the place of a byte that is no
  /// UTF-8.
  static std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> characters;
    characters.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
      const auto first = static_cast<unsigned char>(text[i]);
      const std::size_t length = first < 0x80   ? 1
                                 : first < 0xC2 ? 0
                                 : first < 0xE0 ? 2
                                 : first < 0xF0 ? 3
                                 : first < 0xF5 ? 4
                                                : 0;
      bool valid = length > 0 && i + length <= text.size();
      for (std::size_t k = 1; valid && k < length; ++k)
        valid = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
      if (!valid) {
        char what[80];
        std::snprintf(what, sizeof what, "byte 0x%02X at offset %zu is not UTF-8", unsigned{first}, i);
        throw std::invalid_argument(what);
      }
      characters.push_back(text.substr(i, length));
      i += length;
    }
    return characters;
  }

  std::vector<std::string> characters_;
  std::unordered_map<std::string, int> tokens_;
};

}  // namespace train
