// Every way of naming positions in every kind of call, against rotating token by token.
#define EIGEN_USE_THREADS
#include <gtest/gtest.h>

#include <functional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/positions/position_ids.hpp>
#include <rotary/positions/token_positions.hpp>
#include <rotary/rotary_embedding.hpp>

#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

constexpr Index kDim = 128, kFeatures = kDim + 5, kStart = 3;
constexpr Index kBatch = 3, kQueryHeads = 2, kKeyHeads = 1;
constexpr Index kCached = 400;     // rows; a block in float has 128, in double 64
constexpr Index kFar = 1'000'003;  // beyond the cached rows

/// The position of token n of sequence b.
using PositionOf = std::function<FixedPosition(Index b, Index n)>;

std::vector<Index> shape(Index seq, Index heads, Index seq_dim) {
  return seq_dim == -2 ? std::vector<Index>{kBatch, heads, seq, kFeatures}
                       : std::vector<Index>{kBatch, seq, heads, kFeatures};
}

template <class X>
StridedArray<X> filled(const std::vector<Index>& extents, std::uint64_t seed) {
  Random random(seed);
  StridedArray<X> x(extents);
  x.fill(random);
  return x;
}

/// x with each token rotated by itself, at an offset.
template <class T, class X>
StridedArray<X> one_by_one(const RotaryEmbedding<T>& rotary_emb, StridedArray<X> x, const PositionOf& at) {
  const int axis = rotary_emb.layout().seq_dim == -2 ? 2 : 1;
  for (Index b = 0; b < x.extents()[0]; ++b)
    for (Index n = 0; n < x.extents()[static_cast<std::size_t>(axis)]; ++n)
      rotary_emb.rotate_in_place(x.view().slice(0, b, 1).slice(axis, n, 1), {.offset = at(b, n)});
  return x;
}

// --- ways of naming positions

/// One tensor and embedding for all ways.
struct Ways {
  static constexpr Index kSeq = 9;
  RotaryEmbedding<float> rotary_emb{language_frequencies(kDim), {.start_index = kStart}, kCached};
  StridedArray<float> x = filled<float>(shape(kSeq, kQueryHeads, -2), 31);

  StridedArray<float> wanted(const PositionOf& at) const { return one_by_one(rotary_emb, x, at); }

  template <class At>
  void expect(const At& at, const StridedArray<float>& right, const char* what) const {
    auto found = x;
    rotary_emb.rotate_in_place(found.view(), at);
    EXPECT_TRUE(same_bits(found, right)) << what;
  }
};

