// A libFuzzer target: every instruction set and every way of naming positions gives the bits of the scalar reference.
//
// The reference makes one row for each token, and rotates one head after the other, in plain loops. So it does for XPos,
// with rows whose pairs have a scale each. See tests/fuzz/README.md for how to run it.
#include <array>
#include <optional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/kernels/testing.hpp>
#include <rotary/positions/token_positions.hpp>
#include <rotary/rotary_embedding.hpp>
#include <rotary/xpos.hpp>

#include "../support/compiled_kernels.hpp"
#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

using Place = std::array<FixedPosition, kMaxPositionAxes>;

/// Splits work in three, as a device with threads does.
struct ThreeParts {
  int numThreads() const { return 3; }
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    work(Index{0}, count / 3);
    work(count / 3, count / 2);
    work(count / 2, count);
  }
};

template <class Check>
void with_every_instruction_set(const Check& check) {
#if ROTARY_VECTOR_EXTENSIONS
  using kernels::InstructionSet;
  for (const auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512})
    if (kernels::force_instruction_set(set) == set) check();
#else
  check();
#endif
}

template <class S>
bool is_nan(const S& x) {
  return std::isnan(static_cast<double>(x));
}

/// The positions as numbers of the type P, if each of them is one.
template <class P>
std::optional<std::vector<P>> as_list(std::span<const FixedPosition> positions) {
  std::vector<P> list;
  for (const FixedPosition& position : positions) {
    P number{};
    if constexpr (std::is_integral_v<P>) {
      if (!position.is_whole() || !std::in_range<P>(position.whole)) return {};
      number = static_cast<P>(position.whole);
    } else {
      number = static_cast<P>(static_cast<double>(position));
      if (!(std::fabs(static_cast<double>(number)) < 0x1p62) || FixedPosition(number) != position) return {};
    }
    list.push_back(number);
  }
  return list;
}

/// One problem: tensors, an embedding's parameters, and where the tokens are.
template <class X>
class Problem {
  using T = detail::Arithmetic<X, float>;

 public:
  explicit Problem(FuzzedInput& input)
      : pairs_(input.integer(0, 40)),
        start_(input.integer(0, 3)),
        features_(start_ + 2 * pairs_ + input.integer(0, 3)),
        batch_(input.integer(1, 3)),
        heads_(input.integer(1, 3)),
        seq_(input.integer(1, 12)),
        axes_(static_cast<int>(input.integer(1, 6))),
        seq_axis_(input.flag() ? 1 : 2),
        cached_(input.pick<Index>({0, 1, 300, 8192})),
        direction_(input.pick({Direction::forward, Direction::transpose, Direction::inverse})),
        out_of_place_(input.flag()),
        with_keys_(input.flag()) {
    if (input.rarely()) seq_ = input.integer(1, 200);  // longer than a block of rows
    if (axes_ > kMaxPositionAxes) axes_ = 1;
    layout_.start_index = start_;
    layout_.pairing = input.pick({Pairing::interleaved, Pairing::half});
    if (input.flag()) layout_.output_pairing = input.pick({Pairing::interleaved, Pairing::half});
    layout_.seq_dim = seq_axis_ - 4;
    for (Index n = 0; n < axes_ * pairs_; ++n)
      frequencies_.values.push_back(input.rarely() ? input.real() : std::pow(10000.0, -double(n) / 40));
    frequencies_.axes = axes_;
    frequencies_.magnitude = input.flag() ? input.moderate() : 1;
    if (input.flag()) scale_ = input.flag() ? input.real() : input.moderate();
    choose_positions(input);
    q_.emplace(input, shape(heads_));
    k_.emplace(input, shape(1));
    q_out_.emplace(input, shape(heads_));
    k_out_.emplace(input, shape(1));
    with_xpos_ = input.flag() && axes_ == 1;
    scale_base_ = input.rarely() ? input.real() : input.pick({512.0, 64.0, 1000.0, 3.0});
    if (input.flag()) centre_ = input.rarely() ? input.real() : static_cast<double>(input.position());
    centre_on_last_query_ = input.byte() % 4 == 1;
    queries_ = input.integer(1, 12);
  }

  void check() {
    if (!succeeds([&] { embedding_.emplace(frequencies_, layout_, cached_); })) return;
    check_plain();
    if (with_xpos_) check_xpos();
  }

