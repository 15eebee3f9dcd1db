// Angles as tensors, each written twice, as in rotary-embedding-torch.
#pragma once

#include <initializer_list>
#include <iterator>

#include "../core/pairing.hpp"
#include "../frequencies.hpp"
#include "../positions.hpp"

namespace rotary::inline ROTARY_ABI {

/// The gradients of a loss with respect to the positions, one for each, and the frequencies, one for each
/// pair, of a tensor of angles, as `RotaryEmbedding::angles_backward` returns them.
struct AngleGradients {
  /// The gradient for each position, in row-major order, and for each frequency, [pairs].
  std::vector<double> positions, freqs;
};

namespace detail {

/// Where the two copies of angle i of a row are, one for each member of the pair.
struct AnglePlaces {
  Index step, second;
};
inline AnglePlaces angle_places(Pairing pairing, Index pairs) {
  return pairing == Pairing::half ? AnglePlaces{1, pairs} : AnglePlaces{2, 1};
}

/// Positions of any type as a row-major list of doubles, and their shape.
template <class P>
struct PositionList {
  static constexpr int kRank = 1;
  std::vector<double> values;
  std::array<Index, 1> shape{};

  explicit PositionList(const P& positions) {
    static_assert(
        requires {
          std::ranges::begin(positions);
          std::ranges::end(positions);
        } || is_dense<P>,
        "rotary: positions are a number, a range of numbers, or an Eigen tensor or vector of them");
    for (const auto position : positions) {
      static_assert(std::is_arithmetic_v<std::remove_cvref_t<decltype(position)>>,
                    "rotary: positions are integers, float or double; bfloat16 cannot tell 256 from 257");
      values.push_back(static_cast<double>(position));
    }
    shape[0] = static_cast<Index>(values.size());
  }
};

/// A single position has no axes; its angles have one.
template <class P>
requires(std::is_arithmetic_v<P>) struct PositionList<P> {
  static constexpr int kRank = 0;
  std::vector<double> values;
  std::array<Index, 0> shape{};

  explicit PositionList(const P& position) : values{static_cast<double>(position)} {}
};

template <class P>
requires(is_tensor<P>) struct PositionList<P> {
  static constexpr int kRank = static_cast<int>(Eigen::internal::traits<P>::NumDimensions);
  std::vector<double> values;
  std::array<Index, static_cast<std::size_t>(kRank)> shape{};

  explicit PositionList(const P& positions) {
    static_assert(std::is_arithmetic_v<Scalar<P>>,
                  "rotary: positions are integers, float or double; bfloat16 cannot tell 256 from 257");
    decltype(auto) source = stored(positions);
    const auto view = const_view_of(source);
    for (int axis = 0; axis < kRank; ++axis) shape[static_cast<std::size_t>(axis)] = view.extent(axis);
    values.reserve(static_cast<std::size_t>(view.size()));
    for_each_index(
        kRank, [&](Index at) { values.push_back(static_cast<double>(view.data[at])); }, view);
  }
};

/// (0, 1, ..., seq_len − 1) + offset, divided by `interpolate_factor`.
inline Tensor<double, 1> sequence_positions(Index seq_len, FixedPosition offset, double interpolate_factor) {
  const Positions positions = Positions::consecutive(seq_len, offset);
  checked_elements<double>(seq_len);
  Tensor<double, 1> result(seq_len);
  for (Index n = 0; n < seq_len; ++n) result(n) = static_cast<double>(positions.at(n)) / interpolate_factor;
  return result;
}

/// [..., 2 · pairs]: position · frequency, in double. The product is formed in about 106 bits and rounded
/// once; an angle of 400 rad held in float would already be 1.5e-5 off.
template <class P>
auto angles_of(const Frequencies& frequencies, Pairing pairing, const P& positions) {
  const PositionList<P> list(positions);
  constexpr int kRank = PositionList<P>::kRank;
  const Index pairs = frequencies.pairs();
  std::array<Index, static_cast<std::size_t>(kRank + 1)> shape{};
  std::copy(list.shape.begin(), list.shape.end(), shape.begin());
  shape[kRank] = 2 * pairs;
  Tensor<double, kRank + 1> angles(shape);
  const auto [step, second] = angle_places(pairing, pairs);
  double* row = angles.data();
  for (const double position : list.values) {
    static_cast<void>(FixedPosition(position));  // throws on NaN
    for (Index i = 0; i < pairs; ++i)
      row[i * step] = row[i * step + second] =
          static_cast<double>(frequencies.values[static_cast<std::size_t>(i)] * position);
    row += 2 * pairs;
  }
  return angles;
}

template <class P, class G>
AngleGradients angle_gradients(const Frequencies& frequencies, Pairing pairing, const P& positions,
                               const G& grad) {
  const PositionList<P> list(positions);
  const PositionList<G> grads(grad);
  const Index pairs = frequencies.pairs();
  if (grads.values.size() != list.values.size() * static_cast<std::size_t>(2 * pairs))
    fail("the gradient has ", grads.values.size(), " entries, the angles have ",
         static_cast<Index>(list.values.size()) * 2 * pairs);
  const auto [step, second] = angle_places(pairing, pairs);
  AngleGradients result{std::vector<double>(list.values.size()),
                        std::vector<double>(static_cast<std::size_t>(pairs))};
  const double* row = grads.values.data();
  for (std::size_t n = 0; n < list.values.size(); ++n, row += 2 * pairs) {
    for (Index i = 0; i < pairs; ++i) {
      const double sum = row[i * step] + row[i * step + second];
      result.positions[n] =
          rounded(result.positions[n] +
                  rounded(sum * static_cast<double>(frequencies.values[static_cast<std::size_t>(i)])));
      result.freqs[static_cast<std::size_t>(i)] += rounded(sum * list.values[n]);
    }
  }
  return result;
}

}  // namespace detail
}  // namespace rotary::inline ROTARY_ABI
