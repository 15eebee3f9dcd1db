// Instruction sets forced one after the other, and builds for this processor against plain ones.
#include <rotary/kernels/testing.hpp>

#include "support/measured_tensor.hpp"
#include "support/two_builds.hpp"

namespace {

using namespace bench;

#if ROTARY_VECTOR_EXTENSIONS
using rotary::kernels::InstructionSet;

/// Rotates with one instruction set; the baseline uses the best.
template <class X>
void add_forced(InstructionSet set, const char* set_name, Pairing pairing, const Shape& shape) {
  if (rotary::kernels::force_instruction_set(set) != set) return;  // the processor lacks it
  rotary::kernels::force_instruction_set(InstructionSet::avx512);
  add({std::string("instruction_sets/") + set_name + "/" + name_of(pairing) + "/" + kName<X> + "/" +
           shape.name,
       "instruction sets", "x *= a, with the best", no_goal()},
      [=] {
        const auto of = measured_tensor<X>(shape, Order::heads_first, pairing);
        const auto rotate = in_place(of);
        const auto forced = [set](auto work) {
          return [set, work](auto... arguments) mutable {
            const InstructionSet best = rotary::kernels::instruction_set();
            rotary::kernels::force_instruction_set(set);
            auto undo = [best] { rotary::kernels::force_instruction_set(best); };
            struct Undo {
              decltype(undo) f;
              ~Undo() { f(); }
            } at_the_end{undo};
            return work(arguments...);
          };
        };
        return Comparison{forced(repeated(rotate)), repeated(scaled(of)), forced(in_place_check(of, rotate)),
                          of->bytes(), of->bytes()};
      });
}
#endif

/// One source, compiled with -O2 and with -O3 -march=native.
template <class X>
void add_builds(Pairing pairing, const Shape& shape) {
  add({std::string("builds/") + name_of(pairing) + "/" + kName<X> + "/in_place/" + shape.name, "plain -O2",
       "-O3 -march=native", at_least(0.95)},
      [=] {
        const auto of = measured_tensor<X>(shape, Order::heads_first, pairing);
        const auto rotates = [of](auto make) {
          return [of, rotation = std::shared_ptr<BuiltRotation>(
                          make(kScalarOf<X>, of->how.pairing == Pairing::half, of->shape))] {
            rotation->rotate(of->x.data());
          };
        };
        const auto plain = rotates(make_rotation_plain), native = rotates(make_rotation_native);
        return Comparison{repeated(plain), repeated(native), in_place_check(of, plain), of->bytes(),
                          of->bytes()};
      });
}

}  // namespace

void bench::register_benchmarks() {
#if ROTARY_VECTOR_EXTENSIONS
  for (const auto& [set, name] :
       {std::pair{InstructionSet::baseline, "baseline"}, std::pair{InstructionSet::avx2, "avx2"},
        std::pair{InstructionSet::avx512, "avx512"}}) {
    for (const Pairing pairing : kPairings) {
      add_forced<float>(set, name, pairing, kCache);
      add_forced<Eigen::half>(set, name, pairing, kCache);
      add_forced<Eigen::bfloat16>(set, name, pairing, kCache);
    }
  }
#endif
  for (const Shape& shape : {kDecode, kCache}) {
    for (const Pairing pairing : kPairings) {
      add_builds<float>(pairing, shape);
      add_builds<Eigen::bfloat16>(pairing, shape);
    }
  }
}
