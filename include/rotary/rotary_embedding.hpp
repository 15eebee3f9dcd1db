// RotaryEmbedding: rotary-embedding-torch's class of that name. Composition; no arithmetic of its own.
#pragma once

#include <utility>

#include "apply_table.hpp"
#include "axial_frequencies.hpp"
#include "parallel.hpp"
#include "rotation_gradients.hpp"

namespace rotary::inline ROTARY_ABI {

/// The constructor arguments of rotary-embedding-torch, with its defaults, and the pairing.
struct RotaryEmbeddingOptions {
  Index dim = 0;                          ///< features that rotate; even
  std::vector<double> custom_freqs = {};  ///< frequencies in radians per position, in place of `freqs_for`
  FreqsFor freqs_for =
      FreqsFor::lang;  ///< lang: theta^(−2i/dim); pixel: π·linspace(1, max_freq/2); constant: 1
  double theta = 10000;
  double max_freq = 10;
  Index num_freqs = 1;               ///< how many constant frequencies
  bool learned_freq = false;         ///< whether `set_freqs` may change the frequencies
  double interpolate_factor = 1;     ///< positions are divided by it; at least 1
  double theta_rescale_factor = 1;   ///< theta is multiplied by its (dim / (dim − 2))-th power (NTK)
  bool seq_before_head_dim = false;  ///< tensors are [batch, seq, heads, head_dim]: the sequence is axis −3
  bool cache_if_possible = true;     ///< keep the rows of positions from 0 on; changes speed, never a result
  Index cache_max_seq_len = 8192;    ///< how many rows may be kept
  bool allow_odd_dim = false;  ///< an odd dim rotates dim − 1 features with frequencies theta^(−2i/dim)
  Pairing pairing = Pairing::interleaved;
};

namespace detail {

inline Frequencies frequencies_of(const RotaryEmbeddingOptions& options) {
  if (!options.custom_freqs.empty()) return custom_frequencies(span_of(options.custom_freqs));
  if (options.freqs_for == FreqsFor::constant) return constant_frequencies(options.num_freqs);
  if (options.dim < 1) fail("dim is ", options.dim, ", it must be positive");
  if (options.dim % 2 != 0 && !options.allow_odd_dim)
    fail("dim is ", options.dim, ", it must be even; with allow_odd_dim its first ", options.dim - 1,
         " features rotate");
  if (options.freqs_for == FreqsFor::pixel) return pixel_frequencies(options.dim, options.max_freq);
  return language_frequencies(options.dim,
                              rescaled_theta(options.theta, options.theta_rescale_factor, options.dim));
}

inline double checked_interpolate_factor(double factor) {
  if (!(factor >= 1 && factor < std::numeric_limits<double>::infinity()))
    fail("interpolate_factor is ", factor, ", it must be at least 1");
  return factor;
}

}  // namespace detail

/// Turns queries and keys by their positions, as rotary-embedding-torch does, exactly at any position.
///
/// The token at position p = offset + n has every pair (a, b) of its first `dim` features turned by φ = p ·
/// f_i:
///
///     a' = a cos φ − b sin φ
///     b' = b cos φ + a sin φ
///
/// so that the product of a query at position m with a key at position n depends on m − n alone. `T`, float
/// or double, is what cosines and sines are held in; tensors may be float, double, Eigen::half or
/// Eigen::bfloat16, of any rank from 2 up, in any storage order: [..., seq, head_dim], or with the sequence
/// on another axis. The arithmetic is that of the wider of the two types, and a result is rounded once.
///
/// An object is immutable but for `set_freqs`, and a `const` one may be used from any number of threads; no
/// result depends on earlier calls. Wrong shapes and values throw std::invalid_argument before anything is
/// written.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 32});
///   rotary::Tensor<float, 4> q(1, 8, 1024, 64), k(1, 8, 1024, 64);   // [batch, heads, seq, head_dim]
///   q = rotary_emb.rotate_queries_or_keys(q);
///   rotary_emb.rotate_in_place(k, {.offset = 128});
/// @endcode
template <class T>
class RotaryEmbedding {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  explicit RotaryEmbedding(RotaryEmbeddingOptions options)
      : options_(std::move(options)),
        interpolate_factor_(detail::checked_interpolate_factor(options_.interpolate_factor)),
        frequencies_(detail::frequencies_of(options_)),
        rows_(make_rows(frequencies_)) {}

