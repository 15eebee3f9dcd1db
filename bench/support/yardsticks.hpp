// The yardsticks: touching the bytes of a tensor and doing next to nothing with them.
#pragma once

#include <rotary/tensor.hpp>

namespace bench {

using rotary::Index;

/// S: x *= a, for float, double, Eigen::half and Eigen::bfloat16; 16-bit numbers by way of float.
template <class X>
void scale(X* x, Index size);

/// S over the same bytes read as float, whatever they are: what it costs to touch them.
///
/// Numbers of any of our scalars that are neither zeros nor tiny are ordinary floats when read as such, and
/// a is 1, so nothing changes.
void scale_as_float(void* x, std::size_t bytes);

/// S on windows of `length` numbers, a multiple of 64, one in every head before the next token's come.
template <class X>
void scale_windows(X* x, Index tokens, Index token_step, Index heads, Index head_step, Index length);

/// x *= y, element by element.
void scale_by(float* x, const float* y, Index size);

/// M: memcpy.
void copy(const void* from, void* to, std::size_t bytes);

/// The same with the widest registers of the processor and ordinary stores.
void copy_by_vectors(const float* from, float* to, Index size);

}  // namespace bench
