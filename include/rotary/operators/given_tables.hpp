// The tables that operators are handed: cosines and sines in tensors of their own, a row for each position.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "../apply_rotary_emb.hpp"
#include "../rotation_gradients.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Stands for a row that leaves features as they are: every cosine 1, every sine 0.
inline constexpr Index kIdentityRow = -1;

/// What tables are rounded to: double where it makes a difference.
template <class X, class C>
using RowsOf = Arithmetic<Scalar<X>, Scalar<C>>;

template <class C>
constexpr bool check_given_table() {
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

/// Fails unless both are [rows, pairs], or both [batch, seq, pairs].
template <class C, class S>
void check_given_tables(const StridedView<const C>& cos, const StridedView<const S>& sin) {
  if (cos.rank != 2 && cos.rank != 3)
    fail("the table of cosines has shape ", shape_text(cos), ", it must have 2 or 3 axes");
  if (!same_shape(cos, sin))
    fail("the tables of cosines and sines have shapes ", shape_text(cos), " and ", shape_text(sin),
         ", they must have the same");
}

/// Where a row starts; the rows of [batch, seq, pairs] are numbered through.
template <class C>
Index offset_of_row(const StridedView<C>& table, Index row) {
  if (table.rank == 2) return row * table.stride(0);
  return row / table.extent(1) * table.stride(0) + row % table.extent(1) * table.stride(1);
}

/// The rows of the given tables with these numbers, one after the other, arranged in `shape`.
template <RowScalar T, class C, class S>
CosSinTable<T> gathered(const StridedView<const C>& cos, const StridedView<const S>& sin,
                        std::span<const Index> rows, std::vector<Index> shape, Pairing pairing) {
  const int last = cos.rank - 1;
  const Index pairs = cos.extent(last);
  CosSinTable<T> table(std::move(shape), pairs, pairing);
  const kernels::PairStrides to = kernels::pair_strides(pairing, pairs);
  T* out = table.data();
  for (const Index row : rows) {
    const bool identity = row == kIdentityRow;
    const C* const cosines = identity ? nullptr : cos.data + offset_of_row(cos, row);
    const S* const sines = identity ? nullptr : sin.data + offset_of_row(sin, row);
    for (Index i = 0; i < pairs; ++i) {
      out[i * to.pair] = identity ? T(1) : static_cast<T>(cosines[i * cos.stride(last)]);
      out[i * to.pair + to.partner] = identity ? T(0) : static_cast<T>(sines[i * sin.stride(last)]);
    }
    out += table.row_size();
  }
  return table;
}

/// Writes the gradients with respect to given tables, of which the rows with these numbers, arranged in
/// `shape`, have turned `x`: for a pair (a, b) with gradients (g, h) of its results ∂cos = g a + h b and
/// ∂sin = h a − g b, summed over all that shares a row.
///
/// Those are the derivatives by ln A and by φ of a pair that does not turn, so the kernel has them, given
/// rows of identity.
template <class X, class G, class C, class S>
void write_table_gradients(const StridedView<const X>& x, const StridedView<const G>& grad,
                           std::span<const Index> rows, const std::vector<Index>& shape, Pairing pairing,
                           const StridedView<C>& grad_cos, const StridedView<S>& grad_sin) {
  const int last = grad_cos.rank - 1;
  const Index pairs = grad_cos.extent(last);
  check_window(x, 0, 2 * pairs);
  check_gradient(x, grad);
  const std::vector<Index> unturned(rows.size(), kIdentityRow);
  const auto identity = gathered<double>(StridedView<const C>(grad_cos), StridedView<const S>(grad_sin),
                                         unturned, shape, pairing);
  const auto entries = static_cast<std::size_t>(identity.rows() * identity.row_size());
  std::vector<double> of_sin(entries), of_cos(entries);
  auto job = gradient_job<X, G, double>(x, grad, 0, pairs, pairing);
  job.rows = identity.data();
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
