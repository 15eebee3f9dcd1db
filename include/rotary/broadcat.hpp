// broadcat: broadcast tensors against each other, then concatenate them along one axis.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "tensor/broadcast.hpp"
#include "tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// Options of `broadcat`.
struct BroadcatOptions {
  Index dim = -1;  ///< the axis along which tensors are concatenated, −1 being the last
};

namespace detail {

/// Views of `kRank` axes, broadcast against each other and concatenated along `dim`.
template <int kRank, class S>
Tensor<S, kRank> concatenated(std::span<const StridedView<const S>> inputs, int dim) {
  std::array<Index, static_cast<std::size_t>(kRank)> shape{};
  shape.fill(1);
  for (const auto& input : inputs) {
    for (int axis = 0; axis < kRank; ++axis) {
      Index& extent = shape[static_cast<std::size_t>(axis)];
      const Index found = input.extent(axis);
      if (extent == 1) {
        extent = found;
      } else if (found != 1 && found != extent) {
        fail("axis ", axis, " cannot be broadcast: found extents ", extent, " and ", found);
      }
    }
  }
  Index& along = shape[static_cast<std::size_t>(dim)];
  const Index each = along;
  along = checked_product(each, static_cast<Index>(inputs.size()));
  static_cast<void>(StridedView<S>(nullptr, shape));  // throws if there are more elements than can be counted
  Tensor<S, kRank> result(shape);
  if (result.size() == 0) return result;
  StridedView<S> part = view_of(result);
  part.set_extent(dim, each);
  for (const auto& input : inputs) {
    copy_elements(input, part);
    part.data += each * part.stride(dim);
  }
  return result;
}

template <class X>
inline constexpr int kRankOf =
    static_cast<int>(Eigen::internal::traits<std::remove_cvref_t<X>>::NumDimensions);

}  // namespace detail

/// Broadcasts tensors against each other, and concatenates them along `dim`.
///
/// Axes are aligned from the last; a tensor of lower rank gets axes of extent 1 in front, and an extent of 1
/// is broadcast to that of the others, along `dim` too. The result is row-major, of the highest rank; its
/// extent along `dim` is the broadcast extent times the number of tensors. Tensors of different scalars do
/// not compile.
/// Throws std::invalid_argument if extents cannot be broadcast or `dim` is no axis.
///
/// @code
///   // Two corners [h, 1, d] and [1, w, d], stacked along the second axis: [h, 2 w, d].
///   rotary::Tensor<double, 3> freqs_h(3, 1, 4), freqs_w(1, 5, 4);
///   freqs_h.setZero(), freqs_w.setZero();
///   auto stacked = rotary::broadcat({.dim = 1}, freqs_h, freqs_w);   // [3, 10, 4]
/// @endcode
///
/// Source: `broadcat` of rotary-embedding-torch.
template <class First, class... Rest>
requires(detail::is_tensor<First> && (detail::is_tensor<Rest> && ...)) auto broadcat(BroadcatOptions options,
                                                                                     const First& first,
                                                                                     const Rest&... rest) {
  using S = detail::Scalar<First>;
  static_assert((std::is_same_v<S, detail::Scalar<Rest>> && ...),
                "rotary: broadcat needs tensors of one scalar; cast the others");
  constexpr int kRank = std::max({detail::kRankOf<First>, detail::kRankOf<Rest>...});
  static_assert(kRank >= 1, "rotary: broadcat needs a tensor with at least one axis");
  constexpr std::size_t kCount = 1 + sizeof...(Rest);
  const int dim = detail::resolve_axis(options.dim, kRank, "dim");

  const auto join = [&](const auto&... tensors) {
    const std::array<StridedView<const S>, kCount> inputs{
        detail::with_rank(detail::const_view_of(tensors), kRank, "a tensor")...};
    return detail::concatenated<kRank, S>(std::span<const StridedView<const S>>(inputs), dim);
  };
  return join(detail::stored(first), detail::stored(rest)...);
}

/// Broadcasts a list of tensors of one type, built at run time, against each other, and concatenates them
/// along `dim`.
/// Throws std::invalid_argument if the list is empty, extents cannot be broadcast, or `dim` is no axis.
///
/// @code
///   std::vector<rotary::Tensor<double, 3>> axes(3);               // as many as there are axes of positions
///   for (auto& axis : axes) axis = rotary::Tensor<double, 3>(2, 1, 4).setZero();
///   auto freqs = rotary::broadcat(axes);                          // [2, 1, 12]
/// @endcode
template <class X>
requires(detail::is_tensor<X>)
    [[nodiscard]] auto broadcat(std::span<const X> tensors, const BroadcatOptions& options = {}) {
  using S = detail::Scalar<X>;
  constexpr int kRank = detail::kRankOf<X>;
  static_assert(detail::is_stored<X>(),
                "rotary: broadcat takes lists of tensors; evaluate the expressions first");
  if (tensors.empty()) detail::fail("found no tensors, broadcat needs at least one");
  std::vector<StridedView<const S>> inputs;
  for (const X& tensor : tensors)
    inputs.push_back(detail::with_rank(detail::const_view_of(tensor), kRank, "a tensor"));
  return detail::concatenated<kRank, S>(std::span<const StridedView<const S>>(inputs.data(), inputs.size()),
                                        detail::resolve_axis(options.dim, kRank, "dim"));
}
/// Broadcasts the tensors of a std::vector against each other, and concatenates them along `dim`.
/// Throws std::invalid_argument if it is empty, extents cannot be broadcast, or `dim` is no axis. The
/// overload for a std::span has an example.
template <class X>
requires(detail::is_tensor<X>)
    [[nodiscard]] auto broadcat(const std::vector<X>& tensors, const BroadcatOptions& options = {}) {
  return broadcat(std::span<const X>(tensors.data(), tensors.size()), options);
}

/// Broadcasts tensors against each other, and concatenates them along the last axis. Axes are aligned from
/// the last.
/// Throws std::invalid_argument if extents cannot be broadcast.
///
/// @code
///   // The angles of an image: rows [h, 1, d] and columns [1, w, d] become [h, w, 2 d].
///   rotary::Tensor<double, 3> freqs_h(3, 1, 4), freqs_w(1, 5, 4);
///   freqs_h.setZero(), freqs_w.setZero();
///   auto freqs = rotary::broadcat(freqs_h, freqs_w);   // [3, 5, 8]
/// @endcode
template <class First, class... Rest>
requires(detail::is_tensor<First> && (detail::is_tensor<Rest> && ...)) auto broadcat(const First& first,
                                                                                     const Rest&... rest) {
  return broadcat(BroadcatOptions{}, first, rest...);
}

}  // namespace rotary::inline ROTARY_ABI
