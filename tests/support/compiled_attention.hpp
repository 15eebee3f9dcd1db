// Attention, compiled once for all tests: its matrix products take a long time to compile.
#pragma once

#include <rotary/attention.hpp>

namespace rotary::detail {

extern template class AttentionCore<float>;
extern template class AttentionCore<double>;

}  // namespace rotary::detail
