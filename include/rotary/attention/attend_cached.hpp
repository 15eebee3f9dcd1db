// attend_cached: attention of queries to the sequences of a KeyValueCache, whose pages are read where they are.
#pragma once

#include "../key_cache/key_value_cache.hpp"
#include "attend.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of `attend_cached`: those of AttentionOptions that have a meaning with a cache.
///
/// The last query of a sequence is at its last token. Query i of seq_q has the position p = size − seq_q + i, counted in
/// tokens of its sequence, and without a mask sees token j if all of these hold, or the first two and j < sink_tokens:
///
///     0 ≤ j < size        causal: j ≤ p        window: p − window < j, and j < p + window
///
/// Spans, views and tables belong to the caller, and are read during the call only.
template <RowScalar T>
struct CachedAttentionOptions {
  std::optional<double> scale = {};  ///< multiplies scores; left out, 1 / √d
  bool causal = true;                ///< a query sees no later token
  std::optional<Index> window = {};  ///< at least 1: how many tokens a query sees on a side, its own included
  Index sink_tokens = 0;             ///< the first tokens of a sequence, which a window does not hide
  std::span<const T> sink_logits = {};  ///< for each head a logit in the softmax that has no value
  std::optional<double> soft_cap = {};  ///< scores s become soft_cap · tanh(s / soft_cap)
  const ScoreFunction<T>* score_function = nullptr;  ///< is applied to scores after the cap; null: none
  /// False where a token is hidden: broadcast against [.., heads, seq_q, size], where size is that of the longest sequence.
  std::optional<StridedView<const bool>> mask = {};

  /// Are queries rotated while they are read, by the frequencies of the cache and at the positions of the last seq_q tokens?
  bool rotate_queries = false;
  /// Rows by which queries are rotated instead; their layout has `.seq_dim = -3`. Null: they are rotated already.
  const CosSinTable<T>* query_rows = nullptr;
};

namespace detail {

/// Reads what a KeyValueCache does not show to all.
struct CacheReader {
  template <class X, class Stored>
  static auto keys(const KeyValueCache<X, Stored>& cache) {
    return cache.key_tokens();
  }
  template <class X, class Stored>
  static auto values(const KeyValueCache<X, Stored>& cache) {
    return cache.value_tokens();
  }
  template <class X, class Stored>
  static const PagedSequence& sequence(const KeyValueCache<X, Stored>& cache, SequenceId id) {
    return cache.sequence(id);
  }
  template <class X, class Stored>
  static const PagedKeys<X, Stored>& rotation(const KeyValueCache<X, Stored>& cache) {
    return cache.store_.keys();
  }
};

/// The sequences of one call, in the order of the batch.
template <RowScalar T>
struct CachedSequences {
  PagedTokens<T> keys, values;
  std::vector<const PagedSequence*> sequences = {};
  std::vector<std::span<const Index>> pages = {};
  std::vector<Index> sizes = {};
  Index longest = 0;

  template <class Cache>
  CachedSequences(const Cache& cache, std::span<const SequenceId> ids)
      : keys(CacheReader::keys(cache)), values(CacheReader::values(cache)) {
    for (const SequenceId& id : ids) {
      sequences.push_back(&CacheReader::sequence(cache, id));
      pages.push_back(span_of(sequences.back()->pages));
      sizes.push_back(sequences.back()->size());
      longest = std::max(longest, sizes.back());
    }
  }

