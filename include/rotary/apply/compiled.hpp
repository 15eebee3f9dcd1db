// Instantiations that are compiled once, in place of in every file that rotates: a part of the target `rotary::compiled`.
//
// Included by the headers that need it; it declares something only where ROTARY_COMPILED is defined, as the CMake
// target does. Without CMake, define ROTARY_COMPILED in all files, and add one of your own to the program:
//
//     #include <rotary/apply/compile.hpp>
//
// compiled with the same flags: other flags name another inline namespace, so that the linker finds nothing.
#pragma once

#include "../kernels/cos_sin_of_angles.hpp"
#include "rotate_sequence.hpp"

#if defined(ROTARY_EXTERN)
namespace rotary::inline ROTARY_ABI {
namespace kernels {

ROTARY_EXTERN template void rotate(RotationJob<float, float>&&);
ROTARY_EXTERN template void rotate(RotationJob<double, double>&&);
ROTARY_EXTERN template void rotate(RotationJob<Eigen::half, float>&&);
ROTARY_EXTERN template void rotate(RotationJob<Eigen::bfloat16, float>&&);
ROTARY_EXTERN template void rotate_contiguous(RotationJob<float, float>&&);
ROTARY_EXTERN template void rotate_contiguous(RotationJob<double, double>&&);
ROTARY_EXTERN template void rotate_contiguous(RotationJob<Eigen::half, float>&&);
ROTARY_EXTERN template void rotate_contiguous(RotationJob<Eigen::bfloat16, float>&&);
#if ROTARY_VECTOR_EXTENSIONS
ROTARY_EXTERN template auto one_token_kernel(Pairing) -> void (*)(float*, const float*, Index, Index, Index);
ROTARY_EXTERN template auto one_token_kernel(Pairing)
    -> void (*)(double*, const double*, Index, Index, Index);
ROTARY_EXTERN template auto one_token_kernel(Pairing)
    -> void (*)(Eigen::half*, const float*, Index, Index, Index);
ROTARY_EXTERN template auto one_token_kernel(Pairing)
    -> void (*)(Eigen::bfloat16*, const float*, Index, Index, Index);
#endif

ROTARY_EXTERN template void cos_sin_rows(const TurnSteps&, const Positions&, Index, Index, const Magnitude&,
                                         Pairing, float*);
ROTARY_EXTERN template void cos_sin_rows(const TurnSteps&, const Positions&, Index, Index, const Magnitude&,
                                         Pairing, double*);
ROTARY_EXTERN template void cos_sin_row(const TurnSteps&, std::span<const FixedPosition>, const Magnitude&,
                                        Pairing, float*);
ROTARY_EXTERN template void cos_sin_row(const TurnSteps&, std::span<const FixedPosition>, const Magnitude&,
                                        Pairing, double*);
ROTARY_EXTERN template void cos_sin_of_angles(const double*, const double*, Index, Pairing, float*, Index);
ROTARY_EXTERN template void cos_sin_of_angles(const double*, const double*, Index, Pairing, double*, Index);

}  // namespace kernels

namespace detail {

// One tensor in place and into another, queries and keys in place, of each scalar.
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<float, float>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<const float, float>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<float, float>&, const TensorPair<float, float>&);
ROTARY_EXTERN template void rotate_at(const Rotation<double>&, const Positions&, const TokenRange&,
                                      const TensorPair<double, double>&);
ROTARY_EXTERN template void rotate_at(const Rotation<double>&, const Positions&, const TokenRange&,
                                      const TensorPair<const double, double>&);
ROTARY_EXTERN template void rotate_at(const Rotation<double>&, const Positions&, const TokenRange&,
                                      const TensorPair<double, double>&, const TensorPair<double, double>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<Eigen::half, Eigen::half>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<const Eigen::half, Eigen::half>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<Eigen::half, Eigen::half>&,
                                      const TensorPair<Eigen::half, Eigen::half>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<Eigen::bfloat16, Eigen::bfloat16>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<const Eigen::bfloat16, Eigen::bfloat16>&);
ROTARY_EXTERN template void rotate_at(const Rotation<float>&, const Positions&, const TokenRange&,
                                      const TensorPair<Eigen::bfloat16, Eigen::bfloat16>&,
                                      const TensorPair<Eigen::bfloat16, Eigen::bfloat16>&);

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
#endif
