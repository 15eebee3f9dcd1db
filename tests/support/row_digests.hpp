// One number for the bits of many rows of cosines and sines, which must not change with the compiler, its flags,
// the instruction set or the machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/kernels/cos_sin_of_angles.hpp>
#include <rotary/kernels/cos_sin_rows.hpp>
#include <span>
#include <vector>

namespace rotary::testing {

struct RowDigest {
  std::uint64_t value = 0xcbf29ce484222325u;

  template <class Row>
  void add(const std::vector<Row>& rows) {
    using Word = std::conditional_t<sizeof(Row) == 4, std::uint32_t, std::uint64_t>;
    for (const Row& x : rows) {
      Word word;
      std::memcpy(&word, &x, sizeof word);
      value = (value ^ word) * 0x100000001b3u;
    }
  }
};

/// Of rows from positions: consecutive and listed, near, far and fractional, on one axis and on three.
template <class Row>
std::uint64_t digest_of_rows() {
  RowDigest digest;
  for (const Index dim : {128, 74}) {
    const auto frequencies = language_frequencies(dim);
    const TurnSteps steps(frequencies);
    const auto sections = mrope_axes_interleaved({dim / 2 - 2 * (dim / 6), dim / 6, dim / 6});
    const TurnSteps three(on_axes(frequencies, sections, 3));
    for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
      std::vector<Row> rows(static_cast<std::size_t>(70 * dim));
      const auto make = [&](const TurnSteps& of, const Positions& positions) {
        kernels::cos_sin_rows(of, positions, 0, 70, {.factor = 1.25}, pairing, rows.data());
        digest.add(rows);
      };
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{-1000}, (std::int64_t{1} << 31) - 40,
                                       std::int64_t{123456789012345}})
        make(steps, Positions::consecutive(70, first));
      make(steps, Positions::consecutive(70, -2.625));
      std::vector<std::int64_t> near(70), far(70);
      std::vector<double> fractional(70);
      for (std::size_t n = 0; n < 70; ++n) {
        const auto draw = static_cast<std::int64_t>((n + 1) * 0x9e3779b97f4a7c15u);
        near[n] = draw >> 33, far[n] = draw >> 3;
        fractional[n] = static_cast<double>(draw >> 33) * 0x1p-11;
      }
      const auto nears = AxisPositions::listed(std::span<const std::int64_t>(near));
      const auto fars = AxisPositions::listed(std::span<const std::int64_t>(far));
      const auto fractionals = AxisPositions::listed(std::span<const double>(fractional));
      for (const AxisPositions& axis : {nears, fars, fractionals}) make(steps, axis);
      for (const AxisPositions& axis : {nears, fars, fractionals})
        make(three, Positions::together(std::vector{nears, axis, AxisPositions::consecutive(70, -35)}));
    }
  }
  return digest.value;
}

/// Of rows of float from angles.
inline std::uint64_t digest_of_angles() {
  RowDigest digest;
  for (const Pairing pairing : {Pairing::half, Pairing::interleaved}) {
    for (const std::size_t pairs : {std::size_t{1}, std::size_t{13}, std::size_t{64}}) {
      const auto [pair, partner] = kernels::pair_strides(pairing, static_cast<Index>(pairs));
      std::vector<float> angles(2 * pairs), row(2 * pairs);
      std::vector<double> wide(pairs), scale(pairs);
      for (int n = 0; n < 200; ++n) {
        for (std::size_t i = 0; i < pairs; ++i) {
          const auto at = static_cast<std::size_t>(static_cast<Index>(i) * pair);
          wide[i] = (n - 100) * 37.76953125 + static_cast<double>(i) * 1000.09765625;  // exact
          scale[i] = 1 + static_cast<double>(i) * 0x1p-8;
          angles[at] = angles[at + static_cast<std::size_t>(partner)] = static_cast<float>(wide[i]);
        }
        kernels::cos_sin_of_shared_angles(angles.data(), 0.75, static_cast<Index>(pairs), pairing,
                                          row.data());
        digest.add(row);
        kernels::cos_sin_of_angles(wide.data(), scale.data(), static_cast<Index>(pairs), pairing, row.data(),
                                   static_cast<Index>(pairs));
        digest.add(row);
      }
    }
  }
  return digest.value;
}

inline constexpr std::uint64_t kDigestOfFloatRows = 18149711819156119435u,
                               kDigestOfDoubleRows = 1779896135007698523u,
                               kDigestOfAngles = 16174330982747761209u;

}  // namespace rotary::testing
