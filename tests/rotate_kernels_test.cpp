// The fast kernels against the reference: every instruction set, scalar, pairing, size and misalignment, bit
// for bit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <rotary/kernels/rotate.hpp>
#include <vector>

#include "support/random.hpp"

namespace {

using rotary::Index;
using rotary::Pairing;
using rotary::kernels::RotationJob;

#if ROTARY_VECTOR_EXTENSIONS
using rotary::kernels::InstructionSet;
constexpr InstructionSet kInstructionSets[] = {InstructionSet::baseline, InstructionSet::avx2,
                                               InstructionSet::avx512};
bool force(InstructionSet set) { return rotary::kernels::force_instruction_set(set) == set; }
constexpr bool kBaselineIsFused = rotary::kernels::Baseline::kFused;

/// check() as on every maker's cores.
template <class Check>
void on_all_cores(const Check& check) {
  const rotary::kernels::Cores own = rotary::kernels::cores();
  for (const auto cores : {rotary::kernels::Cores::intel, rotary::kernels::Cores::other}) {
    SCOPED_TRACE(::testing::Message() << "cores " << static_cast<int>(cores));
    rotary::kernels::force_cores(cores);
    check();
  }
  rotary::kernels::force_cores(own);
}
#else
enum class InstructionSet { baseline };
constexpr InstructionSet kInstructionSets[] = {InstructionSet::baseline};
bool force(InstructionSet) { return true; }
constexpr bool kBaselineIsFused = true;  // the plain loops call std::fma

template <class Check>
void on_all_cores(const Check& check) {
  check();
}
#endif

/// A tensor [others, seq, head_dim] with room to be misaligned, its mirror image in storage orders, and its
/// rows.
template <class X, class Row>
struct Problem {
  Index others, seq, head_dim, pairs, start, shift;
  Pairing pairing;
  bool backwards;
  std::vector<X> in, out;
  std::vector<Row> rows;

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

template <class X>
bool same_bits(const std::vector<X>& a, const std::vector<X>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(X)) == 0;
}

template <class X, class Row>
void expect_near(const std::vector<X>& a, const std::vector<X>& b) {
  const double unit = std::is_same_v<X, double> ? 4e-16 : std::is_same_v<X, float> ? 4e-7 : 2e-2;
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(static_cast<double>(a[i]), static_cast<double>(b[i]), unit * 8) << "at " << i;
}

template <class X, class Row>
void check(Index others, Index seq, Index head_dim, Index pairs, Index start, Index shift,
           std::uint64_t seed) {
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    for (const bool backwards : {false, true}) {
      // Row-major [o, n, d], [n, o, d]; with features last, [d, n, o] and [d, o, n]; between the others,
      // [o, d, n] and [n, d, o].
      const std::array<std::array<Index, 3>, 6> orders{{{seq * head_dim, head_dim, 1},
                                                        {head_dim, others * head_dim, 1},
                                                        {1, others, others * seq},
                                                        {seq, 1, others * seq},
                                                        {seq * head_dim, 1, seq},
                                                        {1, others * head_dim, others}}};
      for (const auto& [other_step, seq_step, feature_step] : orders) {
        Problem<X, Row> expected(others, seq, head_dim, pairs, start, shift, pairing, backwards, seed);
        rotary::kernels::rotate_reference(expected.job(other_step, seq_step, feature_step, false));
        for (const InstructionSet set : kInstructionSets) {
          if (!force(set)) continue;  // this machine lacks it
          SCOPED_TRACE(::testing::Message()
                       << "instruction set " << static_cast<int>(set) << ", pairing "
                       << static_cast<int>(pairing) << ", backwards " << backwards << ", steps " << other_step
                       << ' ' << seq_step << ' ' << feature_step);
          Problem<X, Row> apart(others, seq, head_dim, pairs, start, shift, pairing, backwards, seed);
          rotary::kernels::rotate(apart.job(other_step, seq_step, feature_step, false));
          Problem<X, Row> in_place(others, seq, head_dim, pairs, start, shift, pairing, backwards, seed);
          std::copy(in_place.in.begin() + shift, in_place.in.end(), in_place.out.begin() + shift);
          rotary::kernels::rotate(in_place.job(other_step, seq_step, feature_step, true));
          EXPECT_TRUE(same_bits(apart.out, in_place.out));
          if (set != InstructionSet::baseline || kBaselineIsFused) {
            EXPECT_TRUE(same_bits(apart.out, expected.out));
          } else {
            expect_near<X, Row>(apart.out, expected.out);
          }
          if (::testing::Test::HasFailure()) return;
        }
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
  for (Index pairs = 1; pairs <= 4 * 16 + 1; ++pairs) {
    SCOPED_TRACE(::testing::Message() << pairs << " pairs");
    check<typename TypeParam::X, typename TypeParam::Row>(2, 3, 2 * pairs, pairs, 0, 0,
                                                          static_cast<std::uint64_t>(pairs));
    if (this->HasFailure()) return;
  }
}

TYPED_TEST(RotateKernels, EveryMisalignment) {
  for (Index shift = 1; shift < 16; ++shift) {
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
    for (const Index seq : {9, 70}) {
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
      on_all_cores([=] {
        check<typename TypeParam::X, typename TypeParam::Row>(heads, 37, 2 * pairs + 3, pairs, 2, 1,
                                                              static_cast<std::uint64_t>(heads * pairs));
      });
      if (this->HasFailure()) return;
    }
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
std::vector<X> reordered(const std::vector<X>& x, Index pairs, Pairing from, Pairing to) {
  const auto source = rotary::kernels::pair_strides(from, pairs),
             target = rotary::kernels::pair_strides(to, pairs);
  std::vector<X> result(x.size());
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
            EXPECT_TRUE(same_bits(run.out, wanted))
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
        if (!force(set) || (set == InstructionSet::baseline && !kBaselineIsFused)) continue;
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
