#include <rotary/apply/pairing_conversion.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <rotary/rotary_embedding.hpp>
#include <vector>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

template <class T>
class PairingConversionOf : public ::testing::Test {};
using Scalars = ::testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(PairingConversionOf, Scalars);

/// Any bits at all: NaN with every payload among them.
template <class Container>
void fill_with_bits(Random& random, Container& x) {
  auto* bytes = reinterpret_cast<unsigned char*>(x.data());
  const auto count = static_cast<std::size_t>(x.size()) * sizeof(*x.data());
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(random.bits());
}

template <class A, class B>
bool same_bits(const A& a, const B& b) {
  if (a.size() == 0 || b.size() == 0) return a.size() == b.size();  // without elements there is no address
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(*a.data())) == 0;
}

struct Case {
  Index head_dim;
  HeadFeatures features;
};

Case random_case(Random& random) {
  const Index start = random.pick<Index>({0, 0, 3}), pairs = random.integer<Index>(0, 9);
  const Index after = random.pick<Index>({0, 0, 5});
  return {start + 2 * pairs + after,
          {.heads = random.integer<Index>(1, 4), .rotary_dim = 2 * pairs, .start_index = start}};
}

// --- against the formula

TEST(PairingConversion, MovesRowsAsTheFormulaSays) {
  Random random(821);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 100; ++round) {
    const auto [head_dim, features] = random_case(random);
    Eigen::MatrixXf w(features.heads * head_dim, random.integer<Index>(1, 5));
    random.fill(w);
    const Eigen::MatrixXf half = interleaved_to_half(w, features);
    ASSERT_EQ(half.rows(), w.rows());
    ASSERT_EQ(half.cols(), w.cols());
    const Index d = *features.rotary_dim, start = features.start_index;
    for (Index h = 0; h < features.heads; ++h)
      for (Index j = 0; j < head_dim; ++j) {
        const Index feature = j - start;
        const bool rotates = feature >= 0 && feature < d;
        const Index moved = rotates ? start + feature / 2 + feature % 2 * (d / 2) : j;
        EXPECT_EQ(half.row(h * head_dim + moved), w.row(h * head_dim + j)) << "head " << h << " row " << j;
      }
  }
}

TEST(PairingConversion, ReadsLikeThePictureOfPairing) {
  Eigen::VectorXi interleaved(6), half(6);
  interleaved << 10, 20, 11, 21, 12, 22;  // a0 b0 a1 b1 a2 b2
  half << 10, 11, 12, 20, 21, 22;         // a0 a1 a2 b0 b1 b2
  EXPECT_EQ(interleaved_to_half(interleaved), half);
  EXPECT_EQ(half_to_interleaved(half), interleaved);
  const Eigen::RowVectorXi row = interleaved.transpose();
  EXPECT_EQ(interleaved_to_half(row), half.transpose());
}

// --- there and back

TYPED_TEST(PairingConversionOf, ThereAndBackChangesNoBit) {
  Random random(822);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 50; ++round) {
    const Case shape = random_case(random);
    const HeadFeatures& features = shape.features;
    const Index size = features.heads * shape.head_dim;
    Eigen::Matrix<TypeParam, Eigen::Dynamic, Eigen::Dynamic> columns(size, 7);
    Tensor<TypeParam, 2> rows(size, 7);
    Eigen::Tensor<TypeParam, 1> bias(size);
    const auto check = [&](auto& x) {
      fill_with_bits(random, x);
      const auto original = x;
      EXPECT_TRUE(same_bits(half_to_interleaved(interleaved_to_half(x, features), features), original));
      EXPECT_TRUE(same_bits(interleaved_to_half(half_to_interleaved(x, features), features), original));
      EXPECT_TRUE(same_bits(x, original)) << "what is read must stay as it is";
      const auto there = interleaved_to_half(x, features), back = half_to_interleaved(x, features);
      interleaved_to_half_in_place(x, features);
      EXPECT_TRUE(same_bits(x, there));
      half_to_interleaved_in_place(x, features);
      EXPECT_TRUE(same_bits(x, original));
      half_to_interleaved_in_place(x, features);
      EXPECT_TRUE(same_bits(x, back));
    };
    check(columns);
    check(rows);
    check(bias);
  }
}

