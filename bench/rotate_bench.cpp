// Rotating in place, against `x *= a` over the same bytes (S); and what a user would write instead.
#include "support/by_hand.hpp"

namespace {

using namespace bench;
using rotary::Direction;

std::string name(const char* scalar, Pairing pairing, const Shape& shape, Order order) {
  return "rotate/" + name_of(pairing) + "/" + scalar + "/in_place/" + shape.name + suffix(order);
}

/// In place against S, as bytes per second.
template <class X>
void add_in_place(const Shape& shape, const std::string& row, Goal goal) {
  for (const Order order : kOrders) {
    for (const Pairing pairing : kPairings) {
      const std::string baseline = sizeof(X) == 2 ? "x *= a (float)" : "x *= a";
      add({name(kName<X>, pairing, shape, order), row, baseline, goal}, [=] {
        const auto of = measured_tensor<X>(shape, order, pairing);
        const auto rotate = in_place(of);
        return Comparison{repeated(rotate), repeated(scaled(of)), in_place_check(of, rotate), of->bytes(),
                          of->bytes()};
      });
    }
  }
}

/// 16-bit scalars against the rotation of a tensor of float of the same shape, as elements per second.
template <class X>
void add_against_float(const Shape& shape) {
  for (const Order order : kOrders) {
    for (const Pairing pairing : kPairings) {
      add({name(kName<X>, pairing, shape, order), "bfloat16 and half in place: cache",
           "float rotation, elements/s", at_least(0.75)},
          [=] {
            const auto of = measured_tensor<X>(shape, order, pairing);
            const auto of_float = measured_tensor<float>(shape, order, pairing);
            const auto rotate = in_place(of);
            // Counted as if elements were of one size, so that elements per second are compared.
            return Comparison{repeated(rotate), repeated(in_place(of_float)), in_place_check(of, rotate),
                              of->bytes(), of->bytes()};
          });
    }
  }
}

template <class X>
void add_directions(const Shape& shape) {
  for (const Pairing pairing : kPairings) {
    for (const Direction direction : {Direction::inverse, Direction::transpose}) {
      const char* prefix = direction == Direction::inverse ? "inverse/" : "backward/";
      add({prefix + name_of(pairing) + "/" + kName<X> + "/in_place/" + shape.name, "inverse and backward",
           "forward", at_least(0.97)},
          [=] {
            const auto of = measured_tensor<X>(shape, Order::heads_first, pairing);
            const auto back = in_place(of, direction);
            return Comparison{repeated(back), repeated(in_place(of)), in_place_check(of, back, direction),
                              of->bytes(), of->bytes()};
          });
    }
  }
}

void add_by_hand(const Shape& shape) {
  for (const Pairing pairing : kPairings) {
    add({"plain_loop/" + name_of(pairing) + "/float/in_place/" + shape.name, "the plain loop, in place",
         "x *= a", no_goal()},
        [=] {
          const auto of = measured_tensor<float>(shape, Order::heads_first, pairing);
          const auto loop = [of, table = TableByHand(of->shape)] {
            plain_loop(of->x.data(), of->shape, table, of->how.pairing);
          };
          return Comparison{repeated(loop), repeated(scaled(of)), in_place_check(of, loop), of->bytes(),
                            of->bytes()};
        });
  }
}

/// One token rotated by the kernel alone, with a prepared job: no call can be faster.
void add_kernel_alone(Pairing pairing) {
  add({"kernel_alone/" + name_of(pairing) + "/float/in_place/" + kDecode.name,
       "the kernel alone, without views, checks and positions: decode", "x *= a", no_goal()},
      [=] {
        const auto of = measured_tensor<float>(kDecode, Order::heads_first, pairing);
        const auto row = std::make_shared<rotary::CosSinTable<float>>(
            of->rotary_emb.table(rotary::Positions::consecutive(1, kDecode.offset)));
        rotary::kernels::RotationJob<float, float> job;
        job.in = job.out = of->x.data();
        job.rows = row->data();
        job.pairs = kDecode.head_dim / 2;
        job.set_pairing(pairing);
        job.add_axis({kDecode.heads, kDecode.head_dim, kDecode.head_dim, 0});
        const auto rotate = [of, row, job] { rotary::kernels::rotate(rotary::kernels::RotationJob(job)); };
        return Comparison{repeated(rotate), repeated(scaled(of)), in_place_check(of, rotate), of->bytes(),
                          of->bytes()};
      });
}

}  // namespace

void bench::register_benchmarks() {
  for (const Pairing pairing : kPairings) add_kernel_alone(pairing);
  const Shape memory = memory_shape();
  for (const Shape& shape : {kDecode, kSmall, kCache, memory}) {
    const bool is_small = shape.name == std::string("small"), is_memory = shape.name == std::string("memory");
    const std::string row = is_small    ? "in place, float and double: small"
                            : is_memory ? "in place, float and double: memory"
                                        : "in place, float and double: decode, cache";
    const Goal goal = at_least(is_small ? 0.75 : is_memory ? 0.92 : 0.85);
    add_in_place<float>(shape, row, goal);
    add_in_place<double>(shape, row, goal);
  }
  add_in_place<Eigen::half>(memory, "bfloat16 and half in place: memory", at_least(0.85));
  add_in_place<Eigen::bfloat16>(memory, "bfloat16 and half in place: memory", at_least(0.85));
  add_against_float<Eigen::half>(kCache);
  add_against_float<Eigen::bfloat16>(kCache);
  for (const Shape& shape : {kDecode, kCache}) {
    add_directions<float>(shape);
    add_by_hand(shape);
  }
  add_directions<Eigen::bfloat16>(kCache);
}
