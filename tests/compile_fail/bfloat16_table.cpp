// expect: rotary: cosines and sines are held in float or double, also for 16-bit tensors
#include <rotary/rotary.hpp>

rotary::CosSinTable<Eigen::bfloat16> rows(rotary::language_frequencies(64),
                                          rotary::Positions::consecutive(8));
