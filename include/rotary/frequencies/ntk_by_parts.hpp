// NTK-by-parts, YaRN's predecessor: slow pairs are interpolated, middle ones scaled as by NTK, fast ones
// unchanged.
#pragma once

#include "../frequencies.hpp"
#include "correction_range.hpp"
#include "ntk.hpp"

namespace rotary::inline ROTARY_ABI {

/// The parameters of `ntk_by_parts_frequencies`.
struct NtkByPartsOptions {
  double factor = 1;                            ///< s: how many times longer contexts become
  double original_max_position_embeddings = 0;  ///< the context of pretraining, in tokens; must be given
  double ntk_factor = 1;                        ///< multiplies μ, the share of frequencies scaled as by NTK
  double extrapolation_factor = 1;              ///< multiplies ν, the share of plain frequencies
};

/// NTK-by-parts, YaRN's predecessor. Pairs of under 0.75 turns over the original context are interpolated,
/// pairs of 1.25 to 2 turns are scaled as by `ntk_frequencies`, and pairs of more than 16 are unchanged;
/// between these ranges, in part.
///
///     g_i  = (1 − μ_i) f_i / s + μ_i ntk_i     μ = ntk_factor · (1 − ramp), betas 1.25 and 0.75
///     f'_i = (1 − ν_i) g_i     + ν_i f_i       ν = extrapolation_factor · (1 − ramp), betas 16 and 2
///
/// The ramps are those of `correction_ramp`.
/// Throws std::invalid_argument if an option is invalid, naming it, or the original context is not longer
/// than 4π tokens.
///
/// @code
///   const rotary::Frequencies frequencies = rotary::ntk_by_parts_frequencies(
///       128, 10000, {.factor = 8, .original_max_position_embeddings = 2048});
/// @endcode
///
/// Source: `PartNTK` of the YaRN repository.
inline Frequencies ntk_by_parts_frequencies(Index rotary_dim, double theta,
                                            const NtkByPartsOptions& options) {
  const DoubleDouble factor = options.factor;
  detail::check_positive("factor", factor);
  detail::check_finite("ntk_factor", options.ntk_factor);
  detail::check_finite("extrapolation_factor", options.extrapolation_factor);
  const double length = options.original_max_position_embeddings;
  const CorrectionRange to_ntk = correction_range(rotary_dim, theta, length, 1.25, 0.75);
  const CorrectionRange to_plain = correction_range(rotary_dim, theta, length, 16, 2);
  const Frequencies ntk = detail::ntk_frequencies_of("factor", rotary_dim, theta, factor);
  Frequencies frequencies = language_frequencies(rotary_dim, theta);
  for (Index pair = 0; pair < frequencies.pairs(); ++pair) {
    const auto i = static_cast<std::size_t>(pair);
    DoubleDouble& f = frequencies.values[i];
    const DoubleDouble taken = options.ntk_factor * (1 - correction_ramp(to_ntk, pair));
    const DoubleDouble unscaled = options.extrapolation_factor * (1 - correction_ramp(to_plain, pair));
    f = (f / factor * (1 - taken) + ntk.values[i] * taken) * (1 - unscaled) + f * unscaled;
  }
  return frequencies;
}

}  // namespace rotary::inline ROTARY_ABI
