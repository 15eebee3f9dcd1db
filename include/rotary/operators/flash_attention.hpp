// FlashAttention's apply_rotary: tables × tokens, with an offset for each sequence.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "../positions/position_ids.hpp"
#include "given_tables.hpp"

namespace rotary::inline ROTARY_ABI::flash_attention {

/// The arguments of `apply_rotary` besides its float tensors, with the defaults of FlashAttention.
struct ApplyRotaryOptions {
  Index seqlen_offset = 0;  ///< the row of the first token of every sequence: `seqlen_offsets` as one int
  std::span<const std::int32_t> seqlen_offsets = {};  ///< the row of the first token of each sequence
  std::span<const std::int32_t> cu_seqlens = {};      ///< for packed sequences: 0, then the end of each
  std::optional<Index> max_seqlen = {};               ///< calls throw on a longer sequence
  /// Pairing::interleaved if true, else Pairing::half; left out, false, or the pairing of `RotaryTables`.
  std::optional<bool> interleaved = {};
  bool conjugate = false;  ///< rotates by −φ: gradients of a result become gradients of `x`
};

/// The gradients of `apply_rotary` with respect to its tensors, each with the shape of that tensor, as
/// `apply_rotary_backward` returns them.
template <class G, class C, class S>
struct ApplyRotaryGradients {
  rotary::detail::Owned<G> x;    ///< ∂L/∂x, of the shape of `x`
  rotary::detail::Owned<C> cos;  ///< ∂L/∂cos, of the shape of `cos`
  rotary::detail::Owned<S> sin;  ///< ∂L/∂sin, of the shape of `sin`
};

namespace detail {

using namespace rotary::detail;

inline Pairing pairing_of(const ApplyRotaryOptions& options) {
  return options.interleaved.value_or(false) ? Pairing::interleaved : Pairing::half;
}

/// Which row of the tables rotates token t, where tokens are counted through all sequences of a batch.
struct TokenRows {
  Index table_rows;
  Index first = 0, seq = 1;  // tokens of a sequence, unless they are packed
  Index batch = 0;           // sequences with rows of their own; 0: all share theirs
  std::span<const std::int32_t> starts = {}, cu_seqlens = {};

