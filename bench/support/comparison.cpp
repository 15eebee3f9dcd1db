#include "comparison.hpp"

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

/// One function, and how it is timed.
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

  /// A round. Before the timed calls, untimed ones replace what the other function left in the caches, unless
  /// a call takes so long that it does not matter.
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

void label(benchmark::State& state, const Entry& entry) {
  if (entry.goal.kind != Goal::Kind::none)
    state.counters[entry.goal.kind == Goal::Kind::at_most ? "at_most" : "at_least"] = entry.goal.bound;
  state.SetLabel(entry.row + " | " + entry.baseline + (entry.unit.empty() ? "" : " | " + entry.unit));
}

void refuse(benchmark::State& state, const Entry& entry, const std::string& wrong) {
  std::fprintf(stderr, "%s: not timed, its answer is wrong: %s\n", entry.name.c_str(), wrong.c_str());
  refused() = true;
  state.SkipWithError("the answer is wrong");
}

void run(benchmark::State& state, const Entry& entry, const std::function<Comparison()>& make) {
  const Comparison comparison = make();
  if (const std::string wrong = comparison.check(); !wrong.empty()) return refuse(state, entry, wrong);
  const Timed measured_timed(comparison.measured, comparison.by_the_wall);
  std::vector<Timed> baselines{Timed(comparison.baseline, comparison.by_the_wall)};
  for (const auto& baseline : comparison.more_baselines)
    baselines.emplace_back(baseline, comparison.by_the_wall);

  std::vector<double> measured_times;
  std::vector<std::vector<double>> baseline_times(baselines.size()), ratios(baselines.size());
  const bool by_time = entry.goal.kind == Goal::Kind::at_most;
  bool measured_first = true;
  for (auto _ : state) {
    double measured = 0;
    // The first one alternates, in case the order matters.
    if (measured_first) measured = measured_timed.seconds_per_call();
    for (std::size_t n = 0; n < baselines.size(); ++n)
      baseline_times[n].push_back(baselines[n].seconds_per_call());
    if (!measured_first) measured = measured_timed.seconds_per_call();
    measured_first = !measured_first;
    state.SetIterationTime(measured);
    measured_times.push_back(measured);
    for (std::size_t n = 0; n < baselines.size(); ++n) {
      const double baseline = baseline_times[n].back();
      ratios[n].push_back(by_time ? measured / baseline
                                  : (comparison.measured_bytes / measured) /
                                        (comparison.baseline_bytes / baseline));
    }
  }
  std::size_t best = 0;
  for (std::size_t n = 1; n < baselines.size(); ++n)
    if (by_time ? median(ratios[n]) > median(ratios[best]) : median(ratios[n]) < median(ratios[best]))
      best = n;
  state.counters["ratio"] = median(ratios[best]);
  state.counters["GB/s"] = comparison.measured_bytes / median(measured_times) * 1e-9;
  state.counters["baseline_GB/s"] = comparison.baseline_bytes / median(baseline_times[best]) * 1e-9;
  label(state, entry);
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

void add(const Entry& entry, std::function<Comparison()> make) {
  benchmark::RegisterBenchmark(entry.name.c_str(), [entry, make = std::move(make)](
                                                       benchmark::State& state) { run(state, entry, make); })
      ->Iterations(settings().rounds)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_number(const Entry& entry, std::function<double()> measure) {
  benchmark::RegisterBenchmark(entry.name.c_str(),
                               [entry, measure = std::move(measure)](benchmark::State& state) {
                                 std::vector<double> values;
                                 for (auto _ : state) {
                                   state.SetIterationTime(1e-9);  // the number is not the time of a call
                                   values.push_back(measure());
                                 }
                                 state.counters["ratio"] = median(values);
                                 label(state, entry);
                               })
      ->Iterations(settings().rounds)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace bench
