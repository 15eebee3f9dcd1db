// AngleRows: a tensor of angles, and one of scales, as rows of cosines and sines for a tensor.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "../cos_sin_table.hpp"
#include "../kernels/cos_sin_of_angles.hpp"
#include "../tensor/broadcast.hpp"
#include "window_job.hpp"

namespace rotary::inline ROTARY_ABI {

/// How `apply_rotary_emb` rotates by a tensor of angles: the arguments of rotary-embedding-torch, and the
/// pairing.
struct ApplyOptions {
  Index start_index = 0;  ///< the first feature that rotates
  Index seq_dim = -2;     ///< the sequence axis of the tensor, −1 being the last
  /// The axis of the angles that belongs to the sequence: its last seq entries are taken. Left out, it is
  /// axis 0 of angles with two axes.
  std::optional<Index> freqs_seq_dim = {};
  double scale = 1;                        ///< multiplies the features that rotate
  Pairing pairing = Pairing::interleaved;  ///< which two features form a pair
  /// Allows the members of a pair to have angles of their own. Otherwise that throws, as it mostly means that the
  /// angles were made for the other pairing.
  bool separate_angles = false;
};

namespace detail {

/// The angles as they meet the tensor `t`: axis by axis of `t`, right-aligned where there are more than
/// wanted.
template <class F, class X>
StridedView<const F> align_freqs(StridedView<const F> freqs, const StridedView<const X>& t,
                                 const ApplyOptions& options) {
  const int seq_axis = sequence_axis(options.seq_dim, t.rank);
  if (freqs.rank < 1) fail("the angles need at least one axis, [..., rotary_dim]");
  const Index seq = t.extent(seq_axis);
  // As in the reference, three axes of angles for a tensor of three axes are cut to the sequence as well, unless
  // they fit as they are.
  const bool cut = freqs.rank == 3 && t.rank == 3 && freqs.extent(0) != t.extent(0) && freqs.extent(0) > seq;
  if (freqs.rank == 2 || cut || options.freqs_seq_dim) {
    const int of = resolve_axis(options.freqs_seq_dim.value_or(0), freqs.rank, "freqs_seq_dim");
    if (of == freqs.rank - 1) fail("freqs_seq_dim is the last axis, which holds the angles of one token");
    const Index found = freqs.extent(of);
    if (found != 1 && found < seq)
      fail("there are angles for ", found, " positions, the tensor ", shape_text(t), " has ", seq);
    if (found > seq) freqs = freqs.slice(of, found - seq, seq);
  }
  if (freqs.rank == 2) return along_sequence(freqs, t.rank, seq_axis);
  return with_rank(freqs, t.rank, "angles");
}

template <class F, class X>
void check_broadcast(const StridedView<const F>& x, const StridedView<const X>& t, const char* what) {
  for (int axis = 0; axis < t.rank - 1; ++axis)
    if (x.extent(axis) != 1 && x.extent(axis) != t.extent(axis))
      fail(what, " of shape ", shape_text(x), " cannot be broadcast against a tensor of shape ",
           shape_text(t));
}

/// Scales that multiply the rotated features: one for all, or a tensor [..., rotary_dim or 1] broadcast like
/// the angles.
struct UnitScale {
  using Scalar = double;
};

/// Angles (and scales) made ready: the extents of the rows along every axis of the tensor, and what fills
/// them.
template <class F, class S>
struct AngleRows {
  StridedView<const F> freqs;
  StridedView<const S> scale;  // of rank 0 where there is none
  double factor = 1;
  std::vector<Index> shape;  // one extent for each axis of the tensor but the last
  Index rotary_dim = 0, rows = 1;

  template <class X>
  AngleRows(const StridedView<const F>& angles, const StridedView<const S>& scales,
            const StridedView<const X>& t, const ApplyOptions& options)
      : freqs(align_freqs(angles, t, options)), factor(options.scale), rotary_dim(freqs.extent(t.rank - 1)) {
    check_window(t, options.start_index, rotary_dim);
    if (rotary_dim % 2 != 0) fail("the angles have ", rotary_dim, " features, there must be an even number");
    check_broadcast(freqs, t, "angles");
    if (scales.rank > 0 || scales.data) {
      // [seq, rotary_dim] is aligned as [seq, rotary_dim] angles are; other shapes broadcast from the last
      // axis.
      ApplyOptions aligned = options;
      aligned.freqs_seq_dim.reset();
      scale = align_freqs(scales, t, aligned);
      const Index width = scale.extent(t.rank - 1);
      if (width != 1 && width != rotary_dim)
        fail("the scale has ", width, " features, there must be 1 or ", rotary_dim);
      check_broadcast(scale, t, "a scale");
    }
    for (int axis = 0; axis < t.rank - 1; ++axis) {
      const Index extent = std::max(freqs.extent(axis), has_scale() ? scale.extent(axis) : Index{1});
      shape.push_back(t.extent(axis) == 0 ? 0 : extent);
    }
    // An empty tensor may have other extents of any size.
    for (const Index extent : shape) rows = t.empty() ? 0 : checked_product(rows, extent);
  }

  bool has_scale() const { return scale.rank > 0; }

  /// Calls visit(row, offset into freqs, offset into scale) for every row.
  template <class Visit>
  void for_each_row(Visit&& visit) const {
    if (rows == 0) return;
    auto row_shape = view_of_ones(freqs.data, static_cast<int>(shape.size()));
    std::copy(shape.begin(), shape.end(), row_shape.extents.begin());
    Index row = 0;
    const auto visit_row = [&](Index, Index from, Index scale_from) { visit(row++, from, scale_from); };
    const int axes = row_shape.rank;
    for_each_index(axes, visit_row, row_shape, freqs, scale);
  }

