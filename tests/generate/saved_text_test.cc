#include "generate/saved_text.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "fake_model.h"
#include "formats/safetensors.h"
#include "generate/generator.h"
#include "models/language/open.h"

namespace sumi::generate {
namespace {

std::string folder(const char* name) { return std::string(SUMI_TEST_DATA) + "/language/" + name; }

class SavedTextTest : public testing::Test {
 protected:
  SavedTextTest() : files_(models::open_language_model(folder("rwkv"))) {}
  static GenerateOptions greedy(int64_t tokens) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = tokens;
    return options;
  }
  std::string error_of_loading(const std::string& path) const {
    try {
      load_text(path, *files_.model);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  // A saved text with one thing changed.
  std::string changed(const std::function<void(std::vector<std::pair<std::string, Tensor>>&,
                                               std::map<std::string, std::string>&)>& change) {
    const formats::SafetensorsFile file(path_);
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const formats::TensorInfo& info : file.tensors())
      tensors.emplace_back(info.name, file.get(info.name));
    std::map<std::string, std::string> metadata = file.metadata();
    change(tensors, metadata);
    const std::string path = path_ + ".changed";
    formats::write_safetensors(path, tensors, metadata);
    return path;
  }

  models::LanguageModelFiles files_;
  const std::vector<int32_t> prompt_ = {7, 1, 99, 4, 130};
  const std::string path_ = testing::TempDir() + "/text.state";
};

TEST_F(SavedTextTest, GoesOnAsIfNothingHadHappened) {
  Generator whole(*files_.model, nullptr);
  const std::vector<int32_t> all = whole.generate(prompt_, greedy(20)).ids;

  Generator first(*files_.model, nullptr);
  std::vector<int32_t> ids = prompt_;
  for (const int32_t id : first.generate(prompt_, greedy(8)).ids) ids.push_back(id);
  save_text(path_, *files_.model, ids, first.state());

  SavedText saved = load_text(path_, *files_.model);
  EXPECT_EQ(saved.ids, ids);
  EXPECT_EQ(saved.state->length(), 12);  // the last token was never processed
  Generator second(*files_.model, nullptr);
  second.adopt(std::move(saved.state), {ids.begin(), ids.end() - 1});
  const GenerateResult rest = second.generate(ids, greedy(12));
  EXPECT_EQ(rest.timings.cached_tokens, 12);
  EXPECT_EQ(rest.ids, std::vector<int32_t>(all.begin() + 8, all.end()));
  EXPECT_THROW(second.adopt(files_.model->new_state(), {1, 2}), Error);
}

TEST_F(SavedTextTest, WhatDoesNotFitIsNamed) {
  const auto state = files_.model->new_state();
  files_.model->forward(prompt_, *state, models::LogitsFor::none);
  save_text(path_, *files_.model, prompt_, *state);
  EXPECT_EQ(error_of_loading(path_), "no error");
  const auto expect = [&](const std::string& path, const char* part) {
    const std::string message = error_of_loading(path);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(folder("rwkv") + "/model.safetensors", "not a saved state");
  expect(changed([](auto&, auto& m) { m["model"] = "rwkv-4 9"; }), "the state of another model");
  expect(changed([](auto&, auto& m) { m["length"] = "6"; }),
         "length: expected 0 to 5, found \"6\"");
  expect(changed([](auto&, auto& m) { m["length"] = "-1"; }), "length");
  expect(changed([](auto& t, auto&) { t.back().second = Tensor::from_ids({1, 131}, {2}); }),
         "ids: expected 0 to 130, found 131");
  expect(changed([](auto& t, auto&) { t.front().second = Tensor::zeros({1, 31}); }),
         "layers.0.attention.previous: expected f32 [1, 32], found f32 [1, 31]");
  expect(changed([](auto& t, auto&) { t.erase(t.begin()); }), "layers.0.attention.previous");

  const models::LanguageModelFiles other = models::open_language_model(folder("rwkv_pth"));
  EXPECT_THROW(load_text(path_, *other.model), Error);
  EXPECT_THROW(save_text(path_, *other.model, prompt_, *state), Error);
  const FakeModel fake;
  EXPECT_THROW(save_text(path_, fake, prompt_, *fake.new_state()), Error);
  EXPECT_THROW(save_text("/no/such/folder/file", *files_.model, prompt_, *state), Error);
}

}  // namespace
}  // namespace sumi::generate
