// Sizes that no tensor can have: calls throw std::invalid_argument, or return at once if there is nothing to
// do, and allocate nothing for a number that is merely given.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <rotary/apply/learned_rotations.hpp>
#include <rotary/apply/pairing_conversion.hpp>
#include <rotary/attention.hpp>
#include <rotary/broadcat.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/labml.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/operators/onnx.hpp>
#include <rotary/polar_embedding.hpp>
#include <rotary/positions/mrope_positions.hpp>
#include <rotary/rotate_half.hpp>
#include <rotary/xpos.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZER_LIMITS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER_LIMITS 1
#endif

namespace {

std::atomic<bool> asked_for_more{false};

}  // namespace

// Sanitizers end the program where too much is asked for. Elsewhere malloc notices, and gives nothing.
#if defined(__GLIBC__) && !defined(SANITIZER_LIMITS)
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

static bool is_too_much(std::size_t size) {
  constexpr std::size_t kMostBytes = std::size_t{64} << 20;  // no test here needs as much
  if (size <= kMostBytes) return false;
  asked_for_more = true;
  return true;
}
void* malloc(std::size_t size) { return is_too_much(size) ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) {
  return is_too_much(size == 0 ? 0 : std::min(count, SIZE_MAX / size) * size) ? nullptr
                                                                              : __libc_calloc(count, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return is_too_much(size) ? nullptr : __libc_memalign(alignment, size);
}
}
#endif

namespace rotary::testing {
namespace {

constexpr Index kHuge = Index{1} << 60, kLargest = PTRDIFF_MAX;

using Call = std::function<void()>;
struct NamedCall {
  const char* name;
  Call call;
};

/// Each must throw rotary's std::invalid_argument without asking for much memory.
void expect_refusals(const std::vector<NamedCall>& calls) {
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    asked_for_more = false;
    alarm(30);
    try {
      expect_error(call, {"rotary: "});
    } catch (const std::exception& error) {
      ADD_FAILURE() << "another exception: " << error.what();
    }
    EXPECT_FALSE(asked_for_more.load()) << "memory was asked for first";
  }
}

/// Each must come back at once, and without asking for much memory.
void expect_no_work(const std::vector<NamedCall>& calls) {
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    asked_for_more = false;
    alarm(30);  // ends the program
    EXPECT_NO_THROW(call());
    EXPECT_FALSE(asked_for_more.load()) << "memory was asked for";
  }
}

Positions vast_grid(Index height, Index width) {
  const std::array<AxisPositions, 2> axes{AxisPositions::consecutive(height),
                                          AxisPositions::consecutive(width)};
  return Positions::grid(axes);
}

// --- numbers that are merely named

TEST(HostileSizes, PositionsAreComparedBeforeAnythingIsAllocated) {
  const RotaryEmbedding<float> plain({.dim = 4}), planes(axial(language_frequencies(4), 2));
  Tensor<float, 3> x(2, 4, 8), y(2, 4, 8);
  x.setZero(), y.setZero();
  const Positions grid = vast_grid(Index{1} << 20, Index{1} << 20);
  const Positions batches = Positions::consecutive(Index{1} << 40).in_batches(Index{1} << 30);
  const Positions list = Positions::consecutive(Index{1} << 40);
  std::vector<NamedCall> calls;
  for (const Positions& at : {grid, batches, list}) {
    calls.push_back({"rotate_in_place", [&, at] { planes.rotate_in_place(x, at); }});
    calls.push_back({"rotate_in_place, one axis", [&, at] { plain.rotate_in_place(x, at); }});
    calls.push_back({"rotate_into", [&, at] { planes.rotate_into(x, y, at); }});
    calls.push_back(
        {"rotate_queries_and_keys", [&, at] { planes.rotate_queries_and_keys_in_place(x, y, at); }});
    calls.push_back({"rotate_token", [&, at] { planes.rotate_token_in_place(x, at); }});
    calls.push_back({"with threads", [&, at] {
                       struct Device {
                         void parallelFor(Index count, const Eigen::TensorOpCost&,
                                          const std::function<void(Index, Index)>& work) const {
                           work(0, count);
                         }
                       };
                       planes.rotate_in_place(x, at, {}, Device{});
                     }});
    calls.push_back({"position_gradient", [&, at] {
                       static_cast<void>(position_gradient(planes.frequencies(), at, planes.layout(), x, y));
                     }});
    calls.push_back({"frequency_gradient", [&, at] {
                       static_cast<void>(frequency_gradient(planes.frequencies(), at, planes.layout(), x, y));
                     }});
    calls.push_back({"KeyCache", [&, at] {
                       KeyCache<float> cache(plain, {.heads = 2, .head_dim = 8});
                       cache.append(x, at);
                     }});
  }
  expect_refusals(calls);
}

