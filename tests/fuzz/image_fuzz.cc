// Any bytes as a picture: refused with an Error, or decoded whole; PNG text too.
#include "base/error.h"
#include "formats/image.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const auto image = sumi::formats::decode_image(bytes, "input", {.pixels = 1 << 20});
    sumi::fuzz::touch(reinterpret_cast<const std::byte*>(image.pixels.data()), image.pixels.size());
    if (size > 1 && data[1] == 'P' && image.pixels.size() < (1 << 16))
      sumi::formats::decode_png_text(bytes, "input");
  } catch (const sumi::Error&) {
  }
  return 0;
}
