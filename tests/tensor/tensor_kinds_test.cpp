// Every kind of tensor that can be rotated, of every rank, with the sequence on any axis: each against the
// same numbers in a plain row-major array. The rotation itself is tested in properties_*_test.
#include <gtest/gtest.h>

#include <rotary/apply_rotary_emb.hpp>
#include <rotary/xpos.hpp>

#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

using Array = StridedArray<float>;

const RotaryEmbedding<float>& rotary_emb() {
  static const RotaryEmbedding<float> shared(RotaryEmbeddingOptions{.dim = 4});
  return shared;
}

Array rotated(Array x, const RotateOptions& options = {}) {
  rotary_emb().rotate_in_place(x.view(), options);
  return x;
}

/// Where element n, counted in row-major order, lies in a tensor of that layout.
Index place(const std::vector<Index>& extents, int layout, Index n) {
  if (layout == Eigen::RowMajor) return n;
  Index at = 0, below = 1;
  std::vector<Index> index(extents.size());
  for (std::size_t axis = extents.size(); axis-- > 0;) index[axis] = n % extents[axis], n /= extents[axis];
  for (std::size_t axis = 0; axis < extents.size(); ++axis) at += index[axis] * below, below *= extents[axis];
  return at;
}

template <class X>
std::vector<Index> extents_of(const X& x) {
  if constexpr (requires { x.dimensions(); }) {
    const Eigen::DSizes<Index, X::NumDimensions> extents(x.dimensions());
    return {extents.begin(), extents.end()};
  } else {
    return {x.rows(), x.cols()};
  }
}

/// Writes the numbers of `from` to an Eigen tensor or matrix.
template <class X>
void assign(X&& x, const Array& from) {
  using Type = std::remove_cvref_t<X>;
  for (Index n = 0; n < from.size(); ++n) {
    if constexpr (requires { x.dimensions(); }) {
      x.data()[place(from.extents(), static_cast<int>(Type::Layout), n)] = from[n];
    } else {
      x(n / x.cols(), n % x.cols()) = from[n];
    }
  }
}

template <class X>
void expect_same(const X& found, const Array& wanted, const char* what) {
  ASSERT_EQ(extents_of(found), wanted.extents()) << what;
  for (Index n = 0; n < wanted.size(); ++n) {
    if constexpr (requires { found.dimensions(); }) {
      ASSERT_EQ(found.data()[place(wanted.extents(), static_cast<int>(X::Layout), n)], wanted[n])
          << what << ", element " << n;
    } else {
      ASSERT_EQ(found(n / found.cols(), n % found.cols()), wanted[n]) << what << ", element " << n;
    }
  }
}

/// All ways of rotating `x`, which holds the numbers of `from`; `out` is of the same shape.
template <class X, class Out>
void check(X&& x, Out&& out, const Array& from, const RotateOptions& options = {}) {
  const Array wanted = rotated(from, options);
  assign(x, from);
  expect_same(rotary_emb().rotate_queries_or_keys(x, options), wanted, "a new tensor");
  rotary_emb().rotate_into(x, out, options);
  expect_same(out, wanted, "into a tensor");
  expect_same(x, from, "the input");
  rotary_emb().rotate_in_place(x, options);
  expect_same(x, wanted, "in place");
  assign(x, from);
  rotary_emb().rotate_into(x, x, options);
  expect_same(x, wanted, "into itself");
}

Array random_array(std::vector<Index> extents) {
  Random random(900);
  Array x(std::move(extents));
  x.fill(random);
  return x;
}

// --- Eigen::Tensor

template <int Rank, int Layout>
void check_rank() {
  std::array<Index, Rank> shape{};
  for (std::size_t axis = 0; axis < Rank; ++axis)
    shape[axis] = Rank > 6 ? (axis % 5 == 0 ? 2 : 1) : 2 + static_cast<Index>(axis);
  shape[Rank - 1] = 5;
  const Array from = random_array({shape.begin(), shape.end()});
  Eigen::Tensor<float, Rank, Layout> x(shape), out(shape);
  for (int axis = 0; axis < Rank - 1; ++axis) {
    SCOPED_TRACE("rank " + std::to_string(Rank) + ", sequence on axis " + std::to_string(axis));
    check(x, out, from, {.offset = 3, .seq_dim = axis});
    assign(x, from);
    rotary_emb().rotate_in_place(x, {.offset = 3, .seq_dim = axis - Rank});
    expect_same(x, rotated(from, {.offset = 3, .seq_dim = axis}), "the axis counted from the end");
  }
  assign(x, from);
  expect_same(rotary_emb().rotate_queries_or_keys(x), rotated(from, {.seq_dim = Rank - 2}),
              "the axis that is meant by default");
}

