// XPos: rotary embeddings whose scores decay with distance.
#pragma once

#include <utility>

#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

/// The constructor arguments of rotary-embedding-torch with `use_xpos`, with its defaults, and the pairing.
struct XPosOptions {
  Index dim = 0;                          ///< features that rotate; even
  std::vector<double> custom_freqs = {};  ///< frequencies in radians per position, in place of `freqs_for`
  FreqsFor freqs_for = FreqsFor::lang;
  double theta = 10000;
  double max_freq = 10;
  Index num_freqs = 1;
  bool learned_freq = false;
  double xpos_scale_base = 512;  ///< positions over which a scale grows or falls by its own value
  double interpolate_factor = 1;
  double theta_rescale_factor = 1;
  bool seq_before_head_dim = false;
  bool allow_odd_dim = false;
  Pairing pairing = Pairing::interleaved;
};

/// How a call of XPos rotates.
struct XPosRotateOptions {
  std::optional<Index> seq_dim = {};  ///< the sequence axis; by default −2, or −3 with `seq_before_head_dim`
  FixedPosition offset = 0;           ///< the position of the first token
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
  explicit XPos(const XPosOptions& options)
      : scale_base_(options.xpos_scale_base), rotary_(rotary_options(options)) {
    if (!(scale_base_ > 0 && scale_base_ < std::numeric_limits<double>::infinity()))
      detail::fail("xpos_scale_base is ", scale_base_, ", it must be positive");
    const Index dim = options.dim;
    if (dim < 1) detail::fail("dim is ", dim, ", it must be positive");
    for (Index i = 0; 2 * i < dim; ++i)
      scale_.push_back((2.0 * static_cast<double>(i) + 0.4 * static_cast<double>(dim)) /
                       (1.4 * static_cast<double>(dim)));
    if (static_cast<Index>(scale_.size()) < rotary_.rotary_dim() / 2)
      detail::fail("there are ", rotary_.rotary_dim() / 2, " frequencies but scales for only ", scale_.size(),
                   " pairs");
    set_scale(std::vector<double>(scale_));
  }

  const RotaryEmbedding<T>& rotary() const { return rotary_; }
  double scale_base() const { return scale_base_; }

