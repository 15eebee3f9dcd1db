// The forward and the backward pass of multi-head attention with rotary positions.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "attend.hpp"
#include "attention_mask.hpp"
#include "attention_probabilities.hpp"
#include "attention_weights.hpp"
#include "head_norm.hpp"
#include "head_rotation.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of one call of `RotaryMultiHeadAttention`.
struct AttendOptions {
  bool causal = false;      ///< query i sees keys 0 to i only; hidden scores are not computed
  AttentionMask mask = {};  ///< hides further keys: [seq_q or 1, seq_k, batch or 1], 0 where hidden
  /// Given in training: the seed of dropout, which drops the same probabilities in every call. Left out, none
  /// are dropped.
  std::optional<std::uint64_t> dropout_seed = {};
  /// For a part of a batch: the index of its first sequence, which dropout depends on.
  Index first_sequence = 0;
  /// Do queries, keys and values rotate? False where positions of queries and keys do not belong together, as
  /// in attention to another text.
  bool rotate = true;
};

template <class X, class Stored>
class KeyValueCache;
struct SequenceId;

namespace detail {
template <RowScalar T>
class AttentionCore;
}  // namespace detail

/// The activations that backward of `RotaryMultiHeadAttention` needs of a forward pass. Use one object per thread, and reuse
/// it from step to step: its memory is reused too.
template <RowScalar T>
class AttentionActivations {
 public:
  /// The number of queries of a sequence in the last forward pass; 0 before any.
  Index seq_q() const { return seq_q_; }
  /// The number of keys of a sequence in the last forward pass; 0 before any.
  Index seq_k() const { return seq_k_; }
  /// The number of sequences in the last forward pass; 0 before any.
  Index batch() const { return batch_; }

 private:
  friend class detail::AttentionCore<T>;
  using Matrix = detail::RowMajorMatrix<T>;

  bool complete_ = false;  // did the last forward return without an exception?
  Index seq_q_ = 0, seq_k_ = 0, batch_ = 0;
  detail::HeadSizes sizes_ = {};
  AttendOptions options_;
  // A row for each token, [seq, batch]: the inputs, the projected and rotated heads, and the outputs of the
  // heads.
  Matrix query_in_, key_in_, value_in_, queries_, keys_, values_, context_;
  bool key_is_query_ = false, value_is_key_ = false;  // then both inputs are stored once
  Matrix log_sum_;                                    // [batch · seq_q, heads]
  detail::HeadNorm<T> query_norm_, key_norm_;
  Matrix grad_queries_, grad_keys_, grad_values_, grad_context_, rows_;
  detail::ForwardWorkspace<T> forward_;
  detail::BackwardWorkspace<T> backward_;

  const Matrix& key_in() const { return key_is_query_ ? query_in_ : key_in_; }
  const Matrix& value_in() const { return value_is_key_ ? key_in() : value_in_; }
};

namespace detail {

/// The weights and rotations of attention, and its two passes. Views must be [seq, batch, d_model]; callers
/// check that.
///
/// The passes are defined outside the class, so that a program may compile them once for all of its files.
template <RowScalar T>
class AttentionCore {
 public:
  using Weights = AttentionWeights<T>;
  using Activations = AttentionActivations<T>;

  Weights weights;

  explicit AttentionCore(const RotaryMultiHeadAttentionOptions& options)
      : weights(options), options_(options), sizes_(head_sizes<T>(options)), rotation_(options, sizes_.d_k) {}

  const RotaryMultiHeadAttentionOptions& options() const { return options_; }
  const HeadSizes& sizes() const { return sizes_; }
  const HeadRotation<T>& rotation() const { return rotation_; }

