// How a tensor is divided among the threads of a device.
#include <gtest/gtest.h>

#include <rotary/tensor/parallel.hpp>
#include <vector>

namespace rotary::testing {
namespace {

/// Does the parts one after the other, and says that it has some threads.
struct CountingDevice {
  int threads;

  int numThreads() const { return threads; }
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    for (Index n = 0; n < count; ++n) work(n, n + 1);
    work(count, count);  // an empty part, as devices may make
  }
};

// Every thread gets a part, and the parts are the whole.
TEST(Parallel, PartsAreTheWhole) {
  float x = 0;
  for (const int threads : {0, 1, 3, 4, 7})
    for (const auto& extents : {std::vector<Index>{5, 8, 2}, {4, 3, 8}, {1, 9, 8}, {1, 1, 8}, {7, 3000, 1}}) {
      const StridedView<float> view(&x, {extents[0], extents[1], extents[2]});
      std::vector<Index> begins, ends;
      int along = -1;
      detail::in_parts(CountingDevice{threads}, view, 1, [&](int axis, Index begin, Index end) {
        EXPECT_TRUE(along < 0 || along == axis);
        EXPECT_LT(begin, end);
        along = axis;
        begins.push_back(begin), ends.push_back(end);
      });
      ASSERT_TRUE(along == 0 || along == 1);
      const Index extent = view.extent(along);
      ASSERT_EQ(static_cast<Index>(begins.size()), std::min<Index>(std::max(threads, 1), extent));
      begins.push_back(extent);
      EXPECT_EQ(begins[0], 0);
      for (std::size_t n = 0; n < ends.size(); ++n) EXPECT_EQ(ends[n], begins[n + 1]);
    }
}

// Parts along the sequence do not share rows, so another axis is divided unless the sequence is far longer.
TEST(Parallel, AxesThatAreDivided) {
  float x = 0;
  const auto axis_of = [&](Index batch, Index seq, int threads) {
    int along = -1;
    const StridedView<float> view(&x, {batch, seq, 8});
    detail::in_parts(CountingDevice{threads}, view, 1, [&](int axis, Index, Index) { along = axis; });
    return along;
  };
  EXPECT_EQ(axis_of(4, 4096, 4), 0);  // divides evenly
  EXPECT_EQ(axis_of(5, 64, 4), 0);
  EXPECT_EQ(axis_of(5, 320, 4), 1);  // 64 times as long
  EXPECT_EQ(axis_of(1, 64, 4), 1);
  EXPECT_EQ(axis_of(0, 64, 4), -1);  // nothing to do
}

}  // namespace
}  // namespace rotary::testing
