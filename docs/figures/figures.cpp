// Writes the figures of the documentation, with the numbers that the library gives.
//
//   figures <ignored> <folder to write to>
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <numbers>
#include <rotary/rotary.hpp>
#include <string>
#include <vector>

namespace {

using namespace rotary;

const char* const kGrey = "#667085";
const char* const kColours[] = {"#1f6feb", "#c2410c", "#15803d", "#9333ea"};

/// A picture in user units of a pixel, with a white background.
class Svg {
 public:
  Svg(int width, int height, const char* title) {
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
        "font-size=\"13\" "
        "role=\"img\"><title>%s</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
        width, height, title, width, height);
  }

  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
    char text[1024];
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    text_ += text;
  }
  void label(double x, double y, const std::string& words, const char* anchor = "middle",
             const char* colour = "#1f2328") {
    add("<text x=\"%s\" y=\"%s\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", number(x).c_str(),
        number(y).c_str(), anchor, colour, words.c_str());
  }
  void line(double x1, double y1, double x2, double y2, const char* colour) {
    add("<path d=\"M%s %sL%s %s\" stroke=\"%s\"/>\n", number(x1).c_str(), number(y1).c_str(),
        number(x2).c_str(), number(y2).c_str(), colour);
  }
  void curve(const std::vector<std::pair<double, double>>& points, const char* colour) {
    text_ += "<path fill=\"none\" stroke-width=\"1.6\" stroke=\"" + std::string(colour) + "\" d=\"";
    for (const auto& [x, y] : points)
      text_ += (&x == &points[0].first ? "M" : "L") + number(x) + " " + number(y);
    text_ += "\"/>\n";
  }
  /// Squares of one colour.
  void squares(const std::vector<std::pair<int, int>>& corners, int size, const std::string& colour) {
    text_ += "<path fill=\"" + colour + "\" d=\"";
    for (const auto& [x, y] : corners) add("M%d %dh%dv%dh-%dz", x, y, size, size, size);
    text_ += "\"/>\n";
  }
  void write(const std::string& path) const { std::ofstream(path) << text_ << "</svg>\n"; }

  /// One digit after the point. The little that is added keeps halves from going either way.
  static std::string number(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", x + 1e-6);
    std::string shown = text;
    return shown.ends_with(".0") ? shown.substr(0, shown.size() - 2) : shown;
  }

 private:
  std::string text_;
};

// ---------------------------------------------------------------- pairings

/// The features of a head, and arcs between the members of a pair.
void draw_pairings(const std::string& path) {
  Svg svg(640, 270, "Interleaved and half pairs of a head of 8 features");
  constexpr int kPairs = 4, kBox = 52, kLeft = 200;
  for (const Pairing pairing : {Pairing::interleaved, Pairing::half}) {
    const bool half = pairing == Pairing::half;
    const int top = half ? 205 : 75;
    svg.label(20, top + 22, half ? "Pairing::half" : "Pairing::interleaved", "start");
    svg.label(20, top + 40, half ? "(i, i + d/2)" : "(2i, 2i + 1)", "start", kGrey);
    for (int feature = 0; feature < 2 * kPairs; ++feature) {
      const int pair = half ? feature % kPairs : feature / 2;
      const bool second = half ? feature >= kPairs : feature % 2 == 1;
      const int x = kLeft + feature * kBox;
      svg.add(
          "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"40\" fill=\"%s\" fill-opacity=\"0.15\" "
          "stroke=\"%s\"/>\n",
          x, top, kBox, kColours[pair], kColours[pair]);
      svg.label(x + kBox / 2, top + 25, std::string(second ? "b" : "a") + std::to_string(pair));
      svg.label(x + kBox / 2, top + 56, std::to_string(feature), "middle", kGrey);
      if (!second) {
        const int to = x + (half ? kPairs : 1) * kBox, height = half ? 52 : 26;
        svg.add("<path d=\"M%d %dC%d %d %d %d %d %d\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\"/>\n",
                x + kBox / 2, top, x + kBox / 2, top - height, to + kBox / 2, top - height, to + kBox / 2,
                top, kColours[pair]);
      }
    }
  }
  svg.label(kLeft, 26, "a head of d = 8 features; pair i rotates by position × frequency i", "start", kGrey);
  svg.write(path);
}

