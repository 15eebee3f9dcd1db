// expect: rotary: keys are float, double, Eigen::half or Eigen::bfloat16
#include <rotary/rotary.hpp>

rotary::KeyCache<int> cache(rotary::language_frequencies(8), {}, {.head_dim = 8});