 private:
  void check_plain() {
    const double forward = frequencies_.magnitude * scale_;
    factor_ = direction_ == Direction::inverse ? 1 / forward : forward;
    valid_ = kernels::is_magnitude<T>(factor_) &&
             (direction_ != Direction::inverse || (std::isfinite(forward) && forward != 0));
    if (valid_) {
      const auto at = [&](Index b, Index n) { return places_[token(b, n)]; };
      q_wanted_ = rotated(elements(*q_), heads_, seq_, {.factor = factor_}, at);
      k_wanted_ = rotated(elements(*k_), 1, seq_, {.factor = factor_}, at);
    }
    with_every_instruction_set([&] {
      // A new one each time, since an embedding keeps the rows it has made.
      embedding_.emplace(frequencies_, layout_, cached_);
      check_all_ways();
    });
  }

  std::vector<Index> shape(Index heads) const {
    return seq_axis_ == 2 ? std::vector<Index>{batch_, heads, seq_, features_}
                          : std::vector<Index>{batch_, seq_, heads, features_};
  }

  std::size_t token(Index b, Index n) const { return static_cast<std::size_t>(b * seq_ + n); }

  void choose_positions(FuzzedInput& input) {
    const auto next = [](FixedPosition p) { return p + FixedPosition(1); };
    const int how = input.byte() % 4;
    shared_ = input.flag();
    places_.resize(static_cast<std::size_t>(batch_ * seq_));
    consecutive_ = how < 2;
    if (axes_ > 1 && how == 3 && seq_ % 2 == 0) {  // a grid, its last axis of two columns
      grid_ = shared_ = true;
      consecutive_ = false;
      for (auto& axis : lists_) axis.clear();
      for (Index row = 0; row < seq_ / 2; ++row) lists_[0].push_back(input.position());
      lists_[1] = {input.position(), input.position()};
      for (int axis = 2; axis < axes_; ++axis) lists_[std::size_t(axis)] = {input.position()};
    }
    for (Index b = 0; b < batch_; ++b) {
      for (Index n = 0; n < seq_; ++n) {
        for (int axis = 0; axis < axes_; ++axis) {
          FixedPosition& at = places_[token(b, n)][std::size_t(axis)];
          if (shared_ && b > 0) {
            at = places_[token(0, n)][std::size_t(axis)];
          } else if (grid_) {
            const auto& list = lists_[std::size_t(axis)];
            at = list[std::size_t(axis == 0 ? n / 2 : axis == 1 ? n % 2 : 0)];
          } else if (consecutive_ && n > 0) {
            at = next(places_[token(b, n - 1)][std::size_t(axis)]);
          } else if (axis > 0 && how == 1) {
            at = places_[token(b, n)][0];  // alike on every axis, as those of text
          } else {
            at = input.position();
          }
        }
      }
    }
  }

  /// The elements of a tensor in row-major order.
  static std::vector<X> elements(const FuzzedTensor<X>& x) {
    std::vector<X> all;
    for (Index n = 0; n < x.size(); ++n) all.push_back(x[n]);
    return all;
  }

  /// Elements in row-major order, rotated by the reference: `seq` tokens of `heads` heads, the token n of a sequence b at
  /// the coordinates at(b, n).
  template <class At>
  std::vector<X> rotated(std::vector<X> x, Index heads, Index seq, const kernels::Magnitude& magnitude,
                         const At& at) const {
    const TurnSteps steps(frequencies_);
    std::vector<T> row(static_cast<std::size_t>(2 * pairs_));
    std::vector<X> window(row.size()), out(row.size());
    const bool forward = direction_ == Direction::forward;
    kernels::JobShape job;
    job.in_pairing = forward ? layout_.pairing : layout_.written_pairing();
    job.out_pairing = forward ? layout_.written_pairing() : layout_.pairing;
    job.row_pairing = layout_.pairing;
    job.negate_sin = !forward;
    job.pairs = pairs_;
    for (Index b = 0; b < batch_; ++b) {
      for (Index n = 0; n < seq; ++n) {
        const Place place = at(b, n);
        kernels::cos_sin_row_reference<T>(steps, {place.data(), std::size_t(axes_)}, magnitude,
                                          layout_.pairing, row.data());
        for (Index h = 0; h < heads; ++h) {
          const Index head = seq_axis_ == 2 ? (b * heads + h) * seq + n : (b * seq + n) * heads + h;
          X* const features = x.data() + head * features_ + start_;
          std::copy_n(features, window.size(), window.data());
          kernels::rotate_pairs_reference(job, 0, pairs_, window.data(), out.data(), row.data());
          std::copy_n(out.data(), out.size(), features);
        }
      }
    }
    return x;
  }