// ---------------------------------------------------------------- plots

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
struct Tick {
  double at;
  std::string name;
};

/// Curves over axes whose ends are the first and the last tick.
void draw_plot(const std::string& path, const char* title, const std::vector<Curve>& curves,
               const std::vector<Tick>& across, const std::vector<Tick>& up, const char* x_name,
               const char* y_name) {
  constexpr double kLeft = 70, kRight = 620, kTop = 40, kBottom = 300;
  Svg svg(640, 350, title);
  const auto x_of = [&](double x) {
    return kLeft + (x - across.front().at) / (across.back().at - across.front().at) * (kRight - kLeft);
  };
  const auto y_of = [&](double y) {
    return kBottom - (y - up.front().at) / (up.back().at - up.front().at) * (kBottom - kTop);
  };
  for (const Tick& tick : across) {
    svg.line(x_of(tick.at), kTop, x_of(tick.at), kBottom, "#e5e7eb");
    svg.label(x_of(tick.at), kBottom + 18, tick.name, "middle", kGrey);
  }
  for (const Tick& tick : up) {
    svg.line(kLeft, y_of(tick.at), kRight, y_of(tick.at), "#e5e7eb");
    svg.label(kLeft - 8, y_of(tick.at) + 4, tick.name, "end", kGrey);
  }
  svg.label((kLeft + kRight) / 2, kBottom + 40, x_name);
  svg.label(12, 20, y_name, "start");
  double legend = kRight;
  for (std::size_t i = curves.size(); i-- > 0;) {
    svg.label(legend, 20, curves[i].name, "end", kColours[i]);
    legend -= 8.0 * static_cast<double>(curves[i].name.size()) + 16;
    std::vector<std::pair<double, double>> points;
    for (const auto& [x, y] : curves[i].points)
      points.emplace_back(x_of(x), y_of(std::clamp(y, up.front().at, up.back().at)));
    svg.curve(points, kColours[i]);
  }
  svg.write(path);
}

/// The largest error of a cosine of 64 pairs, at 16 positions from each one on.
void draw_errors(const std::string& path) {
  const Frequencies frequencies = language_frequencies(128);
  Curve usual{"usual float32", {}}, ours{"rotary, float", {}};
  for (int step = 0; step <= 93; ++step) {  // three for each doubling, to 2^31
    const double log2 = step / 3.0;
    std::vector<std::int64_t> ids;
    for (int n = 0; n < 16; ++n)
      ids.push_back(std::max<std::int64_t>(0, static_cast<std::int64_t>(std::exp2(log2)) - 1 - n));
    const Positions positions = Positions::listed(ids);
    const CosSinTable<double> exact(frequencies, positions);
    const CosSinTable<float> rows(frequencies, positions);
    const CosSinTable<float> float32 = hf_float32_table(hf_float32_frequencies(128), positions);
    const auto error = [&](const CosSinTable<float>& table) {
      double largest = 1e-9;
      for (Index row = 0; row < 16; ++row)
        for (Index pair = 0; pair < 64; ++pair)
          largest =
              std::max(largest, std::abs(static_cast<double>(table.cos(row, pair)) - exact.cos(row, pair)));
      return std::log10(largest);
    };
    ours.points.emplace_back(log2, error(rows));
    usual.points.emplace_back(log2, error(float32));
  }
  draw_plot(path, "Error of the cosine against position", {usual, ours},
            {{0, "1"}, {10, "1024"}, {17, "131,072"}, {23.253497, "10 million"}, {31, "2^31"}},
            {{-9, "1e-9"}, {-7, "1e-7"}, {-5, "1e-5"}, {-3, "1e-3"}, {-1, "0.1"}, {0.30103, "2"}}, "position",
            "largest error of cos, head of 128, theta 10,000");
}

/// Scores of a query of ones at the last position with keys of ones before it, against their distance; plain RoPE at
/// distance 0 is 1.
template <class Rotate>
Curve scores(const char* name, const Rotate& rotate) {
  constexpr int kTokens = 4097, kDim = 64;
  Tensor<double, 2> q(kTokens, kDim), k(kTokens, kDim);
  q.setConstant(1);
  k.setConstant(1);
  rotate(q, k);
  Curve curve{name, {}};
  for (int distance = 0; distance < kTokens; distance += 16) {
    double sum = 0;
    for (int i = 0; i < kDim; ++i) sum += q(kTokens - 1, i) * k(kTokens - 1 - distance, i);
    curve.points.emplace_back(distance, sum / kDim);
  }
  return curve;
}

