// RowSource: the rows of the tokens of one call, whatever their positions.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "row_cache.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The rows that a thread computed last, outside of any RowCache. A token is at the same position in all
/// layers of a model, and callers that rotate head by head ask for the same row again and again: it is
/// computed once.
template <class T>
struct RecentRows {
  static constexpr Index kScalars = 8192 / sizeof(T), kCoordinates = 128;

  /// Is the first row that of a token at `token`?
  bool has(std::uint64_t cache, double magnitude, std::span<const FixedPosition> token) const {
    return owner == cache && count > 0 && axes == std::ssize(token) && same_bits(factor, magnitude) &&
           std::equal(token.begin(), token.end(), coordinates);
  }

  std::uint64_t owner = 0;  // the number of the RowCache, 0 for none
  double factor = 0;
  Index count = 0, axes = 0;
  FixedPosition coordinates[static_cast<std::size_t>(kCoordinates)] = {};  // [count, axes]
  alignas(64) T rows[static_cast<std::size_t>(kScalars)] = {};
};
template <class T>
inline constinit thread_local RecentRows<T> recent_rows{};

/// Writes the row of a token: copied from cached rows, or computed.
template <RowScalar T>
void write_row(const RowCache<T>& cache, std::span<const FixedPosition> token,
               const kernels::Magnitude& magnitude, T* row) {
  if (magnitude.log_scale.empty() && cache.assemble(token, magnitude.factor, row)) return;
  kernels::cos_sin_row(token.size() == 1 ? cache.text_steps() : cache.steps(), token, magnitude,
                       cache.pairing(), row);
}

/// The row of a token, computed unless it is the row that this thread computed last. Null if the row is too
/// wide for `RecentRows`, or the magnitude is not finite as a `T`.
template <RowScalar T>
ROTARY_NOINLINE const T* recent_row(const RowCache<T>& cache, std::span<const FixedPosition> token,
                                    double magnitude) {
  RecentRows<T>& recent = recent_rows<T>;
  if (recent.has(cache.id(), magnitude, token)) return recent.rows;
  if (cache.row_size() > RecentRows<T>::kScalars || !kernels::is_magnitude<T>(magnitude)) return nullptr;
  recent.owner = 0;  // until the row is complete
  write_row(cache, token, {.factor = magnitude}, recent.rows);
  std::copy(token.begin(), token.end(), recent.coordinates);
  recent.factor = magnitude, recent.count = 1, recent.axes = std::ssize(token);
  recent.owner = cache.id();
  return recent.rows;
}

/// The rows of the tokens of one call, whatever their positions.
template <RowScalar T>
class RowSource {
 public:
  /// `positions` have a length, and one coordinate or as many as the frequencies. `magnitude` is in place of
  /// the cache's own.
  RowSource(const RowCache<T>& cache, const Positions& positions, const kernels::Magnitude& magnitude)
      : cache_(cache),
        positions_(positions),
        magnitude_(magnitude),
        axes_(positions.axis_count()),
        steps_(axes_ == 1 ? cache.text_steps() : cache.steps()),
        is_plain_(magnitude.log_scale.empty()) {
    const Index row_size = std::max<Index>(cache.row_size(), 1);
    capacity_ = std::min(RecentRows<T>::kScalars / row_size, RecentRows<T>::kCoordinates / Index{axes_});
    if (capacity_ > 0) return;
    capacity_ = 1;
    wide_row_.resize(static_cast<std::size_t>(row_size));
  }

  /// The largest number of rows that `gather` takes.
  Index capacity() const { return capacity_; }

  /// Rows for tokens begin, begin + 1, ... before `end`: at least one. They are valid until the next call, on
  /// this thread.
  RowRun<T> run(Index begin, Index end) {
    const RowRun<T> cached = cached_run(begin, end);
    if (cached.count >= kShortRun || cached.count == end - begin) return cached;
    const Index count = std::min(capacity_, end - begin);
    return {gather(begin, count), count};
  }

  /// Rows for tokens [begin, begin + count), one after the other; at most `capacity()`.
  const T* gather(Index begin, Index count) {
    if (!wide_row_.empty()) {
      fill(begin, wide_row_.data());
      return wide_row_.data();
    }
    RecentRows<T>& recent = recent_rows<T>;
    if (!magnitude_.log_scale.empty()) {  // scales differ from token to token: not worth recognising
      recent.owner = 0;
      kernels::cos_sin_rows(steps_, positions_, begin, begin + count, magnitude_, cache_.pairing(),
                            recent.rows);
      return recent.rows;
    }
    if (recent.owner != cache_.id() || !same_bits(recent.factor, magnitude_.factor) || recent.axes != axes_) {
      recent.owner = cache_.id(), recent.factor = magnitude_.factor, recent.axes = axes_;
      recent.count = 0;
    }
    Index known = 0;
    while (known < std::min(count, recent.count) && is_known(recent, begin, known)) ++known;
    if (known == count) return recent.rows;
    recent.count = known;
    if (positions_.is_consecutive() && count - known > 1) {
      for (Index n = known; n < count; ++n) recent.coordinates[n] = positions_.at(begin + n);
      kernels::cos_sin_rows(steps_, positions_, begin + known, begin + count, magnitude_, cache_.pairing(),
                            recent.rows + known * cache_.row_size());
    } else {
      for (Index n = known; n < count; ++n) {
        for (int axis = 0; axis < axes_; ++axis)
          recent.coordinates[n * axes_ + axis] = positions_.at(begin + n, axis);
        fill(begin + n, recent.rows + n * cache_.row_size());
      }
    }
    recent.count = count;
    return recent.rows;
  }

 private:
  /// Fewer cached rows than this are copied together with those that follow them.
  static constexpr Index kShortRun = 8;

  /// The coordinate of a token where all are the same and a cached row may serve.
  std::optional<std::int64_t> cacheable(Index token) const {
    if (!is_plain_) return {};
    const FixedPosition first = positions_.at(token);
    if (!first.is_whole()) return {};
    for (int axis = 1; axis < axes_; ++axis)
      if (positions_.at(token, axis) != first) return {};
    return first.whole;
  }

  RowRun<T> cached_run(Index begin, Index end) const {
    const std::optional<std::int64_t> first = cacheable(begin);
    if (!first) return {nullptr, 0};
    RowRun<T> run = cache_.cached(*first, magnitude_.factor);
    run.count = std::min(run.count, end - begin);
    if (positions_.is_consecutive()) return run;
    Index length = run.count == 0 ? 0 : 1;
    while (length < run.count && cacheable(begin + length) == *first + length) ++length;
    return {run.rows, length};
  }

  bool is_known(const RecentRows<T>& recent, Index begin, Index n) const {
    for (int axis = 0; axis < axes_; ++axis)
      if (recent.coordinates[n * axes_ + axis] != positions_.at(begin + n, axis)) return false;
    return true;
  }

  void fill(Index token, T* row) const {
    FixedPosition coordinates[kMaxPositionAxes];
    for (int axis = 0; axis < axes_; ++axis) coordinates[axis] = positions_.at(token, axis);
    write_row(cache_, {coordinates, static_cast<std::size_t>(axes_)}, magnitude_, row);
  }

  const RowCache<T>& cache_;
  const Positions& positions_;
  const kernels::Magnitude magnitude_;
  const int axes_;
  const TurnSteps& steps_;
  const bool is_plain_;
  Index capacity_;
  AlignedVector<T> wide_row_ = {};
};

}  // namespace rotary::inline ROTARY_ABI::detail