  /// Has every element the bits that are wanted? A NaN among rotated features may be any NaN.
  template <class Elements>
  void require_bits(const Elements& found, const std::vector<X>& wanted, const char* what) const {
    for (Index n = 0; n < static_cast<Index>(wanted.size()); ++n) {
      const X& right = wanted[static_cast<std::size_t>(n)];
      const bool outside = n % features_ < start_ || n % features_ >= start_ + 2 * pairs_;
      require(std::memcmp(&found[n], &right, sizeof right) == 0 ||
                  (!outside && is_nan(found[n]) && is_nan(right)),
              what);
    }
  }

  /// call(q, k, q_out, k_out) on fresh tensors; it rotates in place or into the others as the problem says.
  template <class Call>
  void expect(const char* what, bool keys, bool into, const Call& call) {
    const auto q_before = q_->snapshot(), k_before = k_->snapshot();
    const auto q_out_before = q_out_->snapshot(), k_out_before = k_out_->snapshot();
    const bool done = succeeds([&] { call(q_->view(), k_->view(), q_out_->view(), k_out_->view()); });
    require(done == valid_, what);
    auto& of_queries = into ? q_out_ : q_;
    auto& of_keys = into ? k_out_ : k_;
    if (done) {
      require_bits(*of_queries, q_wanted_, what);
      if (keys) require_bits(*of_keys, k_wanted_, what);
    }
    const Index from = into ? 0 : start_, width = !done ? 0 : into ? features_ : 2 * pairs_;
    require(of_queries->is_as_outside(into ? q_out_before : q_before, from, width),
            "nothing is written but the rotated features of queries");
    require(of_keys->is_as_outside(into ? k_out_before : k_before, from, keys ? width : 0),
            "nothing is written but the rotated features of keys");
    if (into) require(q_->is_as(q_before) && k_->is_as(k_before), "tensors that are read stay as they are");
    q_->set(q_before), k_->set(k_before), q_out_->set(q_out_before), k_out_->set(k_out_before);
  }

  /// The call that the problem is about, at positions of any type.
  template <class At>
  void expect_at(const char* what, const At& at) {
    const RotaryEmbedding<T>& of = *embedding_;
    const RotateOptions options{.scale = scale_, .direction = direction_};
    expect(what, with_keys_, out_of_place_,
           [&](const auto& q, const auto& k, const auto& q_out, const auto& k_out) {
             if (with_keys_ && out_of_place_) {
               of.rotate_queries_and_keys_into(q, k, q_out, k_out, at, options);
             } else if (with_keys_) {
               of.rotate_in_place(q, k, at, options);
             } else if (out_of_place_) {
               of.rotate_into(q, q_out, at, options);
             } else {
               of.rotate_in_place(q, at, options);
             }
           });
  }
  void expect_positions(const char* what, const Positions& at) {
    expect_at(what, at);
    const RotateOptions options{.scale = scale_, .direction = direction_};
    expect("positions, with threads", false, false,
           [&](const auto& q, const auto&, const auto&, const auto&) {
             embedding_->rotate_in_place(q, at, options, ThreeParts());
           });
  }
  void expect_table(const char* what, const Positions& at) {
    // A table has the embedding's magnitude, and no inverse.
    if (!detail::same_bits(scale_, 1.0) || direction_ == Direction::inverse) return;
    expect(what, false, out_of_place_, [&](const auto& q, const auto&, const auto& q_out, const auto&) {
      const CosSinTable<T> table = embedding_->table(at);
      if (out_of_place_) {
        apply_rotary_emb_into(table, q, q_out, direction_);
      } else {
        apply_rotary_emb_in_place(table, q, direction_, ThreeParts());
      }
    });
  }

  std::vector<FixedPosition> coordinates(int axis, Index sequences) const {
    std::vector<FixedPosition> all;
    for (Index n = 0; n < sequences * seq_; ++n)
      all.push_back(places_[static_cast<std::size_t>(n)][static_cast<std::size_t>(axis)]);
    return all;
  }

