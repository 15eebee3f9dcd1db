// RotaryEmbedding: rotary-embedding-torch's class of that name.
#pragma once

#include <utility>

#include "apply_table.hpp"
#include "axial_frequencies.hpp"
#include "compiled.hpp"
#include "embedding_options.hpp"
#include "parallel.hpp"
#include "rotate_options.hpp"
#include "rotate_sequence.hpp"
#include "rotation_gradients.hpp"
#include "scaled_rows.hpp"

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
        layout_(detail::layout_of(options, frequencies_.pairs())),
        rows_(make_rows(frequencies_, options.cache_if_possible ? options.cache_max_seq_len : 0)) {}

  /// From any frequencies and a layout. Where the frequencies are for several coordinates, positions of one
  /// coordinate stand for tokens whose coordinates are all the same, as text is in M-RoPE. Rows of positions from 0
  /// to `cached_rows` − 1 are cached once they were computed.
  explicit RotaryEmbedding(Frequencies frequencies, const HeadLayout& layout = {}, Index cached_rows = 8192)
      : frequencies_(std::move(frequencies)),
        layout_(detail::completed(layout, frequencies_.pairs())),
        rows_(make_rows(frequencies_, cached_rows)) {}

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

  [[nodiscard]] const HeadLayout& layout() const& { return layout_; }
  [[nodiscard]] HeadLayout layout() && { return layout_; }
  /// As they were given: interpolation is not included.
  [[nodiscard]] const Frequencies& frequencies() const& { return frequencies_; }
  [[nodiscard]] Frequencies frequencies() && { return std::move(frequencies_); }
  [[nodiscard]] double interpolate_factor() const { return interpolate_factor_; }
  /// What the frequencies were made for; `FreqsFor::lang` where they were given.
  [[nodiscard]] FreqsFor freqs_for() const { return freqs_for_; }
  /// The features that rotate: twice the number of frequencies.
  [[nodiscard]] Index rotary_dim() const { return layout_.rotary_dim; }
  [[nodiscard]] Pairing pairing() const { return layout_.pairing; }

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
    rows_ = make_rows(changed, rows_.limit());  // may throw, and then nothing has changed
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
    return detail::angles_of(summed_over_axes(frequencies_), layout_.pairing, positions);
  }

  /// The gradients of a loss with respect to the positions and the frequencies of `operator()`, given the one
  /// with respect to its angles.
  template <class P, class G>
  [[nodiscard]] AngleGradients angles_backward(const P& positions, const G& grad) const {
    return detail::angle_gradients(summed_over_axes(frequencies_), layout_.pairing, positions, grad);
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
    return CosSinTable<T>(positions.axis_count() == 1 ? rows_.text_steps() : rows_.steps(), rows_.magnitude(),
                          positions, layout_);
  }

  /// The rotated tensor, of the type of `x` (maps and expressions become tensors).
  template <class X, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const RotateOptions& options = {},
                                                        const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      auto result = detail::make_like(source);
      rotate_into(source, result, options, device);
      return result;
    }
  }
  /// The rotated tensor, its tokens at `at`: a number, ids, or `Positions`.
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const At& at,
                                                        const RotateOptions& options = {},
                                                        const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      auto result = detail::make_like(source);
      rotate_into(source, result, at, options, device);
      return result;
    }
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
      HeadLayout layout = layout_;
      layout.seq_dim = axis_of(in, options);
      const Positions positions =
          Positions::consecutive(in.extent(static_cast<int>(layout.seq_dim)), options.offset);
      const double factor = detail::directed(rows_.magnitude() * options.scale, options.direction);
      if (options.direction == Direction::inverse)
        detail::fail("a rotation with a tensor of scales has no inverse here; use Direction::transpose");
      detail::apply_table(detail::scaled_table<T>(rows_.text_steps(), positions, factor, layout,
                                                  detail::const_view_of(scales), in),
                          in, detail::writable_view_of(result), options.direction);
      return result;
    }
  }

  /// Writes the rotated `x` to `out`, of the same shape and scalar; `out` may be `x` itself.
  template <class X, class Y, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(x);
      const auto in = detail::const_view_of(source);
      const auto to = detail::writable_view_of(out);
      rotate_from(options.offset, options, device, pair_of<X, Y>(in, to, options));
    }
  }
  /// Writes `x`, rotated with its tokens at `at`, to `out`.
  template <class X, class Y, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const At& at, const RotateOptions& options = {},
                   const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(x);
      const auto in = detail::const_view_of(source);
      const auto to = detail::writable_view_of(out);
      rotate_at(at, options, device, pair_of<X, Y>(in, to, options));
    }
  }

  /// Rotates `x` in place. Allocates nothing once the rows it needs are cached.
  template <class X, ParallelDevice Device = CallingThread>
  void rotate_in_place(X&& x, const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      if constexpr (detail::is_row_major_tensor<std::remove_reference_t<X>> &&
                    std::is_same_v<Device, CallingThread>)
        if (rotate_contiguous(x, options.offset, options)) return;
      const auto view = detail::writable_view_of(x);
      rotate_from(options.offset, options, device, pair_of<X>(view, view, options));
    }
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
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      const auto view = detail::writable_view_of(x);
      rotate_at(at, options, device, pair_of<X>(view, view, options));
    }
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
    return rotated_both(q, k, options, [&](const auto& queries, const auto& keys) {
      rotate_from(options.offset, options, device, queries, keys);
    });
  }
  /// {rotated q, rotated k}, their tokens at `at`: a number, ids, or `Positions`.
  template <class Q, class K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const At& at, const RotateOptions& options = {},
      const Device& device = {}) const {
    return rotated_both(q, k, options, [&](const auto& queries, const auto& keys) {
      rotate_at(at, options, device, queries, keys);
    });
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
    if constexpr (can_rotate_in_place<Q, K>()) {
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      rotate_from(options.offset, options, device, pair_of<Q>(queries, queries, options),
                  pair_of<K>(keys, keys, options));
    }
  }
  /// Rotates queries and keys in place, their tokens at `at`: a number, ids, or `Positions`.
  template <class Q, class K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options = {},
                                        const Device& device = {}) const {
    if constexpr (can_rotate_in_place<Q, K>()) {
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      rotate_at(at, options, device, pair_of<Q>(queries, queries, options), pair_of<K>(keys, keys, options));
    }
  }

  /// Writes rotated queries and keys of the same positions to `q_out` and `k_out`, of the same shapes and scalars.
  template <class Q, class K, class QOut, class KOut, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_into(const Q& q, const K& k, QOut&& q_out, KOut&& k_out,
                                    const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (can_rotate_into<Q, QOut, K, KOut>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const auto q_in = detail::const_view_of(queries);
      const auto k_in = detail::const_view_of(keys);
      const auto q_to = detail::writable_view_of(q_out);
      const auto k_to = detail::writable_view_of(k_out);
      rotate_from(options.offset, options, device, pair_of<Q, QOut>(q_in, q_to, options),
                  pair_of<K, KOut>(k_in, k_to, options));
    }
  }
  /// Writes rotated queries and keys, their tokens at `at`, to `q_out` and `k_out`.
  template <class Q, class K, class QOut, class KOut, detail::NamesPositions At,
            ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_into(const Q& q, const K& k, QOut&& q_out, KOut&& k_out, const At& at,
                                    const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (can_rotate_into<Q, QOut, K, KOut>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const auto q_in = detail::const_view_of(queries);
      const auto k_in = detail::const_view_of(keys);
      const auto q_to = detail::writable_view_of(q_out);
      const auto k_to = detail::writable_view_of(k_out);
      rotate_at(at, options, device, pair_of<Q, QOut>(q_in, q_to, options),
                pair_of<K, KOut>(k_in, k_to, options));
    }
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
      const auto view = detail::writable_heads_of(heads);
      rotate_token_at(at, options, device, token_pair<X>(view, view));
    }
  }
  /// Rotates the queries and keys of one token of every sequence in place.
  template <class Q, detail::Keys K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_token_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options = {},
                             const Device& device = {}) const {
    if constexpr (detail::check_rotatable<Q, true>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K, true>() && detail::check_writable<K>()) {
      const auto queries = detail::writable_heads_of(q);
      const auto keys = detail::writable_heads_of(k);
      rotate_token_at(at, options, device, token_pair<Q>(queries, queries), token_pair<K>(keys, keys));
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
      rotate_token_at(at, options, device, token_pair<X, Y>(in, to));
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
      rotate_from(options.offset + FixedPosition(k_len - q_len), options, device, queries);
      rotate_from(FixedPosition(0), options, device, keys);
    });
  }

  /// ∂L/∂f_i = Σ p ∂L/∂φ, for every frequency: from `x` as it was before the forward rotation with these
  /// options, and the gradient with respect to the result. (With respect to x itself: rotate the gradient,
  /// `Direction::transpose`.)
  template <class X, class G>
  [[nodiscard]] std::vector<double> frequency_gradient(const X& x, const G& grad,
                                                       const RotateOptions& options = {}) const {
    const auto [gradients, positions] = gradients_of(x, grad, options, magnitude(options));
    return detail::frequency_gradient(gradients, positions, interpolate_factor_);
  }

  /// ∂L/∂p_n = Σ f_i ∂L/∂φ, for every token of the sequence, before interpolation.
  template <class X, class G>
  [[nodiscard]] std::vector<double> position_gradient(const X& x, const G& grad,
                                                      const RotateOptions& options = {}) const {
    const auto [gradients, positions] = gradients_of(x, grad, options, magnitude(options));
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
    const int axis = axis_of(in, options);
    detail::check_forward(options.direction);
    detail::check_magnitude<double>(magnitude.factor);
    const Positions positions = Positions::consecutive(in.extent(axis), options.offset);
    return {detail::rotation_gradients(rows_.text_steps(), positions, magnitude, layout_, in,
                                       detail::const_view_of(stored_grad), axis),
            positions};
  }

  template <class M>
  static HeadLayout layout_of_model(const M& model, const ModelEmbeddingOptions& options) {
    HeadLayout layout = model.layout();
    if (options.seq_before_head_dim) layout.seq_dim = -3;
    return layout;
  }

  template <class In>
  int axis_of(const StridedView<In>& in, const RotateOptions& options) const {
    return detail::sequence_axis(options.seq_dim ? *options.seq_dim : layout_.seq_dim, in.rank);
  }

  AxialFrequencies<T> axial() const { return AxialFrequencies<T>(frequencies_, freqs_for_, layout_); }

  detail::RowCache<T> make_rows(const Frequencies& frequencies, Index cached_rows) const {
    detail::check(frequencies);
    detail::check_magnitude<T>(frequencies.magnitude);
    return detail::RowCache<T>(
        detail::is_equal(interpolate_factor_, 1.0) ? frequencies : scaled(frequencies, interpolate_factor_),
        layout_.pairing, cached_rows);
  }

  kernels::Magnitude magnitude(const RotateOptions& options) const {
    return {.factor = rows_.magnitude() * options.scale};
  }
  /// The magnitude of the rows of a call.
  double factor_of(const RotateOptions& options) const {
    return detail::directed(rows_.magnitude() * options.scale, options.direction);
  }

  template <class Q, class K>
  static constexpr bool can_rotate_in_place() {
    return detail::check_rotatable<Q>() && detail::check_writable<Q>() && detail::check_rotatable<K>() &&
           detail::check_writable<K>();
  }
  template <class Q, class QOut, class K, class KOut>
  static constexpr bool can_rotate_into() {
    return detail::check_rotatable<Q>() && detail::check_rotatable<QOut>() &&
           detail::check_writable<QOut>() && detail::check_same_scalar<Q, QOut>() &&
           detail::check_rotatable<K>() && detail::check_rotatable<KOut>() &&
           detail::check_writable<KOut>() && detail::check_same_scalar<K, KOut>();
  }

  /// Views of tensors of these types, and their sequence axis. `In` and `X` may differ in constness.
  template <class In, class X = In, class InScalar, class Scalar>
  auto pair_of(const StridedView<InScalar>& in, const StridedView<Scalar>& out,
               const RotateOptions& options) const {
    constexpr bool kContiguous = detail::is_contiguous_type<In> && detail::is_contiguous_type<X>;
    return detail::TensorPair<InScalar, Scalar, kContiguous>{in, out, axis_of(in, options)};
  }
  /// Views of one token, [..., heads, head_dim].
  template <class In, class X = In, class InScalar, class Scalar>
  static auto token_pair(const StridedView<InScalar>& in, const StridedView<Scalar>& out) {
    constexpr bool kContiguous = detail::is_contiguous_type<In> && detail::is_contiguous_type<X>;
    return detail::TensorPair<InScalar, Scalar, kContiguous>{in, out, -1};
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
      rotate(pair_of<Q, detail::Owned<Q>>(q_in, q_out, options),
             pair_of<K, detail::Owned<K>>(k_in, k_out, options));
      return result;
    }
  }

  /// The cached rows of tokens from `first` on if all `seq` of them are in one block, else null.
  ROTARY_ALWAYS_INLINE const T* cached_rows(const FixedPosition& first, Index seq, double factor) const {
    if (!first.is_whole() || !detail::is_equal(factor, rows_.magnitude())) return nullptr;
    const detail::RowRun<T> run = rows_.cached(first.whole);
    return run.count >= seq ? run.rows : nullptr;
  }

  /// Rotates a row-major tensor in place if its rows are cached: the common call, in as few instructions as possible
  /// (bench/instructions.sh counts them). False if it is another call; then nothing was done.
  template <class X>
  ROTARY_ALWAYS_INLINE bool rotate_contiguous(X& x, const FixedPosition& first,
                                              const RotateOptions& options) const {
    constexpr int kRank = static_cast<int>(Eigen::internal::traits<X>::NumDimensions);
    using S = detail::Scalar<X>;
    const Index seq_dim = options.seq_dim ? *options.seq_dim : layout_.seq_dim;
    const int seq_axis = static_cast<int>(seq_dim < 0 ? seq_dim + kRank : seq_dim);
    if (static_cast<unsigned>(seq_axis) >= static_cast<unsigned>(kRank - 1)) return false;
    const auto tokens = detail::ContiguousTokens::of<kRank>(x.dimensions(), seq_axis);
    if (!tokens.fits || tokens.features < layout_.start_index + layout_.rotary_dim) return false;
    if (options.direction == Direction::inverse || !detail::is_equal(options.scale, 1.0)) return false;
    const T* const rows = cached_rows(first, tokens.tokens, rows_.magnitude());
    if (rows == nullptr) return false;
    kernels::RotationJob<S, T> job;
    detail::set_contiguous_job(job, reinterpret_cast<S*>(x.data()), tokens, layout_, options.direction);
    job.rows = rows;
    kernels::rotate_contiguous(std::move(job));
    return true;
  }

  template <class Pair>
  void check(const Pair& pair) const {
    detail::check_window(pair.in, layout_.start_index, layout_.rotary_dim);
    detail::check_output(pair.in, pair.out);
  }

  /// Rotates by precomputed rows: one for each token of the sequence.
  template <class In, class X, bool kContiguous>
  void rotate_by(const T* rows, Direction direction,
                 const detail::TensorPair<In, X, kContiguous>& pair) const {
    if (pair.in.empty()) return;
    auto job = detail::window_job<T>(pair.in, pair.out, layout_, direction, [&](int axis) {
      return axis == pair.seq_axis ? layout_.rotary_dim : 0;
    });
    job.rows = rows;
    detail::run_job<kContiguous>(std::move(job));
  }

  /// Rotates one tensor, or queries and keys, whose first token is at `first`.
  template <class Device, class First, class... Others>
  void rotate_from(const FixedPosition& first, const RotateOptions& options, const Device& device,
                   const First& pair, const Others&... others) const {
    const Index seq = pair.seq_axis < 0 ? 1 : pair.in.extent(pair.seq_axis);
    if constexpr (std::is_same_v<Device, CallingThread>) {
      check(pair);
      (check(others), ...);
      detail::check_alike(pair, others...);
      if (!pair.in.empty()) {
        if (const T* const rows = cached_rows(first, seq, factor_of(options))) {
          detail::check_direction(options.direction);
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
    if (options.offset != FixedPosition(0)) fail_offset(options);
    if constexpr (std::is_arithmetic_v<At> || std::is_same_v<At, FixedPosition>) {
      rotate_from(FixedPosition(at), options, device, first, others...);
    } else {
      const Positions positions = detail::positions_of(at);
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
    detail::check_direction(options.direction);
    detail::rotate_all(detail::Rotation<T>{rows_, layout_, {.factor = factor_of(options)}, options.direction},
                       positions, device, pairs...);
  }

  /// Rotates tensors whose last axes before the features are a grid.
  template <class Device, class... Pairs>
  void rotate_grid(const Positions& positions, const RotateOptions& options, const Device& device,
                   const Pairs&... pairs) const {
    detail::check_direction(options.direction);
    const double factor = factor_of(options);
    detail::check_magnitude<T>(factor);
    const Direction direction =
        options.direction == Direction::forward ? Direction::forward : Direction::transpose;
    (check(pairs), ...);  // all before rows are computed, and before any tensor is written
    (detail::check_grid(positions, pairs.in, pairs.seq_axis), ...);
    detail::check_alike(pairs...);
    if ((pairs.in.empty() && ...)) return;
    const CosSinTable<T> rows(rows_.steps(), factor, positions, layout_);
    (detail::apply_table(rows, pairs.in, pairs.out, direction, device), ...);
  }

  /// Rotates one token of every sequence: pairs without a sequence axis.
  template <class At, class Device, class First, class... Others>
  void rotate_token_at(const At& at, const RotateOptions& options, const Device& device, const First& first,
                       const Others&... others) const {
    if (options.offset != FixedPosition(0)) fail_offset(options);
    if (options.seq_dim)
      detail::fail("seq_dim is ", *options.seq_dim, ", but one token has no sequence axis");
    if constexpr (std::is_arithmetic_v<At> || std::is_same_v<At, FixedPosition>) {
      rotate_from(FixedPosition(at), options, device, first, others...);
    } else {
      Positions positions = detail::positions_of(at).for_length(1);
      if (positions.batch() == 0 && positions.count() == 1 && positions.axis_count() == 1)
        return rotate_from(positions.at(0), options, device, first, others...);
      if (positions.batch() == 0 && positions.count() > 1 && first.in.rank > 2 &&
          positions.count() == first.in.extent(0))
        positions = positions.as_list().in_batches(positions.count());
      rotate_rest(positions, options, device, first, others...);
    }
  }

  [[noreturn]] ROTARY_COLD static void fail_offset(const RotateOptions& options) {
    detail::fail("the offset is ", static_cast<double>(options.offset),
                 ", it must be 0 where positions are given");
  }

  FreqsFor freqs_for_ = FreqsFor::lang;
  bool learned_ = true;
  double interpolate_factor_ = 1;
  Frequencies frequencies_;
  HeadLayout layout_;
  detail::RowCache<T> rows_;
};

}  // namespace rotary::inline ROTARY_ABI
