// The weights of multi-head attention, and their gradients.
#pragma once

#include <cmath>
#include <cstdint>

#include "multi_head_options.hpp"
#include "token_rows.hpp"

namespace rotary::inline ROTARY_ABI {

/// The four linear maps of multi-head attention, y = x Wᵀ + b: weights [out, in] row-major, as PyTorch stores
/// them; and the gains of QK-norm.
///
/// Their gradients have the same shapes, so they are an object of this type too: `backward` of `RotaryMultiHeadAttention`
/// adds to it, `set_zero` clears it.
template <RowScalar T>
struct AttentionWeights {
  /// A row-major matrix of weights.
  using Matrix = detail::RowMajorMatrix<T>;
  /// A bias, or the gains of QK-norm.
  using RowVector = Eigen::Matrix<T, 1, Eigen::Dynamic, Eigen::RowMajor>;

  /// A linear map y = x Wᵀ + b, or its gradient.
  struct Linear {
    Matrix weight;   ///< W, [out, in]
    RowVector bias;  ///< b, [out]; empty without a bias

    /// A map of `in` features to `out`, with weights and bias 0.
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

  /// The projections: query is [heads · d_k, d_model], key and value are [kv_heads · d_k, d_model], and
  /// output is [d_model, heads · d_k].
  Linear query, key, value, output;
  RowVector query_norm, key_norm;  ///< the gains of QK-norm, [d_k]; empty without it

  /// Weights and biases of 0. Without `bias`, queries and keys have none; values and output always have one.
  AttentionWeights(Index d_model, bool bias)
      : AttentionWeights(RotaryMultiHeadAttentionOptions{.heads = 1, .d_model = d_model, .bias = bias}) {}
  /// Zeros of the shapes that these options have.
  explicit AttentionWeights(const RotaryMultiHeadAttentionOptions& options)
      : AttentionWeights(options, detail::head_sizes<T>(options)) {}

  /// Calls f(name, matrix) or f(name, row vector) for every parameter, with labml's names, in a fixed order.
  template <class F>
  void for_each(F&& f) {
    visit(*this, f);
  }
  /// Calls f(name, matrix) or f(name, row vector) for every parameter, all of them const, in a fixed order.
  template <class F>
  void for_each(F&& f) const {
    visit(*this, f);
  }

  /// Throws std::invalid_argument, naming them `name`, unless all parameters are of these options' shapes.
  void check(const RotaryMultiHeadAttentionOptions& options, const char* name) const {
    const detail::HeadSizes sizes = detail::head_sizes<T>(options);
    const auto check_one = [&](const Linear& linear, Index out, Index in, bool has_bias) {
      if (linear.weight.rows() != out || linear.weight.cols() != in ||
          linear.bias.size() != (has_bias ? out : 0))
        detail::fail(name, " are [", linear.weight.rows(), ", ", linear.weight.cols(), "] with a bias of ",
                     linear.bias.size(), ", they must be [", out, ", ", in, "] with a bias of ",
                     has_bias ? out : 0);
    };
    check_one(query, sizes.query_features(), sizes.d_model, options.bias);
    check_one(key, sizes.key_features(), sizes.d_model, options.bias);
    check_one(value, sizes.key_features(), sizes.d_model, true);
    check_one(output, sizes.d_model, sizes.query_features(), true);
    for (const RowVector* norm : {&query_norm, &key_norm})
      if (norm->size() != (options.qk_norm ? sizes.d_k : 0))
        detail::fail(name, " of QK-norm are [", norm->size(), "], they must be [",
                     options.qk_norm ? sizes.d_k : 0, "]");
  }

  /// Sets all parameters to 0, as gradients must be before a step of training adds to them.
  void set_zero() {
    for_each([](const char*, auto& parameter) { parameter.setZero(); });
  }

  /// Draws weights and biases uniformly from ±1/√in, as PyTorch's nn.Linear: kaiming_uniform_ with a = √5 (He et al.,
  /// 2015). The gains of QK-norm become 1. A seed gives the same weights on every machine.
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
    query_norm.setOnes();
    key_norm.setOnes();
  }

 private:
  AttentionWeights(const RotaryMultiHeadAttentionOptions& options, const detail::HeadSizes& sizes)
      : query(sizes.query_features(), sizes.d_model, options.bias),
        key(sizes.key_features(), sizes.d_model, options.bias),
        value(sizes.key_features(), sizes.d_model, true),
        output(sizes.d_model, sizes.query_features(), true),
        query_norm(RowVector::Zero(options.qk_norm ? sizes.d_k : 0)),
        key_norm(RowVector::Zero(options.qk_norm ? sizes.d_k : 0)) {}

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
    if (self.query_norm.size() > 0) f("query_norm.weight", self.query_norm);
    if (self.key_norm.size() > 0) f("key_norm.weight", self.key_norm);
  }
};

}  // namespace rotary::inline ROTARY_ABI
