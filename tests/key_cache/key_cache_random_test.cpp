// After 10^5 random operations a key cache holds, bit for bit, the raw keys rotated once.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/key_cache.hpp>

#include "support/compiled_kernels.hpp"
#include "support/random_frequencies.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

using Kind = KeyRotation;
constexpr Kind kKinds[] = {Kind::plain, Kind::yarn, Kind::xpos, Kind::mrope};
constexpr const char* kNames[] = {"plain", "yarn", "xpos", "mrope"};

/// Of every run, one for each kind, pairing and scalar.
constexpr int kOperations = 3200;
static_assert(4 * 2 * 4 * kOperations >= 100000);

/// Farther out a scale of XPos does not fit into half; the others go as far as they like.
constexpr double kFarthestOfXPos = 1900;

/// A cache, and a model of it: raw keys and positions, rotated only when they are compared, by a table of all
/// positions or by XPos, one token at a time.
template <class X>
class CacheAndModel {
 public:
  CacheAndModel(Kind kind, Pairing pairing, Random& random)
      : kind_(kind),
        pairing_(pairing),
        random_(random),
        heads_(random.integer<Index>(1, 3)),
        pairs_(random.integer<Index>(3, 9)),
        start_(random.integer<Index>(0, 3)),
        head_dim_(start_ + 2 * pairs_ + random.integer<Index>(0, 3)),
        axes_(kind == Kind::mrope ? 3 : 1) {
    choose_frequencies();
    const KeyCacheOptions options{
        .heads = heads_, .head_dim = head_dim_, .capacity = random.integer<Index>(0, 5)};
    if (kind == Kind::xpos) {
      cache_.emplace(*xpos_, centre_, options);
    } else {
      cache_.emplace(frequencies_, layout(), options);
    }
  }

