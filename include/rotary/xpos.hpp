// XPos: rotary embeddings whose scores decay with distance.
#pragma once

#include <utility>

#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

/// What XPos has beside the arguments of `RotaryEmbedding`.
struct XPosOptions {
  double xpos_scale_base = 512;  ///< positions over which a scale grows or falls by its own value
};

/// What a call of XPos says beside its tensors.
struct XPosRotateOptions {
  FixedPosition offset = 0;           ///< the position of the first token
  std::optional<Index> seq_dim = {};  ///< the sequence axis; by default that of the layout
  /// The position whose scale is one, the same for queries and keys; by default half the number of keys,
  /// rounded down, after the first. To decode with keys rotated earlier, name the same centre in every call.
  /// Counted, like the scale base, in positions divided by interpolate_factor.
  std::optional<double> centre = {};
  /// Has the last query's position as the centre, in place of `centre`: then no key's scale is above one, and
  /// those of queries only as far as they are from the last. So no position overflows, however far; scores
  /// are the same. Keys must be rotated anew for every call, as their scale changes with it.
  bool centre_on_last_query = false;
  Direction direction = Direction::forward;
};

namespace detail {

/// What names positions in calls of XPos.
template <class At>
concept XPosPositions = NamesPositions<At> && !std::is_same_v<At, XPosRotateOptions>;

}  // namespace detail

/// Rotary embedding with a scale for every pair that makes scores decay over distance (Sun et al., 2022).
///
/// With ζ_i = (2i + 0.4 dim) / (1.4 dim) and e(p) = (p − centre) / xpos_scale_base, queries are turned and
/// multiplied by ζ_i^e, keys turned and multiplied by ζ_i^−e, so that the product of a query at m and a key
/// at n carries ζ_i^((m − n)/base). For autoregressive attention only, m ≥ n. A scale belongs to a pair of
/// calls, so that rotating only one of the two does not compile.
///
/// float holds scales up to |p − centre| < 36000 for the default base; fails beyond, rather than answer
/// infinity. `centre_on_last_query` has no such limit.
///
/// @code
///   rotary::Tensor<float, 4> q(1, 8, 16, 64), k(1, 8, 16, 64);   // [batch, heads, seq, head_dim]
///   q.setRandom();
///   k.setRandom();
///   const rotary::XPos<float> xpos({.dim = 32});
///   auto [xq, xk] = xpos.rotate_queries_and_keys(q, k);
/// @endcode
template <class T>
class XPos {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  explicit XPos(const RotaryEmbeddingOptions& options, const XPosOptions& xpos = {})
      : XPos(RotaryEmbedding<T>(uncached(options)), xpos, options.dim) {}

  /// From any frequencies of one coordinate and a layout.
  explicit XPos(Frequencies frequencies, const HeadLayout& layout = {}, const XPosOptions& xpos = {})
      : XPos(RotaryEmbedding<T>(std::move(frequencies), layout, 0), xpos, 0) {}

  /// From a model's parameters, layout included.
  template <detail::DescribesRope M>
  explicit XPos(const M& model, const XPosOptions& xpos = {}, const ModelEmbeddingOptions& options = {})
      : XPos(RotaryEmbedding<T>(model, options), xpos, 0) {}

  /// Does not compile: the arguments have names.
  template <std::integral I>
  explicit XPos(I) : XPos(Frequencies()) {
    static_assert(!std::is_integral_v<I>, "rotary: name the arguments: XPos<float>({.dim = 64})");
  }

  [[nodiscard]] const RotaryEmbedding<T>& rotary() const& { return rotary_; }
  const RotaryEmbedding<T>& rotary() const&& = delete;  // it would be gone
  [[nodiscard]] const HeadLayout& layout() const& { return rotary_.layout(); }
  [[nodiscard]] HeadLayout layout() && { return rotary_.layout(); }
  [[nodiscard]] double scale_base() const { return scale_base_; }

  /// ζ, one for each pair.
  [[nodiscard]] const std::vector<double>& scale() const& { return scale_; }
  [[nodiscard]] std::vector<double> scale() && { return std::move(scale_); }
  /// Replaces ζ, as a step of training may.
  void set_scale(std::vector<double> scale) {
    if (scale.size() != scale_.size())
      detail::fail("found ", scale.size(), " scales, there must be ", scale_.size());
    std::vector<double> logs;
    for (const double& zeta : scale) {
      if (!detail::finite_bits(zeta) || !(zeta > 0))
        detail::fail("a scale is ", zeta, ", it must be positive");
      logs.push_back(std::log(zeta));
    }
    scale_ = std::move(scale);
    log_scale_ = std::move(logs);
  }
  void set_freqs(std::span<const double> freqs) { rotary_.set_freqs(freqs); }

