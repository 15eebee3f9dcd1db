// PageStore: how the tokens of sequences are written to shared pages, moved and erased.
#pragma once

#include <span>

#include "paged_keys.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The pages of a cache, and the operations that write to them on behalf of one sequence. A page that other sequences use too
/// is replaced by a copy before it is written. An operation that throws has changed nothing.
template <class X, class Stored>
class PageStore {
 public:
  /// `value_dim` and `head_dim` have been checked.
  template <class Options>
  PageStore(const Frequencies& frequencies, KeyScales scales, const HeadLayout& layout,
            const Options& options)
      : pool_(options.pages),
        page_tokens_(options.page_tokens),
        keys_(frequencies, std::move(scales), layout, options.raw_keys, options.pages, options.page_tokens,
              options.heads, options.head_dim),
        values_(options.pages, options.heads, options.page_tokens,
                TokenRecord<Stored>::bytes(options.value_dim)) {}

  const PagePool& pool() const { return pool_; }
  const PagedKeys<X, Stored>& keys() const { return keys_; }
  PagedKeys<X, Stored>& keys() { return keys_; }
  const PageMemory& values() const { return values_; }

  static void check_range(const PagedSequence& s, Index first, Index last) {
    if (first < 0 || first > last || last > s.size())
      fail("found tokens [", first, ", ", last, "), they must be a range within [0, ", s.size(), ")");
  }

  /// Appends keys [n, heads, head_dim] and values [n, heads, value_dim].
  void append(PagedSequence& s, const StridedView<const X>& keys, const StridedView<const X>& values,
              const Positions& given) {
    const Index count = keys.extent(0), held = s.size(), total = checked_sum(held, count);
    const Positions positions = of_tokens(s, given, count);
    if (positions.axis_count() != keys_.axes())
      fail("found positions of ", positions.axis_count(), " coordinates, the frequencies are for ",
           keys_.axes());
    if (positions.count() != count)
      fail("found ", positions.count(), " positions for ", count, " keys, there must be as many");
    for (Index n = 0; n < count; ++n) {
      Coordinates coordinates;
      for (int axis = 0; axis < keys_.axes(); ++axis)
        coordinates[static_cast<std::size_t>(axis)] = positions.at(n, axis);
      keys_.check_position(coordinates.data());
    }
    if (count == 0) return;
    const Index before = pages_of(held), after = pages_of(total), partial = held / page_tokens_;
    check_free(after - before + shared_pages(s, partial, before), "append");
    s.log.reserve_to_append(total);
    if (static_cast<std::size_t>(after) > s.pages.capacity())
      s.pages.reserve(std::max(static_cast<std::size_t>(after), 2 * s.pages.size()));
    own_pages(s, partial, before);
    while (std::ssize(s.pages) < after) s.pages.push_back(pool_.take());
    s.log.append(positions);
    s.for_each_page(held, total, page_tokens_, [&](const PageSlots& slots, Index token) {
      keys_.write(keys.slice(0, token - held, slots.count), s, slots, token);
      write_records<Stored>(values.slice(0, token - held, slots.count), values_, slots);
    });
  }

  /// Moves tokens [first, last) by `deltas`, one for each axis.
  void move(PagedSequence& s, Index first, Index last, const FixedPosition* deltas) {
    check_range(s, first, last);
    if (!check_move(s, first, last, deltas)) return;
    const Index begin = first / page_tokens_, end = pages_of(last);
    check_free(shared_pages(s, begin, end), "move");
    own_pages(s, begin, end);
    s.log.move(first, last, deltas);
    keys_.rotate_moved(s, first, last, deltas);
  }

  /// Erases tokens [first, last), and moves the later ones by `deltas` unless these are null.
  void close_gap(PagedSequence& s, Index first, Index last, const FixedPosition* deltas) {
    check_range(s, first, last);
    const Index size = s.size(), gap = last - first, left = size - gap;
    if (gap == 0) return;
    const bool moves = last < size && deltas && check_move(s, last, size, deltas);
    if (last == size) {
      release(s, pages_of(left));
    } else if (first % page_tokens_ == 0 && gap % page_tokens_ == 0) {
      close_gap_of_pages(s, first / page_tokens_, last / page_tokens_, moves);
    } else {
      close_gap_in_pages(s, first, last);
    }
    if (moves) s.log.move(last, size, deltas);
    s.log.erase(first, last);
    if (moves) keys_.rotate_moved(s, first, left, deltas);
  }

  /// Erases pages [size, ...) of a sequence.
  void release(PagedSequence& s, Index size) {
    for (; std::ssize(s.pages) > size; s.pages.pop_back()) pool_.release(s.pages.back());
  }

  /// A copy of a sequence uses its pages too.
  void share(const PagedSequence& s) {
    for (const Index page : s.pages) pool_.share(page);
  }

  /// Calls visit(sequence, first, last) for tokens of all sequences, so that each slot that is in use is visited once.
  template <class Visit>
  void for_each_stored(const std::vector<PagedSequence>& sequences, std::vector<Index> done,
                       const Visit& visit) const {
    for (const PagedSequence& s : sequences)
      s.for_each_page(0, s.size(), page_tokens_, [&](const PageSlots& slots, Index token) {
        Index& visited = done[static_cast<std::size_t>(slots.page)];
        if (visited >= slots.count) return;
        visit(s, token + visited, token + slots.count);
        visited = slots.count;
      });
  }
  /// For `for_each_stored`: memory that is allocated before anything changes.
  std::vector<Index> no_slots() const {
    return std::vector<Index>(static_cast<std::size_t>(pool_.pages()), 0);
  }

 private:
  Index pages_of(Index tokens) const { return tokens / page_tokens_ + (tokens % page_tokens_ != 0 ? 1 : 0); }

  static bool is_zero(const FixedPosition& delta) { return delta == FixedPosition(); }

  /// Positions of `count` tokens. Without a length, they are the same on every axis.
  static Positions of_tokens(const PagedSequence& s, const Positions& given, Index count) {
    if (!given.has_no_length() || given.batch() != 0) return given.for_length(count);
    Coordinates corner;
    corner.fill(given.first());
    return s.log.run(count, corner.data());
  }

  /// Throws on positions that are out of range. Does anything move?
  bool check_move(const PagedSequence& s, Index first, Index last, const FixedPosition* deltas) const {
    const KeyScales any_scale;
    keys_.check_position(deltas, any_scale);
    for (Index n = first; n < last; ++n) keys_.check_position(s.log.moved(n, deltas).data());
    return first < last && !std::all_of(deltas, deltas + keys_.axes(), is_zero);
  }

  /// How many of the pages [begin, end) of a sequence other sequences use too.
  Index shared_pages(const PagedSequence& s, Index begin, Index end) const {
    return std::count_if(s.pages.begin() + begin, s.pages.begin() + end,
                         [&](Index page) { return pool_.is_shared(page); });
  }

  void check_free(Index wanted, const char* what) const {
    if (wanted > pool_.free_pages())
      fail("found ", pool_.free_pages(), " free pages of ", pool_.pages(), ", this ", what, " needs ", wanted,
           "; drop or rewind sequences, or construct the cache with more pages");
  }

  void copy(const PageSlots& from, Index page, Index slot) {
    if (from.count == 0) return;
    keys_.copy(from, page, slot);
    values_.copy(from, page, slot);
  }

  /// Replaces shared pages among pages [begin, end) of a sequence by copies of their tokens before token `last`.
  void own_pages(PagedSequence& s, Index begin, Index end, Index last) {
    for (Index n = begin; n < end; ++n) {
      Index& page = s.pages[static_cast<std::size_t>(n)];
      if (!pool_.is_shared(page)) continue;
      const Index copied = pool_.take();
      copy({page, 0, std::clamp<Index>(last - n * page_tokens_, 0, page_tokens_)}, copied, 0);
      pool_.release(page);
      page = copied;
    }
  }
  void own_pages(PagedSequence& s, Index begin, Index end) { own_pages(s, begin, end, s.size()); }

  /// Erases pages [begin, end) of a sequence, whose tokens are all erased. If the later ones are to move, it will own their
  /// pages.
  void close_gap_of_pages(PagedSequence& s, Index begin, Index end, bool moves) {
    const Index pages = std::ssize(s.pages);
    if (moves) {
      check_free(shared_pages(s, end, pages), "move");
      own_pages(s, end, pages);
    }
    for (Index n = begin; n < end; ++n) pool_.release(s.pages[static_cast<std::size_t>(n)]);
    s.pages.erase(s.pages.begin() + begin, s.pages.begin() + end);
  }

  /// Copies the tokens from `last` on to the slots from `first` on.
  void close_gap_in_pages(PagedSequence& s, Index first, Index last) {
    const Index size = s.size(), left = size - (last - first), begin = first / page_tokens_,
                end = pages_of(left);
    check_free(shared_pages(s, begin, end), "erasure");
    const PagedSequence before{0, TokenLog(1),
                               s.pages};  // shared pages hold their tokens while others use them
    own_pages(s, begin, end, first);
    for (Index token = first; token < left;) {
      const Index slot = token % page_tokens_, from = token + (last - first);
      const Index count = std::min({left - token, page_tokens_ - slot, page_tokens_ - from % page_tokens_});
      copy({before.page_of(from, page_tokens_), from % page_tokens_, count}, s.page_of(token, page_tokens_),
           slot);
      token += count;
    }
    release(s, end);
  }

  PagePool pool_;
  Index page_tokens_;
  PagedKeys<X, Stored> keys_;
  PageMemory values_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
