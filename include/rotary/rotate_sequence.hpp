// Rotating a tensor along one axis: rows of a sequence × tensor.
#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "cos_sin_table.hpp"
#include "pairing_conversion.hpp"

namespace rotary::inline ROTARY_ABI {

/// How a call rotates. Axis numbers may be negative, −1 being the last; the last axis always holds the
/// features.
struct RotateOptions {
  std::optional<Index> seq_dim = {};  ///< the sequence axis; by default −2, or −3 with `seq_before_head_dim`
  FixedPosition offset = 0;           ///< the position of the first token; may be negative or fractional
  double scale = 1;                   ///< multiplies the features that rotate
  Index start_index = 0;              ///< the first feature that rotates
  Direction direction = Direction::forward;
  /// How the turned pairs are left, if not as they were found. Hugging Face's DeepSeek-V3 reads
  /// `Pairing::interleaved` and leaves `Pairing::half`. Backwards it is how they are found.
  std::optional<Pairing> output_pairing = {};
};

namespace detail {

/// The job that turns `2 * pairs` features from `start` on, of every index into the other axes; a step along
/// one of these is `row_stride(axis)` numbers in the rows, which it lacks. `In` is X or const X: in place
/// both views are the same object, and nothing is copied.
template <class T, class In, class X, class RowStride>
kernels::RotationJob<X, T> window_job(const StridedView<In>& in, const StridedView<X>& out, Index start,
                                      Index pairs, Pairing pairing, const RowStride& row_stride) {
  const int features = in.rank - 1;
  kernels::RotationJob<X, T> job;
  job.in_feature = in.stride(features);
  job.out_feature = out.stride(features);
  job.in = in.data + start * job.in_feature;
  job.out = out.data + start * job.out_feature;
  job.set_pairing(pairing);
  job.pairs = pairs;
  job.untouched_before = start;
  job.untouched_after = in.extent(features) - start - 2 * pairs;
  for (int axis = 0; axis < features; ++axis)
    job.add_axis({in.extent(axis), in.stride(axis), out.stride(axis), row_stride(axis)});
  return job;
}

/// What every rotation demands of its tensors, found out before anything is written.
template <class In>
ROTARY_COLD void fail_window(const StridedView<In>& in, Index start, Index width) {
  if (in.rank < 2)
    fail("a tensor to rotate needs at least two axes, [seq, head_dim], found ", shape_text(in));
  if (start < 0) fail("start_index is ", start, ", it must not be negative");
  fail(width, " features from start_index ", start, " on are to rotate, but the tensor ", shape_text(in),
       " has only ", in.extent(in.rank - 1));
}
template <class In>
void check_window(const StridedView<In>& in, Index start, Index width) {
  if (in.rank < 2 || start < 0 || width > in.extent(in.rank - 1) || start > in.extent(in.rank - 1) - width)
    fail_window(in, start, width);
}

/// `out` is a `writable_view_of` something that is not `in`.
template <class In, class X>
ROTARY_NOINLINE void check_other_output(const StridedView<In>& in, const StridedView<X>& out) {
  if (!same_shape(in, out))
    fail("the tensor to write to has shape ", shape_text(out), ", it must have ", shape_text(in));
  if (overlap_partly(in, out))
    fail("the tensors to read and to write overlap; they must be the same or apart");
}
/// The same, or one view for both: in place.
template <class In, class X>
void check_output(const StridedView<In>& in, const StridedView<X>& out) {
  if (static_cast<const void*>(&in) != &out) check_other_output(in, out);
}

/// Queries that are written before keys are read must not be in their place.
template <class Q, class K>
void check_apart(const StridedView<Q>& queries, const StridedView<K>& keys) {
  if (!ranges_are_apart(queries, keys) && share_elements(queries, keys, false))
    fail("queries and keys share memory, they would be turned twice; they must be apart");
}

inline int sequence_axis(std::optional<Index> seq_dim, Index by_default, int rank) {
  const int axis = resolve_axis(seq_dim.value_or(by_default), rank, "seq_dim");
  if (axis == rank - 1)
    fail("seq_dim is ", seq_dim.value_or(by_default), ", the last axis of a tensor of rank ", rank,
         ", which holds the features");
  return axis;
}

/// How many keys stand before the first query, the queries being the last tokens.
template <class Q, class K>
Index keys_before_queries(const StridedView<const Q>& q, const StridedView<const K>& k,
                          std::optional<Index> seq_dim, Index by_default) {
  const Index q_len = q.extent(sequence_axis(seq_dim, by_default, q.rank));
  const Index k_len = k.extent(sequence_axis(seq_dim, by_default, k.rank));
  if (q_len > k_len) fail("found ", q_len, " queries for ", k_len, " cached keys, there must not be more");
  return k_len - q_len;
}

/// The magnitude that `direction` asks of rows whose forward magnitude is `magnitude`.
inline double directed(double factor, Direction direction) {
  if (direction != Direction::inverse) return factor;
  if (factor == 0) fail("the magnitude is 0, a rotation with it cannot be taken back");
  return 1 / factor;
}
inline kernels::Magnitude directed(kernels::Magnitude magnitude, Direction direction) {
  magnitude.factor = directed(magnitude.factor, direction);
  if (direction == Direction::inverse) magnitude.slope = -magnitude.slope;
  return magnitude;
}

/// Calls turn(in, out), where `turn` knows one pairing only, and reorders features for the other one.
template <class In, class X, class Turn>
ROTARY_COLD void turn_and_reorder(Pairing pairing, Pairing other, Index rotary_dim,
                                  const RotateOptions& options, const StridedView<In>& in,
                                  const StridedView<X>& out, const Turn& turn) {
  const HeadFeatures features{.rotary_dim = rotary_dim, .start_index = options.start_index, .axis = -1};
  if (options.direction == Direction::forward) {
    turn(in, out);
    return reorder_pairs(out, features, pairing, other);
  }
  check_window(in, options.start_index, rotary_dim);
  check_output(in, out);
  if (static_cast<const void*>(&in) != &out && in.data != out.data) copy_elements(in, out);
  reorder_pairs(out, features, other, pairing);
  turn(out, out);
}
template <class In, class X, class Turn>
void turn_between(Pairing pairing, Index rotary_dim, const RotateOptions& options, const StridedView<In>& in,
                  const StridedView<X>& out, const Turn& turn) {
  const Pairing other = options.output_pairing.value_or(pairing);
  if (other == pairing) return turn(in, out);
  turn_and_reorder(pairing, other, rotary_dim, options, in, out, turn);
}

/// Everything that a rotation can fail on. Returns the factor of its rows' magnitude.
template <RowScalar T, class In, RotaryScalar X>
double check_rotation(const StridedView<In>& in, const StridedView<X>& out, Index start, Index width,
                      double factor, Direction direction) {
  check_window(in, start, width);
  check_output(in, out);
  factor = directed(factor, direction);
  if (!finite_bits(factor) || std::fabs(factor) > static_cast<double>(std::numeric_limits<T>::max()))
    fail("the magnitude of the rotation is ", factor, ", it must be finite in the type of the rows");
  return factor;
}

/// The axis of a job along which rows differ, that of the sequence; a single token has none, and gets `none`.
template <class T, class X>
kernels::JobAxis& sequence_axis_of(kernels::RotationJob<X, T>& job, kernels::JobAxis& none) {
  for (int n = 0; n < job.axis_count; ++n)
    if (auto& axis = job.axes[static_cast<std::size_t>(n)]; axis.row != 0) return axis;
  return none;
}

/// Turns tokens [begin, end) of a sequence by `rows`, which start with that of `begin`.
template <class T, class X>
void rotate_tokens(kernels::RotationJob<X, T> job, const T* rows, Index begin, Index end) {
  kernels::JobAxis single{1, 0, 0, 0};
  kernels::JobAxis& along = sequence_axis_of(job, single);
  job.rows = rows;
  job.in += begin * along.in, job.out += begin * along.out;
  along.extent = end - begin;
  kernels::rotate(std::move(job));
}

/// Turns by rows made a few at a time on the stack, just before the heads that share them are turned: those
/// of one tensor, or of queries and keys. Nothing is allocated for them.
template <RowScalar T, RotaryScalar... X>
ROTARY_COLD void rotate_making_rows(const SequenceRows<T>& rows, const Positions& positions,
                                    const kernels::Magnitude& magnitude,
                                    kernels::RotationJob<X, T>&&... jobs) {
  const Index row_size = 2 * rows.pairs(), seq = positions.count();
  constexpr Index kScratch = 8192 / sizeof(T);
  alignas(64) T scratch[kScratch];
  std::vector<T> wide_row(static_cast<std::size_t>(row_size > kScratch ? row_size : 0));
  T* const block = wide_row.empty() ? scratch : wide_row.data();
  const Index block_rows = !wide_row.empty() ? 1 : row_size > 0 ? kScratch / row_size : seq;
  const auto make = [&](Index begin, Index end) {
    kernels::cos_sin_rows(rows.steps(), positions, begin, end, magnitude, rows.pairing(), block);
  };
  if (seq <= block_rows) {  // a token's job is not worth a copy
    make(0, seq);
    return ((jobs.rows = block, kernels::rotate(std::move(jobs))), ...);
  }
  for (Index begin = 0; begin < seq; begin += block_rows) {
    const Index end = std::min(seq, begin + block_rows);
    make(begin, end);
    (rotate_tokens(jobs, block, begin, end), ...);
  }
}

/// How sequences are rotated: by which rows, where their first token stands, from which feature on.
///
/// `magnitude` is taken in place of the rows' own.
template <RowScalar T>
struct SequenceRotation {
  const SequenceRows<T>& rows;
  FixedPosition first;
  kernels::Magnitude magnitude;
  Direction direction;
  Index start;

