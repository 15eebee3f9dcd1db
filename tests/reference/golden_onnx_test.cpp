// Golden cases of ONNX's operator RotaryEmbedding, and what it refuses.
#include <rotary/operators/onnx.hpp>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/golden_operators.hpp"

namespace rotary::testing::golden {
namespace {

template <class S, int Rank>
Eigen::Tensor<S, Rank, Eigen::RowMajor> integers(const std::vector<Index>& shape,
                                                 const std::vector<S>& values) {
  std::array<Index, Rank> extents{};
  std::copy(shape.begin(), shape.end(), extents.begin());
  Eigen::Tensor<S, Rank, Eigen::RowMajor> result(extents);
  std::copy(values.begin(), values.end(), result.data());
  return result;
}

onnx::RotaryEmbeddingAttributes attributes_of(const Arguments& args) {
  return {.interleaved = args.flag("interleaved", false),
          .num_heads = args.integer("num_heads", 0),
          .rotary_embedding_dim = args.integer("rotary_embedding_dim", 0)};
}

// The reference computes in the type of the input; ours rotates 16-bit tensors in float and rounds once, so
// that own_float16 is nearer to the run in double than the reference is.
template <class T>
void run(Session& session, const Call& call) {
  if (call.function != "rotary_embedding") wrong_data("golden_onnx_test does not know " + call.function);
  const onnx::RotaryEmbeddingAttributes attributes = attributes_of(call.args);
  const Tensor& input = session.at(call, "input");
  const Tensor &cos_cache = session.at(call, "cos_cache"), &sin_cache = session.at(call, "sin_cache");
  const Tensor* const ids = call.args.has("position_ids") ? &session.at(call, "position_ids") : nullptr;
  with_scalar<T>(input, [&]<class S>(S) {
    const Elements<S> cos(cos_cache), sin(sin_cache, Eigen::ColMajor);
    const auto in_all_forms = [&](const auto&... position_ids) {
      const Tensor result = rotated_every_way<S>(input, [&](const auto& in, const auto& out) {
        onnx::rotary_embedding_into(in, cos.const_view(), sin.const_view(), position_ids..., out, attributes);
      });
      with_rank<3, 4>(input, [&]<int R>(std::integral_constant<int, R>) {
        expect_same_bits(from_eigen(onnx::rotary_embedding(to_eigen<S, R>(input), cos.const_view(),
                                                           sin.const_view(), position_ids..., attributes)),
                         result, "as a new tensor");
      });
      session.set(call, result);
    };
    if (ids) {
      with_rank<1, 2>(*ids, [&]<int R>(std::integral_constant<int, R>) {
        in_all_forms(integers<std::int64_t, R>(ids->shape, integers_of<std::int64_t>(*ids)));
      });
    } else {
      in_all_forms();
    }
  });
}

template <class T>
void check_case(const Case& c) {
  if (c.calls.size() != 1 || c.constructor || c.gradient || c.intended_constructor ||
      !c.intended_calls.empty())
    wrong_data("golden_onnx_test knows no such case");
  Session session(c, std::is_same_v<T, double>);
  if (c.expected_error) {
    expect_refused(
        c, decision_for(c), [&] { run<T>(session, c.calls[0]); },
        [&] { ADD_FAILURE() << c.name << " is not refused"; });
  } else {
    run<T>(session, c.calls[0]);
    session.check();
  }
}

const std::vector<CaseName> kCases = cases_of("golden_onnx_test");

[[maybe_unused]] const bool registered =
    register_tests("GoldenOnnxInDouble", kCases, check_case<double>) &&
    register_tests("GoldenOnnxInFloat", kCases, check_case<float>) &&
    register_altered("GoldenOnnxAltered", kCases, check_case<double>, check_case<float>);

// --- com.microsoft.RotaryEmbedding, from the tests of ONNX Runtime

Tensor tensor_of(std::vector<Index> shape, std::vector<double> values) {
  return {"io_vectors", "float64", std::move(shape), std::move(values)};
}

/// A single position id is where every sequence starts; ids per token name the same rows.
TEST(OnnxContrib, PublishedVectors) {
  std::ifstream stream(ROTARY_TEST_DATA_DIR "/expected_frequencies.json");
  const nlohmann::json vectors = nlohmann::json::parse(stream).at("io_vectors");
  ASSERT_EQ(vectors.size(), 2u);
  for (const auto& entry : vectors) {
    SCOPED_TRACE(entry.at("id").get<std::string>());
    ASSERT_EQ(entry.at("memory_order"), "batch, seq, heads, head_dim");
    const auto& shape = entry.at("shape");
    const Index batch = shape.at("batch"), seq = shape.at("seq"), heads = shape.at("heads"),
                dim = shape.at("head_dim");
    const auto table = [&](const char* name) {
      std::vector<double> values;
      for (const auto& row : entry.at(name)) values.insert(values.end(), row.begin(), row.end());
      return to_eigen<double, 2>(tensor_of({static_cast<Index>(entry.at(name).size()), dim / 2}, values));
    };
    const Tensor x = tensor_of({batch, seq, heads * dim}, entry.at("x"));
    const Tensor wanted = tensor_of(x.shape, entry.at("y"));
    const onnx::RotaryEmbeddingAttributes attributes{.interleaved = entry.at("layout") == "interleaved",
                                                     .num_heads = heads};
    std::vector<std::int64_t> ids;
    for (Index n = 0; n < seq; ++n) ids.push_back(entry.value("position_start", 0) + n);
    if (entry.contains("positions")) {
      ASSERT_EQ(entry.at("positions").get<std::vector<std::int64_t>>(), ids);
    }
    const auto by_token = onnx::rotary_embedding(to_eigen<double, 3>(x), table("cos"), table("sin"),
                                                 integers<std::int64_t, 2>({batch, seq}, ids), attributes);
    compare(by_token, wanted, entry.at("tolerance_abs").get<double>());
    const auto by_start = onnx::rotary_embedding(
        to_eigen<double, 3>(x), table("cos"), table("sin"),
        integers<std::int32_t, 1>({1}, {static_cast<std::int32_t>(ids[0])}), attributes);
    expect_same_bits(from_eigen(by_start), from_eigen(by_token), "from a start");
  }
}

// --- what is refused

struct Operator {
  rotary::Tensor<float, 4> input{2, 3, 4, 8};
  rotary::Tensor<float, 3> flat{2, 4, 24};
  rotary::Tensor<float, 2> cos{10, 4}, sin{10, 4};
  rotary::Tensor<std::int64_t, 2> ids{2, 4};

