// Memory for tensors: aligned, filled with the same numbers in every run, and compared.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <span>
#include <string>

#include <rotary/tensor/tensor.hpp>

namespace bench {

using rotary::Index;

/// The i-th number that tensors are filled with, in [-1, 1).
inline float sample(Index i) {
  std::uint64_t bits = (static_cast<std::uint64_t>(i) + 1) * 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 29)) * 0xbf58476d1ce4e5b9u;
  return static_cast<float>(static_cast<std::int32_t>(bits >> 32)) * 0x1p-31f;
}

/// `size` elements on a cache line of their own, freed with the object.
///
/// Successive buffers start at different offsets in a page: with equal offsets, loads would wait for stores
/// to the same offset (4 KiB aliasing), which slows copies and rotations alike.
template <class X>
class Buffer {
 public:
  explicit Buffer(Index size) : size_(size) {
    static int made = 0;
    const auto lines = static_cast<std::size_t>(made++ % 5 * 12 + 1);
    const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(X) / kPage + 2) * kPage;
    memory_ = std::aligned_alloc(kPage, bytes);
    if (memory_ == nullptr) throw std::bad_alloc();
    data_ = reinterpret_cast<X*>(static_cast<unsigned char*>(memory_) + lines * 64);
    for (Index i = 0; i < size; ++i) data_[i] = static_cast<X>(sample(i));
  }
  Buffer(const Buffer& other) : Buffer(other.size_) { *this = other; }
  Buffer& operator=(const Buffer& other) {
    for (Index i = 0; i < size_; ++i) data_[i] = other.data_[i];
    return *this;
  }
  ~Buffer() { std::free(memory_); }

  X* data() { return data_; }
  const X* data() const { return data_; }
  Index size() const { return size_; }
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(X); }

 private:
  static constexpr std::size_t kPage = 4096;
  void* memory_;
  X* data_;
  Index size_;
};

/// What is wrong with `got`, or nothing. Values are of size 1, and each may be off by four units in their
/// last place: one for the rounding of its cosine and sine, one each for a product, a sum and the result.
template <class X>
std::string difference(const Buffer<X>& got, const Buffer<X>& want) {
  const double tolerance = 4 * static_cast<double>(Eigen::NumTraits<X>::epsilon());
  for (Index i = 0; i < got.size(); ++i) {
    const auto a = static_cast<double>(got.data()[i]), b = static_cast<double>(want.data()[i]);
    if (!(std::fabs(a - b) <= tolerance))
      return "element " + std::to_string(i) + " is " + std::to_string(a) +
             ", the reference kernel makes it " + std::to_string(b);
  }
  return {};
}

}  // namespace bench
