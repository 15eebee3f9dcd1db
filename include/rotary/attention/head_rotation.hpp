// HeadRotation: which features of attention's heads rotate, and how.
#pragma once

#include <optional>

#include "../labml.hpp"
#include "../xpos.hpp"

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

/// The rotations inside multi-head attention. Tensors are row-major [seq, batch, heads, d_k]: all heads of
/// all sequences share the cos/sin row of their position, and memory is read in order.
template <RowScalar T>
class HeadRotation {
 public:
  HeadRotation(Index d_k, double rope_percentage, double rope_value_percentage, double base,
               std::optional<double> xpos_scale_base) {
    const Index features = rotating_features(d_k, rope_percentage, "rope_percentage");
    const Index value_features = rotating_features(d_k, rope_value_percentage, "rope_value_percentage");
    if (value_features > 0) value_rope_.emplace(value_features, base);
    if (features == 0) return;
    if (xpos_scale_base) {
      xpos_.emplace(language_frequencies(features, base), HeadLayout{.pairing = Pairing::half, .seq_dim = 0},
                    XPosOptions{.xpos_scale_base = *xpos_scale_base});
    } else {
      rope_.emplace(features, base);
    }
  }

  void rotate_queries_and_keys(const StridedView<T>& queries, const StridedView<T>& keys,
                               Direction direction) const {
    if (rope_) {
      rope_->rotate_in_place(queries, direction);
      rope_->rotate_in_place(keys, direction);
    } else if (xpos_) {
      xpos_->rotate_queries_and_keys_in_place(queries, keys, {.direction = direction});
    }
  }

  void rotate_values(const StridedView<T>& values, Direction direction) const {
    if (value_rope_) value_rope_->rotate_in_place(values, direction);
  }

  /// Throws on sizes that cannot be rotated.
  void check(Index seq_q, Index seq_k) const {
    if (xpos_ && seq_q != seq_k)
      fail("found ", seq_q, " queries and ", seq_k, " keys, with XPos they must be as many");
  }

 private:
  std::optional<RotaryPositionalEmbeddings<T>> rope_, value_rope_;
  std::optional<XPos<T>> xpos_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
