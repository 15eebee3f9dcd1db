#include "baselines.hpp"

#include <cstdint>
#include <cstring>

#include <rotary/kernels/bfloat16_words.hpp>
#include <rotary/kernels/rotate.hpp>
#include <rotary/kernels/testing.hpp>

namespace bench {
namespace {

/// 1, hidden from the optimiser. (Google Benchmark's DoNotOptimize changed it to another number.)
template <class A>
A one() {
  volatile A value = 1;
  return value;
}

template <class X>
struct Windows {
  X* x;
  Index count, step, length;
  X a;
};

namespace kernels = rotary::kernels;

#if ROTARY_VECTOR_EXTENSIONS

/// S. With `kAhead` it prefetches 4 KiB ahead, which makes it a sixth faster in memory on Intel's cores,
/// where the library prefetches too.
template <class X, bool kAhead = false>
struct Scale {
  using A = rotary::detail::Arithmetic<X, float>;

  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(X* x, Index size, A a) {
    constexpr int kLanes = kernels::kLanes<Isa, A>, kSteps = 8;
    using V = kernels::Vector<A, kLanes>;
    const V factor = V{} + a;
    const X* const end = x + size;
    for (; end - x >= kSteps * kLanes; x += kSteps * kLanes) {
      if constexpr (kAhead)
        kernels::unrolled<kSteps * kLanes* static_cast<int>(sizeof(X)) / 64>(
            [&](auto line) ROTARY_INLINE_LAMBDA {
              __builtin_prefetch(
                  reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(x) + 4096 + 64 * line));
            });
      V v[kSteps];
      if constexpr (std::is_same_v<X, Eigen::bfloat16>) {  // two to a 32-bit word
        kernels::unrolled<kSteps / 2>([&](auto k) ROTARY_INLINE_LAMBDA {
          kernels::load_packed(x + 2 * k * kLanes, v[2 * k], v[2 * k + 1]);
          v[2 * k] = v[2 * k] * factor, v[2 * k + 1] = v[2 * k + 1] * factor;
          kernels::store_packed<Isa, false>(x + 2 * k * kLanes, v[2 * k], v[2 * k + 1]);
        });
      } else {
        kernels::unrolled<kSteps>([&](auto k)
                                      ROTARY_INLINE_LAMBDA { kernels::load<Isa>(x + k * kLanes, v[k]); });
        kernels::unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
          v[k] = v[k] * factor;
          kernels::store<Isa>(x + k * kLanes, v[k]);
        });
      }
    }
    for (; end - x >= kLanes; x += kLanes) {
      V v;
      kernels::load<Isa>(x, v);
      v = v * factor;
      kernels::store<Isa>(x, v);
    }
    for (; x != end; ++x) *x = static_cast<X>(static_cast<A>(*x) * a);
  }
};

template <class X>
void scale_by(X* x, Index size, typename Scale<X>::A a) {
  using A = typename Scale<X>::A;
  constexpr Index kCachedBytes = Index{8} << 20;  // larger tensors count as in memory
  const bool ahead = kernels::machine().vendor == kernels::CpuVendor::intel &&
                     size * static_cast<Index>(sizeof(X)) > kCachedBytes;
  const auto scale =
      ahead ? kernels::compiled<Scale<X, true>, X*, Index, A>() : kernels::compiled<Scale<X>, X*, Index, A>();
  scale(x, size, a);
}

template <class X>
struct ScaleWindows {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const Windows<X>* of_) {
    const Windows<X> of = *of_;
    for (Index n = 0; n < of.count; ++n) Scale<X>::template run<Isa>(of.x + n * of.step, of.length, of.a);
  }
};

template <class X>
void scale_windows_by(const Windows<X>& of) {
  kernels::compiled<ScaleWindows<X>, const Windows<X>*>()(&of);
}

struct MultiplyByRows {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const float* from, float* to, const float* rows, Index tokens,
                                       Index heads, Index length) {
    for (; tokens > 0; --tokens, rows += length)
      for (Index head = 0; head < heads; ++head, from += length, to += length)
        multiply<Isa>(from, to, rows, length);
  }

 private:
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void multiply(const float* from, float* to, const float* row, Index size) {
    constexpr int kLanes = kernels::kLanes<Isa, float>, kSteps = 4;
    using V = kernels::Vector<float, kLanes>;
    Index n = 0;
    for (; n + kSteps * kLanes <= size; n += kSteps * kLanes) {
      V v[kSteps], w[kSteps];
      kernels::unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
        kernels::load<Isa>(from + n + k * kLanes, v[k]);
        kernels::load<Isa>(row + n + k * kLanes, w[k]);
      });
      kernels::unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
        v[k] = v[k] * w[k];
        kernels::store<Isa>(to + n + k * kLanes, v[k]);
      });
    }
    for (; n < size; ++n) to[n] = from[n] * row[n];
  }
};

void multiply_with_registers(const float* from, float* to, const float* rows, Index tokens, Index heads,
                             Index length) {
  kernels::compiled<MultiplyByRows, const float*, float*, const float*, Index, Index, Index>()(
      from, to, rows, tokens, heads, length);
}

