// A libFuzzer target: whatever is done to the sequences of a key/value cache, each holds the tokens that were put into it,
// whatever was done to others; and an operation that throws has changed nothing. See tests/fuzz/README.md for how to run it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <rotary/key_cache/key_value_cache.hpp>
#include <vector>

#include "../support/compiled_kernels.hpp"
#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

constexpr Index kMostTokens = 40, kMostSequences = 6;

/// A cache and, for each of its sequences, a list of what it should hold.
template <class X, class Stored>
class CacheAndModel {
  using Cache = KeyValueCache<X, Stored>;
  using T = typename Cache::Arithmetic;

  struct Token {
    std::vector<X> key, value;  // of all heads, as given
    FixedPosition at;
    bool operator==(const Token& other) const {
      return same_bytes(key, other.key) && same_bytes(value, other.value) && at == other.at;
    }
  };
  struct Sequence {
    SequenceId id;
    std::vector<Token> tokens;
  };

 public:
  explicit CacheAndModel(FuzzedInput& input) : input_(input) {}

  void run() {
    options_ = {.heads = input_.integer(1, 3),
                .head_dim = 2 * input_.integer(0, 4) + input_.integer(0, 2),
                .value_dim = input_.integer(0, 5),
                .pages = input_.integer(1, 12),
                .page_tokens = input_.integer(1, 5),
                .raw_keys = input_.flag()};
    for (Index* size :
         {&options_.heads, &options_.head_dim, &options_.value_dim, &options_.pages, &options_.page_tokens})
      if (input_.rarely()) *size = input_.size(-2, 6);
    layout_.pairing = input_.enumerator<Pairing>(2);
    layout_.seq_dim = input_.rarely() ? input_.size(-6, 3) : -3;
    pairs_ = options_.head_dim > 0 && options_.head_dim < 99 ? input_.integer(0, options_.head_dim / 2) : 1;
    frequencies_ = new_frequencies();
    // For a pool that could be there is no memory, and who asks for it learns that by std::bad_alloc; what no memory holds is
    // refused.
    const auto size = [](Index given) { return static_cast<double>(std::max<Index>(given, 1)); };
    const double elements = size(options_.pages) * size(options_.page_tokens) * size(options_.heads) *
                            (size(options_.head_dim) + size(options_.value_dim));
    if (elements > 1e6 && elements < 1e21) return;
    if (!succeeds([&] { cache_.emplace(frequencies_, layout_, options_); })) return;
    for (int n = 0; n < 60 && !input_.empty(); ++n) step();
    check();
  }

