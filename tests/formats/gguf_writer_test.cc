#include "formats/gguf_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <string>

#include "formats/temporary.h"

namespace sumi::formats {
namespace {

TEST(GgufWriter, RoundTrip) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.gguf");
  Tensor q8 = Tensor::zeros({3, 64}, DType::q8_0);
  for (int64_t i = 0; i < q8.nbytes(); ++i) q8.bytes()[i] = static_cast<std::byte>(i);
  const Tensor f32 = Tensor::from({1, 2, 3, 4, 5, 6}, {2, 1, 3});
  GgufWriter writer;
  writer.set_alignment(128);
  writer.set_string("general.architecture", "llama");
  writer.set_uint32("u32", 4000000000u);
  writer.set_int32("i32", -5);
  writer.set_uint64("u64", ~uint64_t{0});
  writer.set_float32("f32", 1e-5f);
  writer.set_bool("bool", true);
  writer.set_strings("strings", {"a", "", std::string("b\0c", 3)});
  writer.set_int32s("ints", {1, -1});
  writer.set_float32s("floats", {0.25f});
  writer.set("copied", GgufValue(std::vector<bool>{true, false, true}));
  writer.set("empty", GgufValue(std::vector<std::string_view>{}));
  writer.add_tensor("blk.0.q", q8);
  writer.add_tensor("f", f32);
  writer.write(path);
  EXPECT_EQ(folder.count(), 1u) << "a temporary file was left";

  const GgufFile file(path);
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.get_int("general.alignment"), 128);
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.get_int("u32"), 4000000000);
  EXPECT_EQ(file.get_int("i32"), -5);
  EXPECT_EQ(std::get<uint64_t>(file.value("u64")), ~uint64_t{0});
  EXPECT_EQ(file.get_float("f32"), static_cast<double>(1e-5f));
  EXPECT_TRUE(file.get_bool("bool", false));
  EXPECT_EQ(file.get_strings("strings"),
            (std::vector<std::string_view>{"a", "", std::string("b\0c", 3)}));
  EXPECT_EQ(file.get_ints("ints"), (std::vector<int64_t>{1, -1}));
  EXPECT_EQ(file.get_floats("floats"), (std::vector<double>{0.25}));
  EXPECT_EQ(std::get<std::vector<bool>>(file.value("copied")),
            (std::vector<bool>{true, false, true}));
  EXPECT_TRUE(file.get_strings("empty").empty());
  const Tensor read = file.get("blk.0.q");
  EXPECT_EQ(read.shape(), q8.shape());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read.bytes()) % 128, 0u);
  EXPECT_EQ(std::memcmp(read.bytes(), q8.bytes(), static_cast<size_t>(q8.nbytes())), 0);
  EXPECT_EQ(file.get("f").shape(), (Shape{2, 1, 3}));
  EXPECT_EQ(file.get("f").to_vector(), f32.to_vector());
}

// Readers of T5's table of replacements take it as it lies in the file.
TEST(GgufWriter, BytesStayBytes) {
  const TemporaryFolder folder;
  GgufWriter writer;
  writer.set_bytes("bytes", std::string_view("\x00\x7f\x80\xff", 4));
  writer.write(folder.file("b.gguf"));
  const GgufFile file(folder.file("b.gguf"));
  EXPECT_EQ(file.get_ints("bytes"), (std::vector<int64_t>{0, 127, 128, 255}));
  std::ifstream stream(folder.file("b.gguf"), std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(stream)), {});
  const size_t key = all.find("bytes");
  ASSERT_NE(key, std::string::npos);
  EXPECT_EQ(all[key + 5], 9) << "an array";
  EXPECT_EQ(all[key + 9], 0) << "of u8";
  EXPECT_EQ(all.substr(key + 21, 4), std::string("\x00\x7f\x80\xff", 4));
}

TEST(GgufWriter, CopiesMetadataOfAnotherFile) {
  const TemporaryFolder folder;
  const GgufFile source(std::string(SUMI_TEST_DATA) + "/formats/types.gguf");
  GgufWriter writer;
  for (const std::string& key : source.keys())
    if (key != "general.alignment") writer.set(key, source.value(key));
  for (const TensorInfo& info : source.tensors())
    writer.add_tensor(info.name, source.get(info.name));
  writer.write(folder.file("copy.gguf"));
  const GgufFile copy(folder.file("copy.gguf"));
  for (const std::string& key : copy.keys()) EXPECT_EQ(copy.value(key), source.value(key)) << key;
  EXPECT_EQ(copy.keys().size() + 1, source.keys().size());
  for (const TensorInfo& info : source.tensors()) {
    const Tensor a = source.get(info.name), b = copy.get(info.name);
    ASSERT_EQ(a.nbytes(), b.nbytes());
    EXPECT_EQ(std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())), 0) << info.name;
  }
}

TEST(GgufWriter, RefusesWhatReadersWould) {
  GgufWriter writer;
  writer.set_uint32("key", 1);
  expect_mentions(error_of([&] { writer.set_uint32("key", 2); }), "\"key\" is set twice");
  expect_mentions(error_of([&] { writer.set_uint32("", 2); }), "empty");
  expect_mentions(error_of([&] { writer.set_uint32("general.alignment", 16); }), "set_alignment");
  expect_mentions(error_of([&] { writer.set_alignment(48); }), "found 48");
  writer.add_tensor("t", Tensor::zeros({2}));
  expect_mentions(error_of([&] { writer.add_tensor("t", Tensor::zeros({2})); }), "added twice");
  expect_mentions(error_of([&] { writer.add_tensor("", Tensor::zeros({2})); }), "empty");
  expect_mentions(error_of([&] {
                    writer.add_tensor("d", Tensor::zeros({1, 1, 1, 1, 1}));
                  }),
                  "at most 4 sizes");
  expect_mentions(error_of([&] {
                    writer.add_tensor("z", Tensor::zeros({2, 0}));
                  }),
                  "none of them 0");
  expect_mentions(error_of([&] { writer.add_tensor("b", Tensor::zeros({2}, DType::u8)); }),
                  "no type u8");
}

TEST(GgufWriter, FailureLeavesNothing) {
  const TemporaryFolder folder;
  GgufWriter writer;
  writer.add_tensor("t", Tensor::zeros({2}));
  expect_mentions(error_of([&] { writer.write(folder.file("absent/out.gguf")); }), "cannot create");
  std::filesystem::create_directory(
      folder.file("folder.gguf"));  // a folder is in the place: the rename fails
  folder.write("folder.gguf/x", "x");
  expect_mentions(error_of([&] { writer.write(folder.file("folder.gguf")); }), "cannot rename");
  EXPECT_EQ(folder.count(), 1u);
}

}  // namespace
}  // namespace sumi::formats
