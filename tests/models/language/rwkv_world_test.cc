// A file of its author's with the 65,536 ids of the World models, and their vocabulary beside it.
#include <cstdlib>

#include "formats/temporary.h"
#include "formats/torch_file.h"
#include "formats/torch_image.h"
#include "reference.h"

namespace sumi::models {
namespace {

constexpr int32_t kWorld = 65536, kSmall = 131;  // ids; of tests/data/language/rwkv_pth

// The case's checkpoint with its rows for ids over and over.
std::string world_checkpoint() {
  const formats::TorchFile small(case_folder("rwkv_pth") + "/model.pth");
  std::string pickle = "\x80\x02}";
  std::vector<formats::ZipItem> items;
  for (const formats::TensorInfo& info : small.tensors()) {
    const Tensor tensor = small.get(info.name).to(DType::f32);
    Shape shape = tensor.shape();
    const std::string once(reinterpret_cast<const char*>(tensor.bytes()),
                           static_cast<size_t>(tensor.nbytes()));
    std::string bytes = once;
    if (info.name == "emb.weight" || info.name == "head.weight") {
      shape[0] = kWorld;
      const size_t size = kWorld * static_cast<size_t>(shape[1]) * sizeof(float);
      bytes.clear();
      while (bytes.size() < size) bytes += once;
      bytes.resize(size);
    }
    std::vector<int64_t> strides(shape.size(), 1);
    for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
    const std::string key = std::to_string(items.size());
    const auto count = static_cast<int64_t>(bytes.size() / sizeof(float));
    pickle += formats::text(info.name);
    pickle += formats::tensor(formats::storage(count, "FloatStorage", key), 0,
                              formats::integers(shape), formats::integers(strides));
    pickle += "s";
    items.push_back({"archive/data/" + key, bytes});
  }
  items.push_back({"archive/data.pkl", pickle + "."});
  items.push_back({"archive/byteorder", "little"});
  return formats::zip_image(items);
}

TEST(RwkvWorld, AFileHasItsVocabularyBesideIt) {
  const formats::TemporaryFolder folder;
  const std::string path = folder.write("RWKV-4-World.pth", world_checkpoint());
  EXPECT_EQ(open_language_model(path).tokenizer, nullptr);
  // The other models' tokenizer is not taken for it.
  folder.write("20B_tokenizer.json", "{}");
  EXPECT_EQ(open_language_model(path).tokenizer, nullptr);
  const std::string vocabulary = folder.file("rwkv_vocab_v20230424.txt");
  std::filesystem::copy_file(std::string(SUMI_TEST_DATA) + "/tokenizers/world/vocabulary.txt",
                             vocabulary);
  OpenOptions f32;
  f32.compute = ComputeType::f32;
  const LanguageModelFiles files = open_language_model(path, f32);
  ASSERT_NE(files.tokenizer, nullptr);
  EXPECT_EQ(files.tokenizer->encode("Hello World"), (std::vector<int32_t>{268, 270}));
  EXPECT_EQ(files.tokenizer->end_ids, std::vector<int32_t>{0});
  EXPECT_EQ(files.model->vocab_size(), kWorld);

  // Every id is one of the small model's.
  const LanguageModelFiles small = open_case("rwkv_pth", ComputeType::f32);
  const std::vector<int32_t> ids = {5, 268, 270, 65529, 65535};
  std::vector<int32_t> same;
  for (const int32_t id : ids) same.push_back(id % kSmall);
  const Tensor found = logits_in_pieces(*files.model, ids, ids.size());
  const Tensor expected = logits_in_pieces(*small.model, same, same.size());
  ASSERT_EQ(found.shape(), (Shape{5, kWorld}));
  int64_t other = 0;
  for (int64_t t = 0; t < 5; ++t)
    for (int64_t v = 0; v < kWorld; ++v)
      other += found.f32()[t * kWorld + v] != expected.f32()[t * kSmall + v % kSmall];
  EXPECT_EQ(other, 0);
  const std::vector<int32_t> none = {kWorld};
  EXPECT_THROW(files.model->forward(none, *files.model->new_state(), LogitsFor::last), Error);
}

TEST(RwkvWorld, AFileTakesTheRealVocabulary) {
  const char* real = std::getenv("SUMI_VOCAB_DIR");
  const std::string from = std::string(real ? real : "") + "/rwkv_vocab_v20230424.txt";
  if (!real || !*real || !std::filesystem::exists(from))
    GTEST_SKIP() << "SUMI_VOCAB_DIR does not have it (see tools/fetch_vocabs)";
  const formats::TemporaryFolder folder;
  const std::string path = folder.write("RWKV-4-World.pth", world_checkpoint());
  std::filesystem::copy_file(from, folder.file("rwkv_vocab_v20230424.txt"));
  const LanguageModelFiles world = open_language_model(path);
  ASSERT_NE(world.tokenizer, nullptr);
  EXPECT_EQ(world.tokenizer->encode("Hello World"), (std::vector<int32_t>{33155, 37576}));
  EXPECT_EQ(world.tokenizer->decode(std::vector<int32_t>{33155, 37576}), "Hello World");
}

}  // namespace
}  // namespace sumi::models
