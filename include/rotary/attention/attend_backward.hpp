// The gradients of attention with respect to queries, keys, values and sink logits.
#pragma once

#include "attention_buffers.hpp"
#include "attention_call.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Rows of queries in a block of backward, whose exponentials are stored for all keys that it sees; keys in a product; and
/// how many tasks there are at least, if there are as many blocks.
inline constexpr Index kBackwardRows = 32, kBackwardKeys = 256, kNarrowBackwardKeys = 512,
                       kBackwardTasks = 16;

/// With a the probabilities, a' those after dropout and ∂a'_ij = ⟨∂out_i, v_j⟩:
///
///     ∂v_j = Σ_i a'_ij ∂out_i        ∂s_ij = a'_ij ∂a'_ij − a_ij δ_i        δ_i = Σ_j a'_ij ∂a'_ij
///     ∂q_i = scale Σ_j ∂s_ij k_j     ∂k_j = scale Σ_i ∂s_ij q_i             ∂sink = −Σ_i a_i,sink δ_i
///
/// In exact arithmetic δ is ⟨out, ∂out⟩, and exp(s − log_sum) sums to 1. With rounding neither matches its row of
/// probabilities; if a few keys have nearly all the probability, the difference of the two terms of ∂s is mostly that
/// mismatch. So a row is divided by its own sum, δ is summed from the same row, and both terms are computed in double.
///
/// A call that has some of the keys only cannot sum a row: it is given `delta`, [.., seq_q, heads], and a `log_sum` of all keys.
/// The error of exp(s − log_sum) is then a common factor of a row of ∂s, and that of δ one rounding of ⟨out, ∂out⟩.
///
/// A task has some of the blocks of queries of one head of keys. It adds to gradients of its own, [features, keys], for
/// which products are faster than for [keys, features]; those of one head are added in the order of its tasks. Sizes alone
/// decide how many tasks there are, so the bits do not depend on threads.
template <RowScalar T>
class AttendBackward {
  template <class S>
  using Matrix = RowMajorMatrix<S>;
  using KeyGradients = detail::KeyGradients<T>;
  using Chunk = KeyChunk;
  /// The keys and values of a head, read once for each task.
  struct HeadTokens {
    HeadRows<const T> keys;
    HeadRows<double> exact_values;
  };

 public:
  struct Tensors {
    TokenInput<T> grad_out, log_sum;
    TokenOutput<T> grad_queries, grad_keys, grad_values;
    std::span<T> grad_sink_logits;
    std::optional<TokenInput<T>> delta = {};
  };

  using Scratch = BackwardScratch<T>;
  using Workspace = BackwardWorkspace<T>;

  AttendBackward(const AttentionCall<T>& call, const Tensors& tensors)
      : AttendBackward(call, tensors, own_) {}
  AttendBackward(const AttentionCall<T>& call, const Tensors& tensors, Workspace& workspace)
      : call_(call),
        tensors_(tensors),
        blocks_(call.sizes, kBackwardRows),
        keys_(call.sizes.narrow() ? kNarrowBackwardKeys : kBackwardKeys),
        partial_(workspace.partial) {
    heads_ = call.sizes.batch * call.sizes.kv_heads;
    if (heads_ < kBackwardTasks)
      parts_ = std::clamp<Index>(kBackwardTasks / heads_, 1, std::max<Index>(1, blocks_.per_head));
    if (const auto count = static_cast<std::size_t>(tasks()); parts_ > 1 && partial_.size() < count)
      partial_.resize(count);
    if (has_sinks()) grad_sinks_.assign(static_cast<std::size_t>(tasks() * call.sizes.group()), 0.0);
  }

  Index tasks() const { return heads_ * parts_; }
  Index merges() const { return parts_ > 1 ? heads_ : 0; }
  /// Of one task.
  Eigen::TensorOpCost cost() const {
    const auto& sizes = call_.sizes;
    const double keys = static_cast<double>(sizes.seq_k * (sizes.d + sizes.d_v));
    return {keys * sizeof(T), keys * sizeof(T),
            keys * static_cast<double>(sizes.seq_q * sizes.group() / parts_ + 1)};
  }

  void run(Index first, Index last) {
    Scratch scratch;
    run(first, last, scratch);
  }
  void run(Index first, Index last, Scratch& scratch);
  void merge(Index first, Index last) {
    Scratch scratch;
    merge(first, last, scratch);
  }
  void merge(Index first, Index last, Scratch& scratch);
  void write_sink_gradients() const;

