// What a call of attention demands of its tensors and options, checked before anything is written.
#pragma once

#include "../tensor/broadcast.hpp"
#include "attention_call.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Throws unless q is [.., seq_q, heads, d], k [.., seq_k, kv_heads, d] and v [.., seq_k, kv_heads, d_v].
inline AttentionSizes attention_sizes(const StridedView<const char>& q, const StridedView<const char>& k,
                                      const StridedView<const char>& v) {
  const auto fail_shapes = [&](const char* what) {
    fail(what, ": queries have shape ", shape_text(q), ", keys ", shape_text(k), ", values ", shape_text(v),
         "; they must be [.., seq_q, heads, d], [.., seq_k, kv_heads, d] and [.., seq_k, kv_heads, d_v]");
  };
  const int rank = q.rank;
  if (rank < 3) fail_shapes("queries have too few axes");
  if (k.rank != rank || v.rank != rank) fail_shapes("the numbers of axes differ");
  AttentionSizes sizes{.seq_q = q.extent(rank - 3),
                       .seq_k = k.extent(rank - 3),
                       .heads = q.extent(rank - 2),
                       .kv_heads = k.extent(rank - 2),
                       .d = q.extent(rank - 1),
                       .d_v = v.extent(rank - 1)};
  bool empty = false;
  for (int axis = 0; axis < rank - 3; ++axis) {
    if (k.extent(axis) != q.extent(axis) || v.extent(axis) != q.extent(axis))
      fail_shapes("the axes before the last three differ");
    empty = empty || q.extent(axis) == 0;
  }
  sizes.batch = empty ? 0 : 1;
  for (int axis = 0; axis < rank - 3 && !empty; ++axis)
    sizes.batch = checked_product(sizes.batch, q.extent(axis));
  if (v.extent(rank - 3) != sizes.seq_k) fail_shapes("keys and values are not as many");
  if (v.extent(rank - 2) != sizes.kv_heads) fail_shapes("keys and values have not as many heads");
  if (k.extent(rank - 1) != sizes.d) fail_shapes("queries and keys have not as many features");
  if (sizes.d < 1) fail_shapes("heads have no features");
  if (sizes.heads < 1 || sizes.kv_heads < 1 || sizes.heads % sizes.kv_heads != 0)
    fail("queries have ", sizes.heads, " heads and keys ", sizes.kv_heads,
         "; the heads of keys must divide those of queries");
  return sizes;
}

/// Throws unless `starts` begins with 0, ends with `tokens` and does not decrease.
inline void check_cu_seqlens(std::span<const Index> starts, Index tokens, const char* name) {
  if (starts.empty()) fail(name, " is empty, it must begin with 0 and end with ", tokens);
  if (starts.front() != 0 || starts.back() != tokens)
    fail(name, " is from ", starts.front(), " to ", starts.back(), ", it must be from 0 to ", tokens);
  for (std::size_t n = 1; n < starts.size(); ++n)
    if (starts[n] < starts[n - 1])
      fail(name, " decreases from ", starts[n - 1], " to ", starts[n], " at entry ", n);
}

template <RowScalar T>
void check_attention_options(const AttentionOptions<T>& options, const AttentionSizes& sizes) {
  if (options.scale && !finite_bits(*options.scale)) fail("scale is ", *options.scale, ", it must be finite");
  if (options.window && *options.window < 1) fail("window is ", *options.window, ", it must be at least 1");
  if (options.sink_tokens < 0) fail("sink_tokens is ", options.sink_tokens, ", it must not be negative");
  if (options.sink_tokens > 0 && !options.window)
    fail("sink_tokens is ", options.sink_tokens, " without a window, which is all that it has an effect on");
  if (!options.sink_logits.empty() && options.sink_logits.size() != static_cast<std::size_t>(sizes.heads))
    fail("there are ", options.sink_logits.size(), " sink_logits, there must be one for each of ",
         sizes.heads, " heads");
  if (options.soft_cap && !(finite_bits(*options.soft_cap) && *options.soft_cap > 0))
    fail("soft_cap is ", *options.soft_cap, ", it must be positive and finite");
  if (!finite_bits(options.dropout_prob) || options.dropout_prob < 0 || options.dropout_prob >= 1)
    fail("dropout_prob is ", options.dropout_prob, ", it must be at least 0 and below 1");
  const bool positions_matter = options.causal || options.window;
  if (options.query_offset != 0 && !positions_matter)
    fail("query_offset is ", options.query_offset, ", which has no effect unless causal or with a window");
  if (options.align_ends && !positions_matter)
    fail("align_ends has no effect unless causal or with a window");
  if (options.align_ends && options.query_offset != 0)
    fail("query_offset is ", options.query_offset, " and align_ends is true, give one of them");
  if (options.cu_seqlens.empty()) {
    if (!options.cu_seqlens_k.empty()) fail("cu_seqlens_k is given without cu_seqlens");
    return;
  }
  check_cu_seqlens(options.cu_seqlens, sizes.seq_q, "cu_seqlens");
  const bool own = !options.cu_seqlens_k.empty();
  check_cu_seqlens(own ? options.cu_seqlens_k : options.cu_seqlens, sizes.seq_k,
                   own ? "cu_seqlens_k" : "cu_seqlens, which is also that of the keys,");
  if (own && options.cu_seqlens_k.size() != options.cu_seqlens.size())
    fail("cu_seqlens has ", options.cu_seqlens.size(), " entries and cu_seqlens_k ",
         options.cu_seqlens_k.size(), ", they must have as many");
}

