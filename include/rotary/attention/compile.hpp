// For the one file of a program that holds the instantiations of `rotary/attention/compiled.hpp`.
#pragma once

#ifndef ROTARY_COMPILED
#define ROTARY_COMPILED
#endif
#include "compiled.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template class AttentionCore<float>;
template class AttentionCore<double>;
template class AttendForward<float>;
template class AttendForward<double>;
template class AttendBackward<float>;
template class AttendBackward<double>;
template void multiply_transposed<float>(const ConstRowsRef<float>&, const ConstRowsRef<float>&, RowsRef<float>);
template void multiply_transposed<double>(const ConstRowsRef<double>&, const ConstRowsRef<double>&, RowsRef<double>);
template void add_product<float>(const ConstRowsRef<float>&, const ConstRowsRef<float>&, RowsRef<float>);
template void add_product<double>(const ConstRowsRef<double>&, const ConstRowsRef<double>&, RowsRef<double>);
template void add_transposed_product<float>(const ConstRowsRef<float>&, const ConstRowsRef<float>&, RowsRef<float>);
template void add_transposed_product<double>(const ConstRowsRef<double>&, const ConstRowsRef<double>&, RowsRef<double>);

}  // namespace rotary::inline ROTARY_ABI::detail
