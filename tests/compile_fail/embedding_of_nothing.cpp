// expect: rotary: an embedding needs its dim: RotaryEmbedding<float>\(.*dim = 64
// lines: 12
#include <rotary/rotary.hpp>

rotary::RotaryEmbedding<float> rotary_emb;
