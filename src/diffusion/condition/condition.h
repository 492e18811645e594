// Pictures that guide ControlNets, made from a picture by classical means, without a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/image.h"

namespace sumi::diffusion {

// Canny's edge detector as OpenCV's cv::Canny defines it, pixel for pixel, on RGB (each pixel takes
// the channel of steepest slope) or grey: Sobel 3 x 3, |dx| + |dy| (or the root of squares with
// `l2`), thinning, then edges above `high` and what hangs together with them above `low`. One
// channel, 0 or 255. Throws Error unless 0 <= low <= high.
struct CannyOptions {
  double low = 100, high = 200;
  bool l2 = false;
};
formats::Image canny(const formats::Image& image, const CannyOptions& options = {});

// Gaussian blur of each channel; borders are repeated. sigma in pixels, more than 0 and at most
// 1000 (Error).
formats::Image gaussian_blur(const formats::Image& image, double sigma);

// Edges by strength, as HED's pictures look: blur by sigma, the steepest channel's Sobel slope,
// scaled so that its 99th percentile is white. One channel.
formats::Image soft_edges(const formats::Image& image, double sigma = 1.5);

// White lines on black: how much darker a pixel is than its surroundings (blurred by sigma), the
// least of the channels, scaled so that the median of what exceeds 8 becomes 127 (of 16 or more).
// One channel.
formats::Image line_art(const formats::Image& image, double sigma = 6);

// Thick rough strokes: soft edges with sigma 3, thinned across the slope where they exceed a
// quarter of white, drawn three pixels wide. One channel, 0 or 255.
formats::Image scribble(const formats::Image& image, double sigma = 3);

// What is left at 1/block of the size: means of blocks, enlarged bicubically to the old size.
formats::Image tile(const formats::Image& image, int block = 8);

// Coloured squares: bicubically reduced by `block`, then each pixel a square.
formats::Image palette(const formats::Image& image, int block = 64);

// Any of them by name, with its own settings; those that are not set keep their defaults.
struct ConditionSettings {
  CannyOptions canny;
  std::optional<double> sigma;
  std::optional<int> block;
};
const std::vector<std::string>& condition_kinds();
// Throws Error on another kind.
formats::Image condition_picture(const std::string& kind, const formats::Image& image,
                                 const ConditionSettings& settings = {});

}  // namespace sumi::diffusion
