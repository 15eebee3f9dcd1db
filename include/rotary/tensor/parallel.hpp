// Sharing one rotation among the threads of a device. No thread here is the library's own.
#pragma once

#include <algorithm>

#include "tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// The type of `device` arguments: Eigen::ThreadPoolDevice, or any class whose `parallelFor` splits [0, n)
/// among threads and waits for them. `CallingThread` is the default.
template <class Device>
concept ParallelDevice = requires(const Device& device, const Eigen::TensorOpCost& cost) {
  device.parallelFor(Index{1}, cost, [](Index, Index) {});
};

/// The default device: everything runs on the calling thread. It has the form that every `ParallelDevice`
/// needs.
///
/// @code
///   struct TwoParts {   // a device of your own, here without threads
///     void parallelFor(rotary::Index n, const Eigen::TensorOpCost&,
///                      const std::function<void(rotary::Index, rotary::Index)>& work) const {
///       work(0, n / 2), work(n / 2, n);
///     }
///   };
///   static_assert(rotary::ParallelDevice<TwoParts>);
/// @endcode
struct CallingThread {
  /// Calls work(0, count) on the calling thread. The cost of an index is not used.
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    work(Index{0}, count);
  }
};

namespace detail {

/// The number of parts for a device: one for each thread, if it says how many it has. With more parts,
/// Eigen's device gives the calling thread no work, and waking it takes longer than rotating a small tensor.
template <class Device>
Index threads_of(const Device& device) {
  if constexpr (requires { device.numThreads(); }) {
    return std::max<Index>(1, static_cast<Index>(device.numThreads()));
  } else {
    return 64;
  }
}

/// Calls work(axis, first, last) for parts of the view along one axis: the first whose extent divides evenly
/// among the threads, else the longest. The sequence is split only if it is by far the longest: parts along
/// other axes share their cos/sin rows.
template <class Device, class X, class Work>
void in_parts(const Device& device, const StridedView<X>& view, int seq_axis, const Work& work) {
  if (view.empty()) return;
  const Index threads = threads_of(device);
  int axis = seq_axis;
  Index longest = view.extent(seq_axis) / 64;
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
