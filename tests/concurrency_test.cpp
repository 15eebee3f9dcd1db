// One const object, used by many threads at once, gives every one of them the bits that it gives a single
// one. Run it under ThreadSanitizer after a change of what is kept: -DROTARY_SANITIZE=thread.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/xpos.hpp>
#include <thread>

#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

constexpr int kThreads = 16;

/// Runs `work(thread)` in all threads, which start as close together as can be.
void run_in_threads(const std::function<void(int)>& work) {
  std::atomic<int> ready = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      ++ready;
      while (ready.load() < kThreads) std::this_thread::yield();
      work(thread);
    });
  for (std::thread& thread : threads) thread.join();
}

// Every thread asks for other lengths and offsets, so that the kept rows grow under the others' hands, again
// and again.
TEST(Concurrency, EmbeddingsMayBeShared) {
  const RotaryEmbeddingOptions options{.dim = 8, .cache_max_seq_len = 600};
  const auto turn = [](const RotaryEmbedding<float>& rotary_emb, int thread, int call) {
    Random random(static_cast<std::uint64_t>(1000 * thread + call));
    StridedArray<float> x({random.integer<Index>(1, 300), 8});
    x.fill(random);
    rotary_emb.rotate_in_place(x.view(), {.offset = random.integer<Index>(0, 400)});
    return x;
  };
  constexpr int kCalls = 8;
  for (int round = 0; round < 10; ++round) {
    const RotaryEmbedding<float> shared(options);
    std::vector<std::vector<StridedArray<float>>> results(kThreads);
    run_in_threads([&](int thread) {
      for (int call = 0; call < kCalls; ++call)
        results[static_cast<std::size_t>(thread)].push_back(turn(shared, thread, call));
    });
    const RotaryEmbedding<float> alone(options);
    for (int thread = 0; thread < kThreads; ++thread)
      for (int call = 0; call < kCalls; ++call)
        ASSERT_TRUE(same_bits(results[static_cast<std::size_t>(thread)][static_cast<std::size_t>(call)],
                              turn(alone, thread, call)));
  }
}

// Copies are made while others make rows grow.
TEST(Concurrency, EmbeddingsMayBeCopiedWhileTheyAreUsed) {
  const RotaryEmbedding<double> shared(RotaryEmbeddingOptions{.dim = 6});
  StridedArray<double> x({200, 6}), wanted({200, 6});
  Random random(2);
  x.fill(random);
  RotaryEmbedding<double>(shared).rotate_into(std::as_const(x).view(), wanted.view());
  std::vector<StridedArray<double>> results(kThreads, x);
  run_in_threads([&](int thread) {
    auto& result = results[static_cast<std::size_t>(thread)];
    if (thread % 2 == 0) {
      shared.rotate_in_place(result.view());
    } else {
      const RotaryEmbedding<double> copy(shared);
      copy.rotate_in_place(result.view());
    }
  });
  for (const auto& result : results) EXPECT_TRUE(same_bits(result, wanted));
}

TEST(Concurrency, XPosAndTablesMayBeShared) {
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 8});
  const CosSinTable<float> table(language_frequencies(8), Positions::consecutive(40));
  const auto turn = [&](int thread) {
    Random random(static_cast<std::uint64_t>(thread));
    StridedArray<float> q({2, 40, 8}), k({2, 40, 8});
    q.fill(random);
    k.fill(random);
    for (int call = 0; call < 20; ++call) {
      xpos.rotate_queries_and_keys_in_place(q.view(), k.view(), {.offset = thread});
      apply_rotary_emb_in_place(table, q.view());
    }
    return q;
  };
  std::vector<StridedArray<float>> results(kThreads, StridedArray<float>({1}));
  run_in_threads([&](int thread) { results[static_cast<std::size_t>(thread)] = turn(thread); });
  for (int thread = 0; thread < kThreads; ++thread)
    EXPECT_TRUE(same_bits(results[static_cast<std::size_t>(thread)], turn(thread)));
}

// Threads may share a tensor too, as long as each turns a part of its own.
TEST(Concurrency, PartsOfATensorMayBeTurnedAtOnce) {
  const RotaryEmbedding<float> shared(RotaryEmbeddingOptions{.dim = 8});
  Random random(3);
  StridedArray<float> whole({kThreads, 50, 9});
  whole.fill(random);
  auto parts = whole;
  shared.rotate_in_place(whole.view());
  run_in_threads([&](int thread) { shared.rotate_in_place(parts.view().slice(0, thread, 1)); });
  EXPECT_TRUE(same_bits(parts, whole));
}

// A device shares one rotation among its threads; and what fails, fails on the thread that called.
TEST(Concurrency, DevicesGiveTheSameBits) {
  Eigen::ThreadPool pool(8);
  const Eigen::ThreadPoolDevice device(&pool, 8);
  const RotaryEmbedding<float> plain(RotaryEmbeddingOptions{.dim = 64, .cache_max_seq_len = 100});
  const RotaryEmbedding<float> later(language_frequencies(64), {.start_index = 2}, 100);
  Tensor<float, 4> x(2, 16, 300, 66), out(2, 16, 300, 66), other(2, 16, 299, 66);
  Random random(4);
  random.fill(x);
  for (const auto& [rotary_emb, options] :
       {std::pair(plain, RotateOptions{}), std::pair(later, RotateOptions{.offset = 5}),
        std::pair(plain, RotateOptions{.seq_dim = 1, .direction = Direction::transpose})}) {
    const Tensor<float, 4> wanted = rotary_emb.rotate_queries_or_keys(x, options);
    const auto expect_wanted = [&](const Tensor<float, 4>& found) {
      ASSERT_EQ(found.size(), wanted.size());
      EXPECT_EQ(
          std::memcmp(found.data(), wanted.data(), sizeof(float) * static_cast<std::size_t>(found.size())),
          0);
    };
    expect_wanted(rotary_emb.rotate_queries_or_keys(x, options, device));
    rotary_emb.rotate_into(x, out, options, device);
    expect_wanted(out);
    out = x;
    rotary_emb.rotate_in_place(out, options, device);
    expect_wanted(out);
  }
  const RotaryEmbedding<float> too_late(language_frequencies(64), {.start_index = 3});
  EXPECT_THROW(plain.rotate_into(x, other, {}, device), std::invalid_argument);
  EXPECT_THROW(too_late.rotate_in_place(x, {}, device), std::invalid_argument);
  EXPECT_THROW(plain.rotate_in_place(x, {.scale = HUGE_VAL}, device), std::invalid_argument);
  EXPECT_THROW(plain.rotate_in_place(x, {.seq_dim = 3}, device), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