  void check_all_ways() {
    token_by_token();
    if (axes_ > 1) {
      several_coordinates();
      if (!are_those_of_text()) return;
    }
    if (shared_ && consecutive_) from_the_first();
    lists<std::int32_t>();
    lists<std::uint32_t>();
    lists<std::int64_t>();
    lists<std::uint64_t>();
    lists<float>();
    lists<double>();
  }

  /// Are all coordinates of a token the same, so that one stands for all? At whole positions its row has the same bits.
  bool are_those_of_text() const {
    for (const Place& place : places_)
      for (int axis = 0; axis < axes_; ++axis)
        if (place[static_cast<std::size_t>(axis)] != place[0] || !place[0].is_whole()) return false;
    return true;
  }

  void token_by_token() {
    const RotateOptions options{.scale = scale_, .direction = direction_};
    expect("a call for each token", with_keys_, out_of_place_,
           [&](const auto& q, const auto& k, const auto& q_out, const auto& k_out) {
             for (Index b = 0; b < batch_; ++b) {
               for (Index n = 0; n < seq_; ++n) {
                 const auto token_of = [&](const auto& x) { return x.slice(0, b, 1).slice(seq_axis_, n, 1); };
                 // [1, heads, features]: the axis of one token is left out.
                 const auto heads_of = [&](const auto& x) {
                   auto heads = token_of(x);
                   for (int axis = seq_axis_; axis < 3; ++axis) {
                     heads.extents[std::size_t(axis)] = heads.extents[std::size_t(axis + 1)];
                     heads.strides[std::size_t(axis)] = heads.strides[std::size_t(axis + 1)];
                   }
                   heads.rank = 3;
                   return heads;
                 };
                 std::array<AxisPositions, kMaxPositionAxes> axes;
                 for (std::size_t axis = 0; axis < axes.size(); ++axis)
                   axes[axis] = AxisPositions::consecutive(1, places_[token(b, n)][axis]);
                 const Positions at = Positions::together({axes.data(), std::size_t(axes_)});
                 if (with_keys_ && out_of_place_) {
                   embedding_->rotate_queries_and_keys_into(token_of(q), token_of(k), token_of(q_out),
                                                            token_of(k_out), at, options);
                 } else if (with_keys_) {
                   embedding_->rotate_token_in_place(heads_of(q), heads_of(k), at, options);
                 } else if (out_of_place_) {
                   embedding_->rotate_token_into(heads_of(q), heads_of(q_out), at, options);
                 } else if (axes_ == 1 && at.at(0).is_whole()) {
                   embedding_->rotate_token_in_place(heads_of(q), at.at(0).whole, options);
                 } else {
                   embedding_->rotate_token_in_place(heads_of(q), at, options);
                 }
               }
             }
           });
    if (seq_ == 1 && !shared_ && axes_ == 1) {
      const auto list = as_list<double>(coordinates(0, batch_));
      if (!list || with_keys_ || out_of_place_) return;
      expect("one token of every sequence", false, false,
             [&](const auto& q, const auto&, const auto&, const auto&) {
               auto heads = q;
               for (int axis = seq_axis_; axis < 3; ++axis) {
                 heads.extents[std::size_t(axis)] = heads.extents[std::size_t(axis + 1)];
                 heads.strides[std::size_t(axis)] = heads.strides[std::size_t(axis + 1)];
               }
               heads.rank = 3;
               embedding_->rotate_token_in_place(heads, Positions::per_sequence(*list), options);
             });
    }
  }

