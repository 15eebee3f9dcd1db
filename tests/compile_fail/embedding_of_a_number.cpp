// expect: rotary: name the arguments: RotaryEmbedding<float>\(.*dim = 64
// lines: 12
#include <rotary/rotary.hpp>

rotary::RotaryEmbedding<float> rotary_emb(32);
