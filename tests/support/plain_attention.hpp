// Attention and its gradients written down from their formulas in double, one number at a time, and random calls of it.
#pragma once

#include <cmath>
#include <optional>
#include <rotary/attention/attend.hpp>
#include <string>
#include <vector>

#include "random.hpp"

namespace rotary::testing {

inline Tensor<double, 4> random_tensor(Random& random, Index batch, Index seq, Index heads, Index width) {
  Tensor<double, 4> x(batch, seq, heads, width);
  random.fill(x);
  return x;
}

/// The options of a call, owned, and what they mean.
struct PlainAttention {
  Index batch = 1, seq_q = 0, seq_k = 0, heads = 1, kv_heads = 1, d = 1, d_v = 1;
  bool causal = false, align_ends = false;
  std::optional<Index> window = {};
  Index sink_tokens = 0, query_offset = 0;
  std::vector<double> sink_logits = {};
  std::optional<double> soft_cap = {}, scale = {};
  std::vector<Index> cu_seqlens = {}, cu_seqlens_k = {};
  Tensor<bool, 4> mask = {};  // empty, or [batch or 1, heads or 1, seq_q or 1, seq_k or 1]
  double dropout_prob = 0;

  template <class T>
  AttentionOptions<T> options(const std::vector<T>& sinks) const {
    AttentionOptions<T> options;
    options.causal = causal, options.align_ends = align_ends, options.window = window;
    options.sink_tokens = sink_tokens, options.query_offset = query_offset, options.sink_logits = sinks;
    options.soft_cap = soft_cap, options.scale = scale;
    options.cu_seqlens = cu_seqlens, options.cu_seqlens_k = cu_seqlens_k;
    if (mask.size() > 0) options.mask = view_of(mask);
    options.dropout_prob = dropout_prob, options.dropout_seed = 99, options.first_sequence = 3;
    return options;
  }

