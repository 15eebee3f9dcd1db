// expect: rotary: name the arguments: AxialFrequencies<float>\(.*dim = 16
// lines: 12
#include <rotary/rotary.hpp>

rotary::AxialFrequencies<float> pixels(32);
