// The jobs that a call is divided into.
#include <gtest/gtest.h>

#include <rotary/apply/rotate_sequence.hpp>
#include <rotary/frequencies.hpp>

#include "support/compiled_kernels.hpp"

namespace rotary::testing {
namespace {

struct How {
  HeadLayout layout;
  Direction direction = Direction::forward;
};

/// The job of `count` tokens of `sequences` sequences of a tensor [4, 8, 4096, 64], of which only the address is looked at.
kernels::RotationJob<float, float> job_of(Index sequences, Index count, bool in_place) {
  alignas(64) static float x[64], y[64];
  const StridedView<float> in(x, {4, 8, 4096, 64}), out(in_place ? x : y, {4, 8, 4096, 64});
  const How how{.layout = {.rotary_dim = 64, .pairing = Pairing::half}};
  return detail::block_job(how, detail::TensorPair{in, out, 2}, static_cast<const float*>(x), 0, sequences, 0,
                           count);
}

// A block of tokens is in cache, but the tensor is not: its stores must bypass the caches, and its loads be prefetched.
TEST(RotateSequence, BlocksKnowTheSizeOfTheirCall) {
  constexpr Index kBytes = 4 * 8 * 4096 * 64 * Index{sizeof(float)};
  EXPECT_EQ(job_of(1, 128, true).call_bytes, kBytes);
  EXPECT_EQ(job_of(1, 128, false).call_bytes, 2 * kBytes);
  EXPECT_EQ(job_of(2, 4096, true).call_bytes, kBytes);  // some sequences, all of their tokens
  EXPECT_EQ(job_of(0, 4096, true).call_bytes, 0);       // all: the job itself says how large it is
#if ROTARY_VECTOR_EXTENSIONS
  const auto planned = [](bool in_place) {
    return kernels::plan(job_of(1, 128, in_place), kernels::kIntel, kernels::InstructionSet::avx512);
  };
  EXPECT_TRUE(planned(false).nontemporal);
  EXPECT_EQ(planned(true).prefetch, kernels::kIntel.prefetch_strided);
#endif
}

}  // namespace
}  // namespace rotary::testing
