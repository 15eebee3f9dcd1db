// rotary: the version, and the only file that defines macros.
#pragma once

#include <cstddef>

#define ROTARY_VERSION_MAJOR 0
#define ROTARY_VERSION_MINOR 1
#define ROTARY_VERSION_PATCH 0

// GCC's (12 and later) and Clang's vector extensions carry the fast kernels; other compilers get the plain
// loops.
#if defined(__GNUC__) && !defined(ROTARY_NO_VECTOR_EXTENSIONS) && __has_builtin(__builtin_shufflevector) && \
    (defined(__x86_64__) || defined(__aarch64__))
#define ROTARY_VECTOR_EXTENSIONS 1
#else
#define ROTARY_VECTOR_EXTENSIONS 0
#endif

#if defined(__GNUC__)
#define ROTARY_ALWAYS_INLINE [[gnu::always_inline]] inline
#define ROTARY_INLINE_LAMBDA __attribute__((always_inline))
#define ROTARY_NOINLINE [[gnu::noinline]]
#define ROTARY_COLD [[gnu::cold, gnu::noinline]]
#else
#define ROTARY_ALWAYS_INLINE inline
#define ROTARY_INLINE_LAMBDA
#define ROTARY_NOINLINE
#define ROTARY_COLD
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define ROTARY_EXCEPTIONS 1
#else
#define ROTARY_EXCEPTIONS 0
#endif

namespace rotary {

/// Sizes, strides and axis numbers; the same type as Eigen::Index.
using Index = std::ptrdiff_t;

}  // namespace rotary
