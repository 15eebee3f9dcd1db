// Other rounding modes than to nearest, which a program may have set: results are a rounding away, and nothing that
// rests on rounding, such as the reduction of angles, goes astray.
#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <functional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/kernels/testing.hpp>
#include <rotary/rotary.hpp>

#include "support/compiled_kernels.hpp"

namespace rotary::testing {
namespace {

/// What call() computes in another mode.
template <class Call>
auto in_mode(int mode, const Call& call) {
  std::fesetround(mode);
  auto result = call();
  std::fesetround(FE_TONEAREST);
  return result;
}

void in_every_mode(const std::function<void(int)>& check) {
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    SCOPED_TRACE(::testing::Message() << "rounding mode " << mode);
#if ROTARY_VECTOR_EXTENSIONS
    using kernels::InstructionSet;
    for (const auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
      SCOPED_TRACE(::testing::Message() << "instruction set " << static_cast<int>(set));
      kernels::force_instruction_set(set);
      check(mode);
    }
#else
    check(mode);
#endif
  }
}

template <class T>
void expect_rows_near(const CosSinTable<T>& found, const CosSinTable<T>& wanted, double bound) {
  ASSERT_EQ(found.rows(), wanted.rows());
  for (Index n = 0; n < found.rows(); ++n)
    for (Index i = 0; i < found.pairs(); ++i) {
      ASSERT_NEAR(static_cast<double>(found.cos(n, i)), static_cast<double>(wanted.cos(n, i)), bound)
          << n << ", " << i;
      ASSERT_NEAR(static_cast<double>(found.sin(n, i)), static_cast<double>(wanted.sin(n, i)), bound)
          << n << ", " << i;
    }
}

TEST(RoundingModes, RowsAreARoundingAway) {
  in_every_mode([](int mode) {
    const std::vector<double> places = {0.5, -1e6, 131071.25, 3};
    const auto rows_of = [&]<class T>(T, const Positions& positions) {
      return CosSinTable<T>(language_frequencies(74), positions);
    };
    for (const Positions& positions : {Positions::consecutive(40, 100000), Positions::listed(places),
                                       Positions::consecutive(5, std::int64_t{1} << 40)}) {
      expect_rows_near(in_mode(mode, [&] { return rows_of(1.0f, positions); }), rows_of(1.0f, positions),
                       1.2e-7);
      expect_rows_near(in_mode(mode, [&] { return rows_of(1.0, positions); }), rows_of(1.0, positions),
                       2e-15);
    }
  });
}

// The number of quarter turns was found by rounding: to a whole one too many, or too few.
TEST(RoundingModes, AnglesAreReduced) {
  in_every_mode([](int mode) {
    for (int n = -200; n < 200; ++n) {
      Tensor<float, 2> angles(1, 8), x(1, 8);
      Tensor<double, 2> wide(1, 8);
      for (Index j = 0; j < 8; ++j) {
        angles(0, j) = static_cast<float>(37.77 * n) + static_cast<float>(j / 2) * 0.4f;
        wide(0, j) = static_cast<double>(angles(0, j));
        x(0, j) = j % 2 == 0 ? 1.0f : 0.0f;
      }
      const Tensor<float, 2> rotated = in_mode(mode, [&] { return apply_rotary_emb(angles, x); });
      const Tensor<float, 2> by_wide = in_mode(mode, [&] { return apply_rotary_emb(wide, x); });
      for (Index j = 0; j < 8; ++j) {
        const double exact = j % 2 == 0 ? std::cos(wide(0, j)) : std::sin(wide(0, j));
        ASSERT_NEAR(static_cast<double>(rotated(0, j)), exact, 2.4e-7) << wide(0, j);
        ASSERT_NEAR(static_cast<double>(by_wide(0, j)), exact, 2.4e-7) << wide(0, j);
      }
    }
  });
}

TEST(RoundingModes, RotationsAreARoundingAway) {
  in_every_mode([](int mode) {
    const auto rotate = [&]<class X>(X) {
      const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 38});
      Tensor<X, 3> x(2, 5, 43);
      for (Index n = 0; n < x.size(); ++n) x.data()[n] = X(static_cast<float>(n % 61 - 30) / 16);
      rotary_emb.rotate_in_place(x, 1000);
      return x;
    };
    const auto compare = [&](auto scalar, double bound) {
      const auto found = in_mode(mode, [&] { return rotate(scalar); }), wanted = rotate(scalar);
      for (Index n = 0; n < found.size(); ++n)
        ASSERT_NEAR(static_cast<double>(found.data()[n]), static_cast<double>(wanted.data()[n]), bound) << n;
    };
    compare(1.0f, 1e-6);
    compare(Eigen::half(1.0f), 0x1p-9);
    compare(Eigen::bfloat16(1.0f), 0x1p-6);
  });
}

TEST(RoundingModes, FrequenciesAreTheSame) {
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    const auto make = [] {
      return yarn_frequencies(128, 1e6, {.factor = 4, .original_max_position_embeddings = 32768});
    };
    const Frequencies found = in_mode(mode, make), wanted = make();
    for (std::size_t n = 0; n < wanted.values.size(); ++n) {
      const DoubleDouble difference = found.values[n] - wanted.values[n];
      EXPECT_LE(std::fabs(difference.hi), 1e-28 * wanted.values[n].hi) << n;
    }
    EXPECT_NEAR(found.magnitude, wanted.magnitude, 1e-15);
  }
}

}  // namespace
}  // namespace rotary::testing
