// Data sets of pictures: folders, tables, archives; what is wrong with one is said before anything is decoded.
#include "train/picture_set.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "cli/command.h"
#include "formats/temporary.h"
#include "train/picture_crop.h"

namespace sumi::train {
namespace {

namespace fs = std::filesystem;
using formats::error_of;

formats::Image image_of(uint8_t value, int width = 4, int height = 4) {
  formats::Image image(width, height, 3);
  std::fill(image.pixels.begin(), image.pixels.end(), value);
  return image;
}

class Pictures : public testing::Test {
 protected:
  Pictures() {
    fs::create_directories(folder_ / "sub");
    formats::write_image(folder_ / "a.png", image_of(10));
    formats::write_image(folder_ / "sub/b.png", image_of(20));
  }
  void metadata(const std::string& name, const std::string& text) {
    fs::remove(folder_ / "metadata.jsonl");
    fs::remove(folder_ / "metadata.csv");
    cli::spill(folder_ / name, text);
  }
  PictureSet open(const PictureColumns& columns = {}, const PictureNeeds& needs = {}) {
    return PictureSet::open(folder_.path(), columns, needs);
  }
  cli::Folder folder_;
};

TEST_F(Pictures, OfAFolder) {
  metadata("metadata.jsonl",
           "{\"image\": \"a.png\", \"prompt\": \"first\", \"conditioning_image\": \"sub/b.png\"}\n\n"
           "{\"file_name\": \"sub/b.png\", \"text\": \"second\", \"conditioning_image\": \"a.png\"}\n");
  const PictureSet set = open({}, {.condition = true});
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.prompt(1), "second");
  EXPECT_EQ(set.image(1).pixels[0], 20);
  EXPECT_EQ(set.condition(1).pixels[0], 10);
  metadata("metadata.csv", "pic,caption\na.png,\"one, two\"\n");
  const PictureSet table = open({.image = "pic", .condition = "", .prompt = "caption"});
  EXPECT_EQ(table.prompt(0), "one, two");
  EXPECT_NE(table.fingerprint(false), set.fingerprint(false));
  EXPECT_EQ(PictureSet::of_folder(folder_.path(), "p").size(), 1);
}

TEST_F(Pictures, OfAnArchive) {
  cli::spill(folder_ / "1.txt", "first");
  cli::spill(folder_ / "2.json", "{\"prompt\": \"second\"}");
  for (const char* name : {"1.png", "2.conditioning_image.png"})
    fs::copy_file(folder_ / "a.png", folder_ / name);
  for (const char* name : {"2.png", "1.conditioning_image.png"})
    fs::copy_file(folder_ / "sub/b.png", folder_ / name);
  const std::string path = folder_ / "d.tar";
  ASSERT_EQ(std::system(("cd " + folder_.path() + " && tar -cf d.tar 1.* 2.*").c_str()), 0);
  const PictureSet set = PictureSet::open(path, {}, {.condition = true});
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.prompt(0), "first");
  EXPECT_EQ(set.prompt(1), "second");
  EXPECT_EQ(set.image(1).pixels[0], 20);
  EXPECT_EQ(set.condition(1).pixels[0], 10);
  EXPECT_NE(error_of([&] {
              PictureSet::open(path, {.image = "", .condition = "depth", .prompt = ""},
                               {.condition = true});
            }).find("1\": has no picture .depth.png"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              PictureSet::open(path, {.image = "", .condition = "", .prompt = "caption"}, {});
            }).find("expected a column caption; found \"prompt\""),
            std::string::npos);
}

TEST_F(Pictures, Errors) {
  const auto expect_error = [&](const std::string& line, const std::string& part,
                                const PictureNeeds& needs = {}) {
    metadata("metadata.jsonl", line);
    const std::string error = error_of([&] { open({}, needs); });
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  EXPECT_NE(error_of([&] { open(); }).find("found neither"), std::string::npos);
  expect_error("", "there are no pictures");
  expect_error("{\"image\": \"a.png\"}", "line 1: expected a column prompt or text; found \"image\"");
  expect_error("{\"image\": \"a.png\", \"prompt\": \"x\"}", "expected a column conditioning_image",
               {.condition = true});
  expect_error("{\"image\": \"c.png\", \"prompt\": \"x\"}", "there is no file");
  expect_error("{\"image\": \"../a.png\", \"prompt\": \"x\"}", "inside the folder");
  expect_error("{\"image\": \"/etc/passwd\", \"prompt\": \"x\"}", "inside the folder");
  expect_error("[1]", "expected an object");
  cli::spill(folder_ / "metadata.csv", "a\n");
  EXPECT_NE(error_of([&] { open(); }).find("found both"), std::string::npos);
  EXPECT_NE(error_of([&] { PictureSet::open(folder_ / "nothing", {}, {}); }).find("metadata.jsonl"),
            std::string::npos);
}

TEST(Crop, CentreAnywhereAndMirrored) {
  formats::Image wide(8, 4, 1);
  for (size_t i = 0; i < wide.pixels.size(); ++i) wide.pixels[i] = static_cast<uint8_t>(i % 8);
  EXPECT_EQ(cropped(wide, 4, {}).row(0)[0], 2);
  EXPECT_EQ(cropped(wide, 4, {.flip = true}).row(0)[0], 5);
  EXPECT_EQ(cropped(wide, 4, {.centre = false, .x = 0, .y = 0}).row(3)[0], 0);
  EXPECT_EQ(cropped(wide, 4, {.centre = false, .x = 0.99999, .y = 0.99999}).row(0)[0], 4);
  const formats::Image small = cropped(wide, 2, {});
  EXPECT_EQ(small.width, 2);
  EXPECT_EQ(small.height, 2);
}

}  // namespace
}  // namespace sumi::train
