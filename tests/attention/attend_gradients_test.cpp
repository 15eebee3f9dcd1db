// The gradients of attend against loops written down from their formulas, and against differences.
#include <gtest/gtest.h>

#include <rotary/attention/attend.hpp>

#if defined(__linux__)
#include <sys/resource.h>
#endif

#include "support/plain_attention.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1  // these have memory of their own for every byte
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

namespace rotary::testing {
namespace {

template <class T>
struct Call {
  PlainAttention a;
  Tensor<T, 4> q, k, v, g;
  std::vector<T> sinks;
  AttentionOptions<T> options;

  Call(Random& random, const PlainAttention& of)
      : a(of),
        q(random_tensor(random, a.batch, a.seq_q, a.heads, a.d).template cast<T>()),
        k(random_tensor(random, a.batch, a.seq_k, a.kv_heads, a.d).template cast<T>()),
        v(random_tensor(random, a.batch, a.seq_k, a.kv_heads, a.d_v).template cast<T>()),
        g(random_tensor(random, a.batch, a.seq_q, a.heads, a.d_v).template cast<T>()),
        sinks(a.sink_logits.begin(), a.sink_logits.end()),
        options(a.options(sinks)) {
    a.sink_logits.assign(sinks.begin(), sinks.end());
  }
  Call(const Call&) = delete;

  /// ⟨g, attend(q, k, v)⟩
  double loss() const {
    Tensor<T, 4> out(g.dimensions());
    attend(q, k, v, out, options);
    double sum = 0;
    for (Index n = 0; n < out.size(); ++n) sum += static_cast<double>(out.data()[n] * g.data()[n]);
    return sum;
  }
  struct Gradients {
    Tensor<T, 4> q, k, v;
    std::vector<T> sinks;
  };
  Gradients gradients() const {
    Gradients r{Tensor<T, 4>(q.dimensions()), Tensor<T, 4>(k.dimensions()), Tensor<T, 4>(v.dimensions()),
                std::vector<T>(sinks.size(), T(77))};
    r.q.setConstant(T(77)), r.k.setConstant(T(77)), r.v.setConstant(T(77));
    Tensor<T, 4> out(g.dimensions());
    Tensor<T, 3> log_sum(a.batch, a.seq_q, a.heads);
    attend_with_log_sum(q, k, v, out, log_sum, options);
    attend_backward(q, k, v, g, log_sum, r.q, r.k, r.v, options, r.sinks);
    return r;
  }
};

/// The largest error of all gradients, of the largest gradient.
template <class T>
void compare(Random& random, const PlainAttention& a, unsigned which, double tolerance) {
  SCOPED_TRACE(describe(a, which));
  const Call<T> call(random, a);
  const PlainResult want =
      plain_attention(call.a, call.q.template cast<double>(), call.k.template cast<double>(),
                      call.v.template cast<double>(), call.g.template cast<double>());
  const auto got = call.gradients();
  const double largest =
      std::max({1.0, largest_of(want.grad_q), largest_of(want.grad_k), largest_of(want.grad_v)});
  EXPECT_LE(farthest(got.q, want.grad_q), tolerance * largest);
  EXPECT_LE(farthest(got.k, want.grad_k), tolerance * largest);
  EXPECT_LE(farthest(got.v, want.grad_v), tolerance * largest);
  EXPECT_LE(farthest(got.sinks, want.grad_sinks), tolerance * std::max(largest, largest_of(want.grad_sinks)));
}

TEST(AttendGradients, EqualThePlainLoopsInEveryCombination) {
  Random random(1611);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < kAttentionCalls; ++which) {
    const Index seq_q = random.integer(0, 11);
    const Index seq_k = (which >> 6 & 1) != 0 && random.integer(0, 1) == 1 ? seq_q : random.integer(0, 15);
    compare<double>(random, random_attention(random, which, seq_q, seq_k), which, 1e-14);
  }
}

TEST(AttendGradients, FloatIsWithinRoundingOfTheLargest) {
  Random random(1612);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < kAttentionCalls; which += 3)
    compare<float>(random, random_attention(random, which, random.integer(1, 40), random.integer(1, 40)),
                   which, 2e-6);
}

// 32 rows of queries and 256 keys make a block.
TEST(AttendGradients, EqualThePlainLoopsAcrossBlocks) {
  Random random(1613);
  SCOPED_TRACE(random.replay());
  for (const auto& [seq_q, seq_k] : {std::pair<Index, Index>{70, 530}, {130, 130}, {2, 1100}})
    for (unsigned which : {0u, 3u, 7u, 33u, 65u, 71u, 135u, 511u})
      compare<double>(random, random_attention(random, which, seq_q, seq_k), which, 1e-13);
}

// (f(x + ε u) − f(x − ε u)) / 2ε = ⟨∇f, u⟩ for random directions u, rotations included.
TEST(AttendGradients, EqualCentralDifferences) {
  Random random(1614);
  SCOPED_TRACE(random.replay());
  for (unsigned which : {0u, 1u, 7u, 25u, 63u, 129u, 305u, 511u}) {
    PlainAttention a = random_attention(random, which, 7, 9);
    a.d = 6;
    SCOPED_TRACE(describe(a, which));
    Call<double> call(random, a);
    const HeadLayout layout{.start_index = 1, .seq_dim = -3};
    const CosSinTable<double> query_rows(language_frequencies(4), Positions::consecutive(7, 3), layout);
    const CosSinTable<double> key_rows(language_frequencies(4), Positions::consecutive(9), layout);
    call.options.query_rows = &query_rows, call.options.key_rows = &key_rows;
    const auto gradients = call.gradients();
    const auto check = [&](auto& x, const auto& gradient) {
      const auto start = x;
      auto u = x;
      random.fill(u);
      const auto loss_at = [&](double step) {
        for (Index n = 0; n < static_cast<Index>(x.size()); ++n)
          x.data()[n] = start.data()[n] + step * u.data()[n];
        const double loss = call.loss();
        x = start;
        return loss;
      };
      const double difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
      double slope = 0;
      for (Index n = 0; n < static_cast<Index>(x.size()); ++n) slope += gradient.data()[n] * u.data()[n];
      EXPECT_NEAR(slope, difference, 1e-8 * std::max(1.0, std::abs(slope)));
    };
    for (int direction = 0; direction < 3; ++direction) {
      check(call.q, gradients.q);
      check(call.k, gradients.k);
      check(call.v, gradients.v);
      check(call.sinks, gradients.sinks);
    }
  }
}

#if defined(__linux__) && !defined(SANITIZED)
// All scores of 3000 tokens would be 36 MB.
TEST(AttendGradients, MemoryIsLinear) {
  constexpr Index kTokens = 3000;
  Tensor<float, 3> q(kTokens, 1, 4), k(q), v(q), g(q), out(q), grad_q(q), grad_k(q), grad_v(q);
  Tensor<float, 2> log_sum(kTokens, 1);
  Random random(1615);
  for (auto* x : {&q, &k, &v, &g, &out, &grad_q, &grad_k, &grad_v}) random.fill(*x);
  log_sum.setZero();
  const auto peak_bytes = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss * 1024;
  };
  const auto before = peak_bytes();
  const AttentionOptions<float> options{.causal = true};
  attend_with_log_sum(q, k, v, out, log_sum, options);
  EXPECT_LE(peak_bytes() - before, 2 << 20);
  attend_backward(q, k, v, g, log_sum, grad_q, grad_k, grad_v, options);
  EXPECT_LE(peak_bytes() - before, 8 << 20);
}
#endif

}  // namespace
}  // namespace rotary::testing
