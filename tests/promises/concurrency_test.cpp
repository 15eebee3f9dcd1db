// One const object, used by many threads at once, gives every one of them the bits that it gives a single
// one. tests/run.sh --thread-sanitizer runs it under ThreadSanitizer.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
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

// Every thread rotates other lengths and offsets, so that cached rows are added while other threads read
// them.
TEST(Concurrency, EmbeddingsMayBeShared) {
  const RotaryEmbeddingOptions options{.dim = 8, .cache_max_seq_len = 600};
  const auto rotate = [](const RotaryEmbedding<float>& rotary_emb, int thread, int call) {
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
        results[static_cast<std::size_t>(thread)].push_back(rotate(shared, thread, call));
    });
    const RotaryEmbedding<float> alone(options);
    for (int thread = 0; thread < kThreads; ++thread)
      for (int call = 0; call < kCalls; ++call)
        ASSERT_TRUE(same_bits(results[static_cast<std::size_t>(thread)][static_cast<std::size_t>(call)],
                              rotate(alone, thread, call)));
  }
}

// Embeddings are copied while other threads add cached rows.
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
  const auto rotate = [&](int thread) {
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
  run_in_threads([&](int thread) { results[static_cast<std::size_t>(thread)] = rotate(thread); });
  for (int thread = 0; thread < kThreads; ++thread)
    EXPECT_TRUE(same_bits(results[static_cast<std::size_t>(thread)], rotate(thread)));
}

// The cache grows by many blocks while others read it: every thread begins at another end of the positions.
TEST(Concurrency, TheRowCacheGrowsWhileItIsRead) {
  constexpr Index kRows = 4096, kSeq = 40;
  const RotaryEmbeddingOptions options{.dim = 128, .cache_max_seq_len = kRows};
  const auto position = [](int thread, int call) {
    const Index at = (call * 397 + thread * 1031) % (kRows + 200 - kSeq);  // some are beyond the last row
    return thread % 2 == 0 ? at : kRows + 200 - kSeq - at;
  };
  const auto rotated = [&](const RotaryEmbedding<float>& rotary_emb, int thread, int call) {
    Tensor<float, 2> x(kSeq, 128);
    for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<float>(n % 31) - 15;
    rotary_emb.rotate_in_place(x, position(thread, call));
    rotary_emb.rotate_token_in_place(x, position(thread, call + 1));
    return x;
  };
  for (int round = 0; round < 3; ++round) {
    const RotaryEmbedding<float> shared(options), alone(options);
    std::vector<std::vector<Tensor<float, 2>>> results(kThreads);
    run_in_threads([&](int thread) {
      for (int call = 0; call < 12; ++call)
        results[static_cast<std::size_t>(thread)].push_back(rotated(shared, thread, call));
    });
    for (int thread = 0; thread < kThreads; ++thread)
      for (int call = 0; call < 12; ++call) {
        const auto& found = results[static_cast<std::size_t>(thread)][static_cast<std::size_t>(call)];
        const Tensor<float, 2> wanted = rotated(alone, thread, call);
        ASSERT_EQ(
            std::memcmp(found.data(), wanted.data(), sizeof(float) * static_cast<std::size_t>(wanted.size())),
            0)
            << thread << ", " << call;
      }
  }
}

// Objects with state from their construction: tables, caches of keys, the operators.
TEST(Concurrency, OperatorsAndKeyCachesMayBeShared) {
  const ggml::Rope<float> exact({.n_dims = 8, .mode = ggml::Mode::neox});
  const ggml::Rope<float> rounded({.n_dims = 8, .angles = ggml::Angles::ggml_float32});
  Tensor<float, 2> cos(64, 4), sin(64, 4);
  cos.setConstant(0.5f), sin.setConstant(0.25f);
  const flash_attention::RotaryTables tables(cos, sin);
  KeyCache<float> filling(RotaryEmbedding<float>({.dim = 8}), {.heads = 2, .head_dim = 8});
  Tensor<float, 3> keys(2, 30, 8);
  keys.setConstant(1);
  filling.append(keys);
  const KeyCache<float>& cache = filling;
  const auto work = [&](int thread) {
    std::vector<float> results;
    for (int call = 0; call < 6; ++call) {
      Tensor<float, 4> x(1, 3, 2, 8);
      x.setConstant(static_cast<float>(thread + 1));
      const std::vector<std::int32_t> positions = {call, thread, 100 * (call % 2)};
      exact.rope_in_place(x, positions);
      rounded.rope_in_place(x, positions);  // a table of its own positions each
      tables.apply_rotary_in_place(x, {.seqlen_offset = call + thread});
      KeyCache<float> fork = cache;
      fork.shift_context(thread % 5, 20);
      results.insert(results.end(), x.data(), x.data() + x.size());
      results.push_back(fork.head(1)(9, 3) + cache.head(0)(29, 7));
    }
    return results;
  };
  std::vector<std::vector<float>> results(kThreads);
  run_in_threads([&](int thread) { results[static_cast<std::size_t>(thread)] = work(thread); });
  for (int thread = 0; thread < kThreads; ++thread)
    EXPECT_EQ(results[static_cast<std::size_t>(thread)], work(thread)) << thread;
}

// Threads may share a tensor too, as long as each turns a part of its own.
TEST(Concurrency, PartsOfATensorMayBeRotatedAtOnce) {
  const RotaryEmbedding<float> shared(RotaryEmbeddingOptions{.dim = 8});
  Random random(3);
  StridedArray<float> whole({kThreads, 50, 9});
  whole.fill(random);
  auto parts = whole;
  shared.rotate_in_place(whole.view());
  run_in_threads([&](int thread) { shared.rotate_in_place(parts.view().slice(0, thread, 1)); });
  EXPECT_TRUE(same_bits(parts, whole));
}

// A device shares one rotation among its threads; errors are thrown on the thread that called.
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