TEST(PairingConversion, AnyAxisAndAnyKindOfTensorGivesTheSame) {
  Random random(823);
  SCOPED_TRACE(random.replay());
  const HeadFeatures rows{.heads = 3, .rotary_dim = 6, .start_index = 1};
  Eigen::MatrixXf w(3 * 8, 5);
  random.fill(w);
  const Eigen::MatrixXf expected = interleaved_to_half(w, rows);

  HeadFeatures columns = rows;
  columns.axis = -1;
  EXPECT_EQ(interleaved_to_half(Eigen::MatrixXf(w.transpose()), columns), expected.transpose());
  EXPECT_EQ(interleaved_to_half(w + Eigen::MatrixXf::Zero(24, 5), rows), expected) << "an expression";

  Eigen::MatrixXf larger = Eigen::MatrixXf::Constant(30, 9, 7.f);
  larger.block(2, 3, 24, 5) = w;
  interleaved_to_half_in_place(larger.block(2, 3, 24, 5), rows);
  EXPECT_EQ(larger.block(2, 3, 24, 5), expected);
  larger.block(2, 3, 24, 5).setConstant(7.f);
  EXPECT_EQ(larger, Eigen::MatrixXf::Constant(30, 9, 7.f)) << "around the block";

  // [heads, head_dim, in], each head a row of its own axis.
  Tensor<float, 3> heads(3, 8, 5);
  for (Index i = 0; i < 24; ++i)
    for (Index j = 0; j < 5; ++j) heads(i / 8, i % 8, j) = w(i, j);
  const Tensor<float, 3> moved = interleaved_to_half(heads, {.rotary_dim = 6, .start_index = 1, .axis = 1});
  for (Index i = 0; i < 24; ++i)
    for (Index j = 0; j < 5; ++j) EXPECT_EQ(moved(i / 8, i % 8, j), expected(i, j));

  // A view that steps backwards over every second element.
  std::vector<float> memory(2 * 24 * 5);
  StridedView<float> view(memory.data() + 2 * 24 * 5 - 1, {24, 5}, {-10, -2});
  for (Index i = 0; i < 24; ++i)
    for (Index j = 0; j < 5; ++j) view.data[-10 * i - 2 * j] = w(i, j);
  interleaved_to_half_in_place(view, rows);
  for (Index i = 0; i < 24; ++i)
    for (Index j = 0; j < 5; ++j) EXPECT_EQ(view.data[-10 * i - 2 * j], expected(i, j));

  Eigen::TensorMap<Eigen::Tensor<float, 2>> map(w.data(), 24, 5);
  const Eigen::Tensor<float, 2> mapped = interleaved_to_half(map, rows);
  EXPECT_TRUE(same_bits(mapped, expected));
}

// --- what it is for

/// The rotated projections of tokens, [heads, seq, head_dim]: weights, bias, a norm per head, and RoPE.
template <class T>
Tensor<T, 3> projected(const Eigen::MatrixX<T>& tokens, const Eigen::MatrixX<T>& weights,
                       const Eigen::VectorX<T>& bias, const Eigen::VectorX<T>& norm,
                       const RotaryEmbedding<double>& rope) {
  const Index head_dim = norm.size(), heads = weights.rows() / head_dim;
  Tensor<T, 3> x(heads, tokens.rows(), head_dim);
  for (Index h = 0; h < heads; ++h)
    for (Index n = 0; n < tokens.rows(); ++n) {
      Eigen::VectorX<T> features = weights.middleRows(h * head_dim, head_dim) * tokens.row(n).transpose() +
                                   bias.segment(h * head_dim, head_dim);
      features = (features / features.norm()).cwiseProduct(norm).eval();
      for (Index j = 0; j < head_dim; ++j) x(h, n, j) = features(j);
    }
  rope.rotate_in_place(x, 40);
  return x;
}

TEST(PairingConversion, ConvertedWeightsGiveTheSameScoresWithTheOtherPairing) {
  Random random(824);
  SCOPED_TRACE(random.replay());
  constexpr Index kSeq = 6, kIn = 10;
  for (const Index start : {Index{0}, Index{4}})
    for (const bool to_half : {true, false}) {
      // Four heads of queries to each head of keys, and 12 of 20 features rotate.
      const Index head_dim = 20, q_heads = 8, k_heads = 2, rotary_dim = 12;
      Eigen::MatrixXd tokens(kSeq, kIn), wq(q_heads * head_dim, kIn), wk(k_heads * head_dim, kIn);
      Eigen::VectorXd bq(q_heads * head_dim), bk(k_heads * head_dim), norm_q(head_dim), norm_k(head_dim);
      random.fill(tokens), random.fill(wq), random.fill(wk), random.fill(bq), random.fill(bk);
      random.fill(norm_q, 0.5, 2), random.fill(norm_k, 0.5, 2);

      const Pairing before = to_half ? Pairing::interleaved : Pairing::half;
      const Pairing after = to_half ? Pairing::half : Pairing::interleaved;
      const auto scores = [&](Pairing pairing) {
        const RotaryEmbedding<double> rope(language_frequencies(rotary_dim),
                                           {.start_index = start, .pairing = pairing});
        const auto q = projected<double>(tokens, wq, bq, norm_q, rope);
        const auto k = projected<double>(tokens, wk, bk, norm_k, rope);
        std::vector<double> products;
        for (Index h = 0; h < q_heads; ++h)
          for (Index m = 0; m < kSeq; ++m)
            for (Index n = 0; n < kSeq; ++n) {
              double sum = 0;
              for (Index j = 0; j < head_dim; ++j) sum += q(h, m, j) * k(h * k_heads / q_heads, n, j);
              products.push_back(sum);
            }
        return products;
      };

      const auto convert = [&](auto& x, Index heads) {
        const HeadFeatures features{.heads = heads, .rotary_dim = rotary_dim, .start_index = start};
        to_half ? interleaved_to_half_in_place(x, features) : half_to_interleaved_in_place(x, features);
      };
      const auto expected = scores(before), mixed = scores(after);
      convert(wq, q_heads), convert(wk, k_heads), convert(bq, q_heads), convert(bk, k_heads);
      convert(norm_q, 1), convert(norm_k, 1);
      const auto found = scores(after);
      double distance_if_mixed = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], 1e-12) << i;
        distance_if_mixed = std::max(distance_if_mixed, std::abs(mixed[i] - expected[i]));
      }
      EXPECT_GT(distance_if_mixed, 0.1) << "without conversion the scores must be wrong";
    }
}

