// A libFuzzer target: whatever is done to a key cache, it holds what one rotation of its raw keys gives, bit for bit; and
// an operation that throws has changed nothing. See tests/fuzz/README.md for how to run it.
#include <array>
#include <optional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/key_cache.hpp>

#include "../support/compiled_kernels.hpp"
#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

using Place = std::array<FixedPosition, kMaxPositionAxes>;

/// All that a cache tells of itself.
template <class X>
struct State {
  Index size, capacity;
  std::vector<FixedPosition> positions;
  std::vector<unsigned char> keys;

  explicit State(const KeyCache<X>& cache) : size(cache.size()), capacity(cache.capacity()) {
    for (Index n = 0; n < size; ++n)
      for (Index axis = 0; axis < cache.axes(); ++axis) positions.push_back(cache.position(n, axis));
    positions.push_back(cache.next_position());
    const StridedView<const X> view = cache.keys();
    for (Index head = 0; head < cache.heads(); ++head) {
      const auto* const first = reinterpret_cast<const unsigned char*>(view.data + head * view.stride(0));
      keys.insert(keys.end(), first, first + size * cache.head_dim() * Index{sizeof(X)});
    }
  }
  friend bool operator==(const State&, const State&) = default;
};

/// A cache and a list of what it should hold.
template <class X>
class CacheAndModel {
  using T = detail::Arithmetic<X, float>;

 public:
  explicit CacheAndModel(FuzzedInput& input)
      : input_(input),
        is_xpos_(input.byte() % 4 == 3),
        axes_(is_xpos_ || input.flag() ? 1 : input.integer(1, 4)),
        pairs_(input.integer(0, 9)),
        heads_(input.integer(1, 3)) {
    layout_.start_index = input.flag() ? 0 : input.integer(0, 3);
    layout_.pairing = input.enumerator<Pairing>(2);
    if (input.flag()) layout_.output_pairing = input.enumerator<Pairing>(2);
    layout_.seq_dim = input.rarely() ? input.size(-6, 3) : input.pick<Index>({-2, -3});
    head_dim_ = layout_.start_index + 2 * pairs_ + input.integer(0, 3);
  }

  void run() {
    KeyCacheOptions options{.heads = heads_, .head_dim = head_dim_};
    if (input_.rarely()) options.heads = input_.size(0, 4);
    if (input_.rarely()) options.head_dim = input_.size(0, 30);
    options.capacity = input_.size(0, 9);
    // Of room for a few huge tokens there is no memory, and who asks for it learns that by std::bad_alloc.
    if (options.capacity < 99 && (options.heads > 99 || options.head_dim > 99)) options.capacity = 0;
    options.grows = input_.flag() || input_.flag();
    frequencies_ = new_frequencies();
    const bool made = succeeds([&] {
      if (is_xpos_) {
        centre_ = input_.rarely() ? input_.real() : input_.any<std::int8_t>();
        xpos_.emplace(frequencies_, layout_);
        cache_.emplace(*xpos_, centre_, options);
      } else {
        cache_.emplace(frequencies_, layout_, options);
      }
    });
    if (!made) return;
    heads_ = options.heads, head_dim_ = options.head_dim;
    if (heads_ * head_dim_ > 4096) return;  // of huge heads there is nothing to append but nothing
    for (int n = 0; n < 40 && !input_.empty(); ++n) {
      step();
      if (cache_->size() > 48) {
        cache_->rewind(7);
        tokens_.resize(7);
      }
    }
    check();
  }

 private:
  struct Token {
    std::vector<X> raw;  // [heads, head_dim]
    Place at;
  };

  Index size() const { return static_cast<Index>(tokens_.size()); }

  Frequencies new_frequencies() {
    Frequencies frequencies;
    for (Index n = 0; n < axes_ * pairs_; ++n)
      frequencies.values.push_back(input_.rarely() ? input_.real() : std::pow(10000.0, -double(n) / 16));
    frequencies.axes = axes_;
    if (input_.flag()) frequencies.magnitude = input_.rarely() ? input_.real() : input_.moderate();
    return frequencies;
  }

  /// Keys [heads, n, head_dim], or [n, heads, head_dim] as the layout says, rarely of another shape.
  FuzzedTensor<X> new_keys(Index count) {
    std::vector<Index> shape{heads_, count, head_dim_};
    if (layout_.seq_dim == -3) std::swap(shape[0], shape[1]);
    if (heads_ == 1 && input_.flag()) shape = {count, head_dim_};
    if (input_.rarely()) shape[static_cast<std::size_t>(input_.byte()) % shape.size()] = input_.integer(0, 9);
    return FuzzedTensor<X>(input_, shape, FuzzedTensor<X>::Lying::any);
  }

  /// How many tokens keys have, if they have any shape that a cache takes.
  Index count_of(const FuzzedTensor<X>& keys) const {
    const std::vector<Index>& shape = keys.extents();
    return shape.size() == 3 && layout_.seq_dim == -2 ? shape[1] : shape[0];
  }

