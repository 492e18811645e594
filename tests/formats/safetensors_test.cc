#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "formats/temporary.h"

namespace sumi::formats {
namespace {

const std::string kTypesFile = std::string(SUMI_TEST_DATA) + "/formats/types.safetensors";
const char kGoodHeader[] =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})";

// A file with this header and that many bytes of data.
std::string image(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes + header + std::string(data_bytes, '\x02');
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Safetensors, ReadsEveryType) {
  const SafetensorsFile file(kTypesFile);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensors().size(), 12u);
  const std::vector<float> values{-2, -1, 0, 1, 2, 3};
  for (const char* name : {"float32", "float16", "bfloat16"}) {
    EXPECT_EQ(file.get(name).shape(), (Shape{2, 3}));
    EXPECT_EQ(file.get(name).to_vector(), values) << name;
  }
  EXPECT_EQ(file.get("float64").data<double>()[5], 3.0);
  EXPECT_EQ(file.get("int64").data<int64_t>()[0], -2);
  EXPECT_EQ(file.get("int32").data<int32_t>()[1], -1);
  EXPECT_EQ(file.get("int16").data<int16_t>()[5], 3);
  EXPECT_EQ(file.get("int8").data<int8_t>()[0], -2);
  EXPECT_EQ(file.get("uint8").data<uint8_t>()[0], 2);
  EXPECT_EQ(file.get("bool").dtype(), DType::boolean);
  EXPECT_EQ(file.get("bool").data<uint8_t>()[2], 0);
  EXPECT_EQ(file.get("scalar").shape(), Shape{});
  EXPECT_EQ(file.get("scalar").f32()[0], 2.5f);
  EXPECT_EQ(file.get("empty").shape(), (Shape{0, 4}));
  expect_mentions(error_of([&] { file.get("absent"); }), "no tensor named \"absent\"");
  file.release("float32");
  EXPECT_EQ(file.get("float32").to_vector(), values);
}

TEST(Safetensors, CopiesWhatIsNotAligned) {
  const TemporaryFolder folder;
  std::string header = kGoodHeader;
  for (int pad = 0; pad < 8; ++pad, header += ' ') {
    const SafetensorsFile file(folder.write("odd.safetensors", image(header, 22)));
    const Tensor tensor = file.get("a");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes()) % alignof(float), 0u);
    uint32_t bits;
    std::memcpy(&bits, &tensor.f32()[3], sizeof bits);
    EXPECT_EQ(bits, 0x02020202u);
    EXPECT_EQ(file.get("b").shape(), Shape{3});
  }
}

TEST(Safetensors, IgnoresUnknownFields) {
  const TemporaryFolder folder;
  const std::string header =
      replaced(kGoodHeader, R"("shape":[3])", R"("shape":[3],"note":{"x":[1]})");
  EXPECT_EQ(SafetensorsFile(folder.write("x.safetensors", image(header, 22))).tensors().size(), 2u);
}

TEST(Safetensors, WriteAndReadBack) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.safetensors");
  const Tensor f32 = Tensor::from({1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor ids = Tensor::from_ids({7, -8}, {2});
  const Tensor bytes = Tensor::zeros({3}, DType::u8);
  const Tensor none = Tensor::zeros({0, 2});
  write_safetensors(path,
                    {{"bytes", bytes},
                     {"ids", ids},
                     {"half", f32.to(DType::f16)},
                     {"f", f32},
                     {"none", none},
                     {"naïve", f32.to(DType::bf16)}},
                    {{"k", "v\n"}});
  EXPECT_EQ(folder.count(), 1u) << "a temporary file was left";
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata().at("k"), "v\n");
  EXPECT_EQ(file.get("f").to_vector(), f32.to_vector());
  EXPECT_EQ(file.get("half").to_vector(), f32.to_vector());
  EXPECT_EQ(file.get("naïve").to_vector(), f32.to_vector());
  EXPECT_EQ(file.get("ids").data<int32_t>()[1], -8);
  EXPECT_EQ(file.get("bytes").shape(), Shape{3});
  EXPECT_EQ(file.get("none").shape(), (Shape{0, 2}));
  write_safetensors(path, {{"f", f32}});  // replaces
  EXPECT_EQ(SafetensorsFile(path).tensors().size(), 1u);
}