TYPED_TEST(PairingConversionOf, ConvertedKeysAreRotatedKeysOfTheOtherPairing) {
  Random random(825);
  SCOPED_TRACE(random.replay());
  Tensor<TypeParam, 4> keys(2, 3, 5, 24);
  random.fill(keys);
  const HeadFeatures features{.rotary_dim = 16, .axis = -1};
  const RotaryEmbedding<float> interleaved({.dim = 16, .pairing = Pairing::interleaved});
  const RotaryEmbedding<float> half({.dim = 16, .pairing = Pairing::half});
  EXPECT_TRUE(same_bits(interleaved_to_half(interleaved.rotate_queries_or_keys(keys), features),
                        half.rotate_queries_or_keys(interleaved_to_half(keys, features))));
}

// --- errors

template <class X>
std::string message_for(X&& x, const HeadFeatures& features) {
  return error_of_call([&] { interleaved_to_half_in_place(x, features); });
}

TEST(PairingConversion, RefusesWhatIsNotThere) {
  Eigen::MatrixXf w = Eigen::MatrixXf::Zero(24, 5);
  EXPECT_EQ(message_for(w, {.heads = 5}),
            "rotary: axis 0 of [24, 5] has 24 features, it must have as many for each of 5 heads");
  EXPECT_EQ(message_for(w, {.heads = 0}), "rotary: found 0 heads, there must be at least 1");
  EXPECT_EQ(message_for(w, {.heads = -3}), "rotary: found -3 heads, there must be at least 1");
  EXPECT_EQ(message_for(w, {.heads = 3, .rotary_dim = 5}),
            "rotary: rotary_dim is 5, it must be even and not negative");
  EXPECT_EQ(message_for(w, {.heads = 8}), "rotary: rotary_dim is 3, it must be even and not negative");
  EXPECT_EQ(message_for(w, {.heads = 3, .rotary_dim = -2}),
            "rotary: rotary_dim is -2, it must be even and not negative");
  EXPECT_EQ(message_for(w, {.heads = 3, .rotary_dim = 8, .start_index = 2}),
            "rotary: rotary_dim is 8 from start_index 2 on, a head has only 8 features");
  EXPECT_EQ(message_for(w, {.heads = 3, .rotary_dim = PTRDIFF_MAX - 1}),
            "rotary: rotary_dim is 9223372036854775806 from start_index 0 on, a head has only 8 features");
  EXPECT_EQ(message_for(w, {.heads = 3, .start_index = 9}),
            "rotary: start_index is 9, a head has 8 features");
  EXPECT_EQ(message_for(w, {.start_index = -1}), "rotary: start_index is -1, a head has 24 features");
  EXPECT_EQ(message_for(w, {.axis = 2}), "rotary: axis is 2, a tensor of rank 2 has axes -2 to 1");
  float one[4] = {};
  EXPECT_EQ(message_for(StridedView<float>(one, {4, 3}, {1, 0}), {}),
            "rotary: the tensor to reorder has elements that share memory");
}

TEST(PairingConversion, LeavesEmptyTensorsAlone) {
  Eigen::MatrixXf none(0, 5), no_inputs(8, 0);
  EXPECT_EQ(interleaved_to_half(none, {.heads = 2}).size(), 0);
  EXPECT_EQ(interleaved_to_half(no_inputs, {.heads = 2}).size(), 0);
  EXPECT_THROW(interleaved_to_half(no_inputs, {.heads = 3}), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
