// Tables of the cosines that other systems compute in float, to match their results including their errors.
//
// A float angle has a relative error of about 6e-8: below position 131072 its cosines are off by up to 8e-3
// in Hugging Face's order of operations and 2e-2 in ggml's, against 3e-8 in a CosSinTable from exact phases.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "../core/checks.hpp"
#include "../cos_sin_table.hpp"

namespace rotary::inline ROTARY_ABI {
namespace detail {

/// Float operations computed in double and rounded, which gives the same bits, so that no compiler fuses or
/// inverts them.
inline float float_product(float a, float b) {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b));
}
inline float float_sum(float a, float b) {
  return static_cast<float>(static_cast<double>(a) + static_cast<double>(b));
}

inline float float_quotient(float a, float b) {
  return static_cast<float>(static_cast<double>(a) / rounded(static_cast<double>(b)));
}

/// A table of given angles: fill(n, angles) writes those of row n.
template <class Fill>
CosSinTable<float> table_of_angles(const Positions& positions, Index pairs, const HeadLayout& layout,
                                   float magnitude, Fill fill) {
  RowStorage<float> table(positions.shape(), row_axes_of(positions), layout, pairs);
  const kernels::PairStrides strides = kernels::pair_strides(layout.pairing, pairs);
  std::vector<float> angles(static_cast<std::size_t>(pairs));
  for (Index n = 0; n < positions.count() && pairs > 0; ++n) {
    float* const row = table.row(n);
    fill(n, angles);
    float* cos = row;
    for (const float angle : angles) {
      cos[0] = std::cos(angle) * magnitude;
      cos[strides.partner] = std::sin(angle) * magnitude;
      cos += strides.pair;
    }
  }
  return std::move(table).table();
}

inline float float_position(const Positions& positions, Index row, std::size_t axis) {
  return static_cast<float>(static_cast<double>(positions.at(row, static_cast<int>(axis))));
}

}  // namespace detail

/// The `inv_freq` of Hugging Face, vLLM and rotary-embedding-torch: 1 / theta^(2i/rotary_dim) with exponent,
/// power and quotient rounded to float. For `hf_float32_table`, to compare with a running system.
/// Throws std::invalid_argument unless rotary_dim ≥ 0 and theta > 0.
inline Frequencies hf_float32_frequencies(Index rotary_dim, float theta = 10000) {
  detail::check_positive("theta", static_cast<double>(theta));
  Frequencies frequencies;
  frequencies.values.reserve(detail::checked_count("rotary_dim", rotary_dim) / 2);
  for (Index i = 0; i < rotary_dim / 2; ++i) {
    const float exponent = detail::float_quotient(static_cast<float>(2 * i), static_cast<float>(rotary_dim));
    const float frequency = detail::float_quotient(1, std::pow(theta, exponent));
    frequencies.values.emplace_back(static_cast<double>(frequency));
  }
  return frequencies;
}

/// The table of Hugging Face and vLLM: cos and sin of the float product float(position) · float(frequency),
/// times float(magnitude). Several axes are added up in order. To compare with a running system;
/// `CosSinTable` is exact.
///
/// With `hf_float32_frequencies` it equals the table of a plain embedding there, up to the last place, in
/// which math libraries differ. Other frequencies are rounded to float once, where those systems round after
/// every step.
/// Throws std::invalid_argument if tokens have more or fewer coordinates than the frequencies.
///
/// @code
///   const auto positions = rotary::Positions::consecutive(16);
///   const rotary::CosSinTable<float> table = rotary::hf_float32_table(
///       rotary::hf_float32_frequencies(128), positions, {.pairing = rotary::Pairing::half});
/// @endcode
[[nodiscard]] inline CosSinTable<float> hf_float32_table(const Frequencies& frequencies,
                                                         const Positions& positions,
                                                         const HeadLayout& layout = {
                                                             .pairing = Pairing::half}) {
  detail::check(frequencies);
  if (positions.axis_count() != frequencies.axes)
    detail::fail("tokens have ", positions.axis_count(), " coordinates, the frequencies are for ",
                 frequencies.axes);
  std::vector<float> rounded;
  for (const DoubleDouble& f : frequencies.values) rounded.push_back(static_cast<float>(f.hi));
  const auto fill = [&](Index row, std::vector<float>& angles) {
    std::fill(angles.begin(), angles.end(), 0.0f);
    const float* f = rounded.data();
    for (std::size_t axis = 0; axis < static_cast<std::size_t>(frequencies.axes); ++axis) {
      const float position = detail::float_position(positions, row, axis);
      for (float& angle : angles) angle = detail::float_sum(angle, detail::float_product(position, *f++));
    }
  };
  return detail::table_of_angles(positions, frequencies.pairs(), layout,
                                 static_cast<float>(frequencies.magnitude), fill);
}

