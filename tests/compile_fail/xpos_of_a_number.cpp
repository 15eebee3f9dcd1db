// expect: rotary: name the arguments: XPos<float>\(.*dim = 64
// lines: 12
#include <rotary/rotary.hpp>

rotary::XPos<float> of_a_number(32);
