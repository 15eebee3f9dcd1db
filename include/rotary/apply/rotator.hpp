// Rotator: rows and a layout, and how a call on tensors becomes rotations of them.
#pragma once

#include <span>
#include <utility>

#include "../tensor/parallel.hpp"
#include "apply_table.hpp"
#include "compiled.hpp"
#include "rotate_options.hpp"
#include "rotate_sequence.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// In place of positions: the first token is at the offset of the options.
struct ByOffset {};

template <class At>
inline constexpr bool is_number = std::is_arithmetic_v<At> || std::is_same_v<At, FixedPosition>;

/// Is `At` a list of numbers, such as a std::vector?
template <class At>
concept NumberList = !is_rotatable_container<At>() && requires(const At& at) {
  requires std::is_arithmetic_v<std::remove_cvref_t<decltype(*std::data(at))>>;
  requires sizeof(*std::data(at)) >= 4;
  std::size(at);
};

/// `Positions` of what has some or is some, such as `TokenPositions`; anything else as it is.
template <class At>
decltype(auto) as_positions(const At& at) {
  if constexpr (is_number<At> || NumberList<At> || std::is_same_v<At, ByOffset> ||
                std::is_same_v<At, Positions>) {
    return (at);
  } else if constexpr (std::is_convertible_v<const At&, Positions>) {
    return Positions(at);
  } else if constexpr (requires {
                         { at.positions() } -> std::same_as<Positions>;
                       }) {
    return at.positions();
  } else {
    return (at);
  }
}

/// Views of one token, [..., heads, head_dim], of these types of tensors. `In` and `X` may differ in constness.
template <class In, class X = In, class InScalar, class Scalar>
auto token_pair(const StridedView<InScalar>& in, const StridedView<Scalar>& out) {
  constexpr bool kContiguous = is_contiguous_type<In> && is_contiguous_type<X>;
  return TensorPair<InScalar, Scalar, kContiguous>{in, out, -1};
}

/// Rows of cosines and sines with the layout of the tensors that they rotate.
template <RowScalar T>
class Rotator {
 public:
  Rotator(RowCache<T> rows, const HeadLayout& layout) : rows_(std::move(rows)), layout_(layout) {}

  const RowCache<T>& rows() const { return rows_; }
  const HeadLayout& layout() const { return layout_; }

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

  // The common calls, in as few instructions as possible (bench/instructions.sh counts them): tensors in place, with
  // contiguous features and cached rows. False for any other call: then nothing was done, and `rotate_at` takes it, or
  // says what is wrong with it.

