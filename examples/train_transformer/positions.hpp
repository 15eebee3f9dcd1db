// How the model knows the positions of tokens.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <rotary/frequencies.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "matrix.hpp"

namespace train {

/// How the model knows the positions of tokens.
enum class PositionKind {
  rotary,        ///< queries and keys are rotated
  rotary_value,  ///< RoPER: values are rotated too, and the outputs of heads rotated back
  xpos,          ///< rotary, with scores that decay with distance
  sinusoidal,    ///< sines and cosines are added to the embeddings
  none           ///< it does not, but for the causal mask
};

inline constexpr std::array<std::pair<std::string_view, PositionKind>, 5> kPositionNames{
    {{"rotary", PositionKind::rotary},
     {"rotary_value", PositionKind::rotary_value},
     {"xpos", PositionKind::xpos},
     {"sinusoidal", PositionKind::sinusoidal},
     {"none", PositionKind::none}}};
inline constexpr const char* kPositionList = "rotary, rotary_value, xpos, sinusoidal or none";

/// The kind of this name; none if there is no such kind.
inline std::optional<PositionKind> position_kind(std::string_view name) {
  for (const auto& [known, kind] : kPositionNames)
    if (known == name) return kind;
  return std::nullopt;
}

/// Are queries and keys rotated?
inline bool rotates(PositionKind kind) {
  return kind != PositionKind::sinusoidal && kind != PositionKind::none;
}

/// The encodings of "Attention is all you need" (Vaswani et al. 2017), [seq, features]: for position p, sin(p f_i) is
/// feature 2i and cos(p f_i) feature 2i + 1, with f_i = 10000^(-2i/features). The last one of an odd number of features is
/// 0.
template <class Scalar>
Matrix<Scalar> sinusoidal_encodings(Index seq, Index features) {
  const rotary::Frequencies frequencies = rotary::language_frequencies(features);
  Matrix<Scalar> encodings = Matrix<Scalar>::Zero(seq, features);
  for (Index position = 0; position < seq; ++position)
    for (Index i = 0; i < frequencies.pairs(); ++i) {
      const double angle = static_cast<double>(position) * frequencies.values[static_cast<std::size_t>(i)].hi;
      encodings(position, 2 * i) = static_cast<Scalar>(std::sin(angle));
      encodings(position, 2 * i + 1) = static_cast<Scalar>(std::cos(angle));
    }
  return encodings;
}

}  // namespace train
