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

#if defined(ROTARY_COMPILED)
namespace rotary::inline ROTARY_ABI::detail {

extern template class AttentionCore<float>;
extern template class AttentionCore<double>;
extern template class AttendForward<float>;
extern template class AttendForward<double>;
extern template class AttendBackward<float>;
extern template class AttendBackward<double>;
extern template void multiply_transposed<float>(const ConstRowsRef<float>&, const ConstRowsRef<float>&, RowsRef<float>);
extern template void multiply_transposed<double>(const ConstRowsRef<double>&, const ConstRowsRef<double>&, RowsRef<double>);
extern template void add_product<float>(const ConstRowsRef<float>&, const ConstRowsRef<float>&, RowsRef<float>);
extern template void add_product<double>(const ConstRowsRef<double>&, const ConstRowsRef<double>&, RowsRef<double>);
extern template void add_transposed_product<float>(const ConstRowsRef<float>&, const ConstRowsRef<float>&, RowsRef<float>);
extern template void add_transposed_product<double>(const ConstRowsRef<double>&, const ConstRowsRef<double>&, RowsRef<double>);

}  // namespace rotary::inline ROTARY_ABI::detail
#endif
