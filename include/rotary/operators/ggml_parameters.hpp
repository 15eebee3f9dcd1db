// The parameters of ggml's rope, and their frequencies.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "../core/checks.hpp"
#include "../core/pairing.hpp"
#include "../frequencies/correction_range.hpp"
#include "../frequencies/mrope_axes.hpp"

namespace rotary::inline ROTARY_ABI::ggml {

/// GGML_ROPE_TYPE_*, with ggml's numbers; for `RopeOptions`.
///
///             pairs               positions of a token
///     normal  (2i, 2i + 1)        1
///     neox    (i, i + n_dims/2)   1
///     mrope   (i, i + n_dims/2)   4 streams t, h, w, e in whole sections
///     vision  (i, i + n_dims)     4 streams, the first is y, the second x; each has all frequencies
///     imrope  (i, i + n_dims/2)   4 streams, t, h and w interleaved
enum class Mode {
  normal = 0,   ///< pairs (2i, 2i + 1), one position for each token
  neox = 2,     ///< pairs (i, i + n_dims/2), one position for each token
  mrope = 8,    ///< pairs (i, i + n_dims/2), four positions for each token, in whole sections of pairs
  vision = 24,  ///< pairs (i, i + n_dims), four positions for each token, the first is y, the second x
  imrope = 40   ///< pairs (i, i + n_dims/2), four positions for each token, t, h and w interleaved
};

/// Which angles: those of exact phases, or ggml's float32 ones, to match a running system.
enum class Angles {
  exact,        ///< angles from exact phases, at any position
  ggml_float32  ///< the float32 angles of ggml, errors included
};

/// The parameters of `ggml_rope_multi`, for `rope` and `Rope`; `ggml_rope_ext` and `ggml_rope` have fewer.
/// The defaults scale nothing.
struct RopeOptions {
  Index n_dims = 0;                      ///< features that rotate, even; in mode vision half of them
  Mode mode = Mode::normal;              ///< the pairing, and how many positions a token has
  std::array<Index, 4> sections = {};    ///< pairs of the streams t, h, w, e, in the modes that have streams
  Index n_ctx_orig = 0;                  ///< the context of pretraining, in tokens; needed with ext_factor
  double freq_base = 10000;              ///< the base of the frequencies
  double freq_scale = 1;                 ///< angles are multiplied by it
  double ext_factor = 0;                 ///< the share of fast pairs that YaRN does not scale; 0: no YaRN
  double attn_factor = 1;                ///< multiplies cosines and sines
  double beta_fast = 32, beta_slow = 1;  ///< YaRN's range of pairs, in turns over n_ctx_orig
  std::span<const float> freq_factors = {};  ///< divisors of the frequencies, at least one for each pair
  Index n_offs = 0;                          ///< `ggml_rope_set_offset`: the first feature that rotates; even
  Angles angles = Angles::exact;             ///< `ggml_float32` to match a running system
};

namespace detail {

using namespace rotary::detail;

inline Index pairs_of(const RopeOptions& options) {
  return options.mode == Mode::vision ? options.n_dims : options.n_dims / 2;
}
inline Pairing pairing_of(const RopeOptions& options) {
  return options.mode == Mode::normal ? Pairing::interleaved : Pairing::half;
}

/// Which stream rotates each pair; empty for the modes with one stream.
inline std::vector<Index> streams_of_pairs(const RopeOptions& options) {
  switch (options.mode) {
    case Mode::normal:
    case Mode::neox:
      return {};
    case Mode::mrope:
    case Mode::vision:
      return mrope_axes_ggml(options.sections, pairs_of(options));
    case Mode::imrope:
      return mrope_axes_ggml_interleaved(options.sections, pairs_of(options));
  }
  fail("mode is ", static_cast<int>(options.mode), ", it must be 0, 2, 8, 24 or 40");
}

/// The index of a pair's frequency: that of the pair, in mode vision counted within its section.
inline Index step_of_pair(const RopeOptions& options, Index pair) {
  if (options.mode != Mode::vision) return pair;
  const auto [y, x, w, e] = options.sections;
  Index step = pair % (y + x + w + e);
  for (const Index length : options.sections) {
    if (step < length) break;
    step -= length;
  }
  return step;
}

inline void check(const RopeOptions& options) {
  if (options.angles != Angles::exact && options.angles != Angles::ggml_float32)
    fail("angles is ", static_cast<int>(options.angles), ", it must be exact or ggml_float32");
  if (options.n_dims < 0 || options.n_dims % 2 != 0)
    fail("n_dims is ", options.n_dims, ", it must be even and not negative");
  checked_count("n_dims", options.n_dims);
  if (options.n_offs < 0 || options.n_offs % 2 != 0 || (options.n_offs != 0 && options.mode == Mode::vision))
    fail("n_offs is ", options.n_offs, ", it must be even and not negative, and 0 in mode vision");
  check_positive("freq_base", options.freq_base);
  check_positive("freq_scale", options.freq_scale);
  check_finite("ext_factor", options.ext_factor);
  check_finite("attn_factor", options.attn_factor);
  if (!options.freq_factors.empty() && static_cast<Index>(options.freq_factors.size()) < pairs_of(options))
    fail("freq_factors has ", options.freq_factors.size(), " entries, there must be one for each of ",
         pairs_of(options), " pairs");
  for (const float divisor : options.freq_factors) check_positive("an entry of freq_factors", divisor);
}

}  // namespace detail

/// The frequencies and the magnitude of ggml's parameters. For pair i with entry c_i of freq_factors:
///
///     f_i  = freq_base^(−2i/n_dims) / c_i
///     μ_i  = ext_factor · (1 − ramp_i)             over the range of `correction_range`
///     f'_i = freq_scale · f_i (1 − μ_i) + f_i μ_i
///     A    = attn_factor, times 1 + 0.1 ln(1/freq_scale) if ext_factor is not 0
///
/// The modes with streams have four axes; in mode vision i is counted from the start of a section.
/// Throws std::invalid_argument on parameters that contradict each other, and, unlike ggml, where
/// `correction_range` does: if n_ctx_orig ≤ 2π · beta_slow.
///
/// @code
///   const rotary::Frequencies frequencies =
///       rotary::ggml::rope_frequencies({.n_dims = 4, .freq_scale = 0.5});   // 0.5, 0.005
/// @endcode
///
/// Source: ggml 0.21.0, `ggml_rope_cache_init` and `rope_yarn`.
inline Frequencies rope_frequencies(const RopeOptions& options) {
  detail::check(options);
  const std::vector<Index> streams = detail::streams_of_pairs(options);
  const bool yarn = !rotary::detail::is_equal(options.ext_factor, 0);
  CorrectionRange range;
  Frequencies frequencies;
  frequencies.values.reserve(static_cast<std::size_t>(detail::pairs_of(options)));
  frequencies.magnitude = options.attn_factor;
  if (yarn) {
    range = correction_range(options.n_dims, options.freq_base, static_cast<double>(options.n_ctx_orig),
                             options.beta_fast, options.beta_slow);
    frequencies.magnitude *= 1 + 0.1 * std::log(1 / options.freq_scale);
  }
  for (Index i = 0; i < detail::pairs_of(options); ++i) {
    const Index step = detail::step_of_pair(options, i);
    DoubleDouble own = pow(options.freq_base, DoubleDouble(-2 * step) / options.n_dims);
    if (!options.freq_factors.empty()) own = own / options.freq_factors[static_cast<std::size_t>(i)];
    const DoubleDouble unscaled =
        yarn ? options.ext_factor * (1 - correction_ramp(range, i)) : DoubleDouble(0);
    frequencies.values.push_back(options.freq_scale * own * (1 - unscaled) + own * unscaled);
  }
  return streams.empty() ? frequencies : on_axes(frequencies, streams, 4);
}

}  // namespace rotary::inline ROTARY_ABI::ggml
