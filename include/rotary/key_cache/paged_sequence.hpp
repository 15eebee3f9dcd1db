// PagedSequence: the positions and the pages of one sequence.
#pragma once

#include "page_pool.hpp"
#include "token_log.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The tokens of one sequence: token n is in slot n % page_tokens of page `pages[n / page_tokens]`.
struct PagedSequence {
  std::uint64_t number = 0;  // of its SequenceId; 0 if there is no sequence
  TokenLog log;
  std::vector<Index> pages = {};

  Index size() const { return log.size(); }

  /// Calls visit(slots, token) for the parts of tokens [first, last) in each page, in order; `token` is the first of a part.
  template <class Visit>
  void for_each_page(Index first, Index last, Index page_tokens, const Visit& visit) const {
    for (Index end; first < last; first = end) {
      const Index slot = first % page_tokens;
      end = std::min(last, first - slot + page_tokens);
      visit(PageSlots{page_of(first, page_tokens), slot, end - first}, first);
    }
  }

  Index page_of(Index token, Index page_tokens) const {
    return pages[static_cast<std::size_t>(token / page_tokens)];
  }
};

}  // namespace rotary::inline ROTARY_ABI::detail