  Operator() {
    input.setConstant(1), flat.setConstant(1), cos.setConstant(1), sin.setConstant(0), ids.setConstant(9);
  }
};

TEST(OnnxErrors, PositionsOutsideTheCaches) {
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{10}, std::int64_t{1} << 62}) {
    Operator op;
    op.ids(1, 2) = id;
    expect_error([&] { onnx::rotary_embedding_into(op.input, op.cos, op.sin, op.ids, op.input); },
                 {"position " + std::to_string(id), "10 rows"});
    EXPECT_EQ(op.input(0, 0, 0, 0), 1) << "nothing is written before an error";
  }
  const Operator op;
  rotary::Tensor<std::int64_t, 1> start(1);
  start(0) = 7;
  expect_error([&] { onnx::rotary_embedding(op.input, op.cos, op.sin, start); }, {"position 10", "10 rows"});
  start(0) = PTRDIFF_MAX;
  expect_error([&] { onnx::rotary_embedding(op.input, op.cos, op.sin, start); }, {"10 rows"});
}

TEST(OnnxErrors, ShapesThatContradictEachOther) {
  const Operator op;
  const rotary::Tensor<float, 2> other_sin(9, 4);
  expect_error([&] { onnx::rotary_embedding(op.input, op.cos, other_sin, op.ids); }, {"[10, 4]", "[9, 4]"});
  const rotary::Tensor<std::int64_t, 2> few_ids(2, 3);
  expect_error([&] { onnx::rotary_embedding(op.input, op.cos, op.sin, few_ids); }, {"[2, 3]", "[2, 4]"});
  expect_error([&] { onnx::rotary_embedding(op.input, op.cos, op.sin); }, {"[10, 4]", "[2, 4, "});
  const rotary::Tensor<float, 3> per_token(2, 4, 4);
  expect_error([&] { onnx::rotary_embedding(op.input, per_token, per_token, op.ids); },
               {"[2, 4, 4]", "2 axes"});
  const rotary::Tensor<float, 2> flat(2, 8);
  expect_error([&] { onnx::rotary_embedding(flat, op.cos, op.sin, op.ids); }, {"[2, 8]", "3 or 4 axes"});
  const rotary::Tensor<float, 4> tables(1, 2, 4, 4);
  expect_error([&] { onnx::rotary_embedding(op.input, tables, tables); }, {"[1, 2, 4, 4]", "2 or 3 axes"});
  rotary::Tensor<float, 4> out(2, 3, 4, 6);
  expect_error([&] { onnx::rotary_embedding_into(op.input, op.cos, op.sin, op.ids, out); },
               {"[2, 3, 4, 6]", "[2, 3, 4, 8]"});
}

