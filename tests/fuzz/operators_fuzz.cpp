// A libFuzzer target: the operators of ggml, FlashAttention and ONNX with any tensors, tables and parameters. A call works
// or throws std::invalid_argument, and then has written nothing; an object gives the bits of the function, and both those
// of rotating head by head with the rows that were given. See tests/fuzz/README.md for how to run it.
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml.hpp>
#include <rotary/operators/onnx.hpp>

#include "../support/compiled_kernels.hpp"
#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

template <class X>
class Operators {
  using T = detail::Arithmetic<X, float>;
  using Tensors = FuzzedTensor<X>;

 public:
  explicit Operators(FuzzedInput& input) : input_(input) {}

  void run() {
    switch (input_.byte() % 4) {
      case 0:
        return ggml();
      case 1:
      case 2:
        return flash();
      default:
        return onnx();
    }
  }

 private:
  /// Runs both ways of one call on tensors of their own, and compares them. What throws must have written nothing.
  template <class ByObject, class ByFunction>
  void compare(const std::vector<Index>& shape, const ByObject& by_object, const ByFunction& by_function,
               const std::function<void(Tensors&)>& reference) {
    Tensors x(input_, shape, input_.rarely() ? Tensors::Lying::any : Tensors::Lying::apart);
    Tensors out(input_, shape);
    const bool in_place = input_.flag();
    const auto x_before = x.snapshot(), out_before = out.snapshot();
    const bool first = succeeds([&] { by_object(x, in_place ? x : out); });
    const auto x_after = x.snapshot(), out_after = out.snapshot();
    x.set(x_before), out.set(out_before);
    const bool second = succeeds([&] { by_function(x, in_place ? x : out); });
    require(first == second, "an object takes what the function takes");
    require(x.is_as(x_after) && out.is_as(out_after), "an object gives the bits of the function");
    if (!first) {
      require(x.is_as(x_before) && out.is_as(out_before), "what throws has written nothing");
      return;
    }
    if (!in_place) require(x.is_as(x_before), "an input stays as it is");
    require(
        x.is_as_outside(x_before, 0, PTRDIFF_MAX / 2) && out.is_as_outside(out_before, 0, PTRDIFF_MAX / 2),
        "nothing is written between the elements of a tensor");
    if (x.size() == 0) return;  // of any number of heads
    Tensors& result = in_place ? x : out;
    std::vector<X> found;
    for (Index n = 0; n < result.size(); ++n) found.push_back(result[n]);
    x.set(x_before), out.set(out_before);
    if (!in_place)
      for (Index n = 0; n < out.size(); ++n) out[n] = x[n];
    reference(result);
    for (Index n = 0; n < result.size(); ++n) {
      const X &a = found[static_cast<std::size_t>(n)], &b = result[n];
      require(std::memcmp(&a, &b, sizeof a) == 0 ||
                  (std::isnan(static_cast<double>(a)) && std::isnan(static_cast<double>(b))),
              "the result is that of rotating head by head");
    }
  }

  std::vector<Index> fuzzed_shape(int rank) {
    std::vector<Index> shape;
    if (input_.rarely()) rank = static_cast<int>(input_.integer(1, 6));
    for (int axis = 0; axis < rank - 1; ++axis) shape.push_back(input_.rarely() ? 0 : input_.integer(1, 5));
    shape.push_back(input_.integer(0, 20));
    return shape;
  }

  // ----------------------------------------------------------------------------------------------------- ggml