/// Ids of [batch, seq], of the type P, in every container.
template <class P>
void check_lists(const Ways& ways) {
  SCOPED_TRACE(typeid(P).name());
  constexpr Index kSeq = Ways::kSeq;
  const auto id = [](Index b, Index n) {  // repeated, near a boundary of blocks, beyond the cached rows
    const Index list[] = {126, 127, 128, 129, 0, 0, kFar, 399, 400};
    const double moved = static_cast<double>(list[n]) + (std::is_floating_point_v<P> ? 0.25 : 0.0);
    return static_cast<P>(moved + static_cast<double>(10 * b));
  };
  // Two tensors of floats in a call would be queries and keys.
  const auto named = []<class Ids>(const Ids& ids) -> decltype(auto) {
    if constexpr (std::is_integral_v<P>) {
      return (ids);
    } else {
      return Positions::listed(ids);
    }
  };
  std::vector<P> list;
  std::array<P, static_cast<std::size_t>(kSeq)> array;
  P c_array[kSeq];
  Tensor<P, 1> tensor(kSeq);
  Eigen::VectorX<P> column(kSeq);
  Eigen::RowVectorX<P> row(kSeq);
  Eigen::MatrixX<P> in_row(3, kSeq);
  for (Index n = 0; n < kSeq; ++n) {
    list.push_back(id(0, n));
    array[static_cast<std::size_t>(n)] = c_array[n] = tensor(n) = column(n) = row(n) = in_row(1, n) =
        id(0, n);
    in_row(0, n) = in_row(2, n) = 0;
  }
  const auto shared = ways.wanted([&](Index, Index n) { return FixedPosition(id(0, n)); });
  ways.expect(list, shared, "a vector");
  ways.expect(array, shared, "an array");
  ways.expect(c_array, shared, "a C array");
  ways.expect(std::span<P>(list), shared, "a span");
  ways.expect(std::span<const P>(list), shared, "a span of const");
  ways.expect(tensor, shared, "a tensor of one axis");
  ways.expect(Eigen::TensorMap<const Tensor<P, 1>>(list.data(), kSeq), shared, "a map of a tensor");
  ways.expect(column, shared, "a column");
  ways.expect(row, shared, "a row");
  ways.expect(named(in_row.row(1)), shared, "a row of a column-major matrix");
  ways.expect(named(StridedView<const P>(list.data(), {kSeq})), shared, "a view");
  ways.expect(Positions::listed(list), shared, "Positions");
  ways.expect(Positions(AxisPositions::listed(std::span<const P>(list))), shared, "AxisPositions");

  Tensor<P, 2> rows(kBatch, kSeq);
  Eigen::Tensor<P, 2> columns(kBatch, kSeq);
  Eigen::MatrixX<P> matrix(kBatch, kSeq);
  Eigen::Matrix<P, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> row_major(kBatch, kSeq);
  std::vector<P> flat;
  for (Index b = 0; b < kBatch; ++b)
    for (Index n = 0; n < kSeq; ++n) {
      rows(b, n) = columns(b, n) = matrix(b, n) = row_major(b, n) = id(b, n);
      flat.push_back(id(b, n));
    }
  const auto each = ways.wanted([&](Index b, Index n) { return FixedPosition(id(b, n)); });
  ways.expect(named(rows), each, "a tensor [batch, seq]");
  ways.expect(named(columns), each, "a column-major tensor [batch, seq]");
  ways.expect(named(matrix), each, "a matrix [batch, seq]");
  ways.expect(named(row_major), each, "a row-major matrix [batch, seq]");
  ways.expect(named(StridedView<const P>(flat.data(), {kBatch, kSeq})), each, "a view [batch, seq]");
  ways.expect(Positions::listed(flat).in_batches(kBatch), each, "Positions in batches");
  // Parts of more ids are not contiguous, and are refused rather than misread.
  const Eigen::MatrixX<P> wide = Eigen::MatrixX<P>::Zero(kBatch, kSeq + 1);
  const Tensor<P, 2> tall = Tensor<P, 2>(kBatch + 1, kSeq).setZero();
  auto untouched = ways.x;
  EXPECT_THROW(ways.rotary_emb.rotate_in_place(untouched.view(), named(wide)), std::invalid_argument);
  EXPECT_THROW(ways.rotary_emb.rotate_in_place(untouched.view(), named(tall)), std::invalid_argument);
  EXPECT_THROW(ways.rotary_emb.rotate_in_place(untouched.view(), named(in_row.leftCols(kSeq - 1).topRows(2))),
               std::invalid_argument);
  EXPECT_TRUE(same_bits(untouched, ways.x));

  std::vector<P> starts;
  for (Index b = 0; b < kBatch; ++b) starts.push_back(id(b, 1));
  const auto from_starts =
      ways.wanted([&](Index b, Index n) { return FixedPosition(id(b, 1)) + FixedPosition(n); });
  ways.expect(Positions::per_sequence(starts), from_starts, "a start for each sequence");
  ways.expect(Positions::per_sequence(std::span<const P>(starts)), from_starts, "a span of starts");

  const P number = id(0, 0);
  const auto from_number =
      ways.wanted([&](Index, Index n) { return FixedPosition(number) + FixedPosition(n); });
  ways.expect(number, from_number, "a number");
  ways.expect(FixedPosition(number), from_number, "a FixedPosition");
  ways.expect(Positions::from(number), from_number, "from a number");
  ways.expect(Positions::consecutive(kSeq, number), from_number, "consecutive");
  auto by_offset = ways.x;
  ways.rotary_emb.rotate_in_place(by_offset.view(), {.offset = number});
  EXPECT_TRUE(same_bits(by_offset, from_number)) << "an offset";
}

