#include "compiled_kernels.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

template void rotate(RotationJob<double, double>&&);
template void rotate(RotationJob<float, float>&&);
template void rotate(RotationJob<Eigen::half, float>&&);
template void rotate(RotationJob<Eigen::bfloat16, float>&&);

}  // namespace rotary::inline ROTARY_ABI::kernels
