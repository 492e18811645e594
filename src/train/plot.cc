#include "train/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace sumi::train {
namespace {

constexpr double kWidth = 800, kHeight = 480, kLeft = 70, kRight = 20, kTop = 40, kBottom = 50;
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

std::string curves_as_svg(const std::string& title, const std::string& x_name,
                          const std::vector<Curve>& curves) {
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
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"24\" text-anchor=\"middle\" font-size=\"16\">{3}</text>\n"
      "<text x=\"{2}\" y=\"{4}\" text-anchor=\"middle\">{5}</text>\n",
      kWidth, kHeight, kWidth / 2, escaped(title), kHeight - 10, escaped(x_name));
  for (double v = y.low; v <= y.high + y.step / 2; v += y.step)
    svg += fmt::format(
        "<line x1=\"{0}\" y1=\"{1:.1f}\" x2=\"{2}\" y2=\"{1:.1f}\" stroke=\"#ddd\"/>\n"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.6g}</text>\n",
        kLeft, at_y(v), kWidth - kRight, kLeft - 6, at_y(v) + 4,
        std::fabs(v) < y.step / 1000 ? 0 : v);
  for (double v = x.low; v <= x.high + x.step / 2; v += x.step)
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>\n", at_x(v),
                       kHeight - kBottom + 18, std::fabs(v) < x.step / 1000 ? 0 : v);
  for (size_t i = 0; i < curves.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    std::string points;
    for (const auto& [px, py] : curves[i].points)
      if (std::isfinite(px) && std::isfinite(py))
        points += fmt::format("{:.1f},{:.1f} ", at_x(px), at_y(py));
    svg += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n"
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{}\">{}</text>\n",
        points, colour, kWidth - kRight - 8, kTop + 16 + 18 * static_cast<double>(i), colour,
        escaped(curves[i].name));
  }
  return svg + "</svg>\n";
}

}  // namespace sumi::train
