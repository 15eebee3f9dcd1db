// The rows by which the keys of a cache are rotated.
#pragma once

#include "../rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Rows of frequencies, none of them cached. Throws on frequencies or a magnitude that is not finite in the type of the rows.
template <RowScalar T>
RowCache<T> key_rows(const Frequencies& frequencies, Pairing pairing) {
  check(frequencies);
  if (std::fabs(frequencies.magnitude) > static_cast<double>(std::numeric_limits<T>::max()))
    fail("the magnitude is ", frequencies.magnitude, ", it must be finite in the type of the rows");
  return RowCache<T>(frequencies, pairing, 0);
}

/// The frequencies of an embedding, which divides positions by its interpolate_factor.
template <class Row>
Frequencies interpolated_frequencies(const RotaryEmbedding<Row>& embedding) {
  return scaled(embedding.frequencies(), embedding.interpolate_factor());
}

/// Throws unless `frequencies` have as many pairs and axes as those by which keys have been rotated.
template <RowScalar T>
void check_like(const Frequencies& frequencies, const RowCache<T>& rows) {
  if (frequencies.axes != rows.steps().axes() || frequencies.pairs() != rows.pairs())
    fail("found frequencies of ", frequencies.pairs(), " pairs on ", frequencies.axes,
         " axes, the keys are rotated by ", rows.pairs(), " pairs on ", rows.steps().axes());
}

}  // namespace rotary::inline ROTARY_ABI::detail
