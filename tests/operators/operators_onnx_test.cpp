// onnx::RotaryEmbedding: objects give the bits of the functions, whichever way rows are found.
#include <rotary/operators/onnx.hpp>

#include <cstring>
#include <thread>

#include "support/errors.hpp"
#include "support/given_tables.hpp"

namespace rotary::testing {
namespace {

using Ids = Tensor<std::int64_t, 2>;

template <class X, class Node, class... PositionIds>
void check_forms(const Node& node, const X& x, const X& wanted, const PositionIds&... ids) {
  expect_same(node.rotary_embedding(x, ids...), wanted, "as a new tensor");
  X out(x.dimensions());
  node.rotary_embedding_into(x, ids..., out);
  expect_same(out, wanted, "into another tensor");
  X both = x;
  node.rotary_embedding_in_place(both, ids...);
  expect_same(both, wanted, "in place");
}

/// The definition, one pair at a time; in double, for comparison within a tolerance.
void check_against_definition(const Tensor<float, 4>& x, const Tensor<float, 4>& found,
                              const GivenTables<float>& caches, const Ids& ids, bool interleaved) {
  const Index pairs = caches.cos.dimension(1);
  for (Index b = 0; b < x.dimension(0); ++b)
    for (Index h = 0; h < x.dimension(1); ++h)
      for (Index n = 0; n < x.dimension(2); ++n)
        for (Index i = 0; i < pairs; ++i) {
          const Index first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + pairs;
          const double c = static_cast<double>(caches.cos(ids(b, n), i)),
                       s = static_cast<double>(caches.sin(ids(b, n), i));
          const double p = static_cast<double>(x(b, h, n, first)),
                       q = static_cast<double>(x(b, h, n, second));
          EXPECT_NEAR(static_cast<double>(found(b, h, n, first)), p * c - q * s, 1e-5);
          EXPECT_NEAR(static_cast<double>(found(b, h, n, second)), q * c + p * s, 1e-5);
        }
}

/// Ids of shape [batch, seq]: consecutive, scattered, in runs of `run`, or all the same.
Ids ids_of(Random& random, Index batch, Index seq, Index rows, Index run) {
  Ids ids(batch, seq);
  for (Index n = 0; n < ids.size(); ++n) {
    const bool starts = run == 0 || n % run == 0 || ids.data()[n - 1] + 1 >= rows;
    ids.data()[n] = starts ? random.integer<std::int64_t>(0, rows - 1) : ids.data()[n - 1] + 1;
  }
  return ids;
}

template <class S, class C>
void check_objects(Index pairs) {
  Random random(1);
  SCOPED_TRACE(random.replay());
  const GivenTables<C> caches(random, 50, pairs);
  for (const bool interleaved : {false, true}) {
    const onnx::RotaryEmbeddingAttributes attributes{.interleaved = interleaved,
                                                     .rotary_embedding_dim = 2 * pairs};
    const onnx::RotaryEmbedding node(caches.cos, caches.sin, attributes);
    for (const auto& [batch, seq] :
         {std::pair<Index, Index>{1, 1}, {1, 40}, {2, 1}, {37, 1}, {5, 3}, {2, 33}}) {
      Tensor<S, 4> x(batch, 2, seq, 2 * pairs + 3);
      random.fill(x);
      for (const Index run : {0, 1, 7, 13, 1000}) {
        SCOPED_TRACE("batch " + std::to_string(batch) + ", seq " + std::to_string(seq) + ", run " +
                     std::to_string(run));
        const Ids ids = ids_of(random, batch, seq, 50, run);
        const auto wanted = onnx::rotary_embedding(x, caches.cos, caches.sin, ids, attributes);
        check_forms(node, x, wanted, ids);
        const Tensor<std::int32_t, 2> narrow = ids.template cast<std::int32_t>();
        check_forms(node, x, wanted, narrow);
        const Eigen::Tensor<std::int64_t, 2> by_columns = ids.swap_layout().shuffle(std::array<int, 2>{1, 0});
        check_forms(node, x, wanted, by_columns);
        if constexpr (std::is_same_v<S, float> && std::is_same_v<C, float>)
          if (pairs < 10) check_against_definition(x, wanted, caches, ids, interleaved);
      }
      Tensor<std::int64_t, 1> first(1);
      first(0) = 50 - seq;
      check_forms(node, x, onnx::rotary_embedding(x, caches.cos, caches.sin, first, attributes), first);
    }
  }
}

TEST(OnnxNode, HasTheBitsOfTheFunctionsInFloat) { check_objects<float, float>(5); }
TEST(OnnxNode, HasTheBitsOfTheFunctionsInDouble) { check_objects<double, float>(8); }
TEST(OnnxNode, HasTheBitsOfTheFunctionsWithCachesOfDouble) { check_objects<float, double>(8); }
TEST(OnnxNode, HasTheBitsOfTheFunctionsInHalf) { check_objects<Eigen::half, Eigen::half>(4); }
/// A row is wider than the blocks on the stack.
TEST(OnnxNode, HasTheBitsOfTheFunctionsForWideRows) { check_objects<float, float>(1030); }

TEST(OnnxNode, ARowForEachToken) {
  Random random(2);
  Tensor<float, 3> cos(3, 5, 4), sin(3, 5, 4);
  random.fill(cos), random.fill(sin);
  const onnx::RotaryEmbedding node(cos, sin, {.num_heads = 2, .rotary_embedding_dim = 8});
  Tensor<float, 4> x(3, 2, 5, 9);
  random.fill(x);
  check_forms(node, x, onnx::rotary_embedding(x, cos, sin, {.rotary_embedding_dim = 8}));
  Tensor<float, 3> flat(3, 5, 18);
  random.fill(flat);
  check_forms(node, flat,
              onnx::rotary_embedding(flat, cos, sin, {.num_heads = 2, .rotary_embedding_dim = 8}));
}

TEST(OnnxNode, HoldsItsCaches) {
  Random random(3);
  auto caches = std::make_unique<GivenTables<float>>(random, 10, 4);
  const onnx::RotaryEmbedding node(caches->cos, caches->sin);
  static_assert(std::is_same_v<decltype(node), const onnx::RotaryEmbedding<float>>);
  Tensor<float, 4> x(1, 3, 2, 8);
  random.fill(x);
  Ids ids(1, 2);
  ids.setValues({{9, 2}});
  const auto wanted = onnx::rotary_embedding(x, caches->cos, caches->sin, ids);
  caches->cos.setConstant(7);
  caches.reset();
  check_forms(node, x, wanted, ids);
}

TEST(OnnxNode, IsSharedByThreads) {
  Random random(4);
  const GivenTables<float> caches(random, 64, 8);
  const onnx::RotaryEmbedding node(caches.cos, caches.sin);
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (std::size_t k = 0; k < same.size(); ++k)
    threads.emplace_back([&, k] {
      bool all = true;
      Random own(100 + k);
      for (int step = 0; step < 40; ++step) {
        Tensor<float, 4> x(3, 2, 4, 16);
        own.fill(x);
        const Ids ids = ids_of(own, 3, 4, 64, step % 5);
        const auto wanted = onnx::rotary_embedding(x, caches.cos, caches.sin, ids);
        node.rotary_embedding_in_place(x, ids);
        all = all && std::memcmp(x.data(), wanted.data(), sizeof(float) * 384) == 0;
      }
      same[k] = all;
    });
  for (std::thread& thread : threads) thread.join();
  for (const bool k : same) EXPECT_TRUE(k);
}

TEST(OnnxNode, ThrowsBeforeAnythingIsWritten) {
  Tensor<float, 4> x(2, 3, 4, 8), out(2, 3, 4, 6);
  Tensor<float, 2> cos(10, 4), sin(10, 4), other_sin(9, 4);
  x.setConstant(1), out.setConstant(1), cos.setConstant(0), sin.setConstant(1);
  const onnx::RotaryEmbedding node(cos, sin);
  const auto error_of = [&](const auto& ids, std::initializer_list<std::string_view> words) {
    expect_error([&] { node.rotary_embedding_in_place(x, ids); }, words);
    expect_error([&] { node.rotary_embedding_into(x, ids, x); }, words);
    EXPECT_EQ(x(0, 0, 0, 0), 1);
  };
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{10}, std::int64_t{1} << 62}) {
    Ids ids(2, 4);
    ids.setConstant(9);
    ids(1, 3) = id;  // the last one
    error_of(ids, {"position " + std::to_string(id), "10 rows"});
  }
  Tensor<std::int64_t, 1> start(1);
  for (const std::int64_t first : {std::int64_t{-1}, std::int64_t{7}, std::int64_t{PTRDIFF_MAX}}) {
    start(0) = first;
    error_of(start, {"10 rows"});
  }
  error_of(Ids(2, 3), {"[2, 3]", "[2, 4]"});
  expect_error([&] { node.rotary_embedding_in_place(x); }, {"[10, 4]", "[2, 4, "});
  Ids ids(2, 4);
  ids.setConstant(0);
  expect_error([&] { node.rotary_embedding_into(x, ids, out); }, {"[2, 3, 4, 6]", "[2, 3, 4, 8]"});
  EXPECT_EQ(out(0, 0, 0, 0), 1);
  expect_error([&] { onnx::RotaryEmbedding(cos, other_sin); }, {"[10, 4]", "[9, 4]"});
  const onnx::RotaryEmbedding narrow(cos, sin, {.rotary_embedding_dim = 6});
  expect_error([&] { narrow.rotary_embedding_in_place(x, ids); }, {"4 columns", "3"});
  Tensor<float, 3> flat(2, 4, 24);
  expect_error([&] { node.rotary_embedding_in_place(flat, ids); }, {"num_heads is 0", "[2, 4, 24]"});
}

