// Random numbers for tests: the same on every machine, whatever its standard library, Eigen or libm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace rotary::testing {

/// A generator whose every run can be replayed. Use it so:
///
///     Random random(17);
///     SCOPED_TRACE(random.replay());
///     Tensor<float, 4> x(2, 3, random.integer(1, 40), 8);
///     random.fill(x);
///
/// A failure then says "replay with ROTARY_TEST_SEED=17", and that variable in the environment takes the
/// place of the seed in the program: with another value the same test looks at other numbers.
class Random {
 public:
  explicit Random(std::uint64_t default_seed) : seed_(seed_from_environment(default_seed)), state_(seed_) {}

  std::uint64_t seed() const { return seed_; }
  std::string replay() const { return "replay with ROTARY_TEST_SEED=" + std::to_string(seed_); }

  /// 64 random bits, by splitmix64 (Steele, Lea and Flood, 2014).
  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// A double in [low, high).
  double uniform(double low = 0.0, double high = 1.0) {
    return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53);
  }

  /// Mean 0 and variance 1. The sum of twelve uniform numbers needs no logarithm or cosine, in which
  /// libraries differ; it ends at ±6.
  double normal() {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

  /// An integer in [low, high], both included, each as likely as the other.
  template <class Integer>
  Integer integer(Integer low, std::type_identity_t<Integer> high) {
    static_assert(std::is_integral_v<Integer>);
    if (high < low) throw std::invalid_argument("Random::integer: an empty range");
    const std::uint64_t count = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
    if (count == 0) return static_cast<Integer>(bits());  // all 2^64 of them
    // The first 2^64 mod count values would make some integers likelier than others.
    const std::uint64_t surplus = (0 - count) % count;
    std::uint64_t draw = bits();
    while (draw < surplus) draw = bits();
    return static_cast<Integer>(static_cast<std::uint64_t>(low) + draw % count);
  }

  /// One of the given values.
  template <class Value>
  Value pick(std::initializer_list<Value> values) {
    return values.begin()[integer<std::size_t>(0, values.size() - 1)];
  }

  /// Fills anything with data() and size(), in the order of its memory, with normal numbers.
  template <class Container>
  void fill(Container&& x) {
    fill_with(x, [this] { return normal(); });
  }

  /// Fills with numbers from [low, high).
  template <class Container>
  void fill(Container&& x, double low, double high) {
    fill_with(x, [&] { return uniform(low, high); });
  }

 private:
  static std::uint64_t seed_from_environment(std::uint64_t default_seed) {
    const char* text = std::getenv("ROTARY_TEST_SEED");
    if (text == nullptr || *text == '\0') return default_seed;
    char* end = nullptr;
    const std::uint64_t seed = std::strtoull(text, &end, 0);
    if (*end != '\0') throw std::invalid_argument(std::string("ROTARY_TEST_SEED is not a number: ") + text);
    return seed;
  }

  template <class Container, class Next>
  static void fill_with(Container& x, Next next) {
    auto* data = x.data();
    using Scalar = std::remove_reference_t<decltype(*data)>;
    const auto count = static_cast<std::size_t>(x.size());
    for (std::size_t i = 0; i < count; ++i) data[i] = static_cast<Scalar>(next());
  }

  std::uint64_t seed_;
  std::uint64_t state_;
};

}  // namespace rotary::testing
