// After 10^5 random operations a key/value cache holds what a plain list of raw keys, values and positions says: bit for bit
// with raw keys, and else within the error bound. No operation on a sequence changes another one.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>
#include <rotary/apply_rotary_emb.hpp>
#include <rotary/key_cache/key_value_cache.hpp>

#include "support/compiled_kernels.hpp"
#include "support/errors.hpp"
#include "support/random_frequencies.hpp"
#include "support/stored_tokens.hpp"

namespace rotary::testing {
namespace {

using Kind = KeyRotation;

/// Of every run, one for each pairing, with and without raw keys, and each way of storing: 7 of them.
constexpr int kOperations = 3600;
static_assert(2 * 2 * 7 * kOperations >= 100000);

using Point = std::array<double, 3>;

/// A cache, and a model of it: raw keys, values and positions of every token. What the cache should hold is computed when a
/// token is written or moved, by a table of one row or by XPos.
template <class X, class Stored>
class CacheAndModel {
  using T = RowsFor<X>;

 public:
  CacheAndModel(Pairing pairing, bool raw_keys, Random& random)
      : kind_(raw_keys ? random.pick({Kind::plain, Kind::yarn, Kind::mrope, Kind::xpos})
                       : random.pick({Kind::plain, Kind::yarn, Kind::mrope})),
        raw_keys_(raw_keys),
        random_(random),
        pairs_(random.integer<Index>(3, 5)),
        axes_(kind_ == Kind::mrope ? 3 : 1),
        layout_{.start_index = random.integer<Index>(0, 2), .pairing = pairing, .seq_dim = -3},
        options_{.heads = random.integer<Index>(1, 2),
                 .head_dim = layout_.start_index + 2 * pairs_ + random.integer<Index>(0, 2),
                 .value_dim = random.integer<Index>(1, 7),
                 .pages = random.integer<Index>(3, 40),
                 .page_tokens = random.integer(0, 3) == 0 ? 40 : random.integer<Index>(1, 7),
                 .raw_keys = raw_keys} {
    if (kind_ != Kind::xpos && random.integer(0, 1) == 1)
      layout_.output_pairing = pairing == Pairing::half ? Pairing::interleaved : Pairing::half;
    choose_frequencies();
    if (kind_ == Kind::xpos) {
      cache_.emplace(*xpos_, centre_, options_);
    } else {
      cache_.emplace(frequencies_, layout_, options_);
    }
  }

  /// One operation on both. Returns what it was.
  std::string step() {
    const int which = random_.integer(0, 19);
    if (which == 0 || sequences_.empty()) {
      if (sequences_.size() < 6) sequences_.push_back({cache_->add_sequence(), {}});
      return "add_sequence";
    }
    const auto n = random_.integer<std::size_t>(0, sequences_.size() - 1);
    Sequence& s = sequences_[n];
    if (s.size() > 25) {
      const Index size = random_.integer<Index>(0, 12);
      cache_->rewind(s.id, size);
      s.tokens.resize(static_cast<std::size_t>(size));
      return "rewind";
    }
    switch (which) {
      case 1:
      case 2:
        if (sequences_.size() >= 6) return drop(n);
        sequences_.push_back({cache_->fork(s.id), s.tokens});
        return "fork";
      case 3:
        return drop(n);
      case 4:
      case 5:
        return append(s, {});
      case 6:
      case 7:
        return append(s, random_position());
      case 8:
      case 9:
        return append_listed(s);
      case 10:
      case 11: {
        const auto [first, last] = range(s);
        Point deltas = all_axes(random_.integer(-40, 40) / 4.0);
        if (axes_ > 1 && random_.integer(0, 1) == 1) deltas = {1.25, 0, -3};
        return shift(s, first, last, deltas);
      }
      case 12: {
        const auto [first, last] = range(s);
        return erase(s, first, last, {});
      }
      case 13:
      case 14: {
        const auto [first, last] = range(s);
        return erase(s, first, last, true);
      }
      case 15: {
        const Index sinks = random_.integer<Index>(0, 5), window = random_.integer<Index>(0, 9);
        if (sinks + window >= s.size()) {
          cache_->keep_sinks_and_window(s.id, sinks, window);
          return "keep_sinks_and_window of all";
        }
        return erase(s, sinks, s.size() - window, true,
                     [&] { cache_->keep_sinks_and_window(s.id, sinks, window); });
      }
      case 16: {
        const double before = frequencies_.magnitude;
        choose_frequencies();
        cache_->change_frequencies(frequencies_);
        rewrite_all(frequencies_.magnitude / before);
        return "change_frequencies";
      }
      case 17:
        if (kind_ != Kind::xpos) return "nothing";
        centre_ = random_.integer(-400, 400) / 4.0;
        cache_->change_centre(centre_);
        rewrite_all(1);
        return "change_centre";
      case 18: {  // a copy of the cache has pages of its own
        KeyValueCache<X, Stored> copy = *cache_;
        copy.drop(s.id);
        const auto same = check();
        EXPECT_TRUE(same) << "of the origin of a copy";
        return "copy";
      }
      default:
        return fail(s);
    }
  }

