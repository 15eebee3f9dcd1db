// Invalid values: enumerators out of range, NaN and infinity, tensors that overlap, scales that do not fit
// into 16 bits. They throw std::invalid_argument, and tensors are unchanged.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <rotary/apply/learned_rotations.hpp>
#include <rotary/attention.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/polar_embedding.hpp>
#include <rotary/positions/dual_chunk_positions.hpp>
#include <rotary/positions/mrope_positions.hpp>
#include <rotary/rotary.hpp>
#include <rotary/rotate_half.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Enum>
constexpr Enum kNone = static_cast<Enum>(7);

Tensor<float, 3> tensor(Index batch, Index seq, Index features) {
  Tensor<float, 3> x(batch, seq, features);
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<float>(n % 13) - 6;
  return x;
}

struct NamedCall {
  const char* name;
  std::function<void()> call;
};
void expect_refusals(const std::vector<NamedCall>& calls) {
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    try {
      expect_error(call, {"rotary: "});
    } catch (const std::exception& error) {
      ADD_FAILURE() << "another exception: " << error.what();
    }
  }
}

TEST(HostileValues, EnumeratorsThatAreNone) {
  const auto x = tensor(2, 3, 8);
  Tensor<float, 3> y = x;
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  const XPos<float> xpos({.dim = 8});
  const CosSinTable<float> table(language_frequencies(8), Positions::consecutive(3));
  const RotaryPositionalEmbeddings<float> labml(8);
  const ReverseRotaryPositionalEmbeddings<float> reversed(8);
  const std::vector<std::int32_t> ids = {0, 1, 2};
  Tensor<float, 2> angles(3, 8), cos(3, 4), sin(3, 4);
  angles.setZero(), cos.setZero(), sin.setZero();
  const RotateOptions options{.direction = kNone<Direction>};
  expect_refusals({
      {"HeadLayout", [] { RotaryEmbedding<float>(language_frequencies(8), {.pairing = kNone<Pairing>}); }},
      {"output_pairing",
       [] { RotaryEmbedding<float>(language_frequencies(8), {.output_pairing = kNone<Pairing>}); }},
      {"options", [] { RotaryEmbedding<float>({.dim = 8, .pairing = kNone<Pairing>}); }},
      {"freqs_for", [] { RotaryEmbedding<float>({.dim = 8, .freqs_for = kNone<FreqsFor>}); }},
      {"freqs_for beside custom_freqs",
       [] {
         RotaryEmbedding<float>({.custom_freqs = {1, 2}, .freqs_for = kNone<FreqsFor>});
       }},
      {"CosSinTable",
       [] {
         CosSinTable<float>(language_frequencies(8), Positions::consecutive(2), {.pairing = kNone<Pairing>});
       }},
      {"AxialFrequencies", [] { AxialFrequencies<float>({.dim = 8, .pairing = kNone<Pairing>}); }},
      {"AxialFrequencies, freqs_for",
       [] { AxialFrequencies<float>(language_frequencies(8), kNone<FreqsFor>, {}); }},
      {"rotate_half", [&] { static_cast<void>(rotate_half(x, kNone<Pairing>)); }},
      {"apply_rotary_emb, pairing",
       [&] { static_cast<void>(apply_rotary_emb(angles, x, {.pairing = kNone<Pairing>})); }},
      {"apply_rotary_emb_backward",
       [&] { apply_rotary_emb_backward(angles, x, x, {.pairing = kNone<Pairing>}); }},
      {"apply_rotary_emb, direction", [&] { apply_rotary_emb_in_place(table, y, kNone<Direction>); }},
      {"to token", [&] { apply_rotary_emb_to_token_in_place(table, y, kNone<Direction>); }},
      {"learned rotations",
       [&] { static_cast<void>(apply_learned_rotations(cos, x, {.pairing = kNone<Pairing>})); }},
      {"rotate_in_place", [&] { rotary_emb.rotate_in_place(y, options); }},
      {"at a position", [&] { rotary_emb.rotate_in_place(y, 5, options); }},
      {"far", [&] { rotary_emb.rotate_in_place(y, 1e15, options); }},
      {"token", [&] { rotary_emb.rotate_token_in_place(y, 5, options); }},
      {"gradient", [&] { static_cast<void>(rotary_emb.frequency_gradient(x, x, options)); }},
      {"xpos",
       [&] { static_cast<void>(xpos.rotate_queries_and_keys(x, x, {.direction = kNone<Direction>})); }},
      {"xpos gradients",
       [&] { static_cast<void>(xpos.parameter_gradient(x, x, x, x, {.direction = kNone<Direction>})); }},
      {"labml", [&] { static_cast<void>(labml(x, kNone<Direction>)); }},
      {"labml in place", [&] { labml.rotate_in_place(y, kNone<Direction>); }},
      {"labml reversed", [&] { reversed.rotate_in_place(y, kNone<Direction>); }},
      {"flash_attention", [&] { flash_attention::RotaryTables(cos, sin, kNone<Pairing>); }},
      {"ggml mode", [&] { static_cast<void>(ggml::rope(x, ids, {.n_dims = 8, .mode = kNone<ggml::Mode>})); }},
      {"ggml angles",
       [&] { static_cast<void>(ggml::rope(x, ids, {.n_dims = 8, .angles = kNone<ggml::Angles>})); }},
      {"ggml direction", [&] { static_cast<void>(ggml::rope(x, ids, {.n_dims = 8}, kNone<Direction>)); }},
      {"yarn",
       [] {
         yarn_frequencies(
             8, 10000,
             {.factor = 2, .original_max_position_embeddings = 64, .magnitude = kNone<YarnMagnitude>});
       }},
      {"grok",
       [] {
         grok_frequencies(8, 10000,
                          {.factor = 2, .original_max_position_embeddings = 64, .method = kNone<GrokMethod>});
       }},
      {"next_start", [] { MropePositions({.next_start = kNone<NextStart>}); }},
      {"dual chunk", [] { dual_chunk_query_position(3, kNone<DualChunkQuery>, {.chunk_size = 8}); }},
      {"KeyCache",
       [] { KeyCache<float>(language_frequencies(8), {.pairing = kNone<Pairing>}, {.head_dim = 8}); }},
      {"labml module's gradients would be another direction's",
       [&] { static_cast<void>(rotary_emb.position_gradient(x, x, {.direction = Direction::inverse})); }},
  });
  for (Index n = 0; n < x.size(); ++n) EXPECT_EQ(x.data()[n], y.data()[n]) << n;
}

