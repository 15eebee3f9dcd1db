// Positions of tokens: consecutive from an offset, listed, per sequence, on a grid, or with several
// coordinates.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "positions/axis_positions.hpp"

namespace rotary::inline ROTARY_ABI {

/// The largest number of coordinates that a token can have.
inline constexpr int kMaxPositionAxes = 4;

/// The positions of the tokens of a call: a view of the lists it was made from, cheap to copy.
///
/// A token has one coordinate, or several (height and width; time, height and width), of any unit. Row n is
/// at position `at(n, axis)`. The rows belong to one sequence that the whole batch shares, or to each
/// sequence of a batch, or to the cells of a grid, whose last axis runs fastest:
///
///     from(p)                        p, p + 1, ..., for every token of the rotated sequence
///     consecutive(n, p)              p, ..., p + n − 1
///     listed(ids)                    one position for each token
///     listed(ids).in_batches(b)      ids of shape [b, seq]; not needed for an Eigen tensor or matrix of two axes
///     per_sequence(starts)           token n of sequence b is at starts[b] + n (continuous batching)
///     together({t, h, w})            several coordinates for each token (M-RoPE)
///     grid({rows, columns})          every combination of coordinates (images)
///
/// Functions that rotate take any of these, or directly a number (`from`), a list or tensor of ids (`listed`)
/// or `TokenPositions`. Lists are not copied and must outlive the use.
///
/// @code
///   const std::vector<std::int32_t> lengths = {17, 4, 99};                    // tokens cached so far
///   rotary::Tensor<float, 4> q(3, 8, 1, 64);                                  // [batch, heads, seq, head_dim]
///   q.setRandom();
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
///   rotary_emb.rotate_in_place(q, rotary::Positions::per_sequence(lengths));
/// @endcode
class Positions {
 public:
  /// Tokens of one coordinate, one row for each position of `axis`.
  Positions(AxisPositions axis) : count_(axis.count()), axes_{{{axis}, {axis}, {axis}, {axis}}} {}

  /// first, first + 1, ..., for every token of the rotated sequence.
  [[nodiscard]] static Positions from(FixedPosition first) {
    Positions positions(AxisPositions::consecutive(0, first));
    positions.open_ = true;
    return positions;
  }
  /// first, first + 1, ..., `count` of them.
  /// Throws std::invalid_argument if count is negative.
  [[nodiscard]] static Positions consecutive(Index count, FixedPosition first = {}) {
    return AxisPositions::consecutive(count, first);
  }
  /// One position for each token, plus `offset`: integers of 32 or 64 bits, float or double. The list must
  /// outlive the use, so a temporary vector does not compile.
  /// Throws std::invalid_argument on NaN and on positions of 2^62 and more.
  ///
  /// @code
  ///   const std::vector<std::int32_t> ids = {0, 1, 2, 0, 1};       // two packed sequences
  ///   const auto positions = rotary::Positions::listed(ids, 100);   // 100 101 102 100 101
  /// @endcode
  template <class P>
  [[nodiscard]] static Positions listed(std::span<const P> list, FixedPosition offset = {}) {
    return AxisPositions::listed(list, offset);
  }
  /// One position for each token, plus `offset`, from a std::vector, which is not copied and must outlive the
  /// use: integers of 32 or 64 bits, float or double.
  /// Throws std::invalid_argument on NaN and on positions of 2^62 and more.
  template <class P>
  [[nodiscard]] static Positions listed(const std::vector<P>& list, FixedPosition offset = {}) {
    return AxisPositions::listed(std::span<const P>(list.data(), list.size()), offset);  // faster to compile
  }
  template <class P>
  static Positions listed(std::vector<P>&& list, FixedPosition offset = {}) = delete;  ///< it would dangle