TEST(WaysOfNamingPositions, AreRead) {
  const Ways ways;
  check_lists<std::int32_t>(ways);
  check_lists<std::int64_t>(ways);
  check_lists<std::uint32_t>(ways);
  check_lists<std::size_t>(ways);
  check_lists<float>(ways);
  check_lists<double>(ways);
}

TEST(WaysOfNamingPositions, SmallNumbersNegativeAndNone) {
  const Ways ways;
  const auto from = [&](FixedPosition first) {
    return ways.wanted([=](Index, Index n) { return first + FixedPosition(n); });
  };
  ways.expect(std::int8_t{-5}, from(-5), "int8");
  ways.expect(std::uint16_t{65535}, from(65535), "uint16");
  ways.expect(-2.75f, from(-2.75), "a negative fraction");
  auto found = ways.x;
  ways.rotary_emb.rotate_in_place(found.view());
  EXPECT_TRUE(same_bits(found, from(0))) << "no position";
}

// Ids of packed sequences and of a padded batch, as position_ids.hpp makes them.
TEST(WaysOfNamingPositions, PackedAndPadded) {
  const Ways ways;
  const std::vector<int> cu_seqlens = {0, 4, 4, 9};
  const std::vector<std::int64_t> first = {0, 0, 125};
  const auto packed = packed_position_ids(cu_seqlens, first);
  ways.expect(packed, ways.wanted([](Index, Index n) { return FixedPosition(n < 4 ? n : 125 + n - 4); }),
              "packed");
  std::vector<int> mask(static_cast<std::size_t>(kBatch * Ways::kSeq), 1);
  const std::array<Index, kBatch> padding = {0, 3, 8};  // at the front
  for (Index b = 0; b < kBatch; ++b)
    for (Index n = 0; n < padding[static_cast<std::size_t>(b)]; ++n)
      mask[static_cast<std::size_t>(b * Ways::kSeq + n)] = 0;
  const auto padded = padded_position_ids(mask, {.batch = kBatch, .seq = Ways::kSeq});
  ways.expect(Positions::listed(padded).in_batches(kBatch), ways.wanted([&](Index b, Index n) {
    const Index pad = padding[static_cast<std::size_t>(b)];
    return FixedPosition(n < pad ? 1 : n - pad);
  }),
              "padded");
}

// Kinds of calls.

/// Eigen's threads, four of them, for all tests.
const Eigen::ThreadPoolDevice& threads() {
  static Eigen::ThreadPool pool(4);
  static const Eigen::ThreadPoolDevice device(&pool, 4);
  return device;
}

template <class X>
auto tensor_of(const StridedArray<X>& x) {
  return Eigen::TensorMap<const Tensor<X, 4>>(&x[0], x.extents()[0], x.extents()[1], x.extents()[2],
                                              x.extents()[3]);
}
template <class X>
::testing::AssertionResult same_bits(const Tensor<X, 4>& found, const StridedArray<X>& wanted) {
  StridedArray<X> copy(wanted.extents());
  if (found.size() != copy.size()) return ::testing::AssertionFailure() << "the shapes differ";
  for (Index n = 0; n < copy.size(); ++n) copy[n] = found.data()[n];
  return same_bits(copy, wanted);
}

