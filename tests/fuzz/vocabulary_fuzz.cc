// Any bytes as a vocabulary in lines: RWKV World's, or tiktoken's after a first byte 't'; refused with
// an Error, or one that encodes and decodes.
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tiktoken.h"
#include "text/world_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sumi::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::vector<int32_t> ids;
  try {
    if (!input.empty() && input[0] == 't') {
      read_tiktoken(input.substr(1), "fuzz")->encode("Hello\xc4\xa0world", &ids);
    } else {
      const WorldTokenizer tokenizer(input, "fuzz");
      tokenizer.decode(tokenizer.encode("Hello world 12 \xe5\xa2\xa8", {}), false);
    }
  } catch (const sumi::Error&) {
  }
  return 0;
}
