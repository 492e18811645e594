// Ids and decoded texts of small tokenizers against the package `tokenizers`; see
// tools/reference/tokenizer_cases.py for the kinds and the texts.
#include "base/error.h"
#include "text/cases.h"

namespace sumi::text {
namespace {

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kTokenizerData)) {
    const std::string file = entry.path().filename().string();
    const size_t end = file.find(".expected.json");
    if (end != std::string::npos) names.push_back(file.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  return names;
}

class TokenizerCases : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerCases, EncodesAndDecodes) {
  const auto tokenizer =
      tokenizer_from_json(read_all(kTokenizerData / (GetParam() + ".json")), GetParam());
  check_cases(*tokenizer, Json::parse(read_all(kTokenizerData / (GetParam() + ".expected.json"))));
}

INSTANTIATE_TEST_SUITE_P(Trained, TokenizerCases, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sumi::text
