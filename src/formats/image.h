// Pictures in files: PNG, JPEG and WebP to 8-bit pixels and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sumi::formats {

// Rows from the top, pixels from the left, channels interleaved: grey (1), or red, green, blue (3).
struct Image {
  Image() = default;
  Image(int width, int height, int channels)
      : width(width),
        height(height),
        channels(channels),
        pixels(static_cast<size_t>(width) * static_cast<size_t>(height) *
               static_cast<size_t>(channels)) {}

  uint8_t* row(int y) { return pixels.data() + static_cast<size_t>(y) * row_bytes(); }
  const uint8_t* row(int y) const { return pixels.data() + static_cast<size_t>(y) * row_bytes(); }
  size_t row_bytes() const { return static_cast<size_t>(width) * static_cast<size_t>(channels); }

  int width = 0, height = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// Checked against the header, before anything is decoded.
struct ImageLimits {
  int64_t pixels = int64_t{64} << 20;
  int64_t side = 65500;
};

// The picture in RGB, as Pillow's exif_transpose (JPEG only) and convert("RGB") give it: palettes
// looked up, grey repeated, transparency dropped, JPEG turned upright. One difference: of 16-bit
// samples the high byte counts, in grey pictures too, where Pillow makes all above 255 white.
// Throws Error if the bytes are no whole PNG, JPEG or WebP picture, or pass a limit.
Image read_image(const std::string& path, const ImageLimits& limits = {});
// `name` is for messages.
Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                   const ImageLimits& limits = {});

// Pillow's convert("L"): (19595 R + 38470 G + 7471 B) / 65536, rounded.
Image to_grey(const Image& image);
Image to_rgb(const Image& image);

// Key and value in UTF-8, in the file's order.
using ImageText = std::vector<std::pair<std::string, std::string>>;

// PNG with text chunks. Keys are 1 to 79 Latin-1 characters without leading, trailing or repeated
// blanks.
std::vector<std::byte> encode_png(const Image& image, const ImageText& text = {});
std::vector<std::byte> encode_jpeg(const Image& image, int quality = 95);       // 1 to 100
std::vector<std::byte> encode_webp(const Image& image, float quality = 95.0f);  // 0 to 100; RGB
// Writes by the name's ending: .png, .jpg, .jpeg or .webp; text goes into PNG files only. The file
// appears when it is whole. Throws Error on another ending.
void write_image(const std::string& path, const Image& image, const ImageText& text = {});
// Whether write_image knows the ending, for checks before the work.
bool is_image_name(const std::string& path);

// The text chunks of a PNG file.
ImageText read_png_text(const std::string& path);
ImageText decode_png_text(std::span<const std::byte> bytes, const std::string& name);

}  // namespace sumi::formats
