// How a sequence is split among the ranks of a ring, and what the ranks of one call must agree on.
#pragma once

#include <array>
#include <vector>

#include "block_attention.hpp"

namespace rotary::inline ROTARY_ABI {

/// How a sequence is split among the ranks of `ring_attend`.
///
///     contiguous, 3 ranks           zig_zag, 3 ranks
///     |   0   |   1   |   2   |     | 0 | 1 | 2 | 2 | 1 | 0 |
enum class RingSlices {
  contiguous,  ///< rank r holds the tokens after those of rank r − 1; slices may differ in length
  /// Of 2 · ranks chunks of one length, rank r holds the r-th from the front and then the r-th from the back, at the
  /// positions of `context_parallel_position_ids`. With a causal mask all ranks have as much to compute.
  zig_zag,
};

namespace detail {

/// What one rank passed to a call, in numbers that ranks can exchange: whole ones are far below 2^53.
struct RingCall {
  enum Fact { batch, heads, kv_heads, d, d_v, bytes, slices, causal, window, scale, soft_cap, kFacts };
  static constexpr const char* kNames[kFacts] = {"the number of sequences",
                                                 "heads of queries",
                                                 "heads of keys",
                                                 "features of keys",
                                                 "features of values",
                                                 "bytes of a number",
                                                 "slices",
                                                 "causal",
                                                 "window",
                                                 "scale",
                                                 "soft_cap"};

  double wrong = 0;  // 1: the call threw on this rank
  double seq_q = 0, seq_k = 0;
  std::array<double, kFacts> facts = {};
};

template <RowScalar T>
RingCall ring_call(const AttentionSizes& sizes, const AttentionOptions<T>& options, RingSlices slices) {
  const auto number = [](auto x) { return static_cast<double>(x); };
  return {0,
          number(sizes.seq_q),
          number(sizes.seq_k),
          {number(sizes.batch), number(sizes.heads), number(sizes.kv_heads), number(sizes.d),
           number(sizes.d_v), number(sizeof(T)), number(static_cast<int>(slices)), number(options.causal),
           number(options.window.value_or(0)), options.scale.value_or(0), options.soft_cap.value_or(0)}};
}

/// Throws, on every rank or on none, unless the calls of all ranks belong together.
inline void check_ring_calls(std::span<const RingCall> calls) {
  const RingCall& first = calls[0];
  for (std::size_t rank = 0; rank < calls.size(); ++rank)
    if (calls[rank].wrong > 0)
      fail("the call of rank ", rank, " has wrong arguments, its own message says which");
  for (std::size_t rank = 1; rank < calls.size(); ++rank)
    for (std::size_t n = 0; n < RingCall::kFacts; ++n)
      if (!is_equal(calls[rank].facts[n], first.facts[n]))
        fail("all ranks must agree on ", RingCall::kNames[n], ": rank 0 has ", first.facts[n], ", rank ",
             rank, " has ", calls[rank].facts[n]);
  const bool zig_zag = is_equal(first.facts[RingCall::slices], static_cast<double>(RingSlices::zig_zag));
  const bool positions = first.facts[RingCall::causal] + first.facts[RingCall::window] > 0;
  for (std::size_t rank = 0; rank < calls.size(); ++rank) {
    const double seq_q = calls[rank].seq_q, seq_k = calls[rank].seq_k;
    if ((positions || zig_zag) && !is_equal(seq_q, seq_k))
      fail("rank ", rank, " has ", seq_q, " queries and ", seq_k,
           " keys; causal, with a window or in zig-zag slices there must be as many");
    if (!zig_zag) continue;
    if (!is_equal(seq_k, first.seq_k))
      fail("zig-zag slices have one length: rank 0 has ", first.seq_k, " tokens, rank ", rank, " has ",
           seq_k);
    if (static_cast<Index>(seq_k) % 2 != 0)
      fail("zig-zag slices have an even number of tokens, found ", seq_k);
  }
}

/// The pieces of the sequence that a rank holds, when rank r holds `tokens[r]` tokens.
inline std::vector<TokenPiece> ring_pieces(RingSlices slices, std::span<const Index> tokens,
                                           std::size_t rank) {
  const Index own = tokens[rank];
  Index before = 0;
  for (std::size_t r = 0; r < rank; ++r) before += tokens[r];
  if (slices == RingSlices::contiguous) return {{0, own, before}};
  const Index chunk = own / 2, all = own * static_cast<Index>(tokens.size());
  return {{0, chunk, before / 2}, {chunk, chunk, all - before / 2 - chunk}};
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
