// The forward and the backward pass of multi-head attention with rotary positions.
#pragma once

#include <array>
#include <optional>
#include <utility>

#include "attention_mask.hpp"
#include "attention_weights.hpp"
#include "head_rotation.hpp"
#include "scaled_dot_product.hpp"
#include "token_rows.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of one call of attention.
struct AttendOptions {
  bool causal = false;      ///< query i sees keys 0 to i only; hidden scores are not computed
  AttentionMask mask = {};  ///< hides further keys: [seq_q or 1, seq_k, batch or 1], 0 where hidden
  /// Given in training; a seed always drops the same probabilities.
  std::optional<std::uint64_t> dropout_seed = {};
  /// For a part of a batch: the index of its first sequence, which dropout depends on.
  Index first_sequence = 0;
};

namespace detail {
template <RowScalar T>
class AttentionCore;
}  // namespace detail

/// The activations that backward needs of a forward pass. Use one object per thread, and reuse it from step
/// to step: it keeps its memory.
template <RowScalar T>
class AttentionActivations {
 public:
  Index seq_q() const { return seq_q_; }
  Index seq_k() const { return seq_k_; }
  Index batch() const { return batch_; }

 private:
  friend class detail::AttentionCore<T>;
  using Matrix = detail::RowMajorMatrix<T>;

  bool complete_ = false;  // did the last forward return without an exception?
  Index seq_q_ = 0, seq_k_ = 0, batch_ = 0;
  AttendOptions options_;
  // A row for each token, [seq, batch]: the inputs, the projected and rotated heads, and the outputs of the
  // heads.
  Matrix query_in_, key_in_, value_in_, queries_, keys_, values_, context_;
  bool key_is_query_ = false, value_is_key_ = false;  // then both inputs are stored once
  Matrix log_sum_;                                    // [batch · heads, seq_q]
  Matrix grad_queries_, grad_keys_, grad_values_, grad_context_, rows_;
  detail::AttentionScratch<T> scratch_;

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

  AttentionCore(Index heads, Index d_model, bool bias, double dropout_prob, HeadRotation<T> rotation)
      : weights(d_model, bias),
        rotation_(std::move(rotation)),
        heads_(heads),
        d_model_(d_model),
        bias_(bias),
        dropout_prob_(dropout_prob) {}

  const HeadRotation<T>& rotation() const { return rotation_; }

  void forward(const StridedView<const T>& query, const StridedView<const T>& key,
               const StridedView<const T>& value, const StridedView<T>& out, const AttendOptions& options,
               Activations& a) const;
  void backward(const StridedView<const T>& grad_out, Activations& a, Weights& gradients,
                const std::array<StridedView<T>, 3>& grad_in) const;

 private:
  using Matrix = RowMajorMatrix<T>;

  /// Rows of tokens as a tensor [seq, batch, d_model].
  StridedView<T> tokens(Matrix& rows, Index seq, Index batch) const {
    return StridedView<T>(rows.data(), {seq, batch, d_model_});
  }
  template <class S>
  StridedView<S> split(S* rows, Index seq, Index batch) const {
    return StridedView<S>(rows, {seq, batch, heads_, d_model_ / heads_});
  }

  void pack(const StridedView<const T>& x, Matrix& rows) const {
    rows.resize(x.extent(0) * x.extent(1), d_model_);
    copy_elements(x, tokens(rows, x.extent(0), x.extent(1)));
  }

  static bool same_elements(const StridedView<const T>& a, const StridedView<const T>& b) {
    if (a.data != b.data || !same_shape(a, b)) return false;
    for (int axis = 0; axis < a.rank; ++axis)
      if (a.extent(axis) > 1 && a.stride(axis) != b.stride(axis)) return false;
    return true;
  }

  /// Calls body(head, b, h, row) for every head of every sequence; `row` is its row in log_sum_.
  template <class Body>
  void for_each_head(const Activations& a, Body&& body) const {
    const AttendOptions& options = a.options_;
    AttentionHead<T> head{
        .seq_q = a.seq_q_,
        .seq_k = a.seq_k_,
        .scale = static_cast<T>(1 / std::sqrt(static_cast<double>(d_model_ / heads_))),
        .causal = options.causal,
        .mask_stride = options.mask.query_stride(),
        .dropout = {options.dropout_seed ? dropout_prob_ : 0, options.dropout_seed.value_or(0)}};
    for (Index b = 0; b < a.batch_; ++b) {
      head.mask = options.mask.keys_of(b);
      head.sequence = options.first_sequence + b;
      for (head.head = 0; head.head < heads_; ++head.head) body(head, b, head.head, b * heads_ + head.head);
    }
  }