/// The mask as [.., heads, seq_q, seq_k]. Throws unless it can be broadcast to that.
inline StridedView<const bool> broadcast_mask(const StridedView<const bool>& given,
                                              const StridedView<const char>& q, const AttentionSizes& sizes) {
  given.check();
  StridedView<const bool> mask = with_rank(given, q.rank, "the mask");
  StridedView<const char> wanted = q;
  const Index last[] = {sizes.heads, sizes.seq_q, sizes.seq_k};
  for (int n = 0; n < 3; ++n) wanted.set_extent(q.rank - 3 + n, last[n]);
  for (int axis = 0; axis < q.rank; ++axis)
    if (mask.extent(axis) != 1 && mask.extent(axis) != wanted.extent(axis))
      fail("the mask has shape ", shape_text(given), ", it must be broadcast against ", shape_text(wanted));
  return mask;
}

/// A call without its keys and values. Throws on wrong options or rows of queries.
template <RowScalar T, class Q>
AttentionCall<T> attention_call_of(const StridedView<const Q>& q, const AttentionSizes& sizes,
                                   const AttentionOptions<T>& options) {
  check_attention_options(options, sizes);
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(sizes.d)));
  return {sizes,
          TokenInput<T>::of(q, options.query_rows, "queries"),
          {},
          {},
          options,
          VisibleKeys(options, sizes.seq_q, sizes.seq_k),
          options.mask ? broadcast_mask(*options.mask, HeadTensor<const char>::of(q).bytes, sizes)
                       : StridedView<const bool>(),
          static_cast<T>(scale)};
}

/// Throws on wrong shapes, options or rows.
template <RowScalar T, class Q, class K, class V>
AttentionCall<T> attention_call(const StridedView<const Q>& q, const StridedView<const K>& k,
                                const StridedView<const V>& v, const AttentionOptions<T>& options) {
  const AttentionSizes sizes =
      attention_sizes(HeadTensor<const char>::of(q).bytes, HeadTensor<const char>::of(k).bytes,
                      HeadTensor<const char>::of(v).bytes);
  AttentionCall<T> call = attention_call_of(q, sizes, options);
  call.keys = TokenInput<T>::of(k, options.key_rows, "keys");
  call.values = TokenInput<T>::of(v, nullptr, "values");
  return call;
}

/// Throws unless `x` has the shape of `like`, but for `width` features.
template <class X, class Like>
void check_shape_like(const StridedView<X>& x, StridedView<Like> like, Index width, const char* name) {
  like.set_extent(like.rank - 1, width);
  if (!same_shape(x, like)) fail(name, " has shape ", shape_text(x), ", it must have ", shape_text(like));
}

/// Throws if `out` shares memory with any of `others`.
template <class X, class... Others>
void check_separate(const char* name, const StridedView<X>& out, const StridedView<Others>&... others) {
  if ((share_elements(others, out, true) || ...))
    fail(name, " shares memory with another tensor of the call; it must have its own");
}

/// [.., seq_q, heads], as a tensor with one feature. Throws unless that is its shape.
template <class X, class Q>
StridedView<X> with_one_feature(StridedView<X> x, const StridedView<Q>& q) {
  const StridedView<X> given = x;
  bool fits = x.rank == q.rank - 1;
  for (int axis = 0; fits && axis < x.rank; ++axis) fits = x.extent(axis) == q.extent(axis);
  if (!fits)
    fail("log_sum has shape ", shape_text(given), ", it must be [.., seq_q, heads] of queries ",
         shape_text(q));
  x.rank = q.rank;
  x.set_axis(x.rank - 1, 1, 1);
  return x;
}

/// Throws unless a call can write its result and, if it is not null, `log_sum`; `inputs` are the tensors besides q that these
/// must not share memory with.
template <class T, class Q, class Y, class... Inputs>
void check_results(const AttentionSizes& sizes, const StridedView<const Q>& q, const StridedView<Y>& out,
                   const StridedView<T>* log_sum, const StridedView<Inputs>&... inputs) {
  check_shape_like(out, q, sizes.d_v, "the result");
  check_separate("the result", out, q, inputs...);
  if (!log_sum) return;
  with_one_feature(*log_sum, q);
  check_separate("log_sum", *log_sum, q, inputs..., out);
}

/// Throws unless `grad_out` and `log_sum` fit the tensors of a call and it can write the gradients.
template <class T, class Q, class K, class V, class G, class GQ, class GK, class GV>
void check_gradients(const AttentionSizes& sizes, const StridedView<const Q>& q,
                     const StridedView<const K>& k, const StridedView<const V>& v,
                     const StridedView<const G>& grad_out, const StridedView<const T>& log_sum,
                     const StridedView<GQ>& grad_q, const StridedView<GK>& grad_k,
                     const StridedView<GV>& grad_v) {
  check_shape_like(grad_out, q, sizes.d_v, "the gradient of the result");
  check_shape_like(grad_q, q, sizes.d, "the gradient of queries");
  check_shape_like(grad_k, k, sizes.d, "the gradient of keys");
  check_shape_like(grad_v, v, sizes.d_v, "the gradient of values");
  with_one_feature(log_sum, q);
  check_separate("the gradient of queries", grad_q, q, k, v, grad_out, log_sum, grad_k, grad_v);
  check_separate("the gradient of keys", grad_k, q, k, v, grad_out, log_sum, grad_v);
  check_separate("the gradient of values", grad_v, q, k, v, grad_out, log_sum);
}

}  // namespace rotary::inline ROTARY_ABI::detail
