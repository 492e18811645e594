// Pictures in other sizes, with the pixels that Pillow gives.
#pragma once

#include <string>

#include "formats/image.h"

namespace sumi::formats {

enum class Resample { nearest, box, bilinear, bicubic, lanczos };

// Image.resize((width, height), resample): when it shrinks, every source pixel counts (the filter
// is stretched). Throws Error unless width and height are 1 or more.
Image resize(const Image& image, int width, int height, Resample resample);

// The rectangle with its corner at (left, top). Throws Error unless it lies inside.
Image crop(const Image& image, int left, int top, int width, int height);
// The middle, as torchvision's center_crop: halves are rounded to even. Throws Error if the picture
// is smaller.
Image center_crop(const Image& image, int width, int height);

}  // namespace sumi::formats
