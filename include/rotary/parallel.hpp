// Sharing one rotation among the threads of a device. No thread here is the library's own.
#pragma once

#include <algorithm>

#include "tensor.hpp"

namespace rotary {

/// What `device` arguments are: Eigen::ThreadPoolDevice, or anything that splits [0, n) among threads as it
/// does, and waits for them.
template <class Device>
concept ParallelDevice = requires(const Device& device, const Eigen::TensorOpCost& cost) {
  device.parallelFor(Index{1}, cost, [](Index, Index) {});
};

/// The device that is no device: everything happens on the calling thread.
struct CallingThread {
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    work(Index{0}, count);
  }
};

namespace detail {

/// Calls work(axis, first, last) for parts of the view along its longest axis but the features, the sequence
/// only if it is by far the longest: parts along other axes share the rows that are made for them.
template <class Device, class X, class Work>
void in_parts(const Device& device, const StridedView<X>& view, int seq_axis, const Work& work) {
  int axis = seq_axis;
  Index longest = view.extent(seq_axis) / 64;
  for (int n = 0; n < view.rank - 1; ++n)
    if (n != seq_axis && view.extent(n) > std::max<Index>(1, longest)) axis = n, longest = view.extent(n);
  const Index count = view.extent(axis);
  if (count == 0) return;
  const double bytes = static_cast<double>(view.size() / count) * sizeof(X);
  const Eigen::TensorOpCost cost(bytes, bytes, static_cast<double>(view.size() / count));
  device.parallelFor(count, cost, [&](Index first, Index last) { work(axis, first, last); });
}

}  // namespace detail
}  // namespace rotary