  void several_coordinates() {
    const Index sequences = shared_ ? 1 : batch_;
    std::array<std::vector<double>, kMaxPositionAxes> lists;
    std::array<AxisPositions, kMaxPositionAxes> axes;
    bool all_whole = true;
    for (int axis = 0; axis < axes_; ++axis) {
      const auto at = static_cast<std::size_t>(axis);
      const std::vector<FixedPosition> of = coordinates(axis, sequences);
      for (const FixedPosition& position : of) all_whole = all_whole && position.is_whole();
      const auto list = as_list<double>(of);
      if (!list) return;
      lists[at] = *list;
      axes[at] = AxisPositions::listed(std::span<const double>(lists[at].data(), lists[at].size()));
    }
    const Positions together = Positions::together({axes.data(), static_cast<std::size_t>(axes_)});
    expect_positions("coordinates", shared_ ? together : together.in_batches(batch_));
    expect_table("a table of coordinates", shared_ ? together : together.in_batches(batch_));
    if (shared_ && all_whole && axes_ == 3) {
      TokenPositions tokens(axes_);
      for (Index n = 0; n < seq_; ++n) {
        const Place& at = places_[token(0, n)];
        tokens.append({at[0].whole, at[1].whole, at[2].whole});
      }
      expect_at("TokenPositions", tokens);
    }
    if (!grid_) return;
    std::array<std::vector<double>, kMaxPositionAxes> sides;
    for (int axis = 0; axis < axes_; ++axis) {
      const auto at = static_cast<std::size_t>(axis);
      sides[at] = *as_list<double>(lists_[at]);
      axes[at] = AxisPositions::listed(std::span<const double>(sides[at].data(), sides[at].size()));
    }
    const Positions grid = Positions::grid({axes.data(), static_cast<std::size_t>(axes_)});
    expect_positions("a grid", grid.as_list());
    expect_positions("a grid as it is", grid);
  }

  void from_the_first() {
    const FixedPosition first = places_[0][0];
    RotateOptions options{.offset = first, .scale = scale_, .direction = direction_};
    expect("an offset", with_keys_, out_of_place_,
           [&](const auto& q, const auto& k, const auto& q_out, const auto& k_out) {
             if (with_keys_ && out_of_place_) {
               embedding_->rotate_queries_and_keys_into(q, k, q_out, k_out, options);
             } else if (with_keys_) {
               embedding_->rotate_in_place(q, k, options);
             } else if (out_of_place_) {
               embedding_->rotate_into(q, q_out, options);
             } else {
               embedding_->rotate_in_place(q, options);
             }
           });
    expect("an offset, with threads", false, false,
           [&](const auto& q, const auto&, const auto&, const auto&) {
             embedding_->rotate_in_place(q, options, ThreeParts());
           });
    expect_at("a position", first);
    if (first.is_whole()) expect_at("a whole number", first.whole);
    if (const auto list = as_list<double>({&first, 1})) expect_at("a double", list->front());
    expect_positions("from", Positions::from(first));
    expect_positions("consecutive", Positions::consecutive(seq_, first));
    expect_table("a table of consecutive positions", Positions::consecutive(seq_, first));
  }

  /// Lists of numbers of the type P, where positions are such.
  template <class P>
  void lists() {
    const auto list = as_list<P>(coordinates(0, shared_ ? 1 : batch_));
    if (!list) return;
    if (consecutive_) {
      std::vector<P> starts;
      for (Index b = 0; b < batch_; ++b)
        starts.push_back((*list)[static_cast<std::size_t>(shared_ ? 0 : b * seq_)]);
      expect_positions("a start for every sequence", Positions::per_sequence(starts));
    }
    if (!shared_) {
      expect_positions("a list in batches", Positions::listed(*list).in_batches(batch_));
      expect_table("a table of batches", Positions::listed(*list).in_batches(batch_));
      std::vector<P> by_token;
      for (Index n = 0; n < seq_; ++n)
        for (Index b = 0; b < batch_; ++b) by_token.push_back((*list)[token(b, n)]);
      expect_positions("a list [seq, batch]", Positions::listed(by_token).in_batches_along_last(batch_));
      if constexpr (std::is_integral_v<P>)
        expect_at("a view [batch, seq]", StridedView<const P>(list->data(), {batch_, seq_}));
      return;
    }
    expect_at("a list", *list);
    expect_positions("a list of positions", Positions::listed(*list));
    expect_table("a table of a list", Positions::listed(*list));
    std::vector<P> moved, spaced;
    for (const P& position : *list) {
      spaced.push_back(position);
      spaced.push_back(P{});
      if (position > P(-1000) && position < P(1000)) moved.push_back(static_cast<P>(position + P(7)));
    }
    if (moved.size() == list->size() && std::is_signed_v<P>)
      expect_positions("a list that is moved", Positions::listed(moved, FixedPosition(-7)));
    expect_positions("a list with a stride",
                     AxisPositions::listed(std::span<const P>(spaced.data(), spaced.size()), {}, 2));
  }

  // ---- XPos

