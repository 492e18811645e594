#include "train/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "train/plot_font.h"

namespace sumi::train {
namespace {

constexpr double kWidth = 800, kHeight = 480, kLeft = 70, kRight = 20, kTop = 40, kBottom = 50;
constexpr double kTextSize = 13;
constexpr const char* kInk = "#000000";
constexpr const char* kColours[] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return out;
}

// Range of values and where round numbers lie in it.
struct Axis {
  double low = std::numeric_limits<double>::infinity(), high = -low, step = 1;

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void finish() {
    if (high - low < 1e-9 * std::max(1.0, std::fabs(high))) {
      low -= 0.5;
      high += 0.5;
    }
    const double rough = (high - low) / 6, power = std::pow(10, std::floor(std::log10(rough)));
    const double leading = rough / power;
    step = (leading < 1.5 ? 1 : leading < 3.5 ? 2 : leading < 7.5 ? 5 : 10) * power;
    low = std::floor(low / step) * step;
    high = std::ceil(high / step) * step;
  }
  double share(double value) const { return (value - low) / (high - low); }
};

}  // namespace

Curve smoothed(const Curve& curve, int64_t reach) {
  Curve out{curve.name, {}};
  const auto size = static_cast<int64_t>(curve.points.size());
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    const int64_t begin = std::max<int64_t>(0, i - reach), end = std::min(size, i + reach + 1);
    for (int64_t j = begin; j < end; ++j) sum += curve.points[static_cast<size_t>(j)].second;
    out.points.emplace_back(curve.points[static_cast<size_t>(i)].first,
                            sum / static_cast<double>(end - begin));
  }
  return out;
}

namespace {

struct Text {
  enum class Anchor { begin, middle, end };
  double x, y;  // of the base line's point that the anchor says
  Anchor anchor;
  double size;
  std::string colour, text;
};

struct Line {
  std::vector<std::pair<double, double>> points;
  std::string colour;
  double width;
};

// What both kinds of pictures show, in SVG's coordinates.
struct Figure {
  std::vector<Line> lines;
  std::vector<Text> texts;
};

Figure figure_of(const std::string& title, const std::string& x_name, const std::vector<Curve>& curves) {
  Axis x, y;
  for (const Curve& curve : curves)
    for (const auto& [px, py] : curve.points)
      if (std::isfinite(px) && std::isfinite(py)) {
        x.add(px);
        y.add(py);
      }
  if (!std::isfinite(x.low)) fail("plot: there is nothing to draw");
  x.finish();
  y.finish();
  const auto at_x = [&](double v) { return kLeft + x.share(v) * (kWidth - kLeft - kRight); };
  const auto at_y = [&](double v) { return kHeight - kBottom - y.share(v) * (kHeight - kTop - kBottom); };
  const auto number = [](double v, double step) { return fmt::format("{:.6g}", std::fabs(v) < step / 1000 ? 0 : v); };
  using Anchor = Text::Anchor;
  Figure figure;
  figure.texts.push_back({kWidth / 2, 24, Anchor::middle, 16, kInk, title});
  figure.texts.push_back({kWidth / 2, kHeight - 10, Anchor::middle, kTextSize, kInk, x_name});
  for (double v = y.low; v <= y.high + y.step / 2; v += y.step) {
    figure.lines.push_back({{{kLeft, at_y(v)}, {kWidth - kRight, at_y(v)}}, "#dddddd", 1});
    figure.texts.push_back({kLeft - 6, at_y(v) + 4, Anchor::end, kTextSize, kInk, number(v, y.step)});
  }
  for (double v = x.low; v <= x.high + x.step / 2; v += x.step)
    figure.texts.push_back({at_x(v), kHeight - kBottom + 18, Anchor::middle, kTextSize, kInk, number(v, x.step)});
  for (size_t i = 0; i < curves.size(); ++i) {
    Line line{{}, kColours[i % std::size(kColours)], 2};
    for (const auto& [px, py] : curves[i].points)
      if (std::isfinite(px) && std::isfinite(py)) line.points.emplace_back(at_x(px), at_y(py));
    figure.texts.push_back({kWidth - kRight - 8, kTop + 16 + 18 * static_cast<double>(i), Anchor::end, kTextSize,
                            line.colour, curves[i].name});
    figure.lines.push_back(std::move(line));
  }
  return figure;
}

// Pixels of a picture that is kZoom times as large as the SVG's units.
class Canvas {
 public:
  Canvas() : image_(static_cast<int>(kWidth) * kZoom, static_cast<int>(kHeight) * kZoom, 3) {
    std::fill(image_.pixels.begin(), image_.pixels.end(), uint8_t{255});
  }

