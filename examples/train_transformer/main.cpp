// Trains a decoder with rotary attention on a text or on additions. See README.md in this folder, or --help.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <thread>

#include "demo.hpp"
#include "evaluate.hpp"
#include "options.hpp"
#include "run.hpp"

namespace {

/// Prints an error and ends the processes of all ranks. What is wrong on all of them is printed once: the first one does not wait.
int fail(const train::Ranks& ranks, const char* what) {
  if (!ranks.is_first()) std::this_thread::sleep_for(std::chrono::seconds(1));
  std::fprintf(stderr, "train_transformer: %s\n", what);
  ranks.end_job();
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a transformer with rotary positions, on a text or on additions."};
  train::Options options;
  const train::Ranks ranks = train::Ranks::of_job();
  if (!ranks.is_first() && !std::freopen("/dev/null", "w", stdout)) return 1;  // the first one speaks for all
  try {
    train::parse_options(app, argc, argv, options);
    std::signal(SIGINT, [](int) { train::interrupted = 1; });
    if (ranks.count() > 1 && (options.demo || options.evaluate))
      throw train::OptionError("--demo and --evaluate run in one process");
    if (options.demo)
      train::demo(options);
    else if (options.evaluate)
      train::evaluate(options);
    else
      train::run(options, ranks);
  } catch (const CLI::ParseError& error) {
    if (!ranks.is_first()) return error.get_exit_code() == 0 ? 0 : 1;
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    return fail(ranks, "not enough memory for a model or a batch of this size");
  } catch (const std::exception& error) {
    return fail(ranks, error.what());
  }
  return train::interrupted ? 130 : 0;
}
