// Rows of another type than the arithmetic of the tensor would ask for.
#include "support/compiled_kernels.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

template void rotate(RotationJob<double, float>&&);
template void rotate(RotationJob<float, double>&&);
template void rotate(RotationJob<Eigen::half, double>&&);
template void rotate(RotationJob<Eigen::bfloat16, double>&&);

}  // namespace rotary::inline ROTARY_ABI::kernels
