// Promise 3: results have the same bits whatever the layout of a tensor in memory and the pairing of its
// features.
#include <gtest/gtest.h>

#include <rotary/apply_rotary_emb.hpp>
#include <rotary/kernels/simd_memory.hpp>
#include <rotary/kernels/testing.hpp>
#include <rotary/rotary_embedding.hpp>
#include <rotary/xpos.hpp>

#include "support/compiled_kernels.hpp"
#include "support/rotated.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

/// Frequencies that all differ, so that a pair rotated by the angle of another one is detected.
template <class X>
RotaryEmbedding<RowsFor<X>> embedding(Index dim, Pairing pairing, Index cache = 8192, Index start = 0) {
  return RotaryEmbedding<RowsFor<X>>(language_frequencies(dim), {.start_index = start, .pairing = pairing},
                                     cache);
}

/// An AVX-512 register holds 16 floats: dims on both sides of one, two and four of them, in either pairing.
constexpr Index kLargestDim = 4 * 16 + 2;

RotateOptions any_options(Random& random, int seq_axis) {
  return {.offset = random.pick<FixedPosition>({0, 3, -7, 1000003, 0.5}),
          .seq_dim = seq_axis,
          .scale = random.pick({1.0, 1.0, 0.75}),
          .direction = random.pick({Direction::forward, Direction::inverse, Direction::transpose})};
}

TEST(SameBits, InterleavedEqualsHalfAfterThePermutationOfFeatures) {
  Random random(301);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (Index dim = 2; dim <= kLargestDim; dim += 2) {
      SCOPED_TRACE("dim " + std::to_string(dim));
      const Index pairs = dim / 2;
      StridedArray<X> x({2, 3, dim + 1}), permuted(x.extents()), wanted(x.extents());
      x.fill(random);
      const auto permute = [&](const StridedArray<X>& from, StridedArray<X>& to) {
        for (Index row = 0; row < x.size(); row += dim + 1) {
          for (Index i = 0; i < pairs; ++i) {
            to[row + i] = from[row + 2 * i];
            to[row + pairs + i] = from[row + 2 * i + 1];
          }
          to[row + dim] = from[row + dim];
        }
      };
      permute(x, permuted);
      const RotateOptions options = any_options(random, 1);
      permute(rotated(embedding<X>(dim, Pairing::interleaved), x, options), wanted);
      EXPECT_TRUE(same_bits(rotated(embedding<X>(dim, Pairing::half), permuted, options), wanted));
    }
  });
}

// Every pair rotated by itself, as a tensor of two features, against the whole window: whatever vectors the
// kernels cut a window into, and whatever they do with its tail, a pair comes out the same.
TEST(SameBits, VectorBodiesEqualTheirTails) {
  Random random(302);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (Index dim = 2; dim <= kLargestDim; dim += 2) {
      for (const Pairing pairing : kPairings) {
        SCOPED_TRACE("dim " + std::to_string(dim) + " " + name_of(pairing));
        const auto rotary_emb = embedding<X>(dim, pairing);
        // Odd numbers of features put windows at every distance from a vector's boundary.
        StridedArray<X> x({3, 2, dim + random.integer<Index>(0, 5)},
                          {.misaligned = random.integer<Index>(0, 17)});
        x.fill(random);
        const RotateOptions options = any_options(random, random.integer(0, 1));
        const auto found = rotated(rotary_emb, x, options);
        auto wanted = x;
        for (Index i = 0; i < dim / 2; ++i) {
          const auto [a, b] = pair_features(pairing, dim / 2, i);
          auto pair = wanted.view().slice(2, a, 2);
          pair.strides[2] *= b - a;
          const RotaryEmbedding<RowsFor<X>> of_pair(
              Frequencies{{rotary_emb.frequencies().values[static_cast<std::size_t>(i)]}});
          of_pair.rotate_in_place(pair, options);
        }
        ASSERT_TRUE(same_bits(found, wanted));
      }
    }
  });
}