/// Every kind of call at `at`, on one thread and on several.
template <class T, class X>
void expect_calls(const RotaryEmbedding<T>& rotary_emb, const StridedArray<X>& q, const StridedArray<X>& k,
                  const Positions& at, const StridedArray<X>& wanted_q, const StridedArray<X>& wanted_k) {
  const auto on_each = [&](const auto& device) {
    auto x = q;
    rotary_emb.rotate_in_place(x.view(), at, {}, device);
    ASSERT_TRUE(same_bits(x, wanted_q)) << "in place";
    ASSERT_TRUE(x.guards_are_intact());
    StridedArray<X> out(q.extents(), {.order = {1, 0, 2, 3}, .gaps = {0, 1, 0, 3}});
    rotary_emb.rotate_into(q.view(), out.view(), at, {}, device);
    ASSERT_TRUE(same_bits(out, wanted_q)) << "into another tensor";
    ASSERT_TRUE(out.guards_are_intact());
    auto both_q = q, both_k = k;
    rotary_emb.rotate_queries_and_keys_in_place(both_q.view(), both_k.view(), at, {}, device);
    ASSERT_TRUE(same_bits(both_q, wanted_q)) << "queries";
    ASSERT_TRUE(same_bits(both_k, wanted_k)) << "keys";
  };
  on_each(CallingThread());
  on_each(threads());
  auto both_q = q, both_k = k;
  rotary_emb.rotate_in_place(both_q.view(), both_k.view(), at);
  ASSERT_TRUE(same_bits(both_q, wanted_q) && same_bits(both_k, wanted_k)) << "the short name";
  StridedArray<X> out_q(q.extents()), out_k(k.extents());
  rotary_emb.rotate_queries_and_keys_into(q.view(), k.view(), out_q.view(), out_k.view(), at);
  ASSERT_TRUE(same_bits(out_q, wanted_q) && same_bits(out_k, wanted_k)) << "both into others";
  ASSERT_TRUE(same_bits(rotary_emb.rotate_queries_or_keys(tensor_of(q), at), wanted_q)) << "returned";
  const auto [new_q, new_k] = rotary_emb.rotate_queries_and_keys(tensor_of(q), tensor_of(k), at);
  ASSERT_TRUE(same_bits(new_q, wanted_q) && same_bits(new_k, wanted_k)) << "both returned";

  const Index seq = q.extents()[rotary_emb.layout().seq_dim == -2 ? 2 : 1];
  const CosSinTable<T> table = rotary_emb.table(at.for_length(seq));
  EXPECT_EQ(table.layout(), rotary_emb.layout());
  auto by_table = q;
  apply_rotary_emb_in_place(table, by_table.view());
  ASSERT_TRUE(same_bits(by_table, wanted_q)) << "by a table";
  apply_rotary_emb_into(table, k.view(), out_k.view(), Direction::forward, threads());
  ASSERT_TRUE(same_bits(out_k, wanted_k)) << "by a table, on several threads";

  // There and back again, and the adjoint, which without a magnitude is the way back.
  for (const Direction direction : {Direction::inverse, Direction::transpose}) {
    auto forth = q, back = q;
    rotary_emb.rotate_in_place(forth.view(), at, {.direction = direction});
    rotary_emb.rotate_in_place(back.view(), at, {.direction = direction}, threads());
    ASSERT_TRUE(same_bits(forth, back)) << "backwards, on several threads";
  }
}

/// Positions and what they say.
struct Case {
  const char* name;
  Positions positions;
  PositionOf at;
};

/// Lists that the cases look into.
struct Lists {
  std::vector<std::int64_t> repeated, batched, starts;
  std::vector<double> fractions, fractional_starts;

  explicit Lists(Index seq) {
    for (Index n = 0; n < seq; ++n) {
      repeated.push_back(n % 7 == 6 ? kFar + n : n % 7 == 5 ? 0 : 120 + n);
      fractions.push_back(static_cast<double>(n % 5) + 0.5 * static_cast<double>(n % 3));
    }
    for (Index b = 0; b < kBatch; ++b)
      for (Index n = 0; n < seq; ++n) batched.push_back(b == 1 ? kFar + n : 60 + 64 * b + n);
    starts = {126, 0, kCached - 1};
    fractional_starts = {0.5, -3, kFar + 0.25};
  }

