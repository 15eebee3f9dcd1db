// A libFuzzer target: tensors of any extents and strides, with any options and positions, through every function that
// takes views. A call works or throws std::invalid_argument, and then has written nothing; nothing but the features that
// are to rotate is ever written. See tests/fuzz/README.md for how to run it.
#include <array>
#include <memory>
#include <optional>
#include <rotary/attention.hpp>
#include <rotary/rotary.hpp>

#include "../support/compiled_kernels.hpp"
#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

/// Splits work in two, as a device with threads does.
struct TwoParts {
  int numThreads() const { return 2; }
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    work(Index{0}, count / 2);
    work(count / 2, count);
  }
};

/// Positions of any kind with the lists that they look into.
class FuzzedPositions {
 public:
  /// For tensors of about so many sequences and tokens: mostly as many positions.
  FuzzedPositions(FuzzedInput& input, Index batch, Index seq) {
    if (input.rarely()) seq = input.size(0, 9);
    if (input.rarely()) batch = input.size(0, 5);
    switch (input.byte() % 9) {
      case 0:
        positions_ = Positions::from(input.position());
        break;
      case 1:
        positions_ = Positions::consecutive(seq, input.position());
        break;
      case 2:
        positions_ = Positions::per_sequence(listed<std::int64_t>(input, batch));
        break;
      case 3:
        positions_ = listed<std::int32_t>(input, seq);
        break;
      case 4:
        positions_ = listed<double>(input, seq);
        break;
      case 5:
        positions_ = Positions(listed<float>(input, detail::checked_product(seq, batch))).in_batches(batch);
        break;
      case 6:
        positions_ = Positions(listed<std::int64_t>(input, detail::checked_product(seq, batch)))
                         .in_batches_along_last(batch);
        break;
      case 7: {
        std::array<AxisPositions, 5> axes;
        const auto count = static_cast<std::size_t>(input.integer(0, 5));
        for (std::size_t axis = 0; axis < count; ++axis) axes[axis] = listed<std::int64_t>(input, seq);
        positions_ = Positions::together({axes.data(), count});
        break;
      }
      default: {
        std::array<AxisPositions, 5> axes;
        const auto count = static_cast<std::size_t>(input.integer(1, 4));
        for (std::size_t axis = 0; axis < count; ++axis) {
          const Index side = count == 1 ? seq : input.pick<Index>({seq, batch, 1, 2, 3});
          axes[axis] = AxisPositions::consecutive(side, input.position());
        }
        positions_ = Positions::grid({axes.data(), count});
        if (input.flag()) positions_ = positions_.as_list();
      }
    }
  }

  const Positions& get() const { return positions_; }

 private:
  template <class P>
  AxisPositions listed(FuzzedInput& input, Index count) {
    auto list = std::make_shared<std::vector<P>>();
    for (Index n = 0; n < std::min<Index>(count, 64); ++n) {
      if constexpr (std::is_floating_point_v<P>) {
        list->push_back(
            static_cast<P>(input.rarely() ? input.real() : static_cast<double>(input.position())));
      } else {
        list->push_back(static_cast<P>(input.rarely() ? input.any<P>() : input.any<std::int16_t>()));
      }
    }
    lists_.push_back(list);
    return AxisPositions::listed(std::span<const P>(list->data(), list->size()), {},
                                 input.rarely() ? input.size(0, 3) : 1);
  }

  std::vector<std::shared_ptr<void>> lists_;
  Positions positions_ = Positions::from(0);
};

