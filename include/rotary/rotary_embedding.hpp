// RotaryEmbedding: rotary-embedding-torch's class of that name.
#pragma once

#include <utility>

#include "apply/embedding_gradients.hpp"
#include "apply/tensor_rotator.hpp"
#include "axial_frequencies.hpp"
#include "frequencies/embedding_options.hpp"

namespace rotary::inline ROTARY_ABI {

/// Rotates queries and keys by their positions, exactly at any position: rotary-embedding-torch's class.
///
///     a' = a cos φ − b sin φ       every pair (a, b) of a token at position p, φ = p · f_i,
///     b' = b cos φ + a sin φ       so that ⟨q', k'⟩ depends on the difference of their positions alone
///
/// **Types.** `T`, float or double, is what cosines and sines are held in. Tensors are float, double,
/// Eigen::half or Eigen::bfloat16 (others of 16 bits: `SameBitsAs`), of any rank from 2 up, in any storage
/// order: [..., seq, head_dim], or with the sequence on another axis. They are rotated in the wider of the
/// two types, and a result is rounded once.
///
/// **Layout.** `HeadLayout`, fixed at construction: which features rotate, their pairing, the sequence axis.
/// **Positions** are the second argument of every call that rotates: nothing (the first token is at 0), a
/// number (of the first token), a list or Eigen tensor of ids (one for each token), or `Positions`.
///
/// **Threads.** A `const` object may be used from any number of threads; no result depends on earlier calls.
/// The threads of a `device`, such as Eigen::ThreadPoolDevice, share the work; the result has the same bits.
///
/// Throws std::invalid_argument on wrong shapes and values, before anything is written.
///
/// Cost: one pass over the tensor. Rows of whole positions below a limit are computed once and cached, rotary_dim
/// scalars each; others are recomputed. Calls in place do not allocate once their rows are cached.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 32});
///   rotary::Tensor<float, 4> q(1, 8, 1024, 64), k(1, 8, 1024, 64);   // [batch, heads, seq, head_dim]
///   q.setRandom(), k.setRandom();
///   q = rotary_emb.rotate_queries_or_keys(q);              // a new tensor
///   rotary_emb.rotate_in_place(k, 128);                    // the first token is at position 128
/// @endcode
///
/// Source: Su et al. 2021 (RoFormer); rotary-embedding-torch 0.8.9.
template <class T>
class RotaryEmbedding : public detail::EmbeddingGradients<RotaryEmbedding<T>> {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// From the arguments of rotary-embedding-torch: `RotaryEmbedding<float>({.dim = 64})`.
  explicit RotaryEmbedding(const RotaryEmbeddingOptions& options)
      : freqs_for_(options.freqs_for),
        learned_(options.learned_freq),
        interpolate_factor_(detail::checked_interpolate_factor(options.interpolate_factor)),
        frequencies_(detail::frequencies_of(options)),
        rotator_(detail::make_rotator<T>(frequencies_, interpolate_factor_,
                                         detail::layout_of(options, frequencies_.pairs()),
                                         options.cache_if_possible ? options.cache_max_seq_len : 0)) {}

  /// From any frequencies and a layout. With frequencies for several coordinates, positions of one stand for
  /// tokens whose coordinates are equal, as text in M-RoPE. Rows of positions below `cached_rows` are cached.
  explicit RotaryEmbedding(Frequencies frequencies, const HeadLayout& layout = {}, Index cached_rows = 8192)
      : frequencies_(std::move(frequencies)),
        rotator_(detail::make_rotator<T>(frequencies_, 1, detail::completed(layout, frequencies_.pairs()),
                                         cached_rows)) {}

  /// From a model's parameters, layout included: `RopeParameters`, or a `ModelConfiguration` whose layers are alike.
  template <detail::DescribesRope M>
  explicit RotaryEmbedding(const M& model, const ModelEmbeddingOptions& options = {})
      : RotaryEmbedding(model.rope_frequencies(options.length), detail::layout_of_model(model, options)) {}

  /// Does not compile: the arguments have names, `RotaryEmbedding<float>({.dim = 64})`.
  template <std::integral I>
  explicit RotaryEmbedding(I) : RotaryEmbedding(Frequencies()) {
    static_assert(!std::is_integral_v<I>, "rotary: name the arguments: RotaryEmbedding<float>({.dim = 64})");
  }
  /// Does not compile: an embedding needs its dim, `RotaryEmbedding<float>({.dim = 64})`.
  template <class U = T>
  RotaryEmbedding() : RotaryEmbedding(Frequencies()) {
    static_assert(!std::is_same_v<U, T>,
                  "rotary: an embedding needs its dim: RotaryEmbedding<float>({.dim = 64})");
  }

