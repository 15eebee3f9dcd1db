// Rows of cosines and sines: a table of them, and the rows of every position of a sequence.
#pragma once

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>
#include <vector>

#include "kernels/cos_sin_rows.hpp"
#include "kernels/rotate.hpp"

namespace rotary::inline ROTARY_ABI {

namespace detail {

/// Allocates whole cache lines, so that no vector of a row lies in two of them.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}

  /// Leaves numbers as they are: whoever makes rows writes them all.
  template <class U>
  void construct(U* at) const noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) const {
    ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
  }

  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* values, std::size_t) { ::operator delete(values, kLine); }
  friend bool operator==(const LineAllocator&, const LineAllocator&) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace detail

/// Which axes of a tensor the rows of a table belong to.
enum class RowAxes {
  before_features,  ///< the last ones before the features: [seq], or those of a grid, [height, width]
  batch_and_seq,    ///< the first one, and the sequence
  heads_and_seq,    ///< the heads, which have frequencies of their own, and the sequence
};

/// Cosines and sines, one row for each position, magnitude folded in, laid out for one pairing.
///
/// Row n holds A cos φ and A sin φ of every pair, φ = Σ_axis position(n, axis) · frequency(axis, pair), taken
/// from exact phases: within 3.1e-8 (float) and 2e-16 (double) of the truth at any position. Immutable once
/// made.
///
/// @code
///   const rotary::CosSinTable<float> table(rotary::language_frequencies(64),
///   rotary::Positions::consecutive(1024)); table.cos(3, 0);   // cos 3
/// @endcode
template <class T>
class CosSinTable {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  CosSinTable(const Frequencies& frequencies, const Positions& positions,
              Pairing pairing = Pairing::interleaved)
      : CosSinTable(positions.shape(), frequencies.pairs(), pairing, /*separate=*/false) {
    if (positions.axis_count() != frequencies.axes)
      detail::fail("tokens have ", positions.axis_count(), " coordinates, the frequencies are for ",
                   frequencies.axes);
    if (positions.batch() > 0) axes_ = RowAxes::batch_and_seq;
    kernels::cos_sin_rows(TurnSteps(frequencies), positions, 0, positions.count(),
                          {.factor = frequencies.magnitude}, pairing, data());
  }

  /// Rows for heads that have frequencies of their own (RoPE-Mixed), [heads, seq].
  CosSinTable(std::span<const Frequencies> of_heads, const Positions& positions,
              Pairing pairing = Pairing::interleaved)
      : CosSinTable({static_cast<Index>(of_heads.size()), positions.count()},
                    of_heads.empty() ? 0 : of_heads[0].pairs(), pairing) {
    axes_ = RowAxes::heads_and_seq;
    T* rows = data();
    for (const Frequencies& frequencies : of_heads) {
      if (frequencies.pairs() != pairs_ || frequencies.axes != positions.axis_count())
        detail::fail("a head has frequencies for ", frequencies.pairs(), " pairs and ", frequencies.axes,
                     " coordinates, there must be ", pairs_, " pairs and ", positions.axis_count(),
                     " coordinates");
      kernels::cos_sin_rows(TurnSteps(frequencies), positions, 0, positions.count(),
                            {.factor = frequencies.magnitude}, pairing, rows);
      rows += positions.count() * row_size();
    }
  }

  /// A table to be filled through `data()`, whose numbers are not set; with `separate` the members of a pair
  /// have a cosine and a sine each.
  CosSinTable(std::vector<Index> shape, Index pairs, Pairing pairing, bool separate = false)
      : shape_(std::move(shape)), pairs_(pairs), pairing_(pairing), separate_(separate) {
    if (pairs < 0) detail::fail("a table cannot have ", pairs, " pairs");
    row_count_ = 1;
    for (const Index extent : shape_) {
      if (extent < 0) detail::fail("a table cannot have ", extent, " rows along an axis");
      row_count_ = detail::checked_product(row_count_, extent);
    }
    values_.resize(static_cast<std::size_t>(detail::checked_product(row_count_, row_size())));
  }

  /// The extents that the rows are arranged in: [seq], those of a grid, [height, width], [batch, seq] or
  /// [heads, seq].
  const std::vector<Index>& shape() const { return shape_; }
  RowAxes axes() const { return axes_; }
  Index rows() const { return row_count_; }
  Index pairs() const { return pairs_; }
  Pairing pairing() const { return pairing_; }
  bool separate() const { return separate_; }
  /// Numbers in a row: a cosine and a sine for each pair, or for each member of a pair.
  Index row_size() const { return detail::checked_product(separate_ ? 4 : 2, pairs_); }

