// expect: deleted
// lines: 12
#include <rotary/rotary.hpp>

rotary::MropePositions make_prompt();

auto positions() { return make_prompt().tokens().positions(); }