/// Rank, extents and strides that describe no memory: some extent is 0 or negative, there are too many axes, or the sizes
/// do not fit. The pointer is never to be followed.
template <class S>
StridedView<S> impossible_view(FuzzedInput& input, S* data) {
  StridedView<S> view;
  view.data = data;
  view.rank = static_cast<int>(input.integer(1, 5));
  for (int axis = 0; axis < kMaxRank; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    view.extents[at] = input.flag() ? input.any<Index>() : input.integer(0, 9);
    view.strides[at] = input.flag() ? input.any<Index>() : input.integer(-9, 9);
  }
  const auto some = static_cast<std::size_t>(input.integer(0, view.rank - 1));
  switch (input.byte() % 5) {
    case 0:
      view.rank = input.pick({-1, 13, 127, INT32_MIN, INT32_MAX});
      break;
    case 1:
      view.extents[some] = input.pick<Index>({-1, -5, PTRDIFF_MIN, -(Index{1} << 32)});
      break;
    case 2:  // the last element is further away than any address
      for (std::size_t axis = 0; axis < kMaxRank; ++axis)
        view.extents[axis] = view.extents[axis] == 0 ? 1 : view.extents[axis];
      view.extents[some] = input.integer(2, 9);
      view.strides[some] =
          input.pick<Index>({PTRDIFF_MIN, PTRDIFF_MAX, PTRDIFF_MIN / 2 - 1, PTRDIFF_MAX / 2 + 1});
      break;
    case 3:  // more elements than can be counted
      for (std::size_t axis = 0; axis < kMaxRank; ++axis) {
        view.extents[axis] = view.extents[axis] == 0 ? 1 : view.extents[axis];
        view.strides[axis] = input.flag() ? 0 : view.strides[axis];
      }
      view.extents[some] = PTRDIFF_MAX;
      break;
    default: {
      view.extents[some] = 0;
      for (std::size_t axis = 0; axis < kMaxRank; ++axis)
        if (view.extents[axis] < 0) view.extents[axis] = PTRDIFF_MAX;
    }
  }
  return view;
}

HeadLayout fuzzed_layout(FuzzedInput& input, Index pairs) {
  HeadLayout layout;
  if (input.rarely()) layout.rotary_dim = input.rarely() ? input.size(0, 20) : 2 * pairs;
  layout.start_index = input.flag() ? 0 : input.size(0, 4);
  layout.pairing = input.enumerator<Pairing>(2);
  if (input.flag()) layout.output_pairing = input.enumerator<Pairing>(2);
  layout.seq_dim = input.rarely() ? input.size(-6, 6) : input.pick<Index>({-2, -3, -2, -4});
  return layout;
}

Frequencies fuzzed_frequencies(FuzzedInput& input, Index pairs, Index axes) {
  Frequencies frequencies;
  for (Index n = 0; n < pairs * axes; ++n)
    frequencies.values.push_back(input.rarely() ? input.real() : std::pow(10000.0, -double(n) / 16));
  frequencies.axes = input.rarely() ? input.size(-1, 5) : axes;
  if (input.flag()) frequencies.magnitude = input.rarely() ? input.real() : input.moderate();
  return frequencies;
}

template <class Options>
Options fuzzed_options(FuzzedInput& input) {
  Options options;
  if (input.flag()) options.offset = input.rarely() ? FixedPosition(input.real()) : input.position();
  if (input.flag())
    options.seq_dim = input.rarely() ? input.size(-6, 6) : input.pick<Index>({-2, -3, 1, 2, 0});
  options.direction = input.enumerator<Direction>(3);
  return options;
}
RotateOptions rotate_options(FuzzedInput& input, bool at_positions) {
  auto options = fuzzed_options<RotateOptions>(input);
  if (at_positions && !input.rarely()) options.offset = 0;
  if (input.flag()) options.scale = input.rarely() ? input.real() : input.moderate();
  return options;
}

ApplyOptions apply_options(FuzzedInput& input) {
  ApplyOptions options;
  options.start_index = input.flag() ? 0 : input.size(0, 4);
  if (input.flag())
    options.seq_dim = input.rarely() ? input.size(-6, 6) : input.pick<Index>({-2, -3, 1, 2, 0});
  if (input.flag()) options.freqs_seq_dim = input.rarely() ? input.size(-6, 6) : input.integer(-3, 2);
  if (input.flag()) options.scale = input.rarely() ? input.real() : input.moderate();
  options.pairing = input.enumerator<Pairing>(2);
  options.separate_angles = input.flag();
  return options;
}

/// The tensors of a call and how they come out of it. X is their scalar.
template <class X>
class Call {
  using T = detail::Arithmetic<X, float>;
  using Lying = typename FuzzedTensor<X>::Lying;

