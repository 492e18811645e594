#include "formats/image.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/memory.h"
#include "formats/atomic_file.h"
#include "formats/bytes.h"
#include "formats/image_codecs.h"

namespace sumi::formats {

namespace {

enum class Format { png, jpeg, webp, unknown };

Format format_of_name(const std::string& path) {
  const size_t dot = path.rfind('.');
  std::string ending = dot == std::string::npos ? "" : path.substr(dot);
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == ".png") return Format::png;
  if (ending == ".jpg" || ending == ".jpeg") return Format::jpeg;
  if (ending == ".webp") return Format::webp;
  return Format::unknown;
}

std::span<const std::byte> bytes_of(const base::MappedFile& file) {
  return {file.data(), file.size()};
}

}  // namespace

void check_image_size(int64_t width, int64_t height, const std::string& name,
                      const ImageLimits& limits) {
  if (width < 1 || height < 1) fail("{}: a picture of {} x {} pixels", name, width, height);
  if (width > limits.side || height > limits.side || width * height > limits.pixels)
    fail("{}: a picture of {} x {} pixels; at most {} on a side and {} in all are read", name,
         width, height, limits.side, limits.pixels);
}

void check_image(const Image& image, const char* function) {
  const bool whole = image.width > 0 && image.height > 0 &&
                     (image.channels == 1 || image.channels == 3) &&
                     image.pixels.size() == image.row_bytes() * static_cast<size_t>(image.height);
  if (!whole)
    fail("{}: expected a picture with 1 or 3 channels, found {} x {} with {} channels in {} bytes",
         function, image.width, image.height, image.channels, image.pixels.size());
}

Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                   const ImageLimits& limits) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), 16));
  if (start.starts_with("\x89PNG\r\n\x1a\n")) return decode_png(bytes, name, limits);
  if (start.starts_with("\xff\xd8\xff")) return decode_jpeg(bytes, name, limits);
  if (start.starts_with("RIFF") && start.size() >= 12 && start.substr(8, 4) == "WEBP")
    return decode_webp(bytes, name, limits);
  fail_if_known_stranger(name, start);
  fail("{}: neither PNG, JPEG nor WebP: it starts with {}", name, shown(start));
}

Image read_image(const std::string& path, const ImageLimits& limits) {
  const base::MappedFile file(path);
  return decode_image(bytes_of(file), path, limits);
}

ImageText read_png_text(const std::string& path) {
  const base::MappedFile file(path);
  return decode_png_text(bytes_of(file), path);
}

Image to_grey(const Image& image) {
  check_image(image, "to_grey");
  if (image.channels == 1) return image;
  Image grey(image.width, image.height, 1);
  for (size_t i = 0; i < grey.pixels.size(); ++i) {
    const uint8_t* p = image.pixels.data() + 3 * i;
    grey.pixels[i] =
        static_cast<uint8_t>((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
  }
  return grey;
}

Image to_rgb(const Image& image) {
  check_image(image, "to_rgb");
  if (image.channels == 3) return image;
  Image rgb(image.width, image.height, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    std::fill_n(rgb.pixels.data() + 3 * i, 3, image.pixels[i]);
  return rgb;
}

bool is_image_name(const std::string& path) { return format_of_name(path) != Format::unknown; }

void write_image(const std::string& path, const Image& image, const ImageText& text) {
  std::vector<std::byte> bytes;
  switch (format_of_name(path)) {
    case Format::png:
      bytes = encode_png(image, text);
      break;
    case Format::jpeg:
      bytes = encode_jpeg(image);
      break;
    case Format::webp:
      bytes = encode_webp(image);
      break;
    case Format::unknown:
      fail("{}: expected a name that ends in .png, .jpg, .jpeg or .webp", path);
  }
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace sumi::formats
