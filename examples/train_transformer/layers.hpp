// The layers of the transformer other than attention, each with its forward and its backward pass.
//
// A layer is its weights. Its gradient has the same shape, so it is an object of the same type: `backward`
// reads the weights from `*this` and adds to the gradient that it is given. What backward needs of a forward
// pass is stored in an `Activations` object of the caller, so that threads share the weights and nothing
// else.
#pragma once

#include <cmath>
#include <string>

#include "matrix.hpp"
#include "random.hpp"

namespace train {

/// y = x W + b, with x [tokens, in], W [in, out], b [out].
template <class Scalar>
struct Linear {
  Matrix<Scalar> weight;
  RowVector<Scalar> bias;

  Linear(Index in, Index out) : weight(Matrix<Scalar>::Zero(in, out)), bias(RowVector<Scalar>::Zero(out)) {}

  /// Weights and bias uniform within ±1/sqrt(in), as PyTorch's nn.Linear.
  void initialize(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(weight.rows()));
    const auto draw = [&](auto& parameter) {
      for (Index i = 0; i < parameter.size(); ++i)
        parameter.data()[i] = static_cast<Scalar>(random.uniform(-bound, bound));
    };
    draw(weight);
    draw(bias);
  }

  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const {
    y.noalias() = x * weight;
    y.rowwise() += bias;
  }

  /// From dy, the gradient with respect to y: adds those of weight and bias to `gradient`, writes that of x
  /// to `dx`.
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Linear& gradient,
                Matrix<Scalar>& dx) const {
    gradient.weight.noalias() += x.transpose() * dy;
    gradient.bias += dy.colwise().sum();
    dx.noalias() = dy * weight.transpose();
  }

  void list(const std::string& name, Parameters<Scalar>& into) {
    list_matrix(name + ".weight", weight, into);
    list_vector(name + ".bias", bias, into);
  }
};

/// Every token brought to mean 0 and deviation 1 over its features, then multiplied by a gain and shifted by
/// a bias.
template <class Scalar>
struct LayerNorm {
  static constexpr Scalar kEpsilon = Scalar(1e-5);

  RowVector<Scalar> gain, bias;

  struct Activations {
    Matrix<Scalar> normalized;
    ColumnVector<Scalar> inverse_deviation;
  };

  explicit LayerNorm(Index features)
      : gain(RowVector<Scalar>::Zero(features)), bias(RowVector<Scalar>::Zero(features)) {}

  void initialize() {
    gain.setOnes();
    bias.setZero();
  }

  void forward(const Matrix<Scalar>& x, Activations& a, Matrix<Scalar>& y) const {
    const Index tokens = x.rows();
    a.normalized.resize(tokens, x.cols());
    a.inverse_deviation.resize(tokens);
    y.resize(tokens, x.cols());
    for (Index t = 0; t < tokens; ++t) {
      auto row = a.normalized.row(t);
      row = (x.row(t).array() - x.row(t).mean()).matrix();
      const Scalar variance = row.squaredNorm() / static_cast<Scalar>(x.cols());
      a.inverse_deviation(t) = Scalar(1) / std::sqrt(variance + kEpsilon);
      row *= a.inverse_deviation(t);
      y.row(t) = (row.array() * gain.array() + bias.array()).matrix();
    }
  }

  /// Adds the gradient with respect to x to `dx`, which already has the gradient of the residual stream: a
  /// norm is the start of a branch next to it.
  void backward(const Activations& a, const Matrix<Scalar>& dy, LayerNorm& gradient,
                Matrix<Scalar>& dx) const {
    gradient.bias += dy.colwise().sum();
    RowVector<Scalar> d_normalized(dy.cols());
    for (Index t = 0; t < dy.rows(); ++t) {
      const auto normalized = a.normalized.row(t);
      gradient.gain.array() += dy.row(t).array() * normalized.array();
      // A part of a vector is never resized: GCC 12, for AArch64, takes the memory of a whole one for freed.
      d_normalized.head(dy.cols()) = (dy.row(t).array() * gain.array()).matrix();
      const Scalar mean = d_normalized.mean();
      const Scalar along = d_normalized.dot(normalized) / static_cast<Scalar>(dy.cols());
      dx.row(t).array() +=
          a.inverse_deviation(t) * (d_normalized.array() - mean - normalized.array() * along);
    }
  }

  void list(const std::string& name, Parameters<Scalar>& into) {
    list_vector(name + ".gain", gain, into);
    list_vector(name + ".bias", bias, into);
  }
};

/// In training, sets each number to 0 with some probability and divides the others by 1 - probability, so
/// that the expectation stays. Without a stream of random numbers, or with probability 0, it does nothing.
struct Dropout {
  double probability = 0;
  Random* random = nullptr;

  /// `factors` receives the factor of each number, for the gradient; it is empty if nothing was done.
  template <class Scalar>
  void forward(Matrix<Scalar>& x, Matrix<Scalar>& factors) const {
    factors.resize(0, 0);
    if (!random || probability <= 0) return;
    const Scalar factor = static_cast<Scalar>(1.0 / (1.0 - probability));
    factors.resize(x.rows(), x.cols());
    for (Index i = 0; i < factors.size(); ++i)
      factors.data()[i] = random->uniform() < probability ? Scalar(0) : factor;
    x.array() *= factors.array();
  }

  template <class Scalar>
  static void backward(const Matrix<Scalar>& factors, Matrix<Scalar>& dx) {
    if (factors.size() > 0) dx.array() *= factors.array();
  }
};

/// y = max(0, x W1 + b1) W2 + b2, with dropout on the hidden features.
template <class Scalar>
struct FeedForward {
  Linear<Scalar> layer1, layer2;

  struct Activations {
    Matrix<Scalar> hidden, dropout_factors, d_hidden;
  };

  FeedForward(Index d_model, Index d_ff) : layer1(d_model, d_ff), layer2(d_ff, d_model) {}

  void initialize(Random& random) {
    layer1.initialize(random);
    layer2.initialize(random);
  }

  void forward(const Matrix<Scalar>& x, const Dropout& dropout, Activations& a, Matrix<Scalar>& y) const {
    layer1.forward(x, a.hidden);
    a.hidden = a.hidden.cwiseMax(Scalar(0));
    dropout.forward(a.hidden, a.dropout_factors);
    layer2.forward(a.hidden, y);
  }

  void backward(const Matrix<Scalar>& x, Activations& a, const Matrix<Scalar>& dy, FeedForward& gradient,
                Matrix<Scalar>& dx) const {
    layer2.backward(a.hidden, dy, gradient.layer2, a.d_hidden);
    Dropout::backward(a.dropout_factors, a.d_hidden);
    a.d_hidden = (a.hidden.array() > Scalar(0)).select(a.d_hidden, Scalar(0));
    layer1.backward(x, a.d_hidden, gradient.layer1, dx);
  }

  void list(const std::string& name, Parameters<Scalar>& into) {
    layer1.list(name + ".layer1", into);
    layer2.list(name + ".layer2", into);
  }
};

}  // namespace train