  /// From frequencies of any make. Where they are for several coordinates, a sequence is one of tokens whose
  /// coordinates are all the same, as text is in M-RoPE; others are rotated by their `Positions`.
  explicit RotaryEmbedding(Frequencies frequencies, RotaryEmbeddingOptions options = {})
      : options_(std::move(options)),
        interpolate_factor_(detail::checked_interpolate_factor(options_.interpolate_factor)),
        frequencies_(std::move(frequencies)),
        rows_(make_rows(frequencies_)) {}

  const RotaryEmbeddingOptions& options() const { return options_; }
  const Frequencies& frequencies() const { return frequencies_; }
  /// The features that rotate: twice the number of frequencies.
  Index rotary_dim() const { return 2 * rows_.pairs(); }

  /// The frequencies, in radians per position, rounded to double.
  std::vector<double> freqs() const {
    std::vector<double> values;
    for (const DoubleDouble& f : frequencies_.values) values.push_back(static_cast<double>(f));
    return values;
  }
  /// Replaces the frequencies, as a step of training does. Only with `learned_freq`.
  void set_freqs(std::span<const double> freqs) {
    if (!options_.learned_freq) detail::fail("the frequencies are fixed; construct with learned_freq = true");
    if (freqs.size() != frequencies_.values.size())
      detail::fail("found ", freqs.size(), " frequencies, there must be ", frequencies_.values.size());
    Frequencies changed = custom_frequencies(freqs);
    changed.axes = frequencies_.axes;
    changed.magnitude = frequencies_.magnitude;
    rows_ = make_rows(changed);  // may fail, and then nothing has changed
    frequencies_ = std::move(changed);
  }

  /// The rows of cosines and sines, interpolation included.
  const SequenceRows<T>& rows() const { return rows_; }

  /// (0, 1, ..., seq_len − 1) + offset, divided by interpolate_factor.
  Tensor<double, 1> get_seq_pos(Index seq_len, FixedPosition offset = 0) const {
    const Positions positions = Positions::consecutive(seq_len, offset);
    Tensor<double, 1> result(seq_len);
    for (Index n = 0; n < seq_len; ++n)
      result(n) = static_cast<double>(positions.at(n)) / interpolate_factor_;
    return result;
  }

  /// The angles position · frequency, each twice, on a new last axis: [..., rotary_dim]. Positions are taken
  /// as they are, not interpolated: a number, a span, a std::vector, or a tensor of any rank.
  template <class P>
  auto operator()(const P& positions) const {
    return detail::angles_of(summed_over_axes(frequencies_), options_.pairing, positions);
  }

  /// The gradients of a loss with respect to the positions and the frequencies of `operator()`, given the one
  /// with respect to its angles.
  template <class P, class G>
  AngleGradients angles_backward(const P& positions, const G& grad) const {
    return detail::angle_gradients(summed_over_axes(frequencies_), options_.pairing, positions, grad);
  }

  /// The angles of a grid, one block of rotary_dim angles for each axis: [sizes..., axes · rotary_dim].
  template <class... Sizes>
  requires(sizeof...(Sizes) >= 1 &&
           (std::is_integral_v<Sizes> && ...)) auto get_axial_freqs(Sizes... sizes) const {
    return axial().get_axial_freqs(sizes...);
  }
  /// The same with `offsets[a]` added to the coordinates along axis a.
  template <std::size_t Axes>
  auto get_axial_freqs(const std::array<Index, Axes>& sizes, std::span<const double> offsets = {}) const {
    return axial().get_axial_freqs(sizes, offsets);
  }

