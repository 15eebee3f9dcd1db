// rotary: the version, and the only file that defines macros.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "rotary needs C++20: compile with -std=c++20 (MSVC: /std:c++20)"
#include <rotary_needs_c++20>  // This file does not exist, so the compiler stops here after one message.
#endif

#include <cstddef>

/// The first number of the library's version, MAJOR.MINOR.PATCH. CMake reads all three numbers here.
#define ROTARY_VERSION_MAJOR 0
/// The second number of the library's version. While the first is 0, a new one may change the interface.
#define ROTARY_VERSION_MINOR 1
/// The third number of the library's version.
#define ROTARY_VERSION_PATCH 0

/// 1 where the fast kernels run, 0 where the scalar loops do. The fast kernels are written in the vector
/// extensions of GCC (12 and later) and Clang, for x86-64 and AArch64. Define ROTARY_NO_VECTOR_EXTENSIONS for
/// the scalar loops.
#define ROTARY_VECTOR_EXTENSIONS 0
#if defined(__GNUC__) && defined(__has_builtin) && !defined(ROTARY_NO_VECTOR_EXTENSIONS)
// On a line of its own: where the macro is unknown, `__has_builtin(...)` is a syntax error even after `&&`.
#if __has_builtin(__builtin_shufflevector) && (defined(__x86_64__) || defined(__aarch64__))
#undef ROTARY_VECTOR_EXTENSIONS
#define ROTARY_VECTOR_EXTENSIONS 1
#endif
#endif

#if defined(__GNUC__)
/// Declares a function that GCC and Clang always inline; `inline` for other compilers.
#define ROTARY_ALWAYS_INLINE [[gnu::always_inline]] inline
/// Declares a lambda that GCC and Clang always inline; nothing for other compilers.
#define ROTARY_INLINE_LAMBDA __attribute__((always_inline))
/// Declares a function that GCC and Clang never inline; nothing for other compilers.
#define ROTARY_NOINLINE [[gnu::noinline]]
/// Declares a function that rarely runs, such as one that throws; nothing for other compilers.
#define ROTARY_COLD [[gnu::cold, gnu::noinline]]
#else
#define ROTARY_ALWAYS_INLINE inline
#define ROTARY_INLINE_LAMBDA
#define ROTARY_NOINLINE
#define ROTARY_COLD
#endif

// In a program that compiles the kernels once (rotary/apply/compiled.hpp): declarations, and in one file
// definitions.
#if defined(ROTARY_COMPILE)
#define ROTARY_EXTERN
#elif defined(ROTARY_COMPILED)
#define ROTARY_EXTERN extern
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
/// 1 if errors are thrown; 0 in a program built without exceptions, where `set_error_handler` applies.
#define ROTARY_EXCEPTIONS 1
#else
#define ROTARY_EXCEPTIONS 0
#endif

// ROTARY_ABI names the inline namespace that holds the library: `rotary::v0_1::RotaryEmbedding`.
//
// The linker keeps one copy of an inline function, whichever object file it finds first. Units compiled with
// different flags would then run each other's code: AVX-512 instructions on an older processor, or an abort
// in place of an exception. So the name encodes every flag that changes the code: it is `v0_1` for a plain
// optimised build and has a suffix for each deviation. See tests/mixed_builds.
#if defined(__GNUC__)
// ROTARY_FLAG(macro) is 1 if the macro is defined as 1, else 0.
#define ROTARY_SECOND(first, second, ...) second
#define ROTARY_COMMA_1 ,
#define ROTARY_FLAG_IF(comma) ROTARY_SECOND(comma 1, 0, ~)
#define ROTARY_FLAG_OF(value) ROTARY_FLAG_IF(ROTARY_COMMA_##value)
#define ROTARY_FLAG(macro) ROTARY_FLAG_OF(macro)
#define ROTARY_PASTE_OF(a, b, c, d, e, f, g, h) a##b##c##d##e##f##g##h
#define ROTARY_PASTE(a, b, c, d, e, f, g, h) ROTARY_PASTE_OF(a, b, c, d, e, f, g, h)
#define ROTARY_FLAGS(a, b, c, d, e, f, g, h)                                                   \
  ROTARY_PASTE(ROTARY_FLAG(a), ROTARY_FLAG(b), ROTARY_FLAG(c), ROTARY_FLAG(d), ROTARY_FLAG(e), \
               ROTARY_FLAG(f), ROTARY_FLAG(g), ROTARY_FLAG(h))

