// A call that throws has written nothing: every function that writes to a tensor of the caller's, with every
// kind of bad argument that it can be given, whatever else the call is to do (other pairings, directions,
// scales, threads).
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <rotary/apply/pairing_conversion.hpp>
#include <rotary/attention.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/operators/onnx.hpp>
#include <rotary/rotary.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"

namespace rotary::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Splits work in two, as a device of two threads does.
struct TwoParts {
  void parallelFor(Index count, const Eigen::TensorOpCost&,
                   const std::function<void(Index, Index)>& work) const {
    work(0, count / 2);
    work(count / 2, count);
  }
};

/// The tensors that calls write to, [batch, heads, seq, features], and what they were.
struct Tensors {
  Tensor<float, 4> q{2, 3, 4, 12}, k{2, 1, 4, 12}, out{2, 3, 4, 12}, k_out{2, 1, 4, 12};
  Tensor<Eigen::bfloat16, 4> sixteen{2, 3, 4, 12};

  Tensors() {
    for (auto* x : {&q, &k, &out, &k_out})
      for (Index n = 0; n < x->size(); ++n) x->data()[n] = static_cast<float>(n * 7 % 23) - 11;
    for (Index n = 0; n < sixteen.size(); ++n)
      sixteen.data()[n] = Eigen::bfloat16(static_cast<float>(n % 17));
  }

  static bool same(const Tensors& a, const Tensors& b) {
    const auto alike = [](const auto& x, const auto& y) {
      return std::memcmp(x.data(), y.data(), static_cast<std::size_t>(x.size()) * sizeof(*x.data())) == 0;
    };
    return alike(a.q, b.q) && alike(a.k, b.k) && alike(a.out, b.out) && alike(a.k_out, b.k_out) &&
           alike(a.sixteen, b.sixteen);
  }
};

struct NamedCall {
  std::string name;
  std::function<void(Tensors&)> call;
};

void expect_untouched(const std::vector<NamedCall>& calls) {
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    Tensors tensors;
    const Tensors before = tensors;
    try {
      expect_error([&, &run = call] { run(tensors); }, {"rotary: "});
    } catch (const std::exception& error) {
      ADD_FAILURE() << "another exception: " << error.what();
    }
    EXPECT_TRUE(Tensors::same(tensors, before)) << "something was written first";
  }
}

/// Every way of rotating with these options, and with positions if there are any, after which all have
/// thrown.
template <class... At>
void add_calls(std::vector<NamedCall>& calls, const std::string& what,
               const RotaryEmbedding<float>& rotary_emb, const RotateOptions& options, const At&... at) {
  const auto add = [&](const char* name, std::function<void(Tensors&)> call) {
    calls.push_back({what + ": " + name, std::move(call)});
  };
  add("in place", [=](Tensors& x) { rotary_emb.rotate_in_place(x.q, at..., options); });
  add("16 bits", [=](Tensors& x) { rotary_emb.rotate_in_place(x.sixteen, at..., options); });
  add("in place, in parts", [=](Tensors& x) { rotary_emb.rotate_in_place(x.q, at..., options, TwoParts()); });
  add("a view", [=](Tensors& x) {
    const StridedView<float> view(x.q.data(), {2, 3, 4, 12});
    rotary_emb.rotate_in_place(view, at..., options);
  });
  add("into", [=](Tensors& x) { rotary_emb.rotate_into(x.q, x.out, at..., options); });
  add("queries and keys",
      [=](Tensors& x) { rotary_emb.rotate_queries_and_keys_in_place(x.q, x.k, at..., options); });
  add("queries and keys, in parts",
      [=](Tensors& x) { rotary_emb.rotate_queries_and_keys_in_place(x.q, x.k, at..., options, TwoParts()); });
  add("queries and keys, into",
      [=](Tensors& x) { rotary_emb.rotate_queries_and_keys_into(x.q, x.k, x.out, x.k_out, at..., options); });
}
template <class At>
void add_token_calls(std::vector<NamedCall>& calls, const std::string& what,
                     const RotaryEmbedding<float>& rotary_emb, const RotateOptions& options, const At& at) {
  const auto add = [&](const char* name, std::function<void(Tensors&)> call) {
    calls.push_back({what + ", token: " + name, std::move(call)});
  };
  add("in place", [=](Tensors& x) { rotary_emb.rotate_token_in_place(x.q, at, options); });
  add("into", [=](Tensors& x) { rotary_emb.rotate_token_into(x.q, x.out, at, options); });
  add("queries and keys", [=](Tensors& x) { rotary_emb.rotate_token_in_place(x.q, x.k, at, options); });
}

