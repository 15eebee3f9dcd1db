// CosSinTable: rows of cosines and sines, one for each position.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "core/aligned_vector.hpp"
#include "core/head_layout.hpp"
#include "kernels/cos_sin_rows.hpp"

namespace rotary::inline ROTARY_ABI {

/// Which axes of a tensor the rows of a `CosSinTable` are for.
enum class RowAxes {
  sequence,         ///< [seq]: rows are for the sequence axis of the layout
  before_features,  ///< [height, width]: rows are for the last axes before the features, those of a grid
  batch_and_seq,    ///< [batch, seq]: rows are for the first axis and the sequence
  heads_and_seq,    ///< [heads, seq]: rows are for heads, each with its own frequencies, and the sequence
  broadcast         ///< rows have an extent for each axis before the features, 1 where all share a row
};

template <class T>
class CosSinTable;

namespace detail {

/// Which axes of a tensor rows at these positions are for. Throws if the positions have no length.
inline RowAxes row_axes_of(const Positions& positions) {
  if (positions.has_no_length())
    fail("the positions have no length, a table needs one: Positions::consecutive(count, first)");
  if (positions.batch() > 0) return RowAxes::batch_and_seq;
  // A grid of one axis is a sequence.
  return positions.is_grid() && positions.axis_count() > 1 ? RowAxes::before_features : RowAxes::sequence;
}

/// The rows of a table under construction.
template <class T>
struct RowStorage {
  std::vector<Index> shape;
  RowAxes axes;
  HeadLayout layout;
  bool separate_angles = false;  // each member of a pair has its own cosine and sine
  Index row_count = 1;
  AlignedVector<T> values = {};

  RowStorage(std::vector<Index> extents, RowAxes which, const HeadLayout& of, Index pairs,
             bool separate = false)
      : shape(std::move(extents)), axes(which), layout(of), separate_angles(separate) {
    if (pairs < 0) fail("a table cannot have ", pairs, " pairs");
    layout = completed(layout, pairs);
    row_count = checked_row_count();
    values.resize(checked_elements<T>(row_count, row_size()));
  }

  Index row_size() const { return checked_product(separate_angles ? 2 : 1, layout.rotary_dim); }
  T* row(Index n) { return values.data() + n * row_size(); }

  CosSinTable<T> table() && { return CosSinTable<T>(std::move(*this)); }

 private:
  /// The number of rows, checked to fit into memory. An empty table may have other extents of any size.
  Index checked_row_count() const {
    bool empty = false;
    for (const Index extent : shape) {
      if (extent < 0) fail("a table cannot have ", extent, " rows along an axis");
      empty = empty || extent == 0;
    }
    Index count = empty ? 0 : 1;
    for (const Index extent : shape) count = empty ? 0 : checked_product(count, extent);
    return count;
  }
};

}  // namespace detail

/// Cosines and sines, one row for each position, multiplied by the magnitude; for `apply_rotary_emb`.
/// Immutable.
///
///     A cos φ, A sin φ   of every pair in row n,   φ = Σ_axis position(n, axis) · frequency(axis, pair)
///
/// From exact phases, within 3.1e-8 (float) and 2e-16 (double) of the exact values at any position. Floats
/// are correctly rounded: the product of the magnitude, a double, and the real cosine is rounded once. A row
/// is laid out as the features of its layout's pairing: the cosine is where a pair has its first member, the
/// sine where it has its second.
///
/// A table carries the layout of the heads it is for, so `apply_rotary_emb(table, q)` needs no other
/// argument.
/// Throws std::invalid_argument if tokens have more or fewer coordinates than the frequencies, and on
/// positions without a length.
///
/// Cost: rotary_dim scalars of memory for each row, computed by the constructor, once for all layers of a
/// model.
///
/// @code
///   const rotary::CosSinTable<float> table(rotary::language_frequencies(64), rotary::Positions::consecutive(1024),
///                                          {.pairing = rotary::Pairing::half});
///   const float c = table.cos(3, 0);                      // cos 3
///   rotary::Tensor<float, 4> q(1, 8, 1024, 64);           // [batch, heads, seq, head_dim]
///   q.setRandom();
///   rotary::apply_rotary_emb_in_place(table, q);
/// @endcode
template <class T>
class CosSinTable {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// A row for each of the positions; the layout's rotary_dim is filled in.
  CosSinTable(const Frequencies& frequencies, const Positions& positions, const HeadLayout& layout = {})
      : CosSinTable(TurnSteps(frequencies), frequencies.magnitude, positions, layout) {}

  /// From the steps of an embedding, which saves recomputing them.
  CosSinTable(const TurnSteps& steps, double magnitude, const Positions& positions, const HeadLayout& layout)
      : CosSinTable(rows_at(steps, magnitude, positions, layout)) {}

  /// Rows for heads of which each has its own frequencies, [heads, seq]: RoPE-Mixed, as
  /// `random_mixed_frequencies` starts it.
  /// Throws std::invalid_argument unless all heads have as many pairs.
  CosSinTable(std::span<const Frequencies> of_heads, const Positions& positions,
              const HeadLayout& layout = {})
      : CosSinTable(rows_of_heads(of_heads, positions, layout)) {}

