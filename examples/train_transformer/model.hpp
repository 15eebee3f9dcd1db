// The decoder: embedding, pre-norm layers of rotary attention and feed-forward, a last norm and the output
// head.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "attention_layer.hpp"
#include "cross_entropy.hpp"
#include "layers.hpp"
#include "matrix.hpp"
#include "random.hpp"

namespace train {

struct ModelOptions {
  Index vocabulary = 0;
  Index layers = 6;
  Index d_ff = 512;
  /// d_model, heads, the kind of positions; its dropout is that of the whole model.
  AttentionOptions attention;
};

/// Tokens [seq, batch], and what should follow each; -1 (kNotGraded) where nothing is asked.
struct Batch {
  Index seq = 0;
  Index batch = 0;
  std::vector<int> inputs, targets;

  Index tokens() const { return seq * batch; }
};

/// One pre-norm layer: x + attention(norm(x)), then that + feed_forward(norm(that)).
template <class Scalar>
struct TransformerLayer {
  LayerNorm<Scalar> norm_attention;
  AttentionLayer<Scalar> attention;
  LayerNorm<Scalar> norm_feed_forward;
  FeedForward<Scalar> feed_forward;

  struct Activations {
    typename LayerNorm<Scalar>::Activations norm_attention, norm_feed_forward;
    typename AttentionLayer<Scalar>::Activations attention;
    typename FeedForward<Scalar>::Activations feed_forward;
    Matrix<Scalar> attention_in, feed_forward_in, branch, attention_dropout, feed_forward_dropout;
  };

  explicit TransformerLayer(const ModelOptions& options)
      : norm_attention(options.attention.d_model),
        attention(options.attention),
        norm_feed_forward(options.attention.d_model),
        feed_forward(options.attention.d_model, options.d_ff) {}

  void initialize(Random& random) {
    norm_attention.initialize();
    attention.initialize(random);
    norm_feed_forward.initialize();
    feed_forward.initialize(random);
  }

  /// x [seq * batch, d_model] is replaced by what leaves the layer.
  void forward(Index seq, Index batch, const Dropout& dropout, Activations& a, Matrix<Scalar>& x) const {
    norm_attention.forward(x, a.norm_attention, a.attention_in);
    attention.forward(a.attention_in, seq, batch, dropout.random, a.attention, a.branch);
    dropout.forward(a.branch, a.attention_dropout);
    x += a.branch;
    norm_feed_forward.forward(x, a.norm_feed_forward, a.feed_forward_in);
    feed_forward.forward(a.feed_forward_in, dropout, a.feed_forward, a.branch);
    dropout.forward(a.branch, a.feed_forward_dropout);
    x += a.branch;
  }

  /// dx, the gradient of what left the layer, is replaced by that of what entered it.
  void backward(Activations& a, TransformerLayer& gradient, Matrix<Scalar>& dx, Matrix<Scalar>& d_in) const {
    a.branch = dx;
    Dropout::backward(a.feed_forward_dropout, a.branch);
    feed_forward.backward(a.feed_forward_in, a.feed_forward, a.branch, gradient.feed_forward, d_in);
    norm_feed_forward.backward(a.norm_feed_forward, d_in, gradient.norm_feed_forward, dx);
    a.branch = dx;
    Dropout::backward(a.attention_dropout, a.branch);
    attention.backward(a.attention, a.branch, gradient.attention, d_in);
    norm_attention.backward(a.norm_attention, d_in, gradient.norm_attention, dx);
  }

  void list(const std::string& name, Parameters<Scalar>& into) {
    norm_attention.list(name + ".norm_attention", into);
    attention.list(name + ".attention", into);
    norm_feed_forward.list(name + ".norm_feed_forward", into);
    feed_forward.list(name + ".feed_forward", into);
  }
};

/// The whole model: its weights, or, as another object of the same type, their gradient.
template <class Scalar>
class Model {
 public:
  /// The activations that backward needs of a forward pass. One object for each thread, which is reused from
  /// step to step, so that it allocates once.
  struct Activations {
    std::vector<typename TransformerLayer<Scalar>::Activations> layers;
    typename LayerNorm<Scalar>::Activations norm;
    Matrix<Scalar> encodings;  // sinusoidal, of the longest sequence so far
    Matrix<Scalar> x, head_in, logits, d_in;
  };