  std::vector<Case> cases(Index seq) const {
    std::vector<Case> all;
    for (const FixedPosition first : {FixedPosition(0), FixedPosition(120), FixedPosition(kCached - 2),
                                      FixedPosition(kFar), FixedPosition(-3), FixedPosition(0.5)})
      for (const bool open : {true, false})
        all.push_back({open ? "from" : "consecutive",
                       open ? Positions::from(first) : Positions::consecutive(seq, first),
                       [=](Index, Index n) { return first + FixedPosition(n); }});
    const auto entry = [](const auto& list, Index n) {
      return FixedPosition(list[static_cast<std::size_t>(n)]);
    };
    all.push_back({"listed", Positions::listed(repeated),
                   [this, entry](Index, Index n) { return entry(repeated, n); }});
    all.push_back({"listed and moved", Positions::listed(repeated, 8),
                   [this, entry](Index, Index n) { return entry(repeated, n) + FixedPosition(8); }});
    all.push_back({"fractions", Positions::listed(fractions),
                   [this, entry](Index, Index n) { return entry(fractions, n); }});
    all.push_back({"in batches", Positions::listed(batched).in_batches(kBatch),
                   [=, this](Index b, Index n) { return entry(batched, b * seq + n); }});
    all.push_back({"consecutive in batches", Positions::consecutive(kBatch * seq, 100).in_batches(kBatch),
                   [=](Index b, Index n) { return FixedPosition(100 + b * seq + n); }});
    all.push_back({"starts", Positions::per_sequence(starts),
                   [this, entry](Index b, Index n) { return entry(starts, b) + FixedPosition(n); }});
    all.push_back(
        {"fractional starts", Positions::per_sequence(fractional_starts),
         [this, entry](Index b, Index n) { return entry(fractional_starts, b) + FixedPosition(n); }});
    return all;
  }
};

template <class X>
class PositionsInCalls : public ::testing::Test {};
using Scalars = ::testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(PositionsInCalls, Scalars);

TYPED_TEST(PositionsInCalls, EqualTokenByToken) {
  using X = TypeParam;
  using T = RowsFor<X>;
  for (const Pairing pairing : kPairings) {
    for (const Index seq_dim : {-2, -3}) {
      const HeadLayout layout{.start_index = kStart, .pairing = pairing, .seq_dim = seq_dim};
      const RotaryEmbedding<T> rotary_emb(language_frequencies(kDim), layout, kCached);
      const RotaryEmbedding<T> uncached(language_frequencies(kDim), layout, 0);
      for (const Index seq : {1, 2, 5, 19, 150}) {
        // Several blocks of rows, which take a second, by each pairing and along each axis.
        if (seq > 128 && (pairing == Pairing::half) != (seq_dim == -2)) continue;
        const Lists lists(seq);
        const auto q = filled<X>(shape(seq, kQueryHeads, seq_dim), 41);
        const auto k = filled<X>(shape(seq, kKeyHeads, seq_dim), 42);
        for (const Case& c : lists.cases(seq)) {
          SCOPED_TRACE(std::string(c.name) + ", " + std::to_string(seq) + " tokens on axis " +
                       std::to_string(seq_dim) + ", " + name_of(pairing));
          expect_calls<T, X>(rotary_emb, q, k, c.positions, one_by_one(uncached, q, c.at),
                             one_by_one(uncached, k, c.at));
          if (this->HasFatalFailure()) return;
        }
      }
    }
  }
}

// --- one token of every sequence

