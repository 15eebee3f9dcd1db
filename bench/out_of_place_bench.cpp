// Rotating into another tensor, against memcpy of the same bytes (M); and the obvious Eigen expression.
#include "support/by_hand.hpp"

namespace {

using namespace bench;

/// A tensor, and the tensor that its rotation is written to.
template <class X>
struct Pair {
  std::shared_ptr<MeasuredTensor<X>> from;
  Buffer<X> to;

  Pair(const Shape& shape, Order order, Pairing pairing)
      : from(measured_tensor<X>(shape, order, pairing)), to(shape.size()) {}
};

/// `f()`, which rotates `of->from` into `of->to`, against memcpy.
template <class X, class F>
Comparison against_copy(std::shared_ptr<Pair<X>> of, F f) {
  const auto copy_all = [of] { copy(of->from->x.data(), of->to.data(), of->to.bytes()); };
  const auto check = [of, f]() mutable {
    f();
    return difference(of->to, of->from->expected());
  };
  return {repeated(f), repeated(copy_all), check, of->from->bytes(), of->from->bytes()};
}

template <class X>
void add_out_of_place(const Shape& shape, const std::string& row, Goal goal) {
  for (const Order order : kOrders) {
    for (const Pairing pairing : kPairings) {
      add({"rotate/" + name_of(pairing) + "/" + kName<X> + "/out_of_place/" + shape.name + suffix(order), row,
           "memcpy", goal},
          [=] {
            const auto of = std::make_shared<Pair<X>>(shape, order, pairing);
            return against_copy(of, [of, in = of->from->map(), out = of->from->map(of->to),
                                     options = of->from->options()]() mutable {
              of->from->rotary_emb.rotate_into(in, out, options);
            });
          });
    }
  }
}

void add_eigen_expression(const Shape& shape) {
  add({std::string("eigen_expression/half/float/out_of_place/") + shape.name,
       "the obvious Eigen::Tensor expression, out of place", "memcpy", no_goal()},
      [=] {
        const auto of = std::make_shared<Pair<float>>(shape, Order::heads_first, Pairing::half);
        const TableByHand table(shape);
        return against_copy(of,
                            [of, in = of->from->map(), out = of->from->map(of->to),
                             expression = EigenExpression(shape, table)]() mutable { expression(in, out); });
      });
}

}  // namespace

void bench::register_benchmarks() {
  const Shape memory = memory_shape();
  for (const Shape& shape : {kDecode, kSmall, kCache}) {
    add_out_of_place<float>(shape, "out of place, float and double: decode, small, cache", at_least(0.95));
    add_out_of_place<double>(shape, "out of place, float and double: decode, small, cache", at_least(0.95));
  }
  add_out_of_place<float>(memory, "out of place, float and double: memory", at_least(1.3));
  add_out_of_place<double>(memory, "out of place, float and double: memory", at_least(1.3));
  add_eigen_expression(kDecode);
  add_eigen_expression(kCache);
}