  /// Which features of a head rotate, how they are paired, and which axis is the sequence.
  [[nodiscard]] const HeadLayout& layout() const& { return rotator_.layout(); }
  /// A copy of the layout, for a temporary.
  [[nodiscard]] HeadLayout layout() && { return rotator_.layout(); }
  /// The frequencies as they were given, in radians per position: interpolation is not included.
  [[nodiscard]] const Frequencies& frequencies() const& { return frequencies_; }
  /// The frequencies as they were given, moved out of a temporary.
  [[nodiscard]] Frequencies frequencies() && { return std::move(frequencies_); }
  /// The divisor of positions; 1 unless the options gave another.
  [[nodiscard]] double interpolate_factor() const { return interpolate_factor_; }
  /// The kind of frequencies in the options; `FreqsFor::lang` if the constructor was given frequencies.
  [[nodiscard]] FreqsFor freqs_for() const { return freqs_for_; }
  /// The number of features of a head that rotate: twice the number of pairs.
  [[nodiscard]] Index rotary_dim() const { return layout().rotary_dim; }
  /// Which two of the features that rotate form a pair.
  [[nodiscard]] Pairing pairing() const { return layout().pairing; }

  /// The frequencies, in radians per position, rounded to double.
  [[nodiscard]] std::vector<double> freqs() const {
    std::vector<double> values;
    for (const DoubleDouble& f : frequencies_.values) values.push_back(static_cast<double>(f));
    return values;
  }
  /// Replaces all frequencies, as training does. Throws without `learned_freq`, and unless there are as many.
  void set_freqs(std::span<const double> freqs) {
    if (!learned_) detail::fail("the frequencies are fixed; construct with learned_freq = true");
    if (freqs.size() != frequencies_.values.size())
      detail::fail("found ", freqs.size(), " frequencies, there must be ", frequencies_.values.size());
    Frequencies changed = custom_frequencies(freqs);
    changed.axes = frequencies_.axes;
    changed.magnitude = frequencies_.magnitude;
    // May throw, and then nothing has changed.
    rotator_ = detail::make_rotator<T>(changed, interpolate_factor_, layout(), rotator_.rows().limit());
    frequencies_ = std::move(changed);
  }

  /// (0, 1, ..., seq_len − 1) + offset, divided by interpolate_factor.
  [[nodiscard]] Tensor<double, 1> get_seq_pos(Index seq_len, FixedPosition offset = 0) const {
    return detail::sequence_positions(seq_len, offset, interpolate_factor_);
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
    return AxialFrequencies<T>(frequencies_, freqs_for_, layout()).get_axial_freqs(sizes...);
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
  ///   q.setRandom(), k.setRandom();
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

  /// The rotated tensor, of the type of `x` (maps and expressions become tensors); token n is at offset + n.
  template <class X, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const RotateOptions& options = {},
                                                        const Device& device = {}) const {
    return rotator_.rotated(x, detail::ByOffset(), options, device);
  }
  /// The rotated tensor, its tokens at `at`: a number, ids, or `Positions`.
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const At& at,
                                                        const RotateOptions& options = {},
                                                        const Device& device = {}) const {
    return rotator_.rotated(x, at, options, device);
  }
  /// The rotated tensor, every rotated feature multiplied by an entry of the tensor `scale` and by `options.scale`.
  /// `scale` is [seq, rotary_dim], or [..., rotary_dim or 1] and broadcast against `x` from the last axis, as in
  /// rotary-embedding-torch.
  template <class X, class S>
  requires(detail::is_rotatable_container<S>())
      [[nodiscard]] detail::Owned<X> rotate_queries_or_keys(const X& x, const RotateOptions& options,
                                                            const S& scale) const {
    return rotator_.rotated_and_scaled(x, options, scale);
  }

