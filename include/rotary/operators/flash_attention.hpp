// FlashAttention's apply_rotary: tables × tokens, each sequence starting at a row of its own.
#pragma once

#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "../position_ids.hpp"
#include "given_tables.hpp"

namespace rotary::inline ROTARY_ABI::flash_attention {

/// The arguments of `apply_rotary` that are no tensors of floats, with its defaults.
struct ApplyRotaryOptions {
  Index seqlen_offset = 0;  ///< `seqlen_offsets` as one int: the row of the first token of every sequence
  std::span<const std::int32_t> seqlen_offsets = {};  ///< or as a tensor: one for each sequence
  std::span<const std::int32_t> cu_seqlens = {};      ///< of packed sequences: 0, then where each ends
  std::optional<Index> max_seqlen = {};               ///< fails on a longer sequence
  bool interleaved = false;                           ///< Pairing::interleaved, else Pairing::half
  bool conjugate = false;                             ///< turns backwards, which is the gradient
};

/// The gradients of `apply_rotary` with respect to its tensors, each of the shape of its own.
template <class G, class C, class S>
struct ApplyRotaryGradients {
  rotary::detail::Owned<G> x;
  rotary::detail::Owned<C> cos;
  rotary::detail::Owned<S> sin;
};

namespace detail {

using namespace rotary::detail;

inline Pairing pairing_of(const ApplyRotaryOptions& options) {
  return options.interleaved ? Pairing::interleaved : Pairing::half;
}

/// Which row of the tables turns a token: the numbers of the rows, and the axes that they are arranged in,
/// those of the tensor before its features.
struct TokenRows {
  std::vector<Index> numbers, shape;
};

/// The sequences of a batch: where each ends if they are put end to end, after a 0, and the row of the tables
/// for its first token. A batch whose sequences all start at the same row is but one sequence.
struct Sequences {
  std::vector<Index> ends;
  std::vector<std::int64_t> starts;
  Index longest = 0;
};

template <class X>
Sequences sequences_of(const StridedView<const X>& x, const ApplyRotaryOptions& options) {
  const bool packed = !options.cu_seqlens.empty(), listed = !options.seqlen_offsets.empty();
  if (x.rank != (packed ? 3 : 4))
    fail("the tensor has shape ", shape_text(x), ", it must have ",
         packed ? "3 axes, [total, heads, head_dim], with cu_seqlens"
                : "4 axes, [batch, seq, heads, head_dim]");
  if (listed && options.seqlen_offset != 0)
    fail("seqlen_offset is ", options.seqlen_offset,
         " beside a list of seqlen_offsets, only one may be given");
  const Index count = packed ? static_cast<Index>(options.cu_seqlens.size()) - 1 : listed ? x.extent(0) : 1;
  if (listed && static_cast<Index>(options.seqlen_offsets.size()) != count)
    fail("found ", options.seqlen_offsets.size(), " seqlen_offsets for ", count, " sequences");

  Sequences sequences;
  for (Index k = 0; k <= count; ++k)
    sequences.ends.push_back(packed ? options.cu_seqlens[static_cast<std::size_t>(k)]
                                    : checked_product(k, x.extent(1)));
  if (packed && sequences.ends.back() != x.extent(0))
    fail("cu_seqlens ends at ", sequences.ends.back(), ", the tensor has ", x.extent(0), " tokens");
  sequences.starts.assign(static_cast<std::size_t>(count), options.seqlen_offset);
  if (listed) sequences.starts.assign(options.seqlen_offsets.begin(), options.seqlen_offsets.end());
  for (const std::int64_t start : sequences.starts)
    if (start < 0) fail("a seqlen_offset is ", start, ", it must not be negative");
  for (std::size_t k = 0; k + 1 < sequences.ends.size(); ++k)
    sequences.longest = std::max(sequences.longest, sequences.ends[k + 1] - sequences.ends[k]);
  const Index allowed = options.max_seqlen.value_or(sequences.longest);
  if (sequences.longest > allowed)
    fail("max_seqlen is ", allowed, ", there is a sequence of ", sequences.longest, " tokens");
  return sequences;
}

/// Tables of shape [batch, seq, pairs]: every token has a row of its own.
template <class X, class C>
TokenRows a_row_each(const StridedView<const X>& x, const StridedView<const C>& table,
                     const ApplyRotaryOptions& options) {
  if (!options.seqlen_offsets.empty() || options.seqlen_offset != 0 || !options.cu_seqlens.empty())
    fail("tables of shape ", shape_text(table),
         " have a row for each token; there must be no offsets and no cu_seqlens");
  if (x.rank != 4 || table.extent(0) != x.extent(0) || table.extent(1) != x.extent(1))
    fail("the tables have shape ", shape_text(table), ", those for a tensor of shape ", shape_text(x),
         " must have its batch and seq");
  TokenRows rows{{}, {x.extent(0), x.extent(1), 1}};
  rows.numbers.resize(static_cast<std::size_t>(checked_product(x.extent(0), x.extent(1))));
  std::iota(rows.numbers.begin(), rows.numbers.end(), Index{0});
  return rows;
}

template <class X, class C>
TokenRows rows_of_tokens(const StridedView<const X>& x, const StridedView<const C>& table,
                         const ApplyRotaryOptions& options) {
  if (table.rank == 3) return a_row_each(x, table, options);
  const Sequences sequences = sequences_of(x, options);
  // Where the offsets are a list, tokens past the end of the tables stay as they are.
  const bool listed = !options.seqlen_offsets.empty();
  const Index needed = checked_sum(listed ? 0 : options.seqlen_offset, sequences.longest);
  if (table.extent(0) < needed)
    fail("the tables have ", table.extent(0), " rows, there must be at least ", needed);
  TokenRows rows{{}, {static_cast<Index>(sequences.starts.size()), x.extent(1), 1}};
  if (x.rank == 3) rows.shape = {x.extent(0), 1};
  for (const std::int64_t id : packed_position_ids(sequences.ends, sequences.starts))
    rows.numbers.push_back(id < table.extent(0) ? static_cast<Index>(id) : kIdentityRow);
  return rows;
}

}  // namespace detail

/// `apply_rotary` into `out`, of the shape and scalar of `x`, which with `inplace` is `x` itself.
template <class X, class C, class S, class Y>
void apply_rotary_into(const X& x, const C& cos, const S& sin, Y&& out,
                       const ApplyRotaryOptions& options = {}) {
  using namespace detail;
  if constexpr (check_rotatable<X>() && check_given_table<C>() && check_given_table<S>()) {
    decltype(auto) source = stored(x);
    decltype(auto) cosines = stored(cos);
    decltype(auto) sines = stored(sin);
    const auto cos_view = const_view_of(cosines);
    const auto sin_view = const_view_of(sines);
    check_given_tables(cos_view, sin_view);
    const TokenRows rows = rows_of_tokens(const_view_of(source), cos_view, options);
    const auto table =
        gathered<RowsOf<X, C>>(cos_view, sin_view, rows.numbers, rows.shape, pairing_of(options));
    apply_rotary_emb_into(table, source, out,
                          {.direction = options.conjugate ? Direction::transpose : Direction::forward});
  }
}

/// Turns the first features of every head of `x`, [batch, seq, heads, head_dim], by rows of the tables `cos`
/// and `sin`, [rows, rotary_dim / 2]: token n of a sequence by row offset + n.
///
/// With `cu_seqlens`, `x` is [total, heads, head_dim], and n counts from the start of each packed sequence.
/// Tables of shape [batch, seq, rotary_dim / 2] hold a row for every token, as those of
/// `apply_rotary_emb_torch` may. Cosines and sines are used as they are, at any magnitude.
///
/// As in FlashAttention, tokens past the end of the tables come through unturned if the offsets are a list,
/// and fail if there is one offset for all. Fails with std::invalid_argument on negative offsets, on a
/// sequence longer than the tables, and on shapes that contradict each other.
///
/// @code
///   rotary::Tensor<float, 4> q(2, 5, 8, 64);                     // [batch, seq, heads, head_dim]
///   rotary::Tensor<float, 2> cos(512, 32), sin(512, 32);         // the first 64 features rotate
///   q.setRandom(), cos.setConstant(0), sin.setConstant(1);
///   const std::vector<std::int32_t> cache_seqlens = {100, 7};
///   q = rotary::flash_attention::apply_rotary(q, cos, sin, {.seqlen_offsets = cache_seqlens});
/// @endcode
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

/// The gradients of a loss, given the one with respect to the result of `apply_rotary` with these options.
/// With respect to `x` it is the conjugate rotation; those of the tables, which FlashAttention does not have,
/// are ∂cos = Σ (g a + h b) and ∂sin = Σ (h a − g b) over the pairs (a, b) that a row has turned.
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
  check_given_tables(const_view_of(gradients.cos), const_view_of(gradients.sin));
  const TokenRows rows = rows_of_tokens(const_view_of(source), const_view_of(gradients.cos), options);
  write_table_gradients(const_view_of(source), const_view_of(of_result), rows.numbers, rows.shape,
                        pairing_of(options), grad_cos, grad_sin);
  if (options.conjugate) gradients.sin = -gradients.sin;
  options.conjugate = !options.conjugate;
  gradients.x = apply_rotary(of_result, cos, sin, options);
  return gradients;
}

}  // namespace rotary::inline ROTARY_ABI::flash_attention