  /// Throws unless each sequence has as many tokens as there are queries.
  void check_queries(Index seq_q) const {
    for (std::size_t b = 0; b < sizes.size(); ++b)
      if (sizes[b] < seq_q)
        fail("sequence ", b, " has ", sizes[b], " tokens, fewer than its ", seq_q,
             " queries, the last of which is at its last token");
  }
};

/// The rows of the last tokens of each sequence, for queries of shape `q`.
template <RowScalar T, class Keys>
CosSinTable<T> rows_of_last_tokens(const Keys& rotation, const CachedSequences<T>& of,
                                   const StridedView<const char>& q) {
  std::vector<Index> shape(q.extents.begin(), q.extents.begin() + q.rank - 1);
  shape.back() = 1;  // all heads
  const Index seq_q = q.extent(q.rank - 3);
  RowStorage<T> rows(std::move(shape), RowAxes::broadcast, rotation.layout(), rotation.rows().pairs());
  kernels::Magnitude magnitude = rotation.scales().magnitude(rotation.rows().magnitude());
  magnitude.slope = -magnitude.slope;  // XPos scales queries by the inverse of keys
  Index row = 0;
  for (const PagedSequence* const sequence : of.sequences)
    for (Index token = sequence->size() - seq_q; token < sequence->size(); ++token)
      kernels::cos_sin_row(rotation.rows().steps(),
                           {sequence->log.at(token), static_cast<std::size_t>(rotation.axes())}, magnitude,
                           rotation.layout().pairing, rows.row(row++));
  return std::move(rows).table();
}

template <class T, class Q, class X, class Stored, class Y, class Device>
void run_cached_attention(const StridedView<const Q>& q, const KeyValueCache<X, Stored>& cache,
                          std::span<const SequenceId> ids, const StridedView<Y>& out,
                          const StridedView<T>* log_sum, const CachedAttentionOptions<T>& given,
                          const Device& device) {
  const CachedSequences<T> of(cache, ids);
  // Keys and values as tensors of the longest sequence, of which only the shapes are used.
  const auto q_bytes = HeadTensor<const char>::of(q).bytes;
  StridedView<const char> k = q_bytes, v = q_bytes;
  if (q.rank >= 3) {
    const auto at = [&](int from_last) { return static_cast<std::size_t>(q.rank - from_last); };
    k.extents[at(3)] = v.extents[at(3)] = of.longest;
    k.extents[at(2)] = v.extents[at(2)] = cache.heads();
    k.extents[at(1)] = cache.head_dim(), v.extents[at(1)] = cache.value_dim();
  }
  const AttentionSizes sizes = attention_sizes(q_bytes, k, v);
  if (sizes.batch != static_cast<Index>(ids.size()))
    fail("found ", ids.size(), " ids for queries of shape ", shape_text(q),
         ", there must be one for each of ", sizes.batch, " sequences");
  const bool positions_matter = given.causal || given.window;
  if (positions_matter || given.rotate_queries) of.check_queries(sizes.seq_q);
  if (given.rotate_queries && given.query_rows)
    fail("rotate_queries is true and query_rows are given, give one of them");
  if (given.query_rows) CacheReader::rotation(cache).check_layout(given.query_rows->layout());
  std::optional<CosSinTable<T>> rows;
  if (given.rotate_queries) {
    check_window(q, cache.layout().start_index, cache.layout().rotary_dim);
    rows.emplace(rows_of_last_tokens<T>(CacheReader::rotation(cache), of, q_bytes));
  }
  AttentionOptions<T> options;
  options.scale = given.scale, options.causal = given.causal, options.window = given.window;
  options.sink_tokens = given.sink_tokens, options.sink_logits = given.sink_logits,
  options.soft_cap = given.soft_cap, options.score_function = given.score_function;
  options.mask = given.mask, options.align_ends = positions_matter;
  options.query_rows = rows ? &*rows : given.query_rows;
  AttentionCall<T> call = attention_call_of<T>(q, sizes, options);
  call.keys.paged = &of.keys, call.values.paged = &of.values;
  call.keys.pages = call.values.pages = of.pages;
  call.seq_k_of = of.sizes;
  run_attention_call(call, q, out, log_sum, device);
}

template <class T, class Q, class X, class Stored, class Y>
constexpr bool check_cached_types() {  // not covered: runs while compiling
  if constexpr (check_attention_types<T, Q, Y>() && check_writable<Y>()) {
    constexpr bool kSame = std::is_same_v<typename KeyValueCache<X, Stored>::Arithmetic, T>;
    static_assert(kSame, "rotary: queries of double need a cache of double, and it needs these");
    return kSame;
  }
  return false;
}

}  // namespace detail