template <bool kStream>
struct Copy {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const float* from, float* to, Index size) {
    constexpr int kLanes = kernels::kLanes<Isa, float>, kSteps = 8;
    using V = kernels::Vector<float, kLanes>;
    Index n = 0;
    for (; n + kSteps * kLanes <= size; n += kSteps * kLanes) {
      V v[kSteps];
      kernels::unrolled<kSteps>(
          [&](auto k) ROTARY_INLINE_LAMBDA { kernels::load<Isa>(from + n + k * kLanes, v[k]); });
      kernels::unrolled<kSteps>(
          [&](auto k) ROTARY_INLINE_LAMBDA { kernels::put<Isa, kStream>(to + n + k * kLanes, v[k]); });
    }
    for (; n < size; ++n) to[n] = from[n];
    if constexpr (kStream) kernels::store_fence();
  }
};

template <bool kStream>
void copy_with_registers(const float* from, float* to, Index size) {
  kernels::compiled<Copy<kStream>, const float*, float*, Index>()(from, to, size);
}

template <class X, rotary::Pairing kPairing>
struct RotateByOneRow {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(X* x, Index size, X of_cos) {
    constexpr int kLanes = kernels::kLanes<Isa, X>, kSteps = 4;
    using V = kernels::Vector<X, kLanes>;
    V cos = V{} + of_cos, sin = cos - 1;
    Index n = 0;
    for (; n + 2 * kSteps * kLanes <= size; n += 2 * kSteps * kLanes) {
      kernels::unrolled<kSteps>([&](auto k) ROTARY_INLINE_LAMBDA {
        X* const first = x + n + k * kLanes;
        X* const second = first + kSteps * kLanes;
        V a, b;
        kernels::load<Isa>(first, a);
        kernels::load<Isa>(second, b);
        if constexpr (kPairing == rotary::Pairing::half) {
          kernels::rotate_pairs<Isa>(a, b, cos, sin);
        } else {
          rotate_interleaved<Isa>(a, cos, sin);
          rotate_interleaved<Isa>(b, cos, sin);
        }
        kernels::store<Isa>(first, a);
        kernels::store<Isa>(second, b);
      });
    }
  }

 private:
  template <class Isa, class V>
  ROTARY_ALWAYS_INLINE static void rotate_interleaved(V& v, const V& cos, const V& sin) {
    V rotated;
    kernels::keep_in_register<Isa>(v);
    kernels::swap_adjacent(v, rotated);
    rotated = rotated * sin;
    kernels::multiply_alternate<Isa>(v, cos, rotated);
    v = rotated;
  }
};

template <class X>
void rotate_with_registers(X* x, Index size, rotary::Pairing pairing) {
  using rotary::Pairing;
  const auto rotate = pairing == Pairing::half
                          ? kernels::compiled<RotateByOneRow<X, Pairing::half>, X*, Index, X>()
                          : kernels::compiled<RotateByOneRow<X, Pairing::interleaved>, X*, Index, X>();
  rotate(x, size, one<X>());
}

#else

template <class X>
void scale_by(X* x, Index size, rotary::detail::Arithmetic<X, float> a) {
  for (Index i = 0; i < size; ++i) x[i] = static_cast<X>(static_cast<decltype(a)>(x[i]) * a);
}

template <class X>
void scale_windows_by(const Windows<X>& of) {
  for (Index n = 0; n < of.count; ++n) scale_by(of.x + n * of.step, of.length, of.a);
}

void multiply_with_registers(const float* from, float* to, const float* rows, Index tokens, Index heads,
                             Index length) {
  for (Index n = 0; n < tokens * heads * length; ++n)
    to[n] = from[n] * rows[n / (heads * length) * length + n % length];
}

template <bool>
void copy_with_registers(const float* from, float* to, Index size) {
  for (Index n = 0; n < size; ++n) to[n] = from[n];
}

template <class X>
void rotate_with_registers(X* x, Index size, rotary::Pairing) {
  const X cos = one<X>(), sin = cos - 1;
  for (Index i = 0; i + 1 < size; i += 2) {
    const X a = x[i], b = x[i + 1];
    x[i] = kernels::rotated(a, b, cos, sin);
    x[i + 1] = kernels::rotated(b, a, cos, -sin);
  }
}

#endif

}  // namespace

template <class X>
void scale(X* x, Index size) {
  scale_by(x, size, one<rotary::detail::Arithmetic<X, float>>());
}
template void scale(float*, Index);
template void scale(double*, Index);
template void scale(Eigen::half*, Index);
template void scale(Eigen::bfloat16*, Index);

void scale_as_float(void* x, std::size_t bytes) {
  scale(static_cast<float*>(x), static_cast<Index>(bytes / sizeof(float)));
}

template <class X>
void scale_windows(X* x, Index windows, Index step, Index length) {
  scale_windows_by(Windows<X>{x, windows, step, length, one<X>()});
}
template void scale_windows(float*, Index, Index, Index);
template void scale_windows(double*, Index, Index, Index);

void multiply_by_rows(const float* from, float* to, const float* rows, Index tokens, Index heads,
                      Index length) {
  multiply_with_registers(from, to, rows, tokens, heads, length);
}

void copy(const void* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }

void copy_by_vectors(const float* from, float* to, Index size) { copy_with_registers<false>(from, to, size); }
void copy_nontemporal(const float* from, float* to, Index size) { copy_with_registers<true>(from, to, size); }

template <class X>
void rotate_by_one_row(X* x, Index size, rotary::Pairing pairing) {
  rotate_with_registers(x, size, pairing);
}
template void rotate_by_one_row(float*, Index, rotary::Pairing);
template void rotate_by_one_row(double*, Index, rotary::Pairing);

}  // namespace bench