/// Embeddings whose calls differ: cached rows or not, one pairing or two, a window in the middle.
std::vector<RotaryEmbedding<float>> embeddings() {
  const Frequencies frequencies = language_frequencies(8);
  std::vector<RotaryEmbedding<float>> all;
  for (const Index cached : {0, 8192})
    for (const Pairing pairing : {Pairing::interleaved, Pairing::half})
      for (const Pairing written : {Pairing::interleaved, Pairing::half})
        all.emplace_back(frequencies,
                         HeadLayout{.start_index = 2, .pairing = pairing, .output_pairing = written}, cached);
  return all;
}

TEST(UntouchedOnError, RotationsWithBadOptions) {
  std::vector<NamedCall> calls;
  for (const RotaryEmbedding<float>& rotary_emb : embeddings()) {
    for (const Direction direction : {Direction::forward, Direction::inverse, Direction::transpose}) {
      for (const Index axis : {9, -5, 3, -1})
        add_calls(calls, "seq_dim " + std::to_string(axis), rotary_emb,
                  {.seq_dim = axis, .direction = direction});
      for (const double scale : {kNaN, kInfinity, direction == Direction::inverse ? 1e-300 : 1e300})
        add_calls(calls, "scale " + std::to_string(scale), rotary_emb,
                  {.scale = scale, .direction = direction});
      add_calls(calls, "offset and position", rotary_emb, {.offset = 3, .direction = direction}, 5);
      add_calls(calls, "offset and ids", rotary_emb, {.offset = 3, .direction = direction},
                Positions::consecutive(4));
      add_token_calls(calls, "offset", rotary_emb, {.offset = 3, .direction = direction}, 5);
      add_token_calls(calls, "seq_dim", rotary_emb, {.seq_dim = 1, .direction = direction}, 5);
      add_token_calls(calls, "scale", rotary_emb, {.scale = kNaN, .direction = direction}, 5);
    }
    add_calls(calls, "scale 0", rotary_emb, {.scale = 0, .direction = Direction::inverse});
    add_calls(calls, "direction 7", rotary_emb, {.direction = static_cast<Direction>(7)});
    add_calls(calls, "direction 7 at ids", rotary_emb, {.direction = static_cast<Direction>(7)},
              Positions::consecutive(4, 9));
    add_token_calls(calls, "direction 7", rotary_emb, {.direction = static_cast<Direction>(7)}, 5);
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, RotationsAtBadPositions) {
  static const std::vector<int> five = {0, 1, 2, 3, 4}, one = {3}, eight = {0, 1, 2, 3, 4, 5, 6, 7};
  static const std::vector<double> not_a_number = {0, 1, kNaN, 3};
  static const std::vector<double> endless = {0, 1, 2, 0x1p62};
  const std::array<AxisPositions, 2> cells{AxisPositions::consecutive(2), AxisPositions::consecutive(2)};
  const std::array<AxisPositions, 2> other_cells{AxisPositions::consecutive(5),
                                                 AxisPositions::consecutive(4)};
  std::vector<NamedCall> calls;
  for (const RotaryEmbedding<float>& rotary_emb : embeddings()) {
    for (const Direction direction : {Direction::forward, Direction::inverse, Direction::transpose}) {
      const RotateOptions options{.direction = direction};
      add_calls(calls, "five ids for four tokens", rotary_emb, options, five);
      add_calls(calls, "one id", rotary_emb, options, one);
      add_calls(calls, "NaN", rotary_emb, options, not_a_number);
      add_calls(calls, "2^62", rotary_emb, options, endless);
      add_calls(calls, "a position of 2^62", rotary_emb, options, 0x1p62);
      add_calls(calls, "two coordinates", rotary_emb, options, Positions::together(cells));
      add_calls(calls, "a grid of another shape", rotary_emb, options, Positions::grid(other_cells));
      add_calls(calls, "three sequences", rotary_emb, options, Positions::consecutive(12).in_batches(3));
      add_calls(calls, "starts of eight", rotary_emb, options, Positions::per_sequence(eight));
      add_calls(calls, "sequences of other lengths", rotary_emb, options,
                Positions::consecutive(10).in_batches(2));
      add_token_calls(calls, "four ids", rotary_emb, options, Positions::consecutive(4));
      add_token_calls(calls, "NaN", rotary_emb, options, kNaN);
      add_token_calls(calls, "two coordinates", rotary_emb, options, Positions::together(cells));
    }
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, TensorsThatDoNotFit) {
  const RotaryEmbedding<float> wide({.dim = 14}), fits({.dim = 8});
  const RotaryEmbedding<float> mixed(language_frequencies(8), {.output_pairing = Pairing::half});
  std::vector<NamedCall> calls;
  add_calls(calls, "window", wide, {});
  add_calls(calls, "window at ids", wide, {}, Positions::consecutive(4, 7));
  add_token_calls(calls, "window", wide, {}, 5);
  for (const RotaryEmbedding<float>& rotary_emb : {fits, mixed}) {
    calls.push_back({"queries and keys of other lengths", [=](Tensors& x) {
                       const StridedView<float> three(x.k.data(), {2, 1, 3, 12}, {48, 48, 12, 1});
                       rotary_emb.rotate_in_place(x.q, three);
                     }});
    calls.push_back({"keys too narrow", [=](Tensors& x) {
                       const StridedView<float> narrow(x.k.data(), {2, 1, 4, 6}, {48, 48, 12, 1});
                       rotary_emb.rotate_in_place(x.q, narrow);
                     }});
    calls.push_back({"keys too narrow, at ids", [=](Tensors& x) {
                       const StridedView<float> narrow(x.k.data(), {2, 1, 4, 6}, {48, 48, 12, 1});
                       rotary_emb.rotate_in_place(x.q, narrow, Positions::consecutive(4, 10000));
                     }});
    calls.push_back({"keys of another batch", [=](Tensors& x) {
                       const StridedView<float> single(x.k.data(), {1, 1, 4, 12}, {48, 48, 12, 1});
                       rotary_emb.rotate_in_place(x.q, single, Positions::consecutive(8).in_batches(2));
                     }});
    calls.push_back({"keys among the queries", [=](Tensors& x) {
                       const StridedView<float> keys(x.q.data() + 48, {2, 1, 4, 12}, {144, 48, 12, 1});
                       rotary_emb.rotate_in_place(x.q, keys);
                     }});
    calls.push_back(
        {"an output of another shape", [=](Tensors& x) { rotary_emb.rotate_into(x.q, x.k_out); }});
    calls.push_back({"an output that overlaps", [=](Tensors& x) {
                       const StridedView<const float> in(x.q.data(), {1, 3, 4, 12});
                       rotary_emb.rotate_into(in, StridedView<float>(x.q.data() + 12, {1, 3, 4, 12}));
                     }});
    calls.push_back({"keys' output of another shape",
                     [=](Tensors& x) { rotary_emb.rotate_queries_and_keys_into(x.q, x.k, x.out, x.out); }});
    calls.push_back({"elements that share memory", [=](Tensors& x) {
                       rotary_emb.rotate_in_place(StridedView<float>(x.q.data(), {2, 4, 12}, {0, 12, 1}));
                     }});
    calls.push_back(
        {"keys whose elements share memory", [=](Tensors& x) {
           rotary_emb.rotate_in_place(x.q, StridedView<float>(x.k.data(), {2, 1, 4, 12}, {0, 0, 12, 1}));
         }});
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, XPos) {
  const XPos<float> xpos({.dim = 8});
  const XPos<float> mixed(language_frequencies(8), {.output_pairing = Pairing::half});
  std::vector<NamedCall> calls;
  for (const XPos<float>& of : {xpos, mixed}) {
    for (const XPosRotateOptions& options :
         {XPosRotateOptions{.seq_dim = 9}, XPosRotateOptions{.seq_dim = 3}, XPosRotateOptions{.centre = kNaN},
          XPosRotateOptions{.centre = 1e9}, XPosRotateOptions{.centre = -1e9},
          XPosRotateOptions{.centre = 1, .centre_on_last_query = true},
          XPosRotateOptions{.offset = 40000, .centre = 0, .direction = Direction::inverse},
          XPosRotateOptions{.direction = static_cast<Direction>(7)}})
      calls.push_back(
          {"options", [=](Tensors& x) { of.rotate_queries_and_keys_in_place(x.q, x.k, options); }});
    calls.push_back({"lengths", [=](Tensors& x) {
                       const StridedView<float> three(x.k.data(), {2, 1, 3, 12}, {48, 48, 12, 1});
                       of.rotate_queries_and_keys_in_place(x.q, three);
                     }});
    calls.push_back({"narrow keys", [=](Tensors& x) {
                       const StridedView<float> narrow(x.k.data(), {2, 1, 4, 6}, {48, 48, 12, 1});
                       of.rotate_queries_and_keys_in_place(x.q, narrow);
                     }});
    calls.push_back({"q as k", [=](Tensors& x) { of.rotate_queries_and_keys_in_place(x.q, x.q); }});
    // Only the last token is out of range: keys would have been written for the others.
    calls.push_back({"the last token", [=](Tensors& x) {
                       of.rotate_queries_and_keys_in_place(x.q, x.k, {.offset = 35850, .centre = 0});
                     }});
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, TablesAndAngles) {
  const HeadLayout two_pairings{.output_pairing = Pairing::half};
  const CosSinTable<float> long_table(language_frequencies(8), Positions::consecutive(5), two_pairings);
  const CosSinTable<float> wide_table(language_frequencies(14), Positions::consecutive(4), two_pairings);
  const CosSinTable<float> of_batch(language_frequencies(8), Positions::consecutive(12).in_batches(3),
                                    two_pairings);
  const CosSinTable<float> fits(language_frequencies(8), Positions::consecutive(4), two_pairings);
  std::vector<NamedCall> calls;
  for (const auto& table : {long_table, wide_table, of_batch}) {
    calls.push_back({"table in place", [=](Tensors& x) { apply_rotary_emb_in_place(table, x.q); }});
    calls.push_back({"table into", [=](Tensors& x) { apply_rotary_emb_into(table, x.q, x.out); }});
    calls.push_back({"token", [=](Tensors& x) { apply_rotary_emb_to_token_in_place(table, x.q); }});
  }
  for (const Direction direction : {Direction::inverse, static_cast<Direction>(7)}) {
    calls.push_back({"direction", [=](Tensors& x) { apply_rotary_emb_in_place(fits, x.q, direction); }});
    calls.push_back({"direction, in parts",
                     [=](Tensors& x) { apply_rotary_emb_in_place(fits, x.q, direction, TwoParts()); }});
    calls.push_back({"token", [=](Tensors& x) { apply_rotary_emb_to_token_in_place(fits, x.q, direction); }});
  }
  const auto angles = [](Index rows, Index width) {
    Tensor<float, 2> of(rows, width);
    of.setConstant(0.5f);
    return of;
  };
  Tensor<float, 2> bad = angles(4, 8), separate = angles(4, 8), scales = angles(4, 8), narrow = angles(4, 6);
  bad(3, 7) = static_cast<float>(kNaN), bad(3, 6) = bad(3, 7);  // in the last row
  separate(3, 7) = 1;
  for (const auto& of : {angles(3, 8), angles(4, 14), angles(4, 7), bad, separate}) {
    calls.push_back({"angles", [=](Tensors& x) { apply_rotary_emb_in_place(of, x.q); }});
    calls.push_back({"angles, into", [=](Tensors& x) { apply_rotary_emb_into(of, x.q, x.out); }});
    if (&of != &separate)
      calls.push_back(
          {"angles and scales, in place", [=](Tensors& x) { apply_rotary_emb_in_place(of, x.q, narrow); }});
  }
  const Tensor<float, 2> good = angles(4, 8);
  for (const ApplyOptions& options :
       {ApplyOptions{.start_index = 6}, ApplyOptions{.start_index = -1}, ApplyOptions{.seq_dim = 9},
        ApplyOptions{.seq_dim = -1}, ApplyOptions{.freqs_seq_dim = 5}, ApplyOptions{.scale = kNaN},
        ApplyOptions{.scale = 1e300}, ApplyOptions{.pairing = static_cast<Pairing>(7)}}) {
    calls.push_back({"options", [=](Tensors& x) { apply_rotary_emb_in_place(good, x.q, options); }});
    calls.push_back(
        {"options, scales", [=](Tensors& x) { apply_rotary_emb_in_place(good, x.q, scales, options); }});
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, Labml) {
  const RotaryPositionalEmbeddings<float> wide(14), fits(8);
  const RotaryPositionalEmbeddingsListing<float> listing(8);
  expect_untouched(
      {{"features", [=](Tensors& x) { wide.rotate_in_place(x.q); }},
       {"into", [=](Tensors& x) { wide.rotate_into(x.q, x.out); }},
       {"shape", [=](Tensors& x) { fits.rotate_into(x.q, x.k_out); }},
       {"all features", [=](Tensors& x) { listing.rotate_in_place(x.q); }},
       {"direction", [=](Tensors& x) { fits.rotate_in_place(x.q, static_cast<Direction>(7)); }}});
}

TEST(UntouchedOnError, Operators) {
  // As operators see them, [batch, seq, heads, head_dim] is [2, 3, 4, 12].
  Tensor<float, 2> cos(6, 4), sin(6, 4), wide(6, 7), few(2, 4);
  cos.setConstant(0.5f), sin.setConstant(0.25f), wide.setConstant(1), few.setConstant(1);
  const flash_attention::RotaryTables tables(cos, sin), wide_tables(wide, wide), short_tables(few, few);
  static const std::vector<std::int32_t> three = {0, 1, 2}, negative = {0, -1}, two = {1, 2};
  static const std::vector<std::int32_t> ends = {0, 2, 1}, packed = {0, 2, 3};
  std::vector<NamedCall> calls;
  for (const flash_attention::ApplyRotaryOptions& options :
       {flash_attention::ApplyRotaryOptions{.seqlen_offset = -1},
        {.seqlen_offset = 4},
        {.seqlen_offsets = three},
        {.seqlen_offsets = negative},
        {.seqlen_offset = 1, .seqlen_offsets = two},
        {.cu_seqlens = ends},
        {.cu_seqlens = packed},
        {.max_seqlen = 2}}) {
    calls.push_back({"flash", [=](Tensors& x) { tables.apply_rotary_in_place(x.q, options); }});
    calls.push_back({"flash into", [=](Tensors& x) { tables.apply_rotary_into(x.q, x.out, options); }});
    calls.push_back({"flash function",
                     [=](Tensors& x) { flash_attention::apply_rotary_into(x.q, cos, sin, x.q, options); }});
  }
  calls.push_back(
      {"interleaved", [=](Tensors& x) { tables.apply_rotary_in_place(x.q, {.interleaved = true}); }});
  calls.push_back({"wide", [=](Tensors& x) { wide_tables.apply_rotary_in_place(x.q); }});
  calls.push_back({"few rows", [=](Tensors& x) { short_tables.apply_rotary_in_place(x.q); }});
  calls.push_back(
      {"unlike tables", [=](Tensors& x) { flash_attention::apply_rotary_into(x.q, cos, wide, x.q); }});

  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{6}, INT64_MAX}) {
    Tensor<std::int64_t, 2> ids(2, 4);
    ids.setZero();
    ids(1, 3) = bad;  // the last one
    Tensor<std::int64_t, 1> first(1);
    first(0) = bad;
    const onnx::RotaryEmbedding node(cos, sin, {.rotary_embedding_dim = 8});
    calls.push_back({"onnx", [=](Tensors& x) { node.rotary_embedding_in_place(x.q, ids); }});
    calls.push_back({"onnx, first", [=](Tensors& x) { node.rotary_embedding_in_place(x.q, first); }});
    calls.push_back({"onnx function", [=](Tensors& x) {
                       onnx::rotary_embedding_into(x.q, cos, sin, ids, x.q, {.rotary_embedding_dim = 8});
                     }});
  }
  const onnx::RotaryEmbedding all(cos, sin);  // of 12 features, the caches have columns for 8
  calls.push_back({"onnx, columns", [=](Tensors& x) {
                     Tensor<std::int64_t, 2> ids(2, 4);
                     ids.setZero();
                     all.rotary_embedding_in_place(x.q, ids);
                   }});
  calls.push_back({"onnx without ids", [=](Tensors& x) { all.rotary_embedding_in_place(x.q); }});

  for (const ggml::RopeOptions& options : {ggml::RopeOptions{.n_dims = 14},
                                           {.n_dims = 7},
                                           {.n_dims = 8, .n_offs = 6},
                                           {.n_dims = 8, .n_offs = 1},
                                           {.n_dims = 8, .freq_base = kNaN},
                                           {.n_dims = 8, .attn_factor = kInfinity},
                                           {.n_dims = 8, .mode = static_cast<ggml::Mode>(7)},
                                           {.n_dims = 8, .mode = ggml::Mode::mrope},
                                           {.n_dims = 8, .angles = static_cast<ggml::Angles>(7)}})
    calls.push_back({"ggml", [=](Tensors& x) { ggml::rope_into(x.q, three, x.q, options); }});
  for (const ggml::Angles which : {ggml::Angles::exact, ggml::Angles::ggml_float32}) {
    const auto rope = std::make_shared<ggml::Rope<float>>(
        ggml::RopeOptions{.n_dims = 8, .mode = ggml::Mode::neox, .angles = which});
    calls.push_back({"ggml, two positions", [=](Tensors& x) { rope->rope_in_place(x.q, two); }});
    calls.push_back(
        {"ggml, inverse", [=](Tensors& x) { rope->rope_in_place(x.q, three, Direction::inverse); }});
    calls.push_back(
        {"ggml, direction", [=](Tensors& x) { rope->rope_in_place(x.q, three, static_cast<Direction>(7)); }});
    calls.push_back({"ggml, shape", [=](Tensors& x) { rope->rope_into(x.q, three, x.k_out); }});
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, Conversions) {
  std::vector<NamedCall> calls;
  for (const HeadFeatures& features : {HeadFeatures{.heads = 5, .axis = -1},
                                       {.heads = 0, .axis = -1},
                                       {.rotary_dim = 7, .axis = -1},
                                       {.rotary_dim = 14, .axis = -1},
                                       {.start_index = 13, .axis = -1},
                                       {.start_index = 3, .axis = -1},
                                       {.axis = 9}}) {
    calls.push_back({"to half", [=](Tensors& x) { interleaved_to_half_in_place(x.q, features); }});
    calls.push_back({"to interleaved", [=](Tensors& x) { half_to_interleaved_in_place(x.q, features); }});
  }
  expect_untouched(calls);
}

TEST(UntouchedOnError, Attention) {
  const RotaryMultiHeadAttention<float> attention({.heads = 2, .d_model = 12, .rope_percentage = 1}, 3);
  const RotaryMultiHeadAttention<float> other({.heads = 2, .d_model = 24, .rope_percentage = 1}, 3);
  // [seq, batch, d_model] = [4, 2, 12] lie in q.
  const auto x_of = [](Tensors& x) { return StridedView<float>(x.q.data(), {4, 2, 12}); };
  const auto out_of = [](Tensors& x) { return StridedView<float>(x.out.data(), {4, 2, 12}); };
  std::vector<NamedCall> calls;
  const auto forward = [=](const char* name, const AttendOptions& options) {
    return NamedCall{name, [=](Tensors& x) {
                       AttentionActivations<float> activations;
                       attention.forward_into(x_of(x), x_of(x), x_of(x), out_of(x), options, activations);
                     }};
  };
  Tensor<bool, 3> mask(1, 3, 1);
  mask.setConstant(true);
  calls.push_back(forward("mask", {.mask = mask}));
  calls.push_back({"narrow output", [=](Tensors& x) {
                     AttentionActivations<float> activations;
                     attention.forward_into(x_of(x), x_of(x), x_of(x),
                                            StridedView<float>(x.out.data(), {4, 2, 6}), {}, activations);
                   }});
  calls.push_back({"values of another length", [=](Tensors& x) {
                     AttentionActivations<float> activations;
                     attention.forward_into(x_of(x), x_of(x), StridedView<float>(x.q.data(), {3, 2, 12}),
                                            out_of(x), {}, activations);
                   }});
  calls.push_back({"backward without forward", [=](Tensors& x) {
                     AttentionActivations<float> activations;
                     auto gradients = attention.make_gradients();
                     attention.backward_into(x_of(x), activations, gradients, out_of(x), out_of(x),
                                             out_of(x));
                   }});
  calls.push_back({"backward, gradients that overlap", [=](Tensors& x) {
                     AttentionActivations<float> activations;
                     static_cast<void>(attention.forward(x_of(x), x_of(x), x_of(x), {}, activations));
                     auto gradients = attention.make_gradients();
                     const StridedView<float> later(x.out.data() + 12, {4, 2, 12});
                     attention.backward_into(x_of(x), activations, gradients, out_of(x), later, out_of(x));
                   }});
  calls.push_back({"backward, gradients of other weights", [=](Tensors& x) {
                     AttentionActivations<float> activations;
                     static_cast<void>(attention.forward(x_of(x), x_of(x), x_of(x), {}, activations));
                     auto gradients = other.make_gradients();
                     attention.backward_into(x_of(x), activations, gradients, out_of(x), out_of(x),
                                             out_of(x));
                   }});
  expect_untouched(calls);
}

/// All that can be read from a cache.
std::vector<float> state_of(const KeyCache<float>& cache) {
  std::vector<float> state = {static_cast<float>(cache.size()), static_cast<float>(cache.capacity())};
  for (Index n = 0; n < cache.size(); ++n)
    state.push_back(static_cast<float>(static_cast<double>(cache.position(n))));
  for (Index head = 0; head < cache.heads(); ++head)
    for (Index n = 0; n < cache.size(); ++n)
      for (Index i = 0; i < cache.head_dim(); ++i) state.push_back(cache.head(head)(n, i));
  return state;
}

TEST(UntouchedOnError, KeyCaches) {
  const XPos<float> xpos({.dim = 8});
  KeyCache<float> cache(xpos, 0, {.heads = 2, .head_dim = 8, .capacity = 6, .grows = false});
  Tensor<float, 3> keys(2, 4, 8), one(2, 1, 8), narrow(2, 4, 6);
  keys.setConstant(1), one.setConstant(2), narrow.setConstant(3);
  cache.append(keys);
  const std::vector<double> bad = {0, 1, kNaN, 3}, five = {0, 1, 2, 3, 4}, last = {0, 1, 2, 1e9};
  const auto before = state_of(cache);
  const std::vector<std::function<void()>> calls = {
      [&] { cache.append(keys); },  // there is no room
      [&] { cache.append(narrow); },
      [&] { cache.append(one, 1e9); },
      [&] { cache.append(one, kNaN); },
      [&] { cache.append(one, five); },
      [&] { cache.append(one, bad); },
      [&] { cache.append(one, last); },
      [&] { cache.shift(0, 5, 1); },
      [&] { cache.shift(2, 1, 1); },
      [&] { cache.shift(0, 4, 37000); },
      [&] { cache.shift(0, 4, -37000); },
      [&] { cache.shift(0, 4, 35850); },  // out of range for the last token alone
      [&] {
        cache.shift(0, 4, {1, 2});
      },
      [&] { cache.shift_context(3, 2); },
      [&] { cache.shift_context(-1, 2); },
      [&] { cache.erase(0, 9); },
      [&] { cache.rewind(5); },
      [&] { cache.rewind(-1); },
      [&] { cache.change_frequencies(language_frequencies(6)); },
      [&] {
        cache.change_frequencies(Frequencies{{1, 1, 1, 1}, 1, kInfinity});
      },
      [&] { cache.change_centre(kNaN); },
      [&] { cache.change_centre(1e9); },
  };
  for (std::size_t call = 0; call < calls.size(); ++call) {
    SCOPED_TRACE(call);
    EXPECT_NO_THROW(expect_error(calls[call], {"rotary: "}));
    EXPECT_EQ(state_of(cache), before);
  }
}

}  // namespace
}  // namespace rotary::testing
