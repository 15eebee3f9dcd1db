// XPos: rotary embeddings whose scores decay with distance.
#pragma once

#include <utility>

#include "apply/xpos_plan.hpp"
#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

/// What `XPos` takes beside the arguments of `RotaryEmbedding`.
struct XPosOptions {
  double xpos_scale_base = 512;  ///< the number of positions over which a pair's scale is multiplied by ζ
};

namespace detail {

/// What names positions in calls of XPos.
template <class At>
concept XPosPositions = NamesPositions<At> && !std::is_same_v<At, XPosRotateOptions>;

}  // namespace detail

/// Rotary embedding with a scale for every pair that makes scores decay over distance.
///
///     ζ_i = (2i + 0.4 dim) / (1.4 dim),   e(p) = (p − centre) / xpos_scale_base
///     queries: rotated, times ζ_i^e     keys: rotated, times ζ_i^−e     scores: ζ_i^((m − n)/xpos_scale_base)
///
/// For autoregressive attention only, m ≥ n. A scale belongs to a pair of calls, so that rotating only one of
/// queries and keys does not compile. Positions are of one coordinate.
///
/// Throws std::invalid_argument on wrong shapes and values, before anything is written, and where a scale
/// would not fit into the scalar: float holds scales up to |p − centre| < 36000 for the default base.
/// `centre_on_last_query` has no such limit.
///
/// Cost: rows depend on the centre, so every call recomputes them; a `const` object may be used from any
/// thread.
///
/// @code
///   rotary::Tensor<float, 4> q(1, 8, 16, 64), k(1, 8, 16, 64);   // [batch, heads, seq, head_dim]
///   q.setRandom(), k.setRandom();
///   const rotary::XPos<float> xpos({.dim = 32});
///   auto [xq, xk] = xpos.rotate_queries_and_keys(q, k);
/// @endcode
///
/// Source: Sun et al. 2022; `use_xpos` of rotary-embedding-torch 0.8.9.
template <class T>
class XPos {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// From the arguments of rotary-embedding-torch: `XPos<float>({.dim = 32})`.
  explicit XPos(const RotaryEmbeddingOptions& options, const XPosOptions& xpos = {})
      : XPos(RotaryEmbedding<T>(uncached(options)), xpos, options.dim) {}

  /// From any frequencies of one coordinate and a layout.
  explicit XPos(Frequencies frequencies, const HeadLayout& layout = {}, const XPosOptions& xpos = {})
      : XPos(RotaryEmbedding<T>(std::move(frequencies), layout, 0), xpos, 0) {}

  /// From the `RopeParameters`, layout included, of a model, or its `ModelConfiguration` if layers are alike.
  template <detail::DescribesRope M>
  explicit XPos(const M& model, const XPosOptions& xpos = {}, const ModelEmbeddingOptions& options = {})
      : XPos(RotaryEmbedding<T>(model, options), xpos, 0) {}

  /// Does not compile: the arguments have names, `XPos<float>({.dim = 64})`.
  template <std::integral I>
  explicit XPos(I) : XPos(Frequencies()) {
    static_assert(!std::is_integral_v<I>, "rotary: name the arguments: XPos<float>({.dim = 64})");
  }

  /// The embedding that rotates, without the scales.
  [[nodiscard]] const RotaryEmbedding<T>& rotary() const& { return rotary_; }
  const RotaryEmbedding<T>& rotary() const&& = delete;  ///< of a temporary: the reference would dangle
  /// Which features of a head rotate, how they are paired, and which axis is the sequence.
  [[nodiscard]] const HeadLayout& layout() const& { return rotary_.layout(); }
  /// A copy of the layout, for a temporary.
  [[nodiscard]] HeadLayout layout() && { return rotary_.layout(); }
  /// `xpos_scale_base`: over so many positions, divided by interpolate_factor, a scale changes by ζ.
  [[nodiscard]] double scale_base() const { return scales_.base(); }

  /// ζ, one for each pair.
  [[nodiscard]] const std::vector<double>& scale() const& { return scales_.zeta(); }
  /// A copy of ζ, for a temporary.
  [[nodiscard]] std::vector<double> scale() && { return scales_.zeta(); }
  /// Replaces ζ, as a step of training may. Throws unless there are as many, all positive.
  void set_scale(std::vector<double> scale) { scales_.set(std::move(scale)); }
  /// Replaces all frequencies, as training does. Throws without `learned_freq`, and unless there are as many.
  void set_freqs(std::span<const double> freqs) { rotary_.set_freqs(freqs); }

