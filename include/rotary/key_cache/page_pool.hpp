// PagePool: pages of memory that sequences share, with a count of the sequences that use each.
#pragma once

#include <cstring>

#include "../core/aligned_vector.hpp"
#include "../core/checks.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The pages of a cache by number: which are free, and how many sequences use each of the others.
class PagePool {
 public:
  explicit PagePool(Index pages) {
    if (pages < 1) fail("pages is ", pages, ", there must be at least 1");
    checked_elements<Index>(pages);  // before anything is allocated
    uses_.resize(static_cast<std::size_t>(pages), 0);
    free_.reserve(static_cast<std::size_t>(pages));
    for (Index page = pages; page-- > 0;) free_.push_back(page);
  }

  Index pages() const { return static_cast<Index>(uses_.size()); }
  Index free_pages() const { return static_cast<Index>(free_.size()); }
  /// How many sequences use a page; 0 if it is free.
  Index uses(Index page) const { return uses_[static_cast<std::size_t>(page)]; }
  bool is_shared(Index page) const { return uses(page) > 1; }

  /// A free page, which there must be, for one sequence.
  Index take() {
    const Index page = free_.back();
    free_.pop_back();
    uses_[static_cast<std::size_t>(page)] = 1;
    return page;
  }
  /// One more sequence uses a page, or one fewer.
  void share(Index page) { ++uses_[static_cast<std::size_t>(page)]; }
  void release(Index page) {
    if (--uses_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
  }

 private:
  std::vector<Index> uses_, free_;
};

/// Tokens [slot, slot + count) of a page, all heads.
struct PageSlots {
  Index page, slot, count;
};

/// The memory of all pages for keys, or for values: a row-major array [pages, heads, page_tokens] of records, one for each
/// head of a token.
class PageMemory {
 public:
  PageMemory(Index pages, Index heads, Index page_tokens, Index record_bytes)
      : heads_(heads), page_tokens_(page_tokens), record_bytes_(record_bytes) {
    const Index page = checked_product(checked_product(heads, page_tokens), record_bytes);
    memory_.resize(static_cast<std::size_t>(checked_product(pages, page)));
  }

  Index record_bytes() const { return record_bytes_; }
  Index head_bytes() const { return page_tokens_ * record_bytes_; }
  Index page_bytes() const { return heads_ * head_bytes(); }
  bool empty() const { return memory_.empty(); }

  char* at(Index page, Index head = 0, Index slot = 0) {
    return memory_.data() + page * page_bytes() + head * head_bytes() + slot * record_bytes_;
  }
  const char* at(Index page, Index head = 0, Index slot = 0) const {
    return const_cast<PageMemory*>(this)->at(page, head, slot);
  }

  /// Copies tokens to slots of the same or another page, which may overlap them.
  void copy(const PageSlots& from, Index page, Index slot) {
    if (empty()) return;
    for (Index head = 0; head < heads_; ++head)
      std::memmove(at(page, head, slot), at(from.page, head, from.slot),
                   static_cast<std::size_t>(from.count * record_bytes_));
  }

 private:
  Index heads_, page_tokens_, record_bytes_;
  AlignedVector<char> memory_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
