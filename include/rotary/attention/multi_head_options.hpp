// RotaryMultiHeadAttentionOptions: what labml's modules of attention are constructed from.
#pragma once

#include <cmath>
#include <optional>

#include "../core/head_layout.hpp"
#include "../models/rope_parameters.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of RotaryMultiHeadAttention and RotaryValueMultiHeadAttention.
///
/// The defaults are those of labml's current repository (annotated_deep_learning_paper_implementations, as of 2025): half
/// of the features rotate, all projections have a bias, no dropout. `labml_listing_options` are those of the version that
/// was published first, `layer_attention_options` those of a layer of a published model. `.rope_percentage = 0` is labml's
/// plain MultiHeadAttention.
///
/// @code
///   const rotary::RotaryMultiHeadAttention<float> of_labml({.heads = 2, .d_model = 16});
///   const rotary::RotaryMultiHeadAttention<float> grouped(
///       {.heads = 8, .d_model = 64, .kv_heads = 2, .head_dim = 16, .window = 128, .qk_norm = true});
///   const rotary::RotaryMultiHeadAttention<float> with_yarn(
///       {.heads = 2, .d_model = 64,
///        .frequencies = rotary::yarn_frequencies(32, 10000, {.factor = 4, .original_max_position_embeddings = 512})});
/// @endcode
struct RotaryMultiHeadAttentionOptions {
  Index heads = 0;     ///< heads of queries
  Index d_model = 0;   ///< features of a token
  Index kv_heads = 0;  ///< heads of keys and values, a divisor of `heads`; 0: as many as `heads`
  Index head_dim = 0;  ///< d_k, the features of a head; 0: d_model / heads

  /// The first int(d_k · rope_percentage) features of queries and keys rotate; 0.5 if unset.
  std::optional<double> rope_percentage = {};
  /// The first int(d_k · rope_value_percentage) features of values rotate, as in RoPER. If unset: none, and half of them in
  /// RotaryValueMultiHeadAttention.
  std::optional<double> rope_value_percentage = {};
  double dropout_prob = 0;          ///< the share of probabilities that calls with a `dropout_seed` drop
  bool bias = true;                 ///< do the projections of queries and keys have a bias?
  std::optional<double> base = {};  ///< theta_j = base^(−2j/d) if d features rotate; 10000 if unset
  /// The frequencies of the features that rotate, instead of `rope_percentage` and `base`: those of any variant. Where values
  /// rotate, by as many features. A magnitude multiplies queries and keys.
  std::optional<Frequencies> frequencies = {};
  /// Which features `frequencies` rotate, and how they are paired; if unset the first 2 · pairs, in halves.
  std::optional<HeadLayout> layout = {};
  std::optional<double> xpos_scale_base = {};  ///< if given, scores decay as in XPos: for causal attention

  std::optional<double> scale = {};  ///< multiplies scores; 1/√d_k if unset
  /// How many keys a query sees on a side, its own position included; at least 1. If unset, all.
  std::optional<Index> window = {};
  std::optional<double> soft_cap = {};  ///< scores s become soft_cap · tanh(s / soft_cap), as in Gemma 2
  /// Each head of queries and keys is divided by its root mean square and multiplied by a learned weight before it is
  /// rotated, as in Qwen3.
  bool qk_norm = false;
  double qk_norm_epsilon = 1e-6;  ///< is added to the mean square of a head, before its root is taken
};

/// The options of labml's first version of RotaryPEMultiHeadAttention, as its listing was published: all features
/// rotate, the projections of queries and keys have no bias, dropout is 0.1.
///
/// @code
///   const rotary::RotaryMultiHeadAttention<float> attention(rotary::labml_listing_options(/*heads=*/2, /*d_model=*/16));
/// @endcode
inline RotaryMultiHeadAttentionOptions labml_listing_options(Index heads, Index d_model) {
  return {.heads = heads, .d_model = d_model, .rope_percentage = 1, .dropout_prob = 0.1, .bias = false};
}

/// The options of the attention of a model's layer, whose rotary embedding is `rope`: of a preset, of a configuration, or
/// filled in by hand. Its head_dim, frequencies, layout and softmax scale are taken; queries and keys have no bias. Window,
/// QK-norm and others are set on the result. Frequencies that depend on the length of the text are those of `length`.
/// Throws std::invalid_argument for a layer that rotates the outputs of its heads back, as DeepSeek V4 does.
///
/// @code
///   const rotary::RopeParameters rope{.theta = 1e6, .head_dim = 16};
///   auto options = rotary::layer_attention_options(rope, /*heads=*/4, /*kv_heads=*/2, /*d_model=*/32);
///   options.qk_norm = true;
///   const rotary::RotaryMultiHeadAttention<float> attention(options);
/// @endcode
inline RotaryMultiHeadAttentionOptions layer_attention_options(const RopeParameters& rope, Index heads,
                                                               Index kv_heads, Index d_model,
                                                               double length = 0) {
  if (rope.rotates_output_back)
    detail::fail("the outputs of the heads are rotated back, which this attention does not do");
  return {.heads = heads,
          .d_model = d_model,
          .kv_heads = kv_heads,
          .head_dim = rope.head_dim,
          .bias = false,
          .frequencies = rope.rope_frequencies(length),
          .layout = rope.layout(),
          .scale = rope.softmax_scale / std::sqrt(static_cast<double>(rope.head_dim))};
}

namespace detail {

/// The sizes of multi-head attention.
struct HeadSizes {
  Index d_model, heads, kv_heads, d_k;

  Index query_features() const { return heads * d_k; }
  Index key_features() const { return kv_heads * d_k; }
  friend bool operator==(const HeadSizes&, const HeadSizes&) = default;
};

/// Throws on sizes that no attention has.
template <class T>
HeadSizes head_sizes(const RotaryMultiHeadAttentionOptions& options) {
  const Index heads = options.heads, d_model = options.d_model;
  if (heads < 1 || d_model < 1 || (options.head_dim == 0 && d_model % heads != 0))
    fail("d_model is ", d_model, " and heads is ", heads,
         "; both must be positive, and d_model a multiple of heads");
  if (options.head_dim < 0) fail("head_dim is ", options.head_dim, ", it must be positive, or 0");
  const Index kv_heads = options.kv_heads == 0 ? heads : options.kv_heads;
  if (kv_heads < 1 || heads % kv_heads != 0)
    fail("heads is ", heads, " and kv_heads is ", kv_heads, "; kv_heads must divide heads");
  const HeadSizes sizes{d_model, heads, kv_heads, options.head_dim == 0 ? d_model / heads : options.head_dim};
  checked_elements<T>(d_model, checked_product(heads, sizes.d_k));
  return sizes;
}

/// The options. Throws on numbers that no attention has.
template <class T>
const RotaryMultiHeadAttentionOptions& checked(const RotaryMultiHeadAttentionOptions& options) {
  head_sizes<T>(options);
  if (!finite_bits(options.dropout_prob) || options.dropout_prob < 0 || options.dropout_prob >= 1)
    fail("dropout_prob is ", options.dropout_prob, ", it must be at least 0 and below 1");
  if (options.scale) check_finite("scale", *options.scale);
  if (options.window && *options.window < 1) fail("window is ", *options.window, ", it must be at least 1");
  if (options.soft_cap) check_positive("soft_cap", *options.soft_cap);
  check_positive("qk_norm_epsilon", options.qk_norm_epsilon);
  return options;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