TEST(TensorKinds, RanksAndAxesInRowMajorOrder) {
  check_rank<2, Eigen::RowMajor>();
  check_rank<3, Eigen::RowMajor>();
  check_rank<4, Eigen::RowMajor>();
  check_rank<5, Eigen::RowMajor>();
  check_rank<12, Eigen::RowMajor>();
}

TEST(TensorKinds, RanksAndAxesInColumnMajorOrder) {
  check_rank<2, Eigen::ColMajor>();
  check_rank<4, Eigen::ColMajor>();
  check_rank<7, Eigen::ColMajor>();
}

TEST(TensorKinds, SequenceBeforeHeads) {
  const RotaryEmbedding<float> before(RotaryEmbeddingOptions{.dim = 4, .seq_before_head_dim = true});
  const Array from = random_array({2, 5, 3, 6});  // [batch, seq, heads, head_dim]
  Tensor<float, 4> x(2, 5, 3, 6);
  assign(x, from);
  expect_same(before.rotate_queries_or_keys(x), rotated(from, {.seq_dim = 1}), "seq_before_head_dim");
  expect_same(before.rotate_queries_or_keys(x, {.seq_dim = 2}), rotated(from, {.seq_dim = 2}),
              "unless said otherwise");
}

TEST(TensorKinds, IndicesOfAnotherType) {
  const Array from = random_array({3, 4, 6});
  Eigen::Tensor<float, 3, Eigen::RowMajor, int> x(3, 4, 6), out(3, 4, 6);
  check(x, out, from);
}

TEST(TensorKinds, FixedSizes) {
  using Rows = Eigen::TensorFixedSize<float, Eigen::Sizes<2, 3, 6>, Eigen::RowMajor>;
  using Columns = Eigen::TensorFixedSize<float, Eigen::Sizes<2, 3, 6>, Eigen::ColMajor>;
  static_assert(std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(std::declval<Rows>())), Rows>);
  static_assert(
      std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(std::declval<Columns>())), Columns>);
  const Array from = random_array({2, 3, 6});
  Rows x, out;
  Columns y;
  check(x, out, from);
  check(y, out, from);
}

TEST(TensorKinds, Maps) {
  using Map = Eigen::TensorMap<Tensor<float, 3>>;
  using ConstMap = Eigen::TensorMap<const Tensor<float, 3>>;
  using MapOfConst = Eigen::TensorMap<Tensor<const float, 3>>;
  using FixedMap = Eigen::TensorMap<Eigen::TensorFixedSize<float, Eigen::Sizes<2, 3, 6>, Eigen::RowMajor>>;
  static_assert(
      std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(std::declval<Map>())), Tensor<float, 3>>);
  static_assert(std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(std::declval<ConstMap>())),
                               Tensor<float, 3>>);
  static_assert(std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(std::declval<MapOfConst>())),
                               Tensor<float, 3>>);
  const Array from = random_array({2, 3, 6}), wanted = rotated(from);
  std::vector<float> memory(36), other(36);
  Map map(memory.data(), 2, 3, 6);
  check(map, Map(other.data(), 2, 3, 6), from);
  const Map constant_handle(memory.data(), 2, 3, 6);  // of memory that is not constant
  assign(map, from);
  rotary_emb().rotate_in_place(constant_handle);
  expect_same(map, wanted, "through a const map");

  assign(map, from);
  const ConstMap constant(memory.data(), 2, 3, 6);
  expect_same(rotary_emb().rotate_queries_or_keys(constant), wanted, "a map of a const tensor");
  const MapOfConst of_constants(memory.data(), 2, 3, 6);
  expect_same(rotary_emb().rotate_queries_or_keys(of_constants), wanted, "a map of const numbers");
  rotary_emb().rotate_into(of_constants, Map(other.data(), 2, 3, 6));
  expect_same(Map(other.data(), 2, 3, 6), wanted, "from const numbers");
  FixedMap fixed(memory.data(), 2, 3, 6);
  rotary_emb().rotate_in_place(fixed);
  expect_same(map, wanted, "a map of a fixed size");
}

