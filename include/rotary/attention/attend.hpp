// attend: scaled dot-product attention of any heads, forward and backward.
#pragma once

#include "../tensor/parallel.hpp"
#include "attend_backward.hpp"
#include "attend_forward.hpp"
#include "attention_checks.hpp"

namespace rotary::inline ROTARY_ABI {

namespace detail {

/// The type in which attention of tensors like `X` is computed.
template <class X>
using AttentionScalar = std::conditional_t<std::is_same_v<Scalar<X>, double>, double, float>;

template <class T, class... Tensors>
constexpr bool check_attention_types() {  // not covered: runs while compiling
  constexpr bool kStored = ((is_stored<Tensors>() && (is_tensor<Tensors> || is_view<Tensors>)) && ...);
  static_assert(kStored, "rotary: attention takes tensors, maps and views, [.., seq, heads, d]");
  if constexpr (kStored && (check_rotatable_scalar<Tensors>() && ...)) {
    constexpr bool kSame = (std::is_same_v<AttentionScalar<Tensors>, T> && ...);
    static_assert(kSame, "rotary: the tensors of attention are all of double, or none of them");
    return kSame;
  }
  return false;
}

/// Runs the tasks of a pass on the threads of a device, and then its merges.
template <class Pass, class Device>
void run_pass(Pass& pass, const Device& device) {
  device.parallelFor(pass.tasks(), pass.cost(), [&](Index first, Index last) {
    if (first < last) pass.run(first, last);  // a device may make empty parts
  });
  if (pass.merges() == 0) return;
  device.parallelFor(pass.merges(), pass.cost(), [&](Index first, Index last) {
    if (first < last) pass.merge(first, last);
  });
}

/// Runs a checked call on queries `q`; `inputs` are the tensors that the results must not share memory with.
template <class T, class Q, class Y, class Device, class... Inputs>
void run_attention_call(const AttentionCall<T>& call, const StridedView<const Q>& q,
                        const StridedView<Y>& out, const StridedView<T>* log_sum, const Device& device,
                        const StridedView<Inputs>&... inputs) {
  check_results(call.sizes, q, out, log_sum, inputs...);
  std::optional<TokenOutput<T>> sums;
  if (log_sum) sums = TokenOutput<T>::of(with_one_feature(*log_sum, q));
  if (call.sizes.batch == 0 || call.sizes.seq_q == 0) return;
  const TokenOutput<T> output = TokenOutput<T>::of(out);
  AttendForward<T> pass(call, output, sums ? &*sums : nullptr);
  run_pass(pass, device);
}

template <class T, class Q, class K, class V, class Y, class Device>
void run_attention(const StridedView<const Q>& q, const StridedView<const K>& k,
                   const StridedView<const V>& v, const StridedView<Y>& out, const StridedView<T>* log_sum,
                   const AttentionOptions<T>& options, const Device& device) {
  run_attention_call(attention_call<T>(q, k, v, options), q, out, log_sum, device, k, v);
}

/// `delta` is null, unless the keys are a part of those that `log_sum` is of: see AttendBackward.
template <class T, class Q, class K, class V, class G, class GQ, class GK, class GV, class Device>
void run_attention_backward(const StridedView<const Q>& q, const StridedView<const K>& k,
                            const StridedView<const V>& v, const StridedView<const G>& grad_out,
                            const StridedView<const T>& log_sum, const StridedView<GQ>& grad_q,
                            const StridedView<GK>& grad_k, const StridedView<GV>& grad_v,
                            std::span<T> grad_sinks, const AttentionOptions<T>& options, const Device& device,
                            const StridedView<const T>* delta = nullptr) {
  const AttentionCall<T> call = attention_call<T>(q, k, v, options);
  check_gradients(call.sizes, q, k, v, grad_out, log_sum, grad_q, grad_k, grad_v);
  if (!grad_sinks.empty() && grad_sinks.size() != options.sink_logits.size())
    fail("there are ", grad_sinks.size(), " gradients of ", options.sink_logits.size(),
         " sink_logits, there must be as many, or none");
  const typename AttendBackward<T>::Tensors tensors{
      TokenInput<T>::of(grad_out, nullptr, ""),
      TokenInput<T>::of(with_one_feature(log_sum, q), nullptr, ""),
      TokenOutput<T>::of(grad_q),
      TokenOutput<T>::of(grad_k),
      TokenOutput<T>::of(grad_v),
      grad_sinks,
      delta ? std::optional(TokenInput<T>::of(with_one_feature(*delta, q), nullptr, "")) : std::nullopt};
  std::fill(grad_sinks.begin(), grad_sinks.end(), T(0));
  if (call.sizes.batch == 0) return;
  AttendBackward<T> pass(call, tensors);
  run_pass(pass, device);
  pass.write_sink_gradients();
}

}  // namespace detail

/// Attention of queries [.., seq_q, heads, d] to keys [.., seq_k, kv_heads, d] and values [.., seq_k, kv_heads, d_v].
///
/// Writes `out`, [.., seq_q, heads, d_v]. Head h reads head h / (heads / kv_heads) of keys and values. With R the rotations of
/// `query_rows` and `key_rows`, cap that of `soft_cap`, and z the head's sink logit:
///
///     s_ij = cap(scale · ⟨R_i q_i, R_j k_j⟩)        out_i = Σ_j exp(s_ij) v_j / (Σ_j exp(s_ij) + exp z)
///
/// over the keys j that query i sees: see AttentionOptions. A query that sees no key has the result 0. Keys and values must be
/// finite, hidden ones too. Tensors are of any strides and of float, bfloat16 and half, computed in float and rounded once;
/// or all of double. Throws std::invalid_argument on wrong shapes and values, and if `out` shares memory with an input,
/// before anything is written.
///
/// Cost: 2 · (d + d_v) operations for each pair of a query and a key, in blocks of 256 keys (512 for heads of at most 32
/// features, 64 while decoding); blocks that no query sees are skipped. Memory beside the tensors: a block of scores for each
/// thread. With few queries the keys are split among the threads too, and the parts are merged by their sums in a fixed order.
/// The bits do not depend on the number of threads.
///
/// @code
///   rotary::Tensor<float, 4> q(2, 7, 8, 16), k(2, 7, 2, 16), v(2, 7, 2, 16), out(2, 7, 8, 16);
///   q.setRandom(), k.setRandom(), v.setRandom();
///   const rotary::CosSinTable<float> rows(rotary::language_frequencies(16), rotary::Positions::consecutive(7),
///                                         {.pairing = rotary::Pairing::half, .seq_dim = -3});
///   rotary::attend(q, k, v, out, {.causal = true, .window = 4, .query_rows = &rows, .key_rows = &rows});
/// @endcode
///
/// Source: Vaswani et al. 2017; Milakov and Gimelshein 2018 and Dao et al. 2022 for the blocks.
template <class Q, class K, class V, class Y, ParallelDevice Device = CallingThread>
void attend(const Q& queries, const K& keys, const V& values, Y&& out,
            const AttentionOptions<detail::AttentionScalar<Q>>& options = {}, const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  if constexpr (detail::check_attention_types<T, Q, K, V, Y>() && detail::check_writable<Y>())
    detail::run_attention(detail::const_view_of(queries), detail::const_view_of(keys),
                          detail::const_view_of(values), detail::writable_view_of(out),
                          static_cast<const StridedView<T>*>(nullptr), options, device);
}

/// `attend` that also writes `log_sum`, [.., seq_q, heads] of float or double: the logarithm of the denominator of each softmax,
/// −∞ where no key is seen. `attend_backward` needs it; and results over different keys can be merged by it.
///
/// Shapes, errors and cost are those of `attend`; see `attend_backward` for an example.
template <class Q, class K, class V, class Y, class L, ParallelDevice Device = CallingThread>
void attend_with_log_sum(const Q& queries, const K& keys, const V& values, Y&& out, L&& log_sum,
                         const AttentionOptions<detail::AttentionScalar<Q>>& options = {},
                         const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  static_assert(std::is_same_v<detail::Scalar<L>, T>, "rotary: log_sum is of float, or of double for double");
  if constexpr (detail::check_attention_types<T, Q, K, V, Y, L>() && detail::check_writable<Y>() &&
                detail::check_writable<L>()) {
    const StridedView<T> sums = detail::writable_view_of(log_sum);
    detail::run_attention(detail::const_view_of(queries), detail::const_view_of(keys),
                          detail::const_view_of(values), detail::writable_view_of(out), &sums, options,
                          device);
  }
}

/// The gradients of a loss with respect to queries, keys and values of `attend`, from `grad_out`, the one with respect to its
/// result, and the `log_sum` that `attend_with_log_sum` wrote.
///
/// With a the probabilities, a' those after dropout, and R the rotations of queries and keys:
///
///     ∂v_j = Σ_i a'_ij ∂out_i        ∂s_ij = a'_ij ⟨∂out_i, v_j⟩ − a_ij δ_i,  δ_i = Σ_j a'_ij ⟨∂out_i, v_j⟩
///     ∂q_i = scale R_iᵀ Σ_j ∂s_ij R_j k_j            ∂k_j = scale R_jᵀ Σ_i ∂s_ij R_i q_i
///
/// with ∂s times the derivative of the soft cap. Inputs and options must be those of the forward pass. Gradients have the
/// shapes of queries, keys and values, and are written, not added. `grad_sink_logits`, [heads] or empty, receives those of
/// `sink_logits`. Throws std::invalid_argument as `attend` does, before anything is written.
///
/// Cost: 4 · d + 6 · d_v operations for each pair of a query and a key, 2 · d_v of them in double, which the accuracy of ∂s
/// needs. Memory beside the tensors grows with seq_k: the exponentials of 32 queries and the keys and values of a head for each
/// thread, and gradients of keys and values for each task. The bits do not depend on the number of threads.
///
/// @code
///   rotary::Tensor<float, 3> q(7, 4, 8), k(7, 2, 8), v(7, 2, 8), out(7, 4, 8), grad_q(7, 4, 8), grad_k(7, 2, 8),
///       grad_v(7, 2, 8);
///   rotary::Tensor<float, 2> log_sum(7, 4);
///   q.setRandom(), k.setRandom(), v.setRandom();
///   const rotary::AttentionOptions<float> options{.causal = true};
///   rotary::attend_with_log_sum(q, k, v, out, log_sum, options);
///   rotary::attend_backward(q, k, v, out, log_sum, grad_q, grad_k, grad_v, options);   // of |out|²/2
/// @endcode
template <class Q, class K, class V, class G, class L, class GQ, class GK, class GV,
          ParallelDevice Device = CallingThread>
void attend_backward(const Q& queries, const K& keys, const V& values, const G& grad_out, const L& log_sum,
                     GQ&& grad_queries, GK&& grad_keys, GV&& grad_values,
                     const AttentionOptions<detail::AttentionScalar<Q>>& options = {},
                     std::span<detail::AttentionScalar<Q>> grad_sink_logits = {}, const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  static_assert(std::is_same_v<detail::Scalar<L>, T>, "rotary: log_sum is of float, or of double for double");
  if constexpr (detail::check_attention_types<T, Q, K, V, G, L, GQ, GK, GV>() &&
                detail::check_writable<GQ>() && detail::check_writable<GK>() && detail::check_writable<GV>())
    detail::run_attention_backward<T>(
        detail::const_view_of(queries), detail::const_view_of(keys), detail::const_view_of(values),
        detail::const_view_of(grad_out), detail::const_view_of(log_sum),
        detail::writable_view_of(grad_queries), detail::writable_view_of(grad_keys),
        detail::writable_view_of(grad_values), grad_sink_logits, options, device);
}

}  // namespace rotary::inline ROTARY_ABI
