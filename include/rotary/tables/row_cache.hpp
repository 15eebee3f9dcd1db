// RowCache: the rows of positions from 0 on, computed a block at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "../core/aligned_vector.hpp"
#include "../kernels/cos_sin_rows.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Contiguous rows, and how many.
template <class T>
struct RowRun {
  const T* rows;
  Index count;
};

/// Counts RowCaches. Each has a number, by which a thread recognises the rows that it computed last; copies
/// share the number, as their rows are the same.
inline constinit std::atomic<std::uint64_t> row_cache_count{0};

/// Do two numbers have the same bits? Magnitudes 0 and −0 differ.
inline bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

/// Cached rows of one magnitude, in blocks. A block is null until one of its rows is needed.
template <class T>
struct RowBlocks {
  double magnitude;
  Index count;
  std::unique_ptr<std::atomic<T*>[]> blocks;
  std::atomic<RowBlocks*> next{nullptr};  // the blocks of another magnitude

  RowBlocks(double factor, Index block_count)
      : magnitude(factor),
        count(block_count),
        blocks(new std::atomic<T*>[static_cast<std::size_t>(block_count)]()) {}
  ~RowBlocks() {
    for (Index block = 0; block < count; ++block)
      if (T* const rows = blocks[static_cast<std::size_t>(block)].load(std::memory_order_relaxed))
        LineAllocator<T>().deallocate(rows, 0);
    delete next.load(std::memory_order_relaxed);
  }
  RowBlocks(const RowBlocks&) = delete;
  RowBlocks& operator=(const RowBlocks&) = delete;
};

/// The rows of whole positions from 0 up to a limit, each computed at most once, in blocks that are allocated
/// when one of their rows is first needed. Blocks are never moved or freed before the cache is destroyed.
///
/// A row depends on its position and magnitude alone, so a cached row has the bits of a recomputed one. A
/// `const` cache may be used from any number of threads: `cached` takes no lock, and of two threads that
/// compute the same block at the same time one discards its own.
template <RowScalar T>
class RowCache {
 public:
  /// More rows than this are not cached, whatever the limit.
  static constexpr Index kMaxRows = Index{1} << 22;
  /// Rows of this many magnitudes are cached: the frequencies' own, and those of the first other values of
  /// `scale`.
  static constexpr int kMaxMagnitudes = 4;
  /// A block of rows takes at most so many bytes. Larger ones made a step of decoding take over 1 ms where
  /// the operating system is slow to provide fresh pages; smaller ones shorten the contiguous pieces of a
  /// prefill.
  static constexpr Index kBlockBytes = 64 * 1024;

  RowCache(const Frequencies& frequencies, Pairing pairing, Index limit)
      : steps_(frequencies), magnitude_(frequencies.magnitude), pairing_(pairing) {
    if (limit < 0) fail("there cannot be ", limit, " cached rows, the number must not be negative");
    if (frequencies.axes > 1) text_steps_ = steps_.summed(), axis_runs_ = find_axis_runs();
    const auto rows = static_cast<std::size_t>(
        std::clamp<Index>(kBlockBytes / std::max<Index>(row_size() * Index{sizeof(T)}, 1), 1, 1024));
    shift_ = static_cast<int>(std::bit_width(rows)) - 1;
    limit_ = pairs() == 0 ? 0 : std::min(limit, kMaxRows);
    allocate();
  }

