// The demo: the same small model learns to add, once with rotary positions and once with none.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <thread>

#include "run.hpp"

namespace train {

/// A small model and enough steps that the one with rotary positions gets practically every answer right.
inline RunOptions demo_options(const RunOptions& given, const std::string& positions) {
  RunOptions run;
  run.positions = positions;
  run.seed = given.seed;
  run.digits = 5;
  run.batch = 64;
  run.layers = 2;
  run.d_model = 64;
  run.heads = 4;
  run.d_ff = 256;
  run.warmup = 400;
  run.steps = 1200;
  run.validate_every = 25;
  return run;
}

/// One of the two runs, on a thread of its own.
struct DemoRun {
  std::string positions;
  RunOptions run;
  RunFiles files;
  std::atomic<Index> step{0};
  std::atomic<double> loss{0}, exact{0};
  double seconds = 0;
  Validation last;
  double tokens_per_second = 0;
  std::exception_ptr failure;

  void train(const Options& options, const Task& task) try {
    Workers workers(1);
    Trainer trainer(run, task, workers);
    Watcher watcher;
    watcher.after_step = [&](double) {
      loss = trainer.history().training_loss.back();
      step = trainer.steps_done();
    };
    watcher.after_validation = [&](const Validation& validation) {
      exact = validation.exact_answers.value_or(0);
    };
    seconds = train_until_done(trainer, files, options, watcher);
    last = trainer.validate();
    tokens_per_second =
        static_cast<double>(trainer.steps_done() * trainer.tokens_per_step()) / std::max(1e-9, seconds);
  } catch (...) {
    failure = std::current_exception();
    step = run.steps;
  }
};

/// Trains both at the same time, and prints what came of it.
inline void demo(const Options& options) {
  std::array<DemoRun, 2> runs;
  const char* positions[] = {"rotary", "none"};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].positions = positions[i];
    runs[i].run = demo_options(options.run, positions[i]);
    runs[i].files.folder = std::filesystem::path(options.out) / positions[i];
    make_folder(runs[i].files.folder);
  }
  const AdditionTask task(runs[0].run.digits);
  std::printf("Learning %s, such as %s%s (the last digit first),\n", task.description().c_str(),
              task.question({20047, 985}).c_str(), task.answer({20047, 985}).c_str());
  std::printf("with rotary positions and with none: the same model, the same %s problems, the same seed.\n",
              thousands(static_cast<double>(runs[0].run.steps * runs[0].run.batch)).c_str());

  std::array<std::thread, 2> threads;
  for (std::size_t i = 0; i < threads.size(); ++i)
    threads[i] = std::thread([&, i] { runs[i].train(options, task); });

  Progress progress;
  const Stopwatch watch;
  const auto total = static_cast<double>(runs[0].run.steps + runs[1].run.steps);
  for (double done = 0; done < 1 && !interrupted;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    done = static_cast<double>(runs[0].step + runs[1].step) / total;
    std::string text;
    for (const DemoRun& c : runs)
      text +=
          format("%s %.0f %% exact (loss %.3f)  ", c.positions.c_str(), 100 * c.exact.load(), c.loss.load());
    if (done > 0) text += clock_text(watch.seconds() * (1 - done) / done) + " left";
    if (options.minutes > 0 && watch.seconds() > 60 * options.minutes) break;
    progress.update(done, text);
  }
  for (std::thread& thread : threads) thread.join();
  progress.clear();
  for (const DemoRun& c : runs)
    if (c.failure) std::rethrow_exception(c.failure);

  std::printf("\n| positions | exact answers | validation loss | tokens/s |\n|---|---:|---:|---:|\n");
  for (const DemoRun& c : runs)
    std::printf("| %s | %.1f %% | %.4f | %s |\n", c.positions.c_str(), 100 * c.last.exact_answers.value_or(0),
                c.last.loss, thousands(c.tokens_per_second).c_str());
  const auto picture =
      draw_curves(options.out, {{"rotary", runs[0].files.csv()}, {"none", runs[1].files.csv()}}, true);
  std::printf("\n%s sums that neither had seen, after %s.\npicture     %s\n",
              thousands(static_cast<double>(task.validation_sequences())).c_str(),
              clock_text(watch.seconds()).c_str(),
              picture.empty() ? "none: there is no gnuplot to draw it" : picture.c_str());
}

}  // namespace train
