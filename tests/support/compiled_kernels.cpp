#include "support/compiled_kernels.hpp"

namespace rotary::kernels {

template void rotate(const RotationJob<double, double>&);
template void rotate(const RotationJob<float, float>&);
template void rotate(const RotationJob<Eigen::half, float>&);
template void rotate(const RotationJob<Eigen::bfloat16, float>&);
template void rotate(const RotationJob<double, float>&);
template void rotate(const RotationJob<float, double>&);
template void rotate(const RotationJob<Eigen::half, double>&);
template void rotate(const RotationJob<Eigen::bfloat16, double>&);

}  // namespace rotary::kernels
