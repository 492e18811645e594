// JPEG through libjpeg-turbo. Its errors arrive by longjmp: see png_file.cc.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
//
#include <jpeglib.h>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace sumi::formats {

namespace {

struct ErrorHandler {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void on_error(j_common_ptr codec) {
  auto* handler = reinterpret_cast<ErrorHandler*>(codec->err);
  handler->base.format_message(codec, handler->text);
  std::longjmp(handler->jump, 1);
}
// Warnings are damage that libjpeg would paint over (a truncated file becomes grey): errors here.
void on_message(j_common_ptr codec, int level) {
  if (level < 0) on_error(codec);
}

template <class Action>
bool guarded(ErrorHandler& handler, const Action& action) {
  if (setjmp(handler.jump)) return false;
  action();
  return true;
}

void install(ErrorHandler& handler) {
  jpeg_std_error(&handler.base);
  handler.base.error_exit = on_error;
  handler.base.emit_message = on_message;
}

// The orientation (1 to 8) of an Exif block, TIFF inside; 1 if it says nothing usable.
// Exif 2.3, tag 274.
int exif_orientation(const uint8_t* data, size_t size) {
  if (size < 14 || std::memcmp(data, "Exif\0\0", 6) != 0) return 1;
  data += 6;
  size -= 6;
  const bool little = std::memcmp(data, "II*\0", 4) == 0;
  if (!little && std::memcmp(data, "MM\0*", 4) != 0) return 1;
  const auto u16 = [&](size_t at) {
    return static_cast<uint32_t>(little ? data[at] | data[at + 1] << 8
                                        : data[at] << 8 | data[at + 1]);
  };
  const auto u32 = [&](size_t at) {
    return little ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2);
  };
  const size_t directory = u32(4);
  if (directory > size - 2) return 1;
  const size_t entries = u16(directory);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry > size || size - entry < 12) return 1;
    if (u16(entry) != 274) continue;
    const uint32_t value = u16(entry + 8);
    return u16(entry + 2) == 3 && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

// Turns the stored picture upright.
Image oriented(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool swapped = orientation >= 5;
  Image result(swapped ? image.height : image.width, swapped ? image.width : image.height, 3);
  const bool mirror_x =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x) {
      int from_x = swapped ? y : x, from_y = swapped ? x : y;
      if (mirror_x) from_x = image.width - 1 - from_x;
      if (mirror_y) from_y = image.height - 1 - from_y;
      std::memcpy(result.row(y) + 3 * x, image.row(from_y) + 3 * from_x, 3);
    }
  return result;
}

// Inverted CMYK, as Adobe's programs write it, to RGB in place of the first three of each four
// bytes.
void rgb_from_cmyk(const uint8_t* cmyk, uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4)
    for (int c = 0; c < 3; ++c) {
      // Pillow's: white K minus the ink's share, products of bytes divided by 255 with rounding
      const int key = cmyk[3], product = (255 - cmyk[c]) * key + 128;
      *rgb++ = static_cast<uint8_t>(key - ((product >> 8) + product) / 256);
    }
}

struct Decoder {
  explicit Decoder(const std::string& name) : name(name) {
    install(handler);
    codec.err = &handler.base;
    run([this] { jpeg_create_decompress(&codec); });
  }
  ~Decoder() { jpeg_destroy_decompress(&codec); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  template <class Action>
  void run(const Action& action) {
    if (!guarded(handler, action)) fail("{}: JPEG: {}", name, handler.text);
  }

  const std::string& name;
  ErrorHandler handler;
  jpeg_decompress_struct codec{};
};

// Progressive files of many scans make the decoder go over the whole picture again and again.
constexpr int kMaxScans = 500;
void check_scans(j_common_ptr codec) {
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number <= kMaxScans) return;
  auto* handler = reinterpret_cast<ErrorHandler*>(codec->err);
  std::strcpy(handler->text, "more than 500 scans");
  std::longjmp(handler->jump, 1);
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name,
                  const ImageLimits& limits) {
  Decoder decoder(name);
  jpeg_decompress_struct* codec = &decoder.codec;
  jpeg_progress_mgr progress{};
  progress.progress_monitor = check_scans;
  codec->progress = &progress;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto size = static_cast<unsigned long>(bytes.size());
  decoder.run([=] {
    jpeg_mem_src(codec, data, size);
    jpeg_save_markers(codec, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(codec, TRUE);
  });
  check_image_size(codec->image_width, codec->image_height, name, limits);
  const bool cmyk = codec->jpeg_color_space == JCS_CMYK || codec->jpeg_color_space == JCS_YCCK;
  int orientation = 1;
  for (auto* marker = codec->marker_list; marker != nullptr && orientation == 1;
       marker = marker->next)
    orientation = exif_orientation(marker->data, marker->data_length);
  codec->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  decoder.run([=] { jpeg_start_decompress(codec); });
  Image image(static_cast<int>(codec->output_width), static_cast<int>(codec->output_height), 3);
  std::vector<uint8_t> line(cmyk ? static_cast<size_t>(image.width) * 4 : 0);
  for (int y = 0; y < image.height; ++y) {
    JSAMPROW row = cmyk ? line.data() : image.row(y);
    decoder.run([codec, &row] { jpeg_read_scanlines(codec, &row, 1); });
    if (cmyk) rgb_from_cmyk(line.data(), image.row(y), image.width);
  }
  decoder.run([=] { jpeg_finish_decompress(codec); });
  return oriented(std::move(image), orientation);
}

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  check_image(image, "encode_jpeg");
  if (quality < 1 || quality > 100)
    fail("encode_jpeg: expected a quality of 1 to 100, found {}", quality);
  ErrorHandler handler;
  install(handler);
  jpeg_compress_struct codec{};
  codec.err = &handler.base;
  struct Owner {
    jpeg_compress_struct& codec;
    unsigned char* buffer = nullptr;  // libjpeg's, by malloc
    unsigned long size = 0;
    ~Owner() {
      jpeg_destroy_compress(&codec);
      std::free(buffer);
    }
  } owner{codec};
  const Image* picture = &image;
  Owner* target = &owner;
  const bool good = guarded(handler, [=] {
    jpeg_compress_struct* encoder = &target->codec;
    jpeg_create_compress(encoder);
    jpeg_mem_dest(encoder, &target->buffer, &target->size);
    encoder->image_width = static_cast<JDIMENSION>(picture->width);
    encoder->image_height = static_cast<JDIMENSION>(picture->height);
    encoder->input_components = picture->channels;
    encoder->in_color_space = picture->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(encoder);
    jpeg_set_quality(encoder, quality, TRUE);
    jpeg_start_compress(encoder, TRUE);
    for (int y = 0; y < picture->height; ++y) {
      JSAMPROW row = const_cast<JSAMPROW>(picture->row(y));
      jpeg_write_scanlines(encoder, &row, 1);
    }
    jpeg_finish_compress(encoder);
  });
  if (!good) fail("encode_jpeg: {}", handler.text);
  const auto* start = reinterpret_cast<const std::byte*>(owner.buffer);
  return {start, start + owner.size};
}

}  // namespace sumi::formats