  /// All weights zero; see `initialize`.
  explicit Model(const ModelOptions& options)
      : options_(options),
        embedding_(Matrix<Scalar>::Zero(options.vocabulary, options.attention.d_model)),
        layers_(static_cast<std::size_t>(options.layers), TransformerLayer<Scalar>(options)),
        norm_(options.attention.d_model),
        head_(options.attention.d_model, options.vocabulary) {}

  const ModelOptions& options() const { return options_; }

  /// Draws the weights as PyTorch does: the embedding from a normal distribution of deviation 1, linear maps as
  /// Linear::initialize. Gains are 1, their biases 0.
  void initialize(std::uint64_t seed) {
    Random random({seed, kInitialWeights});
    for (Index i = 0; i < embedding_.size(); ++i) embedding_.data()[i] = static_cast<Scalar>(random.normal());
    for (auto& layer : layers_) layer.initialize(random);
    norm_.initialize();
    head_.initialize(random);
  }

  /// The logits [seq * batch, vocabulary] of the token after each input, in `a.logits`. With a
  /// `dropout_random` the model is trained, and drops features; without one it is used.
  void forward(const Batch& batch, Activations& a, Random* dropout_random = nullptr) const {
    a.layers.resize(layers_.size());
    a.x.resize(batch.tokens(), embedding_.cols());
    for (Index t = 0; t < batch.tokens(); ++t)
      a.x.row(t) = embedding_.row(batch.inputs[static_cast<std::size_t>(t)]);
    if (options_.attention.positions == PositionKind::sinusoidal) {
      if (a.encodings.rows() < batch.seq)
        a.encodings = sinusoidal_encodings<Scalar>(batch.seq, embedding_.cols());
      for (Index t = 0; t < batch.tokens(); ++t) a.x.row(t) += a.encodings.row(t / batch.batch);
    }
    const Dropout dropout{options_.attention.dropout,
                          options_.attention.dropout > 0 ? dropout_random : nullptr};
    for (std::size_t l = 0; l < layers_.size(); ++l)
      layers_[l].forward(batch.seq, batch.batch, dropout, a.layers[l], a.x);
    norm_.forward(a.x, a.norm, a.head_in);
    head_.forward(a.head_in, a.logits);
  }

  /// Adds to `gradient` what the loss of this batch, times `scale`, has as its gradient, and returns the
  /// loss. Calls finished(stage) as soon as the gradients of a stage are complete, in the order of `stages`.
  Loss train(
      const Batch& batch, double scale, Activations& a, Random& dropout_random, Model& gradient,
      const std::function<void(std::size_t stage)>& finished = [](std::size_t) {}) const {
    forward(batch, a, &dropout_random);
    const Loss loss = cross_entropy(a.logits, batch.targets, scale);
    head_.backward(a.head_in, a.logits, gradient.head_, a.d_in);
    a.x.setZero();
    norm_.backward(a.norm, a.d_in, gradient.norm_, a.x);
    finished(0);
    for (std::size_t l = layers_.size(); l-- > 0;) {
      layers_[l].backward(a.layers[l], gradient.layers_[l], a.x, a.d_in);
      finished(layers_.size() - l);
    }
    for (Index t = 0; t < batch.tokens(); ++t)
      gradient.embedding_.row(batch.inputs[static_cast<std::size_t>(t)]) += a.x.row(t);
    finished(layers_.size() + 1);
    return loss;
  }

  /// The weights in the order in which `train` completes their gradients: head and norm, the layers from the last to the
  /// first, the embedding.
  std::vector<Parameters<Scalar>> stages() {
    std::vector<Parameters<Scalar>> all(layers_.size() + 2);
    head_.list("head", all.front());
    norm_.list("norm", all.front());
    for (std::size_t l = 0; l < layers_.size(); ++l)
      layers_[l].list("layers." + std::to_string(l), all[layers_.size() - l]);
    list_matrix("embedding.weight", embedding_, all.back());
    return all;
  }

  /// Name, shape and place of every weight, always in the same order.
  Parameters<Scalar> parameters() {
    Parameters<Scalar> all;
    list_matrix("embedding.weight", embedding_, all);
    for (std::size_t l = 0; l < layers_.size(); ++l) layers_[l].list("layers." + std::to_string(l), all);
    norm_.list("norm", all);
    head_.list("head", all);
    return all;
  }

 private:
  ModelOptions options_;
  Matrix<Scalar> embedding_;
  std::vector<TransformerLayer<Scalar>> layers_;
  LayerNorm<Scalar> norm_;
  Linear<Scalar> head_;
};

}  // namespace train
