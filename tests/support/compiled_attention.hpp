// Attention, compiled once for all tests: its matrix products take a long time to compile.
#pragma once

#include <rotary/attention.hpp>

namespace rotary::detail {

extern template class AttentionCore<float>;
extern template class AttentionCore<double>;
extern template class AttendForward<float>;
extern template class AttendForward<double>;
extern template class AttendBackward<float>;
extern template class AttendBackward<double>;

}  // namespace rotary::detail
