// Any bytes as a tokenizer.json: refused with an Error, or a tokenizer that encodes and decodes.
// After a zero byte, which JSON cannot hold, the input may give the text to encode.
#include <algorithm>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(input.find('\0'), size);
  const std::string text = zero < size ? std::string(input.substr(zero + 1))
                                       : "Hello  world's 12345\n\xe5\xa2\xa8 \xff<s>";
  try {
    const auto tokenizer = sumi::text::tokenizer_from_json(input.substr(0, zero), "fuzz");
    const std::vector<int32_t> ids = tokenizer->encode(text);
    tokenizer->decode(ids);
    tokenizer->decode(ids, false);
    for (const int32_t id : ids) tokenizer->token_text(id);
  } catch (const sumi::Error&) {
  }
  return 0;
}
