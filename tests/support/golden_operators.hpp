// Runs golden cases of operators and functions of other systems.
#pragma once

#include <string>

#include "support/errors.hpp"
#include "support/golden_run.hpp"

namespace rotary::testing::golden {

/// Integers, as the operators take them.
template <class I>
std::vector<I> integers_of(const Tensor& x) {
  return {x.values.begin(), x.values.end()};
}

/// rotate(in, out), between views of either storage order and in place: all must give the same bits.
template <class S, class Rotate>
Tensor rotated_every_way(const Tensor& x, Rotate&& rotate) {
  Tensor empty = x, result;
  std::fill(empty.values.begin(), empty.values.end(), 12345);
  for (const int from : kOrders) {
    for (const int to : kOrders) {
      const Elements<S> in(x, from), out(empty, to);
      rotate(in.const_view(), out.view());
      if (result.values.empty()) result = out.tensor();
      expect_same_bits(out.tensor(), result, "views in other storage orders");
    }
    const Elements<S> both(x, from);
    rotate(both.view(), both.view());
    expect_same_bits(both.tensor(), result, "in place");
  }
  return result;
}

}  // namespace rotary::testing::golden