TEST(HostileSizes, CachedRowsCostNothingUntilTheyAreUsed) {
  expect_no_work({{"a limit of 2^62", [] {
                     const RotaryEmbedding<float> rotary_emb({.dim = 64, .cache_max_seq_len = kHuge});
                     Tensor<float, 2> x(1, 64);
                     x.setZero();
                     for (const std::int64_t offset : {std::int64_t{1000000}, std::int64_t{1} << 33})
                       rotary_emb.rotate_in_place(x, offset);
                   }}});
}

TEST(HostileSizes, GridsOfImagesAreComparedWithThePrompt) {
  const std::vector<int> prompt = {1, 151655, 151655, 2};
  const std::vector<VisionGrid> images = {{.frames = 1, .height = Index{1} << 20, .width = Index{1} << 20}};
  const std::vector<VisionGrid> videos = {{.frames = Index{1} << 50, .height = 2, .width = 2}};
  const std::vector<int> film = {151656};
  expect_refusals({{"image",
                    [&] {
                      MropePositions positions;
                      positions.append(prompt, {.images = images});
                    }},
                   {"video", [&] {
                      MropePositions positions;
                      positions.append(film, {.videos = videos});
                    }}});
}

// --- more elements than memory has addresses

TEST(HostileSizes, WhatCannotBeCountedIsRefused) {
  const RotaryEmbedding<float> rotary_emb({.dim = 4});
  const AxialFrequencies<float> axial_freqs({.dim = 4});
  expect_refusals({
      {"dim", [] { RotaryEmbedding<float>({.dim = kLargest - 1}); }},
      {"pixel dim", [] { RotaryEmbedding<float>({.dim = kLargest - 1, .freqs_for = FreqsFor::pixel}); }},
      {"num_freqs", [] { RotaryEmbedding<float>({.freqs_for = FreqsFor::constant, .num_freqs = kLargest}); }},
      {"language_frequencies", [] { language_frequencies(kLargest); }},
      {"pixel_frequencies", [] { pixel_frequencies(kLargest); }},
      {"constant_frequencies", [] { constant_frequencies(kHuge); }},
      {"polar_frequencies", [] { polar_frequencies(kHuge * 2); }},
      {"hf_float32_frequencies", [] { hf_float32_frequencies(kLargest); }},
      {"axial", [] { axial(language_frequencies(8), kHuge); }},
      {"on_axes", [] { on_axes(language_frequencies(2), std::vector<Index>{0}, kHuge); }},
      {"labml", [] { RotaryPositionalEmbeddings<float>(kLargest - 1); }},
      {"labml's listing", [] { static_cast<void>(RotaryPositionalEmbeddingsListing<float>(kLargest)); }},
      {"PolarEmbedding", [] { PolarEmbedding<float>({.dim = kHuge}); }},
      {"ggml", [] { ggml::rope_frequencies({.n_dims = kLargest - 1}); }},
      {"get_seq_pos", [&] { static_cast<void>(rotary_emb.get_seq_pos(kHuge)); }},
      {"get_seq_pos of a negative length", [&] { static_cast<void>(rotary_emb.get_seq_pos(-1)); }},
      {"table", [&] { static_cast<void>(rotary_emb.table(Positions::consecutive(kHuge))); }},
      {"CosSinTable", [] { CosSinTable<double>(language_frequencies(2), Positions::consecutive(kHuge)); }},
      {"heads' tables",
       [] {
         const std::vector<Frequencies> heads = {language_frequencies(2), language_frequencies(2)};
         CosSinTable<float>(std::span<const Frequencies>(heads), Positions::consecutive(kHuge));
       }},
      {"room for -1 tokens",
       [] {
         TokenPositions tokens(2);
         tokens.reserve(-1);
       }},
      {"room for tokens without end",
       [] {
         TokenPositions tokens(2);
         tokens.reserve(kHuge);
       }},
      {"get_axial_freqs", [&] { static_cast<void>(axial_freqs.get_axial_freqs(kHuge, 8)); }},
      {"get_axial_freqs of three axes",
       [&] {
         static_cast<void>(axial_freqs.get_axial_freqs(Index{1} << 20, Index{1} << 20, Index{1} << 20));
       }},
      {"axial table",
       [&] {
         static_cast<void>(axial_freqs.table(std::array<Index, 2>{kHuge, 2}));
       }},
      {"KeyCache", [&] { KeyCache<float>(rotary_emb, {.heads = 1, .head_dim = 4, .capacity = kHuge}); }},
      {"KeyCache of a great head", [&] { KeyCache<float>(rotary_emb, {.heads = kHuge, .head_dim = kHuge}); }},
      {"positions of a list, stride 0",
       [] {
         const std::vector<int> ids = {1, 2, 3};
         static_cast<void>(AxisPositions::listed(std::span<const int>(ids), {}, 0));
       }},
      {"positions of a list, stride -1",
       [] {
         const std::vector<int> ids = {1, 2, 3};
         static_cast<void>(AxisPositions::listed(std::span<const int>(ids), {}, -1));
       }},
      {"attention", [] { RotaryMultiHeadAttention<float>({.heads = 1, .d_model = Index{1} << 40}); }},
  });
}