  void forward(const StridedView<const T>& query, const StridedView<const T>& key,
               const StridedView<const T>& value, const StridedView<T>& out, const AttendOptions& options,
               Activations& a) const;
  void backward(const StridedView<const T>& grad_out, Activations& a, Weights& gradients,
                const std::array<StridedView<T>, 3>& grad_in) const;
  Tensor<T, 4> probabilities(const Activations& a) const;
  /// In forward_cached.hpp.
  template <class Stored>
  void forward_cached(const StridedView<const T>& x, KeyValueCache<T, Stored>& cache,
                      std::span<const SequenceId> ids, const StridedView<T>& out) const;
  void check_complete(const Activations& a) const {
    if (!a.complete_ || a.sizes_ != sizes_)
      fail("these activations are not of a forward pass of this attention");
  }

  std::shared_ptr<const ScoreFunction<T>> score_function;

 private:
  using Matrix = RowMajorMatrix<T>;

  /// Rows of tokens as a tensor [seq, batch, d_model].
  StridedView<T> tokens(Matrix& rows, Index seq, Index batch) const {
    return StridedView<T>(rows.data(), {seq, batch, sizes_.d_model});
  }
  /// Rows of tokens as a tensor [seq, batch, heads, d_k].
  StridedView<T> heads_of(Matrix& rows, Index seq, Index batch) const {
    return StridedView<T>(rows.data(), {seq, batch, rows.cols() / sizes_.d_k, sizes_.d_k});
  }
  /// Heads one after the other as `attend` takes them, [batch, seq, heads, d_k]; in memory [batch, heads, seq, d_k].
  StridedView<const T> by_head(const Matrix& heads, Index seq, Index batch) const {
    const Index d_k = sizes_.d_k, count = heads.cols() / d_k;
    return StridedView<const T>(heads.data(), {batch, seq, count, d_k},
                                {count * seq * d_k, d_k, seq * d_k, Index{1}});
  }
  /// Copies rows of tokens to heads: each is read many times, and strided rows share few sets of a cache.
  void to_heads(Matrix& rows, Index seq, Index batch, Matrix& heads) const {
    heads.resize(rows.rows(), rows.cols());
    const StridedView<T> tokens = heads_of(rows, seq, batch);
    T* to = heads.data();
    for (Index b = 0; b < batch; ++b)
      for (Index h = 0; h < tokens.extent(2); ++h, to += seq * sizes_.d_k)
        Eigen::Map<Matrix>(to, seq, sizes_.d_k) = head_rows(tokens, b, h);
  }
  /// Rows of tokens as `attend` takes them, [batch, seq, heads, d_k].
  template <class S, class M>
  StridedView<S> by_sequence(M& rows, Index seq, Index batch) const {
    const Index width = rows.cols(), d_k = sizes_.d_k;
    return StridedView<S>(rows.data(), {batch, seq, width / d_k, d_k}, {width, batch * width, d_k, Index{1}});
  }

  void pack(const StridedView<const T>& x, Matrix& rows) const {
    rows.resize(x.extent(0) * x.extent(1), sizes_.d_model);
    copy_elements(x, tokens(rows, x.extent(0), x.extent(1)));
  }

  static bool same_elements(const StridedView<const T>& a, const StridedView<const T>& b) {
    if (a.data != b.data || !same_shape(a, b)) return false;
    for (int axis = 0; axis < a.rank; ++axis)
      if (a.extent(axis) > 1 && a.stride(axis) != b.stride(axis)) return false;
    return true;
  }

  /// The call of `attend` of a forward pass.
  AttentionCall<T> attention(const Activations& a) const {
    AttentionOptions<T> options{.scale = options_.scale,
                                .causal = a.options_.causal,
                                .window = options_.window,
                                .soft_cap = options_.soft_cap,
                                .score_function = score_function.get(),
                                .first_sequence = a.options_.first_sequence};
    if (a.options_.mask) options.mask = a.options_.mask.view();
    if (a.options_.dropout_seed) {
      options.dropout_prob = options_.dropout_prob;
      options.dropout_seed = *a.options_.dropout_seed;
    }
    return attention_call<T>(by_sequence<const T>(a.queries_, a.seq_q_, a.batch_),
                             by_head(a.keys_, a.seq_k_, a.batch_), by_head(a.values_, a.seq_k_, a.batch_),
                             options);
  }

