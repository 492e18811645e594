// Folders without tokenizer.json: ids and decoded texts against the libraries that own the formats;
// see tools/reference/tokenizer_folders.py. Then broken folders and their messages.
#include <gtest/gtest.h>

#include "base/error.h"
#include "text/cases.h"
#include "text/tokenizer.h"

namespace sumi::text {
namespace {

const fs::path kFolders = kTokenizerData / "folders";

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolders)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class TokenizerFolders : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerFolders, EncodesAndDecodes) {
  const fs::path folder = kFolders / GetParam();
  const auto tokenizer = open_tokenizer(folder.string());
  check_cases(*tokenizer, Json::parse(read_all(folder / "expected.json")));
}

INSTANTIATE_TEST_SUITE_P(Trained, TokenizerFolders, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sumi::text