  RowCache(const RowCache& other)
      : steps_(other.steps_),
        text_steps_(other.text_steps_),
        axis_runs_(other.axis_runs_),
        magnitude_(other.magnitude_),
        pairing_(other.pairing_),
        id_(other.id_),
        shift_(other.shift_),
        limit_(other.limit_) {
    allocate();
  }
  RowCache(RowCache&& other) noexcept
      : steps_(std::move(other.steps_)),
        text_steps_(std::move(other.text_steps_)),
        axis_runs_(std::move(other.axis_runs_)),
        magnitude_(other.magnitude_),
        pairing_(other.pairing_),
        id_(other.id_),
        shift_(other.shift_),
        limit_(std::exchange(other.limit_, 0)),
        blocks_(std::move(other.blocks_)) {}
  RowCache& operator=(RowCache other) noexcept {
    std::swap(steps_, other.steps_);
    std::swap(text_steps_, other.text_steps_);
    std::swap(axis_runs_, other.axis_runs_);
    std::swap(magnitude_, other.magnitude_);
    std::swap(pairing_, other.pairing_);
    std::swap(id_, other.id_);
    std::swap(shift_, other.shift_);
    std::swap(limit_, other.limit_);
    std::swap(blocks_, other.blocks_);
    return *this;
  }
  ~RowCache() = default;

  Index pairs() const { return steps_.pairs(); }
  Index row_size() const { return 2 * steps_.pairs(); }
  Pairing pairing() const { return pairing_; }
  double magnitude() const { return magnitude_; }
  std::uint64_t id() const { return id_; }
  Index limit() const { return limit_; }

  /// The steps of every axis, for tokens with a coordinate on each.
  const TurnSteps& steps() const { return steps_; }
  /// The steps for tokens whose coordinates are all equal, such as text tokens of M-RoPE.
  const TurnSteps& text_steps() const { return text_steps_ ? *text_steps_ : steps_; }

  /// The cached row at `position` and those that follow it in the same block; no rows outside the limit.
  ROTARY_ALWAYS_INLINE RowRun<T> cached(std::int64_t position, double magnitude) const {
    if (static_cast<std::uint64_t>(position) >= static_cast<std::uint64_t>(limit_)) return {nullptr, 0};
    RowBlocks<T>* of = blocks_.get();
    if (!same_bits(of->magnitude, magnitude)) [[unlikely]] {
      of = blocks_of(magnitude);
      if (of == nullptr) return {nullptr, 0};
    }
    const Index block = static_cast<Index>(position) >> shift_, begin = block << shift_;
    std::atomic<T*>& entry = of->blocks[static_cast<std::size_t>(block)];
    const T* rows = entry.load(std::memory_order_acquire);
    if (rows == nullptr) [[unlikely]]
      rows = compute(entry, begin, magnitude);
    const Index at = static_cast<Index>(position) - begin;
    return {rows + at * row_size(), std::min(Index{1} << shift_, limit_ - begin) - at};
  }
  /// The row at `position` if it has been computed; else null. Cheaper than `cached`, which computes it.
  ROTARY_ALWAYS_INLINE const T* find(std::int64_t position, double magnitude) const {
    if (static_cast<std::uint64_t>(position) >= static_cast<std::uint64_t>(limit_)) return nullptr;
    const RowBlocks<T>& of = *blocks_;
    if (!same_bits(of.magnitude, magnitude)) return nullptr;
    const Index block = static_cast<Index>(position) >> shift_;
    const T* const rows = of.blocks[static_cast<std::size_t>(block)].load(std::memory_order_acquire);
    return rows == nullptr ? nullptr : rows + (static_cast<Index>(position) - (block << shift_)) * row_size();
  }
  RowRun<T> cached(std::int64_t position) const { return cached(position, magnitude_); }

  /// Writes the row of a token from cached rows: that of its position, or, where every pair has one axis as
  /// in M-RoPE, the pairs of each axis from the row of that coordinate. False if a row is not cached; then
  /// nothing is written.
  bool assemble(std::span<const FixedPosition> token, double magnitude, T* row) const {
    const T* rows[kMaxPositionAxes];
    const FixedPosition& first = token[0];
    bool is_text = true;
    for (const FixedPosition& coordinate : token) is_text = is_text && coordinate == first;
    if (!is_text && axis_runs_.empty()) return false;
    for (std::size_t axis = 0; axis < (is_text ? 1 : token.size()); ++axis) {
      const RowRun<T> run =
          token[axis].is_whole() ? cached(token[axis].whole, magnitude) : RowRun<T>{nullptr, 0};
      if (run.count == 0) return false;
      rows[axis] = run.rows;
    }
    if (is_text) {
      copy_row(rows[0], row, 0, pairs());
    } else {
      for (const AxisRun& run : axis_runs_) copy_row(rows[run.axis], row, run.first, run.count);
    }
    return true;
  }

