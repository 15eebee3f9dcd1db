// TokenPositions: the coordinates of tokens, stored axis by axis; grids of image patches in the order of
// merging.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "../positions.hpp"

namespace rotary::inline ROTARY_ABI {

/// The coordinates of tokens, 1 to 4 each, which grow token by token: position_ids of shape [axes, tokens].
/// Functions that rotate take it as they take `Positions`, of which it is a source.
/// Throws std::invalid_argument on another number of axes or coordinates.
///
/// @code
///   rotary::TokenPositions tokens(3);   // (t, h, w)
///   tokens.append({0, 0, 0});
///   tokens.append({1, 1, 2});
///   const rotary::CosSinTable<float> table(
///       rotary::on_axes(rotary::language_frequencies(128), rotary::mrope_axes_chunked({16, 24, 24}), 3),
///       tokens.positions());
/// @endcode
class TokenPositions {
 public:
  /// No tokens yet, with `axes` coordinates for each that is appended.
  /// Throws std::invalid_argument unless `axes` is 1 to 4.
  explicit TokenPositions(Index axes) {
    if (axes < 1 || axes > kMaxPositionAxes)
      detail::fail("tokens have 1 to ", kMaxPositionAxes, " coordinates, found ", axes);
    axes_.resize(static_cast<std::size_t>(axes));
  }

  /// The number of coordinates of a token.
  Index axes() const { return static_cast<Index>(axes_.size()); }
  /// The number of tokens that were appended.
  Index tokens() const { return static_cast<Index>(axes_[0].size()); }

  /// The coordinates of all tokens along one axis. Valid until a token is appended.
  /// Throws std::invalid_argument if there is no such axis.
  [[nodiscard]] std::span<const std::int64_t> axis(Index axis) const& {
    if (axis < 0 || axis >= axes()) detail::fail("axis is ", axis, ", tokens have axes 0 to ", axes() - 1);
    const auto& list = axes_[static_cast<std::size_t>(axis)];
    return {list.data(), list.size()};  // faster to compile than from the vector
  }
  std::span<const std::int64_t> axis(Index axis) const&& = delete;  ///< of a temporary: the span would dangle

  /// Appends a token with a coordinate for each axis: `append({t, h, w})`.
  /// Throws std::invalid_argument on more or fewer coordinates.
  void append(std::initializer_list<std::int64_t> coordinates) {
    if (coordinates.size() != axes_.size())
      detail::fail("found ", coordinates.size(), " coordinates for a token, there must be ", axes_.size());
    reserve(1);
    for (std::size_t a = 0; a < axes_.size(); ++a) axes_[a].push_back(coordinates.begin()[a]);
  }

  /// Reserves memory for `count` more tokens, so that appending them does not throw.
  void reserve(Index count) {
    if (count < 0) detail::fail("found room for ", count, " tokens, the number must not be negative");
    const Index total = detail::checked_sum(tokens(), count);
    detail::checked_product(total, sizeof(std::int64_t));
    for (auto& axis : axes_)
      if (axis.capacity() < static_cast<std::size_t>(total))
        axis.reserve(std::max(static_cast<std::size_t>(total), 2 * axis.size()));
  }

  /// [axes, tokens]: all of axis 0, then all of axis 1. The order of position_ids in Hugging Face, and of
  /// ggml's positions.
  std::vector<std::int64_t> flat() const {
    std::vector<std::int64_t> values;
    values.reserve(static_cast<std::size_t>(detail::checked_product(axes(), tokens())));
    for (const auto& axis : axes_)
      for (const std::int64_t coordinate : axis) values.push_back(coordinate);
    return values;
  }

  /// A view of these coordinates, one row for each token. Valid until a token is appended.
  [[nodiscard]] Positions positions() const& {
    std::array<AxisPositions, kMaxPositionAxes> views;
    for (std::size_t a = 0; a < axes_.size(); ++a)
      views[a] = AxisPositions::listed(axis(static_cast<Index>(a)));
    return Positions::together(std::span<const AxisPositions>(views.data(), axes_.size()));
  }
  Positions positions() const&& = delete;  ///< of a temporary: the view would dangle

  // Have both as many tokens, with equal coordinates?
  friend bool operator==(const TokenPositions&, const TokenPositions&) = default;

 private:
  std::vector<std::vector<std::int64_t>> axes_;
};

/// The patches of an image or a video, before any merging, for `MropePositions` and `merge_block_positions`.
struct VisionGrid {
  Index frames = 1;  ///< frames of the video; 1 for an image
  Index height = 0;  ///< rows of patches in a frame
  Index width = 0;   ///< columns of patches in a frame
};

namespace detail {

/// The number of blocks of `merge` patches along one side of a grid.
inline Index merged(const char* side, Index patches, Index merge) {
  if (merge < 1) fail("blocks of ", merge, " patches found, they must have at least 1");
  if (patches < 0 || patches % merge != 0)
    fail("the grid has ", side, " ", patches, ", it must be a multiple of ", merge, ", the patches merged");
  return patches / merge;
}

}  // namespace detail

/// (y, x) of every patch, from 0 in each frame, where blocks of merge × merge patches are contiguous. Blocks,
/// and patches within a block, go row by row.
///
///     height 2, width 4, merge 2:   y  0 0 1 1 0 0 1 1
///                                   x  0 1 0 1 2 3 2 3
///
/// Throws std::invalid_argument unless height and width are multiples of `merge`.
///
/// @code
///   const auto patches = rotary::merge_block_positions({.height = 2, .width = 4});
///   const rotary::CosSinTable<float> table(rotary::qwen2_vl_vision_frequencies(80), patches.positions(),
///                                          {.pairing = rotary::Pairing::half});   // 8 rows
/// @endcode
///
/// Source: the vision towers of Qwen2-VL and its successors.
inline TokenPositions merge_block_positions(const VisionGrid& grid, Index merge = 2) {
  const Index rows = detail::merged("height", grid.height, merge);
  const Index columns = detail::merged("width", grid.width, merge);
  if (grid.frames < 0) detail::fail("the grid has ", grid.frames, " frames, it must not be negative");
  TokenPositions patches(2);
  if (grid.frames == 0 || grid.height == 0 || grid.width == 0) return patches;  // of sides of any length
  patches.reserve(detail::checked_product(grid.frames, detail::checked_product(grid.height, grid.width)));
  for (Index frame = 0; frame < grid.frames; ++frame)
    for (Index row = 0; row < rows; ++row)
      for (Index column = 0; column < columns; ++column)
        for (Index y = 0; y < merge; ++y)
          for (Index x = 0; x < merge; ++x) patches.append({row * merge + y, column * merge + x});
  return patches;
}

}  // namespace rotary::inline ROTARY_ABI