  /// ζ^((position − centre) / base), each twice: [positions, 2 · scale().size()], as the reference's
  /// get_scale. The centre is half the number of positions, rounded down, unless given.
  template <class P>
  [[nodiscard]] Tensor<double, 2> get_scale(const P& positions, std::optional<double> centre = {}) const {
    const detail::PositionList<P> list(positions);
    static_assert(detail::PositionList<P>::kRank == 1, "rotary: get_scale takes positions on one axis");
    const Index pairs = static_cast<Index>(scale().size()), count = static_cast<Index>(list.values.size());
    const double middle = centre.value_or(static_cast<double>(count / 2));
    const auto [step, second] = detail::angle_places(rotary_.pairing(), pairs);
    Tensor<double, 2> result(count, 2 * pairs);
    for (Index n = 0; n < count; ++n)
      for (Index i = 0; i < pairs; ++i)
        result(n, i * step) = result(n, i * step + second) =
            scales_.at(static_cast<std::size_t>(i), list.values[static_cast<std::size_t>(n)], middle);
    return result;
  }

  /// {rotated q, rotated k}, index n of both at position offset + n. Throws if their lengths differ.
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

  /// Rotates and scales queries and keys in place: index n of both is at position offset + n.
  template <class Q, class K, ParallelDevice Device = CallingThread>
  void rotate_queries_and_keys_in_place(Q&& q, K&& k, const XPosRotateOptions& options = {},
                                        const Device& device = {}) const {
    in_place_together<Q, K>(q, k, detail::ByOffset(), options, device);
  }
  /// Rotates and scales queries and keys in place, their tokens at `at`: a number, ids, or `Positions`.
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
  /// Queries are at k_len − q_len ... k_len − 1 and share the keys' centre, so that decoding agrees with a
  /// full pass; the reference centres them on q_len, and its scores do not. `offset` moves the queries only,
  /// as there.
  template <class Q, class K>
  [[nodiscard]] std::pair<detail::Owned<Q>, detail::Owned<K>> rotate_queries_with_cached_keys(
      const Q& q, const K& k, const XPosRotateOptions& options = {}) const {
    if constexpr (can_return<Q, K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      const auto key_view = detail::const_view_of(keys);
      const auto query_view = detail::const_view_of(queries);
      const auto plan = detail::XPosPlan::with_cached_keys(
          query_view.extent(axis_of(query_view.rank, options)),
          key_view.extent(axis_of(key_view.rank, options)), options, rotary_.interpolate_factor());
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
  /// Does not compile: a scale is right only if queries and keys share their centre.
  template <class X>
  void rotate_queries_or_keys(const X& x, const RotateOptions&) const {
    rotate_queries_or_keys(x);
  }
  /// Does not compile: queries and keys must share their centre; call `rotate_queries_and_keys_in_place`.
  template <class X, class... Arguments>
  void rotate_in_place(X&&, const Arguments&...) const {
    static_assert(!detail::is_tensor<X> && detail::is_tensor<X>,
                  "rotary: XPos scales queries and keys against each other; call "
                  "rotate_queries_and_keys_in_place(q, k)");
  }
  /// Does not compile: queries and keys must share their centre; call `rotate_queries_and_keys_in_place`.
  template <class X>
  void rotate_in_place(X&& x, const RotateOptions&) const {
    rotate_in_place(x);
  }

  /// The gradient of `rotate_queries_and_keys` with respect to its parameters.
  struct ParameterGradient {
    /// ∂L/∂f, one for each pair, and ∂L/∂ζ, one for each scale.
    std::vector<double> freqs, scale;
  };
  /// The gradient of `rotate_queries_and_keys` with respect to frequencies and scales, from q and k as they
  /// were before, and the gradients with respect to the results. (Those of q and k: `Direction::transpose`.)
  template <class Q, class K, class GQ, class GK>
  [[nodiscard]] ParameterGradient parameter_gradient(const Q& q, const K& k, const GQ& grad_q,
                                                     const GK& grad_k,
                                                     const XPosRotateOptions& options = {}) const {
    const Index pairs = rotary_.rotary_dim() / 2;
    detail::check_forward(options.direction);
    decltype(auto) keys = detail::stored(k);
    decltype(auto) queries = detail::stored(q);
    const detail::XPosPlan plan = together(queries, keys, Positions::from(options.offset), options);
    ParameterGradient sums{std::vector<double>(static_cast<std::size_t>(pairs)),
                           std::vector<double>(scale().size())};
    const auto add = [&](const auto& x, const auto& grad, const detail::XPosRun& run, int sign) {
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
                              detail::rounded(scale()[at]));
      }
    };
    add(queries, grad_q, plan.queries, +1);
    add(keys, grad_k, plan.keys, -1);
    return sums;
  }

