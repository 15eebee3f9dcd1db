// Lists of positions, one for every token: packed sequences, padded batches, slices of a long context.
#pragma once

#include <concepts>
#include <cstdint>
#include <iterator>  // rather than <ranges>, which is slow to compile
#include <span>
#include <vector>

#include "../core/checks.hpp"

namespace rotary::inline ROTARY_ABI {

/// A list of integers of any width, or of flags: a std::vector, std::array, std::span or C array of them.
template <class List>
concept IntegerList = requires(const List& list) {
  { std::ranges::begin(list) } -> std::random_access_iterator;
  std::ranges::end(list);
  std::ranges::size(list);
  requires std::integral<std::iter_value_t<decltype(std::ranges::begin(list))>>;
};

namespace detail {

template <IntegerList List>
Index list_size(const List& list) {
  return static_cast<Index>(std::ranges::size(list));
}

/// Entry n. An unsigned number too large for std::int64_t becomes negative, which every caller rejects.
template <IntegerList List>
std::int64_t list_entry(const List& list, Index n) {
  return static_cast<std::int64_t>(std::ranges::begin(list)[n]);
}

/// An empty list with room for `count` ids.
inline std::vector<std::int64_t> room_for_ids(Index count) {
  checked_product(count, sizeof(std::int64_t));
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(count));
  return ids;
}

inline void append_consecutive(std::vector<std::int64_t>& ids, std::int64_t first, Index count) {
  for (Index n = 0; n < count; ++n) ids.push_back(first + n);
}

/// Throws unless the list starts with 0 and never decreases.
template <IntegerList CuSeqlens>
void check_cu_seqlens(const CuSeqlens& cu_seqlens) {
  const Index sequences = list_size(cu_seqlens) - 1;
  if (sequences < 0) fail("cu_seqlens is empty, its first entry must be 0");
  if (list_entry(cu_seqlens, 0) != 0)
    fail("cu_seqlens starts with ", list_entry(cu_seqlens, 0), ", it must start with 0");
  for (Index k = 0; k < sequences; ++k)
    if (list_entry(cu_seqlens, k + 1) < list_entry(cu_seqlens, k))
      fail("cu_seqlens falls from ", list_entry(cu_seqlens, k), " to ", list_entry(cu_seqlens, k + 1),
           " at entry ", k + 1, ", it must never decrease");
}

}  // namespace detail

/// The positions of sequences packed end to end, each counted separately: token t of sequence k has
///
///     p = t − cu_seqlens[k] + first[k]
///
/// `cu_seqlens` is FlashAttention's: 0, then the end of every sequence; empty sequences are allowed. `first`
/// is the position of every sequence's first token, for instance the number of its cached tokens; left out,
/// 0.
/// Throws std::invalid_argument unless `cu_seqlens` starts with 0 and never decreases.
///
/// @code
///   const std::vector<int> cu_seqlens = {0, 3, 5};
///   const auto ids = rotary::packed_position_ids(cu_seqlens);   // 0 1 2 0 1
///   const auto positions = rotary::Positions::listed<std::int64_t>(ids);
/// @endcode
template <IntegerList CuSeqlens>
std::vector<std::int64_t> packed_position_ids(const CuSeqlens& cu_seqlens,
                                              std::span<const std::int64_t> first = {}) {
  detail::check_cu_seqlens(cu_seqlens);
  const Index sequences = detail::list_size(cu_seqlens) - 1;
  if (!first.empty() && static_cast<Index>(first.size()) != sequences)
    detail::fail("found first positions for ", first.size(), " sequences, cu_seqlens has ", sequences);

  auto ids = detail::room_for_ids(detail::list_entry(cu_seqlens, sequences));
  for (Index k = 0; k < sequences; ++k) {
    const Index length = detail::list_entry(cu_seqlens, k + 1) - detail::list_entry(cu_seqlens, k);
    const std::int64_t start = first.empty() ? 0 : first[static_cast<std::size_t>(k)];
    detail::checked_sum(start, length);
    detail::append_consecutive(ids, start, length);
  }
  return ids;
}

/// The shape of a padded batch, and the position of its padding, for `padded_position_ids`.
struct PaddedBatch {
  Index batch = 1;           ///< sequences: rows of the mask
  Index seq = 0;             ///< tokens of a row, padding included
  std::int64_t padding = 1;  ///< the position of padding, which attention never sees; 1 as in Hugging Face
};

/// Positions [batch, seq] that count the tokens of each row and skip its padding, wherever that is:
///
///     p = (how many of the row's mask so far are 1) − 1, or `padding` where the mask is 0
///
/// Left-padded prompts of different lengths all start at 0. `mask`, [batch, seq], has 1 for tokens and 0 for
/// padding.
/// Throws std::invalid_argument if it has another number of entries or other values.
///
/// @code
///   const std::vector<int> mask = {0, 0, 1, 1, 1,  1, 1, 1, 1, 1};
///   const auto ids = rotary::padded_position_ids(mask, {.batch = 2, .seq = 5});   // 1 1 0 1 2  0 1 2 3 4
/// @endcode
///
/// Source: `position_ids` of Hugging Face's `generate`.
template <IntegerList Mask>
std::vector<std::int64_t> padded_position_ids(const Mask& mask, const PaddedBatch& shape) {
  if (shape.batch < 0 || shape.seq < 0)
    detail::fail("the mask's shape is [", shape.batch, ", ", shape.seq, "], it must not be negative");
  const Index count = detail::checked_product(shape.batch, shape.seq);
  if (detail::list_size(mask) != count)
    detail::fail("the mask has ", detail::list_size(mask), " entries, a batch of shape [", shape.batch, ", ",
                 shape.seq, "] has ", count);
  auto ids = detail::room_for_ids(count);
  if (count == 0) return ids;  // of any number of rows
  for (Index row = 0; row < shape.batch; ++row) {
    std::int64_t next = 0;
    for (Index n = row * shape.seq; n < (row + 1) * shape.seq; ++n) {
      const std::int64_t keep = detail::list_entry(mask, n);
      if (keep != 0 && keep != 1)
        detail::fail("entry ", n, " of the mask is ", keep, ", it must be 1 for a token or 0 for padding");
      ids.push_back(keep == 1 ? next++ : shape.padding);
    }
  }
  return ids;
}

