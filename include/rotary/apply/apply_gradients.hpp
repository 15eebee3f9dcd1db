// The gradients of apply_rotary_emb and apply_learned_rotations, in closed form.
#pragma once

#include "../apply_rotary_emb.hpp"
#include "rotation_gradients.hpp"

namespace rotary::inline ROTARY_ABI {

/// The gradients of a loss with respect to what went into `apply_rotary_emb`, each of the shape of its own
/// tensor, as `apply_rotary_emb_backward` returns them.
template <class X, class F>
struct ApplyGradients {
  detail::Owned<X> t;      ///< ∂L/∂t, of the shape of `t`
  detail::Owned<F> freqs;  ///< ∂L/∂φ, of the shape of `freqs`
};
/// The gradients of a loss with respect to what went into `apply_rotary_emb` with a tensor of scales, each of
/// the shape of its own tensor, as `apply_rotary_emb_backward` returns them.
template <class X, class F, class S>
struct ScaledApplyGradients {
  detail::Owned<X> t;      ///< ∂L/∂t, of the shape of `t`
  detail::Owned<F> freqs;  ///< ∂L/∂φ, of the shape of `freqs`
  detail::Owned<S> scale;  ///< ∂L/∂scale, of the shape of `scale`
};

namespace detail {

/// An argument as an owned tensor with strides of its own, so that a gradient can have the same layout.
template <class X>
struct Packed {
  Owned<X> tensor;