// Tensors without elements pass, whichever extent is 0.
TEST(OnnxNode, EmptyTensors) {
  for (int empty = 0; empty < 4; ++empty) {
    std::array<Index, 4> shape = {2, 3, 4, 8};
    shape[static_cast<std::size_t>(empty)] = 0;
    Tensor<float, 4> x(shape);
    Tensor<float, 2> cos(10, shape[3] / 2), sin(10, shape[3] / 2);
    cos.setConstant(0), sin.setConstant(1);
    const onnx::RotaryEmbedding node(cos, sin);
    Ids ids(shape[0], shape[2]);
    ids.setConstant(1);
    Tensor<std::int64_t, 1> start(1);
    start(0) = 6;
    EXPECT_EQ(node.rotary_embedding(x, ids).dimensions(), x.dimensions()) << "extent " << empty;
    EXPECT_EQ(node.rotary_embedding(x, start).dimensions(), x.dimensions()) << "extent " << empty;
    Tensor<float, 3> flat(shape[0], shape[2], shape[1] * shape[3]);
    const onnx::RotaryEmbedding of_flat(cos, sin, {.num_heads = 3});
    if (empty != 1) {
      EXPECT_EQ(of_flat.rotary_embedding(flat, ids).dimensions(), flat.dimensions());
    }
  }
}

}  // namespace
}  // namespace rotary::testing