// Without elements nothing is rotated, however large the other extents are.
TEST(TensorKinds, MapsWhoseSizesMultiplyToMoreThanFits) {
  using Map = Eigen::TensorMap<Tensor<float, 3>>;
  constexpr Index kHuge = Index{1} << 40;
  float number = 1;
  EXPECT_THROW(rotary_emb().rotate_in_place(Map(&number, kHuge, kHuge, kHuge)), std::invalid_argument);
  rotary_emb().rotate_in_place(Map(&number, 0, kHuge, kHuge));
  EXPECT_EQ(number, 1);
}

// --- expressions

struct Counted {
  Index* count;
  float operator()(float x) const {
    ++*count;
    return 2 * x;
  }
};

// An expression is evaluated once, however often the library looks at its elements.
TEST(TensorKinds, ExpressionsAreEvaluatedOnce) {
  Array from = random_array({2, 3, 6}), doubled = from;
  for (Index n = 0; n < from.size(); ++n) doubled[n] = 2 * from[n];
  Tensor<float, 3> x(2, 3, 6), out(2, 3, 6);
  Eigen::Tensor<float, 3> columns(2, 3, 6);
  assign(x, from);
  assign(columns, from);
  Index count = 0;
  const auto expect_once = [&](const char* what, Index size = 36) {
    EXPECT_EQ(count, size) << what;
    count = 0;
  };
  const auto expression = x.unaryExpr(Counted{&count});
  static_assert(std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(expression)), Tensor<float, 3>>);
  expect_same(rotary_emb().rotate_queries_or_keys(expression), rotated(doubled), "an expression");
  expect_once("a new tensor");
  rotary_emb().rotate_into(expression, out);
  expect_same(out, rotated(doubled), "an expression");
  expect_once("into a tensor");
  expect_same(rotary_emb().rotate_queries_or_keys(columns.unaryExpr(Counted{&count})), rotated(doubled),
              "a column-major expression");
  expect_once("column-major");

  static_cast<void>(rotary_emb().rotate_queries_and_keys(expression, expression));
  expect_once("queries and keys", 2 * 36);
  static_cast<void>(rotary_emb().rotate_queries_with_cached_keys(expression, expression));
  expect_once("queries and cached keys", 2 * 36);
  static_cast<void>(rotary_emb().frequency_gradient(expression, expression));
  expect_once("a gradient", 2 * 36);
  const XPos<float> xpos(RotaryEmbeddingOptions{.dim = 4});
  static_cast<void>(xpos.rotate_queries_and_keys(expression, expression));
  expect_once("XPos", 2 * 36);
  static_cast<void>(xpos.rotate_queries_with_cached_keys(expression, expression));
  expect_once("XPos with cached keys", 2 * 36);
  static_cast<void>(
      apply_rotary_emb(CosSinTable<float>(language_frequencies(4), Positions::consecutive(3)), expression));
  expect_once("a table");
  Tensor<double, 2> angles(3, 4);
  angles.setZero();
  static_cast<void>(apply_rotary_emb(angles, expression));
  expect_once("angles");

  // Parts and sums are expressions too.
  const Eigen::array<Index, 3> begin{0, 1, 0}, size{2, 2, 6};
  const Tensor<float, 3> part = x.slice(begin, size);
  const Tensor<float, 3> of_part = rotary_emb().rotate_queries_or_keys(part);
  const Tensor<float, 3> of_slice = rotary_emb().rotate_queries_or_keys(x.slice(begin, size));
  for (Index n = 0; n < of_part.size(); ++n) EXPECT_EQ(of_slice.data()[n], of_part.data()[n]);
  expect_same(rotary_emb().rotate_queries_or_keys(x + x), rotated(doubled), "a sum");
}

// --- matrices

