// Position interpolation against MPFR, by a given factor and by one that follows the length of the text.
#include <rotary/frequencies/length_interpolated.hpp>
#include <rotary/frequencies/linear.hpp>

#include "support/variant_checks.hpp"

namespace rotary::testing {
namespace {

std::vector<Real> divided(int dim, const Real& factor) {
  std::vector<Real> frequencies;
  for (int i = 0; i < dim / 2; ++i)
    frequencies.push_back(pow(Real(10000), Real(-2 * i) / Real(dim)) / factor);
  return frequencies;
}

TEST(Linear, DividesEveryFrequency) {
  for (const double factor : {0.3, 1.0, 8.0})
    expect_frequencies(linear_frequencies(64, 10000, {.factor = factor}), divided(64, Real(factor)));
  EXPECT_EQ(linear_frequencies(64, 10000, {}).values, language_frequencies(64).values);
}

TEST(Linear, Refuses) {
  EXPECT_EQ(error_of_call([] { linear_frequencies(64, 10000, {.factor = 0}); }),
            "rotary: factor is 0, it must be positive and finite");
  for (const double bad : {kNan, kInfinity})
    EXPECT_THROW(linear_frequencies(64, 10000, {.factor = bad}), std::invalid_argument);
}

TEST(LengthInterpolated, DividesByAFactorThatNoDoubleHolds) {
  const LengthInterpolation options{.pretrained_length = 4097, .factor = 2};
  expect_frequencies(length_interpolated_frequencies(64, 10000, options, 9001),
                     divided(64, Real(9001) / Real(4097)));
  expect_frequencies(length_interpolated_frequencies(64, 10000, options, 8194), divided(64, Real(2)));
  EXPECT_EQ(length_interpolation_factor(9001, options), 9001.0 / 4097);
}

TEST(LengthInterpolated, Refuses) {
  EXPECT_EQ(error_of_call([] { length_interpolated_frequencies(64, 10000, {}, 1); }),
            "rotary: pretrained_length is 0, it must be positive and finite");
  EXPECT_EQ(error_of_call([] { length_interpolated_frequencies(64, 10000, {.pretrained_length = 1}, -1); }),
            "rotary: length is -1, it must not be negative");
}

}  // namespace
}  // namespace rotary::testing
