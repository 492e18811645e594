// PyTorch checkpoints written by torch (tools/reference/torch_files.py), and hostile ones.
#include "formats/torch_file.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "formats/temporary.h"
#include "formats/torch_image.h"

namespace sumi::formats {
namespace {

std::string data_file(const std::string& name) {
  return std::string(SUMI_TEST_DATA) + "/formats/torch/" + name;
}

class TorchTypes : public testing::TestWithParam<const char*> {};

TEST_P(TorchTypes, AreRead) {
  const TorchFile file(data_file(GetParam()));
  EXPECT_EQ(file.tensors().size(), 20u);
  EXPECT_EQ(file.tensors()[1].name, "float32");
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
  EXPECT_EQ(file.get("bool").data<uint8_t>()[3], 1);
  EXPECT_EQ(file.get("scalar").shape(), Shape{});
  EXPECT_EQ(file.get("scalar").f32()[0], 2.5f);
  EXPECT_EQ(file.get("empty").shape(), (Shape{0, 4}));
  EXPECT_EQ(file.get("parameter").to_vector(), (std::vector<float>{1.5, -2.5}));
  expect_mentions(error_of([&] { file.get("absent"); }), "no tensor named \"absent\"");
}

TEST_P(TorchTypes, ShareStorages) {
  const TorchFile file(data_file(GetParam()));
  std::vector<float> all;
  for (int i = 0; i < 24; ++i) all.push_back(static_cast<float>(i));
  EXPECT_EQ(file.get("whole").to_vector(), all);
  EXPECT_EQ(file.get("tied").to_vector(), all);
  EXPECT_EQ(file.get("rows").to_vector(), std::vector<float>(all.begin() + 6, all.begin() + 18));
  EXPECT_EQ(file.get("columns").to_vector(),
            (std::vector<float>{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22}));
  EXPECT_EQ(file.get("expanded").to_vector(), (std::vector<float>{7, 7, 7, 8, 8, 8}));
  EXPECT_EQ(file.get("of_one").shape(), (Shape{1, 4}));
  EXPECT_EQ(file.get("of_one").to_vector(), (std::vector<float>{2, 8, 14, 20}));
  const Tensor transposed = file.get("transposed");
  EXPECT_EQ(transposed.shape(), (Shape{6, 4}));
  for (int row = 0; row < 6; ++row)
    for (int column = 0; column < 4; ++column)
      EXPECT_EQ(transposed.f32()[row * 4 + column], static_cast<float>(column * 6 + row));
  for (const TensorInfo& info : file.tensors()) file.release(info.name);
  EXPECT_EQ(file.get("tied").to_vector(), all);
}

INSTANTIATE_TEST_SUITE_P(Files, TorchTypes,
                         testing::Values("types.pt", "types_legacy.pt", "types_protocol4.pt"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.size() - 3);
                         });

TEST(TorchFile, MapsWhatIsAlignedAndRowMajor) {
  const TorchFile file(data_file("types.pt"));
  EXPECT_EQ(file.get("whole").bytes(), file.get("tied").bytes());
  EXPECT_EQ(file.get("rows").bytes(), file.get("whole").bytes() + 24);
  EXPECT_NE(file.get("transposed").bytes(), file.get("transposed").bytes());
}

TEST(TorchFile, FindsTheStateInACheckpoint) {
  for (const char* name : {"training.pt", "training_legacy.pt", "rezipped.pt"}) {
    const TorchFile file(data_file(name));
    ASSERT_EQ(file.tensors().size(), 2u) << name;
    EXPECT_EQ(file.get("weight").to_vector(), (std::vector<float>{0, 1, 2, 3, 4, 5})) << name;
    EXPECT_EQ(file.get("weight").shape(), (Shape{3, 2}));
  }
}

TEST(TorchFile, RefusesOtherFilesByWhatTheyAre) {
  expect_mentions(error_of([] { TorchFile file(data_file("compressed.pt")); }),
                  "compressed (method 8)");
  expect_mentions(error_of([] { TorchFile file(data_file("script.pt")); }), "TorchScript");
}

TEST(TorchFile, WhatTheHostileCasesAreMadeOfIsRead) {
  const TemporaryFolder folder;
  for (const std::string& bytes :
       {checkpoint(state(good_tensor())), legacy(state(good_tensor()))}) {
    const TorchFile file(folder.write("good.pt", bytes));
    EXPECT_EQ(file.get("a").shape(), (Shape{2, 2}));
    uint32_t bits;
    std::memcpy(&bits, &file.get("a").f32()[3], sizeof bits);
    EXPECT_EQ(bits, 0x02020202u);
  }
}

TEST(TorchFile, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  for (const std::string& whole : {checkpoint(state(good_tensor())), legacy(state(good_tensor()))})
    for (size_t length = 0; length < whole.size(); ++length) {
      const std::string path = folder.write("cut.pt", whole.substr(0, length));
      expect_mentions(error_of([&] { TorchFile file(path); }), path);
    }
}

struct Hostile {
  const char* name;
  std::function<std::string()> bytes;
  const char* mentions;
};

void PrintTo(const Hostile& c, std::ostream* out) { *out << c.name; }

class TorchHostile : public testing::TestWithParam<Hostile> {};

// What any of them would leave behind if it ran.
std::string canary() { return testing::TempDir() + "/sumi-pickle-ran"; }

TEST_P(TorchHostile, IsRefusedAndNothingRuns) {
  std::filesystem::remove(canary());
  const TemporaryFolder folder;
  const std::string path = folder.write("hostile.pt", GetParam().bytes());
  const std::string message = error_of([&] { TorchFile file(path); });
  expect_mentions(message, path);
  expect_mentions(message, GetParam().mentions);
  EXPECT_FALSE(std::filesystem::exists(canary()));
}

std::string call(const std::string& module, const std::string& name, const std::string& argument) {
  return global(module, name) + "(" + text(argument) + "tR";
}
std::function<std::string()> value(const std::string& value) {
  return [=] { return checkpoint(state(value)); };
}
std::function<std::string()> pickle(const std::string& opcodes) {
  return [=] { return checkpoint("\x80\x02" + opcodes); };
}
std::function<std::string()> of_tensor(int64_t elements, int64_t offset, std::vector<int64_t> size,
                                       std::vector<int64_t> stride) {
  return value(tensor(storage(elements), offset, integers(size), integers(stride)));
}
std::string touch() { return "touch " + canary(); }
std::string good() { return state(good_tensor()); }
std::string ordered_dict() { return global("collections", "OrderedDict") + ")R"; }

const Hostile kPickles[] = {
    {"os_system", value(call("os", "system", touch())), "the global \"os.system\" is not allowed"},
    {"posix_system_by_stack_global",
     value(text("posix") + text("system") + "\x93(" + text(touch()) + "tR"),
     "the global \"posix.system\" is not allowed"},
    {"subprocess", value(call("subprocess", "Popen", touch())), "\"subprocess.Popen\""},
    {"builtins_eval", value(call("builtins", "eval", "open('x','w')")), "\"builtins.eval\""},
    {"python2_eval", value(call("__builtin__", "eval", "1")), "\"__builtin__.eval\""},
    {"getattr", value(call("builtins", "getattr", "x")), "\"builtins.getattr\""},
    {"torch_load", value(call("torch", "load", "x")), "\"torch.load\""},
    {"torch_hub", value(call("torch.hub", "load", "x")), "\"torch.hub.load\""},
    {"nested_name_by_stack_global",
     value(text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + "\x93"),
     "\"torch._utils._rebuild_tensor_v2.__globals__\""},
    {"global_with_an_escape", value(call("os\x1b[2J", "system", "x")), "\"os\\x1b[2J.system\""},
    {"stack_global_of_numbers", value("K\1K\2\x93"), "STACK_GLOBAL of an integer"},
    {"nested_reduce", value(ordered_dict() + ")R"), "REDUCE calls an object, expected a global"},
    {"reduce_of_text", value(text("os.system") + ")R"), "REDUCE calls text"},
    {"reduce_without_a_tuple", value(global("collections", "OrderedDict") + "}R"),
     "expected a tuple"},
    {"hidden_beside_the_state",
     pickle("}" + text("a") + good_tensor() + "s" + text("b") + call("os", "system", touch()) +
            "s."),
     "\"os.system\""},
    {"popped_from_the_stack", pickle(call("os", "system", touch()) + "0}."), "\"os.system\""},
    {"in_a_build", pickle(ordered_dict() + call("os", "system", touch()) + "b."), "\"os.system\""},
    {"newobj", value(global("collections", "OrderedDict") + ")\x81"), "the opcode NEWOBJ is not"},
    {"newobj_ex", value(global("collections", "OrderedDict") + ")}\x92"), "the opcode NEWOBJ_EX"},
    {"inst", pickle("(" + text(touch()) + "ios\nsystem\n."), "the opcode INST is not allowed"},
    {"obj", pickle("(" + global("collections", "OrderedDict") + "o."), "the opcode OBJ"},
    {"ext", pickle("\x82\x01."), "the opcode EXT1 is not allowed"},
    {"persid", pickle("Pstorage\n."), "the opcode PERSID is not allowed"},
    {"text_integer", pickle("I5\n."), "the opcode INT is not allowed"},
    {"unknown_opcode", pickle("\xff."), "the opcode 0xff is not known"},
    {"unknown_protocol", [] { return checkpoint("\x80\x09}."); }, "protocol 9 is not known"},
    {"build_on_a_dictionary", pickle("}}b."), "BUILD on a dictionary"},
    {"huge_memo", pickle("}r\xff\xff\xff\xff."), "LONG_BINPUT: memo entry 4294967295"},
    {"memo_not_there", pickle("h\x07."), "BINGET: there is no memo entry 7"},
    {"memo_of_nothing", pickle("q\x01."), "BINPUT needs 1 values"},
    {"empty_stack", pickle("."), "STOP needs 1 values, the stack has 0"},
    {"below_the_mark", pickle("}(0."), "POP needs 1 values, the stack has 0"},
    {"no_mark", pickle("}u."), "SETITEMS without a MARK"},
    {"odd_items", pickle("}(K\1u."), "SETITEMS with a key but no value"},
    {"items_of_a_list", pickle("](K\1K\2u."), "SETITEMS on a list"},
    {"append_to_a_tuple", pickle(")K\1a."), "APPEND on a tuple"},
    {"no_stop", pickle("}"), "ends without STOP"},
    {"text_beyond_the_end",
     pickle("X\xff\xff\xff\x7f"
            "a."),
     "BINUNICODE needs 2147483647 bytes"},
    {"text_of_2_to_the_63", pickle("\x8d" + le(uint64_t{1} << 63) + "."), "BINUNICODE8 needs"},
    {"negative_long", pickle("\x8b\xff\xff\xff\xff."), "LONG4 needs 4294967295 bytes"},
    {"global_without_end", pickle("cos"), "GLOBAL does not end"},
    {"list_in_itself", pickle("}" + text("a") + "]q\1h\1as."), "a list contains itself"},
    {"dictionary_in_itself", pickle("}q\1" + text("state_dict") + "h\1s."),
     "a dictionary contains itself"},
    {"far_recursion",
     pickle("}" + text("a") +
            "]q\1h\1\x85\x85\x85\x85"
            "as."),
     "contains itself"},
    {"deep_tuples", [] { return checkpoint("\x80\x02)" + std::string(200000, '\x85') + "."); },
     "expected a dictionary of tensors, found a tuple"},
    {"many_values", [] { return checkpoint("\x80\x02(" + std::string(5'000'000, '}') + "t."); },
     "more than 4194304 values"},
    {"many_marks", [] { return checkpoint("\x80\x02" + std::string(5'000'000, '(') + "."); },
     "marks are not allowed"},
    {"tall_stack", [] { return checkpoint("\x80\x02" + std::string(5'000'000, 'N') + "."); },
     "values on the stack"},
    {"nested_states",
     [] {
       std::string open, close;
       for (int i = 0; i < 10; ++i) open += "}" + text("model"), close += "s";
       return checkpoint("\x80\x02" + open + "}" + close + ".");
     },
     "dictionaries nest too deep"},
};

const Hostile kTensors[] = {
    {"negative_size", of_tensor(4, 0, {-2, -2}, {2, 1}), "tensor \"a\": size: -2 is negative"},
    {"negative_stride", of_tensor(4, 3, {4}, {-1}), "tensor \"a\": stride: -1 is negative"},
    {"negative_offset", of_tensor(4, -1, {4}, {1}), "storage_offset: -1 is negative"},
    {"negative_elements", of_tensor(-4, 0, {4}, {1}), "elements: -4 is negative"},
    {"size_wraps", of_tensor(4, 0, {int64_t{1} << 62, 4}, {4, 1}), "is out of range"},
    {"stride_wraps", of_tensor(4, 0, {3}, {INT64_MAX}), "reaches beyond its storage of 4"},
    {"offset_wraps", of_tensor(4, INT64_MAX, {4}, {INT64_MAX}), "reaches beyond its storage"},
    {"beyond_storage", of_tensor(4, 1, {2, 2}, {2, 1}),
     "size [2, 2] from element 1 reaches beyond its storage of 4 elements"},
    {"empty_beyond_storage", of_tensor(4, 5, {0}, {1}), "reaches beyond its storage"},
    {"storage_beyond_file", of_tensor(5, 0, {5}, {1}),
     "should have 5 elements of 4 bytes, the file has 16 bytes"},
    {"storage_of_2_to_the_62", of_tensor(int64_t{1} << 62, 0, {1}, {1}), "is out of range"},
    {"expands_to_terabytes", of_tensor(4, 0, {int64_t{1} << 40}, {0}),
     "repeats the elements of a storage of 4"},
    {"strides_missing", of_tensor(4, 0, {2, 2}, {1}), "but 1 strides"},
    {"many_dimensions",
     value(tensor(storage(4), 0, integers(std::vector<int64_t>(65, 1)),
                  integers(std::vector<int64_t>(65, 1)))),
     "65 dimensions"},
    {"size_of_text", value(tensor(storage(4), 0, "(" + text("2") + "t", integers({1}))),
     "size: expected an integer, found text"},
    {"size_is_a_list", value(tensor(storage(4), 0, "]", integers({1}))), "expected a tuple"},
    {"huge_size",
     value(tensor(storage(4), 0,
                  "(\x8a\x09"
                  "123456789t",
                  integers({1}))),
     "size: expected an integer, found a large integer"},
    {"storage_missing",
     value(tensor(storage(4, "FloatStorage", "9"), 0, integers({4}), integers({1}))),
     "its storage \"9\" is missing"},
    {"storage_key_leaves",
     value(tensor(storage(4, "FloatStorage", "../data.pkl"), 0, integers({4}), integers({1}))),
     "its storage \"../data.pkl\" is missing"},
    {"storage_type_unknown",
     value(tensor(storage(4, "ComplexFloatStorage"), 0, integers({2}), integers({1}))),
     "the global \"torch.ComplexFloatStorage\""},
    {"storage_type_is_a_class",
     value(
         tensor("(" + text("storage") + global("torch", "Size") + text("0") + text("cpu") + "K\4tQ",
                0, integers({4}), integers({1}))),
     "expected a storage type, found torch.Size"},
    {"storage_is_not_persistent", value(tensor("}", 0, integers({4}), integers({1}))),
     "storage: expected a persistent id, found a dictionary"},
    {"persistent_id_is_short",
     value(tensor("(" + text("storage") + "tQ", 0, integers({4}), integers({1}))),
     "expected (\"storage\", type"},
    {"persistent_id_is_text", value(tensor(text("storage") + "Q", 0, integers({4}), integers({1}))),
     "expected a persistent id"},
    {"tensor_without_arguments", value(global("torch._utils", "_rebuild_tensor_v2") + ")R"),
     "0 arguments, expected at least 4"},
    {"parameter_of_a_parameter",
     value(global("torch._utils", "_rebuild_parameter") + "(" +
           global("torch._utils", "_rebuild_parameter") + "(" + good_tensor() + "tRtR"),
     "a parameter of an object"},
    {"parameter_of_nothing", value(global("torch._utils", "_rebuild_parameter") + ")R"),
     "a parameter without its tensor"},
    {"tensor_twice",
     pickle("}" + text("a") + good_tensor() + "s" + text("a") + good_tensor() + "s."),
     "tensor \"a\" is there twice"},
    {"name_is_a_number", pickle("}K\1" + good_tensor() + "s."),
     "the name of a tensor: expected text"},
    {"name_with_controls", pickle("}" + text("a\x1b[2J") + good_tensor() + "s."),
     "\"a\\x1b[2J\": a control character"},
    {"name_not_utf8", pickle("}" + text("a\xff") + good_tensor() + "s."), "not valid UTF-8"},
    {"tensors_in_a_list", value("](" + good_tensor() + "e"),
     "expected a tensor, found a list of tensors"},
    {"no_tensors", pickle("}" + text("lr") + "K\1s."),
     "no tensors in the dictionary; it has \"lr\""},
    {"a_tensor_alone", pickle(good_tensor() + "."),
     "expected a dictionary of tensors, found an object"},
};

std::function<std::string()> zipped(std::vector<ZipItem> items) {
  return [=] { return zip_image(items); };
}
ZipItem main_item() { return {"a/data.pkl", good()}; }
ZipItem data_item() { return {"a/data/0", std::string(16, '\2')}; }
ZipItem with(ZipItem item, const std::function<void(ZipItem&)>& change) {
  change(item);
  return item;
}

const Hostile kContainers[] = {
    {"zip_bomb", zipped({main_item(), with(data_item(), [](ZipItem& item) { item.method = 8; })}),
     "zip entry \"a/data/0\": compressed (method 8)"},
    {"zip_bomb_as_pickle", zipped({with(main_item(), [](ZipItem& item) { item.method = 8; })}),
     "zip entry \"a/data.pkl\": compressed (method 8)"},
    {"zip_encrypted", zipped({with(main_item(), [](ZipItem& item) { item.flags = 1; })}),
     "encrypted"},
    {"zip_entry_beyond_file",
     zipped({main_item(), with(data_item(), [](ZipItem& item) { item.size = 1 << 20; })}),
     "zip entry \"a/data/0\": truncated: 1048576 bytes"},
    {"zip_header_beyond_file",
     zipped({with(main_item(), [](ZipItem& item) { item.header = 0x7fffffff; })}),
     "the local header takes 30 bytes at 2147483647"},
    {"zip_header_elsewhere",
     zipped({main_item(), with(data_item(), [](ZipItem& item) { item.header = 0; })}),
     "its local header has the name \"a/data.pkl\""},
    {"zip_names_differ",
     zipped({with(main_item(), [](ZipItem& item) { item.local_name = "b/data.pkl"; })}),
     "its local header has the name \"b/data.pkl\""},
    {"zip_entries_overlap",
     zipped({with(main_item(),
                  [](ZipItem& item) { item.size = static_cast<int64_t>(item.data.size()) + 50; }),
             data_item()}),
     "zip entry \"a/data/0\" overlaps \"a/data.pkl\""},
    {"zip_entry_twice", zipped({main_item(), data_item(), data_item()}), "is there twice"},
    {"zip_two_pickles", zipped({main_item(), {"b/data.pkl", good()}}), "two pickles"},
    {"zip_without_pickle", zipped({data_item()}), "without data.pkl"},
    {"zip_without_storage", zipped({main_item()}), "its storage \"0\" is missing"},
    {"zip_of_nothing",
     [] { return "PK\x03\x04" + std::string(30, '\0') + "PK\x05\x06" + std::string(18, '\0'); },
     "without data.pkl"},
    {"zip_without_end", [] { return "PK\x03\x04" + std::string(100, '\0'); }, "no end record"},
    {"zip_many_entries",
     [] {
       std::string bytes = checkpoint(good());
       bytes.replace(bytes.size() - 12, 2, "\xff\xff");
       return bytes;
     },
     "zip directory: 65535 entries"},
    {"zip_directory_beyond_file",
     [] {
       std::string bytes = checkpoint(good());
       bytes.replace(bytes.size() - 6, 4, "\xf0\xff\xff\xff");
       return bytes;
     },
     "the zip directory takes"},
    {"zip64_elsewhere",
     [] {
       const std::string bytes = checkpoint(good());
       return bytes.substr(0, bytes.size() - 22) + "PK\x06\x07" + le<uint32_t>(0) +
              le(~uint64_t{0} - 10) + le<uint32_t>(1) + bytes.substr(bytes.size() - 22);
     },
     "the zip64 end record takes 56 bytes"},
    {"big_endian", zipped({main_item(), data_item(), {"a/byteorder", "big"}}),
     "byteorder: expected little, found \"big\""},
    {"large_pickle", [] { return checkpoint(std::string((64 << 20) + 1, 'N')); },
     "data.pkl has 67108865 bytes"},
    {"plain_pickle", [] { return "\x80\x02}" + text("a") + "K\1s."; }, "not of PyTorch"},
    {"plain_pickle_that_calls", [] { return "\x80\x02" + call("os", "system", touch()) + "."; },
     "\"os.system\""},
    {"tar", [] { return std::string("sys_info\0\0\0\0", 12); }, "this is not a PyTorch checkpoint"},
    {"git_lfs_pointer", [] { return std::string("version https://git-lfs.github.com/spec/v1\n"); },
     "Git LFS"},
    {"legacy_os_system", [] { return legacy(state(call("os", "system", touch()))); },
     "object: pickle: the global \"os.system\""},
    {"legacy_beyond_file", [] { return legacy(good(), 4, 12); }, "storage \"0\": truncated"},
    {"legacy_elements_wrap", [] { return legacy(good(), int64_t{1} << 62); }, "truncated"},
    {"legacy_negative_elements", [] { return legacy(good(), -1); }, "truncated"},
    {"legacy_other_count", [] { return legacy(good(), 3); }, "should have 4 elements"},
    {"legacy_keys_call",
     [] { return legacy(good(), 4, 16, "\x80\x02" + call("os", "system", touch()) + "."); },
     "storage keys: pickle: the global \"os.system\""},
    {"legacy_keys_number", [] { return legacy(good(), 4, 16, "\x80\x02](K\1e."); },
     "storage keys: expected text"},
    {"legacy_unknown_key", [] { return legacy(good(), 4, 16, "\x80\x02](" + text("7") + "e."); },
     "storage \"7\": no tensor has it"},
};

std::string case_name(const testing::TestParamInfo<Hostile>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Pickles, TorchHostile, testing::ValuesIn(kPickles), case_name);
INSTANTIATE_TEST_SUITE_P(Tensors, TorchHostile, testing::ValuesIn(kTensors), case_name);
INSTANTIATE_TEST_SUITE_P(Containers, TorchHostile, testing::ValuesIn(kContainers), case_name);

}  // namespace
}  // namespace sumi::formats
