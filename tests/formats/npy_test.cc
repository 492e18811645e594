// npy files against NumPy's: tests/data/images, written by tools/reference/images.py.
#include "formats/npy.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "formats/temporary.h"

namespace sumi::formats {
namespace {

const std::string kFolder = std::string(SUMI_TEST_DATA) + "/images/";

std::string npy(const std::string& header, const std::string& data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + data;
}

TEST(Npy, ReadsNumPysFiles) {
  const Shape shape = {3, 4};
  const Tensor f32 = read_npy(kFolder + "array_f4.npy"), f16 = read_npy(kFolder + "array_f2.npy");
  const Tensor f64 = read_npy(kFolder + "array_f8.npy"), i64 = read_npy(kFolder + "array_i8.npy");
  for (const Tensor& tensor : {f32, f16, f64, i64}) EXPECT_EQ(tensor.shape(), shape);
  const std::vector<float> halves = f16.to_vector();
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(f32.f32()[i], i - 3);
    EXPECT_EQ(halves[static_cast<size_t>(i)], i - 3);
    EXPECT_EQ(f64.data<double>()[i], i - 3);
    EXPECT_EQ(i64.data<int64_t>()[i], i - 3);
  }
  const Tensor scalar = read_npy(kFolder + "scalar.npy");
  EXPECT_EQ(scalar.dim(), 0);
  EXPECT_EQ(scalar.f32()[0], 2.5f);
  EXPECT_EQ(read_npy(kFolder + "version2.npy").f32()[4], 4.0f);
}

TEST(Npy, WritesWhatItReads) {
  const TemporaryFolder folder;
  for (const Shape& shape : {Shape{2, 3}, Shape{6}, Shape{1, 2, 3, 1}}) {
    write_npy(folder.file("a.npy"), Tensor::from({1, 2, 3, 4, 5, 6.5f}, shape));
    const Tensor back = read_npy(folder.file("a.npy"));
    EXPECT_EQ(back.shape(), shape);
    EXPECT_EQ(back.to_vector(), (std::vector<float>{1, 2, 3, 4, 5, 6.5f}));
  }
  // NumPy's own bytes
  const Tensor array = read_npy(kFolder + "array_f2.npy");
  write_npy(folder.file("b.npy"), array);
  EXPECT_EQ(std::filesystem::file_size(folder.file("b.npy")),
            std::filesystem::file_size(kFolder + "array_f2.npy"));
  expect_mentions(error_of([&] { write_npy(folder.file("c.npy"), array.to(DType::bf16)); }),
                  "bf16");
  EXPECT_FALSE(std::filesystem::exists(folder.file("c.npy")));
}

TEST(Npy, BadFilesAreNamed) {
  const TemporaryFolder folder;
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  EXPECT_EQ(read_npy(folder.write("good.npy", npy(good, std::string(8, '\0')))).numel(), 2);
  const std::pair<std::string, const char*> cases[] = {
      {"", "empty"},
      {"PK\x03\x04....", "zip archive"},
      {"NUMPY.......", "not an npy file"},
      {std::string("\x93NUMPY\x09\x00....", 12), "version 9"},
      {std::string("\x93NUMPY\x01\x00\xff\xff{}", 12), "truncated: header needs 65535 bytes"},
      {npy(good, "1234567"), "[2] does not have the 7 bytes"},
      {npy(good, "123456789"), "does not have the 9 bytes"},
      {npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", "12345678"), "\">f4\""},
      {npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "12345678"), "\"|O\""},
      {npy("{'descr': '<f4', 'shape': (2,)}", "12345678"), "expected descr, fortran_order"},
      {npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "12345678"), "True or False"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "12345678"), "a size"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2 2)}", "12345678"), "')'"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", ""),
       "a size"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296,)}", ""),
       "does not have"},
      {npy("{'descr': '<f4', 'colour': 3}", ""), "unknown key \"colour\""},
      {npy("{'descr': '<f4", ""), "the end of a string"},
      {npy(good + "x", "12345678"), "nothing more"},
  };
  for (const auto& [bytes, part] : cases)
    expect_mentions(error_of([&] { read_npy(folder.write("bad.npy", bytes)); }), part);
  expect_mentions(error_of([&] { read_npy(kFolder + "fortran.npy"); }), "fortran_order");
  expect_mentions(error_of([&] { read_npy(kFolder + "big_endian.npy"); }), ">f4");
}

}  // namespace
}  // namespace sumi::formats
