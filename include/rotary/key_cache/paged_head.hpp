// PagedHead: one head of the tokens of a sequence, read from the pages of a cache.
#pragma once

#include <algorithm>

#include "../tensor/convert_tokens.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The keys or values of all pages, to be read in T.
template <class T>
struct PagedTokens {
  const char* data;  // [pages, heads, page_tokens] records
  Index page_bytes, head_bytes, page_tokens;
  TokenSteps steps;
  void (*read)(const char*, const TokenSteps&, Index, T*, Index);
  bool same_scalar;  // T itself is in memory
};

/// One head of the tokens of a sequence whose pages are `pages`.
template <class T>
struct PagedHead {
  const PagedTokens<T>* tokens = nullptr;
  const Index* pages = nullptr;
  Index head = 0;

  const char* at(Index token) const {
    return tokens->data + pages[token / tokens->page_tokens] * tokens->page_bytes +
           head * tokens->head_bytes + token % tokens->page_tokens * tokens->steps.token;
  }
  /// How many tokens from `token` on are in its page.
  Index left_in_page(Index token) const { return tokens->page_tokens - token % tokens->page_tokens; }

  void read_to(Index first, Index count, T* to, Index stride) const {
    while (count > 0) {
      const Index part = std::min(count, left_in_page(first));
      tokens->read(at(first), tokens->steps, part, to, stride);
      first += part, count -= part, to += part * stride;
    }
  }
};

}  // namespace rotary::inline ROTARY_ABI::detail
