#include "support/compiled_attention.hpp"

namespace rotary::detail {

template class AttentionCore<float>;
template class AttentionCore<double>;

}  // namespace rotary::detail
