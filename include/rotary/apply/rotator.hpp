// Rotator: rows and a layout, and how a call on tensors becomes rotations of them.
#pragma once

#include <span>
#include <utility>

#include "../tensor/parallel.hpp"
#include "apply_table.hpp"
#include "cached_rotator.hpp"
#include "rotate_sequence.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Views of one token, [..., heads, head_dim], of these types of tensors. `In` and `X` may differ in constness.
template <class In, class X = In, class InScalar, class Scalar>
auto token_pair(const StridedView<InScalar>& in, const StridedView<Scalar>& out) {
  constexpr bool kContiguous = is_contiguous_type<In> && is_contiguous_type<X>;
  return TensorPair<InScalar, Scalar, kContiguous>{in, out, -1};
}

/// Rows of cosines and sines with the layout of the tensors that they rotate: any call that `CachedRotator` does not take.
template <RowScalar T>
class Rotator : public CachedRotator<T> {
 public:
  using CachedRotator<T>::CachedRotator;

  /// The magnitude of the rows of a call.
  double factor_of(const RotateOptions& options) const {
    return directed(rows_.magnitude() * options.scale, options.direction);
  }

  template <class In>
  int axis_of(const StridedView<In>& in, const RotateOptions& options) const {
    return sequence_axis(options.seq_dim ? *options.seq_dim : layout_.seq_dim, in.rank);
  }
  /// Views of sequences in these types of tensors. `In` and `X` may differ in constness.
  template <class In, class X = In, class InScalar, class Scalar>
  auto pair_of(const StridedView<InScalar>& in, const StridedView<Scalar>& out,
               const RotateOptions& options) const {
    constexpr bool kContiguous = is_contiguous_type<In> && is_contiguous_type<X>;
    return TensorPair<InScalar, Scalar, kContiguous>{in, out, axis_of(in, options)};
  }

  /// Throws unless `pair` can be rotated.
  template <class Pair>
  void check(const Pair& pair) const {
    check_window(pair.in, layout_.start_index, layout_.rotary_dim);
    check_output(pair.in, pair.out);
  }

  /// Rotates one tensor, or queries and keys, whose first token is at `first`.
  template <class Device, class First, class... Others>
  void rotate_from(const FixedPosition& first, const RotateOptions& options, const Device& device,
                   const First& pair, const Others&... others) const {
    const Index seq = pair.seq_axis < 0 ? 1 : pair.in.extent(pair.seq_axis);
    if constexpr (std::is_same_v<Device, CallingThread>) {
      check(pair);
      (check(others), ...);
      check_alike(pair, others...);
      if (!pair.in.empty()) {
        if (const T* const rows = cached_rows({&first, 1}, seq, factor_of(options))) {
          check_direction(options.direction);
          rotate_by(rows, options.direction, pair);
          return (rotate_by(rows, options.direction, others), ...);
        }
      }
    }
    rotate_rest(Positions::consecutive(seq, first), options, device, pair, others...);
  }

  /// Rotates one tensor, or queries and keys, with their tokens at `at`.
  template <class At, class Device, class First, class... Others>
  void rotate_at(const At& at, const RotateOptions& options, const Device& device, const First& first,
                 const Others&... others) const {
    if constexpr (std::is_same_v<At, ByOffset>) {
      rotate_from(options.offset, options, device, first, others...);
    } else if constexpr (is_number<At>) {
      check_no_offset(options);
      rotate_from(FixedPosition(at), options, device, first, others...);
    } else {
      check_no_offset(options);
      const Positions positions = positions_of(at);
      const Index seq = first.in.extent(first.seq_axis);
      if (positions.batch() == 0 && positions.axis_count() == 1 &&
          (positions.has_no_length() || (positions.count() == 1 && seq == 1)))
        return rotate_from(positions.has_no_length() ? positions.first() : positions.at(0), options, device,
                           first, others...);
      if (positions.is_grid() && positions.count() != seq)
        return rotate_grid(positions, options, device, first, others...);
      rotate_rest(positions.for_length(seq), options, device, first, others...);
    }
  }

  /// Rotates tensors at any positions: rows are looked up, or computed a few at a time.
  template <class Device, class... Pairs>
  void rotate_rest(const Positions& positions, const RotateOptions& options, const Device& device,
                   const Pairs&... pairs) const {
    check_direction(options.direction);
    rotate_all(Rotation<T>{rows_, layout_, {.factor = factor_of(options)}, options.direction}, positions,
               device, pairs...);
  }

  /// Rotates tensors whose last axes before the features are a grid.
  template <class Device, class... Pairs>
  void rotate_grid(const Positions& positions, const RotateOptions& options, const Device& device,
                   const Pairs&... pairs) const {
    check_direction(options.direction);
    const double factor = factor_of(options);
    check_magnitude<T>(factor);
    const Direction direction =
        options.direction == Direction::forward ? Direction::forward : Direction::transpose;
    (check(pairs), ...);  // all before rows are computed, and before any tensor is written
    (check_grid(positions, pairs.in, pairs.seq_axis), ...);
    check_alike(pairs...);
    if ((pairs.in.empty() && ...)) return;
    const CosSinTable<T> rows(rows_.steps(), factor, positions, layout_);
    (apply_table(rows, pairs.in, pairs.out, direction, device), ...);
  }

  /// Rotates one token of every sequence: pairs without a sequence axis.
  template <class At, class Device, class First, class... Others>
  void rotate_token_at(const At& at, const RotateOptions& options, const Device& device, const First& first,
                       const Others&... others) const {
    check_no_offset(options);
    if (options.seq_dim) fail("seq_dim is ", *options.seq_dim, ", but one token has no sequence axis");
    if constexpr (is_number<At>) {
      rotate_from(FixedPosition(at), options, device, first, others...);
    } else {
      Positions positions = positions_of(at).for_length(1);
      if (positions.batch() == 0 && positions.count() == 1 && positions.axis_count() == 1)
        return rotate_from(positions.at(0), options, device, first, others...);
      if (positions.batch() == 0 && positions.count() > 1 && first.in.rank > 2 &&
          positions.count() == first.in.extent(0))
        positions = positions.as_list().in_batches(positions.count());
      rotate_rest(positions, options, device, first, others...);
    }
  }

 private:
  using CachedRotator<T>::rows_, CachedRotator<T>::layout_, CachedRotator<T>::cached_rows;

  /// Rotates by precomputed rows: one for each token of the sequence.
  template <class In, class X, bool kContiguous>
  void rotate_by(const T* rows, Direction direction, const TensorPair<In, X, kContiguous>& pair) const {
    if (pair.in.empty()) return;
    auto job = window_job<T>(pair.in, pair.out, layout_, direction,
                             [&](int axis) { return axis == pair.seq_axis ? layout_.rotary_dim : 0; });
    job.rows = rows;
    run_job<kContiguous>(std::move(job));
  }

  static void check_no_offset(const RotateOptions& options) {
    if (options.offset != FixedPosition(0)) fail_offset(options);
  }
  [[noreturn]] ROTARY_COLD static void fail_offset(const RotateOptions& options) {
    fail("the offset is ", static_cast<double>(options.offset), ", it must be 0 where positions are given");
  }
};

}  // namespace rotary::inline ROTARY_ABI::detail
