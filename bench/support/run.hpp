// What the parts of the runner share.
#pragma once

#include "contest.hpp"

namespace bench {

Settings& mutable_settings();
/// Whether some answer was wrong; the exit code tells.
bool& refused();

}  // namespace bench
