// Tokens of one head, read from and written to memory of another scalar.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "eigen_types.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Tokens of one head in memory: strides in bytes from token to token and from feature to feature.
struct TokenSteps {
  Index token, feature, width;
};

template <class X, class T>
T converted(const X& x) {
  if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
    // Not Eigen's conversion, which compilers do not vectorise.
    const std::uint32_t bits = std::uint32_t{x.value} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<T>(value);
  } else {
    return static_cast<T>(x);
  }
}

/// Reads `count` tokens in T.
template <class X, class T>
void read_tokens(const char* from, const TokenSteps& steps, Index count, T* to, Index to_stride) {
  constexpr Index kBlock = 16;  // a constant, so that -O2 of GCC 12 vectorises the loop
  for (Index n = 0; n < count; ++n, from += steps.token, to += to_stride) {
    Index f = 0;
    if (steps.feature == Index{sizeof(X)}) {
      const X* const x = reinterpret_cast<const X*>(from);
      for (; f + kBlock <= steps.width; f += kBlock)
        for (Index i = 0; i < kBlock; ++i) to[f + i] = converted<X, T>(x[f + i]);
    }
    for (; f < steps.width; ++f)
      to[f] = converted<X, T>(*reinterpret_cast<const X*>(from + f * steps.feature));
  }
}

/// Writes `count` tokens, each number rounded once.
template <class X, class T>
void write_tokens(const T* from, Index from_stride, Index count, char* to, const TokenSteps& steps) {
  for (Index n = 0; n < count; ++n, from += from_stride, to += steps.token)
    for (Index f = 0; f < steps.width; ++f)
      *reinterpret_cast<X*>(to + f * steps.feature) = static_cast<X>(from[f]);
}

}  // namespace rotary::inline ROTARY_ABI::detail