  ::testing::AssertionResult check() const {
    std::map<Index, int> uses;
    for (const Sequence& s : sequences_) {
      if (cache_->size(s.id) != s.size())
        return ::testing::AssertionFailure() << cache_->size(s.id) << " tokens, wanted " << s.size();
      const auto pages = cache_->page_table(s.id);
      if (static_cast<Index>(pages.size()) != pages_of(s.size()))
        return ::testing::AssertionFailure() << pages.size() << " pages for " << s.size() << " tokens";
      for (const Index page : pages) ++uses[page];
      const auto same = check(s);
      if (!same) return same;
    }
    if (cache_->free_pages() != cache_->pages() - static_cast<Index>(uses.size()))
      return ::testing::AssertionFailure()
             << cache_->free_pages() << " free pages, in use are " << uses.size();
    return ::testing::AssertionSuccess();
  }

 private:
  struct Token {
    std::vector<X> key, value;  // [heads, features]
    Point at;
    std::vector<double> want, bound;  // of the key
    std::vector<double> want_value;
  };
  struct Sequence {
    SequenceId id;
    std::vector<Token> tokens;
    Index size() const { return static_cast<Index>(tokens.size()); }
  };

  ::testing::AssertionResult check(const Sequence& s) const {
    const auto keys = cache_->read_keys(s.id, 0, s.size());
    const auto values = cache_->read_values(s.id, 0, s.size());
    Tensor<X, 3> raw;
    if (raw_keys_) raw = cache_->read_raw_keys(s.id, 0, s.size());
    for (Index n = 0; n < s.size(); ++n) {
      const Token& token = s.tokens[static_cast<std::size_t>(n)];
      for (Index axis = 0; axis < axes_; ++axis)
        if (static_cast<double>(cache_->position(s.id, n, axis)) != token.at[static_cast<std::size_t>(axis)])
          return ::testing::AssertionFailure() << "token " << n << " is at another position";
      for (std::size_t i = 0; i < token.key.size(); ++i) {
        const Index at = n * static_cast<Index>(token.key.size()) + static_cast<Index>(i);
        const auto found = static_cast<double>(keys.data()[at]);
        if (raw_keys_ ? found != token.want[i] : !(std::fabs(found - token.want[i]) <= token.bound[i]))
          return ::testing::AssertionFailure()
                 << "feature " << i << " of key " << n << " is " << found << ", wanted " << token.want[i]
                 << " within " << token.bound[i];
        if (raw_keys_ && bits_of(raw.data()[at]) != bits_of(token.key[i]))
          return ::testing::AssertionFailure() << "raw feature " << i << " of key " << n << " has changed";
      }
      for (std::size_t i = 0; i < token.value.size(); ++i)
        if (static_cast<double>(
                values.data()[n * static_cast<Index>(token.value.size()) + static_cast<Index>(i)]) !=
            token.want_value[i])
          return ::testing::AssertionFailure() << "feature " << i << " of value " << n << " is wrong";
    }
    return ::testing::AssertionSuccess();
  }

  static Point all_axes(double p) { return {p, p, p}; }
  Index pages_of(Index tokens) const { return (tokens + options_.page_tokens - 1) / options_.page_tokens; }

  void choose_frequencies() {
    frequencies_ = random_frequencies(random_, kind_, pairs_, axes_);
    if (kind_ != Kind::xpos) return;
    xpos_.emplace(frequencies_, layout_);
    frequencies_ = xpos_->rotary().frequencies();
  }

  double random_position() { return random_.integer(-2000, 2000) / 4.0; }

