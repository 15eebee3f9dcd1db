// The parameters of a layer, and what follows from them.
#include <gtest/gtest.h>

#include <rotary/models/rope_parameters.hpp>

namespace rotary::testing {
namespace {

TEST(RopeParameters, HaveALayoutWithBothPairings) {
  for (const Pairing in : {Pairing::half, Pairing::interleaved})
    for (const Pairing out : {Pairing::half, Pairing::interleaved}) {
      const RopeParameters rope{
          .head_dim = 8, .rotary_dim = 4, .start_index = 2, .pairing = in, .output_pairing = out};
      const HeadLayout layout = rope.layout();
      EXPECT_EQ(layout.rotary_dim, 4);
      EXPECT_EQ(layout.start_index, 2);
      EXPECT_EQ(layout.pairing, in);
      EXPECT_EQ(layout.output_pairing.has_value(), in != out);
      EXPECT_EQ(layout.output_pairing.value_or(in), out);
    }
}

TEST(RopeParameters, WithoutAnOutputPairingWriteTheirOwn) {
  EXPECT_EQ((RopeParameters{.head_dim = 8, .pairing = Pairing::interleaved}).output_pairing,
            Pairing::interleaved);
  EXPECT_EQ((RopeParameters{.head_dim = 8}).rotary_dim, 8);
}

}  // namespace
}  // namespace rotary::testing
