// attend, and multi-head attention with rotary positions: labml's RotaryPEMultiHeadAttention, and RoPER.
#pragma once

#include "attention/attend.hpp"
#include "attention/attend_cached.hpp"
#include "attention/attention_core.hpp"
#include "attention/compiled.hpp"
#include "attention/forward_cached.hpp"
#include "attention/multi_head_options.hpp"

namespace rotary::inline ROTARY_ABI {

/// What `RotaryMultiHeadAttention::backward` returns: the gradients of a loss with respect to the inputs of attention,
/// [seq, batch, d_model] each.
template <RowScalar T>
struct AttentionInputGradients {
  /// ∂L/∂query, [seq_q, batch, d_model], and ∂L/∂key and ∂L/∂value, [seq_k, batch, d_model].
  Tensor<T, 3> query, key, value;
};

/// What get_scores_backward of `RotaryMultiHeadAttention` returns: the gradients of a loss with respect to the queries and keys
/// of scores, [seq, batch, heads, d_k] and [seq, batch, kv_heads, d_k].
template <RowScalar T>
struct ScoreGradients {
  /// ∂L/∂query, [seq_q, batch, heads, d_k], and ∂L/∂key, [seq_k, batch, kv_heads, d_k].
  Tensor<T, 4> query, key;
};

/// Multi-head attention whose queries and keys are rotated: labml's RotaryPEMultiHeadAttention.
///
/// With q = x_q W_qᵀ + b_q, k and v likewise, split into heads of d_k features, and R(m) the rotation of
/// position m:
///
///     s_ij = ⟨R(i) q_i, R(j) k_j⟩ / √d_k        a_i = dropout(softmax_j s_ij)
///     out_i = (Σ_j a_ij v_j, heads concatenated) W_oᵀ + b_o
///
/// Tensors are [seq, batch, d_model], of any storage order and strides; queries and keys both count positions
/// from 0. The output of a query that sees no key is b_o, and its gradients are 0 (labml returns NaN). With
/// XPos there must be as many queries as keys. Throws std::invalid_argument on wrong shapes and values,
/// before anything is written.
///
/// All members but the non-const `weights` are const: threads may share the object, each with some sequences
/// of a batch and with its own activations and gradients. Backward recomputes the probabilities, so memory
/// grows with seq and not with its square. Which probabilities are dropped depends on the seed and their
/// indices alone.
///
/// @code
///   const rotary::RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = 16}, /*seed=*/1);
///   rotary::Tensor<float, 3> x(5, 3, 16);   // [seq, batch, d_model]
///   x.setRandom();
///   rotary::AttentionActivations<float> activations;
///   const auto y = attention.forward(x, x, x, {.causal = true}, activations);
///   auto gradients = attention.make_gradients();
///   const auto grad = attention.backward(y, activations, gradients);   // y itself is the gradient of |y|²/2
///   const rotary::Tensor<float, 3> grad_x = grad.query + grad.key + grad.value;
/// @endcode
template <RowScalar T>
class RotaryMultiHeadAttention {
 public:
  /// The weights of the four projections, and their gradients.
  using Weights = AttentionWeights<T>;
  /// What `backward` needs of a forward pass.
  using Activations = AttentionActivations<T>;

  /// Attention whose weights are drawn from `seed`: see AttentionWeights::initialize.
  /// Throws std::invalid_argument on invalid options.
  explicit RotaryMultiHeadAttention(const RotaryMultiHeadAttentionOptions& options, std::uint64_t seed = 0)
      : core_(detail::checked<T>(options)) {
    core_.weights.initialize(seed);
  }

  /// The options that the constructor was given.
  [[nodiscard]] const RotaryMultiHeadAttentionOptions& options() const& { return core_.options(); }
  /// A copy of the options, for a temporary.
  [[nodiscard]] RotaryMultiHeadAttentionOptions options() && { return core_.options(); }
  /// The number of heads of queries.
  Index heads() const { return core_.sizes().heads; }
  /// The number of heads of keys and values, a divisor of heads().
  Index kv_heads() const { return core_.sizes().kv_heads; }
  /// The number of features of a token.
  Index d_model() const { return core_.sizes().d_model; }
  /// The number of features of a head.
  Index d_k() const { return core_.sizes().d_k; }

