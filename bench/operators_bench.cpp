// The operators of other systems, as objects, against our own call.
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/operators/onnx.hpp>

#include "support/measured_tensor.hpp"

namespace {

using namespace bench;

/// `make(tensor)` returns the function that rotates one token of 32 heads.
template <class F>
void add_operator(const std::string& name, Order order, F make) {
  add({"hand/operators/" + name, "operators held as objects, one token", "our own call", at_most(1.3)}, [=] {
    const auto of = measured_tensor<float>(kDecode, order, Pairing::half);
    const auto theirs = make(of);
    return Comparison{repeated(theirs), repeated(in_place(of)), in_place_check(of, theirs), of->bytes(),
                      of->bytes()};
  });
}

/// Cosines or sines of all positions and pairs, as exporters store them.
rotary::Tensor<float, 2> given_table(bool of_sines) {
  constexpr Index kRows = 2048;
  const rotary::CosSinTable<float> table(rotary::language_frequencies(kDecode.head_dim),
                                         rotary::Positions::consecutive(kRows));
  rotary::Tensor<float, 2> values(kRows, table.pairs());
  for (Index row = 0; row < kRows; ++row)
    for (Index pair = 0; pair < table.pairs(); ++pair)
      values(row, pair) = of_sines ? table.sin(row, pair) : table.cos(row, pair);
  return values;
}

}  // namespace

void bench::register_benchmarks() {
  add_operator("ggml_rope", Order::seq_first, [](std::shared_ptr<MeasuredTensor<float>> of) {
    const auto rope = std::make_shared<rotary::ggml::Rope<float>>(
        rotary::ggml::RopeOptions{.n_dims = kDecode.head_dim, .mode = rotary::ggml::Mode::neox});
    return [of, rope, x = of->map(), positions = std::vector<std::int32_t>{1000}]() mutable {
      rope->rope_in_place(x, positions);
    };
  });
  add_operator("onnx_rotary_embedding", Order::heads_first, [](std::shared_ptr<MeasuredTensor<float>> of) {
    const auto node =
        std::make_shared<rotary::onnx::RotaryEmbedding<float>>(given_table(false), given_table(true));
    rotary::Tensor<std::int64_t, 2> ids(1, 1);
    ids.setConstant(1000);
    return [of, node, x = of->map(), ids]() mutable { node->rotary_embedding_in_place(x, ids); };
  });
  add_operator("flash_attention_apply_rotary", Order::seq_first,
               [](std::shared_ptr<MeasuredTensor<float>> of) {
                 const auto tables = std::make_shared<rotary::flash_attention::RotaryTables<float>>(
                     given_table(false), given_table(true));
                 return [of, tables, x = of->map()]() mutable {
                   tables->apply_rotary_in_place(x, {.seqlen_offset = 1000});
                 };
               });
}
