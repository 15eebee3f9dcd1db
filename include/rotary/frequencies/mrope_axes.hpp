// Which coordinate rotates which pair, if a token has several: M-RoPE's sections and their relatives.
#pragma once

#include <array>
#include <vector>

#include "../core/error.hpp"

namespace rotary::inline ROTARY_ABI {

// M-RoPE has the frequencies of plain RoPE and assigns each pair to an axis (time, height or width): pair i
// rotates by φ_i = p^(a(i)) f_i. All of the orders in use are lists a(0), a(1), ... for `on_axes`, which
// throws if the sections do not add up to the number of pairs. A text token, whose coordinates are
// equal, rotates as in plain RoPE whatever the list. None of this says which two features form a pair: see
// Pairing.

namespace detail {

/// The number of pairs in all sections. Throws on negative sections, and on more pairs than fit into memory.
template <class Sections>
Index checked_pairs(const Sections& sections) {
  if (sections.empty()) fail("found no section, M-RoPE needs one for every axis");
  Index pairs = 0;
  for (std::size_t axis = 0; axis < sections.size(); ++axis) {
    if (sections[axis] < 0)
      fail("section ", axis, " has ", sections[axis], " pairs, the number must not be negative");
    pairs = checked_sum(pairs, sections[axis]);
  }
  checked_product(pairs, sizeof(Index));
  return pairs;
}

}  // namespace detail

/// Whole sections, one after the other; `sections[a]` is the number of pairs of axis a. For `on_axes`.
///
///     [2, 3, 3]:   T T H H H W W W
///
/// Throws std::invalid_argument if there is no section, or one is negative.
///
/// @code
///   const auto axes = rotary::mrope_axes_chunked({16, 24, 24});
///   const auto image = rotary::on_axes(rotary::language_frequencies(128, 1e6), axes, 3);
/// @endcode
///
/// Source: `mrope_section` of Qwen2-VL, Qwen2.5-VL and GLM-4.1V, and HunYuan's XD-RoPE, whose four sections
/// and axes are (plain, width, height, time).
inline std::vector<Index> mrope_axes_chunked(const std::vector<Index>& sections) {
  std::vector<Index> axis_of_pair;
  axis_of_pair.reserve(static_cast<std::size_t>(detail::checked_pairs(sections)));
  for (std::size_t axis = 0; axis < sections.size(); ++axis)
    for (Index n = 0; n < sections[axis]; ++n) axis_of_pair.push_back(static_cast<Index>(axis));
  return axis_of_pair;
}

/// Axes interleaved pair by pair, for as long as their sections last; `sections[a]` is the number of pairs of
/// axis a. For `on_axes`.
///
///     [4, 2, 2]:   T H W T H W T T
///
/// Of n axes, axis k > 0 has the pairs k, k + n, k + 2n, ... below n · sections[k]; axis 0 has all others. A
/// section larger than every n-th pair is cut off, as in the published code.
/// Throws std::invalid_argument if there is no section, or one is negative.
///
/// @code
///   const auto axes = rotary::mrope_axes_interleaved({24, 20, 20});
///   const auto image = rotary::on_axes(rotary::language_frequencies(128, 5e6), axes, 3);
/// @endcode
///
/// Source: `mrope_interleaved` of Qwen3-VL and later.
inline std::vector<Index> mrope_axes_interleaved(const std::vector<Index>& sections) {
  const Index pairs = detail::checked_pairs(sections), axes = static_cast<Index>(sections.size());
  std::vector<Index> axis_of_pair(static_cast<std::size_t>(pairs), 0);
  for (Index i = 0; i < pairs; ++i) {
    const Index axis = i % axes, round = i / axes;
    if (round < sections[static_cast<std::size_t>(axis)]) axis_of_pair[static_cast<std::size_t>(i)] = axis;
  }
  return axis_of_pair;
}

/// Height and width alternating, then time, for sections in the order (height, width, time). The axes of the
/// result are (time, height, width), the order of its positions. For `on_axes`.
///
///     {2, 2, 3}:   H W H W T T T
///
/// Throws std::invalid_argument unless the sections of height and width are equal, and none is negative.
///
/// @code
///   const auto axes = rotary::mrope_axes_ernie({22, 22, 20});   // 1 2 1 2 ... 0 0
///   const auto image = rotary::on_axes(rotary::language_frequencies(128, 500000), axes, 3);
/// @endcode
///
/// Source: `mrope_section` of ERNIE-4.5-VL.
inline std::vector<Index> mrope_axes_ernie(const std::array<Index, 3>& height_width_time) {
  const auto [height, width, time] = height_width_time;
  const Index pairs = detail::checked_pairs(height_width_time);
  if (height != width)
    detail::fail("ERNIE's sections are ", height, " for height and ", width,
                 " for width, they must be equal");
  std::vector<Index> axis_of_pair(static_cast<std::size_t>(pairs), 0);
  for (Index i = 0; i < pairs - time; ++i) axis_of_pair[static_cast<std::size_t>(i)] = 1 + i % 2;
  return axis_of_pair;
}

/// Height and width alternating, then time, for sections in the order of the axes, (time, height, width). For
/// `on_axes`; `mrope_axes_chunked` has an example.
///
///     [3, 2, 2]:   H W H W T T T
///
/// Throws std::invalid_argument unless there are three sections, and none is negative.
///
/// Source: `rope_type` video_rope of Ling and Ming.
inline std::vector<Index> mrope_axes_video(const std::vector<Index>& sections) {
  if (sections.size() != 3) detail::fail("video_rope has 3 sections, found ", sections.size());
  const Index pairs = detail::checked_pairs(sections);
  std::vector<Index> axis_of_pair(static_cast<std::size_t>(pairs), 0);
  for (Index i = 0; i < pairs - sections[0]; ++i) axis_of_pair[static_cast<std::size_t>(i)] = 1 + i % 2;
  return axis_of_pair;
}

/// Axes interleaved pair by pair, each until its section is used up: pair i belongs to axis i mod n of n
/// axes, or to the next axis whose section is not used up. For `on_axes`; `mrope_axes_interleaved` has an
/// example.
///
///     [2, 3, 3]:   T H W T H W H W
///
/// Throws std::invalid_argument if there is no section, or one is negative.
///
/// Source: `mrope_interleaved_glm` of GLM.
inline std::vector<Index> mrope_axes_glm(const std::vector<Index>& sections) {
  const Index pairs = detail::checked_pairs(sections);
  std::vector<Index> left = sections, axis_of_pair;
  axis_of_pair.reserve(static_cast<std::size_t>(pairs));
  for (Index i = 0; i < pairs; ++i) {
    std::size_t axis = static_cast<std::size_t>(i) % left.size();
    while (left[axis] == 0) axis = (axis + 1) % left.size();
    --left[axis];
    axis_of_pair.push_back(static_cast<Index>(axis));
  }
  return axis_of_pair;
}

/// Each pair goes to the axis of which the smallest share has been placed. For `on_axes`;
/// `mrope_axes_interleaved` has an example.
///
///     [2, 3, 3]:   T H W H W H W T
///
/// The axis of the previous pair is skipped if another has pairs left; of equal shares the first axis is
/// taken. With three sections (time, height, width) one pair of time is placed last; two sections are
/// (height, width).
/// Throws std::invalid_argument unless there are two or three sections, none is negative, and time has a
/// pair.
///
/// Source: openPangu.
inline std::vector<Index> mrope_axes_openpangu(const std::vector<Index>& sections) {
  const Index pairs = detail::checked_pairs(sections), axes = static_cast<Index>(sections.size());
  if (axes != 2 && axes != 3) detail::fail("openPangu has 2 or 3 sections, found ", axes);
  const bool time_is_last = axes == 3;
  std::vector<Index> counts = sections;
  if (time_is_last && --counts[0] < 0)
    detail::fail("openPangu's section of time has no pair, it must have at least 1");

  std::vector<Index> placed(counts.size(), 0), axis_of_pair;
  axis_of_pair.reserve(static_cast<std::size_t>(pairs));
  const auto share = [&](std::size_t axis) {
    return static_cast<double>(placed[axis]) / static_cast<double>(counts[axis]);
  };
  const Index none = -1;
  Index previous = none;
  for (Index i = 0; i < pairs - (time_is_last ? 1 : 0); ++i) {
    Index next = none;
    for (std::size_t axis = 0; axis < counts.size(); ++axis)
      if (placed[axis] < counts[axis] && static_cast<Index>(axis) != previous &&
          (next == none || share(axis) < share(static_cast<std::size_t>(next))))
        next = static_cast<Index>(axis);
    if (next == none) next = previous;  // the only one with pairs left
    ++placed[static_cast<std::size_t>(next)];
    axis_of_pair.push_back(next);
    previous = next;
  }
  if (time_is_last) axis_of_pair.push_back(0);
  return axis_of_pair;
}

/// Whole sections of ggml's four streams (t, h, w, e), repeated if there are more pairs. For `on_axes` with 4
/// axes; `mrope_axes_chunked` has an example.
///
///     [1, 2, 1, 0], 6 pairs:   T H H W T H
///
/// Throws std::invalid_argument if a section or `pairs` is negative, or all sections are empty.
///
/// Source: GGML_ROPE_TYPE_MROPE.
inline std::vector<Index> mrope_axes_ggml(const std::array<Index, 4>& sections, Index pairs) {
  const Index period = detail::checked_pairs(sections);
  if (pairs < 0) detail::fail("there cannot be ", pairs, " pairs");
  if (period == 0 && pairs > 0) detail::fail("all sections are empty, there must be a pair in one of them");
  std::vector<Index> axis_of_pair;
  detail::checked_product(pairs, sizeof(Index));
  axis_of_pair.reserve(static_cast<std::size_t>(pairs));
  for (Index i = 0; i < pairs; ++i) {
    Index axis = 0, end = sections[0];
    while (axis < 3 && i % period >= end) end += sections[static_cast<std::size_t>(++axis)];
    axis_of_pair.push_back(axis);
  }
  return axis_of_pair;
}

/// Three of ggml's four streams, t, h and w, interleaved for as long as their sections last, then the fourth
/// stream e. For `on_axes` with 4 axes; `mrope_axes_interleaved` has an example.
///
///     [4, 2, 2, 0], 8 pairs:   T H W T H W T E
///
/// Pairs left over go to e in ggml, but to time in `mrope_axes_interleaved`, Hugging Face and vLLM: with [24,
/// 20, 20, 0] pairs 61 and 62 differ. Use the order of a model's training; this one is for comparisons with
/// ggml.
/// Throws std::invalid_argument if a section or `pairs` is negative, or all sections are empty.
///
/// Source: GGML_ROPE_TYPE_IMROPE.
inline std::vector<Index> mrope_axes_ggml_interleaved(const std::array<Index, 4>& sections, Index pairs) {
  // Only for the number of pairs and its checks: the axes are overwritten.
  std::vector<Index> axis_of_pair = mrope_axes_ggml(sections, pairs);
  const Index period = detail::checked_pairs(sections);
  for (Index i = 0; i < pairs; ++i) {
    const Index axis = i % period % 3, round = i % period / 3;
    axis_of_pair[static_cast<std::size_t>(i)] = round < sections[static_cast<std::size_t>(axis)] ? axis : 3;
  }
  return axis_of_pair;
}

}  // namespace rotary::inline ROTARY_ABI