TEST(HostileSizes, AStrideMayBeLongerThanTheList) {
  const std::vector<int> ids = {1, 2, 3};
  const auto positions = AxisPositions::listed(std::span<const int>(ids), {}, kLargest);
  ASSERT_EQ(positions.count(), 1);
  EXPECT_EQ(positions[0], FixedPosition(1));
}

TEST(HostileSizes, GradientsOfBroadcastViewsAreRefusedWhereTheyDoNotFit) {
  const RotaryEmbedding<float> rotary_emb({.dim = 4});
  std::vector<float> one(4, 1.0f);
  const StridedView<const float> vast(one.data(), {Index{1} << 58, Index{4}}, {0, 1});
  const StridedView<const float> heads(one.data(), {Index{1} << 40, Index{1}, Index{1}, Index{4}},
                                       {0, 0, 0, 1});
  const RotaryMultiHeadAttention<float> attention({.heads = 1, .d_model = 4, .rope_percentage = 1});
  expect_refusals({
      {"frequency_gradient", [&] { static_cast<void>(rotary_emb.frequency_gradient(vast, vast)); }},
      {"position_gradient", [&] { static_cast<void>(rotary_emb.position_gradient(vast, vast)); }},
      {"magnitude_gradient", [&] { static_cast<void>(rotary_emb.magnitude_gradient(vast, vast)); }},
      {"get_scores", [&] { static_cast<void>(attention.get_scores(heads, heads)); }},
  });
}

// --- nothing to do, many times

