// RotaryPositionalEmbeddings and its variants, as in labml.
#pragma once

#include <utility>

#include "rotary_embedding.hpp"

namespace rotary::inline ROTARY_ABI {

namespace detail {

/// labml's frequencies, base^(−2j/d) for j < ⌈d/2⌉: with an odd d the pairs have d + 1 features.
inline Frequencies labml_frequencies(Index d, double base) {
  if (d < 1) fail("d is ", d, ", it must be positive");
  check_positive("base", base);
  Frequencies frequencies;
  frequencies.values.reserve(checked_count("d", d) / 2 + 1);
  for (Index j = 0; 2 * j < d; ++j)
    frequencies.values.push_back(pow(DoubleDouble(base), DoubleDouble(-2 * j) / d));
  return frequencies;
}

inline Index checked_even_d(Index d) {
  if (d % 2 != 0)
    fail("d is ", d,
         ", it must be even; an odd d is what RotaryPositionalEmbeddingsListing, labml's first version, "
         "takes");
  return d;
}

/// The common part of labml's modules: the sequence is the first axis, pairs are halves, positions start at
/// 0.
template <RowScalar T, Direction kForward>
class LabmlEmbeddings {
 public:
  /// The frequencies, base^(−2j/d), in radians per position.
  [[nodiscard]] std::vector<double> theta() const { return rotary_.freqs(); }
  /// Replaces the frequencies, for instance after a step of training. Throws on another number of them.
  void set_theta(std::span<const double> theta) {
    if (theta.size() != rotary_.frequencies().values.size())
      fail("found ", theta.size(), " frequencies, there must be ", rotary_.frequencies().values.size());
    rotary_ = RotaryEmbedding<T>(custom_frequencies(theta), rotary_.layout());
  }

  /// The rotated tensor. `Direction::inverse` undoes a rotation; `Direction::transpose` gives the gradient
  /// with respect to `x` from the one with respect to the result. Both are the same rotation here, since
  /// lengths do not change.
  template <class X>
  [[nodiscard]] Owned<X> operator()(const X& x, Direction direction = Direction::forward) const {
    check_rotatable<X>();
    decltype(auto) source = stored(x);
    check_features(source);
    return rotary_.rotate_queries_or_keys(source, options(direction));
  }

  /// Writes the rotated `x` to `out`, which has the shape of `x` and may be `x`.
  template <class X, class Y>
  void rotate_into(const X& x, Y&& out, Direction direction = Direction::forward) const {
    check_rotatable<X>();
    decltype(auto) source = stored(x);
    check_features(source);
    rotary_.rotate_into(source, out, options(direction));
  }

  /// Rotates `x` in place. Allocates nothing once the rows it needs are cached.
  template <class X>
  void rotate_in_place(X&& x, Direction direction = Direction::forward) const {
    check_rotatable<X>();
    check_writable<X>();
    check_features(x);
    rotary_.rotate_in_place(x, options(direction));
  }

  /// ∂L/∂theta, from `x` as it was before the rotation and the gradient with respect to the result.
  template <class X, class G>
  [[nodiscard]] std::vector<double> theta_gradient(const X& x, const G& grad) const {
    check_rotatable<X>();
    check_rotatable<G>();
    decltype(auto) source = stored(x);
    check_features(source);
    // ⟨g, R(−φ) x⟩ = ⟨x, R(φ) g⟩: for the reverse rotation, x and g are exchanged.
    if constexpr (kForward == Direction::forward) {
      return rotary_.frequency_gradient(source, grad);
    } else {
      return rotary_.frequency_gradient(grad, source);
    }
  }

 protected:
  /// `features` is the number of features that tensors must have, or 0 for any from 2 · pairs on.
  LabmlEmbeddings(Frequencies frequencies, Index features)
      : features_(features), rotary_(std::move(frequencies), {.pairing = Pairing::half, .seq_dim = 0}) {}

 private:
  static RotateOptions options(Direction direction) {
    check_direction(direction);
    const bool forward = (direction == Direction::forward) == (kForward == Direction::forward);
    return {.direction = forward ? Direction::forward : Direction::inverse};
  }

  template <class X>
  void check_features(const X& x) const {
    const auto view = const_view_of(x);
    if (features_ == 0 || view.rank == 0) return;
    const Index found = view.extent(view.rank - 1);
    if (found != features_)
      fail("found ", found, " features, labml's first version rotates exactly ", features_, " with this d");
  }

