// RopeParameters: the parameters of one layer's rotary embedding, under the names of model configurations.
#pragma once

#include <array>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "../core/head_layout.hpp"
#include "../frequencies.hpp"
#include "../frequencies/grok.hpp"
#include "../frequencies/linear.hpp"
#include "../frequencies/llama3.hpp"
#include "../frequencies/longrope.hpp"
#include "../frequencies/mrope_axes.hpp"
#include "../frequencies/ntk.hpp"
#include "../frequencies/proportional.hpp"
#include "../frequencies/yarn.hpp"

namespace rotary::inline ROTARY_ABI {

/// No scaling, for `RopeParameters::scaling`: f_i = theta^(−2i/rotary_dim), as `language_frequencies` returns
/// them.
struct DefaultOptions {};

namespace detail {

inline Frequencies default_frequencies(Index rotary_dim, double theta, const DefaultOptions&) {
  return language_frequencies(rotary_dim, theta);
}

/// A variant that configurations know: its name there, and its function. The length of the text, if the
/// frequencies depend on it, is the last argument.
template <class VariantOptions, class... Length>
struct RopeVariant {
  using Options = VariantOptions;

  std::string_view name;
  Frequencies (*function)(Index, double, const Options&, Length...);

  Frequencies frequencies(Index rotary_dim, double theta, const Options& options, double length) const {
    if constexpr (sizeof...(Length) > 0)
      return function(rotary_dim, theta, options, length);
    else
      return function(rotary_dim, theta, options);
  }
};

template <class Options, class... Length>
RopeVariant(const char*, Frequencies (*)(Index, double, const Options&, Length...))
    -> RopeVariant<Options, Length...>;

/// The variants that configurations know, one to a row: `RopeScaling` and `rope_type()` follow from it.
// clang-format off
inline constexpr std::tuple kRopeVariants = {
    RopeVariant{"default", default_frequencies},
    RopeVariant{"linear", linear_frequencies},
    RopeVariant{"ntk_alpha", ntk_frequencies},
    RopeVariant{"ntk", vllm_ntk_frequencies},
    RopeVariant{"dynamic", dynamic_ntk_frequencies},
    RopeVariant{"qwen_dynamic_ntk", qwen_ntk_frequencies},
    RopeVariant{"yarn", yarn_frequencies},
    RopeVariant{"longrope", longrope_frequencies},
    RopeVariant{"llama3", llama3_frequencies},
    RopeVariant{"proportional", proportional_frequencies},
    RopeVariant{"grok", grok_frequencies},
};
// clang-format on

template <class Rows>
struct OptionsOfRows;
template <class... Rows>
struct OptionsOfRows<const std::tuple<Rows...>> {
  using type = std::variant<typename Rows::Options...>;
};

}  // namespace detail

/// The scaling of the frequencies, a std::variant: `DefaultOptions`, `LinearOptions`, `NtkOptions`,
/// `VllmNtkOptions`, `DynamicNtkOptions`, `QwenNtkOptions`, `YarnOptions`, `LongRopeOptions`,
/// `Llama3Options`, `ProportionalOptions`, `GrokOptions`, ... The type of the options names the variant.
using RopeScaling = detail::OptionsOfRows<decltype(detail::kRopeVariants)>::type;

/// The order in which M-RoPE assigns pairs to axes, for `RopeParameters`. HunYuan's XD-RoPE is chunked.
enum class MropeOrder {
  chunked,      ///< whole sections, T T H H H W W W: `mrope_axes_chunked`
  interleaved,  ///< T H W T H W T T: `mrope_axes_interleaved`
  ernie,        ///< H W H W T T T, with sections (height, width, time): `mrope_axes_ernie`
  openpangu,    ///< each pair to the axis with the smallest share so far: `mrope_axes_openpangu`
  video,        ///< H W H W T T T, with sections (time, height, width): `mrope_axes_video`
  glm           ///< T H W T H W H W, each axis until its section is used up: `mrope_axes_glm`
};

/// The rotary embedding of a layer: from a model's configuration (`from_config`), from a published model's
/// name (`preset`), or filled in by hand. The names are those of configurations; `frequencies` throws
/// std::invalid_argument on invalid parameters, naming one.
///
/// @code
///   const rotary::RopeParameters llama31{
///       .theta = 500000, .head_dim = 128, .scaling = rotary::Llama3Options{.factor = 8}};
///   const rotary::RotaryEmbedding<float> rotary_emb(llama31);                 // layout included
/// @endcode
struct RopeParameters {
  double theta = 10000;             ///< the base of the frequencies
  Index head_dim = 0;               ///< features of a head of queries and keys
  Index rotary_dim = head_dim;      ///< features of a head that rotate
  Index start_index = 0;            ///< the first feature that rotates; not 0 in heads of [nope | rope]
  Pairing pairing = Pairing::half;  ///< the pairing of the weights: half in most checkpoints

