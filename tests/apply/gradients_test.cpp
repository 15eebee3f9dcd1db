// Gradients in closed form, against central differences in double; and the adjoint law for every scalar.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <rotary/apply/apply_gradients.hpp>
#include <rotary/apply/learned_rotations.hpp>
#include <rotary/xpos.hpp>

#include "support/compiled_kernels.hpp"
#include "support/strided_array.hpp"

namespace rotary::testing {
namespace {

/// Anything with data() and size(), as one list of numbers.
template <class Container>
double product(const Container& a, const Container& b) {
  double sum = 0;
  for (Index n = 0; n < static_cast<Index>(a.size()); ++n)
    sum += static_cast<double>(a.data()[n]) * static_cast<double>(b.data()[n]);
  return sum;
}

/// ∂loss/∂x_n for every entry of `x`, by (loss(x + h) − loss(x − h)) / 2h, which is off by about 1e-9.
template <class Container>
std::vector<double> differences(Container x, const std::function<double(const Container&)>& loss) {
  std::vector<double> result;
  for (Index n = 0; n < static_cast<Index>(x.size()); ++n) {
    constexpr double kStep = 1e-5;
    const double at = x.data()[n];
    x.data()[n] = at + kStep;
    const double above = loss(x);
    x.data()[n] = at - kStep;
    const double below = loss(x);
    x.data()[n] = at;
    result.push_back((above - below) / (2 * kStep));
  }
  return result;
}

template <class Container>
void expect_gradient(const char* what, const Container& found, const std::vector<double>& wanted) {
  ASSERT_EQ(static_cast<std::size_t>(found.size()), wanted.size()) << what;
  double size = 0;
  for (const double entry : wanted) size = std::max(size, std::fabs(entry));
  EXPECT_GT(size, 0.01) << what << " is nearly zero and shows nothing";
  for (std::size_t n = 0; n < wanted.size(); ++n)
    EXPECT_NEAR(static_cast<double>(found.data()[n]), wanted[n], 1e-6 * (1 + size))
        << what << ", entry " << n;
}

using Cube = Tensor<double, 3>;  // [heads, seq, head_dim]

Cube random_cube(Random& random, Index heads, Index seq, Index head_dim) {
  Cube x(heads, seq, head_dim);
  random.fill(x);
  return x;
}

// --- RotaryEmbedding

// y = R x with x, frequencies, positions and magnitude moved one by one; options that all matter.
TEST(EmbeddingGradients, EqualCentralDifferences) {
  Random random(501);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 24; ++round) {
    const Index dim = 6, seq = 4;
    const Index seq_dim = round % 3 == 2 ? 0 : 1;
    // From the reference's arguments, with interpolation; or from frequencies, with a magnitude and a layout.
    const bool interpolates = round % 2 == 1;
    RotaryEmbeddingOptions options{.learned_freq = true,
                                   .interpolate_factor = interpolates ? 2.5 : 1.0,
                                   .cache_max_seq_len = 3,
                                   .pairing = kPairings[round / 2 % 2]};
    for (Index i = 0; i < dim / 2; ++i) options.custom_freqs.push_back(random.uniform(-2, 2));
    Frequencies frequencies = custom_frequencies(options.custom_freqs);
    if (!interpolates && round >= 8) frequencies.magnitude = random.uniform(0.5, 2);
    const HeadLayout layout{
        .start_index = interpolates ? 0 : round / 2 % 4, .pairing = options.pairing, .seq_dim = seq_dim};
    const auto embedding = [&](const Frequencies& of) {
      return interpolates ? RotaryEmbedding<double>(options) : RotaryEmbedding<double>(of, layout, 3);
    };
    const RotateOptions how{.offset = random.pick<FixedPosition>({0, 3, -2, 1.5}),
                            .seq_dim = seq_dim,
                            .scale = round < 8 ? 1 : random.uniform(0.5, 2)};
    const Cube x = seq_dim == 1 ? random_cube(random, 3, seq, dim + 4) : random_cube(random, seq, 3, dim + 4);
    Cube grad(x.dimensions());
    random.fill(grad);
    const RotaryEmbedding<double> rotary_emb = embedding(frequencies);
    const auto loss_of = [&](const RotaryEmbedding<double>& with, const Cube& of,
                             const RotateOptions& rotated) {
      return product(with.rotate_queries_or_keys(of, rotated), grad);
    };

    RotateOptions backwards = how;
    backwards.direction = Direction::transpose;
    expect_gradient("x", rotary_emb.rotate_queries_or_keys(grad, backwards),
                    differences<Cube>(x, [&](const Cube& moved) { return loss_of(rotary_emb, moved, how); }));

    expect_gradient(
        "frequencies", rotary_emb.frequency_gradient(x, grad, how),
        differences<std::vector<double>>(rotary_emb.freqs(), [&](const std::vector<double>& moved) {
          RotaryEmbedding<double> with(rotary_emb);
          with.set_freqs(moved);
          return loss_of(with, x, how);
        }));

    // One token moved at a time: rows of a table, which share the pairing, magnitude and factor.
    std::vector<double> positions;
    for (Index n = 0; n < seq; ++n)
      positions.push_back(static_cast<double>(how.offset) + static_cast<double>(n));
    Frequencies with_factor = scaled(frequencies, options.interpolate_factor);
    with_factor.magnitude *= how.scale;
    expect_gradient("positions", rotary_emb.position_gradient(x, grad, how),
                    differences<std::vector<double>>(positions, [&](const std::vector<double>& moved) {
                      const CosSinTable<double> table(
                          with_factor, Positions::listed(std::span<const double>(moved)), layout);
                      return product(apply_rotary_emb(table, x), grad);
                    }));

    expect_gradient("magnitude", std::vector<double>{rotary_emb.magnitude_gradient(x, grad, how)},
                    differences<std::vector<double>>(
                        {frequencies.magnitude * how.scale}, [&](const std::vector<double>& moved) {
                          RotateOptions with = how;
                          with.scale = moved[0] / frequencies.magnitude;
                          // What is not rotated does not depend on it, and cancels.
                          const double by_scale = loss_of(rotary_emb, x, with);
                          if (interpolates) return by_scale;
                          Frequencies louder = frequencies;
                          louder.magnitude = moved[0];
                          with.scale = 1;
                          const double by_magnitude = loss_of(embedding(louder), x, with);
                          EXPECT_NEAR(by_scale, by_magnitude, 1e-10);
                          return by_magnitude;
                        }));
  }
}

// With A = 0 nothing is left of x, but a step of training must find its way back.
TEST(EmbeddingGradients, MagnitudeMayBeZero) {
  Random random(502);
  SCOPED_TRACE(random.replay());
  const Cube x = random_cube(random, 1, 3, 4), grad = random_cube(random, 1, 3, 4);
  Frequencies frequencies = language_frequencies(4);
  const double wanted = product(RotaryEmbedding<double>(frequencies).rotate_queries_or_keys(x), grad);
  EXPECT_NEAR(RotaryEmbedding<double>(frequencies).magnitude_gradient(x, grad, {.scale = 0}), wanted, 1e-12);
  frequencies.magnitude = 0;
  EXPECT_NEAR(RotaryEmbedding<double>(frequencies).magnitude_gradient(x, grad), wanted, 1e-12);
}

// Tensors of every scalar leave the gradients of the same numbers in double.
TEST(EmbeddingGradients, AreTakenInDoubleForEveryScalar) {
  Random random(503);
  SCOPED_TRACE(random.replay());
  const RotaryEmbedding<float> rotary_emb(RotaryEmbeddingOptions{.dim = 6});
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    Tensor<X, 3> x(2, 3, 8), grad(2, 3, 8);
    random.fill(x);
    random.fill(grad);
    const Cube x_double = x.template cast<double>(), grad_double = grad.template cast<double>();
    const auto found = rotary_emb.frequency_gradient(x, grad, {.offset = 2});
    const auto wanted = rotary_emb.frequency_gradient(x_double, grad_double, {.offset = 2});
    for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(found[i], wanted[i]);
  });
}

