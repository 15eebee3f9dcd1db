#include <rotary/tensor/overlap.hpp>
#include <rotary/tensor/strided_view.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <type_traits>
#include <vector>

#include "support/random.hpp"

namespace rotary::testing {
namespace {

TEST(StridedView, IsRowMajorUnlessStridesAreGiven) {
  float memory[24] = {};
  const StridedView<float> view(memory, {2, 3, 4});
  EXPECT_EQ(view.data, memory);
  EXPECT_EQ(view.rank, 3);
  EXPECT_EQ(view.extent(1), 3);
  EXPECT_EQ(view.stride(0), 12);
  EXPECT_EQ(view.stride(1), 4);
  EXPECT_EQ(view.stride(2), 1);
  EXPECT_EQ(view.size(), 24);

  const std::vector<Index> extents{3, 2}, strides{-1, 12};
  const StridedView<float> backwards(memory + 2, extents, strides);
  EXPECT_EQ(backwards.stride(0), -1);
  EXPECT_EQ(backwards.size(), 6);
}

TEST(StridedView, SliceIsPartOfAnAxis) {
  float memory[24] = {};
  const auto part = StridedView<float>(memory, {2, 3, 4}).slice(1, 1, 2).slice(2, 3, 1);
  EXPECT_EQ(part.data, memory + 4 + 3);
  EXPECT_EQ(part.extent(0), 2);
  EXPECT_EQ(part.extent(1), 2);
  EXPECT_EQ(part.extent(2), 1);
  EXPECT_EQ(part.stride(0), 12);
}

TEST(StridedView, WhatMayBeWrittenMayBeReadButNotTheOtherWayRound) {
  static_assert(std::is_convertible_v<StridedView<float>, StridedView<const float>>);
  static_assert(!std::is_convertible_v<StridedView<const float>, StridedView<float>>);
  static_assert(!std::is_convertible_v<StridedView<float>, StridedView<double>>);
  float memory[6] = {};
  const StridedView<const float> view = StridedView<float>(memory, {2, 3});
  EXPECT_EQ(view.data, memory);
  EXPECT_EQ(view.rank, 2);
  EXPECT_EQ(view.extent(1), 3);
  EXPECT_EQ(view.stride(0), 3);
}

TEST(StridedView, WithoutAxesIsOneElement) {
  float x = 0;
  EXPECT_EQ(StridedView<float>(&x, {}).size(), 1);
  EXPECT_EQ(StridedView<float>().size(), 1);
}

TEST(StridedView, AxesAreCountedFromEitherEnd) {
  for (int rank = 1; rank <= kMaxRank; ++rank) {
    for (int axis = 0; axis < rank; ++axis) {
      EXPECT_EQ(detail::resolve_axis(axis, rank, "axis"), axis);
      EXPECT_EQ(detail::resolve_axis(axis - rank, rank, "axis"), axis);
    }
    EXPECT_THROW(detail::resolve_axis(rank, rank, "axis"), std::invalid_argument);
    EXPECT_THROW(detail::resolve_axis(-rank - 1, rank, "axis"), std::invalid_argument);
  }
}

// --- which elements share memory: the result from strides, against the addresses themselves

constexpr Index kMiddle = 60;

template <class S>
std::vector<Index> addresses(const StridedView<S>& view, const S* memory) {
  std::vector<Index> result;
  for (Index n = 0; n < view.size(); ++n) {
    Index at = view.data - memory, rest = n;
    for (int axis = view.rank - 1; axis >= 0; --axis) {
      at += rest % view.extent(axis) * view.stride(axis);
      rest /= view.extent(axis);
    }
    result.push_back(at);
  }
  return result;
}

/// A small view of any shape into the middle of `memory`, of 2 · kMiddle elements.
StridedView<float> any_view(Random& random, float* memory) {
  for (;;) {
    std::vector<Index> extents, strides;
    const int rank = random.integer(1, 3);
    for (int axis = 0; axis < rank; ++axis) {
      extents.push_back(random.integer<Index>(0, 4));
      strides.push_back(random.integer<Index>(-9, 9));
    }
    const StridedView<float> view(memory + random.integer<Index>(kMiddle - 10, kMiddle + 10), extents,
                                  strides);
    bool inside = true;
    for (const Index at : addresses<float>(view, memory)) inside = inside && at >= 0 && at < 2 * kMiddle;
    if (inside) return view;
  }
}

TEST(StridedView, KnowsWhetherItsElementsAreDistinct) {
  Random random(701);
  SCOPED_TRACE(random.replay());
  float memory[2 * kMiddle] = {};
  int distinct = 0, surely = 0;
  for (int round = 0; round < 20000; ++round) {
    const auto view = any_view(random, memory);
    const auto at = addresses<float>(view, memory);
    const bool are = std::set<Index>(at.begin(), at.end()).size() == at.size();
    const bool said = detail::elements_are_distinct(view);
    ASSERT_TRUE(are || !said) << std::string_view(detail::shape_text(view)) << " says what is not so";
    distinct += are, surely += said;
    // Where each axis steps over the ones inside it, as in all tensors that are cut from others, it is exact.
    Index span = 1;
    bool nested = true;
    for (int axis = view.rank - 1; axis >= 0; --axis) {
      const Index step = detail::step_size(view, axis);
      if (view.extent(axis) < 2) continue;
      nested = nested && step >= span;
      span += (view.extent(axis) - 1) * step;
    }
    if (nested) {
      ASSERT_TRUE(said) << std::string_view(detail::shape_text(view));
    }
  }
  EXPECT_GT(surely, distinct * 3 / 4);
}

// A tensor whose axes lie in memory in any order, such as [batch, heads, seq] as a transpose leaves it.
TEST(StridedView, ElementsOfAPermutedTensorAreDistinct) {
  float x = 0;
  std::array<int, 3> order{0, 1, 2};
  do {
    const std::array<Index, 3> sizes{2, 3, 4};
    std::array<Index, 3> extents, strides;
    Index stride = 1;
    for (const int axis : order) {
      const auto at = static_cast<std::size_t>(axis);
      extents[at] = sizes[at];
      strides[at] = stride;
      stride *= sizes[at];
    }
    const StridedView<float> view(&x, extents, strides);
    EXPECT_TRUE(detail::elements_are_distinct(view)) << order[0] << order[1] << order[2];
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(StridedView, StrideOfAnAxisOfExtentOneIsNeverTaken) {
  float x[2] = {};
  const std::array<Index, 2> extents{1, 2}, strides{std::numeric_limits<Index>::min(), -1};
  EXPECT_NO_THROW(StridedView<float>(x + 1, extents, strides));
}

TEST(StridedView, KnowsWhichViewsOverlap) {
  Random random(702);
  SCOPED_TRACE(random.replay());
  float memory[2 * kMiddle] = {};
  int sharing = 0, apart = 0;
  for (int round = 0; round < 40000; ++round) {
    const auto in = any_view(random, memory);
    StridedView<float> out = any_view(random, memory);
    if (random.integer(0, 2) > 0) {  // mostly the same strides, as parts of one tensor have
      for (int axis = out.rank; axis < in.rank; ++axis) out.set_extent(axis, random.integer(-1, 5));
      out.rank = in.rank;
      out.strides = in.strides;
      if (random.integer(0, 1) == 1) out.extents = in.extents;
      for (int axis = 0; axis < out.rank; ++axis) {
        Index& extent = out.extents[static_cast<std::size_t>(axis)];
        extent = std::min(std::max<Index>(extent, 0), Index{4});
      }
      bool inside = true;
      for (const Index at : addresses<float>(out, memory)) inside = inside && at >= 0 && at < 2 * kMiddle;
      if (!inside) continue;
    }
    const auto of_in = addresses<float>(in, memory), of_out = addresses<float>(out, memory);
    const std::set<Index> all(of_in.begin(), of_in.end());
    bool share = false;
    for (const Index at : of_out) share = share || all.count(at) > 0;
    ASSERT_TRUE(detail::share_elements(in, out, true) || !share) << "says that they are apart";
    ASSERT_TRUE(!detail::share_elements(in, out, false) || share) << "says that they share";
    sharing += share, apart += !share;

    if (!detail::same_shape(in, out) || !detail::elements_are_distinct(out)) continue;
    const bool partly = detail::overlap_partly(StridedView<const float>(in), out);
    ASSERT_TRUE(partly || !share || of_in == of_out);
    ASSERT_TRUE(!partly || of_in != of_out);
    bool same_strides = true;
    for (int axis = 0; axis < in.rank; ++axis)
      same_strides = same_strides && in.stride(axis) == out.stride(axis);
    if (same_strides) {
      ASSERT_EQ(partly, share && of_in != of_out) << "the same strides leave no doubt";
    }
  }
  EXPECT_GT(sharing, 1000);
  EXPECT_GT(apart, 1000);
}

// Queries, keys and values in one buffer, as in models: one after the other, head by head, and with fewer key
// heads.
TEST(StridedView, PartsOfOneBufferAreApart) {
  const Index seq = 5, heads = 8, dim = 4;
  std::vector<float> memory(static_cast<std::size_t>(seq * 3 * heads * dim));
  float* const data = memory.data();
  const auto part = [&](Index start, Index count, Index token, Index head) {
    return StridedView<float>(data + start, {seq, count, dim}, {token, head, 1});
  };
  const auto expect_apart = [](const StridedView<float>& a, const StridedView<float>& b) {
    EXPECT_FALSE(detail::share_elements(a, b, true));
    EXPECT_FALSE(detail::share_elements(b, a, true));
    EXPECT_TRUE(detail::share_elements(a, a, false));
  };
  // [seq, 3, heads, dim]
  expect_apart(part(0, heads, 3 * heads * dim, dim), part(heads * dim, heads, 3 * heads * dim, dim));
  // [seq, heads, 3, dim]
  expect_apart(part(0, heads, 3 * heads * dim, 3 * dim), part(dim, heads, 3 * heads * dim, 3 * dim));
  // [seq, 8 + 2 + 2, dim]
  expect_apart(part(0, 8, 12 * dim, dim), part(8 * dim, 2, 12 * dim, dim));
  expect_apart(part(8 * dim, 2, 12 * dim, dim), part(10 * dim, 2, 12 * dim, dim));
}

}  // namespace
}  // namespace rotary::testing
