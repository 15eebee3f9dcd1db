// The gradients of an embedding with respect to what it was made from.
#pragma once

#include <utility>
#include <vector>

#include "rotate_options.hpp"
#include "rotation_gradients.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// The gradients that `RotaryEmbedding` has as members.
template <class Embedding>
class EmbeddingGradients {
 public:
  /// ∂L/∂f_i = Σ p ∂L/∂φ, for every frequency: from `x` as it was before the forward rotation with these
  /// options, and the gradient with respect to the result. (With respect to x itself: rotate the gradient,
  /// `Direction::transpose`.)
  template <class X, class G>
  [[nodiscard]] std::vector<double> frequency_gradient(const X& x, const G& grad,
                                                       const RotateOptions& options = {}) const {
    const auto [gradients, positions] =
        gradients_of(x, grad, options, {.factor = embedding().rotator_.rows().magnitude() * options.scale});
    return detail::frequency_gradient(gradients, positions, embedding().interpolate_factor_);
  }

  /// ∂L/∂p_n = Σ f_i ∂L/∂φ, one for each token of the sequence, p_n being its position before it is divided
  /// by interpolate_factor: from `x` as it was before the forward rotation with these options, and the
  /// gradient with respect to the result.
  template <class X, class G>
  [[nodiscard]] std::vector<double> position_gradient(const X& x, const G& grad,
                                                      const RotateOptions& options = {}) const {
    const auto [gradients, positions] =
        gradients_of(x, grad, options, {.factor = embedding().rotator_.rows().magnitude() * options.scale});
    const Frequencies frequencies = summed_over_axes(embedding().frequencies_);
    std::vector<double> sums(checked_elements<double>(positions.count()));
    for (Index n = 0; n < gradients.seq; ++n)
      for (Index i = 0; i < gradients.pairs; ++i)
        sums[static_cast<std::size_t>(n)] +=
            rounded(rounded(gradients.angle_at(n, i) *
                            static_cast<double>(frequencies.values[static_cast<std::size_t>(i)])) /
                    rounded(embedding().interpolate_factor_));
    return sums;
  }

  /// ∂L/∂A, A being the magnitude of the frequencies times `options.scale`: from `x` as it was before the
  /// forward rotation with these options, and the gradient with respect to the result.
  template <class X, class G>
  [[nodiscard]] double magnitude_gradient(const X& x, const G& grad,
                                          const RotateOptions& options = {}) const {
    // With A = 1, ∂L/∂A is ∂L/∂ln A; and it does not depend on A, which may be 0.
    double sum = 0;
    for (double term : gradients_of(x, grad, options, {}).first.log_magnitude)
      sum = rounded(sum + term);  // in order, whatever the compiler's flags
    return sum;
  }

 private:
  template <class X, class G>
  std::pair<RotationGradients, Positions> gradients_of(const X& x, const G& grad,
                                                       const RotateOptions& options,
                                                       const kernels::Magnitude& magnitude) const {
    static_assert(check_rotatable<X>() && check_rotatable<G>());
    decltype(auto) stored_x = stored(x);
    decltype(auto) stored_grad = stored(grad);
    const auto in = const_view_of(stored_x);
    const int axis = embedding().rotator_.axis_of(in, options);
    check_forward(options.direction);
    check_magnitude<double>(magnitude.factor);
    const Positions positions = Positions::consecutive(in.extent(axis), options.offset);
    return {rotation_gradients(embedding().rotator_.rows().text_steps(), positions, magnitude,
                               embedding().layout(), in, const_view_of(stored_grad), axis),
            positions};
  }

  const Embedding& embedding() const { return static_cast<const Embedding&>(*this); }
};

}  // namespace rotary::inline ROTARY_ABI::detail
