// RotaryEmbedding: rotary-embedding-torch's class of that name.
#pragma once

#include <utility>

#include "apply/rotation_gradients.hpp"
#include "apply/rotator.hpp"
#include "apply/scaled_rows.hpp"
#include "axial_frequencies.hpp"
#include "frequencies/embedding_options.hpp"

namespace rotary::inline ROTARY_ABI {

/// How an embedding is made from a model's description.
struct ModelEmbeddingOptions {
  double length = 0;                 ///< tokens of the text; matters for dynamic NTK, Qwen-1 and LongRoPE
  bool seq_before_head_dim = false;  ///< tensors are [batch, seq, heads, head_dim]
};

namespace detail {

/// What an embedding can be made from: `RopeParameters`, or the `ModelConfiguration` of a model whose layers are all
/// alike.
template <class M>
concept DescribesRope = requires(const M& model, double length) {
  { model.rope_frequencies(length) } -> std::same_as<Frequencies>;
  { model.layout() } -> std::same_as<HeadLayout>;
};

/// A second tensor that is rotated with the first one, and no list of positions.
template <class K>
constexpr bool are_keys() {
  using Type = std::remove_cvref_t<K>;
  if constexpr (!is_rotatable_container<Type>()) {
    return false;
  } else if constexpr (!RotaryScalar<Element<Type>>) {
    return false;
  } else if constexpr (is_tensor<Type>) {
    return static_cast<int>(Eigen::internal::traits<Type>::NumDimensions) >= 2;
  } else if constexpr (is_dense<Type>) {
    return !Type::IsVectorAtCompileTime;
  } else {
    return true;
  }
}
template <class K>
concept Keys = are_keys<K>();

/// Anything else is taken for positions, so that the wrong kind is refused in one sentence.
template <class At>
concept NamesPositions = !std::is_same_v<std::remove_cvref_t<At>, RotateOptions> && !Keys<At>;

}  // namespace detail

/// Rotates queries and keys by their positions, as rotary-embedding-torch does, exactly at any position.
///
/// The token at position p has every pair (a, b) of its rotary_dim features rotated by φ = p · f_i:
///
///     a' = a cos φ − b sin φ
///     b' = b cos φ + a sin φ
///
/// so that the product of a query at position m with a key at position n depends on m − n alone.
///
/// **Types.** `T`, float or double, is what cosines and sines are held in. Tensors are float, double, Eigen::half or
/// Eigen::bfloat16 (others of 16 bits: `SameBitsAs`), of any rank from 2 up, in any storage order: [..., seq,
/// head_dim], or with the sequence on another axis. The arithmetic is that of the wider of the two types, and a
/// result is rounded once.
///
/// **Layout.** Which features rotate, how they are paired, and which axis is the sequence, is fixed at construction:
/// `HeadLayout`.
///
/// **Positions** are the second argument of every call that rotates: nothing (the first token is at 0), a number (of
/// the first token), a list or Eigen tensor of ids (one for each token), or `Positions`.
///
/// **Threads.** An object is immutable but for `set_freqs`, and a `const` one may be used from any number of threads;
/// no result depends on earlier calls. With a `device`, such as Eigen::ThreadPoolDevice, its threads share the work;
/// the result has the same bits.
///
/// **Errors.** Wrong shapes and values throw std::invalid_argument before anything is written.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 32});
///   rotary::Tensor<float, 4> q(1, 8, 1024, 64), k(1, 8, 1024, 64);   // [batch, heads, seq, head_dim]
///   q.setRandom();
///   k.setRandom();
///   q = rotary_emb.rotate_queries_or_keys(q);              // a new tensor
///   rotary_emb.rotate_in_place(k, 128);                    // the first token is at position 128
/// @endcode
template <class T>
class RotaryEmbedding {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// From the reference's arguments.
  explicit RotaryEmbedding(const RotaryEmbeddingOptions& options)
      : freqs_for_(options.freqs_for),
        learned_(options.learned_freq),
        interpolate_factor_(detail::checked_interpolate_factor(options.interpolate_factor)),
        frequencies_(detail::frequencies_of(options)),
        rotator_(make_rotator(frequencies_, detail::layout_of(options, frequencies_.pairs()),
                              options.cache_if_possible ? options.cache_max_seq_len : 0)) {}

