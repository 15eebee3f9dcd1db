// Code without the library: the plain loop, and the obvious Eigen expression.
#pragma once

#include <cmath>

#include "measured_tensor.hpp"

namespace bench {

/// Cosines and sines of [seq, head_dim / 2] angles position · theta^(−2i / head_dim), in float as most do it.
struct TableByHand {
  rotary::Tensor<float, 2> cos, sin;

  TableByHand(const Shape& shape) : cos(shape.seq, shape.head_dim / 2), sin(shape.seq, shape.head_dim / 2) {
    for (Index n = 0; n < shape.seq; ++n) {
      for (Index i = 0; i < shape.head_dim / 2; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim);
        const double angle = static_cast<double>(shape.offset + n) * std::pow(10000.0, exponent);
        cos(n, i) = static_cast<float>(std::cos(angle));
        sin(n, i) = static_cast<float>(std::sin(angle));
      }
    }
  }
};

/// x[b, h, n, :] for all heads, one pair after the other.
inline void plain_loop(float* x, const Shape& shape, const TableByHand& table, Pairing pairing) {
  const Index pairs = shape.head_dim / 2;
  for (Index head = 0; head < shape.batch * shape.heads; ++head) {
    for (Index n = 0; n < shape.seq; ++n, x += shape.head_dim) {
      const float* cos = table.cos.data() + n * pairs;
      const float* sin = table.sin.data() + n * pairs;
      for (Index i = 0; i < pairs; ++i) {
        float& first = pairing == Pairing::half ? x[i] : x[2 * i];
        float& second = pairing == Pairing::half ? x[i + pairs] : x[2 * i + 1];
        const float a = first, b = second;
        first = a * cos[i] - b * sin[i];
        second = b * cos[i] + a * sin[i];
      }
    }
  }
}

/// x cos + rotate_half(x) sin with half pairs, the formula of most Python sources.
class EigenExpression {
 public:
  EigenExpression(const Shape& shape, const TableByHand& table)
      : cos_(by_feature(table.cos)), sin_(by_feature(table.sin)) {
    heads_ = {shape.batch, shape.heads, 1, 1};
  }

  template <class In, class Out>
  void operator()(const In& x, Out& out) const {
    const Index heads = x.dimension(1), seq = x.dimension(2), half = x.dimension(3) / 2;
    const Eigen::DSizes<Index, 4> extents{x.dimension(0), heads, seq, half};
    const auto first = x.slice(Eigen::DSizes<Index, 4>(0, 0, 0, 0), extents);
    const auto second = x.slice(Eigen::DSizes<Index, 4>(0, 0, 0, half), extents);
    out = x * cos_.broadcast(heads_) + (-second).concatenate(first, 3) * sin_.broadcast(heads_);
  }

 private:
  /// [1, 1, seq, head_dim], every column twice.
  static rotary::Tensor<float, 4> by_feature(const rotary::Tensor<float, 2>& columns) {
    const Index seq = columns.dimension(0), pairs = columns.dimension(1);
    rotary::Tensor<float, 4> twice(1, 1, seq, 2 * pairs);
    for (Index n = 0; n < seq; ++n)
      for (Index j = 0; j < 2 * pairs; ++j) twice(0, 0, n, j) = columns(n, j % pairs);
    return twice;
  }

  rotary::Tensor<float, 4> cos_, sin_;
  std::array<Index, 4> heads_;
};

}  // namespace bench
