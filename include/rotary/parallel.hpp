// Sharing one rotation among the threads of a device. No thread here is the library's own.
#pragma once

#include <algorithm>

#include "tensor.hpp"

namespace rotary::inline ROTARY_ABI {

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

/// How many parts are worth making for a device: one for each thread, as far as it tells. With more of them
/// Eigen's keeps the calling thread out of the work, and waking it takes longer than a small tensor.
template <class Device>
Index threads_of(const Device& device) {
  if constexpr (requires { device.numThreads(); }) {
    return std::max<Index>(1, static_cast<Index>(device.numThreads()));
  } else {
    return 64;
  }
}

/// Calls work(axis, first, last) for parts of the view along one axis: the first that gives every thread as
/// much, else the longest. It is the sequence only if that is by far the longest: parts along other axes
/// share the rows that are made for them.
template <class Device, class X, class Work>
void in_parts(const Device& device, const StridedView<X>& view, int seq_axis, const Work& work) {
  if (view.empty()) return;
  const Index threads = threads_of(device);
  int axis = seq_axis;
  Index longest = std::max<Index>(1, view.extent(seq_axis) / 64);
  for (int n = view.rank - 2; n >= 0; --n) {
    if (n == seq_axis || view.extent(n) == 1) continue;
    const bool even = view.extent(n) % threads == 0;
    if (even || view.extent(n) > longest) axis = n, longest = even ? PTRDIFF_MAX : view.extent(n);
  }
  const Index count = view.extent(axis), parts = std::min(threads, count);
  const auto begin = [&](Index part) { return part * (count / parts) + std::min(part, count % parts); };
  const double elements = static_cast<double>(view.size() / parts), bytes = elements * sizeof(X);
  device.parallelFor(parts, Eigen::TensorOpCost(bytes, bytes, elements / 8), [&](Index first, Index last) {
    if (first < last) work(axis, begin(first), begin(last));  // a device may make empty parts
  });
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
