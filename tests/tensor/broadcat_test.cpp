#include <gtest/gtest.h>

#include <rotary/broadcat.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

/// Entry (i, j, l) of an [h, w, d] tensor of which any extent may be 1.
template <class X>
float broadcast_entry(const X& x, Index i, Index j, Index l) {
  return x(x.dimension(0) == 1 ? 0 : i, x.dimension(1) == 1 ? 0 : j, x.dimension(2) == 1 ? 0 : l);
}

TEST(Broadcat, EveryEntryIsWhereTheDefinitionPutsIt) {
  Random random(41);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 200; ++round) {
    std::array<Index, 3> shape{}, a_shape{}, b_shape{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      shape[axis] = random.integer(1, 4);
      a_shape[axis] = random.pick({Index{1}, shape[axis]});
      b_shape[axis] = a_shape[axis] == shape[axis] ? random.pick({Index{1}, shape[axis]}) : shape[axis];
    }
    Tensor<float, 3> a(a_shape);
    Eigen::Tensor<float, 3, Eigen::ColMajor> b(b_shape);
    random.fill(a);
    random.fill(b);
    const int dim = random.integer(-3, 2);
    const std::size_t along = static_cast<std::size_t>(dim < 0 ? dim + 3 : dim);

    const Tensor<float, 3> joined = broadcat({.dim = dim}, a, b);
    for (std::size_t axis = 0; axis < 3; ++axis)
      ASSERT_EQ(joined.dimension(axis), shape[axis] * (axis == along ? 2 : 1))
          << "axis " << axis << ", dim " << dim;
    for (Index i = 0; i < joined.dimension(0); ++i)
      for (Index j = 0; j < joined.dimension(1); ++j)
        for (Index l = 0; l < joined.dimension(2); ++l) {
          std::array<Index, 3> index{i, j, l};
          const bool second = index[along] >= shape[along];
          if (second) index[along] -= shape[along];
          const float wanted = second ? broadcast_entry(b, index[0], index[1], index[2])
                                      : broadcast_entry(a, index[0], index[1], index[2]);
          ASSERT_EQ(joined(i, j, l), wanted) << i << ' ' << j << ' ' << l << ", dim " << dim;
        }
  }
}

TEST(Broadcat, JoinsAlongTheLastAxisByDefault) {
  Tensor<double, 3> rows(2, 1, 2), columns(1, 3, 2);
  rows.setValues({{{1, 2}}, {{3, 4}}});
  columns.setValues({{{5, 6}, {7, 8}, {9, 10}}});
  const auto joined = broadcat(rows, columns);
  static_assert(std::is_same_v<decltype(joined), const Tensor<double, 3>>);
  ASSERT_EQ(joined.dimensions(), (Eigen::DSizes<Index, 3>(2, 3, 4)));
  Tensor<double, 3> wanted(2, 3, 4);
  wanted.setValues(
      {{{1, 2, 5, 6}, {1, 2, 7, 8}, {1, 2, 9, 10}}, {{3, 4, 5, 6}, {3, 4, 7, 8}, {3, 4, 9, 10}}});
  for (Index n = 0; n < wanted.size(); ++n) EXPECT_EQ(joined.data()[n], wanted.data()[n]) << n;
}

// torch.broadcast_tensors comes first: one is stretched along the joined axis too.
TEST(Broadcat, StretchesTheJoinedAxisToo) {
  Tensor<float, 1> one(1), three(3);
  one.setValues({7});
  three.setValues({1, 2, 3});
  const auto joined = broadcat(one, three);
  ASSERT_EQ(joined.size(), 6);
  const float wanted[] = {7, 7, 7, 1, 2, 3};
  for (Index n = 0; n < 6; ++n) EXPECT_EQ(joined(n), wanted[n]) << n;
}

