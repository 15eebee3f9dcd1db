#include <rotary/frequencies/mrope_axes.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/positions/token_positions.hpp>
#include <rotary/rotary_embedding.hpp>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

using Axes = std::vector<Index>;

/// Axes 0, 1, 2, 3 as T, H, W, E.
std::string text_of(const Axes& axes) {
  std::string text;
  for (const Index axis : axes) text += "THWE"[axis];
  return text;
}

// --- published orders

TEST(MropeAxes, AreThoseOfEveryListedModel) {
  const auto chunked = [](const Axes& sections) { return mrope_axes_chunked(sections); };
  const auto interleaved = [](const Axes& sections) { return mrope_axes_interleaved(sections); };
  const auto ernie = [](const Axes& s) { return mrope_axes_ernie({s.at(0), s.at(1), s.at(2)}); };
  const auto ggml = [](Index pairs) {
    return [=](const Axes& s) { return mrope_axes_ggml({s.at(0), s.at(1), s.at(2), s.at(3)}, pairs); };
  };
  const auto ggml_interleaved = [](Index pairs) {
    return [=](const Axes& s) {
      return mrope_axes_ggml_interleaved({s.at(0), s.at(1), s.at(2), s.at(3)}, pairs);
    };
  };
  const std::map<std::string, std::function<Axes(const Axes&)>> rules = {
      {"qwen2vl_chunked", chunked},
      {"qwen3vl_interleaved", interleaved},
      {"qwen3vl_interleaved_as_ggml_imrope", ggml_interleaved(64)},
      {"qwen35_interleaved", interleaved},
      {"ernie45_vl", ernie},
      {"glm4v_chunked", chunked},
      {"ggml_doc_example_mrope", ggml(8)},
      {"ggml_code_imrope_4_2_2_0", ggml_interleaved(8)},
  };
  std::ifstream file(ROTARY_TEST_DATA_DIR "/expected_frequencies.json");
  ASSERT_TRUE(file) << "tests/golden/expected_frequencies.json is missing";
  const auto maps = nlohmann::json::parse(file).at("axis_maps");
  EXPECT_EQ(maps.size(), rules.size());
  for (const auto& map : maps) {
    const std::string id = map.at("id");
    SCOPED_TRACE(id);
    ASSERT_TRUE(rules.contains(id));
    const char* key = map.contains("mrope_section")   ? "mrope_section"
                      : map.contains("section_h_w_t") ? "section_h_w_t"
                                                      : "sections";
    EXPECT_EQ(text_of(rules.at(id)(map.at(key).get<Axes>())), map.at("axis_per_pair").get<std::string>());
  }
}

// The tail of the interleaved order is one of the places where systems differ: Hugging Face, vLLM and SGLang
// give it to time, ggml to its fourth stream. Models are trained with the former, so it is the default, and
// ggml's order has its own function.
TEST(MropeAxes, InterleavedTailIsTimeAndGgmlsIsNot) {
  const Axes ours = mrope_axes_interleaved({24, 20, 20});
  const Axes ggml = mrope_axes_ggml_interleaved({24, 20, 20, 0}, 64);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const bool differs = i == 61 || i == 62;
    EXPECT_EQ(ours[i] != ggml[i], differs) << i;
    if (differs) {
      EXPECT_EQ(ours[i], 0);
      EXPECT_EQ(ggml[i], 3);
    }
  }
  EXPECT_EQ(mrope_axes_interleaved({11, 11, 10}), mrope_axes_ggml_interleaved({11, 11, 10, 0}, 32));
}

TEST(MropeAxes, InterleavedTakesAnyNumberOfAxes) {
  EXPECT_EQ(mrope_axes_interleaved({5}), Axes({0, 0, 0, 0, 0}));
  EXPECT_EQ(mrope_axes_interleaved({3, 2}), Axes({0, 1, 0, 1, 0}));
  EXPECT_EQ(mrope_axes_interleaved({3, 1, 2, 2}), Axes({0, 1, 2, 3, 0, 0, 2, 3}));
  // More pairs for the height than every third: it gets every third, as in the published code.
  EXPECT_EQ(text_of(mrope_axes_interleaved({2, 4, 2})), "THWTHWTH");
}

TEST(MropeAxes, OfHunYuanAreFourWholeSections) {
  EXPECT_EQ(mrope_axes_chunked({2, 1, 0, 3}), Axes({0, 0, 1, 3, 3, 3}));
}

