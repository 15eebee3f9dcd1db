// Declarations shared by the parts of the runner.
#pragma once

#include "comparison.hpp"

namespace bench {

Settings& mutable_settings();
/// Was some result wrong? Then the exit code is 1.
bool& refused();

}  // namespace bench