  /// From any frequencies and a layout. Where the frequencies are for several coordinates, positions of one
  /// coordinate stand for tokens whose coordinates are all the same, as text is in M-RoPE. Rows of positions from 0
  /// to `cached_rows` − 1 are cached once they were computed.
  explicit RotaryEmbedding(Frequencies frequencies, const HeadLayout& layout = {}, Index cached_rows = 8192)
      : frequencies_(std::move(frequencies)),
        rotator_(make_rotator(frequencies_, detail::completed(layout, frequencies_.pairs()), cached_rows)) {}

  /// From a model's parameters, layout included: `RopeParameters`, or a `ModelConfiguration` whose layers are alike.
  template <detail::DescribesRope M>
  explicit RotaryEmbedding(const M& model, const ModelEmbeddingOptions& options = {})
      : RotaryEmbedding(model.rope_frequencies(options.length), layout_of_model(model, options)) {}

  /// Does not compile: the arguments have names.
  template <std::integral I>
  explicit RotaryEmbedding(I) : RotaryEmbedding(Frequencies()) {
    static_assert(!std::is_integral_v<I>, "rotary: name the arguments: RotaryEmbedding<float>({.dim = 64})");
  }
  template <class U = T>
  RotaryEmbedding() : RotaryEmbedding(Frequencies()) {
    static_assert(!std::is_same_v<U, T>,
                  "rotary: an embedding needs its dim: RotaryEmbedding<float>({.dim = 64})");
  }

  [[nodiscard]] const HeadLayout& layout() const& { return rotator_.layout(); }
  [[nodiscard]] HeadLayout layout() && { return rotator_.layout(); }
  /// As they were given: interpolation is not included.
  [[nodiscard]] const Frequencies& frequencies() const& { return frequencies_; }
  [[nodiscard]] Frequencies frequencies() && { return std::move(frequencies_); }
  [[nodiscard]] double interpolate_factor() const { return interpolate_factor_; }
  /// What the frequencies were made for; `FreqsFor::lang` where they were given.
  [[nodiscard]] FreqsFor freqs_for() const { return freqs_for_; }
  /// The features that rotate: twice the number of frequencies.
  [[nodiscard]] Index rotary_dim() const { return layout().rotary_dim; }
  [[nodiscard]] Pairing pairing() const { return layout().pairing; }

  /// The frequencies, in radians per position, rounded to double.
  [[nodiscard]] std::vector<double> freqs() const {
    std::vector<double> values;
    for (const DoubleDouble& f : frequencies_.values) values.push_back(static_cast<double>(f));
    return values;
  }
  /// Replaces the frequencies, as a step of training does. Throws without `learned_freq`, and on another number of
  /// them.
  void set_freqs(std::span<const double> freqs) {
    if (!learned_) detail::fail("the frequencies are fixed; construct with learned_freq = true");
    if (freqs.size() != frequencies_.values.size())
      detail::fail("found ", freqs.size(), " frequencies, there must be ", frequencies_.values.size());
    Frequencies changed = custom_frequencies(freqs);
    changed.axes = frequencies_.axes;
    changed.magnitude = frequencies_.magnitude;
    // May throw, and then nothing has changed.
    rotator_ = make_rotator(changed, layout(), rotator_.rows().limit());
    frequencies_ = std::move(changed);
  }

  /// (0, 1, ..., seq_len − 1) + offset, divided by interpolate_factor.
  [[nodiscard]] Tensor<double, 1> get_seq_pos(Index seq_len, FixedPosition offset = 0) const {
    const Positions positions = Positions::consecutive(seq_len, offset);
    detail::checked_elements<double>(seq_len);
    Tensor<double, 1> result(seq_len);
    for (Index n = 0; n < seq_len; ++n)
      result(n) = static_cast<double>(positions.at(n)) / interpolate_factor_;
    return result;
  }