TEST(EmbeddingGradients, OfAnglesEqualCentralDifferences) {
  Random random(504);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : kPairings) {
    const std::vector<double> freqs{0.75, -1.5, 0.25}, positions{0, 1, -3.5, 40};
    const RotaryEmbedding<double> rotary_emb(
        RotaryEmbeddingOptions{.custom_freqs = freqs, .pairing = pairing});
    Tensor<double, 2> grad(4, 6);
    random.fill(grad);
    const AngleGradients found = rotary_emb.angles_backward(positions, grad);
    expect_gradient("positions", found.positions,
                    differences<std::vector<double>>(positions, [&](const std::vector<double>& moved) {
                      return product(rotary_emb(moved), grad);
                    }));
    expect_gradient("frequencies", found.freqs,
                    differences<std::vector<double>>(freqs, [&](const std::vector<double>& moved) {
                      const RotaryEmbedding<double> with(
                          RotaryEmbeddingOptions{.custom_freqs = moved, .pairing = pairing});
                      return product(with(positions), grad);
                    }));
  }
}

TEST(EmbeddingGradients, OfAGridEqualCentralDifferences) {
  Random random(505);
  SCOPED_TRACE(random.replay());
  for (const FreqsFor freqs_for : {FreqsFor::lang, FreqsFor::pixel}) {
    for (const Pairing pairing : kPairings) {
      const std::vector<double> freqs{0.75, -1.5, 0.25};
      const std::array<Index, 2> sizes{3, 4};
      const AxialFrequencies<double> axial(custom_frequencies(freqs), freqs_for, {.pairing = pairing});
      Tensor<double, 3> grad(3, 4, 12);
      random.fill(grad);
      expect_gradient("frequencies", axial.frequency_gradient(sizes, grad),
                      differences<std::vector<double>>(freqs, [&](const std::vector<double>& moved) {
                        const AxialFrequencies<double> with(custom_frequencies(moved), freqs_for,
                                                            {.pairing = pairing});
                        return product(with.get_axial_freqs(sizes), grad);
                      }));
    }
  }
}

