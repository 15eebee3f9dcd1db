// Checks of parameters: finite, positive, and no more than fit into memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "double_double.hpp"
#include "error.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// `list` as a span, made from pointer and size: the constructor that takes any range is slow to compile.
template <class Entry>
std::span<const Entry> span_of(const std::vector<Entry>& list) {
  return {list.data(), list.size()};
}

inline void check_finite(const char* name, const DoubleDouble& x) {
  if (!isfinite(x)) fail(name, " is ", x.hi, ", it must be finite");
}

inline void check_not_negative(const char* name, const DoubleDouble& x) {
  if (!isfinite(x) || x < 0) fail(name, " is ", x.hi, ", it must be finite and not negative");
}

inline void check_positive(const char* name, const DoubleDouble& x) {
  if (!isfinite(x) || x <= 0) fail(name, " is ", x.hi, ", it must be positive and finite");
}

/// `count` frequencies or features as a std::size_t. Throws on negative counts and on more than fit into
/// memory.
inline std::size_t checked_count(const char* name, Index count) {
  if (count < 0) fail(name, " is ", count, ", it must not be negative");
  if (count > PTRDIFF_MAX / static_cast<Index>(sizeof(DoubleDouble)))
    fail(name, " is ", count, ", which is more than fits into memory");
  return static_cast<std::size_t>(count);
}

}  // namespace rotary::inline ROTARY_ABI::detail
