// Prefill and decode: the forward pass of multi-head attention with a KeyValueCache.
#pragma once

#include <utility>
#include <vector>

#include "attend_cached.hpp"
#include "attention_core.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Erases what was appended to sequences of a cache, unless all of it was.
template <class Cache>
class AppendedTokens {
 public:
  explicit AppendedTokens(Cache& cache) : cache_(cache) {}
  ~AppendedTokens() {
    for (const auto& [id, size] : sizes_) cache_.rewind(id, size);
  }
  AppendedTokens(const AppendedTokens&) = delete;
  AppendedTokens& operator=(const AppendedTokens&) = delete;

  template <class K, class V>
  void append(SequenceId id, const K& keys, const V& values) {
    sizes_.emplace_back(id, cache_.size(id));
    cache_.append(id, keys, values);
  }
  void keep() { sizes_.clear(); }

 private:
  Cache& cache_;
  std::vector<std::pair<SequenceId, Index>> sizes_;
};

/// Throws unless there is an id for each of `batch` sequences, and no id twice.
inline void check_ids(std::span<const SequenceId> ids, Index batch) {
  if (static_cast<Index>(ids.size()) != batch)
    fail("found ", ids.size(), " ids for ", batch, " sequences, there must be as many");
  std::vector<SequenceId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    fail("an id is given twice; the sequences of a call must be different");
}

template <RowScalar T>
template <class Stored>
void AttentionCore<T>::forward_cached(const StridedView<const T>& x, KeyValueCache<T, Stored>& cache,
                                      std::span<const SequenceId> ids, const StridedView<T>& out) const {
  const Index seq = x.extent(0), batch = x.extent(1);
  weights.check(options_, "the weights");
  check_ids(ids, batch);
  if (cache.heads() != sizes_.kv_heads || cache.head_dim() != sizes_.d_k || cache.value_dim() != sizes_.d_k)
    fail("the cache has ", cache.heads(), " heads of ", cache.head_dim(), " and ", cache.value_dim(),
         " features, this attention has ", sizes_.kv_heads, " of ", sizes_.d_k);
  rotation_.check_cache(cache);
  if (seq == 0 || batch == 0) return;

  Matrix rows, q, k, v, context(seq * batch, sizes_.query_features());
  pack(x, rows);
  weights.query.forward(rows, q);
  weights.key.forward(rows, k);
  weights.value.forward(rows, v);
  if (options_.qk_norm) {
    HeadNorm<T> norm;
    norm.forward(weights.query_norm, options_.qk_norm_epsilon, q);
    norm.forward(weights.key_norm, options_.qk_norm_epsilon, k);
  }
  AppendedTokens<KeyValueCache<T, Stored>> appended(cache);
  for (Index b = 0; b < batch; ++b) {
    const auto of_sequence = [&](const Matrix& heads) {
      const Index width = heads.cols(), d_k = sizes_.d_k;
      return StridedView<const T>(heads.data() + b * width, {seq, width / d_k, d_k},
                                  {batch * width, d_k, Index{1}});
    };
    appended.append(ids[static_cast<std::size_t>(b)], of_sequence(k), of_sequence(v));
  }
  attend_cached(by_sequence<const T>(std::as_const(q), seq, batch), cache, ids,
                by_sequence<T>(context, seq, batch),
                {.scale = options_.scale,
                 .window = options_.window,
                 .soft_cap = options_.soft_cap,
                 .score_function = score_function.get(),
                 .rotate_queries = rotation_.rotates()});
  appended.keep();
  weights.output.forward(context, rows);
  copy_elements(StridedView<const T>(tokens(rows, seq, batch)), out);
}

}  // namespace rotary::inline ROTARY_ABI::detail