TEST(OnnxErrors, AttributesThatDoNotFit) {
  const Operator op;
  const auto error_with = [&](const auto& input, const onnx::RotaryEmbeddingAttributes& attributes,
                              std::initializer_list<std::string_view> words) {
    expect_error([&] { onnx::rotary_embedding(input, op.cos, op.sin, op.ids, attributes); }, words);
  };
  error_with(op.flat, {}, {"num_heads is 0", "[2, 4, 24]"});
  error_with(op.flat, {.num_heads = 5}, {"24", "num_heads", "5"});
  error_with(op.flat, {.num_heads = -3}, {"num_heads is -3"});
  error_with(op.input, {.num_heads = 4}, {"num_heads is 4", "3 heads"});
  error_with(op.input, {.rotary_embedding_dim = 7}, {"rotary_embedding_dim is 7", "even"});
  error_with(op.input, {.rotary_embedding_dim = 10}, {"rotary_embedding_dim is 10", "at most the 8"});
  error_with(op.input, {.rotary_embedding_dim = -2}, {"rotary_embedding_dim is -2"});
  error_with(op.input, {.rotary_embedding_dim = 6}, {"4 columns", "3"});
}

// Past the end of the tables we throw. Published runtimes throw, read beyond the table, or leave the token
// unchanged, as FlashAttention does. Rows are counted from the left, as in labml and FlashAttention;
// rotary-embedding-torch aligns tables to the right, as apply_rotary_emb does with angles.
TEST(SourceDisagreements, OnnxRowsAreCountedFromTheLeft) {
  Operator op;
  op.ids.setConstant(0);
  op.cos.setConstant(5);
  for (Index i = 0; i < 4; ++i) op.cos(0, i) = 2;
  const auto rotated = onnx::rotary_embedding(op.input, op.cos, op.sin, op.ids);
  for (Index n = 0; n < rotated.size(); ++n) EXPECT_EQ(rotated.data()[n], 2);
}

TEST(Onnx, EmptyTensorsComeThrough) {
  const Operator op;
  const rotary::Tensor<float, 4> no_heads(2, 0, 4, 8), no_tokens(2, 3, 0, 8);
  EXPECT_EQ(onnx::rotary_embedding(no_heads, op.cos, op.sin, op.ids).size(), 0);
  EXPECT_EQ(onnx::rotary_embedding(no_tokens, op.cos, op.sin, rotary::Tensor<std::int64_t, 2>(2, 0)).size(),
            0);
}

}  // namespace
}  // namespace rotary::testing::golden
