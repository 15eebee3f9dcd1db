// Golden calls that the reference refuses: which of them we refuse too, and what the others give.
#include <functional>

#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

using Embedding = RotaryEmbedding<double>;

/// One case with its constructor and its only call.
struct Refused {
  const Case& c;
  const Call& call;

  RotaryEmbeddingOptions options() const { return rotary_options(c, *c.constructor); }
  XPosOptions xpos() const { return xpos_options(c, *c.constructor); }
  const Tensor& at(std::string_view argument) const { return c.input(call.args.reference(argument)); }
  Eigen::Tensor<double, 4, Eigen::RowMajor> tensor(std::string_view argument) const {
    return to_eigen<double, 4>(at(argument));
  }
};

using Rank4 = Eigen::Tensor<double, 4, Eigen::RowMajor>;

/// The first `dim` features of [batch, heads, seq, head_dim] turned by position · f_i and scaled by
/// scale(position, i), as it stands in a textbook.
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

template <class Object>
concept HasGetScale = requires(const Object& object, const std::vector<double>& positions) {
  object.get_scale(positions);
};

// For every file, what we do instead.
const std::map<std::string, std::function<void(const Refused&)>> kChoices = {
    // --- refused as well
    {"axial_offsets_length",
     [](const Refused& r) {
       const auto sizes = r.call.args.integers("dims");
       const auto offsets = r.call.args.numbers("offsets");
       const std::array<Index, 2> grid{sizes.at(0), sizes.at(1)};
       EXPECT_THROW(Embedding(r.options()).get_axial_freqs(grid, offsets), std::invalid_argument);
       EXPECT_THROW(AxialFrequencies<double>({.dim = 8}).table(grid, offsets), std::invalid_argument);
     }},
    {"cached_q_longer_than_k",
     [](const Refused& r) {
       const Embedding rotary(r.options());
       EXPECT_THROW(rotary.rotate_queries_with_cached_keys(r.tensor("q"), r.tensor("k")),
                    std::invalid_argument);
       const XPos<double> xpos({.dim = 8});
       EXPECT_THROW(xpos.rotate_queries_with_cached_keys(r.tensor("q"), r.tensor("k")),
                    std::invalid_argument);
     }},
    {"dim_larger_than_features",
     [](const Refused& r) {
       EXPECT_THROW(Embedding(r.options()).rotate_queries_or_keys(r.tensor("t")), std::invalid_argument);
     }},
    {"interpolate_factor_below_1",
     [](const Refused& r) { EXPECT_THROW(Embedding{r.options()}, std::invalid_argument); }},
    {"start_index_past_end",
     [](const Refused& r) {
       EXPECT_THROW(apply_rotary_emb(to_eigen<double, 2>(r.at("freqs")), r.tensor("t"),
                                     {.start_index = r.call.args.integer("start_index")}),
                    std::invalid_argument);
     }},
    {"odd_dim_with_cache",  // more likely a mistake than meant; who means it says so, and then the cache is
                            // no matter
     [](const Refused& r) {
       RotaryEmbeddingOptions options = r.options();
       options.allow_odd_dim = false;
       EXPECT_THROW(Embedding{options}, std::invalid_argument);
       options.allow_odd_dim = true;
       expect_near(Embedding(options).rotate_queries_or_keys(r.tensor("t")),
                   by_the_book(r.tensor("t"), 6,
                               [](Index i) { return std::pow(10000, -2.0 * static_cast<double>(i) / 7); }));
     }},
    {"odd_dim_xpos",  // the same; the scale of the half pair goes unused
     [](const Refused& r) {
       XPosOptions options = r.xpos();
       options.allow_odd_dim = false;
       EXPECT_THROW(XPos<double>{options}, std::invalid_argument);
       options.allow_odd_dim = true;
       const auto frequency = [](Index i) { return std::pow(10000, -2.0 * static_cast<double>(i) / 7); };
       const auto scale = [](Index n, Index i) {
         return std::pow((2.0 * static_cast<double>(i) + 0.4 * 7) / (1.4 * 7),
                         static_cast<double>(n - 2) / 512);
       };
       const auto [q, k] = XPos<double>(options).rotate_queries_and_keys(r.tensor("q"), r.tensor("k"));
       expect_near(q, by_the_book(r.tensor("q"), 6, frequency, scale));
       expect_near(
           k, by_the_book(r.tensor("k"), 6, frequency, [&](Index n, Index i) { return 1 / scale(n, i); }));
     }},

    // --- does not compile
    {"get_scale_requires_xpos",
     [](const Refused&) {
       EXPECT_FALSE(HasGetScale<Embedding>);
       EXPECT_TRUE(HasGetScale<XPos<double>>);
     }},
    {"xpos_requires_pair_call",  // XPos::rotate_queries_or_keys is a static_assert; queries and keys together
                                 // do compile
     [](const Refused& r) {
       const XPos<double> xpos(r.xpos());
       const auto [q, k] = xpos.rotate_queries_and_keys(r.tensor("t"), r.tensor("t"));
       const auto scale = xpos.get_scale(std::vector{0, 1, 2, 3});
       const auto frequency = [](Index i) { return std::pow(10000, -2.0 * static_cast<double>(i) / 8); };
       expect_near(
           q, by_the_book(r.tensor("t"), 8, frequency, [&](Index n, Index i) { return scale(n, 2 * i); }));
       expect_near(k, by_the_book(r.tensor("t"), 8, frequency,
                                  [&](Index n, Index i) { return 1 / scale(n, 2 * i); }));
     }},

    // --- works
    {"axial_apply_unbatched_hw",  // angles of three axes belong to the last three of the tensor, with or
                                  // without a batch
     [](const Refused& r) {
       const auto freqs = to_eigen<double, 3>(r.at("freqs")), t = to_eigen<double, 3>(r.at("t"));
       const Rank4 batched = t.reshape(Eigen::array<Eigen::Index, 4>{1, 4, 3, 8});
       Tensor wanted = from_eigen(apply_rotary_emb(freqs, batched));
       wanted.shape.erase(wanted.shape.begin());
       expect_same_bits(from_eigen(apply_rotary_emb(freqs, t)), wanted, "without a batch");
     }},
    {"constant_num_freqs_mismatch_cache",  // 2 num_freqs features turn, cache or not
     [](const Refused& r) {
       const Rank4 found = Embedding(r.options()).rotate_queries_or_keys(r.tensor("t"));
       expect_near(found, by_the_book(r.tensor("t"), 4, [](Index) { return 1.0; }));
       RotaryEmbeddingOptions options = r.options();
       options.cache_if_possible = false;
       expect_same(Embedding(options).rotate_queries_or_keys(r.tensor("t")), found, "without the cache");
     }},
    {"dim2_division_by_zero",  // one pair of frequency one; a rescaled theta has no exponent there
     [](const Refused& r) {
       expect_near(Embedding(r.options()).rotate_queries_or_keys(r.tensor("t")),
                   by_the_book(r.tensor("t"), 2, [](Index) { return 1.0; }));
       RotaryEmbeddingOptions options = r.options();
       options.theta_rescale_factor = 2;
       EXPECT_THROW(Embedding{options}, std::invalid_argument);
     }},
    {"positive_seq_dim1",  // the same axis as −3
     [](const Refused& r) {
       const Embedding rotary(r.options());
       const Rank4 found = rotary.rotate_queries_or_keys(r.tensor("t"), rotate_options(r.call.args));
       expect_same(found, rotary.rotate_queries_or_keys(r.tensor("t"), {.seq_dim = -3}),
                   "seq_dim 1 of four axes");
       expect_same(found, exchanged(rotary.rotate_queries_or_keys(exchanged(r.tensor("t")))),
                   "heads and sequence exchanged");
     }},
    {"rotate_q_and_k_requires_xpos",  // without scales it is two rotations
     [](const Refused& r) {
       const Embedding rotary(r.options());
       const auto [q, k] = rotary.rotate_queries_and_keys(r.tensor("q"), r.tensor("k"));
       expect_same(q, rotary.rotate_queries_or_keys(r.tensor("q")), "queries");
       expect_same(k, rotary.rotate_queries_or_keys(r.tensor("k")), "keys");
     }},
    {"xpos_cached_keys_seq_before_head",  // scales belong to the sequence, wherever its axis is
     [](const Refused& r) {
       const auto [q, k] =
           XPos<double>(r.xpos()).rotate_queries_with_cached_keys(r.tensor("q"), r.tensor("k"));
       XPosOptions options = r.xpos();
       options.seq_before_head_dim = false;
       const auto [q_heads_first, k_heads_first] = XPos<double>(options).rotate_queries_with_cached_keys(
           exchanged(r.tensor("q")), exchanged(r.tensor("k")));
       expect_same(exchanged(q), q_heads_first, "queries");
       expect_same(exchanged(k), k_heads_first, "keys");
     }},
};

void check_case(const Case& c) {
  SCOPED_TRACE(c.expected_error);
  ASSERT_EQ(c.calls.size(), 1u);
  ASSERT_TRUE(kChoices.contains(c.name)) << "nobody has decided what " << c.name << " should do";
  kChoices.at(c.name)({c, c.calls[0]});
}

[[maybe_unused]] const bool registered = register_tests("GoldenErrors", cases_of(Topic::errors), check_case);

TEST(GoldenChoices, EveryChoiceHasItsFile) { EXPECT_EQ(kChoices.size(), cases_of(Topic::errors).size()); }

}  // namespace
}  // namespace rotary::testing::golden
