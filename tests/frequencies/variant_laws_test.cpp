// The laws of rotation for every variant, at every kind of positions, and through every operation of a cache.
//
// Everything after the frequencies is independent of the variant, so there is one list of variants and one of
// kinds of positions, and each law is tested once for all pairs of them. XPos has its own laws
// (properties_xpos_test.cpp), PoPE its formula.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <rotary/rotary.hpp>
#include <set>
#include <thread>

#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

constexpr Index kDim = 16, kPairs = kDim / 2, kHeads = 2;

// --- variants

struct Variant {
  std::string name;
  Frequencies frequencies;
};

/// All variants of include/rotary/frequencies, a row or more for each header, with parameters that scale some
/// pairs and not others.
std::vector<Variant> variants() {
  const Frequencies plain = language_frequencies(kDim);
  const YarnOptions yarn{.factor = 8, .original_max_position_embeddings = 4096};
  YarnOptions not_rounded = yarn, deepseek = yarn;
  not_rounded.truncate = false;
  deepseek.magnitude = YarnMagnitude::deepseek, deepseek.mscale = 0.7;
  const LongRopeOptions longrope{.short_factor = {1, 1, 1.1, 1.2, 1.5, 2, 2, 2},
                                 .long_factor = {1, 1.5, 2, 4, 8, 16, 32, 33},
                                 .original_max_position_embeddings = 4096,
                                 .max_position_embeddings = 131072};
  const auto grok = [](GrokMethod method) {
    return grok_frequencies(kDim, 10000,
                            {.factor = 16, .original_max_position_embeddings = 8192, .method = method});
  };
  return {
      {"plain", plain},
      {"linear", linear_frequencies(kDim, 10000, {.factor = 3})},
      {"length interpolation",
       length_interpolated_frequencies(kDim, 10000, {.pretrained_length = 4096}, 9000)},
      {"pixel", pixel_frequencies(kDim)},
      {"constant", constant_frequencies(kPairs)},
      {"custom", custom_frequencies(std::vector<double>{3, -1, 0.5, 0, 1e-3, 7, 2, -0.25})},
      {"ntk alpha", ntk_frequencies(kDim, 10000, {.alpha = 8})},
      {"ntk of vLLM", vllm_ntk_frequencies(kDim, 10000, {.factor = 4})},
      {"ntk with mixed_b", vllm_ntk_frequencies(kDim, 10000, {.factor = 4, .mixed_b = 0.625})},
      {"dynamic ntk",
       dynamic_ntk_frequencies(kDim, 10000, {.factor = 4, .max_position_embeddings = 2048}, 5000)},
      {"frozen dynamic ntk", frozen_dynamic_ntk_frequencies(kDim, 10000, {.factor = 4})},
      {"dynamic ntk of Qwen-1",
       qwen_ntk_frequencies(kDim, 10000, {.original_max_position_embeddings = 2048}, 9000)},
      {"yarn", yarn_frequencies(kDim, 10000, yarn)},
      {"yarn not rounded", yarn_frequencies(kDim, 10000, not_rounded)},
      {"yarn of DeepSeek", yarn_frequencies(kDim, 10000, deepseek)},
      {"dynamic yarn", dynamic_yarn_frequencies(kDim, 10000, yarn, 100000)},
      {"ntk by parts",
       ntk_by_parts_frequencies(kDim, 10000, {.factor = 8, .original_max_position_embeddings = 2048})},
      {"resonance", resonance_frequencies(kDim, 10000, {.yarn = yarn})},
      {"grok original", grok(GrokMethod::original)},
      {"grok yarn_linear", grok(GrokMethod::yarn_linear)},
      {"grok yarn_log", grok(GrokMethod::yarn_log)},
      {"grok theta_scale", grok(GrokMethod::theta_scale)},
      {"longrope, short", longrope_frequencies(kDim, 10000, longrope, 4096)},
      {"longrope, long", longrope_frequencies(kDim, 10000, longrope, 4097)},
      {"llama3", llama3_frequencies(kDim, 500000, {})},
      {"llama3 with a threshold", llama3_frequencies(kDim, 500000, {.factor = 16, .high_freq_factor = 1})},
      {"proportional", proportional_frequencies(kDim, 1000000, {.partial_rotary_factor = 0.25})},
      {"fope", fope_frequencies(kDim, 10000, {.max_position_embeddings = 512})},
      {"fope by number", fope_frequencies(kDim, 10000, {.max_position_embeddings = 512, .num_inv_freq = 3})},
      {"Qwen2-VL's tower", qwen2_vl_vision_frequencies(kDim)},
      {"Llama 4's tower", llama4_vision_frequencies(kDim)},
      {"rope-vit", rope_vit_frequencies(kDim)},
      {"Pixtral", pixtral_frequencies(kDim)},
      {"DINOv3", dinov3_frequencies(kDim)},
      {"RoPE-Mixed", mixed_frequencies(kDim, 10, {.angle = 0.7})},
      {"axial", axial(language_frequencies(kDim / 2), 2)},
      {"FLUX", diffusion_frequencies(std::vector<Index>{4, 6, 6})},
      {"Wan", wan_frequencies(kDim)},
  };
}