 private:
  XPos(RotaryEmbedding<T> rotary, const XPosOptions& xpos, Index dim)
      : rotary_(std::move(rotary)),
        scales_(xpos.xpos_scale_base, dim == 0 ? rotary_.rotary_dim() : dim, rotary_.interpolate_factor()) {
    if (rotary_.frequencies().axes != 1)
      detail::fail("frequencies of ", rotary_.frequencies().axes,
                   " coordinates found, XPos takes those of one");
  }

  /// Rows of XPos depend on the centre, so none are cached.
  static RotaryEmbeddingOptions uncached(RotaryEmbeddingOptions options) {
    options.cache_if_possible = false;
    return options;
  }

  int axis_of(int rank, const XPosRotateOptions& options) const {
    return detail::sequence_axis(options.seq_dim.value_or(rotary_.layout().seq_dim), rank);
  }

  kernels::Magnitude magnitude(double centre, int sign) const {
    return scales_.magnitude(rotary_.frequencies().magnitude, centre, sign);
  }

  template <class Q, class K>
  static constexpr bool can_return() {  // not covered: runs while compiling
    return detail::check_rotatable<Q>() && detail::check_returnable<Q>() && detail::check_rotatable<K>() &&
           detail::check_returnable<K>();
  }

  template <class Q, class K>
  detail::XPosPlan together(const Q& q, const K& k, const Positions& at,
                            const XPosRotateOptions& options) const {
    static_assert(detail::check_rotatable<Q>() && detail::check_rotatable<K>());
    const auto queries = detail::const_view_of(q);
    const auto keys = detail::const_view_of(k);
    return detail::XPosPlan::together(queries.extent(axis_of(queries.rank, options)),
                                      keys.extent(axis_of(keys.rank, options)), at, options,
                                      rotary_.interpolate_factor());
  }

  template <class Q, class K, class At, class Device>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotated_together(const Q& q, const K& k, const At& at,
                                                                 const XPosRotateOptions& options,
                                                                 const Device& device) const {
    if constexpr (can_return<Q, K>()) {
      decltype(auto) queries = detail::stored(q);
      decltype(auto) keys = detail::stored(k);
      return rotated(queries, keys, together(queries, keys, detail::xpos_positions_of(at, options), options),
                     options, device);
    }
  }
  template <class Q, class K, class At, class Device>
  void in_place_together(std::remove_reference_t<Q>& q, std::remove_reference_t<K>& k, const At& at,
                         const XPosRotateOptions& options, const Device& device) const {
    if constexpr (detail::check_rotatable<Q>() && detail::check_writable<Q>() &&
                  detail::check_rotatable<K>() && detail::check_writable<K>()) {
      const auto queries = detail::writable_view_of(q);
      const auto keys = detail::writable_view_of(k);
      rotate_both(queries, queries, keys, keys,
                  together(q, k, detail::xpos_positions_of(at, options), options), options, device);
    }
  }

  template <class Q, class K, class Device>
  std::pair<detail::Owned<Q>, detail::Owned<K>> rotated(const Q& q, const K& k, const detail::XPosPlan& plan,
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
                   const detail::XPosPlan& plan, const XPosRotateOptions& options,
                   const Device& device) const {
    const detail::TensorPair queries{q, q_out, axis_of(q.rank, options)};
    const detail::TensorPair keys{k, k_out, axis_of(k.rank, options)};
    const auto how = [&](const detail::XPosRun& run, int sign) {
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
    const bool may_vanish = options.centre_on_last_query && options.direction != Direction::inverse;
    if (!q.empty())
      scales_.check_range<T, std::remove_const_t<Q>>(at_queries, plan.queries.centre, +1, may_vanish);
    if (!k.empty()) scales_.check_range<T, std::remove_const_t<K>>(at_keys, plan.keys.centre, -1, may_vanish);
    detail::rotate_all(of_queries, at_queries, device, queries);
    detail::rotate_all(of_keys, at_keys, device, keys);
  }

  RotaryEmbedding<T> rotary_;
  detail::XPosScales scales_;
};

}  // namespace rotary::inline ROTARY_ABI
