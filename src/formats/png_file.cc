// PNG through libpng. Its errors arrive by longjmp, so each call that can fail runs in guarded(),
// in a function that owns nothing; the objects that do own something live outside.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace sumi::formats {

namespace {

struct Source {
  const std::byte* data;
  size_t size, at;
};

void read_from_memory(png_structp png, png_bytep out, size_t count) {
  auto& source = *static_cast<Source*>(png_get_io_ptr(png));
  if (count > source.size - source.at) png_error(png, "the data ends early");
  std::memcpy(out, source.data + source.at, count);
  source.at += count;
}

void append_to_vector(png_structp png, png_bytep data, size_t count) {
  auto& out = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  const size_t size = out.size();
  out.resize(size + count);
  std::memcpy(out.data() + size, data, count);
}

// The message goes to the owner's buffer; a string object must not be alive across longjmp.
struct Message {
  char text[200] = "";
};
[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto& target = *static_cast<Message*>(png_get_error_ptr(png));
  std::strncpy(target.text, message, sizeof target.text - 1);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

template <class Action>
bool guarded(png_structp png, const Action& action) {
  if (setjmp(png_jmpbuf(png))) return false;
  action();
  return true;
}

// libpng takes the memory of a chunk before it reads it; here the data is at hand, so a length that
// it cannot hold is refused first. What follows the end chunk is nobody's.
void check_chunks(std::span<const std::byte> bytes, const std::string& name) {
  constexpr size_t kFrame = 12;  // length, name, checksum
  for (size_t at = 8; at + kFrame <= bytes.size();) {
    const auto* header = reinterpret_cast<const unsigned char*>(bytes.data() + at);
    const size_t length = png_get_uint_32(header), left = bytes.size() - at - kFrame;
    if (std::memcmp(header + 4, "IEND", 4) == 0) return;
    if (length > left)
      fail("{}: PNG: the chunk at byte {} has {} bytes, but {} are left: the data ends early", name,
           at, length, left);
    at += kFrame + length;
  }
}

struct Reader {
  Reader(std::span<const std::byte> bytes, const std::string& name)
      : source{bytes.data(), bytes.size(), 0}, name(name) {
    check_chunks(bytes, name);
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message, on_error, on_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) fail("{}: libpng: out of memory", name);
    png_set_read_fn(png, &source, read_from_memory);
    // A wrong checksum of an auxiliary chunk costs that chunk, not the picture.
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  template <class Action>
  void run(const Action& action) {
    if (!guarded(png, action)) fail("{}: PNG: {}", name, message.text);
  }

  Source source;
  const std::string& name;
  Message message;
  png_structp png = nullptr;
  png_infop info = nullptr;
};

std::string utf8_from_latin1(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x80) {
      result += c;
    } else {
      result += static_cast<char>(0xc0 | code >> 6);
      result += static_cast<char>(0x80 | (code & 0x3f));
    }
  }
  return result;
}

// Latin-1, if the UTF-8 text has no other characters.
bool latin1_from_utf8(std::string_view text, std::string& result) {
  result.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto code = static_cast<unsigned char>(text[i]);
    if (code < 0x80) {
      result += text[i];
    } else if ((code == 0xc2 || code == 0xc3) && i + 1 < text.size()) {
      result += static_cast<char>((code & 3) << 6 | (text[++i] & 0x3f));
    } else {
      return false;
    }
  }
  return true;
}

void check_key(const std::string& key) {
  std::string latin1;
  const bool good = latin1_from_utf8(key, latin1) && !latin1.empty() && latin1.size() <= 79 &&
                    latin1.front() != ' ' && latin1.back() != ' ' &&
                    latin1.find("  ") == std::string::npos;
  if (!good) fail("encode_png: \"{}\" cannot be the key of a text chunk", key);
}