  Index features_;
  RotaryEmbedding<T> rotary_;
};

}  // namespace detail

/// labml's RotaryPositionalEmbeddings(d, base): rotates the first `d` features of
/// [seq, batch, heads, features].
///
/// Index m of the first axis is position m. With theta_j = base^(−2j/d), features j and j + d/2 become
///
///     y_j        = x_j        cos(m theta_j) − x_{j+d/2} sin(m theta_j)
///     y_{j+d/2}  = x_{j+d/2}  cos(m theta_j) + x_j       sin(m theta_j)
///
/// Features from d on are unchanged. `T` is the scalar of cosines and sines. Tensors are those of
/// `RotaryEmbedding`: any rank from 2 up, any storage order, also 16-bit scalars. A result never depends on
/// the lengths of earlier calls.
/// Throws std::invalid_argument if d is odd (see `RotaryPositionalEmbeddingsListing`) or exceeds the
/// features.
///
/// Cost: that of `RotaryEmbedding`: one pass over the tensor, with cached rows.
///
/// @code
///   const rotary::RotaryPositionalEmbeddings<float> rotary_pe(4);
///   rotary::Tensor<float, 4> x(3, 1, 1, 4);   // [seq, batch, heads, features]
///   x.setConstant(1.f);
///   const auto y = rotary_pe(x);
///   rotary_pe.rotate_in_place(x);
/// @endcode
///
/// Source: labml's annotated implementations, 2025-08.
template <RowScalar T>
class RotaryPositionalEmbeddings : public detail::LabmlEmbeddings<T, Direction::forward> {
 public:
  /// Rotates the first `d` features by theta_j = base^(−2j/d).
  /// Throws std::invalid_argument if d is odd, or d or base is not positive.
  explicit RotaryPositionalEmbeddings(Index d, double base = 10000)
      : detail::LabmlEmbeddings<T, Direction::forward>(
            detail::labml_frequencies(detail::checked_even_d(d), base), 0) {}
};

/// labml's ReverseRotaryPositionalEmbeddings(d, base): `RotaryPositionalEmbeddings` with negative angles, by
/// which RoPER rotates the outputs of heads, [seq, batch, heads, features], back at the position of the
/// query. `Direction::inverse` of this one is a forward rotation.
/// Throws std::invalid_argument if d is odd or exceeds the features.
///
/// @code
///   const rotary::RotaryPositionalEmbeddings<float> rotary_pe(4);
///   const rotary::ReverseRotaryPositionalEmbeddings<float> reverse_pe(4);
///   rotary::Tensor<float, 4> x(3, 1, 1, 4);   // [seq, batch, heads, features]
///   x.setConstant(1.f);
///   const auto y = reverse_pe(rotary_pe(x));   // x again, but for rounding
/// @endcode
///
/// Source: `value_pe` of labml's annotated implementations, 2025-08.
template <RowScalar T>
class ReverseRotaryPositionalEmbeddings : public detail::LabmlEmbeddings<T, Direction::inverse> {
 public:
  /// Rotates the first `d` features by −theta_j, theta_j = base^(−2j/d).
  /// Throws std::invalid_argument if d is odd, or d or base is not positive.
  explicit ReverseRotaryPositionalEmbeddings(Index d, double base = 10000)
      : detail::LabmlEmbeddings<T, Direction::inverse>(
            detail::labml_frequencies(detail::checked_even_d(d), base), 0) {}
};

/// labml's RotaryPositionalEmbeddings as first published: all features rotate, and `d` may be odd.
///
/// theta_j = base^(−2j/d) for j < ⌈d/2⌉, and the features are split in the middle. So tensors must have
/// 2⌈d/2⌉ features: d of them, or d + 1 if d is odd; others throw std::invalid_argument. The published
/// example has d = 3 and four features:
///
/// @code
///   const rotary::RotaryPositionalEmbeddingsListing<float> rotary_pe(3);
///   rotary::Tensor<float, 4> x(3, 1, 1, 4);
///   x.setValues({{{{1, 2, 3, 4}}}, {{{4, 5, 6, 7}}}, {{{7, 8, 9, 10}}}});
///   const auto y = rotary_pe(x);   // theta = {1, 10000^(−2/3)}
/// @endcode
template <RowScalar T>
class RotaryPositionalEmbeddingsListing : public detail::LabmlEmbeddings<T, Direction::forward> {
 public:
  /// Rotates all 2⌈d/2⌉ features by theta_j = base^(−2j/d).
  /// Throws std::invalid_argument unless d and base are positive.
  explicit RotaryPositionalEmbeddingsListing(Index d, double base = 10000)
      : detail::LabmlEmbeddings<T, Direction::forward>(detail::labml_frequencies(d, base),
                                                       detail::checked_sum(d, d % 2)) {}
};

}  // namespace rotary::inline ROTARY_ABI