// Ranks 2 to 6, the sequence on any axis, any order of axes in memory with gaps and negative strides,
// misaligned; in place, and into a tensor that lies otherwise; the window anywhere.
TEST(SameBits, EveryLayoutAndPlaceGivesTheSameBits) {
  Random random(303);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 300; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const int rank = random.integer(2, 6), axis = random.integer(0, rank - 2);
      const Index dim = 2 * random.integer<Index>(1, round % 3 == 0 ? kLargestDim / 2 : 9);
      const Index start = random.pick<Index>({0, 0, 1, 4}),
                  features = start + dim + random.integer<Index>(0, 3);
      StridedArray<X> x(random_shape(random, rank, features));
      x.fill(random);
      RotateOptions options = any_options(random, axis);
      SCOPED_TRACE(text_of(x.extents()) + ", sequence on axis " + std::to_string(axis));
      const auto rotary_emb = embedding<X>(dim, pairing, random.integer<Index>(0, 5), start);
      const auto wanted = rotated(rotary_emb, x, options);

      // The sequence axis, counted from the other end.
      options.seq_dim = axis - rank;
      auto in_place = x.laid_out(Layout::random(random, rank));
      rotary_emb.rotate_in_place(in_place.view(), options);
      EXPECT_TRUE(same_bits(in_place, wanted)) << "in place";
      EXPECT_TRUE(in_place.guards_are_intact()) << "in place";

      const auto from = x.laid_out(Layout::random(random, rank));
      StridedArray<X> to(x.extents(), Layout::random(random, rank));
      rotary_emb.rotate_into(from.view(), to.view(), options);
      EXPECT_TRUE(same_bits(to, wanted)) << "out of place";
      EXPECT_TRUE(same_bits(from, x)) << "the input of out of place";
      EXPECT_TRUE(to.guards_are_intact()) << "out of place";
    }
  });
}

TEST(SameBits, ColumnMajorEqualsRowMajor) {
  Random random(304);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int rank = 2; rank <= kMaxRank; ++rank) {
      const Index dim = 2 * random.integer<Index>(1, 9);
      StridedArray<X> x(random_shape(random, rank, dim + rank % 3, rank < 6 ? 4 : 2));
      x.fill(random);
      const RotateOptions options = any_options(random, random.integer(0, rank - 2));
      const auto rotary_emb = embedding<X>(dim, kPairings[rank % 2]);
      auto columns = x.laid_out(Layout::column_major(rank));
      rotary_emb.rotate_in_place(columns.view(), options);
      EXPECT_TRUE(same_bits(columns, rotated(rotary_emb, x, options))) << "rank " << rank;
    }
  });
}

// Where tensors begin: at every distance from a 64-byte boundary, source and destination apart from each
// other.
TEST(SameBits, EveryAlignmentGivesTheSameBits) {
  Random random(305);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (const Pairing pairing : kPairings) {
      for (const Index dim : {6, 16, 22, 40}) {
        const auto rotary_emb = embedding<X>(dim, pairing);
        StridedArray<X> x({2, 3, dim});
        x.fill(random);
        const auto wanted = rotated(rotary_emb, x);
        for (Index shift = 0; shift < static_cast<Index>(64 / sizeof(X)); ++shift) {
          auto in_place = x.laid_out({.misaligned = shift});
          StridedArray<X> to(x.extents(), {.misaligned = random.integer<Index>(0, 31)});
          rotary_emb.rotate_into(std::as_const(in_place).view(), to.view());
          rotary_emb.rotate_in_place(in_place.view());
          ASSERT_TRUE(same_bits(in_place, wanted)) << "in place, " << shift << " elements on";
          ASSERT_TRUE(same_bits(to, wanted)) << "from " << shift << " elements on";
        }
      }
    }
  });
}

