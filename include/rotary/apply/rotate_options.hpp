// RotateOptions: what a call says beside its tensors and positions.
#pragma once

#include <optional>

#include "../core/pairing.hpp"
#include "../positions.hpp"

namespace rotary::inline ROTARY_ABI {

/// What a call says beside its tensors and positions, under the names of rotary-embedding-torch: the last
/// argument of the calls of `RotaryEmbedding`. Which features rotate and how they are paired is not said
/// here: see `HeadLayout`.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 32});
///   rotary::Tensor<float, 4> k(1, 8, 16, 64);
///   k.setRandom();
///   rotary_emb.rotate_in_place(k, {.offset = 128});        // the first token is at position 128
/// @endcode
struct RotateOptions {
  /// The position of the first token; may be negative or fractional. Must be 0 in calls that take positions.
  FixedPosition offset = 0;
  std::optional<Index> seq_dim = {};  ///< the sequence axis, −1 being the last; left out, that of the layout
  double scale = 1;                   ///< multiplies the features that rotate
  Direction direction = Direction::forward;  ///< `inverse` undoes a rotation, `transpose` rotates gradients
};

}  // namespace rotary::inline ROTARY_ABI
