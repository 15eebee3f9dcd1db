// expect: rotary: positions are int32, int64, float or double; a 16-bit type cannot tell 256 from 257
#include <rotary/rotary.hpp>

auto rows(std::span<const Eigen::bfloat16> positions) {
  return rotary::CosSinTable<float>(rotary::language_frequencies(64), rotary::Positions::listed(positions));
}
