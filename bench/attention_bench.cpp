// attend: prefill and decode against Eigen's own products and against reading the cache, and two threads against one.
#define EIGEN_USE_THREADS
#include <rotary/attention/attend_cached.hpp>

#include <cmath>

#include "support/buffer.hpp"
#include "support/comparison.hpp"
#include "support/compiled_kernels.hpp"

namespace {

using namespace bench;
using rotary::AttentionOptions;
using rotary::StridedView;
using Matrix = rotary::detail::RowMajorMatrix<float>;

struct AttentionShape {
  Index seq_q, seq_k, heads, kv_heads, d = 128;

  /// Of causal attention whose last query sees all keys.
  double pairs() const {
    const auto q = static_cast<double>(seq_q), k = static_cast<double>(seq_k);
    return static_cast<double>(heads) * q * (k - (q - 1) / 2);
  }
  /// Of the two products of forward.
  double flops() const { return 4 * static_cast<double>(d) * pairs(); }
};

// Heads of keys do not change the ratios, so one of the 8 of a layer, with its 4 heads of queries, is enough.
Index prefill_tokens() { return settings().smoke ? 256 : settings().quick ? 1024 : 2048; }
Index cached_tokens() { return settings().smoke ? 2048 : 32768; }

/// Queries, keys and values in X, and a result in float.
template <class X>
struct Tensors {
  AttentionShape shape;
  Buffer<float> q, out;
  Buffer<X> k, v;

  explicit Tensors(const AttentionShape& s)
      : shape(s),
        q(s.seq_q * s.heads * s.d),
        out(s.seq_q * s.heads * s.d),
        k(s.seq_k * s.kv_heads * s.d),
        v(s.seq_k * s.kv_heads * s.d) {}

  template <class Device = rotary::CallingThread>
  void attend(const AttentionOptions<float>& options, const Device& device = {}) {
    const StridedView<float> result(out.data(), {shape.seq_q, shape.heads, shape.d});
    rotary::attend(StridedView<const float>(q.data(), {shape.seq_q, shape.heads, shape.d}),
                   StridedView<const X>(k.data(), {shape.seq_k, shape.kv_heads, shape.d}),
                   StridedView<const X>(v.data(), {shape.seq_k, shape.kv_heads, shape.d}), result, options,
                   device);
  }
  AttentionOptions<float> causal() const {
    return {.causal = true, .query_offset = shape.seq_k - shape.seq_q};
  }

