// AxialFrequencies: rotary embeddings of grids, such as images and video.
#pragma once

#include <tuple>

#include "cos_sin_table.hpp"
#include "frequencies/embedding_options.hpp"
#include "phases/angles.hpp"

namespace rotary::inline ROTARY_ABI {

namespace detail {

template <class... Arguments>
constexpr bool are_sizes_then_offsets() {  // not covered: runs while compiling
  constexpr std::size_t kCount = sizeof...(Arguments);
  if constexpr (kCount < 2) {
    return false;
  } else {
    using Last = std::tuple_element_t<kCount - 1, std::tuple<Arguments...>>;
    const std::size_t integers = (std::size_t{std::is_integral_v<Arguments>} + ...);
    return integers == kCount - 1 && requires(const Last& offsets) {
      std::span<const double>(std::data(offsets), std::size(offsets));
    };
  }
}
template <class... Arguments>
inline constexpr bool kSizesThenOffsets = are_sizes_then_offsets<Arguments...>();

}  // namespace detail

/// The angles of a grid, such as an image or a video: every axis rotates its own block of `dim` features, all
/// with the same frequencies.
///
/// Along an axis of n cells, coordinates are 0 ... n − 1; with `FreqsFor::pixel` they run from −1 to 1, and a
/// single cell is at −1. With `dim` / 2 = P frequencies, pairs [0, P) rotate by the first axis, pairs [P, 2P)
/// by the second, and so on; for interleaved pairs that is features [0, dim), [dim, 2 dim), ...
///
/// The constructor takes `RotaryEmbeddingOptions`.
/// Throws std::invalid_argument on those without meaning for a grid: interpolation, learned frequencies, and
/// the order of sequence and heads.
///
/// Cost: nothing is cached; `table` computes the rows of a grid once for any number of calls.
///
/// @code
///   const rotary::AxialFrequencies<float> pixels(
///       {.dim = 16, .freqs_for = rotary::FreqsFor::pixel, .max_freq = 256});
///   rotary::Tensor<float, 4> image_q(1, 256, 256, 64);   // [batch, h, w, head_dim]
///   image_q = rotary::apply_rotary_emb(pixels.get_axial_freqs(256, 256), image_q);
/// @endcode
///
/// Source: `get_axial_freqs` of rotary-embedding-torch 0.8.9.
template <class T>
class AxialFrequencies {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// From the arguments of rotary-embedding-torch: `AxialFrequencies<float>({.dim = 16})`.
  explicit AxialFrequencies(const RotaryEmbeddingOptions& options)
      : AxialFrequencies(frequencies_of(options), options.freqs_for, {.pairing = options.pairing}) {}

  /// From the frequencies of one axis; with `FreqsFor::pixel` coordinates run from −1 to 1. The layout's
  /// rotary_dim is that of all axes together, and is set for each grid.
  AxialFrequencies(Frequencies of_one_axis, FreqsFor freqs_for, const HeadLayout& layout)
      : frequencies_(std::move(of_one_axis)), freqs_for_(freqs_for), layout_(layout) {
    layout_.rotary_dim = 0;
    if (frequencies_.axes != 1)
      detail::fail("the frequencies of one axis are wanted, found ", frequencies_.axes, " axes");
    detail::check(frequencies_);
    detail::check_freqs_for(freqs_for_);
    static_cast<void>(detail::completed(layout_, frequencies_.pairs()));
  }

  /// Does not compile: the arguments have names, `AxialFrequencies<float>({.dim = 16})`.
  template <std::integral I>
  explicit AxialFrequencies(I) {
    static_assert(!std::is_integral_v<I>, "rotary: name the arguments: AxialFrequencies<float>({.dim = 16})");
  }

  /// The frequencies of one axis, which every axis of a grid has.
  [[nodiscard]] const Frequencies& frequencies() const& { return frequencies_; }
  /// The frequencies of one axis, moved out of a temporary.
  [[nodiscard]] Frequencies frequencies() && { return std::move(frequencies_); }
  /// The number of features that rotate for each axis of a grid.
  [[nodiscard]] Index rotary_dim() const { return 2 * frequencies_.pairs(); }
  /// Which two of the features that rotate form a pair.
  [[nodiscard]] Pairing pairing() const { return layout_.pairing; }

  /// The angles of a grid, [sizes..., axes · rotary_dim], row-major, in double: `get_axial_freqs(32, 32)`.
  template <class... Sizes>
  requires(sizeof...(Sizes) >= 1 && (std::is_integral_v<Sizes> && ...))
      [[nodiscard]] auto get_axial_freqs(Sizes... sizes) const {
    return get_axial_freqs(std::array<Index, sizeof...(Sizes)>{static_cast<Index>(sizes)...});
  }
  /// The angles of a grid, [sizes..., axes · rotary_dim], whose last argument is a list of offsets, one for
  /// the coordinates along each axis: `get_axial_freqs(32, 32, offsets)`.
  template <class... Arguments>
  requires(detail::kSizesThenOffsets<Arguments...>)
      [[nodiscard]] auto get_axial_freqs(const Arguments&... sizes_and_offsets) const {
    const auto all = std::forward_as_tuple(sizes_and_offsets...);
    constexpr std::size_t kAxes = sizeof...(Arguments) - 1;
    return [&]<std::size_t... Axis>(std::index_sequence<Axis...>) {
      const auto& offsets = std::get<kAxes>(all);
      return get_axial_freqs(std::array<Index, kAxes>{static_cast<Index>(std::get<Axis>(all))...},
                             std::span<const double>(std::data(offsets), std::size(offsets)));
    }
    (std::make_index_sequence<kAxes>());
  }

