// Angles and scales of different shapes, broadcast against each other and the tensor.
#include <gtest/gtest.h>

#include <cstring>
#include <rotary/apply/apply_gradients.hpp>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/rotary_embedding.hpp>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

// Angles for every token, and scales for every token of every sequence.
TEST(ApplyRotaryEmb, ScalesMayHaveAxesThatAnglesLack) {
  Random random(71);
  SCOPED_TRACE(random.replay());
  const Index batch = 3, heads = 2, seq = 5, dim = 8;
  Tensor<double, 2> freqs(seq, dim);
  for (Index n = 0; n < seq; ++n)
    for (Index i = 0; i < dim; i += 2) freqs(n, i) = freqs(n, i + 1) = random.uniform(-3, 3);
  Tensor<double, 4> t(batch, heads, seq, dim), scale(batch, 1, seq, dim);
  random.fill(t);
  for (Index b = 0; b < batch; ++b)
    for (Index n = 0; n < seq; ++n)
      for (Index i = 0; i < dim; ++i) scale(b, 0, n, i) = random.uniform(0.5, 2);

  const Tensor<double, 4> together = apply_rotary_emb(freqs, t, scale);
  const Tensor<double, 4> unscaled = apply_rotary_emb(freqs, t);
  for (Index b = 0; b < batch; ++b)
    for (Index h = 0; h < heads; ++h)
      for (Index n = 0; n < seq; ++n)
        for (Index i = 0; i < dim; ++i)
          EXPECT_NEAR(together(b, h, n, i), scale(b, 0, n, i) * unscaled(b, h, n, i), 1e-14);
}

// A scale with two axes belongs to the sequence, wherever that is; one with a single axis to the features.
TEST(ApplyRotaryEmb, ScalesBelongToTheSequenceOrToFeatures) {
  Random random(72);
  SCOPED_TRACE(random.replay());
  const Index seq = 3, dim = 4;
  for (const Index seq_dim : {-2, -3}) {
    Tensor<double, 2> freqs(seq, dim), of_tokens(seq, dim);
    Tensor<double, 1> of_features(dim), of_all(1);
    for (Index n = 0; n < seq; ++n)
      for (Index i = 0; i < dim; i += 2) freqs(n, i) = freqs(n, i + 1) = random.uniform(-3, 3);
    const auto draw = [&](auto& scale) {
      for (Index n = 0; n < scale.size(); ++n) scale.data()[n] = random.uniform(0.5, 2);
    };
    draw(of_tokens), draw(of_features), draw(of_all);
    Tensor<double, 4> t(2, seq, seq, dim);  // as many heads as tokens: each axis could be the sequence
    random.fill(t);
    const RotaryEmbedding<double> rotary_emb(Frequencies{.values = {1, 0.1}}, {.seq_dim = seq_dim});
    const auto check = [&](const auto& scale, const auto& scale_at) {
      const ApplyOptions options{.seq_dim = seq_dim};
      const auto expect_scaled = [&](const Tensor<double, 4>& found, const Tensor<double, 4>& unscaled) {
        for (Index b = 0; b < 2; ++b)
          for (Index i = 0; i < seq; ++i)
            for (Index j = 0; j < seq; ++j)
              for (Index f = 0; f < dim; ++f)
                EXPECT_NEAR(found(b, i, j, f), scale_at(seq_dim == -2 ? j : i, f) * unscaled(b, i, j, f),
                            1e-14);
      };
      expect_scaled(apply_rotary_emb(freqs, t, scale, options), apply_rotary_emb(freqs, t, options));
      expect_scaled(rotary_emb.rotate_queries_or_keys(t, {}, scale), rotary_emb.rotate_queries_or_keys(t));
    };
    check(of_tokens, [&](Index n, Index f) { return of_tokens(n, f); });
    check(of_features, [&](Index, Index f) { return of_features(f); });
    check(of_all, [&](Index, Index) { return of_all(0); });
  }
}

// An extent is 1, that of the tensor, or wrong.
TEST(ApplyRotaryEmb, ExtentsThatCannotBeBroadcast) {
  Tensor<double, 4> t(3, 3, 3, 4), freqs(1, 1, 3, 4);
  t.setZero(), freqs.setZero();
  const RotaryEmbedding<double> rotary_emb({.dim = 4});
  for (std::size_t axis = 0; axis < 4; ++axis)
    for (const Index extent : {2, 4, 0}) {
      std::array<Index, 4> shape = {1, 1, 3, 4};
      if (shape[axis] == extent) continue;
      shape[axis] = extent;
      Tensor<double, 4> wrong(shape);
      wrong.setZero();
      SCOPED_TRACE(::testing::Message() << "axis " << axis << ", extent " << extent);
      const char* const message = axis < 3 ? "cannot be broadcast" : "features";
      expect_error([&] { static_cast<void>(apply_rotary_emb(freqs, t, wrong)); }, {message});
      expect_error([&] { static_cast<void>(rotary_emb.rotate_queries_or_keys(t, {}, wrong)); }, {message});
      expect_error([&] { static_cast<void>(apply_rotary_emb_backward(freqs, t, wrong, t, {})); }, {message});
      if (axis < 3) expect_error([&] { static_cast<void>(apply_rotary_emb(wrong, t)); }, {message});
    }
}

// Angles of any order in memory give the same bits, also where a row has more pairs than are handled at once.
TEST(ApplyRotaryEmb, StridesOfAnglesDoNotMatter) {
  Random random(73);
  SCOPED_TRACE(random.replay());
  const auto check = [&]<class F>(F) {
    for (const Index pairs : {3, 128, 129, 300})
      for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
        const Index seq = 3, dim = 2 * pairs;
        Tensor<F, 2> freqs(seq, dim), scale(seq, dim);
        for (Index n = 0; n < seq; ++n)
          for (Index i = 0; i < dim; ++i) {
            const bool first = pairing == Pairing::half ? i < pairs : i % 2 == 0;
            freqs(n, i) = first ? static_cast<F>(random.uniform(-3, 3))
                                : freqs(n, pairing == Pairing::half ? i - pairs : i - 1);
            scale(n, i) = static_cast<F>(random.uniform(0.5, 2));
          }
        Tensor<float, 3> t(2, seq, dim);
        random.fill(t);
        const Eigen::Tensor<F, 2> transposed = freqs.swap_layout().shuffle(Eigen::array<Index, 2>{1, 0}),
                                  of_scale = scale.swap_layout().shuffle(Eigen::array<Index, 2>{1, 0});
        const ApplyOptions options{.pairing = pairing};
        const auto same = [](const auto& a, const auto& b) {
          return std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
        };
        EXPECT_TRUE(same(apply_rotary_emb(transposed, t, options), apply_rotary_emb(freqs, t, options)));
        EXPECT_TRUE(same(apply_rotary_emb(transposed, t, of_scale, options),
                         apply_rotary_emb(freqs, t, scale, options)));
      }
  };
  check(float{});
  check(double{});
}

}  // namespace
}  // namespace rotary::testing
