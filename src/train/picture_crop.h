// Pictures at the size of a training.
#pragma once

#include <cstdint>

#include "formats/image.h"

namespace sumi::train {

// Where a picture is cut and whether it is mirrored.
struct Crop {
  bool centre = true;
  double x = 0, y = 0;  // else: the place among those possible, 0 to less than 1
  bool flip = false;
};

// The shorter side resized to `size` (bilinear, as torchvision's Resize), then cut to size x size,
// then mirrored.
formats::Image cropped(const formats::Image& image, int64_t size, const Crop& crop);

}  // namespace sumi::train