  TokenInput<T> log_sums(const Activations& a) const {
    return TokenInput<T>::of(
        StridedView<const T>(a.log_sum_.data(), {a.batch_, a.seq_q_, sizes_.heads, Index{1}}), nullptr, "");
  }

  void write_input_gradients(Activations& a, const std::array<StridedView<T>, 3>& grad_in) const {
    const Matrix* const grads[] = {&a.grad_queries_, &a.grad_keys_, &a.grad_values_};
    const Matrix* const maps[] = {&weights.query.weight, &weights.key.weight, &weights.value.weight};
    std::array<bool, 3> written{};
    for (std::size_t first = 0; first < 3; ++first) {
      if (written[first]) continue;
      a.rows_.resize(grads[first]->rows(), sizes_.d_model);
      multiply<T>(*grads[first], *maps[first], a.rows_);
      for (std::size_t other = first + 1; other < 3; ++other) {
        if (!same_elements(grad_in[first], grad_in[other])) continue;
        add_product<T>(*grads[other], *maps[other], a.rows_);
        written[other] = true;
      }
      copy_elements(StridedView<const T>(tokens(a.rows_, grad_in[first].extent(0), a.batch_)),
                    grad_in[first]);
    }
  }

  RotaryMultiHeadAttentionOptions options_;
  HeadSizes sizes_;
  HeadRotation<T> rotation_;
};

template <RowScalar T>
void AttentionCore<T>::forward(const StridedView<const T>& query, const StridedView<const T>& key,
                               const StridedView<const T>& value, const StridedView<T>& out,
                               const AttendOptions& options, Activations& a) const {
  const Index seq_q = query.extent(0), seq_k = key.extent(0), batch = query.extent(1);
  options.mask.check(seq_q, seq_k, batch);
  if (options.rotate) rotation_.check(seq_q, seq_k);
  weights.check(options_, "the weights");
  a.complete_ = false;
  a.seq_q_ = seq_q, a.seq_k_ = seq_k, a.batch_ = batch;
  a.sizes_ = sizes_;
  a.options_ = options;
  a.key_is_query_ = same_elements(key, query);
  a.value_is_key_ = same_elements(value, key);
  pack(query, a.query_in_);
  if (!a.key_is_query_) pack(key, a.key_in_);
  if (!a.value_is_key_) pack(value, a.value_in_);
  Matrix &k = a.grad_keys_, &v = a.grad_values_;  // which are free until backward
  weights.query.forward(a.query_in_, a.queries_);
  weights.key.forward(a.key_in(), k);
  weights.value.forward(a.value_in(), v);
  if (options_.qk_norm) {
    a.query_norm_.forward(weights.query_norm, options_.qk_norm_epsilon, a.queries_);
    a.key_norm_.forward(weights.key_norm, options_.qk_norm_epsilon, k);
  }
  if (options.rotate) {
    rotation_.rotate_queries_and_keys(heads_of(a.queries_, seq_q, batch), heads_of(k, seq_k, batch),
                                      Direction::forward);
    rotation_.rotate_values(heads_of(v, seq_k, batch), Direction::forward);
  }
  to_heads(k, seq_k, batch, a.keys_);
  to_heads(v, seq_k, batch, a.values_);

  a.context_.resize(seq_q * batch, sizes_.query_features());
  a.log_sum_.resize(batch * seq_q, sizes_.heads);
  if (a.context_.size() > 0) {
    const AttentionCall<T> call = attention(a);
    const auto context = TokenOutput<T>::of(by_sequence<T>(a.context_, seq_q, batch)),
               log_sum = TokenOutput<T>::of(
                   StridedView<T>(a.log_sum_.data(), {batch, seq_q, sizes_.heads, Index{1}}));
    AttendForward<T> pass(call, context, &log_sum, a.forward_);
    pass.run(0, pass.tasks(), a.forward_.scratch);
    pass.merge(0, pass.merges());
  }
  if (options.rotate) rotation_.rotate_values(heads_of(a.context_, seq_q, batch), Direction::inverse);
  weights.output.forward(a.context_, a.rows_);
  copy_elements(StridedView<const T>(tokens(a.rows_, seq_q, batch)), out);
  a.complete_ = true;
}

template <RowScalar T>
void AttentionCore<T>::backward(const StridedView<const T>& grad_out, Activations& a, Weights& gradients,
                                const std::array<StridedView<T>, 3>& grad_in) const {
  const Index seq_q = a.seq_q_, seq_k = a.seq_k_, batch = a.batch_;
  check_complete(a);
  weights.check(options_, "the weights");
  gradients.check(options_, "the gradients of the weights");
  for (const auto& [one, other] : {std::pair{0u, 1u}, {0u, 2u}, {1u, 2u}})
    if (!same_elements(grad_in[one], grad_in[other]) &&
        overlap_partly(StridedView<const T>(grad_in[one]), grad_in[other]))
      fail("gradients to be written overlap; they must be the same tensor or apart");

  pack(grad_out, a.rows_);
  weights.output.backward(a.context_, a.rows_, gradients.output);
  a.grad_context_.resizeLike(a.context_);
  multiply<T>(a.rows_, weights.output.weight, a.grad_context_);
  const bool rotate = a.options_.rotate;
  if (rotate) rotation_.rotate_values(heads_of(a.grad_context_, seq_q, batch), Direction::forward);

  a.grad_queries_.resizeLike(a.queries_);
  a.grad_keys_.resizeLike(a.keys_);
  a.grad_values_.resizeLike(a.values_);
  if (batch > 0) {
    const AttentionCall<T> call = attention(a);
    const typename AttendBackward<T>::Tensors tensors{
        TokenInput<T>::of(by_sequence<const T>(a.grad_context_, seq_q, batch), nullptr, ""),
        log_sums(a),
        TokenOutput<T>::of(by_sequence<T>(a.grad_queries_, seq_q, batch)),
        TokenOutput<T>::of(by_sequence<T>(a.grad_keys_, seq_k, batch)),
        TokenOutput<T>::of(by_sequence<T>(a.grad_values_, seq_k, batch)),
        {}};
    AttendBackward<T> pass(call, tensors, a.backward_);
    pass.run(0, pass.tasks(), a.backward_.scratch);
    pass.merge(0, pass.merges(), a.backward_.scratch);
  }
  if (rotate) {
    rotation_.rotate_queries_and_keys(heads_of(a.grad_queries_, seq_q, batch),
                                      heads_of(a.grad_keys_, seq_k, batch), Direction::transpose);
    rotation_.rotate_values(heads_of(a.grad_values_, seq_k, batch), Direction::transpose);
  }
  if (options_.qk_norm) {
    a.query_norm_.backward(weights.query_norm, a.grad_queries_, gradients.query_norm);
    a.key_norm_.backward(weights.key_norm, a.grad_keys_, gradients.key_norm);
  }
  weights.query.backward(a.query_in_, a.grad_queries_, gradients.query);
  weights.key.backward(a.key_in(), a.grad_keys_, gradients.key);
  weights.value.backward(a.value_in(), a.grad_values_, gradients.value);
  write_input_gradients(a, grad_in);
}

/// [seq_q, seq_k, batch, heads], those of the last forward pass.
template <RowScalar T>
Tensor<T, 4> AttentionCore<T>::probabilities(const Activations& a) const {
  check_complete(a);
  checked_elements<T>(checked_product(a.seq_q_, a.seq_k_), checked_product(a.batch_, sizes_.heads));
  Tensor<T, 4> result(a.seq_q_, a.seq_k_, a.batch_, sizes_.heads);
  result.setZero();
  const Index heads = sizes_.heads, keys = a.batch_ * heads;
  if (result.size() > 0)
    write_probabilities(attention(a), log_sums(a),
                        StridedView<T>(result.data(), {a.batch_, heads, a.seq_q_, a.seq_k_},
                                       {heads, Index{1}, a.seq_k_ * keys, keys}));
  return result;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