/// The parameters of `ggml_float32_table`: those of ggml's `rope_ext`, under its names. With the defaults
/// nothing is scaled.
struct GgmlFloat32Options {
  float freq_base = 10000;                   ///< the base of the frequencies
  float freq_scale = 1;                      ///< angles are multiplied by it
  float ext_factor = 0;                      ///< the share of fast pairs that YaRN does not scale; 0: no YaRN
  float attn_factor = 1;                     ///< multiplies cosines and sines
  float beta_fast = 32, beta_slow = 1;       ///< YaRN's range of pairs, in turns over n_ctx_orig
  Index n_ctx_orig = 0;                      ///< the context of pretraining, in tokens; needed for YaRN only
  std::span<const float> freq_factors = {};  ///< divisors of the frequencies, one for each pair
  std::span<const Index> axis_of_pair = {};  ///< on several axes: the axis that rotates each pair

  /// For each pair, its power of freq_base^(−2/n_dims). Left out, n_dims/2 pairs have the powers 0, 1, 2,
  /// ...; in mode VISION there are n_dims pairs, and powers start from 0 again in every section.
  std::span<const Index> power_of_pair = {};
};

namespace detail {

inline std::size_t pairs_of(const GgmlFloat32Options& options, Index n_dims) {
  const std::size_t pairs = checked_count("n_dims", n_dims) / 2;
  return options.power_of_pair.empty() ? pairs : options.power_of_pair.size();
}

inline void check(const GgmlFloat32Options& options, Index n_dims, int axes) {
  if (n_dims % 2 != 0) fail("n_dims is ", n_dims, ", it must be even");
  const std::size_t pairs = pairs_of(options, n_dims);
  check_positive("freq_base", static_cast<double>(options.freq_base));
  check_positive("freq_scale", static_cast<double>(options.freq_scale));
  check_finite("ext_factor", static_cast<double>(options.ext_factor));
  check_finite("attn_factor", static_cast<double>(options.attn_factor));
  check_positive("beta_fast", static_cast<double>(options.beta_fast));
  check_positive("beta_slow", static_cast<double>(options.beta_slow));
  if (!is_equal(options.ext_factor, 0) && options.n_ctx_orig < 1)
    fail("n_ctx_orig is ", options.n_ctx_orig, ", YaRN needs at least 1");
  const auto check_size = [&](const char* name, std::size_t size) {
    if (size != 0 && size != pairs)
      fail(name, " has ", size, " entries, it must have none or one for each of ", pairs, " pairs");
  };
  check_size("freq_factors", options.freq_factors.size());
  check_size("axis_of_pair", options.axis_of_pair.size());
  for (const float divisor : options.freq_factors)
    check_positive("an entry of freq_factors", static_cast<double>(divisor));
  for (const Index axis : options.axis_of_pair)
    if (axis < 0 || axis >= axes) fail("axis_of_pair has an entry ", axis, ", there are ", axes, " axes");
  for (const Index power : options.power_of_pair)
    if (power < 0 || power >= static_cast<Index>(pairs))
      fail("power_of_pair has an entry ", power, ", the powers of ", pairs, " pairs are 0 to ", pairs - 1);
  if (options.axis_of_pair.empty() && axes != 1)
    fail("tokens have ", axes, " coordinates, axis_of_pair must say which rotates a pair");
}

/// YaRN as in ggml: the range of pairs, with rounded bounds, and the magnitude.
struct GgmlYarn {
  bool used;
  float low = 0, high = 0, magnitude;

  GgmlYarn(const GgmlFloat32Options& options, float dims)
      : used(!is_equal(options.ext_factor, 0)), magnitude(options.attn_factor) {
    if (!used) return;
    const auto pair_that_makes = [&](float turns) {
      const float context = static_cast<float>(options.n_ctx_orig);
      return dims * std::log(context / (turns * 2.0f * static_cast<float>(kPi.hi))) /
             (2.0f * std::log(options.freq_base));
    };
    low = std::max(0.0f, std::floor(pair_that_makes(options.beta_fast)));
    high = std::min(dims - 1.0f, std::ceil(pair_that_makes(options.beta_slow)));
    magnitude *= float_sum(1.0f, 0.1f * std::log(1.0f / options.freq_scale));
  }