  double scale_at(Index scale_from, Index feature) const {
    if (!has_scale()) return factor;
    return factor * static_cast<double>(scale.data[scale_from + feature * scale.stride(scale.rank - 1)]);
  }

  /// The layout of the table: its rows are broadcast, whichever axis is the sequence.
  static HeadLayout layout_of(const ApplyOptions& options) {
    return {.start_index = options.start_index, .pairing = options.pairing};
  }

  /// The cosines and sines, with the scale folded in unless `unscaled`.
  template <class T>
  CosSinTable<T> table(const ApplyOptions& options, bool unscaled = false) const {
    return std::move(storage<T>(options, unscaled)).table();
  }

  template <class T>
  RowStorage<T> storage(const ApplyOptions& options, bool unscaled) const {
    check_magnitude<T>(factor);
    RowStorage<T> shared(shape, RowAxes::broadcast, layout_of(options), rotary_dim / 2);
    if (fill(shared, unscaled)) return shared;
    if (!options.separate_angles && !has_scale()) fail_separate(options.pairing);
    RowStorage<T> separate(shape, RowAxes::broadcast, layout_of(options), rotary_dim / 2, /*separate=*/true);
    fill(separate, unscaled);
    if (!options.separate_angles) check_angles_are_shared(options.pairing);
    return separate;
  }

 private:
  /// Throws on the first pair whose members have angles of their own.
  void check_angles_are_shared(Pairing pairing) const {
    const kernels::PairStrides at =
        kernels::pair_strides(pairing, rotary_dim / 2, freqs.stride(freqs.rank - 1));
    for_each_row([&](Index, Index from, Index) {
      for (Index i = 0; i < rotary_dim / 2; ++i) {
        const F a = freqs.data[from + i * at.pair], b = freqs.data[from + i * at.pair + at.partner];
        if (!(a == b))
          fail("the two angles of pair ", i, " are ", static_cast<double>(a), " and ", static_cast<double>(b),
               "; were they made with Pairing::", pairing == Pairing::half ? "interleaved" : "half",
               "? separate_angles = true allows them");
      }
    });
  }
  [[noreturn]] void fail_separate(Pairing pairing) const {
    check_angles_are_shared(pairing);
    fail("an angle is not a number");
  }

  /// False, and unfinished, if the members of a pair have angles or scales of their own and the table has
  /// not.
  template <class T>
  bool fill(RowStorage<T>& table, bool unscaled) const {
    bool fits = true;
    const Pairing pairing = table.layout.pairing;
    for_each_row([&](Index row, Index from, Index scale_from) {
      T* const values = table.row(row);
      const bool separate = table.separate_angles;
      if (fits && !separate && fill_row_of_vectors(pairing, values, from, unscaled)) return;
      if (fits) fits = fill_row(pairing, values, from, scale_from, 0, unscaled) || separate;
      if (separate) fill_row(pairing, values + rotary_dim, from, scale_from, 1, unscaled);
    });
    return fits;
  }

  /// A row the fast way, where its angles are contiguous, in float or double, and make it possible.
  template <class T>
  bool fill_row_of_vectors(Pairing pairing, T* row, Index from, bool unscaled) const {
    if constexpr (std::is_same_v<T, float> && (std::is_same_v<F, float> || std::is_same_v<F, double>)) {
      if (freqs.stride(freqs.rank - 1) == 1 && (unscaled || !has_scale()))
        return kernels::cos_sin_of_shared_angles(freqs.data + from, unscaled ? 1 : factor, rotary_dim / 2,
                                                 pairing, row);
    }
    return false;
  }

  /// A row for the first or the second members; were both alike?
  template <class T>
  bool fill_row(Pairing pairing, T* row, Index from, Index scale_from, Index member, bool unscaled) const {
    const Index pairs = rotary_dim / 2, feature = freqs.stride(freqs.rank - 1);
    const kernels::PairStrides at = kernels::pair_strides(pairing, pairs);
    const bool one_scale = unscaled || !has_scale();
    constexpr Index kChunk = 128;  // pairs whose angles are gathered together, on the stack
    double angles[kChunk], scales[kChunk];
    if (one_scale) std::fill_n(scales, std::min(kChunk, pairs), unscaled ? 1 : factor);
    bool alike = true;
    for (Index begin = 0; begin < pairs; begin += kChunk) {
      const Index count = std::min(kChunk, pairs - begin);
      const F* const first = freqs.data + from + begin * at.pair * feature;
      bool in_range = true;
      for (Index i = 0; i < count; ++i) {
        const F a = first[i * at.pair * feature], b = first[(i * at.pair + at.partner) * feature];
        angles[i] = static_cast<double>(member == 0 ? a : b);
        alike = alike & (a == b);
        in_range = in_range & (std::fabs(angles[i]) < 0x1p62);
      }
      for (Index i = 0; i < count && !one_scale; ++i) {
        const Index j = (begin + i) * at.pair;
        const double a = scale_at(scale_from, j), b = scale_at(scale_from, j + at.partner);
        scales[i] = member == 0 ? a : b;
        alike = alike & is_equal(a, b);
      }
      if (!in_range)
        for (const double angle : std::span<const double>(angles, static_cast<std::size_t>(count)))
          if (!(std::fabs(angle) < 0x1p62))
            fail("an angle is ", angle, ", it must be a finite number of radians");
      kernels::cos_sin_of_angles(angles, scales, count, pairing, row + begin * at.pair, at.partner);
    }
    return alike;
  }
};

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
