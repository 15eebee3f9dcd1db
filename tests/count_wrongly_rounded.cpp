// Counts the entries of float tables that are not the float nearest to the real cosine or sine: all 75 million of head
// sizes 64 and 128, theta 1e4, 5e5 and 1e6, and positions 0 to 131,071, and exits with 0 if there are none.
//
//   cmake --build build --target count_wrongly_rounded && build/tests/count_wrongly_rounded
//
// An argument is a number of positions in place of 131,072.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <rotary/cos_sin_table.hpp>

#include "support/rounding_oracle.hpp"

int main(int count, char** arguments) {
  using namespace rotary;
  using Clock = std::chrono::steady_clock;
  const Index positions = count > 1 ? std::atol(arguments[1]) : 131072;
  if (positions < 1 || positions > 1 << 22) {
    std::fprintf(stderr, "usage: %s [positions, 1 to 4194304]\n", arguments[0]);
    return 2;
  }
  const auto start = Clock::now();
  std::printf("%8s %9s %12s %6s %16s %8s\n", "dim", "theta", "entries", "wrong", "left to MPFR", "seconds");
  std::int64_t all = 0, all_wrong = 0;
  for (const int dim : {64, 128}) {
    for (const double theta : {1e4, 5e5, 1e6}) {
      const auto begin = Clock::now();
      testing::RoundingOracle oracle(theta, dim);
      std::int64_t wrong = 0;
      constexpr Index kBlock = 8192;
      for (Index first = 0; first < positions; first += kBlock) {
        const Index rows = std::min(kBlock, positions - first);
        const CosSinTable<float> table(language_frequencies(dim, theta), Positions::consecutive(rows, first));
        for (Index n = 0; n < rows; ++n)
          for (Index i = 0; i < dim / 2; ++i)
            wrong +=
                oracle.count_wrong(static_cast<std::size_t>(i), first + n, table.cos(n, i), table.sin(n, i));
      }
      const std::int64_t entries = positions * dim;
      std::printf("%8d %9g %12lld %6lld %16lld %8.1f\n", dim, theta, static_cast<long long>(entries),
                  static_cast<long long>(wrong), static_cast<long long>(oracle.undecided()),
                  std::chrono::duration<double>(Clock::now() - begin).count());
      all += entries, all_wrong += wrong;
    }
  }
  std::printf("%lld of %lld entries are not the nearest float; %.1f s\n", static_cast<long long>(all_wrong),
              static_cast<long long>(all), std::chrono::duration<double>(Clock::now() - start).count());
  return all_wrong == 0 ? 0 : 1;
}
