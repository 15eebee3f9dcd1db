// AttentionOptions: what a query sees, how scores become probabilities, and the rotations of one call of `attend`.
#pragma once

#include <optional>
#include <span>

#include "../cos_sin_table.hpp"
#include "../tensor/tensor.hpp"
#include "score_function.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of one call of `attend`, `attend_with_log_sum` or `attend_backward`.
///
/// Query i of a sequence has the position p = i + query_offset, counted in keys. Without a mask it sees key j if all of these
/// hold, or the first two and j < sink_tokens:
///
///     0 ≤ j < seq_k        causal: j ≤ p        window: p − window < j, and j < p + window
///
/// With `cu_seqlens` sequences are packed, as in FlashAttention: sequence n has the queries [cu_seqlens[n],
/// cu_seqlens[n + 1]), and the keys of these numbers, or of `cu_seqlens_k`. Lists start with 0, do not
/// decrease, and end with seq_q or seq_k. A query sees keys of its own sequence alone.
///
/// Spans, views and tables belong to the caller, and are read during the call only.
template <RowScalar T>
struct AttentionOptions {
  std::optional<double> scale = {};  ///< multiplies scores; left out, 1 / √d
  bool causal = false;               ///< a query sees no later key
  std::optional<Index> window = {};  ///< at least 1: how many keys a query sees on a side, its own included
  Index sink_tokens = 0;             ///< the first keys of a sequence, which a window does not hide
  /// A logit for each head, [heads], that takes part in the softmax and has no value (gpt-oss).
  std::span<const T> sink_logits = {};
  std::optional<double> soft_cap = {};  ///< scores s become soft_cap · tanh(s / soft_cap), as in Gemma 2
  const ScoreFunction<T>* score_function = nullptr;  ///< is applied to scores after the cap; null: none

  /// False where a key is hidden: broadcast against [.., heads, seq_q, seq_k], axes aligned from the last, each equal or 1.
  std::optional<StridedView<const bool>> mask = {};

  std::span<const Index> cu_seqlens = {},  ///< for packed sequences: 0, then where the queries of each end
      cu_seqlens_k = {};                   ///< 0, then where the keys of each end; empty: as `cu_seqlens`

  Index query_offset = 0;  ///< with a cache: the number of keys before that of the first query
  /// Is the last query of each sequence at its last key, in place of `query_offset`?
  bool align_ends = false;

  /// Rows by which queries are rotated while they are read; their layout has `.seq_dim = -3`. Null: queries
  /// are rotated already, or not at all. Gradients are those of the queries before rotation.
  const CosSinTable<T>* query_rows = nullptr;
  /// Rows by which keys are rotated while they are read; their layout has `.seq_dim = -3`. Null: keys are
  /// rotated already, or not at all. Gradients are those of the keys before rotation.
  const CosSinTable<T>* key_rows = nullptr;

  /// The share of probabilities that become 0; the others are divided by 1 − dropout_prob.
  double dropout_prob = 0;
  std::uint64_t dropout_seed = 0;  ///< a seed drops the same probabilities of a sequence, head, query and key
  Index first_sequence = 0;        ///< for a part of a batch: the index of its first sequence, for dropout
};

}  // namespace rotary::inline ROTARY_ABI