Image decode(Reader& reader, const ImageLimits& limits) {
  const png_structp png = reader.png;
  const png_infop info = reader.info;
  reader.run([=] { png_read_info(png, info); });
  const uint32_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  check_image_size(width, height, reader.name, limits);
  reader.run([=] {
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
  });
  Image image(static_cast<int>(width), static_cast<int>(height), 3);
  if (png_get_rowbytes(png, info) != image.row_bytes())
    fail("{}: PNG: a row has {} bytes, expected {}", reader.name, png_get_rowbytes(png, info),
         image.row_bytes());
  std::vector<png_bytep> rows(height);
  for (uint32_t y = 0; y < height; ++y) rows[y] = image.row(static_cast<int>(y));
  png_bytepp row_pointers = rows.data();
  reader.run([=] {
    png_read_image(png, row_pointers);
    png_read_end(png, info);
  });
  return image;
}

void append_text(const Reader& reader, ImageText& text) {
  png_textp chunks = nullptr;
  const int count = png_get_text(reader.png, reader.info, &chunks, nullptr);
  for (int i = 0; i < count; ++i) {
    const png_text& chunk = chunks[i];
    const bool utf8 = chunk.compression >= PNG_ITXT_COMPRESSION_NONE;
    const std::string_view value(chunk.text, utf8 ? chunk.itxt_length : chunk.text_length);
    text.emplace_back(utf8_from_latin1(chunk.key),
                      utf8 ? std::string(value) : utf8_from_latin1(value));
  }
}

}  // namespace

Image decode_png(std::span<const std::byte> bytes, const std::string& name,
                 const ImageLimits& limits) {
  Reader reader(bytes, name);
  return decode(reader, limits);
}

ImageText decode_png_text(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < 8 || std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) != 0)
    fail("{}: not a PNG file", name);
  Reader reader(bytes, name);
  decode(reader, {});  // text may follow the pixels
  ImageText text;
  append_text(reader, text);
  return text;
}

std::vector<std::byte> encode_png(const Image& image, const ImageText& text) {
  check_image(image, "encode_png");
  std::vector<std::string> values(text.size()), keys(text.size());
  std::vector<png_text> chunks(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    check_key(text[i].first);
    latin1_from_utf8(text[i].first, keys[i]);
    png_text& chunk = chunks[i];
    chunk = {};
    chunk.compression = PNG_TEXT_COMPRESSION_NONE;
    if (!latin1_from_utf8(text[i].second, values[i])) {
      chunk.compression = PNG_ITXT_COMPRESSION_NONE;
      values[i] = text[i].second;
    }
    if (values[i].find('\0') != std::string::npos)
      fail("encode_png: the text of {} has a zero byte", text[i].first);
    chunk.key = keys[i].data();
    chunk.text = values[i].data();
    chunk.text_length = values[i].size();
  }
  Message message;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &message, on_error, on_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  struct Owner {
    png_structp& png;
    png_infop& info;
    ~Owner() { png_destroy_write_struct(&png, &info); }
  } owner{png, info};
  if (info == nullptr) fail("encode_png: libpng: out of memory");
  std::vector<std::byte> out;
  std::vector<png_bytep> rows;
  for (int y = 0; y < image.height; ++y) rows.push_back(const_cast<png_bytep>(image.row(y)));
  png_set_write_fn(png, &out, append_to_vector, nullptr);
  png_bytepp row_pointers = rows.data();
  const png_textp text_chunks = chunks.data();
  const int count = static_cast<int>(chunks.size());
  const png_structp p = png;
  const png_infop i = info;
  const Image* picture = &image;
  const bool good = guarded(p, [=] {
    png_set_user_limits(p, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(p, i, static_cast<uint32_t>(picture->width),
                 static_cast<uint32_t>(picture->height), 8,
                 picture->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (count > 0) png_set_text(p, i, text_chunks, count);
    png_write_info(p, i);
    png_write_image(p, row_pointers);
    png_write_end(p, nullptr);
  });
  if (!good) fail("encode_png: {}", message.text);
  return out;
}

}  // namespace sumi::formats
