// The tables that operators take: tensors of cosines and of sines, with a row for each position.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "../apply/rotate_sequence.hpp"
#include "../apply/rotation_gradients.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// In place of the number of a row: the token has none, and is copied bit for bit.
inline constexpr Index kIdentityRow = -1;

/// The scalar to which tables are converted: double if the tensor or the table is double.
template <class X, class C>
using RowsOf = Arithmetic<Scalar<X>, Scalar<C>>;

template <class C>
constexpr bool check_given_table() {  // not covered: runs while compiling
  constexpr bool kIsTable = is_rotatable_container<C>();
  static_assert(kIsTable,
                "rotary: tables of cos and sin are Eigen tensors or matrices, or rotary::StridedView");
  if constexpr (kIsTable) {
    static_assert(RotaryScalar<Scalar<C>>,
                  "rotary: tables of cos and sin hold float, double, Eigen::half or Eigen::bfloat16");
    return RotaryScalar<Scalar<C>>;
  }
  return false;
}

/// Throws unless both are [rows, pairs], or both [batch, seq, pairs].
template <class C, class S>
void check_given_tables(const StridedView<const C>& cos, const StridedView<const S>& sin) {
  if (cos.rank != 2 && cos.rank != 3)
    fail("the table of cosines has shape ", shape_text(cos), ", it must have 2 or 3 axes");
  if (!same_shape(cos, sin))
    fail("the tables of cosines and sines have shapes ", shape_text(cos), " and ", shape_text(sin),
         ", they must have the same");
}

/// The offset of a row, in elements. Rows of [batch, seq, pairs] are numbered through all sequences.
template <class C>
Index offset_of_row(const StridedView<C>& table, Index row) {
  if (table.rank == 2) return row * table.stride(0);
  return row / table.extent(1) * table.stride(0) + row % table.extent(1) * table.stride(1);
}

/// The shape of given tables: [rows, pairs], or [batch, seq, pairs] with a row for each token.
struct TableShape {
  bool per_token = false;
  Index outer = 0, seq = 1, pairs = 0;  // outer: rows, or batch

  Index rows() const { return checked_product(outer, seq); }
};

template <class C>
TableShape table_shape(const StridedView<C>& table) {
  if (table.rank == 2) return {false, table.extent(0), 1, table.extent(1)};
  return {true, table.extent(0), table.extent(1), table.extent(2)};
}

inline std::string shape_text(const TableShape& shape) {
  const std::string seq = shape.per_token ? ", " + std::to_string(shape.seq) : "";
  return "[" + std::to_string(shape.outer) + seq + ", " + std::to_string(shape.pairs) + "]";
}

/// Writes a row that changes nothing: every cosine is 1, every sine 0.
template <RowScalar T>
void write_identity_row(const HeadLayout& layout, T* row) {
  const Index pairs = layout.rotary_dim / 2;
  const kernels::PairStrides to = kernels::pair_strides(layout.pairing, pairs);
  for (Index i = 0; i < pairs; ++i) row[i * to.pair] = T(1), row[i * to.pair + to.partner] = T(0);
}

/// Rows that are read from the given tables and converted in every call. Functions use this: their tables may
/// change from one call to the next, and may have many more rows than a call needs.
template <RowScalar T, class C, class S>
class RowsOfTables {
 public:
  using Row = T;
  static constexpr bool kContiguous = false;

  RowsOfTables(const StridedView<const C>& cos, const StridedView<const S>& sin, Pairing pairing)
      : cos_(cos), sin_(sin) {
    check_given_tables(cos, sin);
    layout_ = completed({.pairing = pairing}, shape().pairs);
  }

  const HeadLayout& layout() const { return layout_; }
  TableShape shape() const { return table_shape(cos_); }

  /// Writes row number `row`.
  void copy(Index row, T* to) const {
    const Index pairs = layout_.rotary_dim / 2;
    const kernels::PairStrides at = kernels::pair_strides(layout_.pairing, pairs);
    const C* const cosines = cos_.data + offset_of_row(cos_, row);
    const S* const sines = sin_.data + offset_of_row(sin_, row);
    const Index cos_step = cos_.stride(cos_.rank - 1), sin_step = sin_.stride(sin_.rank - 1);
    for (Index i = 0; i < pairs; ++i) {
      to[i * at.pair] = static_cast<T>(cosines[i * cos_step]);
      to[i * at.pair + at.partner] = static_cast<T>(sines[i * sin_step]);
    }
  }

 private:
  StridedView<const C> cos_;
  StridedView<const S> sin_;
  HeadLayout layout_;
};

/// Rows of given tables, converted once. Immutable.
template <RowScalar T>
class ConvertedRows {
 public:
  using Row = T;
  static constexpr bool kContiguous = true;

