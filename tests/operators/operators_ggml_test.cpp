// ggml::Rope: objects give the bits of the functions, whatever was called before and by whom.
#include <rotary/operators/ggml.hpp>

#include <cstring>
#include <thread>

#include "support/errors.hpp"
#include "support/given_tables.hpp"

namespace rotary::testing {
namespace {

constexpr ggml::Mode kModes[] = {ggml::Mode::normal, ggml::Mode::neox, ggml::Mode::mrope, ggml::Mode::imrope,
                                 ggml::Mode::vision};

ggml::RopeOptions options_of(ggml::Mode mode, ggml::Angles angles) {
  const bool vision = mode == ggml::Mode::vision;
  return {.n_dims = vision ? 12 : 16,
          .mode = mode,
          .sections = {2, 3, 3, 0},
          .n_ctx_orig = 4096,
          .freq_base = 500000,
          .freq_scale = 0.25,
          .ext_factor = 1,
          .attn_factor = 1.25,
          .n_offs = vision ? 0 : 4,
          .angles = angles};
}

/// Positions of `tokens` tokens: one for each, or four streams.
std::vector<std::int32_t> positions_for(const ggml::RopeOptions& options, Random& random, Index tokens) {
  const bool streams = options.mode != ggml::Mode::normal && options.mode != ggml::Mode::neox;
  std::vector<std::int32_t> positions(static_cast<std::size_t>(tokens * (streams ? 4 : 1)));
  for (std::int32_t& p : positions) p = random.integer<std::int32_t>(-5, 200000);
  return positions;
}

/// All forms of a call on the object, against the function.
template <class T, class S>
void check_all_forms(const ggml::Rope<T>& rope, const ggml::RopeOptions& options,
                     const std::vector<std::int32_t>& positions, Random& random, Index tokens) {
  Tensor<S, 4> a(2, tokens, 3, 24), out(2, tokens, 3, 24);
  random.fill(a);
  const Tensor<S, 4> wanted = ggml::rope(a, positions, options);
  expect_same(rope.rope(a, positions), wanted, "as a new tensor");
  rope.rope_into(a, positions, out);
  expect_same(out, wanted, "into another tensor");
  expect_same(rope.rope_back(a, positions), Tensor<S, 4>(ggml::rope_back(a, positions, options)), "backward");
  rope.rope_in_place(a, positions);
  expect_same(a, wanted, "in place");
  EXPECT_TRUE(rope.table(positions) == ggml::rope_table<T>(positions, options));
}

template <class T, class S>
void check_objects() {
  Random random(1);
  SCOPED_TRACE(random.replay());
  for (const ggml::Angles angles : {ggml::Angles::exact, ggml::Angles::ggml_float32}) {
    for (const ggml::Mode mode : kModes) {
      SCOPED_TRACE(static_cast<int>(mode));
      const ggml::RopeOptions options = options_of(mode, angles);
      const ggml::Rope<T> rope(options);
      for (const Index tokens : {1, 2, 21}) {
        std::vector<std::int32_t> positions = positions_for(options, random, tokens);
        check_all_forms<T, S>(rope, options, positions, random, tokens);
        for (std::int32_t& p : positions) p = 77;  // all coordinates the same, and cached
        check_all_forms<T, S>(rope, options, positions, random, tokens);
      }
    }
  }
}

TEST(GgmlRope, HasTheBitsOfTheFunctionsInFloat) { check_objects<float, float>(); }
TEST(GgmlRope, HasTheBitsOfTheFunctionsInDouble) { check_objects<double, double>(); }
TEST(GgmlRope, HasTheBitsOfTheFunctionsInBfloat16) { check_objects<float, Eigen::bfloat16>(); }

TEST(GgmlRope, OwnsItsDivisors) {
  Random random(2);
  Tensor<float, 4> a(1, 2, 3, 16);
  random.fill(a);
  const std::vector<std::int32_t> positions = {3, 100000};
  const std::vector<float> factors = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const ggml::Angles angles : {ggml::Angles::exact, ggml::Angles::ggml_float32}) {
    auto given = std::make_unique<std::vector<float>>(factors);
    const ggml::Rope<float> rope({.n_dims = 16, .freq_factors = *given, .angles = angles});
    std::fill(given->begin(), given->end(), 1.0f);
    given.reset();
    expect_same(rope.rope(a, positions),
                ggml::rope(a, positions, {.n_dims = 16, .freq_factors = factors, .angles = angles}),
                "divisors that are gone");
  }
}

TEST(GgmlRope, CopiesAndAssignedObjectsAreIndependent) {
  Random random(3);
  const ggml::RopeOptions options{.n_dims = 16, .angles = ggml::Angles::ggml_float32},
      other{.n_dims = 16, .mode = ggml::Mode::neox, .freq_base = 500, .angles = ggml::Angles::ggml_float32};
  const std::vector<std::int32_t> positions = {4096};
  Tensor<float, 4> a(1, 1, 2, 16);
  random.fill(a);
  ggml::Rope<float> rope(options), second(other);
  const Tensor<float, 4> wanted = rope.rope(a, positions), wanted_of_other = second.rope(a, positions);
  const ggml::Rope<float> copy = rope;
  expect_same(copy.rope(a, positions), wanted, "a copy");
  rope = second;
  expect_same(rope.rope(a, positions), wanted_of_other, "assigned");
  expect_same(copy.rope(a, positions), wanted, "a copy of what has changed");
}

// Every thread has positions of its own, so that threads keep replacing the table of the last call.
TEST(GgmlRope, IsSharedByThreads) {
  for (const ggml::Angles angles : {ggml::Angles::exact, ggml::Angles::ggml_float32}) {
    const ggml::RopeOptions options = options_of(ggml::Mode::neox, angles);
    const ggml::Rope<float> rope(options);
    std::vector<std::thread> threads;
    std::array<bool, 4> same{};
    for (std::size_t k = 0; k < same.size(); ++k) {
      threads.emplace_back([&, k] {
        bool all = true;
        for (std::int32_t step = 0; step < 40; ++step) {
          Random random(100 + k);
          const std::vector<std::int32_t> positions = {static_cast<std::int32_t>(k) * 1000 + step / 4,
                                                       9000 + step / 4};
          Tensor<float, 4> a(1, 2, 3, 24);
          random.fill(a);
          const Tensor<float, 4> wanted = ggml::rope(a, positions, options);
          rope.rope_in_place(a, positions);
          all = all && std::memcmp(a.data(), wanted.data(), sizeof(float) * 144) == 0;
        }
        same[k] = all;
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const bool k : same) EXPECT_TRUE(k);
  }
}

TEST(GgmlRope, ThrowsBeforeAnythingIsWritten) {
  for (const ggml::Angles angles : {ggml::Angles::exact, ggml::Angles::ggml_float32}) {
    Tensor<float, 4> a(1, 3, 2, 8), out(1, 3, 2, 6);
    a.setConstant(1), out.setConstant(1);
    const std::vector<std::int32_t> positions = {1, 2, 3};
    const ggml::Rope<float> rope({.n_dims = 8, .angles = angles});
    const ggml::Rope<float> wide({.n_dims = 10, .angles = angles});
    const ggml::Rope<float> late({.n_dims = 6, .n_offs = 4, .angles = angles});
    const ggml::Rope<float> streams(
        {.n_dims = 8, .mode = ggml::Mode::mrope, .sections = {2, 1, 1, 0}, .angles = angles});
    const auto error_of = [&](const ggml::Rope<float>& of, const std::vector<std::int32_t>& at,
                              std::initializer_list<std::string_view> words) {
      expect_error([&] { of.rope_in_place(a, at); }, words);
      expect_error([&] { of.rope_into(a, at, a); }, words);
      EXPECT_EQ(a(0, 2, 0, 0), 1);
    };
    error_of(wide, positions, {"n_dims is 10", "8"});
    error_of(late, positions, {"6 features", "start_index 4"});
    error_of(rope, {1, 2}, {"2 tokens", "[1, 3, 2, 8]", "3"});
    error_of(rope, {1}, {"1 tokens", "[1, 3, 2, 8]"});
    error_of(streams, positions, {"3 positions", "4 for each"});
    expect_error([&] { rope.rope_into(a, positions, out); }, {"[1, 3, 2, 6]", "[1, 3, 2, 8]"});
    expect_error([&] { rope.rope_in_place(a, positions, Direction::inverse); }, {"Direction::transpose"});
    EXPECT_EQ(a(0, 2, 0, 0), 1);
    EXPECT_EQ(out(0, 2, 0, 0), 1);
    expect_error([&] { ggml::Rope<float>({.n_dims = 7, .angles = angles}); }, {"n_dims is 7", "even"});
  }
}

// Tensors without elements pass, whichever extent before the features is 0.
TEST(GgmlRope, EmptyTensors) {
  for (std::size_t empty = 0; empty < 3; ++empty)
    for (const ggml::Angles angles : {ggml::Angles::exact, ggml::Angles::ggml_float32}) {
      SCOPED_TRACE(empty);
      std::array<Index, 4> shape = {2, 3, 4, 8};
      shape[empty] = 0;
      const Tensor<float, 4> x(shape);
      const std::vector<std::int32_t> positions(static_cast<std::size_t>(shape[1]), 7);
      const ggml::RopeOptions options{.n_dims = 8, .angles = angles};
      EXPECT_EQ(ggml::rope(x, positions, options).dimensions(), x.dimensions());
      EXPECT_EQ(ggml::Rope<float>(options).rope(x, positions).dimensions(), x.dimensions());
    }
}

}  // namespace
}  // namespace rotary::testing
