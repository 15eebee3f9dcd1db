// HeadRotation: which features of attention's heads rotate, and how.
#pragma once

#include <optional>

#include "../rotary_embedding.hpp"
#include "../xpos.hpp"
#include "multi_head_options.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// int(d_k · percentage) features, as labml counts them.
inline Index rotating_features(Index d_k, const double& percentage, const char* name) {
  if (!finite_bits(percentage) || percentage < 0 || percentage > 1)
    fail(name, " is ", percentage, ", it must be between 0 and 1");
  const auto features = static_cast<Index>(static_cast<double>(d_k) * percentage);
  if (features % 2 != 0)
    fail(name, " is ", percentage, ", so that ", features, " of the ", d_k,
         " features of a head would rotate; the number must be even");
  return features;
}

/// The frequencies of queries and keys. Throws if the options say twice which features rotate.
inline Frequencies query_frequencies(const RotaryMultiHeadAttentionOptions& options) {
  const Index d_k = options.d_model / options.heads;
  if (!options.frequencies)
    return language_frequencies(
        rotating_features(d_k, options.rope_percentage.value_or(0.5), "rope_percentage"),
        options.base.value_or(10000));
  check(*options.frequencies);
  if (options.rope_percentage || options.base)
    fail("both frequencies and ", options.base ? "base" : "rope_percentage", " are given, there must be one");
  const Index features = checked_product(options.frequencies->pairs(), 2);
  if (features > d_k) fail("found frequencies of ", features, " features, a head has ", d_k);
  return *options.frequencies;
}

/// The frequencies of values: those of queries where the options have `frequencies`. Their magnitude is 1, since the
/// outputs of heads are rotated back.
inline Frequencies value_frequencies(const RotaryMultiHeadAttentionOptions& options) {
  const Index features = rotating_features(
      options.d_model / options.heads, options.rope_value_percentage.value_or(0), "rope_value_percentage");
  if (!options.frequencies || features == 0)
    return language_frequencies(features, options.base.value_or(10000));
  Frequencies frequencies = *options.frequencies;
  if (features != 2 * frequencies.pairs())
    fail("rope_value_percentage is ", *options.rope_value_percentage, ", so that ", features,
         " features of values would rotate; the frequencies are of ", 2 * frequencies.pairs());
  frequencies.magnitude = 1;
  return frequencies;
}

/// The rotations inside multi-head attention. Tensors are row-major [seq, batch, heads, d_k]: all heads of
/// all sequences share the cos/sin row of their position, and memory is read in order.
template <RowScalar T>
class HeadRotation {
 public:
  explicit HeadRotation(const RotaryMultiHeadAttentionOptions& options) {
    constexpr HeadLayout kLayout{.pairing = Pairing::half, .seq_dim = 0};
    Frequencies frequencies = query_frequencies(options), of_values = value_frequencies(options);
    if (of_values.pairs() > 0) value_rope_.emplace(std::move(of_values), kLayout);
    if (frequencies.pairs() == 0) {
      if (options.xpos_scale_base)
        fail("xpos_scale_base is given, but no features of queries and keys rotate");
    } else if (options.xpos_scale_base) {
      xpos_.emplace(std::move(frequencies), kLayout,
                    XPosOptions{.xpos_scale_base = *options.xpos_scale_base});
    } else {
      rope_.emplace(std::move(frequencies), kLayout);
    }
  }

  void rotate_queries_and_keys(const StridedView<T>& queries, const StridedView<T>& keys,
                               Direction direction) const {
    if (rope_) {
      rope_->rotate_in_place(queries, {.direction = direction});
      rope_->rotate_in_place(keys, {.direction = direction});
    } else if (xpos_) {
      xpos_->rotate_queries_and_keys_in_place(queries, keys, {.direction = direction});
    }
  }

  void rotate_values(const StridedView<T>& values, Direction direction) const {
    if (value_rope_) value_rope_->rotate_in_place(values, {.direction = direction});
  }

  /// Throws on sizes that cannot be rotated.
  void check(Index seq_q, Index seq_k) const {
    if (xpos_ && seq_q != seq_k)
      fail("found ", seq_q, " queries and ", seq_k, " keys, with XPos they must be as many");
  }

 private:
  std::optional<RotaryEmbedding<T>> rope_, value_rope_;
  std::optional<XPos<T>> xpos_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