 private:
  bool has_sinks() const { return !call_.options.sink_logits.empty(); }

  HeadTokens read_head(Index head, Scratch& scratch) const;
  void run_block(const QueryBlock& block, const HeadTokens& of_head, KeyGradients& gradients,
                 double* grad_sinks, Scratch& scratch) const;
  void find_chunks(const QueryBlock& block, Scratch& scratch) const;
  void exponentiate(const QueryBlock& block, const Chunk& chunk, Scratch& scratch) const;
  HeadRows<T> drop(const QueryBlock& block, const Chunk& chunk, HeadRows<T> exps, Scratch& scratch) const;
  void write_key_gradients(Index head, const KeyGradients& gradients, Scratch& scratch) const;
  void write_rows(const TokenOutput<T>& out, const HeadReader<T>& reader, Index b, Index head,
                  const Matrix<T>& transposed, Matrix<T>& buffer) const;

  const AttentionCall<T>& call_;
  const Tensors& tensors_;
  QueryBlocks blocks_;
  Index keys_;  // in a product
  Index heads_ = 0, parts_ = 1;
  Workspace own_;
  std::vector<KeyGradients>& partial_;  // of own_, or of the caller
  std::vector<double> grad_sinks_;      // [tasks, group]
};

template <RowScalar T>
void AttendBackward<T>::run(Index first, Index last, Scratch& scratch) {
  const auto& sizes = call_.sizes;
  for (Index task = first; task < last; ++task) {
    KeyGradients& gradients = parts_ > 1 ? partial_[static_cast<std::size_t>(task)] : scratch.gradients;
    gradients.keys.setZero(sizes.d, sizes.seq_k);
    gradients.values.setZero(sizes.d_v, sizes.seq_k);
    const Index head = task / parts_;
    const HeadTokens of_head = read_head(head, scratch);
    // Every parts_-th block, since with causal attention later blocks take longer.
    for (Index n = task % parts_; n < blocks_.per_head; n += parts_)
      run_block(blocks_.block(head * blocks_.per_head + n), of_head, gradients,
                has_sinks() ? grad_sinks_.data() + task * sizes.group() : nullptr, scratch);
    if (parts_ == 1) write_key_gradients(head, gradients, scratch);
  }
}

template <RowScalar T>
typename AttendBackward<T>::HeadTokens AttendBackward<T>::read_head(Index head, Scratch& scratch) const {
  const Index b = head / call_.sizes.kv_heads, h = head % call_.sizes.kv_heads, count = call_.sizes.seq_k;
  HeadRows<double> exact_values = first_rows(scratch.exact_values, count, call_.sizes.d_v);
  exact_values = call_.values.head(b, h).read(0, count, scratch.values).template cast<double>();
  return {call_.keys.head(b, h).read(0, count, scratch.keys), exact_values};
}