  void ggml() {
    using namespace rotary::ggml;
    const std::vector<Index> shape = fuzzed_shape(static_cast<int>(input_.pick<Index>({4, 3})));
    const Index head_dim = shape.back();
    RopeOptions options;
    options.mode = input_.pick({Mode::normal, Mode::neox, Mode::mrope, Mode::vision, Mode::imrope});
    if (input_.rarely()) options.mode = input_.enumerator<Mode>(50);
    options.n_dims = input_.rarely() ? input_.size(0, 24)
                     : options.mode == Mode::vision
                         ? head_dim / 2
                         : std::max<Index>(0, head_dim - head_dim % 2 - 2 * input_.integer(0, 2));
    const bool streams = options.mode != Mode::normal && options.mode != Mode::neox;
    for (Index& section : options.sections)
      section = input_.rarely() ? input_.size(0, 9) : input_.integer(0, 9);
    if (input_.rarely()) options.n_offs = input_.size(0, 6);
    if (input_.flag()) {
      options.freq_base = input_.rarely() ? input_.real() : 500000;
      options.freq_scale = input_.rarely() ? input_.real() : 0.25;
      options.ext_factor = input_.rarely() ? input_.real() : 1;
      options.attn_factor = input_.rarely() ? input_.real() : input_.moderate();
      options.n_ctx_orig = input_.rarely() ? input_.size(0, 99) : 4096;
      if (input_.rarely()) options.beta_fast = input_.real();
      if (input_.rarely()) options.beta_slow = input_.real();
    }
    std::vector<float> factors;
    if (input_.flag())
      for (Index n = input_.integer(0, 24); n > 0; --n)
        factors.push_back(static_cast<float>(input_.rarely() ? input_.real() : 1.5));
    options.freq_factors = factors;
    options.angles =
        input_.rarely() ? input_.enumerator<Angles>(2) : input_.pick({Angles::exact, Angles::ggml_float32});
    std::vector<std::int32_t> positions;
    const Index tokens = shape.size() < 3 ? 1 : shape[shape.size() - 3];
    const Index wanted = input_.rarely() ? input_.integer(0, 20) : streams ? 4 * tokens : tokens;
    for (Index n = 0; n < wanted; ++n)
      positions.push_back(input_.rarely() ? input_.any<std::int32_t>() : input_.any<std::int16_t>());
    const auto direction = input_.rarely() ? input_.enumerator<Direction>(3)
                                           : input_.pick({Direction::forward, Direction::transpose});
    const Index cached = input_.rarely() ? input_.size(0, 9) : input_.pick<Index>({0, 300});
    if (cached < 0) {
      succeeds([&] { Rope<T> rope(options, cached); });
      return;
    }
    std::optional<Rope<T>> rope;
    const auto made = [&]() -> const Rope<T>& {
      if (!rope) rope.emplace(options, cached);
      return *rope;
    };
    compare(
        shape,
        [&](Tensors& x, Tensors& out) {
          if (&x == &out) return made().rope_in_place(x.view(), positions, direction);
          made().rope_into(x.view(), positions, out.view(), direction);
        },
        [&](Tensors& x, Tensors& out) {
          if (&x == &out) {
            const auto view = x.view();
            return rope_into(view, positions, view, options, direction);
          }
          rope_into(x.view(), positions, out.view(), options, direction);
        },
        [&](Tensors& x) {  // token by token
          const auto view = x.view();
          for (Index t = 0; t < tokens; ++t) {
            std::vector<std::int32_t> of_token;
            for (Index n = t; n < static_cast<Index>(positions.size()); n += tokens)
              of_token.push_back(positions[static_cast<std::size_t>(n)]);
            made().rope_in_place(view.slice(view.rank - 3, t, 1), of_token, direction);
          }
        });
  }

  // ----------------------------------------------------------------------------------------------------- tables

  template <class C>
  struct Tables {
    FuzzedTensor<C> cos, sin;

    Tables(FuzzedInput& input, const std::vector<Index>& shape)
        : cos(input, shape, FuzzedTensor<C>::Lying::any),
          sin(input, input.rarely() ? std::vector<Index>{3, 2} : shape, FuzzedTensor<C>::Lying::any) {}
  };

  /// Rotates a head of `features` numbers, each `step` from the next, by a row of given tables.
  template <class C>
  static void rotate_head(X* head, Index step, const Tables<C>& tables, Index row, Index pairs,
                          Pairing pairing, bool backwards) {
    std::vector<T> values(static_cast<std::size_t>(2 * pairs));
    std::vector<X> in(values.size()), out(values.size());
    const kernels::PairStrides at = kernels::pair_strides(pairing, pairs);
    for (Index i = 0; i < pairs; ++i) {
      values[static_cast<std::size_t>(i * at.pair)] = static_cast<T>(tables.cos[row * pairs + i]);
      values[static_cast<std::size_t>(i * at.pair + at.partner)] =
          static_cast<T>(tables.sin[row * pairs + i]);
    }
    for (Index j = 0; j < 2 * pairs; ++j) in[static_cast<std::size_t>(j)] = head[j * step];
    kernels::JobShape job;
    job.set_pairing(pairing);
    job.negate_sin = backwards;
    job.pairs = pairs;
    kernels::rotate_pairs_reference(job, 0, pairs, in.data(), out.data(), values.data());
    for (Index j = 0; j < 2 * pairs; ++j) head[j * step] = out[static_cast<std::size_t>(j)];
  }

  void flash() {
    if (input_.flag()) {
      flash_with<float>();
    } else {
      flash_with<X>();
    }
  }

