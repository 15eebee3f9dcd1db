// RotationJob: the pointers, strides and pairings of a rotation. Every rotation becomes one.
#pragma once

#include "../core/pairing.hpp"
#include "../tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// Where the two members of pair i are: at `i * pair` and at `i * pair + partner`.
struct PairStrides {
  Index pair, partner;
};

/// The pairs of a window of `2 * pairs` features, `feature` elements from one feature to the next.
constexpr PairStrides pair_strides(Pairing pairing, Index pairs, Index feature = 1) {
  return pairing == Pairing::half ? PairStrides{feature, pairs * feature} : PairStrides{2 * feature, feature};
}

/// One axis of a job: its extent, and its strides in elements of `in`, `out` and `rows`.
struct JobAxis {
  Index extent, in, out, row;
};

/// All of a `RotationJob` but its pointers; the same type for all scalars.
struct JobShape {
  Pairing in_pairing = Pairing::interleaved, out_pairing = Pairing::interleaved,
          row_pairing = Pairing::interleaved;
  bool negate_sin = false;  // rotate by −φ
  int axis_count = 0;
  Index pairs = 0;
  Index in_feature = 1, out_feature = 1;  // strides from feature to feature
  // Elements from the cos and sin of a pair's first member to those of its second; 0 if both have one angle.
  Index second_row = 0;
  Index untouched_before = 0, untouched_after = 0;
  Index call_bytes = 0;  // that a call reads and writes of which this job is a part; 0: it is no part
  std::array<JobAxis, kMaxRank> axes;  // the first axis_count are set, outermost first

  void set_pairing(Pairing pairing) { in_pairing = out_pairing = row_pairing = pairing; }

  /// Do input, output and rows have the same pairing?
  bool has_one_pairing() const { return in_pairing == out_pairing && in_pairing == row_pairing; }

  /// Adds an inner axis. Axes of extent 1 are dropped; an axis that is contiguous with the next outer one is
  /// merged into it.
  ROTARY_ALWAYS_INLINE void add_axis(const JobAxis& axis) {
    if (axis.extent == 1) return;
    if (axis_count > 0) {
      JobAxis& outer = axes[static_cast<std::size_t>(axis_count - 1)];
      if (outer.in == axis.in * axis.extent && outer.out == axis.out * axis.extent &&
          outer.row == axis.row * axis.extent) {
        outer = {outer.extent * axis.extent, axis.in, axis.out, axis.row};
        return;
      }
    }
    axes[static_cast<std::size_t>(axis_count++)] = axis;
  }
};

// The picture keeps its lines.
// clang-format off

/// One rotation; nothing here knows which embedding it serves.
///
/// Every combination of indices into `axes` names one head of one token. Such a head is a window of
/// `2 * pairs` features that rotate, with features before and after it that do not:
///
///     [ untouched_before | 2 * pairs features | untouched_after ]   a head as it is read, by in_pairing
///                          ^ in, plus in strides
///     [ untouched_before | 2 * pairs features | untouched_after ]   as it is written, by out_pairing
///                          ^ out, plus out strides
///                        [ 2 * pairs scalars  ]                     its cos/sin row, by row_pairing
///                          ^ rows, plus row strides: 0 along an axis that shares rows, such as heads
///
/// A row has the shape of a window: A cos φ is where a window has the first member of a pair, A sin φ is where
/// it has the second.
///
///     row_pairing half           c0 c1 c2 ... s0 s1 s2 ...
///     row_pairing interleaved    c0 s0 c1 s1 c2 s2 ...
///
/// In place (`out == in`), a window is read before it is written; the strides of `in` and `out` are then the
/// same. Otherwise no element of `out` may be an element of `in`, and untouched features are copied.
template <class X, class Row>
struct RotationJob : JobShape {
  const X* in = nullptr;
  X* out = nullptr;
  const Row* rows = nullptr;

  bool in_place() const { return static_cast<const X*>(out) == in; }
  bool copies_untouched() const { return !in_place() && (untouched_before | untouched_after) != 0; }
};
// clang-format on

}  // namespace rotary::inline ROTARY_ABI::kernels
