// Gradients with respect to the parameters of frequencies: theta, factors, divisors. Those of NTK-aware scaling
// are in ntk_gradients.hpp, those of YaRN and its relatives in yarn_gradients.hpp.
//
// The gradient of `x_frequencies` is `x_gradient`. It takes the arguments of `x_frequencies`, and the gradient
// with respect to the frequencies; its result names the parameters as the options do.
//
// A rotation gives ∂L/∂f' for every pair, and ∂L/∂A for the magnitude; these functions multiply them by the
// derivatives of f' and A, in closed form. At a corner of a formula (a clamp, a rounded range) they
// differentiate the piece in use.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "../fope.hpp"
#include "../linear.hpp"
#include "../llama3.hpp"
#include "../longrope.hpp"
#include "../proportional.hpp"

namespace rotary::inline ROTARY_ABI {

namespace detail {

inline void check_gradient(std::span<const double> grad, std::size_t count) {
  if (grad.size() != count)
    fail("the gradient has ", grad.size(), " entries, it must have one for each of ", count, " frequencies");
}

/// Σ_i grad_i · (−2i/d) f_i / theta, d being rotary_dim: ∂L/∂theta for frequencies theta^(−2i/d) · c_i, if no
/// c_i depends on theta.
inline double theta_gradient(const Frequencies& frequencies, Index rotary_dim, double theta,
                             std::span<const double> grad) {
  check_gradient(grad, frequencies.values.size());
  double sum = 0;
  for (std::size_t i = 0; i < grad.size(); ++i)
    sum -= grad[i] * static_cast<double>(2 * i) * frequencies.values[i].hi;
  return sum / (static_cast<double>(rotary_dim) * theta);
}

}  // namespace detail

/// ∂L/∂theta for `language_frequencies`:
///
///     Σ g_i · (−2i/rotary_dim) f_i / theta
///
/// `grad` holds g_i = ∂L/∂f_i for every pair, as `RotaryEmbedding::frequency_gradient` returns it.
/// Throws std::invalid_argument unless it has an entry for each pair.
///
/// @code
///   const std::vector<double> grad(64, 1.0);   // ∂L/∂f_i, from a rotation
///   const double of_theta = rotary::language_gradient(128, 10000, grad);
/// @endcode
inline double language_gradient(Index rotary_dim, double theta, std::span<const double> grad) {
  return detail::theta_gradient(language_frequencies(rotary_dim, theta), rotary_dim, theta, grad);
}

/// The gradient with respect to the arguments of `scaled`, as `scaled_gradient` returns it.
struct ScaledGradient {
  std::vector<double> frequencies;  ///< ∂L/∂f, one for each frequency before it is scaled: [axes, pairs]
  double factor = 0;                ///< ∂L/∂factor
};

/// The gradient of `scaled`, from g_i = ∂L/∂f'_i for every frequency:
///
///     ∂L/∂f_i = g_i / factor,   ∂L/∂factor = −Σ g_i f_i / factor²
///
/// `frequencies` are those before they are scaled, [axes, pairs].
/// Throws std::invalid_argument unless `grad` has an entry for each of them and factor > 0.
///
/// @code
///   const auto frequencies = rotary::language_frequencies(4);   // 1, 0.01
///   const std::vector<double> grad = {1, 1};
///   const auto gradient = rotary::scaled_gradient(frequencies, 2, grad);   // .factor: −1.01 / 4
/// @endcode
inline ScaledGradient scaled_gradient(const Frequencies& frequencies, double factor,
                                      std::span<const double> grad) {
  detail::check_gradient(grad, frequencies.values.size());
  detail::check_positive("factor", factor);
  ScaledGradient gradient;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    gradient.frequencies.push_back(grad[i] / factor);
    gradient.factor -= grad[i] * frequencies.values[i].hi / (factor * factor);
  }
  return gradient;
}

/// The gradient with respect to theta and the factor of `linear_frequencies`, as `linear_gradient` returns
/// it.
struct LinearGradient {
  /// ∂L/∂theta and ∂L/∂factor, for the loss L.
  double theta = 0, factor = 0;
};