  /// ζ, one for each pair.
  const std::vector<double>& scale() const { return scale_; }
  /// Replaces ζ, as a step of training may.
  void set_scale(std::vector<double> scale) {
    if (scale.size() != scale_.size())
      detail::fail("found ", scale.size(), " scales, there must be ", scale_.size());
    std::vector<double> logs;
    for (const double zeta : scale) {
      if (!(zeta > 0 && zeta < std::numeric_limits<double>::infinity()))
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
  Tensor<double, 2> get_scale(const P& positions, std::optional<double> centre = {}) const {
    const detail::PositionList<P> list(positions);
    static_assert(detail::PositionList<P>::kRank == 1, "rotary: get_scale takes positions on one axis");
    const Index pairs = static_cast<Index>(scale_.size()), count = static_cast<Index>(list.values.size());
    const double middle = centre.value_or(static_cast<double>(count / 2));
    const auto [step, second] = detail::angle_places(rotary_.options().pairing, pairs);
    Tensor<double, 2> result(count, 2 * pairs);
    for (Index n = 0; n < count; ++n)
      for (Index i = 0; i < pairs; ++i)
        result(n, i * step) = result(n, i * step + second) =
            std::exp(log_scale_[static_cast<std::size_t>(i)] *
                     (list.values[static_cast<std::size_t>(n)] - middle) / scale_base_);
    return result;
  }

  /// {rotated q, rotated k}: index n of both stands at position offset + n.
  template <class Q, class K>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_and_keys(
      const Q& q, const K& k, const XPosRotateOptions& options = {}) const {
    if constexpr (can_return<Q, K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      return rotated(queries, keys, together(queries, keys, options), options);
    }
  }

  /// The same in place.
  template <class Q, class K>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const XPosRotateOptions& options = {}) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_writable<K>()) {
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      turn_both(detail::const_view_of(queries), queries, detail::const_view_of(keys), keys,
                together(q, k, options), options);
    }
  }

  /// The last q_len tokens as queries against all k_len cached, not yet rotated keys: {rotated q, rotated k}.
  ///
  /// Queries stand at k_len − q_len ... k_len − 1 and share the keys' centre, so that decoding agrees with a
  /// full pass; the reference centres them on q_len, and its scores do not. `offset` turns the queries only,
  /// as there.
  template <class Q, class K>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_with_cached_keys(
      const Q& q, const K& k, const XPosRotateOptions& options = {}) const {
    if constexpr (can_return<Q, K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const auto key_view = detail::const_view_of(keys);
      const Index ahead = detail::keys_before_queries(detail::const_view_of(queries), key_view,
                                                      options.seq_dim, default_seq_dim());
      const double centre =
          options.centre.value_or(static_cast<double>(key_view.extent(axis_of(key_view.rank, options)) / 2));
      Plan plan{{options.offset + FixedPosition(ahead), centre + interpolated(options.offset)}, {0, centre}};
      if (options.centre_on_last_query) {
        const Index k_len = key_view.extent(axis_of(key_view.rank, options));
        plan.queries.centre = plan.keys.centre = last_query(options, k_len);
      }
      return rotated(queries, keys, plan, options);
    }
  }

  /// Does not compile: a scale is right only if queries and keys share their centre.
  template <class X>
  void rotate_queries_or_keys(const X&, const RotateOptions& = {}) const {
    static_assert(
        !detail::is_tensor<X> && detail::is_tensor<X>,
        "rotary: XPos scales queries and keys against each other; call rotate_queries_and_keys(q, k)");
  }
  template <class X>
  void rotate_in_place(X&&, const RotateOptions& = {}) const {
    static_assert(!detail::is_tensor<X> && detail::is_tensor<X>,
                  "rotary: XPos scales queries and keys against each other; call "
                  "rotate_queries_and_keys_in_place(q, k)");
  }

  /// The gradients of `rotate_queries_and_keys` with respect to frequencies and scales, from q and k as they
  /// were before and the gradients with respect to the results. (With respect to q and k:
  /// `Direction::transpose`.)
  struct Gradients {
    std::vector<double> freqs, scale;
  };
  template <class Q, class K, class GQ, class GK>
  Gradients gradients(const Q& q, const K& k, const GQ& grad_q, const GK& grad_k,
                      const XPosRotateOptions& options = {}) const {
    const Index pairs = rotary_.rotary_dim() / 2;
    decltype(auto) keys = detail::stored(k);
    decltype(auto) queries = detail::stored(q);
    const Plan plan = together(queries, keys, options);
    Gradients sums{std::vector<double>(static_cast<std::size_t>(pairs)), std::vector<double>(scale_.size())};
    const auto add = [&](const auto& x, const auto& grad, const Run& run, int sign) {
      decltype(auto) stored_grad = detail::stored(grad);
      const auto in = detail::const_view_of(x);
      const int axis = axis_of(in.rank, options);
      const Positions positions = Positions::consecutive(in.extent(axis), run.first);
      const kernels::Magnitude scales = magnitude(run.centre, sign);
      const auto of =
          detail::rotation_gradients(rotary_.rows().steps(), positions, scales, rotary_.options().pairing, in,
                                     detail::const_view_of(stored_grad), axis, 0);
      const auto freqs = detail::frequency_gradient(of, positions, rotary_.options().interpolate_factor);
      for (Index i = 0; i < pairs; ++i) {
        const auto at = static_cast<std::size_t>(i);
        sums.freqs[at] += freqs[at];
        for (Index n = 0; n < of.seq; ++n)
          sums.scale[at] +=
              scales.exponent(static_cast<double>(positions.at(n))) * of.log_magnitude_at(n, i) / scale_[at];
      }
    };
    add(queries, grad_q, plan.queries, +1);
    add(keys, grad_k, plan.keys, -1);
    return sums;
  }

 private:
  /// Where the first of a run of tokens stands, and the position whose scale is one.
  struct Run {
    FixedPosition first;
    double centre;
  };
  struct Plan {
    Run queries, keys;
  };

  static RotaryEmbeddingOptions rotary_options(const XPosOptions& o) {
    return {.dim = o.dim,
            .custom_freqs = o.custom_freqs,
            .freqs_for = o.freqs_for,
            .theta = o.theta,
            .max_freq = o.max_freq,
            .num_freqs = o.num_freqs,
            .learned_freq = o.learned_freq,
            .interpolate_factor = o.interpolate_factor,
            .theta_rescale_factor = o.theta_rescale_factor,
            .seq_before_head_dim = o.seq_before_head_dim,
            .allow_odd_dim = o.allow_odd_dim,
            .pairing = o.pairing};
  }

  Index default_seq_dim() const { return rotary_.options().seq_before_head_dim ? -3 : -2; }

  int axis_of(int rank, const XPosRotateOptions& options) const {
    return detail::sequence_axis(options.seq_dim, default_seq_dim(), rank);
  }

  double interpolated(FixedPosition position) const {
    return static_cast<double>(position) / rotary_.options().interpolate_factor;
  }

  /// The interpolated position of the last of `k_len` tokens, queries being offset.
  double last_query(const XPosRotateOptions& options, Index k_len) const {
    if (options.centre)
      detail::fail("the centre is ", *options.centre, ", it must be left out with centre_on_last_query");
    return interpolated(options.offset + FixedPosition(k_len - 1));
  }

  /// e = ±(position / interpolate_factor − centre) / base: + for queries, − for keys.
  kernels::Magnitude magnitude(double centre, int sign) const {
    return {.factor = rotary_.frequencies().magnitude,
            .log_scale = log_scale_,
            .slope = sign / (rotary_.options().interpolate_factor * scale_base_),
            .origin = centre * rotary_.options().interpolate_factor};
  }

  template <class Q, class K>
  static constexpr bool can_return() {
    return detail::check_rotatable<Q>() && detail::check_returnable<Q>() && detail::check_rotatable<K>() &&
           detail::check_returnable<K>();
  }

  template <class Q, class K>
  Plan together(const Q& q, const K& k, const XPosRotateOptions& options) const {
    static_assert(detail::check_rotatable<Q>() && detail::check_rotatable<K>());
    const auto queries = detail::const_view_of(q);
    const auto keys = detail::const_view_of(k);
    const Index q_len = queries.extent(axis_of(queries.rank, options));
    const Index k_len = keys.extent(axis_of(keys.rank, options));
    if (q_len != k_len)
      detail::fail("found ", q_len, " queries and ", k_len,
                   " keys, they must be as many; rotate_queries_with_cached_keys takes fewer queries");
    const double centre =
        options.centre_on_last_query
            ? last_query(options, k_len)
            : options.centre.value_or(interpolated(options.offset) + static_cast<double>(k_len / 2));
    return {{options.offset, centre}, {options.offset, centre}};
  }

  template <class Q, class K>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotated(const Q& q, const K& k, const Plan& plan,
                                                        const XPosRotateOptions& options) const {
    std::pair<detail::Owned<Q>, detail::Owned<K>> result{detail::make_like(q), detail::make_like(k)};
    turn_both(detail::const_view_of(q), view_of(result.first), detail::const_view_of(k),
              view_of(result.second), plan, options);
    return result;
  }

  template <class Q, class K>
  void turn_both(const StridedView<const Q>& q, const StridedView<Q>& q_out, const StridedView<const K>& k,
                 const StridedView<K>& k_out, const Plan& plan, const XPosRotateOptions& options) const {
    const Index width = rotary_.rotary_dim();
    detail::check_window(q, 0, width);  // both before either is written
    detail::check_window(k, 0, width);
    detail::check_output(q, q_out);
    detail::check_output(k, k_out);
    detail::check_apart(q_out, k);
    const auto turn = [&](const auto& in, const auto& out, const Run& run, int sign) {
      const int axis = axis_of(in.rank, options);
      const kernels::Magnitude scales = magnitude(run.centre, sign);
      detail::rotate_sequence<T>({rotary_.rows(), run.first, scales, options.direction, 0}, in, out, axis);
    };
    check_range(q.extent(axis_of(q.rank, options)), plan.queries, +1, options);
    check_range(k.extent(axis_of(k.rank, options)), plan.keys, -1, options);
    turn(q, q_out, plan.queries, +1);
    turn(k, k_out, plan.keys, -1);
  }

  /// Fails where a scale would be infinite in T, or its inverse, unless scales may vanish.
  void check_range(Index count, const Run& run, int sign, const XPosRotateOptions& options) const {
    if (count == 0) return;
    const bool may_vanish = options.centre_on_last_query && options.direction != Direction::inverse;
    const kernels::Magnitude scales = magnitude(run.centre, sign);
    const double largest_log = std::log(static_cast<double>(std::numeric_limits<T>::max())) - 1;
    for (const Index n : {Index{0}, count - 1}) {
      const double position = static_cast<double>(run.first + FixedPosition(n));
      for (const double log_zeta : log_scale_) {
        const double log_scale = log_zeta * scales.exponent(position);
        if (!((may_vanish ? log_scale : std::fabs(log_scale)) < largest_log))
          detail::fail(
              "position ", position, " is so far from the centre, ", run.centre,
              ", that its scale is out of range; name a centre nearer to it, or centre_on_last_query");
      }
    }
  }

  double scale_base_;
  RotaryEmbedding<T> rotary_;
  std::vector<double> scale_, log_scale_;
};

}  // namespace rotary::inline ROTARY_ABI
