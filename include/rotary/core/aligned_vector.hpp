// AlignedVector: memory that starts on a cache line.
#pragma once

#include <new>
#include <utility>
#include <vector>

#include "config.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Allocates from the start of a cache line, so that no vector of a row crosses one.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}

  /// Leaves elements uninitialised: the code that computes rows writes all of them.
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
  friend bool operator==(const LineAllocator&, const LineAllocator&) = default;
};

template <class T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace rotary::inline ROTARY_ABI::detail