// The short ones are from tests published with implementations of the order. The long ones come from the rule
// in exact fractions; for [24, 20, 20] it is another order than Qwen3-VL's.
TEST(MropeAxes, OfOpenPanguServeTheAxisFurthestBehind) {
  EXPECT_EQ(mrope_axes_openpangu({2, 2}), Axes({0, 1, 0, 1}));
  EXPECT_EQ(mrope_axes_openpangu({2, 3, 3}), Axes({0, 1, 2, 1, 2, 1, 2, 0}));
  EXPECT_EQ(mrope_axes_openpangu({1, 2}), Axes({0, 1, 1}));
  EXPECT_EQ(mrope_axes_openpangu({1, 0, 0}), Axes({0}));
  EXPECT_EQ(mrope_axes_openpangu({3, 0, 0}), Axes({0, 0, 0}));

  EXPECT_EQ(text_of(mrope_axes_openpangu({24, 20, 20})),
            "THWTHWTHWTHWTHWTHWTHWTHTWTHWTHWTHWTHWTHWTHWTHTWTHWTHWTHWTHWTHWTT");
  EXPECT_EQ(text_of(mrope_axes_openpangu({16, 24, 24})),
            "THWHWTHWHWTHWTHWHWTHWTHWHWTHWHWTHWTHWHWTHWTHWHWTHWHWTHWTHWHWTHWT");
}

TEST(MropeAxes, GgmlBeginsItsSectionsAnew) {
  EXPECT_EQ(text_of(mrope_axes_ggml({1, 1, 1, 1}, 6)), "THWETH");
  EXPECT_EQ(text_of(mrope_axes_ggml({0, 2, 0, 1}, 6)), "HHEHHE");
  EXPECT_EQ(text_of(mrope_axes_ggml_interleaved({1, 1, 1, 0}, 7)), "THWTHWT");
  EXPECT_EQ(text_of(mrope_axes_ggml_interleaved({2, 1, 1, 0}, 8)), "THWTTHWT");
  EXPECT_TRUE(mrope_axes_ggml({0, 0, 0, 0}, 0).empty());
}

// --- laws

TEST(MropeAxes, EverySectionGetsItsPairs) {
  Random random(811);
  SCOPED_TRACE(random.replay());
  const auto counts = [](const Axes& axes, std::size_t n) {
    Axes found(n, 0);
    for (const Index axis : axes) ++found.at(static_cast<std::size_t>(axis));
    return found;
  };
  for (int round = 0; round < 200; ++round) {
    const Axes sections = {random.integer<Index>(1, 30), random.integer<Index>(0, 30),
                           random.integer<Index>(0, 30)};
    EXPECT_EQ(counts(mrope_axes_chunked(sections), 3), sections);
    EXPECT_EQ(counts(mrope_axes_openpangu(sections), 3), sections);
    const Index hw = sections[1], time = sections[0];
    EXPECT_EQ(counts(mrope_axes_ernie({hw, hw, time}), 3), Axes({time, hw, hw}));
    const Index pairs = sections[0] + sections[1] + sections[2];
    EXPECT_EQ(mrope_axes_ggml({sections[0], sections[1], sections[2], 0}, pairs),
              mrope_axes_chunked(sections));
  }
}

TEST(MropeAxes, EqualCoordinatesRotateAsPlainRope) {
  Random random(812);
  SCOPED_TRACE(random.replay());
  const Frequencies plain = language_frequencies(128, 1000000);
  for (const Axes& axes :
       {mrope_axes_chunked({16, 24, 24}), mrope_axes_interleaved({24, 20, 20}),
        mrope_axes_ernie({22, 22, 20}), mrope_axes_openpangu({24, 20, 20}),
        mrope_axes_ggml({16, 24, 24, 0}, 64), mrope_axes_ggml_interleaved({24, 20, 20, 0}, 64)})
    for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
      const std::int64_t first = random.integer<std::int64_t>(-1000000, 1000000);
      TokenPositions tokens(4);
      for (Index n = 0; n < 9; ++n) tokens.append({first + n, first + n, first + n, first + n});
      const CosSinTable<float> table(on_axes(plain, axes, 4), tokens.positions(), {.pairing = pairing});

      Tensor<float, 4> x(2, 3, 9, 160);
      random.fill(x);
      const Tensor<float, 4> rotated = apply_rotary_emb(table, x);
      const Tensor<float, 4> expected =
          RotaryEmbedding<float>(plain, {.pairing = pairing}).rotate_queries_or_keys(x, {.offset = first});
      for (Index i = 0; i < x.size(); ++i) ASSERT_EQ(rotated.data()[i], expected.data()[i]) << i;
    }
}

