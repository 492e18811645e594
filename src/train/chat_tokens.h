// ChatML for a base model: its two tokens and a chat template.
#pragma once

#include <cstdint>
#include <string>

namespace sumi::train {

struct ChatTokens {
  int64_t begin = 0, count = 0;  // ids that the tokenizer did not have
};

// Writes the tokenizer of the Hugging Face folder `source` to `folder` (which exists), with
// <|im_start|>, <|im_end|>, which ends a text, and the template. Throws Error if the source has no
// tokenizer.json.
ChatTokens write_chatml_tokenizer(const std::string& source, const std::string& folder);

}  // namespace sumi::train
