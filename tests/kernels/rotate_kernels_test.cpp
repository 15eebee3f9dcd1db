// The fast kernels against the reference: every instruction set, scalar, pairing, size and misalignment, bit
// for bit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <rotary/kernels/rotate.hpp>
#include <rotary/kernels/testing.hpp>
#include <vector>

#include "support/compiled_kernels.hpp"
#include "support/lane_sizes.hpp"
#include "support/random.hpp"

namespace {

using rotary::Index;
using rotary::Pairing;
using rotary::kernels::RotationJob;
using rotary::testing::kWidestLanes;
using rotary::testing::sizes_around;

#if ROTARY_VECTOR_EXTENSIONS
using rotary::kernels::InstructionSet;
constexpr InstructionSet kInstructionSets[] = {InstructionSet::baseline, InstructionSet::avx2,
                                               InstructionSet::avx512};
bool force(InstructionSet set) { return rotary::kernels::force_instruction_set(set) == set; }

/// check() with the tuning of every vendor.
template <class Check>
void with_every_tuning(const Check& check) {
  using rotary::kernels::CpuVendor;
  const CpuVendor own = rotary::kernels::cpu_vendor();
  for (const auto vendor : {CpuVendor::intel, CpuVendor::amd_zen5, CpuVendor::other}) {
    SCOPED_TRACE(::testing::Message() << "vendor " << static_cast<int>(vendor));
    rotary::kernels::force_cpu_vendor(vendor);
    check();
  }
  rotary::kernels::force_cpu_vendor(own);
}
#else
enum class InstructionSet { baseline };
constexpr InstructionSet kInstructionSets[] = {InstructionSet::baseline};
bool force(InstructionSet) { return true; }

template <class Check>
void with_every_tuning(const Check& check) {
  check();
}
#endif

/// Numbers that are copied as bytes: without optimisation, a vector of 16-bit numbers is copied one by one.
template <class X>
class Elements {
 public:
  explicit Elements(std::size_t size) : bytes_(size * sizeof(X)) {}
  std::size_t size() const { return bytes_.size() / sizeof(X); }
  X* data() { return reinterpret_cast<X*>(bytes_.data()); }
  const X* data() const { return reinterpret_cast<const X*>(bytes_.data()); }
  X& operator[](std::size_t n) { return data()[n]; }
  const X& operator[](std::size_t n) const { return data()[n]; }
  X* begin() { return data(); }
  X* end() { return data() + size(); }
  bool operator==(const Elements&) const = default;  // of bits

 private:
  std::vector<unsigned char> bytes_;
};

/// A tensor [others, seq, head_dim] with room to be misaligned, its mirror image in storage orders, and its
/// rows.
template <class X, class Row>
struct Problem {
  Index others, seq, head_dim, pairs, start, shift;
  Pairing pairing;
  bool backwards;
  Elements<X> in, out;
  Elements<Row> rows;

  Problem(Index o, Index n, Index d, Index p, Index s, Index misalignment, Pairing pair, bool back,
          std::uint64_t seed)
      : others(o),
        seq(n),
        head_dim(d),
        pairs(p),
        start(s),
        shift(misalignment),
        pairing(pair),
        backwards(back),
        in(static_cast<std::size_t>(o * n * d + misalignment)),
        out(in.size()),
        rows(static_cast<std::size_t>(2 * n * p)) {
    rotary::testing::Random random(seed);
    for (X& x : in) x = static_cast<X>(static_cast<float>(random.normal()));
    for (Row& r : rows) r = static_cast<Row>(random.uniform(-1, 1));
  }