/// The gradient of `linear_frequencies`, from g_i = ∂L/∂f'_i for every pair:
///
///     ∂L/∂theta = Σ g_i · (−2i/rotary_dim) f'_i / theta,   ∂L/∂factor = −Σ g_i f'_i / factor
///
/// Throws std::invalid_argument where `linear_frequencies` does, and unless `grad` has an entry for each
/// pair.
///
/// @code
///   const std::vector<double> grad = {1, 1};   // ∂L/∂f'_i, from a rotation
///   const auto gradient = rotary::linear_gradient(4, 10000, {.factor = 4}, grad);   // .factor: −0.2525 / 4
/// @endcode
inline LinearGradient linear_gradient(Index rotary_dim, double theta, const LinearOptions& options,
                                      std::span<const double> grad) {
  const Frequencies frequencies = linear_frequencies(rotary_dim, theta, options);
  LinearGradient gradient{.theta = detail::theta_gradient(frequencies, rotary_dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradient.factor -= grad[i] * frequencies.values[i].hi / options.factor;
  return gradient;
}

/// The gradient with respect to theta and the options of `llama3_frequencies`, as `llama3_gradient` returns
/// it.
struct Llama3Gradient {
  /// ∂L/∂theta, ∂L/∂factor, ∂L/∂low_freq_factor and ∂L/∂high_freq_factor, for the loss L.
  double theta = 0, factor = 0, low_freq_factor = 0, high_freq_factor = 0;
  double original_max_position_embeddings = 0;  ///< ∂L/∂original_max_position_embeddings
};

/// The gradient of `llama3_frequencies`, from g_i = ∂L/∂f'_i for every pair, with f'_i = f_i
/// ((1 − t_i) / s + t_i):
///
///     ∂L/∂f_i   = g_i ((1 − t_i) / s + t_i + (1 − 1/s) f_i ∂t_i/∂f_i)
///     ∂L/∂theta = Σ ∂L/∂f_i · (−2i/rotary_dim) f_i / theta
///     ∂L/∂s     = −Σ g_i f_i (1 − t_i) / s²
///     ∂L/∂x     = Σ g_i (1 − 1/s) f_i ∂t_i/∂x        x: the two freq_factors, and the original context
///
/// Throws std::invalid_argument where `llama3_frequencies` does, and unless `grad` has an entry for each
/// pair.
///
/// @code
///   const std::vector<double> grad(64, 1.0);   // ∂L/∂f'_i, from a rotation
///   const auto gradient = rotary::llama3_gradient(128, 500000, {.factor = 8}, grad);
/// @endcode
inline Llama3Gradient llama3_gradient(Index rotary_dim, double theta, const Llama3Options& options,
                                      std::span<const double> grad) {
  const Frequencies frequencies = language_frequencies(rotary_dim, theta);
  detail::check(options);
  detail::check_gradient(grad, frequencies.values.size());
  const double s = options.factor, length = options.original_max_position_embeddings;
  const double width = options.high_freq_factor - options.low_freq_factor;
  Llama3Gradient gradient;
  std::vector<double> of_frequencies;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const double f = frequencies.values[i].hi,
                 t = detail::llama3_unscaled_share(frequencies.values[i], options).hi;
    const double of_t = grad[i] * (1 - 1 / s) * f;  // ∂L/∂t_i
    of_frequencies.push_back(grad[i] * ((1 - t) / s + t));
    gradient.factor -= grad[i] * f * (1 - t) / (s * s);
    if (t <= 0 || t >= 1) continue;
    of_frequencies[i] += of_t * length / (2 * kPi.hi * width);
    gradient.low_freq_factor -= of_t * (1 - t) / width;
    gradient.high_freq_factor -= of_t * t / width;
    gradient.original_max_position_embeddings += of_t * f / (2 * kPi.hi * width);
  }
  gradient.theta = detail::theta_gradient(frequencies, rotary_dim, theta, detail::span_of(of_frequencies));
  return gradient;
}

/// ∂A/∂s of `longrope_magnitude`, for the factor s and a text of `length` tokens, L being the original
/// context:
///
///     1 / (2 A s ln L)   if A is computed from s > 1,   0 if A is given or s ≤ 1
///
/// Throws std::invalid_argument where `longrope_magnitude` does.
///
/// @code
///   const rotary::LongRopeOptions options{.original_max_position_embeddings = 4096, .factor = 32.0};
///   const double slope = rotary::longrope_magnitude_gradient(options, 8000);   // 0.001578
/// @endcode
inline double longrope_magnitude_gradient(const LongRopeOptions& options, double length) {
  const double magnitude = longrope_magnitude(options, length);
  const double original = options.original_max_position_embeddings;
  const auto& of_set = detail::is_long(options, length) ? options.long_mscale : options.short_mscale;
  const double factor = options.factor.value_or(options.max_position_embeddings / original);
  if (of_set || options.attention_factor || factor <= 1) return 0;
  return 1 / (2 * magnitude * factor * std::log(original));
}

/// The gradient with respect to theta, to the divisors of the set in use, and to the factor, as
/// `longrope_gradient` returns it.
struct LongRopeGradient {
  double theta = 0;              ///< ∂L/∂theta, for the loss L
  std::vector<double> divisors;  ///< ∂L/∂e_i, one for each pair, e_i being its divisor in the set in use
  double factor = 0;             ///< ∂L/∂factor, which acts through the magnitude alone
};

/// The gradient of `longrope_frequencies`, from g_i = ∂L/∂f'_i for every pair and `grad_magnitude` = ∂L/∂A,
/// with e_i the divisors of the set that `length` selects:
///
///     ∂L/∂theta = Σ g_i · (−2i/rotary_dim) f'_i / theta
///     ∂L/∂e_i   = −g_i f'_i / e_i
///     ∂L/∂s     = grad_magnitude · ∂A/∂s            `longrope_magnitude_gradient`; no frequency depends on s
///
/// Throws std::invalid_argument where `longrope_frequencies` does, and unless `grad` has an entry for each
/// pair.
///
/// @code
///   const rotary::LongRopeOptions options{.short_factor = {1, 1}, .long_factor = {1, 4},
///                                         .original_max_position_embeddings = 4096, .factor = 32.0};
///   const std::vector<double> grad = {1, 1};   // ∂L/∂f'_i, from a rotation
///   const auto gradient = rotary::longrope_gradient(4, 10000, options, 8000, grad);   // .divisors: −1, −0.000625
/// @endcode
inline LongRopeGradient longrope_gradient(Index rotary_dim, double theta, const LongRopeOptions& options,
                                          double length, std::span<const double> grad,
                                          double grad_magnitude = 0) {
  const Frequencies frequencies = longrope_frequencies(rotary_dim, theta, options, length);
  LongRopeGradient gradient{.theta = detail::theta_gradient(frequencies, rotary_dim, theta, grad),
                            .divisors = {},
                            .factor = grad_magnitude * longrope_magnitude_gradient(options, length)};
  const auto& divisors = detail::is_long(options, length) ? options.long_factor : options.short_factor;
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradient.divisors.push_back(-grad[i] * frequencies.values[i].hi / divisors[i]);
  return gradient;
}

/// The gradient with respect to theta and the factor of `proportional_frequencies`, as
/// `proportional_gradient` returns it.
struct ProportionalGradient {
  /// ∂L/∂theta and ∂L/∂factor, for the loss L.
  double theta = 0, factor = 0;
};

/// The gradient of `proportional_frequencies`, from g_i = ∂L/∂f'_i for every pair, those of frequency 0
/// included, which contribute nothing:
///
///     ∂L/∂theta = Σ g_i · (−2i/head_dim) f'_i / theta,   ∂L/∂factor = −Σ g_i f'_i / factor
///
/// Throws std::invalid_argument where `proportional_frequencies` does, and unless `grad` has an entry for
/// each pair. Called as `linear_gradient`, which has an example.
inline ProportionalGradient proportional_gradient(Index head_dim, double theta,
                                                  const ProportionalOptions& options,
                                                  std::span<const double> grad) {
  const Frequencies frequencies = proportional_frequencies(head_dim, theta, options);
  ProportionalGradient gradient{.theta = detail::theta_gradient(frequencies, head_dim, theta, grad)};
  for (std::size_t i = 0; i < grad.size(); ++i)
    gradient.factor -= grad[i] * frequencies.values[i].hi / options.factor;
  return gradient;
}

/// ∂L/∂theta for `fope_frequencies`, from g_i = ∂L/∂f_i for every pair, those of frequency 0 included, which
/// contribute nothing:
///
///     Σ g_i · (−2i/rotary_dim) f_i / theta
///
/// Throws std::invalid_argument where `fope_frequencies` does, and unless `grad` has an entry for each pair.
/// Called as `linear_gradient`, which has an example.
inline double fope_gradient(Index rotary_dim, double theta, const FopeOptions& options,
                            std::span<const double> grad) {
  return detail::theta_gradient(fope_frequencies(rotary_dim, theta, options), rotary_dim, theta, grad);
}

/// The gradient of `on_axes`, with respect to the frequencies of one axis that it was given:
///
///     ∂L/∂f_i = ∂L/∂f(a, i),   a = axis_of_pair[i]
///
/// `grad` is ∂L/∂f(a, i), [axes, pairs], the result [pairs].
/// Throws std::invalid_argument unless `grad` has axes · pairs entries, and the list has an axis below `axes`
/// for each pair.
///
/// @code
///   const auto axis_of_pair = rotary::mrope_axes_chunked({16, 24, 24});
///   const std::vector<double> grad(3 * 64, 1.0);   // from a rotation by frequencies on three axes
///   const double of_theta =
///       rotary::language_gradient(128, 1e6, rotary::on_axes_gradient(axis_of_pair, 3, grad));
/// @endcode
inline std::vector<double> on_axes_gradient(std::span<const Index> axis_of_pair, Index axes,
                                            std::span<const double> grad) {
  if (axes < 1) detail::fail("found ", axes, " axes, there must be at least 1");
  const Index pairs = static_cast<Index>(axis_of_pair.size());
  detail::check_gradient(grad, static_cast<std::size_t>(detail::checked_product(axes, pairs)));
  std::vector<double> of_pairs;
  for (Index pair = 0; pair < pairs; ++pair) {
    const Index axis = axis_of_pair[static_cast<std::size_t>(pair)];
    if (axis < 0 || axis >= axes)
      detail::fail("pair ", pair, " is on axis ", axis, ", there are ", axes, " axes");
    of_pairs.push_back(grad[static_cast<std::size_t>(axis * pairs + pair)]);
  }
  return of_pairs;
}

/// The gradient of `axial`, with respect to the n frequencies that it was given:
///
///     ∂L/∂f_i = Σ_a ∂L/∂f(a, a·n + i)
///
/// `grad` is [axes, axes · n], the result [n].
/// Throws std::invalid_argument unless axes ≥ 1 and the number of entries is a multiple of axes².
///
/// @code
///   const std::vector<double> grad = {1, 2, 0, 0,  0, 0, 3, 4};                    // 2 axes, n = 2
///   const std::vector<double> of_frequencies = rotary::axial_gradient(2, grad);   // 4 6
/// @endcode
inline std::vector<double> axial_gradient(Index axes, std::span<const double> grad) {
  const Index count = static_cast<Index>(grad.size());
  if (axes < 1 || count % axes != 0 || count / axes % axes != 0)
    detail::fail("the gradient has ", count, " entries, of ", axes, " axes it must have a multiple of ", axes,
                 " times ", axes);
  const Index each = count / axes / axes;
  std::vector<double> sums(static_cast<std::size_t>(each));
  for (Index axis = 0; axis < axes; ++axis)
    for (Index i = 0; i < each; ++i)
      sums[static_cast<std::size_t>(i)] += grad[static_cast<std::size_t>((axis * axes + axis) * each + i)];
  return sums;
}

}  // namespace rotary::inline ROTARY_ABI