TEST(HostileValues, NaNAndInfinityAreNoNumbers) {
  auto x = tensor(1, 3, 8), y = x;
  const auto before = x;
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  const XPos<float> xpos({.dim = 8});
  Tensor<float, 2> angles(3, 8), scales(3, 8);
  angles.setZero(), scales.setConstant(1);
  const PolarEmbedding<float> polar({.dim = 8});
  std::vector<double> ids = {0, 1, 2};
  std::vector<float> float_ids = {0, 1, 2};
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    SCOPED_TRACE(bad);
    ids[1] = bad, float_ids[2] = static_cast<float>(bad);
    Tensor<double, 2> phases(1, 8);
    phases.setConstant(-1);
    phases(0, 3) = bad;
    Tensor<float, 2> bad_angles = angles;
    bad_angles(1, 4) = bad_angles(1, 5) = static_cast<float>(bad);
    Tensor<double, 2> wide_angles = bad_angles.cast<double>();
    const std::vector<double> ranges = {bad};
    Tensor<float, 2> ones(3, 2);
    ones.setConstant(1);
    expect_refusals({
        {"scale", [&] { rotary_emb.rotate_in_place(x, {.scale = bad}); }},
        {"scale at a position", [&] { rotary_emb.rotate_in_place(x, 5, {.scale = bad}); }},
        {"scale of a token", [&] { rotary_emb.rotate_token_in_place(x, 5, {.scale = bad}); }},
        {"scale, inverse",
         [&] { rotary_emb.rotate_in_place(x, {.scale = bad, .direction = Direction::inverse}); }},
        {"scale and scales",
         [&] { static_cast<void>(rotary_emb.rotate_queries_or_keys(x, {.scale = bad}, scales)); }},
        {"scale of gradients",
         [&] { static_cast<void>(rotary_emb.frequency_gradient(x, x, {.scale = bad})); }},
        {"offset", [&] { rotary_emb.rotate_in_place(x, {.offset = bad}); }},
        {"position", [&] { rotary_emb.rotate_in_place(x, bad); }},
        {"float position", [&] { rotary_emb.rotate_in_place(x, static_cast<float>(bad)); }},
        {"ids", [&] { rotary_emb.rotate_in_place(x, ids); }},
        {"float ids", [&] { rotary_emb.rotate_in_place(x, float_ids); }},
        {"ids of angles", [&] { static_cast<void>(rotary_emb(ids)); }},
        {"get_seq_pos", [&] { static_cast<void>(rotary_emb.get_seq_pos(3, bad)); }},
        {"offsets of a grid",
         [&] {
           const std::vector<double> offsets = {bad, 0};
           static_cast<void>(AxialFrequencies<float>({.dim = 8}).get_axial_freqs(3, 2, offsets));
         }},
        {"centre", [&] { xpos.rotate_queries_and_keys_in_place(x, y, {.centre = bad}); }},
        {"centre, cached keys",
         [&] { static_cast<void>(xpos.rotate_queries_with_cached_keys(x, x, {.centre = bad})); }},
        {"centre of a key cache", [&] { KeyCache<float>(xpos, bad, {.heads = 1, .head_dim = 8}); }},
        {"xpos_scale_base", [&] { XPos<float>({.dim = 8}, {.xpos_scale_base = bad}); }},
        {"set_scale",
         [&] {
           XPos<float>({.dim = 8}).set_scale({1, 1, bad, 1});
         }},
        {"theta", [&] { language_frequencies(8, bad); }},
        {"theta of an embedding", [&] { RotaryEmbedding<float>({.dim = 8, .theta = bad}); }},
        {"interpolate_factor", [&] { RotaryEmbedding<float>({.dim = 8, .interpolate_factor = bad}); }},
        {"rescale", [&] { RotaryEmbedding<float>({.dim = 8, .theta_rescale_factor = bad}); }},
        {"max_freq", [&] { pixel_frequencies(8, bad); }},
        {"custom_freqs",
         [&] {
           RotaryEmbedding<float>({.custom_freqs = {1, bad}});
         }},
        {"magnitude",
         [&] {
           RotaryEmbedding<float>(Frequencies{{1}, 1, bad});
         }},
        {"labml base", [&] { RotaryPositionalEmbeddings<float>(8, bad); }},
        {"polar theta", [&] { PolarEmbedding<float>({.dim = 8, .theta = bad}); }},
        {"phases", [&] { static_cast<void>(polar.embed_keys(x, phases)); }},
        {"apply, scale", [&] { apply_rotary_emb_in_place(angles, x, {.scale = bad}); }},
        {"apply, angles", [&] { apply_rotary_emb_in_place(bad_angles, x); }},
        {"apply, angles in double", [&] { apply_rotary_emb_in_place(wide_angles, x); }},
        {"apply, separate", [&] { apply_rotary_emb_in_place(bad_angles, x, {.separate_angles = true}); }},
        {"apply, and scales", [&] { apply_rotary_emb_in_place(bad_angles, x, scales); }},
        {"learned", [&] { static_cast<void>(apply_learned_rotations(ones, x, {}, ranges)); }},
        {"yarn",
         [&] { yarn_frequencies(8, 10000, {.factor = bad, .original_max_position_embeddings = 64}); }},
        {"scaled", [&] { scaled(language_frequencies(8), bad); }},
        {"dropout",
         [&] { RotaryMultiHeadAttention<float>({.heads = 1, .d_model = 4, .dropout_prob = bad}); }},
        {"rope_percentage",
         [&] { RotaryMultiHeadAttention<float>({.heads = 1, .d_model = 4, .rope_percentage = bad}); }},
        {"ggml base", [&] { ggml::rope_frequencies({.n_dims = 8, .freq_base = bad}); }},
        {"interval of frames",
         [&] {
           MropePositions prompt;
           prompt.append_video({.frames = 2, .height = 2, .width = 2}, bad);
         }},
    });
  }
  for (Index n = 0; n < x.size(); ++n) EXPECT_EQ(x.data()[n], before.data()[n]) << n;
}

