// from_config as one compiled function. The reader takes as long to compile as all that a test of it says, so
// it is compiled once, in compiled_from_config.cpp; tests include this header in place of
// rotary/from_config.hpp.
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <rotary/models/from_config/options.hpp>
#include <rotary/models/model_configuration.hpp>
#include <string_view>
#include <vector>

namespace rotary::testing {

ModelConfiguration from_config(std::string_view text, const FromConfigOptions& options = {});
template <std::same_as<nlohmann::json> Json>
ModelConfiguration from_config(const Json& json, const FromConfigOptions& options = {});
std::vector<std::string_view> known_model_types();

}  // namespace rotary::testing