  /// The last query of the last head, computed plainly.
  std::string check() {
    const Index d = shape.d, row = (shape.seq_q * shape.heads - 1) * d, kv = shape.kv_heads * d,
                head = kv - d;
    std::vector<double> want(static_cast<std::size_t>(d));
    double sum = 0;
    for (Index j = 0; j < shape.seq_k; ++j) {
      double s = 0;
      for (Index f = 0; f < d; ++f)
        s += static_cast<double>(q.data()[row + f]) * static_cast<double>(k.data()[j * kv + head + f]);
      const double p = std::exp(s / std::sqrt(static_cast<double>(d)));
      sum += p;
      for (Index f = 0; f < d; ++f)
        want[static_cast<std::size_t>(f)] += p * static_cast<double>(v.data()[j * kv + head + f]);
    }
    attend(causal());
    for (Index f = 0; f < d; ++f)
      if (!(std::fabs(want[static_cast<std::size_t>(f)] / sum - static_cast<double>(out.data()[row + f])) <
            1e-5))
        return "feature " + std::to_string(f) + " of the last query is wrong";
    return {};
  }
};

/// The products of causal attention alone, for blocks of 128 queries and all keys up to their last.
void products_alone(Tensors<float>& x, Matrix& scores, Matrix& result) {
  const AttentionShape& s = x.shape;
  using Rows = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
  for (Index h = 0; h < s.heads; ++h)
    for (Index first = 0; first < s.seq_q; first += 128) {
      const Index count = std::min<Index>(128, s.seq_q - first), keys = s.seq_k - s.seq_q + first + count;
      const Index kv = h / (s.heads / s.kv_heads) * s.d;
      const Rows q(x.q.data() + (first * s.heads + h) * s.d, count, s.d, Eigen::OuterStride<>(s.heads * s.d));
      const Rows k(x.k.data() + kv, keys, s.d, Eigen::OuterStride<>(s.kv_heads * s.d));
      const Rows v(x.v.data() + kv, keys, s.d, Eigen::OuterStride<>(s.kv_heads * s.d));
      scores.resize(count, keys);
      result.resize(count, s.d);
      scores.noalias() = q * k.transpose();
      result.noalias() = scores * v;
    }
}

void add_prefill() {
  add({"attention/prefill/float", "attention: prefill, causal", "Eigen's products alone", at_least(0.6)}, [] {
    const auto x = std::make_shared<Tensors<float>>(AttentionShape{prefill_tokens(), prefill_tokens(), 4, 1});
    const auto scores = std::make_shared<Matrix>(), result = std::make_shared<Matrix>();
    const double flops = x->shape.flops();
    return Comparison{repeated([=] { x->attend(x->causal()); }),
                      repeated([=] { products_alone(*x, *scores, *result); }), [=] { return x->check(); },
                      flops, flops};
  });
}

template <class X>
void add_decode(const char* scalar) {
  add({std::string("attention/decode/") + scalar, "attention: decode, one query", "summing the cache",
       at_least(0.8)},
      [] {
        const auto x = std::make_shared<Tensors<X>>(AttentionShape{1, cached_tokens(), 2, 2});
        const double bytes = static_cast<double>(x->k.bytes() + x->v.bytes());
        const auto sum = [=] {
          for (const Buffer<X>* of : {&x->k, &x->v}) {
            const auto words = static_cast<Index>(of->bytes() / sizeof(std::int32_t));
            benchmark::DoNotOptimize(
                Eigen::Map<const Eigen::ArrayXi>(reinterpret_cast<const std::int32_t*>(of->data()), words)
                    .sum());
          }
        };
        return Comparison{repeated([=] { x->attend({}); }), repeated(sum), [=] { return x->check(); }, bytes,
                          bytes};
      });
}

/// One sequence of a paged cache whose pages are in no order, against a contiguous tensor of Contiguous.
template <class Stored, class Contiguous>
void add_cached(const char* name, const char* baseline, Index page_tokens, Goal goal) {
  add({std::string("attention/cached/") + name, "attention: decode from a paged cache", baseline, goal}, [=] {
    struct Cached {
      rotary::KeyValueCache<float, Stored> cache;
      rotary::SequenceId id;
      std::vector<float> out;
    };
    using X = Contiguous;
    const auto x = std::make_shared<Tensors<X>>(AttentionShape{1, cached_tokens(), 2, 2});
    const AttentionShape& s = x->shape;
    const rotary::HeadLayout layout{.pairing = rotary::Pairing::half, .seq_dim = -3};
    const auto cached =
        std::make_shared<Cached>(Cached{{rotary::language_frequencies(s.d),
                                         layout,
                                         {.heads = s.kv_heads,
                                          .head_dim = s.d,
                                          .pages = s.seq_k / page_tokens * 2 + 2,
                                          .page_tokens = page_tokens}},
                                        {},
                                        std::vector<float>(static_cast<std::size_t>(s.heads * s.d))});
    auto& cache = cached->cache;
    const rotary::SequenceId other = cache.add_sequence();
    cached->id = cache.add_sequence();
    rotary::Tensor<float, 3> k(page_tokens, s.kv_heads, s.d), v(k.dimensions());
    for (Index first = 0; first < s.seq_k; first += page_tokens) {
      const Index at = first * s.kv_heads * s.d;
      for (Index n = 0; n < k.size(); ++n) {
        k.data()[n] = static_cast<float>(x->k.data()[at + n]),
        v.data()[n] = static_cast<float>(x->v.data()[at + n]);
      }
      cache.append(cached->id, k, v);
      if (first % 3 == 0) cache.append(other, k, v);
    }
    const auto attend = [=] {
      rotary::attend_cached(StridedView<const float>(x->q.data(), {s.seq_q, s.heads, s.d}), cached->cache,
                            cached->id, StridedView<float>(cached->out.data(), {s.seq_q, s.heads, s.d}),
                            {.rotate_queries = true});
    };
    const auto check = [=]() -> std::string {
      attend();
      const auto keys = cached->cache.read_keys(cached->id, 0, s.seq_k);
      const auto values = cached->cache.read_values(cached->id, 0, s.seq_k);
      const rotary::CosSinTable<float> rows(rotary::language_frequencies(s.d),
                                            rotary::Positions::consecutive(1, s.seq_k - 1), layout);
      std::vector<float> want(cached->out.size());
      rotary::attend(StridedView<const float>(x->q.data(), {s.seq_q, s.heads, s.d}), keys, values,
                     StridedView<float>(want.data(), {s.seq_q, s.heads, s.d}), {.query_rows = &rows});
      return want == cached->out ? "" : "the result is not that of a contiguous tensor";
    };
    // Of keys and values in pages, without the scales of integers, and in the tensor.
    const double elements = 2 * static_cast<double>(s.seq_k * s.kv_heads * s.d);
    return Comparison{repeated(attend), repeated([=] { x->attend({}); }), check, elements * sizeof(Stored),
                      elements * sizeof(X)};
  });
}

void add_threads(const char* name, const AttentionShape& (*shape)()) {
  add({std::string("attention/threads/") + name, "attention: two threads", "one thread", at_least(1.8)}, [=] {
    struct Threads {
      Eigen::ThreadPool pool{2};
      Eigen::ThreadPoolDevice device{&pool, 2};
    };
    const auto threads = std::make_shared<Threads>();
    const auto x = std::make_shared<Tensors<float>>(shape());
    const double flops = x->shape.flops();
    return Comparison{repeated([=] { x->attend(x->causal(), threads->device); }),
                      repeated([=] { x->attend(x->causal()); }),
                      [=] { return x->check(); },
                      flops,
                      flops,
                      true};
  });
}

void add_rotation(const char* name, const AttentionShape& (*shape)()) {
  add({std::string("attention/rotation/") + name, "attention: rotation while reading", "rotated inputs",
       at_most(1.03)},
      [=] {
        const auto x = std::make_shared<Tensors<float>>(shape());
        const rotary::HeadLayout layout{.pairing = rotary::Pairing::half, .seq_dim = -3};
        const auto table = [&](Index count, Index first) {
          return std::make_shared<rotary::CosSinTable<float>>(
              rotary::language_frequencies(x->shape.d), rotary::Positions::consecutive(count, first), layout);
        };
        const auto of_keys = table(x->shape.seq_k, 0),
                   of_queries = table(x->shape.seq_q, x->shape.seq_k - x->shape.seq_q);
        auto options = x->causal();
        options.query_rows = of_queries.get(), options.key_rows = of_keys.get();
        const double flops = x->shape.flops();
        return Comparison{repeated([=, keep = std::pair(of_keys, of_queries)] { x->attend(options); }),
                          repeated([=] { x->attend(x->causal()); }), [=] { return x->check(); }, flops,
                          flops};
      });
}

/// Plain Eigen: all scores of a head in memory, forward and backward, causal by a mask.
void with_scores_in_memory(Tensors<float>& x, Matrix& scores, Matrix& grad, std::array<Matrix, 4>& result) {
  const AttentionShape& s = x.shape;
  using Rows = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
  const float scale = 1 / std::sqrt(static_cast<float>(s.d));
  for (Index h = 0; h < s.heads; ++h) {
    const Rows q(x.q.data() + h * s.d, s.seq_q, s.d, Eigen::OuterStride<>(s.heads * s.d));
    const Rows k(x.k.data() + h * s.d, s.seq_k, s.d, Eigen::OuterStride<>(s.heads * s.d));
    const Rows v(x.v.data() + h * s.d, s.seq_k, s.d, Eigen::OuterStride<>(s.heads * s.d));
    scores.noalias() = q * k.transpose() * scale;
    for (Index i = 0; i < s.seq_q; ++i) scores.row(i).tail(s.seq_k - i - 1).setConstant(-1e30f);
    scores.colwise() -= scores.rowwise().maxCoeff().eval();
    scores = scores.array().exp().matrix();
    // Eigen's exponential of these is not 0, and products with subnormal numbers are slow.
    for (Index i = 0; i < s.seq_q; ++i) scores.row(i).tail(s.seq_k - i - 1).setZero();
    scores.array().colwise() /= scores.rowwise().sum().array().eval();
    result[0].noalias() = scores * v;
    result[1].noalias() = scores.transpose() * result[0];  // of |out|²/2
    grad.noalias() = result[0] * v.transpose();
    const Eigen::VectorXf delta = grad.cwiseProduct(scores).rowwise().sum();
    grad = (scores.array() * (grad.colwise() - delta).array()).matrix();
    result[2].noalias() = grad * k * scale;
    result[3].noalias() = grad.transpose() * q * scale;
  }
}

void add_training(Index tokens) {
  add({"attention/training/" + std::to_string(tokens), "attention: forward and backward, causal",
       "plain Eigen, scores in memory", at_least(2)},
      [=] {
        const Index seq = settings().smoke ? std::min<Index>(tokens, 128) : tokens;
        const AttentionShape shape{seq, seq, 1, 1, 64};
        const auto x = std::make_shared<Tensors<float>>(shape);
        const auto gradients = std::make_shared<Tensors<float>>(shape);
        const auto log_sum = std::make_shared<Buffer<float>>(seq);
        const auto scores = std::make_shared<Matrix>(seq, seq), grad = std::make_shared<Matrix>(seq, seq);
        const auto result = std::make_shared<std::array<Matrix, 4>>();
        const auto measured = [=] {
          const auto view = [&](auto& of) { return StridedView<float>(of.data(), {seq, Index{1}, shape.d}); };
          const StridedView<float> sums(log_sum->data(), {seq, Index{1}}),
              out = view(x->out), grad_q = view(gradients->q), grad_k = view(gradients->k),
              grad_v = view(gradients->v);
          rotary::attend_with_log_sum(view(x->q), view(x->k), view(x->v), out, sums, {.causal = true});
          rotary::attend_backward(view(x->q), view(x->k), view(x->v), out, sums, grad_q, grad_k, grad_v,
                                  {.causal = true});
        };
        const auto check = [=]() -> std::string {
          measured();
          with_scores_in_memory(*x, *scores, *grad, *result);
          for (Index n = 0; n < seq * shape.d; ++n)
            if (!(std::fabs((*result)[2].data()[n] - gradients->q.data()[n]) < 1e-5f))
              return "gradient " + std::to_string(n) + " of queries is wrong";
          return {};
        };
        const double pairs = shape.pairs();
        return Comparison{repeated(measured),
                          repeated([=] { with_scores_in_memory(*x, *scores, *grad, *result); }), check, pairs,
                          pairs};
      });
}

const AttentionShape& prefill_shape() {
  static const AttentionShape shape{prefill_tokens(), prefill_tokens(), 4, 1};
  return shape;
}
const AttentionShape& decode_shape() {
  static const AttentionShape shape{1, cached_tokens(), 2, 2};
  return shape;
}

}  // namespace

void bench::register_benchmarks() {
  add_prefill();
  add_decode<float>("float");
  add_decode<Eigen::bfloat16>("bfloat16");
  add_cached<float, float>("float", "attend on a tensor", 256, at_most(1.05));
  add_cached<float, float>("float_pages_of_16", "attend on a tensor", 16, at_most(1.3));
  add_cached<Eigen::bfloat16, Eigen::bfloat16>("bfloat16", "attend on a tensor", 256, at_most(1.05));
  add_cached<Eigen::bfloat16, Eigen::bfloat16>("bfloat16_pages_of_16", "attend on a tensor", 16,
                                               at_most(1.05));
  add_cached<std::int8_t, float>("int8", "attend on a tensor of float", 256, at_most(1));
  add_threads("prefill", prefill_shape);
  add_threads("decode", decode_shape);
  add_rotation("prefill", prefill_shape);
  add_rotation("decode", decode_shape);
  for (const Index tokens : {512, 2048, 8192})
    if (tokens <= 2048 || !settings().quick) add_training(tokens);
}
