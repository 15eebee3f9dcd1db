// Rows in a program compiled with -ffast-math, which CMakeLists.txt sees to: the same bits as without.
#include <gtest/gtest.h>

#include <cmath>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/cos_sin_table.hpp>
#include <vector>

#include "support/instruction_sets.hpp"
#include "support/row_digests.hpp"

#if !defined(__FAST_MATH__) && !defined(_MSC_VER)
#error "compile this file with -ffast-math"
#endif

namespace rotary {
namespace {

using testing::with_every_instruction_set;

TEST(FastMath, RowsAreTheSameBits) {
  with_every_instruction_set([] {
    EXPECT_EQ(testing::digest_of_rows<double>(), testing::kDigestOfDoubleRows);
    EXPECT_EQ(testing::digest_of_rows<float>(), testing::kDigestOfFloatRows);
#if ROTARY_VECTOR_EXTENSIONS
    EXPECT_EQ(testing::digest_of_angles(), testing::kDigestOfAngles);
#endif
  });
}

// -ffast-math once took the range reduction apart: cosines were wrong by 0.7.
TEST(FastMath, AnglesAreReduced) {
  with_every_instruction_set([] {
    for (int n = 0; n < 200; ++n) {
      Eigen::Tensor<float, 2, Eigen::RowMajor> angles(1, 8), x(1, 8);
      for (Index j = 0; j < 8; ++j) {
        angles(0, j) = static_cast<float>(37.77 * n);
        x(0, j) = j % 2 == 0 ? 1.0f : 0.0f;
      }
      const Eigen::Tensor<float, 2, Eigen::RowMajor> rotated = apply_rotary_emb(angles, x);
      for (Index j = 0; j < 8; ++j) {
        const auto angle = static_cast<double>(angles(0, j));
        EXPECT_NEAR(static_cast<double>(rotated(0, j)), j % 2 == 0 ? std::cos(angle) : std::sin(angle), 6e-8)
            << angle;
      }
    }
  });
}

/// (1 + u)(1 − u) − 1 = −u², which two operations round to 0.
template <class A>
void expect_fused(A u) {
  const volatile A a = 1 + u, cos = 1 - u, one = 1;
  EXPECT_EQ(kernels::rotated<A>(a, one, cos, one), -u * u);
}

TEST(FastMath, TheReferenceIsFused) {
  expect_fused<float>(0x1p-13f);
  expect_fused<double>(0x1p-27);
}

TEST(FastMath, TablesAreRight) {
  with_every_instruction_set([] {
    const CosSinTable<float> of_float(language_frequencies(128), Positions::consecutive(300, 100000));
    const CosSinTable<double> of_double(language_frequencies(128), Positions::consecutive(300, 100000));
    for (Index n = 0; n < 300; ++n) {
      for (Index i = 0; i < 64; ++i) {
        EXPECT_NEAR(static_cast<double>(of_float.cos(n, i)), of_double.cos(n, i), 3.1e-8);
        EXPECT_NEAR(static_cast<double>(of_float.sin(n, i)), of_double.sin(n, i), 3.1e-8);
      }
    }
  });
}

}  // namespace
}  // namespace rotary
