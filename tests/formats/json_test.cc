#include "formats/json.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/temporary.h"

namespace sumi::formats {
namespace {

TEST(Json, BuildsWhatTheLibraryBuilds) {
  const std::string text =
      R"( {"a":[1,-2,3.5,true,false,null,"x\u00e9\n",[],{}],"b":{"c":{"d":[[1],[2,[3]]]}},"":18446744073709551615} )";
  EXPECT_EQ(parse_json(text, "t"), nlohmann::json::parse(text));
  for (const char* scalar : {"1", "\"x\"", "null", "[]", "{}"})
    EXPECT_EQ(parse_json(scalar, "t"), nlohmann::json::parse(scalar));
}

TEST(Json, RepeatedKeys) {
  EXPECT_EQ(parse_json(R"({"a":1,"a":[2]})", "t"), nlohmann::json::parse(R"({"a":[2]})"));
  JsonLimits limits;
  limits.unique_keys = true;
  EXPECT_EQ(parse_json(R"({"a":{"a":1},"b":{"a":1}})", "t", limits).size(), 2u);
  expect_mentions(error_of([&] { parse_json(R"({"b":{"a":1,"a":2}})", "t", limits); }),
                  "t: key \"a\" appears twice");
}

TEST(Json, ErrorsNameTheFileAndPlace) {
  const auto error = [](const std::string& text) {
    return error_of([&] { parse_json(text, "f.json"); });
  };
  expect_mentions(error("{\n \"a\": x}"), "f.json: invalid JSON, line 2, column 7");
  expect_mentions(error(""), "f.json: invalid JSON, line 1, column 1");
  expect_mentions(error("[1,2"), "invalid JSON");
  expect_mentions(error("{} x"), "invalid JSON, line 1, column 4");
  expect_mentions(error("[1e999]"), "invalid JSON");
  expect_mentions(error("[NaN]"), "invalid JSON");
  expect_mentions(error("\"\xff\""), "invalid JSON");
  expect_mentions(error("\"\x1b\""), "invalid JSON");
  EXPECT_EQ(error("\"\x1b[2J\"").find('\x1b'), std::string::npos)
      << "control bytes must not reach the terminal";
}

TEST(Json, Limits) {
  JsonLimits limits;
  limits.depth = 3;
  EXPECT_NO_THROW(parse_json("[[[1]]]", "t", limits));
  EXPECT_NO_THROW(parse_json("[[],[],[],[[]]]", "t", limits));
  expect_mentions(error_of([&] { parse_json("[[[[1]]]]", "t", limits); }), "nest deeper than 3");
  expect_mentions(error_of([&] { parse_json(R"({"a":[{"b":[]}]})", "t", limits); }),
                  "nest deeper than 3");
  expect_mentions(error_of([&] { parse_json(std::string(1 << 20, '['), "t"); }),
                  "nest deeper than 100");
  limits.bytes = 4;
  expect_mentions(error_of([&] { parse_json("[1,2]", "t", limits); }),
                  "5 bytes of JSON, at most 4");
}

TEST(Json, Lines) {
  const TemporaryFolder folder;
  std::string seen;
  const auto read = [&](const std::string& path) {
    for_each_json_line(path, {}, [&](const nlohmann::json& object, int64_t line, const std::string& where) {
      EXPECT_EQ(where, path + ", line " + std::to_string(line));
      seen += std::to_string(line) + ":" + object.at("a").dump() + " ";
    });
  };
  read(folder.write("file", "\n{\"a\":1}\r\n \t\n{\"a\":2}"));
  EXPECT_EQ(seen, "2:1 4:2 ");
  const std::string list = folder.write("list", "{\"a\":1}\n[1]\n");
  expect_mentions(error_of([&] { read(list); }), "line 2: expected an object, found array");
  const std::string broken = folder.write("broken", "{\"a\":1}\n{\n");
  expect_mentions(error_of([&] { read(broken); }), "line 2");
}

TEST(Json, Files) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_json_file(folder.write("a.json", "[1]"))[0], 1);
  expect_mentions(error_of([&] { read_json_file(folder.file("b.json")); }), "b.json: cannot open");
  expect_mentions(error_of([&] { read_json_file(folder.path()); }), "not a regular file");
  expect_mentions(
      error_of([&] { read_json_file(folder.write("c.json", "version https://git-lfs.x")); }),
      "Git LFS");
  expect_mentions(error_of([&] { read_json_file(folder.write("d.json", "{]")); }),
                  "d.json: invalid JSON, line 1, column 2");
  EXPECT_EQ(read_text_file(folder.write("e", "ab")), "ab");
  expect_mentions(error_of([&] { read_text_file(folder.file("e"), 1); }), "2 bytes, at most 1");
  EXPECT_TRUE(file_exists(folder.file("e")));
  EXPECT_FALSE(file_exists(folder.file("f")));
  EXPECT_FALSE(file_exists(folder.path()));
}

