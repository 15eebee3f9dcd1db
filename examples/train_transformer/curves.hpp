// loss.csv, and a picture of it.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>
#include <string>
#include <vector>

#include "files.hpp"
#include "progress.hpp"
#include "trainer.hpp"

extern char** environ;

namespace train {

inline constexpr const char* kCsvHeader = "step,learning_rate,training_loss,validation_loss,exact_answers\n";

/// The losses of a run as CSV, one row a step; the last two columns are empty where nothing was validated.
/// Nine digits tell any two losses apart, so runs can be compared by comparing files.
inline std::string csv_of(const Trainer& trainer) {
  std::string csv = kCsvHeader;
  const History& history = trainer.history();
  auto validation = history.validations.begin();
  for (std::size_t i = 0; i < history.training_loss.size(); ++i) {
    const Index step = static_cast<Index>(i) + 1;
    csv += format("%lld,%.9g,%.9g,", static_cast<long long>(step), trainer.learning_rate(step),
                  history.training_loss[i]);
    if (validation != history.validations.end() && validation->step == step) {
      csv += format("%.9g,", validation->loss);
      if (validation->exact_answers) csv += format("%.9g", *validation->exact_answers);
      ++validation;
    } else {
      csv += ",";
    }
    csv += "\n";
  }
  return csv;
}

inline void write_csv(const std::filesystem::path& path, const Trainer& trainer) {
  write_file_atomically(path, {csv_of(trainer)});
}

/// One loss.csv to draw.
struct Curve {
  std::string name;
  std::filesystem::path csv;
};

namespace detail {

/// A text as gnuplot reads it between single quotes.
inline std::string quoted(const std::string& text) {
  std::string all = "'";
  for (const char c : text) all += c == '\'' ? "''" : std::string(1, c);
  return all + "'";
}

/// Runs gnuplot on a script, its output thrown away. False if it is not there or fails.
inline bool run_gnuplot(const std::filesystem::path& script) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {0, 1, 2})
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
  std::string program = "gnuplot", argument = script.string();
  char* arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return false;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace detail

/// Draws curves with gnuplot into `folder`/curves.png, or .svg where gnuplot has no PNG. Returns the
/// picture's path; an empty one if there is no gnuplot. With `exact`, a second panel shows the share of exact
/// answers.
inline std::filesystem::path draw_curves(const std::filesystem::path& folder,
                                         const std::vector<Curve>& curves, bool exact) {
  const std::filesystem::path script = folder / "curves.gnuplot";
  for (const auto& [terminal, ending] : {std::pair{"pngcairo", "png"}, {"png", "png"}, {"svg", "svg"}}) {
    const std::filesystem::path picture = folder / (std::string("curves.") + ending);
    const int height = exact ? 800 : 450;
    std::string text = format("set terminal %s size 900,%d\n", terminal, height);
    text += "set output " + detail::quoted(picture.string()) + "\nset datafile separator ','\nset grid\n";
    text += "set key outside bottom center horizontal\nset xlabel 'step'\n";
    if (exact) text += "set multiplot layout 2,1\n";
    const auto plot = [&](const char* label, const std::vector<std::pair<int, const char*>>& columns) {
      text += std::string("set ylabel '") + label + "'\n";
      const char* separator = "plot ";
      for (std::size_t i = 0; i < curves.size(); ++i) {
        for (const auto& [column, style] : columns) {
          text += separator + detail::quoted(curves[i].csv.string());
          text += format(" using 1:%d skip 1 with %s linecolor %zu title ", column, style, i + 1);
          text += detail::quoted(curves[i].name + (column == 3 ? ", training" : ", validation"));
          separator = ", ";
        }
      }
      text += "\n";
    };
    plot("loss (nats)",
         {{3, "lines linewidth 0.5"}, {4, "linespoints linewidth 2 pointtype 7 pointsize 0.5"}});
    if (exact) plot("share of exact answers", {{5, "linespoints linewidth 2 pointtype 7 pointsize 0.5"}});
    if (exact) text += "unset multiplot\n";
    write_file_atomically(script, {text});
    if (detail::run_gnuplot(script) && std::filesystem::exists(picture)) return picture;
  }
  return {};
}

}  // namespace train
