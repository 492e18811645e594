// WebP through libwebp.
#include <webp/decode.h>
#include <webp/encode.h>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace sumi::formats {

Image decode_webp(std::span<const std::byte> bytes, const std::string& name,
                  const ImageLimits& limits) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK)
    fail("{}: WebP: the header is damaged", name);
  if (features.has_animation) fail("{}: WebP: an animation, expected one picture", name);
  check_image_size(features.width, features.height, name, limits);
  // Alpha is decoded and dropped, as Pillow does: the colours below it come through unchanged.
  std::vector<uint8_t> rgba(static_cast<size_t>(features.width) *
                            static_cast<size_t>(features.height) * 4);
  if (WebPDecodeRGBAInto(data, bytes.size(), rgba.data(), rgba.size(), features.width * 4) ==
      nullptr)
    fail("{}: WebP: the data is damaged or ends early", name);
  Image image(features.width, features.height, 3);
  for (size_t i = 0; i < rgba.size() / 4; ++i)
    for (size_t c = 0; c < 3; ++c) image.pixels[3 * i + c] = rgba[4 * i + c];
  return image;
}

std::vector<std::byte> encode_webp(const Image& image, float quality) {
  check_image(image, "encode_webp");
  if (!(quality >= 0 && quality <= 100))
    fail("encode_webp: expected a quality of 0 to 100, found {}", quality);
  const Image rgb = to_rgb(image);
  uint8_t* buffer = nullptr;
  const size_t size =
      WebPEncodeRGB(rgb.pixels.data(), rgb.width, rgb.height, rgb.width * 3, quality, &buffer);
  if (size == 0)
    fail("encode_webp: libwebp cannot write a picture of {} x {} pixels (at most {} on a side)",
         rgb.width, rgb.height, WEBP_MAX_DIMENSION);
  const auto* start = reinterpret_cast<const std::byte*>(buffer);
  std::vector<std::byte> bytes(start, start + size);
  WebPFree(buffer);
  return bytes;
}

}  // namespace sumi::formats
