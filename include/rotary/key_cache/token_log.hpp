// TokenLog: the positions of the tokens of one sequence, by index.
#pragma once

#include <algorithm>
#include <array>
#include <functional>

#include "../positions.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The coordinates of a token; entries beyond its number of axes are ignored.
using Coordinates = std::array<FixedPosition, kMaxPositionAxes>;

/// The positions of stored tokens, [tokens, axes]. Tokens are appended at the end, erased anywhere, and
/// moved.
class TokenLog {
 public:
  explicit TokenLog(Index axes) : axes_(axes) {
    if (axes < 1 || axes > kMaxPositionAxes)
      fail("tokens have 1 to ", kMaxPositionAxes, " coordinates, found ", axes);
  }

  // A copy has the same capacity, so that a fork of a cache allocates no more than the cache does.
  TokenLog(const TokenLog& other) : axes_(other.axes_) {
    positions_.reserve(other.positions_.capacity());
    for (const FixedPosition& position : other.positions_) positions_.push_back(position);
  }
  TokenLog& operator=(const TokenLog& other) { return *this = TokenLog(other); }
  TokenLog(TokenLog&&) = default;
  TokenLog& operator=(TokenLog&&) = default;

  Index axes() const { return axes_; }
  Index size() const { return static_cast<Index>(positions_.size()) / axes_; }
  const FixedPosition* at(Index token) const { return positions_.data() + token * axes_; }

  /// One after the largest coordinate of the last token; 0 without tokens.
  FixedPosition next() const {
    if (size() == 0) return 0;
    const auto less = [](const FixedPosition& a, const FixedPosition& b) {
      return a.whole != b.whole ? a.whole < b.whole : a.fraction < b.fraction;
    };
    return *std::max_element(at(size() - 1), at(size()), less) + FixedPosition(1);
  }

  void reserve(Index tokens) { positions_.reserve(checked_elements<FixedPosition>(tokens, axes_)); }

  /// Reserves memory to append to `tokens` tokens, at least twice what was reserved, so that appending token by token copies
  /// little.
  void reserve_to_append(Index tokens) {
    const auto wanted = checked_elements<FixedPosition>(tokens, axes_);
    if (wanted > positions_.capacity()) positions_.reserve(std::max(wanted, 2 * positions_.capacity()));
  }

  void append(const Positions& positions) {
    for (Index n = 0; n < positions.count(); ++n)
      for (int axis = 0; axis < axes_; ++axis) positions_.push_back(positions.at(n, axis));
  }

  void erase(Index first, Index last) {
    positions_.erase(positions_.begin() + first * axes_, positions_.begin() + last * axes_);
  }

  /// The coordinates of token `to` minus those of token `from`.
  Coordinates difference(Index to, Index from) const {
    Coordinates deltas;
    std::transform(at(to), at(to + 1), at(from), deltas.begin(),
                   [](const auto& a, const auto& b) { return a + -b; });
    return deltas;
  }

  /// The coordinates of a token after a move by `deltas`.
  Coordinates moved(Index token, const FixedPosition* deltas) const {
    Coordinates there;
    std::transform(at(token), at(token + 1), deltas, there.begin(), std::plus<>());
    return there;
  }

  void move(Index first, Index last, const FixedPosition* deltas) {
    for (Index n = first; n < last; ++n)
      std::copy_n(moved(n, deltas).begin(), axes_, positions_.begin() + n * axes_);
  }

  /// The end of the longest run of consecutive tokens from `first` on, at most `last`. In a run every
  /// coordinate grows by one from token to token.
  Index run_end(Index first, Index last) const {
    const auto follows = [](const auto& before, const auto& here) {
      return here == before + FixedPosition(1);
    };
    Index end = first + 1;
    while (end < last && std::equal(at(end - 1), at(end), at(end), follows)) ++end;
    return end;
  }

  /// The positions of `count` consecutive tokens, the first with coordinates `first`.
  Positions run(Index count, const FixedPosition* first) const {
    std::array<AxisPositions, kMaxPositionAxes> along;
    std::transform(first, first + axes_, along.begin(),
                   [&](const auto& start) { return AxisPositions::consecutive(count, start); });
    return Positions::together(std::span<const AxisPositions>(along.data(), static_cast<std::size_t>(axes_)));
  }

 private:
  Index axes_;
  std::vector<FixedPosition> positions_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
