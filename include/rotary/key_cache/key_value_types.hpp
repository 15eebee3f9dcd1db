// The sizes of a KeyValueCache, the ids of its sequences, and a page as it is in memory.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>

#include "../tensor/strided_view.hpp"

namespace rotary::inline ROTARY_ABI {

/// The sizes of a `KeyValueCache`. Memory for all pages is allocated at construction.
struct KeyValueCacheOptions {
  Index heads = 1;          ///< heads of keys and values; heads of queries are a multiple
  Index head_dim = 0;       ///< features of a key in one head
  Index value_dim = 0;      ///< features of a value in one head; 0: as many as of a key
  Index pages = 0;          ///< pages of the pool
  Index page_tokens = 256;  ///< tokens of a page; see the cost of `attend_cached`
  /// Are keys also stored as they were given, so that moved keys are rotated once? Takes as much memory again.
  bool raw_keys = false;
};

/// Names a sequence of one `KeyValueCache`. No other sequence gets it, not even after the sequence was dropped.
struct SequenceId {
  Index index = -1;          ///< where the cache stores the sequence; used again after `drop`
  std::uint64_t number = 0;  ///< counts the sequences of all caches from 1; 0 names none

  // Do both name one sequence?
  friend bool operator==(const SequenceId&, const SequenceId&) = default;
  // Orders ids by index, then number, for sorted containers.
  friend auto operator<=>(const SequenceId&, const SequenceId&) = default;
};

namespace detail {

/// Counts the sequences of all caches.
inline constinit std::atomic<std::uint64_t> sequence_count{0};

struct CacheReader;  // of attention/attend_cached.hpp

}  // namespace detail

/// A page of a `KeyValueCache` as it is in memory, for own kernels: tokens of all heads. `Stored` is the cache's.
template <class Stored>
struct KeyValuePage {
  StridedView<const Stored> keys;    ///< [page_tokens, heads, head_dim], rotated
  StridedView<const Stored> values;  ///< [page_tokens, heads, value_dim], not rotated
  /// [page_tokens, heads]: what 8-bit integers are multiplied by; no elements for other types.
  StridedView<const float> key_scales, value_scales;
};

}  // namespace rotary::inline ROTARY_ABI