  // A square pen goes along each stretch.
  void draw(const Line& line) {
    const auto colour = channels(line.colour);
    const int pen = static_cast<int>(line.width) * kZoom;
    for (size_t i = 0; i < line.points.size(); ++i) {
      const auto [x1, y1] = line.points[i];
      const auto [x0, y0] = line.points[i > 0 ? i - 1 : 0];
      const int steps = 1 + static_cast<int>(kZoom * std::max(std::fabs(x1 - x0), std::fabs(y1 - y0)));
      for (int s = 0; s <= steps; ++s) {
        const double share = static_cast<double>(s) / steps;
        fill(pixel(x0 + share * (x1 - x0)) - pen / 2, pixel(y0 + share * (y1 - y0)) - pen / 2, pen, colour);
      }
    }
  }

  void draw(const Text& text) {
    const auto colour = channels(text.colour);
    const int dot = static_cast<int>(std::lround(text.size * kZoom * kDotOfSize));
    const int advance = (kGlyphWidth + 1) * dot, width = static_cast<int>(text.text.size()) * advance - dot;
    int left = pixel(text.x);
    if (text.anchor != Text::Anchor::begin) left -= text.anchor == Text::Anchor::end ? width : width / 2;
    for (const char c : text.text) {
      const int top = pixel(text.y) + (glyph_descent(c) - kGlyphHeight) * dot;
      for (int row = 0; row < kGlyphHeight; ++row)
        for (int column = 0; column < kGlyphWidth; ++column)
          if (glyph_has_ink(c, column, row)) fill(left + column * dot, top + row * dot, dot, colour);
      left += advance;
    }
  }

  formats::Image take() { return std::move(image_); }

 private:
  using Colour = std::array<uint8_t, 3>;
  static constexpr int kZoom = 2;
  static constexpr double kDotOfSize = 0.115;  // so that 7 dots are as high as capitals

  static int pixel(double v) { return static_cast<int>(std::lround(v * kZoom)); }
  static Colour channels(const std::string& colour) {  // #rrggbb
    const auto value = std::stoul(colour.substr(1), nullptr, 16);
    return {static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
  }
  // What lies outside of the picture is left out.
  void fill(int left, int top, int side, const Colour& colour) {
    for (int y = std::max(top, 0); y < std::min(top + side, image_.height); ++y)
      for (int x = std::max(left, 0); x < std::min(left + side, image_.width); ++x)
        std::copy(colour.begin(), colour.end(), image_.row(y) + 3 * x);
  }

  formats::Image image_;
};

}  // namespace

std::string curves_as_svg(const std::string& title, const std::string& x_name,
                          const std::vector<Curve>& curves) {
  const Figure figure = figure_of(title, x_name, curves);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (const Line& line : figure.lines) {
    std::string points;
    for (const auto& [x, y] : line.points) points += fmt::format("{:.1f},{:.1f} ", x, y);
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>\n", points,
                       line.colour, line.width);
  }
  constexpr const char* kAnchors[] = {"start", "middle", "end"};
  for (const Text& text : figure.texts)
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\" fill=\"{}\">{}</text>\n",
                       text.x, text.y, kAnchors[static_cast<int>(text.anchor)], text.size, text.colour,
                       escaped(text.text));
  return svg + "</svg>\n";
}

formats::Image curves_as_image(const std::string& title, const std::string& x_name,
                               const std::vector<Curve>& curves) {
  const Figure figure = figure_of(title, x_name, curves);
  Canvas canvas;
  for (const Line& line : figure.lines) canvas.draw(line);
  for (const Text& text : figure.texts) canvas.draw(text);
  return canvas.take();
}

}  // namespace sumi::train