// Whatever is rotated along with a token - other heads, earlier and later tokens - does not show in it.
TEST(SameBits, EveryPartOfATensorGivesTheBitsOfTheWhole) {
  Random random(306);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 20; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 33), batch = 2, heads = random.integer<Index>(1, 9),
                  seq = 70;
      const auto rotary_emb = embedding<X>(dim, pairing, random.pick<Index>({0, 20, 8192}));
      StridedArray<X> x({batch, heads, seq, dim});
      x.fill(random);
      const Index offset = random.pick<Index>({0, 11, 1000003});
      auto whole = x, parts = x;
      rotary_emb.rotate_in_place(whole.view(), {.offset = offset});
      for (Index begin = 0, count = 0; begin < seq; begin += count) {
        count = std::min(seq - begin, random.pick<Index>({1, 1, 2, 16, 17}));
        const Index first_heads = random.integer<Index>(0, heads);
        const auto tokens = parts.view().slice(2, begin, count);
        rotary_emb.rotate_in_place(tokens.slice(1, 0, first_heads), {.offset = offset + begin});
        rotary_emb.rotate_in_place(tokens.slice(1, first_heads, heads - first_heads),
                                   {.offset = offset + begin});
      }
      ASSERT_TRUE(same_bits(parts, whole));
    }
  });
}

/// A device as Eigen::ThreadPoolDevice is one, but with pieces of any size in any order, all on this thread.
struct AnyPieces {
  Random* random;

  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    std::vector<std::pair<Index, Index>> pieces;
    for (Index first = 0, last = 0; first < count; first = last) {
      last = std::min(count, first + random->integer<Index>(1, 9));
      pieces.emplace_back(first, last);
    }
    for (std::size_t left = pieces.size(); left > 0; --left) {
      std::swap(pieces[left - 1], pieces[random->integer<std::size_t>(0, left - 1)]);
      work(pieces[left - 1].first, pieces[left - 1].second);
    }
  }
};

TEST(SameBits, OneThreadEqualsMany) {
  Random random(310);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 60; ++round) {
      const int rank = random.integer(2, 5), axis = random.integer(0, rank - 2);
      const Index dim = 2 * random.integer<Index>(1, 9), start = random.integer<Index>(0, 2);
      auto shape = random_shape(random, rank, start + dim + 1, 5);
      // One axis much longer than the others: often the sequence, which is split last.
      shape[static_cast<std::size_t>(random.integer(0, rank - 2))] = random.integer<Index>(0, 200);
      StridedArray<X> x(shape);
      x.fill(random);
      RotateOptions options = any_options(random, axis);
      const auto rotary_emb =
          embedding<X>(dim, kPairings[round % 2], random.pick<Index>({0, 50, 8192}), start);
      const auto wanted = rotated(rotary_emb, x, options);
      auto in_place = x.laid_out(Layout::random(random, rank));
      StridedArray<X> out(shape, Layout::random(random, rank));
      const AnyPieces device{&random};
      rotary_emb.rotate_into(std::as_const(in_place).view(), out.view(), options, device);
      rotary_emb.rotate_in_place(in_place.view(), options, device);
      EXPECT_TRUE(same_bits(out, wanted)) << text_of(shape) << ", sequence on axis " << axis;
      EXPECT_TRUE(same_bits(in_place, wanted)) << text_of(shape) << ", sequence on axis " << axis;
    }
  });
}

/// A device whose parts may be empty.
struct EmptyPieces {
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    for (const auto& [first, last] : {std::pair<Index, Index>{0, 0}, {0, count}, {count, count}})
      work(first, last);
  }
};

TEST(SameBits, AnEmptyPartIsNotRotated) {
  const RotaryEmbedding<float> rotary_emb({.dim = 8});
  const CosSinTable<float> table = rotary_emb.table(std::vector<int>{5});
  Random random(313);
  Tensor<float, 3> x(1, 1, 8);
  random.fill(x);
  const Tensor<float, 3> wanted = apply_rotary_emb(table, x);
  Tensor<float, 3> by_table = x, by_position = x;
  apply_rotary_emb_in_place(table, by_table, Direction::forward, EmptyPieces());
  rotary_emb.rotate_in_place(by_position, 5, {}, EmptyPieces());
  for (Index i = 0; i < 8; ++i) {
    EXPECT_EQ(bits_of(by_table(0, 0, i)), bits_of(wanted(0, 0, i)));
    EXPECT_EQ(bits_of(by_position(0, 0, i)), bits_of(wanted(0, 0, i)));
  }
}

