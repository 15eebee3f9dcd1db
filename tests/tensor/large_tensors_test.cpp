// Tensors larger than the caches, which are read and written in other ways, and larger than 2^31 elements.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <rotary/rotary.hpp>

#include "support/instruction_sets.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

/// Memory that the system provides once it is written to, starting with a page.
template <class X>
class Pages {
 public:
  explicit Pages(Index size)
      : bytes_(static_cast<std::size_t>(size) * sizeof(X)),
        memory_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                     0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
  }
  Pages(const Pages&) = delete;
  ~Pages() { munmap(memory_, bytes_); }
  X* data() const { return static_cast<X*>(memory_); }

 private:
  std::size_t bytes_;
  void* memory_;
};

template <class X>
class LargeTensors : public ::testing::Test {};
using Scalars = ::testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(LargeTensors, Scalars);

/// How [heads, seq, head_dim] lies in memory, outermost axis first.
enum class Order { heads_seq_features, seq_heads_features, heads_features_seq, features_seq_heads };

/// Random numbers, which repeat after a prime number of them.
template <class X>
void fill_with_repeats(const Pages<X>& pages, Index size, Random& random) {
  constexpr Index kPeriod = 65537;
  for (Index n = 0; n < std::min(kPeriod, size); ++n)
    pages.data()[n] = static_cast<X>(static_cast<float>(random.uniform(-2, 2)));
  for (Index n = kPeriod; n < size; n += kPeriod)
    std::memcpy(pages.data() + n, pages.data(),
                static_cast<std::size_t>(std::min(kPeriod, size - n)) * sizeof(X));
}

/// rotate_into() and rotate_in_place() of a tensor of 9 MiB, which counts as lying in memory, give the bits
/// of one token alone.
template <class X>
void expect_bits_of_tokens_alone(Random& random, Pairing pairing, Index head_dim, Order order) {
  const Index heads = order == Order::features_seq_heads ? 21 : 6;
  const Index seq = 9 * 1024 * 1024 / (heads * head_dim * static_cast<Index>(sizeof(X)));
  const Index size = heads * seq * head_dim;
  const Pages<X> from(size), to(size + 1);
  fill_with_repeats(from, size, random);
  const RotaryEmbedding<float> rotary_emb({.dim = head_dim, .pairing = pairing});
  const auto view = [&](X* data) {
    const std::array<std::array<Index, 3>, 4> strides{{{seq * head_dim, head_dim, 1},
                                                       {head_dim, heads * head_dim, 1},
                                                       {seq * head_dim, 1, seq},
                                                       {1, heads, heads * seq}}};
    return StridedView<X>(data, std::array{heads, seq, head_dim}, strides[static_cast<std::size_t>(order)]);
  };
  const StridedView<X> x = view(from.data());
  for (const Index misalignment : {0, 1}) {
    const StridedView<X> y = view(to.data() + misalignment);
    rotary_emb.rotate_into(x, y, {.offset = 3});
    for (const Index n : {Index{0}, Index{1}, seq / 2, seq - 1}) {
      for (Index h = 0; h < heads; ++h) {
        std::vector<X> alone(static_cast<std::size_t>(head_dim));
        const auto first = h * x.stride(0) + n * x.stride(1);
        for (Index j = 0; j < head_dim; ++j)
          alone[static_cast<std::size_t>(j)] = x.data[first + j * x.stride(2)];
        rotary_emb.rotate_in_place(StridedView<X>(alone.data(), {1, head_dim}), {.offset = 3 + n});
        for (Index j = 0; j < head_dim; ++j)
          ASSERT_EQ(0, std::memcmp(&alone[static_cast<std::size_t>(j)], y.data + first + j * y.stride(2),
                                   sizeof(X)))
              << "head " << h << ", token " << n << ", feature " << j;
      }
    }
  }
  rotary_emb.rotate_in_place(x, {.offset = 3});
  ASSERT_EQ(0, std::memcmp(static_cast<const void*>(x.data), to.data() + 1,
                           static_cast<std::size_t>(size) * sizeof(X)));
}

