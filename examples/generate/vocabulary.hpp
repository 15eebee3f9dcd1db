// Tokens and text: the vocabulary of a model folder.
#pragma once

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "../train_transformer/files.hpp"

namespace generate {

/// A vocabulary of characters, read from a tokenizer.json in the format of Hugging Face:
///
///     {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, ...}, "merges": []}, ...}
///
/// Without merges, each character of a text is a token. Throws train::FileError for files with merges and of other types: the
/// tokens of their models are given by number.
class Vocabulary {
 public:
  Vocabulary(const std::filesystem::path& path, rotary::Index size) {
    const auto fail = [&](const std::string& sentence) { throw train::FileError(path, sentence); };
    if (!std::filesystem::exists(path)) fail("there is no such file; give tokens by --tokens");
    const nlohmann::json json = nlohmann::json::parse(train::read_file(path), nullptr, false);
    if (!json.is_object() || !json.contains("model") || !json["model"].is_object() ||
        !json["model"].contains("vocab") || !json["model"]["vocab"].is_object())
      fail("is no JSON object with a model and its vocab");
    const nlohmann::json& model = json["model"];
    if (model.value("type", nlohmann::json()) != "BPE" || !model.contains("merges") ||
        !model["merges"].empty())
      fail(
          "has a tokenizer other than BPE without merges, which is all that this program reads; give tokens "
          "by --tokens");
    characters_.resize(static_cast<std::size_t>(size));
    for (const auto& [text, token] : model["vocab"].items()) {
      if (!token.is_number_integer() || token < 0 || token >= size)
        fail("has " + token.dump() + " for a token, wanted 0 to " + std::to_string(size - 1));
      if (text.empty()) fail("has a token without a character");
      characters_[token.get<std::size_t>()] = text;
      tokens_[text] = token.get<int>();
    }
  }

  /// The tokens of a text; throws std::invalid_argument if a character is not in the vocabulary.
  std::vector<int> encode(std::string_view text) const {
    std::vector<int> tokens;
    while (!text.empty()) {
      std::size_t bytes = 1;  // of the next character: bytes that begin with the bits 10 continue it
      while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) ++bytes;
      const auto found = tokens_.find(std::string(text.substr(0, bytes)));
      if (found == tokens_.end())
        throw std::invalid_argument("the character '" + std::string(text.substr(0, bytes)) +
                                    "' is not in the vocabulary of the model");
      tokens.push_back(found->second);
      text.remove_prefix(bytes);
    }
    return tokens;
  }

  /// The text of a token; nothing for a number that the vocabulary does not name.
  const std::string& decode(int token) const { return characters_.at(static_cast<std::size_t>(token)); }

 private:
  std::vector<std::string> characters_;
  std::unordered_map<std::string, int> tokens_;
};

}  // namespace generate