 private:
  static bool same_bytes(const std::vector<X>& a, const std::vector<X>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(X)) == 0);
  }

  Frequencies new_frequencies() {
    Frequencies frequencies;
    for (Index n = 0; n < pairs_; ++n)
      frequencies.values.push_back(input_.rarely() ? input_.real() : std::pow(10000.0, -double(n) / 16));
    if (input_.flag()) frequencies.magnitude = input_.rarely() ? input_.real() : input_.moderate();
    return frequencies;
  }

  std::size_t pick_sequence() { return static_cast<std::size_t>(input_.byte()) % sequences_.size(); }
  std::pair<Index, Index> range(const Sequence& s) {
    if (input_.rarely()) return {input_.size(-1, 9), input_.size(-1, 9)};
    const Index size = std::ssize(s.tokens), first = input_.integer(0, size);
    return {first, input_.integer(first, size)};
  }
  static FixedPosition next_position(const Sequence& s) {
    return s.tokens.empty() ? FixedPosition(0) : s.tokens.back().at + FixedPosition(1);
  }

  /// Runs an operation, which changes nothing if it throws.
  template <class Operation>
  bool attempt(const Operation& operation) {
    const Index free = cache_->free_pages();
    if (succeeds(operation)) return true;
    require(cache_->free_pages() == free, "an operation that throws has taken no page");
    check();
    return false;
  }

  void append(Sequence& s) {
    const Index count = input_.integer(0, 7);
    std::vector<Index> of_keys{count, cache_->heads(), cache_->head_dim()},
        of_values{count, cache_->heads(), cache_->value_dim()};
    if (input_.rarely()) of_keys[input_.byte() % 3] = input_.integer(0, 6);
    if (input_.rarely()) of_values[input_.byte() % 3] = input_.integer(0, 6);
    const FuzzedTensor<X> keys(input_, of_keys, FuzzedTensor<X>::Lying::any),
        values(input_, of_values, FuzzedTensor<X>::Lying::any);
    const bool placed = input_.flag();
    const FixedPosition first = placed ? input_.position() : next_position(s);
    const bool done = attempt([&] {
      if (placed) {
        cache_->append(s.id, keys.view(), values.view(), first);
      } else {
        cache_->append(s.id, keys.view(), values.view());
      }
    });
    if (!done) return;
    for (Index n = 0; n < of_keys[0]; ++n) {
      Token token{{}, {}, first + FixedPosition(n)};
      for (Index i = 0; i < of_keys[1] * of_keys[2]; ++i)
        token.key.push_back(keys[n * of_keys[1] * of_keys[2] + i]);
      for (Index i = 0; i < of_values[1] * of_values[2]; ++i)
        token.value.push_back(values[n * of_values[1] * of_values[2] + i]);
      s.tokens.push_back(std::move(token));
    }
  }

  static void move(std::vector<Token>& tokens, Index first, Index last, const FixedPosition& delta) {
    for (Index n = first; n < last; ++n) {
      FixedPosition& at = tokens[static_cast<std::size_t>(n)].at;
      at = at + delta;
    }
  }
  static void erase(std::vector<Token>& tokens, Index first, Index last) {
    tokens.erase(tokens.begin() + first, tokens.begin() + last);
  }
  static void shift_context(std::vector<Token>& tokens, Index first, Index last) {
    if (first < last && last < std::ssize(tokens)) {
      const FixedPosition delta =
          tokens[static_cast<std::size_t>(first)].at + -tokens[static_cast<std::size_t>(last)].at;
      move(tokens, last, std::ssize(tokens), delta);
    }
    erase(tokens, first, last);
  }

  void step() {
    const int what = input_.byte() % 12;
    if (sequences_.empty() || (what == 0 && std::ssize(sequences_) < kMostSequences)) {
      sequences_.push_back({cache_->add_sequence(), {}});
      return;
    }
    const std::size_t chosen = pick_sequence();
    Sequence& s = sequences_[chosen];
    const Index size = std::ssize(s.tokens);
    switch (what) {
      case 1: {
        if (std::ssize(sequences_) == kMostSequences) break;
        Sequence fork{cache_->fork(s.id), s.tokens};
        sequences_.push_back(std::move(fork));
        break;
      }
      case 2: {
        const SequenceId id = s.id;
        cache_->drop(id);
        sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(chosen));
        require(!cache_->contains(id), "a sequence that was dropped is gone");
        const bool found = succeeds([&] { cache_->rewind(id, 0); });
        require(!found, "an id that was dropped is refused");
        break;
      }
      case 3: {
        const auto [first, last] = range(s);
        const FixedPosition delta = input_.position();
        if (attempt([&, from = first, to = last] { cache_->shift(s.id, from, to, delta); }))
          move(s.tokens, first, last, delta);
        break;
      }
      case 4: {
        const auto [first, last] = range(s);
        if (attempt([&, from = first, to = last] { cache_->erase(s.id, from, to); }))
          erase(s.tokens, first, last);
        break;
      }
      case 5: {
        const auto [first, last] = range(s);
        if (attempt([&, from = first, to = last] { cache_->shift_context(s.id, from, to); }))
          shift_context(s.tokens, first, last);
        break;
      }
      case 6: {
        const Index count = input_.rarely() ? input_.size(-1, 9) : input_.integer(0, size);
        if (attempt([&] { cache_->rewind(s.id, count); })) erase(s.tokens, count, size);
        break;
      }
      case 7: {
        const Index sinks = input_.size(0, 5), window = input_.size(0, 9);
        if (attempt([&] { cache_->keep_sinks_and_window(s.id, sinks, window); }) && size > sinks &&
            size - sinks > window)
          shift_context(s.tokens, sinks, size - window);
        break;
      }
      case 8: {
        const Frequencies changed = new_frequencies();
        if (attempt([&] { cache_->change_frequencies(changed); })) frequencies_ = changed;
        break;
      }
      default:
        if (size < kMostTokens) append(s);
    }
    if (input_.byte() % 4 == 1) check();
  }

  /// Is each sequence as the model has it?
  void check() const {
    for (const Sequence& s : sequences_) {
      const Index size = std::ssize(s.tokens);
      require(cache_->contains(s.id) && cache_->size(s.id) == size,
              "a sequence has the tokens that it was given");
      require(cache_->next_position(s.id) == next_position(s), "the next position follows the last");
      require(
          std::ssize(cache_->page_table(s.id)) == (size + cache_->page_tokens() - 1) / cache_->page_tokens(),
          "a sequence has as many pages as its tokens need");
      const auto values = cache_->read_values(s.id, 0, size);
      for (Index n = 0; n < size; ++n) {
        const Token& token = s.tokens[static_cast<std::size_t>(n)];
        require(cache_->position(s.id, n) == token.at, "tokens are where they were put");
        for (std::size_t i = 0; i < token.value.size(); ++i) {
          const Index width = cache_->value_dim(), index = static_cast<Index>(i);
          check_value(static_cast<double>(values(n, index / width, index % width)), token.value, i, width);
        }
      }
      if (!cache_->has_raw_keys()) continue;
      const Tensor<X, 3> keys = cache_->read_raw_keys(s.id, 0, size);
      for (Index n = 0; n < size; ++n) {
        const std::vector<X>& key = s.tokens[static_cast<std::size_t>(n)].key;
        require(key.empty() || std::memcmp(keys.data() + n * static_cast<Index>(key.size()), key.data(),
                                           key.size() * sizeof(X)) == 0,
                "raw keys are stored as they were given");
      }
    }
  }

  /// Values are stored as they are, or within half a step of 8 bits; heads of tiny values as zeros.
  static void check_value(double found, const std::vector<X>& given, std::size_t i, Index width) {
    const double wanted = static_cast<double>(given[i]);
    if constexpr (std::is_same_v<Stored, std::int8_t>) {
      double largest = 0;
      const std::size_t first = i / static_cast<std::size_t>(width) * static_cast<std::size_t>(width);
      for (std::size_t j = first; j < first + static_cast<std::size_t>(width); ++j) {
        const double size = std::fabs(static_cast<double>(given[j]));
        if (!(size <= 1e30)) return;  // of infinities and NaN nothing is promised
        largest = std::max(largest, size);
      }
      require(std::fabs(found - wanted) <= largest / 127 * 0.501 + 1.5e-36,
              "8-bit values are within half a step");
    } else {
      require(found == wanted || (std::isnan(found) && std::isnan(wanted)),
              "values are stored as they were given");
    }
  }

  FuzzedInput& input_;
  KeyValueCacheOptions options_;
  HeadLayout layout_;
  Index pairs_ = 0;
  Frequencies frequencies_;
  std::optional<Cache> cache_;
  std::vector<Sequence> sequences_;
};

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rotary::testing::FuzzedInput input(data, size);
  switch (input.byte() % 3) {
    case 0:
      rotary::testing::CacheAndModel<float, float>(input).run();
      break;
    case 1:
      rotary::testing::CacheAndModel<float, std::int8_t>(input).run();
      break;
    default:
      rotary::testing::CacheAndModel<Eigen::bfloat16, Eigen::bfloat16>(input).run();
  }
  return 0;
}