  template <class C, class S>
  explicit ConvertedRows(const RowsOfTables<T, C, S>& given)
      : shape_(given.shape()),
        layout_(given.layout()),
        values_(static_cast<std::size_t>(checked_product(shape_.rows(), layout_.rotary_dim))) {
    for (Index row = 0; row < shape_.rows() && shape_.pairs > 0; ++row)
      given.copy(row, values_.data() + row * layout_.rotary_dim);
  }

  const HeadLayout& layout() const { return layout_; }
  const TableShape& shape() const { return shape_; }

  /// Row number `row`; the next rows follow it in memory.
  const T* row(Index row) const { return values_.data() + row * layout_.rotary_dim; }
  void copy(Index row_number, T* to) const {
    std::copy_n(row(row_number), layout_.rotary_dim, to);  // not memcpy: a row may have no pairs
  }

 private:
  TableShape shape_;
  HeadLayout layout_;
  AlignedVector<T> values_;
};

/// Converts the rows of tables that a caller passes.
template <RowScalar T, class C, class S>
ConvertedRows<T> converted_rows(const C& cos, const S& sin, Pairing pairing) {
  decltype(auto) cosines = stored(cos);
  decltype(auto) sines = stored(sin);
  return ConvertedRows<T>(
      RowsOfTables<T, Scalar<C>, Scalar<S>>(const_view_of(cosines), const_view_of(sines), pairing));
}

/// The number of tokens in [begin, end), from `begin` on, whose rows are consecutive.
template <class RowOf>
Index run_length(const RowOf& row_of, Index begin, Index end) {
  const Index first = row_of(begin);
  if (first == kIdentityRow) return 0;
  Index count = 1;
  while (begin + count < end && row_of(begin + count) == first + count) ++count;
  return count;
}

/// Token n of sequence b as it is, for all sequences if `of_batch` is 0. Rotated by cosines of 1 and sines of 0, a feature
/// beside an infinite one would become NaN, and −0 might become 0.
template <class In, class X>
ROTARY_NOINLINE void copy_token(const TensorPair<In, X>& pair, Index b, Index of_batch, Index n) {
  auto in = pair.in.slice(pair.seq_axis, n, 1);
  auto out = pair.out.slice(pair.seq_axis, n, 1);
  if (static_cast<const void*>(in.data) == out.data) return;  // in place
  if (of_batch > 0) in = in.slice(0, b, 1), out = out.slice(0, b, 1);
  copy_elements(in, out);
}

/// The layout and direction of a rotation by given rows.
struct GivenRotation {
  const HeadLayout& layout;
  Direction direction;
};

/// Rotates tokens whose rows are not all consecutive.
template <class Rows, class RowOf, class In, class X>
ROTARY_NOINLINE void rotate_by_blocks(const Rows& rows, Direction direction, const TensorPair<In, X>& pair,
                                      Index batch, const RowOf& row_of) {
  using T = typename Rows::Row;
  constexpr Index kBlockScalars = 8192 / sizeof(T);
  // Shorter runs of rows are copied together with the next ones: a job of its own takes longer than the copy.
  constexpr Index kShortRun = 8;
  const GivenRotation how{rows.layout(), direction};
  const Index row_size = std::max<Index>(rows.layout().rotary_dim, 1);
  const Index capacity = std::max<Index>(kBlockScalars / row_size, 1);
  alignas(64) T on_stack[static_cast<std::size_t>(kBlockScalars)];
  AlignedVector<T> wide_row(row_size > kBlockScalars ? static_cast<std::size_t>(row_size) : 0);
  T* const block = wide_row.empty() ? on_stack : wide_row.data();
  // As many rows as there are before a token without one, at most so many; returns their number.
  const auto gather = [&](Index begin, Index most) {
    for (Index n = 0; n < most; ++n) {
      const Index row = row_of(begin + n);
      if (row == kIdentityRow) return n;
      rows.copy(row, block + n * rows.layout().rotary_dim);
    }
    return most;
  };

  const Index seq = pair.in.extent(pair.seq_axis), sequences = std::max<Index>(batch, 1);
  const auto rotate_sequence = [&](Index b) {
    const Index begin = b * seq, of_batch = batch > 0 ? 1 : 0;
    for (Index n = 0, count = 0; n < seq; n += count) {
      if (row_of(begin + n) == kIdentityRow) {
        count = 1;
        copy_token(pair, b, of_batch, n);
        continue;
      }
      const T* run = nullptr;
      if constexpr (Rows::kContiguous) {
        count = run_length(row_of, begin + n, begin + seq);
        if (count >= kShortRun || count == seq - n) run = rows.row(row_of(begin + n));
      }
      if (run == nullptr) {
        count = gather(begin + n, std::min(capacity, seq - n));
        run = block;
      }
      rotate_block(how, pair, run, b, of_batch, n, count);
    }
  };
  if (batch > 1 && seq * 2 <= capacity) {  // several short sequences at once
    const Index group = capacity / seq;
    for (Index b = 0; b < batch; b += group) {
      const Index count = std::min(group, batch - b);
      if (gather(b * seq, count * seq) == count * seq) {
        rotate_block(how, pair, static_cast<const T*>(block), b, count, 0, seq);
      } else {
        for (Index n = 0; n < count; ++n) rotate_sequence(b + n);
      }
    }
    return;
  }
  for (Index b = 0; b < sequences; ++b) rotate_sequence(b);
}

