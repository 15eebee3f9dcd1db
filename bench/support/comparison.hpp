// Contests: something against its yardstick, in one process, turn by turn.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <rotary/core/config.hpp>

namespace bench {

using rotary::Index;

/// Two ways to do a piece of work. Each is a function that does it so many times over.
struct Race {
  std::function<void(Index)> subject, yardstick;
  /// What is wrong with the subject's answer, or nothing. Only then is it timed.
  std::function<std::string()> check;
  /// Bytes read and written by one call. Rates are compared, so the two may do different amounts of it.
  double subject_bytes = 0, yardstick_bytes = 0;
  /// Other threads share the work, so that the clock on the wall counts, and not the time of this thread.
  bool by_the_wall = false;
  /// Further yardsticks of the same work. The best of all, by the median of its ratios, is the one that counts.
  std::vector<std::function<void(Index)>> more_yardsticks = {};
};

/// `f()` over and over; the compiler may not carry anything from one time to the next.
template <class F>
std::function<void(Index)> repeated(F f) {
  return [f = std::move(f)](Index times) mutable {
    for (Index n = 0; n < times; ++n) {
      f();
      benchmark::ClobberMemory();
    }
  };
}

/// What the ratio ought to be.
struct Goal {
  enum class Kind { none, at_least, at_most } kind = Kind::none;
  double bound = 0;
};
/// The subject's rate over the yardstick's is at least this.
constexpr Goal at_least(double bound) { return {Goal::Kind::at_least, bound}; }
/// The subject's time over the yardstick's is at most this.
constexpr Goal at_most(double bound) { return {Goal::Kind::at_most, bound}; }
/// The rates are shown side by side, nothing is promised.
constexpr Goal no_goal() { return {}; }

/// A line of the table.
struct Contest {
  std::string name;       ///< "rotate/half/float/in_place/cache"
  std::string row;        ///< which promise it belongs to: "in place: decode, cache"
  std::string yardstick;  ///< what it is measured against: "x *= a"
  Goal goal;
  std::string unit = {};  ///< of the goal; where it is empty, a goal of at most so much is a ratio of times
};

/// Registers a contest with Google Benchmark. `make` allocates what it needs when its turn comes.
void add(const Contest& contest, std::function<Race()> make);

/// Registers a number that is no ratio of times, such as bytes or a longest step: the median of what `measure` returns.
void add_number(const Contest& contest, std::function<double()> measure);

/// The processor's time that this thread has had: what it spends waiting for others does not count.
double thread_seconds();

/// How long to measure; set by the flags of the command line before `register_benchmarks`.
struct Settings {
  int rounds = 11;               ///< of subject and yardstick each; the median of their ratios counts
  double round_seconds = 0.003;  ///< one of them lasts at least so long
  bool quick = false;            ///< leave out what takes long and tells little more
  bool smoke = false;            ///< only see that everything runs and is right
};
const Settings& settings();

/// Defined by every benchmark program: adds its contests.
void register_benchmarks();

}  // namespace bench
