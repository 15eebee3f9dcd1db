// Eigen's own tensors on cache lines, as README says they can be.
#define EIGEN_MAX_ALIGN_BYTES 64
#include <gtest/gtest.h>

#include <cstdint>
#include <rotary/tensor/tensor.hpp>

TEST(AlignedTensors, StartOnCacheLines) {
  for (int size = 1; size < 200; ++size) {
    const rotary::Tensor<float, 1> x(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % 64, 0u) << size << " numbers";
  }
}
