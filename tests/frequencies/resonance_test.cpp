// Resonance RoPE against MPFR, and what it refuses.
#include <rotary/frequencies/resonance.hpp>
#include <rotary/phases/phases.hpp>

#include "support/variant_checks.hpp"

namespace rotary::testing {
namespace {

/// 2π / ⌊2π / f + ½⌋.
std::vector<Real> rounded_by_hand(const std::vector<Real>& frequencies) {
  const Real turn = Real(2) * Real::pi();
  std::vector<Real> rounded;
  for (const Real& f : frequencies) rounded.push_back(turn / floor(turn / f + Real(0.5)));
  return rounded;
}

TEST(Resonance, WavelengthsAreWholeNumbers) {
  for (const int dim : {2, 64, 128})
    for (const double theta : {10000.0, 500000.0}) {
      std::vector<Real> plain;
      for (int i = 0; i < dim / 2; ++i) plain.push_back(pow(Real(theta), Real(-2 * i) / Real(dim)));
      const Frequencies frequencies = resonance_frequencies(dim, theta, {});
      expect_frequencies(frequencies, rounded_by_hand(plain));
      EXPECT_EQ(frequencies.magnitude, 1);
    }
  EXPECT_EQ(resonance_frequencies(4, 10000, {}).values,
            (std::vector<DoubleDouble>{2 * kPi / 6, 2 * kPi / 628}));
}

TEST(Resonance, AnglesComeBackAfterAWavelength) {
  const TurnSteps steps(resonance_frequencies(4, 10000, {}));
  for (const std::int64_t turns : {1, 1000}) {
    EXPECT_NEAR(cos_sin(steps.phase(0, 0, 6 * turns)).sin, 0, 1e-15);
    EXPECT_NEAR(cos_sin(steps.phase(0, 1, 628 * turns)).sin, 0, 1e-15);
  }
}

TEST(Resonance, AlsoOfYarn) {
  const YarnOptions yarn{.factor = 8, .original_max_position_embeddings = 4096, .beta_fast = 2};
  const Frequencies longer = yarn_frequencies(64, 10000, yarn);
  const Frequencies frequencies = resonance_frequencies(64, 10000, {.yarn = yarn});
  expect_frequencies(frequencies, rounded_by_hand({longer.values.begin(), longer.values.end()}));
  EXPECT_EQ(frequencies.magnitude, longer.magnitude);
}

TEST(Resonance, Refuses) {
  EXPECT_EQ(error_of_call([] { resonance_frequencies(-2, 10000, {}); }),
            "rotary: rotary_dim is -2, it must not be negative");
  const YarnOptions too_fast{.factor = 1e-6, .original_max_position_embeddings = 4096};
  const YarnOptions standing{
      .factor = 2, .original_max_position_embeddings = 4096, .extrapolation_factor = -1};  // 2 f/2 − f = 0
  for (const YarnOptions& yarn : {too_fast, standing}) {
    const std::string error = error_of_call([&] { resonance_frequencies(64, 10000, {.yarn = yarn}); });
    EXPECT_NE(error.find("it must be finite and not round to 0"), std::string::npos) << error;
  }
  for (const double bad : {kNan, kInfinity, 0.0})
    EXPECT_THROW(resonance_frequencies(64, bad, {}), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
