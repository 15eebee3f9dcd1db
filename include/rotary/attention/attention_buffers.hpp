// The buffers of the passes of attention. They may be reused from call to call, so that a step of training allocates nothing.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "attention_call.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The first rows of a buffer, which grows as needed.
template <class S>
HeadRows<S> first_rows(RowMajorMatrix<S>& buffer, Index rows, Index width) {
  if (buffer.rows() < rows || buffer.cols() != width) buffer.resize(rows, width);
  return HeadRows<S>(buffer.data(), rows, width, Eigen::OuterStride<>(width));
}

/// Grows a buffer of scores, see `score_rows`.
template <class S>
void grow_scores(RowMajorMatrix<S>& buffer, Index rows, Index width) {
  width += kScorePadding;
  if (buffer.rows() < rows || buffer.cols() < width)
    buffer.setZero(std::max(rows, buffer.rows()), std::max(width, buffer.cols()));
}

/// Sums over the keys so far, for the queries of a block.
template <RowScalar T>
struct QueryRows {
  RowMajorMatrix<T> sums;  // [rows or more, d_v], not divided
  std::vector<T> largest, sum;

  void reset(Index rows, Index d_v) {
    first_rows(sums, rows, d_v).setZero();
    largest.assign(static_cast<std::size_t>(rows), std::numeric_limits<T>::lowest());
    sum.assign(static_cast<std::size_t>(rows), T(0));
  }
};

/// A head of keys and values in AttendForward, and the queries that read it.
template <RowScalar T>
struct ForwardHead {
  QueryBlock block;
  QueryRows<T>* rows = nullptr;
  RowMajorMatrix<T> queries;
  HeadReader<T> keys, values;
};
/// The buffers of a thread in AttendForward.
template <RowScalar T>
struct ForwardScratch {
  std::vector<ForwardHead<T>> heads;
  RowMajorMatrix<T> keys, values, scores;
  std::vector<SeenKeys> seen;
  std::vector<KeyRange> ranges;
  std::vector<T> factors;
  QueryRows<T> rows;
};
/// The buffers of AttendForward on the calling thread.
template <RowScalar T>
struct ForwardWorkspace {
  ForwardScratch<T> scratch;
  std::vector<QueryRows<T>> partial;
};

/// Gradients of the keys and values of a head.
template <RowScalar T>
struct KeyGradients {
  RowMajorMatrix<T> keys, values;  // [d, seq_k], [d_v, seq_k]
};

/// Keys [first, first + count), in a column of a block's buffers.
struct KeyChunk {
  Index column, first, count;
};

/// The buffers of a thread in AttendBackward.
template <RowScalar T>
struct BackwardScratch {
  RowMajorMatrix<T> queries, grad_out, log_sum, given_delta, keys, values;
  RowMajorMatrix<T> exps, capped, results, dropped, grad_scores, grad_queries, tokens;
  RowMajorMatrix<double> exact_grad_out, exact_values, exact;
  std::vector<SeenKeys> seen;
  std::vector<KeyRange> ranges;
  std::vector<KeyChunk> chunks;
  std::vector<double> sum, delta;
  KeyGradients<T> gradients;
};
/// The buffers of AttendBackward on the calling thread.
template <RowScalar T>
struct BackwardWorkspace {
  BackwardScratch<T> scratch;
  std::vector<KeyGradients<T>> partial;
};

}  // namespace rotary::inline ROTARY_ABI::detail