  /// The magnitude of the rows of XPos, whose centre is `centre`: the sign is 1 for queries, −1 for keys.
  kernels::Magnitude scales(double centre, int sign) const {
    using detail::rounded;
    const double slope = sign / rounded(scale_base_);
    if (direction_ == Direction::inverse)
      return {1 / frequencies_.magnitude, {log_zeta_.data(), log_zeta_.size()}, -slope, centre};
    return {frequencies_.magnitude, {log_zeta_.data(), log_zeta_.size()}, slope, centre};
  }

  /// How far the logarithms of the scales at a position are from 0; only how far above, where scales may vanish.
  double log_scale(const kernels::Magnitude& scales, const FixedPosition& position) const {
    double worst = 0;
    for (const double& log_zeta : log_zeta_) {
      const double log_of = log_zeta * scales.exponent(static_cast<double>(position));
      if (!detail::finite_bits(log_of)) return HUGE_VAL;
      worst = std::max(
          worst, centre_on_last_query_ && direction_ != Direction::inverse ? log_of : std::fabs(log_of));
    }
    return worst;
  }

  /// Does a call take scales whose logarithms are at most `worst` from 0? Empty close to the limit.
  std::optional<bool> takes_scales(double worst) const {
    const double limit = std::log(std::min(static_cast<double>(std::numeric_limits<T>::max()),
                                           static_cast<double>(std::numeric_limits<X>::max()))) -
                         1;
    if (std::fabs(worst - limit) < 0.01) return {};
    return worst < limit && !(centre_ && (centre_on_last_query_ || !detail::finite_bits(*centre_))) &&
           (direction_ != Direction::inverse || !detail::is_equal(frequencies_.magnitude, 0.0));
  }

  void check_xpos() {
    std::optional<XPos<T>> xpos;
    if (!succeeds([&] { xpos.emplace(frequencies_, layout_, XPosOptions{scale_base_}); })) return;
    log_zeta_.clear();
    for (const double& zeta : xpos->scale()) log_zeta_.push_back(std::log(zeta));
    check_xpos_together(*xpos);
    check_xpos_with_cached_keys(*xpos);
  }

  /// Queries and keys of the same positions, in every way of naming these.
  void check_xpos_together(const XPos<T>& xpos) {
    FixedPosition last = places_[0][0];
    for (const Place& place : places_)
      if (std::pair(place[0].whole, place[0].fraction) > std::pair(last.whole, last.fraction))
        last = place[0];
    const double centre = centre_on_last_query_
                              ? static_cast<double>(last)
                              : centre_.value_or(static_cast<double>(places_[0][0]) + double(seq_ / 2));
    const kernels::Magnitude of_queries = scales(centre, 1), of_keys = scales(centre, -1);
    double worst = 0;
    for (const Place& place : places_)
      worst = std::max({worst, log_scale(of_queries, place[0]), log_scale(of_keys, place[0])});
    const auto takes = takes_scales(worst);
    if (!takes) return;
    valid_ = *takes;
    if (valid_) {
      const auto at = [&](Index b, Index n) { return places_[token(b, n)]; };
      q_wanted_ = rotated(elements(*q_), heads_, seq_, of_queries, at);
      k_wanted_ = rotated(elements(*k_), 1, seq_, of_keys, at);
    }
    XPosRotateOptions options{
        .centre = centre_, .centre_on_last_query = centre_on_last_query_, .direction = direction_};
    with_every_instruction_set([&] {
      if (shared_ && consecutive_) {
        const auto expect_offset = [&](const char* what, const auto& device) {
          XPosRotateOptions from = options;
          from.offset = places_[0][0];
          expect(what, true, false, [&](const auto& q, const auto& k, const auto&, const auto&) {
            xpos.rotate_queries_and_keys_in_place(q, k, from, device);
          });
        };
        expect_offset("XPos from an offset", CallingThread());
        expect_offset("XPos from an offset, with threads", ThreeParts());
      }
      check_xpos_lists<std::int64_t>(xpos, options);
      check_xpos_lists<double>(xpos, options);
    });
  }