TEST(Safetensors, FailedWriteLeavesTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("old.safetensors", "old");
  const Tensor f32 = Tensor::zeros({1});
  expect_mentions(error_of([&] {
                    write_safetensors(path, {{"a", f32}, {"a", f32}});
                  }),
                  "\"a\" is reserved, empty or");
  expect_mentions(error_of([&] { write_safetensors(path, {{"__metadata__", f32}}); }), "reserved");
  expect_mentions(error_of([&] { write_safetensors(path, {{"\xff", f32}}); }), "UTF-8");
  expect_mentions(error_of([&] {
                    write_safetensors(path, {{"q", Tensor::zeros({32}, DType::q4_0)}});
                  }),
                  "q4_0");
  expect_mentions(error_of([&] {
                    write_safetensors(folder.file("no/x"), {{"a", f32}});
                  }),
                  "cannot create");
  EXPECT_EQ(folder.count(), 1u);
  EXPECT_EQ(std::filesystem::file_size(path), 3u);
}

struct Malformed {
  const char* name;
  std::function<std::string()> bytes;
  const char* mentions;
};

void PrintTo(const Malformed& c, std::ostream* out) { *out << c.name; }

class SafetensorsMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(SafetensorsMalformed, IsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.write("broken.safetensors", GetParam().bytes());
  const std::string message = error_of([&] { SafetensorsFile file(path); });
  expect_mentions(message, path);
  expect_mentions(message, GetParam().mentions);
}

// The good header with one text replaced.
std::function<std::string()> with(const char* from, const char* to) {
  return [=] { return image(replaced(kGoodHeader, from, to), 22); };
}
std::function<std::string()> length(uint64_t value) {
  return [=] {
    std::string bytes = image(kGoodHeader, 22);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  };
}

