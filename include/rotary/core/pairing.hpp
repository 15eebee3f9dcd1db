// Which two features form a pair, and the direction of a rotation.
#pragma once

#include "config.hpp"

namespace rotary::inline ROTARY_ABI {

/// Which two features of the rotated window form a pair. A fact about the weights: a model trained with one
/// pairing and run with the other gives wrong numbers without an error. For 6 features, pair i being (a_i, b_i):
///
///     Pairing::interleaved   [a0 b0 a1 b1 a2 b2]   (2i, 2i + 1)    RoFormer, GPT-J, rotary-embedding-torch
///     Pairing::half          [a0 a1 a2 b0 b1 b2]   (i, i + d/2)    GPT-NeoX, Llama in Hugging Face, labml
enum class Pairing {
  interleaved,  ///< the pairs (2i, 2i + 1), of adjacent features: [a0 b0 a1 b1 a2 b2]
  half          ///< the pairs (i, i + d/2), of d features that rotate: [a0 a1 a2 b0 b1 b2]
};

/// What a rotation does with the angle φ and magnitude A of a pair.
///
///     forward     A R(φ)      queries and keys on their way into attention
///     inverse     R(−φ) / A   undoes a forward rotation
///     transpose   A R(−φ)     the gradient with respect to what was rotated
enum class Direction {
  forward,   ///< A R(φ): rotates queries and keys on their way into attention
  inverse,   ///< R(−φ) / A: undoes a forward rotation
  transpose  ///< A R(−φ): rotates gradients of the result into gradients of what was rotated
};

}  // namespace rotary::inline ROTARY_ABI