  void remember(const FuzzedTensor<X>& keys, const std::vector<Place>& places) {
    const Index count = count_of(keys);
    require(static_cast<Index>(places.size()) == count, "there is a position for every key");
    for (Index n = 0; n < count; ++n) {
      Token token{{}, places[static_cast<std::size_t>(n)]};
      for (Index head = 0; head < heads_; ++head) {
        const bool tokens_first = layout_.seq_dim == -3 && keys.extents().size() == 3;
        const Index row = tokens_first ? n * heads_ + head : head * count + n;
        for (Index i = 0; i < head_dim_; ++i) token.raw.push_back(keys[row * head_dim_ + i]);
      }
      tokens_.push_back(std::move(token));
    }
  }

  static Place all_axes(const FixedPosition& p) { return {p, p, p, p}; }

  FixedPosition near_or_far() {
    if (!is_xpos_ || input_.rarely()) return input_.position();
    return input_.any<std::int16_t>() / 64.0;
  }

  FixedPosition next_position() const {
    if (tokens_.empty()) return 0;
    const auto less = [](const FixedPosition& a, const FixedPosition& b) {
      return a.whole != b.whole ? a.whole < b.whole : a.fraction < b.fraction;
    };
    const Place& last = tokens_.back().at;
    return *std::max_element(last.begin(), last.begin() + axes_, less) + FixedPosition(1);
  }

  std::pair<Index, Index> range() {
    if (input_.rarely()) return {input_.size(-1, 9), input_.size(-1, 9)};
    const Index first = input_.integer(0, size());
    return {first, input_.integer(first, size())};
  }

  void move(Index first, Index last, const Place& deltas) {
    for (Index n = first; n < last; ++n)
      for (std::size_t axis = 0; axis < deltas.size(); ++axis) {
        FixedPosition& at = tokens_[static_cast<std::size_t>(n)].at[axis];
        at = at + deltas[axis];
      }
  }

  /// One operation on both; or on none, if it throws.
  void step() {
    const State<X> before(*cache_);
    const auto attempt = [&](const auto& operation) {
      if (succeeds(operation)) return true;
      require(State<X>(*cache_) == before, "an operation that throws has changed nothing");
      return false;
    };
    switch (input_.byte() % 12) {
      case 0:
      case 1: {
        const auto keys = new_keys(input_.pick<Index>({1, 1, 0, 2, 3, 5}));
        const FixedPosition first = next_position();
        if (attempt([&] { cache_->append(keys.view()); })) remember(keys, run_of(first, count_of(keys)));
        break;
      }
      case 2: {
        const auto keys = new_keys(input_.integer(0, 5));
        const FixedPosition first = near_or_far();
        if (attempt([&] { cache_->append(keys.view(), first); }))
          remember(keys, run_of(first, count_of(keys)));
        break;
      }
      case 3:
      case 4: {
        const Index count = input_.integer(0, 5);
        const auto keys = new_keys(count);
        std::vector<Place> places(static_cast<std::size_t>(count));
        std::array<std::vector<double>, kMaxPositionAxes> lists;
        for (Place& place : places) {
          for (int axis = 0; axis < axes_; ++axis) {
            double number = static_cast<double>(near_or_far());
            if (!(std::fabs(number) < 0x1p61)) number = 0;
            if (input_.rarely()) number = input_.real();
            lists[static_cast<std::size_t>(axis)].push_back(number);
            if (std::fabs(number) < 0x1p62) place[static_cast<std::size_t>(axis)] = number;
          }
        }
        if (input_.rarely()) lists[0].push_back(1), places.push_back({1});
        const bool done = attempt([&] {
          std::array<AxisPositions, kMaxPositionAxes> axes;
          for (std::size_t axis = 0; axis < axes.size(); ++axis)
            axes[axis] =
                AxisPositions::listed(std::span<const double>(lists[axis].data(), lists[axis].size()));
          cache_->append(keys.view(), Positions::together({axes.data(), static_cast<std::size_t>(axes_)}));
        });
        if (done) remember(keys, places);
        break;
      }
      case 5: {
        const auto [first, last] = range();
        const FixedPosition delta = near_or_far();
        if (attempt([&, from = first, to = last] { cache_->shift(from, to, delta); }))
          move(first, last, all_axes(delta));
        break;
      }
      case 6: {
        const auto [first, last] = range();
        const Place deltas{near_or_far(), near_or_far(), near_or_far(), near_or_far()};
        const auto shift = [&, from = first, to = last] {
          if (axes_ == 1) return cache_->shift(from, to, {deltas[0]});
          if (axes_ == 2) return cache_->shift(from, to, {deltas[0], deltas[1]});
          if (axes_ == 3) return cache_->shift(from, to, {deltas[0], deltas[1], deltas[2]});
          cache_->shift(from, to, {deltas[0], deltas[1], deltas[2], deltas[3]});
        };
        if (attempt(shift)) move(first, last, deltas);
        break;
      }
      case 7: {
        const auto [first, last] = range();
        if (attempt([&, from = first, to = last] { cache_->erase(from, to); }))
          tokens_.erase(tokens_.begin() + first, tokens_.begin() + last);
        break;
      }
      case 8: {
        const auto [first, last] = range();
        if (!attempt([&, from = first, to = last] { cache_->shift_context(from, to); })) break;
        if (first < last && last < size()) {
          Place deltas;
          for (std::size_t axis = 0; axis < deltas.size(); ++axis)
            deltas[axis] = tokens_[static_cast<std::size_t>(first)].at[axis] +
                           -tokens_[static_cast<std::size_t>(last)].at[axis];
          move(last, size(), deltas);
        }
        tokens_.erase(tokens_.begin() + first, tokens_.begin() + last);
        break;
      }
      case 9: {
        const Index count = input_.rarely() ? input_.size(-1, 9) : input_.integer(0, size());
        if (attempt([&] { cache_->rewind(count); })) tokens_.resize(static_cast<std::size_t>(count));
        break;
      }
      case 10: {
        const Index axes = axes_, pairs = pairs_;
        if (input_.rarely()) axes_ = input_.integer(1, 4);
        if (input_.rarely()) pairs_ = input_.integer(0, 9);
        Frequencies changed = new_frequencies();
        axes_ = axes, pairs_ = pairs;
        if (attempt([&] { cache_->change_frequencies(changed); })) frequencies_ = changed;
        break;
      }
      default: {
        if (input_.flag()) {  // a fork goes on, and what it was made from stays as it is
          KeyCache<X> fork = *cache_;
          require(State<X>(fork) == before, "a copy equals what it was made from");
          const auto keys = new_keys(2);
          succeeds([&] { fork.append(keys.view(), near_or_far()); });
          succeeds([&] { fork.shift(0, fork.size(), 1); });
          require(State<X>(*cache_) == before, "a fork changes nothing where it came from");
          break;
        }
        const double centre = input_.rarely() ? input_.real() : input_.any<std::int16_t>() / 16.0;
        if (attempt([&] { cache_->change_centre(centre); })) centre_ = centre;
      }
    }
    if (input_.byte() % 4 == 1) check();
  }