TYPED_TEST(PositionsInCalls, OneTokenOfEverySequence) {
  using X = TypeParam;
  using T = RowsFor<X>;
  for (const Pairing pairing : kPairings) {
    const RotaryEmbedding<T> rotary_emb(language_frequencies(kDim),
                                        {.start_index = kStart, .pairing = pairing}, kCached);
    const auto q = filled<X>(shape(1, kQueryHeads, -2), 51), k = filled<X>(shape(1, kKeyHeads, -2), 52);
    const auto heads = [](auto& x) {  // [batch, heads, features]
      return StridedView<X>(&x[0], {kBatch, x.extents()[1], kFeatures});
    };
    const auto check = [&](const auto& at, const PositionOf& of) {
      const auto wanted_q = one_by_one(rotary_emb, q, of), wanted_k = one_by_one(rotary_emb, k, of);
      auto x = q, y = k, both = q, out = k;
      rotary_emb.rotate_token_in_place(heads(x), at);
      rotary_emb.rotate_token_in_place(heads(y), at, {}, threads());
      EXPECT_TRUE(same_bits(x, wanted_q) && same_bits(y, wanted_k)) << "in place";
      y = k;
      rotary_emb.rotate_token_in_place(heads(both), heads(y), at);
      EXPECT_TRUE(same_bits(both, wanted_q) && same_bits(y, wanted_k)) << "queries and keys";
      rotary_emb.rotate_token_into(StridedView<const X>(&k[0], {kBatch, kKeyHeads, kFeatures}), heads(out),
                                   at);
      EXPECT_TRUE(same_bits(out, wanted_k)) << "into another tensor";
    };
    const std::vector<std::int64_t> each = {127, 128, kFar};
    const auto of_each = [&](Index b, Index) { return FixedPosition(each[static_cast<std::size_t>(b)]); };
    check(each, of_each);
    check(Positions::per_sequence(each), of_each);
    check(Positions::listed(each).in_batches(kBatch), of_each);
    for (const FixedPosition at :
         {FixedPosition(0), FixedPosition(127), FixedPosition(kFar), FixedPosition(-0.5)}) {
      check(at, [=](Index, Index) { return at; });
      check(Positions::from(at), [=](Index, Index) { return at; });
      check(Positions::consecutive(1, at), [=](Index, Index) { return at; });
    }
    check(5, [](Index, Index) { return FixedPosition(5); });
    check(5.25f, [](Index, Index) { return FixedPosition(5.25); });
    check(std::vector<int>{129}, [](Index, Index) { return FixedPosition(129); });
  }
}

TEST(OneToken, ReturnedAndOfOneHead) {
  const RotaryEmbedding<float> rotary_emb(language_frequencies(kDim), {.start_index = kStart}, kCached);
  const auto x = filled<float>({1, 2, 1, kFeatures}, 53);
  const auto wanted = one_by_one(rotary_emb, x, [](Index, Index) { return FixedPosition(77); });
  const Eigen::Map<const Eigen::Matrix<float, 2, Eigen::Dynamic, Eigen::RowMajor>> heads(&x[0], 2, kFeatures);
  const auto returned = rotary_emb.rotate_token(heads, 77);
  Eigen::VectorXf head = heads.row(1).transpose();
  rotary_emb.rotate_token_in_place(head, 77);
  for (Index i = 0; i < kFeatures; ++i) {
    EXPECT_EQ(bits_of(returned(0, i)), bits_of(wanted[i]));
    EXPECT_EQ(bits_of(returned(1, i)), bits_of(wanted[kFeatures + i]));
    EXPECT_EQ(bits_of(head(i)), bits_of(wanted[kFeatures + i]));
  }
}

// --- several coordinates