// --- XPos

TEST(XPosGradients, EqualCentralDifferences) {
  Random random(506);
  SCOPED_TRACE(random.replay());
  for (int round = 0; round < 8; ++round) {
    const Index dim = 6, seq = 4;
    const std::vector<double> freqs{0.75, -1.5, 0.25}, zeta{0.5, 0.8, 1.2};
    const RotaryEmbeddingOptions options{.dim = dim,
                                         .custom_freqs = freqs,
                                         .learned_freq = true,
                                         .interpolate_factor = round % 2 == 0 ? 1.0 : 2.0,
                                         .pairing = kPairings[round % 2]};
    XPosRotateOptions how{.offset = random.pick<FixedPosition>({0, 3, -2, 1.5})};
    if (round % 3 == 0) how.centre = 2.5;
    XPos<double> xpos(options, {.xpos_scale_base = 3});
    xpos.set_scale(zeta);
    const Cube q = random_cube(random, 2, seq, dim + 1), k = random_cube(random, 3, seq, dim + 1);
    const Cube grad_q = random_cube(random, 2, seq, dim + 1), grad_k = random_cube(random, 3, seq, dim + 1);
    const auto loss_of = [&](const XPos<double>& with, const Cube& of_q, const Cube& of_k) {
      const auto [xq, xk] = with.rotate_queries_and_keys(of_q, of_k, how);
      return product(xq, grad_q) + product(xk, grad_k);
    };

    XPosRotateOptions backwards = how;
    backwards.direction = Direction::transpose;
    const auto [of_q, of_k] = xpos.rotate_queries_and_keys(grad_q, grad_k, backwards);
    expect_gradient("q", of_q,
                    differences<Cube>(q, [&](const Cube& moved) { return loss_of(xpos, moved, k); }));
    expect_gradient("k", of_k,
                    differences<Cube>(k, [&](const Cube& moved) { return loss_of(xpos, q, moved); }));

    const auto found = xpos.parameter_gradient(q, k, grad_q, grad_k, how);
    expect_gradient("frequencies", found.freqs,
                    differences<std::vector<double>>(freqs, [&](const std::vector<double>& moved) {
                      XPos<double> with(xpos);
                      with.set_freqs(moved);
                      return loss_of(with, q, k);
                    }));
    expect_gradient("scale", found.scale,
                    differences<std::vector<double>>(zeta, [&](const std::vector<double>& moved) {
                      XPos<double> with(xpos);
                      with.set_scale(moved);
                      return loss_of(with, q, k);
                    }));
  }
}