  /// Lists of numbers of the type P, where positions are such.
  template <class P>
  void check_xpos_lists(const XPos<T>& xpos, const XPosRotateOptions& options) {
    const auto list = as_list<P>(coordinates(0, shared_ ? 1 : batch_));
    if (!list) return;
    const auto expect_positions_of_xpos = [&](const char* what, const auto& at) {
      expect(what, true, false, [&](const auto& q, const auto& k, const auto&, const auto&) {
        xpos.rotate_queries_and_keys_in_place(q, k, at, options, ThreeParts());
      });
    };
    if (shared_) {
      expect_positions_of_xpos("XPos at a list", *list);
    } else {
      expect_positions_of_xpos("XPos at a list in batches", Positions::listed(*list).in_batches(batch_));
    }
    if (!consecutive_) return;
    std::vector<P> starts;
    for (Index b = 0; b < batch_; ++b)
      starts.push_back((*list)[static_cast<std::size_t>(shared_ ? 0 : b * seq_)]);
    expect_positions_of_xpos("XPos at a start for every sequence", Positions::per_sequence(starts));
  }

  /// The last tokens as queries, all as keys: keys from position 0 on, queries moved by an offset.
  void check_xpos_with_cached_keys(const XPos<T>& xpos) {
    const Index q_len = std::min(queries_, seq_);
    const FixedPosition offset = places_[0][0];
    double of_keys = centre_.value_or(static_cast<double>(seq_ / 2));
    double of_queries = of_keys + static_cast<double>(offset);
    if (centre_on_last_query_) of_queries = of_keys = static_cast<double>(offset + FixedPosition(seq_ - 1));
    const auto key_at = [](Index, Index n) { return Place{FixedPosition(n)}; };
    const auto query_at = [&](Index, Index n) { return Place{offset + FixedPosition(seq_ - q_len + n)}; };
    const kernels::Magnitude q_scales = scales(of_queries, 1), k_scales = scales(of_keys, -1);
    double worst = 0;
    for (Index n = 0; n < seq_; ++n) worst = std::max(worst, log_scale(k_scales, key_at(0, n)[0]));
    for (Index n = 0; n < q_len; ++n) worst = std::max(worst, log_scale(q_scales, query_at(0, n)[0]));
    const auto takes = takes_scales(worst);
    if (!takes) return;

    const auto copied = [&](const FuzzedTensor<X>& x, Index heads, Index seq) {
      Tensor<X, 4> copy(batch_, seq_axis_ == 2 ? heads : seq, seq_axis_ == 2 ? seq : heads, features_);
      for (Index n = 0; n < copy.size(); ++n) copy.data()[n] = x[n];
      return copy;
    };
    const auto elements_of = [](const Tensor<X, 4>& x) {
      return std::vector<X>(x.data(), x.data() + x.size());
    };
    const Tensor<X, 4> q = copied(*q_, heads_, q_len), k = copied(*k_, 1, seq_);
    const auto q_wanted = rotated(elements_of(q), heads_, q_len, q_scales, query_at);
    const auto k_wanted = rotated(elements_of(k), 1, seq_, k_scales, key_at);
    const XPosRotateOptions options{.offset = offset,
                                    .centre = centre_,
                                    .centre_on_last_query = centre_on_last_query_,
                                    .direction = direction_};
    with_every_instruction_set([&] {
      const bool done = succeeds([&] {
        const auto [q_found, k_found] = xpos.rotate_queries_with_cached_keys(q, k, options);
        require_bits(q_found.data(), q_wanted, "XPos, queries with cached keys");
        require_bits(k_found.data(), k_wanted, "XPos, cached keys");
      });
      require(done == *takes, "XPos takes cached keys where no scale overflows");
    });
  }

  Index pairs_, start_, features_, batch_, heads_, seq_;
  int axes_, seq_axis_;
  Index cached_;
  Direction direction_;
  bool out_of_place_, with_keys_;
  bool shared_ = true, consecutive_ = false, grid_ = false;
  HeadLayout layout_;
  Frequencies frequencies_;
  double scale_ = 1, factor_ = 1;
  bool valid_ = false;  // whether the magnitude is one that rows can have
  std::vector<Place> places_;
  std::array<std::vector<FixedPosition>, kMaxPositionAxes> lists_;
  std::optional<FuzzedTensor<X>> q_, k_, q_out_, k_out_;
  std::optional<RotaryEmbedding<T>> embedding_;
  // Of XPos.
  bool with_xpos_ = false, centre_on_last_query_ = false;
  double scale_base_ = 512;
  std::optional<double> centre_;
  Index queries_ = 1;
  std::vector<double> log_zeta_;
  std::vector<X> q_wanted_, k_wanted_;
};

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rotary::testing;
  return with_scalar(data, size,
                     [](auto scalar, FuzzedInput& input) { Problem<decltype(scalar)>(input).check(); });
}
