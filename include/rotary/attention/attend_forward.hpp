// Attention forward: blocks of queries against blocks of keys, with online softmax.
#pragma once

#include "attention_call.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Rows of queries and keys in a block: scores and the accumulator stay in the second-level cache.
inline constexpr Index kQueryRows = 128, kKeyBlock = 256;
/// With fewer blocks of queries than this the keys are split too, into at most kMostKeyParts parts of at least kPartKeys keys.
inline constexpr Index kSplitBelowBlocks = 64, kMostKeyParts = 16, kPartKeys = 256;
/// A part is read for all heads, this many keys at a time. The heads of a token are contiguous, but the tokens of one head have a
/// large stride, for which the processor does not prefetch (bench/run.sh --filter attention/decode).
inline constexpr Index kSharedKeyBlock = 64;

/// out_i = Σ_j softmax_j(s_ij) v_j for all queries of a call (Milakov and Gimelshein 2018; Dao et al. 2022).
///
/// For a row of scores, `largest` m and `sum` l are those of the keys so far, and the accumulator is Σ exp(s − m) v. A new block of
/// keys with a larger m' first multiplies l and the accumulator by exp(m − m').
///
/// Tasks may run in any order and on any thread. What a task computes depends on sizes alone, and parts are merged in
/// their order, so the bits do not depend on threads.
template <RowScalar T>
class AttendForward {
 public:
  AttendForward(const AttentionCall<T>& call, const TokenOutput<T>& out, const TokenOutput<T>* log_sum)
      : call_(call), out_(out), log_sum_(log_sum), blocks_(call.sizes, kQueryRows) {
    block_count_ = call.sizes.batch * call.sizes.kv_heads * blocks_.per_head;
    // With sequences of a cache the batch does not count, so that a sequence has the same bits in any batch.
    const Index blocks = call.seq_k_of.empty() ? block_count_ : call.sizes.kv_heads * blocks_.per_head;
    most_parts_ = blocks < kSplitBelowBlocks ? kMostKeyParts : 1;
    parts_ = key_parts(call.sizes.seq_k).count;
    if (parts_ > 1) partial_.resize(static_cast<std::size_t>(block_count_ * parts_));
    heads_ = parts_ > 1 ? call.sizes.kv_heads : 1;
  }

  Index tasks() const { return block_count_ / heads_ * parts_; }
  Index merges() const { return parts_ > 1 ? block_count_ : 0; }
  /// Of one task.
  Eigen::TensorOpCost cost() const {
    const auto& sizes = call_.sizes;
    const double keys = static_cast<double>(std::min(key_parts(sizes.seq_k).keys, sizes.seq_k)),
                 width = static_cast<double>(sizes.d + sizes.d_v);
    return {keys * width * static_cast<double>(heads_) * sizeof(T), 0,
            keys * width * static_cast<double>(blocks_.tokens * sizes.group() * heads_) / 4};
  }

  void run(Index first, Index last);
  void merge(Index first, Index last);

 private:
  struct Rows {
    RowMajorMatrix<T> sums;  // [rows, d_v], not divided
    std::vector<T> largest, sum;

    void reset(Index rows, Index d_v) {
      sums.setZero(rows, d_v);
      largest.assign(static_cast<std::size_t>(rows), std::numeric_limits<T>::lowest());
      sum.assign(static_cast<std::size_t>(rows), T(0));
    }
  };
  /// A head of keys and values, and the queries that read it.
  struct Head {
    QueryBlock block;
    Rows* rows;
    RowMajorMatrix<T> queries;
    HeadReader<T> keys, values;
  };
  struct Scratch {
    std::vector<Head> heads;
    RowMajorMatrix<T> keys, values, scores;
    std::vector<SeenKeys> seen;
    std::vector<KeyRange> ranges;
    std::vector<T> factors;
  };

  /// How the keys of a sequence are split: into `count` parts of at most `keys` keys.
  struct KeyParts {
    Index count, keys;
  };
  KeyParts key_parts(Index seq_k) const {
    const Index keys = call_.most_keys(blocks_.tokens, seq_k);
    const Index count = std::clamp<Index>(keys / kPartKeys, 1, most_parts_);
    return {count, ((keys + count - 1) / count + kKeyBlock - 1) / kKeyBlock * kKeyBlock};
  }

  void run_part(Index part, Scratch& scratch) const;
  void add_scores(const QueryBlock& block, Index first, HeadRows<T> scores, Rows& rows,
                  Scratch& scratch) const;
  void finish(const QueryBlock& block, Rows& rows) const;

  const AttentionCall<T>& call_;
  const TokenOutput<T>& out_;
  const TokenOutput<T>* log_sum_;
  QueryBlocks blocks_;
  Index block_count_ = 0, most_parts_ = 1;
  Index parts_ = 1;  // of the longest sequence
  Index heads_ = 1;  // of keys, in a task
  std::vector<Rows> partial_;
};

template <RowScalar T>
void AttendForward<T>::run(Index first, Index last) {
  Scratch scratch;
  scratch.scores.setZero(std::min(kQueryRows, call_.sizes.seq_q * call_.sizes.group()), kKeyBlock);
  scratch.heads.resize(static_cast<std::size_t>(heads_));
  Rows rows;
  for (Index task = first; task < last; ++task) {
    const Index n = task / parts_, part = task % parts_, per_head = blocks_.per_head;
    for (Index h = 0; h < heads_; ++h) {
      // The blocks of queries of one head follow each other, then come those of the next head.
      const Index at = heads_ == 1 ? n : (n / per_head * heads_ + h) * per_head + n % per_head;
      Head& head = scratch.heads[static_cast<std::size_t>(h)];
      head.block = blocks_.block(at);
      head.rows = parts_ == 1 ? &rows : &partial_[static_cast<std::size_t>(at * parts_ + part)];
    }
    run_part(part, scratch);
    if (parts_ == 1) finish(scratch.heads[0].block, rows);
  }
}

