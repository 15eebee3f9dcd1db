// PolarEmbedding (PoPE): magnitudes come from the features, angles from the positions alone.
#pragma once

#include <cmath>

#include "apply_rotary_emb.hpp"

namespace rotary::inline ROTARY_ABI {

/// The frequencies of `PolarEmbedding`, one for every feature, in radians per position:
///
///     f_j = theta^(−j/dim),   j < dim
///
/// Throws std::invalid_argument unless dim ≥ 0 and theta > 0.
inline Frequencies polar_frequencies(Index dim, double theta = 10000) {
  return language_frequencies(detail::checked_product(2, dim), theta);
}

/// The parameters of a `PolarEmbedding`.
struct PolarEmbeddingOptions {
  Index dim = 0;         ///< features of a head that become magnitudes; each is two features of the result
  double theta = 10000;  ///< the base of the frequencies
  bool seq_before_head_dim = false;  ///< tensors are [batch, seq, heads, head_dim]: the sequence is axis −3
};

/// Polar coordinate positional embedding (PoPE): a feature becomes a vector in the plane, whose length is the
/// softplus of the feature, and whose direction depends on the position alone.
///
///     q'_j = softplus(q_j) (cos(m f_j),       sin(m f_j))          a query at position m
///     k'_j = softplus(k_j) (cos(n f_j + δ_j), sin(n f_j + δ_j))    a key at position n
///     score = Σ_j softplus(q_j) softplus(k_j) cos((n − m) f_j + δ_j)
///
/// The phases δ, in radians, are learned, [heads, dim], or [1, dim] for all heads, and are clamped to [−2π,
/// 0]. The result is the rotation of interleaved pairs (softplus x, 0): [..., seq, head_dim] becomes [...,
/// seq, head_dim + dim], with features from `dim` on appended unchanged.
/// Throws std::invalid_argument if a head has fewer than `dim` features, or the phases have another shape.
///
/// Cost: a softplus for each feature, and rows that are recomputed in every call.
///
/// @code
///   const rotary::PolarEmbedding<float> polar({.dim = 64});
///   rotary::Tensor<float, 4> q(1, 8, 16, 64), k(1, 8, 16, 64);   // [batch, heads, seq, head_dim]
///   q.setRandom(), k.setRandom();
///   rotary::Tensor<double, 2> phases(8, 64);
///   phases.setZero();
///   q = polar.embed_queries(q);           // [1, 8, 16, 128]
///   k = polar.embed_keys(k, phases);
/// @endcode
///
/// Source: Gopalakrishnan et al. 2025.
template <class T>
class PolarEmbedding {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// An embedding for heads of at least `dim` features.
  /// Throws std::invalid_argument unless dim and theta are positive.
  explicit PolarEmbedding(const PolarEmbeddingOptions& options) : options_(options) {
    if (options.dim < 1) detail::fail("dim is ", options.dim, ", it must be positive");
    frequencies_ = polar_frequencies(options.dim, options.theta);
  }

  /// The frequencies f_j = theta^(−j/dim), one for each of `dim` features.
  [[nodiscard]] const Frequencies& frequencies() const& { return frequencies_; }
  /// The frequencies f_j = theta^(−j/dim), moved out of a temporary.
  [[nodiscard]] Frequencies frequencies() && { return std::move(frequencies_); }

  /// The embedded queries, [..., seq, head_dim + dim]. The first is at position `offset`: k_len − q_len when
  /// decoding against k_len keys.
  template <class X>
  detail::Owned<X> embed_queries(const X& q, FixedPosition offset = 0) const {
    decltype(auto) source = detail::stored(q);
    return embedded(source, rows(source, nullptr, offset));
  }
  /// The embedded keys, [..., seq, head_dim + dim], with the phases of their heads, [heads, dim] or [1, dim].
  /// The first is at position `offset`.
  template <class X>
  detail::Owned<X> embed_keys(const X& k, const Tensor<double, 2>& phases, FixedPosition offset = 0) const {
    decltype(auto) source = detail::stored(k);
    return embedded(source, rows(source, &phases, offset));
  }

