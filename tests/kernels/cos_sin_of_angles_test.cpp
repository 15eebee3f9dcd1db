// Rows from given angles: as exact as rows from positions, in vectors and where these do not serve.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <rotary/kernels/cos_sin_of_angles.hpp>
#include <vector>

#include "support/instruction_sets.hpp"
#include "support/lane_sizes.hpp"
#include "support/random.hpp"

namespace {

using namespace rotary;
using rotary::testing::Random;

template <class Angle>
class CosSinOfAngles : public ::testing::Test {
 protected:
  /// `2 * pairs` angles laid out as features are, the members of a pair alike.
  static std::vector<Angle> angles_of(Index pairs, Pairing pairing, double size, Random& random) {
    const auto [pair, partner] = kernels::pair_strides(pairing, pairs);
    std::vector<Angle> angles(static_cast<std::size_t>(2 * pairs));
    for (Index i = 0; i < pairs; ++i) {
      const auto angle = static_cast<Angle>(random.uniform(-size, size));
      angles[static_cast<std::size_t>(i * pair)] = angles[static_cast<std::size_t>(i * pair + partner)] =
          angle;
    }
    return angles;
  }
};
using AngleTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(CosSinOfAngles, AngleTypes);

TYPED_TEST(CosSinOfAngles, AreThoseOfTheAngleAsGiven) {
  Random random(31);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    for (Index pairs = 1; pairs <= 40; ++pairs) {
      const double size = std::exp2(random.uniform(-3, 20));
      const auto angles = this->angles_of(pairs, pairing, size, random);
      std::vector<float> row(angles.size(), -7);
      if (!kernels::cos_sin_of_shared_angles(angles.data(), 0.5, pairs, pairing, row.data())) {
        ASSERT_FALSE(kernels::has_vectors_for_angles());
        continue;
      }
      const auto [pair, partner] = kernels::pair_strides(pairing, pairs);
      for (Index i = 0; i < pairs; ++i) {
        const auto at = static_cast<std::size_t>(i * pair),
                   other = static_cast<std::size_t>(i * pair + partner);
        const auto angle = static_cast<double>(angles[at]);
        EXPECT_NEAR(static_cast<double>(row[at]), 0.5 * std::cos(angle), 0.5 * 3.1e-8) << angle;
        EXPECT_NEAR(static_cast<double>(row[other]), 0.5 * std::sin(angle), 0.5 * 3.1e-8) << angle;
      }
    }
  }
}

// Of so many angles some have a cosine or sine that lies nearly in the middle of two floats.
TEST(CosSinOfAnglesOfFloat, AreTheNearestFloats) {
  Random random(32);
  SCOPED_TRACE(random.replay());
  constexpr Index kPairs = 64;
  std::vector<double> angles(kPairs), scales(kPairs, 1);
  std::vector<float> row(2 * kPairs);
  rotary::testing::with_every_instruction_set([&] {
    for (int n = 0; n < 1000; ++n) {
      for (double& angle : angles) angle = random.uniform(-100, 100);
      // A cosine and a sine in the middle of two floats, as far as a double can tell.
      angles[1] = -0x1.c8f037078340ep+5, angles[2] = 0x1.9cb4bc4c85b48p+5;
      kernels::cos_sin_of_angles(angles.data(), scales.data(), kPairs, Pairing::half, row.data(), kPairs);
      for (std::size_t i = 0; i < kPairs; ++i) {
        const auto angle = static_cast<long double>(angles[i]);
        ASSERT_EQ(row[i], static_cast<float>(std::cos(angle))) << angles[i];
        ASSERT_EQ(row[i + kPairs], static_cast<float>(std::sin(angle))) << angles[i];
      }
    }
  });
}

// A pair that the vectors cannot rotate is found anywhere in the row, also in the padded remainder.
TYPED_TEST(CosSinOfAngles, AreLeftToOthersWhereAPairIsUnlikeOrFar) {
  if (!kernels::has_vectors_for_angles()) return;
  Random random(32);
  SCOPED_TRACE(random.replay());
  const auto spoilt = [&](Pairing pairing, Index pairs, Index i, const auto& spoil) {
    auto angles = this->angles_of(pairs, pairing, 100, random);
    const auto [pair, partner] = kernels::pair_strides(pairing, pairs);
    spoil(angles[static_cast<std::size_t>(i * pair)], angles[static_cast<std::size_t>(i * pair + partner)]);
    std::vector<float> row(angles.size());
    return !kernels::cos_sin_of_shared_angles(angles.data(), 1.0, pairs, pairing, row.data());
  };
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    for (const Index pairs : rotary::testing::sizes_around(rotary::testing::kWidestLanes<double>)) {
      for (Index i = 0; i < pairs; ++i) {
        const auto with = [&](TypeParam value) {
          return spoilt(pairing, pairs, i, [&](TypeParam& a, TypeParam& b) { a = b = value; });
        };
        EXPECT_TRUE(spoilt(pairing, pairs, i, [](TypeParam&, TypeParam& b) {
          b = static_cast<TypeParam>(b + TypeParam(0.5));
        })) << i;
        EXPECT_TRUE(with(TypeParam(0x1p30))) << i;
        EXPECT_TRUE(with(TypeParam(-0x1p40))) << i;
        EXPECT_TRUE(with(std::numeric_limits<TypeParam>::infinity())) << i;
        EXPECT_TRUE(with(std::numeric_limits<TypeParam>::quiet_NaN())) << i;
        EXPECT_FALSE(with(TypeParam(0x1.fp29))) << i;
        EXPECT_FALSE(with(TypeParam(0))) << i;
      }
    }
  }
}

// The plain loop, of several scales, agrees with the vectors.
TYPED_TEST(CosSinOfAngles, HaveAScaleForEveryPair) {
  Random random(33);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    for (Index pairs = 1; pairs <= 20; ++pairs) {
      std::vector<double> angles, scale;
      for (Index i = 0; i < pairs; ++i) {
        angles.push_back(random.uniform(-1e4, 1e4));
        scale.push_back(random.uniform(0.5, 2));
      }
      std::vector<float> row(static_cast<std::size_t>(2 * pairs));
      std::vector<double> exact(row.size());
      kernels::cos_sin_of_angles(angles.data(), scale.data(), pairs, pairing, row.data(), pairs);
      kernels::cos_sin_of_angles(angles.data(), scale.data(), pairs, pairing, exact.data(), pairs);
      for (std::size_t j = 0; j < row.size(); ++j)
        EXPECT_NEAR(static_cast<double>(row[j]), exact[j], 2 * 6.1e-8) << j;
    }
  }
}

}  // namespace
