#include "contest.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <vector>

#include "run.hpp"

namespace bench {
namespace {

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// One contestant, and how its time is taken.
class Timed {
 public:
  Timed(const std::function<void(Index)>& work, bool by_the_wall)
      : work_(work), now_(by_the_wall ? wall_seconds : thread_seconds) {
    const double wanted = settings().round_seconds;
    for (Index calls = 1;; calls *= 4) {
      const double taken = seconds(calls);
      if (taken < wanted / 4) continue;
      const double fitting = taken > 0 ? static_cast<double>(calls) * wanted / taken : 1;
      calls_ = std::max<Index>(1, static_cast<Index>(std::ceil(fitting)));
      return;
    }
  }

  /// A round. What the other contestant left in the caches is gone by the time that counts, unless a call
  /// takes so long that it does not matter.
  double seconds_per_call() const {
    if (calls_ > 1) work_(1);
    return seconds(calls_) / static_cast<double>(calls_);
  }

 private:
  double seconds(Index calls) const {
    const double start = now_();
    work_(calls);
    return now_() - start;
  }

  const std::function<void(Index)>& work_;
  double (*now_)();
  Index calls_ = 1;
};

/// The median; of no values 0.
double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void label(benchmark::State& state, const Contest& contest) {
  if (contest.goal.kind != Goal::Kind::none)
    state.counters[contest.goal.kind == Goal::Kind::at_most ? "at_most" : "at_least"] = contest.goal.bound;
  state.SetLabel(contest.row + " | " + contest.yardstick +
                 (contest.unit.empty() ? "" : " | " + contest.unit));
}

void refuse(benchmark::State& state, const Contest& contest, const std::string& wrong) {
  std::fprintf(stderr, "%s: not timed, its answer is wrong: %s\n", contest.name.c_str(), wrong.c_str());
  refused() = true;
  state.SkipWithError("the answer is wrong");
}

void run(benchmark::State& state, const Contest& contest, const std::function<Race()>& make) {
  const Race race = make();
  if (const std::string wrong = race.check(); !wrong.empty()) return refuse(state, contest, wrong);
  const Timed subject_timed(race.subject, race.by_the_wall);
  std::vector<Timed> yardsticks{Timed(race.yardstick, race.by_the_wall)};
  for (const auto& yardstick : race.more_yardsticks) yardsticks.emplace_back(yardstick, race.by_the_wall);

  std::vector<double> subject_times;
  std::vector<std::vector<double>> yardstick_times(yardsticks.size()), ratios(yardsticks.size());
  const bool by_time = contest.goal.kind == Goal::Kind::at_most;
  bool subject_first = true;
  for (auto _ : state) {
    double subject = 0;
    // Who goes first changes, in case that matters.
    if (subject_first) subject = subject_timed.seconds_per_call();
    for (std::size_t n = 0; n < yardsticks.size(); ++n)
      yardstick_times[n].push_back(yardsticks[n].seconds_per_call());
    if (!subject_first) subject = subject_timed.seconds_per_call();
    subject_first = !subject_first;
    state.SetIterationTime(subject);
    subject_times.push_back(subject);
    for (std::size_t n = 0; n < yardsticks.size(); ++n) {
      const double yardstick = yardstick_times[n].back();
      ratios[n].push_back(by_time ? subject / yardstick
                                  : (race.subject_bytes / subject) / (race.yardstick_bytes / yardstick));
    }
  }
  std::size_t best = 0;
  for (std::size_t n = 1; n < yardsticks.size(); ++n)
    if (by_time ? median(ratios[n]) > median(ratios[best]) : median(ratios[n]) < median(ratios[best]))
      best = n;
  state.counters["ratio"] = median(ratios[best]);
  state.counters["GB/s"] = race.subject_bytes / median(subject_times) * 1e-9;
  state.counters["yardstick_GB/s"] = race.yardstick_bytes / median(yardstick_times[best]) * 1e-9;
  label(state, contest);
}

}  // namespace

double thread_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0)
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
#endif
  return wall_seconds();
}

void add(const Contest& contest, std::function<Race()> make) {
  benchmark::RegisterBenchmark(
      contest.name.c_str(),
      [contest, make = std::move(make)](benchmark::State& state) { run(state, contest, make); })
      ->Iterations(settings().rounds)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_number(const Contest& contest, std::function<double()> measure) {
  benchmark::RegisterBenchmark(contest.name.c_str(),
                               [contest, measure = std::move(measure)](benchmark::State& state) {
                                 std::vector<double> values;
                                 for (auto _ : state) {
                                   state.SetIterationTime(1e-9);  // the number is no time of a call
                                   values.push_back(measure());
                                 }
                                 state.counters["ratio"] = median(values);
                                 label(state, contest);
                               })
      ->Iterations(settings().rounds)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace bench