/// Which coordinate rotates which pair: how a variant of one axis is used for tokens of several.
struct Order {
  std::string name;
  Index axes;
  std::vector<Index> axis_of_pair;
};

std::vector<Order> orders() {
  return {
      {"chunked", 3, mrope_axes_chunked({2, 3, 3})},
      {"interleaved", 3, mrope_axes_interleaved({4, 2, 2})},
      {"ERNIE", 3, mrope_axes_ernie({3, 3, 2})},
      {"openPangu", 3, mrope_axes_openpangu({2, 3, 3})},
      {"XD-RoPE", 4, mrope_axes_chunked({1, 2, 2, 3})},
      {"ggml MROPE", 4, mrope_axes_ggml({2, 1, 1, 1}, kPairs)},
      {"ggml IMROPE", 4, mrope_axes_ggml_interleaved({3, 2, 2, 1}, kPairs)},
  };
}

// --- kinds of positions

/// What is added to the positions of all tokens, along each axis.
using Shift = std::array<FixedPosition, kMaxPositionAxes>;
using Place = std::array<FixedPosition, kMaxPositionAxes>;
constexpr Shift kNoShift{};

/// A kind of positions, also shifted. The lists that its positions are a view of live as long as the kind.
struct Kind {
  std::string name;
  Index axes;
  Index batch;  ///< sequences with positions of their own; 0 where all share theirs
  std::function<Positions(const Shift&)> at;
};

Kind consecutive(std::string name, double first) {
  return {std::move(name), 1, 0,
          [first](const Shift& shift) { return Positions::consecutive(6, FixedPosition(first) + shift[0]); }};
}

template <class P>
Kind listed(std::string name, std::vector<P> list, Index batch = 0) {
  return {std::move(name), 1, batch, [list = std::move(list), batch](const Shift& shift) {
            const Positions positions = Positions::listed(list, shift[0]);
            return batch > 0 ? positions.in_batches(batch) : positions;
          }};
}

Kind together(std::string name, const TokenPositions& tokens) {
  return {std::move(name), tokens.axes(), 0, [tokens](const Shift& shift) {
            std::vector<AxisPositions> axes;
            for (Index a = 0; a < tokens.axes(); ++a)
              axes.push_back(AxisPositions::listed(tokens.axis(a), shift[static_cast<std::size_t>(a)]));
            return Positions::together(axes);
          }};
}

Kind grid(std::string name, const std::vector<Index>& sides) {
  return {std::move(name), static_cast<Index>(sides.size()), 0, [sides](const Shift& shift) {
            std::vector<AxisPositions> axes;
            for (std::size_t a = 0; a < sides.size(); ++a)
              axes.push_back(AxisPositions::consecutive(sides[a], shift[a]));
            return Positions::grid(axes);
          }};
}

Kind patch_centres() {
  return {"grid of patch centres", 2, 0,
          [y = dinov3_coordinates(2), x = dinov3_coordinates(3)](const Shift& shift) {
            const std::array<AxisPositions, 2> axes{
                AxisPositions::listed(std::span<const double>(y), shift[0]),
                AxisPositions::listed(std::span<const double>(x), shift[1])};
            return Positions::grid(axes);
          }};
}