 public:
  explicit Call(FuzzedInput& input) : input_(input) {
    pairs_ = input.integer(0, 20);
    axes_ = input.flag() ? 1 : input.integer(1, 4);
    layout_ = fuzzed_layout(input, pairs_);
    const int rank = static_cast<int>(input.pick({4, 3, 2, 4, 3, 5, 1, 6}));
    for (int axis = 0; axis < rank - 1; ++axis) shape_.push_back(input.rarely() ? 0 : input.integer(1, 5));
    if (rank == 2 && input.flag()) shape_[0] = input.integer(0, 255);
    const Index start = std::clamp<Index>(layout_.start_index, 0, 8);
    shape_.push_back(input.rarely() ? input.integer(0, 9) : start + 2 * pairs_ + input.integer(0, 3));
    q_ = tensor(), k_ = tensor(), q_out_ = tensor(), k_out_ = tensor();
  }

  void run() {
    const int which = input_.byte() % 20;
    const std::array<std::vector<unsigned char>, 4> before{q_->snapshot(), k_->snapshot(), q_out_->snapshot(),
                                                           k_out_->snapshot()};
    writes_q_ = writes_k_ = writes_q_out_ = writes_k_out_ = false;
    start_ = layout_.start_index, width_ = 2 * pairs_;
    StridedView<X> q = q_->view(), k = k_->view(), q_out = q_out_->view(), k_out = k_out_->view();
    distort(q, k, q_out, k_out);
    const bool done = succeeds([&] { call(which, q, k, q_out, k_out); });
    const auto untouched = [&](const auto& x, const auto& was, bool written, bool whole) {
      if (!done || !written) return x->is_as(was);
      return whole ? x->is_as_outside(was, 0, PTRDIFF_MAX / 2) : x->is_as_outside(was, start_, width_);
    };
    // Views of other memory than their tensor's are checked as a whole.
    const bool others = is_distorted_;
    require(untouched(q_, before[0], writes_q_, others) && untouched(k_, before[1], writes_k_, others) &&
                untouched(q_out_, before[2], writes_q_out_, true) &&
                untouched(k_out_, before[3], writes_k_out_, true),
            done ? "nothing is written but the features that rotate" : "what throws has written nothing");
  }

 private:
  /// A tensor that mostly has the shape of all.
  std::unique_ptr<FuzzedTensor<X>> tensor() {
    std::vector<Index> shape = shape_;
    if (input_.rarely()) {
      const auto axis = static_cast<std::size_t>(input_.byte()) % shape.size();
      shape[axis] = input_.integer(0, 9);
    }
    return std::make_unique<FuzzedTensor<X>>(input_, shape, input_.rarely() ? Lying::any : Lying::apart);
  }

  /// Rarely makes views that describe no memory, or lets one lie in the place of another.
  void distort(StridedView<X>& q, StridedView<X>& k, StridedView<X>& q_out, StridedView<X>& k_out) {
    is_distorted_ = false;
    if (!input_.rarely()) return;
    is_distorted_ = true;
    const int which = input_.byte() % 8;
    StridedView<X>* const all[] = {&q, &k, &q_out, &k_out};
    StridedView<X>& changed = *all[which % 4];
    if (which < 4) {
      changed = impossible_view<X>(input_, input_.flag() ? nullptr : changed.data);
    } else {
      changed = *all[input_.byte() % 4];
      const int axis = static_cast<int>(input_.byte()) % changed.rank;
      const Index extent = changed.extent(axis);
      if (input_.flag() && extent > 1) changed = changed.slice(axis, 1, extent - 1);  // partly in its place
    }
    writes_q_ = writes_k_ = writes_q_out_ = writes_k_out_ = true;
  }

  FuzzedPositions positions() {
    const std::size_t rank = shape_.size();
    const Index batch = rank > 2 ? shape_[0] : 1;
    const bool has_axis = layout_.seq_dim < 0 && layout_.seq_dim >= -static_cast<Index>(rank);
    const Index axis = has_axis ? layout_.seq_dim + static_cast<Index>(rank) : 0;
    return FuzzedPositions(input_, batch, has_axis ? shape_[static_cast<std::size_t>(axis)] : 1);
  }

  /// Frequencies of `axes` axes, rarely of others, which then are of other pairs.
  Frequencies frequencies(Index axes) {
    Frequencies found = fuzzed_frequencies(input_, pairs_, axes);
    width_ = 2 * found.pairs();
    return found;
  }
  RotaryEmbedding<T> embedding() {
    return RotaryEmbedding<T>(frequencies(axes_), layout_,
                              input_.rarely() ? input_.size(0, 9) : input_.pick<Index>({0, 200, 8192}));
  }

