// Wrong calls of attend: one message each, and nothing written.
#include <gtest/gtest.h>

#include <limits>
#include <rotary/attention/attend.hpp>

#include "support/errors.hpp"

namespace rotary::testing {
namespace {

using Options = AttentionOptions<float>;

struct Tensors {
  Tensor<float, 4> q{2, 5, 4, 6}, k{2, 7, 2, 6}, v{2, 7, 2, 3}, out{2, 5, 4, 3}, grad_q{2, 5, 4, 6},
      grad_k{2, 7, 2, 6}, grad_v{2, 7, 2, 3}, grad_out{2, 5, 4, 3};
  Tensor<float, 3> log_sum{2, 5, 4};
  std::vector<float> grad_sinks;

  Tensors() {
    for (auto* x : {&q, &k, &v, &grad_out}) x->setConstant(0.5f);
    for (auto* x : {&out, &grad_q, &grad_k, &grad_v}) x->setConstant(77);
    log_sum.setConstant(77);
  }
  /// All that may be written still has its 77s.
  void expect_untouched() const {
    for (const auto* x : {&out, &grad_q, &grad_k, &grad_v})
      for (Index n = 0; n < x->size(); ++n) ASSERT_EQ(x->data()[n], 77);
    for (Index n = 0; n < log_sum.size(); ++n) ASSERT_EQ(log_sum.data()[n], 77);
    for (const float x : grad_sinks) ASSERT_EQ(x, 77);
  }
};

/// Forward and backward both refuse these options.
void expect_refused(const Options& options, std::initializer_list<std::string_view> parts) {
  Tensors t;
  t.grad_sinks.assign(options.sink_logits.size(), 77);
  expect_error([&] { attend_with_log_sum(t.q, t.k, t.v, t.out, t.log_sum, options); }, parts);
  expect_error(
      [&] {
        attend_backward(t.q, t.k, t.v, t.grad_out, t.log_sum, t.grad_q, t.grad_k, t.grad_v, options,
                        t.grad_sinks);
      },
      parts);
  t.expect_untouched();
}

TEST(AttendErrors, Options) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> three(3);
  const std::vector<Index> starts{0, 2, 5}, decreasing{0, 3, 2, 5}, of_keys{0, 2, 7}, short_keys{0, 6},
      late{1, 5}, other_count{0, 1, 2, 7};
  expect_refused({.scale = kNan}, {"scale is nan", "finite"});
  expect_refused({.window = 0}, {"window is 0", "at least 1"});
  expect_refused({.window = 3, .sink_tokens = -1}, {"sink_tokens is -1", "negative"});
  expect_refused({.causal = true, .sink_tokens = 2}, {"sink_tokens is 2 without a window"});
  expect_refused({.sink_logits = three}, {"3 sink_logits", "4 heads"});
  expect_refused({.soft_cap = 0}, {"soft_cap is 0", "positive"});
  expect_refused({.dropout_prob = 1}, {"dropout_prob is 1", "below 1"});
  expect_refused({.query_offset = 2}, {"query_offset is 2", "no effect unless causal"});
  expect_refused({.align_ends = true}, {"align_ends has no effect"});
  expect_refused({.causal = true, .query_offset = 2, .align_ends = true},
                 {"query_offset is 2 and align_ends"});
  expect_refused({.cu_seqlens_k = of_keys}, {"cu_seqlens_k is given without cu_seqlens"});
  expect_refused({.cu_seqlens = decreasing, .cu_seqlens_k = of_keys},
                 {"cu_seqlens decreases from 3 to 2 at entry 2"});
  expect_refused({.cu_seqlens = late, .cu_seqlens_k = of_keys}, {"from 1 to 5", "from 0 to 5"});
  expect_refused({.cu_seqlens = starts, .cu_seqlens_k = short_keys},
                 {"cu_seqlens_k is from 0 to 6", "from 0 to 7"});
  expect_refused({.cu_seqlens = starts}, {"also that of the keys", "from 0 to 7"});
  expect_refused({.cu_seqlens = starts, .cu_seqlens_k = other_count}, {"3 entries and cu_seqlens_k 4"});
  Tensor<bool, 2> mask(5, 6);
  mask.setConstant(true);
  expect_refused({.mask = view_of(mask)}, {"mask has shape [5, 6]", "[2, 4, 5, 7]"});
}

TEST(AttendErrors, Rows) {
  const CosSinTable<float> heads_axis(language_frequencies(6), Positions::consecutive(5));
  const CosSinTable<float> four(language_frequencies(6), Positions::consecutive(4), {.seq_dim = -3});
  const CosSinTable<float> wide(language_frequencies(8), Positions::consecutive(5), {.seq_dim = -3});
  expect_refused({.query_rows = &heads_axis}, {"rows of queries have seq_dim -2", "must be -3"});
  expect_refused({.query_rows = &four}, {"the table has 4 rows", "[2, 5, 4, 6]"});
  expect_refused({.query_rows = &wide}, {"8 features", "only 6"});
  expect_refused({.key_rows = &four}, {"the table has 4 rows", "[2, 7, 2, 6]"});
}

TEST(AttendErrors, Shapes) {
  Tensors t;
  const auto refused = [&](const auto& q, const auto& k, const auto& v, auto& out,
                           std::initializer_list<std::string_view> parts) {
    expect_error([&] { attend(q, k, v, out); }, parts);
  };
  Tensor<float, 4> three_heads(2, 7, 3, 6), of_three(2, 7, 3, 3), longer(2, 8, 2, 3), wide(2, 7, 2, 5),
      one_batch(1, 7, 2, 6), none(2, 7, 0, 6), none_v(2, 7, 0, 3), no_queries(2, 5, 0, 6);
  refused(t.q, three_heads, of_three, t.out, {"4 heads and keys 3", "must divide"});
  refused(t.q, none, none_v, t.out, {"4 heads and keys 0", "must divide"});
  refused(no_queries, t.k, t.v, t.out, {"0 heads and keys 2", "must divide"});
  refused(t.q, three_heads, t.v, t.out, {"not as many heads"});
  refused(t.q, t.k, longer, t.out, {"keys and values are not as many", "[2, 8, 2, 3]"});
  refused(t.q, wide, t.v, t.out, {"not as many features"});
  refused(t.q, one_batch, t.v, t.out, {"axes before the last three differ"});
  refused(t.q, t.k, t.v, t.grad_q, {"the result has shape [2, 5, 4, 6]", "[2, 5, 4, 3]"});
  Tensor<float, 2> matrix(5, 6);
  refused(matrix, matrix, matrix, matrix, {"too few axes"});
  Tensor<float, 3> other_rank(7, 2, 6);
  refused(t.q, other_rank, t.v, t.out, {"the numbers of axes differ"});
  Tensor<float, 3> log_sum(2, 4, 5);
  expect_error([&] { attend_with_log_sum(t.q, t.k, t.v, t.out, log_sum); },
               {"log_sum has shape [2, 4, 5]", "[2, 5, 4, 6]"});
  expect_error([&] { attend_backward(t.q, t.k, t.v, t.out, t.log_sum, t.grad_q, t.grad_v, t.grad_k); },
               {"the gradient of keys has shape [2, 7, 2, 3]", "[2, 7, 2, 6]"});
  t.grad_sinks.assign(4, 77);
  expect_error(
      [&] {
        attend_backward(t.q, t.k, t.v, t.grad_out, t.log_sum, t.grad_q, t.grad_k, t.grad_v, {}, t.grad_sinks);
      },
      {"4 gradients of 0 sink_logits"});
  t.expect_untouched();
}

// Other extents may then be of any size.
TEST(AttendErrors, NoneWithoutSequences) {
  constexpr Index kHuge = Index{1} << 40;
  float none = 0;
  const StridedView<float> empty(&none, {kHuge, kHuge, 0, 5, 2, 4}, {0, 0, 0, 0, 0, 0});
  attend(empty, empty, empty, empty);
  expect_error(
      [&] {
        const StridedView<const float> large(&none, {kHuge, kHuge, 1, 5, 2, 4}, {0, 0, 0, 0, 0, 0});
        attend(large, large, large, empty);
      },
      {"fit"});
}

TEST(AttendErrors, SharedMemory) {
  Tensors t;
  Tensor<float, 4> square(2, 5, 4, 6);
  square.setConstant(0.5f);
  expect_error([&] { attend(square, square, square, square); }, {"the result shares memory"});
  const StridedView<float> broadcast(t.out.data(), {2, 5, 4, 3}, {60, 12, 0, 1});
  expect_error([&] { attend(t.q, t.k, t.v, broadcast); }, {"elements that share memory"});
  expect_error([&] { attend_backward(t.q, t.k, t.v, t.grad_out, t.log_sum, t.q, t.grad_k, t.grad_v); },
               {"the gradient of queries shares memory"});
  expect_error([&] { attend_backward(t.q, t.k, t.v, t.grad_out, t.log_sum, t.grad_q, t.grad_k, t.v); },
               {"the gradient of values shares memory"});
  t.expect_untouched();
  for (Index n = 0; n < square.size(); ++n) EXPECT_EQ(square.data()[n], 0.5f);
}

}  // namespace
}  // namespace rotary::testing
