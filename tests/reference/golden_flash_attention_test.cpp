// Golden cases of FlashAttention's apply_rotary and of the module around it, and what we refuse.
#include <rotary/operators/flash_attention.hpp>

#include "support/golden_operators.hpp"
#include "support/random.hpp"

namespace rotary::testing::golden {
namespace {

// --- the functions

/// The lists of a call, and the options that look at them.
struct CallOptions {
  std::vector<std::int32_t> offsets, cu_seqlens;
  flash_attention::ApplyRotaryOptions options;

  CallOptions(const Session& session, const Call& call) {
    const Arguments& args = call.args;
    args.without_effect({"inplace"});  // the results are the same
    options.interleaved = args.flag("interleaved", false);
    if (args.has_tensor("seqlen_offsets")) {
      offsets = integers_of<std::int32_t>(session.at(call, "seqlen_offsets"));
    } else {
      options.seqlen_offset = args.integer("seqlen_offsets", 0);
    }
    if (args.has("cu_seqlens")) cu_seqlens = integers_of<std::int32_t>(session.at(call, "cu_seqlens"));
    if (args.has("max_seqlen")) options.max_seqlen = args.integer("max_seqlen");
    args.without_effect({"max_seqlen"});  // it is checked, and changes no result
    options.seqlen_offsets = offsets;
    options.cu_seqlens = cu_seqlens;
  }
  CallOptions(const CallOptions&) = delete;
};

/// apply_rotary_emb and apply_rotary_emb_torch are one function here: the latter has tables of [batch, seq,
/// pairs] too, and no offsets.
template <class T>
void apply(Session& session, const Call& call) {
  const CallOptions of(session, call);
  const Tensor& x = session.at(call, "x");
  with_scalar<T>(x, [&]<class S>(S) {
    const Elements<S> cos(session.at(call, "cos"), Eigen::ColMajor), sin(session.at(call, "sin"));
    const Tensor result = rotated_every_way<S>(x, [&](const auto& in, const auto& out) {
      flash_attention::apply_rotary_into(in, cos.const_view(), sin.const_view(), out, of.options);
    });
    with_rank<3, 4>(x, [&]<int R>(std::integral_constant<int, R>) {
      expect_same_bits(from_eigen(flash_attention::apply_rotary(to_eigen<S, R>(x), cos.const_view(),
                                                                sin.const_view(), of.options)),
                       result, "as a new tensor");
    });
    session.set(call, result);
  });
}

/// With respect to x the gradient is the conjugate rotation. FlashAttention has none with respect to the
/// tables; those of apply_rotary_emb_torch are in closed form here.
template <class T>
void check_gradients(const Session& session, const Case& c, const Call& call) {
  const CallOptions of(session, call);
  const Tensor &x = session.at(call, "x"), &cos = session.at(call, "cos");
  const Tensor& weights = session.at(c.gradient->weights.at(call.out.at(0)));
  std::map<std::string, Tensor> found;
  with_rank<3, 4>(x, [&]<int R>(std::integral_constant<int, R>) {
    with_rank<2, 3>(cos, [&]<int C>(std::integral_constant<int, C>) {
      const auto back = flash_attention::apply_rotary_backward(
          to_eigen<T, R>(x), to_eigen<T, C>(cos), to_eigen<T, C, Eigen::ColMajor>(session.at(call, "sin")),
          to_eigen<T, R>(weights), of.options);
      found = {{"x", from_eigen(back.x)}, {"cos", from_eigen(back.cos)}, {"sin", from_eigen(back.sin)}};
    });
  });
  for (const auto& [name, wrt] : c.gradient->wrt) {
    // "@x" is the tensor that the case calls so, whatever the argument is called.
    for (const char* const argument : {"x", "cos", "sin"})
      if (wrt == '@' + call.args.reference(argument)) session.check(name, found.at(argument));
  }
}

// --- the module

/// q and k out of what `self.forward` is given: qkv [batch, seq, 3, heads, head_dim] or, with num_heads_q,
/// [batch, seq, heads_q + 2 heads_k, head_dim]; or q alone and kv [batch, seq, 2, heads, head_dim]. Values
/// are not looked at.
template <class T>
struct QueriesAndKeys {
  StridedView<T> q, k;