// One call for queries and keys, fewer of these and of another scalar, against one call for each: with rows
// that are cached and that are computed, in blocks too. There must be as many keys as queries.
TEST(SameBits, QueriesAndKeysTogetherEqualTwoCalls) {
  Random random(311);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    using K = std::conditional_t<std::is_same_v<X, float>, Eigen::bfloat16, X>;
    for (int round = 0; round < 100; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const Index dim = 2 * random.integer<Index>(1, 20), features = dim + random.integer<Index>(0, 3);
      const Index queries = random.integer<Index>(0, round % 10 == 0 ? 300 : 5);
      const Index keys = round % 7 == 0 ? random.integer<Index>(0, 5) : queries;
      const RotateOptions options = any_options(random, random.integer(0, 1));
      HeadLayout layout{.pairing = pairing};
      if (round % 3 == 0) layout.output_pairing = random.pick({Pairing::half, Pairing::interleaved});
      const bool seq_first = *options.seq_dim == 0;
      StridedArray<X> q(seq_first ? std::vector<Index>{queries, 4, features}
                                  : std::vector<Index>{4, queries, features});
      StridedArray<K> k(seq_first ? std::vector<Index>{keys, 2, features}
                                  : std::vector<Index>{2, keys, features});
      q.fill(random);
      k.fill(random);
      const RotaryEmbedding<RowsFor<X>> rotary_emb(language_frequencies(dim), layout,
                                                   random.pick<Index>({0, 4, 8192}));
      const auto wanted_q = rotated(rotary_emb, q, options);
      const auto wanted_k = rotated(rotary_emb, k, options);
      SCOPED_TRACE(text_of(q.extents()) + " and " + text_of(k.extents()));
      auto in_place_q = q.laid_out(Layout::random(random, 3));
      auto in_place_k = k.laid_out(Layout::random(random, 3));
      if (queries != keys) {
        EXPECT_THROW(
            rotary_emb.rotate_queries_and_keys_in_place(in_place_q.view(), in_place_k.view(), options),
            std::invalid_argument);
        ASSERT_TRUE(same_bits(in_place_q, q) && same_bits(in_place_k, k));
        continue;
      }
      rotary_emb.rotate_queries_and_keys_in_place(in_place_q.view(), in_place_k.view(), options);
      ASSERT_TRUE(same_bits(in_place_q, wanted_q) && same_bits(in_place_k, wanted_k));
      EXPECT_TRUE(in_place_q.guards_are_intact() && in_place_k.guards_are_intact());
    }
  });
}

// XPos rotates queries and keys of two different scalars as it rotates each of them with one of its own
// scalar.
TEST(SameBits, XPosQueriesAndKeysOfTwoScalars) {
  Random random(313);
  SCOPED_TRACE(random.replay());
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 8});
  StridedArray<float> q({2, 3, 9}), other_k({2, 3, 9});
  StridedArray<Eigen::bfloat16> k({2, 3, 9}), other_q({2, 3, 9});
  q.fill(random), k.fill(random), other_q.fill(random), other_k.fill(random);
  auto wanted_q = q;
  auto wanted_k = k;
  xpos.rotate_queries_and_keys_in_place(wanted_q.view(), other_k.view(), {.offset = 5});
  xpos.rotate_queries_and_keys_in_place(other_q.view(), wanted_k.view(), {.offset = 5});
  xpos.rotate_queries_and_keys_in_place(q.view(), k.view(), {.offset = 5});
  EXPECT_TRUE(same_bits(q, wanted_q) && same_bits(k, wanted_k));
}

// Tensors that are returned have these bits too.
TEST(SameBits, QueriesAndKeysReturnedTogether) {
  Random random(312);
  SCOPED_TRACE(random.replay());
  const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 8, .cache_max_seq_len = 4});
  Tensor<float, 4> q(2, 4, 3, 9), k(2, 1, 3, 9);
  random.fill(q);
  random.fill(k);
  for (const FixedPosition offset : {FixedPosition(0), FixedPosition(1000003)}) {
    const auto [rotated_q, rotated_k] = rotary_emb.rotate_queries_and_keys(q, k, {.offset = offset});
    const auto wanted_q = rotary_emb.rotate_queries_or_keys(q, {.offset = offset});
    const auto wanted_k = rotary_emb.rotate_queries_or_keys(k, {.offset = offset});
    for (Index n = 0; n < q.size(); ++n) ASSERT_EQ(rotated_q.data()[n], wanted_q.data()[n]);
    for (Index n = 0; n < k.size(); ++n) ASSERT_EQ(rotated_k.data()[n], wanted_k.data()[n]);
  }
}

