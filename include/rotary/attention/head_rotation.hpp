// HeadRotation: which features of attention's heads rotate, and how.
#pragma once

#include <optional>
#include <utility>

#include "../key_cache/key_value_cache.hpp"
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
inline Frequencies query_frequencies(const RotaryMultiHeadAttentionOptions& options, Index d_k) {
  if (!options.frequencies) {
    if (options.layout) fail("a layout is given without frequencies, which it belongs to");
    return language_frequencies(
        rotating_features(d_k, options.rope_percentage.value_or(0.5), "rope_percentage"),
        options.base.value_or(10000));
  }
  check(*options.frequencies);
  if (options.rope_percentage || options.base)
    fail("both frequencies and ", options.base ? "base" : "rope_percentage", " are given, there must be one");
  return *options.frequencies;
}

/// The frequencies of values: those of queries where the options have `frequencies`. Their magnitude is 1, since the
/// outputs of heads are rotated back.
inline Frequencies value_frequencies(const RotaryMultiHeadAttentionOptions& options, Index d_k) {
  const Index features =
      rotating_features(d_k, options.rope_value_percentage.value_or(0), "rope_value_percentage");
  if (!options.frequencies || features == 0)
    return language_frequencies(features, options.base.value_or(10000));
  Frequencies frequencies = *options.frequencies;
  if (features != 2 * frequencies.pairs())
    fail("rope_value_percentage is ", *options.rope_value_percentage, ", so that ", features,
         " features of values would rotate; the frequencies are of ", 2 * frequencies.pairs());
  frequencies.magnitude = 1;
  return frequencies;
}

/// The layout of heads in tensors [seq, batch, heads, d_k]. Throws if they have not as many features.
inline HeadLayout token_layout(const RotaryMultiHeadAttentionOptions& options, Index pairs, Index d_k) {
  HeadLayout layout = options.layout.value_or(HeadLayout{.pairing = Pairing::half});
  if (layout.seq_dim != HeadLayout().seq_dim)
    fail("the layout has seq_dim ", layout.seq_dim, ", it must be left out: the sequence is the first axis");
  layout = completed(layout, pairs);
  if (layout.start_index + layout.rotary_dim > d_k)
    fail("found frequencies of ", layout.rotary_dim, " features from feature ", layout.start_index,
         " on, a head has ", d_k);
  layout.seq_dim = 0;
  return layout;
}

/// The rotations inside multi-head attention. Tensors are row-major [seq, batch, heads, d_k]: all heads of
/// all sequences share the cos/sin row of their position, and memory is read in order.
template <RowScalar T>
class HeadRotation {
 public:
  HeadRotation(const RotaryMultiHeadAttentionOptions& options, Index d_k) {
    Frequencies frequencies = query_frequencies(options, d_k), of_values = value_frequencies(options, d_k);
    const HeadLayout layout = token_layout(options, frequencies.pairs(), d_k);
    if (of_values.pairs() > 0) {
      HeadLayout of_value_heads = layout;
      of_value_heads.rotary_dim = 2 * of_values.pairs();
      value_rope_.emplace(std::move(of_values), of_value_heads);
    }
    if (frequencies.pairs() == 0) {
      if (options.xpos_scale_base)
        fail("xpos_scale_base is given, but no features of queries and keys rotate");
    } else if (options.xpos_scale_base) {
      xpos_.emplace(std::move(frequencies), layout, XPosOptions{.xpos_scale_base = *options.xpos_scale_base});
    } else {
      rope_.emplace(std::move(frequencies), layout);
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

  /// Do queries and keys rotate?
  bool rotates() const { return rope_ || xpos_; }

  /// A cache whose keys rotate as these. Its scales of XPos are 1 at position 0.
  template <class Stored>
  KeyValueCache<T, Stored> make_cache(const KeyValueCacheOptions& options) const {
    check_values();
    if (xpos_) return KeyValueCache<T, Stored>(cache_xpos(), 0, options);
    return KeyValueCache<T, Stored>(frequencies(), cache_layout(), options);
  }
  /// Throws unless the keys of a cache rotate as these.
  template <class Stored>
  void check_cache(const KeyValueCache<T, Stored>& cache) const {
    check_values();
    if (xpos_) return cache.check_rotation(cache_xpos());
    cache.check_rotation(frequencies(), cache_layout());
  }

  /// Throws on sizes that cannot be rotated.
  void check(Index seq_q, Index seq_k) const {
    if (xpos_ && seq_q != seq_k)
      fail("found ", seq_q, " queries and ", seq_k, " keys, with XPos they must be as many");
  }

 private:
  Frequencies frequencies() const {
    return rope_ ? rope_->frequencies() : xpos_ ? xpos_->rotary().frequencies() : Frequencies{};
  }
  HeadLayout cache_layout() const {
    HeadLayout layout = rope_ ? rope_->layout() : xpos_ ? xpos_->layout() : HeadLayout{};
    layout.seq_dim = -3;
    return layout;
  }
  XPos<T> cache_xpos() const {
    return XPos<T>(frequencies(), cache_layout(), XPosOptions{.xpos_scale_base = xpos_->scale_base()});
  }
  void check_values() const {
    if (value_rope_)
      fail("values rotate, which a cache cannot move with its keys; rope_value_percentage must be 0");
  }

  std::optional<RotaryEmbedding<T>> rope_, value_rope_;
  std::optional<XPos<T>> xpos_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