/// Attention of queries [.., seq_q, heads, d] to the sequences of a cache, one of `ids` for each index into the axes before
/// the last three; [seq_q, heads, d] for one sequence.
///
/// Writes `out`, [.., seq_q, heads, value_dim], as `attend` does with the keys and values of each sequence: for one query
/// while decoding, for several after a prompt or a part of it was appended. Append first, then attend: the last query of a
/// sequence is at its last token. Sequences may differ in their sizes (continuous batching). Queries are float, bfloat16 or
/// half, or double with a cache of double. Throws std::invalid_argument on wrong shapes, options and ids, on fewer tokens
/// than queries, and on rows of another layout than the cache's, before anything is written.
///
/// Cost: that of `attend`. Tokens are read in its blocks. A block of float that is inside one page is read where it is, so pages
/// of a multiple of 256 are best; other blocks, and what is stored in another type, are converted one by one. All sequences and
/// their parts are shared among the threads of `device`. The bits of a sequence do not depend on their number, on the other
/// sequences of the call, or on its pages.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64, .seq_before_head_dim = true});
///   rotary::KeyValueCache<float> cache(rotary_emb, {.heads = 2, .head_dim = 64, .pages = 8});
///   rotary::Tensor<float, 3> keys(20, 2, 64), values(20, 2, 64);                   // [tokens, heads, d]
///   rotary::Tensor<float, 4> queries(2, 1, 8, 64), out(2, 1, 8, 64);               // [batch, seq_q, heads, d]
///   keys.setRandom(), values.setRandom(), queries.setRandom();
///   const std::vector<rotary::SequenceId> ids = {cache.add_sequence(), cache.add_sequence()};
///   cache.append(ids[0], keys, values);
///   cache.append(ids[1], keys, values);
///   rotary::attend_cached(queries, cache, ids, out, {.rotate_queries = true});     // at position 19 of both
/// @endcode
template <class Q, class X, class Stored, class Y, ParallelDevice Device = CallingThread>
void attend_cached(const Q& queries, const KeyValueCache<X, Stored>& cache, std::span<const SequenceId> ids,
                   Y&& out, const CachedAttentionOptions<detail::AttentionScalar<Q>>& options = {},
                   const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  if constexpr (detail::check_cached_types<T, Q, X, Stored, Y>())
    detail::run_cached_attention(detail::const_view_of(queries), cache, ids, detail::writable_view_of(out),
                                 static_cast<const StridedView<T>*>(nullptr), options, device);
}
/// Attention of queries [seq_q, heads, d] to one sequence of a cache.
template <class Q, class X, class Stored, class Y, ParallelDevice Device = CallingThread>
void attend_cached(const Q& queries, const KeyValueCache<X, Stored>& cache, SequenceId id, Y&& out,
                   const CachedAttentionOptions<detail::AttentionScalar<Q>>& options = {},
                   const Device& device = {}) {
  attend_cached(queries, cache, std::span<const SequenceId>(&id, 1), std::forward<Y>(out), options, device);
}

/// `attend_cached` that also writes `log_sum`, [.., seq_q, heads], as `attend_with_log_sum` does: results over other keys,
/// such as a prefix that several sequences share, can be merged by it.
template <class Q, class X, class Stored, class Y, class L, ParallelDevice Device = CallingThread>
void attend_cached_with_log_sum(const Q& queries, const KeyValueCache<X, Stored>& cache,
                                std::span<const SequenceId> ids, Y&& out, L&& log_sum,
                                const CachedAttentionOptions<detail::AttentionScalar<Q>>& options = {},
                                const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  static_assert(std::is_same_v<detail::Scalar<L>, T>, "rotary: log_sum is of float, or of double for double");
  if constexpr (detail::check_cached_types<T, Q, X, Stored, Y>() && detail::check_writable<L>()) {
    const StridedView<T> sums = detail::writable_view_of(log_sum);
    detail::run_cached_attention(detail::const_view_of(queries), cache, ids, detail::writable_view_of(out),
                                 &sums, options, device);
  }
}

}  // namespace rotary::inline ROTARY_ABI