  QueriesAndKeys(const Arguments& args, const StridedView<T>& qkv, const StridedView<T>* kv) {
    if (kv) {
      q = qkv, k = kv->slice(2, 0, 1);
    } else if (args.has("num_heads_q")) {
      const Index heads_q = args.integer("num_heads_q"), heads_k = (qkv.extent(2) - heads_q) / 2;
      q = qkv.slice(2, 0, heads_q), k = qkv.slice(2, heads_q, heads_k);
    } else {
      q = qkv.slice(2, 0, 1), k = qkv.slice(2, 1, 1);
    }
  }
};

/// FlashAttention's RotaryEmbedding as ours, or as XPos if it has a scale_base.
template <class T>
struct Module {
  RotaryEmbedding<T> rotary;
  std::optional<XPos<T>> xpos;

  explicit Module(const Arguments& args)
      : rotary(
            {.dim = args.integer("dim"), .theta = args.number("base", 10000), .pairing = pairing_of(args)}) {
    if (args.has("scale_base"))
      xpos.emplace(
          RotaryEmbeddingOptions{
              .dim = args.integer("dim"), .theta = args.number("base", 10000), .pairing = pairing_of(args)},
          XPosOptions{.xpos_scale_base = args.number("scale_base")});
  }

  static Pairing pairing_of(const Arguments& args) {
    return args.flag("interleaved", false) ? Pairing::interleaved : Pairing::half;
  }

  void rotate(const StridedView<T>& q, const StridedView<T>& k, Index offset, Index centre) const {
    if (xpos) {
      xpos->rotate_queries_and_keys_in_place(
          q, k, {.offset = offset, .seq_dim = 1, .centre = static_cast<double>(centre)});
    } else {
      rotary.rotate_in_place(q, {.offset = offset, .seq_dim = 1});
      rotary.rotate_in_place(k, {.offset = offset, .seq_dim = 1});
    }
  }

  /// Returns the length of the table that the reference has then: what the call asks for, or `longest` of the
  /// calls before.
  ///
  /// The centre of XPos is that of the reference: half that length, rounded down. There the longer table of
  /// an earlier call moves the centre, which is a quirk: our results never depend on other calls, and then
  /// `longest` is 0. The quirk can be reproduced by naming the centre.
  Index forward(Session& session, const Call& call, Index longest) const {
    const Arguments& args = call.args;
    const Elements<T> qkv(session.at(call, "qkv"));
    std::optional<Elements<T>> kv;
    if (args.has("kv")) kv.emplace(session.at(call, "kv"));
    const QueriesAndKeys<T> of(args, qkv.view(), kv ? &kv->view() : nullptr);
    const bool by_sequence = args.has_tensor("seqlen_offset");
    const Index offset = by_sequence ? 0 : args.integer("seqlen_offset", 0);
    if (xpos && by_sequence && !args.has("max_seqlen"))
      wrong_data("no test knows the centre of XPos with an offset for every sequence");
    const Index length = std::max(longest, args.integer("max_seqlen", offset + of.q.extent(1)));
    if (!xpos) args.without_effect({"max_seqlen"});  // only the centre depends on it
    if (by_sequence) {
      const Tensor& offsets = session.at(call, "seqlen_offset");
      if (offsets.size() != of.q.extent(0)) wrong_data("there must be an offset for every sequence");
      for (Index b = 0; b < offsets.size(); ++b)
        rotate(of.q.slice(0, b, 1), of.k.slice(0, b, 1),
               static_cast<Index>(offsets.values[static_cast<std::size_t>(b)]), length / 2);
    } else {
      rotate(of.q, of.k, offset, length / 2);
    }
    if (call.out.size() != (kv ? 2u : 1u)) wrong_data("the module has one result for each tensor");
    session.set(call.out.at(0), qkv.tensor());
    if (kv) session.set(call.out.at(1), kv->tensor());
    return length;
  }
};

// What we decided where the reference has a quirk:
//
//   module_xpos_qkv_offset_*            as the reference, by naming its centre; ours would be half the length
//                                       after the offset, and the scores are the same
//   module_xpos_longer_then_shorter_*   a result never depends on the calls before it
template <class T>
void run(Session& session, const Case& c, const std::vector<Call>& calls, bool with_quirk = false) {
  if (c.expected_error || c.intended_constructor || c.params.names().size() > 0)
    wrong_data("golden_flash_attention_test knows no such case");
  std::optional<Module<T>> module;
  if (c.constructor) {
    if (c.constructor->type != "RotaryEmbedding")
      wrong_data("golden_flash_attention_test does not know the class " + c.constructor->type);
    module.emplace(c.constructor->args);
  }
  Index longest = 0;
  for (const Call& call : calls) {
    if (call.function == "apply_rotary_emb" || call.function == "apply_rotary_emb_torch") {
      apply<T>(session, call);
    } else if (call.function == "self.forward") {
      if (!module) wrong_data("self.forward is called, and the case constructs nothing");
      const Index length = module->forward(session, call, longest);
      if (with_quirk) longest = length;
    } else if (!session.glue(call)) {
      wrong_data("golden_flash_attention_test does not know " + call.function);
    }
  }
}

template <class T>
void check_case(const Case& c) {
  constexpr bool kInDouble = std::is_same_v<T, double>;
  Session session(c, kInDouble);
  run<T>(session, c, c.calls);
  session.check();
  if (c.gradient) {
    if (c.calls.size() != 1 || c.constructor) wrong_data("no test knows gradients of several calls");
    check_gradients<T>(session, c, c.calls[0]);
  }
  if (c.intended_calls.empty()) return;
  Session intended(c, kInDouble);
  run<T>(intended, c, c.intended_calls);
  intended.check_intended();
  if (!kInDouble || !c.constructor) return;
  Session quirk(c, kInDouble);
  run<T>(quirk, c, c.calls, true);
  quirk.check_quirk();
}

const std::vector<CaseName> kCases = cases_of("golden_flash_attention_test");

[[maybe_unused]] const bool registered =
    register_tests("GoldenFlashAttentionInDouble", kCases, check_case<double>) &&
    register_tests("GoldenFlashAttentionInFloat", kCases, check_case<float>) &&
    register_altered("GoldenFlashAttentionAltered", kCases, check_case<double>, check_case<float>);

template <class X>
void fill_randomly(Random& random, X& x) {
  using S = typename X::Scalar;
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<S>(random.normal());
}

/// A table from exact phases, as tensors that the operator takes.
template <class T>
struct Tables {
  rotary::Tensor<T, 2> cos, sin;