  /// ζ^((position − centre) / base), each twice: [positions, features], as the reference's get_scale. The
  /// centre is half the number of positions, rounded down, unless given.
  template <class P>
  [[nodiscard]] Tensor<double, 2> get_scale(const P& positions, std::optional<double> centre = {}) const {
    const detail::PositionList<P> list(positions);
    static_assert(detail::PositionList<P>::kRank == 1, "rotary: get_scale takes positions on one axis");
    const Index pairs = static_cast<Index>(scale_.size()), count = static_cast<Index>(list.values.size());
    const double middle = centre.value_or(static_cast<double>(count / 2));
    const auto [step, second] = detail::angle_places(rotary_.pairing(), pairs);
    using detail::rounded;  // every operation, whatever the compiler's flags
    Tensor<double, 2> result(count, 2 * pairs);
    for (Index n = 0; n < count; ++n)
      for (Index i = 0; i < pairs; ++i)
        result(n, i * step) = result(n, i * step + second) =
            rounded(std::exp(rounded(rounded(log_scale_[static_cast<std::size_t>(i)] *
                                             rounded(list.values[static_cast<std::size_t>(n)] - middle)) /
                                     rounded(scale_base_))));
    return result;
  }

  /// {rotated q, rotated k}: index n of both is at position offset + n.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const XPosRotateOptions& options = {}, const Device& device = {}) const {
    return rotated_together(q, k, detail::ByOffset(), options, device);
  }
  /// {rotated q, rotated k}, their tokens at `at`: a number, ids, or `Positions` of one coordinate. Unless the options name
  /// a centre, it is half the number of keys, rounded down, after the position of the first token; on the last query it is
  /// the largest of all positions.
  template <class Q, class K, detail::XPosPositions At, ParallelDevice Device = CallingThread>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const At& at, const XPosRotateOptions& options = {},
      const Device& device = {}) const {
    return rotated_together(q, k, at, options, device);
  }

  /// Rotates and scales queries and keys in place.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const XPosRotateOptions& options = {},
                                        const Device& device = {}) const {
    in_place_together<Q, K>(q, k, detail::ByOffset(), options, device);
  }
  /// Rotates and scales queries and keys in place, their tokens at `at`.
  ///
  /// @code
  ///   const rotary::XPos<float> xpos({.dim = 32});
  ///   rotary::Tensor<float, 4> q(2, 8, 1, 64), k(2, 8, 1, 64);      // [batch, heads, seq, head_dim]
  ///   q.setRandom();
  ///   k.setRandom();
  ///   const std::vector<int> lengths = {17, 4};
  ///   xpos.rotate_queries_and_keys_in_place(q, k, rotary::Positions::per_sequence(lengths), {.centre = 0});
  /// @endcode
  template <class Q, class K, detail::XPosPositions At, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const At& at, const XPosRotateOptions& options = {},
                                        const Device& device = {}) const {
    in_place_together<Q, K>(q, k, at, options, device);
  }

  /// The last q_len tokens as queries against all k_len cached, not yet rotated keys: {rotated q, rotated k}.
  ///
  /// Queries stand at k_len − q_len ... k_len − 1 and share the keys' centre, so that decoding agrees with a
  /// full pass; the reference centres them on q_len, and its scores do not. `offset` turns the queries only,
  /// as there.
  template <class Q, class K>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_with_cached_keys(
      const Q& q, const K& k, const XPosRotateOptions& options = {}) const {
    if constexpr (can_return<Q, K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const auto key_view = detail::const_view_of(keys);
      const auto query_view = detail::const_view_of(queries);
      const Index q_len = query_view.extent(axis_of(query_view.rank, options));
      const Index keys_len = key_view.extent(axis_of(key_view.rank, options));
      if (q_len > keys_len)
        detail::fail("found ", q_len, " queries for ", keys_len, " cached keys, there must not be more");
      const Index ahead = keys_len - q_len;
      check_centre(options);
      const double centre = options.centre.value_or(static_cast<double>(keys_len / 2));
      Plan plan{
          {Positions::from(options.offset + FixedPosition(ahead)), centre + interpolated(options.offset)},
          {Positions::from(0), centre}};
      if (options.centre_on_last_query)
        plan.queries.centre = plan.keys.centre =
            last_query(options, options.offset + FixedPosition(keys_len - 1));
      return rotated(queries, keys, plan, options, CallingThread());
    }
  }

  /// Does not compile: a scale is right only if queries and keys share their centre.
  template <class X, class... Arguments>
  void rotate_queries_or_keys(const X&, const Arguments&...) const {
    static_assert(
        !detail::is_tensor<X> && detail::is_tensor<X>,
        "rotary: XPos scales queries and keys against each other; call rotate_queries_and_keys(q, k)");
  }
  template <class X>
  void rotate_queries_or_keys(const X& x, const RotateOptions&) const {
    rotate_queries_or_keys(x);
  }
  template <class X, class... Arguments>
  void rotate_in_place(X&&, const Arguments&...) const {
    static_assert(!detail::is_tensor<X> && detail::is_tensor<X>,
                  "rotary: XPos scales queries and keys against each other; call "
                  "rotate_queries_and_keys_in_place(q, k)");
  }
  template <class X>
  void rotate_in_place(X&& x, const RotateOptions&) const {
    rotate_in_place(x);
  }

  /// The gradients of `rotate_queries_and_keys` with respect to frequencies and scales, from q and k as they
  /// were before and the gradients with respect to the results. (With respect to q and k:
  /// `Direction::transpose`.)
  struct Gradients {
    std::vector<double> freqs, scale;
  };
  template <class Q, class K, class GQ, class GK>
  [[nodiscard]] Gradients gradients(const Q& q, const K& k, const GQ& grad_q, const GK& grad_k,
                                    const XPosRotateOptions& options = {}) const {
    const Index pairs = rotary_.rotary_dim() / 2;
    detail::check_forward(options.direction);
    decltype(auto) keys = detail::stored(k);
    decltype(auto) queries = detail::stored(q);
    const Plan plan = together(queries, keys, Positions::from(options.offset), options);
    Gradients sums{std::vector<double>(static_cast<std::size_t>(pairs)), std::vector<double>(scale_.size())};
    const auto add = [&](const auto& x, const auto& grad, const Run& run, int sign) {
      decltype(auto) stored_grad = detail::stored(grad);
      const auto in = detail::const_view_of(x);
      const int axis = axis_of(in.rank, options);
      const Positions positions = run.positions.for_length(in.extent(axis));
      const kernels::Magnitude scales = magnitude(run.centre, sign);
      const auto of =
          detail::rotation_gradients(rotary_.rotator_.rows().text_steps(), positions, scales,
                                     rotary_.layout(), in, detail::const_view_of(stored_grad), axis);
      const auto freqs = detail::frequency_gradient(of, positions, rotary_.interpolate_factor());
      for (Index i = 0; i < pairs; ++i) {
        const auto at = static_cast<std::size_t>(i);
        sums.freqs[at] += freqs[at];
        for (Index n = 0; n < of.seq; ++n)
          sums.scale[at] +=
              detail::rounded(detail::rounded(scales.exponent(static_cast<double>(positions.at(n))) *
                                              of.log_magnitude_at(n, i)) /
                              detail::rounded(scale_[at]));
      }
    };
    add(queries, grad_q, plan.queries, +1);
    add(keys, grad_k, plan.keys, -1);
    return sums;
  }

 private:
  /// Where tokens are, and the position whose scale is one.
  struct Run {
    Positions positions;
    double centre;
  };
  struct Plan {
    Run queries, keys;
  };

  XPos(RotaryEmbedding<T> rotary, const XPosOptions& xpos, Index dim)
      : scale_base_(xpos.xpos_scale_base), rotary_(std::move(rotary)) {
    if (!detail::finite_bits(scale_base_) || !(scale_base_ > 0))
      detail::fail("xpos_scale_base is ", scale_base_, ", it must be positive and finite");
    if (rotary_.frequencies().axes != 1)
      detail::fail("frequencies of ", rotary_.frequencies().axes,
                   " coordinates found, XPos takes those of one");
    // An odd dim has one scale more than it has pairs, as in the reference.
    if (dim == 0) dim = rotary_.rotary_dim();
    if (dim < 1) detail::fail("dim is ", dim, ", it must be positive");
    // Every operation rounded by itself, whatever the compiler's flags.
    using detail::rounded;
    const double end = rounded(1.4 * static_cast<double>(dim));
    for (Index i = 0; 2 * i < dim; ++i)
      scale_.push_back(rounded(
          rounded(2.0 * static_cast<double>(i) + rounded(0.4 * static_cast<double>(dim))) / rounded(end)));
    set_scale(std::vector<double>(scale_));
  }

  /// Rows of XPos depend on the centre, so none are cached.
  static RotaryEmbeddingOptions uncached(RotaryEmbeddingOptions options) {
    options.cache_if_possible = false;
    return options;
  }

  int axis_of(int rank, const XPosRotateOptions& options) const {
    return detail::sequence_axis(options.seq_dim.value_or(rotary_.layout().seq_dim), rank);
  }

  double interpolated(FixedPosition position) const {
    return static_cast<double>(position) / rotary_.interpolate_factor();
  }

  static void check_centre(const XPosRotateOptions& options) {
    if (options.centre && !detail::finite_bits(*options.centre))
      detail::fail("the centre is ", *options.centre, ", it must be finite");
  }

  /// The centre on the last query, which is at `position`.
  double last_query(const XPosRotateOptions& options, const FixedPosition& position) const {
    if (options.centre)
      detail::fail("the centre is ", *options.centre, ", it must be left out with centre_on_last_query");
    return interpolated(position);
  }

  /// The smallest and the largest of some positions.
  static std::pair<FixedPosition, FixedPosition> range_of(const Positions& positions) {
    const FixedPosition first = positions.at(0);
    if (positions.is_consecutive()) return {first, positions.at(positions.count() - 1)};
    std::pair range{first, first};
    const auto less = [](const FixedPosition& a, const FixedPosition& b) {
      return a.whole != b.whole ? a.whole < b.whole : a.fraction < b.fraction;
    };
    for (Index n = 1; n < positions.count(); ++n)
      range = {std::min(range.first, positions.at(n), less), std::max(range.second, positions.at(n), less)};
    return range;
  }

  /// e = ±(position / interpolate_factor − centre) / base: + for queries, − for keys.
  kernels::Magnitude magnitude(double centre, int sign) const {
    return {.factor = rotary_.frequencies().magnitude,
            .log_scale = log_scale_,
            .slope = sign / detail::rounded(rotary_.interpolate_factor() * scale_base_),
            .origin = centre * rotary_.interpolate_factor()};
  }

  template <class Q, class K>
  static constexpr bool can_return() {
    return detail::check_rotatable<Q>() && detail::check_returnable<Q>() && detail::check_rotatable<K>() &&
           detail::check_returnable<K>();
  }

  template <class Q, class K>
  Plan together(const Q& q, const K& k, const Positions& at, const XPosRotateOptions& options) const {
    static_assert(detail::check_rotatable<Q>() && detail::check_rotatable<K>());
    check_centre(options);
    const auto queries = detail::const_view_of(q);
    const auto keys = detail::const_view_of(k);
    const Index q_len = queries.extent(axis_of(queries.rank, options));
    const Index k_len = keys.extent(axis_of(keys.rank, options));
    if (q_len != k_len)
      detail::fail("found ", q_len, " queries and ", k_len,
                   " keys, they must be as many; rotate_queries_with_cached_keys takes fewer queries");
    if (at.axis_count() != 1)
      detail::fail("found positions of ", at.axis_count(), " coordinates, XPos takes those of one");
    const Positions positions = at.for_length(k_len);
    const FixedPosition first = positions.count() > 0 ? positions.at(0) : FixedPosition();
    const double centre =
        options.centre_on_last_query
            ? last_query(options, positions.count() > 0 ? range_of(positions).second : first)
            : options.centre.value_or(interpolated(first) + static_cast<double>(k_len / 2));
    return {{positions, centre}, {positions, centre}};
  }

  template <class At>
  static Positions positions_of(const At& at, const XPosRotateOptions& options) {
    if constexpr (std::is_same_v<At, detail::ByOffset>) {
      return Positions::from(options.offset);
    } else {
      if (options.offset != FixedPosition(0))
        detail::fail("the offset is ", static_cast<double>(options.offset),
                     ", it must be 0 where positions are given");
      return detail::positions_of(at);
    }
  }

  template <class Q, class K, class At, class Device>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotated_together(const Q& q, const K& k, const At& at,
                                                                 const XPosRotateOptions& options,
                                                                 const Device& device) const {
    if constexpr (can_return<Q, K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      return rotated(queries, keys, together(queries, keys, positions_of(at, options), options), options,
                     device);
    }
  }
  template <class Q, class K, class At, class Device>
  void in_place_together(std::remove_reference_t<Q>& q, std::remove_reference_t<K>& k, const At& at,
                         const XPosRotateOptions& options, const Device& device) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_writable<K>()) {
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      rotate_both(queries, queries, keys, keys, together(q, k, positions_of(at, options), options), options,
                  device);
    }
  }

  template <class Q, class K, class Device>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotated(const Q& q, const K& k, const Plan& plan,
                                                        const XPosRotateOptions& options,
                                                        const Device& device) const {
    std::pair<detail::Owned<Q>, detail::Owned<K>> result{detail::make_like(q), detail::make_like(k)};
    rotate_both(detail::const_view_of(q), detail::writable_view_of(result.first), detail::const_view_of(k),
                detail::writable_view_of(result.second), plan, options, device);
    return result;
  }

  template <class Q, class K, class Device>
  void rotate_both(const StridedView<Q>& q, const StridedView<std::remove_const_t<Q>>& q_out,
                   const StridedView<K>& k, const StridedView<std::remove_const_t<K>>& k_out,
                   const Plan& plan, const XPosRotateOptions& options, const Device& device) const {
    const detail::TensorPair queries{q, q_out, axis_of(q.rank, options)};
    const detail::TensorPair keys{k, k_out, axis_of(k.rank, options)};
    const auto how = [&](const Run& run, int sign) {
      return detail::Rotation<T>{rotary_.rotator_.rows(), rotary_.layout(),
                                 detail::directed(magnitude(run.centre, sign), options.direction),
                                 options.direction};
    };
    detail::check_direction(options.direction);
    const detail::Rotation<T> of_queries = how(plan.queries, +1), of_keys = how(plan.keys, -1);
    const Positions at_queries = plan.queries.positions.for_length(q.extent(queries.seq_axis)),
                    at_keys = plan.keys.positions.for_length(k.extent(keys.seq_axis));
    detail::check_rotation(of_queries, queries);  // both before either is written
    detail::check_rotation(of_keys, keys);
    detail::check_apart(q_out, k);
    detail::check_positions(at_queries, q, queries.seq_axis);
    detail::check_positions(at_keys, k, keys.seq_axis);
    if (!q.empty()) check_range<std::remove_const_t<Q>>(at_queries, plan.queries.centre, +1, options);
    if (!k.empty()) check_range<std::remove_const_t<K>>(at_keys, plan.keys.centre, -1, options);
    detail::rotate_all(of_queries, at_queries, device, queries);
    detail::rotate_all(of_keys, at_keys, device, keys);
  }

  /// Throws where a scale would be infinite in the type of the rows or of the tensor, or its inverse, unless scales may
  /// vanish.
  template <class X>
  void check_range(const Positions& positions, double centre, int sign,
                   const XPosRotateOptions& options) const {
    const bool may_vanish = options.centre_on_last_query && options.direction != Direction::inverse;
    const kernels::Magnitude scales = magnitude(centre, sign);
    const double largest = std::min(static_cast<double>(std::numeric_limits<T>::max()),
                                    static_cast<double>(std::numeric_limits<X>::max()));
    const double largest_log = std::log(largest) - 1;
    const auto [first, last] = range_of(positions);
    for (const FixedPosition& end : {first, last}) {
      const double position = static_cast<double>(end);
      for (const double log_zeta : log_scale_) {
        const double log_scale = log_zeta * scales.exponent(position);
        if (!detail::finite_bits(log_scale) ||
            !((may_vanish ? log_scale : std::fabs(log_scale)) < largest_log))
          detail::fail(
              "position ", position, " is so far from the centre, ", centre,
              ", that its scale is out of range; name a centre nearer to it, or centre_on_last_query");
      }
    }
  }

  double scale_base_;
  RotaryEmbedding<T> rotary_;
  std::vector<double> scale_, log_scale_;
};

}  // namespace rotary::inline ROTARY_ABI