  /// Sequences, their tokens at `at`.
  template <class At, class... X>
  ROTARY_ALWAYS_INLINE bool rotate_cached_sequence(const At& at, const RotateOptions& options,
                                                   X&... x) const {
    const Index seq_dim = options.seq_dim ? *options.seq_dim : layout_.seq_dim;
    return rotate_cached_in_place(as_positions(at), options, token_axes_of(x, seq_dim)...);
  }
  /// A sequence from `x` into `out`.
  template <class At, class X, class Y>
  ROTARY_ALWAYS_INLINE bool rotate_cached_into(const At& at, const RotateOptions& options, const X& x,
                                               Y& out) const {
    if (!have_one_shape(x, out)) return false;
    const Index seq_dim = options.seq_dim ? *options.seq_dim : layout_.seq_dim;
    const auto from = token_axes_of(x, seq_dim);
    const auto to = token_axes_of(out, seq_dim);
    return rotate_cached(as_positions(at), options, Tokens{from, to});
  }
  /// One token at `at`.
  template <class At, class... X>
  ROTARY_ALWAYS_INLINE bool rotate_cached_token(const At& at, const RotateOptions& options,
                                                X&... heads) const {
    return !options.seq_dim && rotate_cached_in_place(as_positions(at), options, head_axes_of(heads)...);
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
  /// A tensor of the common form and where it is rotated to: in place both are one object.
  template <class In, class X>
  struct Tokens {
    const TokenAxes<In>& in;
    const TokenAxes<X>& out;

    bool in_place() const { return static_cast<const void*>(&in) == &out; }
  };
  template <class In, class X>
  Tokens(const TokenAxes<In>&, const TokenAxes<X>&) -> Tokens<In, X>;

  template <class At, class... X>
  ROTARY_ALWAYS_INLINE bool rotate_cached_in_place(const At& at, const RotateOptions& options,
                                                   const TokenAxes<X>&... x) const {
    return rotate_cached(at, options, Tokens<X, X>{x, x}...);
  }

  template <class At, class First, class... Others>
  ROTARY_ALWAYS_INLINE bool rotate_cached(const At& at, const RotateOptions& options, const First& x,
                                          const Others&... others) const {
    if constexpr (std::is_same_v<At, ByOffset>) {
      return rotate_cached_from({&options.offset, 1}, options, x, others...);
    } else {
      if (options.offset != FixedPosition(0)) return false;
      if constexpr (is_number<At>) {
        const FixedPosition first(at);
        return rotate_cached_from({&first, 1}, options, x, others...);
      } else if constexpr (NumberList<At>) {
        if (std::size(at) != 1 || x.out.tokens != 1) return false;
        const FixedPosition first(*std::data(at));
        return rotate_cached_from({&first, 1}, options, x, others...);
      } else if constexpr (std::is_same_v<At, Positions>) {
        FixedPosition coordinates[kMaxPositionAxes];
        const int axes = x.out.tokens == 1 ? only_token(at, coordinates) : 0;
        return axes > 0 &&
               rotate_cached_from({coordinates, static_cast<std::size_t>(axes)}, options, x, others...);
      } else {
        return false;
      }
    }
  }

  /// The coordinates of the only token that there are positions for, and how many; 0 if there are more tokens, or as many
  /// as the tensor has.
  ROTARY_NOINLINE int only_token(const Positions& at, FixedPosition* coordinates) const {
    const int axes = at.axis_count();
    if (at.has_no_length() || at.batch() != 0 || at.count() != 1 ||
        (axes != 1 && axes != rows_.steps().axes()))
      return 0;
    for (int axis = 0; axis < axes; ++axis) coordinates[axis] = at.at(0, axis);
    return axes;
  }

  /// `token` is the first position, or the coordinates of the only token.
  template <class First, class... Others>
  ROTARY_ALWAYS_INLINE bool rotate_cached_from(std::span<const FixedPosition> token,
                                               const RotateOptions& options, const First& x,
                                               const Others&... others) const {
    if constexpr (sizeof...(Others) == 0)
      if (x.in_place() && token.size() == 1 && token[0].is_whole() &&
          rotate_computed(token[0].whole, options, x.out)) [[likely]]
        return true;
    return rotate_any_cached(token, options, x, others...);
  }

  /// One token in place, if its row has been computed.
  template <class X>
  ROTARY_NOINLINE bool rotate_computed(std::int64_t position, const RotateOptions& options,
                                       const TokenAxes<X>& x) const {
    if (!has_window(x) || x.tokens != 1 || options.direction != Direction::forward || layout_.output_pairing)
      return false;
    const T* const row = rows_.find(position, rows_.magnitude() * options.scale);
    return row != nullptr && kernels::rotate_one_token(x.data + layout_.start_index, row, layout_.pairing,
                                                       layout_.rotary_dim / 2, x.inner, x.inner_stride);
  }

  template <class First, class... Others>
  ROTARY_NOINLINE bool rotate_any_cached(std::span<const FixedPosition> token, const RotateOptions& options,
                                         const First& x, const Others&... others) const {
    if (!is_common(x) ||
        (... || (!is_common(others) || others.out.tokens != x.out.tokens || !is_apart(x.out, others.out))))
      return false;
    if (options.direction == Direction::inverse) return false;
    const T* const rows = cached_rows(token, x.out.tokens, rows_.magnitude() * options.scale);
    if (rows == nullptr) return false;
    rotate_contiguous(rows, options.direction, x);
    (rotate_contiguous(rows, options.direction, others), ...);
    return true;
  }

  template <class X>
  ROTARY_ALWAYS_INLINE bool has_window(const TokenAxes<X>& x) const {
    return x.fits && x.features >= layout_.start_index + layout_.rotary_dim;
  }
  template <class In, class X>
  ROTARY_ALWAYS_INLINE bool is_common(const Tokens<In, X>& x) const {
    const bool fits = has_window(x.out);
    return x.in_place() ? fits : fits && x.in.fits && is_apart(x.in, x.out);
  }
  /// Do two tensors share no memory?
  template <class X, class Y>
  static bool is_apart(const TokenAxes<X>& x, const TokenAxes<Y>& y) {
    const auto a = reinterpret_cast<std::uintptr_t>(x.data), b = reinterpret_cast<std::uintptr_t>(y.data);
    return a + static_cast<std::uintptr_t>(x.bytes()) <= b || b + static_cast<std::uintptr_t>(y.bytes()) <= a;
  }

  /// The rows of tokens from `token` on if all `seq` of them are in one block of cached rows, or if there is one token.
  /// Else null.
  ROTARY_ALWAYS_INLINE const T* cached_rows(std::span<const FixedPosition> token, Index seq,
                                            double factor) const {
    if (token.size() == 1 && token[0].is_whole()) [[likely]] {
      const RowRun<T> run = rows_.cached(token[0].whole, factor);
      if (run.count >= seq) return run.rows;
      if (run.count > 0) return nullptr;
    }
    return seq == 1 ? recent_row(rows_, token, factor) : nullptr;
  }

  template <class In, class X>
  ROTARY_ALWAYS_INLINE void rotate_contiguous(const T* rows, Direction direction,
                                              const Tokens<In, X>& x) const {
    kernels::RotationJob<X, T> job;
    set_contiguous_job(job, x.in, x.out, layout_, direction);
    job.rows = rows;
    kernels::rotate_contiguous(std::move(job));
  }

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

  RowCache<T> rows_;
  HeadLayout layout_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
