// The emulated multiply-add against std::fma, bit for bit, in every lane.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <rotary/kernels/fused.hpp>
#include <rotary/kernels/simd_memory.hpp>
#include <rotary/kernels/testing.hpp>
#include <string>
#include <vector>

#include "support/random.hpp"

#if ROTARY_VECTOR_EXTENSIONS

namespace {

using namespace rotary;
using rotary::testing::Random;

template <class T>
using Word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
struct Format;
template <>
struct Format<float> {
  static constexpr int kDigits = 24, kLeast = -149, kMost = 127;
};
template <>
struct Format<double> {
  static constexpr int kDigits = 53, kLeast = -1074, kMost = 1023;
};

/// Equal, telling 0 from −0; which NaN it is does not matter.
template <class T>
bool same(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<Word<T>>(a) == std::bit_cast<Word<T>>(b);
}

struct Numbers {
  template <class T>
  static T of_bits(Random& random) {
    return std::bit_cast<T>(static_cast<Word<T>>(random.bits()));
  }
  /// Few significant bits, so that sums are exact or half way between two numbers.
  template <class T>
  static T short_one(Random& random) {
    const int bits = random.integer(1, Format<T>::kDigits);
    const auto size = static_cast<double>(random.bits() >> (64 - bits));
    return static_cast<T>(std::ldexp(random.pick({-1.0, 1.0}) * size, random.integer(-60, 20)));
  }
};

/// a·b + c for a register of each, by the emulation.
template <class T>
struct Fused {
  static constexpr int kCount = kernels::kLanes<kernels::Baseline, T>;
  static constexpr std::size_t kSize = kCount;
  T a[kSize], b[kSize], c[kSize];
  int filled = 0;
  std::size_t checked = 0;

  void check(T x, T y, T z) {
    a[filled] = x, b[filled] = y, c[filled] = z;
    if (++filled == kCount) finish();
  }
  void finish() {
    kernels::Vector<T, kCount> va, vb, vc;
    kernels::load_bits(a, va), kernels::load_bits(b, vb), kernels::load_bits(c, vc);
    kernels::emulated_multiply_add<kernels::Baseline>(va, vb, vc);
    for (int lane = 0; lane < filled; ++lane, ++checked) {
      const T found = vc[lane], wanted = std::fma(a[lane], b[lane], c[lane]);
      ASSERT_TRUE(same(found, wanted)) << std::hexfloat << a[lane] << " * " << b[lane] << " + " << c[lane]
                                       << " is " << wanted << ", found " << found << ", lane " << lane;
    }
    filled = 0;
  }
};

template <class T>
class EmulatedFused : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(EmulatedFused, Scalars);

constexpr int kDraws = 400'000;

TYPED_TEST(EmulatedFused, IsRightForNumbersAsTheyAreRotated) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  Fused<TypeParam> fused;
  for (int n = 0; n < kDraws && !this->HasFatalFailure(); ++n)
    fused.check(static_cast<TypeParam>(random.normal()), static_cast<TypeParam>(random.uniform(-1, 1)),
                static_cast<TypeParam>(random.normal()));
}

TYPED_TEST(EmulatedFused, IsRightForAnyBits) {
  Random random(2);
  SCOPED_TRACE(random.replay());
  Fused<TypeParam> fused;
  for (int n = 0; n < kDraws && !this->HasFatalFailure(); ++n)
    fused.check(Numbers::of_bits<TypeParam>(random), Numbers::of_bits<TypeParam>(random),
                Numbers::of_bits<TypeParam>(random));
}

TYPED_TEST(EmulatedFused, IsRightWhereTermsCancelOrMeetAtAnyDistance) {
  Random random(3);
  SCOPED_TRACE(random.replay());
  Fused<TypeParam> fused;
  for (int n = 0; n < kDraws && !this->HasFatalFailure(); ++n) {
    // Anywhere in the range of the format, near its ends too.
    const int size = random.integer(Format<TypeParam>::kLeast, Format<TypeParam>::kMost);
    const int part = random.integer(std::max(size - 200, Format<TypeParam>::kLeast),
                                    std::min(size + 200, Format<TypeParam>::kMost));
    const auto a = static_cast<TypeParam>(std::ldexp(random.uniform(1, 2), part)),
               b = static_cast<TypeParam>(std::ldexp(random.uniform(-2, 2), size - part));
    TypeParam c = -(a * b);
    if (random.integer(0, 2) == 0)
      c = std::ldexp(c, random.integer(-2 * Format<TypeParam>::kDigits, 2 * Format<TypeParam>::kDigits));
    auto bits = std::bit_cast<Word<TypeParam>>(c);
    if (random.integer(0, 1)) bits += static_cast<Word<TypeParam>>(random.integer(-3, 3));
    fused.check(a, b, std::bit_cast<TypeParam>(bits));
  }
}

TYPED_TEST(EmulatedFused, IsRightHalfWayBetweenNumbers) {
  Random random(4);
  SCOPED_TRACE(random.replay());
  Fused<TypeParam> fused;
  for (int n = 0; n < kDraws && !this->HasFatalFailure(); ++n) {
    const auto a = Numbers::short_one<TypeParam>(random), b = Numbers::short_one<TypeParam>(random),
               c = Numbers::short_one<TypeParam>(random);
    fused.check(a, b, c);
    // Half a unit in the last place of 1 to 2, and a little more or less of it than nothing.
    const auto one = static_cast<TypeParam>(random.pick({-1.0, 1.0}) * random.uniform(1, 2));
    const auto half = std::ldexp(TypeParam(1), -Format<TypeParam>::kDigits);
    const auto root = std::ldexp(TypeParam(1), -random.integer(0, Format<TypeParam>::kDigits));
    const auto unit = std::numeric_limits<TypeParam>::epsilon();
    for (const TypeParam x : {root, root * (1 + unit), root * (1 - unit)})
      fused.check(x, random.pick({TypeParam(-1), TypeParam(1)}) * (half / root), one);
  }
}

