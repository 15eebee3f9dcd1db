// HeadLayout: which features of a head rotate, how they are paired, and which axis is the sequence.
#pragma once

#include <optional>

#include "error.hpp"
#include "pairing.hpp"

namespace rotary::inline ROTARY_ABI {

/// Where the rotated features of a head are. This is a fact about a model's weights and tensors, so it is
/// fixed when an embedding or a table is constructed, and everything made from that carries it.
///
///     [ features before start_index | rotary_dim features in pairs | the rest ]
///
/// @code
///   // DeepSeek-V3 in Hugging Face: the last 64 of 192 features, read interleaved and written as halves.
///   const rotary::RotaryEmbedding<float> deepseek(
///       rotary::language_frequencies(64), {.start_index = 128, .output_pairing = rotary::Pairing::half});
///   rotary::Tensor<float, 4> k(1, 2, 16, 192);   // [batch, heads, seq, head_dim]
///   k.setRandom();
///   deepseek.rotate_in_place(k);
/// @endcode
struct HeadLayout {
  Index rotary_dim = 0;                    ///< features that rotate in a head; 0: two for each frequency
  Index start_index = 0;                   ///< the first feature that rotates
  Pairing pairing = Pairing::interleaved;  ///< which two of the features that rotate form a pair

  /// The pairing in which rotated pairs are written; left out, `pairing`. Direction::inverse and transpose go
  /// back: they read pairs in this pairing and write them in `pairing`.
  std::optional<Pairing> output_pairing = {};

  Index seq_dim = -2;  ///< the sequence axis, −1 being the last; −3 for [batch, seq, heads, head_dim]

  /// The pairing of the results of a forward rotation.
  constexpr Pairing written_pairing() const { return output_pairing.value_or(pairing); }

  friend constexpr bool operator==(const HeadLayout&, const HeadLayout&) = default;
};

namespace detail {

inline void check_pairing(Pairing pairing) {
  if (pairing != Pairing::interleaved && pairing != Pairing::half)
    fail("the pairing is ", static_cast<int>(pairing), ", it must be Pairing::interleaved or Pairing::half");
}

inline void check_direction(Direction direction) {
  if (direction != Direction::forward && direction != Direction::inverse && direction != Direction::transpose)
    fail("the direction is ", static_cast<int>(direction), ", it must be forward, inverse or transpose");
}

/// Throws unless the rotation is forward: gradients are those of a forward rotation.
inline void check_forward(Direction direction) {
  check_direction(direction);
  if (direction != Direction::forward)
    fail(
        "found another direction than forward, but gradients are those of the forward rotation; leave it "
        "out");
}

/// `layout` with rotary_dim filled in for `pairs` frequencies. Throws if it contradicts that number or
/// itself.
inline HeadLayout completed(HeadLayout layout, Index pairs) {
  if (layout.rotary_dim != 0 && layout.rotary_dim != 2 * pairs)
    fail("rotary_dim is ", layout.rotary_dim, ", but there are ", pairs, " frequencies, which rotate ",
         2 * pairs, " features");
  layout.rotary_dim = 2 * pairs;
  if (layout.start_index < 0) fail("start_index is ", layout.start_index, ", it must not be negative");
  checked_sum(layout.start_index, layout.rotary_dim);
  check_pairing(layout.pairing);
  check_pairing(layout.written_pairing());
  if (layout.seq_dim == -1) fail("seq_dim is -1, the last axis, which holds the features");
  return layout;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