  /// The entries of a map, block or view: one position for each token, [seq], or for each token of every
  /// sequence, [batch, seq]. Functions that rotate take tensors of integers, and float tensors of one axis,
  /// without this; a float tensor of more axes would be taken for keys. The elements must outlive the use.
  /// Throws std::invalid_argument unless it is contiguous, or the transpose of a contiguous one.
  template <class X>
  requires(detail::is_stored<X>() && !detail::is_owner<X>) [[nodiscard]] static Positions
      listed(const X& ids);
  /// The entries of an Eigen tensor or matrix: one position for each token, [seq], or for each token of every
  /// sequence, [batch, seq]. The tensor must outlive the use, so a temporary does not compile.
  /// Throws std::invalid_argument unless it is contiguous, or the transpose of a contiguous one.
  template <class X>
  requires(detail::is_owner<X>) [[nodiscard]] static Positions listed(const X& ids);
  template <class X>
  requires(detail::is_owner<X>) static Positions listed(X&& ids) = delete;  ///< it would dangle

  /// Token n of sequence b is at starts[b] + n, for sequences that are decoded in one batch. The list must
  /// outlive the use.
  /// Throws std::invalid_argument if it is empty.
  template <class P>
  [[nodiscard]] static Positions per_sequence(std::span<const P> starts) {
    return per_sequence(AxisPositions::listed(starts));
  }
  /// Token n of sequence b is at starts[b] + n. The std::vector is not copied and must outlive the use.
  /// Throws std::invalid_argument if it is empty.
  template <class P>
  [[nodiscard]] static Positions per_sequence(const std::vector<P>& starts) {
    return per_sequence(std::span<const P>(starts.data(), starts.size()));
  }
  template <class P>
  static Positions per_sequence(std::vector<P>&& starts) = delete;  ///< it would dangle
  /// Token n of sequence b is at coordinate b of `starts`, plus n.
  /// Throws std::invalid_argument if there are no coordinates.
  [[nodiscard]] static Positions per_sequence(AxisPositions starts) {
    if (starts.count() < 1) detail::fail("there are no starts of sequences, a batch has at least 1 sequence");
    Positions positions(starts);
    positions.open_ = positions.starts_ = true;
    positions.batch_ = starts.count();
    positions.count_ = 0;
    return positions;
  }

  /// Every combination of the axes' coordinates: rows y·width + x for a grid of (height, width).
  /// Throws std::invalid_argument unless there are 1 to 4 axes.
  ///
  /// @code
  ///   const std::array sides{rotary::AxisPositions::consecutive(2), rotary::AxisPositions::consecutive(3)};
  ///   const rotary::Positions grid = rotary::Positions::grid(sides);   // (0, 0) (0, 1) (0, 2) (1, 0) ...
  /// @endcode
  [[nodiscard]] static Positions grid(std::span<const AxisPositions> axes) {
    Positions positions = of_axes(axes);
    positions.is_grid_ = true;
    for (int axis = positions.axis_count_ - 1; axis >= 0; --axis) {
      positions.axes_[at_(axis)].repeat = positions.count_;
      positions.count_ =
          detail::checked_product(positions.count_, positions.axes_[at_(axis)].positions.count());
    }
    return positions;
  }

  /// Tokens of several coordinates: token n has entry n of every axis, such as (t, h, w).
  /// Throws std::invalid_argument unless there are 1 to 4 axes of one length.
  [[nodiscard]] static Positions together(std::span<const AxisPositions> axes) {
    Positions positions = of_axes(axes);
    positions.count_ = axes[0].count();
    for (const AxisPositions& axis : axes)
      if (axis.count() != positions.count_)
        detail::fail("every axis needs a position for each token: found ", axis.count(), " and ",
                     positions.count_);
    return positions;
  }

  /// These positions for `batch` sequences of one length: entry b · seq + n is token n of sequence b, as in
  /// position_ids of shape [batch, seq].
  /// Throws std::invalid_argument if the count is no multiple of `batch`.
  [[nodiscard]] Positions in_batches(Index batch) const {
    if (open_) detail::fail("positions without a length cannot be dealt out to ", batch, " sequences");
    if (batch < 1 || count_ % batch != 0)
      detail::fail(count_, " positions cannot be dealt out evenly to ", batch, " sequences");
    Positions dealt = *this;
    dealt.batch_ = batch;
    return dealt;
  }

