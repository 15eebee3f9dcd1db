// CorrectionRange: which pairs YaRN and its relatives interpolate, by how often they rotate over the original
// context.
#pragma once

#include <algorithm>
#include <cmath>

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The range of pairs that YaRN interpolates in part, as `correction_range` returns it: pairs up to `low` are
/// unchanged, pairs from `high` on are interpolated, and pairs between them by the share that
/// `correction_ramp` returns.
struct CorrectionRange {
  /// The ends of the range, as indices of pairs: 20 and 46, say. With `truncate = false` they have fractions.
  DoubleDouble low, high;
};

/// The pairs that make `beta_fast` and `beta_slow` turns over the original context of L tokens.
///
///     c(n) = rotary_dim · ln(L / 2πn) / (2 ln theta)
///     low  = max(⌊c(beta_fast)⌋, 0),   high = min(⌈c(beta_slow)⌉, rotary_dim − 1)
///
/// `truncate = false` leaves out the rounding, as gpt-oss does. `high` may be past the last pair: every
/// implementation bounds it by rotary_dim − 1 and not by the last pair. In an empty range `high` becomes
/// low + 0.001.
///
/// Throws std::invalid_argument on an invalid argument, naming it, and where implementations contradict each
/// other: if L ≤ 2π · beta_slow, so that no pair makes beta_slow turns, or if `low` would exceed
/// rotary_dim − 1.
///
/// @code
///   const rotary::CorrectionRange range = rotary::correction_range(128, 10000, 4096);   // low 20, high 46
/// @endcode
///
/// Source: Peng et al. 2023 (YaRN), and their repository.
inline CorrectionRange correction_range(Index rotary_dim, double theta,
                                        double original_max_position_embeddings, double beta_fast = 32,
                                        double beta_slow = 1, bool truncate = true) {
  const DoubleDouble length = original_max_position_embeddings, base = theta;
  detail::check_positive("original_max_position_embeddings", length);
  detail::check_positive("beta_fast", beta_fast);
  detail::check_positive("beta_slow", beta_slow);
  detail::check_positive("theta", theta);
  if (rotary_dim < 2)
    detail::fail("rotary_dim is ", rotary_dim, ", it must be at least 2 for a pair to be interpolated");
  if (theta <= 1) detail::fail("theta is ", theta, ", it must be more than 1 for pairs to slow down");
  if (beta_fast < beta_slow)
    detail::fail("beta_fast is ", beta_fast, ", it must not be less than beta_slow, which is ", beta_slow);
  if (length <= 2 * kPi * beta_slow)
    detail::fail("original_max_position_embeddings is ", length.hi,
                 ", it must be more than 2 pi beta_slow = ", (2 * kPi * beta_slow).hi,
                 ", or no pair makes beta_slow turns");

  const auto pair_that_makes = [&](double turns) {
    return rotary_dim * log(length / (2 * kPi * turns)) / (2 * log(base));
  };
  CorrectionRange range{pair_that_makes(beta_fast), pair_that_makes(beta_slow)};
  if (truncate) range = {std::floor(range.low.hi), std::ceil(range.high.hi)};
  range = {std::max(range.low, DoubleDouble(0)), std::min(range.high, DoubleDouble(rotary_dim - 1))};
  if (range.low > range.high)
    detail::fail("original_max_position_embeddings is ", length.hi, " with theta ", theta, ": pairs up to ",
                 range.low.hi, " make beta_fast turns, it must be at most rotary_dim - 1 = ", rotary_dim - 1);
  if (range.low == range.high) range.high = range.high + DoubleDouble(1) / 1000;
  return range;
}

/// The share by which a pair is interpolated: at 0 its frequency is unchanged, at 1 it is divided by the
/// factor.
///
///     clamp((pair − low) / (high − low), 0, 1)
///
/// @code
///   const rotary::CorrectionRange range = rotary::correction_range(128, 10000, 4096);   // low 20, high 46
///   const auto share = static_cast<double>(rotary::correction_ramp(range, 33));         // 0.5
/// @endcode
inline DoubleDouble correction_ramp(const CorrectionRange& range, Index pair) {
  return std::clamp((pair - range.low) / (range.high - range.low), DoubleDouble(0), DoubleDouble(1));
}

}  // namespace rotary::inline ROTARY_ABI
