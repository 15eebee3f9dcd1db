// What the tests of operators that are given cosines and sines share.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <rotary/tensor/tensor.hpp>

#include "random.hpp"

namespace rotary::testing {

template <class X>
void expect_same(const X& found, const X& wanted, const char* how) {
  ASSERT_EQ(found.size(), wanted.size());
  EXPECT_EQ(std::memcmp(found.data(), wanted.data(),
                        static_cast<std::size_t>(found.size()) * sizeof(typename X::Scalar)),
            0)
      << how;
}

/// Any numbers as cosines and sines: operators use them as they are.
template <class C>
struct GivenTables {
  Tensor<C, 2> cos, sin;

  GivenTables(Random& random, Index rows, Index pairs) : cos(rows, pairs), sin(rows, pairs) {
    random.fill(cos), random.fill(sin);
  }
};

}  // namespace rotary::testing
