// Positions of dual chunk attention: distances beyond a chunk are clamped, so that none exceeds those of
// training.
#pragma once

#include <cstdint>
#include <vector>

#include "position_ids.hpp"

namespace rotary::inline ROTARY_ABI {

/// How dual chunk attention cuts a sequence: with n = chunk_size − local_size, a key at position p rotates as
/// at p mod n, so that no distance exceeds those of training. For `dual_chunk_key_positions` and
/// `dual_chunk_query_positions`.
///
/// Source: An et al., "Training-Free Long-Context Scaling of Large Language Models"; Qwen's models of a
/// million tokens.
struct DualChunk {
  Index chunk_size = 0;  ///< tokens of a chunk; must be given, larger than local_size
  Index local_size = 0;  ///< how far into a chunk distances to the chunk before are exact, in tokens
};

/// Which keys a query is rotated for: a query is rotated once for each of these, and scored against these
/// keys only. With n = chunk_size − local_size, the query at position p rotates as at:
enum class DualChunkQuery {
  intra,                ///< for keys of its own chunk: at p mod n
  successive,           ///< for keys of the chunk before: at n + min(p mod n, local_size)
  inter,                ///< for keys of all chunks before that one: at n + min(n − 1, local_size)
  successive_critical,  ///< as `successive`, without the minimum: at n + p mod n
  inter_critical        ///< as `inter`, growing with the position: at chunk_size + p mod n
};

namespace detail {

/// n, the length after which the positions of keys start from 0 again.
inline Index dual_chunk_length(const DualChunk& chunk) {
  if (chunk.local_size < 0) fail("local_size is ", chunk.local_size, ", it must not be negative");
  if (chunk.chunk_size <= chunk.local_size)
    fail("chunk_size is ", chunk.chunk_size, ", it must be larger than local_size, ", chunk.local_size);
  checked_product(chunk.chunk_size, 2);  // the largest position of all is below
  return chunk.chunk_size - chunk.local_size;
}

/// p mod n, from 0 to n − 1 for negative positions too.
inline std::int64_t wrapped(std::int64_t position, Index length) {
  const std::int64_t rest = position % length;
  return rest < 0 ? rest + length : rest;
}

}  // namespace detail

/// The position by which the key of the token at `position` is rotated: p mod n, n = chunk_size − local_size.
/// Throws std::invalid_argument unless 0 ≤ local_size < chunk_size. `dual_chunk_key_positions` does this to a
/// list, and has an example.
inline std::int64_t dual_chunk_key_position(std::int64_t position, const DualChunk& chunk) {
  return detail::wrapped(position, detail::dual_chunk_length(chunk));
}

/// The position by which a version of the query of the token at `position` is rotated; see `DualChunkQuery`.
/// Throws std::invalid_argument unless 0 ≤ local_size < chunk_size. `dual_chunk_query_positions` does this to
/// a list, and has an example.
inline std::int64_t dual_chunk_query_position(std::int64_t position, DualChunkQuery version,
                                              const DualChunk& chunk) {
  const Index n = detail::dual_chunk_length(chunk);
  const std::int64_t p = detail::wrapped(position, n);
  const auto at_most_local = [&](std::int64_t x) { return x < chunk.local_size ? x : chunk.local_size; };
  switch (version) {
    case DualChunkQuery::intra:
      return p;
    case DualChunkQuery::successive:
      return n + at_most_local(p);
    case DualChunkQuery::inter:
      return n + at_most_local(n - 1);
    case DualChunkQuery::successive_critical:
      return n + p;
    case DualChunkQuery::inter_critical:
      return chunk.chunk_size + p;
  }
  detail::fail("found version ", static_cast<int>(version), " of a query, there are 0 to 4");
}

/// The positions by which the keys of tokens at the listed positions are rotated, p mod n, one for each
/// token.
/// Throws std::invalid_argument unless 0 ≤ local_size < chunk_size.
///
/// @code
///   const rotary::DualChunk chunk{.chunk_size = 5, .local_size = 2};
///   const std::vector<int> positions = {0, 1, 2, 3, 4};
///   const auto ids = rotary::dual_chunk_key_positions(positions, chunk);   // 0 1 2 0 1
/// @endcode
///
/// Source: An et al., "Training-Free Long-Context Scaling of Large Language Models".
template <IntegerList Ids>
std::vector<std::int64_t> dual_chunk_key_positions(const Ids& positions, const DualChunk& chunk) {
  auto ids = detail::room_for_ids(detail::list_size(positions));
  for (Index n = 0; n < detail::list_size(positions); ++n)
    ids.push_back(dual_chunk_key_position(detail::list_entry(positions, n), chunk));
  return ids;
}
/// The positions by which a version of the queries of tokens at the listed positions is rotated, one for each
/// token; see `DualChunkQuery`.
/// Throws std::invalid_argument unless 0 ≤ local_size < chunk_size.
///
/// @code
///   const rotary::DualChunk chunk{.chunk_size = 5, .local_size = 2};
///   const std::vector<int> positions = {0, 1, 2, 3, 4};
///   const auto ids = rotary::dual_chunk_query_positions(
///       positions, rotary::DualChunkQuery::successive, chunk);   // 3 4 5 3 4
/// @endcode
///
/// Source: An et al., "Training-Free Long-Context Scaling of Large Language Models".
template <IntegerList Ids>
std::vector<std::int64_t> dual_chunk_query_positions(const Ids& positions, DualChunkQuery version,
                                                     const DualChunk& chunk) {
  auto ids = detail::room_for_ids(detail::list_size(positions));
  for (Index n = 0; n < detail::list_size(positions); ++n)
    ids.push_back(dual_chunk_query_position(detail::list_entry(positions, n), version, chunk));
  return ids;
}

}  // namespace rotary::inline ROTARY_ABI