template <RowScalar T>
void AttendBackward<T>::run_block(const QueryBlock& block, const HeadTokens& of_head, KeyGradients& gradients,
                                  double* grad_sinks, Scratch& scratch) const {
  const Index rows = call_.rows(block), d = call_.sizes.d;
  const Index d_v = call_.sizes.d_v;
  HeadRows<T> queries = call_.read_heads(call_.queries, block, scratch.queries),
              grad_out = call_.read_heads(tensors_.grad_out, block, scratch.grad_out);
  queries *= call_.scale;
  call_.read_heads(tensors_.log_sum, block, scratch.log_sum);
  HeadRows<double> exact_grad_out = first_rows(scratch.exact_grad_out, rows, d_v);
  exact_grad_out = grad_out.template cast<double>();
  find_chunks(block, scratch);

  scratch.sum.assign(static_cast<std::size_t>(rows), 0.0);
  scratch.delta.assign(static_cast<std::size_t>(rows), 0.0);
  for (const Chunk& chunk : scratch.chunks) {
    multiply_transposed<T>(queries, of_head.keys.middleRows(chunk.first, chunk.count),
                           score_rows(scratch.exps, rows, chunk.column, chunk.count));
    exponentiate(block, chunk, scratch);
  }
  // a = exps / Σ exps. Dividing the gradient, which is narrower, has the effect of dividing the row.
  std::vector<double>&inverse = scratch.sum, &delta = scratch.delta;
  const auto sink = [&](Index r) {
    const T logit = call_.options.sink_logits[static_cast<std::size_t>(call_.head_of(block, r))];
    return static_cast<double>(std::exp(logit - scratch.log_sum(r, 0)));
  };
  if (tensors_.delta) {
    const HeadRows<T> given = call_.read_heads(*tensors_.delta, block, scratch.given_delta);
    std::fill(inverse.begin(), inverse.end(), 1.0);
    for (Index r = 0; r < rows; ++r) delta[static_cast<std::size_t>(r)] = given(r, 0);
  } else {
    for (Index r = 0; r < rows; ++r) {
      double& sum = inverse[static_cast<std::size_t>(r)];
      if (grad_sinks) sum += sink(r);
      sum = is_equal(sum, 0.0) ? 0 : 1 / sum;  // 0: no key is seen
      grad_out.row(r) *= static_cast<T>(sum);
    }
  }

  for (const Chunk& chunk : scratch.chunks) {
    const HeadRows<T> weights =
        drop(block, chunk, score_rows(scratch.exps, rows, chunk.column, chunk.count), scratch);
    add_transposed_product<T>(grad_out, weights, gradients.values.middleCols(chunk.first, chunk.count));
    HeadRows<double> exact = score_rows(scratch.exact, rows, chunk.column, chunk.count);
    multiply_transposed<double>(exact_grad_out, of_head.exact_values.middleRows(chunk.first, chunk.count),
                                exact);
    for (Index r = 0; r < rows; ++r) {
      const auto at = static_cast<std::size_t>(r);
      exact.row(r).array() *= weights.row(r).template cast<double>().array() * inverse[at];
      if (!tensors_.delta) delta[at] += exact.row(r).sum() * inverse[at];
    }
  }
  if (grad_sinks)
    for (Index r = 0; r < rows; ++r)
      grad_sinks[r / block.count] -= sink(r) * delta[static_cast<std::size_t>(r)];

  HeadRows<T> grad_queries = first_rows(scratch.grad_queries, rows, d);
  grad_queries.setZero();
  grow_scores(scratch.grad_scores, rows, keys_);
  for (const Chunk& chunk : scratch.chunks) {
    HeadRows<T> grad = score_rows(scratch.grad_scores, rows, 0, chunk.count);
    const HeadRows<T> exps = score_rows(scratch.exps, rows, chunk.column, chunk.count);
    const HeadRows<double> exact = score_rows(scratch.exact, rows, chunk.column, chunk.count);
    for (Index r = 0; r < rows; ++r)
      grad.row(r) = (exact.row(r) - delta[static_cast<std::size_t>(r)] * exps.row(r).template cast<double>())
                        .template cast<T>();
    if (call_.options.score_function) {
      const HeadRows<T> results = score_rows(scratch.results, rows, chunk.column, chunk.count);
      for (Index row = 0; row < rows; row += block.count)
        call_.options.score_function->apply_gradient(call_.score_block(block, row, chunk.first, results),
                                                     call_.score_block(block, row, chunk.first, grad));
    }
    if (call_.options.soft_cap) {
      const HeadRows<T> capped = score_rows(scratch.capped, rows, chunk.column, chunk.count);
      const T inverse_cap = static_cast<T>(1 / *call_.options.soft_cap);
      grad.array() *= T(1) - (capped.array() * inverse_cap).square();
    }
    add_product<T>(grad, of_head.keys.middleRows(chunk.first, chunk.count), grad_queries);
    add_transposed_product<T>(queries, grad, gradients.keys.middleCols(chunk.first, chunk.count));
  }
  grad_queries *= call_.scale;
  for (Index row = 0; row < rows; row += block.count) {
    const Index head = call_.head_of(block, row);
    T* const tokens = grad_queries.data() + row * d;
    call_.queries.head(block.b, head).rotate_back(block.first, block.count, tokens, d);
    tensors_.grad_queries.write_head(block.b, head, block.first, block.count, tokens, d);
  }
}

/// The keys that a block sees, and buffers that are wide enough for them.
template <RowScalar T>
void AttendBackward<T>::find_chunks(const QueryBlock& block, Scratch& scratch) const {
  call_.visible.of_block(block.first, block.count, scratch.seen, scratch.ranges);
  scratch.chunks.clear();
  Index width = 0;
  for_each_key_block(std::span<const KeyRange>(scratch.ranges), 0, call_.sizes.seq_k, keys_,
                     [&](Index, Index first, Index count) {
                       scratch.chunks.push_back({width, first, count});
                       width += ScoreRow<T>::padded(count);
                     });
  const Index rows = call_.rows(block);
  grow_scores(scratch.exps, rows, width);
  grow_scores(scratch.exact, rows, width);
  if (call_.options.soft_cap) grow_scores(scratch.capped, rows, width);
  if (call_.options.score_function) grow_scores(scratch.results, rows, width);
  if (call_.dropout().active()) grow_scores(scratch.dropped, rows, keys_);
}