// --- apply_rotary_emb

// Angles of several shapes, each twice or all different, broadcast over what they are not given for.
template <int Rank>
void check_apply(Random& random, std::array<Index, Rank> freqs_shape, bool twice, ApplyOptions options) {
  options.separate_angles = true;  // also where they are alike: differences move one of a pair
  const Cube t = random_cube(random, 3, 4, 9);
  const Cube grad = random_cube(random, 3, 4, 9);
  Tensor<double, Rank> freqs(freqs_shape);
  random.fill(freqs);
  if (twice) {
    const Index dim = freqs_shape[Rank - 1];
    for (Index row = 0; row < freqs.size(); row += dim) {
      for (Index i = 0; i < dim / 2; ++i) {
        const auto [a, b] = pair_features(options.pairing, dim / 2, i);
        freqs.data()[row + b] = freqs.data()[row + a];
      }
    }
  }
  using Angles = Tensor<double, Rank>;
  const auto found = apply_rotary_emb_backward(freqs, t, grad, options);
  expect_gradient("t", found.t, differences<Cube>(t, [&](const Cube& moved) {
                    return product(apply_rotary_emb(freqs, moved, options), grad);
                  }));
  expect_gradient("angles", found.freqs, differences<Angles>(freqs, [&](const Angles& moved) {
                    return product(apply_rotary_emb(moved, t, options), grad);
                  }));

  // With scales, one for every row or every feature of it.
  for (const Index width : {Index{1}, freqs_shape[Rank - 1]}) {
    std::array<Index, Rank> scale_shape = freqs_shape;
    scale_shape[Rank - 1] = width;
    Angles scale(scale_shape);
    random.fill(scale, 0.5, 1.5);
    ApplyOptions scaled = options;
    scaled.freqs_seq_dim.reset();
    const auto with_scale = apply_rotary_emb_backward(freqs, t, scale, grad, scaled);
    expect_gradient("t, scaled", with_scale.t, differences<Cube>(t, [&](const Cube& moved) {
                      return product(apply_rotary_emb(freqs, moved, scale, scaled), grad);
                    }));
    expect_gradient("angles, scaled", with_scale.freqs, differences<Angles>(freqs, [&](const Angles& moved) {
                      return product(apply_rotary_emb(moved, t, scale, scaled), grad);
                    }));
    expect_gradient("scale", with_scale.scale, differences<Angles>(scale, [&](const Angles& moved) {
                      return product(apply_rotary_emb(freqs, t, moved, scaled), grad);
                    }));
  }
}

TEST(ApplyGradients, EqualCentralDifferences) {
  Random random(507);
  SCOPED_TRACE(random.replay());
  for (const bool twice : {true, false}) {
    SCOPED_TRACE(twice ? "angles twice" : "angles all different");
    for (const Pairing pairing : kPairings) {
      SCOPED_TRACE(name_of(pairing));
      check_apply<2>(random, {4, 6}, twice, {.start_index = 2, .pairing = pairing});  // [seq, dim]
      check_apply<2>(random, {3, 6}, twice,
                     {.seq_dim = 0, .scale = 1.5, .pairing = pairing});  // on another axis
      check_apply<3>(random, {3, 4, 8}, twice, {.pairing = pairing});    // a row for each
      check_apply<3>(random, {3, 1, 4}, twice, {.pairing = pairing});    // for each head
    }
  }
}

// The rows of longer angles that were not used have no gradient.
TEST(ApplyGradients, OfTheLastRowsOnly) {
  Random random(508);
  SCOPED_TRACE(random.replay());
  const Cube t = random_cube(random, 2, 3, 6), grad = random_cube(random, 2, 3, 6);
  Tensor<double, 2> freqs(5, 6);
  random.fill(freqs);
  const ApplyOptions options{.separate_angles = true};
  const auto found = apply_rotary_emb_backward(freqs, t, grad, options);
  expect_gradient("angles", found.freqs,
                  differences<Tensor<double, 2>>(freqs, [&](const Tensor<double, 2>& moved) {
                    return product(apply_rotary_emb(moved, t, options), grad);
                  }));
  for (Index n = 0; n < 2 * 6; ++n) EXPECT_EQ(found.freqs.data()[n], 0);
}