 private:
  /// Pairs [first, first + count), which rotate by the coordinate along one axis.
  struct AxisRun {
    Index axis, first, count;
  };

  /// Copies pairs [first, first + count) of a row.
  void copy_row(const T* from, T* to, Index first, Index count) const {
    const Index pair = pairing_ == Pairing::half ? 1 : 2, second = pairing_ == Pairing::half ? pairs() : 1;
    from += first * pair, to += first * pair;
    if (count == 1) {  // where the axes alternate
      to[0] = from[0], to[second] = from[second];
      return;
    }
    const std::size_t bytes = static_cast<std::size_t>(count * pair) * sizeof(T);
    std::memcpy(to, from, bytes);
    if (pairing_ == Pairing::half) std::memcpy(to + second, from + second, bytes);
  }

  /// The runs of pairs with one axis; none if some pair has a step along several.
  std::vector<AxisRun> find_axis_runs() const {
    std::vector<AxisRun> runs;
    for (Index pair = 0; pair < pairs(); ++pair) {
      Index axis = -1;
      for (Index n = 0; n < steps_.axes(); ++n) {
        if (steps_.step(n, pair) == TurnStep{}) continue;
        if (axis >= 0) return {};
        axis = n;
      }
      if (axis < 0) axis = runs.empty() ? 0 : runs.back().axis;  // a pair that does not rotate
      if (!runs.empty() && runs.back().axis == axis) {
        ++runs.back().count;
      } else {
        runs.push_back({axis, pair, 1});
      }
    }
    return runs;
  }

  Index block_count() const { return (limit_ + (Index{1} << shift_) - 1) >> shift_; }

  void allocate() {
    if (limit_ > 0) blocks_ = std::make_unique<RowBlocks<T>>(magnitude_, block_count());
  }

  /// The blocks of a magnitude that is not the frequencies' own; null if there are too many.
  ROTARY_NOINLINE RowBlocks<T>* blocks_of(double magnitude) const {
    if (!kernels::is_magnitude<T>(magnitude)) return nullptr;
    RowBlocks<T>* of = blocks_.get();
    for (int n = 1; n < kMaxMagnitudes; ++n) {
      RowBlocks<T>* next = of->next.load(std::memory_order_acquire);
      if (next == nullptr) {
        auto made = std::make_unique<RowBlocks<T>>(magnitude, block_count());
        if (of->next.compare_exchange_strong(next, made.get(), std::memory_order_acq_rel))
          return made.release();
      }
      if (same_bits(next->magnitude, magnitude)) return next;
      of = next;
    }
    return nullptr;
  }

  ROTARY_COLD const T* compute(std::atomic<T*>& entry, Index begin, double magnitude) const {
    const Index count = std::min(Index{1} << shift_, limit_ - begin);
    T* const rows = LineAllocator<T>().allocate(static_cast<std::size_t>(count * row_size()));
    kernels::cos_sin_rows(text_steps(), Positions::consecutive(count, begin), 0, count, {.factor = magnitude},
                          pairing_, rows);
    T* seen = nullptr;
    if (entry.compare_exchange_strong(seen, rows, std::memory_order_acq_rel)) return rows;
    LineAllocator<T>().deallocate(rows, 0);
    return seen;
  }

  TurnSteps steps_;
  std::optional<TurnSteps> text_steps_;
  std::vector<AxisRun> axis_runs_ = {};  // for several axes: which pairs rotate by which
  double magnitude_;
  Pairing pairing_;
  std::uint64_t id_ = ++row_cache_count;
  int shift_ = 0;  // a block has 2^shift rows
  Index limit_ = 0;
  std::unique_ptr<RowBlocks<T>> blocks_ = {};  // those of `magnitude_`; null without a limit
};

}  // namespace rotary::inline ROTARY_ABI::detail
