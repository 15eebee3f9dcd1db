#include "yardsticks.hpp"

#include <benchmark/benchmark.h>

#include <cstring>

#include <rotary/kernels/simd.hpp>

namespace bench {
namespace {

#if ROTARY_VECTOR_EXTENSIONS

namespace kernels = rotary::kernels;

template <class X>
struct Scale {
  using A = rotary::detail::Arithmetic<X, float>;

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(X* x, Index size, A a) {
    constexpr int kLanes = kernels::kLanes<Isa, A>, kSteps = 8;
    using V = kernels::Vector<A, kLanes>;
    const V factor = V{} + a;
    const X* const end = x + size;
    for (; end - x >= kSteps * kLanes; x += kSteps * kLanes) {
      V v[kSteps];
      kernels::unrolled<kSteps>([&](auto k)
                                    ROTARY_INLINE_LAMBDA { kernels::load<Isa>(x + k * kLanes, v[k]); });
      kernels::unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
        v[k] = v[k] * factor;
        kernels::store<Isa>(x + k * kLanes, v[k]);
      });
    }
    for (; x != end; ++x) *x = static_cast<X>(static_cast<A>(*x) * a);
  }
};

template <class X>
void scale_by(X* x, Index size, typename Scale<X>::A a) {
  kernels::compiled<Scale<X>, X*, Index, typename Scale<X>::A>()(x, size, a);
}

#else

template <class X>
void scale_by(X* x, Index size, rotary::detail::Arithmetic<X, float> a) {
  for (Index i = 0; i < size; ++i) x[i] = static_cast<X>(static_cast<decltype(a)>(x[i]) * a);
}

#endif

}  // namespace

template <class X>
void scale(X* x, Index size) {
  rotary::detail::Arithmetic<X, float> a = 1;
  benchmark::DoNotOptimize(a);
  scale_by(x, size, a);
}
template void scale(float*, Index);
template void scale(double*, Index);
template void scale(Eigen::half*, Index);
template void scale(Eigen::bfloat16*, Index);

void scale_as_float(void* x, std::size_t bytes) {
  scale(static_cast<float*>(x), static_cast<Index>(bytes / sizeof(float)));
}

void copy(const void* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }

}  // namespace bench
