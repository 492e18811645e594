#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "diffusion/condition/condition.h"
#include "diffusion/condition/slope.h"

namespace sumi::diffusion {

using formats::Image;

Slopes sobel(const Image& image, bool squares) {
  const int width = image.width, height = image.height, channels = image.channels;
  const size_t count = static_cast<size_t>(width) * static_cast<size_t>(height);
  Slopes slopes{width, height, std::vector<int>(count), std::vector<int>(count),
                std::vector<int>(count)};
  for (int y = 0; y < height; ++y) {
    const uint8_t* rows[] = {image.row(std::max(y - 1, 0)), image.row(y),
                             image.row(std::min(y + 1, height - 1))};
    for (int x = 0; x < width; ++x) {
      const int left = std::max(x - 1, 0) * channels, middle = x * channels;
      const int right = std::min(x + 1, width - 1) * channels;
      const size_t at =
          static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
      for (int c = 0; c < channels; ++c) {
        const auto pixel = [&](int row, int column) { return int{rows[row][column + c]}; };
        const int dx = pixel(0, right) - pixel(0, left) + 2 * (pixel(1, right) - pixel(1, left)) +
                       pixel(2, right) - pixel(2, left);
        const int dy = pixel(2, left) - pixel(0, left) + 2 * (pixel(2, middle) - pixel(0, middle)) +
                       pixel(2, right) - pixel(0, right);
        const int size = squares ? dx * dx + dy * dy : std::abs(dx) + std::abs(dy);
        if (c > 0 && size <= slopes.size[at]) continue;
        slopes.dx[at] = dx;
        slopes.dy[at] = dy;
        slopes.size[at] = size;
      }
    }
  }
  return slopes;
}

bool Slopes::is_ridge(int x, int y) const {
  const size_t at = static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
  const int m = size[at];
  // Angles are compared in integers: tan(22.5 degrees) times 2^15; tan(67.5) is 2 more than
  // tan(22.5).
  constexpr int kShift = 15, kTangent = 13573;
  const int64_t run = std::abs(dx[at]), rise = int64_t{std::abs(dy[at])} << kShift;
  const int64_t flat = run * kTangent, steep = flat + (run << (kShift + 1));
  if (rise < flat) return m > size_at(x - 1, y) && m >= size_at(x + 1, y);
  if (rise > steep) return m > size_at(x, y - 1) && m >= size_at(x, y + 1);
  const int side = (dx[at] ^ dy[at]) < 0 ? -1 : 1;
  return m > size_at(x - side, y - 1) && m > size_at(x + side, y + 1);
}

Image canny(const Image& image, const CannyOptions& options) {
  if (!(options.low >= 0 && options.low <= options.high && options.high <= 32767))
    fail("canny: expected thresholds 0 <= low <= high <= 32767, found {} and {}", options.low,
         options.high);
  double low = options.low, high = options.high;
  if (options.l2) {
    low *= low;
    high *= high;
  }
  const int weak = static_cast<int>(std::floor(low)), strong = static_cast<int>(std::floor(high));
  const Slopes slopes = sobel(image, options.l2);
  Image edges(image.width, image.height, 1);
  std::vector<uint8_t> maybe(edges.pixels.size());
  std::vector<std::pair<int, int>> stack;
  const auto index = [&](int x, int y) {
    return static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x);
  };
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const int m = slopes.size[index(x, y)];
      if (m <= weak || !slopes.is_ridge(x, y)) continue;
      maybe[index(x, y)] = 1;
      if (m <= strong) continue;
      edges.pixels[index(x, y)] = 255;
      stack.emplace_back(x, y);
    }
  while (!stack.empty()) {  // grow the strong edges along the weak ones
    const auto [x, y] = stack.back();
    stack.pop_back();
    for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, image.height - 1); ++ny)
      for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, image.width - 1); ++nx) {
        if (!maybe[index(nx, ny)] || edges.pixels[index(nx, ny)]) continue;
        edges.pixels[index(nx, ny)] = 255;
        stack.emplace_back(nx, ny);
      }
  }
  return edges;
}

}  // namespace sumi::diffusion
