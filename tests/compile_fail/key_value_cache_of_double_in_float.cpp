// expect: rotary: keys and values are stored as they are given; those of 16 or 32 bits also as float
#include <rotary/rotary.hpp>

rotary::KeyValueCache<double, float> cache(rotary::language_frequencies(8), {}, {.head_dim = 8, .pages = 1});