// A position keeps within 2^62 after it was moved, too: sums of three would wrap.
TEST(HostileValues, PositionsStayWithinRangeWhenMoved) {
  const std::int64_t far = (std::int64_t{1} << 62) - 1;
  const std::vector<std::int64_t> ids = {far}, back = {-far};
  const std::vector<double> fractional = {-0x1p61 * 1.5};
  expect_error([&] { static_cast<void>(Positions::listed(ids, 1)); }, {"position", "2^62"});
  expect_error([&] { static_cast<void>(Positions::listed(ids, far)); }, {"position", "2^62"});
  expect_error([&] { static_cast<void>(Positions::listed(back, -far)); }, {"position", "2^62"});
  expect_error([&] { static_cast<void>(Positions::listed(fractional, -0x1p61)); }, {"position", "2^62"});
  EXPECT_EQ(Positions::listed(ids, -far).at(0), FixedPosition(0));
}

TEST(HostileValues, APositionFilledInByHandIsADouble) {
  FixedPosition lowest;
  lowest.whole = INT64_MIN;
  EXPECT_EQ(static_cast<double>(lowest), -0x1p63);  // it called itself without end
  lowest.fraction = std::uint64_t{1} << 63;
  EXPECT_EQ(static_cast<double>(lowest), -0x1p63);
  FixedPosition below;
  below.whole = -1, below.fraction = std::uint64_t{1} << 62;
  EXPECT_EQ(static_cast<double>(below), -0.75);
}

