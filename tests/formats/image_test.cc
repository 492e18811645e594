// Pictures against Pillow's: tests/data/images, written by tools/reference/images.py.
#include "formats/image.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "formats/image_resize.h"
#include "formats/safetensors.h"
#include "formats/temporary.h"

namespace sumi::formats {
namespace {

const std::string kFolder = std::string(SUMI_TEST_DATA) + "/images/";

const SafetensorsFile& expected() {
  static const SafetensorsFile file(kFolder + "expected.safetensors");
  return file;
}

std::vector<std::byte> slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto* start = reinterpret_cast<const std::byte*>(text.data());
  return {start, start + text.size()};
}

void expect_equal(const Image& image, const Tensor& tensor, const std::string& what) {
  ASSERT_EQ(image.height, tensor.size(0)) << what;
  ASSERT_EQ(image.width, tensor.size(1)) << what;
  ASSERT_EQ(image.pixels.size(), static_cast<size_t>(tensor.numel())) << what;
  const uint8_t* values = tensor.data<uint8_t>();
  int different = 0, largest = 0;
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    different += image.pixels[i] != values[i];
    largest = std::max(largest, std::abs(image.pixels[i] - values[i]));
  }
  EXPECT_EQ(different, 0) << what << ": largest difference " << largest;
}

TEST(Image, ReadsWhatPillowReads) {
  int files = 0;
  for (const auto& info : expected().tensors()) {
    if (info.name.find('.') == std::string::npos || info.name.rfind("resize", 0) == 0) continue;
    const Image image = read_image(kFolder + info.name);
    EXPECT_EQ(image.channels, 3);
    expect_equal(image, expected().get(info.name), info.name);
    ++files;
  }
  EXPECT_EQ(files, 19);
}

TEST(Image, ResizesAsPillow) {
  const Image photo = read_image(kFolder + "photo.png");
  const std::pair<const char*, Resample> filters[] = {{"nearest", Resample::nearest},
                                                      {"box", Resample::box},
                                                      {"bilinear", Resample::bilinear},
                                                      {"bicubic", Resample::bicubic},
                                                      {"lanczos", Resample::lanczos}};
  for (const auto& [name, resample] : filters)
    for (const auto& [width, height] : {std::pair{16, 16}, {64, 48}, {37, 11}, {9, 29}, {5, 50}}) {
      const std::string key = fmt::format("resize.{}.{}x{}", name, width, height);
      expect_equal(resize(photo, width, height, resample), expected().get(key), key);
    }
  expect_equal(to_grey(photo), expected().get("grey"), "grey");
  EXPECT_EQ(resize(photo, 37, 29, Resample::lanczos).pixels, photo.pixels);
}

TEST(Image, GreyPicturesResizeLikeTheirChannels) {
  const Image photo = read_image(kFolder + "photo.png");
  const Image grey = to_grey(photo);
  const Image small = resize(grey, 10, 12, Resample::bicubic);
  const Image rgb = resize(to_rgb(grey), 10, 12, Resample::bicubic);
  EXPECT_EQ(small.channels, 1);
  EXPECT_EQ(to_rgb(small).pixels, rgb.pixels);
}

TEST(Image, Crops) {
  Image image(5, 4, 1);
  for (size_t i = 0; i < 20; ++i) image.pixels[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(crop(image, 1, 2, 3, 2).pixels, (std::vector<uint8_t>{11, 12, 13, 16, 17, 18}));
  // (5 - 2) / 2 = 1.5 goes to 2, (4 - 3) / 2 = 0.5 to 0
  EXPECT_EQ(center_crop(image, 2, 3).pixels, (std::vector<uint8_t>{2, 3, 7, 8, 12, 13}));
  expect_mentions(error_of([&] { crop(image, 3, 0, 3, 1); }), "3 x 1 pixels at (3, 0)");
  expect_mentions(error_of([&] { center_crop(image, 6, 4); }), "6 x 4");
  expect_mentions(error_of([&] { resize(image, 0, 4, Resample::box); }), "0 x 4");
}

TEST(Image, WritesPngWithText) {
  const TemporaryFolder folder;
  const Image photo = read_image(kFolder + "photo.png");
  const ImageText text = {{"parameters", "a cat\nSteps: 20"}, {"Titel", "größer"}, {"Ink", "墨"}};
  write_image(folder.file("a.png"), photo, text);
  EXPECT_EQ(read_image(folder.file("a.png")).pixels, photo.pixels);
  EXPECT_EQ(read_png_text(folder.file("a.png")), text);
  const Image grey = to_grey(photo);
  write_image(folder.file("b.PNG"), grey);
  EXPECT_EQ(read_image(folder.file("b.PNG")).pixels, to_rgb(grey).pixels);
  EXPECT_TRUE(read_png_text(folder.file("b.PNG")).empty());
  for (const char* key : {"", " a", "a  b", "墨"})
    expect_mentions(error_of([&] { encode_png(photo, {{key, "x"}}); }), "key of a text chunk");
  expect_mentions(error_of([&] {
                    encode_png(photo, {{"a", std::string("x\0y", 3)}});
                  }),
                  "zero byte");
}

TEST(Image, ReadsPillowsText) {
  const ImageText text = read_png_text(kFolder + "rgb.png");
  std::string again;
  for (int i = 0; i < 20; ++i) again += "again and again ";
  const ImageText wanted = {{"parameters", "a cat\nSteps: 20, Seed: 42"},
                            {"Latin", "café"},
                            {"Title", "墨 ink"},
                            {"Zipped", again}};
  EXPECT_EQ(text, wanted);
}

double psnr(const Image& a, const Image& b) {
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i)
    sum += std::pow(static_cast<double>(a.pixels[i]) - b.pixels[i], 2);
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.pixels.size()) / sum);
}

