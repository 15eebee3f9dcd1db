// Parts of sequences in Eigen tensors, and their comparison bit by bit.
#pragma once

#include <gtest/gtest.h>

#include "strided_array.hpp"

namespace rotary::testing {

/// Tokens [begin, begin + count) of [heads, seq, head_dim].
template <class X>
Tensor<X, 3> tokens_of(const Tensor<X, 3>& x, Index begin, Index count) {
  return x.slice(Eigen::array<Index, 3>{0, begin, 0},
                 Eigen::array<Index, 3>{x.dimension(0), count, x.dimension(2)});
}

template <class X>
void expect_same_bits(const Tensor<X, 3>& found, const Tensor<X, 3>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (Index n = 0; n < found.size(); ++n)
    ASSERT_EQ(bits_of(found.data()[n]), bits_of(wanted.data()[n])) << "element " << n;
}

}  // namespace rotary::testing
