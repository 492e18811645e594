// The log, TensorBoard's records and the picture.
#include "train/run_log.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "cli/command.h"
#include "train/plot.h"

namespace sumi::train {
namespace {

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // RFC 3720's check value
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(masked_crc32c("123456789"), ((0xe3069283u >> 15) | (0xe3069283u << 17)) + 0xa282ead8u);
}

std::string event_file(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0)
      return cli::slurp(entry.path().string());
  return "";
}

TEST(EventFile, RecordsAreFramedAndHoldTheScalars) {
  const cli::Folder folder;
  {
    EventFile file(folder.path());
    file.write(300, 2.5, {{"loss", 0.75f}});
  }
  const std::string bytes = event_file(folder.path());
  std::vector<std::string> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length;
    uint32_t crc;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&crc, bytes.data() + at + 8, 4);
    ASSERT_EQ(crc, masked_crc32c(bytes.substr(at, 8)));
    events.push_back(bytes.substr(at + 12, length));
    std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
    ASSERT_EQ(crc, masked_crc32c(events.back()));
    at += 16 + length;
  }
  ASSERT_EQ(events.size(), 2u);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  // wall_time (field 1, 64 bits), step (2, varint 300), summary (5) > value (1) > tag (1),
  // simple_value (2, 32 bits)
  std::string expected("\x09\0\0\0\0\0\0\x04\x40\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15", 23);
  const float loss = 0.75f;
  expected.append(reinterpret_cast<const char*>(&loss), 4);
  EXPECT_EQ(events[1], expected);
}

TEST(RunLog, ForgetsWhatComesAfterTheStepItGoesOnFrom) {
  const cli::Folder folder;
  {
    RunLog log(folder.path(), 0);
    for (int64_t step = 1; step <= 5; ++step)
      log.write(step, {{"loss", 1.0 / static_cast<double>(step)}});
  }
  std::string cut_off = cli::slurp(folder / "log.jsonl") + "{\"step\": 6, \"lo";
  cli::spill(folder / "log.jsonl", cut_off);
  {
    RunLog log(folder.path(), 3);
    log.write(4, {{"loss", 7}, {"eval_loss", 8}});
  }
  const auto curves = read_run_log(folder.path());
  ASSERT_EQ(curves.at("loss").size(), 4u);
  EXPECT_EQ(curves.at("loss")[3], (std::pair{4.0, 7.0}));
  EXPECT_EQ(curves.at("eval_loss").size(), 1u);
  EXPECT_THROW(read_run_log(folder / "none"), Error);
}

TEST(Plot, DrawsEachCurveInsideTheFrame) {
  const std::string svg =
      curves_as_svg("a < b", "step", {{"loss", {{0, 3}, {10, 1}}}, {"eval_loss", {{5, 2}}}});
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_NE(svg.find(">eval_loss</text>"), std::string::npos);
  EXPECT_NE(svg.find("points=\"70.0,40.0 780.0,430.0 \""), std::string::npos) << svg;
  const formats::Image image = curves_as_image("t", "x", {{"loss", {{0, 3}, {10, 1}}}, {"eval_loss", {{5, 2}}}});
  ASSERT_EQ(image.width, 1600);
  ASSERT_EQ(image.height, 960);
  const auto colour = [&](int x, int y) {
    const uint8_t* p = image.row(y) + 3 * x;
    return p[0] << 16 | p[1] << 8 | p[2];
  };
  for (const int share : {0, 1, 3, 4})  // of the first curve, in quarters
    EXPECT_EQ(colour(140 + share * 1420 / 4, 80 + share * 780 / 4), 0x1f77b4) << share;
  EXPECT_EQ(colour(140 + 1420 / 2, 80 + 780 / 2), 0xd62728);  // the second, over it
  EXPECT_EQ(colour(300, 120), 0xffffff);
  EXPECT_EQ(colour(144, 860), 0xdddddd);  // the lowest line of the grid
  EXPECT_THROW(curves_as_svg("t", "x", {{"empty", {}}}), Error);
  EXPECT_THROW(curves_as_image("t", "x", {{"empty", {}}}), Error);
  const Curve mean = smoothed({"c", {{0, 1}, {1, 2}, {2, 6}}}, 1);
  EXPECT_EQ(mean.points[0].second, 1.5);
  EXPECT_EQ(mean.points[1].second, 3);
}

}  // namespace
}  // namespace sumi::train
