#include "compiled_from_config.hpp"

#include <rotary/from_config.hpp>

namespace rotary::testing {

ModelConfiguration from_config(std::string_view text, const FromConfigOptions& options) {
  return rotary::from_config(text, options);
}

template <std::same_as<nlohmann::json> Json>
ModelConfiguration from_config(const Json& json, const FromConfigOptions& options) {
  return rotary::from_config(json, options);
}
template ModelConfiguration from_config(const nlohmann::json&, const FromConfigOptions&);

std::vector<std::string_view> known_model_types() { return rotary::known_model_types(); }

}  // namespace rotary::testing
