// apply_rotary_emb: angles, or a table of their cosines and sines, × tensor.
#pragma once

#include "apply/angle_rows.hpp"
#include "apply/apply_table.hpp"
#include "apply/compiled.hpp"

namespace rotary::inline ROTARY_ABI {

namespace detail {

template <class F, class S, class X>
void apply_angles(const StridedView<const F>& freqs, const StridedView<const S>& scale,
                  const StridedView<const X>& in, const StridedView<X>& out, const ApplyOptions& options) {
  const AngleRows<F, S> rows(freqs, scale, in, options);
  check_output(in, out);
  apply_table(rows.template table<Arithmetic<X, float>>(options), in, out);
}

template <class F, class S, class X>
Owned<X> apply_angles_to(const StridedView<const F>& freqs, const StridedView<const S>& scale, const X& t,
                         const ApplyOptions& options) {
  if constexpr (check_rotatable<X>() && check_returnable<X>()) {
    decltype(auto) source = stored(t);
    auto result = make_like(source);
    apply_angles(freqs, scale, const_view_of(source), writable_view_of(result), options);
    return result;
  }
}

template <class F>
inline constexpr bool is_table = false;
template <class T>
inline constexpr bool is_table<CosSinTable<T>> = true;

template <class F>
constexpr bool check_angles() {  // not covered: runs while compiling
  constexpr bool kHasAngles = is_tensor<F> || is_dense<F> || is_view<F>;
  static_assert(kHasAngles, "rotary: angles are an Eigen tensor, matrix or vector, [..., rotary_dim]");
  return kHasAngles;
}

}  // namespace detail

/// Rotates the features of `t` by the angles in `freqs`: t cos(freqs) + rotate_half(t) sin(freqs), times the
/// scale.
///
/// `freqs`, [..., rotary_dim], holds an angle in radians for every feature that rotates, [start_index,
/// start_index + rotary_dim); each is there twice, once for either member of a pair. Its axes are broadcast
/// against those of `t` from the last; with two axes, [seq, rotary_dim], they belong to `seq_dim`, and if
/// there are more rows than the sequence is long the last ones are taken, as in rotary-embedding-torch; along
/// `freqs_seq_dim` likewise.
///
/// Cosines and sines are within 3.1e-8 (2e-16 where `t` is double) of those of the angles as given.
///
/// Throws std::invalid_argument if rotary_dim is odd, if the window reaches past the features, if shapes
/// cannot be broadcast, and if the members of a pair have different angles, unless `separate_angles` allows
/// them.
///
/// Cost: a cosine and a sine for every angle, in every call; a `CosSinTable` computes them once.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 4});
///   rotary::Tensor<float, 2> t(3, 8);                                         // [seq, head_dim]
///   t.setRandom();
///   t = rotary::apply_rotary_emb(rotary_emb(std::vector{0, 1, 2}), t);
/// @endcode
///
/// Source: rotary-embedding-torch 0.8.9.
template <class F, class X>
requires(!detail::is_table<F>)
    [[nodiscard]] detail::Owned<X> apply_rotary_emb(const F& freqs, const X& t,
                                                    const ApplyOptions& options = {}) {
  if constexpr (detail::check_angles<F>()) {
    decltype(auto) angles = detail::stored(freqs);
    return detail::apply_angles_to(detail::const_view_of(angles), StridedView<const double>(), t, options);
  }
}

/// Rotates `t` by the angles in `freqs`, [..., rotary_dim], and multiplies every rotated feature by its entry
/// of `scale`, [seq, rotary_dim] or [..., rotary_dim or 1], which is broadcast like `freqs`, and by
/// `options.scale`.
/// Throws std::invalid_argument as `apply_rotary_emb(freqs, t)`, which has an example, and if `scale` cannot
/// be broadcast.
template <class F, class X, class S>
requires(!detail::is_table<F> && detail::is_rotatable_container<S>())
    [[nodiscard]] detail::Owned<X> apply_rotary_emb(const F& freqs, const X& t, const S& scale,
                                                    const ApplyOptions& options = {}) {
  if constexpr (detail::check_angles<F>()) {
    decltype(auto) angles = detail::stored(freqs);
    decltype(auto) scales = detail::stored(scale);
    return detail::apply_angles_to(detail::const_view_of(angles), detail::const_view_of(scales), t, options);
  }
}

/// Writes `t`, rotated by the angles in `freqs`, [..., rotary_dim], to `out`, of the same shape and scalar,
/// which may be `t` itself. Angles, options and errors are those of `apply_rotary_emb`.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 4});
///   rotary::Tensor<float, 2> t(3, 8), out(3, 8);                              // [seq, head_dim]
///   t.setRandom();
///   rotary::apply_rotary_emb_into(rotary_emb(std::vector{0, 1, 2}), t, out);
/// @endcode
template <class F, class X, class Y>
requires(!detail::is_table<F>) void apply_rotary_emb_into(const F& freqs, const X& t, Y&& out,
                                                          const ApplyOptions& options = {}) {
  if constexpr (detail::check_angles<F>() && detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
    decltype(auto) angles = detail::stored(freqs);
    decltype(auto) source = detail::stored(t);
    detail::apply_angles(detail::const_view_of(angles), StridedView<const double>(),
                         detail::const_view_of(source), detail::writable_view_of(out), options);
  }
}
/// Writes `t`, rotated by the angles in `freqs` and multiplied by the tensor `scale`, to `out`, of the same
/// shape and scalar, which may be `t` itself. Arguments and errors are those of `apply_rotary_emb` with a
/// scale.
template <class F, class X, class Y, class S>
requires(!detail::is_table<F> && detail::is_rotatable_container<S>()) void apply_rotary_emb_into(
    const F& freqs, const X& t, Y&& out, const S& scale, const ApplyOptions& options = {}) {
  if constexpr (detail::check_angles<F>() && detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
    decltype(auto) angles = detail::stored(freqs);
    decltype(auto) scales = detail::stored(scale);
    decltype(auto) source = detail::stored(t);
    detail::apply_angles(detail::const_view_of(angles), detail::const_view_of(scales),
                         detail::const_view_of(source), detail::writable_view_of(out), options);
  }
}

/// Rotates `t` in place by the angles in `freqs`, [..., rotary_dim]. Angles, options and errors are those of
/// `apply_rotary_emb`, which has an example.
template <class F, class X>
requires(!detail::is_table<F>) void apply_rotary_emb_in_place(const F& freqs, X&& t,
                                                              const ApplyOptions& options = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>())
    apply_rotary_emb_into(freqs, t, t, options);
}
/// Rotates `t` in place by the angles in `freqs`, and multiplies it by the tensor `scale`. Arguments and
/// errors are those of `apply_rotary_emb` with a scale.
template <class F, class X, class S>
requires(!detail::is_table<F> && detail::is_rotatable_container<S>()) void apply_rotary_emb_in_place(
    const F& freqs, X&& t, const S& scale, const ApplyOptions& options = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>())
    apply_rotary_emb_into(freqs, t, t, scale, options);
}