  Index operator()(Index t) const {
    Index sequence = 0, n = t;
    if (!cu_seqlens.empty()) {
      const auto end = std::upper_bound(cu_seqlens.begin(), cu_seqlens.end(), t);
      sequence = end - cu_seqlens.begin() - 1;
      n -= cu_seqlens[static_cast<std::size_t>(sequence)];
    } else if (!starts.empty()) {
      sequence = t / seq, n = t % seq;
    }
    const Index row = n + (starts.empty() ? first : starts[static_cast<std::size_t>(sequence)]);
    return row < table_rows ? row : kIdentityRow;
  }
};

/// The longest of the sequences. Throws if they do not fit the tensor.
template <class X>
Index longest_sequence(const StridedView<X>& x, const ApplyRotaryOptions& options) {
  if (options.cu_seqlens.empty()) return x.extent(1);
  const std::span<const std::int32_t> ends = options.cu_seqlens;
  check_cu_seqlens(ends);
  if (ends.back() != x.extent(0))
    fail("cu_seqlens ends at ", ends.back(), ", the tensor has ", x.extent(0), " tokens");
  Index longest = 0;
  for (std::size_t k = 0; k + 1 < ends.size(); ++k) longest = std::max<Index>(longest, ends[k + 1] - ends[k]);
  return longest;
}

/// The rows of tables of shape [batch, seq, pairs], one for each token.
template <class X>
TokenRows a_row_each(const StridedView<X>& x, const TableShape& table, const ApplyRotaryOptions& options) {
  if (!options.seqlen_offsets.empty() || options.seqlen_offset != 0 || !options.cu_seqlens.empty())
    fail("tables of shape ", shape_text(table),
         " have a row for each token; there must be no offsets and no cu_seqlens");
  if (x.rank != 4 || table.outer != x.extent(0) || table.seq != x.extent(1))
    fail("the tables have shape ", shape_text(table), ", those for a tensor of shape ", shape_text(x),
         " must have its batch and seq");
  return {.table_rows = table.rows(), .batch = table.outer};
}

/// Throws unless the sequences fit the tensor and the tables.
template <class X>
TokenRows rows_of_tokens(const StridedView<X>& x, const TableShape& table,
                         const ApplyRotaryOptions& options) {
  if (table.per_token) return a_row_each(x, table, options);
  const bool packed = !options.cu_seqlens.empty(), listed = !options.seqlen_offsets.empty();
  if (x.rank != (packed ? 3 : 4))
    fail("the tensor has shape ", shape_text(x), ", it must have ",
         packed ? "3 axes, [total, heads, head_dim], with cu_seqlens"
                : "4 axes, [batch, seq, heads, head_dim]");
  if (listed && options.seqlen_offset != 0)
    fail("seqlen_offset is ", options.seqlen_offset,
         " beside a list of seqlen_offsets, only one may be given");
  const Index sequences = packed ? static_cast<Index>(options.cu_seqlens.size()) - 1 : x.extent(0);
  if (listed && static_cast<Index>(options.seqlen_offsets.size()) != sequences)
    fail("found ", options.seqlen_offsets.size(), " seqlen_offsets for ", sequences, " sequences");
  const auto check_offset = [](Index offset) {
    if (offset < 0) fail("a seqlen_offset is ", offset, ", it must not be negative");
  };
  check_offset(options.seqlen_offset);
  for (const std::int32_t offset : options.seqlen_offsets) check_offset(offset);
  const Index longest = longest_sequence(x, options), allowed = options.max_seqlen.value_or(longest);
  if (longest > allowed) fail("max_seqlen is ", allowed, ", there is a sequence of ", longest, " tokens");
  // With a list of offsets, tokens past the end of the tables are copied unchanged.
  const Index needed = checked_sum(options.seqlen_offset, longest);
  if (table.rows() < needed) fail("the tables have ", table.rows(), " rows, there must be at least ", needed);
  return {.table_rows = table.rows(),
          .first = options.seqlen_offset,
          .seq = packed ? 1 : x.extent(1),
          .batch = listed && !packed ? sequences : 0,
          .starts = options.seqlen_offsets,
          .cu_seqlens = options.cu_seqlens};
}

/// Rotates `x` into `out`; in place they are the same object.
template <class Rows, class In, class X>
void rotate(const Rows& rows, const StridedView<In>& x, const StridedView<X>& out,
            const ApplyRotaryOptions& options) {
  const TokenRows tokens = rows_of_tokens(x, rows.shape(), options);
  check_window(x, 0, rows.layout().rotary_dim);
  check_output(x, out);
  rotate_by_given(rows, options.conjugate ? Direction::transpose : Direction::forward,
                  TensorPair{x, out, x.rank - 3}, tokens.batch, tokens);
}

}  // namespace detail

/// Tables of cosines and sines as rows that are converted once, for any number of calls of `apply_rotary` and
/// threads.
///
/// `T`, float or double, is the scalar of the rows. It is deduced: double for tables of double, else float.
/// Results have the bits of the functions below.
/// Throws std::invalid_argument as they do.
///
/// Cost: the tables are copied, rotary_dim scalars for each row, and may be destroyed or changed afterwards.
/// Calls in place do not allocate. An object is immutable.
///
/// @code
///   rotary::Tensor<float, 2> cos(512, 32), sin(512, 32);         // the first 64 features rotate
///   cos.setConstant(0), sin.setConstant(1);
///   const rotary::flash_attention::RotaryTables tables(cos, sin);
///   rotary::Tensor<float, 4> q(2, 1, 8, 64), k(2, 1, 2, 64);     // [batch, seq, heads, head_dim]
///   q.setRandom(), k.setRandom();
///   const std::vector<std::int32_t> cache_seqlens = {100, 7};
///   tables.apply_rotary_in_place(q, {.seqlen_offsets = cache_seqlens});
///   tables.apply_rotary_in_place(k, {.seqlen_offsets = cache_seqlens});
/// @endcode
///
/// Source: FlashAttention at 0251105, flash_attn/layers/rotary.py.
template <class T>
class RotaryTables {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// Tables of [rows, rotary_dim / 2], or of [batch, seq, rotary_dim / 2] with a row for each token.
  /// Throws std::invalid_argument if they differ in shape or have another number of axes.
  template <class C, class S>
  requires(detail::check_given_table<C>() && detail::check_given_table<S>())
      RotaryTables(const C& cos, const S& sin, Pairing pairing = Pairing::half)
      : rows_(detail::converted_rows<T>(cos, sin, pairing)) {}