// Where the result is subnormal, half a unit is the same for all numbers.
TYPED_TEST(EmulatedFused, IsRightHalfWayBetweenSubnormalNumbers) {
  using Limits = std::numeric_limits<TypeParam>;
  Random random(7);
  SCOPED_TRACE(random.replay());
  Fused<TypeParam> fused;
  for (int n = 0; n < kDraws / 4 && !this->HasFatalFailure(); ++n) {
    const auto c = static_cast<TypeParam>(random.uniform(-1, 1)) * Limits::min();
    const int part = random.integer(Format<TypeParam>::kLeast / 2 - 20, Format<TypeParam>::kLeast / 2 + 20);
    const auto half = std::ldexp(TypeParam(1), Format<TypeParam>::kLeast - 1 - part);
    const auto nearly =
        random.pick({1 - Limits::epsilon(), 1 - Limits::epsilon() / 2, TypeParam(1), 1 + Limits::epsilon()});
    const auto other = random.pick({1 - Limits::epsilon(), TypeParam(1), 1 + Limits::epsilon()});
    fused.check(std::ldexp(nearly, part), random.pick({half, -half}) * other, c);
  }
}

TYPED_TEST(EmulatedFused, IsRightForSpecialNumbersInEveryLane) {
  using Limits = std::numeric_limits<TypeParam>;
  std::vector<TypeParam> special;
  for (const TypeParam x :
       {TypeParam(0), TypeParam(1), TypeParam(3), 1 - Limits::epsilon() / 2, 1 + Limits::epsilon(),
        Limits::denorm_min(), 3 * Limits::denorm_min(), Limits::min(), Limits::min() - Limits::denorm_min(),
        std::sqrt(Limits::min()), std::ldexp(Limits::min(), Format<TypeParam>::kDigits), Limits::max(),
        Limits::max() / 2, std::sqrt(Limits::max()), Limits::infinity(), Limits::quiet_NaN()}) {
    special.push_back(x);
    special.push_back(-x);
  }
  Random random(5);
  SCOPED_TRACE(random.replay());
  Fused<TypeParam> fused;
  for (const TypeParam a : special)
    for (const TypeParam b : special)
      for (const TypeParam c : special) {
        // Alone among ordinary numbers, in every lane.
        for (int lane = 0; lane < fused.kCount; ++lane) {
          for (int other = 0; other < lane; ++other)
            fused.check(TypeParam(0.3), TypeParam(0.7), TypeParam(-0.21));
          fused.check(a, b, c);
          while (fused.filled != 0) fused.check(TypeParam(0.3), TypeParam(0.7), TypeParam(-0.21));
          if (this->HasFatalFailure()) return;
        }
      }
}

/// What the kernels call is the fused operation, with every instruction set.
template <class T>
struct MultiplyAdd {
  template <class Isa>
  ROTARY_ALWAYS_INLINE static void run(const T* a, const T* b, T* sums, T* differences) {
    constexpr int kCount = kernels::kLanes<kernels::Baseline, T>;
    kernels::Vector<T, kCount> va, vb, sum, difference;
    kernels::load_bits(a, va), kernels::load_bits(b, vb);
    kernels::load_bits(sums, sum), kernels::load_bits(differences, difference);
    kernels::multiply_add<Isa>(va, vb, sum);
    kernels::multiply_subtract<Isa>(va, vb, difference);
    kernels::store_bits(sums, sum), kernels::store_bits(differences, difference);
  }
};

TYPED_TEST(EmulatedFused, IsWhatTheKernelsCallWithoutAnother) {
  using kernels::InstructionSet;
  constexpr int kCount = kernels::kLanes<kernels::Baseline, TypeParam>;
  constexpr std::size_t kSize = kCount;
  Random random(6);
  SCOPED_TRACE(random.replay());
  for (const auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    kernels::force_instruction_set(set);
    for (int n = 0; n < 1000; ++n) {
      TypeParam a[kSize], b[kSize], sums[kSize], differences[kSize], c[kSize];
      for (int lane = 0; lane < kCount; ++lane) {
        a[lane] = static_cast<TypeParam>(random.normal()), b[lane] = static_cast<TypeParam>(random.normal());
        c[lane] = sums[lane] = differences[lane] = static_cast<TypeParam>(random.normal());
      }
      kernels::compiled<MultiplyAdd<TypeParam>, const TypeParam*, const TypeParam*, TypeParam*, TypeParam*>()(
          a, b, sums, differences);
      for (int lane = 0; lane < kCount; ++lane) {
        ASSERT_TRUE(same(sums[lane], std::fma(a[lane], b[lane], c[lane])));
        ASSERT_TRUE(same(differences[lane], std::fma(a[lane], b[lane], -c[lane])));
      }
    }
  }
  kernels::force_instruction_set(InstructionSet::avx512);
}

}  // namespace

#endif  // ROTARY_VECTOR_EXTENSIONS
