// Compiled once by each compiler; BENCH_HAND_LOOP is the name of the one visible function. It uses nothing of
// the standard library, whose instances here the linker might use for the whole program.
#include "hand_loops.hpp"

namespace {

using Index = std::int64_t;
using bench::HandTensor;

struct Bfloat16 {
  std::uint16_t bits;
};
using Half = _Float16;

inline float widened(float x) { return x; }
inline double widened(double x) { return x; }
inline float widened(Half x) { return static_cast<float>(x); }
inline float widened(Bfloat16 x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16);
}

inline void store(float& to, float x) { to = x; }
inline void store(double& to, double x) { to = x; }
inline void store(Half& to, float x) { to = static_cast<Half>(x); }
/// Rounds to nearest, ties to even; there are no NaNs here.
inline void store(Bfloat16& to, float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  to.bits = static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

enum class Pairs { interleaved, half, interleaved_to_half };

/// Everything about a loop that the compiler knows.
template <class X_, class Row_, Pairs kPairs_, int kHead_, int kDim_, int kStart_, bool kInPlace_,
          bool kTokensFirst_>
struct Case {
  using X = X_;
  using Row = Row_;
  static constexpr Pairs kPairs = kPairs_;
  static constexpr int kHead = kHead_, kDim = kDim_, kStart = kStart_;
  static constexpr bool kInPlace = kInPlace_, kTokensFirst = kTokensFirst_;
};

template <class C>
[[gnu::always_inline]] inline void rotate_in_place(typename C::X* __restrict x,
                                                   const typename C::Row* __restrict cos,
                                                   const typename C::Row* __restrict sin) {
  using Row = typename C::Row;
  constexpr int kPairs = C::kDim / 2;
  if constexpr (C::kPairs == Pairs::half) {
    for (int i = 0; i < kPairs; ++i) {
      const Row a = widened(x[i]), b = widened(x[i + kPairs]);
      store(x[i], a * cos[i] - b * sin[i]);
      store(x[i + kPairs], b * cos[i] + a * sin[i]);
    }
  } else if constexpr (C::kPairs == Pairs::interleaved) {
    for (int i = 0; i < kPairs; ++i) {
      const Row a = widened(x[2 * i]), b = widened(x[2 * i + 1]);
      store(x[2 * i], a * cos[i] - b * sin[i]);
      store(x[2 * i + 1], b * cos[i] + a * sin[i]);
    }
  } else {
    Row first[kPairs], second[kPairs];
    for (int i = 0; i < kPairs; ++i) {
      const Row a = widened(x[2 * i]), b = widened(x[2 * i + 1]);
      first[i] = a * cos[i] - b * sin[i];
      second[i] = b * cos[i] + a * sin[i];
    }
    for (int i = 0; i < kPairs; ++i) store(x[i], first[i]);
    for (int i = 0; i < kPairs; ++i) store(x[i + kPairs], second[i]);
  }
}

template <class C>
[[gnu::always_inline]] inline void rotate_into(const typename C::X* __restrict x, typename C::X* __restrict y,
                                               const typename C::Row* __restrict cos,
                                               const typename C::Row* __restrict sin) {
  using Row = typename C::Row;
  constexpr int kPairs = C::kDim / 2;
  constexpr bool kReadsHalf = C::kPairs == Pairs::half, kWritesHalf = C::kPairs != Pairs::interleaved;
  constexpr int kIn = kReadsHalf ? 1 : 2, kInSecond = kReadsHalf ? kPairs : 1;
  constexpr int kOut = kWritesHalf ? 1 : 2, kOutSecond = kWritesHalf ? kPairs : 1;
  for (int i = 0; i < C::kStart; ++i) y[i] = x[i];
  x += C::kStart, y += C::kStart;
  for (int i = 0; i < kPairs; ++i) {
    const Row a = widened(x[kIn * i]), b = widened(x[kIn * i + kInSecond]);
    store(y[kOut * i], a * cos[i] - b * sin[i]);
    store(y[kOut * i + kOutSecond], b * cos[i] + a * sin[i]);
  }
  for (int i = C::kDim; i < C::kHead - C::kStart; ++i) y[i] = x[i];
}

template <class C>
[[gnu::always_inline]] inline void rotate_head(const HandTensor& of, Index at, Index row) {
  using X = typename C::X;
  using Row = typename C::Row;
  const Row* const cos = static_cast<const Row*>(of.cos) + row * (C::kDim / 2);
  const Row* const sin = static_cast<const Row*>(of.sin) + row * (C::kDim / 2);
  if constexpr (C::kInPlace) {
    rotate_in_place<C>(static_cast<X*>(of.out) + at + C::kStart, cos, sin);
  } else {
    rotate_into<C>(static_cast<const X*>(of.in) + at, static_cast<X*>(of.out) + at, cos, sin);
  }
}

template <class C>
void loop(const HandTensor& of) {
  const Index outer = C::kTokensFirst ? of.seq : of.heads, inner = C::kTokensFirst ? of.heads : of.seq;
  Index at = 0;
  for (Index b = 0; b < of.batch; ++b) {
    const Index first = of.first_rows ? of.first_rows[b] : 0;
    for (Index o = 0; o < outer; ++o)
      for (Index i = 0; i < inner; ++i, at += C::kHead)
        rotate_head<C>(of, at, first + (C::kTokensFirst ? o : i));
  }
}

template <class X, class Row, Pairs kPairs, int kHead, int kDim, int kStart>
bench::HandLoop of_places(const bench::HandCase& of) {
  if (of.in_place)
    return of.tokens_first ? loop<Case<X, Row, kPairs, kHead, kDim, kStart, true, true>>
                           : loop<Case<X, Row, kPairs, kHead, kDim, kStart, true, false>>;
  return of.tokens_first ? loop<Case<X, Row, kPairs, kHead, kDim, kStart, false, true>>
                         : loop<Case<X, Row, kPairs, kHead, kDim, kStart, false, false>>;
}

template <class X, class Row, Pairs kPairs>
bench::HandLoop of_sizes(const bench::HandCase& of) {
  const auto is = [&](int head, int dim, int start) {
    return of.head_dim == head && of.rotary_dim == dim && of.start == start;
  };
  if (is(192, 64, 128)) return of_places<X, Row, kPairs, 192, 64, 128>(of);
  if constexpr (kPairs != Pairs::interleaved_to_half) {
    if (is(64, 64, 0)) return of_places<X, Row, kPairs, 64, 64, 0>(of);
    if (is(128, 128, 0)) return of_places<X, Row, kPairs, 128, 128, 0>(of);
    if (is(128, 64, 0)) return of_places<X, Row, kPairs, 128, 64, 0>(of);
  }
  return nullptr;
}

template <class X, class Row>
bench::HandLoop of_pairs(const bench::HandCase& of) {
  if (of.half_pairs) return of_sizes<X, Row, Pairs::half>(of);
  if (of.writes_half) return of_sizes<X, Row, Pairs::interleaved_to_half>(of);
  return of_sizes<X, Row, Pairs::interleaved>(of);
}

}  // namespace

bench::HandLoop bench::BENCH_HAND_LOOP(const HandCase& of) {
  switch (of.scalar) {
    case HandScalar::float32:
      return of_pairs<float, float>(of);
    case HandScalar::float64:
      return of_pairs<double, double>(of);
    case HandScalar::half:
      return of_pairs<Half, float>(of);
    case HandScalar::bfloat16:
      return of_pairs<Bfloat16, float>(of);
  }
  return nullptr;
}