  /// The weights, for an optimiser to change while no other thread uses the object.
  [[nodiscard]] Weights& weights() & { return core_.weights; }
  /// The weights, to be read.
  [[nodiscard]] const Weights& weights() const& { return core_.weights; }
  const Weights& weights() const&& = delete;  ///< of a temporary: the reference would dangle
  /// Zeros of the shape of the weights, for `backward` to add to.
  Weights make_gradients() const { return Weights(core_.options()); }

  /// Attention of query [seq_q, batch, d_model] to key and value [seq_k, batch, d_model]; the result has the
  /// shape of query. `activations` receives what `backward` needs.
  template <class Q, class K, class V>
  Tensor<T, 3> forward(const Q& query, const K& key, const V& value, const AttendOptions& options,
                       Activations& activations) const {
    const auto q = checked<3>(query, {kAny, kAny, d_model()}, "query");
    Tensor<T, 3> out(q.extent(0), q.extent(1), d_model());
    forward_into(query, key, value, out, options, activations);
    return out;
  }
  /// Attention of query [seq_q, batch, d_model] to key and value [seq_k, batch, d_model], without activations
  /// for `backward`.
  template <class Q, class K, class V>
  Tensor<T, 3> forward(const Q& query, const K& key, const V& value,
                       const AttendOptions& options = {}) const {
    Activations activations;
    return forward(query, key, value, options, activations);
  }
  /// Writes the result of `forward` to `out`, which may be one of the inputs. With the activations of an
  /// earlier call of these shapes it does not allocate.
  template <class Q, class K, class V, class Y>
  void forward_into(const Q& query, const K& key, const V& value, Y&& out, const AttendOptions& options,
                    Activations& activations) const {
    const auto q = checked<3>(query, {kAny, kAny, d_model()}, "query");
    const auto k = checked<3>(key, {kAny, q.extent(1), d_model()}, "key");
    const auto v = checked<3>(value, {k.extent(0), q.extent(1), d_model()}, "value");
    core_.forward(q, k, v, output<3>(out, {q.extent(0), q.extent(1), d_model()}, "the result"), options,
                  activations);
  }

  /// The gradients with respect to query, key and value, given that with respect to the result of the last
  /// forward with these activations. Adds the gradients with respect to the weights to `gradients`.
  template <class G>
  AttentionInputGradients<T> backward(const G& grad_out, Activations& activations, Weights& gradients) const {
    const Index seq_q = activations.seq_q(), seq_k = activations.seq_k(), batch = activations.batch(),
                d = d_model();
    AttentionInputGradients<T> result{Tensor<T, 3>(seq_q, batch, d), Tensor<T, 3>(seq_k, batch, d),
                                      Tensor<T, 3>(seq_k, batch, d)};
    backward_into(grad_out, activations, gradients, result.query, result.key, result.value);
    return result;
  }
  /// Writes the gradients of `backward` to three tensors. A tensor that is passed more than once receives the
  /// sum, which self-attention needs: `backward_into(grad_out, activations, gradients, grad_x, grad_x,
  /// grad_x)`.
  template <class G, class Q, class K, class V>
  void backward_into(const G& grad_out, Activations& activations, Weights& gradients, Q&& grad_query,
                     K&& grad_key, V&& grad_value) const {
    const std::array<Index, 3> of_query{activations.seq_q(), activations.batch(), d_model()};
    const std::array<Index, 3> of_key{activations.seq_k(), activations.batch(), d_model()};
    core_.backward(checked<3>(grad_out, of_query, "the gradient"), activations, gradients,
                   {output<3>(grad_query, of_query, "the gradient of query"),
                    output<3>(grad_key, of_key, "the gradient of key"),
                    output<3>(grad_value, of_key, "the gradient of value")});
  }

  /// A cache for `forward_cached`, of the heads, frequencies and layout of this attention; `options` have its pages. With XPos
  /// it needs `.raw_keys`. Throws if values rotate.
  template <class Stored = T>
  [[nodiscard]] KeyValueCache<T, Stored> make_cache(KeyValueCacheOptions options) const {
    const auto fill = [](const char* name, Index& size, Index unset, Index wanted) {
      if (size != unset && size != wanted)
        detail::fail(name, " is ", size, ", it must be that of this attention, ", wanted, ", or left out");
      size = wanted;
    };
    fill("heads", options.heads, 1, kv_heads());
    fill("head_dim", options.head_dim, 0, d_k());
    fill("value_dim", options.value_dim, 0, d_k());
    return core_.rotation().template make_cache<Stored>(options);
  }

