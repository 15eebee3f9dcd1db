// One call of attention, checked: sizes, tensors and options, and the blocks of queries that it is split into.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "attention_dropout.hpp"
#include "head_tokens.hpp"
#include "visible_keys.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Heads of at most so many features, d + d_v, are narrow: exponentials take longer than products.
inline constexpr Index kNarrowFeatures = 64;

struct AttentionSizes {
  Index batch = 1;  // the product of all axes before the last three
  Index seq_q = 0, seq_k = 0, heads = 0, kv_heads = 0, d = 0, d_v = 0;

  /// Heads of queries for each head of keys and values.
  Index group() const { return heads / kv_heads; }
  bool narrow() const { return d + d_v <= kNarrowFeatures; }
};

/// Tokens [first, first + count) of all queries that read one head of keys and values. Row r of the block's matrices is that of
/// head r / count of the group and token first + r % count.
struct QueryBlock {
  Index b, kv_head, first, count;
};

/// One row of a block of scores: `count` consecutive keys, of which those in two ranges are seen.
template <RowScalar T>
struct ScoreRow {
  T* scores;
  Index count;
  KeyRange sinks, others;
  const bool* mask;  // of the first of the keys; or null
  Index mask_stride;

  // The widest vectors have 16 lanes. Rows are computed to a whole number of them, which is cheaper than a scalar remainder.
  static constexpr Index kLanes = 16;
  static Index padded(Index count) { return (count + kLanes - 1) / kLanes * kLanes; }

  bool hidden() const { return sinks.empty() && others.empty(); }

  /// What is seen is in these two, ascending; if it is one range, both are that one.
  const KeyRange& first() const { return sinks.empty() ? others : sinks; }
  const KeyRange& last() const { return others.empty() ? sinks : others; }

  /// Replaces the scores of hidden keys in [begin, end), which may be behind the row.
  void hide(Index begin, Index end, T value) const {
    const auto fill = [&](Index from, Index to) {
      if (from < to) std::fill(scores + from, scores + to, value);
    };
    fill(begin, first().begin);
    fill(first().end, last().begin);
    fill(last().end, end);
    if (mask)
      for (Index j = begin; j < std::min(end, count); ++j)
        scores[j] = mask[j * mask_stride] ? scores[j] : value;
  }

  /// Replaces the scores s of seen keys by exp(s − shift), and the others by 0; `shift` is shift_of(their largest, or the lowest
  /// number if no key is seen). Returns the sum.
  template <class ShiftOf>
  T exponentiate(const ShiftOf& shift_of) const {
    // Only the vectors that have keys that are seen: with causal attention half of the last blocks is hidden.
    const Index begin = first().begin / kLanes * kLanes, end = padded(last().end);
    Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>> row(scores + begin, end - begin);
    hide(begin, end, std::numeric_limits<T>::lowest());
    row = (row - shift_of(row)).exp();
    hide(0, padded(count), T(0));  // Eigen's exponential of the lowest number is not 0
    return row.sum();
  }

  /// The sum in double after `exponentiate`. It has a partial sum for each lane: in one sum each addition waits for the last.
  double exact_sum() const {
    using Lanes = Eigen::Array<double, kLanes, 1>;
    Lanes sums = Lanes::Zero();
    for (Index j = 0; j < count; j += kLanes)
      sums += Eigen::Map<const Eigen::Array<T, kLanes, 1>>(scores + j).template cast<double>();
    return sums.sum();
  }
};

/// The inputs and options of a call, for forward and backward.
template <RowScalar T>
struct AttentionCall {
  AttentionSizes sizes;
  TokenInput<T> queries, keys, values;
  AttentionOptions<T> options;
  VisibleKeys visible;
  StridedView<const bool> mask;  // [.., heads, seq_q, seq_k], stride 0 where it is broadcast
  T scale;
  std::span<const Index> seq_k_of = {};  // of each sequence, where they differ; at most sizes.seq_k

  /// The number of keys of a sequence, and what its queries see.
  Index keys_of(Index b) const {
    return seq_k_of.empty() ? sizes.seq_k : seq_k_of[static_cast<std::size_t>(b)];
  }
  VisibleKeys visible_to(Index b) const { return visible.with_keys(keys_of(b)); }
  bool masked() const { return options.mask.has_value(); }
  AttentionDropout dropout() const { return {options.dropout_prob, options.dropout_seed}; }
  Index head_of(const QueryBlock& block, Index row) const {
    return block.kv_head * sizes.group() + row / block.count;
  }
  Index rows(const QueryBlock& block) const { return block.count * sizes.group(); }