  /// The angles of a grid of `sizes`, [sizes..., axes · rotary_dim], with `offsets[a]` added to the
  /// coordinates along axis a; without offsets nothing is added.
  template <std::size_t Axes>
  [[nodiscard]] Tensor<double, static_cast<int>(Axes) + 1> get_axial_freqs(
      const std::array<Index, Axes>& sizes, std::span<const double> offsets = {}) const {
    const Coordinates<Axes> of(*this, sizes, offsets);
    const Index pairs = frequencies_.pairs(), all = static_cast<Index>(Axes) * pairs;
    std::array<Index, Axes + 1> shape{};
    std::copy(sizes.begin(), sizes.end(), shape.begin());
    shape[Axes] = 2 * all;
    Tensor<double, static_cast<int>(Axes) + 1> angles(shape);
    const auto [step, second] = detail::angle_places(layout_.pairing, all);
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

  /// The table of a grid, for `apply_rotary_emb`: cosines and sines of the angles of `get_axial_freqs`, from
  /// exact phases, one row for each cell. Faster for repeated use, and exact for double too.
  template <std::size_t Axes>
  [[nodiscard]] CosSinTable<T> table(const std::array<Index, Axes>& sizes,
                                     std::span<const double> offsets = {}) const {
    const Coordinates<Axes> of(*this, sizes, offsets);
    return CosSinTable<T>(rotary::axial(frequencies_, static_cast<Index>(Axes)), of.positions, layout_);
  }

  /// ∂L/∂f_i, [dim / 2], given the gradient with respect to the angles of `get_axial_freqs`, of their shape.
  template <std::size_t Axes, class G>
  [[nodiscard]] std::vector<double> frequency_gradient(const std::array<Index, Axes>& sizes, const G& grad,
                                                       std::span<const double> offsets = {}) const {
    const Coordinates<Axes> of(*this, sizes, offsets);
    const detail::PositionList<G> grads(grad);
    const Index pairs = frequencies_.pairs(), all = static_cast<Index>(Axes) * pairs;
    const Index wanted = of.positions.count() * 2 * all;
    if (static_cast<Index>(grads.values.size()) != wanted)
      detail::fail("the gradient has ", grads.values.size(), " entries, the angles have ", wanted);
    std::vector<double> sums(static_cast<std::size_t>(pairs));
    const auto [step, second] = detail::angle_places(layout_.pairing, all);
    const double* row = grads.values.data();
    for (Index n = 0; n < of.positions.count(); ++n, row += 2 * all)
      for (Index pair = 0; pair < all; ++pair)
        sums[static_cast<std::size_t>(pair % pairs)] +=
            detail::rounded(static_cast<double>(of.positions.at(n, static_cast<int>(pair / pairs))) *
                            detail::rounded(row[pair * step] + row[pair * step + second]));
    return sums;
  }

 private:
  /// The coordinates along every axis, and their grid.
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
      Index angles = sizeof(double);
      for (std::size_t axis = 0; axis < Axes; ++axis) {
        if (sizes[axis] < 0)
          detail::fail("axis ", axis, " of the grid has size ", sizes[axis], ", it must not be negative");
        angles = detail::checked_product(angles, sizes[axis]);
      }
      angles = detail::checked_product(angles, static_cast<Index>(2 * Axes) * of.frequencies_.pairs());
      std::array<AxisPositions, Axes> axes;
      for (std::size_t axis = 0; axis < Axes; ++axis) {
        const Index size = sizes[axis];
        if (angles == 0) {  // an empty grid, whose other sizes may be of any size
          axes[axis] = AxisPositions::consecutive(size);
          continue;
        }
        lists[axis].reserve(static_cast<std::size_t>(size));
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
    Coordinates(const Coordinates&) = delete;  // the positions are a view of the lists
  };

  static Frequencies frequencies_of(const RotaryEmbeddingOptions& options) {
    const char* const name = !detail::is_equal(options.interpolate_factor, 1.0) ? "interpolate_factor"
                             : options.learned_freq                             ? "learned_freq"
                             : options.seq_before_head_dim                      ? "seq_before_head_dim"
                                                                                : nullptr;
    if (name != nullptr) detail::fail(name, " is set, but the frequencies of a grid do not depend on it");
    return detail::frequencies_of(options);
  }

  Frequencies frequencies_;
  FreqsFor freqs_for_;
  HeadLayout layout_;
};

}  // namespace rotary::inline ROTARY_ABI