/// Rotates `t` by the rows of a table, whose layout says which features, pairs and axes; row n belongs to
/// token n. `Direction::transpose` rotates gradients; a table does not know its magnitude, so there is no
/// inverse.
/// Throws std::invalid_argument unless there is a row for every token and the layout fits `t`.
///
/// Cost: one pass over the tensor; the threads of a `device` share it.
///
/// @code
///   const rotary::CosSinTable<float> table(rotary::language_frequencies(64), rotary::Positions::consecutive(16));
///   rotary::Tensor<float, 4> q(1, 8, 16, 64);             // [batch, heads, seq, head_dim]
///   q.setRandom();
///   q = rotary::apply_rotary_emb(table, q);
/// @endcode
template <class T, class X, ParallelDevice Device = CallingThread>
[[nodiscard]] detail::Owned<X> apply_rotary_emb(const CosSinTable<T>& table, const X& t,
                                                Direction direction = Direction::forward,
                                                const Device& device = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
    decltype(auto) source = detail::stored(t);
    auto result = detail::make_like(source);
    apply_rotary_emb_into(table, source, result, direction, device);
    return result;
  }
}

/// Writes `t`, rotated by the rows of a table, to `out`, of the same shape and scalar, which may be `t`
/// itself.
/// Throws std::invalid_argument unless there is a row for every token and the layout fits `t`.
/// `apply_rotary_emb(table, t)` has an example.
template <class T, class X, class Y, ParallelDevice Device = CallingThread>
void apply_rotary_emb_into(const CosSinTable<T>& table, const X& t, Y&& out,
                           Direction direction = Direction::forward, const Device& device = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() && detail::check_writable<Y>() &&
                detail::check_same_scalar<X, Y>()) {
    decltype(auto) source = detail::stored(t);
    detail::apply_table(table, detail::const_view_of(source), detail::writable_view_of(out), direction,
                        device);
  }
}

/// Rotates `t` in place by the rows of a table: one pass over the tensor.
/// Throws std::invalid_argument unless there is a row for every token and the layout fits `t`.
///
/// @code
///   const rotary::CosSinTable<float> table(rotary::language_frequencies(64), rotary::Positions::consecutive(16));
///   rotary::Tensor<float, 4> q(1, 8, 16, 64);             // [batch, heads, seq, head_dim]
///   q.setRandom();
///   rotary::apply_rotary_emb_in_place(table, q);
/// @endcode
template <class T, class X, ParallelDevice Device = CallingThread>
void apply_rotary_emb_in_place(const CosSinTable<T>& table, X&& t, Direction direction = Direction::forward,
                               const Device& device = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
    const auto view = detail::writable_view_of(t);
    detail::apply_table(table, view, view, direction, device);
  }
}

/// Rotates one token of every sequence in place by the row of a table: `heads` is [heads, head_dim] or
/// [batch, heads, head_dim] and has no sequence axis. The table has one row, or one for each sequence.
/// Throws std::invalid_argument on another number of rows, and if the layout does not fit `heads`.
///
/// @code
///   const std::vector<std::int32_t> lengths = {100, 7};              // of two sequences
///   const auto table = rotary::RotaryEmbedding<float>({.dim = 64}).table(rotary::Positions::listed(lengths));
///   rotary::Tensor<float, 3> heads(2, 8, 64);                        // [batch, heads, head_dim]
///   heads.setRandom();
///   rotary::apply_rotary_emb_to_token_in_place(table, heads);
/// @endcode
template <class T, class X>
void apply_rotary_emb_to_token_in_place(const CosSinTable<T>& table, X&& heads,
                                        Direction direction = Direction::forward) {
  if constexpr (detail::check_rotatable<X, true>() && detail::check_writable<X>()) {
    const auto view = detail::writable_heads_of(heads);
    detail::apply_table_to_token(table, view, view, direction);
  }
}

}  // namespace rotary::inline ROTARY_ABI