  /// Causal self-attention of the next tokens of sequences in a cache, x [seq, batch, d_model], one of `ids` for each sequence:
  /// prefill for many tokens, decode for one. Appends their keys and values to the cache and returns [seq, batch, d_model],
  /// the numbers that one pass over all tokens of a sequence has for these. Sequences may differ in their sizes.
  ///
  /// Throws std::invalid_argument on wrong shapes, a cache of other heads, frequencies or layout, unknown ids, and an
  /// exhausted pool; the sequences of the cache are then as they were.
  ///
  /// @code
  ///   const rotary::RotaryMultiHeadAttention<float> attention({.heads = 4, .d_model = 16, .kv_heads = 2});
  ///   auto cache = attention.make_cache({.pages = 4, .page_tokens = 64});
  ///   const std::vector<rotary::SequenceId> ids = {cache.add_sequence(), cache.add_sequence()};
  ///   rotary::Tensor<float, 3> prompt(5, 2, 16), next(1, 2, 16);   // [seq, batch, d_model]
  ///   prompt.setRandom(), next.setRandom();
  ///   const auto y = attention.forward_cached(prompt, cache, ids);
  ///   const auto z = attention.forward_cached(next, cache, ids);   // at position 5
  /// @endcode
  template <class X, class Stored>
  Tensor<T, 3> forward_cached(const X& x, KeyValueCache<T, Stored>& cache,
                              std::span<const SequenceId> ids) const {
    const auto in = checked<3>(x, {kAny, kAny, d_model()}, "x");
    Tensor<T, 3> out(in.extent(0), in.extent(1), d_model());
    core_.forward_cached(in, cache, ids, view_of(out));
    return out;
  }
  /// `forward_cached` of one sequence: x is [seq, 1, d_model].
  template <class X, class Stored>
  Tensor<T, 3> forward_cached(const X& x, KeyValueCache<T, Stored>& cache, SequenceId id) const {
    return forward_cached(x, cache, std::span<const SequenceId>(&id, 1));
  }

  /// The probabilities of the last forward pass with these activations, [seq_q, seq_k, batch, heads], after dropout: labml's
  /// `attn`. They are recomputed, since forward does not store them; weights and score function must still be those of the
  /// pass. A query that sees no key has zeros. Throws if there was no such pass.
  ///
  /// @code
  ///   const rotary::RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = 16});
  ///   rotary::Tensor<float, 3> x(5, 3, 16);
  ///   x.setRandom();
  ///   rotary::AttentionActivations<float> activations;
  ///   const auto y = attention.forward(x, x, x, {.causal = true}, activations);
  ///   const auto a = attention.probabilities(activations);   // a(i, j, b, h), which sums to 1 over j
  /// @endcode
  [[nodiscard]] Tensor<T, 4> probabilities(const Activations& activations) const {
    return core_.probabilities(activations);
  }

  /// A function that is applied to scores before they become probabilities, in place of overriding labml's get_scores: see
  /// ScoreFunction. Null removes it.
  void set_score_function(std::shared_ptr<const ScoreFunction<T>> function) {
    core_.score_function = std::move(function);
  }

  /// labml's get_scores: ⟨R(i) q_i, R(j) k_j⟩, [seq_q, seq_k, batch, heads], not divided by √d_k. Queries and keys are
  /// projected already, [seq, batch, heads, d_k] and [seq, batch, kv_heads, d_k]; QK-norm and a score function are not applied.
  template <class Q, class K>
  Tensor<T, 4> get_scores(const Q& query, const K& key) const {
    const Index seq_q = checked<4>(query, {kAny, kAny, heads(), d_k()}, "query").extent(0);
    const auto in = checked<4>(key, {kAny, kAny, kv_heads(), d_k()}, "key");
    for (Index size = sizeof(T); const Index extent : {seq_q, in.extent(0), in.extent(1), heads()})
      size = detail::checked_product(size, extent);
    const auto [q, k] = rotated(query, key);
    Tensor<T, 4> scores(q.dimension(0), k.dimension(0), q.dimension(1), heads());
    detail::dot_products(detail::const_view_of(q), detail::const_view_of(k), scores);
    return scores;
  }
  /// The gradients of `get_scores` with respect to queries and keys, given the one with respect to the
  /// scores.
  template <class Q, class K, class G>
  ScoreGradients<T> get_scores_backward(const Q& query, const K& key, const G& grad_scores) const {
    const auto [q, k] = rotated(query, key);
    const auto grad =
        checked<4>(grad_scores, {q.dimension(0), k.dimension(0), q.dimension(1), heads()}, "the gradient");
    ScoreGradients<T> result{Tensor<T, 4>(q.dimensions()), Tensor<T, 4>(k.dimensions())};
    detail::dot_products_backward(detail::const_view_of(q), detail::const_view_of(k), grad,
                                  view_of(result.query), view_of(result.key));
    core_.rotation().rotate_queries_and_keys(view_of(result.query), view_of(result.key),
                                             Direction::transpose);
    return result;
  }