/// One rank's share of a sequence that is split among devices by context parallelism, for
/// `context_parallel_position_ids`.
struct ContextParallelSlice {
  Index seq_len = 0;       ///< tokens of the whole sequence; a multiple of 2 · ranks
  Index ranks = 1;         ///< how many devices share the sequence
  Index rank = 0;          ///< the device whose share this is, counted from 0
  std::int64_t first = 0;  ///< the position of the sequence's first token
};

/// The positions of a rank's tokens in the whole sequence, in the order in which the rank holds them. The
/// sequence is cut into 2 · ranks chunks of g tokens; rank r holds the r-th from the front and the r-th from
/// the back, so that causal attention is the same work for every rank:
///
///     r g ... (r + 1) g − 1,   seq_len − (r + 1) g ... seq_len − r g − 1
///
/// Throws std::invalid_argument unless seq_len is a multiple of 2 · ranks and rank is one of them.
///
/// @code
///   const rotary::ContextParallelSlice first_of_two{.seq_len = 8, .ranks = 2, .rank = 0};
///   const auto ids = rotary::context_parallel_position_ids(first_of_two);   // 0 1 6 7
/// @endcode
///
/// Source: Transformer Engine.
inline std::vector<std::int64_t> context_parallel_position_ids(const ContextParallelSlice& slice) {
  if (slice.ranks < 1) detail::fail("found ", slice.ranks, " ranks, there must be at least 1");
  if (slice.rank < 0 || slice.rank >= slice.ranks)
    detail::fail("rank is ", slice.rank, ", the ranks are 0 to ", slice.ranks - 1);
  const Index chunks = detail::checked_product(2, slice.ranks);
  if (slice.seq_len < 0 || slice.seq_len % chunks != 0)
    detail::fail("seq_len is ", slice.seq_len, ", it must be a multiple of ", chunks, ", twice the ranks");
  detail::checked_sum(slice.first, slice.seq_len);
  const Index chunk = slice.seq_len / chunks;
  auto ids = detail::room_for_ids(2 * chunk);
  detail::append_consecutive(ids, slice.first + slice.rank * chunk, chunk);
  detail::append_consecutive(ids, slice.first + slice.seq_len - (slice.rank + 1) * chunk, chunk);
  return ids;
}

/// Position interpolation that depends on the length of a sequence, for `interpolated_positions` and
/// `length_interpolated_frequencies`.
struct LengthInterpolation {
  double pretrained_length = 0;  ///< the context of pretraining, in tokens; must be given
  double factor = 1;             ///< the divisor of positions for lengths up to factor · pretrained_length
};

namespace detail {

/// `length_interpolation_factor`, as no double holds it.
inline DoubleDouble length_interpolation_factor(Index length, const LengthInterpolation& rule) {
  check_positive("pretrained_length", rule.pretrained_length);
  check_positive("the factor that positions are divided by", rule.factor);
  if (length < 0) fail("length is ", length, ", it must not be negative");
  const DoubleDouble needed = DoubleDouble(length) / rule.pretrained_length;
  return needed > rule.factor ? needed : DoubleDouble(rule.factor);
}

}  // namespace detail

/// The divisor of positions in a sequence of `length` tokens, so that none is beyond those of training:
///
///     max(factor, length / pretrained_length)
///
/// `length_interpolated_frequencies` divides the frequencies by it, without rounding it first.
/// Throws std::invalid_argument unless length ≥ 0 and factor, pretrained_length > 0.
///
/// @code
///   rotary::length_interpolation_factor(9000, {.pretrained_length = 4500});   // 2
/// @endcode
///
/// Source: Transformer Engine's `seq_len_interpolation_factor` together with
/// `pretrained_max_position_embeddings`.
inline double length_interpolation_factor(Index length, const LengthInterpolation& rule) {
  return static_cast<double>(detail::length_interpolation_factor(length, rule));
}

/// first, first + 1, ..., `length` of them, divided by `length_interpolation_factor` and rounded to double.
/// Throws std::invalid_argument unless length ≥ 0 and factor, pretrained_length > 0.
///
/// @code
///   const auto positions = rotary::interpolated_positions(4, {.pretrained_length = 2});   // 0 0.5 1 1.5
/// @endcode
inline std::vector<double> interpolated_positions(Index length, const LengthInterpolation& rule,
                                                  std::int64_t first = 0) {
  const DoubleDouble factor = detail::length_interpolation_factor(length, rule);
  detail::checked_sum(first, length);
  detail::checked_product(length, sizeof(double));
  std::vector<double> positions;
  positions.reserve(static_cast<std::size_t>(length));
  for (Index n = 0; n < length; ++n)
    positions.push_back(static_cast<double>(DoubleDouble(first + n) / factor));
  return positions;
}

}  // namespace rotary::inline ROTARY_ABI