  void call(int which, const StridedView<X>& q, const StridedView<X>& k, const StridedView<X>& q_out,
            const StridedView<X>& k_out) {
    const bool all = is_distorted_;
    const auto writes = [&](bool q_too, bool k_too, bool q_out_too, bool k_out_too) {
      writes_q_ = q_too || all, writes_k_ = k_too || all;
      writes_q_out_ = q_out_too || all, writes_k_out_ = k_out_too || all;
    };
    switch (which) {
      case 0: {
        const auto of = embedding();
        writes(true, false, false, false);
        of.rotate_in_place(q, rotate_options(input_, false));
        break;
      }
      case 1: {
        const auto of = embedding();
        const auto at = positions();
        writes(true, false, false, false);
        of.rotate_in_place(q, at.get(), rotate_options(input_, true));
        break;
      }
      case 2: {
        const auto of = embedding();
        const auto at = positions();
        writes(true, false, false, false);
        of.rotate_in_place(q, at.get(), rotate_options(input_, true), TwoParts());
        break;
      }
      case 3: {
        const auto of = embedding();
        writes(false, false, true, false);
        of.rotate_into(q, q_out, rotate_options(input_, false));
        break;
      }
      case 4: {
        const auto of = embedding();
        const auto at = positions();
        writes(false, false, true, false);
        of.rotate_into(q, q_out, at.get(), rotate_options(input_, true));
        break;
      }
      case 5: {
        const auto of = embedding();
        writes(true, true, false, false);
        of.rotate_in_place(q, k, rotate_options(input_, false));
        break;
      }
      case 6: {
        const auto of = embedding();
        const auto at = positions();
        writes(true, true, false, false);
        of.rotate_in_place(q, k, at.get(), rotate_options(input_, true));
        break;
      }
      case 7: {
        const auto of = embedding();
        const auto at = positions();
        writes(false, false, true, true);
        of.rotate_queries_and_keys_into(q, k, q_out, k_out, at.get(), rotate_options(input_, true));
        break;
      }
      case 8: {
        const auto of = embedding();
        const auto at = positions();
        RotateOptions options = rotate_options(input_, true);
        if (!input_.rarely()) options.seq_dim.reset();
        writes(true, false, false, false);
        if (input_.flag()) {
          of.rotate_token_in_place(q, input_.position(), options);
        } else {
          of.rotate_token_in_place(q, at.get(), options);
        }
        break;
      }
      case 9: {
        const auto of = embedding();
        const auto at = positions();
        RotateOptions options = rotate_options(input_, true);
        if (!input_.rarely()) options.seq_dim.reset();
        const bool keys = input_.flag();
        writes(keys, keys, !keys, false);
        if (keys) {
          of.rotate_token_in_place(q, k, at.get(), options);
        } else {
          of.rotate_token_into(q, q_out, at.get(), options);
        }
        break;
      }
      case 10: {
        const auto at = positions();
        const CosSinTable<T> table(frequencies(axes_), at.get(), layout_);
        const bool in_place = input_.flag();
        const auto direction = input_.enumerator<Direction>(3);
        writes(in_place, false, !in_place, false);
        if (in_place) {
          apply_rotary_emb_in_place(table, q, direction);
        } else {
          apply_rotary_emb_into(table, q, q_out, direction, TwoParts());
        }
        break;
      }
      case 11: {
        const auto at = positions();
        const auto of = embedding();
        const auto table = of.table(at.get());
        writes(true, false, false, false);
        apply_rotary_emb_to_token_in_place(table, q, input_.enumerator<Direction>(3));
        break;
      }
      case 12:
        apply_angles(q, k, q_out, writes);
        break;
      case 13:
      case 14: {
        const XPos<T> of(frequencies(1), layout_, {.xpos_scale_base = input_.rarely() ? input_.real() : 512});
        auto options = fuzzed_options<XPosRotateOptions>(input_);
        if (input_.flag()) options.centre = input_.rarely() ? input_.real() : input_.any<std::int16_t>();
        options.centre_on_last_query = input_.byte() % 4 == 1;
        writes(true, true, false, false);
        if (which == 13) return of.rotate_queries_and_keys_in_place(q, k, options);
        if (!input_.rarely()) options.offset = 0;
        const auto at = positions();
        of.rotate_queries_and_keys_in_place(q, k, at.get(), options, TwoParts());
        break;
      }
      case 15: {
        // The gradients of views that describe memory: there may be any number of tokens in others.
        if (all) return;
        const auto of = embedding();
        const RotateOptions options = rotate_options(input_, false);
        switch (input_.byte() % 3) {
          case 0:
            static_cast<void>(of.frequency_gradient(q, k, options));
            break;
          case 1:
            static_cast<void>(of.position_gradient(q, k, options));
            break;
          default:
            static_cast<void>(of.magnitude_gradient(q, k, options));
        }
        break;
      }
      case 16: {
        const auto at = positions();
        if (all) return;
        const Frequencies frequencies = fuzzed_frequencies(input_, pairs_, axes_);
        if (input_.flag()) {
          static_cast<void>(frequency_gradient(frequencies, at.get(), layout_, q, k));
        } else {
          static_cast<void>(position_gradient(frequencies, at.get(), layout_, q, k));
        }
        break;
      }
      case 17: {
        HeadFeatures features;
        features.heads = input_.size(0, 3);
        if (input_.flag()) features.rotary_dim = input_.size(0, 20);
        features.start_index = input_.flag() ? 0 : input_.size(0, 9);
        features.axis = input_.rarely() ? input_.size(-6, 6) : -1;
        start_ = 0, width_ = PTRDIFF_MAX / 2;
        writes(true, false, false, false);
        if (input_.flag()) {
          interleaved_to_half_in_place(q, features);
        } else {
          half_to_interleaved_in_place(q, features);
        }
        break;
      }
      case 18:
        labml(q, q_out, writes);
        break;
      default:
        if constexpr (std::is_same_v<X, float>) owned_tensors(q);
    }
  }