  template <class C>
  void flash_with() {
    using namespace flash_attention;
    using Row = rotary::detail::RowsOf<StridedView<X>, StridedView<C>>;
    ApplyRotaryOptions options;
    const bool packed = input_.byte() % 4 == 3, per_token = !packed && input_.byte() % 4 == 3;
    const std::vector<Index> shape = fuzzed_shape(packed ? 3 : 4);
    const Index seq = shape[shape.size() > 3 ? 1 : 0], batch = shape[0];
    if (input_.flag()) options.seqlen_offset = input_.rarely() ? input_.size(0, 9) : input_.integer(0, 3);
    std::vector<std::int32_t> offsets, ends;
    if (packed) {
      std::int32_t end = 0;
      ends.push_back(input_.rarely() ? input_.any<std::int32_t>() : 0);
      for (Index n = input_.integer(0, 4); n > 0; --n) {
        end += input_.rarely() ? input_.any<std::int8_t>() : input_.byte() % 3;
        ends.push_back(end);
      }
      if (!input_.rarely()) ends.push_back(static_cast<std::int32_t>(seq));
      options.cu_seqlens = ends;
    }
    if (input_.flag()) {
      const Index count = input_.rarely() ? input_.integer(0, 9) : packed ? Index(ends.size()) - 1 : batch;
      for (Index n = 0; n < count; ++n)
        offsets.push_back(input_.rarely() ? input_.any<std::int32_t>() : input_.byte() % 9);
      options.seqlen_offsets = offsets;
      if (!input_.rarely()) options.seqlen_offset = 0;
    }
    if (input_.rarely()) options.max_seqlen = input_.size(0, 9);
    options.conjugate = input_.flag();
    const Pairing pairing = input_.pick({Pairing::half, Pairing::interleaved});
    options.interleaved = pairing == Pairing::interleaved;
    const Index pairs = std::max<Index>(0, shape.back() / 2 - input_.byte() % 3) + (input_.rarely() ? 2 : 0);
    std::vector<Index> of_tables{seq + input_.integer(0, 8), pairs};
    if (per_token) of_tables = {batch, seq, pairs};
    if (input_.rarely()) of_tables[0] = input_.integer(0, 9);
    const Tables<C> tables(input_, of_tables);
    const auto cos = tables.cos.view(), sin = tables.sin.view();
    compare(
        shape,
        [&](Tensors& x, Tensors& out) {
          const RotaryTables<Row> object(cos, sin, pairing);
          if (&x == &out) return object.apply_rotary_in_place(x.view(), options);
          object.apply_rotary_into(x.view(), out.view(), options);
        },
        [&](Tensors& x, Tensors& out) {
          const auto in = x.view();
          apply_rotary_into(in, cos, sin, &x == &out ? in : out.view(), options);
        },
        [&](Tensors& x) {
          const auto view = x.view();
          const Index sequences = packed ? Index(ends.size()) - 1 : batch;
          for (Index b = 0; b < sequences; ++b) {
            const Index begin = packed ? ends[static_cast<std::size_t>(b)] : 0;
            const Index end = packed ? ends[static_cast<std::size_t>(b + 1)] : seq;
            for (Index n = begin; n < end; ++n) {
              const Index offset =
                  offsets.empty() ? options.seqlen_offset : offsets[static_cast<std::size_t>(b)];
              const Index row = per_token ? b * seq + n : n - begin + offset;
              if (!per_token && row >= of_tables[0]) continue;
              for (Index h = 0; h < view.extent(view.rank - 2); ++h) {
                X* const head = view.data + (packed ? 0 : b * view.stride(0)) +
                                n * view.stride(packed ? 0 : 1) + h * view.stride(view.rank - 2);
                rotate_head(head, view.stride(view.rank - 1), tables, row, pairs, pairing, options.conjugate);
              }
            }
          }
        });
    if constexpr (std::is_same_v<X, float> && std::is_same_v<C, float>) {
      if (input_.byte() % 4 == 3) flash_gradients(options, shape, of_tables);
    }
  }

  void flash_gradients(const flash_attention::ApplyRotaryOptions& options, const std::vector<Index>& shape,
                       const std::vector<Index>& of_tables) {
    if (shape.size() != 4 || of_tables.size() != 2) return;
    Tensor<X, 4> x(shape[0], shape[1], shape[2], shape[3]), grad(x.dimensions());
    Tensor<X, 2> cos(of_tables[0], of_tables[1]), sin(cos.dimensions());
    x.setConstant(X(1)), grad.setConstant(X(2)), cos.setConstant(X(0.5)), sin.setConstant(X(0.25));
    succeeds([&] { static_cast<void>(flash_attention::apply_rotary_backward(x, cos, sin, grad, options)); });
  }

