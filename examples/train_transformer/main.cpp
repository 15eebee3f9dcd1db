// Trains a decoder with rotary attention on a text or on additions. See README.md in this folder, or --help.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "demo.hpp"
#include "evaluate.hpp"
#include "options.hpp"
#include "run.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains a transformer with rotary positions, on a text or on additions."};
  train::Options options;
  try {
    train::parse_options(app, argc, argv, options);
    std::signal(SIGINT, [](int) { train::interrupted = 1; });
    if (options.demo)
      train::demo(options);
    else if (options.evaluate)
      train::evaluate(options);
    else
      train::run(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "train_transformer: not enough memory for a model or a batch of this size\n");
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_transformer: %s\n", error.what());
    return 1;
  }
  return train::interrupted ? 130 : 0;
}
