// Tensors and rows that lie against unreadable pages: nothing outside of them is read or written. For every head size
// up to 512, every scalar, both pairings, in and out of place, with the tensor at the start of a page and at the end.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/rotary.hpp>

#include "support/compiled_kernels.hpp"
#include "support/instruction_sets.hpp"

namespace rotary::testing {
namespace {

/// Memory between two pages that can be neither read nor written.
class GuardedMemory {
 public:
  explicit GuardedMemory(std::size_t bytes)
      : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), size_((bytes + page_ - 1) / page_ * page_) {
    void* const all = mmap(nullptr, size_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<unsigned char*>(all) + page_;
    if (mprotect(memory_, size_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  }
  GuardedMemory(const GuardedMemory&) = delete;
  ~GuardedMemory() { munmap(memory_ - page_, size_ + 2 * page_); }

  /// `count` elements right after the first page, or right before the last one.
  template <class S>
  S* place(Index count, bool at_end) const {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(S);
    return reinterpret_cast<S*>(at_end ? memory_ + size_ - bytes : memory_);
  }

 private:
  std::size_t page_, size_;
  unsigned char* memory_;
};

/// [heads, tokens, head_dim] and the rows of its tokens, every one of them against a page.
template <class X>
class Guarded {
  using T = detail::Arithmetic<X, float>;
  static constexpr Index kHeads = 2, kTokens = 3;

 public:
  void check_every_size() {
    for (Index head_dim = 1; head_dim <= 512; ++head_dim) {
      const Index size = kHeads * kTokens * head_dim;
      for (Index n = 0; n < size; ++n)
        numbers_[static_cast<std::size_t>(n)] = X(static_cast<float>(n % 29 - 14));
      check(head_dim, 0, head_dim / 2);
      check(head_dim, head_dim % 2 == 1 ? 1 : 2, (head_dim - 1) / 2);  // with features before the window
    }
  }

 private:
  void check(Index head_dim, Index start, Index pairs) {
    const Index size = kHeads * kTokens * head_dim, row_size = 2 * pairs;
    for (const Pairing pairing : {Pairing::half, Pairing::interleaved})
      for (const Pairing written : {pairing, pairing == Pairing::half ? Pairing::interleaved : Pairing::half})
        for (const bool at_end : {false, true}) {
          T* const rows = rows_.place<T>(kTokens * row_size, at_end);
          for (Index n = 0; n < kTokens * row_size; ++n) rows[n] = T(0.5) + T(n % 7) / T(8);
          X* const in = in_.place<X>(size, at_end);
          X* const out = out_.place<X>(size, at_end);
          std::memcpy(in, numbers_.data(), static_cast<std::size_t>(size) * sizeof(X));

          rotate(head_dim, start, pairs, pairing, written, rows, static_cast<const X*>(in), out);
          ASSERT_EQ(std::memcmp(in, numbers_.data(), static_cast<std::size_t>(size) * sizeof(X)), 0);
          rotate(head_dim, start, pairs, pairing, written, rows, static_cast<const X*>(in), in);
          ASSERT_EQ(std::memcmp(in, out, static_cast<std::size_t>(size) * sizeof(X)), 0)
              << "in place and into another tensor: head_dim " << head_dim << ", pairs " << pairs;
        }
  }

  void rotate(Index head_dim, Index start, Index pairs, Pairing pairing, Pairing written, const T* rows,
              const X* in, X* out) {
    kernels::RotationJob<X, T> job;
    job.in = in + start, job.out = out + start, job.rows = rows;
    job.in_pairing = job.row_pairing = pairing, job.out_pairing = written;
    job.pairs = pairs;
    job.untouched_before = start, job.untouched_after = head_dim - start - 2 * pairs;
    job.add_axis({kHeads, kTokens * head_dim, kTokens * head_dim, 0});
    job.add_axis({kTokens, head_dim, head_dim, 2 * pairs});
    kernels::rotate(std::move(job));
  }

  GuardedMemory in_{2 * 3 * 512 * sizeof(X)}, out_{2 * 3 * 512 * sizeof(X)}, rows_{3 * 512 * sizeof(T)};
  std::vector<X> numbers_ = std::vector<X>(2 * 3 * 512);
};

TEST(GuardPages, AreSeenByTheTest) {
  const GuardedMemory memory(100);
  EXPECT_DEATH({ static_cast<void>(*const_cast<volatile float*>(memory.place<float>(1, true) + 1)); }, "");
  EXPECT_DEATH({ static_cast<void>(*const_cast<volatile float*>(memory.place<float>(1, false) - 1)); }, "");
}

TEST(GuardPages, RotationsOfFloat) {
  Guarded<float> guarded;
  with_every_instruction_set([&] { guarded.check_every_size(); });
}
TEST(GuardPages, RotationsOfDouble) {
  Guarded<double> guarded;
  with_every_instruction_set([&] { guarded.check_every_size(); });
}
TEST(GuardPages, RotationsOfHalf) {
  Guarded<Eigen::half> guarded;
  with_every_instruction_set([&] { guarded.check_every_size(); });
}
TEST(GuardPages, RotationsOfBfloat16) {
  Guarded<Eigen::bfloat16> guarded;
  with_every_instruction_set([&] { guarded.check_every_size(); });
}

// Rows as they are computed: of consecutive, listed and far positions, against a page at either end.
template <class T>
void check_rows() {
  const GuardedMemory memory(5 * 512 * sizeof(T));
  const std::vector<std::int64_t> listed = {7, 1 << 20, -3, std::int64_t{1} << 40, 0};
  const std::vector<double> fractional = {0.5, 7, -1.25, 1e6, 2};
  for (Index dim = 2; dim <= 512; dim += 2) {
    const TurnSteps steps(constant_frequencies(dim / 2));
    for (const Pairing pairing : {Pairing::half, Pairing::interleaved})
      for (const bool at_end : {false, true}) {
        T* const rows = memory.place<T>(5 * dim, at_end);
        T first = 0;
        for (const Positions& positions :
             {Positions::consecutive(5, 7), Positions::listed(listed), Positions::listed(fractional)}) {
          kernels::cos_sin_rows(steps, positions, 0, 5, {.factor = 1}, pairing, rows);
          first = rows[0];
        }
        ASSERT_GT(first, T(0.8)) << dim;  // cos 0.5
        kernels::cos_sin_row(steps, std::vector<FixedPosition>{3}, {.factor = 1}, pairing,
                             memory.place<T>(dim, at_end));
      }
  }
}
TEST(GuardPages, RowsOfFloat) {
  with_every_instruction_set([] { check_rows<float>(); });
}
TEST(GuardPages, RowsOfDouble) {
  with_every_instruction_set([] { check_rows<double>(); });
}

// Rows from angles that somebody else computed, read against a page and written against one.
TEST(GuardPages, RowsFromAngles) {
  const GuardedMemory angles_memory(512 * sizeof(double)), row_memory(512 * sizeof(float));
  with_every_instruction_set([&] {
    for (Index dim = 2; dim <= 512; dim += 2)
      for (const Pairing pairing : {Pairing::half, Pairing::interleaved})
        for (const bool at_end : {false, true}) {
          float* const row = row_memory.place<float>(dim, at_end);
          float* const angles = angles_memory.place<float>(dim, at_end);
          std::fill_n(angles, dim, 0.5f);
          kernels::cos_sin_of_shared_angles(angles, 1, dim / 2, pairing, row);
          double* const wide = angles_memory.place<double>(dim, at_end);
          std::fill_n(wide, dim, 0.5);
          kernels::cos_sin_of_shared_angles(wide, 1, dim / 2, pairing, row);
        }
  });
}

}  // namespace
}  // namespace rotary::testing
