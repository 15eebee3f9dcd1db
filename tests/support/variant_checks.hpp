// What the tests of variants have in common.
#pragma once

#include <gtest/gtest.h>
#include <rotary/frequencies.hpp>

#include <bit>
#include <cstdint>
#include <vector>

#include "errors.hpp"
#include "mpfr_oracle.hpp"

namespace rotary::testing {

inline constexpr double kBound = 0x1p-94;  // a handful of operations within 2^-98 each

inline const double kInfinity = std::bit_cast<double>(std::uint64_t{0x7ff} << 52);
inline const double kNan = std::bit_cast<double>(std::uint64_t{0xfff} << 51);

inline void expect_frequencies(const Frequencies& frequencies, const std::vector<Real>& wanted) {
  ASSERT_EQ(frequencies.axes, 1);
  ASSERT_EQ(frequencies.values.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == Real(0))
      EXPECT_EQ(frequencies.values[i], 0) << "pair " << i;
    else
      EXPECT_LT(relative_error_of(frequencies.values[i], wanted[i]), kBound) << "pair " << i;
  }
}

}  // namespace rotary::testing