  /// The angles position · frequency, each twice, on a new last axis: [..., rotary_dim]. Positions are taken
  /// as they are, not interpolated: a number, a span, a std::vector, or a tensor of any rank.
  /// Angles of half pairs belong to `apply_rotary_emb` with `.pairing = Pairing::half`.
  template <class P>
  [[nodiscard]] auto operator()(const P& positions) const {
    return detail::angles_of(summed_over_axes(frequencies_), pairing(), positions);
  }

  /// The gradients of a loss with respect to the positions and the frequencies of `operator()`, given the one
  /// with respect to its angles.
  template <class P, class G>
  [[nodiscard]] AngleGradients angles_backward(const P& positions, const G& grad) const {
    return detail::angle_gradients(summed_over_axes(frequencies_), pairing(), positions, grad);
  }

  /// The angles of a grid, one block of rotary_dim angles for each axis: [sizes..., axes · rotary_dim]. After the sizes,
  /// a list of offsets may follow, `offsets[a]` being added to the coordinates along axis a.
  template <class... Arguments>
  requires(sizeof...(Arguments) >= 1) [[nodiscard]] auto get_axial_freqs(const Arguments&... sizes) const {
    return axial().get_axial_freqs(sizes...);
  }

  /// The rows of tokens at any positions, interpolation included: make them once for all layers and rotate with
  /// `apply_rotary_emb`, to which they bring the layout. Positions of one coordinate serve frequencies for several, as
  /// text does. Throws on positions without a length: `Positions::consecutive(count, first)` has one.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   const std::vector<std::int32_t> position_ids = {0, 1, 2, 0, 1, 7};   // two packed sequences
  ///   const auto rows = rotary_emb.table(position_ids);
  ///   rotary::Tensor<float, 4> q(1, 8, 6, 64), k(1, 2, 6, 64);
  ///   q.setRandom();
  ///   k.setRandom();
  ///   rotary::apply_rotary_emb_in_place(rows, q);
  ///   rotary::apply_rotary_emb_in_place(rows, k);
  /// @endcode
  template <class At>
  [[nodiscard]] CosSinTable<T> table(const At& at) const {
    const Positions positions = detail::positions_of(at);
    const detail::RowCache<T>& rows = rotator_.rows();
    return CosSinTable<T>(positions.axis_count() == 1 ? rows.text_steps() : rows.steps(), rows.magnitude(),
                          positions, layout());
  }

