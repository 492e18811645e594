// Canny against OpenCV's, pixel for pixel (tools/reference/canny.py); the other kinds against what
// defines them.
#include "diffusion/condition/condition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "formats/safetensors.h"
#include "formats/temporary.h"

namespace sumi::diffusion {
namespace {

using formats::error_of;
using formats::expect_mentions;
using formats::Image;

const std::string kData = SUMI_TEST_DATA;

// A dark disc of radius 20 in the middle of a bright picture.
Image disc(int size = 64) {
  Image image(size, size, 3);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const int dx = x - size / 2, dy = y - size / 2;
      std::memset(image.row(y) + 3 * x, dx * dx + dy * dy < 400 ? 40 : 220, 3);
    }
  return image;
}

TEST(Condition, CannyIsOpenCvs) {
  const formats::SafetensorsFile file(kData + "/diffusion/canny.safetensors");
  const Image photo = formats::read_image(kData + "/images/photo.png");
  int cases = 0;
  for (const auto& info : file.tensors()) {
    char name[16];
    int low, high, norm;
    if (std::sscanf(info.name.c_str(), "%15[a-z].%d.%d.L%d", name, &low, &high, &norm) != 4)
      continue;
    Image image = photo;
    if (std::strcmp(name, "smooth") == 0) {
      const Tensor picture = file.get("smooth.picture");
      image = Image(static_cast<int>(picture.size(1)), static_cast<int>(picture.size(0)), 3);
      std::copy_n(picture.data<uint8_t>(), picture.numel(), image.pixels.begin());
    } else if (std::strcmp(name, "green") == 0) {
      image = Image(photo.width, photo.height, 1);
      for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = photo.pixels[3 * i + 1];
    }
    const Image edges = canny(image, {double(low), double(high), norm == 2});
    const Tensor expected = file.get(info.name);
    ASSERT_EQ(static_cast<int64_t>(edges.pixels.size()), expected.numel());
    int different = 0;
    for (size_t i = 0; i < edges.pixels.size(); ++i)
      different += edges.pixels[i] != expected.data<uint8_t>()[i];
    EXPECT_EQ(different, 0) << info.name;
    ++cases;
  }
  EXPECT_EQ(cases, 24);
  expect_mentions(error_of([&] { canny(photo, {200, 100}); }), "200 and 100");
}

TEST(Condition, BlurKeepsTheMeanAndSpreads) {
  Image image(21, 21, 1);
  image.row(10)[10] = 255;
  const Image blurred = gaussian_blur(image, 1);
  EXPECT_EQ(blurred.row(10)[10], 41);  // 255 / (2 pi)
  EXPECT_EQ(blurred.row(10)[11], 25);  // times exp(-1/2)
  EXPECT_EQ(blurred.row(11)[11], 15);  // times exp(-1)
  Image flat(8, 5, 3);
  std::fill(flat.pixels.begin(), flat.pixels.end(), 93);
  EXPECT_EQ(gaussian_blur(flat, 30).pixels, flat.pixels);
  expect_mentions(error_of([&] { gaussian_blur(flat, 0); }), "sigma");
}

TEST(Condition, EdgesLieOnTheEdge) {
  const Image image = disc();
  for (const Image& edges : {soft_edges(image), scribble(image)}) {
    EXPECT_EQ(edges.channels, 1);
    EXPECT_GT(edges.row(32)[12], 200);  // the disc's left end
    EXPECT_EQ(edges.row(32)[32], 0);
    EXPECT_EQ(edges.row(2)[2], 0);
  }
  const Image drawn = scribble(image);
  EXPECT_TRUE(std::all_of(drawn.pixels.begin(), drawn.pixels.end(),
                          [](uint8_t v) { return v == 0 || v == 255; }));
  Image flat(40, 30, 3);
  for (size_t i = 0; i < flat.pixels.size(); ++i)
    flat.pixels[i] = static_cast<uint8_t>(100 + (i * 7) % 2);
  const Image none = scribble(flat);
  EXPECT_EQ(std::count(none.pixels.begin(), none.pixels.end(), 0), 1200);
}

TEST(Condition, LinesAreWhiteOnBlack) {
  Image page(60, 40, 3);
  std::fill(page.pixels.begin(), page.pixels.end(), 250);
  for (int y = 0; y < 40; ++y) std::memset(page.row(y) + 3 * 30, 20, 3);
  const Image lines = line_art(page);
  EXPECT_GT(lines.row(20)[30], 120);
  EXPECT_EQ(lines.row(20)[10], 0);
}

TEST(Condition, TilesAndPalettes) {
  const Image image = disc();
  const Image squares = palette(image, 16);
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x)
      EXPECT_EQ(squares.row(y)[3 * x], squares.row(y / 16 * 16)[x / 16 * 48]);
  EXPECT_LT(squares.row(32)[3 * 32], 120);
  EXPECT_GT(squares.row(0)[0], 200);
  EXPECT_EQ(tile(image, 1).pixels, image.pixels);
  EXPECT_EQ(tile(image, 200).width, 64);
  expect_mentions(error_of([&] { tile(image, 0); }), "block");
}

}  // namespace
}  // namespace sumi::diffusion