// --- learned rotations

TEST(LearnedRotationGradients, EqualCentralDifferences) {
  Random random(509);
  SCOPED_TRACE(random.replay());
  for (const Pairing pairing : kPairings) {
    for (const std::vector<double>& ranges : {std::vector<double>{1}, std::vector<double>{0.5, 2}}) {
      const LearnedRotationOptions options{.start_index = 1, .pairing = pairing};
      const Cube t = random_cube(random, 3, 4, 9), grad = random_cube(random, 3, 4, 9);
      Tensor<double, 2> rotations(4, 2);
      random.fill(rotations);
      using Angles = Tensor<double, 2>;
      const auto found = apply_learned_rotations_backward(rotations, t, grad, options, ranges);
      const auto loss_of = [&](const Angles& with, const Cube& of, const std::vector<double>& times) {
        return product(apply_learned_rotations(with, of, options, times), grad);
      };
      expect_gradient("t", found.t, differences<Cube>(t, [&](const Cube& moved) {
                        return loss_of(rotations, moved, ranges);
                      }));
      expect_gradient("rotations", found.rotations, differences<Angles>(rotations, [&](const Angles& moved) {
                        return loss_of(moved, t, ranges);
                      }));
      expect_gradient("ranges", found.freq_ranges,
                      differences<std::vector<double>>(ranges, [&](const std::vector<double>& moved) {
                        return loss_of(rotations, t, moved);
                      }));
    }
  }
}

// --- the adjoint law

// ⟨R x, y⟩ = ⟨x, Rᵀ y⟩ within four roundings, on every layout and whatever the window, the axis and the
// position.
TEST(Adjoint, TransposeIsTheGradient) {
  Random random(510);
  SCOPED_TRACE(random.replay());
  for_each_scalar([&](auto scalar) {
    using X = decltype(scalar);
    double worst = 0;
    for (int round = 0; round < 200; ++round) {
      const int rank = random.integer(2, 5);
      const Index dim = 2 * random.integer<Index>(1, 20), start = random.integer<Index>(0, 2);
      const RotaryEmbedding<RowsFor<X>> rotary_emb(language_frequencies(dim),
                                                   {.start_index = start, .pairing = kPairings[round % 2]});
      StridedArray<X> x(random_shape(random, rank, start + dim + random.integer<Index>(0, 2)));
      x.fill(random);
      StridedArray<X> y(x.extents(), Layout::random(random, rank));
      y.fill(random);
      RotateOptions options{
          .offset = random.pick<FixedPosition>({0, -70, 1000003, 2.5, (Index{1} << 31) - 3}),
          .seq_dim = random.integer(0, rank - 2),
          .scale = random.pick({1.0, 0.5, 2.0})};
      StridedArray<X> rotated_x(x.extents()), rotated_y(x.extents());
      rotary_emb.rotate_into(x.view(), rotated_x.view(), options);
      options.direction = Direction::transpose;
      rotary_emb.rotate_into(y.view(), rotated_y.view(), options);
      double left = 0, right = 0, x_size = 0, y_size = 0;
      for (Index n = 0; n < x.size(); ++n) {
        const double of_x = static_cast<double>(x[n]), of_y = static_cast<double>(y[n]);
        left += static_cast<double>(rotated_x[n]) * of_y;
        right += of_x * static_cast<double>(rotated_y[n]);
        x_size += of_x * of_x;
        y_size += of_y * of_y;
      }
      const double size = std::sqrt(x_size * y_size) * std::max(1.0, options.scale);
      worst = std::max(worst, std::fabs(left - right) / size);
    }
    EXPECT_LE(worst, 4 * kUnit<X>) << worst / kUnit<X> << " units";
    EXPECT_GT(worst, 0);
  });
}

}  // namespace
}  // namespace rotary::testing