  void write_input_gradients(Activations& a, const std::array<StridedView<T>, 3>& grad_in) const {
    const Matrix* const grads[] = {&a.grad_queries_, &a.grad_keys_, &a.grad_values_};
    const Matrix* const maps[] = {&weights.query.weight, &weights.key.weight, &weights.value.weight};
    std::array<bool, 3> written{};
    for (std::size_t first = 0; first < 3; ++first) {
      if (written[first]) continue;
      a.rows_.resizeLike(*grads[first]);
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

  HeadRotation<T> rotation_;
  Index heads_, d_model_;
  bool bias_;
  double dropout_prob_;
};

template <RowScalar T>
void AttentionCore<T>::forward(const StridedView<const T>& query, const StridedView<const T>& key,
                               const StridedView<const T>& value, const StridedView<T>& out,
                               const AttendOptions& options, Activations& a) const {
  const Index seq_q = query.extent(0), seq_k = key.extent(0), batch = query.extent(1);
  options.mask.check(seq_q, seq_k, batch);
  rotation_.check(seq_q, seq_k);
  weights.check(d_model_, bias_, "the weights");
  a.complete_ = false;
  a.seq_q_ = seq_q, a.seq_k_ = seq_k, a.batch_ = batch;
  a.options_ = options;
  a.key_is_query_ = same_elements(key, query);
  a.value_is_key_ = same_elements(value, key);
  pack(query, a.query_in_);
  if (!a.key_is_query_) pack(key, a.key_in_);
  if (!a.value_is_key_) pack(value, a.value_in_);
  weights.query.forward(a.query_in_, a.queries_);
  weights.key.forward(a.key_in(), a.keys_);
  weights.value.forward(a.value_in(), a.values_);
  rotation_.rotate_queries_and_keys(split(a.queries_.data(), seq_q, batch),
                                    split(a.keys_.data(), seq_k, batch), Direction::forward);
  rotation_.rotate_values(split(a.values_.data(), seq_k, batch), Direction::forward);

  a.context_.resize(seq_q * batch, d_model_);
  a.log_sum_.resize(batch * heads_, seq_q);
  const auto q = split(std::as_const(a.queries_).data(), seq_q, batch),
             k = split(std::as_const(a.keys_).data(), seq_k, batch),
             v = split(std::as_const(a.values_).data(), seq_k, batch);
  const auto context = split(a.context_.data(), seq_q, batch);
  for_each_head(a, [&](const auto& head, Index b, Index h, Index row) {
    attend(head, head_rows(q, b, h), head_rows(k, b, h), head_rows(v, b, h), head_rows(context, b, h),
           a.log_sum_.row(row).data(), a.scratch_);
  });
  rotation_.rotate_values(context, Direction::inverse);
  weights.output.forward(a.context_, a.rows_);
  copy_elements(StridedView<const T>(tokens(a.rows_, seq_q, batch)), out);
  a.complete_ = true;
}

template <RowScalar T>
void AttentionCore<T>::backward(const StridedView<const T>& grad_out, Activations& a, Weights& gradients,
                                const std::array<StridedView<T>, 3>& grad_in) const {
  const Index seq_q = a.seq_q_, seq_k = a.seq_k_, batch = a.batch_;
  if (!a.complete_ || a.context_.cols() != d_model_ || a.log_sum_.rows() != batch * heads_)
    fail("these activations are not of a forward pass of this attention");
  weights.check(d_model_, bias_, "the weights");
  gradients.check(d_model_, bias_, "the gradients of the weights");
  for (const auto& [one, other] : {std::pair{0u, 1u}, {0u, 2u}, {1u, 2u}})
    if (!same_elements(grad_in[one], grad_in[other]) &&
        overlap_partly(StridedView<const T>(grad_in[one]), grad_in[other]))
      fail("gradients to be written overlap; they must be the same tensor or apart");

  pack(grad_out, a.rows_);
  weights.output.backward(a.context_, a.rows_, gradients.output);
  a.grad_context_.resizeLike(a.context_);
  multiply<T>(a.rows_, weights.output.weight, a.grad_context_);
  const auto grad_context = split(a.grad_context_.data(), seq_q, batch);
  rotation_.rotate_values(grad_context, Direction::forward);

  a.grad_queries_.resizeLike(a.queries_);
  a.grad_keys_.resizeLike(a.keys_);
  a.grad_values_.resizeLike(a.values_);
  const auto q = split(std::as_const(a.queries_).data(), seq_q, batch),
             k = split(std::as_const(a.keys_).data(), seq_k, batch),
             v = split(std::as_const(a.values_).data(), seq_k, batch);
  const auto grad_q = split(a.grad_queries_.data(), seq_q, batch),
             grad_k = split(a.grad_keys_.data(), seq_k, batch),
             grad_v = split(a.grad_values_.data(), seq_k, batch);
  for_each_head(a, [&](const auto& head, Index b, Index h, Index row) {
    attend_backward(head, head_rows(q, b, h), head_rows(k, b, h), head_rows(v, b, h),
                    a.log_sum_.row(row).data(), head_rows(StridedView<const T>(grad_context), b, h),
                    head_rows(grad_q, b, h), head_rows(grad_k, b, h), head_rows(grad_v, b, h), a.scratch_);
  });
  rotation_.rotate_queries_and_keys(grad_q, grad_k, Direction::transpose);
  rotation_.rotate_values(grad_v, Direction::transpose);
  weights.query.backward(a.query_in_, a.grad_queries_, gradients.query);
  weights.key.backward(a.key_in(), a.grad_keys_, gradients.key);
  weights.value.backward(a.value_in(), a.grad_values_, gradients.value);
  write_input_gradients(a, grad_in);
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