  /// Writes the rotated `x` to `out`, of the same shape and scalar; `out` may be `x` itself.
  template <class X, class Y, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const RotateOptions& options = {}, const Device& device = {}) const {
    rotator_.template into<X, Y>(x, out, detail::ByOffset(), options, device);
  }
  /// Writes `x`, rotated with its tokens at `at` (a number, ids, or `Positions`), to `out`, which may be `x`.
  template <class X, class Y, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_into(const X& x, Y&& out, const At& at, const RotateOptions& options = {},
                   const Device& device = {}) const {
    rotator_.template into<X, Y>(x, out, at, options, device);
  }

  /// Rotates `x` in place. Allocates nothing once the rows it needs are cached.
  template <class X, ParallelDevice Device = CallingThread>
  void rotate_in_place(X&& x, const RotateOptions& options = {}, const Device& device = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>())
      if (!rotator_.rotate_cached_sequence(detail::ByOffset(), options, device, x))
        rotator_.template any_in_place<X>(x, detail::ByOffset(), options, device);
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
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>())
      if (!rotator_.rotate_cached_sequence(at, options, device, x))
        rotator_.template any_in_place<X>(x, at, options, device);
  }
  /// Rotates queries and keys in place, as `rotate_queries_and_keys_in_place` with these arguments.
  template <class Q, detail::Keys K, class... Arguments>
  void rotate_in_place(Q&& q, K&& k, const Arguments&... arguments) const {
    rotate_queries_and_keys_in_place(q, k, arguments...);
  }
  /// Rotates queries and keys in place, at positions from `options.offset` on. The options may be in braces.
  template <class Q, detail::Keys K>
  void rotate_in_place(Q&& q, K&& k, const RotateOptions& options) const {
    rotate_queries_and_keys_in_place(q, k, options);
  }
  /// Rotates queries and keys in place, their tokens at `at`. The options may be in braces.
  template <class Q, detail::Keys K, detail::NamesPositions At>
  void rotate_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options) const {
    rotate_queries_and_keys_in_place(q, k, at, options);
  }

  /// {rotated q, rotated k}, of the same positions: rows are computed once. Throws if their lengths differ.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const RotateOptions& options = {}, const Device& device = {}) const {
    return rotator_.rotated_both(q, k, detail::ByOffset(), options, device);
  }
  /// {rotated q, rotated k}, their tokens at `at`: a number, ids, or `Positions`.
  template <class Q, class K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const At& at, const RotateOptions& options = {},
      const Device& device = {}) const {
    return rotator_.rotated_both(q, k, at, options, device);
  }

  /// Rotates queries and keys of the same positions in place. They must not share memory, but may lie in one buffer.
  ///
  /// @code
  ///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64});
  ///   rotary::Tensor<float, 4> q(1, 32, 1, 64), k(1, 8, 1, 64);             // [batch, heads, seq, head_dim]
  ///   q.setRandom(), k.setRandom();
  ///   rotary_emb.rotate_queries_and_keys_in_place(q, k, 100'000);
  /// @endcode
  template <class Q, class K, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const RotateOptions& options = {},
                                        const Device& device = {}) const {
    rotator_.template both_in_place<Q, K>(q, k, detail::ByOffset(), options, device);
  }
  /// Rotates queries and keys in place, their tokens at `at`: a number, ids, or `Positions`.
  template <class Q, class K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options = {},
                                        const Device& device = {}) const {
    rotator_.template both_in_place<Q, K>(q, k, at, options, device);
  }

  /// Writes rotated queries and keys of the same positions to `q_out` and `k_out`, of the same shapes and scalars.
  template <class Q, class K, class QOut, class KOut, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_into(const Q& q, const K& k, QOut&& q_out, KOut&& k_out,
                                    const RotateOptions& options = {}, const Device& device = {}) const {
    rotator_.template both_into<Q, K, QOut, KOut>(q, k, q_out, k_out, detail::ByOffset(), options, device);
  }
  /// Writes rotated queries and keys, their tokens at `at` (a number, ids, `Positions`), to q_out and k_out.
  template <class Q, class K, class QOut, class KOut, detail::NamesPositions At,
            ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_into(const Q& q, const K& k, QOut&& q_out, KOut&& k_out, const At& at,
                                    const RotateOptions& options = {}, const Device& device = {}) const {
    rotator_.template both_into<Q, K, QOut, KOut>(q, k, q_out, k_out, at, options, device);
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
    rotator_.template token_in_place<X>(heads, at, options, device);
  }
  /// Rotates the queries and keys of one token of every sequence, at position `at`, in place.
  template <class Q, detail::Keys K, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_token_in_place(Q&& q, K&& k, const At& at, const RotateOptions& options = {},
                             const Device& device = {}) const {
    rotator_.template token_in_place<Q, K>(q, k, at, options, device);
  }
  /// Writes the rotated heads of one token of every sequence, at position `at`, to `out`.
  template <class X, class Y, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  void rotate_token_into(const X& heads, Y&& out, const At& at, const RotateOptions& options = {},
                         const Device& device = {}) const {
    rotator_.template token_into<X, Y>(heads, out, at, options, device);
  }
  /// The rotated heads of one token of every sequence, at position `at`.
  template <class X, detail::NamesPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] detail::Owned<X> rotate_token(const X& heads, const At& at, const RotateOptions& options = {},
                                              const Device& device = {}) const {
    return rotator_.rotated_token(heads, at, options, device);
  }

  /// {rotated q, rotated k}: the last q_len tokens as queries against all k_len cached keys, not yet rotated.
  ///
  /// Keys are at positions 0 ... k_len − 1 and queries at k_len − q_len ... k_len − 1; `offset` moves the queries
  /// only, as in the reference. Throws if there are more queries than keys.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_with_cached_keys(
      const Q& q, const K& k, const RotateOptions& options = {}, const Device& device = {}) const {
    return rotator_.rotated_with_cached_keys(q, k, options, device);
  }

 private:
  template <class>
  friend class XPos;
  friend class detail::EmbeddingGradients<RotaryEmbedding<T>>;

  FreqsFor freqs_for_ = FreqsFor::lang;
  bool learned_ = true;
  double interpolate_factor_ = 1;
  Frequencies frequencies_;
  detail::TensorRotator<T> rotator_;
};

}  // namespace rotary::inline ROTARY_ABI
