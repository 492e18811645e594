// A picture of curves, as SVG or in pixels.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/image.h"

namespace sumi::train {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (x, y) by rising x
};

// Axes with round numbers, a line per curve, a legend. Throws Error if no curve has a finite point.
std::string curves_as_svg(const std::string& title, const std::string& x_name,
                          const std::vector<Curve>& curves);

// The same in RGB, 1600 x 960.
formats::Image curves_as_image(const std::string& title, const std::string& x_name,
                               const std::vector<Curve>& curves);

// The mean of each point and those at most `reach` places before and after it.
Curve smoothed(const Curve& curve, int64_t reach);

}  // namespace sumi::train