  std::vector<Place> run_of(FixedPosition first, Index count) const {
    std::vector<Place> places;
    for (Index n = 0; n < count; ++n) places.push_back(all_axes(first + FixedPosition(n)));
    return places;
  }

  /// Are the keys what rotating the raw ones gives, token by token?
  void check() const {
    require(cache_->size() == size(), "a cache has as many tokens as were appended and not dropped");
    require(cache_->next_position() == next_position(), "the next position follows the last");
    const StridedView<const X> keys = cache_->keys();
    HeadLayout layout = layout_;
    layout.seq_dim = -2;
    std::optional<XPos<T>> xpos;
    std::optional<RotaryEmbedding<T>> plain;
    if (is_xpos_) {
      xpos.emplace(frequencies_, layout);
    } else {
      plain.emplace(frequencies_, layout, 0);
    }
    std::vector<X> rotated(static_cast<std::size_t>(heads_ * head_dim_)), none;
    for (Index n = 0; n < size(); ++n) {
      const Token& token = tokens_[static_cast<std::size_t>(n)];
      for (Index axis = 0; axis < axes_; ++axis)
        require(cache_->position(n, axis) == token.at[static_cast<std::size_t>(axis)],
                "tokens are where they were put");
      std::copy(token.raw.begin(), token.raw.end(), rotated.begin());
      const StridedView<X> view(rotated.data(), {heads_, 1, head_dim_});
      if (xpos) {
        none = rotated;
        const StridedView<X> queries(none.data(), {heads_, 1, head_dim_});
        const bool done = succeeds([&] {
          xpos->rotate_queries_and_keys_in_place(queries, view, {.offset = token.at[0], .centre = centre_});
        });
        if (!done) continue;  // a position that a cache takes, but not both queries and keys
      } else {
        std::array<AxisPositions, kMaxPositionAxes> axes;
        for (std::size_t axis = 0; axis < axes.size(); ++axis)
          axes[axis] = AxisPositions::consecutive(1, token.at[axis]);
        plain->rotate_in_place(view, Positions::together({axes.data(), static_cast<std::size_t>(axes_)}));
      }
      for (Index head = 0; head < heads_; ++head) {
        const X* const found = keys.data + head * keys.stride(0) + n * keys.stride(1);
        const X* const wanted = rotated.data() + head * head_dim_;
        for (Index i = 0; i < head_dim_; ++i)
          require(
              std::memcmp(found + i, wanted + i, sizeof(X)) == 0 ||
                  (std::isnan(static_cast<double>(found[i])) && std::isnan(static_cast<double>(wanted[i]))),
              "the keys are the raw ones, rotated once");
      }
    }
  }

  FuzzedInput& input_;
  bool is_xpos_;
  Index axes_, pairs_, heads_, head_dim_ = 0;
  HeadLayout layout_;
  Frequencies frequencies_;
  double centre_ = 0;
  std::optional<XPos<T>> xpos_;
  std::optional<KeyCache<X>> cache_;
  std::vector<Token> tokens_;
};

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rotary::testing;
  return with_scalar(data, size,
                     [](auto scalar, FuzzedInput& input) { CacheAndModel<decltype(scalar)>(input).run(); });
}
