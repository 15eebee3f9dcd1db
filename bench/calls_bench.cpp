// Ways to call: queries and keys together, angles in a tensor, grids.
#include <cmath>
#include <tuple>

#include <rotary/apply_rotary_emb.hpp>
#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/frequencies/yarn.hpp>
#include <rotary/positions/token_positions.hpp>

#include "support/measured_tensor.hpp"

namespace {

using namespace bench;

/// 32 heads of queries and 8 of keys, in place: one call for both against one for each. Rows are cached, or
/// computed in every call, as those of tokens beyond `cache_max_seq_len` are.
void add_queries_and_keys(Index seq, bool cached, const std::string& how) {
  for (const Pairing pairing : kPairings) {
    add({"calls/" + name_of(pairing) + "/float/q_and_k/" + how, "q and k in one call (32 + 8 heads)",
         "the two calls", at_least(1.1)},
        [=] {
          const Shape of_q{"q", 1, 32, seq, 128, 3}, of_k{"k", 1, 8, seq, 128, 3};
          struct Both {
            std::shared_ptr<MeasuredTensor<float>> q, k;
            rotary::RotaryEmbedding<float> rotary_emb;
          };
          const auto of = std::make_shared<Both>(
              Both{measured_tensor<float>(of_q, Order::heads_first, pairing),
                   measured_tensor<float>(of_k, Order::heads_first, pairing),
                   rotary::RotaryEmbedding<float>(
                       {.dim = of_q.head_dim, .cache_if_possible = cached, .pairing = pairing})});
          auto together = [of, q = of->q->map(), k = of->k->map(), options = of->q->options()]() mutable {
            of->rotary_emb.rotate_queries_and_keys_in_place(q, k, options);
          };
          auto apart = [of, q = of->q->map(), k = of->k->map(), options = of->q->options()]() mutable {
            of->rotary_emb.rotate_in_place(q, options);
            of->rotary_emb.rotate_in_place(k, options);
          };
          const auto check = [of, together]() mutable {
            const Buffer<float> want_q = of->q->expected(), want_k = of->k->expected();
            together();
            const std::string wrong = difference(of->q->x, want_q);
            return wrong.empty() ? difference(of->k->x, want_k) : wrong;
          };
          const double bytes = of->q->bytes() + of->k->bytes();
          return Comparison{repeated(together), repeated(apart), check, bytes, bytes};
        });
  }
}

/// Angles in a tensor of [seq, head_dim], as in rotary-embedding-torch, against a table.
template <class Angle>
void add_from_angles(Pairing pairing) {
  const char* of_type = std::is_same_v<Angle, double> ? "double" : "float";
  add({"calls/" + name_of(pairing) + "/float/from_" + of_type + "_angles/cache",
       "apply_rotary_emb(freqs, t): cache", "the same from precomputed rows", at_most(2)},
      [=] {
        struct Applied {
          std::shared_ptr<MeasuredTensor<float>> t;
          rotary::Tensor<Angle, 2> freqs;
          rotary::CosSinTable<float> table;
          rotary::Tensor<float, 4> result;
        };
        const auto t = measured_tensor<float>(kCache, Order::heads_first, pairing);
        const auto positions = t->rotary_emb.get_seq_pos(kCache.seq);
        const auto of = std::make_shared<Applied>(Applied{t,
                                                          t->rotary_emb(positions).template cast<Angle>(),
                                                          {rotary::language_frequencies(kCache.head_dim),
                                                           rotary::Positions::consecutive(kCache.seq),
                                                           {.pairing = pairing}},
                                                          {}});
        const rotary::ApplyOptions options{.pairing = pairing};
        const auto from_angles = [of, options, map = t->map()] {
          of->result = rotary::apply_rotary_emb(of->freqs, map, options);
        };
        const auto from_rows = [of, map = t->map()] {
          of->result = rotary::apply_rotary_emb(of->table, map);
        };
        const auto check = [of, from_angles] {
          // The cosines and sines of the angles as they are given.
          std::vector<float> rows(static_cast<std::size_t>(of->freqs.size()));
          const auto pair = rotary::kernels::pair_strides(of->t->how.pairing, kCache.head_dim / 2);
          for (Index n = 0; n < kCache.seq; ++n) {
            for (Index i = 0; i < kCache.head_dim / 2; ++i) {
              const Index first = i * pair.pair;
              const auto at = static_cast<std::size_t>(n * kCache.head_dim + first);
              const auto angle = static_cast<double>(of->freqs(n, first));
              rows[at] = static_cast<float>(std::cos(angle));
              rows[at + static_cast<std::size_t>(pair.partner)] = static_cast<float>(std::sin(angle));
            }
          }
          Buffer<float> want(of->t->x), got(of->t->x);
          auto tensor = of->t->map(want);
          rotate_by_reference(rotary::view_of(tensor), of->t->how, rows.data(), {0, 0, kCache.head_dim});
          from_angles();
          std::copy_n(of->result.data(), got.size(), got.data());
          return difference(got, want);
        };
        return Comparison{repeated(from_angles), repeated(from_rows), check, t->bytes(), t->bytes()};
      });
}

/// A picture of 256×256 tokens, two axes of 32 features, against a sequence of as many tokens.
void add_axial(Pairing pairing) {
  add({"calls/" + name_of(pairing) + "/float/axial/256x256x64", "axial 2-D, 256×256×64",
       "the same bytes as a sequence", at_least(0.9)},
      [=] {
        constexpr Index kSide = 256, kTokens = kSide * kSide, kDim = 64;
        struct Picture {
          Buffer<float> x{kTokens * kDim};
          rotary::AxialFrequencies<float> axial;
          rotary::CosSinTable<float> table;
          rotary::RotaryEmbedding<float> rotary_emb;
        };
        const rotary::AxialFrequencies<float> axial({.dim = kDim / 2, .pairing = pairing});
        const auto of = std::make_shared<Picture>(Picture{
            Buffer<float>(kTokens * kDim), axial, axial.table(std::array<Index, 2>{kSide, kSide}),
            rotary::RotaryEmbedding<float>({.dim = kDim, .cache_max_seq_len = kTokens, .pairing = pairing})});
        using Grid = Eigen::TensorMap<rotary::Tensor<float, 4>>;
        using Sequence = Eigen::TensorMap<rotary::Tensor<float, 3>>;
        auto as_grid = [of, x = Grid(of->x.data(), 1, kSide, kSide, kDim)]() mutable {
          rotary::apply_rotary_emb_in_place(of->table, x);
        };
        const auto as_sequence = [of, x = Sequence(of->x.data(), 1, kTokens, kDim)]() mutable {
          of->rotary_emb.rotate_in_place(x);
        };
        const auto check = [of, as_grid, pairing]() mutable {
          // Pairs of the first half rotate by the row of the picture, the others by the column.
          const std::array axes{rotary::AxisPositions::consecutive(kSide),
                                rotary::AxisPositions::consecutive(kSide)};
          const auto rows = reference_rows<float>(rotary::axial(rotary::language_frequencies(kDim / 2), 2),
                                                  rotary::Positions::grid(axes), pairing);
          Buffer<float> want(of->x);
          const rotary::StridedView<float> view(want.data(), {kSide, kSide, kDim});
          rotate_by_reference(view, Rotation{pairing, kDim}, rows.data(), {kSide * kDim, kDim});
          as_grid();
          return difference(of->x, want);
        };
        const double bytes = 2 * static_cast<double>(of->x.bytes());
        return Comparison{repeated(as_grid), repeated(as_sequence), check, bytes, bytes};
      });
}

/// A variant against plain RoPE, both with precomputed rows, on the same tensor.
void add_variant(const char* variant, Pairing pairing, const rotary::Frequencies& frequencies,
                 const rotary::TokenPositions& tokens) {
  add({"calls/" + name_of(pairing) + "/float/" + variant + "/cache", "YaRN, M-RoPE: precomputed rows",
       "plain RoPE", at_least(0.97)},
      [=] {
        struct Variant {
          std::shared_ptr<MeasuredTensor<float>> x;
          rotary::CosSinTable<float> own, plain;
        };
        const auto of =
            std::make_shared<Variant>(Variant{measured_tensor<float>(kCache, Order::heads_first, pairing),
                                              {frequencies, tokens.positions(), {.pairing = pairing}},
                                              {rotary::language_frequencies(kCache.head_dim),
                                               rotary::Positions::consecutive(kCache.seq),
                                               {.pairing = pairing}}});
        auto own = [of, x = of->x->map()]() mutable { rotary::apply_rotary_emb_in_place(of->own, x); };
        auto plain = [of, x = of->x->map()]() mutable { rotary::apply_rotary_emb_in_place(of->plain, x); };
        const auto check = [of, own, frequencies, tokens]() mutable {
          const auto rows = reference_rows<float>(frequencies, tokens.positions(), of->x->how.pairing);
          Buffer<float> want(of->x->x);
          auto tensor = of->x->map(want);
          rotate_by_reference(rotary::view_of(tensor), of->x->how, rows.data(), {0, 0, kCache.head_dim});
          own();
          return difference(of->x->x, want);
        };
        return Comparison{repeated(own), repeated(plain), check, of->x->bytes(), of->x->bytes()};
      });
}

void add_variants(Pairing pairing) {
  rotary::TokenPositions text(1), image(3);
  for (Index n = 0; n < kCache.seq; ++n) {
    text.append({n});
    image.append({0, n / 32, n % 32});
  }
  // A magnitude of one, since the same tensor is rotated again and again.
  const auto yarn = rotary::yarn_frequencies(
      kCache.head_dim, 10000, {.factor = 4, .original_max_position_embeddings = 4096, .attention_factor = 1});
  add_variant("yarn", pairing, yarn, text);
  add_variant("mrope", pairing,
              rotary::on_axes(rotary::language_frequencies(kCache.head_dim),
                              rotary::mrope_axes_chunked({8, 12, 12}), 3),
              image);
}

}  // namespace

void bench::register_benchmarks() {
  for (const Pairing pairing : kPairings) add_variants(pairing);
  add_queries_and_keys(1, true, "decode");
  add_queries_and_keys(1, false, "decode/rows_computed");
  add_queries_and_keys(64, false, "64_tokens/rows_computed");
  for (const Pairing pairing : kPairings) add_from_angles<double>(pairing);
  add_from_angles<float>(Pairing::interleaved);
  for (const Pairing pairing : kPairings) add_axial(pairing);
}