TEST(Broadcat, TakesLowerRanksMapsExpressionsAndFixedSizes) {
  const float numbers[] = {1, 2};
  const Eigen::TensorMap<const Eigen::Tensor<float, 1>> map(numbers, 2);
  Eigen::TensorFixedSize<float, Eigen::Sizes<2, 1>> fixed;
  fixed(0, 0) = 3;
  fixed(1, 0) = 4;
  Tensor<float, 2> x(1, 2);
  x.setValues({{5, 6}});
  const auto joined = broadcat({.dim = 0}, map, fixed, x * 2.0f, x.constant(9.0f));
  ASSERT_EQ(joined.dimensions(), (Eigen::DSizes<Index, 2>(8, 2)));
  const float wanted[] = {1, 2, 1, 2, 3, 3, 4, 4, 10, 12, 10, 12, 9, 9, 9, 9};
  for (Index n = 0; n < 16; ++n) EXPECT_EQ(joined.data()[n], wanted[n]) << n;
}

TEST(Broadcat, OneTensorIsCopied) {
  Tensor<int, 2> x(2, 2);
  x.setValues({{1, 2}, {3, 4}});
  const auto copy = broadcat(x);
  for (Index n = 0; n < 4; ++n) EXPECT_EQ(copy.data()[n], x.data()[n]);
}

TEST(Broadcat, EmptyTensorsGiveEmptyOnes) {
  const Tensor<float, 2> none(0, 3), one(1, 3);
  EXPECT_EQ(broadcat(none, one).dimension(0), 0);
  EXPECT_EQ(broadcat(none, one).dimension(1), 6);
  EXPECT_EQ(broadcat({.dim = 0}, none, one).size(), 0);
}

TEST(Broadcat, TakesAListBuiltAtRunTime) {
  std::vector<Tensor<double, 3>> list(3);
  double next = 0;
  for (Tensor<double, 3>& each : list) {
    each.resize(list.front().size() == 0 ? 2 : 1, 1, 4);
    for (Index n = 0; n < each.size(); ++n) each.data()[n] = ++next;
  }
  for (const Index dim : {-1, 0, 1}) {
    const Tensor<double, 3> at_run_time = broadcat(list, {.dim = dim});
    const Tensor<double, 3> written_out = broadcat({.dim = dim}, list[0], list[1], list[2]);
    ASSERT_EQ(at_run_time.dimensions(), written_out.dimensions());
    for (Index n = 0; n < written_out.size(); ++n)
      EXPECT_EQ(at_run_time.data()[n], written_out.data()[n]) << n;
  }
  list.clear();
  EXPECT_EQ(error_of_call([&] { static_cast<void>(broadcat(list)); }),
            "rotary: found no tensors, broadcat needs at least one");
}

TEST(Broadcat, SaysWhatCannotBeBroadcast) {
  const Tensor<float, 2> a(2, 3), b(4, 3), c(2, 5);
  EXPECT_EQ(error_of_call([&] { broadcat(a, b); }),
            "rotary: axis 0 cannot be broadcast: found extents 2 and 4");
  EXPECT_EQ(error_of_call([&] { broadcat(a, c); }),
            "rotary: axis 1 cannot be broadcast: found extents 3 and 5");
  EXPECT_EQ(error_of_call([&] { broadcat({.dim = 2}, a, a); }),
            "rotary: dim is 2, a tensor of rank 2 has axes -2 to 1");
  EXPECT_EQ(error_of_call([&] { broadcat({.dim = -3}, a, a); }),
            "rotary: dim is -3, a tensor of rank 2 has axes -2 to 1");
}

TEST(Broadcat, RefusesMoreElementsThanCanBeCounted) {
  const float number = 0;  // never read: the sizes are looked at first
  using Map = Eigen::TensorMap<const Tensor<float, 2>>;
  const Index long_axis = Index{1} << 40;
  const Map column(&number, long_axis, 1), row(&number, 1, long_axis);
  EXPECT_THROW(broadcat(column, row), std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
