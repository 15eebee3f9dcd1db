// From what is known of a model to what turns its queries and keys.
#pragma once

#include "rope_parameters.hpp"
#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

/// The embedding of a layer: its frequencies for a text of `length` tokens, of all axes where it has several,
/// and its pairing. `length` matters for dynamic NTK, Qwen-1 and LongRoPE only.
///
/// @code
///   const auto& llama = rotary::preset("meta-llama/Llama-3.1-8B").layer(0);
///   const auto rotary_emb = rotary::rotary_embedding<float>(llama);
///   rotary::Tensor<float, 4> q(1, 32, 16, 128);   // [batch, heads, seq, head_dim]
///   rotary_emb.rotate_in_place(q, rotary::rotate_options(llama));
/// @endcode
template <class T>
RotaryEmbedding<T> rotary_embedding(const RopeParameters& rope, double length = 0) {
  return RotaryEmbedding<T>(
      rope.mrope_section.empty() ? rope.frequencies(length) : rope.frequencies_on_axes(length),
      {.pairing = rope.pairing});
}

/// How a call rotates heads of the layer: which of their features, and how these are left.
inline RotateOptions rotate_options(const RopeParameters& rope, FixedPosition offset = 0) {
  RotateOptions options{.offset = offset, .start_index = rope.start_index};
  if (rope.output_pairing != rope.pairing) options.output_pairing = rope.output_pairing;
  return options;
}

}  // namespace rotary::inline ROTARY_ABI