  /// Which two of the features that rotate form a pair.
  [[nodiscard]] Pairing pairing() const { return rows_.layout().pairing; }

  /// The rotated `x`; shapes, options and errors are those of the function `apply_rotary`. `.interleaved`
  /// need not be given; throws if it contradicts the pairing.
  template <class X>
  [[nodiscard]] rotary::detail::Owned<X> apply_rotary(const X& x,
                                                      const ApplyRotaryOptions& options = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(x);
      auto out = detail::make_like(source);
      apply_rotary_into(source, out, options);
      return out;
    }
  }

  /// Writes the rotated `x` to `out`, of its shape and scalar, which may be `x` itself.
  template <class X, class Y>
  void apply_rotary_into(const X& x, Y&& out, const ApplyRotaryOptions& options = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(x);
      check_pairing(options);
      detail::rotate(rows_, detail::const_view_of(source), detail::writable_view_of(out), options);
    }
  }

  /// Rotates `x` in place. Allocates nothing.
  template <class X>
  void apply_rotary_in_place(X&& x, const ApplyRotaryOptions& options = {}) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      const auto view = detail::writable_view_of(x);
      check_pairing(options);
      detail::rotate(rows_, view, view, options);
    }
  }

 private:
  void check_pairing(const ApplyRotaryOptions& options) const {
    if (options.interleaved && detail::pairing_of(options) != pairing())
      detail::fail("interleaved is ", *options.interleaved ? "true" : "false", ", the tables are for ",
                   *options.interleaved ? "half" : "interleaved", " pairs; leave it out");
  }

  detail::ConvertedRows<T> rows_;
};
/// Deduces the scalar of the rows: double for tables of double, else float.
template <class C, class S>
RotaryTables(const C&, const S&, Pairing = Pairing::half)
    -> RotaryTables<rotary::detail::Arithmetic<float, rotary::detail::Scalar<C>>>;

/// Writes `x`, rotated by rows of the tables `cos` and `sin`, to `out`, of its shape and scalar, which may be
/// `x` itself (FlashAttention's `inplace`). Shapes, options and errors are those of `apply_rotary`, which has
/// an example.
///
/// Cost: rows are converted in every call; for tables that serve many calls, `RotaryTables` converts them
/// once.
template <class X, class C, class S, class Y>
void apply_rotary_into(const X& x, const C& cos, const S& sin, Y&& out,
                       const ApplyRotaryOptions& options = {}) {
  using namespace detail;
  if constexpr (check_rotatable<X>() && check_rotatable<Y>() && check_writable<Y>() &&
                check_same_scalar<X, Y>() && check_given_table<C>() && check_given_table<S>()) {
    decltype(auto) source = stored(x);
    decltype(auto) cosines = stored(cos);
    decltype(auto) sines = stored(sin);
    const RowsOfTables<RowsOf<X, C>, Scalar<C>, Scalar<S>> rows(const_view_of(cosines), const_view_of(sines),
                                                                pairing_of(options));
    rotate(rows, const_view_of(source), writable_view_of(out), options);
  }
}

