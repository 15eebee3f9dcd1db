// The rotation kernels, compiled once for all benchmarks: each takes seconds.
#pragma once

#include <rotary/kernels/rotate.hpp>

#ifndef ROTARY_BENCH_OWN_KERNELS
namespace rotary::inline ROTARY_ABI::kernels {

extern template void rotate(RotationJob<double, double>&&);
extern template void rotate(RotationJob<float, float>&&);
extern template void rotate(RotationJob<Eigen::half, float>&&);
extern template void rotate(RotationJob<Eigen::bfloat16, float>&&);

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif
