// PagedKeys: the keys of a paged cache, rotated as they are written and when they move.
#pragma once

#include "key_rows.hpp"
#include "key_scales.hpp"
#include "paged_sequence.hpp"
#include "token_record.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Throws unless `layout` is one that a paged cache takes, and fits the frequencies.
inline HeadLayout checked_paged_layout(const HeadLayout& layout, const Frequencies& frequencies) {
  if (layout.seq_dim != -3)
    fail("seq_dim is ", layout.seq_dim,
         ", a key/value cache takes -3: its tensors are [tokens, heads, head_dim]");
  return completed(layout, frequencies.pairs());
}

/// The keys of all pages, stored as `Stored`; on demand also the raw keys, as they were given.
///
/// With raw keys a token that moves is rotated again from its raw key, once and to its new position. Without them what is
/// stored is rotated by the difference.
template <class X, class Stored>
class PagedKeys {
 public:
  using T = Arithmetic<X, float>;
  /// The scalar whose range limits what is stored.
  using Ranged = std::conditional_t<TokenRecord<Stored>::kScaled, float, Stored>;

  PagedKeys(const Frequencies& frequencies, KeyScales scales, const HeadLayout& layout, bool raw_keys,
            Index pages, Index page_tokens, Index heads, Index head_dim)
      : frequencies_(frequencies),
        layout_(checked_paged_layout(layout, frequencies)),
        scales_(std::move(scales)),
        rows_(key_rows<T>(frequencies, layout.pairing)),
        page_tokens_(page_tokens),
        heads_(heads),
        head_dim_(head_dim),
        has_raw_(raw_keys),
        stored_(pages, heads, page_tokens, TokenRecord<Stored>::bytes(head_dim)),
        raw_(raw_keys ? pages : 0, heads, page_tokens, TokenRecord<X>::bytes(head_dim)) {
    if (scales_.decay() && !raw_keys)
      fail("found XPos without raw_keys, but a key with a scale is moved exactly only from its raw key");
    const Index block = kConverts || TokenRecord<Stored>::kScaled ? std::min(kBlock, page_tokens) : 0;
    scratch_.resize(static_cast<std::size_t>(checked_product(block, checked_product(heads, head_dim))));
    check_window(scratch_view(0), layout_.start_index, layout_.rotary_dim);
  }

  const Frequencies& frequencies() const { return frequencies_; }
  const HeadLayout& layout() const { return layout_; }
  const RowCache<T>& rows() const { return rows_; }
  const KeyScales& scales() const { return scales_; }
  const PageMemory& memory() const { return stored_; }
  const PageMemory& raw_memory() const { return raw_; }
  bool has_raw() const { return has_raw_; }
  Index axes() const { return frequencies_.axes; }

  void check_position(const FixedPosition* coordinates) const { check_position(coordinates, scales_); }

  /// Writes keys [count, heads, head_dim], the first of which is token `token` of the sequence.
  void write(const StridedView<const X>& keys, const PagedSequence& sequence, const PageSlots& to,
             Index token) {
    if (has_raw_) write_records<X>(keys, raw_, to);
    for_each_run(sequence, to, token, [&](const PageSlots& run, const Positions& at) {
      rotate_from(keys.slice(0, run.slot - to.slot, run.count), run, at);
    });
  }

  void copy(const PageSlots& from, Index page, Index slot) {
    stored_.copy(from, page, slot);
    raw_.copy(from, page, slot);
  }

  /// Rotates tokens [first, last), which have moved by `deltas` to the positions of the sequence.
  void rotate_moved(const PagedSequence& sequence, Index first, Index last, const FixedPosition* deltas) {
    if (has_raw_) return rotate_raw(sequence, first, last);
    AlignedVector<T> row(static_cast<std::size_t>(rows_.row_size()));
    const HeadLayout layout = stored_layout();
    kernels::cos_sin_row(rows_.steps(), {deltas, static_cast<std::size_t>(axes())}, {}, layout.pairing,
                         row.data());
    sequence.for_each_page(first, last, page_tokens_, [&](const PageSlots& slots, Index) {
      rotate_stored(slots, [&](const auto& keys, Index) {
        auto job = window_job<T>(keys, keys, layout, Direction::forward, [](int) { return Index{0}; });
        job.rows = row.data();
        if (job.pairs > 0) kernels::rotate_contiguous(std::move(job));
      });
    });
  }

  /// Takes over other frequencies, and returns rows by which stored keys are to be rotated. Throws before anything has
  /// changed.
  RowCache<T> change_frequencies(const Frequencies& frequencies) {
    check_like(frequencies, rows_);
    RowCache<T> rows = key_rows<T>(frequencies, layout_.pairing);
    Frequencies difference = frequencies;
    for (std::size_t n = 0; n < difference.values.size(); ++n)
      difference.values[n] = frequencies.values[n] - frequencies_.values[n];
    difference.magnitude = has_raw_ ? 1 : frequencies.magnitude / frequencies_.magnitude;
    if (!kernels::is_magnitude<T>(difference.magnitude))
      fail("the magnitude changes from ", frequencies_.magnitude, " to ", frequencies.magnitude,
           ", which needs raw_keys: the ratio must be finite");
    RowCache<T> by = key_rows<T>(difference, layout_.written_pairing());
    Frequencies copy = frequencies;  // what follows does not throw
    frequencies_ = std::move(copy);
    rows_ = std::move(rows);
    return by;
  }
  /// Rotates tokens [first, last) after that.
  void rotate_changed(const PagedSequence& sequence, Index first, Index last, const RowCache<T>& by) {
    if (has_raw_) return rotate_raw(sequence, first, last);
    const HeadLayout layout = stored_layout();
    const Rotation<T> how{by, layout, {.factor = by.magnitude()}, Direction::forward};
    for_each_run(sequence, first, last, [&](const PageSlots& run, const Positions& at) {
      rotate_stored(run, [&](const auto& keys, Index done) {
        rotate_at(how, at, {.seq_total = run.count, .first_token = done, .seq = keys.extent(0)},
                  TensorPair{keys, keys, 0});
      });
    });
  }

  /// Scales around another centre. Returns those of now, for `check_position`.
  KeyScales scales_around(double centre) const {
    if (!scales_.decay()) fail("found a centre, ", centre, ", but only keys of XPos have one");
    return scales_.around(centre);
  }
  void check_position(const FixedPosition* coordinates, const KeyScales& scales) const {
    for (Index axis = 0; axis < axes(); ++axis) scales.check<Ranged>(coordinates[axis]);
  }
  void set_scales(KeyScales scales) { scales_ = std::move(scales); }

  /// Rotates tokens [first, last) again, from their raw keys.
  void rotate_raw(const PagedSequence& sequence, Index first, Index last) {
    for_each_run(sequence, first, last, [&](const PageSlots& run, const Positions& at) {
      rotate_from(page_view<const X>(raw_, run, heads_, head_dim_), run, at);
    });
  }

  /// Throws unless frequencies, layout and scales, but for their centre, are those by which keys are rotated.
  void check_rotation(const Frequencies& frequencies, const HeadLayout& layout,
                      const KeyScales& scales) const {
    const HeadLayout given = checked_paged_layout(layout, frequencies);
    if (frequencies.axes != axes() || !(frequencies.values == frequencies_.values))
      fail("the frequencies are not those of the cache, whose keys were rotated by others");
    if (!same_bits(frequencies.magnitude, frequencies_.magnitude))
      fail("the magnitude is ", frequencies.magnitude, ", that of the cache is ", frequencies_.magnitude);
    if (!scales_.decay_like(scales))
      fail("found ", scales.decay() ? "scales of XPos" : "no scales of XPos", ", the keys of the cache have ",
           !scales_.decay() ? "none"
           : scales.decay() ? "others"
                            : "some");
    check_layout(given);
  }
  /// Throws unless the heads of queries have the layout of the stored keys.
  void check_layout(const HeadLayout& queries) const {
    if (queries.rotary_dim != layout_.rotary_dim || queries.start_index != layout_.start_index)
      fail("found queries whose features [", queries.start_index, ", ",
           queries.start_index + queries.rotary_dim, ") rotate, those of the cache are [",
           layout_.start_index, ", ", layout_.start_index + layout_.rotary_dim, ")");
    if (queries.written_pairing() != layout_.written_pairing())
      fail("found queries with another pairing than the keys of the cache");
  }