TEST(Json, TypedFields) {
  const nlohmann::json o = parse_json(
      R"({"i":3,"n":-4,"f":2.5,"whole":8.0,"b":true,"s":"x","z":null,"is":[1,2],"fs":[1,2.5],"ss":["a"],"o":{},
          "big":18446744073709551615,"huge":1e300})",
      "c");
  EXPECT_EQ(require_int(o, "i", "c"), 3);
  EXPECT_EQ(require_int(o, "n", "c"), -4);
  EXPECT_EQ(require_int(o, "whole", "c"), 8);
  EXPECT_EQ(require_float(o, "f", "c"), 2.5);
  EXPECT_EQ(require_float(o, "i", "c"), 3.0);
  EXPECT_TRUE(require_bool(o, "b", "c"));
  EXPECT_EQ(require_string(o, "s", "c"), "x");
  EXPECT_EQ(require_ints(o, "is", "c"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(require_floats(o, "fs", "c"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(require_strings(o, "ss", "c"), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(require_object(o, "o", "c").empty());
  EXPECT_EQ(require_array(o, "is", "c").size(), 2u);
  EXPECT_EQ(optional_int(o, "absent", 9, "c"), 9);
  EXPECT_EQ(optional_int(o, "z", 9, "c"), 9);
  EXPECT_EQ(optional_int(o, "i", 9, "c"), 3);
  EXPECT_EQ(optional_float(o, "absent", 1.5, "c"), 1.5);
  EXPECT_TRUE(optional_bool(o, "absent", true, "c"));
  EXPECT_EQ(optional_string(o, "absent", "y", "c"), "y");
  EXPECT_FALSE(has_field(o, "z"));
  expect_mentions(error_of([&] { require_int(o, "absent", "c"); }), "c: absent is missing");
  expect_mentions(error_of([&] { require_int(o, "z", "c"); }), "c: z is missing");
  expect_mentions(error_of([&] { require_int(o, "s", "c"); }),
                  "c: s: expected an integer, found a string");
  expect_mentions(error_of([&] { require_int(o, "f", "c"); }),
                  "c: f: expected an integer, found 2.5");
  expect_mentions(error_of([&] { require_int(o, "big", "c"); }),
                  "18446744073709551615 is out of range");
  expect_mentions(error_of([&] { require_int(o, "huge", "c"); }), "expected an integer");
  expect_mentions(error_of([&] { require_bool(o, "i", "c"); }),
                  "expected a bool, found an integer");
  expect_mentions(error_of([&] { optional_bool(o, "i", true, "c"); }),
                  "expected a bool, found an integer");
  expect_mentions(error_of([&] { require_string(o, "o", "c"); }),
                  "expected a string, found an object");
  expect_mentions(error_of([&] { require_ints(o, "fs", "c"); }),
                  "fs: expected an integer, found 2.5");
  expect_mentions(error_of([&] { require_int(o["is"], "x", "c"); }),
                  "expected an object with x, found an array");
}

}  // namespace
}  // namespace sumi::formats
