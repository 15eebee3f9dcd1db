// Rotating tensors at the positions of their tokens: rows of cosines and sines × one or more tensors.
#pragma once

#include <tuple>

#include "../tables/row_source.hpp"
#include "../tensor/parallel.hpp"
#include "window_job.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// How a call rotates its tensors, wherever their tokens are. `magnitude` is that of the rows, the direction taken
/// into account.
template <RowScalar T>
struct Rotation {
  const RowCache<T>& rows;
  const HeadLayout& layout;
  kernels::Magnitude magnitude;
  Direction direction;
};

/// A tensor to rotate and where to: in place both views are the same object. `kContiguous` where the types tell that
/// features are contiguous, so that the kernels for others are not compiled.
template <class In, class X, bool kContiguous = false>
struct TensorPair {
  const StridedView<In>& in;
  const StridedView<X>& out;
  int seq_axis;  // −1 for a single token, [..., heads, head_dim]
};
template <class In, class X>
TensorPair(const StridedView<In>&, const StridedView<X>&, int) -> TensorPair<In, X>;

template <bool kContiguous, class X, class T>
void run_job(kernels::RotationJob<X, T>&& job) {
  if constexpr (kContiguous) {
    kernels::rotate_contiguous(std::move(job));
  } else {
    kernels::rotate(std::move(job));
  }
}

/// Throws unless `pair` can be rotated.
template <RowScalar T, class In, RotaryScalar X, bool kContiguous>
void check_rotation(const Rotation<T>& how, const TensorPair<In, X, kContiguous>& pair) {
  check_window(pair.in, how.layout.start_index, how.layout.rotary_dim);
  check_output(pair.in, pair.out);
}

/// The job that rotates tokens [first, first + count) of sequences [batch, batch + sequences) by rows of which those of the
/// tokens of a sequence follow each other, then those of the next sequence. `sequences` is 0 where all sequences
/// of a batch share their rows.
template <class How, RowScalar T, class In, class X, bool kContiguous>
ROTARY_ALWAYS_INLINE kernels::RotationJob<X, T> block_job(const How& how,
                                                          const TensorPair<In, X, kContiguous>& pair,
                                                          const T* rows, Index batch, Index sequences,
                                                          Index first, Index count) {
  const Index row_size = how.layout.rotary_dim;
  const auto& [in, out, seq_axis] = pair;
  kernels::RotationJob<X, T> job;
  set_window(job, in, out, how.layout, how.direction);
  bool is_part = false;
  for (int axis = 0; axis < in.rank - 1; ++axis) {
    Index begin = 0, extent = in.extent(axis), row = 0;
    if (axis == seq_axis) {
      begin = first, extent = count, row = row_size;
    } else if (axis == 0 && sequences > 0) {
      begin = batch, extent = sequences, row = count * row_size;
    }
    is_part = is_part || extent < in.extent(axis);
    job.in += begin * in.stride(axis), job.out += begin * out.stride(axis);
    job.add_axis({extent, in.stride(axis), out.stride(axis), row});
  }
  // Rows come in blocks: a block of tokens fits into the caches where the tensor does not.
  if (is_part)
    job.call_bytes =
        (job.in_place() ? 1 : 2) * row_size * Index{sizeof(X)} * (in.size() / in.extent(in.rank - 1));
  job.rows = rows;
  return job;
}

/// Runs `block_job`.
template <class How, RowScalar T, class In, class X, bool kContiguous>
void rotate_block(const How& how, const TensorPair<In, X, kContiguous>& pair, const T* rows, Index batch,
                  Index sequences, Index first, Index count) {
  if (pair.in.empty()) return;
  run_job<kContiguous>(block_job(how, pair, rows, batch, sequences, first, count));
}

/// Which of the tokens of a call a part of it holds: all, or those that one thread rotates.
struct TokenRange {
  Index seq_total = 1;               // tokens of a sequence, for which there are positions
  Index first_batch = 0, batch = 0;  // sequences with positions of their own; 0: all share theirs
  Index first_token = 0, seq = 1;
};

/// Rotates tensors that hold the tokens of `range`, one or more. All of them share the rows, which are looked up, or computed
/// a few at a time.
template <RowScalar T, class... Pairs>
ROTARY_NOINLINE void rotate_at(const Rotation<T>& how, const Positions& positions, const TokenRange& range,
                               const Pairs&... pairs) {
  const auto& [seq_total, first_batch, batch, first_token, seq] = range;
  RowSource<T> rows(how.rows, positions, how.magnitude);
  const bool per_sequence = positions.batch() > 0;
  const Index sequences = per_sequence ? batch : 1;
  if (per_sequence && seq == seq_total && seq * 2 <= rows.capacity()) {  // several short sequences at once
    const Index group = rows.capacity() / seq;
    for (Index b = 0; b < sequences; b += group) {
      const Index count = std::min(group, sequences - b);
      const T* const block = rows.gather((first_batch + b) * seq, count * seq);
      (rotate_block(how, pairs, block, b, count, 0, seq), ...);
    }
    return;
  }
  for (Index b = 0; b < sequences; ++b) {
    const Index begin = (per_sequence ? (first_batch + b) * seq_total : 0) + first_token;
    for (Index n = 0; n < seq;) {
      const RowRun<T> run = rows.run(begin + n, begin + seq);
      (rotate_block(how, pairs, run.rows, b, per_sequence ? 1 : 0, n, run.count), ...);
      n += run.count;
    }
  }
}