/// Runs a part of the keys of the heads in `scratch`, which are of one sequence and of the same tokens.
template <RowScalar T>
void AttendForward<T>::run_part(Index part, Scratch& scratch) const {
  const QueryBlock& tokens = scratch.heads[0].block;
  const KeyParts parts = key_parts(call_.keys_of(tokens.b));
  if (part >= parts.count) return;
  const Index count = call_.rows(tokens);
  call_.visible_to(tokens.b).of_block(tokens.first, tokens.count, scratch.seen, scratch.ranges);
  if (scratch.scores.rows() < count) scratch.scores.setZero(count, kKeyBlock);  // a group of many heads
  for (Head& head : scratch.heads) {
    head.rows->reset(count, call_.sizes.d_v);
    call_.read_heads(call_.queries, head.block, head.queries);
    head.queries *= call_.scale;
    head.keys = call_.keys.head(head.block.b, head.block.kv_head);
    head.values = call_.values.head(head.block.b, head.block.kv_head);
  }
  for_each_key_block(
      std::span<const KeyRange>(scratch.ranges), part * parts.keys, (part + 1) * parts.keys,
      heads_ == 1 ? kKeyBlock : kSharedKeyBlock, [&](Index, Index first, Index width) {
        const HeadRows<T> scores = score_rows(scratch.scores, count, 0, width);
        for (const Head& head : scratch.heads) {
          multiply_transposed<T>(head.queries, head.keys.read(first, width, scratch.keys), scores);
          if (call_.options.soft_cap) cap_scores<T>(*call_.options.soft_cap, scores);
          add_scores(head.block, first, scores, *head.rows, scratch);
          add_product<T>(scores, head.values.read(first, width, scratch.values), head.rows->sums);
        }
      });
}

/// Replaces scores by exponentials, and has the sums so far multiplied by what their shift has changed by.
template <RowScalar T>
void AttendForward<T>::add_scores(const QueryBlock& block, Index first, HeadRows<T> scores, Rows& rows,
                                  Scratch& scratch) const {
  const Index width = scores.cols();
  for (Index r = 0; r < scores.rows(); ++r) {
    const ScoreRow<T> row = call_.score_row(block, r, scratch.seen, first, scores);
    if (row.hidden()) {
      scores.row(r).setZero();
      continue;
    }
    T& largest = rows.largest[static_cast<std::size_t>(r)];
    T& sum = rows.sum[static_cast<std::size_t>(r)];
    const T before = largest;
    const T added = row.exponentiate([&](const auto& s) { return largest = std::max(before, s.maxCoeff()); });
    if (largest > before) {
      const T factor = std::exp(before - largest);
      sum *= factor;
      rows.sums.row(r) *= factor;
    }
    sum += added;
    if (call_.dropout().active()) {
      scratch.factors.resize(static_cast<std::size_t>(kKeyBlock));
      call_.dropout_factors(block, r, first, width, scratch.factors.data());
      for (Index j = 0; j < width; ++j) row.scores[j] *= scratch.factors[static_cast<std::size_t>(j)];
    }
  }
}

/// Merges the parts of blocks [first, last), in the order of their keys.
template <RowScalar T>
void AttendForward<T>::merge(Index first, Index last) {
  for (Index n = first; n < last; ++n) {
    const QueryBlock block = blocks_.block(n);
    const Index count = key_parts(call_.keys_of(block.b)).count;
    Rows* const parts = partial_.data() + n * parts_;
    Rows& all = parts[0];
    for (Index part = 1; part < count; ++part) {
      Rows& more = parts[part];
      for (std::size_t r = 0; r < all.sum.size(); ++r) {
        const T largest = std::max(all.largest[r], more.largest[r]);
        const T factor = std::exp(all.largest[r] - largest), of_more = std::exp(more.largest[r] - largest);
        const auto at = static_cast<Index>(r);
        all.sums.row(at) = all.sums.row(at) * factor + more.sums.row(at) * of_more;
        all.sum[r] = all.sum[r] * factor + more.sum[r] * of_more;
        all.largest[r] = largest;
      }
    }
    finish(block, all);
  }
}

/// Adds the sink logits, divides and writes.
template <RowScalar T>
void AttendForward<T>::finish(const QueryBlock& block, Rows& rows) const {
  const Index d_v = call_.sizes.d_v, count = call_.rows(block);
  for (Index r = 0; r < count; ++r) {
    T& largest = rows.largest[static_cast<std::size_t>(r)];
    T& sum = rows.sum[static_cast<std::size_t>(r)];
    T factor = 1;
    if (!call_.options.sink_logits.empty()) {
      const T logit = call_.options.sink_logits[static_cast<std::size_t>(call_.head_of(block, r))];
      const T shift = std::max(largest, logit);
      factor = std::exp(largest - shift);
      sum = sum * factor + std::exp(logit - shift);
      largest = shift;
    }
    const bool sees_nothing = is_equal(sum, T(0));
    rows.sums.row(r) *= sees_nothing ? T(0) : factor / sum;
    sum = sees_nothing ? -std::numeric_limits<T>::infinity() : largest + std::log(sum);
  }
  for (Index row = 0; row < count; row += block.count) {
    const Index head = call_.head_of(block, row);
    out_.write_head(block.b, head, block.first, block.count, rows.sums.data() + row * d_v, d_v);
    if (log_sum_) log_sum_->write_head(block.b, head, block.first, block.count, rows.sum.data() + row, 1);
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
