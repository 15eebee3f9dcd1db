// expect: no match|no instance|no viable|could not convert|cannot convert|no member|has no non-static data member
#include <rotary/rotary.hpp>

rotary::RotaryEmbedding<float> rotary_emb(rotary::language_frequencies(64), {.dim = 32, .theta = 500000});
