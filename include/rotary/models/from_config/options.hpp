// The options of `from_config`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "../../core/error.hpp"
#include "../../core/pairing.hpp"

namespace rotary::inline ROTARY_ABI {

/// Values that the caller of `from_config` supplies where a configuration, or this version of the reader,
/// lacks them. Each one that is used becomes a note of kind `assumed`.
struct ConfigAssumptions {
  std::string model_type = {};          ///< a known type, as which the language model is read
  std::optional<Pairing> pairing = {};  ///< how features are paired, whatever the type and the file say
  std::optional<std::vector<Index>> rotating_layers = {};  ///< the layers that rotate, from 0; others do not
  std::vector<std::string> ignored_keys = {};              ///< keys to ignore: a whole path, or its last part
};

/// How `from_config` reads a configuration.
struct FromConfigOptions {
  ConfigAssumptions assume = {};  ///< values for what the configuration leaves open; by default none
  bool list_unread_keys = false;  ///< adds a note of kind `unread` for every key that was not read
};

}  // namespace rotary::inline ROTARY_ABI
