// The weights of multi-head attention, and their gradients.
#pragma once

#include <cmath>
#include <cstdint>

#include "token_rows.hpp"

namespace rotary::inline ROTARY_ABI {

/// The four linear maps of multi-head attention, y = x Wᵀ + b: weights [out, in] row-major, as PyTorch stores
/// them.
///
/// Their gradients have the same shapes, so they are an object of this type too: `backward` adds to it,
/// `set_zero` clears it.
template <RowScalar T>
struct AttentionWeights {
  using Matrix = detail::RowMajorMatrix<T>;
  using RowVector = Eigen::Matrix<T, 1, Eigen::Dynamic, Eigen::RowMajor>;

  /// A linear map y = x Wᵀ + b, or its gradient.
  struct Linear {
    Matrix weight;
    RowVector bias;  ///< empty without a bias

    Linear(Index out, Index in, bool has_bias)
        : weight(Matrix::Zero(out, in)), bias(RowVector::Zero(has_bias ? out : 0)) {}

    /// y = x Wᵀ + b; x is [tokens, in], y [tokens, out].
    void forward(const Matrix& x, Matrix& y) const {
      y.resize(x.rows(), weight.rows());
      detail::multiply_transposed<T>(x, weight, y);
      if (bias.size() > 0) y.rowwise() += bias;
    }
    /// Adds the gradients with respect to W and b to `gradient`, from the one with respect to y.
    void backward(const Matrix& x, const Matrix& grad_y, Linear& gradient) const {
      detail::add_transposed_product<T>(grad_y, x, gradient.weight);
      // The terms of a long sequence cancel; summed in float, their rounding errors would remain.
      if (bias.size() > 0) gradient.bias += grad_y.template cast<double>().colwise().sum().template cast<T>();
    }
  };

  Linear query, key, value, output;

  /// Weights and biases of 0. Without `bias`, queries and keys have none; values and output always have one.
  AttentionWeights(Index d_model, bool bias)
      : query(d_model, d_model, bias),
        key(d_model, d_model, bias),
        value(d_model, d_model, true),
        output(d_model, d_model, true) {}

  /// Calls f(name, matrix) or f(name, row vector) for every parameter, with labml's names, in a fixed order.
  template <class F>
  void for_each(F&& f) {
    visit(*this, f);
  }
  template <class F>
  void for_each(F&& f) const {
    visit(*this, f);
  }

  /// Throws unless the parameters still have the shapes of construction.
  void check(Index d_model, bool bias, const char* name) const {
    for (const Linear* linear : {&query, &key, &value, &output}) {
      const Index wanted = linear == &value || linear == &output || bias ? d_model : 0;
      if (linear->weight.rows() != d_model || linear->weight.cols() != d_model ||
          linear->bias.size() != wanted)
        detail::fail(name, " are [", linear->weight.rows(), ", ", linear->weight.cols(), "] with a bias of ",
                     linear->bias.size(), ", they must be [", d_model, ", ", d_model, "] with a bias of ",
                     wanted);
    }
  }

  void set_zero() {
    for_each([](const char*, auto& parameter) { parameter.setZero(); });
  }

  /// Draws weights and biases uniformly from ±1/√in, as PyTorch's nn.Linear: kaiming_uniform_ with a = √5 (He et al.,
  /// 2015). A seed gives the same weights on every machine.
  void initialize(std::uint64_t seed) {
    std::uint64_t state = seed;
    const auto draw = [&state](double bound, auto& parameter) {
      for (Index i = 0; i < parameter.size(); ++i) {
        // splitmix64 (Steele, Lea and Flood, 2014); its upper 53 bits are a number in [0, 1)
        std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        const double uniform = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
        parameter.data()[i] = static_cast<T>(bound * (2 * uniform - 1));
      }
    };
    for (Linear* linear : {&query, &key, &value, &output}) {
      const double bound = 1 / std::sqrt(static_cast<double>(linear->weight.cols()));
      draw(bound, linear->weight);
      draw(bound, linear->bias);
    }
  }

 private:
  template <class Self, class F>
  static void visit(Self& self, F& f) {
    f("query.linear.weight", self.query.weight);
    if (self.query.bias.size() > 0) f("query.linear.bias", self.query.bias);
    f("key.linear.weight", self.key.weight);
    if (self.key.bias.size() > 0) f("key.linear.bias", self.key.bias);
    f("value.linear.weight", self.value.weight);
    f("value.linear.bias", self.value.bias);
    f("output.weight", self.output.weight);
    f("output.bias", self.output.bias);
  }
};

}  // namespace rotary::inline ROTARY_ABI