 private:
  static constexpr bool kConverts = !std::is_same_v<X, Stored>;
  static constexpr Index kBlock = 16;  // tokens that are converted at a time

  /// Stored keys have the pairing in which they have been written.
  HeadLayout stored_layout() const {
    HeadLayout layout = layout_;
    layout.pairing = layout_.written_pairing();
    layout.output_pairing = {};
    return layout;
  }

  StridedView<T> scratch_view(Index count) {
    return StridedView<T>(scratch_.data(), {count, heads_, head_dim_});
  }

  /// Calls visit(slots, positions) for the runs of consecutive positions in tokens of one page, or of several.
  template <class Visit>
  static void for_each_run(const PagedSequence& sequence, const PageSlots& slots, Index token,
                           const Visit& visit) {
    const TokenLog& log = sequence.log;
    const Index last = token + slots.count;
    for (Index n = token, end; n < last; n = end) {
      end = log.run_end(n, last);
      visit(PageSlots{slots.page, slots.slot + n - token, end - n}, log.run(end - n, log.at(n)));
    }
  }
  template <class Visit>
  void for_each_run(const PagedSequence& sequence, Index first, Index last, const Visit& visit) const {
    sequence.for_each_page(first, last, page_tokens_, [&](const PageSlots& slots, Index token) {
      for_each_run(sequence, slots, token, visit);
    });
  }

  /// Rotates keys [count, heads, head_dim] into slots of a page. Their positions are consecutive.
  void rotate_from(const StridedView<const X>& keys, const PageSlots& to, const Positions& at) {
    const Rotation<T> how{rows_, layout_, scales_.magnitude(rows_.magnitude()), Direction::forward};
    if constexpr (!kConverts) {
      const StridedView<X> out = page_view<X>(stored_, to, heads_, head_dim_);
      rotate_at(how, at, {.seq_total = to.count, .seq = to.count}, TensorPair{keys, out, 0});
    } else {
      const Index size = sizeof(X);
      for (Index first = 0; first < to.count; first += kBlock) {
        const Index count = std::min(kBlock, to.count - first);
        const StridedView<T> block = scratch_view(count);
        for (Index head = 0; head < heads_; ++head)
          read_tokens<X, T>(
              reinterpret_cast<const char*>(keys.data + first * keys.stride(0) + head * keys.stride(1)),
              {keys.stride(0) * size, keys.stride(2) * size, head_dim_}, count, block.data + head * head_dim_,
              heads_ * head_dim_);
        rotate_at(how, at, {.seq_total = to.count, .first_token = first, .seq = count},
                  TensorPair{block, block, 0});
        write_records<Stored>(StridedView<const T>(block), stored_, {to.page, to.slot + first, count});
      }
    }
  }

  /// Calls rotate(keys, done) for stored keys [count, heads, head_dim], the first of which is in slot `done` of `slots`; it
  /// rotates them in place.
  template <class Rotate>
  void rotate_stored(const PageSlots& slots, const Rotate& rotate) {
    if constexpr (!TokenRecord<Stored>::kScaled) {
      rotate(page_view<Stored>(stored_, slots, heads_, head_dim_), 0);
    } else {
      const TokenSteps steps{stored_.record_bytes(), 1, head_dim_};
      for (Index first = 0; first < slots.count; first += kBlock) {
        const PageSlots part{slots.page, slots.slot + first, std::min(kBlock, slots.count - first)};
        const StridedView<T> block = scratch_view(part.count);
        for (Index head = 0; head < heads_; ++head)
          TokenRecord<Stored>::template read<T>(stored_.at(part.page, head, part.slot), steps, part.count,
                                                block.data + head * head_dim_, heads_ * head_dim_);
        rotate(block, first);
        write_records<Stored>(StridedView<const T>(block), stored_, part);
      }
    }
  }

  Frequencies frequencies_;
  HeadLayout layout_;
  KeyScales scales_;
  RowCache<T> rows_;
  Index page_tokens_, heads_, head_dim_;
  bool has_raw_;
  PageMemory stored_, raw_;
  AlignedVector<T> scratch_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
