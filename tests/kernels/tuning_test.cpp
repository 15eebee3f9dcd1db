// What `rotate` plans for typical jobs, and that the plan is what a reader of tuning.hpp expects.
#include <gtest/gtest.h>

#include <rotary/kernels/rotate.hpp>
#include <rotary/kernels/testing.hpp>
#include <thread>
#include <vector>

#if ROTARY_VECTOR_EXTENSIONS
namespace {

using namespace rotary;
using namespace rotary::kernels;

/// A tensor [heads, tokens, head_dim], or [tokens, heads, head_dim] if `tokens_outside`, of which
/// `rotary_dim` features rotate.
struct Shape {
  Index heads, tokens, head_dim, rotary_dim = 0;
  bool tokens_outside = false, in_place = true;
  Pairing in = Pairing::half, out = Pairing::half;
};

/// The plan for such a tensor in memory that starts with a cache line.
template <class X = float>
Plan planned(const Shape& shape, const Tuning& tuning = kOther, InstructionSet set = InstructionSet::avx512,
             Index call_bytes = 0) {
  using Row = rotary::detail::Arithmetic<X, float>;
  alignas(64) static X in[64], out[64];
  static Row rows[64];
  RotationJob<X, Row> job;
  job.in = in, job.out = shape.in_place ? in : out, job.rows = rows;
  job.in_pairing = shape.in, job.out_pairing = shape.out, job.row_pairing = shape.in;
  const Index rotary_dim = shape.rotary_dim == 0 ? shape.head_dim : shape.rotary_dim;
  job.pairs = rotary_dim / 2;
  job.untouched_after = shape.head_dim - rotary_dim;
  const Index head = shape.tokens_outside ? shape.head_dim : shape.tokens * shape.head_dim,
              token = shape.tokens_outside ? shape.heads * shape.head_dim : shape.head_dim;
  job.add_axis({shape.heads, head, head, 0});
  job.add_axis({shape.tokens, token, token, rotary_dim});
  job.call_bytes = call_bytes;
  return plan(job, tuning, set);
}

TEST(Tuning, OneTokenIsASingleCall) {
  const Plan plan = planned({.heads = 32, .tokens = 1, .head_dim = 128});
  EXPECT_EQ(to_string(plan), "fixed width, tokens per block 1, heads per group 32");
}

TEST(Tuning, APlanCanBePrinted) {
  const Plan plan{.kernel = Kernel::any_width,
                  .tokens_per_block = 1,
                  .heads_per_group = 2,
                  .heads_per_pass = 3,
                  .heads_together = 4,
                  .prefetch = 5,
                  .prefetch_windows = true,
                  .nontemporal = true};
  EXPECT_EQ(to_string(plan),
            "any width, tokens per block 1, heads per group 2, heads per pass 3, heads loaded together 4, "
            "prefetch distance 5, windows prefetched, non-temporal stores");
  EXPECT_EQ(to_string(Plan{.kernel = Kernel::fixed_width}), "fixed width");
}

TEST(Tuning, AdjacentHeadsPassTogether) {
  const Plan plan = planned({.heads = 8, .tokens = 1024, .head_dim = 64, .tokens_outside = true});
  EXPECT_EQ(plan.kernel, Kernel::fixed_width);
  EXPECT_EQ(plan.heads_per_group, 8);
}

TEST(Tuning, StridedHeadsInCacheAreLoadedTogether) {
  const Shape shape{.heads = 8, .tokens = 1024, .head_dim = 64};
  EXPECT_EQ(planned(shape).kernel, Kernel::strided_heads);
  EXPECT_EQ(planned(shape).heads_together, kOther.together_half_float);
  EXPECT_EQ(planned<double>(shape).kernel, Kernel::strided_heads);
  EXPECT_EQ(planned<double>(shape).heads_together, kOther.together_half_double);
  Shape apart = shape;
  apart.in_place = false;
  EXPECT_EQ(planned(apart).heads_together, kOther.together_out_of_place);
}

TEST(Tuning, StridedHeadsOf16BitScalarsPassTwoByTwo) {
  const Shape shape{.heads = 8, .tokens = 1024, .head_dim = 64};
  for (const Plan& plan : {planned<Eigen::bfloat16>(shape), planned<Eigen::half>(shape)}) {
    EXPECT_EQ(plan.kernel, Kernel::fixed_width);
    EXPECT_EQ(plan.heads_per_group, 2);
  }
  // One by one where features that do not rotate lie between the windows.
  EXPECT_EQ(
      planned<Eigen::half>({.heads = 8, .tokens = 1024, .head_dim = 128, .rotary_dim = 64}).heads_per_group,
      kOther.strided_heads_16_bit_gaps);
  // In the first level cache, all of them.
  EXPECT_EQ(planned<Eigen::bfloat16>({.heads = 8, .tokens = 32, .head_dim = 64}).heads_per_group, 8);
}

TEST(Tuning, UntouchedFeaturesAreCopiedInTheOrderOfMemory) {
  Shape shape{.heads = 8, .tokens = 1024, .head_dim = 128, .rotary_dim = 64, .in_place = false};
  EXPECT_EQ(planned(shape).kernel, Kernel::in_order);
  EXPECT_EQ(planned(shape).heads_per_group, kOther.strided_heads_copied);
  EXPECT_EQ(planned<Eigen::bfloat16>(shape).heads_per_group, kOther.strided_heads_16_bit);
  Shape in_memory = shape;
  in_memory.tokens = 65536;
  EXPECT_FALSE(planned(in_memory).nontemporal);
  shape.tokens_outside = true;
  EXPECT_EQ(planned(shape).heads_per_group, 8);
  shape.in_place = true;
  EXPECT_EQ(planned(shape).kernel, Kernel::fixed_width);
}

TEST(Tuning, ATokenBeyondTheFirstLevelCacheGoesInTheOrderOfMemory) {
  Shape token{.heads = 32, .tokens = 1, .head_dim = 128, .in_place = false};
  EXPECT_EQ(planned(token).kernel, Kernel::fixed_width);
  EXPECT_EQ(planned<double>(token).kernel, Kernel::in_order);
  token.in_place = true;
  EXPECT_EQ(planned<double>(token).kernel, Kernel::fixed_width);
}

TEST(Tuning, PairingsThatDifferTakeOnePass) {
  Shape shape{.heads = 128, .tokens = 1, .head_dim = 64, .in = Pairing::interleaved, .out = Pairing::half};
  EXPECT_EQ(planned(shape).kernel, Kernel::mixed_pairings);
  shape.head_dim = 4 * kMixedWindowBytes;
  EXPECT_EQ(planned(shape).kernel, Kernel::reference);  // the window does not fit on the stack
  shape.in_place = false;
  EXPECT_EQ(planned(shape).kernel, Kernel::mixed_pairings);
}

TEST(Tuning, TensorsInMemory) {
  const Shape in_place{.heads = 32, .tokens = 8192, .head_dim = 128, .tokens_outside = true};
  EXPECT_EQ(planned(in_place).kernel, Kernel::fixed_width);
  EXPECT_EQ(planned(in_place, kIntel).kernel, Kernel::any_width);
  EXPECT_EQ(planned(in_place, kIntel).prefetch, kIntel.prefetch_adjacent);
  EXPECT_TRUE(planned<double>(in_place).prefetch_windows);  // 1 KiB wide

  Shape apart = in_place;
  apart.in_place = false;
  EXPECT_TRUE(planned(apart).nontemporal);
  EXPECT_FALSE(planned(apart, kZen5).nontemporal);
  EXPECT_TRUE(planned<double>(apart, kZen5).nontemporal);  // wide windows
  EXPECT_FALSE(planned(apart, kOther, InstructionSet::baseline).nontemporal &&
               !is_fused(InstructionSet::baseline));
  // Rows of a block stay in the second level cache.
  const Shape strided{.heads = 32, .tokens = 8192, .head_dim = 128};
  EXPECT_EQ(planned(strided).tokens_per_block * 128 * Index{sizeof(float)}, kOther.row_block_bytes);
  EXPECT_EQ(planned(strided).heads_per_group, 4);
}

// Rows come in blocks: a job is small where the tensor, of which it rotates some tokens, is not.
TEST(Tuning, PartsOfTensorsInMemory) {
  const Shape part{.heads = 4, .tokens = 128, .head_dim = 128, .in_place = false};
  EXPECT_FALSE(planned(part).nontemporal);
  EXPECT_TRUE(planned(part, kOther, InstructionSet::avx512, kOther.cached_bytes + 1).nontemporal);
  EXPECT_EQ(planned(part, kIntel, InstructionSet::avx512, kIntel.cached_bytes + 1).prefetch,
            kIntel.prefetch_strided);
}

TEST(Tuning, StridedFeatures) {
  RotationJob<float, float> job;
  float x[8 * 4 * 2], row[8 * 4];
  job.in = job.out = x, job.rows = row;
  job.pairs = 2, job.in_feature = job.out_feature = 8;
  job.add_axis({2, 32, 32, 0});
  job.add_axis({8, 1, 1, 4});
  EXPECT_EQ(plan(job, kOther, InstructionSet::avx2).kernel, Kernel::strided_features);
  job.second_row = 32;
  EXPECT_EQ(to_string(plan(job, kOther, InstructionSet::avx2)), "reference");
}

// Other threads change the forced instruction set all the time: a rotation never notices.
TEST(Tuning, ForcingAnInstructionSetAffectsNoRotationThatRuns) {
  constexpr Index kTokens = 300, kHeads = 3, kDim = 64;
  std::vector<float> in(kTokens * kHeads * kDim), rows(kTokens * kDim), wanted(in.size());
  for (std::size_t n = 0; n < in.size(); ++n) in[n] = static_cast<float>(n % 101) - 50;
  for (std::size_t n = 0; n < rows.size(); ++n) rows[n] = static_cast<float>(n % 37) / 37;
  const auto job = [&](std::vector<float>& out) {
    RotationJob<float, float> result;
    result.in = in.data(), result.out = out.data(), result.rows = rows.data(), result.pairs = kDim / 2;
    result.add_axis({kHeads, kTokens * kDim, kTokens * kDim, 0});
    result.add_axis({kTokens, kDim, kDim, kDim});
    return result;
  };
  rotate_reference(job(wanted));
  const InstructionSet best = instruction_set();
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (int n = 0; !stop; ++n) {
      force_instruction_set(static_cast<InstructionSet>(n % 3));
      force_cpu_vendor(n % 2 == 0 ? CpuVendor::intel : CpuVendor::other);
    }
  });
  for (int n = 0; n < 200; ++n) {
    std::vector<float> out(in.size());
    rotate(job(out));
    EXPECT_EQ(out, wanted);
  }
  stop = true;
  other.join();
  force_instruction_set(best);
}

}  // namespace
#endif  // ROTARY_VECTOR_EXTENSIONS
