// Tables and archives, whole and broken.
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "cli/command.h"
#include "formats/csv.h"
#include "formats/tar_file.h"
#include "formats/temporary.h"

namespace sumi::formats {
namespace {

using Rows = std::vector<std::vector<std::string>>;

TEST(Csv, QuotesAndLineEnds) {
  EXPECT_EQ(parse_csv("a,b\n1,2\n", "t"), (Rows{{"a", "b"}, {"1", "2"}}));
  EXPECT_EQ(parse_csv("\xef\xbb\xbf" "a,b\r\n\"x, \"\"y\"\"\nz\",\r\n\r\n,é", "t"),
            (Rows{{"a", "b"}, {"x, \"y\"\nz", ""}, {"", "é"}}));
  EXPECT_EQ(parse_csv("", "t"), Rows());
}

TEST(Csv, Errors) {
  EXPECT_EQ(error_of([] { parse_csv("a,b\n1\n", "t.csv"); }),
            "t.csv, line 2: 1 fields, the first line has 2");
  EXPECT_EQ(error_of([] { parse_csv("a\n\"x\ny", "t.csv"); }),
            "t.csv, line 2: a quote is not closed");
  EXPECT_EQ(error_of([] { parse_csv("\"a\"b\n", "t.csv"); }),
            "t.csv, line 1: expected a comma or the line's end after a field");
}

// A header of a member with its checksum.
std::string header(const std::string& name, size_t size, char type, const std::string& magic) {
  std::string block(512, '\0');
  const auto put = [&](size_t at, const std::string& text) { block.replace(at, text.size(), text); };
  put(0, name.substr(0, 100));
  char digits[16];
  std::snprintf(digits, sizeof digits, "%011zo", size);
  put(124, digits);
  block[156] = type;
  put(257, magic);
  put(148, "        ");
  size_t sum = 0;
  for (const char c : block) sum += static_cast<uint8_t>(c);
  std::snprintf(digits, sizeof digits, "%06zo", sum);
  put(148, std::string(digits) + '\0' + ' ');
  return block;
}

std::string member(const std::string& name, const std::string& content, char type = '0',
                   const std::string& magic = std::string("ustar\0", 6)) {
  std::string block = header(name, content.size(), type, magic) + content;
  block.resize((block.size() + 511) / 512 * 512);
  return block;
}

class Tar : public testing::Test {
 protected:
  TarFile open(const std::string& bytes) {
    cli::spill(folder_ / "a.tar", bytes);
    return TarFile(folder_ / "a.tar");
  }
  std::string error_for(const std::string& bytes) {
    return error_of([&] { open(bytes); });
  }
  cli::Folder folder_;
};

TEST_F(Tar, MembersAndLongNames) {
  const std::string gnu(120, 'g'), pax(130, 'p'), path = " path=" + pax + "\n";
  const std::string record = std::to_string(path.size() + 3) + path;
  const TarFile file =
      open(member("folder/", "", '5') + member("one.txt", "1st") +
           member("././@LongLink", gnu + '\0', 'L', "ustar  ") + member("short", "2", '0', "ustar  ") +
           member("PaxHeader", record, 'x') + member("short", "third") + std::string(1024, '\0') +
           "what follows the end is not read");
  ASSERT_EQ(file.members().size(), 3u);
  EXPECT_EQ(file.members()[0].name, "one.txt");
  EXPECT_EQ(file.members()[1].name, gnu);
  EXPECT_EQ(file.members()[2].name, pax);
  const auto bytes = file.bytes(file.members()[2]);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "third");
}

TEST_F(Tar, WhatTheToolWrites) {
  cli::spill(folder_ / "x.txt", "hello");
  const std::string archive = folder_ / "b.tar";
  ASSERT_EQ(std::system(("tar -C " + folder_.path() + " -cf " + archive + " x.txt").c_str()), 0);
  const TarFile file(archive);
  ASSERT_EQ(file.members().size(), 1u);
  EXPECT_EQ(file.members()[0].name, "x.txt");
  EXPECT_EQ(file.members()[0].size, 5u);
}

TEST_F(Tar, Errors) {
  EXPECT_NE(error_for(member("a", std::string(2000, 'x')).substr(0, 1024)).find("is cut off"),
            std::string::npos);
  std::string broken = member("a", "x");
  broken[0] = 'b';
  EXPECT_NE(error_for(broken).find("checksum"), std::string::npos);
  EXPECT_NE(error_for(std::string(1024, '\0')).find("no files"), std::string::npos);
  EXPECT_NE(error_for(member("p", "9999 path=x\n", 'x')).find("extended attributes"),
            std::string::npos);
}

}  // namespace
}  // namespace sumi::formats
