// The main program of every benchmark: Google Benchmark's, with flags for how long to measure, and readable
// names.
//
//   --quick   short rounds, without what takes long
//   --smoke   every benchmark once, to see that it runs and its answer is right

#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include <rotary/kernels/simd.hpp>

#include "run.hpp"

namespace bench {

Settings& mutable_settings() {
  static Settings settings;
  return settings;
}
const Settings& settings() { return mutable_settings(); }

bool& refused() {
  static bool refused = false;
  return refused;
}

namespace {

/// Names without "/iterations:11/manual_time", which is the same for all.
std::vector<benchmark::BenchmarkReporter::Run> with_short_names(
    std::vector<benchmark::BenchmarkReporter::Run> runs) {
  for (auto& run : runs) {
    run.run_name.iterations.clear();
    run.run_name.time_type.clear();
  }
  return runs;
}

/// JSON, for --benchmark_out.
class JsonReporter : public benchmark::JSONReporter {
  void ReportRuns(const std::vector<Run>& runs) override {
    benchmark::JSONReporter::ReportRuns(with_short_names(runs));
  }
};

/// One line for each benchmark, as soon as it is done.
class LineReporter : public benchmark::BenchmarkReporter {
  bool ReportContext(const Context&) override {
    std::printf("%-58s %9s %9s   %8s  %8s\n", "", "time/us", "ratio", "GB/s", "baseline");
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : with_short_names(runs)) {
      const auto value = [&](const char* name) {
        const auto found = run.counters.find(name);
        return found == run.counters.end() ? 0.0 : static_cast<double>(found->second);
      };
      if (value("ratio") == 0) continue;  // an error, reported already
      const double least = value("at_least"), most = value("at_most"), ratio = value("ratio");
      const bool below = !settings().smoke && ((least != 0 && ratio < least) || (most != 0 && ratio > most));
      std::printf("%-58s %9.2f %9.3f%s %8.1f  %8.1f\n", run.benchmark_name().c_str(),
                  run.GetAdjustedRealTime(), ratio, below ? " !" : "  ", value("GB/s"),
                  value("baseline_GB/s"));
    }
    std::fflush(stdout);
  }
};

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string compiler() {
#if defined(__clang__)
  return "clang++ " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

std::string eigen() {
  std::ostringstream text;
#if defined(EIGEN_MAJOR_VERSION) && EIGEN_MAJOR_VERSION >= 5
  text << EIGEN_MAJOR_VERSION << '.' << EIGEN_MINOR_VERSION << '.' << EIGEN_PATCH_VERSION;
#else
  text << EIGEN_WORLD_VERSION << '.' << EIGEN_MAJOR_VERSION << '.' << EIGEN_MINOR_VERSION;
#endif
  return text.str();
}

std::string instruction_set() {
#if ROTARY_VECTOR_EXTENSIONS
  constexpr const char* kNames[] = {"baseline", "AVX2", "AVX-512"};
  return kNames[static_cast<int>(rotary::kernels::instruction_set())];
#else
  return "plain loops";
#endif
}

/// Takes our own flags out of the command line; true if one of Google Benchmark's starts with `looked_for`.
bool take_flags(int& argc, char** argv, const char* looked_for) {
  bool found = false;
  int remaining = 1;
  for (int n = 1; n < argc; ++n) {
    Settings& settings = mutable_settings();
    if (std::strcmp(argv[n], "--quick") == 0) {
      settings.quick = true;
      settings.rounds = 9;
      settings.round_seconds = 0.001;
    } else if (std::strcmp(argv[n], "--smoke") == 0) {
      settings.smoke = true;
      settings.rounds = 1;
      settings.round_seconds = 0;
    } else {
      found = found || std::strncmp(argv[n], looked_for, std::strlen(looked_for)) == 0;
      argv[remaining++] = argv[n];
    }
  }
  argc = remaining;
  return found;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bool to_file = bench::take_flags(argc, argv, "--benchmark_out=");
  const bool own_format = bench::take_flags(argc, argv, "--benchmark_format=");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("processor", bench::processor());
  benchmark::AddCustomContext("compiler", bench::compiler());
  benchmark::AddCustomContext("flags", ROTARY_BENCH_FLAGS);
  benchmark::AddCustomContext("eigen", bench::eigen());
  benchmark::AddCustomContext("instruction_set", bench::instruction_set());
  bench::register_benchmarks();
  bench::LineReporter lines;
  bench::JsonReporter json;
  benchmark::RunSpecifiedBenchmarks(own_format ? nullptr : &lines, to_file ? &json : nullptr);
  return bench::refused() ? 1 : 0;
}