  explicit Tables(const CosSinTable<T>& table)
      : cos(table.rows(), table.pairs()), sin(table.rows(), table.pairs()) {
    for (Index row = 0; row < table.rows(); ++row)
      for (Index i = 0; i < table.pairs(); ++i)
        cos(row, i) = table.cos(row, i), sin(row, i) = table.sin(row, i);
  }
};

/// The operator with our tables and the module with our embedding are the same rotation, bit for bit; the
/// conjugate rotation undoes it.
TEST(FlashAttention, TablesAndEmbeddingAgree) {
  const RotaryEmbedding<float> rotary({.dim = 8, .pairing = Pairing::half});
  const Tables<float> tables(
      CosSinTable<float>(language_frequencies(8), Positions::consecutive(20), {.pairing = Pairing::half}));
  rotary::Tensor<float, 4> x(2, 5, 3, 10);
  Random random(1);
  SCOPED_TRACE(random.replay());
  fill_randomly(random, x);
  const auto rotated = flash_attention::apply_rotary(x, tables.cos, tables.sin, {.seqlen_offset = 15});
  expect_same_bits(from_eigen(rotated),
                   from_eigen(rotary.rotate_queries_or_keys(x, {.offset = 15, .seq_dim = 1})), "by tables");
  const auto back = flash_attention::apply_rotary(rotated, tables.cos, tables.sin,
                                                  {.seqlen_offset = 15, .conjugate = true});
  compare(back, from_eigen(x), 1e-6);
}

/// The gradients of the conjugate rotation, by central differences.
TEST(FlashAttention, GradientsOfTheConjugate) {
  using Tensor2 = rotary::Tensor<double, 2>;
  using Tensor4 = rotary::Tensor<double, 4>;
  Tensor4 x(2, 3, 2, 6), weights(2, 3, 2, 6);
  Tensor2 cos(5, 2), sin(5, 2);
  Random random(2);
  SCOPED_TRACE(random.replay());
  fill_randomly(random, x), fill_randomly(random, weights);
  fill_randomly(random, cos), fill_randomly(random, sin);
  const std::vector<std::int32_t> offsets = {0, 3};  // the last token is past the end of the tables
  const flash_attention::ApplyRotaryOptions options{.seqlen_offsets = offsets, .conjugate = true};
  const auto loss = [&] {
    const Tensor4 weighed = flash_attention::apply_rotary(x, cos, sin, options) * weights;
    double sum = 0;
    for (Index n = 0; n < weighed.size(); ++n) sum += weighed.data()[n];
    return sum;
  };
  const auto gradients = flash_attention::apply_rotary_backward(x, cos, sin, weights, options);
  const auto check = [&](auto& of, const auto& gradient, const char* name) {
    for (Index n = 0; n < of.size(); ++n) {
      const double before = of.data()[n], step = 1e-3;
      of.data()[n] = before + step;
      const double above = loss();
      of.data()[n] = before - step;
      const double below = loss();
      of.data()[n] = before;
      EXPECT_NEAR(gradient.data()[n], (above - below) / (2 * step), 1e-9) << name << " entry " << n;
    }
  };
  check(x, gradients.x, "x");
  check(cos, gradients.cos, "cos");
  check(sin, gradients.sin, "sin");
}

// The layer pairs halves unless told otherwise, and so does this function; flash_attn_with_kvcache
// interleaves unless told otherwise.
TEST(SourceDisagreements, FlashAttentionInterleavesOnlyWhenAsked) {
  const Tables<float> tables(CosSinTable<float>(language_frequencies(4), Positions::consecutive(2)));
  rotary::Tensor<float, 4> x(1, 2, 1, 4);
  x.setConstant(0);
  x(0, 1, 0, 0) = 1;
  EXPECT_NE(flash_attention::apply_rotary(x, tables.cos, tables.sin)(0, 1, 0, 2), 0);
  EXPECT_NE(flash_attention::apply_rotary(x, tables.cos, tables.sin, {.interleaved = true})(0, 1, 0, 1), 0);
}

// Without causal attention, flash_attn_with_kvcache has every query of a sequence at cache_seqlens: as heads
// of one token they are.
TEST(SourceDisagreements, NonCausalQueriesShareAPosition) {
  const Tables<float> tables(CosSinTable<float>(language_frequencies(8), Positions::consecutive(20)));
  rotary::Tensor<float, 4> q(2, 3, 2, 8);  // [batch, seq, heads, head_dim]
  Random random(3);
  SCOPED_TRACE(random.replay());
  fill_randomly(random, q);
  const std::vector<std::int32_t> cache_seqlens = {7, 4};
  const rotary::Tensor<float, 4> as_heads = q.reshape(std::array<Index, 4>{2, 1, 6, 8});
  const auto rotated =
      flash_attention::apply_rotary(as_heads, tables.cos, tables.sin, {.seqlen_offsets = cache_seqlens});
  for (Index b = 0; b < 2; ++b)
    for (Index n = 0; n < 3; ++n) {
      const rotary::Tensor<float, 4> token =
          q.slice(std::array<Index, 4>{b, n, 0, 0}, std::array<Index, 4>{1, 1, 2, 8});
      const auto alone = flash_attention::apply_rotary(
          token, tables.cos, tables.sin, {.seqlen_offset = cache_seqlens[static_cast<std::size_t>(b)]});
      for (Index h = 0; h < 2; ++h)
        for (Index j = 0; j < 8; ++j) EXPECT_EQ(rotated(b, 0, 2 * n + h, j), alone(0, 0, h, j));
    }
}

// Past the end of the tables: identity where FlashAttention has it, with a list of offsets, and an error with
// one offset, as there. ONNX's operator fails.
TEST(SourceDisagreements, FlashAttentionPastTheTables) {
  rotary::Tensor<float, 4> x(1, 2, 1, 4);
  rotary::Tensor<float, 2> cos(4, 2), sin(4, 2);
  x.setConstant(1), cos.setConstant(0), sin.setConstant(1);
  const std::vector<std::int32_t> offsets = {3};
  const auto rotated = flash_attention::apply_rotary(x, cos, sin, {.seqlen_offsets = offsets});
  EXPECT_EQ(rotated(0, 0, 0, 0), -1);
  EXPECT_EQ(rotated(0, 1, 0, 0), 1);
  expect_error([&] { flash_attention::apply_rotary(x, cos, sin, {.seqlen_offset = 3}); },
               {"4 rows", "at least 5"});
}

TEST(FlashAttentionErrors, NothingIsWrittenBefore) {
  rotary::Tensor<float, 4> x(2, 3, 1, 6);
  rotary::Tensor<float, 3> packed(8, 1, 6);
  rotary::Tensor<float, 2> cos(9, 2), sin(9, 2);
  x.setConstant(1), packed.setConstant(1), cos.setConstant(0), sin.setConstant(1);
  const auto error_of = [&](auto& tensor, const flash_attention::ApplyRotaryOptions& options,
                            std::initializer_list<std::string_view> words) {
    expect_error([&] { flash_attention::apply_rotary_into(tensor, cos, sin, tensor, options); }, words);
    EXPECT_EQ(tensor.data()[0], 1);
  };
  using List = std::vector<std::int32_t>;
  const List one = {1}, negative = {0, -1}, two = {1, 2}, lengths = {0, 3, 8}, falls = {0, 9, 8},
             late = {1, 8}, short_of = {0, 5}, nothing = {0};
  error_of(x, {.seqlen_offset = -1}, {"seqlen_offset is -1"});
  error_of(x, {.seqlen_offset = 7}, {"9 rows", "at least 10"});
  error_of(x, {.seqlen_offset = PTRDIFF_MAX}, {"add up"});
  error_of(x, {.seqlen_offsets = one}, {"1 seqlen_offsets", "2 sequences"});
  error_of(x, {.seqlen_offsets = negative}, {"seqlen_offset is -1"});
  error_of(x, {.seqlen_offset = 1, .seqlen_offsets = two}, {"only one"});
  error_of(x, {.cu_seqlens = lengths}, {"[2, 3, 1, 6]", "3 axes"});
  error_of(x, {.max_seqlen = 2}, {"max_seqlen is 2", "3 tokens"});
  error_of(packed, {}, {"[8, 1, 6]", "4 axes"});
  error_of(packed, {.cu_seqlens = falls}, {"falls from 9 to 8"});
  error_of(packed, {.cu_seqlens = late}, {"starts with 1"});
  error_of(packed, {.cu_seqlens = short_of}, {"ends at 5", "8 tokens"});
  error_of(packed, {.cu_seqlens = nothing}, {"ends at 0", "8 tokens"});
  error_of(packed, {.seqlen_offsets = one, .cu_seqlens = lengths}, {"1 seqlen_offsets", "2 sequences"});
  error_of(packed, {.cu_seqlens = lengths, .max_seqlen = 4}, {"max_seqlen is 4", "5 tokens"});
  error_of(packed, {.seqlen_offset = 5, .cu_seqlens = lengths}, {"9 rows", "at least 10"});
}

TEST(FlashAttentionErrors, Tables) {
  const rotary::Tensor<float, 4> x(2, 3, 1, 6);
  const rotary::Tensor<float, 2> cos(9, 2), sin(9, 3), wide(9, 4), few(2, 2);
  const rotary::Tensor<float, 3> each(2, 3, 2), other(1, 3, 2);
  const auto error_of = [&](const auto& cosines, const auto& sines,
                            const flash_attention::ApplyRotaryOptions& options,
                            std::initializer_list<std::string_view> words) {
    expect_error([&] { flash_attention::apply_rotary(x, cosines, sines, options); }, words);
  };
  error_of(cos, sin, {}, {"[9, 2]", "[9, 3]"});
  error_of(wide, wide, {}, {"8 features", "6"});
  error_of(few, few, {}, {"2 rows", "at least 3"});
  error_of(each, each, {.seqlen_offset = 1}, {"[2, 3, 2]", "no offsets"});
  error_of(other, other, {}, {"[1, 3, 2]", "[2, 3, 1, 6]"});
  expect_error(
      [&] { flash_attention::apply_rotary_backward(x, cos, cos, rotary::Tensor<float, 4>(2, 3, 2, 6)); },
      {"[2, 3, 2, 6]", "[2, 3, 1, 6]"});
}

}  // namespace
}  // namespace rotary::testing::golden