std::vector<Kind> kinds() {
  const std::vector<int> cu_seqlens{0, 2, 2, 5, 6}, mask{0, 0, 1, 1, 1, 1, 1, 1};
  const std::vector<std::int64_t> first{0, 0, 7, 100};
  std::vector<std::int64_t> chunk_keys;
  for (Index n = 0; n < 6; ++n)
    chunk_keys.push_back(dual_chunk_key_position(n, {.chunk_size = 5, .local_size = 2}));
  MropePositions qwen2_vl, qwen25_vl;
  qwen2_vl.append_text(2), qwen2_vl.append_image({.height = 2, .width = 4}), qwen2_vl.append_text(1);
  qwen25_vl.append_padding(1), qwen25_vl.append_text(1);
  qwen25_vl.append_video({.frames = 2, .height = 4, .width = 2}, 2.5), qwen25_vl.append_text(1);
  const std::vector<IndexedImage> images{{.first = 1, .height = 2, .width = 1}};
  return {
      consecutive("offset", 5),
      consecutive("far offset", 2147483640),
      consecutive("negative offset", -5003),
      consecutive("fractional offset", 2.25),
      listed("ids of 32 bits", std::vector<std::int32_t>{5, 5, -3, 0, 131071, 1}),
      listed("ids of 64 bits", std::vector<std::int64_t>{5, -7, 100'000'000'007, 0, 2, 1}),
      listed("fractional", std::vector<double>{0.5, -2.25, 3, 1e6 + 0.125, 0, 1.0 / 3}),
      listed("fractional floats", std::vector<float>{0.5f, -2.25f, 0.1f, 3, 0, 1}),
      listed("negative", std::vector<std::int64_t>{-1, -2, -3, -1000, -5, -131072}),
      listed("packed", packed_position_ids(cu_seqlens, first)),
      listed("left padded", padded_position_ids(mask, {.batch = 2, .seq = 4}), 2),
      listed("one start for each row", std::vector<std::int64_t>{0, 1, 2, 3, 70, 71, 72, 73}, 2),
      listed("context-parallel slice", context_parallel_position_ids({.seq_len = 12, .ranks = 2, .rank = 1})),
      listed("interpolated", interpolated_positions(6, {.pretrained_length = 3.5})),
      listed("dual chunk", chunk_keys),
      together("image of Qwen2-VL", qwen2_vl.tokens()),
      together("video of Qwen2.5-VL", qwen25_vl.tokens()),
      together("image of HunYuan-VL", xdrope_positions(6, images)),
      together("merge blocks", merge_block_positions({.height = 2, .width = 4})),
      grid("image", {2, 3}),
      grid("video", {2, 2, 2}),
      patch_centres(),
  };
}

// --- all of them

/// Coordinates that are listed, for what a kind cannot say: other signs, single tokens.
struct Listed {
  std::array<std::vector<double>, kMaxPositionAxes> lists;
  std::size_t axes;

  explicit Listed(Index count_of_axes) : axes(static_cast<std::size_t>(count_of_axes)) {}
  void append(const Place& place) {
    for (std::size_t a = 0; a < axes; ++a) lists[a].push_back(static_cast<double>(place[a]));
  }
  Positions positions(Index batch = 0) const {
    std::array<AxisPositions, kMaxPositionAxes> along;
    for (std::size_t a = 0; a < axes; ++a)
      along[a] = AxisPositions::listed(std::span<const double>(lists[a]));
    const Positions all = Positions::together(std::span<const AxisPositions>(along.data(), axes));
    return batch > 0 ? all.in_batches(batch) : all;
  }
};

struct Case {
  std::string name;
  Frequencies frequencies;
  const Kind* kind;
  const Order* order = nullptr;  ///< of a variant of one axis

  Index batch() const { return std::max<Index>(kind->batch, 1); }
  Index seq() const { return kind->at(kNoShift).count() / batch(); }
  std::vector<Index> shape(Index features = kDim) const { return {batch(), kHeads, seq(), features}; }
  /// The position of every token, sequence after sequence.
  std::vector<Place> places(const Shift& shift = kNoShift) const {
    const Positions positions = kind->at(shift);
    std::vector<Place> places(static_cast<std::size_t>(positions.count()));
    for (Index n = 0; n < positions.count(); ++n)
      for (int a = 0; a < kind->axes; ++a)
        places[static_cast<std::size_t>(n)][static_cast<std::size_t>(a)] = positions.at(n, a);
    return places;
  }
};

/// Every variant at every kind of positions that it has coordinates for, of several by every order of
/// sections.
const std::vector<Case>& cases() {
  static const std::vector<Kind> all_kinds = kinds();
  static const std::vector<Order> all_orders = orders();
  static const std::vector<Case> all = [] {
    std::vector<Case> made;
    for (const Kind& kind : all_kinds)
      for (const Variant& variant : variants()) {
        const std::string name = variant.name + ", " + kind.name;
        if (variant.frequencies.axes == kind.axes) made.push_back({name, variant.frequencies, &kind});
        if (variant.frequencies.axes != 1 || kind.axes == 1) continue;
        for (const Order& order : all_orders)
          if (order.axes == kind.axes)
            made.push_back({name + ", " + order.name,
                            on_axes(variant.frequencies, order.axis_of_pair, order.axes), &kind, &order});
      }
    return made;
  }();
  return all;
}

/// check(case, pairing, random) for all cases, in both pairings alternately.
void for_each_case(std::uint64_t seed, const std::function<void(const Case&, Pairing, Random&)>& check) {
  Random random(seed);
  SCOPED_TRACE(random.replay());
  int next = 0;
  for (const Case& c : cases()) {
    const Pairing pairing = kPairings[next++ % 2];
    SCOPED_TRACE(c.name + ", " + name_of(pairing));
    check(c, pairing, random);
    if (::testing::Test::HasFailure()) return;  // the others fail likewise
  }
}

template <class T>
StridedArray<T> filled(std::vector<Index> shape, Random& random) {
  StridedArray<T> x(std::move(shape));
  x.fill(random);
  return x;
}

/// x rotated in place by an embedding; consecutive positions the way that needs no list.
template <class T>
void rotate(const RotaryEmbedding<T>& rotary_emb, StridedArray<T>& x, const Positions& positions,
            RotateOptions options = {}) {
  if (positions.is_consecutive() && positions.batch() == 0) {
    options.offset = positions.first();
    return rotary_emb.rotate_in_place(x.view(), options);
  }
  rotary_emb.rotate_in_place(x.view(), positions, options);
}

template <class T>
StridedArray<T> rotated(const Frequencies& frequencies, Pairing pairing, StridedArray<T> x,
                        const Positions& positions, const RotateOptions& options = {}) {
  rotate(RotaryEmbedding<T>(frequencies, {.pairing = pairing}), x, positions, options);
  return x;
}

/// One token, [1, heads, 1, features].
template <class T>
StridedArray<T> token(const StridedArray<T>& x, Index b, Index n) {
  const Index seq = x.extents()[2], features = x.extents()[3];
  StridedArray<T> one({1, kHeads, 1, features});
  for (Index h = 0; h < kHeads; ++h)
    for (Index i = 0; i < features; ++i)
      one[h * features + i] = x[((b * kHeads + h) * seq + n) * features + i];
  return one;
}

void expect_near(const StridedArray<double>& found, const StridedArray<double>& wanted, double factor,
                 const char* what) {
  double worst = 0;
  for (Index n = 0; n < found.size(); ++n) worst = std::max(worst, std::fabs(found[n] - factor * wanted[n]));
  EXPECT_LE(worst, 1e-14 * factor) << what;  // of features up to 2, a few roundings
}

// --- promise 1: group laws

// Without this a rotation by any other angles would keep all the promises below.
TEST(VariantGroupLaws, PairsRotateByPositionTimesFrequency) {
  for_each_case(701, [](const Case& c, Pairing pairing, Random& random) {
    const auto x = filled<double>(c.shape(), random);
    const auto found = rotated(c.frequencies, pairing, x, c.kind->at(kNoShift));
    const std::vector<Place> places = c.places();
    for (Index row = 0; row < x.size() / kDim; ++row) {
      const Index n = row / (kHeads * c.seq()) * c.seq() + row % c.seq();
      for (Index i = 0; i < kPairs; ++i) {
        long double angle = 0, size = 0;
        for (std::size_t a = 0; a < static_cast<std::size_t>(c.kind->axes); ++a) {
          const DoubleDouble f = c.frequencies.values[a * kPairs + static_cast<std::size_t>(i)];
          EXPECT_TRUE(!c.order || f == 0 ||
                      c.order->axis_of_pair[static_cast<std::size_t>(i)] == static_cast<Index>(a));
          const long double term = static_cast<double>(places[static_cast<std::size_t>(n)][a]) *
                                   (static_cast<long double>(f.hi) + f.lo);
          angle += term, size += std::fabs(term);
        }
        const auto [first, second] = pair_features(pairing, kPairs, i);
        const long double a = x[row * kDim + first], b = x[row * kDim + second];
        const long double cos = c.frequencies.magnitude * std::cos(angle),
                          sin = c.frequencies.magnitude * std::sin(angle);
        const double allowed = 4e-15 + 1e-18 * static_cast<double>(size);  // long double's own error
        EXPECT_NEAR(found[row * kDim + first], static_cast<double>(a * cos - b * sin), allowed);
        EXPECT_NEAR(found[row * kDim + second], static_cast<double>(b * cos + a * sin), allowed);
      }
    }
  });
}

// Up to the magnitude, which multiplies at every position alike.
TEST(VariantGroupLaws, PositionZeroChangesNothing) {
  for_each_case(702, [](const Case& c, Pairing pairing, Random& random) {
    const auto x = filled<float>(c.shape(), random);
    const std::vector<Place> places = c.places();
    for (Index n = 0; n < static_cast<Index>(places.size()); n += 3) {
      Shift back;  // moves token n to 0
      for (std::size_t a = 0; a < back.size(); ++a) back[a] = -places[static_cast<std::size_t>(n)][a];
      const Index b = n / c.seq(), at = n % c.seq();
      const auto found = token(rotated(c.frequencies, pairing, x, c.kind->at(back)), b, at);
      auto wanted = token(x, b, at);
      for (Index i = 0; i < wanted.size(); ++i) wanted[i] *= static_cast<float>(c.frequencies.magnitude);
      EXPECT_TRUE(same_bits(found, wanted));
    }
  });
}

TEST(VariantGroupLaws, LengthsAreUnchangedAndAnglesAddUp) {
  for_each_case(703, [](const Case& c, Pairing pairing, Random& random) {
    const double magnitude = c.frequencies.magnitude, square = magnitude * magnitude;
    const auto x = filled<double>(c.shape(), random);
    const Positions at = c.kind->at(kNoShift);
    const auto there = rotated(c.frequencies, pairing, x, at);
    for (Index row = 0; row < x.size(); row += kDim)
      for (Index i = 0; i < kPairs; ++i) {
        const auto [a, b] = pair_features(pairing, kPairs, i);
        EXPECT_NEAR(std::hypot(there[row + a], there[row + b]),
                    magnitude * std::hypot(x[row + a], x[row + b]), 4e-15);
      }
    expect_near(rotated(c.frequencies, pairing, there, at, {.direction = Direction::inverse}), x, 1,
                "the inverse takes it back");
    expect_near(rotated(c.frequencies, pairing, there, at, {.direction = Direction::transpose}), x, square,
                "so does the transpose, but for the magnitude");
    const Shift further{7, -3, 2.5, 11};
    Listed opposite(c.kind->axes), step(c.kind->axes);
    for (Place place : c.places()) {
      for (FixedPosition& p : place) p = -p;
      opposite.append(place);
      step.append(further);
    }
    expect_near(rotated(c.frequencies, pairing, there, opposite.positions(c.kind->batch)), x, square,
                "R(-m) R(m)");
    expect_near(rotated(c.frequencies, pairing, there, step.positions(c.kind->batch)),
                rotated(c.frequencies, pairing, x, c.kind->at(further)), magnitude, "R(n) R(m) = R(m + n)");
  });
}

// --- promise 2: relative

TEST(VariantRelative, ScoresDependOnDistancesAlone) {
  for_each_case(704, [](const Case& c, Pairing pairing, Random& random) {
    const auto q = filled<double>(c.shape(), random), k = filled<double>(c.shape(), random);
    const auto scores = [&](const Shift& shift) {
      const auto rotated_q = rotated(c.frequencies, pairing, q, c.kind->at(shift));
      const auto rotated_k = rotated(c.frequencies, pairing, k, c.kind->at(shift));
      std::vector<double> sums;
      for (Index n = 0; n < q.size(); n += kDim)  // every query with every key of its sequence and head
        for (Index m = n - n % (c.seq() * kDim); m < n - n % (c.seq() * kDim) + c.seq() * kDim; m += kDim) {
          sums.push_back(0);
          for (Index i = 0; i < kDim; ++i) sums.back() += rotated_q[n + i] * rotated_k[m + i];
        }
      return sums;
    };
    const std::vector<double> here = scores(kNoShift), far = scores({1000003, -777.5, 8191, 2147483647});
    for (std::size_t n = 0; n < here.size(); ++n) EXPECT_NEAR(here[n], far[n], 1e-13) << "product " << n;
  });
}

// A token that is rotated alone has the bits that it has in a full pass.
TEST(VariantRelative, AlsoBetweenAFullPassAndDecoding) {
  for_each_case(705, [](const Case& c, Pairing pairing, Random& random) {
    const auto x = filled<float>(c.shape(), random);
    const auto full = rotated(c.frequencies, pairing, x, c.kind->at(kNoShift));
    const RotaryEmbedding<float> rotary_emb(c.frequencies, {.pairing = pairing});
    const std::vector<Place> places = c.places();
    for (std::size_t n = 0; n < places.size(); ++n) {
      const Index b = static_cast<Index>(n) / c.seq(), at = static_cast<Index>(n) % c.seq();
      Listed alone(c.kind->axes);
      alone.append(places[n]);
      auto one = token(x, b, at);
      rotate(rotary_emb, one, alone.positions());
      EXPECT_TRUE(same_bits(one, token(full, b, at))) << "token " << n;
    }
  });
}

// --- promise 3: the same bits

/// A device as Eigen::ThreadPoolDevice is one.
struct TwoThreads {
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    std::thread first([&] { work(Index{0}, count / 2); });
    work(count / 2, count);
    first.join();
  }
};

TEST(VariantSameBits, PairingsLayoutsPlacesAndTablesGiveTheSameBits) {
  for_each_case(706, [](const Case& c, Pairing pairing, Random& random) {
    const auto x = filled<float>(c.shape(), random);
    const Positions at = c.kind->at(kNoShift);
    const auto wanted = rotated(c.frequencies, pairing, x, at);

    const Pairing other = pairing == Pairing::half ? Pairing::interleaved : Pairing::half;
    StridedArray<float> permuted(x.extents()), back(x.extents());
    const auto permute = [&](Pairing from, const StridedArray<float>& in, Pairing to,
                             StridedArray<float>& out) {
      for (Index row = 0; row < x.size(); row += kDim)
        for (Index i = 0; i < kPairs; ++i) {
          const PairFeatures source = pair_features(from, kPairs, i), place = pair_features(to, kPairs, i);
          out[row + place.a] = in[row + source.a];
          out[row + place.b] = in[row + source.b];
        }
    };
    permute(pairing, x, other, permuted);
    permute(other, rotated(c.frequencies, other, permuted, at), pairing, back);
    EXPECT_TRUE(same_bits(back, wanted)) << "in the other pairing";

    for (const Layout& layout : {Layout::column_major(4), Layout::random(random, 4)}) {
      const auto in_place = rotated(c.frequencies, pairing, x.laid_out(layout), at);
      EXPECT_TRUE(same_bits(in_place, wanted)) << "in another layout";
      EXPECT_TRUE(in_place.guards_are_intact());
    }
    const CosSinTable<float> table(c.frequencies, at.as_list(), {.pairing = pairing});
    const auto from = x.laid_out(Layout::random(random, 4));
    StridedArray<float> to(x.extents(), Layout::random(random, 4));
    apply_rotary_emb_into(table, from.view(), to.view());
    EXPECT_TRUE(same_bits(to, wanted)) << "out of place, by precomputed rows";
    EXPECT_TRUE(same_bits(from, x)) << "the input of that";
    if (!at.is_consecutive()) return;
    auto shared = x;
    RotaryEmbedding<float>(c.frequencies, {.pairing = pairing})
        .rotate_in_place(shared.view(), {.offset = at.first()}, TwoThreads());
    EXPECT_TRUE(same_bits(shared, wanted)) << "by two threads";
  });
}

// --- promise 4: no history

TEST(VariantNoHistory, ResultsDependOnNoOtherCall) {
  for_each_case(707, [](const Case& c, Pairing pairing, Random& random) {
    const auto x = filled<float>(c.shape(), random);
    const Positions at = c.kind->at(kNoShift);
    const auto wanted = rotated(c.frequencies, pairing, x, at);
    const RotaryEmbedding<float> used(c.frequencies, {.pairing = pairing}, 8);
    auto other = x;
    rotate(used, other, c.kind->at({3, 1, 4, 1.5}), {.scale = 2});
    rotate(used, other, at, {.direction = Direction::transpose});
    std::array<StridedArray<float>, 2> of_threads{x, x};
    std::thread first([&] { rotate(used, of_threads[0], at); });
    rotate(used, of_threads[1], at);
    first.join();
    for (const auto& found : of_threads) EXPECT_TRUE(same_bits(found, wanted));
  });
}

// --- promise 5: nothing else is touched

TEST(VariantNothingElseIsTouched, UnrotatedFeaturesAreNotTouched) {
  for_each_case(708, [](const Case& c, Pairing pairing, Random& random) {
    const Index start = random.integer<Index>(0, 3), features = start + kDim + random.integer<Index>(0, 3);
    const auto x = filled<float>(c.shape(), random);
    const Positions at = c.kind->at(kNoShift);
    const auto window = rotated(c.frequencies, pairing, x, at);
    StridedArray<float> wide(c.shape(features));
    const auto feature_of = [&](Index n) { return n % features - start; };  // within the window 0 to kDim − 1
    for (Index n = 0; n < wide.size(); ++n) {
      const bool inside = feature_of(n) >= 0 && feature_of(n) < kDim;
      wide[n] = inside ? x[n / features * kDim + feature_of(n)]
                       : from_bits<float>(0x7fc00001u + static_cast<std::uint32_t>(n));
    }
    // A pair that is NaN changes no other pair.
    const auto [a, b] = pair_features(pairing, kPairs, random.integer<Index>(0, kPairs - 1));
    wide[start + a] = std::numeric_limits<float>::infinity();
    auto in_place = wide;
    StridedArray<float> elsewhere(wide.extents());
    const HeadLayout layout{.start_index = start, .pairing = pairing};
    rotate(RotaryEmbedding<float>(c.frequencies, layout), in_place, at);
    apply_rotary_emb_into(CosSinTable<float>(c.frequencies, at.as_list(), layout), wide.view(),
                          elsewhere.view());
    for (const auto* found : {&in_place, &elsewhere})
      for (Index n = 0; n < wide.size(); ++n) {
        if (n == start + a || n == start + b) continue;
        const bool inside = feature_of(n) >= 0 && feature_of(n) < kDim;
        const float wanted = inside ? window[n / features * kDim + feature_of(n)] : wide[n];
        ASSERT_EQ(bits_of((*found)[n]), bits_of(wanted)) << "element " << n;
      }
  });
}

// --- promise 6: one rounding

TEST(VariantOneRounding, SixteenBitTensorsAreRotatedInFloatAndRoundedOnce) {
  for_each_case(709, [](const Case& c, Pairing pairing, Random& random) {
    const auto x = filled<Eigen::bfloat16>(c.shape(), random);
    StridedArray<float> as_float(x.extents());
    for (Index n = 0; n < x.size(); ++n) as_float[n] = static_cast<float>(x[n]);
    const Positions at = c.kind->at(kNoShift);
    const auto in_float = rotated(c.frequencies, pairing, as_float, at);
    auto found = x;
    apply_rotary_emb_in_place(CosSinTable<float>(c.frequencies, at.as_list(), {.pairing = pairing}),
                              found.view());
    for (Index n = 0; n < x.size(); ++n)
      ASSERT_EQ(bits_of(found[n]), bits_of(static_cast<Eigen::bfloat16>(in_float[n]))) << "element " << n;
  });
}

// --- caches

/// The keys of a cache, [1, heads, tokens, features].
StridedArray<float> keys_of(const KeyCache<float>& cache) {
  StridedArray<float> copy({1, cache.heads(), cache.size(), cache.head_dim()});
  const auto keys = cache.keys();
  const Index per_head = cache.size() * cache.head_dim();
  for (Index n = 0; n < copy.size(); ++n) copy[n] = keys.data[n / per_head * keys.stride(0) + n % per_head];
  return copy;
}

/// The first tokens of the first sequence.
StridedArray<float> first_tokens(const StridedArray<float>& x, Index count) {
  const Index seq = x.extents()[2];
  StridedArray<float> part({1, kHeads, count, kDim});
  for (Index n = 0; n < part.size(); ++n) part[n] = x[n / (count * kDim) * seq * kDim + n % (count * kDim)];
  return part;
}

void shift(KeyCache<float>& cache, const Shift& by) {
  const Index size = cache.size();
  if (cache.axes() == 1) cache.shift(0, size, by[0]);
  if (cache.axes() == 2) cache.shift(0, size, {by[0], by[1]});
  if (cache.axes() == 3) cache.shift(0, size, {by[0], by[1], by[2]});
  if (cache.axes() == 4) cache.shift(0, size, {by[0], by[1], by[2], by[3]});
}

// After every operation the cache holds, bit for bit, one rotation of the raw keys, and the scores agree too.
// Sequences with their own positions have a cache each; this is the cache of the first.
TEST(VariantCaches, HoldWhatOneRotationGives) {
  const Case* previous = nullptr;
  for_each_case(710, [&](const Case& c, Pairing pairing, Random& random) {
    const auto raw = filled<float>({1, kHeads, c.seq(), kDim}, random);
    const auto keys = raw.view().slice(0, 0, 1);
    const StridedView<const float> by_heads(keys.data, {kHeads, c.seq(), kDim});
    const auto places = c.places();
    // By the positions themselves where they are those of one sequence.
    const auto at = [&](const Shift& by, Listed& list) {
      if (c.kind->batch == 0) return c.kind->at(by);
      const std::vector<Place> moved = c.places(by);
      for (Index n = 0; n < c.seq(); ++n) list.append(moved[static_cast<std::size_t>(n)]);
      return list.positions();
    };
    const auto wanted = [&](const Frequencies& frequencies, const Shift& by) {
      Listed list(c.kind->axes);
      return rotated(frequencies, pairing, raw, at(by, list));
    };
    const auto here = wanted(c.frequencies, kNoShift);
    const KeyCacheOptions options{.heads = kHeads, .head_dim = kDim};
    const HeadLayout layout{.pairing = pairing};

    KeyCache<float> cache(c.frequencies, layout, options), one_by_one(c.frequencies, layout, options);
    Listed list(c.kind->axes);
    cache.append(by_heads, at(kNoShift, list));
    EXPECT_TRUE(same_bits(keys_of(cache), here)) << "append";
    for (Index n = 0; n < c.seq(); ++n) {
      Listed alone(c.kind->axes);
      alone.append(places[static_cast<std::size_t>(n)]);
      one_by_one.append(by_heads.slice(1, n, 1), alone.positions());
    }
    EXPECT_TRUE(same_bits(keys_of(one_by_one), here)) << "append, token by token";

    for (int n = 0; n < 10; ++n) shift(cache, {1, -0.25, 100, 2});
    EXPECT_TRUE(same_bits(keys_of(cache), wanted(c.frequencies, {10, -2.5, 1000, 20}))) << "shift";

    KeyCache<float> fork = cache;
    shift(fork, {-10, 2.5, -1000, -20});
    EXPECT_TRUE(same_bits(keys_of(fork), here)) << "a fork, shifted back";
    const Frequencies others = previous && previous->frequencies.axes == c.frequencies.axes
                                   ? previous->frequencies
                                   : scaled(c.frequencies, 2);
    fork.change_frequencies(others);
    EXPECT_TRUE(same_bits(keys_of(fork), wanted(others, kNoShift))) << "rotated by other frequencies";
    fork.rewind(c.seq() - 2);
    EXPECT_TRUE(same_bits(keys_of(fork), first_tokens(wanted(others, kNoShift), c.seq() - 2))) << "rewound";
    fork.change_frequencies(c.frequencies);
    EXPECT_TRUE(same_bits(keys_of(fork), first_tokens(here, c.seq() - 2))) << "and back";
    EXPECT_TRUE(same_bits(keys_of(cache), wanted(c.frequencies, {10, -2.5, 1000, 20})))
        << "what was forked from";
    previous = &c;
  });
}

// --- all of them, indeed

TEST(VariantLaws, GoOverEveryVariantOrderAndKind) {
  const auto occurs = [](const std::string& name) {
    return std::any_of(cases().begin(), cases().end(), [&](const Case& c) {
      return (", " + c.name + ",").find(", " + name + ",") != std::string::npos;
    });
  };
  for (const Variant& variant : variants()) EXPECT_TRUE(occurs(variant.name)) << variant.name;
  for (const Order& order : orders()) EXPECT_TRUE(occurs(order.name)) << order.name;
  for (const Kind& kind : kinds()) EXPECT_TRUE(occurs(kind.name)) << kind.name;
  // A header `x.hpp` of include/rotary/frequencies has a row that calls `x_frequencies`.
  std::ifstream file(ROTARY_SOURCE_DIR "/tests/frequencies/variant_laws_test.cpp");
  const std::string source(std::istreambuf_iterator<char>(file), {});
  const std::set<std::string> no_variants = {"correction_range.hpp", "embedding_options.hpp",
                                             "mrope_axes.hpp"};
  int headers = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(ROTARY_SOURCE_DIR "/include/rotary/frequencies")) {
    const std::string header = entry.path().filename().string();
    if (entry.is_directory() || no_variants.contains(header)) continue;
    const std::string function = entry.path().stem().string() + "_frequencies(";
    EXPECT_NE(source.find(function + "kDim"), std::string::npos) << header << " has no row";
    ++headers;
  }
  EXPECT_GE(headers, 10);
}

}  // namespace
}  // namespace rotary::testing
