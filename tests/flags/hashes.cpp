// Prints a hash of what each group of public functions computes, one a line: "name hash". Compiled with several
// compilers and flags, it must print the same. CMakeLists.txt compiles it, compare.sh compares.
//
// It uses the standard library and Eigen for nothing but memory, so that a difference is the library's own.
#include <cstdint>
#include <cstdio>
#include <rotary/apply/learned_rotations.hpp>
#include <rotary/apply/pairing_conversion.hpp>
#include <rotary/attention.hpp>
#include <rotary/broadcat.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/operators/onnx.hpp>
#include <rotary/polar_embedding.hpp>
#include <rotary/positions/dual_chunk_positions.hpp>
#include <rotary/positions/mrope_positions.hpp>
#include <rotary/rotary.hpp>
#include <rotary/rotate_half.hpp>

namespace {

using namespace rotary;

struct Hash {
  std::uint64_t value = 14695981039346656037u;
  void add(const void* data, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
      value = (value ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
  }
  template <class S>
  void add(const std::vector<S>& list) {
    add(list.data(), list.size() * sizeof(S));
  }
  template <class S, int R>
  void add(const Tensor<S, R>& x) {
    add(x.data(), static_cast<std::size_t>(x.size()) * sizeof(S));
  }
  template <class T>
  void add(const CosSinTable<T>& table) {
    add(table.data(), static_cast<std::size_t>(table.rows() * table.row_size()) * sizeof(T));
  }
  void add(const Frequencies& frequencies) {
    add(frequencies.values);
    add(&frequencies.magnitude, sizeof(double));
  }
  void add(const TokenPositions& tokens) { add(tokens.flat()); }
};

template <class... Results>
void print(const char* name, const Results&... results) {
  Hash hash;
  (hash.add(results), ...);
  std::printf("%s %016llx\n", name, static_cast<unsigned long long>(hash.value));
}

/// Numbers between −2 and 2, exact in every scalar.
template <class S, int R>
Tensor<S, R> numbers(std::initializer_list<Index> shape, std::uint32_t state = 12345) {
  Eigen::array<Index, R> extents;
  std::copy(shape.begin(), shape.end(), extents.begin());
  Tensor<S, R> x(extents);
  for (Index i = 0; i < x.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    x.data()[i] = kernels::narrowed<S>(static_cast<float>(static_cast<int>(state >> 25) - 64) / 32);
  }
  return x;
}

void print_frequencies() {
  print("language", language_frequencies(64), language_frequencies(38, 5e5));
  print("pixel", pixel_frequencies(32, 256), constant_frequencies(3));
  print("yarn", yarn_frequencies(128, 1e6, {.factor = 4, .original_max_position_embeddings = 32768}),
        dynamic_yarn_frequencies(64, 1e4, {.original_max_position_embeddings = 2048}, 10000));
  print("ntk", ntk_frequencies(64, 1e4, {.alpha = 3.7}), vllm_ntk_frequencies(64, 1e4, {.factor = 4}),
        dynamic_ntk_frequencies(64, 1e4, {.factor = 2, .max_position_embeddings = 2048}, 9000));
  print("llama3", llama3_frequencies(128, 5e5, {.factor = 8}));
  print("proportional", proportional_frequencies(128, 1e6, {.partial_rotary_factor = 0.25}));
  print("vision", qwen2_vl_vision_frequencies(80), pixtral_frequencies(64), dinov3_frequencies(64),
        rope_vit_frequencies(64), mixed_frequencies(64, 10, {.angle = 0.7}), wan_frequencies(128));
}

void print_rows() {
  const Frequencies text = language_frequencies(74);
  const std::vector<double> places = {0.375, -7.0625, 131071.5, 1e15};
  const Frequencies three = on_axes(language_frequencies(32), mrope_axes_interleaved({6, 5, 5}), 3);
  const std::vector<std::int64_t> t = {0, 5, 1 << 20}, h = {3, -2, 7}, w = {1, 100000, std::int64_t{1} << 40};
  const std::array<AxisPositions, 3> axes{AxisPositions::listed(std::span<const std::int64_t>(t)),
                                          AxisPositions::listed(std::span<const std::int64_t>(h)),
                                          AxisPositions::listed(std::span<const std::int64_t>(w))};
  const std::vector<Frequencies> heads = {language_frequencies(16), language_frequencies(16, 500)};
  const auto print_of = [&]<class T>(const char* name, T) {
    print(name, CosSinTable<T>(text, Positions::consecutive(70, 100000)),
          CosSinTable<T>(text, Positions::consecutive(5, std::int64_t{1} << 45)),
          CosSinTable<T>(text, Positions::listed(places)), CosSinTable<T>(three, Positions::together(axes)),
          CosSinTable<T>(std::span<const Frequencies>(heads), Positions::consecutive(9, -4)));
  };
  print_of("rows_float", 1.0f);
  print_of("rows_double", 1.0);
  print("rows_hf_float32", hf_float32_frequencies(64));
}

void print_rotations() {
  const RotaryEmbedding<float> plain({.dim = 38});
  const RotaryEmbedding<float> half(
      yarn_frequencies(32, 1e6, {.factor = 4, .original_max_position_embeddings = 4096}),
      {.start_index = 3, .pairing = Pairing::half});
  const RotaryEmbedding<float> mixed(language_frequencies(32), {.output_pairing = Pairing::half}, 0);
  const auto x = numbers<float, 4>({2, 3, 5, 43});
  const std::vector<int> ids = {7, 3, 3, 100000, 0}, starts = {17, 4};
  print("rotate_queries_or_keys", plain.rotate_queries_or_keys(x), half.rotate_queries_or_keys(x, 1e6),
        mixed.rotate_queries_or_keys(x, {.offset = 2.5}));
  print("rotate_at_ids", plain.rotate_queries_or_keys(x, ids), half.rotate_queries_or_keys(x, ids));
  print("rotate_per_sequence", plain.rotate_queries_or_keys(x, Positions::per_sequence(starts)));
  print("rotate_inverse", half.rotate_queries_or_keys(x, {.scale = 1.5, .direction = Direction::inverse}),
        half.rotate_queries_or_keys(x, {.direction = Direction::transpose}));
  print("rotate_scaled", plain.rotate_queries_or_keys(x, {.offset = 3}, numbers<float, 2>({5, 38}, 7)));
  const auto token = numbers<float, 3>({2, 3, 43});
  print("rotate_token", plain.rotate_token(token, 1000000), half.rotate_token(token, starts));
  const auto k = numbers<float, 4>({2, 1, 5, 43}, 99);
  const auto [q1, k1] = half.rotate_queries_and_keys(x, k, 12);
  print("rotate_queries_and_keys", q1, k1);
  const auto [q2, k2] = plain.rotate_queries_with_cached_keys(numbers<float, 4>({2, 3, 2, 43}), k);
  print("rotate_with_cached_keys", q2, k2);
  const auto grid = numbers<float, 4>({1, 3, 4, 40});
  const std::array<AxisPositions, 2> axes{AxisPositions::consecutive(3), AxisPositions::consecutive(4)};
  print("rotate_grid", RotaryEmbedding<float>(axial(language_frequencies(20), 2))
                           .rotate_queries_or_keys(grid, Positions::grid(axes)));
  const auto sixteen = numbers<Eigen::bfloat16, 4>({2, 3, 5, 43});
  print("rotate_bfloat16", plain.rotate_queries_or_keys(sixteen), half.rotate_queries_or_keys(sixteen, 9));
  print("frequency_gradient", half.frequency_gradient(x, x, {.offset = 4}), half.position_gradient(x, x),
        std::vector{half.magnitude_gradient(x, x)});
  print("angles", plain(ids), plain.get_axial_freqs(3, 4), half.get_seq_pos(4, 2.5));
  const auto of_angles = plain.angles_backward(ids, plain(ids));
  print("angles_backward", of_angles.positions, of_angles.freqs);
  print("axial", AxialFrequencies<float>({.dim = 16, .freqs_for = FreqsFor::pixel}).get_axial_freqs(5, 7),
        AxialFrequencies<float>({.dim = 16, .freqs_for = FreqsFor::pixel}).table(std::array<Index, 2>{5, 7}));
}

void print_angles() {
  const auto t = numbers<float, 3>({2, 5, 40});
  Tensor<float, 2> angles(5, 38);
  Tensor<double, 2> wide(5, 38);
  for (Index n = 0; n < 5; ++n)
    for (Index i = 0; i < 38; ++i) {
      wide(n, i) = static_cast<double>(n * 19 + i / 2) * 37.76953125 - 700;
      angles(n, i) = static_cast<float>(wide(n, i));
    }
  print("apply_rotary_emb", apply_rotary_emb(angles, t), apply_rotary_emb(wide, t, {.scale = 0.75}));
  const auto backward = apply_rotary_emb_backward(angles, t, t);
  print("apply_rotary_emb_backward", backward.t, backward.freqs);
  const auto scale = numbers<float, 2>({5, 38}, 5);
  print("apply_rotary_emb_scaled", apply_rotary_emb(angles, t, scale));
  const auto rotations = numbers<float, 2>({5, 3});
  const std::vector<double> ranges = {1, 2.5, 100};
  print("learned_rotations", apply_learned_rotations(rotations, t, {}, ranges));
  const auto learned = apply_learned_rotations_backward(rotations, t, t, {}, ranges);
  print("learned_rotations_backward", learned.t, learned.rotations, learned.freq_ranges);
}

void print_variants() {
  const auto q = numbers<float, 4>({2, 3, 5, 40}), k = numbers<float, 4>({2, 3, 5, 40}, 77);
  const XPos<float> xpos({.dim = 32});
  const auto [xq, xk] = xpos.rotate_queries_and_keys(q, k, {.offset = 100});
  print("xpos", xq, xk, xpos.get_scale(std::vector{0, 5, 1000}));
  const auto of_xpos = xpos.parameter_gradient(q, k, q, k);
  print("xpos_gradients", of_xpos.freqs, of_xpos.scale);
  print("labml", RotaryPositionalEmbeddings<float>(6)(q), ReverseRotaryPositionalEmbeddings<float>(6)(q));
  KeyCache<float> cache(RotaryEmbedding<float>({.dim = 32}), {.heads = 3, .head_dim = 40});
  cache.append(numbers<float, 3>({3, 9, 40}));
  cache.shift_context(2, 4);
  Tensor<float, 3> held = cache.tensor();
  print("key_cache", held);
  print("rotate_half", rotate_half(q), broadcat(numbers<float, 2>({3, 1}), numbers<float, 2>({1, 4})));
  print("pairing_conversion", interleaved_to_half(numbers<float, 2>({12, 3}), {.heads = 2}));
}

void print_polar() {
  // It has exponentials and logarithms of the standard library, which GCC replaces by other ones for vectors.
  const PolarEmbedding<float> polar({.dim = 8});
  const auto q = numbers<float, 4>({1, 2, 5, 8});
  print("polar", polar.embed_queries(q, 70));
}

void print_operators() {
  const auto x = numbers<float, 4>({2, 5, 3, 40});
  const auto cos = numbers<float, 2>({16, 20}), sin = numbers<float, 2>({16, 20}, 3);
  const std::vector<std::int32_t> offsets = {4, 1}, ids = {5, 6, 7, 100, 3};
  print("flash_attention", flash_attention::apply_rotary(x, cos, sin, {.seqlen_offsets = offsets}));
  const auto of_tables = flash_attention::apply_rotary_backward(x, cos, sin, x, {.seqlen_offset = 2});
  print("flash_attention_backward", of_tables.x, of_tables.cos, of_tables.sin);
  Tensor<std::int64_t, 2> position_ids(2, 3);
  for (Index n = 0; n < 6; ++n) position_ids.data()[n] = n * 3 % 11;
  print("onnx", onnx::rotary_embedding(numbers<float, 4>({2, 5, 3, 40}), cos, sin, position_ids));
  const ggml::RopeOptions options{.n_dims = 40, .mode = ggml::Mode::neox, .freq_scale = 0.25};
  print("ggml", ggml::rope(x, ids, options));
}

void print_positions() {
  const std::vector<int> cu_seqlens = {0, 3, 5}, mask = {0, 1, 1, 1};
  const ContextParallelSlice slice{.seq_len = 8, .ranks = 2};
  MropePositions prompt;
  prompt.append_text(3);
  prompt.append_video({.frames = 50, .height = 4, .width = 6}, 2 * (2.0 / 49));
  print("positions", packed_position_ids(cu_seqlens), padded_position_ids(mask, {.batch = 2, .seq = 2}),
        context_parallel_position_ids(slice), interpolated_positions(5, {.pretrained_length = 3}),
        prompt.tokens(), merge_block_positions({.height = 4, .width = 4}),
        dual_chunk_key_positions(mask, {.chunk_size = 5, .local_size = 2}));
}

}  // namespace

int main() {
  print_frequencies();
  print_rows();
  print_rotations();
  print_angles();
  print_variants();
  print_polar();
  print_operators();
  print_positions();
  return 0;
}
