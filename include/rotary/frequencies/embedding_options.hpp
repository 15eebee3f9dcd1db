// RotaryEmbeddingOptions: the constructor arguments of rotary-embedding-torch, and their conversion.
#pragma once

#include <concepts>
#include <vector>

#include "../core/head_layout.hpp"
#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI {

/// The constructor arguments of rotary-embedding-torch 0.8.9, with its defaults, and the pairing: for
/// `RotaryEmbedding`, `XPos` and `AxialFrequencies`. They are converted to frequencies, a layout, and the
/// size of a cache. An argument without effect throws std::invalid_argument.
struct RotaryEmbeddingOptions {
  Index dim = 0;                          ///< features that rotate; even
  std::vector<double> custom_freqs = {};  ///< frequencies in radians per position, in place of `freqs_for`
  /// The kind of frequencies. lang: theta^(−2i/dim); pixel: π · linspace(1, max_freq/2); constant: 1.
  FreqsFor freqs_for = FreqsFor::lang;
  double theta = 10000;              ///< the base of lang frequencies; at least 1
  double max_freq = 10;              ///< pixel frequencies end at π · max_freq / 2
  Index num_freqs = 1;               ///< the number of constant frequencies
  bool learned_freq = false;         ///< whether `set_freqs` may change the frequencies
  double interpolate_factor = 1;     ///< positions are divided by it; at least 1
  double theta_rescale_factor = 1;   ///< theta is multiplied by its (dim / (dim − 2))-th power (NTK)
  bool seq_before_head_dim = false;  ///< tensors are [batch, seq, heads, head_dim]: the sequence is axis −3
  bool cache_if_possible = true;     ///< cache the rows of positions from 0 on; changes speed, never a result
  Index cache_max_seq_len = 8192;    ///< how many rows may be cached
  bool allow_odd_dim = false;  ///< an odd dim rotates dim − 1 features with frequencies theta^(−2i/dim)
  Pairing pairing = Pairing::interleaved;  ///< which two features form a pair
};

namespace detail {

/// Throws on an argument that these frequencies do not depend on.
inline void check_unused(const RotaryEmbeddingOptions& options, const char* frequencies, bool uses_theta,
                         bool uses_max_freq, bool uses_num_freqs) {
  const RotaryEmbeddingOptions defaults;
  const auto check = [&](const char* name, bool used, double value, double by_default) {
    if (!used && !is_equal(value, by_default))
      fail(name, " is ", value, ", which ", frequencies, " frequencies do not depend on; leave it out");
  };
  check("theta", uses_theta, options.theta, defaults.theta);
  check("theta_rescale_factor", uses_theta, options.theta_rescale_factor, defaults.theta_rescale_factor);
  check("max_freq", uses_max_freq, options.max_freq, defaults.max_freq);
  check("num_freqs", uses_num_freqs, static_cast<double>(options.num_freqs),
        static_cast<double>(defaults.num_freqs));
}

/// Throws on a dim that contradicts the number of frequencies.
inline void check_repeated_dim(const RotaryEmbeddingOptions& options, Index pairs) {
  if (options.dim != 0 && options.dim != 2 * pairs)
    fail("dim is ", options.dim, ", but ", pairs, " frequencies are given, which rotate ", 2 * pairs,
         " features; leave dim out");
}

inline void check_freqs_for(FreqsFor freqs_for) {
  if (freqs_for != FreqsFor::lang && freqs_for != FreqsFor::pixel && freqs_for != FreqsFor::constant)
    fail("freqs_for is ", static_cast<int>(freqs_for), ", it must be lang, pixel or constant");
}

inline Frequencies frequencies_of(const RotaryEmbeddingOptions& options) {
  check_freqs_for(options.freqs_for);
  if (!options.custom_freqs.empty()) {
    check_repeated_dim(options, static_cast<Index>(options.custom_freqs.size()));
    check_unused(options, "custom", false, false, false);
    return custom_frequencies(span_of(options.custom_freqs));
  }
  switch (options.freqs_for) {
    case FreqsFor::constant:
      check_repeated_dim(options, options.num_freqs);
      check_unused(options, "constant", false, false, true);
      return constant_frequencies(options.num_freqs);
    case FreqsFor::pixel:
      check_unused(options, "pixel", false, true, false);
      break;
    case FreqsFor::lang:
      check_unused(options, "lang", true, false, false);
      break;
  }
  if (options.dim < 1) fail("dim is ", options.dim, ", it must be positive");
  if (options.dim % 2 != 0 && !options.allow_odd_dim)
    fail("dim is ", options.dim, ", it must be even; with allow_odd_dim its first ", options.dim - 1,
         " features rotate");
  if (options.freqs_for == FreqsFor::pixel) return pixel_frequencies(options.dim, options.max_freq);
  if (!(options.theta >= 1)) fail("theta is ", options.theta, ", it must be at least 1");
  return language_frequencies(options.dim,
                              rescaled_theta(options.theta, options.theta_rescale_factor, options.dim));
}

inline HeadLayout layout_of(const RotaryEmbeddingOptions& options, Index pairs) {
  return completed({.pairing = options.pairing, .seq_dim = options.seq_before_head_dim ? -3 : -2}, pairs);
}

inline double checked_interpolate_factor(const double& factor) {
  if (!finite_bits(factor) || !(factor >= 1))
    fail("interpolate_factor is ", factor, ", it must be at least 1 and finite");
  return factor;
}

}  // namespace detail

/// How a `RotaryEmbedding` is constructed from a model's description, such as `RopeParameters`.
struct ModelEmbeddingOptions {
  double length = 0;                 ///< tokens of the text; matters for dynamic NTK, Qwen-1 and LongRoPE
  bool seq_before_head_dim = false;  ///< tensors are [batch, seq, heads, head_dim]: the sequence is axis −3
};

namespace detail {

/// What an embedding can be made from: `RopeParameters`, or the `ModelConfiguration` of a model whose layers are all
/// alike.
template <class M>
concept DescribesRope = requires(const M& model, double length) {
  { model.rope_frequencies(length) } -> std::same_as<Frequencies>;
  { model.layout() } -> std::same_as<HeadLayout>;
};

/// The layout of a model, for tensors as the options say.
template <DescribesRope M>
HeadLayout layout_of_model(const M& model, const ModelEmbeddingOptions& options) {
  HeadLayout layout = model.layout();
  if (options.seq_before_head_dim) layout.seq_dim = -3;
  return layout;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
