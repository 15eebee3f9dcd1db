// A sequence that is split among ranks, and what each rank must get: attention of the whole sequence, in double.
#pragma once

#include <rotary/attention/ring_slices.hpp>
#include <rotary/positions/position_ids.hpp>
#include <vector>

#include "plain_attention.hpp"

namespace rotary::testing {

/// What one rank holds and computes.
template <class T>
struct RankTensors {
  Tensor<T, 4> q, k, v, grad_out;
  Tensor<T, 4> out, grad_q, grad_k, grad_v;
  Tensor<T, 3> log_sum;
};

struct RingCase {
  PlainAttention a;
  RingSlices slices;
  std::vector<Index> seq_q, seq_k;  // of each rank
  Tensor<double, 4> q, k, v, grad_out;
  PlainResult want;

  /// The tokens of each rank are random; `of` has all options and sizes but those of the sequence.
  RingCase(Random& random, PlainAttention of, RingSlices split, std::vector<Index> queries,
           std::vector<Index> keys)
      : a(std::move(of)), slices(split), seq_q(std::move(queries)), seq_k(std::move(keys)) {
    a.seq_q = a.seq_k = 0;
    for (const Index n : seq_q) a.seq_q += n;
    for (const Index n : seq_k) a.seq_k += n;
    // The numbers of a float, so that the reference has what float sees.
    const auto tensor = [&](Index seq, Index heads, Index width) -> Tensor<double, 4> {
      return random_tensor(random, a.batch, seq, heads, width).cast<float>().cast<double>();
    };
    q = tensor(a.seq_q, a.heads, a.d), k = tensor(a.seq_k, a.kv_heads, a.d);
    v = tensor(a.seq_k, a.kv_heads, a.d_v), grad_out = tensor(a.seq_q, a.heads, a.d_v);
    want = plain_attention(a, q, k, v, grad_out);
  }

  int ranks() const { return static_cast<int>(seq_q.size()); }
  /// The positions of a rank's tokens, from the definition of slices.
  std::vector<std::int64_t> positions(const std::vector<Index>& seq, int rank) const {
    const auto own = static_cast<std::size_t>(rank);
    if (slices == RingSlices::zig_zag)
      return context_parallel_position_ids({.seq_len = seq[0] * ranks(), .ranks = ranks(), .rank = rank});
    std::int64_t first = 0;
    for (std::size_t r = 0; r < own; ++r) first += seq[r];
    std::vector<std::int64_t> ids;
    for (Index n = 0; n < seq[own]; ++n) ids.push_back(first + n);
    return ids;
  }
  std::vector<std::int64_t> query_positions(int rank) const { return positions(seq_q, rank); }
  std::vector<std::int64_t> key_positions(int rank) const { return positions(seq_k, rank); }

  /// The tokens at these positions of [batch, seq, heads, width] or [batch, seq, heads].
  template <class T, int kRank>
  static Tensor<T, kRank> slice(const Tensor<double, kRank>& x, const std::vector<std::int64_t>& at) {
    auto sizes = x.dimensions();
    sizes[1] = static_cast<Index>(at.size());
    Tensor<T, kRank> part(sizes);
    for (Index n = 0; n < sizes[1]; ++n)
      part.chip(n, 1) = x.chip(at[static_cast<std::size_t>(n)], 1).template cast<T>();
    return part;
  }

  template <class T>
  RankTensors<T> inputs(int rank) const {
    const auto of_q = query_positions(rank), of_k = key_positions(rank);
    RankTensors<T> r{slice<T>(q, of_q),
                     slice<T>(k, of_k),
                     slice<T>(v, of_k),
                     slice<T>(grad_out, of_q),
                     {},
                     {},
                     {},
                     {},
                     {}};
    r.out.resize(r.grad_out.dimensions()), r.log_sum.resize(a.batch, r.q.dimension(1), a.heads);
    r.grad_q.resize(r.q.dimensions()), r.grad_k.resize(r.k.dimensions()), r.grad_v.resize(r.v.dimensions());
    for (auto* x : {&r.out, &r.grad_q, &r.grad_k, &r.grad_v}) x->setConstant(T(77));
    r.log_sum.setConstant(T(77));
    return r;
  }

  /// Differences of results and gradients, each divided by the largest number of its kind or 1.
  template <class T>
  double error(const RankTensors<T>& got, int rank) const {
    const auto of_q = query_positions(rank), of_k = key_positions(rank);
    double largest = 0;
    const auto compare = [&](const auto& x, const auto& all, const auto& at) {
      const double difference = farthest(x, slice<double>(all, at)) / std::max(1.0, largest_of(all));
      if (!(difference <= largest)) largest = difference;
    };
    compare(got.out, want.out, of_q), compare(got.grad_q, want.grad_q, of_q);
    compare(got.grad_k, want.grad_k, of_k), compare(got.grad_v, want.grad_v, of_k);
    const double sums = farthest(got.log_sum, slice<double>(want.log_sum, of_q));
    return sums <= largest ? largest : sums;
  }
};

/// A random case for `ranks` ranks; `which` chooses its options.
inline RingCase random_ring_case(Random& random, int ranks, unsigned which, Index most_tokens) {
  const auto has = [&](int bit) { return (which >> bit & 1) != 0; };
  PlainAttention a;
  a.batch = random.integer(1, 2);
  a.kv_heads = random.integer(1, 2);
  a.heads = a.kv_heads * random.integer<Index>(1, 3);
  a.d = random.integer(1, 9), a.d_v = random.integer(1, 9);
  a.causal = has(0);
  const RingSlices slices = has(1) ? RingSlices::zig_zag : RingSlices::contiguous;
  if (has(2)) a.window = random.integer<Index>(1, most_tokens * ranks);
  if (has(3)) a.soft_cap = random.uniform(0.5, 3);
  if (random.integer(0, 2) == 0) a.scale = 0.7;
  const auto count = static_cast<std::size_t>(ranks);
  if (slices == RingSlices::zig_zag) {
    const std::vector<Index> seq(count, 2 * random.integer<Index>(0, most_tokens / 2));
    return {random, a, slices, seq, seq};
  }
  std::vector<Index> seq_q, seq_k;
  for (std::size_t r = 0; r < count; ++r) {
    seq_k.push_back(random.integer<Index>(0, most_tokens));
    seq_q.push_back(a.causal || a.window ? seq_k.back() : random.integer<Index>(0, most_tokens));
  }
  return {random, a, slices, seq_q, seq_k};
}
inline constexpr unsigned kRingCases = 1u << 4;

}  // namespace rotary::testing