// Tables and angles reach the kernels by other functions; rows of the same numbers give the same bits.
TEST(SameBits, TablesEqualEmbeddings) {
  Random random(307);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (int round = 0; round < 40; ++round) {
      const Pairing pairing = kPairings[round % 2];
      const int rank = random.integer(2, 5), axis = random.integer(0, rank - 2);
      const Index dim = 2 * random.integer<Index>(1, 20);
      StridedArray<X> x(random_shape(random, rank, dim + 2, 5));
      x.fill(random);
      const Index seq = x.extents()[static_cast<std::size_t>(axis)];
      const Direction direction = random.pick({Direction::forward, Direction::transpose});
      const HeadLayout layout{.start_index = 1, .pairing = pairing, .seq_dim = axis};
      const RotaryEmbedding<RowsFor<X>> rotary_emb(language_frequencies(dim), layout);
      const CosSinTable<RowsFor<X>> table(language_frequencies(dim), Positions::consecutive(seq, 5), layout);
      EXPECT_EQ(rotary_emb.table(Positions::consecutive(seq, 5)), table);
      const auto wanted = rotated(rotary_emb, x, {.offset = 5, .direction = direction});
      auto found = x.laid_out(Layout::random(random, rank));
      apply_rotary_emb_in_place(table, found.view(), direction);
      EXPECT_TRUE(same_bits(found, wanted));
      EXPECT_TRUE(found.guards_are_intact());
    }
  });
}

// Input broadcast over an axis, stride 0, is as good as its copies.
TEST(SameBits, BroadcastInputEqualsItsCopies) {
  Random random(308);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    const Index dim = 10;
    const auto rotary_emb = embedding<X>(dim, Pairing::half);
    StridedArray<X> one({1, 1, dim}), copies({3, 4, dim}), result({3, 4, dim});
    one.fill(random);
    for (Index n = 0; n < copies.size(); ++n) copies[n] = one[n % dim];
    const StridedView<const X> view(std::as_const(one).view().data, {3, 4, dim}, {0, 0, 1});
    rotary_emb.rotate_into(view, result.view());
    EXPECT_TRUE(same_bits(result, rotated(rotary_emb, copies)));
  });
}

#if ROTARY_VECTOR_EXTENSIONS
// Instruction sets with a fused multiply-add agree to the bit; the baseline without one is a rounding away.
TEST(SameBits, InstructionSetsAgree) {
  Random random(309);
  SCOPED_TRACE(random.replay());
  using kernels::InstructionSet;
  const InstructionSet best = kernels::instruction_set();
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    for (Index dim = 2; dim <= kLargestDim; dim += 2) {
      for (const Pairing pairing : kPairings) {
        const auto rotary_emb = embedding<X>(dim, pairing);
        StridedArray<X> x({2, 3, dim});
        x.fill(random);
        const RotateOptions options{.offset = 17};
        kernels::force_instruction_set(best);
        const auto wanted = rotated(rotary_emb, x, options);
        for (const InstructionSet set :
             {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
          kernels::force_instruction_set(set);
          const auto found = rotated(rotary_emb, x, options);
          if (kernels::instruction_set() != InstructionSet::baseline || kernels::Baseline::kFused) {
            ASSERT_TRUE(same_bits(found, wanted)) << "dim " << dim << " " << name_of(pairing);
          } else {
            for (Index n = 0; n < x.size(); ++n)
              ASSERT_NEAR(static_cast<double>(found[n]), static_cast<double>(wanted[n]), 6 * kUnit<X>);
          }
        }
      }
    }
  });
  kernels::force_instruction_set(best);
}
#endif

}  // namespace
}  // namespace rotary::testing
