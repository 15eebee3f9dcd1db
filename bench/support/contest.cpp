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

/// The processor's time that this thread has had: what it spends waiting for others does not count.
double thread_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0)
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
#endif
  return wall_seconds();
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

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void refuse(benchmark::State& state, const Contest& contest, const std::string& wrong) {
  std::fprintf(stderr, "%s: not timed, its answer is wrong: %s\n", contest.name.c_str(), wrong.c_str());
  refused() = true;
  state.SkipWithError("the answer is wrong");
}

void run(benchmark::State& state, const Contest& contest, const std::function<Race()>& make) {
  const Race race = make();
  if (const std::string wrong = race.check(); !wrong.empty()) return refuse(state, contest, wrong);
  const Timed subject_timed(race.subject, race.by_the_wall),
      yardstick_timed(race.yardstick, race.by_the_wall);

  std::vector<double> subject_times, yardstick_times, ratios;
  const bool by_time = contest.goal.kind == Goal::Kind::at_most;
  bool subject_first = true;
  for (auto _ : state) {
    double subject = 0, yardstick = 0;
    // Who goes first changes, in case that matters.
    if (subject_first) subject = subject_timed.seconds_per_call();
    yardstick = yardstick_timed.seconds_per_call();
    if (!subject_first) subject = subject_timed.seconds_per_call();
    subject_first = !subject_first;
    state.SetIterationTime(subject);
    subject_times.push_back(subject);
    yardstick_times.push_back(yardstick);
    ratios.push_back(by_time ? subject / yardstick
                             : (race.subject_bytes / subject) / (race.yardstick_bytes / yardstick));
  }
  state.counters["ratio"] = median(ratios);
  state.counters["GB/s"] = race.subject_bytes / median(subject_times) * 1e-9;
  state.counters["yardstick_GB/s"] = race.yardstick_bytes / median(yardstick_times) * 1e-9;
  if (contest.goal.kind != Goal::Kind::none)
    state.counters[by_time ? "at_most" : "at_least"] = contest.goal.bound;
  state.SetLabel(contest.row + " | " + contest.yardstick);
}

}  // namespace

void add(const Contest& contest, std::function<Race()> make) {
  benchmark::RegisterBenchmark(
      contest.name.c_str(),
      [contest, make = std::move(make)](benchmark::State& state) { run(state, contest, make); })
      ->Iterations(settings().rounds)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace bench