  /// ∂L/∂q, given q and the gradient with respect to the embedded queries, [..., seq, head_dim + dim].
  template <class X>
  detail::Owned<X> queries_backward(const X& q, const X& grad, FixedPosition offset = 0) const {
    return backward(q, grad, rows(q, nullptr, offset), nullptr);
  }
  /// {∂L/∂k, ∂L/∂δ}, given k, its phases and the gradient with respect to the embedded keys, [..., seq,
  /// head_dim + dim]. The gradient of a phase outside of [−2π, 0] is 0.
  template <class X>
  std::pair<detail::Owned<X>, Tensor<double, 2>> keys_backward(const X& k, const Tensor<double, 2>& phases,
                                                               const X& grad,
                                                               FixedPosition offset = 0) const {
    Tensor<double, 2> grad_phases(phases.dimension(0), phases.dimension(1));
    grad_phases.setZero();
    detail::Owned<X> grad_k = backward(k, grad, rows(k, &phases, offset), &grad_phases);
    for (Index n = 0; n < phases.size(); ++n)
      if (!detail::is_equal(clamped(phases.data()[n]), phases.data()[n])) grad_phases.data()[n] = 0;
    return {std::move(grad_k), std::move(grad_phases)};
  }

 private:
  static double clamped(double phase) { return std::min(0.0, std::max(phase, -2 * kPi.hi)); }

  template <class A>
  static A softplus(A x) {
    return std::max(x, A(0)) + std::log1p(std::exp(-std::fabs(x)));
  }
  template <class A>
  static A sigmoid(A x) {
    return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
  }

  template <class X>
  int seq_axis(const X&) const {
    static_assert(detail::is_tensor<X> && !detail::is_fixed_size<X>,
                  "rotary: PolarEmbedding takes an Eigen::Tensor, whose last axis grows");
    return detail::sequence_axis(layout().seq_dim, X::NumDimensions);
  }

  HeadLayout layout() const { return {.seq_dim = options_.seq_before_head_dim ? -3 : -2}; }

  /// The rows of a sequence. The phases are frequencies of a second axis, on which every token has coordinate
  /// 1.
  template <class X>
  CosSinTable<T> rows(const X& x, const Tensor<double, 2>* phases, FixedPosition offset) const {
    const int axis = seq_axis(x);
    const Index dim = options_.dim;
    // An empty tensor needs no rows; its sequence may be of any length.
    const Index seq = x.size() == 0 ? 0 : x.dimensions()[static_cast<std::size_t>(axis)];
    const auto along = AxisPositions::consecutive(seq, offset);
    if (!phases) return CosSinTable<T>(frequencies_, Positions(along), layout());
    if (phases->dimension(1) != dim || phases->dimension(0) < 1)
      detail::fail("the phases are [", phases->dimension(0), ", ", phases->dimension(1),
                   "], they must be [heads, ", dim, "] or [1, ", dim, "]");
    std::vector<Frequencies> heads(static_cast<std::size_t>(phases->dimension(0)), frequencies_);
    for (Index h = 0; h < phases->dimension(0); ++h) {
      Frequencies& of = heads[static_cast<std::size_t>(h)];
      of.axes = 2;
      for (Index j = 0; j < dim; ++j) {
        const double& phase = (*phases)(h, j);
        if (!detail::finite_bits(phase)) detail::fail("a phase is ", phase, ", it must be finite");
        of.values.push_back(clamped(phase));
      }
      detail::check(of);
    }
    const std::vector<double> ones(static_cast<std::size_t>(seq), 1.0);
    const std::array<AxisPositions, 2> axes{along, AxisPositions::listed(std::span<const double>(ones))};
    return CosSinTable<T>(detail::span_of(heads), Positions::together(axes), layout());
  }

  /// Calls visit(features of x, features of the other tensor) for every head at every position.
  template <class X, class Y, class Visit>
  static void for_each_window(const StridedView<X>& x, const StridedView<Y>& other, const Visit& visit) {
    detail::for_each_index(
        x.rank - 1, [&](Index at, Index other_at) { visit(x.data + at, other.data + other_at); }, x, other);
  }