  /// Everything that can fail. Returns the factor of the rows' magnitude.
  template <class In, RotaryScalar X>
  double check(const StridedView<In>& in, const StridedView<X>& out) const {
    return check_rotation<T>(in, out, start, 2 * rows.pairs(), magnitude.factor, direction);
  }

  /// The job that turns one tensor, its rows still missing.
  template <class In, class X>
  kernels::RotationJob<X, T> job(const StridedView<In>& in, const StridedView<X>& out, int seq_axis) const {
    const Index row_size = 2 * rows.pairs();
    auto job = window_job<T>(in, out, start, rows.pairs(), rows.pairing(),
                             [&](int axis) { return axis == seq_axis ? row_size : 0; });
    job.negate_sin = direction != Direction::forward;
    return job;
  }

  /// The row of the first of `seq` tokens, if they are kept and what is asked for; else null.
  const T* kept_rows(Index seq, double factor) const {
    if (!first.is_whole() || first.whole < 0 || first.whole > PTRDIFF_MAX - seq ||
        !magnitude.log_scale.empty() || factor != rows.magnitude())
      return nullptr;
    const T* const kept = rows.kept(first.whole + seq);
    return kept == nullptr ? nullptr : kept + first.whole * 2 * rows.pairs();
  }

  /// Rows for `seq` tokens are made, and all the jobs done.
  template <class... X>
  void make_rows(Index seq, kernels::RotationJob<X, T>&&... jobs) const {
    rotate_making_rows(rows, Positions::consecutive(seq, first), directed(magnitude, direction),
                       std::move(jobs)...);
  }
};

/// out = rotation of `in`. Rows that are kept are used where they are.
template <RowScalar T, class In, RotaryScalar X>
void rotate_sequence(const SequenceRotation<T>& how, const StridedView<In>& in, const StridedView<X>& out,
                     int seq_axis) {
  const double factor = how.check(in, out);
  if (in.empty()) return;
  const Index seq = in.extent(seq_axis);
  auto job = how.job(in, out, seq_axis);
  job.rows = how.kept_rows(seq, factor);
  if (job.rows != nullptr) return kernels::rotate(std::move(job));
  how.make_rows(seq, std::move(job));
}

/// The same of queries and keys at the same positions, which share rows that have to be made. Nothing is
/// written if anything fails.
template <RowScalar T, class QIn, RotaryScalar Q, class KIn, RotaryScalar K>
void rotate_two_sequences(const SequenceRotation<T>& how, const StridedView<QIn>& q_in,
                          const StridedView<Q>& q_out, int q_axis, const StridedView<KIn>& k_in,
                          const StridedView<K>& k_out, int k_axis) {
  check_window(k_in, how.start, 2 * how.rows.pairs());
  check_output(k_in, k_out);
  const double factor = how.check(q_in, q_out);
  check_apart(q_out, k_in);
  const Index seq = q_in.extent(q_axis);
  if (q_in.empty() || k_in.empty() || k_in.extent(k_axis) != seq) {
    rotate_sequence(how, q_in, q_out, q_axis);
    return rotate_sequence(how, k_in, k_out, k_axis);
  }
  auto queries = how.job(q_in, q_out, q_axis);
  auto keys = how.job(k_in, k_out, k_axis);
  queries.rows = keys.rows = how.kept_rows(seq, factor);
  if (queries.rows == nullptr) return how.make_rows(seq, std::move(queries), std::move(keys));
  kernels::rotate(std::move(queries));
  kernels::rotate(std::move(keys));
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
