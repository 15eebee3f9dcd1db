// Golden calls that the reference refuses: which of them we refuse too, and what the others give.
#include <cmath>

#include "support/golden_calls.hpp"
#include "support/random.hpp"

namespace rotary::testing::golden {
namespace {

/// One exception from the rule that we refuse what the reference checks on purpose: without scales, queries
/// and keys together are two rotations.
bool is_two_rotations(const Case& c, const std::optional<ModuleOptions>& options) {
  return options && !options->xpos && c.calls.size() == 1 &&
         c.calls[0].function == "self.rotate_queries_and_keys";
}

template <class T>
void check_case(const Case& c) {
  Session session(c, std::is_same_v<T, double>);
  const auto call = [&] { run<T>(session, c, c.constructor, c.calls); };
  const std::optional<ModuleOptions> options = module_options(c, c.constructor);
  const Decision& decision = decision_for(c);
  if (is_two_rotations(c, options)) {
    EXPECT_EQ(decision.outcome, Outcome::returned);
    c.compared_error = true;
    call();
    const char* const names[] = {"q", "k"};
    for (std::size_t n = 0; n < 2; ++n) {
      const Elements<T> alone(session.at(c.calls[0], names[n]));
      Module<T>(*options).rotary().rotate_in_place(alone.view(), rotate_arguments(c.calls[0].args).options());
      expect_same_bits(session.at(c.calls[0].out.at(n)), alone.tensor(), names[n]);
    }
    return;
  }
  expect_refused(c, decision, call, [&] {
    for (const Call& made : c.calls)
      for (const std::string& name : made.out)
        for (const double value : session.at(name).values)
          EXPECT_TRUE(std::isfinite(value)) << c.name << ": " << name << " holds " << value;
  });
}

const std::vector<CaseName> kCases = cases_of("golden_errors_test");

[[maybe_unused]] const bool registered =
    register_tests("GoldenErrorsInDouble", kCases, check_case<double>) &&
    register_tests("GoldenErrorsInFloat", kCases, check_case<float>) &&
    register_altered("GoldenErrorsAltered", kCases, check_case<double>, check_case<float>);

// ---------------------------------------------------------------- what we decided, call by call

using Embedding = RotaryEmbedding<double>;
using Rank4 = Eigen::Tensor<double, 4, Eigen::RowMajor>;

/// The first `dim` features of [batch, heads, seq, head_dim] rotated by position · f_i and scaled by
/// scale(position, i), by the textbook formula.
template <class Frequency, class Scale>
Rank4 by_the_book(Rank4 x, Index dim, Frequency&& frequency, Scale&& scale) {
  for (Index b = 0; b < x.dimension(0); ++b)
    for (Index h = 0; h < x.dimension(1); ++h)
      for (Index n = 0; n < x.dimension(2); ++n)
        for (Index i = 0; i < dim / 2; ++i) {
          const double angle = static_cast<double>(n) * frequency(i), by = scale(n, i);
          const double first = x(b, h, n, 2 * i), second = x(b, h, n, 2 * i + 1);
          x(b, h, n, 2 * i) = by * (first * std::cos(angle) - second * std::sin(angle));
          x(b, h, n, 2 * i + 1) = by * (second * std::cos(angle) + first * std::sin(angle));
        }
  return x;
}
template <class Frequency>
Rank4 by_the_book(const Rank4& x, Index dim, Frequency&& frequency) {
  return by_the_book(x, dim, frequency, [](Index, Index) { return 1.0; });
}

void expect_near(const Rank4& found, const Rank4& wanted) {
  Tensor tensor = from_eigen(wanted);
  tensor.label = "by the book";
  compare(found, tensor, 1e-14);
}

/// [batch, a, b, head_dim] → [batch, b, a, head_dim]
Rank4 exchanged(const Rank4& x) { return x.shuffle(Eigen::array<Eigen::Index, 4>{0, 2, 1, 3}); }

void expect_same(const Rank4& found, const Rank4& wanted, const char* how) {
  expect_same_bits(from_eigen(found), from_eigen(wanted), how);
}

Rank4 random_tensor(Index batch, Index second, Index third, Index features) {
  Rank4 x(batch, second, third, features);
  Random random(static_cast<std::uint64_t>(batch + 10 * second + 100 * third + 1000 * features));
  random.fill(x);
  return x;
}

double lang_frequency(Index i, Index dim) {
  return std::pow(10000, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
}

template <class Object>
concept HasGetScale = requires(const Object& object, const std::vector<double>& positions) {
  object.get_scale(positions);
};

// --- refused as well

TEST(GoldenChoices, AsManyOffsetsAsAxes) {
  const std::array<Index, 2> grid{3, 2};
  const std::vector<double> offsets = {1};
  EXPECT_THROW(static_cast<void>(Embedding({.dim = 8}).get_axial_freqs(grid, offsets)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(AxialFrequencies<double>({.dim = 8}).table(grid, offsets)),
               std::invalid_argument);
}

TEST(GoldenChoices, NoMoreQueriesThanKeys) {
  const Rank4 q = random_tensor(1, 2, 4, 8), k = random_tensor(1, 2, 3, 8);
  EXPECT_THROW(static_cast<void>(Embedding({.dim = 8}).rotate_queries_with_cached_keys(q, k)),
               std::invalid_argument);
  const XPos<double> xpos({.dim = 8});
  EXPECT_THROW(static_cast<void>(xpos.rotate_queries_with_cached_keys(q, k)), std::invalid_argument);
}

// More likely a mistake than intended; with `allow_odd_dim` it is allowed, whatever the cache.
TEST(GoldenChoices, OddDimMustBeMeant) {
  RotaryEmbeddingOptions options{.dim = 7};
  EXPECT_THROW(Embedding{options}, std::invalid_argument);
  options.allow_odd_dim = true;
  const Rank4 t = random_tensor(1, 2, 4, 8);
  const auto frequency = [](Index i) { return lang_frequency(i, 7); };
  expect_near(Embedding(options).rotate_queries_or_keys(t), by_the_book(t, 6, frequency));

  RotaryEmbeddingOptions xpos{.dim = 7};
  EXPECT_THROW(XPos<double>{xpos}, std::invalid_argument);
  xpos.allow_odd_dim = true;  // the scale of the half pair goes unused
  const auto scale = [](Index n, Index i) {
    return std::pow((2.0 * static_cast<double>(i) + 0.4 * 7) / (1.4 * 7), static_cast<double>(n - 2) / 512);
  };
  const auto [q, k] = XPos<double>(xpos).rotate_queries_and_keys(t, t);
  expect_near(q, by_the_book(t, 6, frequency, scale));
  expect_near(k, by_the_book(t, 6, frequency, [&](Index n, Index i) { return 1 / scale(n, i); }));
}

// --- does not compile

TEST(GoldenChoices, OnlyXPosHasScales) {
  EXPECT_FALSE(HasGetScale<Embedding>);
  EXPECT_TRUE(HasGetScale<XPos<double>>);
}

// XPos::rotate_queries_or_keys is a static_assert; queries and keys together do compile.
TEST(GoldenChoices, XPosRotatesQueriesAndKeysTogether) {
  const XPos<double> xpos({.dim = 8});
  const Rank4 t = random_tensor(1, 2, 4, 8);
  const auto [q, k] = xpos.rotate_queries_and_keys(t, t);
  const auto scale = xpos.get_scale(std::vector{0, 1, 2, 3});
  const auto frequency = [](Index i) { return lang_frequency(i, 8); };
  expect_near(q, by_the_book(t, 8, frequency, [&](Index n, Index i) { return scale(n, 2 * i); }));
  expect_near(k, by_the_book(t, 8, frequency, [&](Index n, Index i) { return 1 / scale(n, 2 * i); }));
}

// --- works

// Angles of three axes belong to the last three of the tensor, with or without a batch.
TEST(GoldenChoices, AnglesOfAGridNeedNoBatch) {
  const auto freqs = Embedding({.dim = 4}).get_axial_freqs(4, 3);
  const Rank4 batched = random_tensor(1, 4, 3, 8);
  const Eigen::Tensor<double, 3, Eigen::RowMajor> t = batched.reshape(Eigen::array<Eigen::Index, 3>{4, 3, 8});
  Tensor wanted = from_eigen(apply_rotary_emb(freqs, batched));
  wanted.shape.erase(wanted.shape.begin());
  expect_same_bits(from_eigen(apply_rotary_emb(freqs, t)), wanted, "without a batch");
}

// 2 num_freqs features rotate, with or without a cache.
TEST(GoldenChoices, ConstantFrequenciesAreAsManyAsAsked) {
  RotaryEmbeddingOptions options{.dim = 8, .freqs_for = FreqsFor::constant, .num_freqs = 2};
  EXPECT_THROW(Embedding{options}, std::invalid_argument) << "dim contradicts the number of frequencies";
  options.dim = 0;
  const Rank4 t = random_tensor(1, 2, 4, 8);
  const Rank4 found = Embedding(options).rotate_queries_or_keys(t);
  expect_near(found, by_the_book(t, 4, [](Index) { return 1.0; }));
  options.cache_if_possible = false;
  expect_same(Embedding(options).rotate_queries_or_keys(t), found, "without the cache");
}

// One pair of frequency one; a rescaled theta has no exponent there.
TEST(GoldenChoices, ASinglePair) {
  RotaryEmbeddingOptions options{.dim = 2};
  const Rank4 t = random_tensor(1, 2, 4, 8);
  expect_near(Embedding(options).rotate_queries_or_keys(t), by_the_book(t, 2, [](Index) { return 1.0; }));
  options.theta_rescale_factor = 2;
  EXPECT_THROW(Embedding{options}, std::invalid_argument);
}

// Axis 1, which is axis −3.
TEST(GoldenChoices, SequenceAxisFromTheFront) {
  const Embedding rotary({.dim = 8});
  const Rank4 t = random_tensor(1, 4, 2, 8);
  const Rank4 found = rotary.rotate_queries_or_keys(t, RotateArguments{.seq_dim = 1}.options());
  expect_same(found, rotary.rotate_queries_or_keys(t, RotateArguments{.seq_dim = -3}.options()),
              "seq_dim 1 of four axes");
  expect_same(found, exchanged(rotary.rotate_queries_or_keys(exchanged(t))), "heads and sequence exchanged");
}

// Scales belong to the sequence, wherever its axis is.
TEST(GoldenChoices, ScalesFollowTheSequence) {
  RotaryEmbeddingOptions options{.dim = 8, .seq_before_head_dim = true};
  const Rank4 queries = random_tensor(1, 2, 3, 8), keys = random_tensor(1, 5, 3, 8);
  const auto [q, k] = XPos<double>(options).rotate_queries_with_cached_keys(queries, keys);
  options.seq_before_head_dim = false;
  const auto [q_heads_first, k_heads_first] =
      XPos<double>(options).rotate_queries_with_cached_keys(exchanged(queries), exchanged(keys));
  expect_same(exchanged(q), q_heads_first, "queries");
  expect_same(exchanged(k), k_heads_first, "keys");
}

}  // namespace
}  // namespace rotary::testing::golden