#if defined(__x86_64__) || defined(__i386__)
#if defined(__SSE3__)
#define ROTARY_ABI_SSE                                                                                      \
  ROTARY_PASTE(                                                                                             \
      _sse,                                                                                                 \
      ROTARY_FLAGS(__SSE3__, __SSSE3__, __SSE4_1__, __SSE4_2__, __POPCNT__, __LZCNT__, __BMI__, __BMI2__),  \
      ROTARY_FLAGS(__MOVBE__, __SSE4A__, __ADX__, __GFNI__, __SHA__, __CRC32__, __PCLMUL__, __AES__), , , , \
      , )
#else
#define ROTARY_ABI_SSE
#endif
#if defined(__AVX__)
#define ROTARY_ABI_VECTOR                                                                                  \
  ROTARY_PASTE(                                                                                            \
      _avx,                                                                                                \
      ROTARY_FLAGS(__AVX2__, __FMA__, __F16C__, __FMA4__, __XOP__, __AVXVNNI__, __VAES__, __VPCLMULQDQ__), \
      ROTARY_FLAGS(__AVX512F__, __AVX512BW__, __AVX512DQ__, __AVX512VL__, __AVX512CD__, __AVX512VBMI__,    \
                   __AVX512VBMI2__, __AVX512IFMA__),                                                       \
      ROTARY_FLAGS(__AVX512VNNI__, __AVX512BITALG__, __AVX512VPOPCNTDQ__, __AVX512BF16__, __AVX512FP16__,  \
                   __AVXIFMA__, __AVX10_1__, __AVX10_2__),                                                 \
      , , , )
#else
#define ROTARY_ABI_VECTOR
#endif
#elif defined(__aarch64__)
#define ROTARY_ABI_SSE
#define ROTARY_ABI_VECTOR                                                                                    \
  ROTARY_PASTE(_arm,                                                                                         \
               ROTARY_FLAGS(__ARM_FEATURE_ATOMICS, __ARM_FEATURE_SVE, __ARM_FEATURE_SVE2,                    \
                            __ARM_FEATURE_DOTPROD, __ARM_FEATURE_FP16_VECTOR_ARITHMETIC, __ARM_FEATURE_BF16, \
                            __ARM_FEATURE_MATMUL_INT8, __ARM_FEATURE_RCPC),                                  \
               , , , , , )
#else
#define ROTARY_ABI_SSE
#define ROTARY_ABI_VECTOR
#endif

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#define ROTARY_ABI_MATH _fast_math
#else
#define ROTARY_ABI_MATH
#endif
#if ROTARY_EXCEPTIONS
#define ROTARY_ABI_EXCEPTIONS
#else
#define ROTARY_ABI_EXCEPTIONS _no_exceptions
#endif
#if defined(__OPTIMIZE_SIZE__)
#define ROTARY_ABI_OPTIMISATION _Os
#elif defined(__OPTIMIZE__)
#define ROTARY_ABI_OPTIMISATION
#else
#define ROTARY_ABI_OPTIMISATION _O0
#endif
#if defined(ROTARY_NO_VECTOR_EXTENSIONS)
#define ROTARY_ABI_KERNELS _scalar
#else
#define ROTARY_ABI_KERNELS
#endif
#if defined(_GLIBCXX_DEBUG)
#define ROTARY_ABI_LIBRARY _checked
#else
#define ROTARY_ABI_LIBRARY
#endif
/// The name of the inline namespace that holds the library: `v0_1`, with a suffix for each flag that changes
/// the code, so that units compiled with different flags do not share inline functions.
#define ROTARY_ABI                                                                              \
  ROTARY_PASTE(v0_1, ROTARY_ABI_SSE, ROTARY_ABI_VECTOR, ROTARY_ABI_MATH, ROTARY_ABI_EXCEPTIONS, \
               ROTARY_ABI_OPTIMISATION, ROTARY_ABI_KERNELS, ROTARY_ABI_LIBRARY)
#else
#define ROTARY_ABI v0_1
#endif

namespace rotary::inline ROTARY_ABI {

/// Sizes, strides and axis numbers; the same type as Eigen::Index.
using Index = std::ptrdiff_t;

}  // namespace rotary::inline ROTARY_ABI
