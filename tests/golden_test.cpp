// The golden cases are all there, each is run by exactly one program, and reading and comparing them can be
// relied on.
#include <gtest/gtest-spi.h>

#include <limits>
#include <stdexcept>

#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

// golden_rotate_test, golden_xpos_test, golden_angles_test, golden_apply_test and golden_errors_test each run
// one topic.
TEST(Golden, EveryFileBelongsToOneProgram) {
  const std::vector<CaseName> all = all_cases();
  std::size_t in_topics = 0;
  for (const Topic topic : {Topic::rotate, Topic::xpos, Topic::angles, Topic::apply, Topic::errors}) {
    EXPECT_FALSE(cases_of(topic).empty());
    in_topics += cases_of(topic).size();
  }
  EXPECT_EQ(in_topics, all.size());
  EXPECT_EQ(cases_with_gradients().size(), 18u);
}

TEST(Golden, NoFileIsMissing) {
  EXPECT_EQ(files("lucidrains").size(), 166u);
  EXPECT_EQ(files("lucidrains_quirks").size(), 9u);
  EXPECT_EQ(files("lucidrains_errors").size(), 15u);
  EXPECT_EQ(files("labml").size(), 25u);
  EXPECT_EQ(files("labml_seed_listing").size(), 11u);
}

TEST(Golden, FilesCanBeRead) {
  for (const char* set :
       {"lucidrains", "lucidrains_quirks", "lucidrains_errors", "labml", "labml_seed_listing"}) {
    for (const std::string& file : files(set)) {
      SCOPED_TRACE(file);
      const Case c = load(set, file);
      EXPECT_EQ(c.name + ".json", file);
      EXPECT_FALSE(c.calls.empty());
      // Something to compare with, and how closely; or the reference refuses, and there is nothing.
      EXPECT_NE(c.outputs.empty(), c.expected_error.empty());
      for (const auto& [output, tensor] : c.outputs) {
        EXPECT_EQ(c.output_f64(output).shape, tensor.shape);
        EXPECT_GT(c.f32_atol(output), 0);
        EXPECT_GT(c.f64_atol(output), 0);
      }
    }
  }
}

TEST(Golden, NumbersAreFloatsBeforeTheyAreDoubles) {
  const Case c = load("lucidrains", "apply_basic");
  EXPECT_EQ(c.input("freqs").dtype, "float32");
  EXPECT_EQ(c.input("freqs").shape, (std::vector<Index>{5, 8}));
  EXPECT_EQ(c.input("freqs").values.at(0), static_cast<double>(0.11829339f));
  EXPECT_NE(c.input("freqs").values.at(0), 0.11829339);
  const Case brain = load("lucidrains", "half_rotate_bf16"), half = load("lucidrains", "half_rotate_f16");
  for (const double value : brain.input("t").values)
    EXPECT_EQ(static_cast<double>(static_cast<Eigen::bfloat16>(value)), value);
  for (const double value : half.input("t").values)
    EXPECT_EQ(static_cast<double>(static_cast<Eigen::half>(value)), value);
}

TEST(Golden, WrongNamesAreErrorsOfTheTest) {
  const Case c = load("lucidrains", "apply_basic.json");
  EXPECT_THROW(c.output("nothing"), std::runtime_error);
  EXPECT_THROW(c.f32_atol("nothing"), std::runtime_error);
  EXPECT_THROW(c.calls.at(0).args.number("freqs"), std::runtime_error);  // it is a tensor
  EXPECT_THROW(load("lucidrains", "nothing"), std::runtime_error);
  EXPECT_THROW(files("nothing"), std::exception);
}

TEST(Golden, EigenTensorsOfEitherOrderHoldTheSameElements) {
  const Tensor x{"x", "float64", {2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
  const auto row_major = to_eigen<double, 3>(x);
  const auto column_major = to_eigen<float, 3, Eigen::ColMajor>(x);
  EXPECT_EQ(row_major(1, 2, 0), 10);
  EXPECT_EQ(column_major(1, 2, 0), 10);
  EXPECT_EQ(column_major.data()[1], 6);
  EXPECT_EQ(from_eigen(row_major).values, x.values);
  EXPECT_EQ(from_eigen(column_major).values, x.values);
  EXPECT_EQ(from_eigen(column_major).dtype, "float32");
  EXPECT_THROW((to_eigen<double, 2>(x)), std::runtime_error);
  const Elements<float> elements(x, Eigen::ColMajor);
  EXPECT_EQ(elements.view().data[1], 6);
  EXPECT_EQ(elements.tensor().values, x.values);
}

// A comparison that could not fail would make every golden test worthless.
TEST(Golden, ComparisonsFail) {
  static const Tensor wanted{"set/case out", "float64", {2, 2}, {1, 2, 3, 4}};
  static Tensor found = wanted;
  compare(found, wanted, 0);
  found.values[2] = 3.25;
  compare(found, wanted, 0.25);
  EXPECT_NONFATAL_FAILURE(compare(found, wanted, 0.24),
                          "set/case out[1, 0]: found 3.25, wanted 3, off by 0.25");
  found.values[1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NONFATAL_FAILURE(compare(found, wanted, 100), "out[0, 1]: found nan, wanted 2");
  EXPECT_NONFATAL_FAILURE(compare(std::vector<double>{1, 2, 3, 4}, wanted, 0),
                          "found shape [4], wanted [2, 2]");
  static Tensor zero{"zero", "float64", {1}, {0.0}}, minus_zero{"zero", "float64", {1}, {-0.0}};
  EXPECT_FATAL_FAILURE(expect_same_bits(minus_zero, zero, "negated"), "negated: entry 0");
}

// Truncating to 16 bits, or rounding twice by way of a coarser type, is not rounding once.
TEST(Golden, SixteenBitResultsMustBeRoundedOnce) {
  static const Case c = load("lucidrains", "half_rotate_bf16");
  static Tensor found = c.output_f64("out");
  found.dtype = "bfloat16";
  for (double& value : found.values)
    value = static_cast<double>(static_cast<Eigen::bfloat16>(static_cast<float>(value)));
  Session(c, false).check("out", found);
  for (std::size_t n = 0; n < found.values.size(); ++n) {
    const double exact = c.output_f64("out").values[n];
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(exact)) & 0xffff0000u;
    found.values[n] = std::bit_cast<float>(bits);
  }
  ::testing::TestPartResultArray failures;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
    Session(c, false).check("out", found);
  }
  EXPECT_GT(failures.size(), 10);
}

TEST(Golden, MissingResultsAreFailures) {
  static const Case c = load("lucidrains", "rotate_call_sequence_cache");
  ::testing::TestPartResultArray failures;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
    Session(c, true).check();
  }
  EXPECT_EQ(failures.size(), 5);
}

}  // namespace
}  // namespace rotary::testing::golden
