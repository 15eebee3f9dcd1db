// Continuous batching with KeyValueCache: two answers to one prompt share its pages, a third sequence has its own, and one
// call attends to all of them. At last a sequence is reduced to its first tokens and its last.
#include <cmath>
#include <cstdio>
#include <rotary/attention/attend_cached.hpp>
#include <rotary/key_cache/key_value_cache.hpp>
#include <vector>

namespace {

constexpr rotary::Index kHeads = 4, kKvHeads = 2, kHeadDim = 64;

/// Tokens of any numbers, [tokens, heads, head_dim].
rotary::Tensor<float, 3> sample(rotary::Index tokens, rotary::Index heads, int seed) {
  rotary::Tensor<float, 3> x(tokens, heads, kHeadDim);
  for (rotary::Index n = 0; n < x.size(); ++n)
    x.data()[n] = static_cast<float>((n * 37 + seed * 11) % 101 - 50) / 50;
  return x;
}

}  // namespace

int main() {
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = kHeadDim, .seq_before_head_dim = true});
  rotary::KeyValueCache<float, std::int8_t> cache(
      rotary_emb, {.heads = kKvHeads, .head_dim = kHeadDim, .pages = 12, .page_tokens = 16});

  const rotary::SequenceId first = cache.add_sequence(), other = cache.add_sequence();
  cache.append(first, sample(40, kKvHeads, 1), sample(40, kKvHeads, 2));  // 3 pages
  cache.append(other, sample(5, kKvHeads, 3), sample(5, kKvHeads, 4));    // 1 page
  const rotary::SequenceId second = cache.fork(first);                    // none
  std::printf("free pages: %td of %td\n", cache.free_pages(), cache.pages());

  const std::vector<rotary::SequenceId> ids = {first, second, other};
  rotary::Tensor<float, 4> queries(3, 1, kHeads, kHeadDim),
      out(3, 1, kHeads, kHeadDim);  // [batch, seq, heads, head_dim]
  for (int step = 0; step < 4; ++step) {
    for (std::size_t n = 0; n < ids.size(); ++n) {
      const int seed = 10 * step + static_cast<int>(n);
      cache.append(ids[n], sample(1, kKvHeads, seed), sample(1, kKvHeads, seed + 5));
      const auto q = sample(1, kHeads, seed + 7);
      std::copy_n(q.data(), q.size(), queries.data() + static_cast<rotary::Index>(n) * q.size());
    }
    rotary::attend_cached(queries, cache, ids, out, {.rotate_queries = true});
  }
  std::printf("tokens: %td %td %td, free pages: %td\n", cache.size(first), cache.size(second),
              cache.size(other), cache.free_pages());

  cache.keep_sinks_and_window(first, 4, 20);
  cache.drop(second);
  std::printf("tokens: %td, the next is at position %g, free pages: %td\n", cache.size(first),
              static_cast<double>(cache.next_position(first)), cache.free_pages());
  bool finite = true;
  for (rotary::Index n = 0; n < out.size(); ++n) finite = finite && std::isfinite(out.data()[n]);
  return finite ? 0 : 1;
}

// prints:
//   free pages: 8 of 12
//   tokens: 44 44 9, free pages: 7
//   tokens: 24, the next is at position 24, free pages: 9
