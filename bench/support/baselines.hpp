// The baselines: reading and writing the bytes of a tensor with little or no arithmetic.
#pragma once

#include <rotary/core/pairing.hpp>
#include <rotary/tensor/tensor.hpp>

namespace bench {

using rotary::Index;

/// S: x *= a, for float, double, Eigen::half and Eigen::bfloat16; 16-bit numbers are multiplied as float.
template <class X>
void scale(X* x, Index size);

/// S over the same bytes read as float, whatever they are: the cost of reading and writing them.
///
/// Numbers of any of our scalars that are neither zeros nor tiny are ordinary floats when read as such, and
/// a is 1, so nothing changes.
void scale_as_float(void* x, std::size_t bytes);

/// S on windows of `length` numbers with stride `step`.
template <class X>
void scale_windows(X* x, Index windows, Index step, Index length);

/// to = from · row, element by element: `length` numbers of each head, `heads` of each token, and a row for
/// every token. `from` and `to` may be the same.
void multiply_by_rows(const float* from, float* to, const float* rows, Index tokens, Index heads,
                      Index length);

/// The arithmetic of a rotation on contiguous vectors, with one cosine and one sine in registers. The angle
/// is 0, which changes nothing.
template <class X>
void rotate_by_one_row(X* x, Index size, rotary::Pairing pairing);

/// M: memcpy.
void copy(const void* from, void* to, std::size_t bytes);

/// A copy with the widest registers of the processor and ordinary stores.
void copy_by_vectors(const float* from, float* to, Index size);

/// A copy with non-temporal stores; `to` starts on a cache line.
void copy_nontemporal(const float* from, float* to, Index size);

}  // namespace bench
