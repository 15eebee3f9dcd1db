// CachedRotator: the common calls, by cached rows.
#pragma once

#include <span>
#include <utility>

#include "../tables/row_source.hpp"
#include "call_arguments.hpp"
#include "compiled.hpp"
#include "token_axes.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Rows of cosines and sines with the layout of the tensors that they rotate. Its calls are the common ones, in as few
/// instructions as possible (bench/instructions.sh counts them): tensors with contiguous features, and cached rows. They
/// return false for any other call: then nothing was done, and `Rotator` rotates or throws.
template <RowScalar T>
class CachedRotator {
 public:
  CachedRotator(RowCache<T> rows, const HeadLayout& layout) : rows_(std::move(rows)), layout_(layout) {}

  const RowCache<T>& rows() const { return rows_; }
  const HeadLayout& layout() const { return layout_; }

  /// Sequences, their tokens at `at`, if the calling thread is to rotate them.
  template <class At, class Device, class... X>
  ROTARY_ALWAYS_INLINE bool rotate_cached_sequence(const At& at, const RotateOptions& options, const Device&,
                                                   X&... x) const {
    if constexpr (std::is_same_v<Device, CallingThread>) {
      const Index seq_dim = options.seq_dim ? *options.seq_dim : layout_.seq_dim;
      return rotate_cached_in_place(as_positions(at), options, token_axes_of(x, seq_dim)...);
    } else {
      return false;
    }
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

 protected:
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

  RowCache<T> rows_;
  HeadLayout layout_;

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

  /// Writes the coordinates of the only token in `at`, and returns how many there are. Returns 0 if `at` has more tokens than
  /// one, or no length.
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
    const auto rotate = [&](const auto& tokens) ROTARY_INLINE_LAMBDA {
      kernels::RotationJob<std::remove_pointer_t<decltype(tokens.out.data)>, T> job;
      set_contiguous_job(job, tokens.in, tokens.out, layout_, options.direction);
      job.rows = rows;
      kernels::rotate_contiguous(std::move(job));
    };
    rotate(x);
    (rotate(others), ...);
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
};

}  // namespace rotary::inline ROTARY_ABI::detail
