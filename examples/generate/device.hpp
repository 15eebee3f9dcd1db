// The threads that share the work, and the Eigen types of activations and weights.
#pragma once

#ifndef EIGEN_USE_THREADS
#define EIGEN_USE_THREADS
#endif

#include <algorithm>
#include <rotary/attention.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

namespace generate {

using rotary::Index;
using Device = Eigen::ThreadPoolDevice;

/// Activations have one row for each token, [tokens, features]; weights are [out, in], as PyTorch stores them.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowVector = Eigen::Matrix<float, 1, Eigen::Dynamic, Eigen::RowMajor>;

/// y = x Wᵀ for x [tokens, in] and W [out, in]. The threads take blocks of 64 outputs; since a block does not depend on the
/// number of threads, neither do the bits.
inline void multiply_transposed(const Matrix& x, const Matrix& weight, Matrix& y, const Device& device) {
  constexpr Index kBlock = 64;
  const Index out = weight.rows(), blocks = (out + kBlock - 1) / kBlock;
  y.resize(x.rows(), out);
  const auto elements = static_cast<double>(kBlock * weight.cols());
  const Eigen::TensorOpCost cost(sizeof(float) * elements, 0, elements / 4 * static_cast<double>(x.rows()));
  device.parallelFor(blocks, cost, [&](Index first, Index last) {
    for (Index block = first; block < last; ++block) {
      const Index begin = block * kBlock, size = std::min(kBlock, out - begin);
      y.middleCols(begin, size).noalias() = x * weight.middleRows(begin, size).transpose();
    }
  });
}

}  // namespace generate