/// Scores become exponentials exp(s − log_sum), 0 where the key is hidden, which are added to the sums.
template <RowScalar T>
void AttendBackward<T>::exponentiate(const QueryBlock& block, const Chunk& chunk, Scratch& scratch) const {
  const Index rows = call_.rows(block);
  HeadRows<T> scores = score_rows(scratch.exps, rows, chunk.column, chunk.count);
  if (call_.options.soft_cap) {
    cap_scores<T>(*call_.options.soft_cap, scores);
    score_rows(scratch.capped, rows, chunk.column, chunk.count) = scores;
  }
  if (call_.options.score_function) {
    call_.apply_score_function(block, chunk.first, scores);
    score_rows(scratch.results, rows, chunk.column, chunk.count) = scores;
  }
  for (Index r = 0; r < rows; ++r) {
    const ScoreRow<T> row = call_.score_row(block, r, scratch.seen, chunk.first, scores);
    if (row.hidden()) {
      scores.row(r).setZero();
      continue;
    }
    const T log_sum = scratch.log_sum(r, 0);
    row.exponentiate([&](const auto&) { return log_sum; });
    scratch.sum[static_cast<std::size_t>(r)] += row.exact_sum();
  }
}

/// The exponentials after dropout; without dropout, `exps`.
template <RowScalar T>
HeadRows<T> AttendBackward<T>::drop(const QueryBlock& block, const Chunk& chunk, HeadRows<T> exps,
                                    Scratch& scratch) const {
  if (!call_.dropout().active()) return exps;
  HeadRows<T> dropped = score_rows(scratch.dropped, exps.rows(), 0, chunk.count);
  for (Index r = 0; r < exps.rows(); ++r)
    call_.dropout_factors(block, r, chunk.first, chunk.count, &dropped(r, 0));
  dropped.array() *= exps.array();
  return dropped;
}

/// Adds the gradients of the parts of heads [first, last), in order, and writes them.
template <RowScalar T>
void AttendBackward<T>::merge(Index first, Index last, Scratch& scratch) {
  for (Index head = first; head < last; ++head) {
    KeyGradients* const parts = partial_.data() + head * parts_;
    for (Index part = 1; part < parts_; ++part) {
      parts[0].keys += parts[part].keys;
      parts[0].values += parts[part].values;
    }
    write_key_gradients(head, parts[0], scratch);
  }
}

template <RowScalar T>
void AttendBackward<T>::write_key_gradients(Index head, const KeyGradients& gradients,
                                            Scratch& scratch) const {
  const Index b = head / call_.sizes.kv_heads, h = head % call_.sizes.kv_heads;
  write_rows(tensors_.grad_keys, call_.keys.head(b, h), b, h, gradients.keys, scratch.tokens);
  write_rows(tensors_.grad_values, call_.values.head(b, h), b, h, gradients.values, scratch.tokens);
}

template <RowScalar T>
void AttendBackward<T>::write_rows(const TokenOutput<T>& out, const HeadReader<T>& reader, Index b,
                                   Index head, const Matrix<T>& transposed, Matrix<T>& buffer) const {
  for (Index first = 0; first < transposed.cols(); first += kBackwardKeys) {
    const Index count = std::min(kBackwardKeys, transposed.cols() - first);
    HeadRows<T> rows = first_rows(buffer, count, transposed.rows());
    rows = transposed.middleCols(first, count).transpose();
    reader.rotate_back(first, count, rows.data(), rows.cols());
    out.write_head(b, head, first, count, rows.data(), rows.cols());
  }
}

/// After all tasks.
template <RowScalar T>
void AttendBackward<T>::write_sink_gradients() const {
  if (!has_sinks() || tensors_.grad_sink_logits.empty()) return;
  const Index kv_heads = call_.sizes.kv_heads, group = call_.sizes.group();
  for (Index h = 0; h < call_.sizes.heads; ++h) {
    double sum = 0;
    for (Index b = 0; b < call_.sizes.batch; ++b)
      for (Index part = 0; part < parts_; ++part) {
        const Index task = (b * kv_heads + h / group) * parts_ + part;
        sum += grad_sinks_[static_cast<std::size_t>(task * group + h % group)];
      }
    tensors_.grad_sink_logits[static_cast<std::size_t>(h)] = static_cast<T>(sum);
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
