// Pointer, extents, strides: the one form in which every tensor reaches the kernels.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "../core/error.hpp"

namespace rotary::inline ROTARY_ABI {

/// The largest number of axes a view can have.
inline constexpr int kMaxRank = 12;

namespace detail {

/// An extent or stride of any integer type, so that those of std::size_t need no cast.
struct AnyIndex {
  Index value;
  template <std::integral I>
  constexpr AnyIndex(I index) : value(static_cast<Index>(index)) {}
};

template <class I>
concept OtherInteger = std::integral<I> && !std::is_same_v<I, Index>;

}  // namespace detail

/// A tensor that somebody else owns: element (i_0, i_1, ...) is at
/// data[i_0 · strides[0] + i_1 · strides[1] + ...].
///
/// For tensors that are not Eigen's. The last axis holds the features of a head. Strides count elements and
/// may be negative, or 0 where an axis is broadcast (in inputs only). Extents and strides are of any integer
/// type.
/// Throws std::invalid_argument on more than 12 axes, negative extents, and sizes that do not fit into
/// memory.
///
/// One token with its heads, [heads, head_dim], is what `rotate_token_in_place` takes. Functions for
/// sequences would take the heads for tokens.
///
/// @code
///   float q[2][3][8] = {};                                       // [heads, seq, head_dim]
///   rotary::StridedView<float> view(&q[0][0][0], {2, 3, 8});     // row-major
///   rotary::StridedView<float> first(&q[0][0][0], {3, 8}, {8, 1});
/// @endcode
template <class Scalar>
struct StridedView {
  Scalar* data = nullptr;  ///< the element whose indices are all 0
  int rank = 0;            ///< the number of axes, 0 to 12
  /// For each axis, the number of elements along it, and its stride in elements. `rank` entries are set.
  std::array<Index, kMaxRank> extents, strides;

  /// A view without a tensor: no axes, and a null pointer.
  StridedView() : extents{}, strides{} {}

  /// A view of `axes` axes whose extents and strides are not set: the caller must set them. For `view_of`,
  /// where clearing them first would take as long as the rest.
  static StridedView unset(Scalar* pointer, int axes) { return StridedView(Unset{}, pointer, axes); }

  /// A row-major view of contiguous elements, with `sizes[a]` of them along axis a.
  StridedView(Scalar* pointer, std::span<const Index> sizes) : data(pointer) { set_contiguous(sizes); }
  /// A row-major view of contiguous elements, its extents in braces: `StridedView<float>(data, {2, 3, 8})`.
  StridedView(Scalar* pointer, std::initializer_list<detail::AnyIndex> sizes) : data(pointer) {
    set_contiguous(sizes);
  }
  /// A row-major view of contiguous elements, for extents of another integer type, such as std::size_t.
  template <detail::OtherInteger I>
  StridedView(Scalar* pointer, std::span<const I> sizes) : data(pointer) {
    set_contiguous(sizes);
  }

  /// A view with `sizes[a]` elements along axis a, `steps[a]` elements of memory from one to the next.
  StridedView(Scalar* pointer, std::span<const Index> sizes, std::span<const Index> steps) : data(pointer) {
    set_strided(sizes, steps);
  }
  /// A view with extents and strides in braces: `StridedView<float>(data, {3, 8}, {8, 1})`.
  StridedView(Scalar* pointer, std::initializer_list<detail::AnyIndex> sizes,
              std::initializer_list<detail::AnyIndex> steps)
      : data(pointer) {
    set_strided(sizes, steps);
  }
  /// A view with extents and strides of another integer type, such as std::size_t.
  template <detail::OtherInteger I>
  StridedView(Scalar* pointer, std::span<const I> sizes, std::span<const I> steps) : data(pointer) {
    set_strided(sizes, steps);
  }

  /// The view with const elements: functions that only read take it.
  operator StridedView<const Scalar>() const requires(!std::is_const_v<Scalar>) {
    auto view = StridedView<const Scalar>::unset(data, rank);
    view.extents = extents;
    view.strides = strides;
    return view;
  }

  /// The number of elements along an axis, from 0 to rank − 1. Unchecked.
  Index extent(int axis) const { return extents[at(axis)]; }
  /// The stride of an axis, from 0 to rank − 1, in elements. Unchecked.
  Index stride(int axis) const { return strides[at(axis)]; }

  /// Replaces the extent of an axis. Unchecked: call `check` where the view is not known to fit into memory.
  void set_extent(int axis, Index extent) { extents[at(axis)] = extent; }
  /// Replaces the extent and the stride of an axis. Unchecked: call `check` where they are not known to fit.
  void set_axis(int axis, Index extent, Index stride) {
    extents[at(axis)] = extent;
    strides[at(axis)] = stride;
  }

  /// Has the view no elements, since the extent of an axis is 0?
  bool empty() const {
    for (int axis = 0; axis < rank; ++axis)
      if (extents[at(axis)] == 0) return true;
    return false;
  }

  /// The number of elements: the product of all extents. Unchecked: it wraps around if it does not fit.
  Index size() const {
    // Unsigned, since an empty view may have other extents of any size.
    std::size_t product = 1;
    for (int axis = 0; axis < rank; ++axis) product *= static_cast<std::size_t>(extents[at(axis)]);
    return static_cast<Index>(product);
  }

