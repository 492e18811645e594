#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

#include "formats/gguf_image.h"
#include "formats/temporary.h"

namespace sumi::formats {
namespace {

const std::string kTypesFile = std::string(SUMI_TEST_DATA) + "/formats/types.gguf";

TEST(Gguf, ReadsEveryMetadataType) {
  const GgufFile file(kTypesFile);
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.keys().front(), "general.architecture");
  EXPECT_EQ(file.get_string("general.architecture"), "test");
  EXPECT_EQ(file.get_int("value.uint8"), 200);
  EXPECT_EQ(file.get_int("value.int8"), -100);
  EXPECT_EQ(file.get_int("value.uint16"), 60000);
  EXPECT_EQ(file.get_int("value.int16"), -30000);
  EXPECT_EQ(file.get_int("value.uint32"), 4000000000);
  EXPECT_EQ(file.get_int("value.int32"), -2000000000);
  EXPECT_EQ(file.get_int("value.int64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(std::get<uint64_t>(file.value("value.uint64")), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file.get_float("value.float32"), static_cast<double>(0.1f));
  EXPECT_EQ(file.get_float("value.float64"), 0.1);
  EXPECT_EQ(file.get_float("value.int8"), -100.0);
  EXPECT_TRUE(file.get_bool("value.bool", false));
  EXPECT_EQ(file.get_string("value.string"), "naïve 墨");
  EXPECT_EQ(file.get_strings("array.string"), (std::vector<std::string_view>{"a", "", "墨"}));
  EXPECT_EQ(file.get_ints("array.int32"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file.get_floats("array.float32"), (std::vector<double>{0.5, -1.5}));
  EXPECT_EQ(file.get_floats("array.int32"), (std::vector<double>{1, -2, 3}));
  EXPECT_EQ(std::get<std::vector<bool>>(file.value("array.bool")),
            (std::vector<bool>{true, false}));
}

TEST(Gguf, MissingAndMistypedKeys) {
  const GgufFile file(kTypesFile);
  EXPECT_FALSE(file.has_key("nothing"));
  EXPECT_EQ(file.get_int("nothing", 7), 7);
  EXPECT_EQ(file.get_float("nothing", 0.5), 0.5);
  EXPECT_EQ(file.get_string("nothing", "x"), "x");
  EXPECT_TRUE(file.get_bool("nothing", true));
  expect_mentions(error_of([&] { file.get_int("nothing"); }), "no metadata key \"nothing\"");
  expect_mentions(error_of([&] { file.get_int("value.string"); }),
                  "expected an integer, found a string");
  expect_mentions(error_of([&] { file.get_int("value.string", 1); }),
                  "expected an integer, found a string");
  expect_mentions(error_of([&] { file.get_int("value.float32"); }),
                  "expected an integer, found a number");
  expect_mentions(error_of([&] { file.get_int("value.uint64"); }),
                  "18446744073709551615 does not fit");
  expect_mentions(error_of([&] { file.get_float("value.bool"); }),
                  "expected a number, found a bool");
  expect_mentions(error_of([&] { file.get_bool("value.int8", true); }),
                  "expected a bool, found an integer");
  expect_mentions(error_of([&] { file.get_string("array.string"); }), "found an array of strings");
  expect_mentions(error_of([&] { file.get_strings("array.int32"); }), "found an array of integers");
  expect_mentions(error_of([&] { file.get_ints("array.float32"); }), "found an array of numbers");
  expect_mentions(error_of([&] { file.get_floats("array.bool"); }), "found an array of bools");
}

TEST(Gguf, ReadsTensors) {
  const GgufFile file(kTypesFile);
  ASSERT_EQ(file.tensors().size(), 13u);
  EXPECT_EQ(file.tensors().front().name, "f32");
  EXPECT_EQ(file.tensors().front().file, kTypesFile);
  const Tensor f32 = file.get("f32");
  EXPECT_EQ(f32.shape(), (Shape{2, 3}));
  EXPECT_EQ(f32.to_vector(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.get("f16").to_vector(), (std::vector<float>{0, 1, 2, 3}));
  const Tensor i32 = file.get("i32");
  EXPECT_EQ(i32.shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(i32.data<int32_t>()[23], 23);
  const std::pair<const char*, DType> blocks[] = {
      {"q4_0", DType::q4_0}, {"q4_1", DType::q4_1}, {"q5_0", DType::q5_0}, {"q5_1", DType::q5_1},
      {"q8_0", DType::q8_0}, {"q2_k", DType::q2_k}, {"q3_k", DType::q3_k}, {"q4_k", DType::q4_k},
      {"q5_k", DType::q5_k}, {"q6_k", DType::q6_k}};
  for (const auto& [name, dtype] : blocks) {
    const Tensor tensor = file.get(name);
    EXPECT_EQ(tensor.dtype(), dtype);
    EXPECT_EQ(tensor.shape(), (Shape{2, dtype_block_size(dtype)})) << name;
  }
  EXPECT_TRUE(file.has("q6_k"));
  EXPECT_FALSE(file.has("q7_k"));
  expect_mentions(error_of([&] { file.get("q7_k"); }), "no tensor named \"q7_k\"");
}

TEST(Gguf, TensorsOutliveTheFileAndReadAfterRelease) {
  Tensor tensor;
  {
    const GgufFile file(kTypesFile);
    tensor = file.get("f32");
    file.release("f32");
  }
  EXPECT_EQ(tensor.to_vector(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(Gguf, ReadsVersion2AndDefaultAlignment) {
  const TemporaryFolder folder;
  GgufImage image = good_gguf();
  image.patch<uint32_t>("version", 2);
  image.bytes[image.at["key0"]] = 'G';  // another key: the alignment is then the default, 32 too
  const GgufFile file(folder.write("v2.gguf", image.bytes));
  EXPECT_EQ(file.version(), 2u);
  EXPECT_FALSE(file.has_key("general.alignment"));
  EXPECT_EQ(file.get("c").shape(), (Shape{8}));
  EXPECT_EQ(file.get_ints("general.d"), (std::vector<int64_t>{5, 6}));
}

}  // namespace
}  // namespace sumi::formats
