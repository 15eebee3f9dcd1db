// Bytes per second against the size of the tensor, with the baselines: the picture that bench/run.sh draws.
#include "support/measured_tensor.hpp"

namespace {

using namespace bench;

std::string size_name(Index bytes) {
  return bytes < 1024 * 1024 ? std::to_string(bytes / 1024) + "KiB"
                             : std::to_string(bytes / (1024 * 1024)) + "MiB";
}

/// Pairs of halves in float, 64 features, up to 1024 positions and then more heads.
Shape shape_of(Index bytes) {
  constexpr Index kDim = 64;
  const Index tokens = bytes / (kDim * static_cast<Index>(sizeof(float))),
              seq = std::min<Index>(tokens, 1024);
  return {"", 1, tokens / seq, seq, kDim, 0};
}

void add_size(Index bytes) {
  add({"sweep/half/float/in_place/" + size_name(bytes), "sizes, in place", "x *= a", no_goal()}, [=] {
    const auto of = measured_tensor<float>(shape_of(bytes), Order::heads_first, Pairing::half);
    auto rotate = in_place(of);
    return Comparison{repeated(rotate), repeated(scaled(of)), in_place_check(of, rotate), of->bytes(),
                      of->bytes()};
  });
  add({"sweep/half/float/out_of_place/" + size_name(bytes), "sizes, out of place", "memcpy", no_goal()}, [=] {
    const auto of = measured_tensor<float>(shape_of(bytes), Order::heads_first, Pairing::half);
    const auto to = std::make_shared<Buffer<float>>(of->x.size());
    auto rotate = [of, in = of->map(), out = of->map(*to)]() mutable { of->rotary_emb.rotate_into(in, out); };
    const auto check = [of, to, rotate]() mutable {
      rotate();
      return difference(*to, of->expected());
    };
    return Comparison{repeated(rotate), repeated([of, to] { copy(of->x.data(), to->data(), to->bytes()); }),
                      check, of->bytes(), of->bytes()};
  });
}

}  // namespace

void bench::register_benchmarks() {
  constexpr Index kKiB = 1024, kMiB = 1024 * kKiB;
  const Index last = settings().smoke ? 32 * kKiB : settings().quick ? 32 * kMiB : 256 * kMiB;
  for (Index bytes = 8 * kKiB; bytes <= last; bytes *= 2) add_size(bytes);
}