  /// These positions for lists of shape [seq, batch]: entry n · batch + b is token n of sequence b.
  /// Throws std::invalid_argument if the count is no multiple of `batch`.
  [[nodiscard]] Positions in_batches_along_last(Index batch) const {
    Positions dealt = in_batches(batch);
    dealt.batch_is_last_ = true;
    return dealt;
  }

  /// These positions with a grid flattened to one sequence of its cells.
  [[nodiscard]] Positions as_list() const {
    Positions positions = *this;
    positions.is_list_ = true;
    return positions;
  }

  /// These positions for sequences of `seq` tokens: `from` and `per_sequence` have no length of their own,
  /// the others are returned as they are.
  [[nodiscard]] Positions for_length(Index seq) const {
    if (!open_) return *this;
    if (!starts_) return consecutive(seq, first());
    Positions positions = *this;
    positions.open_ = false;
    positions.seq_ = seq;
    positions.count_ = detail::checked_product(batch_, seq);
    return positions;
  }

  /// The number of rows: tokens of all sequences of a batch, or cells of a grid; 0 if `has_no_length()`.
  [[nodiscard]] Index count() const { return count_; }
  /// The number of coordinates of a token, 1 to 4.
  [[nodiscard]] int axis_count() const { return axis_count_; }
  /// The number of sequences with positions of their own; 0 if all sequences share theirs.
  [[nodiscard]] Index batch() const { return batch_; }
  /// Does the length follow from the rotated sequence (`from`, `per_sequence`)?
  [[nodiscard]] bool has_no_length() const { return open_; }
  /// The extents of the grid, [batch, seq], or the number of tokens.
  [[nodiscard]] std::vector<Index> shape() const {
    if (batch_ > 0) return {batch_, count_ / batch_};
    if (!is_grid_ || is_list_) return {count_};
    std::array<Index, kMaxPositionAxes> extents = {};
    for (int axis = 0; axis < axis_count_; ++axis) extents[at_(axis)] = axes_[at_(axis)].positions.count();
    return {extents.data(), extents.data() + axis_count_};
  }
  /// Are the rows the cells of a grid, neither flattened by `as_list` nor dealt to sequences by `in_batches`?
  [[nodiscard]] bool is_grid() const { return is_grid_ && !is_list_ && batch_ == 0; }

  /// The coordinate along `axis` of row `row`; the rows of a batch are those of its first sequence, then
  /// those of its second. Unchecked. Positions without a length need `for_length` first.
  [[nodiscard]] FixedPosition at(Index row, int axis = 0) const {
    const Axis& of = axes_[at_(axis)];
    if (starts_) return of.positions[row / seq_] + FixedPosition(row % seq_);
    if (batch_is_last_) row = row % (count_ / batch_) * batch_ + row / (count_ / batch_);
    return of.repeat == 1 && axis_count_ == 1 ? of.positions[row]
                                              : of.positions[row / of.repeat % of.positions.count()];
  }

  /// Are the rows at first(), first() + 1, ... on a single axis? False for a list, whatever its entries are.
  [[nodiscard]] bool is_consecutive() const {
    return axis_count_ == 1 && !batch_is_last_ && !starts_ && axes_[0].positions.is_consecutive();
  }
  /// The position of the first token of `from` and `consecutive`. For a list it is the offset alone.
  [[nodiscard]] FixedPosition first() const { return axes_[0].positions.first(); }

 private:
  struct Axis {
    AxisPositions positions;
    Index repeat = 1;  // rows that share one coordinate before the next one follows
  };

  static std::size_t at_(int axis) { return static_cast<std::size_t>(axis); }