  void onnx() {
    if (input_.flag()) {
      onnx_with<float>();
    } else {
      onnx_with<X>();
    }
  }

  template <class C>
  void onnx_with() {
    using namespace rotary::onnx;
    using Row = rotary::detail::RowsOf<StridedView<X>, StridedView<C>>;
    const int axes = input_.flag() ? 3 : 4;
    const bool with_ids = input_.byte() % 4 != 3;
    std::vector<Index> shape = fuzzed_shape(axes);
    const bool three = shape.size() == 3;  // rarely there is an axis more or less
    RotaryEmbeddingAttributes attributes;
    attributes.interleaved = input_.flag();
    const Index heads = three ? input_.integer(1, 3) : shape[1 % shape.size()];
    if (three || input_.flag()) attributes.num_heads = input_.rarely() ? input_.size(0, 4) : heads;
    if (three && !input_.rarely()) shape.back() *= heads;
    const Index head_dim = three ? shape.back() / heads : shape.back();
    if (input_.flag())
      attributes.rotary_embedding_dim =
          input_.rarely() ? input_.size(0, 20) : head_dim - head_dim % 2 - 2 * (input_.byte() % 2);
    const Index rotary_dim =
        attributes.rotary_embedding_dim == 0 ? head_dim : attributes.rotary_embedding_dim;
    const Index pairs = input_.rarely() ? input_.integer(0, 9) : std::clamp<Index>(rotary_dim / 2, 0, 20);
    const Index batch = shape[0], seq = shape[std::size_t(three ? 1 : 2) % shape.size()];
    std::vector<Index> of_caches{input_.integer(0, 12), pairs};
    if (!with_ids) of_caches = {batch, seq, pairs};
    if (input_.rarely()) of_caches[0] = input_.integer(0, 9);
    const Tables<C> caches(input_, of_caches);
    std::vector<Index> of_ids{batch, seq};
    if (input_.byte() % 4 == 3) of_ids = {1};
    if (input_.rarely()) of_ids.push_back(input_.integer(0, 3));
    const bool only_first = of_ids.size() == 1;
    FuzzedTensor<std::int64_t> ids(input_, of_ids, FuzzedTensor<std::int64_t>::Lying::any);
    for (Index n = 0; n < ids.size(); ++n)
      ids[n] =
          input_.rarely() ? input_.any<std::int64_t>() : input_.byte() % std::max<Index>(of_caches[0], 1);
    const auto cos = caches.cos.view(), sin = caches.sin.view();
    const StridedView<const std::int64_t> id_view = ids.view();
    const Pairing pairing = attributes.interleaved ? Pairing::interleaved : Pairing::half;
    compare(
        shape,
        [&](Tensors& x, Tensors& out) {
          const rotary::onnx::RotaryEmbedding<Row> node(cos, sin, attributes);
          const auto in = x.view();
          if (with_ids && &x == &out) return node.rotary_embedding_in_place(in, id_view);
          if (with_ids) return node.rotary_embedding_into(in, id_view, out.view());
          if (&x == &out) return node.rotary_embedding_in_place(in);
          node.rotary_embedding_into(in, out.view());
        },
        [&](Tensors& x, Tensors& out) {
          const auto in = x.view();
          const auto to = &x == &out ? in : out.view();
          if (with_ids) return rotary_embedding_into(in, cos, sin, id_view, to, attributes);
          rotary_embedding_into(in, cos, sin, to, attributes);
        },
        [&](Tensors& x) {
          const auto view = x.view();
          const Index count = three ? attributes.num_heads : shape[1];
          for (Index b = 0; b < batch; ++b) {
            for (Index n = 0; n < seq; ++n) {
              const Index row = !with_ids ? b * seq + n : only_first ? ids[0] + n : ids[b * seq + n];
              for (Index h = 0; h < count; ++h) {
                const Index step = view.stride(view.rank - 1);
                X* const head = view.data + b * view.stride(0) + n * view.stride(three ? 1 : 2) +
                                h * (three ? shape[2] / count * step : view.stride(1));
                rotate_head(head, step, caches, row, pairs, pairing, false);
              }
            }
          }
        });
  }

  FuzzedInput& input_;
};

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rotary::testing;
  return with_scalar(data, size,
                     [](auto scalar, FuzzedInput& input) { Operators<decltype(scalar)>(input).run(); });
}
