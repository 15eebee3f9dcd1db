// apply_learned_rotations: angles that come out of a network.
#pragma once

#include "../broadcat.hpp"
#include "../phases/angles.hpp"
#include "apply_gradients.hpp"

namespace rotary::inline ROTARY_ABI {

/// Where the rotations of `apply_learned_rotations` apply.
struct LearnedRotationOptions {
  Index start_index = 0;                   ///< the first feature that rotates
  Pairing pairing = Pairing::interleaved;  ///< which two features form a pair
};

/// The gradients of a loss with respect to what went into `apply_learned_rotations`, as
/// `apply_learned_rotations_backward` returns them.
template <class R, class X>
struct LearnedRotationGradients {
  detail::Owned<X> t;               ///< ∂L/∂t, of the shape of `t`
  detail::Owned<R> rotations;       ///< ∂L/∂rotations, of the shape of `rotations`
  std::vector<double> freq_ranges;  ///< ∂L/∂freq_ranges, one for each range
};

namespace detail {

inline constexpr double kOneRange[] = {1};

/// [..., n] → [..., 2 n F]: every rotation times every range, each twice; rotation-major, range-minor.
template <class R>
struct LearnedAngles {
  static constexpr int kRank = kRankOf<R>;
  Owned<R> rotations;
  std::span<const double> ranges;
  AnglePlaces places;
  Index pairs;

  LearnedAngles(const R& learned, std::span<const double> freq_ranges, Pairing pairing)
      : rotations(learned), ranges(freq_ranges), places{}, pairs(0) {
    const auto view = const_view_of(rotations);
    pairs = checked_product(view.extent(kRank - 1), static_cast<Index>(ranges.size()));
    places = angle_places(pairing, pairs);
  }

  /// visit(offset of the rotation, offset of the row of angles, pair, range) for every angle.
  template <class Visit>
  void for_each(Visit&& visit) const {
    const auto view = const_view_of(rotations);
    const Index count = view.extent(kRank - 1), ranges_count = static_cast<Index>(ranges.size());
    Index row = 0;
    for_each_index(
        kRank - 1,
        [&](Index from) {
          for (Index r = 0; r < count; ++r)
            for (Index f = 0; f < ranges_count; ++f)
              visit(from + r * view.stride(kRank - 1), row, r * ranges_count + f, f);
          row += 2 * pairs;
        },
        view);
  }

  Tensor<double, kRank> angles() const {
    Eigen::DSizes<Index, kRank> shape(rotations.dimensions());
    shape[kRank - 1] = 2 * pairs;
    Tensor<double, kRank> result(shape);
    for_each([&](Index from, Index row, Index pair, Index range) {
      const double angle =
          static_cast<double>(rotations.data()[from]) * ranges[static_cast<std::size_t>(range)];
      result.data()[row + pair * places.step] = result.data()[row + pair * places.step + places.second] =
          angle;
    });
    return result;
  }
};

}  // namespace detail

/// Rotates the pairs of `t` by angles that come out of a network: `rotations`, [..., n], in radians, with
/// shapes as in `apply_rotary_emb`.
///
/// With `freq_ranges` of F values every angle is used F times, multiplied by each: n · F pairs in the order
/// (angle, range).
/// Throws std::invalid_argument if these are more pairs than a head has, or shapes cannot be broadcast.
///
/// @code
///   rotary::Tensor<float, 2> rotations(5, 3);              // [seq, 3 angles]
///   rotary::Tensor<float, 4> t(1, 2, 5, 8);                // [batch, heads, seq, head_dim]
///   rotations.setRandom();
///   t.setRandom();
///   t = rotary::apply_learned_rotations(rotations, t);     // 6 features rotate
/// @endcode
///
/// Source: rotary-embedding-torch.
template <class R, class X>
[[nodiscard]] detail::Owned<X> apply_learned_rotations(
    const R& rotations, const X& t, const LearnedRotationOptions& options = {},
    std::span<const double> freq_ranges = detail::kOneRange) {
  const detail::LearnedAngles<R> learned(rotations, freq_ranges, options.pairing);
  return apply_rotary_emb(learned.angles(), t,
                          {.start_index = options.start_index, .pairing = options.pairing});
}

/// The gradients of `apply_learned_rotations` with these arguments with respect to `t`, `rotations` and
/// `freq_ranges`, given `grad`, the one with respect to its result, of the shape of `t`.
/// Throws std::invalid_argument on another shape.
///
/// @code
///   rotary::Tensor<float, 2> rotations(5, 3);              // [seq, 3 angles]
///   rotary::Tensor<float, 4> t(1, 2, 5, 8), grad(1, 2, 5, 8);
///   rotations.setRandom(), t.setRandom(), grad.setRandom();
///   const auto gradients = rotary::apply_learned_rotations_backward(rotations, t, grad);   // .rotations: [5, 3]
/// @endcode
template <class R, class X, class G>
LearnedRotationGradients<R, X> apply_learned_rotations_backward(
    const R& rotations, const X& t, const G& grad, const LearnedRotationOptions& options = {},
    std::span<const double> freq_ranges = detail::kOneRange) {
  const detail::LearnedAngles<R> learned(rotations, freq_ranges, options.pairing);
  auto of_angles = apply_rotary_emb_backward(
      learned.angles(), t, grad, {.start_index = options.start_index, .pairing = options.pairing});
  LearnedRotationGradients<R, X> result{std::move(of_angles.t), learned.rotations,
                                        std::vector<double>(freq_ranges.size())};
  using S = detail::Scalar<R>;
  result.rotations.setZero();
  learned.for_each([&](Index from, Index row, Index pair, Index range) {
    const double* const grads = of_angles.freqs.data() + row + pair * learned.places.step;
    const double sum = grads[0] + grads[learned.places.second];
    S& entry = result.rotations.data()[from];
    // Every operation rounded by itself, whatever the compiler's flags.
    entry = static_cast<S>(static_cast<double>(entry) +
                           detail::rounded(sum * freq_ranges[static_cast<std::size_t>(range)]));
    result.freq_ranges[static_cast<std::size_t>(range)] +=
        detail::rounded(sum * static_cast<double>(learned.rotations.data()[from]));
  });
  return result;
}

}  // namespace rotary::inline ROTARY_ABI