  static Positions of_axes(std::span<const AxisPositions> axes) {
    if (axes.empty() || axes.size() > static_cast<std::size_t>(kMaxPositionAxes))
      detail::fail("positions have 1 to ", kMaxPositionAxes, " axes, found ", axes.size());
    Positions positions(axes[0]);
    positions.axis_count_ = static_cast<int>(axes.size());
    positions.count_ = 1;
    for (std::size_t axis = 0; axis < axes.size(); ++axis) positions.axes_[axis] = {axes[axis], 1};
    return positions;
  }

  bool is_grid_ = false, is_list_ = false;
  bool open_ = false;           // the length is that of the rotated sequence
  bool starts_ = false;         // the list holds the first position of every sequence
  bool batch_is_last_ = false;  // the list is [seq, batch]
  int axis_count_ = 1;
  Index batch_ = 0, seq_ = 1;
  Index count_ = 0;
  // Only the first axis_count_ are used. All are set, which is quicker than clearing them.
  std::array<Axis, kMaxPositionAxes> axes_;
};

namespace detail {

/// Ids of shape [seq] or [batch, seq].
template <class P>
Positions positions_of_view(const StridedView<const P>& ids) {
  if (ids.rank != 1 && ids.rank != 2)
    fail("ids have shape ", shape_text(ids), ", they must be [seq] or [batch, seq]");
  const Index batch = ids.rank == 2 ? ids.extent(0) : 0, seq = ids.extent(ids.rank - 1);
  const Index step = seq == 1 ? 1 : ids.stride(ids.rank - 1), outer = batch <= 1 ? seq * step : ids.stride(0);
  const bool along_last = batch > 1 && seq > 1 && outer == 1 && step == batch;
  if (step < 1 || (!along_last && outer != seq * step && seq > 0 && !(seq == 1 && outer >= 1)))
    fail("ids of shape ", shape_text(ids), " must be contiguous, [batch, seq] or its transpose");
  const Index stride = along_last ? 1 : seq == 1 && batch > 1 ? outer : step;
  const Index count = ids.size(), elements = count == 0 ? 0 : (count - 1) * stride + 1;
  const Positions list(AxisPositions::listed(std::span<const P>(ids.data, static_cast<std::size_t>(elements)),
                                             FixedPosition(), stride));
  if (batch == 0) return list;
  return along_last ? list.in_batches_along_last(batch) : list.in_batches(batch);
}

}  // namespace detail

template <class X>
requires(detail::is_stored<X>() && !detail::is_owner<X>) Positions Positions::listed(const X& ids) {
  return detail::positions_of_view(detail::const_elements_of(ids));
}
template <class X>
requires(detail::is_owner<X>) Positions Positions::listed(const X& ids) {
  return detail::positions_of_view(detail::const_elements_of(ids));
}

namespace detail {

/// `Positions` from anything that names positions; they are a view of `at`. Issues one static_assert message
/// for types that cannot be positions.
template <class P>
Positions positions_of(const P& at) {
  constexpr bool kNumber = std::is_arithmetic_v<P> || std::is_same_v<P, FixedPosition>;
  constexpr bool kBuilder = requires {
    { at.positions() } -> std::same_as<Positions>;
  };
  constexpr bool kList = requires {
    std::data(at);
    std::size(at);
  };
  if constexpr (std::is_convertible_v<const P&, Positions>) {
    return at;
  } else if constexpr (kNumber) {
    return Positions::from(at);
  } else if constexpr (kBuilder) {
    return at.positions();
  } else if constexpr (is_view<P> || is_stored_tensor<P> || (is_dense<P> && is_stored<P>())) {
    return positions_of_view(const_elements_of(at));
  } else if constexpr (kList && !is_dense<P> && !is_tensor<P>) {
    using Element = std::remove_cvref_t<decltype(*std::data(at))>;
    return AxisPositions::listed(std::span<const Element>(std::data(at), std::size(at)));
  } else {
    static_assert(
        kNumber,
        "rotary: positions are a number, a contiguous list or an Eigen tensor of integers of 32 or 64 "
        "bits, float or double, rotary::Positions or rotary::TokenPositions; evaluate expressions "
        "first");
    return Positions::from(0);
  }
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
