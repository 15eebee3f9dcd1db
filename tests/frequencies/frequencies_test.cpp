#include <gtest/gtest.h>
#include <rotary/frequencies.hpp>

#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/mpfr_oracle.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

constexpr double kBound = 0x1p-98;

const double kInfinity = std::bit_cast<double>(std::uint64_t{0x7ff} << 52);
const double kNan = std::bit_cast<double>(std::uint64_t{0xfff} << 51);

std::vector<double> as_doubles(const Frequencies& frequencies) {
  std::vector<double> values;
  for (const DoubleDouble& f : frequencies.values) values.push_back(static_cast<double>(f));
  return values;
}

TEST(Frequencies, LanguageFrequenciesArePowersOfTheta) {
  for (const double theta : {1.0, 1.5, 2.0, 10000.0, 500000.0, 1e6, 123456789.25, 1e12}) {
    for (const int dim : {2, 4, 6, 32, 64, 80, 128, 256, 1024}) {
      const Frequencies frequencies = language_frequencies(dim, theta);
      const std::vector<Real> wanted = real_language_frequencies(theta, dim);
      ASSERT_EQ(frequencies.pairs(), dim / 2);
      ASSERT_EQ(frequencies.axes, 1);
      ASSERT_EQ(frequencies.magnitude, 1);
      for (std::size_t i = 0; i < wanted.size(); ++i)
        ASSERT_LT(relative_error_of(frequencies.values[i], wanted[i]), kBound)
            << "theta " << theta << ", dim " << dim << ", pair " << i;
    }
  }
}

TEST(Frequencies, ThetaIsTenThousandUnlessGiven) {
  EXPECT_EQ(language_frequencies(64).values, language_frequencies(64, 10000).values);
  EXPECT_EQ(language_frequencies(4).values[1], DoubleDouble(1) / 100);
}

TEST(Frequencies, OddDimKeepsItsDenominator) {
  for (const int dim : {3, 5, 33}) {
    const Frequencies frequencies = language_frequencies(dim, 5000);
    ASSERT_EQ(frequencies.pairs(), dim / 2);
    for (int i = 0; i < dim / 2; ++i)
      EXPECT_LT(relative_error_of(frequencies.values[static_cast<std::size_t>(i)],
                                  pow(Real(5000), Real(-2 * i) / Real(dim))),
                kBound);
  }
  EXPECT_EQ(language_frequencies(1).pairs(), 0);
  EXPECT_EQ(language_frequencies(0).pairs(), 0);
}

TEST(Frequencies, PixelFrequenciesAreEquallySpaced) {
  EXPECT_EQ(as_doubles(pixel_frequencies(2)), std::vector<double>{kPi.hi});
  EXPECT_EQ(pixel_frequencies(0).pairs(), 0);
  EXPECT_EQ(pixel_frequencies(1).pairs(), 0);
  for (const double max_freq : {0.5, 2.0, 10.0, 256.0, 1000.0}) {
    for (const int dim : {4, 5, 16, 32, 64}) {
      const Frequencies frequencies = pixel_frequencies(dim, max_freq);
      const int count = dim / 2;
      ASSERT_EQ(frequencies.pairs(), count);
      for (int i = 0; i < count; ++i) {
        const Real part = Real(i) / Real(count - 1);
        const Real wanted = Real::pi() * (Real(1) + part * (Real(max_freq) / Real(2) - Real(1)));
        EXPECT_LT(relative_error_of(frequencies.values[static_cast<std::size_t>(i)], wanted), kBound)
            << "max_freq " << max_freq << ", dim " << dim << ", pair " << i;
      }
    }
  }
  EXPECT_EQ(pixel_frequencies(8).values, pixel_frequencies(8, 10).values);
}

