// The configurations of published models in tests/configs, written by hand: each with the model's name as
// `_name_or_path`, the keys about positions, and a few others.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <rotary/models/model_configuration.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace rotary::testing {

/// The files, sorted.
inline std::vector<std::filesystem::path> config_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(ROTARY_SOURCE_DIR "/tests/configs"))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

inline std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error(file.string() + " cannot be read");
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

inline std::string config_text(const std::string& file) {
  return text_of(ROTARY_SOURCE_DIR "/tests/configs/" + file);
}

}  // namespace rotary::testing