void draw_scores(const std::string& path) {
  const auto with = [](const Frequencies& frequencies) {
    return [rotary_emb = RotaryEmbedding<double>(frequencies)](auto& q, auto& k) {
      rotary_emb.rotate_queries_and_keys_in_place(q, k);
    };
  };
  const XPos<double> xpos({.dim = 64});
  draw_plot(
      path, "Score against distance",
      {scores("plain", with(language_frequencies(64))),
       scores("XPos", [&](auto& q, auto& k) { xpos.rotate_queries_and_keys_in_place(q, k); }),
       scores("YaRN, factor 8",
              with(yarn_frequencies(64, 10000, {.factor = 8, .original_max_position_embeddings = 2048})))},
      {{0, "0"}, {1024, "1024"}, {2048, "2048"}, {3072, "3072"}, {4096, "4096"}},
      {{-0.25, "-0.25"}, {0, "0"}, {0.25, "0.25"}, {0.5, "0.5"}, {0.75, "0.75"}, {1, "1"}, {1.5, "1.5"}},
      "distance of query and key", "score of ones, dim 64");
}

// ---------------------------------------------------------------- axial grids

/// A 16 × 16 grid, coloured by a number from −1 to 1 for each cell.
template <class Value>
void draw_grid(Svg& svg, int left, const std::string& title, const Value& value) {
  constexpr int kCells = 16, kSize = 11, kTop = 45, kLevels = 9;
  std::vector<std::vector<std::pair<int, int>>> cells(kLevels);
  for (int y = 0; y < kCells; ++y)
    for (int x = 0; x < kCells; ++x) {
      const int level = static_cast<int>(std::lround((value(y, x) + 1) / 2 * (kLevels - 1) + 1e-6));
      cells[static_cast<std::size_t>(std::clamp(level, 0, kLevels - 1))].emplace_back(left + x * kSize,
                                                                                      kTop + y * kSize);
    }
  for (int level = 0; level < kLevels; ++level) {
    const int tone = 255 - level * 24;
    char colour[16];
    std::snprintf(colour, sizeof colour, "#%02x%02xff", tone, tone);
    if (!cells[static_cast<std::size_t>(level)].empty())
      svg.squares(cells[static_cast<std::size_t>(level)], kSize, colour);
  }
  svg.add("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"%s\"/>\n", left, kTop,
          kCells * kSize, kCells * kSize, kGrey);
  svg.label(left + kCells * kSize / 2, 34, title);
}

void draw_axial(const std::string& path) {
  constexpr int kCells = 16, kDim = 16;
  const AxialFrequencies<double> axial({.dim = kDim, .freqs_for = FreqsFor::pixel, .max_freq = kCells});
  const auto angles = axial.get_axial_freqs(kCells, kCells);  // [rows, columns, 2 · dim]
  Tensor<double, 3> ones(kCells, kCells, 2 * kDim);
  ones.setConstant(1);
  const Tensor<double, 3> rotated = apply_rotary_emb(angles, ones);
  Svg svg(640, 262, "Axial rotary embeddings of a grid of 16 by 16 patches");
  draw_grid(svg, 20, "cos φ, pair 1 of the rows", [&](int y, int x) { return std::cos(angles(y, x, 2)); });
  draw_grid(svg, 232, "cos φ, pair 1 of the columns",
            [&](int y, int x) { return std::cos(angles(y, x, kDim + 2)); });
  draw_grid(svg, 444, "score with patch (8, 8)", [&](int y, int x) {
    double sum = 0;
    for (int i = 0; i < 2 * kDim; ++i) sum += rotated(8, 8, i) * rotated(y, x, i);
    return sum / (2 * kDim);
  });
  svg.label(320, 248, "dark is 1, white is −1; pixel frequencies: coordinates run from −1 to 1", "middle",
            kGrey);
  svg.write(path);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const std::string folder = std::string(arguments[2]) + "/";
  draw_pairings(folder + "pairings.svg");
  draw_errors(folder + "error.svg");
  draw_scores(folder + "scores.svg");
  draw_axial(folder + "axial.svg");
}
