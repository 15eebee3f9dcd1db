// Kernels that are compiled once for all tests, each of which takes seconds: those of rotary::compiled, those with rows of
// another type than the arithmetic of the tensor would ask for, and the reference.
#pragma once

#include <rotary/apply/compiled.hpp>

#ifdef ROTARY_COMPILED
#ifdef ROTARY_COMPILE_TEST_KERNELS
#define ROTARY_TEST_KERNEL
#else
#define ROTARY_TEST_KERNEL extern
#endif
namespace rotary::inline ROTARY_ABI::kernels {

ROTARY_TEST_KERNEL template void rotate(RotationJob<double, float>&&);
ROTARY_TEST_KERNEL template void rotate(RotationJob<float, double>&&);
ROTARY_TEST_KERNEL template void rotate(RotationJob<Eigen::half, double>&&);
ROTARY_TEST_KERNEL template void rotate(RotationJob<Eigen::bfloat16, double>&&);
ROTARY_TEST_KERNEL template void rotate_contiguous(RotationJob<double, float>&&);
ROTARY_TEST_KERNEL template void rotate_contiguous(RotationJob<float, double>&&);
ROTARY_TEST_KERNEL template void rotate_contiguous(RotationJob<Eigen::half, double>&&);
ROTARY_TEST_KERNEL template void rotate_contiguous(RotationJob<Eigen::bfloat16, double>&&);
#if ROTARY_VECTOR_EXTENSIONS
ROTARY_TEST_KERNEL template auto one_token_kernel(Pairing)
    -> void (*)(double*, const float*, Index, Index, Index);
ROTARY_TEST_KERNEL template auto one_token_kernel(Pairing)
    -> void (*)(float*, const double*, Index, Index, Index);
ROTARY_TEST_KERNEL template auto one_token_kernel(Pairing)
    -> void (*)(Eigen::half*, const double*, Index, Index, Index);
ROTARY_TEST_KERNEL template auto one_token_kernel(Pairing)
    -> void (*)(Eigen::bfloat16*, const double*, Index, Index, Index);
#endif

// What all kernels are compared with.
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<float, float>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<double, double>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<float, double>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<double, float>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<Eigen::half, float>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<Eigen::bfloat16, float>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<Eigen::half, double>&);
ROTARY_TEST_KERNEL template void rotate_reference(const RotationJob<Eigen::bfloat16, double>&);

}  // namespace rotary::inline ROTARY_ABI::kernels
#undef ROTARY_TEST_KERNEL
#endif