  template <class Writes>
  void apply_angles(const StridedView<X>& q, const StridedView<X>& k, const StridedView<X>& q_out,
                    const Writes& writes) {
    const ApplyOptions options = apply_options(input_);
    start_ = options.start_index;
    std::vector<Index> shape{shape_.size() > 1 ? shape_[shape_.size() - 2] : 1, 2 * pairs_};
    const bool several_axes = input_.flag();
    if (several_axes) shape.insert(shape.begin(), input_.pick<Index>({1, 1, shape_[0], 2}));
    if (input_.rarely()) shape.front() = input_.integer(0, 9);
    FuzzedTensor<float> angles(input_, shape, FuzzedTensor<float>::Lying::any);
    if (!input_.rarely())  // alike for the members of a pair
      for (Index n = 0; n < angles.size(); ++n) angles[n] = 0.5f;
    StridedView<float> view = angles.view();
    if (input_.rarely()) view = impossible_view<float>(input_, view.data);
    const bool scaled = input_.flag(), in_place = input_.flag();
    writes(in_place, false, !in_place, false);
    const StridedView<const float> freqs = view;
    if (scaled) {
      apply_rotary_emb_into(freqs, q, in_place ? q : q_out, StridedView<const X>(k), options);
    } else if (in_place) {
      apply_rotary_emb_in_place(freqs, q, options);
    } else {
      apply_rotary_emb_into(freqs, q, q_out, options);
    }
  }

  template <class Writes>
  void labml(const StridedView<X>& q, const StridedView<X>& q_out, const Writes& writes) {
    const auto direction = input_.enumerator<Direction>(3);
    const Index d = input_.rarely() ? input_.size(0, 20) : 2 * pairs_;
    const double base = input_.rarely() ? input_.real() : 10000;
    const bool in_place = input_.flag();
    start_ = 0, width_ = PTRDIFF_MAX / 2;  // an odd d rotates more
    writes(in_place, false, !in_place, false);
    const auto rotate = [&](const auto& of) {
      if (in_place) {
        of.rotate_in_place(q, direction);
      } else {
        of.rotate_into(q, q_out, direction);
      }
    };
    switch (input_.byte() % 3) {
      case 0:
        return rotate(RotaryPositionalEmbeddings<T>(d, base));
      case 1:
        return rotate(ReverseRotaryPositionalEmbeddings<T>(d, base));
      default:
        return rotate(RotaryPositionalEmbeddingsListing<T>(d, base));
    }
  }

