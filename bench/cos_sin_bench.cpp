// Computing rows of cosines and sines, for many positions and for a single new one.
#include <cmath>

#include "support/measured_tensor.hpp"

namespace {

using namespace bench;

constexpr Index kRows = 8192, kPairs = 64, kDim = 2 * kPairs;

/// The usual code: angles position · frequency in float, and the standard library.
void rows_by_hand(float* rows, const std::vector<float>& frequencies, Pairing pairing) {
  for (Index n = 0; n < kRows; ++n, rows += kDim) {
    for (Index i = 0; i < kPairs; ++i) {
      const float angle = static_cast<float>(n) * frequencies[static_cast<std::size_t>(i)];
      rows[pairing == Pairing::half ? i : 2 * i] = std::cos(angle);
      rows[pairing == Pairing::half ? i + kPairs : 2 * i + 1] = std::sin(angle);
    }
  }
}

void add_rows(Pairing pairing) {
  add({"cos_sin/" + name_of(pairing) + "/float/8192x64", "cos/sin rows for 8192 positions × 64 pairs",
       "loop over std::sin, std::cos", at_least(10)},
      [=] {
        struct Rows {
          Buffer<float> ours{kRows * kDim}, theirs{kRows * kDim};
          rotary::TurnSteps steps{rotary::language_frequencies(kDim)};
          std::vector<float> frequencies;
        };
        const auto of = std::make_shared<Rows>();
        for (const rotary::DoubleDouble& f : rotary::language_frequencies(kDim).values)
          of->frequencies.push_back(static_cast<float>(static_cast<double>(f)));
        const auto positions = rotary::Positions::consecutive(kRows);
        const auto make = [of, positions, pairing] {
          rotary::kernels::cos_sin_rows(of->steps, positions, 0, kRows, {}, pairing, of->ours.data());
        };
        const auto check = [of, make, positions, pairing] {
          make();
          const auto want = reference_rows<float>(rotary::language_frequencies(kDim), positions, pairing);
          Buffer<float> expected(kRows * kDim);
          std::copy(want.begin(), want.end(), expected.data());
          return difference(of->ours, expected);
        };
        const double bytes = static_cast<double>(of->ours.bytes());
        return Comparison{repeated(make), repeated([of, pairing] {
                            rows_by_hand(of->theirs.data(), of->frequencies, pairing);
                          }),
                          check, bytes, bytes};
      });
}

/// One token of 32 heads, at a new position every time: with no cached rows, and with all.
template <class X>
void add_decode(Pairing pairing) {
  add({"cos_sin/" + name_of(pairing) + "/" + kName<X> + "/decode_and_its_row",
       "decode at a position never seen before", "decode with a cached row", at_most(1.6)},
      [=] {
        struct Decode {
          std::shared_ptr<MeasuredTensor<X>> cached;
          rotary::RotaryEmbedding<RowOf<X>> uncached;
          Index position = 0;
        };
        const auto of = std::make_shared<Decode>(
            Decode{measured_tensor<X>(kDecode, Order::heads_first, pairing),
                   rotary::RotaryEmbedding<RowOf<X>>(
                       {.dim = kDim, .cache_if_possible = false, .pairing = pairing})});
        auto uncached = [of, tensor = of->cached->map()]() mutable {
          of->uncached.rotate_in_place(tensor, {.offset = ++of->position});
        };
        const auto with_row = [of, tensor = of->cached->map()]() mutable {
          of->cached->rotary_emb.rotate_in_place(tensor, {.offset = ++of->position & 4095});
        };
        const auto check = [of, uncached]() mutable {
          of->position = kDecode.offset - 1;
          const Buffer<X> want = of->cached->expected();
          uncached();
          return difference(of->cached->x, want);
        };
        return Comparison{repeated(uncached), repeated(with_row), check, of->cached->bytes(),
                          of->cached->bytes()};
      });
}

}  // namespace

void bench::register_benchmarks() {
  for (const Pairing pairing : kPairings) add_rows(pairing);
  for (const Pairing pairing : kPairings) {
    add_decode<float>(pairing);
    add_decode<Eigen::bfloat16>(pairing);
  }
}
