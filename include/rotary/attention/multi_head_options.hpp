// RotaryMultiHeadAttentionOptions: what labml's modules of attention are constructed from.
#pragma once

#include <optional>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of RotaryMultiHeadAttention and RotaryValueMultiHeadAttention.
///
/// The defaults are those of labml's current repository (annotated_deep_learning_paper_implementations, as of 2025): half
/// of the features rotate, all projections have a bias, no dropout. `labml_listing_options` are those of the version that
/// was published first. `.rope_percentage = 0` is labml's plain MultiHeadAttention.
///
/// @code
///   const rotary::RotaryMultiHeadAttention<float> of_labml({.heads = 2, .d_model = 16});
///   const rotary::RotaryMultiHeadAttention<float> with_yarn(
///       {.heads = 2, .d_model = 64,
///        .frequencies = rotary::yarn_frequencies(32, 10000, {.factor = 4, .original_max_position_embeddings = 512})});
/// @endcode
struct RotaryMultiHeadAttentionOptions {
  Index heads = 0;
  Index d_model = 0;  ///< a multiple of `heads`; a head has d_k = d_model / heads features
  /// The first int(d_k · rope_percentage) features of queries and keys rotate; 0.5 if unset.
  std::optional<double> rope_percentage = {};
  /// The first int(d_k · rope_value_percentage) features of values rotate, as in RoPER. If unset: none, and half of them in
  /// RotaryValueMultiHeadAttention.
  std::optional<double> rope_value_percentage = {};
  double dropout_prob = 0;          ///< of attention probabilities, in calls with a `dropout_seed`
  bool bias = true;                 ///< do the projections of queries and keys have a bias?
  std::optional<double> base = {};  ///< theta_j = base^(−2j/d) if d features rotate; 10000 if unset
  /// The frequencies of the first 2 · pairs features, instead of `rope_percentage` and `base`: those of any variant.
  /// Where values rotate, by as many features. A magnitude multiplies queries and keys.
  std::optional<Frequencies> frequencies = {};
  std::optional<double> xpos_scale_base = {};  ///< if given, scores decay as in XPos: for causal attention
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

namespace detail {

/// The options. Throws on sizes and a dropout_prob that no attention has.
template <class T>
const RotaryMultiHeadAttentionOptions& checked(const RotaryMultiHeadAttentionOptions& options) {
  if (options.heads < 1 || options.d_model < 1 || options.d_model % options.heads != 0)
    fail("d_model is ", options.d_model, " and heads is ", options.heads,
         "; both must be positive, and d_model a multiple of heads");
  checked_elements<T>(options.d_model, options.d_model);
  if (!finite_bits(options.dropout_prob) || options.dropout_prob < 0 || options.dropout_prob >= 1)
    fail("dropout_prob is ", options.dropout_prob, ", it must be at least 0 and below 1");
  return options;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