// Each token at its coordinates, named in three ways, as the table of that token alone has it.
TYPED_TEST(PositionsInCalls, SeveralCoordinates) {
  using X = TypeParam;
  using T = RowsFor<X>;
  constexpr Index kSeq = 13;
  const Frequencies mrope = on_axes(language_frequencies(kDim), mrope_axes_chunked({16, 24, 24}), 3);
  for (const Pairing pairing : kPairings) {
    for (const Index seq_dim : {-2, -3}) {
      const HeadLayout layout{.start_index = kStart, .pairing = pairing, .seq_dim = seq_dim};
      const RotaryEmbedding<T> rotary_emb(mrope, layout, kCached);
      TokenPositions tokens(3);
      for (std::int64_t n = 0; n < 5; ++n) tokens.append({125 + n, 125 + n, 125 + n});  // text
      for (std::int64_t n = 5; n < kSeq; ++n) tokens.append({130, 130 + n / 4, kFar + n % 4});
      const auto q = filled<X>(shape(kSeq, kQueryHeads, seq_dim), 61);
      const auto k = filled<X>(shape(kSeq, kKeyHeads, seq_dim), 62);
      const auto each_alone = [&](StridedArray<X> x) {
        const int axis = seq_dim == -2 ? 2 : 1;
        for (Index n = 0; n < kSeq; ++n) {
          TokenPositions alone(3);
          const auto at = static_cast<std::size_t>(n);
          alone.append({tokens.axis(0)[at], tokens.axis(1)[at], tokens.axis(2)[at]});
          apply_rotary_emb_in_place(CosSinTable<T>(mrope, alone.positions(), layout),
                                    x.view().slice(axis, n, 1));
        }
        return x;
      };
      const auto wanted_q = each_alone(q), wanted_k = each_alone(k);
      expect_calls<T, X>(rotary_emb, q, k, tokens.positions(), wanted_q, wanted_k);
      auto x = q, y = k;
      rotary_emb.rotate_in_place(x.view(), tokens);
      rotary_emb.rotate_in_place(y.view(), tokens, {}, threads());
      EXPECT_TRUE(same_bits(x, wanted_q) && same_bits(y, wanted_k)) << "TokenPositions";
      // The text alone, by one coordinate.
      auto by_number = q;
      rotary_emb.rotate_in_place(by_number.view().slice(seq_dim == -2 ? 2 : 1, 0, 5), 125);
      for (Index b = 0; b < kBatch; ++b)
        for (Index i = 0; i < kFeatures; ++i)
          ASSERT_EQ(bits_of(by_number[b * kQueryHeads * kSeq * kFeatures + i]),
                    bits_of(wanted_q[b * kQueryHeads * kSeq * kFeatures + i]));
    }
  }
}

// A grid rotates an image, and the sequence of its cells.
TYPED_TEST(PositionsInCalls, Grids) {
  using X = TypeParam;
  using T = RowsFor<X>;
  constexpr Index kHeight = 5, kWidth = 7;
  const Frequencies two = axial(language_frequencies(kDim / 2), 2);
  const AxisPositions axes[] = {AxisPositions::consecutive(kHeight, 126),
                                AxisPositions::consecutive(kWidth, 0.5)};
  const Positions grid = Positions::grid(axes);
  for (const Pairing pairing : kPairings) {
    const HeadLayout layout{.start_index = kStart, .pairing = pairing};
    const RotaryEmbedding<T> rotary_emb(two, layout);
    const auto image = filled<X>({kBatch, kHeight, kWidth, kFeatures}, 71);
    auto wanted = image;
    for (Index y = 0; y < kHeight; ++y)
      for (Index x = 0; x < kWidth; ++x) {
        const AxisPositions cell[] = {AxisPositions::consecutive(1, 126 + y),
                                      AxisPositions::consecutive(1, 0.5 + static_cast<double>(x))};
        apply_rotary_emb_in_place(CosSinTable<T>(two, Positions::together(cell), layout),
                                  wanted.view().slice(1, y, 1).slice(2, x, 1));
      }
    auto in_place = image, shared = image, by_table = image, q = image, k = image;
    StridedArray<X> out(image.extents());
    rotary_emb.rotate_in_place(in_place.view(), grid);
    rotary_emb.rotate_in_place(shared.view(), grid, {}, threads());
    rotary_emb.rotate_into(image.view(), out.view(), grid);
    rotary_emb.rotate_queries_and_keys_in_place(q.view(), k.view(), grid);
    apply_rotary_emb_in_place(rotary_emb.table(grid), by_table.view());
    for (const auto* found : {&in_place, &shared, &out, &q, &k, &by_table})
      EXPECT_TRUE(same_bits(*found, wanted)) << found - &in_place;
    // As one sequence, [batch, 1, cells, features].
    auto cells = image;
    rotary_emb.rotate_in_place(StridedView<X>(&cells[0], {kBatch, 1, kHeight * kWidth, kFeatures}), grid);
    EXPECT_TRUE(same_bits(cells, wanted)) << "a sequence";
  }
}

}  // namespace
}  // namespace rotary::testing