/// Rotates tensors by given rows: token n of sequence b by row `row_of(b · seq + n)` if `batch` sequences
/// have rows of their own, or by row `row_of(n)` if all share their rows and `batch` is 0. Callers have
/// checked all arguments.
template <class Rows, class RowOf, class In, class X>
void rotate_by_given(const Rows& rows, Direction direction, const TensorPair<In, X>& pair, Index batch,
                     const RowOf& row_of) {
  if (pair.in.empty()) return;
  if constexpr (Rows::kContiguous) {
    const Index seq = pair.in.extent(pair.seq_axis), tokens = std::max<Index>(batch, 1) * seq;
    if (run_length(row_of, 0, tokens) == tokens)
      return rotate_block(GivenRotation{rows.layout(), direction}, pair, rows.row(row_of(0)), 0, batch, 0,
                          seq);
  }
  rotate_by_blocks(rows, direction, pair, batch, row_of);
}

/// Writes the gradients with respect to given tables. The rows with these numbers, arranged in `shape`, have
/// rotated `x`. For a pair (a, b) with gradients (g, h) of its results, ∂cos = g a + h b and ∂sin = h a − g
/// b, summed over all heads and sequences that share a row.
///
/// These are the derivatives with respect to ln A and φ of a pair that is not rotated, so the gradient kernel
/// computes them from identity rows.
template <class X, class G, class C, class S>
void write_table_gradients(const StridedView<const X>& x, const StridedView<const G>& grad,
                           std::span<const Index> rows, const std::vector<Index>& shape, Pairing pairing,
                           const StridedView<C>& grad_cos, const StridedView<S>& grad_sin) {
  const int last = grad_cos.rank - 1;
  const Index pairs = grad_cos.extent(last);
  check_window(x, 0, 2 * pairs);
  check_gradient(x, grad);
  if (x.empty()) {  // the sequence of an empty tensor may be of any length
    std::fill_n(grad_cos.data, grad_cos.size(), C(0));
    std::fill_n(grad_sin.data, grad_sin.size(), S(0));
    return;
  }
  RowStorage<double> identity(shape, RowAxes::broadcast, {.pairing = pairing}, pairs);
  for (Index n = 0; n < identity.row_count; ++n) write_identity_row(identity.layout, identity.row(n));
  const auto entries = static_cast<std::size_t>(identity.row_count * identity.row_size());
  std::vector<double> of_sin(entries), of_cos(entries);
  auto job = gradient_job<X, G, double>(x, grad, 0, pairs, pairing);
  job.rows = identity.row(0);
  job.angle = of_sin.data();
  job.log_magnitude = of_cos.data();
  Index stride = identity.row_size();
  for (std::size_t n = shape.size(), axis = static_cast<std::size_t>(x.rank) - 1; n-- > 0; stride *= shape[n])
    job.axes[--axis].row = shape[n] == 1 ? 0 : stride;
  kernels::rotate_gradient(job);

  const auto size = static_cast<std::size_t>(grad_cos.size());
  std::vector<double> cos_sums(size), sin_sums(size);
  for (std::size_t n = 0; n < rows.size(); ++n) {
    for (Index i = 0; i < pairs && rows[n] != kIdentityRow; ++i) {
      const auto first = static_cast<std::size_t>(static_cast<Index>(n) * 2 * pairs + i * job.row_pairs.pair);
      const auto second = first + static_cast<std::size_t>(job.row_pairs.partner);
      const auto entry = static_cast<std::size_t>(rows[n] * pairs + i);
      cos_sums[entry] += of_cos[first] + of_cos[second];
      sin_sums[entry] += of_sin[first] + of_sin[second];
    }
  }
  for (Index n = 0; n < grad_cos.size(); ++n) {
    const Index row = n / pairs, i = n % pairs;
    grad_cos.data[offset_of_row(grad_cos, row) + i * grad_cos.stride(last)] =
        static_cast<C>(cos_sums[static_cast<std::size_t>(n)]);
    grad_sin.data[offset_of_row(grad_sin, row) + i * grad_sin.stride(last)] =
        static_cast<S>(sin_sums[static_cast<std::size_t>(n)]);
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