  bool visible(Index b, Index h, Index i, Index j) const {
    Index q_begin = 0, q_end = seq_q, k_begin = 0, k_end = seq_k;
    const std::vector<Index>& of_keys = cu_seqlens_k.empty() ? cu_seqlens : cu_seqlens_k;
    for (std::size_t n = 0; n + 1 < cu_seqlens.size(); ++n)
      if (cu_seqlens[n] <= i && i < cu_seqlens[n + 1]) {
        q_begin = cu_seqlens[n], q_end = cu_seqlens[n + 1];
        k_begin = of_keys[n], k_end = of_keys[n + 1];
      }
    if (j < k_begin || j >= k_end) return false;
    if (mask.size() > 0) {
      const auto at = [&](std::size_t axis, Index n) { return mask.dimension(axis) == 1 ? 0 : n; };
      if (!mask(at(0, b), at(1, h), at(2, i), at(3, j))) return false;
    }
    const Index offset = align_ends ? (k_end - k_begin) - (q_end - q_begin) : query_offset;
    const Index p = i - q_begin + offset, key = j - k_begin;
    if (causal && key > p) return false;
    return !window || key < sink_tokens || (key > p - *window && key < p + *window);
  }
};

struct PlainResult {
  Tensor<double, 4> out;
  Tensor<double, 3> log_sum;
  Tensor<double, 4> grad_q, grad_k, grad_v;
  std::vector<double> grad_sinks;
};

/// The result and, for the gradient `g` of the result, the gradients; `g` may be empty.
inline PlainResult plain_attention(const PlainAttention& a, const Tensor<double, 4>& q,
                                   const Tensor<double, 4>& k, const Tensor<double, 4>& v,
                                   const Tensor<double, 4>& g = {}) {
  PlainResult r{Tensor<double, 4>(a.batch, a.seq_q, a.heads, a.d_v),
                Tensor<double, 3>(a.batch, a.seq_q, a.heads),
                Tensor<double, 4>(q.dimensions()),
                Tensor<double, 4>(k.dimensions()),
                Tensor<double, 4>(v.dimensions()),
                std::vector<double>(a.sink_logits.size())};
  r.out.setZero(), r.grad_q.setZero(), r.grad_k.setZero(), r.grad_v.setZero();
  const double scale = a.scale.value_or(1 / std::sqrt(static_cast<double>(a.d)));
  const detail::AttentionDropout dropout{a.dropout_prob, 99};
  const auto count = static_cast<std::size_t>(a.seq_k);
  for (Index b = 0; b < a.batch; ++b)
    for (Index h = 0; h < a.heads; ++h)
      for (Index i = 0; i < a.seq_q; ++i) {
        const Index kv = h / (a.heads / a.kv_heads);
        std::vector<double> p(count), slope(count, 1.0), dropout_factor(count, 1.0), grad(count);
        double sum = a.sink_logits.empty() ? 0 : std::exp(a.sink_logits[static_cast<std::size_t>(h)]);
        const double sink = sum;
        for (std::size_t n = 0; n < count; ++n) {
          const auto j = static_cast<Index>(n);
          if (!a.visible(b, h, i, j)) continue;
          double s = 0;
          for (Index f = 0; f < a.d; ++f) s += scale * q(b, i, h, f) * k(b, j, kv, f);
          if (a.soft_cap) {
            const double t = std::tanh(s / *a.soft_cap);
            s = *a.soft_cap * t, slope[n] = 1 - t * t;
          }
          if (a.dropout_prob > 0) dropout.factors(3 + b, h, i, j, 1, &dropout_factor[n]);
          sum += p[n] = std::exp(s);
        }
        r.log_sum(b, i, h) = std::log(sum);
        if (sum == 0) continue;
        double delta = 0;
        for (std::size_t n = 0; n < count; ++n) {
          const auto j = static_cast<Index>(n);
          p[n] /= sum;
          if (p[n] == 0) continue;
          for (Index f = 0; f < a.d_v; ++f) {
            r.out(b, i, h, f) += p[n] * dropout_factor[n] * v(b, j, kv, f);
            if (g.size() == 0) continue;
            r.grad_v(b, j, kv, f) += p[n] * dropout_factor[n] * g(b, i, h, f);
            grad[n] += dropout_factor[n] * g(b, i, h, f) * v(b, j, kv, f);
          }
          delta += p[n] * grad[n];
        }
        if (g.size() == 0) continue;
        if (sink > 0) r.grad_sinks[static_cast<std::size_t>(h)] -= sink / sum * delta;
        for (std::size_t n = 0; n < count; ++n)
          for (Index f = 0; f < a.d; ++f) {
            const auto j = static_cast<Index>(n);
            const double of_score = p[n] * (grad[n] - delta) * slope[n] * scale;
            r.grad_q(b, i, h, f) += of_score * k(b, j, kv, f);
            r.grad_k(b, j, kv, f) += of_score * q(b, i, h, f);
          }
      }
  return r;
}

/// Starts of a few sequences, some of them empty, in `tokens` tokens.
inline std::vector<Index> random_starts(Random& random, Index tokens, int sequences) {
  std::vector<Index> starts{0};
  for (int n = 1; n < sequences; ++n) starts.push_back(random.integer(starts.back(), tokens));
  starts.push_back(tokens);
  return starts;
}

/// A call with the options that are set in `which`, for given sizes.
inline PlainAttention random_attention(Random& random, unsigned which, Index seq_q, Index seq_k) {
  PlainAttention a;
  a.batch = random.integer(1, 2);
  a.seq_q = seq_q, a.seq_k = seq_k;
  a.kv_heads = random.integer(1, 2);
  a.heads = a.kv_heads * random.integer<Index>(1, 3);
  a.d = random.integer(1, 9), a.d_v = random.integer(1, 9);
  const auto has = [&](int bit) { return (which >> bit & 1) != 0; };
  a.causal = has(0);
  if (has(1)) a.window = random.integer<Index>(1, std::max<Index>(1, seq_k));
  if (has(1) && has(2)) a.sink_tokens = random.integer(1, 5);
  if (has(3))
    for (Index h = 0; h < a.heads; ++h) a.sink_logits.push_back(random.normal());
  if (has(4)) a.soft_cap = random.uniform(0.5, 3);
  if (has(5)) {
    a.mask.resize(random.pick({Index{1}, a.batch}), random.pick({Index{1}, a.heads}),
                  random.pick({Index{1}, seq_q}), random.pick({Index{1}, seq_k}));
    for (Index n = 0; n < a.mask.size(); ++n) a.mask.data()[n] = random.integer(0, 3) > 0;
  }
  if (has(6)) {
    a.cu_seqlens = random_starts(random, seq_q, 3);
    if (seq_q != seq_k || random.integer(0, 1) == 1) a.cu_seqlens_k = random_starts(random, seq_k, 3);
  }
  if (has(7) && (a.causal || a.window)) {
    a.align_ends = random.integer(0, 1) == 1;
    if (!a.align_ends) a.query_offset = random.integer<Index>(-3, seq_k);
  }
  if (has(8)) a.dropout_prob = 0.3;
  if (random.integer(0, 3) == 0) a.scale = 0.7;
  return a;
}
/// All that `which` may be.
inline constexpr unsigned kAttentionCalls = 1u << 9;

inline std::string describe(const PlainAttention& a, unsigned which) {
  return "options " + std::to_string(which) + ", " + std::to_string(a.seq_q) + " queries, " +
         std::to_string(a.seq_k) + " keys, heads " + std::to_string(a.heads) + " of " +
         std::to_string(a.kv_heads) + ", d " + std::to_string(a.d) + ", d_v " + std::to_string(a.d_v);
}

/// The largest difference; NaN and infinities that differ are one too.
template <class A, class B>
double farthest(const A& a, const B& b) {
  double largest = 0;
  for (Index n = 0; n < static_cast<Index>(a.size()); ++n) {
    const auto x = static_cast<double>(a.data()[n]), y = static_cast<double>(b.data()[n]);
    if (x == y) continue;
    if (!(std::abs(x - y) <= largest)) largest = std::abs(x - y);
  }
  return largest;
}

template <class A>
double largest_of(const A& a) {
  double largest = 0;
  for (Index n = 0; n < static_cast<Index>(a.size()); ++n)
    largest = std::max(largest, std::abs(static_cast<double>(a.data()[n])));
  return largest;
}

}  // namespace rotary::testing
