// Sobel slopes, for the edge detectors.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/image.h"

namespace sumi::diffusion {

// Per pixel, 3 x 3 Sobel with repeated borders, of the channel where |dx| + |dy| (or dx^2 + dy^2)
// is largest.
struct Slopes {
  int width, height;
  std::vector<int> dx, dy, size;

  // 0 outside of the picture.
  int size_at(int x, int y) const {
    if (x < 0 || y < 0 || x >= width || y >= height) return 0;
    return size[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)];
  }
  // Whether the pixel is the largest across its slope's direction, by OpenCV's rules for ties.
  bool is_ridge(int x, int y) const;
};
Slopes sobel(const formats::Image& image, bool squares);

}  // namespace sumi::diffusion
