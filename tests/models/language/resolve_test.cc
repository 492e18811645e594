// Models by path and by name.
#include <cstdlib>
#include <fstream>

#include "reference.h"

namespace sumi::models {
namespace {

namespace fs = std::filesystem;

class Resolve : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / "resolve";
    fs::remove_all(root_);
    models_ = root_ / "cache" / "sumi" / "models";
    fs::create_directories(models_ / "tiny");
    touch(models_ / "SmolLM2-135M.Q4_1.gguf");
    touch(models_ / "Qwen2-0.5B.gguf");
    touch(models_ / "notes.txt");
    touch(models_ / "tiny" / "config.json");
    hub_ = root_ / "hub";
    snapshot_ = hub_ / "models--org--name" / "snapshots" / "abc";
    fs::create_directories(snapshot_);
    touch(snapshot_ / "config.json");
    setenv("XDG_CACHE_HOME", (root_ / "cache").c_str(), 1);
    setenv("HF_HUB_CACHE", hub_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HF_HUB_CACHE");
  }
  static void touch(const fs::path& path) { std::ofstream(path) << "{}"; }
  static std::string error_of(const std::string& name) {
    try {
      return resolve_model(name);
    } catch (const Error& e) {
      return e.what();
    }
  }

  fs::path root_, models_, hub_, snapshot_;
};

TEST_F(Resolve, Paths) {
  EXPECT_EQ(resolve_model((models_ / "tiny").string()), (models_ / "tiny").string());
  EXPECT_EQ(resolve_model((models_ / "Qwen2-0.5B.gguf").string()),
            (models_ / "Qwen2-0.5B.gguf").string());
  const fs::path alone = root_ / "alone";
  fs::create_directories(alone);
  EXPECT_NE(error_of(alone.string()).find("neither config.json"), std::string::npos);
  touch(alone / "model.gguf");
  EXPECT_EQ(resolve_model(alone.string()), (alone / "model.gguf").string());
}

TEST_F(Resolve, NamesInTheModelsCache) {
  EXPECT_EQ(resolve_model("tiny"), (models_ / "tiny").string());
  EXPECT_EQ(resolve_model("Qwen2-0.5B"), (models_ / "Qwen2-0.5B.gguf").string());
  EXPECT_EQ(resolve_model("smollm2"), (models_ / "SmolLM2-135M.Q4_1.gguf").string());
  const std::string several = error_of("gguf");
  EXPECT_NE(several.find("more than one"), std::string::npos) << several;
  EXPECT_NE(several.find("Qwen2-0.5B.gguf"), std::string::npos) << several;
  EXPECT_NE(error_of("notes").find("not found"), std::string::npos);
  EXPECT_NE(error_of("../models/tiny").find("not found"), std::string::npos);
}

TEST_F(Resolve, NamesInTheHuggingFaceCache) {
  EXPECT_EQ(resolve_model("org/name"), snapshot_.string());
  const fs::path other = hub_ / "models--org--name" / "snapshots" / "def";
  fs::create_directories(other);
  touch(other / "config.json");
  EXPECT_NE(error_of("org/name").find("not found"), std::string::npos);  // two, and no refs/main
  fs::create_directories(hub_ / "models--org--name" / "refs");
  std::ofstream(hub_ / "models--org--name" / "refs" / "main") << "def";
  EXPECT_EQ(resolve_model("org/name"), other.string());
}

TEST_F(Resolve, NotFoundSaysWhereItLooked) {
  const std::string message = error_of("nothing/here");
  EXPECT_NE(message.find(models_.string()), std::string::npos) << message;
  EXPECT_NE(message.find(hub_.string()), std::string::npos) << message;
  EXPECT_NE(error_of("").find("no model"), std::string::npos);
}

}  // namespace
}  // namespace sumi::models
