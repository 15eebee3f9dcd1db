// Rotates the queries of an image by row and column, first by angles and then by a table of their cosines and
// sines.
#include <array>
#include <cmath>
#include <cstdio>
#include <rotary/rotary.hpp>

int main() {
  constexpr long kHeight = 3, kWidth = 4, kFeatures = 8;
  // Four features rotate by the row, the next four by the column; coordinates run from −1 to 1.
  const rotary::AxialFrequencies<float> pixels(
      {.dim = 4, .freqs_for = rotary::FreqsFor::pixel, .max_freq = 10});

  rotary::Tensor<float, 4> q(1, kHeight, kWidth, kFeatures);  // [batch, height, width, head_dim]
  q.setConstant(1);

  const auto freqs = pixels.get_axial_freqs(kHeight, kWidth);  // [height, width, head_dim]
  std::printf("angles of the top left pixel:");
  for (int i = 0; i < kFeatures; ++i) std::printf(" %.2f", freqs(0, 0, i));
  std::printf("\n");

  const auto rotated = rotary::apply_rotary_emb(freqs, q);
  // The same angles once for many layers.
  const auto table = pixels.table(std::array<rotary::Index, 2>{kHeight, kWidth});
  rotary::apply_rotary_emb_in_place(table, q);

  float largest_difference = 0;
  for (long i = 0; i < q.size(); ++i)
    largest_difference = std::max(largest_difference, std::fabs(q.data()[i] - rotated.data()[i]));
  std::printf("angles and table agree: %s\n", largest_difference < 1e-6f ? "yes" : "no");
  return largest_difference < 1e-6f ? 0 : 1;
}

// prints:
//   angles of the top left pixel: -3.14 -3.14 -15.71 -15.71 -3.14 -3.14 -15.71 -15.71
//   angles and table agree: yes