  /// Reads the heads of a block one after the other, into a buffer that grows as needed.
  HeadRows<T> read_heads(const TokenInput<T>& from, const QueryBlock& block,
                         RowMajorMatrix<T>& buffer) const {
    const Index width = from.extent(1), count = rows(block);
    if (buffer.rows() < count || buffer.cols() != width) buffer.resize(count, width);
    for (Index row = 0; row < count; row += block.count)
      from.head(block.b, head_of(block, row))
          .read_to(block.first, block.count, buffer.data() + row * width, width);
    return HeadRows<T>(buffer.data(), count, width, Eigen::OuterStride<>(width));
  }

  /// The scores of one head of a block, from `row` on, with keys from `first` on; or their gradient.
  ScoreBlock<T> score_block(const QueryBlock& block, Index row, Index first, HeadRows<T> scores) const {
    const Index stride = scores.outerStride();
    return {
        options.first_sequence + block.b, head_of(block, row), block.first, first,
        HeadRows<T>(scores.data() + row * stride, block.count, scores.cols(), Eigen::OuterStride<>(stride))};
  }
  void apply_score_function(const QueryBlock& block, Index first, const HeadRows<T>& scores) const {
    if (!options.score_function) return;
    for (Index row = 0; row < scores.rows(); row += block.count)
      options.score_function->apply(score_block(block, row, first, scores));
  }

  /// Key 0 in the mask, for the query of a row.
  const bool* mask_of(const QueryBlock& block, Index row) const {
    return mask.data + queries.tensor.sequence_offset(block.b, mask.strides) +
           head_of(block, row) * mask.stride(mask.rank - 3) +
           (block.first + row % block.count) * mask.stride(mask.rank - 2);
  }

  /// The row of a block of scores with keys from `first` on; `seen` has what each query of the block sees.
  ScoreRow<T> score_row(const QueryBlock& block, Index r, const std::vector<SeenKeys>& seen, Index first,
                        HeadRows<T>& scores) const {
    const SeenKeys& of_query = seen[static_cast<std::size_t>(r % block.count)];
    const Index count = scores.cols();
    ScoreRow<T> row{scores.data() + r * scores.outerStride(), count,   of_query.sinks.within(first, count),
                    of_query.others.within(first, count),     nullptr, 0};
    if (masked()) {
      row.mask_stride = mask.stride(mask.rank - 1);
      row.mask = mask_of(block, r) + first * row.mask_stride;
    }
    return row;
  }

  /// The factors of dropout for a row and keys [first, first + count).
  void dropout_factors(const QueryBlock& block, Index row, Index first, Index count, T* out) const {
    dropout().factors(options.first_sequence + block.b, head_of(block, row), block.first + row % block.count,
                      first, count, out);
  }

  /// An upper bound of the keys that a block of queries sees, of `seq_k`.
  Index most_keys(Index queries_in_block, Index seq_k) const {
    if (!options.window || !options.cu_seqlens.empty()) return seq_k;
    const Index window = std::min(*options.window, seq_k), sinks = std::min(options.sink_tokens, seq_k);
    return std::min(seq_k, (options.causal ? window : 2 * window) + queries_in_block + sinks);
  }
};

/// How the queries of a call are split into blocks of about `rows` rows. Sizes alone decide, never the number of threads.
struct QueryBlocks {
  Index kv_heads, seq_q, tokens, per_head;

  QueryBlocks(const AttentionSizes& sizes, Index rows)
      : kv_heads(sizes.kv_heads),
        seq_q(sizes.seq_q),
        tokens(std::clamp<Index>(rows / sizes.group(), 1, std::max<Index>(1, sizes.seq_q))),
        per_head((sizes.seq_q + tokens - 1) / tokens) {}

  QueryBlock block(Index n) const {
    const Index first = n % per_head * tokens, head = n / per_head;
    return {head / kv_heads, head % kv_heads, first, std::min(tokens, seq_q - first)};
  }
};

/// Columns that are added to rows of scores, so that their stride is no power of two and rows do not share a set of the
/// first-level cache.
inline constexpr Index kScorePadding = 16;

/// Scores of a block of queries with consecutive keys: rows have a constant stride, a whole number of vectors.
template <RowScalar T>
HeadRows<T> score_rows(RowMajorMatrix<T>& buffer, Index rows, Index column, Index count) {
  return HeadRows<T>(buffer.data() + column, rows, count, Eigen::OuterStride<>(buffer.cols()));
}

/// s → soft_cap tanh(s / soft_cap), element by element.
template <RowScalar T>
void cap_scores(double soft_cap, HeadRows<T> scores) {
  const T cap = static_cast<T>(soft_cap), inverse = static_cast<T>(1 / soft_cap);
  scores.array() = cap * (scores.array() * inverse).tanh();
}

}  // namespace rotary::inline ROTARY_ABI::detail