TEST(HostileSizes, HugeEmptyTensorsReturnAtOnce) {
  const RotaryEmbedding<float> rotary_emb({.dim = 4}), planes(axial(language_frequencies(2), 2));
  const XPos<float> xpos({.dim = 4});
  const StridedView<float> seq_first(nullptr, {kHuge, Index{0}, Index{4}}, {4, 4, 1});
  const StridedView<float> seq_second(nullptr, {Index{0}, kHuge, Index{4}}, {4, 4, 1});
  const StridedView<float> tokens(nullptr, {kHuge, Index{0}, Index{4}}, {4, 4, 1});
  const StridedView<float> heads(nullptr, {Index{1} << 40, Index{0}, Index{1}, Index{4}}, {4, 4, 4, 1});
  const StridedView<float> none(nullptr, {Index{3}, Index{0}, Index{1}, Index{4}}, {4, 4, 4, 1});
  const StridedView<bool> no_key(nullptr, {kHuge, Index{0}, Index{1}}, {0, 0, 0});
  const std::array<AxisPositions, 2> axes{AxisPositions::consecutive(Index{1} << 30),
                                          AxisPositions::consecutive(Index{1} << 30)};
  const StridedView<float> picture(nullptr, {Index{0}, Index{1} << 30, Index{1} << 30, Index{4}},
                                   {4, 4, 4, 1});
  Tensor<float, 2> one_scale(1, 4);
  one_scale.setConstant(2);
  Tensor<float, 4> empty(Index{1} << 40, 0, 1, 4), seq_of_none(0, 1, Index{1} << 40, 4);
  Tensor<double, 3> none_of_rows(Index{1} << 40, 0, 4);
  const RotaryMultiHeadAttention<float> attention({.heads = 1, .d_model = 4, .rope_percentage = 1});
  const PolarEmbedding<float> polar({.dim = 4});
  Tensor<double, 2> phases(1, 4);
  phases.setZero();
  expect_no_work({
      {"rotate_in_place", [&] { rotary_emb.rotate_in_place(seq_first, {.seq_dim = 0}); }},
      {"rotate_in_place, last", [&] { rotary_emb.rotate_in_place(seq_second); }},
      {"rotate_in_place, fractional", [&] { rotary_emb.rotate_in_place(seq_second, 0.5); }},
      {"rotate_into", [&] { rotary_emb.rotate_into(seq_second, StridedView<float>(seq_second)); }},
      {"rotate_in_place, tensor", [&] { rotary_emb.rotate_in_place(empty); }},
      {"rotate at a grid", [&] { planes.rotate_in_place(picture, Positions::grid(axes)); }},
      {"rotate q and k", [&] { rotary_emb.rotate_in_place(seq_second, StridedView<float>(seq_second)); }},
      {"with scales",
       [&] { static_cast<void>(rotary_emb.rotate_queries_or_keys(seq_of_none, {}, one_scale)); }},
      {"xpos", [&] { xpos.rotate_queries_and_keys_in_place(seq_second, StridedView<float>(seq_second)); }},
      {"frequency_gradient",
       [&] { EXPECT_EQ(rotary_emb.frequency_gradient(seq_second, seq_second), std::vector<double>(2)); }},
      {"magnitude_gradient", [&] { EXPECT_EQ(rotary_emb.magnitude_gradient(seq_second, seq_second), 0); }},
      {"free frequency_gradient",
       [&] {
         EXPECT_EQ(frequency_gradient(language_frequencies(4), Positions::consecutive(kHuge), {}, seq_second,
                                      seq_second),
                   std::vector<double>(2));
       }},
      {"xpos gradients",
       [&] {
         EXPECT_EQ(xpos.parameter_gradient(seq_second, seq_second, seq_second, seq_second).freqs.size(), 2u);
       }},
      {"flash gradients",
       [&] {
         Tensor<float, 4> x(0, Index{1} << 40, 2, 8);
         Tensor<float, 3> each(0, Index{1} << 40, 4);
         const auto gradients = flash_attention::apply_rotary_backward(x, each, each, x);
         EXPECT_EQ(gradients.x.size() + gradients.cos.size(), 0);
       }},
      {"get_axial_freqs",
       [&] {
         const AxialFrequencies<float> axial_freqs({.dim = 4});
         EXPECT_EQ(axial_freqs.get_axial_freqs(Index{1} << 40, 0).size(), 0);
         EXPECT_EQ(axial_freqs.table(std::array<Index, 2>{0, Index{1} << 40}).rows(), 0);
       }},
      {"tables of no pairs",
       [&] {
         EXPECT_EQ(CosSinTable<float>(Frequencies(), Positions::consecutive(kHuge)).pairs(), 0);
         EXPECT_EQ(CosSinTable<double>(on_axes(Frequencies(), std::vector<Index>(), 2), Positions::grid(axes))
                       .pairs(),
                   0);
         EXPECT_EQ(hf_float32_table(Frequencies(), Positions::consecutive(kHuge)).pairs(), 0);
       }},
      {"polar", [&] { EXPECT_EQ(polar.embed_queries(empty).size(), 0); }},
      {"polar, a long sequence", [&] { EXPECT_EQ(polar.embed_queries(seq_of_none).size(), 0); }},
      {"polar keys", [&] { EXPECT_EQ(polar.embed_keys(seq_of_none, phases).size(), 0); }},
      {"attention", [&] { EXPECT_EQ(attention.forward(tokens, tokens, tokens).size(), 0); }},
      {"get_scores", [&] { EXPECT_EQ(attention.get_scores(heads, none).size(), 0); }},
      {"mask", [&] { static_cast<void>(AttentionMask(no_key)); }},
      {"KeyCache",
       [&] {
         KeyCache<float> cache(rotary_emb, {.heads = Index{1} << 58, .head_dim = 4});
         cache.append(StridedView<const float>(nullptr, {Index{1} << 58, Index{0}, Index{4}}, {0, 0, 1}));
         cache.rewind(0);
         const auto copy = cache;
         EXPECT_EQ(copy.size(), 0);
       }},
      {"broadcat", [&] { EXPECT_EQ(broadcat(none_of_rows, none_of_rows).size(), 0); }},
      {"rotate_half", [&] { EXPECT_EQ(rotate_half(none_of_rows).size(), 0); }},
      {"conversion", [&] { interleaved_to_half_in_place(seq_first, {.axis = -1}); }},
      {"angles", [&] { EXPECT_EQ(rotary_emb(none_of_rows).size(), 0); }},
      {"padded_position_ids",
       [] { EXPECT_EQ(padded_position_ids(std::vector<int>(), {.batch = kHuge, .seq = 0}).size(), 0u); }},
      {"merge_block_positions",
       [] {
         EXPECT_EQ(merge_block_positions({.frames = kHuge, .height = 0, .width = 2}).tokens(), 0);
         EXPECT_EQ(merge_block_positions({.frames = 1, .height = kHuge, .width = 0}).tokens(), 0);
         EXPECT_EQ(merge_block_positions({.frames = 0, .height = kHuge, .width = kHuge}).tokens(), 0);
       }},
      {"apply_rotary_emb",
       [&] {
         Tensor<float, 2> one_row(1, 4);
         one_row.setZero();
         EXPECT_EQ(
             apply_rotary_emb(Tensor<float, 3>(one_row.reshape(std::array<Index, 3>{1, 1, 4})), empty).size(),
             0);
       }},
  });
}

}  // namespace
}  // namespace rotary::testing