/// Rotates the first features of every head of `x`, [batch, seq, heads, head_dim], by rows of the tables
/// `cos` and `sin`, [rows, rotary_dim / 2]: token n of a sequence by row offset + n.
///
/// With `cu_seqlens`, `x` is [total, heads, head_dim], and n counts from the start of each packed sequence.
/// Tables of shape [batch, seq, rotary_dim / 2] hold a row for every token, as those of
/// `apply_rotary_emb_torch` may. Cosines and sines are used as they are, at any magnitude.
///
/// As in FlashAttention, tokens past the end of the tables are copied unchanged if the offsets are a list,
/// and throw if there is one offset for all.
/// Throws std::invalid_argument on negative offsets, on a sequence longer than the tables, and on shapes that
/// contradict each other.
///
/// Cost: rows are converted in every call; for tables that serve many calls, `RotaryTables` converts them
/// once.
///
/// @code
///   rotary::Tensor<float, 4> q(2, 5, 8, 64);                     // [batch, seq, heads, head_dim]
///   rotary::Tensor<float, 2> cos(512, 32), sin(512, 32);         // the first 64 features rotate
///   q.setRandom(), cos.setConstant(0), sin.setConstant(1);
///   const std::vector<std::int32_t> cache_seqlens = {100, 7};
///   q = rotary::flash_attention::apply_rotary(q, cos, sin, {.seqlen_offsets = cache_seqlens});
/// @endcode
///
/// Source: FlashAttention at 0251105, flash_attn/layers/rotary.py.
template <class X, class C, class S>
rotary::detail::Owned<X> apply_rotary(const X& x, const C& cos, const S& sin,
                                      const ApplyRotaryOptions& options = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
    decltype(auto) source = detail::stored(x);
    auto out = detail::make_like(source);
    apply_rotary_into(source, cos, sin, out, options);
    return out;
  }
}

/// The gradients of a loss, given `grad`, the one with respect to the result of `apply_rotary` with these
/// options, of the shape of `x`. For a pair (a, b) with gradients (g, h) of its results, summed over the
/// pairs that a row rotates:
///
///     ∂x = the conjugate rotation of grad,   ∂cos = Σ (g a + h b),   ∂sin = Σ (h a − g b)
///
/// FlashAttention has those of x only.
/// Throws std::invalid_argument where `apply_rotary` does.
///
/// @code
///   rotary::Tensor<float, 4> q(2, 5, 8, 64), grad(2, 5, 8, 64);  // [batch, seq, heads, head_dim]
///   rotary::Tensor<float, 2> cos(512, 32), sin(512, 32);
///   q.setRandom(), grad.setRandom(), cos.setConstant(0), sin.setConstant(1);
///   const auto gradients = rotary::flash_attention::apply_rotary_backward(q, cos, sin, grad);   // .cos: [512, 32]
/// @endcode
template <class X, class C, class S, class G>
ApplyRotaryGradients<G, C, S> apply_rotary_backward(const X& x, const C& cos, const S& sin, const G& grad,
                                                    ApplyRotaryOptions options = {}) {
  using namespace detail;
  static_assert(check_rotatable<X>() && check_rotatable<G>() && check_returnable<G>() &&
                check_returnable<C>() && check_returnable<S>());
  decltype(auto) source = stored(x);
  decltype(auto) of_result = stored(grad);
  ApplyRotaryGradients<G, C, S> gradients{{}, make_like(stored(cos)), make_like(stored(sin))};
  const auto grad_cos = view_of(gradients.cos);
  const auto grad_sin = view_of(gradients.sin);
  const auto in = const_view_of(source);
  check_given_tables(const_view_of(gradients.cos), const_view_of(gradients.sin));
  const TokenRows rows = rows_of_tokens(in, table_shape(grad_cos), options);
  std::vector<Index> shape(static_cast<std::size_t>(in.rank) - 1, 1);  // 1 for axes that share rows
  const auto seq_axis = static_cast<std::size_t>(in.rank) - 3;
  shape[seq_axis] = in.extent(in.rank - 3);
  if (rows.batch > 0) shape[0] = rows.batch;
  std::vector<Index> numbers(
      in.empty() ? 0 : detail::checked_elements<Index>(shape[0], seq_axis > 0 ? shape[seq_axis] : 1));
  for (std::size_t t = 0; t < numbers.size(); ++t) numbers[t] = rows(static_cast<Index>(t));
  write_table_gradients(in, const_view_of(of_result), numbers, shape, pairing_of(options), grad_cos,
                        grad_sin);
  if (options.conjugate) gradients.sin = -gradients.sin;
  options.conjugate = !options.conjugate;
  gradients.x = apply_rotary(of_result, cos, sin, options);
  return gradients;
}

}  // namespace rotary::inline ROTARY_ABI::flash_attention