const Malformed kCases[] = {
    {"empty_file", [] { return std::string(); }, "the file is empty"},
    {"git_lfs_pointer", [] { return std::string("version https://git-lfs.github.com/spec/v1\n"); },
     "Git LFS"},
    {"seven_bytes", [] { return std::string(7, '\1'); }, "truncated: header length"},
    {"header_over_cap", length(100'000'001), "header of 100000001 bytes, at most 100000000"},
    {"header_length_wraps", length(~uint64_t{0} - 7), "at most 100000000"},
    {"header_beyond_file", length(5000), "truncated: header needs 5000 bytes"},
    {"header_empty", length(0), "does not start with '{'"},
    {"header_cut", length(40), "invalid JSON, line 1"},
    {"header_array", [] { return image("[1]", 0); }, "does not start with '{'"},
    {"header_not_json", with(R"("a":)", R"("a";)"), "invalid JSON, line 1, column"},
    {"header_two_values", [] { return image("{}{}", 0); }, "invalid JSON"},
    {"header_invalid_utf8", with("pt", "\xff"), "invalid JSON"},
    {"nesting_bomb",
     [] { return image("{\"a\":" + std::string(200000, '[') + std::string(200000, ']') + "}", 0); },
     "nest deeper than"},
    {"nesting_bomb_objects",
     [] {
       std::string text;
       for (int i = 0; i < 50000; ++i) text += "{\"a\":";
       return image(text, 0);
     },
     "nest deeper than"},
    {"tensor_twice", with(R"("b":)", R"("a":)"), "key \"a\" appears twice"},
    {"field_twice", with(R"("dtype":"F32")", R"("dtype":"F32","dtype":"F32")"),
     "key \"dtype\" appears twice"},
    {"metadata_not_object", with(R"({"format":"pt"})", "7"), "__metadata__: expected an object"},
    {"metadata_not_strings", with(R"("pt")", "1"), "__metadata__: \"format\": expected a string"},
    {"tensor_not_object", [] { return image(R"({"a":3})", 0); },
     "tensor \"a\": expected an object with dtype"},
    {"dtype_missing", with(R"("dtype":"F32",)", ""), "tensor \"a\": dtype is missing"},
    {"dtype_number", with(R"("F32")", "32"), "tensor \"a\": dtype: expected a string"},
    {"dtype_f8", with("F32", "F8_E4M3"), "tensor \"a\": dtype \"F8_E4M3\" is not supported"},
    {"dtype_lower_case", with("F32", "f32"), "dtype \"f32\" is not supported"},
    {"shape_missing", with(R"("shape":[2,2],)", ""), "tensor \"a\": shape is missing"},
    {"shape_number", with("[2,2]", "4"), "tensor \"a\": shape: expected an array"},
    {"shape_strings", with("[2,2]", R"(["2",2])"), "shape: expected an integer, found a string"},
    {"shape_fraction", with("[2,2]", "[2.5,2]"), "shape: expected an integer, found 2.5"},
    {"shape_negative", with("[2,2]", "[-2,-2]"), "tensor \"a\": shape [-2, -2] is out of range"},
    {"shape_beyond_int64", with("[2,2]", "[18446744073709551615,2]"),
     "18446744073709551615 is out of range"},
    {"shape_product_wraps", with("[2,2]", "[4611686018427387904,4]"), "is out of range"},
    {"shape_bytes_wrap", with("[2,2]", "[4611686018427387905]"), "is out of range"},
    {"shape_larger_than_span", with("[2,2]", "[3,2]"),
     "F32 [3, 2] takes 24 bytes, data_offsets are [0, 16]"},
    {"shape_smaller_than_span", with("[2,2]", "[1,2]"), "takes 8 bytes"},
    {"shape_of_many_dims",
     [] {
       std::string ones = "1";
       for (int i = 0; i < 99; ++i) ones += ",1";
       return image(R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", 1);
     },
     "100 dimensions"},
    {"offsets_missing", with(R"(,"data_offsets":[0,16])", ""),
     "tensor \"a\": data_offsets is missing"},
    {"offsets_one", with("[0,16]", "[16]"), "data_offsets: expected two, found 1"},
    {"offsets_negative", with("[0,16]", "[-16,0]"),
     "tensor \"a\": data_offsets: expected two counts"},
    {"offsets_float", with("[0,16]", "[0,1.6e1]"), "data_offsets: expected two counts"},
    {"offsets_reversed", with("[0,16]", "[16,0]"), "data_offsets are [16, 0]"},
    {"offsets_wrap", with("[16,22]", "[18446744073709551610,0]"), "tensor \"b\""},
    {"offsets_overlap", with("[16,22]", "[10,16]"),
     "tensor \"b\": data_offsets begin at 10, expected 16 (an overlap"},
    {"offsets_hole", with("[16,22]", "[17,23]"),
     "tensor \"b\": data_offsets begin at 17, expected 16 (a hole"},
    {"offsets_beyond_file", [] { return image(kGoodHeader, 21); },
     "tensor \"b\": data_offsets end at 22"},
    {"data_beyond_tensors", [] { return image(kGoodHeader, 23); }, "tensors take 22 bytes"},
    {"name_with_controls", with(R"("a":{"dtype":"F32")", R"("\u001b[2J":{"dtype":"X")"),
     "tensor \"\\x1b[2J\""},
};

INSTANTIATE_TEST_SUITE_P(Files, SafetensorsMalformed, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(SafetensorsMalformedMore, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::string whole = image(kGoodHeader, 22);
  EXPECT_EQ(SafetensorsFile(folder.write("whole.safetensors", whole)).tensors().size(), 2u);
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write("cut.safetensors", whole.substr(0, length));
    expect_mentions(error_of([&] { SafetensorsFile file(path); }), path);
  }
}

}  // namespace
}  // namespace sumi::formats