/// The number of tokens of a sequence, and of sequences with positions of their own (0: all share theirs).
struct TokenShape {
  Index batch = 0, seq = 1;
};

template <class In>
[[noreturn]] ROTARY_COLD void fail_positions(const Positions& positions, const StridedView<In>& in,
                                             Index seq) {
  const Index batch = positions.batch();
  if (batch == 0)
    fail("found ", positions.count(), " positions for a sequence of ", seq, " tokens",
         positions.count() == in.extent(0) && seq == 1 && in.rank > 2
             ? "; Positions::per_sequence takes one for each sequence"
             : "");
  fail("found positions for ", batch, " sequences of ", positions.count() / batch, " tokens, the tensor ",
       shape_text(in), " has ", in.extent(0), " sequences of ", seq, " tokens");
}

/// Throws unless there is a position for every token of the tensor.
template <class In>
TokenShape check_positions(const Positions& positions, const StridedView<In>& in, int seq_axis) {
  const Index seq = seq_axis < 0 ? 1 : in.extent(seq_axis), batch = positions.batch();
  const bool fits = batch == 0 ? positions.count() == seq
                               : in.extent(0) == batch && positions.count() == checked_product(batch, seq);
  if (!fits) fail_positions(positions, in, seq);
  if (batch > 0 && (seq_axis == 0 || in.rank < 3))
    fail("positions for every sequence need a batch axis before the sequence, the tensor is ",
         shape_text(in));
  return {batch, seq};
}

/// Throws where queries and keys, which share positions, cannot.
template <class Q, class QOut, bool kQ, class K, class KOut, bool kK>
void check_alike(const TensorPair<Q, QOut, kQ>& q, const TensorPair<K, KOut, kK>& k) {
  const Index q_len = q.seq_axis < 0 ? 1 : q.in.extent(q.seq_axis);
  const Index k_len = k.seq_axis < 0 ? 1 : k.in.extent(k.seq_axis);
  if (q_len != k_len)
    fail("found ", q_len, " queries and ", k_len,
         " keys, they must be as many; rotate_queries_with_cached_keys takes fewer queries");
  check_apart(q.out, k.in);
  if constexpr (!std::is_same_v<Q, QOut> || !std::is_same_v<K, KOut>) {  // not in place
    check_apart(k.out, q.in);
    check_apart(q.out, k.out);
  }
}
template <class Pair>
void check_alike(const Pair&) {}

/// Parts of the tensors of a pair.
template <class In, class X, bool kContiguous, class InView, class OutView>
TensorPair<In, X, kContiguous> pair_like(const TensorPair<In, X, kContiguous>& pair, const InView& in,
                                         const OutView& out) {
  return {in, out, pair.seq_axis};
}

/// Rotates one tensor, or queries and keys, at positions that have a length. Nothing is written if anything
/// throws. `device` splits the tensors among its threads.
template <RowScalar T, ParallelDevice Device, class First, class... Others>
ROTARY_NOINLINE void rotate_all(const Rotation<T>& how, const Positions& positions, const Device& device,
                                const First& first, const Others&... others) {
  (check_rotation(how, first), ..., check_rotation(how, others));
  check_magnitude<T>(how.magnitude.factor);
  check_alike(first, others...);
  const TokenShape shape = check_positions(positions, first.in, first.seq_axis);
  (check_positions(positions, others.in, others.seq_axis), ...);
  if (positions.axis_count() != 1 && positions.axis_count() != how.rows.steps().axes())
    fail("tokens have ", positions.axis_count(), " coordinates, the frequencies are for ",
         how.rows.steps().axes());
  if constexpr (std::is_same_v<Device, CallingThread>) {
    if (first.in.empty() && (others.in.empty() && ...)) return;
    rotate_at(how, positions, TokenRange{shape.seq, 0, shape.batch, 0, shape.seq}, first, others...);
  } else {
    const auto split = [&](const auto& pair) {
      in_parts(device, pair.in, std::max(pair.seq_axis, 0), [&](int axis, Index begin, Index end) {
        const auto in = pair.in.slice(axis, begin, end - begin);
        const auto out = pair.out.slice(axis, begin, end - begin);
        const bool of_batch = axis == 0 && shape.batch > 0, of_tokens = axis == pair.seq_axis;
        const auto part = pair_like(pair, in, out);
        rotate_at(how, positions,
                  TokenRange{shape.seq, of_batch ? begin : 0, of_batch ? end - begin : shape.batch,
                             of_tokens ? begin : 0, of_tokens ? end - begin : shape.seq},
                  part);
      });
    };
    (split(first), ..., split(others));
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
