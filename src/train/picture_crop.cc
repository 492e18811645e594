#include "train/picture_crop.h"

#include <algorithm>

#include "formats/image_resize.h"

namespace sumi::train {
namespace {

formats::Image mirrored(formats::Image image) {
  const int channels = image.channels;
  for (int y = 0; y < image.height; ++y) {
    uint8_t* row = image.row(y);
    for (int left = 0, right = image.width - 1; left < right; ++left, --right)
      std::swap_ranges(row + left * channels, row + (left + 1) * channels, row + right * channels);
  }
  return image;
}

}  // namespace

formats::Image cropped(const formats::Image& image, int64_t size, const Crop& crop) {
  const int64_t shorter = std::min(image.width, image.height);
  const auto fitted = [&](int side) { return static_cast<int>(size * side / shorter); };
  formats::Image out = image;
  if (shorter != size)
    out = formats::resize(image, fitted(image.width), fitted(image.height),
                          formats::Resample::bilinear);
  const int side = static_cast<int>(size);
  if (crop.centre) {
    out = formats::center_crop(out, side, side);
  } else {
    const auto place = [&](double share, int room) {
      return std::min(room, static_cast<int>(share * (room + 1)));
    };
    out = formats::crop(out, place(crop.x, out.width - side), place(crop.y, out.height - side),
                        side, side);
  }
  return crop.flip ? mirrored(std::move(out)) : out;
}

}  // namespace sumi::train