  /// The extents of the axes that the rows are for: see `RowAxes`.
  [[nodiscard]] const std::vector<Index>& shape() const& { return stored_.shape; }
  /// The extents of the axes that the rows are for, moved out of a temporary table.
  [[nodiscard]] std::vector<Index> shape() && { return std::move(stored_.shape); }
  /// Which axes of a tensor the rows are for.
  [[nodiscard]] RowAxes axes() const { return stored_.axes; }
  /// Which features of a head the rows rotate, how they are paired, and which axis is the sequence.
  [[nodiscard]] const HeadLayout& layout() const& { return stored_.layout; }
  /// A copy of the layout, for a temporary table.
  [[nodiscard]] HeadLayout layout() && { return stored_.layout; }
  /// Which two of the features that rotate form a pair.
  [[nodiscard]] Pairing pairing() const { return stored_.layout.pairing; }
  /// The number of rows: the product of the extents in `shape`.
  [[nodiscard]] Index rows() const { return stored_.row_count; }
  /// The number of pairs that a row rotates.
  [[nodiscard]] Index pairs() const { return stored_.layout.rotary_dim / 2; }
  /// Has each member of a pair its own cosine and sine (`apply_rotary_emb` with `separate_angles`)?
  [[nodiscard]] bool separate() const { return stored_.separate_angles; }
  /// Scalars in a row: a cosine and a sine for each pair, or for each member of a pair.
  [[nodiscard]] Index row_size() const { return stored_.row_size(); }

  /// A cos φ of a pair in a row.
  /// Throws std::invalid_argument outside the table.
  [[nodiscard]] T cos(Index row, Index pair) const { return at(row, pair, 0); }
  /// A sin φ of a pair in a row.
  /// Throws std::invalid_argument outside the table.
  [[nodiscard]] T sin(Index row, Index pair) const {
    return at(row, pair, kernels::pair_strides(pairing(), pairs()).partner);
  }

  /// All rows, one after the other: rows() · row_size() scalars.
  [[nodiscard]] const T* data() const& { return stored_.values.data(); }
  const T* data() const&& = delete;  ///< of a temporary: the pointer would dangle

  // Do both tables have equal rows, shapes, axes and layouts?
  friend bool operator==(const CosSinTable& a, const CosSinTable& b) {
    return a.stored_.shape == b.stored_.shape && a.stored_.axes == b.stored_.axes &&
           a.stored_.layout == b.stored_.layout && a.stored_.separate_angles == b.stored_.separate_angles &&
           a.stored_.values == b.stored_.values;
  }

 private:
  friend struct detail::RowStorage<T>;
  explicit CosSinTable(detail::RowStorage<T>&& rows) : stored_(std::move(rows)) {}

  static detail::RowStorage<T> rows_at(const TurnSteps& steps, double magnitude, const Positions& positions,
                                       const HeadLayout& layout) {
    if (positions.axis_count() != steps.axes())
      detail::fail("tokens have ", positions.axis_count(), " coordinates, the frequencies are for ",
                   steps.axes());
    detail::RowStorage<T> rows(positions.shape(), detail::row_axes_of(positions), layout, steps.pairs());
    kernels::cos_sin_rows(steps, positions, 0, positions.count(), {.factor = magnitude}, layout.pairing,
                          rows.values.data());
    return rows;
  }

  static detail::RowStorage<T> rows_of_heads(std::span<const Frequencies> of_heads,
                                             const Positions& positions, const HeadLayout& layout) {
    const Index pairs = of_heads.empty() ? 0 : of_heads[0].pairs();
    detail::RowStorage<T> rows({static_cast<Index>(of_heads.size()), positions.count()},
                               RowAxes::heads_and_seq, layout, pairs);
    Index row = 0;
    for (const Frequencies& frequencies : of_heads) {
      if (frequencies.pairs() != pairs || frequencies.axes != positions.axis_count())
        detail::fail("a head has frequencies for ", frequencies.pairs(), " pairs and ", frequencies.axes,
                     " coordinates, there must be ", pairs, " pairs and ", positions.axis_count(),
                     " coordinates");
      kernels::cos_sin_rows(TurnSteps(frequencies), positions, 0, positions.count(),
                            {.factor = frequencies.magnitude}, layout.pairing, rows.row(row));
      row += positions.count();
    }
    return rows;
  }

  T at(Index row, Index pair, Index partner) const {
    if (row < 0 || row >= rows() || pair < 0 || pair >= pairs())
      detail::fail("row ", row, ", pair ", pair, " is outside a table of ", rows(), " rows and ", pairs(),
                   " pairs");
    const Index first = row * row_size() + pair * kernels::pair_strides(pairing(), pairs()).pair;
    return stored_.values[static_cast<std::size_t>(first + partner)];
  }

  detail::RowStorage<T> stored_;
};

}  // namespace rotary::inline ROTARY_ABI
