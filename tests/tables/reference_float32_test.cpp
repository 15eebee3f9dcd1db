// The float policies: errors of the size others were measured to have, and the very numbers of their runs.
#include <gtest/gtest.h>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/tables/reference_float32.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/golden.hpp"
#include "support/variant_checks.hpp"

namespace rotary::testing {
namespace {

double largest_difference(const CosSinTable<float>& a, const CosSinTable<float>& b) {
  EXPECT_EQ(a.shape(), b.shape());
  EXPECT_EQ(a.row_size(), b.row_size());
  double largest = 0;
  for (Index i = 0; i < a.rows() * a.row_size(); ++i)
    largest =
        std::max(largest, std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
  return largest;
}

/// (u, v) rotated by what a table has for a pair, one rounding after another.
std::array<float, 2> rotated(const CosSinTable<float>& table, Index row, Index pair, double u, double v) {
  const double cos = static_cast<double>(table.cos(row, pair)),
               sin = static_cast<double>(table.sin(row, pair));
  return {static_cast<float>(u * cos - v * sin), static_cast<float>(u * sin + v * cos)};
}

TEST(ReferenceFloat32, ErrorsAreThoseOfFloatAngles) {
  // The largest error of 64 cosines and sines by Hugging Face's order of operations, as published.
  for (const auto& [position, published] : {std::pair<Index, double>{4095, 1.4e-4},
                                            {32767, 1.7e-3},
                                            {131071, 4e-3},
                                            {1048575, 2.5e-2},
                                            {10485759, 0.6}}) {
    const Positions at = Positions::consecutive(1, position);
    const CosSinTable<float> exact(language_frequencies(128), at, {.pairing = Pairing::half});
    const double error = largest_difference(hf_float32_table(hf_float32_frequencies(128), at), exact);
    EXPECT_NEAR(error, published, 0.1 * published) << "position " << position;
  }
  const Positions at = Positions::consecutive(64, 131008);
  const CosSinTable<float> exact(language_frequencies(128), at, {.pairing = Pairing::half});
  const double hf = largest_difference(hf_float32_table(hf_float32_frequencies(128), at), exact);
  const double ggml = largest_difference(ggml_float32_table(128, at, {.pairing = Pairing::half}), exact);
  EXPECT_GT(ggml, 2 * hf);
  EXPECT_LT(ggml, 4 * hf);
}

TEST(ReferenceFloat32, FirstRowsDifferFromExactOnesByRoundingOnly) {
  const Positions at = Positions::consecutive(8);
  for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
    const CosSinTable<float> exact(language_frequencies(64), at, {.pairing = pairing});
    EXPECT_LT(
        largest_difference(hf_float32_table(hf_float32_frequencies(64), at, {.pairing = pairing}), exact),
        1e-6);
    EXPECT_LT(largest_difference(ggml_float32_table(64, at, {.pairing = pairing}), exact), 3e-6);
  }
}

TEST(ReferenceFloat32, ReproducesRotaryEmbeddingTorchAtLargePositions) {
  const golden::Case c = golden::load("lucidrains", "rotate_large_position");  // dim 8, offset 100000
  const golden::Tensor &t = c.input("t"), &out = c.output("out");
  const auto features = static_cast<std::size_t>(t.shape.back());
  const Index rows = t.shape.at(t.shape.size() - 2);
  const Positions at = Positions::consecutive(rows, 100000);
  const CosSinTable<float> policy =
      hf_float32_table(hf_float32_frequencies(8), at, {.pairing = Pairing::interleaved});
  const CosSinTable<float> exact(language_frequencies(8), at);
  double error = 0, exact_error = 0;
  for (std::size_t n = 0; n < t.values.size() / features; ++n)
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t at_pair = n * features + 2 * i;
      const double u = t.values[at_pair], v = t.values[at_pair + 1];
      const Index row = static_cast<Index>(n) % rows, pair = static_cast<Index>(i);
      const auto difference = [&](const CosSinTable<float>& table) {
        const auto [rotated_u, rotated_v] = rotated(table, row, pair, u, v);
        return std::max(std::abs(static_cast<double>(rotated_u) - out.values[at_pair]),
                        std::abs(static_cast<double>(rotated_v) - out.values[at_pair + 1]));
      };
      error = std::max(error, difference(policy));
      exact_error = std::max(exact_error, difference(exact));
    }
  EXPECT_LT(error, 1e-6);
  EXPECT_GT(exact_error, 1e-4);  // so this is about the policy
}

TEST(ReferenceFloat32, ReproducesGgmlAtLargePositions) {
  // A run of ggml's CPU backend, mode NORMAL, 8 dimensions: one head at three positions.
  const std::vector<std::int32_t> positions{4095, 8191, 32767};
  const std::array<double, 24> x{0.666727126,  0.454668105, -0.944360137, 0.522495329,  0.469957471,
                                 -0.339500934, 0.59249115,  0.162572533,  -2.03177786,  -0.760347843,
                                 -0.567539811, 0.608380616, -0.450150609, 0.100330248,  0.994725823,
                                 -2.48347068,  0.533004761, -0.682751596, -0.950066984, -0.1586781,
                                 1.99180341,   2.07821703,  -0.592234313, -0.638862014};
  const std::array<double, 24> out{0.409689486,   -0.695271671, -0.898247063, -0.598305643,   -0.504185617,
                                   0.286212742,   -0.210437313, -0.577227592, 0.733171284,    2.04174209,
                                   -0.0871706679, -0.827423513, -0.461176038, -0.00428793347, 2.01483011,
                                   1.75998998,    0.651571453,  -0.57069993,  0.946913719,    0.17652303,
                                   -0.515941024,  2.83197308,   0.494421065,  -0.717240512};
  const Positions at = Positions::listed(std::span<const std::int32_t>(positions));
  const CosSinTable<float> policy = ggml_float32_table(8, at, {.pairing = Pairing::interleaved});
  const CosSinTable<float> exact(language_frequencies(8), at);
  double exact_error = 0;
  for (std::size_t at_pair = 0; at_pair < x.size(); at_pair += 2) {
    const auto row = static_cast<Index>(at_pair / 8), pair = static_cast<Index>(at_pair % 8 / 2);
    const auto [u, v] = rotated(policy, row, pair, x[at_pair], x[at_pair + 1]);
    EXPECT_NEAR(static_cast<double>(u), out[at_pair], 3e-7) << "feature " << at_pair;
    EXPECT_NEAR(static_cast<double>(v), out[at_pair + 1], 3e-7) << "feature " << at_pair + 1;
    const auto [exact_u, exact_v] = rotated(exact, row, pair, x[at_pair], x[at_pair + 1]);
    exact_error = std::max({exact_error, std::abs(static_cast<double>(exact_u) - out[at_pair]),
                            std::abs(static_cast<double>(exact_v) - out[at_pair + 1])});
  }
  EXPECT_GT(exact_error, 1e-5);
}

TEST(ReferenceFloat32, AxesAddUp) {
  const std::vector<std::int64_t> first{3, 5}, second{7, 11};
  const std::array<AxisPositions, 2> axes{AxisPositions::listed(std::span<const std::int64_t>(first)),
                                          AxisPositions::listed(std::span<const std::int64_t>(second))};
  const std::vector<Index> axis_of_pair{0, 1, 1, 0};
  const Positions at = Positions::together(axes);
  const Frequencies dealt = on_axes(language_frequencies(8), axis_of_pair, 2);
  const CosSinTable<float> exact(dealt, at, {.pairing = Pairing::half});
  EXPECT_LT(largest_difference(hf_float32_table(dealt, at), exact), 1e-6);
  EXPECT_LT(largest_difference(
                ggml_float32_table(8, at, {.pairing = Pairing::half}, {.axis_of_pair = axis_of_pair}), exact),
            2e-6);
}

// Rows for the tokens of one sequence, for those of every sequence, and for a grid, as a table of the same positions has.
TEST(ReferenceFloat32, RowsAreForTheAxesThatPositionsHave) {
  const std::vector<std::int64_t> ids{0, 1, 2, 7, 8, 9};
  const std::array<AxisPositions, 2> axes{AxisPositions::consecutive(2), AxisPositions::consecutive(3)};
  const Frequencies line = language_frequencies(8), plane = axial(language_frequencies(4), 2);
  const auto check = [](const Frequencies& frequencies, const Positions& at, RowAxes wanted) {
    const CosSinTable<float> table = hf_float32_table(frequencies, at);
    EXPECT_EQ(table.axes(), wanted);
    EXPECT_EQ(table.axes(), CosSinTable<float>(frequencies, at, {.pairing = Pairing::half}).axes());
    EXPECT_EQ(table.shape(), at.shape());
  };
  check(line, Positions::consecutive(6), RowAxes::sequence);
  check(line, Positions::listed(ids).in_batches(2), RowAxes::batch_and_seq);
  check(plane, Positions::grid(axes), RowAxes::before_features);
}

TEST(ReferenceFloat32, PowersMayBeginAnew) {
  // Two axes of four pairs each, the second of which has the powers of the first.
  const std::vector<Index> axes{0, 0, 0, 0, 1, 1, 1, 1}, powers{0, 1, 2, 3, 0, 1, 2, 3};
  const std::vector<std::int64_t> first{3, 5}, second{7, 11};
  const std::array<AxisPositions, 2> coordinates{
      AxisPositions::listed(std::span<const std::int64_t>(first)),
      AxisPositions::listed(std::span<const std::int64_t>(second))};
  const Positions at = Positions::together(coordinates);
  const CosSinTable<float> exact(axial(language_frequencies(8), 2), at, {.pairing = Pairing::half});
  const CosSinTable<float> found =
      ggml_float32_table(8, at, {.pairing = Pairing::half}, {.axis_of_pair = axes, .power_of_pair = powers});
  EXPECT_EQ(found.pairs(), 8);
  EXPECT_LT(largest_difference(found, exact), 2e-6);
}

TEST(ReferenceFloat32, MagnitudeAndYarn) {
  Frequencies louder = language_frequencies(8);
  louder.magnitude = 1.5;
  EXPECT_EQ(hf_float32_table(louder, Positions::consecutive(1)).cos(0, 3), 1.5f);

  // freq_scale 1/4 with ext_factor is YaRN by a factor of 4.
  const Positions at = Positions::consecutive(64);
  for (const float share : {1.0f, 0.5f}) {
    const YarnOptions options{.factor = 4,
                              .original_max_position_embeddings = 4096,
                              .extrapolation_factor = static_cast<double>(share),
                              .attn_factor = 1.5,
                              .magnitude = YarnMagnitude::ggml};
    const CosSinTable<float> exact(yarn_frequencies(64, 10000, options), at, {.pairing = Pairing::half});
    const CosSinTable<float> found = ggml_float32_table(
        64, at, {.pairing = Pairing::half},
        {.freq_scale = 0.25f, .ext_factor = share, .attn_factor = 1.5f, .n_ctx_orig = 4096});
    EXPECT_LT(largest_difference(found, exact), 3e-5);
  }

  // Divisors of frequencies, and a scale of all of them.
  const std::vector<float> divisors{1, 2, 4, 8};
  Frequencies divided = scaled(language_frequencies(8), 2);
  for (std::size_t i = 0; i < 4; ++i)
    divided.values[i] = divided.values[i] / static_cast<double>(divisors[i]);
  divided.magnitude = 1.25;
  EXPECT_LT(largest_difference(
                ggml_float32_table(8, at, {.pairing = Pairing::half},
                                   {.freq_scale = 0.5f, .attn_factor = 1.25f, .freq_factors = divisors}),
                CosSinTable<float>(divided, at, {.pairing = Pairing::half})),
            1e-5);
}

TEST(ReferenceFloat32, Refuses) {
  expect_error([] { static_cast<void>(hf_float32_table(hf_float32_frequencies(8), Positions::from(3))); },
               {"no length", "Positions::consecutive(count, first)"});
  const Positions at = Positions::consecutive(4);
  const std::vector<float> three{1, 1, 1}, zero{1, 1, 1, 0};
  const std::vector<Index> second{0, 0, 0, 1};
  const auto error_with = [&](const GgmlFloat32Options& options) {
    return error_of_call(
        [&] { static_cast<void>(ggml_float32_table(8, at, {.pairing = Pairing::half}, options)); });
  };
  EXPECT_EQ(error_of_call([&] { static_cast<void>(ggml_float32_table(7, at, {.pairing = Pairing::half})); }),
            "rotary: n_dims is 7, it must be even");
  EXPECT_EQ(error_with({.freq_factors = three}),
            "rotary: freq_factors has 3 entries, it must have none or one for each of 4 pairs");
  EXPECT_EQ(error_with({.freq_factors = zero}),
            "rotary: an entry of freq_factors is 0, it must be positive and finite");
  EXPECT_EQ(error_with({.axis_of_pair = second}), "rotary: axis_of_pair has an entry 1, there are 1 axes");
  const std::vector<Index> beyond{0, 1, 2}, negative{0, -1};
  EXPECT_EQ(error_with({.power_of_pair = negative}),
            "rotary: power_of_pair has an entry -1, the powers of 2 pairs are 0 to 1");
  EXPECT_EQ(error_with({.power_of_pair = std::span(beyond).last(2)}),
            "rotary: power_of_pair has an entry 2, the powers of 2 pairs are 0 to 1");
  EXPECT_EQ(error_with({.axis_of_pair = second, .power_of_pair = beyond}),
            "rotary: axis_of_pair has 4 entries, it must have none or one for each of 3 pairs");
  EXPECT_EQ(error_with({.ext_factor = 1}), "rotary: n_ctx_orig is 0, YaRN needs at least 1");
  EXPECT_EQ(error_with({.freq_scale = 0}), "rotary: freq_scale is 0, it must be positive and finite");
  EXPECT_EQ(
      error_of_call([&] { static_cast<void>(hf_float32_table(axial(language_frequencies(8), 2), at)); }),
      "rotary: tokens have 1 coordinates, the frequencies are for 2");
  const std::array<AxisPositions, 2> axes{AxisPositions::consecutive(2), AxisPositions::consecutive(2)};
  EXPECT_EQ(error_of_call([&] {
              static_cast<void>(ggml_float32_table(8, Positions::grid(axes), {.pairing = Pairing::half}));
            }),
            "rotary: tokens have 2 coordinates, axis_of_pair must say which rotates a pair");
  for (const double wrong : {kNan, kInfinity}) {
    const auto bad = static_cast<float>(wrong);
    EXPECT_THROW(hf_float32_frequencies(8, bad), std::invalid_argument);
    EXPECT_NE(error_with({.freq_base = bad}), kNoError);
    EXPECT_NE(error_with({.freq_scale = bad}), kNoError);
    EXPECT_NE(error_with({.ext_factor = bad}), kNoError);
    EXPECT_NE(error_with({.attn_factor = bad}), kNoError);
    EXPECT_NE(error_with({.ext_factor = 1, .beta_fast = bad, .n_ctx_orig = 4096}), kNoError);
  }
}

}  // namespace
}  // namespace rotary::testing