  /// One operation on both. Returns what it was.
  std::string step() {
    const int which = random_.integer(0, 16);
    if (size() > 30) {
      const Index count = random_.integer<Index>(0, 20);
      cache_->rewind(count);
      tokens_.resize(static_cast<std::size_t>(count));
      return "rewind";
    }
    switch (which) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const double next = next_position();
        if (!fits(next + 6)) return append_at(0);
        const StridedArray<X> keys = new_keys();
        for (Index n = 0; n < keys.extents()[1]; ++n) remember(keys, n, all_axes(next + double(n)));
        cache_->append(keys.view());
        return "append";
      }
      case 4:
      case 5:
        return append_at(random_position());
      case 6:
      case 7:
        return append_listed();
      case 8:
      case 9: {
        const auto [first, last] = range();
        const double delta = kind_ == Kind::xpos || random_.integer(0, 3) != 0
                                 ? random_.integer(-40, 40) / 4.0
                                 : random_position();
        if (!move(first, last, all_axes(delta))) return "a shift too far";
        cache_->shift(first, last, delta);
        return "shift";
      }
      case 10: {
        if (axes_ == 1) return "nothing";
        const auto [first, last] = range();
        const std::array<double, 3> deltas{double(random_.integer(-9, 9)), random_.integer(-9, 9) / 8.0, 0};
        move(first, last, deltas);
        cache_->shift(first, last, {deltas[0], deltas[1], deltas[2]});
        return "shift of axes";
      }
      case 11: {
        const auto [first, last] = range();
        cache_->erase(first, last);
        forget(first, last);
        return "erase";
      }
      case 12: {
        const auto [first, last] = range();
        if (last < size()) {
          std::array<double, 3> deltas{};
          for (std::size_t a = 0; a < 3; ++a) deltas[a] = token(first).at[a] - token(last).at[a];
          if (!move(last, size(), deltas)) return "a context shift too far";
        }
        cache_->shift_context(first, last);
        forget(first, last);
        return "shift_context";
      }
      case 13: {  // the fork goes on, and what it was forked from must stay as it is until it goes
        KeyCache<X> fork = *cache_;
        fork.rewind(fork.size() / 2);
        fork.append(new_keys().view(), 3);
        fork.shift(0, fork.size(), 1);
        const auto whole = check();
        EXPECT_TRUE(whole) << "of the origin of a fork";
        fork = *cache_;
        cache_.emplace(std::move(fork));
        return "fork";
      }
      case 14:
        choose_frequencies();
        cache_->change_frequencies(frequencies_);
        return "change_frequencies";
      case 15:
        if (kind_ != Kind::xpos) return "nothing";
        centre_ = random_.integer(-400, 400) / 4.0;
        cache_->change_centre(centre_);
        return "change_centre";
      default:
        return fail();
    }
  }

  ::testing::AssertionResult check() const {
    if (cache_->size() != size())
      return ::testing::AssertionFailure() << cache_->size() << " tokens, wanted " << size();
    for (Index n = 0; n < size(); ++n)
      for (Index axis = 0; axis < axes_; ++axis)
        if (static_cast<double>(cache_->position(n, axis)) != token(n).at[static_cast<std::size_t>(axis)])
          return ::testing::AssertionFailure() << "token " << n << " stands elsewhere";
    if (static_cast<double>(cache_->next_position()) != next_position())
      return ::testing::AssertionFailure() << "the next position is another";
    StridedArray<X> found({heads_, size(), head_dim_});
    const auto keys = cache_->keys();
    for (Index n = 0; n < found.size(); ++n)
      found[n] = keys.data[n / (size() * head_dim_) * keys.stride(0) +
                           n / head_dim_ % size() * keys.stride(1) + n % head_dim_ * keys.stride(2)];
    return same_bits(found, rotated_once());
  }

 private:
  using T = RowsFor<X>;
  struct Token {
    std::vector<X> raw;  // [heads, head_dim]
    std::array<double, 3> at;
  };

  Index size() const { return static_cast<Index>(tokens_.size()); }
  Token& token(Index n) { return tokens_[static_cast<std::size_t>(n)]; }
  const Token& token(Index n) const { return tokens_[static_cast<std::size_t>(n)]; }
  static std::array<double, 3> all_axes(double p) { return {p, p, p}; }
  bool fits(double position) const { return kind_ != Kind::xpos || std::fabs(position) < kFarthestOfXPos; }

  HeadLayout layout() const { return {.start_index = start_, .pairing = pairing_}; }

  void choose_frequencies() {
    frequencies_ = random_frequencies(random_, kind_, pairs_, axes_);
    if (kind_ != Kind::xpos) return;
    xpos_.emplace(frequencies_, layout());
    frequencies_ = xpos_->rotary().frequencies();
  }

  double next_position() const {
    if (tokens_.empty()) return 0;
    const auto& at = tokens_.back().at;
    return *std::max_element(at.begin(), at.begin() + axes_) + 1;
  }

  double random_position() {
    if (kind_ == Kind::xpos) return random_.integer(-2000, 2000) / 4.0;
    return random_.pick({0.0, 2.5, -5003.0, 131071.25, 1000003.0, 0x1p31 - 3, -0x1p31 - 2});
  }

  StridedArray<X> new_keys() {
    StridedArray<X> keys({heads_, random_.pick<Index>({0, 1, 1, 1, 2, 5}), head_dim_},
                         Layout::random(random_, 3));
    keys.fill(random_);
    return keys;
  }

  void remember(const StridedArray<X>& keys, Index n, const std::array<double, 3>& at) {
    Token token{{}, at};
    for (Index head = 0; head < heads_; ++head)
      for (Index i = 0; i < head_dim_; ++i)
        token.raw.push_back(keys[(head * keys.extents()[1] + n) * head_dim_ + i]);
    tokens_.push_back(std::move(token));
  }

  std::string append_at(double first) {
    const StridedArray<X> keys = new_keys();
    for (Index n = 0; n < keys.extents()[1]; ++n) remember(keys, n, all_axes(first + double(n)));
    cache_->append(keys.view(), first);
    return "append at a position";
  }

  std::string append_listed() {
    const StridedArray<X> keys = new_keys();
    std::array<std::vector<double>, 3> lists;
    for (Index n = 0; n < keys.extents()[1]; ++n) {
      std::array<double, 3> at{};
      const double near = random_position();
      for (std::size_t a = 0; a < 3; ++a) at[a] = near + random_.integer(0, 3), lists[a].push_back(at[a]);
      remember(keys, n, at);
    }
    cache_->append(keys.view(), listed(lists));
    return "append at listed positions";
  }

  Positions listed(const std::array<std::vector<double>, 3>& lists) const {
    std::vector<AxisPositions> along;
    for (std::size_t a = 0; a < static_cast<std::size_t>(axes_); ++a)
      along.push_back(AxisPositions::listed(std::span<const double>(lists[a])));
    return Positions::together(along);
  }

  std::pair<Index, Index> range() {
    const Index first = random_.integer<Index>(0, size());
    return {first, random_.integer<Index>(first, std::min(size(), first + random_.pick<Index>({1, 4, 30})))};
  }

  bool move(Index first, Index last, const std::array<double, 3>& deltas) {
    for (Index n = first; n < last; ++n)
      if (!fits(token(n).at[0] + deltas[0])) return false;
    for (Index n = first; n < last; ++n)
      for (std::size_t a = 0; a < 3; ++a) token(n).at[a] += deltas[a];
    return true;
  }

  void forget(Index first, Index last) { tokens_.erase(tokens_.begin() + first, tokens_.begin() + last); }

  /// One of the calls that must fail and change nothing.
  std::string fail() {
    const StridedArray<X> keys = new_keys();
    const Index n = keys.extents()[1];
    const std::vector<double> too_many(static_cast<std::size_t>(n + 1));
    EXPECT_THROW(cache_->append(keys.view(), Positions::listed(std::span<const double>(too_many))),
                 std::invalid_argument);
    EXPECT_THROW(cache_->append(keys.view().slice(2, 0, head_dim_ - 1)), std::invalid_argument);
    EXPECT_THROW(cache_->shift(0, size() + 1, 1), std::invalid_argument);
    EXPECT_THROW(cache_->shift(0, size(), {1, 2, 3, 4, 5}), std::invalid_argument);
    EXPECT_THROW(cache_->erase(-1, 0), std::invalid_argument);
    EXPECT_THROW(cache_->rewind(size() + 1), std::invalid_argument);
    EXPECT_THROW(cache_->change_frequencies(language_frequencies(2 * pairs_ + 2)), std::invalid_argument);
    EXPECT_THROW(cache_->change_centre(std::nan("")), std::invalid_argument);
    if (kind_ == Kind::xpos && size() > 0) {
      EXPECT_THROW(cache_->shift(0, size(), 1000000), std::invalid_argument);
      EXPECT_THROW(cache_->change_centre(1e6), std::invalid_argument);
    }
    return "calls that fail";
  }

  StridedArray<X> rotated_once() const {
    StridedArray<X> keys({heads_, size(), head_dim_});
    std::array<std::vector<double>, 3> lists;
    for (Index n = 0; n < size(); ++n) {
      for (Index head = 0; head < heads_; ++head)
        for (Index i = 0; i < head_dim_; ++i)
          keys[(head * size() + n) * head_dim_ + i] =
              token(n).raw[static_cast<std::size_t>(head * head_dim_ + i)];
      for (std::size_t a = 0; a < 3; ++a) lists[a].push_back(token(n).at[a]);
    }
    if (kind_ == Kind::xpos) {
      const auto window = keys.view().slice(2, start_, 2 * pairs_);
      const XPos<T> of_window(frequencies_, {.pairing = pairing_});
      StridedArray<X> no_queries({heads_, 1, 2 * pairs_});
      for (Index n = 0; n < size(); ++n)
        of_window.rotate_queries_and_keys_in_place(no_queries.view(), window.slice(1, n, 1),
                                                   {.offset = token(n).at[0], .centre = centre_});
    } else {
      const CosSinTable<T> table(frequencies_, listed(lists), layout());
      apply_rotary_emb_in_place(table, keys.view());
    }
    return keys;
  }

  Kind kind_;
  Pairing pairing_;
  Random& random_;
  Index heads_, pairs_, start_, head_dim_, axes_;
  Frequencies frequencies_;
  std::optional<XPos<T>> xpos_;
  double centre_ = 12.5;
  std::optional<KeyCache<X>> cache_;
  std::vector<Token> tokens_;
};

template <class X>
void run_kind(Kind kind) {
  SCOPED_TRACE(kNames[static_cast<int>(kind)]);
  for (const Pairing pairing : kPairings) {
    SCOPED_TRACE(name_of(pairing));
    Random random(401 + static_cast<std::uint64_t>(kind));
    SCOPED_TRACE(random.replay());
    for (int done = 0; done < kOperations;) {
      CacheAndModel<X> both(kind, pairing, random);
      for (const int end = done + 160; done < end; ++done) {
        const std::string operation = both.step();
        ASSERT_TRUE(both.check()) << "after operation " << done << ", " << operation;
      }
    }
  }
}

TEST(KeyCacheRandom, EqualsRotatingTheRawKeysOnce) {
  for_each_scalar([](auto scalar) {
    for (const Kind kind : kKinds) run_kind<decltype(scalar)>(kind);
  });
}

}  // namespace
}  // namespace rotary::testing
