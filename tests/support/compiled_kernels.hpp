// The rotation kernels, compiled once for all tests that include this: each takes seconds.
#pragma once

#include <rotary/kernels/rotate.hpp>

namespace rotary::kernels {

extern template void rotate(const RotationJob<double, double>&);
extern template void rotate(const RotationJob<float, float>&);
extern template void rotate(const RotationJob<Eigen::half, float>&);
extern template void rotate(const RotationJob<Eigen::bfloat16, float>&);
extern template void rotate(const RotationJob<double, float>&);
extern template void rotate(const RotationJob<float, double>&);
extern template void rotate(const RotationJob<Eigen::half, double>&);
extern template void rotate(const RotationJob<Eigen::bfloat16, double>&);

}  // namespace rotary::kernels