  /// The key as the cache should hold it; rounded as it stores it if it has raw keys, else exact.
  void write(Token& token) const {
    if (raw_keys_) {
      token.want = stored_as<Stored, T>(rotated_once(token), options_.head_dim);
    } else {
      token.want = exact(token);
    }
  }
  /// Errors after one more rounding, and a change of the magnitude by `ratio`.
  void round(Token& token, double ratio) const {
    token.bound.resize(token.want.size(), 0);
    for (Index head = 0; head < options_.heads; ++head) {
      const auto span = [&](std::vector<double>& of) {
        return std::span<double>(of.data() + head * options_.head_dim,
                                 static_cast<std::size_t>(options_.head_dim));
      };
      add_rounding<Stored, X>(span(token.want), span(token.bound), ratio, stored_layout(), pairs_);
    }
  }
  HeadLayout stored_layout() const {
    HeadLayout layout = layout_;
    layout.pairing = layout_.written_pairing();
    return layout;
  }

  void rewrite(Token& token, double ratio) const {
    write(token);
    if (!raw_keys_) round(token, ratio);
  }
  void rewrite_all(double ratio) {
    for (Sequence& s : sequences_)
      for (Token& token : s.tokens) rewrite(token, ratio);
  }

  /// The raw key rotated by the library, in T unless it is stored as given.
  std::vector<double> rotated_once(const Token& token) const {
    using W = std::conditional_t<std::is_same_v<X, Stored>, X, T>;
    Tensor<W, 3> key(1, options_.heads, options_.head_dim);
    for (Index i = 0; i < key.size(); ++i)
      key.data()[i] = static_cast<W>(token.key[static_cast<std::size_t>(i)]);
    if (kind_ == Kind::xpos) {
      const auto heads = StridedView<W>(key.data(), {options_.heads, Index{1}, options_.head_dim});
      const XPos<T> of_window(frequencies_, {.pairing = layout_.pairing});
      Tensor<W, 3> no_queries(options_.heads, 1, 2 * pairs_);
      no_queries.setZero();
      of_window.rotate_queries_and_keys_in_place(no_queries, heads.slice(2, layout_.start_index, 2 * pairs_),
                                                 {.offset = token.at[0], .centre = centre_});
    } else {
      std::vector<AxisPositions> along;
      for (std::size_t a = 0; a < static_cast<std::size_t>(axes_); ++a)
        along.push_back(AxisPositions::consecutive(1, token.at[a]));
      apply_rotary_emb_in_place(CosSinTable<T>(frequencies_, Positions::together(along), layout_), key);
    }
    std::vector<double> out;
    for (Index i = 0; i < key.size(); ++i) out.push_back(static_cast<double>(key.data()[i]));
    return out;
  }

  std::vector<double> exact(const Token& token) const {
    std::vector<double> key;
    for (const X& x : token.key) key.push_back(static_cast<double>(x));
    std::vector<double> at(token.at.begin(), token.at.begin() + axes_);
    return exactly_rotated(key, options_.head_dim, frequencies_, layout_, at);
  }

  StridedArray<X> random_tokens(Index count, Index width) {
    StridedArray<X> x({count, options_.heads, width}, Layout::random(random_, 3));
    x.fill(random_);
    return x;
  }

  /// Appends a few tokens, which `call` appends to the cache.
  template <class Call>
  std::string append_tokens(Sequence& s, const std::vector<Point>& at, const Call& call) {
    const auto count = static_cast<Index>(at.size());
    const StridedArray<X> keys = random_tokens(count, options_.head_dim),
                          values = random_tokens(count, options_.value_dim);
    const Index needed =
        pages_of(s.size() + count) - pages_of(s.size()) +
        (count > 0 && s.size() % options_.page_tokens != 0 && is_shared(s, pages_of(s.size()) - 1));
    if (needed > cache_->free_pages()) {
      expect_error([&] { call(keys, values); },
                   {std::to_string(cache_->free_pages()) + " free pages", "needs " + std::to_string(needed)});
      return "append to a pool without enough pages";
    }
    call(keys, values);
    for (Index n = 0; n < count; ++n) {
      Token token{{}, {}, at[static_cast<std::size_t>(n)], {}, {}, {}};
      for (Index i = 0; i < options_.heads * options_.head_dim; ++i)
        token.key.push_back(keys[n * options_.heads * options_.head_dim + i]);
      std::vector<double> value;
      for (Index i = 0; i < options_.heads * options_.value_dim; ++i) {
        token.value.push_back(values[n * options_.heads * options_.value_dim + i]);
        value.push_back(static_cast<double>(token.value.back()));
      }
      token.want_value = stored_as<Stored, T>(value, options_.value_dim);
      rewrite(token, 1);
      s.tokens.push_back(std::move(token));
    }
    return "append";
  }

