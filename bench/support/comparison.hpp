// Comparisons: a function against its baselines, in one process, in alternating rounds.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <rotary/core/config.hpp>

namespace bench {

using rotary::Index;

/// A function that is measured, and its baseline. Both take the number of times to do their work.
struct Comparison {
  std::function<void(Index)> measured, baseline;
  /// What is wrong with the result of the measured function; if nothing, it is timed.
  std::function<std::string()> check;
  /// Bytes read and written by one call. Rates are compared, so the two may do different amounts of it.
  double measured_bytes = 0, baseline_bytes = 0;
  /// Other threads share the work, so that the wall clock counts, and not the time of this thread.
  bool by_the_wall = false;
  /// Further baselines of the same work. The best of all, by the median of its ratios, counts.
  std::vector<std::function<void(Index)>> more_baselines = {};
};

/// A function that calls `f()` repeatedly, with a compiler barrier after each call.
template <class F>
std::function<void(Index)> repeated(F f) {
  return [f = std::move(f)](Index times) mutable {
    for (Index n = 0; n < times; ++n) {
      f();
      benchmark::ClobberMemory();
    }
  };
}

/// The bound of a ratio.
struct Goal {
  enum class Kind { none, at_least, at_most } kind = Kind::none;
  double bound = 0;
};
/// The measured rate over that of the baseline is at least this.
constexpr Goal at_least(double bound) { return {Goal::Kind::at_least, bound}; }
/// The measured time over that of the baseline is at most this.
constexpr Goal at_most(double bound) { return {Goal::Kind::at_most, bound}; }
/// The ratio is shown, without a goal.
constexpr Goal no_goal() { return {}; }

/// An entry of the table.
struct Entry {
  std::string name;      ///< "rotate/half/float/in_place/cache"
  std::string row;       ///< which promise it belongs to: "in place: decode, cache"
  std::string baseline;  ///< what it is measured against: "x *= a"
  Goal goal;
  std::string unit = {};  ///< of the goal; if empty, a goal of at_most is a ratio of times
};

/// Registers an entry with Google Benchmark. `make` is called, and allocates, when the benchmark runs.
void add(const Entry& entry, std::function<Comparison()> make);

/// Registers a number that is not a ratio of times, such as bytes or a longest step: the median of the
/// results of `measure`.
void add_number(const Entry& entry, std::function<double()> measure);

/// The processor time of this thread, without waiting for others.
double thread_seconds();

/// How long to measure; set by the flags of the command line before `register_benchmarks`.
struct Settings {
  int rounds = 11;               ///< of measured and baseline each; the median of their ratios counts
  double round_seconds = 0.003;  ///< one of them lasts at least so long
  bool quick = false;            ///< skip what takes long and adds little
  bool smoke = false;            ///< only check that everything runs and is right
};
const Settings& settings();

/// Defined by every benchmark program: adds its entries.
void register_benchmarks();

}  // namespace bench
