// Broken GGUF files: each breaks one field of a good one, and must be refused with a message about
// that field.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "formats/gguf.h"
#include "formats/gguf_image.h"
#include "formats/temporary.h"

namespace sumi::formats {
namespace {

struct Malformed {
  const char* name;
  std::function<void(GgufImage&)> mutate;
  const char* mentions;
};

void PrintTo(const Malformed& c, std::ostream* out) { *out << c.name; }

class GgufMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(GgufMalformed, IsRefused) {
  const TemporaryFolder folder;
  GgufImage image = good_gguf();
  GetParam().mutate(image);
  const std::string path = folder.write("broken.gguf", image.bytes);
  const std::string message = error_of([&] { GgufFile file(path); });
  expect_mentions(message, path);
  expect_mentions(message, GetParam().mentions);
}

template <class T>
std::function<void(GgufImage&)> patch(const char* field, T value) {
  return [=](GgufImage& image) { image.patch<T>(field, value); };
}

// Wraps to 0 when multiplied by 4 or 18 bytes, or added to an offset.
constexpr uint64_t kHuge = uint64_t{1} << 62;
constexpr uint64_t kAll = ~uint64_t{0};

const Malformed kCases[] = {
    {"empty_file", [](GgufImage& i) { i.bytes.clear(); }, "the file is empty"},
    {"other_magic", [](GgufImage& i) { i.bytes[0] = 'X'; },
     "not a GGUF file: starts with \"XGUF\""},
    {"git_lfs_pointer",
     [](GgufImage& i) { i.bytes = "version https://git-lfs.github.com/spec/v1\n"; }, "Git LFS"},
    {"web_page", [](GgufImage& i) { i.bytes = "<!DOCTYPE html><p>404"; }, "web page"},
    {"zip_archive", [](GgufImage& i) { i.bytes = std::string("PK\x03\x04", 4); }, "zip archive"},
    {"version_0", patch<uint32_t>("version", 0), "version 0 is not supported"},
    {"version_1", patch<uint32_t>("version", 1), "version 1 is not supported"},
    {"version_4", patch<uint32_t>("version", 4), "version 4 is not supported"},
    {"big_endian", patch<uint32_t>("version", 0x03000000), "big-endian"},
    {"tensor_count_too_large", patch<uint64_t>("tensor_count", 4), "tensor"},
    {"tensor_count_beyond_file", patch<uint64_t>("tensor_count", 1000), "tensor count"},
    {"tensor_count_wraps", patch<uint64_t>("tensor_count", kAll), "tensor count"},
    {"key_count_too_small", patch<uint64_t>("key_count", 4), "tensor"},
    {"key_count_wraps", patch<uint64_t>("key_count", kAll / 12), "metadata count"},
    {"key_empty", patch<uint64_t>("key1.length", 0), "metadata key at offset"},
    {"key_longer_than_file", patch<uint64_t>("key1.length", 100000),
     "truncated: metadata key needs 100000 bytes"},
    {"key_length_wraps", patch<uint64_t>("key1.length", kAll - 7), "truncated: metadata key"},
    {"key_too_long",
     [](GgufImage& i) {
       i.patch<uint64_t>("key1.length", 70000);
       i.bytes.resize(100000, 'k');
     },
     "at most 65535"},
    {"key_twice", [](GgufImage& i) { i.bytes[i.at["key2"] + 8] = 'a'; },
     "\"general.a\" appears twice"},
    {"value_type_unknown", patch<uint32_t>("key1.type", 13), "\"general.a\": unknown type 13"},
    {"value_type_negative", patch<int32_t>("key1.type", -1), "unknown type 4294967295"},
    {"string_longer_than_file", patch<uint64_t>("string.length", 1 << 20),
     "truncated: metadata string"},
    {"string_length_wraps", patch<uint64_t>("string.length", kAll), "truncated: metadata string"},
    {"array_type_unknown", patch<uint32_t>("strings.type", 99),
     "\"general.b\": unknown array element type 99"},
    {"array_nested", patch<uint32_t>("strings.type", 9), "\"general.b\": nested arrays"},
    {"array_longer_than_file", patch<uint64_t>("strings.count", 1000),
     "metadata array \"general.b\""},
    {"array_length_wraps", patch<uint64_t>("numbers.count", kHuge / 2 + 1),
     "metadata array \"general.d\""},
    {"array_string_wraps", patch<uint64_t>("strings.1.length", kAll - 1), "metadata array string"},
    {"array_number_too_large", patch<uint64_t>("numbers.1", kAll),
     "\"general.d\": array element 18446744073709551615"},
    {"bool_of_2", patch<uint8_t>("bool", 2), "\"general.c\": expected a bool of 0 or 1, found 2"},
    {"alignment_0", patch<uint32_t>("alignment", 0), "general.alignment: expected a power of two"},
    {"alignment_not_power", patch<uint32_t>("alignment", 48), "found 48"},
    {"alignment_small", patch<uint32_t>("alignment", 4), "found 4"},
    {"alignment_huge", patch<uint32_t>("alignment", 0x80000000), "found 2147483648"},
    {"alignment_string", patch<uint32_t>("key0.type", 7), "general.alignment"},
    {"tensor_name_empty", patch<uint64_t>("a.length", 0), "tensor name at offset"},
    {"tensor_name_wraps", patch<uint64_t>("a.length", kAll), "truncated: tensor name"},
    {"tensor_name_twice", [](GgufImage& i) { i.bytes[i.at["b"]] = 'a'; },
     "tensor \"a\" appears twice"},
    {"tensor_name_controls",
     [](GgufImage& i) {
       i.bytes[i.at["a"]] = '\x1b';
       i.patch<uint32_t>("a.type", 77);
     },
     "tensor \"\\x1b\": element type 77"},
    {"dims_5", patch<uint32_t>("a.dims", 5), "tensor \"a\": 5 dimensions, at most 4"},
    {"dims_wrap", patch<uint32_t>("a.dims", 0xffffffff), "4294967295 dimensions"},
    {"size_0", patch<uint64_t>("a.rows", 0), "tensor \"a\": size 0 of dimension 1"},
    {"size_negative", patch<int64_t>("a.rows", -2), "tensor \"a\": size"},
    {"size_product_wraps",
     [](GgufImage& i) {
       i.patch<uint64_t>("a.rows", kHuge);
       i.patch<uint64_t>("a.columns", 4);
     },
     "tensor \"a\": f32 [4611686018427387904, 4] is larger than any file"},
    {"size_bytes_wrap", [](GgufImage& i) { i.patch<uint64_t>("a.rows", kHuge / 32); },
     "tensor \"a\": f32"},
    {"block_bytes_wrap", [](GgufImage& i) { i.patch<uint64_t>("b.rows", kHuge / 16); },
     "tensor \"b\": q4_0"},
    {"size_beyond_file", patch<uint64_t>("c.columns", 9), "tensor \"c\": f32 [9] needs 36 bytes"},
    {"size_lies", patch<uint64_t>("a.rows", 1000000),
     "tensor \"a\": f32 [1000000, 32] needs 128000000 bytes"},
    {"row_not_whole_blocks", patch<uint64_t>("b.columns", 33),
     "tensor \"b\": rows of 33 are not whole blocks of 32"},
    {"type_iq2_xxs", patch<uint32_t>("b.type", 16), "tensor \"b\": element type 16 (IQ2_XXS)"},
    {"type_iq4_nl", patch<uint32_t>("b.type", 20), "element type 20 (IQ4_NL)"},
    {"type_q8_1", patch<uint32_t>("b.type", 9), "element type 9 (Q8_1)"},
    {"type_removed", patch<uint32_t>("b.type", 31), "element type 31 (Q4_0_4_4)"},
    {"type_tq1_0", patch<uint32_t>("b.type", 34), "element type 34 (TQ1_0)"},
    {"type_mxfp4", patch<uint32_t>("b.type", 39), "element type 39 (MXFP4)"},
    {"type_unknown", patch<uint32_t>("b.type", 4242), "element type 4242 (unknown)"},
    {"type_negative", patch<int32_t>("b.type", -1), "element type 4294967295 (unknown)"},
    {"offset_unaligned", patch<uint64_t>("b.offset", 260),
     "tensor \"b\": offset 260 is not a multiple"},
    {"offset_beyond_file", patch<uint64_t>("b.offset", 4096), "tensor \"b\""},
    {"offset_wraps", patch<uint64_t>("b.offset", kAll - 31), "tensor \"b\""},
    {"offset_overlaps", patch<uint64_t>("b.offset", 224), "tensors \"a\" and \"b\" overlap"},
    {"offset_same", patch<uint64_t>("c.offset", 0), "overlap"},
    {"no_data", [](GgufImage& i) { i.bytes.resize(i.at["data"]); }, "which has only 0 bytes"},
    {"one_byte_short", [](GgufImage& i) { i.bytes.pop_back(); }, "tensor \"c\""},
};

INSTANTIATE_TEST_SUITE_P(Files, GgufMalformed, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GgufMalformedMore, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::string whole = good_gguf().bytes;
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write("cut.gguf", whole.substr(0, length));
    expect_mentions(error_of([&] { GgufFile file(path); }), path);
  }
}

// Whatever one byte says, the file is refused or every tensor lies inside it.
TEST(GgufMalformedMore, EveryByteMayBeAnything) {
  const TemporaryFolder folder;
  const GgufImage good = good_gguf();
  unsigned checksum = 0;
  int opened = 0;
  for (size_t i = 0; i < good.at.at("data"); ++i)
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string bytes = good.bytes;
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      const std::string path = folder.write("flip.gguf", bytes);
      try {
        const GgufFile file(path);
        for (const TensorInfo& info : file.tensors()) {
          const Tensor tensor = file.get(info.name);
          for (int64_t k = 0; k < tensor.nbytes(); ++k)
            checksum += std::to_integer<unsigned>(tensor.bytes()[k]);
        }
        ++opened;
      } catch (const Error& error) {
        expect_mentions(error.what(), path);
      }
    }
  EXPECT_GT(opened, 0);
  EXPECT_GT(checksum, 0u);
}

TEST(GgufMalformedMore, NotAFile) {
  const TemporaryFolder folder;
  expect_mentions(error_of([&] { GgufFile file(folder.file("absent.gguf")); }),
                  "absent.gguf: cannot open");
  expect_mentions(error_of([&] { GgufFile file(folder.path()); }), "not a regular file");
}

}  // namespace
}  // namespace sumi::formats