// Non-temporal stores, prefetch at a distance or of whole windows, blocks of rows: all give the same bits.
TYPED_TEST(LargeTensors, GiveTheBitsOfTokensAlone) {
  Random random(91);
  SCOPED_TRACE(random.replay());
  const auto check = [&] {
    for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
      for (const Index head_dim : {64, 72, 256}) {  // 72: rows that fill no vector
        for (const Order order : {Order::heads_seq_features, Order::seq_heads_features,
                                  Order::heads_features_seq, Order::features_seq_heads}) {
          if (order >= Order::heads_features_seq && head_dim != 72) continue;  // tokens fill the vectors
          SCOPED_TRACE(::testing::Message() << "pairing " << static_cast<int>(pairing) << ", " << head_dim
                                            << " features, order " << static_cast<int>(order));
          expect_bits_of_tokens_alone<TypeParam>(random, pairing, head_dim, order);
          if (this->HasFatalFailure()) return;
        }
      }
    }
  };
  with_every_instruction_set([&] { with_every_vendor(check); });
}

// Strides beyond 2^31 elements, over memory of which only a few pages are ever written.
TEST(LargeTensors, StridesMayExceed31Bits) {
  constexpr Index kStride = (Index{1} << 31) + 4096, kHeadDim = 64;
  const Pages<Eigen::bfloat16> memory(2 * kStride + kHeadDim);
  const StridedView<Eigen::bfloat16> x(memory.data(), {3, kHeadDim}, {kStride, 1});
  for (Index n = 0; n < 3; ++n)
    for (Index j = 0; j < kHeadDim; ++j) x.data[n * kStride + j] = Eigen::bfloat16(static_cast<float>(j + 1));
  const RotaryEmbedding<float> rotary_emb({.dim = kHeadDim});
  rotary_emb.rotate_in_place(x, {.offset = 5});
  Tensor<Eigen::bfloat16, 2> wanted(3, kHeadDim);
  for (Index n = 0; n < wanted.size(); ++n)
    wanted.data()[n] = Eigen::bfloat16(static_cast<float>(n % kHeadDim + 1));
  rotary_emb.rotate_in_place(wanted, {.offset = 5});
  for (Index n = 0; n < 3; ++n)
    for (Index j = 0; j < kHeadDim; ++j) ASSERT_EQ(x.data[n * kStride + j], wanted(n, j));
}

// More than 2^31 elements, all of them rotated; needs some 5 GB, and is smaller where there is less.
TEST(LargeTensors, MayHaveMoreThan31BitsOfElements) {
  const double available =
      static_cast<double>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  constexpr Index kHeadDim = 128, kHeads = 32;
  const Index all = ((Index{1} << 31) + (Index{1} << 20)) / (kHeadDim * kHeads);
  const Index seq = available > 8e9 ? all : all / 64;
  RecordProperty("elements", std::to_string(seq * kHeads * kHeadDim));
  const Pages<Eigen::bfloat16> memory(seq * kHeads * kHeadDim);
  Eigen::TensorMap<Tensor<Eigen::bfloat16, 3>> x(memory.data(), kHeads, seq, kHeadDim);
  const auto fill = [](auto&& tensor, Index head, Index token, Index at) {
    for (Index j = 0; j < kHeadDim; ++j)
      tensor(head, at, j) = Eigen::bfloat16(static_cast<float>((head + token + j) % 7 + 1));
  };
  const std::vector<Index> tokens = {0, 1, seq / 2, seq - 2, seq - 1};
  for (Index h = 0; h < kHeads; ++h)
    for (const Index n : tokens) fill(x, h, n, n);
  const RotaryEmbedding<float> rotary_emb({.dim = kHeadDim, .pairing = Pairing::half});
  rotary_emb.rotate_in_place(x);
  for (Index h = 0; h < kHeads; ++h)
    for (const Index n : tokens) {
      Tensor<Eigen::bfloat16, 3> alone(h + 1, 1, kHeadDim);
      alone.setZero();
      fill(alone, h, n, 0);
      rotary_emb.rotate_in_place(alone, {.offset = n});
      for (Index j = 0; j < kHeadDim; ++j) ASSERT_EQ(x(h, n, j), alone(h, 0, j)) << h << " " << n << " " << j;
    }
}

}  // namespace
}  // namespace rotary::testing