  /// Does every axis step over all that the axes after it span, as in a row-major tensor or a part of one? Then no two
  /// elements share memory, and all sizes fit. This is what nearly every view is, so it is asked before anything else.
  ROTARY_ALWAYS_INLINE bool is_nested() const {
    if (static_cast<unsigned>(rank) > static_cast<unsigned>(kMaxRank)) return false;
    Index span = 1;
    // Written out for a matrix, whose extents and strides the compiler often knows.
    if (rank == 2) return nests(1, span) && nests(0, span);
    for (int axis = rank - 1; axis >= 0; --axis)
      if (!nests(axis, span)) return false;
    return true;
  }

  /// Throws std::invalid_argument unless rank, extents and strides, which anybody may set, are those of a
  /// tensor that fits into memory. All functions that take a view call it.
  void check() const {
    if (is_nested()) return;
    check_sizes();
  }

  /// The view of indices [begin, begin + count) of an axis; all other axes stay whole. Unchecked.
  StridedView slice(int axis, Index begin, Index count) const {
    StridedView part = *this;
    part.data += begin * strides[at(axis)];
    part.extents[at(axis)] = count;
    return part;
  }

 private:
  // Keeps Clang before 17 from taking the `{n}` of a view of one axis for a number of axes.
  struct Unset {};
  StridedView(Unset, Scalar* pointer, int axes) : data(pointer), rank(axes) {}

  static std::size_t at(int axis) { return static_cast<std::size_t>(axis); }

  /// Does an axis step over the `span` elements of those after it? Then `span` is that of all.
  ROTARY_ALWAYS_INLINE bool nests(int axis, Index& span) const {
    // So far the products of two of these, added up over all axes, fit whatever the scalar.
    constexpr Index kLimit = Index{1} << 28;
    const Index extent = extents[at(axis)], stride = strides[at(axis)];
    if (extent == 1) return true;  // its stride is never taken
    if (extent < 1 || extent > kLimit || stride < span || stride > kLimit) return false;
    span += (extent - 1) * stride;
    return true;
  }

  ROTARY_NOINLINE void check_sizes() const {
    if (rank < 0 || rank > kMaxRank) detail::fail("a view has 0 to ", kMaxRank, " axes, found ", rank);
    for (int axis = 0; axis < rank; ++axis)
      if (extents[at(axis)] < 0)
        detail::fail("extent of axis ", axis, " is ", extents[at(axis)], ", it must not be negative");
    if (empty()) return;
    constexpr Index kBytes = sizeof(Scalar);
    Index bytes = kBytes, reach = 0;
    for (int axis = 0; axis < rank; ++axis) {
      const Index extent = extents[at(axis)], stride = strides[at(axis)];
      bytes = detail::checked_product(bytes, extent);
      if (extent == 1) continue;  // its stride is never taken
      const Index last =
          detail::checked_product(extent - 1, stride < 0 ? detail::checked_product(stride, -1) : stride);
      reach = detail::checked_sum(reach, detail::checked_product(last, kBytes));
    }
  }

  /// Strides of contiguous elements, for sizes of any integer type.
  template <class Sizes>
  ROTARY_ALWAYS_INLINE void set_contiguous(const Sizes& sizes) {
    set_rank(std::size(sizes));
    Index stride = 1;
    bool fits = true;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const Index extent = detail::AnyIndex(std::data(sizes)[axis]).value;
      extents[at(axis)] = extent;
      strides[at(axis)] = stride;
      fits = extent > 0 && detail::multiplied(stride, extent, stride) && fits;
    }
    if (!fits || stride > PTRDIFF_MAX / Index{sizeof(Scalar)}) [[unlikely]] {
      check_sizes();    // throws, unless there are no elements
      strides.fill(0);  // and then there is nothing to step over
    }
  }

  template <class Sizes, class Steps>
  void set_strided(const Sizes& sizes, const Steps& steps) {
    set_rank(std::size(sizes));
    if (std::size(steps) != std::size(sizes))
      detail::fail("a view of rank ", std::size(sizes), " needs as many strides, found ", std::size(steps));
    for (int axis = 0; axis < rank; ++axis) {
      extents[at(axis)] = detail::AnyIndex(std::data(sizes)[axis]).value;
      strides[at(axis)] = detail::AnyIndex(std::data(steps)[axis]).value;
    }
    check();
  }

  void set_rank(std::size_t axes) {
    if (axes > static_cast<std::size_t>(kMaxRank))
      detail::fail("a view has 0 to ", kMaxRank, " axes, found ", axes);
    rank = static_cast<int>(axes);
  }
};

namespace detail {

/// "[2, 3, 8]"
ROTARY_COLD inline Text<256> shape_text(const Index* extents, int rank) {
  Text<256> text;
  text.add("[");
  for (int axis = 0; axis < rank; ++axis) text.add(axis > 0 ? ", %td" : "%td", extents[axis]);
  text.add("]");
  return text;
}
template <class Scalar>
Text<256> shape_text(const StridedView<Scalar>& view) {
  return shape_text(view.extents.data(), view.rank);
}

template <class A, class B>
bool same_shape(const StridedView<A>& a, const StridedView<B>& b) {
  if (a.rank != b.rank) return false;
  for (int axis = 0; axis < a.rank; ++axis)
    if (a.extent(axis) != b.extent(axis)) return false;
  return true;
}

/// An axis number as people write it, −1 being the last, made to lie in [0, rank).
inline int resolve_axis(Index axis, int rank, const char* what) {
  if (axis < -rank || axis >= rank)
    fail(what, " is ", axis, ", a tensor of rank ", rank, " has axes ", -rank, " to ", rank - 1);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
