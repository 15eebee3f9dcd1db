// Calls of the operators' objects for one token of 32 heads of 128 floats, against our own call at a listed
// id: ns per call, and the medians over rounds of the ratios. A program of its own:
//
//     g++ -std=c++20 -O2 -I include -isystem /usr/include/eigen3 bench/operators_calls.cpp -o operators_calls
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/operators/onnx.hpp>

using namespace rotary;

namespace {

struct Call {
  const char* name;
  std::function<void()> run;
};

/// Time of this thread, so that other programs hardly disturb.
double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

double ns_of(const std::function<void()>& run, int calls) {
  const double start = cpu_ns();
  for (int i = 0; i < calls; ++i) run();
  return (cpu_ns() - start) / calls;
}

void compare(const char* title, const std::vector<Call>& calls) {
  constexpr int kRounds = 21;
  std::vector<std::vector<double>> ns(calls.size()), ratios(calls.size());
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t k = 0; k < calls.size(); ++k) {
      ns_of(calls[k].run, 50);
      ns[k].push_back(ns_of(calls[k].run, 2000));
    }
    for (std::size_t k = 0; k < calls.size(); ++k) ratios[k].push_back(ns[k].back() / ns[0].back());
  }
  std::printf("%s\n", title);
  for (std::size_t k = 0; k < calls.size(); ++k) {
    std::sort(ns[k].begin(), ns[k].end()), std::sort(ratios[k].begin(), ratios[k].end());
    std::printf("  %-52s %9.1f ns  x %.2f\n", calls[k].name, ns[k][kRounds / 2], ratios[k][kRounds / 2]);
  }
}

Tensor<float, 2> table_of(const CosSinTable<float>& rows, bool sin) {
  Tensor<float, 2> values(rows.rows(), rows.pairs());
  for (Index row = 0; row < rows.rows(); ++row)
    for (Index pair = 0; pair < rows.pairs(); ++pair)
      values(row, pair) = sin ? rows.sin(row, pair) : rows.cos(row, pair);
  return values;
}

}  // namespace

int main() {
  const Index kHeads = 32, kDim = 128;
  const Frequencies frequencies = language_frequencies(kDim);
  const CosSinTable<float> rows(frequencies, Positions::consecutive(4096), {.pairing = Pairing::half});
  const Tensor<float, 2> cos = table_of(rows, false), sin = table_of(rows, true);
  const onnx::RotaryEmbedding node(cos, sin);
  const flash_attention::RotaryTables tables(cos, sin);
  const ggml::RopeOptions exact{.n_dims = kDim, .mode = ggml::Mode::neox},
      in_float{.n_dims = kDim, .mode = ggml::Mode::neox, .angles = ggml::Angles::ggml_float32};
  const ggml::Rope<float> rope(exact), float32(in_float);
  const RotaryEmbedding<float> tokens_first(frequencies, {.pairing = Pairing::half, .seq_dim = -3}),
      heads_first(frequencies, {.pairing = Pairing::half});

  for (const Index batch : {1, 8}) {
    Tensor<float, 4> x(batch, 1, kHeads, kDim), y(batch, kHeads, 1, kDim);
    x.setRandom(), y.setRandom();
    std::vector<std::int32_t> ids;
    Tensor<std::int64_t, 2> ids_of_onnx(batch, 1);
    for (Index b = 0; b < batch; ++b)
      ids.push_back(static_cast<std::int32_t>(1000 + 37 * b)), ids_of_onnx(b, 0) = ids.back();
    Tensor<float, 3> packed(batch, kHeads, kDim);
    packed.setRandom();
    std::vector<std::int32_t> cu_seqlens;
    for (Index b = 0; b <= batch; ++b) cu_seqlens.push_back(static_cast<std::int32_t>(b));
    const std::vector<std::int32_t> one_id = {1000};
    std::int32_t next = 0;
    std::vector<Call> calls = {
        {"RotaryEmbedding::rotate_in_place, listed ids",
         [&] {
           if (batch == 1)
             tokens_first.rotate_in_place(x, ids);
           else
             tokens_first.rotate_in_place(x, Positions::listed(ids).in_batches(batch));
         }},
        {"RotaryEmbedding::rotate_in_place, heads first",
         [&] {
           if (batch == 1)
             heads_first.rotate_in_place(y, ids);
           else
             heads_first.rotate_in_place(y, Positions::listed(ids).in_batches(batch));
         }},
        {"onnx object, position_ids", [&] { node.rotary_embedding_in_place(y, ids_of_onnx); }},
        {"flash_attention object, seqlen_offsets as a list",
         [&] { tables.apply_rotary_in_place(x, {.seqlen_offsets = ids}); }},
        {"flash_attention object, cu_seqlens and offsets",
         [&] { tables.apply_rotary_in_place(packed, {.seqlen_offsets = ids, .cu_seqlens = cu_seqlens}); }},
        {"flash_attention object, seqlen_offset",
         [&] { tables.apply_rotary_in_place(x, {.seqlen_offset = 1000}); }},
        {"ggml object, exact angles", [&] { rope.rope_in_place(x, one_id); }},
        {"ggml object, float32 angles, the same position", [&] { float32.rope_in_place(x, one_id); }},
        {"ggml object, float32 angles, another position",
         [&] {
           const std::vector<std::int32_t> at = {next++ % 4096};
           float32.rope_in_place(x, at);
         }},
        {"onnx function", [&] { onnx::rotary_embedding_into(y, cos, sin, ids_of_onnx, y); }},
        {"flash_attention function",
         [&] { flash_attention::apply_rotary_into(x, cos, sin, x, {.seqlen_offsets = ids}); }},
        {"ggml function", [&] { ggml::rope_into(x, one_id, x, exact); }},
    };
    compare(batch == 1 ? "one token, 32 heads of 128 floats" : "8 sequences, one token of each", calls);
  }
}
