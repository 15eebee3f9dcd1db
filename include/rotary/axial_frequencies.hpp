// AxialFrequencies: rotary embeddings of grids, such as images and video.
#pragma once

#include "angles.hpp"
#include "cos_sin_table.hpp"

namespace rotary::inline ROTARY_ABI {

/// How the frequencies of each axis of a grid are made.
struct AxialFrequenciesOptions {
  Index dim = 0;                          ///< features that rotate for each axis; even
  std::vector<double> custom_freqs = {};  ///< frequencies in radians per position, in place of `freqs_for`
  FreqsFor freqs_for = FreqsFor::lang;
  double theta = 10000;
  double max_freq = 10;
  Index num_freqs = 1;
  Pairing pairing = Pairing::interleaved;
};

/// The angles of a grid: every axis turns its own block of `dim` features, all with the same frequencies.
///
/// Along an axis of n cells, coordinates are 0 ... n − 1; with `FreqsFor::pixel` they run from −1 to 1, a
/// single cell standing at −1. With `dim` / 2 = P frequencies, pairs [0, P) turn by the first axis, pairs [P,
/// 2 P) by the second, and so on; for interleaved pairs that is features [0, dim), [dim, 2 dim), ...
///
/// @code
///   const rotary::AxialFrequencies<float> pixels(
///       {.dim = 16, .freqs_for = rotary::FreqsFor::pixel, .max_freq = 256});
///   rotary::Tensor<float, 4> image_q(1, 256, 256, 64);   // [batch, h, w, head_dim]
///   image_q = rotary::apply_rotary_emb(pixels.get_axial_freqs(256, 256), image_q);
/// @endcode
template <class T>
class AxialFrequencies {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  explicit AxialFrequencies(const AxialFrequenciesOptions& options)
      : AxialFrequencies(frequencies_of(options), options.freqs_for, options.pairing) {}

  /// From the frequencies of one axis; `FreqsFor::pixel` asks for coordinates from −1 to 1.
  AxialFrequencies(Frequencies of_one_axis, FreqsFor freqs_for, Pairing pairing)
      : frequencies_(std::move(of_one_axis)), freqs_for_(freqs_for), pairing_(pairing) {
    if (frequencies_.axes != 1)
      detail::fail("the frequencies of one axis are wanted, found ", frequencies_.axes, " axes");
  }

  /// The frequencies of one axis.
  const Frequencies& frequencies() const { return frequencies_; }
  /// The features that rotate for each axis.
  Index rotary_dim() const { return 2 * frequencies_.pairs(); }
  Pairing pairing() const { return pairing_; }

  /// The angles of a grid, [sizes..., axes · rotary_dim], row-major, in double.
  template <class... Sizes>
  requires(sizeof...(Sizes) >= 1 &&
           (std::is_integral_v<Sizes> && ...)) auto get_axial_freqs(Sizes... sizes) const {
    return get_axial_freqs(std::array<Index, sizeof...(Sizes)>{static_cast<Index>(sizes)...});
  }

  /// The same with `offsets[a]` added to the coordinates along axis a.
  template <std::size_t Axes>
  Tensor<double, static_cast<int>(Axes) + 1> get_axial_freqs(const std::array<Index, Axes>& sizes,
                                                             std::span<const double> offsets = {}) const {
    const Coordinates<Axes> of(*this, sizes, offsets);
    const Index pairs = frequencies_.pairs(), all = static_cast<Index>(Axes) * pairs;
    std::array<Index, Axes + 1> shape{};
    std::copy(sizes.begin(), sizes.end(), shape.begin());
    shape[Axes] = 2 * all;
    Tensor<double, static_cast<int>(Axes) + 1> angles(shape);
    const auto [step, second] = detail::angle_places(pairing_, all);
    double* row = angles.data();
    for (Index n = 0; n < of.positions.count(); ++n, row += 2 * all) {
      for (Index pair = 0; pair < all; ++pair) {
        const double position = static_cast<double>(of.positions.at(n, static_cast<int>(pair / pairs)));
        row[pair * step] = row[pair * step + second] =
            static_cast<double>(frequencies_.values[static_cast<std::size_t>(pair % pairs)] * position);
      }
    }
    return angles;
  }