  /// Functions that take tensors rather than views, since they return others of their type.
  void owned_tensors(const StridedView<X>& q) {
    if (is_distorted_ || q.rank != 3) return;
    Tensor<X, 3> x(q.extent(0), q.extent(1), q.extent(2));
    for (Index n = 0; n < x.size(); ++n) x.data()[n] = (*q_)[n];
    const Tensor<X, 3> y = x;
    Tensor<X, 2> angles(input_.integer(0, 5), input_.integer(0, 9));
    angles.setConstant(0.25f);
    const Index dim = input_.size(0, 9);
    switch (input_.byte() % 7) {
      case 0:
        static_cast<void>(rotate_half(x, input_.enumerator<Pairing>(2)));
        break;
      case 1:
        static_cast<void>(broadcat({.dim = input_.size(-4, 4)}, x, angles, x));
        break;
      case 2: {
        const PolarEmbedding<float> of({.dim = dim, .theta = input_.rarely() ? input_.real() : 10000});
        static_cast<void>(of.embed_queries(x, input_.position()));
        break;
      }
      case 3: {
        const PolarEmbedding<float> of({.dim = dim});
        Tensor<double, 2> phases(input_.integer(0, 3),
                                 input_.rarely() ? input_.integer(0, 9) : std::clamp<Index>(dim, 0, 9));
        for (Index n = 0; n < phases.size(); ++n) phases.data()[n] = input_.rarely() ? input_.real() : -1;
        static_cast<void>(of.embed_keys(x, phases, input_.position()));
        static_cast<void>(of.keys_backward(x, phases, of.embed_keys(x, phases)));
        break;
      }
      case 4: {
        std::vector<double> ranges;
        for (Index n = input_.integer(0, 3); n > 0; --n)
          ranges.push_back(input_.rarely() ? input_.real() : 0.5);
        const LearnedRotationOptions options{.start_index = input_.size(0, 3),
                                             .pairing = input_.enumerator<Pairing>(2)};
        static_cast<void>(apply_learned_rotations(angles, x, options, ranges));
        static_cast<void>(apply_learned_rotations_backward(angles, x, y, options, ranges));
        break;
      }
      case 5: {
        const ApplyOptions options = apply_options(input_);
        static_cast<void>(apply_rotary_emb_backward(angles, x, y, options));
        static_cast<void>(apply_rotary_emb_backward(angles, x, angles, y, options));
        break;
      }
      default:
        attention(x);
    }
  }

  void attention(const Tensor<X, 3>& x) {
    RotaryMultiHeadAttentionOptions options{.heads = input_.rarely() ? input_.size(0, 4) : 1,
                                            .d_model = x.dimension(2)};
    options.rope_percentage = input_.flag() ? input_.real() : 0.5;
    options.rope_value_percentage = input_.flag() ? input_.real() : 0.5;
    options.dropout_prob = input_.rarely() ? input_.real() : 0.25;
    options.base = input_.rarely() ? input_.real() : 10000;
    if (input_.flag()) options.xpos_scale_base = input_.real();
    const RotaryValueMultiHeadAttention<float> of(options);
    AttendOptions how;
    if (input_.flag()) how.dropout_seed = 3;
    Tensor<bool, 3> mask(input_.pick<Index>({1, x.dimension(0)}), x.dimension(0),
                         input_.pick<Index>({1, x.dimension(1)}));
    for (Index n = 0; n < mask.size(); ++n) mask.data()[n] = n % 3 != 1;
    if (input_.flag()) how.mask = mask;
    AttentionActivations<float> activations;
    const auto out = of.forward(x, x, x, how, activations);
    auto gradients = of.make_gradients();
    static_cast<void>(of.backward(out, activations, gradients));
  }

  FuzzedInput& input_;
  Index pairs_ = 0, axes_ = 1;
  HeadLayout layout_;
  std::vector<Index> shape_;
  std::unique_ptr<FuzzedTensor<X>> q_, k_, q_out_, k_out_;
  bool is_distorted_ = false;
  bool writes_q_ = false, writes_k_ = false, writes_q_out_ = false, writes_k_out_ = false;
  Index start_ = 0, width_ = 0;
};

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rotary::testing;
  return with_scalar(data, size,
                     [](auto scalar, FuzzedInput& input) { Call<decltype(scalar)>(input).run(); });
}
