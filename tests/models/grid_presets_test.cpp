// Presets of vision towers and diffusion models, against the formulas in double.
#include <gtest/gtest.h>
#include <rotary/models/presets/grids.hpp>

#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "support/errors.hpp"

namespace rotary::testing {
namespace {

/// One pair: the axis that rotates it and its frequency.
struct PairOf {
  Index axis;
  double frequency;
};

void expect_pairs(const GridRope& rope, const std::vector<PairOf>& wanted, Index axes) {
  ASSERT_EQ(rope.frequencies.axes, axes);
  ASSERT_EQ(rope.frequencies.pairs(), static_cast<Index>(wanted.size()));
  EXPECT_EQ(rope.head_dim, 2 * static_cast<Index>(wanted.size()));
  EXPECT_EQ(rope.frequencies.magnitude, 1);
  for (Index axis = 0; axis < axes; ++axis)
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double found = rope.frequencies.values[static_cast<std::size_t>(axis) * wanted.size() + i].hi;
      const double right = wanted[i].axis == axis ? wanted[i].frequency : 0;
      ASSERT_NEAR(found, right, 1e-13 * right) << "axis " << axis << ", pair " << i;
    }
}

/// θ^(−2i/d) for the pairs of a block.
void append_block(std::vector<PairOf>& pairs, Index axis, int dim, double theta, double times = 1) {
  for (int i = 0; i < dim / 2; ++i) pairs.push_back({axis, times * std::pow(theta, -2.0 * i / dim)});
}

TEST(GridPresets, VisionTowers) {
  const std::map<std::string, int> qwen = {{"Qwen/Qwen2-VL-7B-Instruct, vision", 80},
                                           {"Qwen/Qwen2.5-VL-7B-Instruct, vision", 80},
                                           {"Qwen/Qwen3-VL-8B-Instruct, vision", 72},
                                           {"zai-org/GLM-4.1V-9B-Thinking, vision", 128}};
  for (const auto& [name, head] : qwen) {
    SCOPED_TRACE(name);
    std::vector<PairOf> pairs;
    append_block(pairs, 0, head / 2, 10000);
    append_block(pairs, 1, head / 2, 10000);
    expect_pairs(grid_preset(name), pairs, 2);
    EXPECT_EQ(grid_preset(name).pairing, Pairing::half);
  }
  std::vector<PairOf> llama;
  append_block(llama, 1, 44, 10000);
  append_block(llama, 0, 44, 10000);
  const GridRope scout = grid_preset("meta-llama/Llama-4-Scout-17B-16E-Instruct, vision");
  expect_pairs(scout, llama, 2);
  EXPECT_EQ(scout.pairing, Pairing::interleaved);
  EXPECT_EQ(scout.coordinates, GridCoordinates::from_one);
  std::vector<PairOf> pixtral;
  for (const int odd : {0, 1})
    for (int i = odd; i < 32; i += 2) pixtral.push_back({odd, std::pow(10000.0, -2.0 * i / 64)});
  expect_pairs(grid_preset("mistralai/Pixtral-12B-2409, vision"), pixtral, 2);
  std::vector<PairOf> dino;
  for (const Index axis : {0, 1}) append_block(dino, axis, 32, 100, 2 * std::numbers::pi);
  expect_pairs(grid_preset("facebook/dinov3-vitb16-pretrain-lvd1689m"), dino, 2);
}

TEST(GridPresets, DiffusionModels) {
  struct Blocks {
    const char* name;
    std::vector<int> dims;
    double theta;
  };
  for (const Blocks& blocks :
       {Blocks{"black-forest-labs/FLUX.1-dev", {16, 56, 56}, 10000},
        Blocks{"black-forest-labs/FLUX.1-schnell", {16, 56, 56}, 10000},
        Blocks{"Qwen/Qwen-Image", {16, 56, 56}, 10000}, Blocks{"tencent/HunyuanVideo", {16, 56, 56}, 256},
        Blocks{"THUDM/CogVideoX-5b", {16, 24, 24}, 10000},
        Blocks{"Wan-AI/Wan2.1-T2V-1.3B", {44, 42, 42}, 10000},
        Blocks{"Wan-AI/Wan2.1-T2V-14B", {44, 42, 42}, 10000}}) {
    SCOPED_TRACE(blocks.name);
    std::vector<PairOf> pairs;
    for (std::size_t axis = 0; axis < blocks.dims.size(); ++axis)
      append_block(pairs, static_cast<Index>(axis), blocks.dims[axis], blocks.theta);
    expect_pairs(grid_preset(blocks.name), pairs, static_cast<Index>(blocks.dims.size()));
    EXPECT_EQ(grid_preset(blocks.name).pairing, Pairing::interleaved);
  }
}

// What an embedding is constructed from.
TEST(GridPresets, FrequenciesAndLayout) {
  for (const char* name : {"Qwen/Qwen2-VL-7B-Instruct, vision", "black-forest-labs/FLUX.1-dev"}) {
    const GridRope rope = grid_preset(name);
    EXPECT_EQ(rope.rope_frequencies().values, rope.frequencies.values);
    EXPECT_EQ(rope.rope_frequencies(1e6).axes, rope.frequencies.axes);
    EXPECT_EQ(rope.layout().pairing, rope.pairing);
    EXPECT_EQ(rope.layout().start_index, 0);
  }
}

TEST(GridPresets, NamesAreKnownOrRefused) {
  std::set<std::string_view> names;
  for (const std::string_view name : grid_preset_names()) {
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_GT(grid_preset(name).frequencies.pairs(), 0) << name;
  }
  expect_error([] { grid_preset("nobody/nothing"); }, {"nobody/nothing", "grid_preset_names"});
}

}  // namespace
}  // namespace rotary::testing
