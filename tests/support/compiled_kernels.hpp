// Kernels that are compiled once for all tests, each of which takes seconds: those of rotary::compiled, and rows of
// another type than the arithmetic of the tensor would ask for.
#pragma once

#include <rotary/apply/compiled.hpp>

#if defined(ROTARY_COMPILED)
namespace rotary::inline ROTARY_ABI::kernels {

extern template void rotate(RotationJob<double, float>&&);
extern template void rotate(RotationJob<float, double>&&);
extern template void rotate(RotationJob<Eigen::half, double>&&);
extern template void rotate(RotationJob<Eigen::bfloat16, double>&&);

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif
