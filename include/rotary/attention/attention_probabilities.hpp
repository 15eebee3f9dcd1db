// The probabilities of attention, recomputed from queries, keys and the sums of a forward pass.
#pragma once

#include "attention_call.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Writes a_ij = exp(s_ij − log_sum_i) after dropout to `out`, [batch, heads, seq_q, seq_k], 0 where the key is hidden.
/// `log_sum` is that of the forward pass, with one feature.
template <RowScalar T>
void write_probabilities(const AttentionCall<T>& call, const TokenInput<T>& log_sum,
                         const StridedView<T>& out) {
  if (out.empty()) return;
  constexpr Index kRows = 32, kKeys = 256;
  const QueryBlocks blocks(call.sizes, kRows);
  RowMajorMatrix<T> query_buffer, sum_buffer, key_buffer, score_buffer;
  std::vector<SeenKeys> seen;
  std::vector<KeyRange> ranges;
  std::vector<T> factors(static_cast<std::size_t>(kKeys));
  for (Index n = 0; n < call.sizes.batch * call.sizes.kv_heads * blocks.per_head; ++n) {
    const QueryBlock block = blocks.block(n);
    const Index rows = call.rows(block);
    HeadRows<T> queries = call.read_heads(call.queries, block, query_buffer);
    queries *= call.scale;
    const HeadRows<T> sums = call.read_heads(log_sum, block, sum_buffer);
    score_buffer.resize(rows, kKeys);
    call.visible.of_block(block.first, block.count, seen, ranges);
    const HeadReader<T> keys = call.keys.head(block.b, block.kv_head);
    for_each_key_block(
        std::span<const KeyRange>(ranges), 0, call.sizes.seq_k, kKeys, [&](Index, Index first, Index count) {
          HeadRows<T> scores = score_rows(score_buffer, rows, 0, count);
          multiply_transposed<T>(queries, keys.read(first, count, key_buffer), scores);
          if (call.options.soft_cap) cap_scores<T>(*call.options.soft_cap, scores);
          call.apply_score_function(block, first, scores);
          for (Index r = 0; r < rows; ++r) {
            const ScoreRow<T> row = call.score_row(block, r, seen, first, scores);
            if (row.hidden()) continue;
            row.exponentiate([&](const auto&) { return sums(r, 0); });
            if (call.dropout().active()) {
              call.dropout_factors(block, r, first, count, factors.data());
              for (Index j = 0; j < count; ++j) row.scores[j] *= factors[static_cast<std::size_t>(j)];
            }
            T* const to = &out.data[block.b * out.stride(0) + call.head_of(block, r) * out.stride(1) +
                                    (block.first + r % block.count) * out.stride(2) + first * out.stride(3)];
            for (Index j = 0; j < count; ++j) to[j * out.stride(3)] = row.scores[j];
          }
        });
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