  explicit Packed(const X& x) : tensor(x) {
    static_assert(!is_view<X>, "rotary: gradients need Eigen tensors or matrices");
  }
  auto view() const { return const_view_of(tensor); }
};

/// The view into `result`, a tensor shaped and strided like `whole`, that is to it what `part` is to `whole`.
template <class S>
StridedView<S> writable_like(const StridedView<const S>& part, const StridedView<const S>& whole,
                             const StridedView<S>& result) {
  StridedView<S> view;
  view.data = result.data + (part.data - whole.data);
  view.rank = part.rank;
  view.extents = part.extents;
  view.strides = part.strides;
  return view;
}

/// Adds per-feature sums of every row to a tensor that was broadcast to these rows: its axes of extent 1 have stride 0.
template <class S>
void add_to_broadcast(double value, const StridedView<S>& view, Index offset, Index feature) {
  S& entry = view.data[offset + feature * view.stride(view.rank - 1)];
  entry = static_cast<S>(static_cast<double>(entry) + value);
}

/// Fills t, freqs and, if there are scales, scale: the gradients of t cos(freqs) scale + rotate_half(t)
/// sin(freqs) scale.
template <class F, class S, class X, class G>
void apply_backward(const StridedView<const F>& freqs, const StridedView<const S>& scale,
                    const StridedView<const X>& t, const StridedView<const G>& grad,
                    const ApplyOptions& options, const StridedView<X>& grad_t,
                    const StridedView<F>& grad_freqs, const StridedView<S>& grad_scale) {
  const AngleRows<F, S> rows(freqs, scale, t, options);
  check_gradient(t, grad);

  // With respect to t: the transposed rotation. Members with angles of their own trade sines: a' holds −b sin
  // φ_a, so the gradient of b does.
  using T = Arithmetic<X, float>;
  const Index pairs = rows.rotary_dim / 2;
  const kernels::PairStrides at = kernels::pair_strides(options.pairing, pairs);
  RowStorage<T> swapped = rows.template storage<T>(options, false);
  if (swapped.separate_angles) {
    for (Index row = 0; row < swapped.row_count; ++row) {
      T* const values = swapped.row(row);
      for (Index i = 0; i < pairs; ++i)
        std::swap(values[i * at.pair + at.partner], values[2 * pairs + i * at.pair + at.partner]);
    }
  }
  const CosSinTable<T> transposed = std::move(swapped).table();
  std::vector<X> copy(static_cast<std::size_t>(grad.size()));
  StridedView<X> packed(copy.data(),
                        std::span<const Index>(grad.extents.data(), static_cast<std::size_t>(grad.rank)));
  copy_elements(grad, packed);
  apply_table(transposed, StridedView<const X>(packed), grad_t, Direction::transpose);

  // With respect to the angles and scales: per-feature sums over everything that shares a row, from unscaled
  // rows.
  const CosSinTable<double> unscaled = rows.template table<double>(options, true);
  const std::size_t entries = static_cast<std::size_t>(unscaled.rows() * unscaled.row_size());
  std::vector<double> angle(entries), log_magnitude(entries);
  auto job = gradient_job<X, G, double>(t, grad, options.start_index, pairs, options.pairing);
  job.rows = unscaled.data();
  job.second_row = unscaled.separate() ? 2 * pairs : 0;
  job.angle = angle.data();
  job.log_magnitude = log_magnitude.data();
  Index stride = unscaled.row_size();
  for (int axis = t.rank - 2; axis >= 0; --axis) {
    const Index extent = rows.shape[static_cast<std::size_t>(axis)];
    job.axes[static_cast<std::size_t>(axis)].row = extent == 1 ? 0 : stride;
    stride *= extent;
  }
  kernels::rotate_gradient(job);

  const StridedView<F> freqs_out = writable_like(rows.freqs, freqs, grad_freqs);
  StridedView<S> scale_out;
  if (rows.has_scale()) scale_out = writable_like(rows.scale, scale, grad_scale);
  rows.for_each_row([&](Index row, Index from, Index scale_from) {
    for (Index j = 0; j < rows.rotary_dim; ++j) {
      const auto entry = static_cast<std::size_t>(row * unscaled.row_size() + j);
      add_to_broadcast(angle[entry] * rows.scale_at(scale_from, j), freqs_out, from, j);
      if (rows.has_scale()) add_to_broadcast(options.scale * log_magnitude[entry], scale_out, scale_from, j);
    }
  });
}

}  // namespace detail

/// The gradients of `apply_rotary_emb(freqs, t, options)` with respect to `t` and `freqs`, given `grad`, that
/// of the loss with respect to its result, of the shape of `t`. For a pair (a, b) at angles φ_a, φ_b with
/// gradients (g, h) of its results, summed over all heads that share an angle:
///
///     ∂a   = g cos φ_a + h sin φ_b           ∂b   = h cos φ_b − g sin φ_a
///     ∂φ_a = −g (a sin φ_a + b cos φ_a)      ∂φ_b = h (a cos φ_b − b sin φ_b)
///
/// Throws std::invalid_argument where `apply_rotary_emb` does, and on another shape of `grad`.
///
/// @code
///   rotary::Tensor<double, 2> freqs(3, 4);                                    // [seq, rotary_dim]
///   rotary::Tensor<float, 2> t(3, 8), grad(3, 8);                             // [seq, head_dim]
///   freqs.setZero(), t.setRandom(), grad.setRandom();
///   const auto gradients = rotary::apply_rotary_emb_backward(freqs, t, grad);   // .t: [3, 8], .freqs: [3, 4]
/// @endcode
template <class F, class X, class G>
ApplyGradients<X, F> apply_rotary_emb_backward(const F& freqs, const X& t, const G& grad,
                                               const ApplyOptions& options = {}) {
  const detail::Packed<F> angles(freqs);
  const detail::Packed<X> x(t);
  const detail::Packed<G> g(grad);
  ApplyGradients<X, F> result{detail::make_like(x.tensor), detail::make_like(angles.tensor)};
  result.freqs.setZero();
  detail::apply_backward(angles.view(), StridedView<const double>(), x.view(), g.view(), options,
                         view_of(result.t), view_of(result.freqs), StridedView<double>());
  return result;
}

/// The gradients of `apply_rotary_emb(freqs, t, scale, options)` with respect to `t`, `freqs` and `scale`,
/// given `grad`, that of the loss with respect to its result, of the shape of `t`.
/// Throws std::invalid_argument where `apply_rotary_emb` does, and on another shape of `grad`. The overload
/// without a scale has an example.
template <class F, class X, class S, class G>
ScaledApplyGradients<X, F, S> apply_rotary_emb_backward(const F& freqs, const X& t, const S& scale,
                                                        const G& grad, const ApplyOptions& options) {
  const detail::Packed<F> angles(freqs);
  const detail::Packed<X> x(t);
  const detail::Packed<S> scales(scale);
  const detail::Packed<G> g(grad);
  ScaledApplyGradients<X, F, S> result{detail::make_like(x.tensor), detail::make_like(angles.tensor),
                                       detail::make_like(scales.tensor)};
  result.freqs.setZero();
  result.scale.setZero();
  detail::apply_backward(angles.view(), scales.view(), x.view(), g.view(), options, view_of(result.t),
                         view_of(result.freqs), view_of(result.scale));
  return result;
}

}  // namespace rotary::inline ROTARY_ABI
