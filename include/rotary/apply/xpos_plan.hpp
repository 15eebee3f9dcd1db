// XPosPlan: where the queries and keys of a call of XPos are, and the position whose scale is one.
#pragma once

#include <optional>

#include "call_arguments.hpp"
#include "xpos_scales.hpp"

namespace rotary::inline ROTARY_ABI {

/// What a call of `XPos` says beside its tensors and positions.
struct XPosRotateOptions {
  FixedPosition offset = 0;           ///< the position of the first token; 0 in calls that take positions
  std::optional<Index> seq_dim = {};  ///< the sequence axis, −1 being the last; left out, that of the layout
  /// The position whose scale is one, the same for queries and keys; by default half the number of keys,
  /// rounded down, after the first. To decode with keys rotated earlier, name the same centre in every call.
  /// Counted, like the scale base, in positions divided by interpolate_factor.
  std::optional<double> centre = {};
  /// Is the position of the last query the centre, in place of `centre`? Then no position overflows, however
  /// far: scales of keys are at most one, and those of queries are larger only by a query's distance to the
  /// last. Scores do not change. Keys must be rotated again for every call, as their scales change with it.
  bool centre_on_last_query = false;
  Direction direction = Direction::forward;  ///< `inverse` undoes a rotation, `transpose` rotates gradients
};

namespace detail {

/// Where tokens are, and the position whose scale is one, divided by interpolate_factor.
struct XPosRun {
  Positions positions;
  double centre;
};

/// The runs of the queries and the keys of a call.
class XPosPlan {
 public:
  XPosRun queries, keys;

  /// Queries and keys of the same positions.
  static XPosPlan together(Index q_len, Index k_len, const Positions& at, const XPosRotateOptions& options,
                           double interpolate_factor) {
    check_centre(options);
    if (q_len != k_len)
      fail("found ", q_len, " queries and ", k_len,
           " keys, they must be as many; rotate_queries_with_cached_keys takes fewer queries");
    if (at.axis_count() != 1)
      fail("found positions of ", at.axis_count(), " coordinates, XPos takes those of one");
    const Positions positions = at.for_length(k_len);
    const FixedPosition first = positions.count() > 0 ? positions.at(0) : FixedPosition();
    const FixedPosition last = positions.count() > 0 && options.centre_on_last_query
                                   ? XPosScales::range_of(positions).second
                                   : first;
    const double centre = options.centre_on_last_query
                              ? on_last_query(options, last, interpolate_factor)
                              : options.centre.value_or(interpolated(first, interpolate_factor) +
                                                        static_cast<double>(k_len / 2));
    return {{positions, centre}, {positions, centre}};
  }

  /// The last `q_len` of `k_len` tokens as queries. The offset moves the queries only.
  static XPosPlan with_cached_keys(Index q_len, Index k_len, const XPosRotateOptions& options,
                                   double interpolate_factor) {
    if (q_len > k_len) fail("found ", q_len, " queries for ", k_len, " cached keys, there must not be more");
    check_centre(options);
    const FixedPosition first = options.offset + FixedPosition(k_len - q_len);
    double of_keys = options.centre.value_or(static_cast<double>(k_len / 2));
    double of_queries = of_keys + interpolated(options.offset, interpolate_factor);
    if (options.centre_on_last_query)
      of_queries = of_keys =
          on_last_query(options, options.offset + FixedPosition(k_len - 1), interpolate_factor);
    return {{Positions::from(first), of_queries}, {Positions::from(0), of_keys}};
  }

 private:
  XPosPlan(XPosRun of_queries, XPosRun of_keys) : queries(std::move(of_queries)), keys(std::move(of_keys)) {}

  static double interpolated(const FixedPosition& position, double interpolate_factor) {
    return static_cast<double>(position) / interpolate_factor;
  }
  static void check_centre(const XPosRotateOptions& options) {
    if (options.centre && !finite_bits(*options.centre))
      fail("the centre is ", *options.centre, ", it must be finite");
  }
  /// The centre on the last query, which is at `position`.
  static double on_last_query(const XPosRotateOptions& options, const FixedPosition& position,
                              double interpolate_factor) {
    if (options.centre)
      fail("the centre is ", *options.centre, ", it must be left out with centre_on_last_query");
    return interpolated(position, interpolate_factor);
  }
};

/// The positions of a call of XPos, from what names them.
template <class At>
Positions xpos_positions_of(const At& at, const XPosRotateOptions& options) {
  if constexpr (std::is_same_v<At, ByOffset>) {
    return Positions::from(options.offset);
  } else {
    if (options.offset != FixedPosition(0))
      fail("the offset is ", static_cast<double>(options.offset), ", it must be 0 where positions are given");
    return positions_of(at);
  }
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
