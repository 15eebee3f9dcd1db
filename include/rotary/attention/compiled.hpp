// Attention, compiled once in place of in every file that calls it: a part of the target `rotary::compiled`.
//
// It declares something only where ROTARY_COMPILED is defined, as the CMake target does. Without CMake, define
// ROTARY_COMPILED in all files, and add one of your own, beside the one of apply/compiled.hpp, to the program:
//
//     #include <rotary/attention/compile.hpp>
//
// compiled with the same flags.
#pragma once

#include "attention_core.hpp"

#if defined(ROTARY_COMPILE_ATTENTION)
#define ROTARY_ATTENTION_EXTERN
#elif defined(ROTARY_COMPILED)
#define ROTARY_ATTENTION_EXTERN extern
#endif

#if defined(ROTARY_ATTENTION_EXTERN)
namespace rotary::inline ROTARY_ABI::detail {

ROTARY_ATTENTION_EXTERN template class AttentionCore<float>;
ROTARY_ATTENTION_EXTERN template class AttentionCore<double>;
ROTARY_ATTENTION_EXTERN template class AttendForward<float>;
ROTARY_ATTENTION_EXTERN template class AttendForward<double>;
ROTARY_ATTENTION_EXTERN template class AttendBackward<float>;
ROTARY_ATTENTION_EXTERN template class AttendBackward<double>;
ROTARY_ATTENTION_EXTERN template void multiply_transposed<float>(const ConstRowsRef<float>&,
                                                                 const ConstRowsRef<float>&, RowsRef<float>);
ROTARY_ATTENTION_EXTERN template void multiply_transposed<double>(const ConstRowsRef<double>&,
                                                                  const ConstRowsRef<double>&,
                                                                  RowsRef<double>);
ROTARY_ATTENTION_EXTERN template void add_product<float>(const ConstRowsRef<float>&,
                                                         const ConstRowsRef<float>&, RowsRef<float>);
ROTARY_ATTENTION_EXTERN template void add_product<double>(const ConstRowsRef<double>&,
                                                          const ConstRowsRef<double>&, RowsRef<double>);
ROTARY_ATTENTION_EXTERN template void add_transposed_product<float>(const ConstRowsRef<float>&,
                                                                    const ConstRowsRef<float>&,
                                                                    RowsRef<float>);
ROTARY_ATTENTION_EXTERN template void add_transposed_product<double>(const ConstRowsRef<double>&,
                                                                     const ConstRowsRef<double>&,
                                                                     RowsRef<double>);

}  // namespace rotary::inline ROTARY_ABI::detail
#undef ROTARY_ATTENTION_EXTERN
#endif
