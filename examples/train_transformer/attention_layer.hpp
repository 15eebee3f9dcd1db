// Where the model meets the library: self-attention by rotary::RotaryMultiHeadAttention.
#pragma once

#include <optional>
#include <rotary/attention.hpp>
#include <string>

#include "matrix.hpp"
#include "positions.hpp"
#include "random.hpp"

namespace train {

struct AttentionOptions {
  Index d_model = 128;
  Index heads = 16;
  PositionKind positions = PositionKind::rotary;
  double rope_percentage = 1.0;  ///< share of the features of a head that rotate
  /// Of the features that rotate, instead of those of training: for longer sequences.
  std::optional<rotary::Frequencies> frequencies = {};
  double dropout = 0.0;  ///< of attention probabilities, in training
};

/// Causal self-attention on tokens [seq * batch, d_model]. The library wants [seq, batch, d_model], which is
/// the same memory; a view says so.
template <class Scalar>
struct AttentionLayer {
  rotary::RotaryMultiHeadAttention<Scalar> attention;

  using Activations = rotary::AttentionActivations<Scalar>;

  explicit AttentionLayer(const AttentionOptions& options) : attention(library_options(options)) {
    attention.weights().set_zero();
  }

  void initialize(Random& random) { attention.weights().initialize(random.bits()); }

  /// With a `dropout_random`, attention is trained, and drops probabilities.
  void forward(const Matrix<Scalar>& x, Index seq, Index batch, Random* dropout_random, Activations& a,
               Matrix<Scalar>& y) const {
    rotary::AttendOptions options{.causal = true};
    if (dropout_random) options.dropout_seed = dropout_random->bits();
    y.resize(x.rows(), x.cols());
    const auto tokens = view(x, seq, batch);
    attention.forward_into(tokens, tokens, tokens, view(y, seq, batch), options, a);
  }

  void backward(Activations& a, const Matrix<Scalar>& dy, AttentionLayer& gradient,
                Matrix<Scalar>& dx) const {
    dx.resize(dy.rows(), dy.cols());
    // x is query, key and value: written to the same place, the three gradients are added up.
    const auto d_tokens = view(dx, a.seq_q(), a.batch());
    attention.backward_into(view(dy, a.seq_q(), a.batch()), a, gradient.attention.weights(), d_tokens,
                            d_tokens, d_tokens);
  }

  void list(const std::string& name, Parameters<Scalar>& into) {
    attention.weights().for_each([&](const char* parameter, auto& values) {
      into.push_back({name + "." + parameter, shape_of(values), values.data()});
    });
  }

 private:
  static rotary::RotaryMultiHeadAttentionOptions library_options(const AttentionOptions& options) {
    rotary::RotaryMultiHeadAttentionOptions wanted{.heads = options.heads,
                                                   .d_model = options.d_model,
                                                   .rope_percentage = options.rope_percentage,
                                                   .dropout_prob = options.dropout};
    if (!rotates(options.positions)) wanted.rope_percentage = 0;
    if (options.positions == PositionKind::rotary_value)
      wanted.rope_value_percentage = options.rope_percentage;
    if (options.positions == PositionKind::xpos) wanted.xpos_scale_base = 512;
    if (options.frequencies) {
      wanted.rope_percentage = std::nullopt;
      wanted.frequencies = options.frequencies;
    }
    return wanted;
  }

  static rotary::StridedView<const Scalar> view(const Matrix<Scalar>& x, Index seq, Index batch) {
    return {x.data(), {seq, batch, x.cols()}};
  }
  static rotary::StridedView<Scalar> view(Matrix<Scalar>& x, Index seq, Index batch) {
    return {x.data(), {seq, batch, x.cols()}};
  }

  template <class Values>
  static std::vector<Index> shape_of(const Values& values) {
    if constexpr (Values::RowsAtCompileTime == 1)
      return {values.size()};
    else
      return {values.rows(), values.cols()};
  }
};

}  // namespace train