  float ramp(std::size_t pair) const {
    return std::clamp((static_cast<float>(pair) - low) / std::max(0.001f, high - low), 0.0f, 1.0f);
  }
};

/// ggml's angles at any positions. What does not depend on the positions is computed once, by the
/// constructor.
class GgmlFloat32Angles {
 public:
  /// For tokens of `axes` coordinates.
  GgmlFloat32Angles(Index n_dims, int axes, const GgmlFloat32Options& options)
      : step_(1), freq_scale_(options.freq_scale), magnitude_(0), axes_(static_cast<std::size_t>(axes)) {
    check(options, n_dims, axes);
    const float dims = static_cast<float>(n_dims);
    const GgmlYarn yarn(options, dims);
    step_ = std::pow(options.freq_base, -2.0f / dims);
    magnitude_ = yarn.magnitude;
    const std::size_t pairs = pairs_of(options, n_dims);
    powers_ = options.power_of_pair.empty() ? pairs : 0;
    for (const Index power : options.power_of_pair)
      powers_ = std::max(powers_, static_cast<std::size_t>(power) + 1);
    const auto entry = [](std::span<const Index> list, std::size_t i, std::size_t otherwise) {
      return list.empty() ? otherwise : static_cast<std::size_t>(list[i]);
    };
    for (std::size_t i = 0; i < pairs; ++i) {
      const std::size_t axis = entry(options.axis_of_pair, i, 0), power = entry(options.power_of_pair, i, i);
      const float divisor = options.freq_factors.empty() ? 1.0f : options.freq_factors[i];
      const float unscaled = yarn.used ? (1.0f - yarn.ramp(i)) * options.ext_factor : 0.0f;
      pairs_.push_back({axis * powers_ + power, divisor, unscaled});
    }
    mixed_ = yarn.used;
  }

  /// The table for `positions`, which must have the `axes` coordinates of the constructor.
  CosSinTable<float> table(const Positions& positions, const HeadLayout& layout) const {
    std::vector<float> powers(axes_ * powers_);  // [axes, powers]
    const auto fill = [&](Index row, std::vector<float>& angles) {
      for (std::size_t n = 0; n < powers.size(); ++n)
        powers[n] = n % powers_ == 0 ? float_position(positions, row, n / powers_)
                                     : float_product(powers[n - 1], step_);
      for (std::size_t i = 0; i < angles.size(); ++i) {
        const PairOf& pair = pairs_[i];
        const float plain = float_quotient(powers[pair.power], pair.divisor);
        angles[i] = float_product(freq_scale_, plain);
        if (mixed_)
          angles[i] =
              float_sum(float_product(angles[i], 1.0f - pair.unscaled), float_product(plain, pair.unscaled));
      }
    };
    return table_of_angles(positions, static_cast<Index>(pairs_.size()), layout, magnitude_, fill);
  }

 private:
  struct PairOf {
    std::size_t power;  // into [axes, powers]
    float divisor;
    float unscaled;  // the share that YaRN does not scale
  };

  float step_, freq_scale_, magnitude_;
  std::size_t axes_, powers_ = 0;
  bool mixed_ = false;
  std::vector<PairOf> pairs_;
};

}  // namespace detail

/// The table of ggml: cos and sin of position · freq_base^(−2i/n_dims) by repeated multiplication, scaled by
/// freq_scale and mixed by YaRN's ramp, all in float. To compare with a running system; `CosSinTable` is
/// exact.
///
/// For the modes NORMAL and NEOX (the pairing tells which), with axis_of_pair MROPE and IMROPE, and with
/// power_of_pair as well VISION. `n_dims` counts the features that rotate.
/// Throws std::invalid_argument if the options contradict it.
///
/// @code
///   const rotary::CosSinTable<float> table = rotary::ggml_float32_table(
///       128, rotary::Positions::consecutive(16), {}, {.freq_base = 500000});
/// @endcode
///
/// Source: ggml 0.21.0, `ggml_compute_forward_rope`.
[[nodiscard]] inline CosSinTable<float> ggml_float32_table(Index n_dims, const Positions& positions,
                                                           const HeadLayout& layout,
                                                           const GgmlFloat32Options& options = {}) {
  return detail::GgmlFloat32Angles(n_dims, positions.axis_count(), options).table(positions, layout);
}

}  // namespace rotary::inline ROTARY_ABI