  /// The pairing of rotated features; by default `pairing`, as in DeepSeek's own code and in vLLM. Scores do
  /// not depend on it, cached keys do. Only Hugging Face's DeepSeek-V3 reads interleaved pairs and writes
  /// `Pairing::half`.
  Pairing output_pairing = pairing;

  RopeScaling scaling = {};                      ///< the variant and its parameters; by default none
  std::vector<Index> mrope_section = {};         ///< pairs of each axis; empty: positions have one coordinate
  MropeOrder mrope_order = MropeOrder::chunked;  ///< how sections are laid out over pairs
  double softmax_scale = 1;  ///< scores are multiplied by it and 1/√head_dim: a part of DeepSeek's YaRN

  /// Is the output of attention rotated by minus the position of its query, with the frequencies of keys? So
  /// it is in DeepSeek-V4, where values are the rotated keys.
  bool rotates_output_back = false;

  /// The frequencies on one axis, and the magnitude. Those of dynamic NTK, Qwen-1 and LongRoPE depend on
  /// `length`, one more than the largest position; 0 gives those of short texts. Throws on invalid
  /// parameters, naming one.
  Frequencies frequencies(double length = 0) const;

  /// The layout of this layer's embedding: which features of a head rotate, and how they are paired.
  [[nodiscard]] HeadLayout layout() const {
    HeadLayout layout{.rotary_dim = rotary_dim, .start_index = start_index, .pairing = pairing};
    if (output_pairing != pairing) layout.output_pairing = output_pairing;
    return layout;
  }

  /// The frequencies of this layer's embedding: on several axes if there is an `mrope_section`.
  [[nodiscard]] Frequencies rope_frequencies(double length = 0) const {
    return mrope_section.empty() ? frequencies(length) : frequencies_on_axes(length);
  }

  /// The axis whose coordinate rotates each pair, one entry for each pair, for `on_axes`.
  /// Throws std::invalid_argument if there is no `mrope_section`.
  std::vector<Index> axis_of_pair() const;

  /// The frequencies of every axis, [axes, pairs], for positions with a coordinate for each section: (time,
  /// height, width), and for XD-RoPE (plain, width, height, time).
  Frequencies frequencies_on_axes(double length = 0) const {
    const Index axes = static_cast<Index>(mrope_section.size());
    return on_axes(frequencies(length), axis_of_pair(), axes);
  }

  /// The name of the scaling in configurations: "default", "linear", "yarn", ...
  std::string_view rope_type() const {
    return std::apply([&](const auto&... row) { return std::array{row.name...}[scaling.index()]; },
                      detail::kRopeVariants);
  }
};

inline Frequencies RopeParameters::frequencies(double length) const {
  if (head_dim < 1) detail::fail("head_dim is ", head_dim, ", it must be positive");
  if (rotary_dim < 2 || rotary_dim % 2 != 0)
    detail::fail("rotary_dim is ", rotary_dim, ", it must be even and positive");
  if (start_index < 0 || start_index > head_dim || rotary_dim > head_dim - start_index)
    detail::fail("rotary_dim is ", rotary_dim, " from feature ", start_index, " on, head_dim is only ",
                 head_dim);
  detail::check_positive("theta", theta);
  detail::check_not_negative("length", length);
  Frequencies frequencies;
  const auto try_row = [&]<class... Types>(const detail::RopeVariant<Types...>& row) {
    if (const auto* options = std::get_if<typename detail::RopeVariant<Types...>::Options>(&scaling))
      frequencies = row.frequencies(rotary_dim, theta, *options, length);
  };
  std::apply([&](const auto&... row) { (try_row(row), ...); }, detail::kRopeVariants);
  detail::check(frequencies);
  return frequencies;
}

inline std::vector<Index> RopeParameters::axis_of_pair() const {
  if (mrope_section.empty()) detail::fail("there is no mrope_section: positions have one coordinate");
  switch (mrope_order) {
    case MropeOrder::chunked:
      return mrope_axes_chunked(mrope_section);
    case MropeOrder::interleaved:
      return mrope_axes_interleaved(mrope_section);
    case MropeOrder::ernie:
      if (mrope_section.size() != 3)
        detail::fail("mrope_section has ", mrope_section.size(), " entries, ERNIE's has 3");
      return mrope_axes_ernie({mrope_section[0], mrope_section[1], mrope_section[2]});
    case MropeOrder::openpangu:
      return mrope_axes_openpangu(mrope_section);
    case MropeOrder::video:
      return mrope_axes_video(mrope_section);
    case MropeOrder::glm:
      return mrope_axes_glm(mrope_section);
  }
  detail::fail("mrope_order is ", static_cast<int>(mrope_order), ", which MropeOrder has not");
}

}  // namespace rotary::inline ROTARY_ABI
