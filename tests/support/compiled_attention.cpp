#include "support/compiled_attention.hpp"

namespace rotary::detail {

template class AttentionCore<float>;
template class AttentionCore<double>;
template class AttendForward<float>;
template class AttendForward<double>;
template class AttendBackward<float>;
template class AttendBackward<double>;

}  // namespace rotary::detail