TEST(TensorKinds, Matrices) {
  const Array from = random_array({7, 6});
  Eigen::MatrixXf columns(7, 6);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows(7, 6);
  Eigen::Matrix<float, 7, 6> fixed;
  Eigen::Matrix<float, Eigen::Dynamic, 6, Eigen::RowMajor> half_fixed(7, 6);
  Eigen::ArrayXXf array(7, 6);
  static_assert(std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(columns)), Eigen::MatrixXf>);
  static_assert(
      std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(fixed)), Eigen::Matrix<float, 7, 6>>);
  static_assert(std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(array)), Eigen::ArrayXXf>);
  static_assert(
      std::is_same_v<decltype(rotary_emb().rotate_queries_or_keys(columns.topRows(3))), Eigen::MatrixXf>);
  check(columns, rows, from, {.offset = 2});
  check(rows, columns, from, {.seq_dim = 0});
  check(fixed, columns, from, {.seq_dim = -2});
  check(half_fixed, array, from);
  check(array, fixed, from);
  // As the tensor of the same numbers.
  Tensor<float, 2> tensor(7, 6);
  assign(tensor, from);
  assign(columns, from);
  rotary_emb().rotate_into(tensor, columns, {.offset = 2});
  expect_same(columns, rotated(from, {.offset = 2}), "from a tensor into a matrix");
}

TEST(TensorKinds, BlocksMapsAndRefs) {
  const Array from = random_array({3, 5}), wanted = rotated(from);
  Eigen::MatrixXf whole = Eigen::MatrixXf::Constant(9, 8, 7.0f);
  Eigen::MatrixXf out(3, 5);
  check(whole.block(2, 1, 3, 5), out, from);
  for (Index n = 0; n < whole.size(); ++n) {
    const Index row = n % 9, column = n / 9;
    if (row < 2 || row > 4 || column < 1 || column > 5) {
      ASSERT_EQ(whole(row, column), 7.0f) << "around the block";
    }
  }
  check(whole.transpose().block(1, 2, 3, 5), out, from);
  check(whole.bottomRows(3).rightCols<5>(), out, from);

  std::vector<float> memory(200, 7.0f);
  Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>> outer(memory.data() + 151, 3, 5,
                                                             Eigen::OuterStride<>(4));
  check(outer, out, from);
  Eigen::Map<Eigen::MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> both(memory.data() + 1, 3, 5,
                                                                                     {20, 3});
  check(both, outer, from);
  const Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<>> constant(memory.data() + 151, 3, 5,
                                                                            Eigen::OuterStride<>(4));
  assign(outer, from);
  expect_same(rotary_emb().rotate_queries_or_keys(constant), wanted, "a map of const numbers");

  Eigen::MatrixXf matrix(3, 5);
  const auto by_ref = [&](Eigen::Ref<Eigen::MatrixXf> ref) { check(ref, out, from); };
  by_ref(matrix);
  by_ref(whole.block(2, 1, 3, 5));
  const auto by_const_ref = [&](const Eigen::Ref<const Eigen::MatrixXf>& ref) {
    expect_same(rotary_emb().rotate_queries_or_keys(ref), wanted, "a ref of const numbers");
  };
  assign(matrix, from);
  by_const_ref(matrix);

  // An expression of matrices is evaluated as one of tensors is.
  Index count = 0;
  Array doubled = from;
  for (Index n = 0; n < from.size(); ++n) doubled[n] = 2 * from[n];
  expect_same(rotary_emb().rotate_queries_or_keys(matrix.unaryExpr(Counted{&count})), rotated(doubled),
              "an expression");
  EXPECT_EQ(count, matrix.size());
  expect_same(rotary_emb().rotate_queries_or_keys(matrix + matrix), rotated(doubled), "a sum");
}

// --- views, and tables on all of them

// A call on a tensor that has them takes fewer instructions. Results are the same without, so no other test would notice.
TEST(TensorKinds, ContiguousFeaturesHaveTokenAxes) {
  const auto expect_tokens = [](const auto& axes, Index stride) {
    EXPECT_TRUE(axes.fits);
    EXPECT_EQ(axes.outer * axes.inner, 1);
    EXPECT_EQ(axes.tokens, 5);
    EXPECT_EQ(axes.token_stride, stride);
    EXPECT_EQ(axes.features, 4);
  };
  Tensor<float, 2> tensor(5, 4);
  StridedView<float> view(tensor.data(), {5, 4});
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> matrix(5, 4), wide(5, 9);
  auto block = wide.middleCols(2, 4);
  Eigen::MatrixXf column_major(5, 4);
  expect_tokens(detail::token_axes_of(tensor, -2), 4);
  expect_tokens(detail::token_axes_of(view, -2), 4);
  expect_tokens(detail::token_axes_of(matrix, -2), 4);
  expect_tokens(detail::token_axes_of(block, -2), 9);
  EXPECT_FALSE(detail::token_axes_of(column_major, -2).fits);
}

