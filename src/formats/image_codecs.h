// What image.cc needs of each format's file: decoders for bytes that start like their format.
#pragma once

#include "formats/image.h"

namespace sumi::formats {

Image decode_png(std::span<const std::byte> bytes, const std::string& name,
                 const ImageLimits& limits);
Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name,
                  const ImageLimits& limits);
Image decode_webp(std::span<const std::byte> bytes, const std::string& name,
                  const ImageLimits& limits);

// Throws Error unless 1 <= width, height <= limits.side and width * height <= limits.pixels.
void check_image_size(int64_t width, int64_t height, const std::string& name,
                      const ImageLimits& limits);
// Throws Error unless the picture has pixels, as many as its sizes say, and 1 or 3 channels.
void check_image(const Image& image, const char* function);

}  // namespace sumi::formats
