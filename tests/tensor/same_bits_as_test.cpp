// 16-bit types that are not Eigen's: with SameBitsAs their tensors rotate as Eigen's with the same bits do.
#include <gtest/gtest.h>

#include <cstdint>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/rotary_embedding.hpp>

#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace {

struct ForeignHalf {
  std::uint16_t bits;
};
struct ForeignBfloat {
  std::uint16_t bits;
};

}  // namespace

template <>
struct rotary::SameBitsAs<ForeignHalf> {
  using type = Eigen::half;
};
template <>
struct rotary::SameBitsAs<ForeignBfloat> {
  using type = Eigen::bfloat16;
};

namespace rotary::testing {
namespace {

static_assert(RotaryScalar<ForeignHalf> && RotaryScalar<ForeignBfloat>);
static_assert(!RotaryScalar<std::uint16_t> && !RotaryScalar<std::int16_t>, "16 bits alone say nothing");

/// Elements of `F` in memory, with the bits of `x`, [2, 3, 11, 20].
template <class F, class S>
std::vector<F> foreign(const StridedArray<S>& x) {
  std::vector<F> memory(static_cast<std::size_t>(x.size()));
  for (Index n = 0; n < x.size(); ++n) std::memcpy(&memory[static_cast<std::size_t>(n)], &x[n], sizeof(F));
  return memory;
}
template <class F>
StridedView<F> view(std::vector<F>& memory, const std::vector<Index>& extents) {
  return StridedView<F>(memory.data(), extents);
}
template <class F, class S>
void expect_bits(const std::vector<F>& found, const StridedArray<S>& wanted, const char* what) {
  ASSERT_EQ(static_cast<Index>(found.size()), wanted.size());
  for (Index n = 0; n < wanted.size(); ++n)
    ASSERT_EQ(std::memcmp(&found[static_cast<std::size_t>(n)], &wanted[n], sizeof(F)), 0)
        << what << ", element " << n;
}

/// Every kind of call on `F`, against the same call on Eigen's type.
template <class F>
void check() {
  using S = typename SameBitsAs<F>::type;
  static_assert(sizeof(F) == sizeof(S));
  Random random(951);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : kPairings) {
    const RotaryEmbedding<float> rotary_emb(language_frequencies(16), {.start_index = 2, .pairing = pairing});
    StridedArray<S> x({2, 3, 11, 20}), y({2, 1, 11, 20});
    x.fill(random);
    y.fill(random);
    const auto before = foreign<F>(x);
    const std::vector<std::int64_t> ids = {0, 1, 2, 0, 1, 1000003, 7, 8, 9, 10, 11};

    auto rotated = x;
    rotary_emb.rotate_in_place(rotated.view(), ids);
    auto in_place = before;
    rotary_emb.rotate_in_place(view(in_place, x.extents()), ids);
    expect_bits(in_place, rotated, "in place");

    std::vector<F> out(before.size());
    rotary_emb.rotate_into(StridedView<const F>(before.data(), x.extents()), view(out, x.extents()), ids);
    expect_bits(out, rotated, "into another tensor");
    StridedArray<S> eigens(x.extents());  // both types in one call
    rotary_emb.rotate_into(StridedView<const F>(before.data(), x.extents()), eigens.view(), ids);
    EXPECT_TRUE(same_bits(eigens, rotated));

    auto q = before, k = foreign<F>(y);
    auto wanted_q = x;
    auto wanted_k = y;
    rotary_emb.rotate_queries_and_keys_in_place(view(q, x.extents()), view(k, y.extents()), 5);
    rotary_emb.rotate_queries_and_keys_in_place(wanted_q.view(), wanted_k.view(), 5);
    expect_bits(q, wanted_q, "queries");
    expect_bits(k, wanted_k, "keys");

    const auto table = rotary_emb.table(ids);
    auto by_table = before;
    apply_rotary_emb_in_place(table, view(by_table, x.extents()));
    expect_bits(by_table, rotated, "by a table");

    auto token = before;
    rotary_emb.rotate_token_in_place(view(token, {66, 20}), 9);
    auto wanted_token = x;
    rotary_emb.rotate_token_in_place(StridedView<S>(&wanted_token[0], {66, 20}), 9);
    expect_bits(token, wanted_token, "one token");

    // A cache of Eigen's type takes keys of the other.
    KeyCache<S> cache(rotary_emb, {.heads = 3, .head_dim = 20}),
        same(rotary_emb, {.heads = 3, .head_dim = 20});
    cache.append(StridedView<const F>(before.data(), {3, 11, 20}));
    same.append(StridedView<const S>(&x[0], {3, 11, 20}));
    for (Index n = 0; n < 3 * 11 * 20; ++n)
      ASSERT_EQ(bits_of(cache.tensor().data()[n]), bits_of(same.tensor().data()[n])) << "key cache";
  }
}

TEST(SameBitsAs, ForeignTypesRotateAsEigens) {
  check<ForeignHalf>();
  check<ForeignBfloat>();
}

// What the compiler has itself needs no specialisation.
#if defined(__STDCPP_FLOAT16_T__) || \
    (defined(__FLT16_MANT_DIG__) && defined(__clang__) && __clang_major__ >= 15)
TEST(SameBitsAs, Float16RotatesAsHalf) { check<_Float16>(); }
#endif
#if defined(__STDCPP_BFLOAT16_T__) || (defined(__BFLT16_MANT_DIG__) && defined(__SSE2__))
TEST(SameBitsAs, Bfloat16RotatesAsBfloat16) { check<__bf16>(); }
#endif

}  // namespace
}  // namespace rotary::testing
