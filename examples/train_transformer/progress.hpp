// A progress bar on a terminal, plain lines elsewhere.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

namespace train {

/// "1:02:03" or "2:03"
inline std::string clock_text(double seconds) {
  const auto whole = static_cast<long>(std::max(0.0, seconds) + 0.5);
  char text[32];
  if (whole >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

/// 12,345
inline std::string thousands(double number) {
  const std::string digits = std::to_string(static_cast<long long>(number + 0.5));
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

/// printf into a string, for the short lines of this program.
template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[400];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Shows how far something is. On a terminal the last line is a bar, redrawn up to ten times a second;
/// elsewhere a line is printed every ten seconds, so that a log stays short.
class Progress {
 public:
  Progress() : terminal_(::isatty(STDOUT_FILENO) == 1) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` is a share from 0 to 1, `text` is shown next to the bar.
  void update(double done, const std::string& text) {
    const double now = watch_.seconds();
    if (now < next_) return;
    next_ = now + (terminal_ ? 0.1 : 10.0);
    if (!terminal_) {
      if (now >= 1.0) std::printf("%3.0f %%  %s\n", 100 * done, text.c_str());
      std::fflush(stdout);
      return;
    }
    // What the text leaves of the line, but for the percentage and a last column that would wrap.
    const int room = columns() - 9;
    const int width = std::clamp(room - static_cast<int>(text.size()), 8, 24);
    const int full = static_cast<int>(std::clamp(done, 0.0, 1.0) * width);
    std::string line;
    for (int i = 0; i < width; ++i) line += i < full ? "█" : "░";
    line += format(" %3.0f %%  ", 100 * done);
    line += text.substr(0, static_cast<std::size_t>(std::max(0, room - width)));
    std::printf("\r\033[K%s", line.c_str());
    std::fflush(stdout);
    shown_ = true;
  }

  /// Prints a line that stays, above the bar.
  void print(const std::string& line) {
    clear();
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    if (terminal_) next_ = 0;
  }

  /// Removes the bar.
  void clear() {
    if (shown_) std::printf("\r\033[K");
    std::fflush(stdout);
    shown_ = false;
  }

 private:
  static int columns() {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }

  bool terminal_;
  bool shown_ = false;
  double next_ = 0;
  Stopwatch watch_;
};

}  // namespace train