 private:
  static constexpr Index kAny = detail::kAnyExtent;

  /// The view of a tensor. Throws unless it has the wanted shape, in which kAny matches any extent.
  template <int kRank, class X>
  static StridedView<const T> checked(const X& x,
                                      const std::array<Index, static_cast<std::size_t>(kRank)>& shape,
                                      const char* name) {
    static_assert(detail::is_stored<X>() && (detail::is_tensor<X> || detail::is_view<X>),
                  "rotary: attention takes tensors, maps and views, [seq, batch, d_model]");
    static_assert(std::is_same_v<detail::Scalar<X>, T>, "rotary: attention takes tensors of its own scalar");
    const StridedView<const T> view = detail::const_view_of(x);
    detail::check_shape(view, std::span<const Index>(shape), name);
    return view;
  }
  template <int kRank, class X>
  static StridedView<T> output(X&& x, const std::array<Index, static_cast<std::size_t>(kRank)>& shape,
                               const char* name) {
    detail::check_writable<X>();
    const StridedView<T> view = view_of(x);
    checked<kRank>(view, shape, name);
    if (!detail::elements_are_distinct(view)) detail::fail(name, " has elements that share memory");
    return view;
  }

  template <class Q, class K>
  std::pair<Tensor<T, 4>, Tensor<T, 4>> rotated(const Q& query, const K& key) const {
    const auto q = checked<4>(query, {kAny, kAny, heads(), d_k()}, "query");
    const auto k = checked<4>(key, {kAny, q.extent(1), kv_heads(), d_k()}, "key");
    core_.rotation().check(q.extent(0), k.extent(0));
    std::pair result{Tensor<T, 4>(q.extent(0), q.extent(1), heads(), d_k()),
                     Tensor<T, 4>(k.extent(0), k.extent(1), kv_heads(), d_k())};
    detail::copy_elements(q, view_of(result.first));
    detail::copy_elements(k, view_of(result.second));
    core_.rotation().rotate_queries_and_keys(view_of(result.first), view_of(result.second),
                                             Direction::forward);
    return result;
  }

  detail::AttentionCore<T> core_;
};

/// RoPER (labml's RotaryValuePEMultiHeadAttention): RotaryMultiHeadAttention with rotated values, whose
/// weighted sum is rotated back.
///
///     out_i = R(−i) Σ_j a_ij R(j) v_j = Σ_j a_ij R(j − i) v_j
///
/// Half of the features of values rotate, unless the options say otherwise.
///
/// @code
///   const rotary::RotaryValueMultiHeadAttention<float> roper({.heads = 2, .d_model = 16, .rope_value_percentage = 1});
/// @endcode
template <RowScalar T>
class RotaryValueMultiHeadAttention : public RotaryMultiHeadAttention<T> {
 public:
  /// Attention with rotated values, whose weights are drawn from `seed`. Without a `rope_value_percentage`
  /// half of the features of values rotate.
  /// Throws std::invalid_argument on invalid options.
  explicit RotaryValueMultiHeadAttention(RotaryMultiHeadAttentionOptions options, std::uint64_t seed = 0)
      : RotaryMultiHeadAttention<T>(with_rotated_values(options), seed) {}

 private:
  static const RotaryMultiHeadAttentionOptions& with_rotated_values(
      RotaryMultiHeadAttentionOptions& options) {
    if (!options.rope_value_percentage) options.rope_value_percentage = 0.5;
    return options;
  }
};

}  // namespace rotary::inline ROTARY_ABI
