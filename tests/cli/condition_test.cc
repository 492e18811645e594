#include <gtest/gtest.h>

#include "cli/command.h"
#include "formats/image.h"

namespace sumi::cli {
namespace {

const std::string kPhoto = std::string(SUMI_TEST_DATA) + "/images/photo.png";

TEST(Condition, EveryKindWritesAPictureOfTheSameSize) {
  const Folder folder;
  for (const char* kind : {"canny", "softedge", "lineart", "scribble", "tile", "palette", "blur"}) {
    const std::string file = folder / (std::string(kind) + ".png");
    const Outcome outcome = run(std::string("condition ") + kind + " " + kPhoto + " -o " + file);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    const formats::Image image = formats::read_image(file);
    EXPECT_EQ(image.width, 37);
    EXPECT_EQ(image.height, 29);
  }
  EXPECT_NE(slurp(folder / "blur.png"), slurp(folder / "tile.png"));
  EXPECT_EQ(run("condition blur --sigma 1 " + kPhoto + " -o " + (folder / "b.png")).code, 0);
  EXPECT_NE(slurp(folder / "b.png"), slurp(folder / "blur.png"));
}

TEST(Condition, WrongUse) {
  const Folder folder;
  const std::string out = " -o " + (folder / "a.png");
  EXPECT_NE(run("condition --help").out.find("Examples:\n  sumi "), std::string::npos);
  for (const std::string& arguments :
       {"depth " + kPhoto + out, "canny " + kPhoto, "canny" + out,
        "canny " + kPhoto + " -o " + (folder / "a.bmp"), "tile --block 0 " + kPhoto + out})
    EXPECT_EQ(run("condition " + arguments).code, 2) << arguments;
  for (const std::string& arguments :
       {"canny missing.png" + out, "canny --low 9 --high 3 " + kPhoto + out,
        "blur --sigma 0 " + kPhoto + out})
    EXPECT_EQ(run("condition " + arguments).code, 1) << arguments;
  EXPECT_FALSE(std::filesystem::exists(folder / "a.png"));
}

}  // namespace
}  // namespace sumi::cli
