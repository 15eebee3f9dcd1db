// The rotation kernels, compiled once for all tests: each takes seconds.
#pragma once

#include <rotary/kernels/rotate.hpp>

namespace rotary::kernels {

extern template void rotate(RotationJob<double, double>&&);
extern template void rotate(RotationJob<float, float>&&);
extern template void rotate(RotationJob<Eigen::half, float>&&);
extern template void rotate(RotationJob<Eigen::bfloat16, float>&&);
extern template void rotate(RotationJob<double, float>&&);
extern template void rotate(RotationJob<float, double>&&);
extern template void rotate(RotationJob<Eigen::half, double>&&);
extern template void rotate(RotationJob<Eigen::bfloat16, double>&&);

}  // namespace rotary::kernels
