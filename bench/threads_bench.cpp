// Two threads of the caller's Eigen::ThreadPoolDevice against one thread.
#define EIGEN_USE_THREADS
#include <rotary/rotary_embedding.hpp>

#include "support/measured_tensor.hpp"

namespace {

using namespace bench;

template <class X>
void add_threads(const Shape& shape, Pairing pairing) {
  add({"threads/" + name_of(pairing) + "/" + kName<X> + "/in_place/" + shape.name,
       "two threads: small ×64 heads, cache ×8", "one thread", at_least(1.8)},
      [=] {
        struct Threads {
          Eigen::ThreadPool pool{2};
          Eigen::ThreadPoolDevice device{&pool, 2};
        };
        const auto threads = std::make_shared<Threads>();
        const auto of = measured_tensor<X>(shape, Order::heads_first, pairing);
        const auto rotate = [of, threads, tensor = of->map(), options = of->options()]() mutable {
          of->rotary_emb.rotate_in_place(tensor, options, threads->device);
        };
        return Comparison{repeated(rotate),
                          repeated(in_place(of)),
                          in_place_check(of, rotate),
                          of->bytes(),
                          of->bytes(),
                          true};
      });
}

}  // namespace

void bench::register_benchmarks() {
  for (const Shape& shape : {kManyHeads, kBatch}) {
    for (const Pairing pairing : kPairings) add_threads<float>(shape, pairing);
    add_threads<Eigen::bfloat16>(shape, Pairing::half);
  }
}
