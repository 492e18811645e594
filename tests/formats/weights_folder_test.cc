#include "formats/weights_folder.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/safetensors.h"
#include "formats/temporary.h"

namespace sumi::formats {
namespace {

// Two shards with tensors a, b (of values 1, 2) and c (3).
class WeightsFolder : public testing::Test {
 protected:
  void SetUp() override {
    write_safetensors(folder_.file("one.safetensors"),
                      {{"a", Tensor::full({2}, 1)}, {"b", Tensor::full({2}, 2)}});
    write_safetensors(folder_.file("two.safetensors"), {{"c", Tensor::full({3}, 3)}});
  }
  void write_index(const std::string& map) {
    folder_.write("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
  }
  std::string index_error(const std::string& map) {
    write_index(map);
    return error_of([&] { open_weights_folder(folder_.path()); });
  }

  TemporaryFolder folder_;
};

TEST_F(WeightsFolder, OpensShards) {
  write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  const auto source = open_weights_folder(folder_.path());
  EXPECT_EQ(source->describe(), folder_.path());
  EXPECT_EQ(source->tensors().size(), 3u);
  EXPECT_TRUE(source->has("b"));
  EXPECT_FALSE(source->has("d"));
  EXPECT_EQ(source->get("b").to_vector(), (std::vector<float>{2, 2}));
  EXPECT_EQ(source->get("c").to_vector(), (std::vector<float>{3, 3, 3}));
  source->release("c");
  EXPECT_EQ(source->get("c").to_vector(), (std::vector<float>{3, 3, 3}));
  expect_mentions(error_of([&] { source->get("d"); }), "no tensor named \"d\"");
}

TEST_F(WeightsFolder, PrefersTheSingleFile) {
  write_index("{}");
  write_safetensors(folder_.file("model.safetensors"), {{"s", Tensor::full({1}, 4)}});
  const auto source = open_weights_folder(folder_.path());
  EXPECT_EQ(source->get("s").to_vector(), std::vector<float>{4});
}

TEST_F(WeightsFolder, PyTorchFilesComeAfterSafetensors) {
  const auto copy = [&](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(std::string(SUMI_TEST_DATA) + "/formats/torch/" + from,
                               folder_.file(to));
  };
  copy("training.pt", "shard.bin");
  folder_.write("pytorch_model.bin.index.json",
                R"({"weight_map":{"weight":"shard.bin","bias":"shard.bin"}})");
  EXPECT_EQ(open_weights_folder(folder_.path())->get("weight").to_vector(),
            (std::vector<float>{0, 1, 2, 3, 4, 5}));
  folder_.write("pytorch_model.bin.index.json", R"({"weight_map":{"weight":"one.safetensors"}})");
  expect_mentions(error_of([&] { open_weights_folder(folder_.path()); }),
                  "one.safetensors: this is not a PyTorch checkpoint");
  copy("types.pt", "pytorch_model.bin");
  EXPECT_EQ(open_weights_folder(folder_.path())->tensors().size(), 20u);
  write_index(R"({"a":"one.safetensors","b":"one.safetensors"})");
  EXPECT_EQ(open_weights_folder(folder_.path())->tensors().size(), 2u);
}

TEST_F(WeightsFolder, NamesOfDiffusersParts) {
  std::filesystem::copy_file(std::string(SUMI_TEST_DATA) + "/formats/torch/training.pt",
                             folder_.file("diffusion_pytorch_model.bin"));
  EXPECT_TRUE(open_weights_folder(folder_.path())->has("weight"));
  folder_.write("diffusion_pytorch_model.safetensors.index.json",
                R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})");
  EXPECT_TRUE(open_weights_folder(folder_.path())->has("a"));
}

TEST_F(WeightsFolder, Variants) {
  const auto first = [&](const std::string& variant) {
    return open_weights_folder(folder_.path(), variant)->tensors().at(0).name;
  };
  write_safetensors(folder_.file("diffusion_pytorch_model.fp16.safetensors"),
                    {{"half", Tensor::full({1}, 4)}});
  EXPECT_EQ(first(""), "half") << "a variant alone is taken";
  folder_.write("model.safetensors.index.non_ema.json",
                R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})");
  EXPECT_EQ(weight_variants(folder_.path()), (std::vector<std::string>{"fp16", "non_ema"}));
  EXPECT_EQ(first("fp16"), "half");
  EXPECT_EQ(first("non_ema"), "a");
  expect_mentions(error_of([&] { first(""); }),
                  "the weights are there only as variants: fp16, non_ema; choose one");
  expect_mentions(error_of([&] { first("../fp16"); }), "expected a plain word such as fp16");
  write_safetensors(folder_.file("diffusion_pytorch_model.safetensors"),
                    {{"whole", Tensor::full({1}, 4)}});
  EXPECT_EQ(first(""), "whole");
  EXPECT_EQ(first("int4"), "whole") << "a folder without the variant gives what it has";
}

TEST_F(WeightsFolder, RefusesBrokenIndexes) {
  expect_mentions(error_of([&] { open_weights_folder(folder_.path()); }),
                  "no weights; looked for model.safetensors, model.safetensors.index.json, "
                  "pytorch_model.bin, pytorch_model.bin.index.json, "
                  "diffusion_pytorch_model.safetensors");
  expect_mentions(index_error("{}"), "weight_map is empty");
  expect_mentions(index_error("[]"), "weight_map: expected an object, found an array");
  expect_mentions(index_error("null"), "weight_map is missing");
  expect_mentions(index_error("{"), "index.json: invalid JSON");
  expect_mentions(index_error(R"({"a":1})"), "\"a\": expected a file name");
  expect_mentions(index_error(R"({"a":"one.safetensors","a":"two.safetensors"})"),
                  "key \"a\" appears twice");
  expect_mentions(index_error(R"({"a":"three.safetensors"})"),
                  "the shard three.safetensors is missing");
  expect_mentions(index_error(R"({"c":"one.safetensors"})"),
                  "places tensor \"c\" in one.safetensors, which does not");
  expect_mentions(index_error(R"({"a":"one.safetensors"})"),
                  "tensor \"b\" is in one.safetensors but not in weight_map");
}

TEST_F(WeightsFolder, RefusesNamesThatLeaveTheFolder) {
  for (const char* name : {"../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", ".",
                           "", "c:one.safetensors", "sub\\\\one.safetensors",
                           "one.safetensors\\u0000", "one\\nsafetensors", ".hidden"})
    expect_mentions(index_error(std::string(R"({"a":")") + name + R"("})"),
                    "expected a plain file name inside the folder");
}

TEST_F(WeightsFolder, BrokenShardIsNamed) {
  folder_.write("two.safetensors", "x");
  expect_mentions(
      index_error(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})"),
      "two.safetensors: truncated");
}

}  // namespace
}  // namespace sumi::formats