  T cos(Index row, Index pair) const { return at(row, pair, 0); }
  T sin(Index row, Index pair) const {
    return at(row, pair, kernels::pair_strides(pairing_, pairs_).partner);
  }

  const T* data() const { return values_.data(); }
  T* data() { return values_.data(); }

 private:
  T at(Index row, Index pair, Index partner) const {
    if (row < 0 || row >= row_count_ || pair < 0 || pair >= pairs_)
      detail::fail("row ", row, ", pair ", pair, " is outside a table of ", row_count_, " rows and ", pairs_,
                   " pairs");
    const Index first = row * row_size() + pair * kernels::pair_strides(pairing_, pairs_).pair;
    return values_[static_cast<std::size_t>(first + partner)];
  }

  std::vector<Index> shape_;
  Index row_count_ = 0, pairs_;
  Pairing pairing_;
  bool separate_;
  RowAxes axes_ = RowAxes::before_features;
  detail::AlignedVector<T> values_;
};

/// The rows of every position: made when asked for, and those of the first positions kept, as long as one
/// likes.
///
/// A row depends on its position alone, so whether it was kept or made anew cannot be told from its bits.
/// `rows` may be called from any number of threads; what has been handed out stays where it is until the
/// object is destroyed.
template <class T>
class SequenceRows {
 public:
  /// Keeps the rows of positions 0 to `kept` − 1 once one of them has been needed; 0 keeps none.
  SequenceRows(const Frequencies& frequencies, Pairing pairing, Index kept)
      : steps_(frequencies), magnitude_(frequencies.magnitude), pairing_(pairing), kept_limit_(kept) {
    if (kept < 0) detail::fail("there cannot be ", kept, " rows to keep, the number must not be negative");
  }

  // A copy starts with nothing kept: the rows would be the same bits.
  SequenceRows(const SequenceRows& other)
      : steps_(other.steps_),
        magnitude_(other.magnitude_),
        pairing_(other.pairing_),
        kept_limit_(other.kept_limit_) {}
  SequenceRows& operator=(const SequenceRows& other) {
    if (this != &other) *this = SequenceRows(other);
    return *this;
  }
  SequenceRows(SequenceRows&& other) noexcept
      : steps_(std::move(other.steps_)),
        magnitude_(other.magnitude_),
        pairing_(other.pairing_),
        kept_limit_(other.kept_limit_),
        newest_(other.newest_.exchange(nullptr)) {}
  SequenceRows& operator=(SequenceRows&& other) noexcept {
    if (this == &other) return *this;
    steps_ = std::move(other.steps_);
    magnitude_ = other.magnitude_;
    pairing_ = other.pairing_;
    kept_limit_ = other.kept_limit_;
    release(newest_.exchange(other.newest_.exchange(nullptr)));
    return *this;
  }
  ~SequenceRows() { release(newest_.load()); }

  Index pairs() const { return steps_.pairs(); }
  Pairing pairing() const { return pairing_; }
  double magnitude() const { return magnitude_; }
  const TurnSteps& steps() const { return steps_; }

  /// The kept row of position 0, if rows up to `end` are kept or may be; else null.
  const T* kept(Index end) const {
    if (end > kept_limit_) return nullptr;
    const Kept* rows = newest_.load(std::memory_order_acquire);
    if (rows == nullptr || rows->count < end) rows = grow(end);
    return rows->values.data();
  }

 private:
  struct Kept {
    Index count;
    detail::AlignedVector<T> values;
    Kept* older;
  };

  static void release(Kept* rows) {
    while (rows) delete std::exchange(rows, rows->older);
  }

  ROTARY_COLD const Kept* grow(Index end) const {
    Kept* seen = newest_.load(std::memory_order_acquire);
    const Index doubled = seen ? 2 * seen->count : 64;
    const Index count = std::min(kept_limit_, std::max(end, doubled));
    detail::AlignedVector<T> values(static_cast<std::size_t>(detail::checked_product(count, 2 * pairs())));
    kernels::cos_sin_rows(steps_, Positions::consecutive(count), 0, count, {.factor = magnitude_}, pairing_,
                          values.data());
    Kept* const grown = new Kept{count, std::move(values), nullptr};
    // Others may be growing too: the first one that is long enough serves all, and none is freed before the
    // end.
    do {
      if (seen && seen->count >= count) {
        delete grown;
        return seen;
      }
      grown->older = seen;
    } while (!newest_.compare_exchange_weak(seen, grown, std::memory_order_acq_rel));
    return grown;
  }

  TurnSteps steps_;
  double magnitude_;
  Pairing pairing_;
  Index kept_limit_;
  mutable std::atomic<Kept*> newest_{nullptr};
};

}  // namespace rotary::inline ROTARY_ABI