  template <class X>
  void check_features(const StridedView<const X>& x) const {
    const Index head_dim = x.extent(x.rank - 1);
    if (head_dim < options_.dim)
      detail::fail("dim is ", options_.dim, ", a head has only ", head_dim, " features");
  }

  template <class X>
  detail::Owned<X> embedded(const X& x, const CosSinTable<T>& rows) const {
    using Scalar = detail::Scalar<X>;
    using A = detail::Arithmetic<Scalar, T>;
    const auto in = detail::const_view_of(x);
    check_features(in);
    const Index dim = options_.dim, head_dim = in.extent(in.rank - 1);
    typename detail::Owned<X>::Dimensions shape(x.dimensions());
    shape[X::NumDimensions - 1] = head_dim + dim;
    detail::Owned<X> result(shape);
    if (in.empty()) return result;
    const auto written = view_of(result);
    const Index step = in.stride(in.rank - 1), to_step = written.stride(in.rank - 1);
    for_each_window(in, written, [&](const Scalar* from, Scalar* to) {
      for (Index j = 0; j < dim; ++j) {
        to[2 * j * to_step] = static_cast<Scalar>(softplus(static_cast<A>(from[j * step])));
        to[(2 * j + 1) * to_step] = Scalar(0);
      }
      for (Index j = dim; j < head_dim; ++j) to[(j + dim) * to_step] = from[j * step];
    });
    detail::apply_table(rows, written, written);
    return result;
  }

  /// Rotated back to position 0, a pair is (softplus x, 0) with gradient (g, h). So ∂L/∂x = g sigmoid(x), and
  /// ∂L/∂δ is the sum of h softplus(x).
  template <class X>
  detail::Owned<X> backward(const X& x, const X& grad, const CosSinTable<T>& rows,
                            Tensor<double, 2>* grad_phases) const {
    using Scalar = detail::Scalar<X>;
    using A = detail::Arithmetic<Scalar, T>;
    const auto in = detail::const_view_of(x);
    check_features(in);
    detail::Owned<X> rotated_back = grad, result = x;
    const auto back = view_of(rotated_back);
    const Index dim = options_.dim, head_dim = in.extent(in.rank - 1);
    auto wanted = in;
    wanted.set_extent(in.rank - 1, head_dim + dim);
    if (!detail::same_shape(back, wanted))
      detail::fail("the gradient has shape ", detail::shape_text(back), ", it must be ",
                   detail::shape_text(wanted));
    if (in.empty()) return result;
    detail::apply_table(rows, back, back, Direction::transpose);
    const int head_axis =
        rows.axes() == RowAxes::heads_and_seq ? detail::axis_of_rows(rows, 0, in, seq_axis(x)) : 0;
    const auto out = view_of(result);
    const Index heads = in.extent(head_axis), phase_heads = grad_phases ? grad_phases->dimension(0) : 1;
    const Index step = out.stride(out.rank - 1), from_step = back.stride(back.rank - 1);
    for (Index h = 0; h < heads; ++h)
      for_each_window(
          out.slice(head_axis, h, 1), back.slice(head_axis, h, 1), [&](Scalar* to, const Scalar* g) {
            for (Index j = 0; j < dim; ++j) {
              const A value = static_cast<A>(to[j * step]);
              if (grad_phases)
                (*grad_phases)(phase_heads == 1 ? 0 : h, j) +=
                    static_cast<double>(g[(2 * j + 1) * from_step]) * static_cast<double>(softplus(value));
              to[j * step] = static_cast<Scalar>(static_cast<A>(g[2 * j * from_step]) * sigmoid(value));
            }
            for (Index j = dim; j < head_dim; ++j) to[j * step] = g[(j + dim) * from_step];
          });
    return result;
  }

  PolarEmbeddingOptions options_;
  Frequencies frequencies_;
};

}  // namespace rotary::inline ROTARY_ABI