  std::string append(Sequence& s, std::optional<double> first) {
    double next = 0;
    if (!s.tokens.empty()) {
      const Point& at = s.tokens.back().at;
      next = *std::max_element(at.begin(), at.begin() + axes_) + 1;
    }
    std::vector<Point> at;
    for (Index n = random_.pick<Index>({0, 1, 1, 1, 2, 5, 11, 20}); n > 0; --n)
      at.push_back(all_axes(first.value_or(next) + static_cast<double>(at.size())));
    return append_tokens(s, at, [&](const auto& keys, const auto& values) {
      if (first) return cache_->append(s.id, keys.view(), values.view(), *first);
      cache_->append(s.id, keys.view(), values.view());
    });
  }

  std::string append_listed(Sequence& s) {
    std::array<std::vector<double>, 3> lists;
    std::vector<Point> at;
    for (Index n = random_.pick<Index>({1, 2, 5}); n > 0; --n) {
      const double near = random_position();
      at.push_back({});
      for (std::size_t a = 0; a < 3; ++a) lists[a].push_back(at.back()[a] = near + random_.integer(0, 3));
    }
    std::vector<AxisPositions> along;
    for (std::size_t a = 0; a < static_cast<std::size_t>(axes_); ++a)
      along.push_back(AxisPositions::listed(std::span<const double>(lists[a])));
    return append_tokens(s, at, [&](const auto& keys, const auto& values) {
      cache_->append(s.id, keys.view(), values.view(), Positions::together(along));
    });
  }

  std::string drop(std::size_t n) {
    cache_->drop(sequences_[n].id);
    EXPECT_FALSE(cache_->contains(sequences_[n].id));
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(n));
    return "drop";
  }

  bool is_shared(const Sequence& s, Index page) const {
    const Index number = cache_->page_table(s.id)[static_cast<std::size_t>(page)];
    int uses = 0;
    for (const Sequence& other : sequences_)
      for (const Index used : cache_->page_table(other.id)) uses += used == number ? 1 : 0;
    return uses > 1;
  }

  std::string shift(Sequence& s, Index first, Index last, const Point& deltas) {
    bool moves = false;
    for (std::size_t a = 0; a < static_cast<std::size_t>(axes_); ++a) moves = moves || deltas[a] != 0;
    Index needed = 0;
    for (Index page = first / options_.page_tokens; moves && page < pages_of(last); ++page)
      needed += is_shared(s, page);
    if (first == last) needed = 0;
    const auto call = [&] {
      if (axes_ == 3) return cache_->shift(s.id, first, last, {deltas[0], deltas[1], deltas[2]});
      cache_->shift(s.id, first, last, deltas[0]);
    };
    if (needed > cache_->free_pages()) {
      expect_error(call, {"free pages", "needs " + std::to_string(needed)});
      return "shift in a pool without enough pages";
    }
    call();
    if (moves) move(s, first, last, deltas);
    return "shift";
  }

  void move(Sequence& s, Index first, Index last, const Point& deltas) {
    for (Index n = first; n < last; ++n) {
      Token& token = s.tokens[static_cast<std::size_t>(n)];
      for (std::size_t a = 0; a < 3; ++a) token.at[a] += deltas[a];
      rewrite(token, 1);
    }
  }

  std::string erase(Sequence& s, Index first, Index last, bool shifts,
                    const std::function<void()>& other = {}) {
    try {
      if (other) {
        other();
      } else if (shifts) {
        cache_->shift_context(s.id, first, last);
      } else {
        cache_->erase(s.id, first, last);
      }
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("free pages"), std::string::npos) << error.what();
      Index shared = 0;
      for (Index page = 0; page < pages_of(s.size()); ++page) shared += is_shared(s, page);
      EXPECT_GT(shared, cache_->free_pages());
      return "erasure in a pool without enough pages";
    }
    Point deltas{};
    if (shifts && first < last && last < s.size())
      for (std::size_t a = 0; a < static_cast<std::size_t>(axes_); ++a)
        deltas[a] =
            s.tokens[static_cast<std::size_t>(first)].at[a] - s.tokens[static_cast<std::size_t>(last)].at[a];
    if (deltas != Point{}) move(s, last, s.size(), deltas);
    s.tokens.erase(s.tokens.begin() + first, s.tokens.begin() + last);
    return shifts ? "shift_context" : "erase";
  }

