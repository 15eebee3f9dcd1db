#include "compiled_kernels.hpp"

namespace rotary::kernels {

template void rotate(const RotationJob<double, double>&);
template void rotate(const RotationJob<float, float>&);
template void rotate(const RotationJob<Eigen::half, float>&);
template void rotate(const RotationJob<Eigen::bfloat16, float>&);

}  // namespace rotary::kernels