TEST(MropeAxes, APairRotatesByItsOwnCoordinateAlone) {
  const Frequencies plain = language_frequencies(16);
  const Axes axes = mrope_axes_interleaved({4, 2, 2});
  TokenPositions tokens(3);
  tokens.append({5, 7, 11});
  const CosSinTable<double> table(on_axes(plain, axes, 3), tokens.positions(), {.pairing = Pairing::half});
  const double coordinates[] = {5, 7, 11};
  for (Index i = 0; i < 8; ++i) {
    const double angle = coordinates[axes[static_cast<std::size_t>(i)]] *
                         static_cast<double>(plain.values[static_cast<std::size_t>(i)]);
    EXPECT_NEAR(table.cos(0, i), std::cos(angle), 1e-14) << i;
    EXPECT_NEAR(table.sin(0, i), std::sin(angle), 1e-14) << i;
  }
}

// --- errors

TEST(MropeAxes, RefuseSectionsThatAreNone) {
  EXPECT_EQ(error_of_call([] {
              mrope_axes_chunked({16, -24, 24});
            }),
            "rotary: section 1 has -24 pairs, the number must not be negative");
  EXPECT_EQ(error_of_call([] { mrope_axes_interleaved({}); }),
            "rotary: found no section, M-RoPE needs one for every axis");
  EXPECT_THROW(mrope_axes_interleaved({2, 2, -1}), std::invalid_argument);
  EXPECT_THROW(mrope_axes_openpangu({2, 2, -1}), std::invalid_argument);
  EXPECT_THROW(mrope_axes_ernie({2, 2, -1}), std::invalid_argument);
  EXPECT_THROW(mrope_axes_ggml({2, 2, -1, 0}, 8), std::invalid_argument);
  EXPECT_THROW(mrope_axes_ggml_interleaved({2, 2, -1, 0}, 8), std::invalid_argument);
  EXPECT_EQ(error_of_call([] {
              mrope_axes_ernie({22, 21, 20});
            }),
            "rotary: ERNIE's sections are 22 for height and 21 for width, they must be equal");
  EXPECT_EQ(error_of_call([] {
              mrope_axes_openpangu({0, 4, 4});
            }),
            "rotary: openPangu's section of time has no pair, it must have at least 1");
  EXPECT_EQ(error_of_call([] {
              mrope_axes_openpangu({1, 1, 1, 1});
            }),
            "rotary: openPangu has 2 or 3 sections, found 4");
  EXPECT_EQ(error_of_call([] {
              mrope_axes_ggml({0, 0, 0, 0}, 4);
            }),
            "rotary: all sections are empty, there must be a pair in one of them");
  EXPECT_THROW(mrope_axes_ggml({1, 1, 1, 1}, -1), std::invalid_argument);
}

TEST(MropeAxes, RefuseSectionsBeyondAllMemory) {
  for (const Index section : {PTRDIFF_MAX, PTRDIFF_MAX / 2}) {
    EXPECT_THROW(mrope_axes_chunked({section, section, 1}), std::invalid_argument);
    EXPECT_THROW(mrope_axes_chunked({section}), std::invalid_argument);
    EXPECT_THROW(mrope_axes_interleaved({section, 1}), std::invalid_argument);
    EXPECT_THROW(mrope_axes_openpangu({section, 1}), std::invalid_argument);
    EXPECT_THROW(mrope_axes_ernie({section, section, 1}), std::invalid_argument);
    EXPECT_THROW(mrope_axes_ggml({section, 1, 0, 0}, 4), std::invalid_argument);
    EXPECT_THROW(mrope_axes_ggml({1, 1, 1, 1}, section), std::invalid_argument);
  }
}

TEST(MropeAxes, SectionsMustAddUpToThePairs) {
  EXPECT_EQ(error_of_call([] {
              on_axes(language_frequencies(128), mrope_axes_chunked({16, 24, 23}), 3);
            }),
            "rotary: an axis for each of 64 pairs is wanted, found 63");
}

}  // namespace
}  // namespace rotary::testing
