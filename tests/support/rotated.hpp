// A rotation of a StridedArray into a new one.
#pragma once

#include <rotary/rotary_embedding.hpp>

#include "strided_array.hpp"

namespace rotary::testing {

template <class T, class X>
StridedArray<X> rotated(const RotaryEmbedding<T>& rotary_emb, const StridedArray<X>& x,
                        const RotateOptions& options = {}) {
  StridedArray<X> result(x.extents());
  rotary_emb.rotate_into(x.view(), result.view(), options);
  return result;
}

}  // namespace rotary::testing