// The scale of XPos is compared with what the tensor holds, not only with what rows hold.
TEST(HostileValues, XPosIsFiniteInSixteenBits) {
  const XPos<float> xpos({.dim = 8});
  Tensor<Eigen::half, 3> q(1, 2, 8), k(1, 2, 8);
  Tensor<Eigen::bfloat16, 3> wide_q(1, 2, 8), wide_k(1, 2, 8);
  Tensor<float, 3> float_q(1, 2, 8);
  q.setConstant(Eigen::half(1)), k.setConstant(Eigen::half(1)), float_q.setConstant(1);
  wide_q.setConstant(Eigen::bfloat16(1)), wide_k.setConstant(Eigen::bfloat16(1));
  const auto q_before = q, k_before = k;
  for (const int far : {4500, -4500, 20000}) {
    expect_error([&] { xpos.rotate_queries_and_keys_in_place(q, k, {.offset = far, .centre = 0}); },
                 {"position", "out of range", "centre"});
    Tensor<float, 3> copy = float_q;
    expect_error([&] { xpos.rotate_queries_and_keys_in_place(copy, k, {.offset = far, .centre = 0}); },
                 {"position", "out of range", "centre"});  // keys of another type than queries
    expect_error([&] { static_cast<void>(xpos.rotate_queries_and_keys(q, k, {.offset = far, .centre = 0})); },
                 {"position", "out of range", "centre"});
    EXPECT_NO_THROW(xpos.rotate_queries_and_keys_in_place(wide_q, wide_k, {.offset = far, .centre = 0}));
  }
  // With the last query as the centre scales of keys vanish; that of a query far before it does not.
  const std::vector<int> apart = {0, 4500};
  Tensor<Eigen::half, 3> few_q = q, few_k = k;
  expect_error(
      [&] { xpos.rotate_queries_and_keys_in_place(few_q, few_k, apart, {.centre_on_last_query = true}); },
      {"position 0", "centre, 4500", "out of range"});
  for (Index n = 0; n < q.size(); ++n) {
    EXPECT_EQ(q.data()[n].x, q_before.data()[n].x);
    EXPECT_EQ(k.data()[n].x, k_before.data()[n].x);
  }
  // Results are finite if the call does not throw, and values far from the limit do not throw.
  int accepted = 0;
  for (int offset = -6000; offset <= 6000; offset += 250) {
    try {
      const auto [queries, keys] = xpos.rotate_queries_and_keys(q, k, {.offset = offset, .centre = 0});
      for (Index n = 0; n < queries.size(); ++n)
        EXPECT_TRUE(std::isfinite(static_cast<float>(queries.data()[n])) &&
                    std::isfinite(static_cast<float>(keys.data()[n])))
            << offset;
      ++accepted;
    } catch (const std::invalid_argument&) {
    }
  }
  EXPECT_GE(accepted, 24);
}

TEST(HostileValues, OutputsOfQueriesAndKeysMustBeApart) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  const auto q = tensor(2, 3, 8), k = tensor(2, 3, 8);
  Tensor<float, 3> buffer = tensor(4, 3, 8);
  const auto before = buffer;
  const StridedView<float> first(buffer.data(), {2, 3, 8}), second(buffer.data() + 48, {2, 3, 8});
  const StridedView<float> between(buffer.data() + 24, {2, 3, 8});
  const std::vector<int> ids = {4, 2, 9};
  expect_refusals({
      {"one output", [&] { rotary_emb.rotate_queries_and_keys_into(q, k, first, first); }},
      {"outputs that overlap", [&] { rotary_emb.rotate_queries_and_keys_into(q, k, first, between); }},
      {"at ids", [&] { rotary_emb.rotate_queries_and_keys_into(q, k, first, between, ids); }},
      {"keys written over queries",
       [&] { rotary_emb.rotate_queries_and_keys_into(first, k, second, first); }},
      {"queries written over keys",
       [&] { rotary_emb.rotate_queries_and_keys_into(q, first, first, second); }},
      {"queries as keys", [&] { rotary_emb.rotate_in_place(first, between); }},
      {"of a token", [&] { rotary_emb.rotate_token_in_place(first, between, 3); }},
  });
  for (Index n = 0; n < buffer.size(); ++n) EXPECT_EQ(buffer.data()[n], before.data()[n]) << n;
  EXPECT_NO_THROW(rotary_emb.rotate_queries_and_keys_into(q, k, first, second));
  EXPECT_NO_THROW(rotary_emb.rotate_queries_and_keys_into(first, second, first, second));
}

}  // namespace
}  // namespace rotary::testing