  /// Strides of (others, seq, feature), so that any of them can be the fastest.
  RotationJob<X, Row> job(Index other_step, Index seq_step, Index feature_step, bool in_place) {
    RotationJob<X, Row> result;
    result.in = (in_place ? out : in).data() + shift + start * feature_step;
    result.out = out.data() + shift + start * feature_step;
    result.rows = rows.data();
    result.pairs = pairs;
    result.set_pairing(pairing);
    result.negate_sin = backwards;
    result.axis_count = 2;
    result.axes[0] = {others, other_step, other_step, 0};
    result.axes[1] = {seq, seq_step, seq_step, 2 * pairs};
    result.untouched_before = start;
    result.untouched_after = head_dim - start - 2 * pairs;
    result.in_feature = result.out_feature = feature_step;
    return result;
  }
};

/// Which pairings a job reads, writes and takes rows in.
struct Pairings {
  Pairing in, out, row;
};

/// Runs one job out of place and in place with every instruction set, and compares it with the reference.
template <class X, class Row>
void check_job(const Problem<X, Row>& problem, const std::array<Index, 3>& steps, const Pairings& pairings) {
  const auto run = [&](Problem<X, Row>& on, bool in_place, const auto& rotate) {
    auto job = on.job(steps[0], steps[1], steps[2], in_place);
    job.in_pairing = pairings.in, job.out_pairing = pairings.out, job.row_pairing = pairings.row;
    rotate(std::move(job));
  };
  Problem<X, Row> expected = problem;
  run(expected, false, [](auto&& job) { rotary::kernels::rotate_reference(job); });
  for (const InstructionSet set : kInstructionSets) {
    if (!force(set)) continue;  // this machine lacks it
    SCOPED_TRACE(::testing::Message() << "instruction set " << static_cast<int>(set) << ", pairings "
                                      << static_cast<int>(pairings.in) << static_cast<int>(pairings.out)
                                      << static_cast<int>(pairings.row) << ", backwards " << problem.backwards
                                      << ", steps " << steps[0] << ' ' << steps[1] << ' ' << steps[2]);
    Problem<X, Row> apart = problem;
    run(apart, false, [](auto&& job) { rotary::kernels::rotate(std::move(job)); });
    Problem<X, Row> in_place = problem;
    std::memcpy(static_cast<void*>(in_place.out.data() + problem.shift), problem.in.data() + problem.shift,
                (problem.in.size() - static_cast<std::size_t>(problem.shift)) * sizeof(X));
    run(in_place, true, [](auto&& job) { rotary::kernels::rotate(std::move(job)); });
    EXPECT_TRUE(apart.out == in_place.out);
    EXPECT_TRUE(apart.out == expected.out);
    if (::testing::Test::HasFailure()) return;
  }
}

/// Jobs of this size in every order of axes, with every pairing, forward and backwards; with features that are
/// contiguous, in every mixture of pairings too.
template <class X, class Row>
void check(Index others, Index seq, Index head_dim, Index pairs, Index start, Index shift,
           std::uint64_t seed) {
  constexpr Pairing kHalf = Pairing::half, kInterleaved = Pairing::interleaved;
  // Row-major [o, n, d], [n, o, d]; with features last, [d, n, o] and [d, o, n]; between the others,
  // [o, d, n] and [n, d, o].
  const std::array<std::array<Index, 3>, 6> orders{{{seq * head_dim, head_dim, 1},
                                                    {head_dim, others * head_dim, 1},
                                                    {1, others, others * seq},
                                                    {seq, 1, others * seq},
                                                    {seq * head_dim, 1, seq},
                                                    {1, others * head_dim, others}}};
  for (const bool backwards : {false, true}) {
    const Problem<X, Row> problem(others, seq, head_dim, pairs, start, shift, kHalf, backwards, seed);
    for (const auto& steps : orders) {
      for (const Pairings& pairings :
           {Pairings{kHalf, kHalf, kHalf}, Pairings{kInterleaved, kInterleaved, kInterleaved},
            Pairings{kInterleaved, kHalf, kInterleaved}, Pairings{kHalf, kInterleaved, kInterleaved},
            Pairings{kInterleaved, kHalf, kHalf}, Pairings{kHalf, kHalf, kInterleaved}}) {
        // Other orders mix pairings in the same way: half of them will do.
        const bool mixed = pairings.in != pairings.out || pairings.in != pairings.row;
        if (mixed && backwards && steps[2] != 1) continue;
        check_job(problem, steps, pairings);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

template <class Types>
class RotateKernels : public ::testing::Test {};

template <class First, class Second>
struct Types {
  using X = First;
  using Row = Second;
};
using AllTypes =
    ::testing::Types<Types<float, float>, Types<double, double>, Types<float, double>, Types<double, float>,
                     Types<Eigen::half, float>, Types<Eigen::bfloat16, float>, Types<Eigen::half, double>,
                     Types<Eigen::bfloat16, double>>;
TYPED_TEST_SUITE(RotateKernels, AllTypes);

TYPED_TEST(RotateKernels, EverySizeUpToFourVectors) {
  for (Index pairs = 1; pairs <= 4 * kWidestLanes<float> + 1; ++pairs) {
    SCOPED_TRACE(::testing::Message() << pairs << " pairs");
    check<typename TypeParam::X, typename TypeParam::Row>(2, 3, 2 * pairs, pairs, 0, 0,
                                                          static_cast<std::uint64_t>(pairs));
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RotateKernels, EveryMisalignment) {
  for (Index shift = 1; shift < kWidestLanes<typename TypeParam::X>; ++shift) {
    SCOPED_TRACE(::testing::Message() << "shifted by " << shift);
    check<typename TypeParam::X, typename TypeParam::Row>(3, 2, 2 * 21 + 5, 21, 3, shift, 77);
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RotateKernels, EveryRunLength) {
  for (Index count = 1; count <= 40; ++count) {
    SCOPED_TRACE(::testing::Message() << "runs of " << count);
    check<typename TypeParam::X, typename TypeParam::Row>(count, 2, 13, 6, 1, 0,
                                                          static_cast<std::uint64_t>(count));
    check<typename TypeParam::X, typename TypeParam::Row>(2, count, 13, 6, 1, 0,
                                                          static_cast<std::uint64_t>(count));
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RotateKernels, EveryNumberOfNeighbours) {
  for (const Index heads : {1, 2, 3, 4, 5, 8, 12, 16, 17, 32}) {
    for (const Index seq : {Index{9}, 2 * kWidestLanes<typename TypeParam::X> + 6}) {
      SCOPED_TRACE(::testing::Message() << heads << " heads, " << seq << " tokens");
      check<typename TypeParam::X, typename TypeParam::Row>(heads, seq, 2 * 17 + 3, 17, 2, 1,
                                                            static_cast<std::uint64_t>(heads * seq));
      if (this->HasFailure()) return;
    }
  }
}

TYPED_TEST(RotateKernels, HeadsFarApart) {
  for (const Index heads : {2, 3, 4, 9}) {
    for (const Index pairs : {32, 64}) {
      SCOPED_TRACE(::testing::Message() << heads << " heads, " << pairs << " pairs");
      with_every_tuning([=] {
        check<typename TypeParam::X, typename TypeParam::Row>(heads, 13, 2 * pairs + 3, pairs, 2, 1,
                                                              static_cast<std::uint64_t>(heads * pairs));
      });
      if (this->HasFailure()) return;
    }
  }
}

// Untouched features are copied by four vectors, by one, by narrow ones and one by one.
TYPED_TEST(RotateKernels, EveryNumberOfUntouchedFeatures) {
  std::vector<Index> sizes = sizes_around(kWidestLanes<typename TypeParam::X>);
  sizes.push_back(0);
  for (const Index before : sizes) {
    const Index after = (before * 5 + 3) % 131;
    SCOPED_TRACE(::testing::Message() << before << " features before the window, " << after << " after");
    check<typename TypeParam::X, typename TypeParam::Row>(2, 3, before + 2 * 32 + after, 32, before, 1,
                                                          static_cast<std::uint64_t>(before));
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RotateKernels, MoreTokensThanABlock) {
  for (const Index heads : {1, 3}) {
    SCOPED_TRACE(::testing::Message() << heads << " heads");
    check<typename TypeParam::X, typename TypeParam::Row>(heads, 1100, 2 * 9, 9, 0, 0, 5);
    if (this->HasFailure()) return;
  }
}

/// `x` with the pairs of every window of `2 * pairs` elements moved from one pairing to the other.
template <class X>
Elements<X> reordered(const Elements<X>& x, Index pairs, Pairing from, Pairing to) {
  const auto source = rotary::kernels::pair_strides(from, pairs),
             target = rotary::kernels::pair_strides(to, pairs);
  Elements<X> result(x.size());
  for (Index window = 0; window < static_cast<Index>(x.size()); window += 2 * pairs)
    for (Index i = 0; i < pairs; ++i)
      for (Index member : {0, 1})
        result[static_cast<std::size_t>(window + i * target.pair + member * target.partner)] =
            x[static_cast<std::size_t>(window + i * source.pair + member * source.partner)];
  return result;
}

// The reference reads, writes and takes rows in any pairing: as if everything were reordered around it.
TYPED_TEST(RotateKernels, ReferenceOfMixedPairings) {
  using X = typename TypeParam::X;
  using Row = typename TypeParam::Row;
  constexpr Index kPairs = 5, kHeads = 3, kTokens = 4;
  constexpr Pairing kPairings[] = {Pairing::half, Pairing::interleaved};
  for (const Pairing in : kPairings)
    for (const Pairing out : kPairings)
      for (const Pairing row : kPairings)
        for (const bool backwards : {false, true}) {
          Problem<X, Row> problem(kHeads, kTokens, 2 * kPairs, kPairs, 0, 0, in, backwards, 3);
          auto expected = problem;
          rotary::kernels::rotate_reference(expected.job(kTokens * 2 * kPairs, 2 * kPairs, 1, false));
          const auto wanted = reordered(expected.out, kPairs, in, out);

          problem.rows = reordered(problem.rows, kPairs, in, row);
          auto in_place = problem;
          in_place.out = in_place.in;
          for (const bool same_place : {false, true}) {
            auto& run = same_place ? in_place : problem;
            auto job = run.job(kTokens * 2 * kPairs, 2 * kPairs, 1, same_place);
            job.out_pairing = out, job.row_pairing = row;
            rotary::kernels::rotate_reference(job);
            EXPECT_TRUE(run.out == wanted)
                << "pairings " << static_cast<int>(in) << static_cast<int>(out) << static_cast<int>(row);
          }
        }
}

/// The bits, but of a NaN without its sign, which compilers may change.
unsigned bits_of(Eigen::bfloat16 x) {
  const unsigned bits = std::bit_cast<std::uint16_t>(x);
  return (bits & 0x7fff) > 0x7f80 ? bits & 0x7fff : bits;
}

// Every bfloat16 there is (denormal, infinite and NaN too) times factors whose products lie on, just below
// and just above the middle between two of them.
TEST(RotateKernelsRounding, EveryBfloat16) {
  constexpr Index kPairs = 64, kTokens = (Index{1} << 16) / kPairs;
  std::vector<float> factors{1.0f, 0.75f, -1.5f, 1e-3f};
  for (int bit = 7; bit <= 10; ++bit)
    for (const float sign : {1.0f, -1.0f}) factors.push_back(1 + sign * std::ldexp(1.0f, -bit));
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    const auto [pair, partner] = rotary::kernels::pair_strides(pairing, kPairs);
    for (const float factor : factors) {
      Problem<Eigen::bfloat16, float> expected(1, kTokens, 2 * kPairs, kPairs, 0, 0, pairing, false, 1);
      for (Index n = 0; n < kTokens; ++n) {
        for (Index i = 0; i < kPairs; ++i) {
          const auto at = static_cast<std::size_t>(n * 2 * kPairs + i * pair);
          const auto other = at + static_cast<std::size_t>(partner);
          expected.in[at] = std::bit_cast<Eigen::bfloat16>(static_cast<std::uint16_t>(n * kPairs + i));
          expected.in[other] = Eigen::bfloat16(static_cast<float>(i) - 31.5f);
          expected.rows[at] = factor;
          expected.rows[other] = i % 2 == 0 ? 0 : std::ldexp(1.0f, -9);
        }
      }
      auto run = expected;
      rotary::kernels::rotate_reference(expected.job(0, 2 * kPairs, 1, false));
      for (const InstructionSet set : kInstructionSets) {
        if (!force(set)) continue;
        rotary::kernels::rotate(run.job(0, 2 * kPairs, 1, false));
        for (std::size_t i = 0; i < run.out.size(); ++i)
          ASSERT_EQ(bits_of(run.out[i]), bits_of(expected.out[i]))
              << "instruction set " << static_cast<int>(set) << ", pairing " << static_cast<int>(pairing)
              << ", factor " << factor << ", element " << i << " was "
              << std::bit_cast<std::uint16_t>(run.in[i]);
      }
    }
  }
}

}  // namespace