  /// Cosines and sines of the same angles, from exact phases: what to rotate with again and again, and the
  /// only exact way for double.
  template <std::size_t Axes>
  CosSinTable<T> table(const std::array<Index, Axes>& sizes, std::span<const double> offsets = {}) const {
    const Coordinates<Axes> of(*this, sizes, offsets);
    return CosSinTable<T>(rotary::axial(frequencies_, static_cast<Index>(Axes)), of.positions, pairing_);
  }

  /// ∂L/∂f_i given the gradient with respect to the angles of `get_axial_freqs`.
  template <std::size_t Axes, class G>
  std::vector<double> frequency_gradient(const std::array<Index, Axes>& sizes, const G& grad,
                                         std::span<const double> offsets = {}) const {
    const Coordinates<Axes> of(*this, sizes, offsets);
    const detail::PositionList<G> grads(grad);
    const Index pairs = frequencies_.pairs(), all = static_cast<Index>(Axes) * pairs;
    const Index wanted = of.positions.count() * 2 * all;
    if (static_cast<Index>(grads.values.size()) != wanted)
      detail::fail("the gradient has ", grads.values.size(), " entries, the angles have ", wanted);
    std::vector<double> sums(static_cast<std::size_t>(pairs));
    const auto [step, second] = detail::angle_places(pairing_, all);
    const double* row = grads.values.data();
    for (Index n = 0; n < of.positions.count(); ++n, row += 2 * all)
      for (Index pair = 0; pair < all; ++pair)
        sums[static_cast<std::size_t>(pair % pairs)] +=
            static_cast<double>(of.positions.at(n, static_cast<int>(pair / pairs))) *
            (row[pair * step] + row[pair * step + second]);
    return sums;
  }

 private:
  /// The coordinates along every axis, and the grid of them.
  template <std::size_t Axes>
  struct Coordinates {
    std::array<std::vector<double>, Axes> lists;
    Positions positions;

    Coordinates(const AxialFrequencies& of, const std::array<Index, Axes>& sizes,
                std::span<const double> offsets)
        : positions(AxisPositions()) {
      static_assert(Axes >= 1 && Axes <= kMaxPositionAxes, "rotary: a grid has 1 to 4 axes");
      if (!offsets.empty() && offsets.size() != Axes)
        detail::fail("found ", offsets.size(), " offsets for a grid of ", Axes, " axes");
      std::array<AxisPositions, Axes> axes;
      for (std::size_t axis = 0; axis < Axes; ++axis) {
        const Index size = sizes[axis];
        if (size < 0)
          detail::fail("axis ", axis, " of the grid has size ", size, ", it must not be negative");
        for (Index n = 0; n < size; ++n) {
          const double cell = static_cast<double>(n), last = static_cast<double>(size > 1 ? size - 1 : 1);
          const double coordinate = of.freqs_for_ == FreqsFor::pixel ? (2 * cell - last) / last : cell;
          const double start = of.freqs_for_ == FreqsFor::pixel && size == 1 ? -1 : coordinate;
          lists[axis].push_back(start + (offsets.empty() ? 0.0 : offsets[axis]));
        }
        axes[axis] = AxisPositions::listed(detail::span_of(lists[axis]));
      }
      positions = Positions::grid(axes);
    }
    Coordinates(const Coordinates&) = delete;  // the positions look into the lists
  };

  static Frequencies frequencies_of(const AxialFrequenciesOptions& options) {
    if (!options.custom_freqs.empty()) return custom_frequencies(detail::span_of(options.custom_freqs));
    if (options.freqs_for == FreqsFor::constant) return constant_frequencies(options.num_freqs);
    if (options.dim < 1 || options.dim % 2 != 0)
      detail::fail("dim is ", options.dim, ", it must be even and positive");
    if (options.freqs_for == FreqsFor::pixel) return pixel_frequencies(options.dim, options.max_freq);
    return language_frequencies(options.dim, options.theta);
  }

  Frequencies frequencies_;
  FreqsFor freqs_for_;
  Pairing pairing_;
};

}  // namespace rotary::inline ROTARY_ABI
