// Attention forward: blocks of queries against blocks of keys, with online softmax.
#pragma once

#include "attention_buffers.hpp"
#include "attention_call.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Rows of queries and keys in a block: scores and the accumulator stay in the second-level cache. For narrow heads fewer
/// queries, of whose causal scores fewer are hidden, and more keys, since each row of a block has a cost of its own.
inline constexpr Index kQueryRows = 128, kKeyBlock = 256, kNarrowQueryRows = 32, kNarrowKeyBlock = 512;
/// With fewer blocks of queries than this the keys are split too, into at most kMostKeyParts parts of at least kPartKeys keys.
inline constexpr Index kSplitBelowBlocks = 64, kMostKeyParts = 16, kPartKeys = 1024;
/// Blocks of at most so many rows, as in decoding, are bound by memory. They read a part of the keys for all heads together,
/// kSharedKeyBlock keys at a time: the heads of a token are contiguous, but the tokens of one head have a large stride, for which
/// the processor does not prefetch (bench/run.sh --filter attention/decode).
inline constexpr Index kSharedRows = 16, kSharedKeyBlock = 64, kSharedPartKeys = 256;

/// out_i = Σ_j softmax_j(s_ij) v_j for all queries of a call (Milakov and Gimelshein 2018; Dao et al. 2022).
///
/// For a row of scores, `largest` m and `sum` l are those of the keys so far, and the accumulator is Σ exp(s − m) v. A new block of
/// keys with a larger m' first multiplies l and the accumulator by exp(m − m').
///
/// Tasks may run in any order and on any thread. What a task computes depends on sizes alone, and parts are merged in
/// their order, so the bits do not depend on threads.
template <RowScalar T>
class AttendForward {
  using Rows = QueryRows<T>;

 public:
  using Scratch = ForwardScratch<T>;
  using Workspace = ForwardWorkspace<T>;

  AttendForward(const AttentionCall<T>& call, const TokenOutput<T>& out, const TokenOutput<T>* log_sum)
      : AttendForward(call, out, log_sum, own_) {}
  AttendForward(const AttentionCall<T>& call, const TokenOutput<T>& out, const TokenOutput<T>* log_sum,
                Workspace& workspace)
      : call_(call),
        out_(out),
        log_sum_(log_sum),
        blocks_(call.sizes, call.sizes.narrow() ? kNarrowQueryRows : kQueryRows),
        key_block_(call.sizes.narrow() ? kNarrowKeyBlock : kKeyBlock),
        partial_(workspace.partial) {
    block_count_ = call.sizes.batch * call.sizes.kv_heads * blocks_.per_head;
    // With sequences of a cache the batch does not count, so that a sequence has the same bits in any batch.
    const Index blocks = call.seq_k_of.empty() ? block_count_ : call.sizes.kv_heads * blocks_.per_head;
    most_parts_ = blocks < kSplitBelowBlocks ? kMostKeyParts : 1;
    const bool shared = blocks_.tokens * call.sizes.group() <= kSharedRows;
    if (shared) key_block_ = kSharedKeyBlock, part_keys_ = kSharedPartKeys;
    parts_ = key_parts(call.sizes.seq_k).count;
    if (const auto count = static_cast<std::size_t>(block_count_ * parts_);
        parts_ > 1 && partial_.size() < count)
      partial_.resize(count);
    if (shared && parts_ > 1) heads_ = call.sizes.kv_heads;
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

  void run(Index first, Index last) {
    Scratch scratch;
    run(first, last, scratch);
  }
  void run(Index first, Index last, Scratch& scratch);
  void merge(Index first, Index last);

 private:
  /// How the keys of a sequence are split: into `count` parts of at most `keys` keys.
  struct KeyParts {
    Index count, keys;
  };
  KeyParts key_parts(Index seq_k) const {
    const Index keys = call_.most_keys(blocks_.tokens, seq_k);
    const Index count = std::clamp<Index>(keys / part_keys_, 1, most_parts_);
    return {count, ((keys + count - 1) / count + key_block_ - 1) / key_block_ * key_block_};
  }

  void run_part(Index part, Scratch& scratch) const;
  void add_scores(const QueryBlock& block, Index first, HeadRows<T> scores, Rows& rows,
                  Scratch& scratch) const;
  void finish(const QueryBlock& block, Rows& rows) const;

  const AttentionCall<T>& call_;
  const TokenOutput<T>& out_;
  const TokenOutput<T>* log_sum_;
  QueryBlocks blocks_;
  Index key_block_;
  Index block_count_ = 0, most_parts_ = 1, part_keys_ = kPartKeys;
  Index parts_ = 1;  // of the longest sequence
  Index heads_ = 1;  // of keys, in a task
  Workspace own_;
  std::vector<Rows>& partial_;  // of own_, or of the caller
};

template <RowScalar T>
void AttendForward<T>::run(Index first, Index last, Scratch& scratch) {
  scratch.heads.resize(static_cast<std::size_t>(heads_));
  for (Index task = first; task < last; ++task) {
    const Index n = task / parts_, part = task % parts_, per_head = blocks_.per_head;
    for (Index h = 0; h < heads_; ++h) {
      // The blocks of queries of one head follow each other, then come those of the next head.
      const Index at = heads_ == 1 ? n : (n / per_head * heads_ + h) * per_head + n % per_head;
      ForwardHead<T>& head = scratch.heads[static_cast<std::size_t>(h)];
      head.block = blocks_.block(at);
      head.rows = parts_ == 1 ? &scratch.rows : &partial_[static_cast<std::size_t>(at * parts_ + part)];
    }
    run_part(part, scratch);
    if (parts_ == 1) finish(scratch.heads[0].block, scratch.rows);
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
  if (scratch.scores.rows() < count || scratch.scores.cols() != key_block_ + kScorePadding)
    scratch.scores.setZero(count, key_block_ + kScorePadding);
  for (ForwardHead<T>& head : scratch.heads) {
    head.rows->reset(count, call_.sizes.d_v);
    call_.read_heads(call_.queries, head.block, head.queries) *= call_.scale;
    head.keys = call_.keys.head(head.block.b, head.block.kv_head);
    head.values = call_.values.head(head.block.b, head.block.kv_head);
  }
  for_each_key_block(std::span<const KeyRange>(scratch.ranges), part * parts.keys, (part + 1) * parts.keys,
                     key_block_, [&](Index, Index first, Index width) {
                       const HeadRows<T> scores = score_rows(scratch.scores, count, 0, width);
                       for (const ForwardHead<T>& head : scratch.heads) {
                         multiply_transposed<T>(head.queries.topRows(count),
                                                head.keys.read(first, width, scratch.keys), scores);
                         if (call_.options.soft_cap) cap_scores<T>(*call_.options.soft_cap, scores);
                         call_.apply_score_function(head.block, first, scores);
                         add_scores(head.block, first, scores, *head.rows, scratch);
                         add_product<T>(scores, head.values.read(first, width, scratch.values),
                                        head.rows->sums.topRows(count));
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
    if (largest > before && sum > T(0)) {  // else there is nothing to multiply, and exp underflows slowly
      const T factor = std::exp(before - largest);
      sum *= factor;
      rows.sums.row(r) *= factor;
    }
    sum += added;
    if (call_.dropout().active()) {
      scratch.factors.resize(static_cast<std::size_t>(key_block_));
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
