// All of the library but `from_config` is without nlohmann/json.
#include <gtest/gtest.h>
#include <rotary/presets.hpp>
#include <rotary/rotary.hpp>

#ifdef INCLUDE_NLOHMANN_JSON_HPP_
#error "a header reached from rotary.hpp includes nlohmann/json"
#endif

namespace rotary::testing {
namespace {

TEST(NoJson, PresetsRotateQueries) {
  const ModelConfiguration model = preset("meta-llama/Llama-3.2-1B");
  const RopeParameters& rope = model.layer(0);
  const RotaryEmbedding<float> rotary_emb(rope.frequencies(), {.pairing = rope.pairing});
  Tensor<float, 4> q(1, 2, 3, 64);
  q.setConstant(1);
  const Tensor<float, 4> rotated = rotary_emb.rotate_queries_or_keys(q);
  EXPECT_EQ(rotated(0, 1, 0, 5), 1);
  EXPECT_NEAR(rotated(0, 1, 2, 0), std::cos(2.0) - std::sin(2.0), 1e-6);
}

}  // namespace
}  // namespace rotary::testing