  /// The rotated tensor. With a `device`, such as Eigen::ThreadPoolDevice, its threads share the work; the
  /// result is the same, bit for bit.
  template <class X, ParallelDevice Device = CallingThread>
  detail::Owned<X> rotate_queries_or_keys(const X& x, const RotateOptions& options = {},
                                          const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      auto result = detail::make_like(source);
      rotate_into(source, result, options, device);
      return result;
    }
  }

  /// Writes the rotated `x` to `out`, of the same shape and scalar; `out` may be `x` itself.
  template <class X, class Y, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(x);
      turn_between(detail::const_view_of(source), detail::writable_view_of(out), options,
                   [&](const auto& from, const auto& to) { rotate(from, to, options, device); });
    }
  }

  /// Rotates `x` where it is. Allocates nothing once the rows it needs are kept.
  template <class X, ParallelDevice Device = CallingThread>
  void rotate_in_place(X&& x, const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      const auto view = detail::writable_view_of(x);
      turn_between(view, view, options,
                   [&](const auto& from, const auto& to) { rotate(from, to, options, device); });
    }
  }

  /// The rows of tokens at any positions, interpolation included: make them once for all layers and turn with
  /// `apply_rotary_emb`. Positions of one coordinate serve frequencies for several, as text does.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   const std::vector<std::int32_t> position_ids = {0, 1, 2, 0, 1, 7};   // two packed sequences
  ///   const auto rows = rotary_emb.table(rotary::Positions::listed(position_ids));
  ///   rotary::Tensor<float, 4> q(1, 8, 6, 64), k(1, 2, 6, 64);
  ///   rotary::apply_rotary_emb_in_place(rows, q);
  ///   rotary::apply_rotary_emb_in_place(rows, k);
  /// @endcode
  CosSinTable<T> table(const Positions& positions) const {
    return CosSinTable<T>(frequencies_at(positions), positions, options_.pairing);
  }

  /// The rotated tensor, its tokens standing at `positions`: as many as the sequence is long, or as many for
  /// each sequence of the batch (`Positions::in_batches`). The offset must be left out.
  template <class X>
  detail::Owned<X> rotate_queries_or_keys(const X& x, const Positions& positions,
                                          const RotateOptions& options = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      auto result = detail::make_like(source);
      turn_between(detail::const_view_of(source), view_of(result), options,
                   [&](const auto& from, const auto& to) { rotate_at(from, to, positions, options); });
      return result;
    }
  }
  /// The same in place.
  template <class X>
  void rotate_in_place(X&& x, const Positions& positions, const RotateOptions& options = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      const auto view = detail::writable_view_of(x);
      turn_between(view, view, options,
                   [&](const auto& from, const auto& to) { rotate_at(from, to, positions, options); });
    }
  }

  /// Queries and keys of the same positions: {rotated q, rotated k}. Rows that are not kept are made once for
  /// both.
  template <class Q, class K>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const RotateOptions& options = {}) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_returnable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_returnable<K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      std::pair<detail::Owned<Q>, detail::Owned<K>> result{detail::make_like(queries),
                                                           detail::make_like(keys)};
      rotate_both(detail::const_view_of(queries), view_of(result.first), detail::const_view_of(keys),
                  view_of(result.second), options);
      return result;
    }
  }
  /// The same in place. They must not share memory, but may lie in one buffer.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   rotary::Tensor<float, 4> q(1, 32, 1, 64), k(1, 8, 1, 64);             // [batch, heads, seq, head_dim]
  ///   q.setRandom();
  ///   k.setRandom();
  ///   rotary_emb.rotate_queries_and_keys_in_place(q, k, {.offset = 100'000});
  /// @endcode
  template <class Q, class K>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const RotateOptions& options = {}) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_writable<K>()) {
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      rotate_both(queries, queries, keys, keys, options);
    }
  }

  /// The last q_len tokens as queries against all k_len cached, not yet rotated keys: {rotated q, rotated k}.
  ///
  /// Keys stand at 0 ... k_len − 1 and queries at k_len − q_len ... k_len − 1; `offset` moves the queries
  /// only, as in the reference. Fails if there are more queries than keys.
  template <class Q, class K>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_with_cached_keys(
      const Q& q, const K& k, const RotateOptions& options = {}) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_returnable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_returnable<K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const Index ahead = detail::keys_before_queries(
          detail::const_view_of(queries), detail::const_view_of(keys), options.seq_dim, default_seq_dim());
      RotateOptions of_queries = options, of_keys = options;
      of_queries.offset = options.offset + FixedPosition(ahead);
      of_keys.offset = 0;
      return {rotate_queries_or_keys(queries, of_queries), rotate_queries_or_keys(keys, of_keys)};
    }
  }

  /// ∂L/∂f_i = Σ p ∂L/∂φ, for every frequency: from `x` as it was before the forward rotation with these
  /// options, and the gradient with respect to the result. (With respect to x itself: rotate the gradient,
  /// `Direction::transpose`.)
  template <class X, class G>
  std::vector<double> frequency_gradient(const X& x, const G& grad, const RotateOptions& options = {}) const {
    const auto [gradients, positions] = gradients_of(x, grad, options, magnitude(options));
    return detail::frequency_gradient(gradients, positions, interpolate_factor_);
  }

  /// ∂L/∂p_n = Σ f_i ∂L/∂φ, for every token of the sequence, before interpolation.
  template <class X, class G>
  std::vector<double> position_gradient(const X& x, const G& grad, const RotateOptions& options = {}) const {
    const auto [gradients, positions] = gradients_of(x, grad, options, magnitude(options));
    const Frequencies frequencies = summed_over_axes(frequencies_);
    std::vector<double> sums(static_cast<std::size_t>(gradients.seq));
    for (Index n = 0; n < gradients.seq; ++n)
      for (Index i = 0; i < gradients.pairs; ++i)
        sums[static_cast<std::size_t>(n)] +=
            gradients.angle_at(n, i) * static_cast<double>(frequencies.values[static_cast<std::size_t>(i)]) /
            interpolate_factor_;
    return sums;
  }

  /// ∂L/∂A, A being the magnitude of the frequencies times `options.scale`.
  template <class X, class G>
  double magnitude_gradient(const X& x, const G& grad, const RotateOptions& options = {}) const {
    // With A = 1, ∂L/∂A is ∂L/∂ln A; and it does not depend on A, which may be 0.
    double sum = 0;
    for (double term : gradients_of(x, grad, options, {}).first.log_magnitude) sum += term;
    return sum;
  }

 private:
  Index default_seq_dim() const { return options_.seq_before_head_dim ? -3 : -2; }
  template <class In>
  int axis_of(const StridedView<In>& in, const RotateOptions& options) const {
    return detail::sequence_axis(options.seq_dim, default_seq_dim(), in.rank);
  }

  AxialFrequencies<T> axial() const {
    return AxialFrequencies<T>(frequencies_, options_.freqs_for, options_.pairing);
  }

  SequenceRows<T> make_rows(const Frequencies& frequencies) const {
    return SequenceRows<T>(scaled(summed_over_axes(frequencies), interpolate_factor_), options_.pairing,
                           options_.cache_if_possible ? options_.cache_max_seq_len : 0);
  }

  kernels::Magnitude magnitude(const RotateOptions& options) const {
    return {.factor = frequencies_.magnitude * options.scale};
  }

  template <class In, class X, class Turn>
  void turn_between(const StridedView<In>& in, const StridedView<X>& out, const RotateOptions& options,
                    const Turn& turn) const {
    detail::turn_between(options_.pairing, rotary_dim(), options, in, out, turn);
  }

  /// The frequencies for positions of as many coordinates, or of one.
  Frequencies frequencies_at(const Positions& positions) const {
    const bool alike = positions.axis_count() == 1 && frequencies_.axes > 1;
    return scaled(alike ? summed_over_axes(frequencies_) : frequencies_, interpolate_factor_);
  }

  template <class In, class X>
  void rotate_at(const StridedView<In>& in, const StridedView<X>& out, const Positions& positions,
                 const RotateOptions& options) const {
    if (options.offset != FixedPosition(0))
      detail::fail("the offset is ", static_cast<double>(options.offset),
                   ", it must be 0 where positions are given");
    const double factor = detail::check_rotation<T>(in, out, options.start_index, rotary_dim(),
                                                    magnitude(options).factor, options.direction);
    Frequencies frequencies = frequencies_at(positions);
    frequencies.magnitude = factor;
    // A grid that is one sequence is a list of its cells.
    const int seq_axis = axis_of(in, options);
    const bool is_sequence = positions.batch() == 0 && positions.count() == in.extent(seq_axis);
    if (!is_sequence && positions.batch() == 0 && positions.shape().size() == 1)
      detail::fail("found ", positions.count(), " positions for a sequence of ", in.extent(seq_axis),
                   " tokens");
    detail::apply_table(
        CosSinTable<T>(frequencies, is_sequence ? positions.as_list() : positions, options_.pairing), in, out,
        options.start_index, options.seq_dim, options.direction, default_seq_dim());
  }

  template <class In, class X, class Device>
  void rotate(const StridedView<In>& in, const StridedView<X>& out, const RotateOptions& options,
              const Device& device) const {
    const int seq_axis = axis_of(in, options);
    const auto rotate_from = [&](const auto& from, const auto& to, FixedPosition first) {
      detail::rotate_sequence<T>({rows_, first, magnitude(options), options.direction, options.start_index},
                                 from, to, seq_axis);
    };
    if constexpr (std::is_same_v<Device, CallingThread>) {
      // Not as a part, which would give `out` the extent of `in` and hide that it had another.
      rotate_from(in, out, options.offset);
    } else {
      // Everything that can fail fails here, and not on a thread of the device.
      detail::check_rotation<T>(in, out, options.start_index, rotary_dim(), magnitude(options).factor,
                                options.direction);
      detail::in_parts(device, in, seq_axis, [&](int axis, Index first, Index last) {
        rotate_from(in.slice(axis, first, last - first), out.slice(axis, first, last - first),
                    options.offset + FixedPosition(axis == seq_axis ? first : 0));
      });
    }
  }

  template <class QIn, class Q, class KIn, class K>
  void rotate_both(const StridedView<QIn>& q_in, const StridedView<Q>& q_out, const StridedView<KIn>& k_in,
                   const StridedView<K>& k_out, const RotateOptions& options) const {
    const detail::SequenceRotation<T> how{rows_, options.offset, magnitude(options), options.direction,
                                          options.start_index};
    const int q_axis = axis_of(q_in, options), k_axis = axis_of(k_in, options);
    if (options.output_pairing.value_or(options_.pairing) == options_.pairing)
      return detail::rotate_two_sequences(how, q_in, q_out, q_axis, k_in, k_out, k_axis);
    how.check(q_in, q_out);  // both before either is written
    how.check(k_in, k_out);
    detail::check_apart(q_out, k_in);
    const auto turn = [&](const auto& from, const auto& to) { rotate(from, to, options, CallingThread()); };
    turn_between(q_in, q_out, options, turn);
    turn_between(k_in, k_out, options, turn);
  }

  template <class X, class G>
  std::pair<RotationGradients, Positions> gradients_of(const X& x, const G& grad,
                                                       const RotateOptions& options,
                                                       const kernels::Magnitude& magnitude) const {
    static_assert(detail::check_rotatable<X>() && detail::check_rotatable<G>());
    decltype(auto) stored_x = detail::stored(x);
    decltype(auto) stored_grad = detail::stored(grad);
    const auto in = detail::const_view_of(stored_x);
    const int axis = axis_of(in, options);
    const Positions positions = Positions::consecutive(in.extent(axis), options.offset);
    return {detail::rotation_gradients(rows_.steps(), positions, magnitude, options_.pairing, in,
                                       detail::const_view_of(stored_grad), axis, options.start_index),
            positions};
  }

  RotaryEmbeddingOptions options_;
  double interpolate_factor_;
  Frequencies frequencies_;
  SequenceRows<T> rows_;
};

}  // namespace rotary::inline ROTARY_ABI