  std::pair<Index, Index> range(const Sequence& s) {
    Index first = random_.integer<Index>(0, s.size());
    Index last = random_.integer<Index>(first, std::min(s.size(), first + random_.pick<Index>({1, 4, 30})));
    if (random_.integer(0, 2) == 0)
      first -= first % options_.page_tokens, last -= last % options_.page_tokens;
    return {first, last};
  }

  /// Calls that must throw and change nothing.
  std::string fail(Sequence& s) {
    const StridedArray<X> keys = random_tokens(2, options_.head_dim),
                          values = random_tokens(2, options_.value_dim),
                          three = random_tokens(3, options_.value_dim);
    const auto wrong = [&](const auto& call) { EXPECT_THROW(call(), std::invalid_argument); };
    wrong([&] { cache_->append(s.id, keys.view(), three.view()); });
    wrong([&] { cache_->append(s.id, keys.view().slice(2, 0, options_.head_dim - 1), values.view()); });
    wrong([&] { cache_->append(s.id, keys.view(), values.view(), std::vector{1, 2, 3}); });
    wrong([&] { cache_->shift(s.id, 0, s.size() + 1, 1); });
    wrong([&] { cache_->shift(s.id, 0, s.size(), {1, 2, 3, 4, 5}); });
    wrong([&] { cache_->erase(s.id, -1, 0); });
    wrong([&] { cache_->shift_context(s.id, 1, 0); });
    wrong([&] { cache_->keep_sinks_and_window(s.id, -1, 2); });
    wrong([&] { cache_->rewind(s.id, s.size() + 1); });
    wrong([&] { cache_->change_frequencies(language_frequencies(2 * pairs_ + 2)); });
    wrong([&] { cache_->change_centre(std::nan("")); });
    wrong([&] { cache_->drop({s.id.index, s.id.number + 1000000}); });
    return "calls that throw";
  }

  Kind kind_;
  bool raw_keys_;
  Random& random_;
  Index pairs_, axes_;
  HeadLayout layout_;
  KeyValueCacheOptions options_;
  Frequencies frequencies_;
  std::optional<XPos<T>> xpos_;
  double centre_ = 12.5;
  std::optional<KeyValueCache<X, Stored>> cache_;
  std::vector<Sequence> sequences_;
};

template <class X, class Stored = X>
void run(std::uint64_t seed) {
  for (const bool raw_keys : {true, false})
    for (const Pairing pairing : kPairings) {
      SCOPED_TRACE(raw_keys ? "with raw keys" : "without raw keys");
      SCOPED_TRACE(name_of(pairing));
      Random random(seed);
      SCOPED_TRACE(random.replay());
      for (int done = 0; done < kOperations;) {
        CacheAndModel<X, Stored> both(pairing, raw_keys, random);
        for (const int end = done + 150; done < end; ++done) {
          const std::string operation = both.step();
          ASSERT_TRUE(both.check()) << "after operation " << done << ", " << operation;
        }
      }
    }
}

TEST(KeyValueCacheRandom, OfFloat) { run<float>(1641); }
TEST(KeyValueCacheRandom, OfDouble) { run<double>(1642); }
TEST(KeyValueCacheRandom, OfHalf) { run<Eigen::half>(1643); }
TEST(KeyValueCacheRandom, OfBfloat16) { run<Eigen::bfloat16>(1644); }
TEST(KeyValueCacheRandom, OfFloatInBfloat16) { run<float, Eigen::bfloat16>(1645); }
TEST(KeyValueCacheRandom, OfFloatInIntegers) { run<float, std::int8_t>(1646); }
TEST(KeyValueCacheRandom, OfBfloat16InIntegers) { run<Eigen::bfloat16, std::int8_t>(1647); }

}  // namespace
}  // namespace rotary::testing