TEST(Image, WritesJpegAndWebp) {
  const TemporaryFolder folder;
  const Image photo = resize(read_image(kFolder + "photo.png"), 64, 48, Resample::bicubic);
  for (const char* name : {"a.jpg", "a.JPEG", "a.webp"}) {
    write_image(folder.file(name), photo);
    const Image back = read_image(folder.file(name));
    ASSERT_EQ(back.pixels.size(), photo.pixels.size()) << name;
    EXPECT_GT(psnr(back, photo), 25) << name;
  }
  write_image(folder.file("grey.jpg"), to_grey(photo));
  EXPECT_GT(psnr(read_image(folder.file("grey.jpg")), to_rgb(to_grey(photo))), 35);
  EXPECT_LT(encode_jpeg(photo, 20).size(), encode_jpeg(photo, 90).size());
  EXPECT_LT(encode_webp(photo, 10).size(), encode_webp(photo, 90).size());
  expect_mentions(error_of([&] { encode_jpeg(photo, 0); }), "quality of 1 to 100");
  expect_mentions(error_of([&] { encode_webp(photo, -1); }), "quality of 0 to 100");
  expect_mentions(error_of([&] { write_image(folder.file("a.bmp"), photo); }), "a.bmp");
  expect_mentions(error_of([&] { write_image(folder.file("a.png"), Image()); }), "1 or 3 channels");
  EXPECT_FALSE(is_image_name("a.bmp"));
  EXPECT_TRUE(is_image_name("a.b.WebP"));
}

TEST(Image, EveryCutOfAFileIsAnError) {
  for (const char* name : {"rgb.png", "palette.png", "turned2.jpg", "cmyk.jpg", "lossy.webp"}) {
    const std::vector<std::byte> whole = slurp(kFolder + name);
    for (size_t size = 0; size + 12 < whole.size(); size += 1 + size / 16)
      EXPECT_THROW(decode_image(std::span(whole).first(size), name), Error) << name << " " << size;
  }
}

TEST(Image, DamageNeverCrashes) {
  for (const char* name : {"rgb.png", "palette.png", "turned5.jpg", "cmyk.jpg", "alpha.webp"}) {
    const std::vector<std::byte> whole = slurp(kFolder + name);
    for (size_t at = 0; at < whole.size(); at += 7) {
      std::vector<std::byte> damaged = whole;
      damaged[at] ^= std::byte{0x55};
      try {
        const Image image = decode_image(damaged, name, {.pixels = 1 << 16});
        EXPECT_EQ(image.pixels.size(), image.row_bytes() * static_cast<size_t>(image.height));
      } catch (const Error&) {
      }
    }
  }
}

TEST(Image, SizesAreCheckedBeforeDecoding) {
  const std::vector<std::byte> whole = slurp(kFolder + "rgb.png");
  for (const char* name : {"rgb.png", "turned1.jpg", "lossy.webp"})
    expect_mentions(error_of([&] { decode_image(slurp(kFolder + name), name, {.pixels = 100}); }),
                    "13 x 9 pixels; at most");
  expect_mentions(error_of([&] { decode_image(whole, "x", {.side = 12}); }), "12 on a side");
}

TEST(Image, AChunkLongerThanItsFileIsRefusedBeforeItsMemoryIsTaken) {
  std::vector<std::byte> bytes = slurp(kFolder + "rgb.png");
  bytes[33] = std::byte{0x3b};  // the first byte of the length of the chunk after the header
  expect_mentions(error_of([&] { decode_image(bytes, "x.png"); }),
                  "x.png: PNG: the chunk at byte 33 has");
}

TEST(Image, OtherFilesAreNamed) {
  const TemporaryFolder folder;
  expect_mentions(error_of([&] { read_image(folder.write("a.png", "GIF89a......")); }),
                  "neither PNG, JPEG nor WebP");
  expect_mentions(error_of([&] { read_image(folder.write("b.png", "")); }), "empty");
  expect_mentions(error_of([&] { read_image(folder.write("c.png", "<!DOCTYPE html>")); }),
                  "web page");
  expect_mentions(error_of([&] { read_png_text(kFolder + "grey.jpg"); }), "not a PNG");
}

}  // namespace
}  // namespace sumi::formats
