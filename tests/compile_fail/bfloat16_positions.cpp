// expect: rotary: positions are integers of 32 or 64 bits, float or double; 16-bit types do not hold every position: bfloat16 cannot tell 256 from 257
#include <rotary/rotary.hpp>

auto rows(std::span<const Eigen::bfloat16> positions) {
  return rotary::CosSinTable<float>(rotary::language_frequencies(64), rotary::Positions::listed(positions));
}
