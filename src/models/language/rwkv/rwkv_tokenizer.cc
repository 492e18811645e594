#include "models/language/rwkv/rwkv_tokenizer.h"

#include <filesystem>

#include "formats/json.h"

namespace sumi::models {

std::unique_ptr<text::Tokenizer> rwkv_tokenizer_beside(const std::string& checkpoint,
                                                       int64_t vocab_size) {
  const std::filesystem::path folder = std::filesystem::path(checkpoint).parent_path();
  constexpr int64_t kWorld = 65536;
  const std::vector<const char*> names =
      vocab_size == kWorld ? std::vector{"rwkv_vocab_v20230424.txt"}
                           : std::vector{"20B_tokenizer.json", "tokenizer.json"};
  for (const char* name : names) {
    const std::string path = (folder / name).string();
    if (!formats::file_exists(path)) continue;
    std::unique_ptr<text::Tokenizer> tokenizer = text::open_tokenizer_file(path);
    tokenizer->eos_id = 0;
    tokenizer->end_ids = {0};
    return tokenizer;
  }
  return nullptr;
}

}  // namespace sumi::models