  /// The rotated tensor, of the type of `x` (maps and expressions become tensors).
  template <class X, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const RotateOptions& options = {},
                                                        const Device& device = {}) const {
    return rotated(x, kByOffset, options, device);
  }
  /// The rotated tensor, its tokens at `at`: a number, ids, or `Positions`.
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const At& at,
                                                        const RotateOptions& options = {},
                                                        const Device& device = {}) const {
    return rotated(x, at, options, device);
  }
  /// The rotated tensor, every rotated feature multiplied by an entry of the tensor `scale` and by `options.scale`.
  /// `scale` is [seq, rotary_dim], or [..., rotary_dim or 1] and broadcast against `x` from the last axis, as in
  /// rotary-embedding-torch.
  template <class X, class S>
  requires(detail::is_rotatable_container<S>())
      [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const RotateOptions& options,
                                                            const S& scale) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      decltype(auto) scales = detail::stored(scale);
      auto result = detail::make_like(source);
      const auto in = detail::const_view_of(source);
      HeadLayout layout = rotator_.layout();
      layout.seq_dim = rotator_.axis_of(in, options);
      const Positions positions =
          Positions::consecutive(in.extent(static_cast<int>(layout.seq_dim)), options.offset);
      const double factor = rotator_.factor_of(options);
      if (options.direction == Direction::inverse)
        detail::fail("a rotation with a tensor of scales has no inverse here; use Direction::transpose");
      detail::apply_table(detail::scaled_table<T>(rotator_.rows().text_steps(), positions, factor, layout,
                                                  detail::const_view_of(scales), in),
                          in, detail::writable_view_of(result), options.direction);
      return result;
    }
  }

  /// Writes the rotated `x` to `out`, of the same shape and scalar; `out` may be `x` itself.
  template <class X, class Y, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const RotateOptions& options = {}, const Device& device = {}) const {
    into<X, Y>(x, out, kByOffset, options, device);
  }
  /// Writes `x`, rotated with its tokens at `at`, to `out`.
  template <class X, class Y, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const At& at, const RotateOptions& options = {},
                   const Device& device = {}) const {
    into<X, Y>(x, out, at, options, device);
  }

  /// Rotates `x` in place. Allocates nothing once the rows it needs are cached.
  template <class X, ParallelDevice Device = CallingThread>
  void rotate_in_place(X&& x, const RotateOptions& options = {}, const Device& device = {}) const {
    in_place<X>(x, kByOffset, options, device);
  }
  /// Rotates `x` in place, its tokens at `at`: a number, ids, or `Positions`.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   rotary::Tensor<float, 4> q(2, 8, 3, 64);                       // [batch, heads, seq, head_dim]
  ///   q.setRandom();
  ///   rotary_emb.rotate_in_place(q, 128);                            // at 128, 129, 130
  ///   rotary_emb.rotate_in_place(q, std::vector{0, 1, 0});           // one position for each token
  ///   const std::vector<int> lengths = {17, 4};
  ///   rotary_emb.rotate_in_place(q, rotary::Positions::per_sequence(lengths));
  /// @endcode
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_in_place(X&& x, const At& at, const RotateOptions& options = {},
                       const Device& device = {}) const {
    in_place<X>(x, at, options, device);
  }
  /// Rotates queries and keys in place: `rotate_queries_and_keys_in_place`.
  template <class Q, detail::Keys K, class... Arguments>
  void rotate_in_place(Q&& q, K&& k, const Arguments&... arguments) const {
    rotate_queries_and_keys_in_place(q, k, arguments...);
  }
  template <class Q, detail::Keys K>
  void rotate_in_place(Q&& q, K&& k, const RotateOptions& options) const {
    rotate_queries_and_keys_in_place(q, k, options);
  }
  template <class Q, detail::Keys K, detail::NamesPositions At>
  void rotate_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options) const {
    rotate_queries_and_keys_in_place(q, k, at, options);
  }

  /// {rotated q, rotated k}, of the same positions. Rows that are not cached are computed once for both. Throws if
  /// there are more or fewer queries than keys.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const RotateOptions& options = {}, const Device& device = {}) const {
    return rotated_both(q, k, kByOffset, options, device);
  }
  /// {rotated q, rotated k}, their tokens at `at`: a number, ids, or `Positions`.
  template <class Q, class K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const At& at, const RotateOptions& options = {},
      const Device& device = {}) const {
    return rotated_both(q, k, at, options, device);
  }

  /// Rotates queries and keys of the same positions in place. They must not share memory, but may lie in one buffer.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   rotary::Tensor<float, 4> q(1, 32, 1, 64), k(1, 8, 1, 64);             // [batch, heads, seq, head_dim]
  ///   q.setRandom();
  ///   k.setRandom();
  ///   rotary_emb.rotate_queries_and_keys_in_place(q, k, 100'000);
  /// @endcode
  template <class Q, class K, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const RotateOptions& options = {},
                                        const Device& device = {}) const {
    both_in_place<Q, K>(q, k, kByOffset, options, device);
  }
  /// Rotates queries and keys in place, their tokens at `at`: a number, ids, or `Positions`.
  template <class Q, class K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options = {},
                                        const Device& device = {}) const {
    both_in_place<Q, K>(q, k, at, options, device);
  }

  /// Writes rotated queries and keys of the same positions to `q_out` and `k_out`, of the same shapes and scalars.
  template <class Q, class K, class QOut, class KOut, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_into(const Q& q, const K& k, QOut&& q_out, KOut&& k_out,
                                    const RotateOptions& options = {}, const Device& device = {}) const {
    both_into<Q, K, QOut, KOut>(q, k, q_out, k_out, kByOffset, options, device);
  }
  /// Writes rotated queries and keys, their tokens at `at`, to `q_out` and `k_out`.
  template <class Q, class K, class QOut, class KOut, detail::NamesPositions At,
            ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_into(const Q& q, const K& k, QOut&& q_out, KOut&& k_out, const At& at,
                                    const RotateOptions& options = {}, const Device& device = {}) const {
    both_into<Q, K, QOut, KOut>(q, k, q_out, k_out, at, options, device);
  }

  /// Rotates one token of every sequence in place: `heads` is [heads, head_dim], [batch, heads, head_dim], or one head
  /// as a vector, and has no sequence axis. `at` is the position of the token: a number, or a list with one position
  /// for each sequence of the batch; of tokens with several coordinates, `Positions` or `TokenPositions`.
  ///
  /// This is the call of a decoding loop: functions for sequences would take the heads for tokens.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   std::vector<float> q(32 * 64, 1.0f), k(8 * 64, 1.0f);        // of the token at position 100
  ///   rotary_emb.rotate_token_in_place(rotary::StridedView<float>(q.data(), {32, 64}), 100);
  ///   rotary_emb.rotate_token_in_place(rotary::StridedView<float>(k.data(), {8, 64}), 100);
  /// @endcode
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_token_in_place(X&& heads, const At& at, const RotateOptions& options = {},
                             const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X, true>() && detail::check_writable<X>()) {
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (rotator_.rotate_cached_token(at, options, heads)) return;
      any_token_in_place<X>(heads, at, options, device);
    }
  }
  /// Rotates the queries and keys of one token of every sequence in place.
  template <class Q, detail::Keys K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_token_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options = {},
                             const Device& device = {}) const {
    if constexpr (detail::check_rotatable<Q, true>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K, true>() && detail::check_writable<K>()) {
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (rotator_.rotate_cached_token(at, options, q, k)) return;
      const auto queries = detail::writable_heads_of(q);
      const auto keys = detail::writable_heads_of(k);
      rotator_.rotate_token_at(at, options, device, detail::token_pair<Q>(queries, queries),
                               detail::token_pair<K>(keys, keys));
    }
  }
  /// Writes the rotated heads of one token of every sequence to `out`.
  template <class X, class Y, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_token_into(const X& heads, Y&& out, const At& at, const RotateOptions& options = {},
                         const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X, true>() && detail::check_rotatable<Y, true>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(heads);
      const auto in = detail::const_heads_of(source);
      const auto to = detail::writable_heads_of(out);
      rotator_.rotate_token_at(at, options, device, detail::token_pair<X, Y>(in, to));
    }
  }
  /// The rotated heads of one token of every sequence.
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_token(const X& heads, const At& at, const RotateOptions& options = {},
                                              const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X, true>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(heads);
      auto result = detail::make_like(source);
      rotate_token_into(source, result, at, options, device);
      return result;
    }
  }

  /// {rotated q, rotated k}: the last q_len tokens as queries against all k_len cached keys, not yet rotated.
  ///
  /// Keys are at positions 0 ... k_len − 1 and queries at k_len − q_len ... k_len − 1; `offset` moves the queries
  /// only, as in the reference. Throws if there are more queries than keys.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_with_cached_keys(
      const Q& q, const K& k, const RotateOptions& options = {}, const Device& device = {}) const {
    return rotated_both(q, k, options, [&](const auto& queries, const auto& keys) {
      const Index q_len = queries.in.extent(queries.seq_axis), k_len = keys.in.extent(keys.seq_axis);
      if (q_len > k_len)
        detail::fail("found ", q_len, " queries for ", k_len, " cached keys, there must not be more");
      rotator_.check(queries);  // both before either is written
      rotator_.check(keys);
      rotator_.rotate_from(options.offset + FixedPosition(k_len - q_len), options, device, queries);
      rotator_.rotate_from(FixedPosition(0), options, device, keys);
    });
  }

  /// ∂L/∂f_i = Σ p ∂L/∂φ, for every frequency: from `x` as it was before the forward rotation with these
  /// options, and the gradient with respect to the result. (With respect to x itself: rotate the gradient,
  /// `Direction::transpose`.)
  template <class X, class G>
  [[nodiscard]] std::vector<double> frequency_gradient(const X& x, const G& grad,
                                                       const RotateOptions& options = {}) const {
    const auto [gradients, positions] =
        gradients_of(x, grad, options, {.factor = rotator_.rows().magnitude() * options.scale});
    return detail::frequency_gradient(gradients, positions, interpolate_factor_);
  }

  /// ∂L/∂p_n = Σ f_i ∂L/∂φ, for every token of the sequence, before interpolation.
  template <class X, class G>
  [[nodiscard]] std::vector<double> position_gradient(const X& x, const G& grad,
                                                      const RotateOptions& options = {}) const {
    const auto [gradients, positions] =
        gradients_of(x, grad, options, {.factor = rotator_.rows().magnitude() * options.scale});
    const Frequencies frequencies = summed_over_axes(frequencies_);
    std::vector<double> sums(detail::checked_elements<double>(positions.count()));
    for (Index n = 0; n < gradients.seq; ++n)
      for (Index i = 0; i < gradients.pairs; ++i)
        sums[static_cast<std::size_t>(n)] += detail::rounded(
            detail::rounded(gradients.angle_at(n, i) *
                            static_cast<double>(frequencies.values[static_cast<std::size_t>(i)])) /
            detail::rounded(interpolate_factor_));
    return sums;
  }

  /// ∂L/∂A, A being the magnitude of the frequencies times `options.scale`.
  template <class X, class G>
  [[nodiscard]] double magnitude_gradient(const X& x, const G& grad,
                                          const RotateOptions& options = {}) const {
    // With A = 1, ∂L/∂A is ∂L/∂ln A; and it does not depend on A, which may be 0.
    double sum = 0;
    for (double term : gradients_of(x, grad, options, {}).first.log_magnitude)
      sum = detail::rounded(sum + term);  // in order, whatever the compiler's flags
    return sum;
  }

 private:
  template <class>
  friend class XPos;

  template <class X, class G>
  std::pair<RotationGradients, Positions> gradients_of(const X& x, const G& grad,
                                                       const RotateOptions& options,
                                                       const kernels::Magnitude& magnitude) const {
    static_assert(detail::check_rotatable<X>() && detail::check_rotatable<G>());
    decltype(auto) stored_x = detail::stored(x);
    decltype(auto) stored_grad = detail::stored(grad);
    const auto in = detail::const_view_of(stored_x);
    const int axis = rotator_.axis_of(in, options);
    detail::check_forward(options.direction);
    detail::check_magnitude<double>(magnitude.factor);
    const Positions positions = Positions::consecutive(in.extent(axis), options.offset);
    return {detail::rotation_gradients(rotator_.rows().text_steps(), positions, magnitude, layout(), in,
                                       detail::const_view_of(stored_grad), axis),
            positions};
  }

  template <class M>
  static HeadLayout layout_of_model(const M& model, const ModelEmbeddingOptions& options) {
    HeadLayout layout = model.layout();
    if (options.seq_before_head_dim) layout.seq_dim = -3;
    return layout;
  }

  AxialFrequencies<T> axial() const { return AxialFrequencies<T>(frequencies_, freqs_for_, layout()); }

  detail::Rotator<T> make_rotator(const Frequencies& frequencies, const HeadLayout& layout,
                                  Index cached_rows) const {
    detail::check(frequencies);
    detail::check_magnitude<T>(frequencies.magnitude);
    return {detail::RowCache<T>(detail::is_equal(interpolate_factor_, 1.0)
                                    ? frequencies
                                    : scaled(frequencies, interpolate_factor_),
                                layout.pairing, cached_rows),
            layout};
  }

  // What the public functions share. Their `at` names positions, or is `kByOffset`. The types of tensors are those of the
  // public functions' arguments: references for what has a name.
  static constexpr detail::ByOffset kByOffset = {};

  template <class X, class At, class Device>
  void in_place(std::remove_reference_t<X>& x, const At& at, const RotateOptions& options,
                const Device& device) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (rotator_.rotate_cached_sequence(at, options, x)) return;
      any_in_place<X>(x, at, options, device);
    }
  }
  // What is not one of the common calls. Functions of their own, so that the common ones save no registers for them.
  template <class X, class At, class Device>
  ROTARY_NOINLINE void any_in_place(std::remove_reference_t<X>& x, const At& at, const RotateOptions& options,
                                    const Device& device) const {
    const auto view = detail::writable_view_of(x);
    rotator_.rotate_at(at, options, device, rotator_.template pair_of<X>(view, view, options));
  }
  template <class X, class At, class Device>
  ROTARY_NOINLINE void any_token_in_place(std::remove_reference_t<X>& heads, const At& at,
                                          const RotateOptions& options, const Device& device) const {
    const auto view = detail::writable_heads_of(heads);
    rotator_.rotate_token_at(at, options, device, detail::token_pair<X>(view, view));
  }
  template <class X, class Y, class At, class Device>
  void into(const X& x, std::remove_reference_t<Y>& out, const At& at, const RotateOptions& options,
            const Device& device) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(x);
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (rotator_.rotate_cached_into(at, options, source, out)) return;
      const auto in = detail::const_view_of(source);
      const auto to = detail::writable_view_of(out);
      rotator_.rotate_at(at, options, device, rotator_.template pair_of<X, Y>(in, to, options));
    }
  }
  template <class X, class At, class Device>
  detail::Owned<X> rotated(const X& x, const At& at, const RotateOptions& options,
                           const Device& device) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      auto result = detail::make_like(source);
      into<std::remove_cvref_t<decltype(source)>, decltype(result)&>(source, result, at, options, device);
      return result;
    }
  }
  template <class Q, class K, class At, class Device>
  void both_in_place(std::remove_reference_t<Q>& q, std::remove_reference_t<K>& k, const At& at,
                     const RotateOptions& options, const Device& device) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_writable<K>()) {
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (rotator_.rotate_cached_sequence(at, options, q, k)) return;
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      rotator_.rotate_at(at, options, device, rotator_.template pair_of<Q>(queries, queries, options),
                         rotator_.template pair_of<K>(keys, keys, options));
    }
  }
  template <class Q, class K, class QOut, class KOut, class At, class Device>
  void both_into(const Q& q, const K& k, std::remove_reference_t<QOut>& q_out,
                 std::remove_reference_t<KOut>& k_out, const At& at, const RotateOptions& options,
                 const Device& device) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_rotatable<QOut>() &&
                  detail::check_writable<QOut>() && detail::check_same_scalar<Q, QOut>() &&
                  detail::check_rotatable<K>() && detail::check_rotatable<KOut>() &&
                  detail::check_writable<KOut>() && detail::check_same_scalar<K, KOut>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const auto q_in = detail::const_view_of(queries);
      const auto k_in = detail::const_view_of(keys);
      const auto q_to = detail::writable_view_of(q_out);
      const auto k_to = detail::writable_view_of(k_out);
      rotator_.rotate_at(at, options, device, rotator_.template pair_of<Q, QOut>(q_in, q_to, options),
                         rotator_.template pair_of<K, KOut>(k_in, k_to, options));
    }
  }
  template <class Q, class K, class At, class Device>
  auto rotated_both(const Q& q, const K& k, const At& at, const RotateOptions& options,
                    const Device& device) const {
    return rotated_both(q, k, options, [&](const auto& queries, const auto& keys) {
      rotator_.rotate_at(at, options, device, queries, keys);
    });
  }
  /// New tensors for rotated queries and keys, filled by rotate(queries, keys).
  template <class Q, class K, class Rotate>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotated_both(const Q& q, const K& k,
                                                             const RotateOptions& options,
                                                             const Rotate& rotate) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_returnable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_returnable<K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      std::pair<detail::Owned<Q>, detail::Owned<K>> result{detail::make_like(queries),
                                                           detail::make_like(keys)};
      const auto q_in = detail::const_view_of(queries);
      const auto k_in = detail::const_view_of(keys);
      const auto q_out = detail::writable_view_of(result.first);
      const auto k_out = detail::writable_view_of(result.second);
      rotate(rotator_.template pair_of<Q, detail::Owned<Q>>(q_in, q_out, options),
             rotator_.template pair_of<K, detail::Owned<K>>(k_in, k_out, options));
      return result;
    }
  }

  FreqsFor freqs_for_ = FreqsFor::lang;
  bool learned_ = true;
  double interpolate_factor_ = 1;
  Frequencies frequencies_;
  detail::Rotator<T> rotator_;
};

}  // namespace rotary::inline ROTARY_ABI