TEST(Frequencies, ConstantAndCustomFrequenciesAreAsGiven) {
  EXPECT_EQ(as_doubles(constant_frequencies()), std::vector<double>{1});
  EXPECT_EQ(as_doubles(constant_frequencies(3)), (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(constant_frequencies(0).pairs(), 0);
  const std::vector<double> given = {0.5, 0, -2.25, 1e-9};
  EXPECT_EQ(as_doubles(custom_frequencies(given)), given);
  EXPECT_EQ(custom_frequencies({}).pairs(), 0);
}

TEST(Frequencies, ScalingDividesThem) {
  Frequencies frequencies = language_frequencies(128, 500000);
  frequencies.magnitude = 1.25;
  const Frequencies divided = scaled(frequencies, 3);
  EXPECT_EQ(divided.magnitude, 1.25);
  for (std::size_t i = 0; i < frequencies.values.size(); ++i)
    EXPECT_LT(relative_error_of(divided.values[i], Real(frequencies.values[i]) / Real(3)), kBound);
  EXPECT_EQ(scaled(frequencies, 1).values, frequencies.values);
}

TEST(Frequencies, RescaledThetaDividesTheLastFrequencyByTheFactor) {
  for (const int dim : {4, 5, 64, 128}) {
    for (const double factor : {0.5, 2.0, 8.0}) {
      const Frequencies plain = language_frequencies(dim, 10000);
      const Frequencies rescaled =
          detail::language_frequencies(dim, detail::rescaled_theta(10000, factor, dim));
      EXPECT_EQ(rescaled.values.front(), plain.values.front());
      if (dim % 2 == 0) {
        EXPECT_LT(relative_error_of(rescaled.values.back() * factor, Real(plain.values.back())), kBound);
      }
      const Real theta = Real(10000) * pow(Real(factor), Real(dim) / Real(dim - 2));
      EXPECT_LT(relative_error_of(detail::rescaled_theta(10000, factor, dim), theta), kBound);
    }
  }
}

TEST(Frequencies, ThetaRescaleFactorOneIsFineForEveryDim) {
  for (const Index dim : {0, 1, 2, 3, 64}) EXPECT_EQ(detail::rescaled_theta(10000, 1, dim), 10000);
}

TEST(Frequencies, OnAxesDealsPairsOut) {
  Frequencies frequencies = custom_frequencies(std::vector<double>{1, 2, 3, 4});
  frequencies.magnitude = 0.5;
  const Frequencies dealt = on_axes(frequencies, std::vector<Index>{0, 1, 1, 2}, 3);
  EXPECT_EQ(dealt.axes, 3);
  EXPECT_EQ(dealt.pairs(), 4);
  EXPECT_EQ(dealt.magnitude, 0.5);
  EXPECT_EQ(as_doubles(dealt), (std::vector<double>{1, 0, 0, 0,  //
                                                    0, 2, 3, 0,  //
                                                    0, 0, 0, 4}));
}

TEST(Frequencies, AxialGivesEveryAxisTheSameBlock) {
  Frequencies frequencies = custom_frequencies(std::vector<double>{1, 2});
  frequencies.magnitude = 2;
  const Frequencies two = axial(frequencies, 2);
  EXPECT_EQ(two.axes, 2);
  EXPECT_EQ(two.pairs(), 4);
  EXPECT_EQ(two.magnitude, 2);
  EXPECT_EQ(as_doubles(two), (std::vector<double>{1, 2, 0, 0,  //
                                                  0, 0, 1, 2}));
  EXPECT_EQ(axial(frequencies, 1).values, frequencies.values);
  EXPECT_EQ(axial(custom_frequencies({}), 3).pairs(), 0);
}

TEST(Frequencies, ErrorsSayWhatWasFoundAndWanted) {
  const auto one = custom_frequencies(std::vector<double>{1, 2});
  EXPECT_EQ(error_of_call([] { language_frequencies(-2); }),
            "rotary: rotary_dim is -2, it must not be negative");
  EXPECT_EQ(error_of_call([] { language_frequencies(4, 0); }),
            "rotary: theta is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { language_frequencies(4, -3); }),
            "rotary: theta is -3, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { language_frequencies(0, 0); }),
            "rotary: theta is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { pixel_frequencies(-1); }),
            "rotary: rotary_dim is -1, it must not be negative");
  EXPECT_EQ(error_of_call([] { pixel_frequencies(4, 0); }),
            "rotary: max_freq is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { constant_frequencies(-1); }),
            "rotary: num_freqs is -1, it must not be negative");
  EXPECT_EQ(error_of_call([&] { scaled(one, 0); }),
            "rotary: the factor that positions are divided by is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { detail::rescaled_theta(10000, 2, 2); }),
            "rotary: theta_rescale_factor is 2 with dim 2, which has no second pair to rescale: the factor "
            "must be 1 or "
            "dim at least 3");
  EXPECT_EQ(error_of_call([] { detail::rescaled_theta(-1, 1, 4); }),
            "rotary: theta is -1, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { detail::rescaled_theta(1, -1, 4); }),
            "rotary: theta_rescale_factor is -1, it must be positive and finite");
  EXPECT_EQ(error_of_call([&] { on_axes(one, std::vector<Index>{0}, 2); }),
            "rotary: an axis for each of 2 pairs is wanted, found 1");
  EXPECT_EQ(error_of_call([&] {
              on_axes(one, std::vector<Index>{0, 2}, 2);
            }),
            "rotary: pair 1 is on axis 2, there are 2 axes");
  EXPECT_EQ(error_of_call([&] {
              on_axes(one, std::vector<Index>{-1, 0}, 2);
            }),
            "rotary: pair 0 is on axis -1, there are 2 axes");
  EXPECT_EQ(error_of_call([&] {
              on_axes(one, std::vector<Index>{0, 0}, 0);
            }),
            "rotary: found 0 axes, there must be at least 1");
  EXPECT_EQ(error_of_call([&] { axial(one, 0); }), "rotary: found 0 axes, there must be at least 1");
  EXPECT_EQ(error_of_call([&] { axial(axial(one, 2), 2); }),
            "rotary: frequencies of 2 axes found, those of one axis are wanted");
  EXPECT_EQ(error_of_call([&] { axial(one, PTRDIFF_MAX); }),
            "rotary: sizes 2 and 9223372036854775807 multiply to more than fits");
}

TEST(Frequencies, InfinityAndNanAreRefused) {
  const auto one = custom_frequencies(std::vector<double>{1});
  for (const double& bad : {kInfinity, -kInfinity, kNan}) {
    EXPECT_THROW(language_frequencies(4, bad), std::invalid_argument);
    EXPECT_THROW(pixel_frequencies(4, bad), std::invalid_argument);
    EXPECT_THROW(custom_frequencies(std::vector<double>{1, bad}), std::invalid_argument);
    EXPECT_THROW(scaled(one, bad), std::invalid_argument);
    EXPECT_THROW(detail::rescaled_theta(bad, 2, 4), std::invalid_argument);
    EXPECT_THROW(detail::rescaled_theta(10000, bad, 4), std::invalid_argument);
    Frequencies bad_magnitude = one;
    bad_magnitude.magnitude = bad;
    EXPECT_THROW(scaled(bad_magnitude, 2), std::invalid_argument);
  }
}

TEST(Frequencies, HandMadeOnesAreChecked) {
  EXPECT_EQ(error_of_call([] {
              scaled({.values = {1, 2, 3}, .axes = 2}, 2);
            }),
            "rotary: 3 frequencies found, the number must be a multiple of the 2 axes");
  EXPECT_EQ(error_of_call([] { scaled({.values = {1}, .axes = 0}, 2); }),
            "rotary: frequencies have 0 axes, they must have at least 1");
  EXPECT_EQ((Frequencies{.values = {1}, .axes = 0}.pairs()), 0);
}

}  // namespace
}  // namespace rotary::testing
