// The bits of attend do not depend on the number of threads of an Eigen::ThreadPoolDevice.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <cstring>
#include <rotary/attention/attend.hpp>

#include "support/random.hpp"

namespace rotary::testing {
namespace {

template <class Tensor>
bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(*a.data())) == 0;
}

struct Results {
  Tensor<float, 4> out, grad_q, grad_k, grad_v;
  Tensor<float, 3> log_sum;
  std::vector<float> grad_sinks;
};

struct Shape {
  Index batch, seq_q, seq_k, heads, kv_heads;
};

// Many blocks of queries; one head; and few queries, whose 5000 keys are split.
TEST(AttendThreads, GiveTheSameBits) {
  Random random(1621);
  SCOPED_TRACE(random.replay());
  for (const Shape& s : {Shape{2, 300, 300, 6, 3}, Shape{1, 200, 200, 1, 1}, Shape{1, 2, 5000, 4, 2}}) {
    Tensor<float, 4> q(s.batch, s.seq_q, s.heads, 8), k(s.batch, s.seq_k, s.kv_heads, 8), v(k), g(q);
    random.fill(q), random.fill(k), random.fill(v), random.fill(g);
    std::vector<float> sinks(static_cast<std::size_t>(s.heads), 0.5f);
    const AttentionOptions<float> options{
        .causal = true, .sink_logits = sinks, .query_offset = s.seq_k - s.seq_q, .dropout_prob = 0.1};
    const auto run = [&](const auto& device) {
      Results r{Tensor<float, 4>(q.dimensions()),
                Tensor<float, 4>(q.dimensions()),
                Tensor<float, 4>(k.dimensions()),
                Tensor<float, 4>(v.dimensions()),
                Tensor<float, 3>(s.batch, s.seq_q, s.heads),
                std::vector<float>(sinks.size())};
      attend_with_log_sum(q, k, v, r.out, r.log_sum, options, device);
      attend_backward(q, k, v, g, r.log_sum, r.grad_q, r.grad_k, r.grad_v, options, r.grad_sinks, device);
      return r;
    };
    const Results one = run(CallingThread{});
    for (const int threads : {1, 2, 5}) {
      Eigen::ThreadPool pool(threads);
      const Eigen::ThreadPoolDevice device(&pool, threads);
      for (int repeat = 0; repeat < 3; ++repeat) {
        const Results many = run(device);
        EXPECT_TRUE(same_bits(many.out, one.out)) << threads;
        EXPECT_TRUE(same_bits(many.log_sum, one.log_sum)) << threads;
        EXPECT_TRUE(same_bits(many.grad_q, one.grad_q)) << threads;
        EXPECT_TRUE(same_bits(many.grad_k, one.grad_k)) << threads;
        EXPECT_TRUE(same_bits(many.grad_v, one.grad_v)) << threads;
        EXPECT_TRUE(same_bits(many.grad_sinks, one.grad_sinks)) << threads;
      }
    }
  }
}

}  // namespace
}  // namespace rotary::testing
