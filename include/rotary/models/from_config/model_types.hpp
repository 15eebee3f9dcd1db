// The table of model types: for each, what configurations of the type leave out.
//
// To add a type, add one row and one test. The row goes into the first of these headers that fits, under a
// comment that names the code it was derived from:
//
//   model_types/refused.hpp      types without a rotary embedding, or that this version cannot read
//   model_types/encoders.hpp     encoders of text
//   model_types/sections.hpp     positions of several coordinates (M-RoPE)
//   model_types/latent.hpp       multi-head latent attention
//   model_types/hybrid.hpp       some layers are not attention
//   model_types/layers.hpp       layers differ in base, scaling, or whether they rotate
//   model_types/interleaved.hpp  pairs of adjacent features
//   model_types/partial.hpp      a part of the head rotates
//   model_types/whole.hpp        all others: Llama's attention
//
// The test is a published configuration in tests/configs/model_types/published.json, with the keys that it must
// have and the expected numbers. from_config_page_test with ROTARY_WRITE_DOCS set rewrites docs/model-types.md.
#pragma once

#include <array>
#include <string_view>

#include "model_type.hpp"
#include "model_types/encoders.hpp"
#include "model_types/hybrid.hpp"
#include "model_types/interleaved.hpp"
#include "model_types/latent.hpp"
#include "model_types/layers.hpp"
#include "model_types/partial.hpp"
#include "model_types/refused.hpp"
#include "model_types/sections.hpp"
#include "model_types/whole.hpp"
#include "model_types/wrappers.hpp"

namespace rotary::inline ROTARY_ABI::detail {

template <std::size_t... N>
// not covered: runs while compiling
constexpr auto joined(const std::array<ModelType, N>&... groups) {
  std::array<ModelType, (N + ...)> all;
  std::size_t size = 0;
  const auto append = [&](const auto& group) {
    for (const ModelType& type : group) all[size++] = type;
  };
  (append(groups), ...);
  return all;
}

inline constexpr auto kModelTypes =
    joined(kWholeHeads, kPartialHeads, kInterleavedPairs, kMixedLayers, kHybrids, kLatentHeads, kSections,
           kEncoders, kLearnedPositions, kRelativePositions, kAlibi, kSinusoids, kStateSpaces, kNoAttention,
           kNoPositions, kUnsettled);

/// Null for a type that is not listed.
inline const ModelType* find_model_type(std::string_view name) {
  for (const ModelType& type : kModelTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace rotary::inline ROTARY_ABI::detail
