// What a layer of a decoder consists of besides attention: linear maps, norms and the feed-forward network.
#pragma once

#include <cmath>
#include <optional>

#include "device.hpp"
#include "model_config.hpp"

namespace generate {

/// y = x Wᵀ + b; without a bias if that is empty.
struct Linear {
  Matrix weight;  ///< [out, in]
  RowVector bias;

  void forward(const Matrix& x, Matrix& y, const Device& device) const {
    multiply_transposed(x, weight, y, device);
    if (bias.size() > 0) y.rowwise() += bias;
  }
};

/// RMSNorm, y = w x / √(mean x² + ε), or LayerNorm, which subtracts the mean of x first and adds a bias at the end.
struct Norm {
  NormKind kind = NormKind::rms;
  float epsilon = 0;
  RowVector weight, bias;  ///< RMSNorm has no bias

  /// Normalizes rows of as many features as `weight` has: a token each, or a head each. `y` may be `x`.
  void forward(const float* x, float* y, Index rows) const {
    const Index features = weight.size();
    for (Index row = 0; row < rows; ++row, x += features, y += features) {
      const Eigen::Map<const RowVector> from(x, features);
      Eigen::Map<RowVector> to(y, features);
      const float mean = kind == NormKind::layer ? from.mean() : 0.0f;
      const float variance = (from.array() - mean).square().mean();
      to = ((from.array() - mean) * (weight.array() / std::sqrt(variance + epsilon))).matrix();
      if (bias.size() > 0) to += bias;
    }
  }
  void forward(const Matrix& x, Matrix& y) const {
    y.resize(x.rows(), x.cols());
    forward(x.data(), y.data(), x.rows());
  }
};

/// down(f(gate(x)) · up(x)), which is SwiGLU if f is SiLU; without a gate, down(f(up(x))).
struct FeedForward {
  Activation activation = Activation::silu;
  std::optional<Linear> gate;
  Linear up, down;

  /// `hidden` and `gated` are memory for the activations.
  void forward(const Matrix& x, Matrix& hidden, Matrix& gated, Matrix& y, const Device& device) const {
    up.forward(x, hidden, device);
    if (gate) {
      gate->forward(x, gated, device);
      activate(gated);
      hidden.array() *= gated.array();
    } else {
      activate(hidden);
    }
    down.forward(hidden, y, device);
  }

 private:
  void activate(Matrix& x) const {
    if (activation == Activation::relu)
      x = x.cwiseMax(0.0f);
    else
      x.array() /= 1.0f + (-x.array()).exp();
  }
};

}  // namespace generate
