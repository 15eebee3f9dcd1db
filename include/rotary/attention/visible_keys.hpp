// Which keys a query sees, as ranges, so that blocks of keys that no query sees are skipped.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "attention_options.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Keys [begin, end), empty where end ≤ begin.
struct KeyRange {
  Index begin = 0, end = 0;

  bool empty() const { return end <= begin; }
  Index size() const { return empty() ? 0 : end - begin; }
  /// The part of this range in [first, first + count), counted from `first`.
  KeyRange within(Index first, Index count) const {
    return {std::clamp<Index>(begin - first, 0, count), std::clamp<Index>(end - first, 0, count)};
  }
};

/// The keys that one query sees, but for a mask: sink tokens, and behind them the others.
struct SeenKeys {
  KeyRange sinks, others;
};

/// The keys that the queries of a call see. Its options have been checked.
class VisibleKeys {
 public:
  template <RowScalar T>
  VisibleKeys(const AttentionOptions<T>& options, Index seq_q, Index seq_k)
      : queries_(options.cu_seqlens),
        keys_(options.cu_seqlens_k.empty() ? options.cu_seqlens : options.cu_seqlens_k),
        seq_q_(seq_q),
        seq_k_(seq_k),
        window_(std::min(options.window.value_or(0), kFar)),
        sinks_(options.sink_tokens),
        offset_(std::clamp(options.query_offset, -kFar, kFar)),
        causal_(options.causal),
        align_ends_(options.align_ends) {}

  /// With another number of keys. There are no packed sequences.
  VisibleKeys with_keys(Index seq_k) const {
    VisibleKeys visible = *this;
    visible.seq_k_ = seq_k;
    return visible;
  }

  SeenKeys of(Index query) const {
    KeyRange queries{0, seq_q_}, keys{0, seq_k_};
    if (!queries_.empty()) {
      // Of the sequences that begin at a token all but the last are empty.
      const auto n = static_cast<std::size_t>(std::upper_bound(queries_.begin(), queries_.end(), query) -
                                              queries_.begin() - 1);
      queries = {queries_[n], queries_[n + 1]};
      keys = {keys_[n], keys_[n + 1]};
    }
    const Index count = keys.size(), offset = align_ends_ ? count - queries.size() : offset_;
    const Index position = query - queries.begin + offset;
    const Index end = causal_ ? std::clamp<Index>(position + 1, 0, count) : count;
    const Index sinks = std::min(sinks_, end);
    KeyRange others{sinks, end};
    if (window_ > 0) {
      others.begin = std::clamp(position - window_ + 1, sinks, end);
      others.end = std::clamp(position + window_, others.begin, end);
    }
    return {{keys.begin, keys.begin + sinks}, {keys.begin + others.begin, keys.begin + others.end}};
  }

  /// What each of `count` queries sees, and the ranges that cover all of it, ascending and disjoint.
  void of_block(Index first, Index count, std::vector<SeenKeys>& seen, std::vector<KeyRange>& ranges) const {
    seen.clear();
    ranges.clear();
    for (Index i = first; i < first + count; ++i) {
      seen.push_back(of(i));
      for (const KeyRange& range : {seen.back().sinks, seen.back().others})
        if (!range.empty()) ranges.push_back(range);
    }
    const auto before = [](const KeyRange& a, const KeyRange& b) { return a.begin < b.begin; };
    // Without sink tokens they are sorted already.
    if (!std::is_sorted(ranges.begin(), ranges.end(), before))
      std::sort(ranges.begin(), ranges.end(), before);
    std::size_t merged = 0;
    for (const KeyRange& range : ranges) {
      if (merged > 0 && range.begin <= ranges[merged - 1].end)
        ranges[merged - 1].end = std::max(ranges[merged - 1].end, range.end);
      else
        ranges[merged++] = range;
    }
    ranges.resize(merged);
  }

 private:
  // Positions, windows and their sums stay representable; no tensor has as many tokens.
  static constexpr Index kFar = PTRDIFF_MAX / 8;

  std::span<const Index> queries_, keys_;
  Index seq_q_, seq_k_, window_, sinks_, offset_;
  bool causal_, align_ends_;
};

/// Calls visit(column, first, count) for blocks of at most `block` keys of the ranges. `column` counts the keys of all ranges
/// from 0; only columns [begin, end) are visited.
template <class Visit>
void for_each_key_block(std::span<const KeyRange> ranges, Index begin, Index end, Index block,
                        const Visit& visit) {
  Index column = 0;
  for (const KeyRange& range : ranges) {
    const KeyRange part = KeyRange{begin, end}.within(column, range.size());
    for (Index at = part.begin; at < part.end; at += block)
      visit(column + at, range.begin + at, std::min(block, part.end - at));
    column += range.size();
  }
}

}  // namespace rotary::inline ROTARY_ABI::detail