TEST(TensorKinds, ViewsOfOnesOwnTensor) {
  float q[2][3][6];
  const Array from = random_array({2, 3, 6}), wanted = rotated(from);
  std::memcpy(q, &from[0], sizeof q);
  const StridedView<float> view(&q[0][0][0], {2, 3, 6});
  Tensor<float, 3> out(2, 3, 6);
  rotary_emb().rotate_into(StridedView<const float>(view), out);
  expect_same(out, wanted, "a const view into a tensor");
  rotary_emb().rotate_in_place(view);
  for (Index n = 0; n < 36; ++n) EXPECT_EQ(view.data[n], wanted[n]);
  rotary_emb().rotate_in_place(StridedView<float>(&q[0][0][0], {2, 3, 6}), {.direction = Direction::inverse});
  for (Index n = 0; n < 36; ++n) EXPECT_NEAR(view.data[n], from[n], 1e-6);
}

TEST(TensorKinds, TablesRotateAllOfThem) {
  const Array from = random_array({3, 5}), wanted = rotated(from);
  const CosSinTable<float> table(language_frequencies(4), Positions::consecutive(3));
  Tensor<float, 2> tensor(3, 5);
  Eigen::TensorFixedSize<float, Eigen::Sizes<3, 5>> fixed;
  Eigen::MatrixXf matrix(3, 5), out(3, 5);
  assign(tensor, from);
  assign(fixed, from);
  assign(matrix, from);
  expect_same(apply_rotary_emb(table, tensor), wanted, "a tensor");
  expect_same(apply_rotary_emb(table, fixed), wanted, "a fixed-size tensor");
  expect_same(apply_rotary_emb(table, matrix), wanted, "a matrix");
  apply_rotary_emb_into(table, tensor, out);
  expect_same(out, wanted, "from a tensor into a matrix");
  apply_rotary_emb_in_place(table, matrix.leftCols(5));
  expect_same(matrix, wanted, "a block");
}

// --- scalars

// What rows are held in and what a tensor holds are chosen apart from each other: all eight ways.
template <class T, class X>
void check_scalars() {
  SCOPED_TRACE(::testing::Message() << ScalarFacts<X>::kName << " rotated by rows of "
                                    << ScalarFacts<T>::kName);
  const RotaryEmbedding<T> embedding(RotaryEmbeddingOptions{.dim = 4});
  const CosSinTable<double> rows(language_frequencies(4), Positions::consecutive(3));
  Tensor<X, 2> x(3, 5), wanted(3, 5);
  Random random(901);
  random.fill(x);
  const auto result = embedding.rotate_queries_or_keys(x);
  static_assert(std::is_same_v<std::remove_const_t<decltype(result)>, Tensor<X, 2>>);
  const double tolerance = 16 * std::max(kUnit<X>, std::is_same_v<X, double> ? kUnit<T> : 0.0);
  for (Index n = 0; n < 3; ++n) {
    for (Index i = 0; i < 2; ++i) {
      const double a = static_cast<double>(x(n, 2 * i)), b = static_cast<double>(x(n, 2 * i + 1));
      EXPECT_NEAR(static_cast<double>(result(n, 2 * i)), a * rows.cos(n, i) - b * rows.sin(n, i), tolerance);
      EXPECT_NEAR(static_cast<double>(result(n, 2 * i + 1)), b * rows.cos(n, i) + a * rows.sin(n, i),
                  tolerance);
    }
    EXPECT_EQ(bits_of(result(n, 4)), bits_of(x(n, 4)));
  }
}

TEST(TensorKinds, ScalarsOfRowsAndTensorsAreIndependent) {
  check_scalars<float, float>();
  check_scalars<float, double>();
  check_scalars<float, Eigen::half>();
  check_scalars<float, Eigen::bfloat16>();
  check_scalars<double, float>();
  check_scalars<double, double>();
  check_scalars<double, Eigen::half>();
  check_scalars<double, Eigen::bfloat16>();
}

}  // namespace
}  // namespace rotary::testing
