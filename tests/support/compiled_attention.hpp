// Attention, compiled once for all tests: its matrix products take half a minute.
#pragma once

#include <rotary/attention.hpp>

namespace rotary::detail {

extern template class AttentionCore<float>;
extern template class AttentionCore<double>;

}  // namespace rotary::detail
